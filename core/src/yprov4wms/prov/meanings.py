"""What the members of the vocabulary's closed sets mean."""

from __future__ import annotations

from yprov4wms.events import Status
from yprov4wms.prov.vocabulary import Level, Link, Type

#: Whose the namespaces of the prefixes are.
OWNERS = {
    "prov": "W3C PROV",
    "xsd": "types of values",
    "dcterms": "Dublin Core",
    "yprov4wfs": "terms of yProv4WFs, with its meaning",
    "yprov": "terms of yProv4ML, with its meaning",
    "provml": "types of ML entities, of yProv4ML",
    "yprov4wms": "ours",
}

TYPES: dict[Type, tuple[str, str]] = {
    Type.WORKFLOW_RUN: ("activity", "the run"),
    Type.TASK_ATTEMPT: ("activity", "one attempt of one task"),
    Type.ML_RUN: ("activity", "an ML run"),
    Type.ML_CONTEXT: ("activity", "a context of it, or a rank"),
    Type.PLAN: ("entity", "the workflow, a step, a task that never ran"),
    Type.PORT: ("entity", "an input or output of a step or the workflow"),
    Type.FILE: ("entity", "one version of a file"),
    Type.COLLECTION: ("entity", "one version of a directory"),
    Type.BUNDLE: ("entity", "a child's document"),
    Type.SOFTWARE: ("entity", "a package, environment or container"),
    Type.ENVIRONMENT: ("entity", "all software that a run had"),
    Type.SOURCE_CODE: ("entity", "the state of a git repository"),
    Type.HYPERPARAMETER: ("entity", "a parameter"),
    Type.METRIC: ("entity", "a series of values"),
    Type.MODEL: ("entity", "a model"),
    Type.DATASET: ("entity", "a data set"),
    Type.PERSON: ("agent", "who ran it"),
    Type.SOFTWARE_AGENT: ("agent", "the engine, a plugin"),
}

LEVELS = {
    Level.WORKFLOW: "workflow",
    Level.TASK: "task",
    Level.ML_RUN: "ML run",
    Level.ML_CONTEXT: "ML context or rank",
}

STATUSES: dict[Status, tuple[str, str]] = {
    Status.COMPLETED: ("run, attempt, ML run, rank", "it went well"),
    Status.FAILED: ("the same", "it did not"),
    Status.CANCELLED: ("the same", "it was stopped"),
    Status.RUNNING: ("the same", "no end was recorded"),
    Status.CACHED: ("attempt", "its outputs came from a cache; no process ran"),
    Status.NOT_STARTED: ("plan", "never reached"),
    Status.UPSTREAM_FAILED: ("plan", "something that it depends on failed"),
    Status.SKIPPED: (
        "plan, attempt",
        "the engine decided so; of an attempt, it said so of itself",
    ),
    Status.UP_TO_DATE: ("plan", "its outputs were current"),
}

LINKS: dict[Link, tuple[str, str]] = {
    Link.DEPENDS_ON: (
        "`wasInformedBy` between attempts; `wasInfluencedBy` between plans, or with one",
        "order",
    ),
    Link.PART_OF: (
        "`wasInformedBy`; `wasInfluencedBy` of a plan",
        "in the run, in the task that contains it, in its ML run or context",
    ),
    Link.RETRY_OF: ("`wasInformedBy`", "the attempt before"),
    Link.NESTED: ("`wasInformedBy`", "a child run, or a run inside, in its attempt"),
    Link.SOURCE: ("`wasInfluencedBy`", "from a port to where its value comes from"),
    Link.SECONDARY_FILE: ("`wasInfluencedBy`", "from a file to the one that it goes with"),
}

#: Figures by unit: each stands with its unit, method, bounds and scope.
FIGURES = {
    "s": ("cpu_user", "cpu_system", "cpu_time", "wall_time"),
    "B": (
        *("memory_peak", "io_read_bytes", "io_write_bytes", "io_read_chars", "io_write_chars"),
        "gpu_memory_peak",
    ),
    "%": ("gpu_utilization_mean", "gpu_utilization_max"),
    "J": ("energy", "gpu_energy"),
    "kg": ("carbon",),
}
