"""The closed set of events: the contract between adapters, the journal and replay.

One event is one JSON object on one line of a journal file. Field names here are
the names on disk. A field that is unknown is left out, never guessed.

Times are UTC, ``YYYY-MM-DDThh:mm:ss.ffffff+00:00`` (the form that PROV-JSON
carries, so that no reader converts them); sizes are bytes, durations seconds,
energies joules.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, TypeAlias

import msgspec

VERSION = 1

#: What a retry that the engine's main process does not count adds to an attempt's number.
INNER_RETRY = 1000

#: The role of an input that the attempt is to change in its place, or of an output that is
#: an input so changed.
UPDATE = "update"

#: The attribute of a `TaskEnded` whose status is that of a group that the task was in: its id.
WHOLE_GROUP = "whole_group"


class Status(StrEnum):
    """What became of a run, a task or an attempt (``yprov4wfs:status``)."""

    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    #: An attempt or run without a recorded end: it was running when the record stops.
    RUNNING = "running"
    #: Planned, and never started.
    NOT_STARTED = "not-started"
    #: Never started because something that it depends on failed.
    UPSTREAM_FAILED = "upstream-failed"
    #: Never started because the engine decided so (branch, condition); of an attempt, it said
    #: so of itself.
    SKIPPED = "skipped"
    #: Never started because its outputs were current.
    UP_TO_DATE = "up-to-date"
    #: Its outputs came from a cache; no process ran.
    CACHED = "cached"


class FileType(StrEnum):
    FILE = "file"
    DIRECTORY = "directory"
    FIFO = "fifo"
    URL = "url"
    #: It was named, and was not there when looked at.
    MISSING = "missing"
    #: Text that the workflow itself holds; it lies nowhere.
    LITERAL = "literal"
    #: Data that the engine knows by a name and a URI alone (Airflow's assets).
    ASSET = "asset"
    #: A socket, a device.
    OTHER = "other"


class File(msgspec.Struct, omit_defaults=True, gc=False):
    """What one path held at one moment.

    path: relative to the run's directory where it lies inside, else absolute, or a URL.
    mtime_ns: nanoseconds since the epoch.
    sha256: of the content; of a directory, over its members' paths and checksums.
    target: of a symbolic link, what it names.
    members: of a directory, its regular files at any depth, sorted by path, which is
        relative to the directory; ``member_count`` is their true number, where it is
        larger than the list.
    note: why a checksum is missing.
    sha1: of the content, as the engine computed it.
    format: a URI that names the format of the content (CWL's ``format``).
    origin: where a task left it, if the engine has moved or copied it since.
    secondary_of: path of the file that it accompanies (CWL's ``secondaryFiles``).
    name: what it is called, where its path does not say so.
    listing: of a directory that lies nowhere, but is put together: the paths of what is in it.
    published: other runs may name it by the task that left it (`origin_task`).
    origin_task: of another run, the task that left it.
    attributes: what else the engine knows of it.
    temporary: the engine removes it when it is not needed any more.
    """

    path: str
    type: FileType = FileType.FILE
    role: str | None = None
    size: int | None = None
    mtime_ns: int | None = None
    sha256: str | None = None
    target: str | None = None
    members: list[File] | None = None
    member_count: int | None = None
    note: str | None = None
    sha1: str | None = None
    format: str | None = None
    origin: str | None = None
    secondary_of: str | None = None
    name: str | None = None
    listing: list[str] | None = None
    published: bool = False
    origin_task: Parent | None = None
    attributes: dict[str, Any] | None = None
    temporary: bool = False


class Figure(msgspec.Struct, omit_defaults=True, gc=False):
    """One measured or estimated quantity, with its unit and how it came about.

    ``value`` is the figure; an estimate has ``low`` and ``high`` instead, or beside it.
    scope: what was measured, where it is not the attempt's process tree alone.
    """

    unit: str
    method: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    scope: str | None = None


class Process(msgspec.Struct, omit_defaults=True, gc=False):
    """One operating-system process that an attempt started and waited for."""

    pid: int
    started: str
    ended: str | None = None
    exit_code: int | None = None


class Software(msgspec.Struct, omit_defaults=True, gc=False):
    """kind: ``engine``, ``plugin``, ``package``, ``conda``, ``container``, ``module``..."""

    name: str
    kind: str
    version: str | None = None
    path: str | None = None
    sha256: str | None = None
    url: str | None = None


class Port(msgspec.Struct, omit_defaults=True, gc=False):
    """An input or output as a step or workflow declares it.

    type: as the engine writes it.
    sources: the ports that it takes its value from, each ``<step>/<port>``; one of the
        workflow's own by its name alone.
    value_from: an expression that makes its value.
    """

    name: str
    type: str | None = None
    sources: list[str] | None = None
    default: Any = None
    value_from: str | None = None
    format: str | None = None
    label: str | None = None
    doc: str | None = None


class Person(msgspec.Struct, omit_defaults=True):
    login: str | None = None
    name: str | None = None
    orcid: str | None = None


class Git(msgspec.Struct, omit_defaults=True):
    commit: str | None = None
    branch: str | None = None
    remote: str | None = None
    dirty: bool | None = None
    changed: list[str] | None = None


class Parent(msgspec.Struct, omit_defaults=True):
    """The attempt of another run under which this run was started."""

    run: str
    task: str | None = None
    attempt: int | None = None
    store: str | None = None


class Event(msgspec.Struct, tag_field="kind", omit_defaults=True, kw_only=True, gc=False):
    """What every event carries; the recorder fills it in.

    ``writer`` and ``seq`` (from 1) together name one event.
    """

    v: int = 0
    time: str = ""
    writer: str = ""
    seq: int = 0
    run: str = ""


# -- the run ---------------------------------------------------------------------


class RunStarted(Event, tag="run-started", kw_only=True):
    """A workflow run began. ``engine`` is the system that executes it.

    Several processes may tell of it: a later word adds what the earlier ones did not know.

    began: when, where that is known apart from this event's own time; who knows it knows the
        run as it is by now. If it is later than the end that was told of, the run was begun again.
    serial: which of several runs of this id that the engine has had: what was told of another
        one before is not of this one.
    files: what it reads at its start; inputs that the workflow declares have their names as roles.
    packed: the whole workflow as one document, kept in the run's folder.
    imported: the run was recorded afterwards, from what the engine left behind; the times of
        its events then say nothing about it.
    """

    engine: Software
    workflow: str
    directory: str
    began: str | None = None
    serial: str | None = None
    command: list[str] | None = None
    main_file: File | None = None
    files: list[File] | None = None
    config: dict[str, Any] | None = None
    git: Git | None = None
    host: str | None = None
    platform: str | None = None
    pid: int | None = None
    person: Person | None = None
    software: list[Software] | None = None
    engine_run_id: str | None = None
    executor: str | None = None
    parent: Parent | None = None
    carbon_intensity: Figure | None = None
    imported: bool = False
    inputs: list[Port] | None = None
    outputs: list[Port] | None = None
    packed: File | None = None
    attributes: dict[str, Any] | None = None


class RunEnded(Event, tag="run-ended", kw_only=True):
    """outputs: files that the workflow declares as its own. results: its other outputs.

    finished: when, where that is known apart from this event's own time.
    """

    status: Status
    finished: str | None = None
    error: str | None = None
    outputs: list[File] | None = None
    results: dict[str, Any] | None = None


# -- the plan --------------------------------------------------------------------


class StepDeclared(Event, tag="step-declared", kw_only=True):
    """A rule (Snakemake), step (CWL) or task (Airflow) as it is written in the workflow.

    parent: the step of whose workflow it is a part.
    """

    step: str
    type: str | None = None
    label: str | None = None
    parent: str | None = None
    source: str | None = None
    line: int | None = None
    code: str | None = None
    script: File | None = None
    doc: str | None = None
    software: list[Software] | None = None
    depends_on: list[str] | None = None
    inputs: list[Port] | None = None
    outputs: list[Port] | None = None
    attributes: dict[str, Any] | None = None


class TaskPlanned(Event, tag="task-planned", kw_only=True):
    """A task (job, step instance, task instance) that the engine means to run.

    A later plan of the same task replaces an earlier one: engines re-plan, Snakemake
    after each checkpoint.

    unexpanded: it stands for the tasks of this step and parent that are not known yet; as
        soon as there is one, it is no task, and who depends on it depends on them all.
    """

    task: str
    step: str
    label: str | None = None
    depends_on: list[str] | None = None
    parent: str | None = None
    unexpanded: bool = False
    attributes: dict[str, Any] | None = None


class TaskNotRun(Event, tag="task-not-run", kw_only=True):
    """The engine decided that a planned task is not to run: skipped, up to date...

    before: it decided so once, and differently afterwards; then the number of the attempt that
        would have been.
    """

    task: str
    status: Status
    before: int | None = None
    reason: str | None = None
    outputs: list[File] | None = None
    attributes: dict[str, Any] | None = None


# -- what happened ---------------------------------------------------------------


class TaskStarted(Event, tag="task-started", kw_only=True):
    """One attempt of a task was handed to an executor; its inputs are in place.

    spool: a folder where a process that does not see the store leaves its part of it.
    directory: where its process works, absolute or from the run's directory. alone: nothing
        else ever works there.
    """

    task: str
    attempt: int
    inputs: list[File] | None = None
    command: str | None = None
    script: File | None = None
    parameters: dict[str, Any] | None = None
    wildcards: dict[str, str] | None = None
    threads: int | None = None
    resources: dict[str, Any] | None = None
    software: list[Software] | None = None
    reason: str | None = None
    host: str | None = None
    spool: str | None = None
    directory: str | None = None
    alone: bool = False
    attributes: dict[str, Any] | None = None


class TaskSubmitted(Event, tag="task-submitted", kw_only=True):
    """A scheduler took the attempt in and gave it an id of its own."""

    task: str
    attempt: int
    external_id: str


class TaskExecuting(Event, tag="task-executing", kw_only=True):
    """The process that an engine sent out to run an attempt runs it, somewhere.

    attempt: as the engine's main process counts; the n-th retry inside that process has
        `INNER_RETRY` n times more.
    command and what follows: where they are others than `TaskStarted` says, or where nobody
        else tells of the start. Which versions its inputs are is decided by the times of all
        attempts, and not by the order of events.
    directory: where the process works.
    """

    task: str
    attempt: int
    host: str | None = None
    pid: int | None = None
    inputs: list[File] | None = None
    command: str | None = None
    script: File | None = None
    parameters: dict[str, Any] | None = None
    threads: int | None = None
    resources: dict[str, Any] | None = None
    directory: str | None = None
    attributes: dict[str, Any] | None = None


class TaskSuspended(Event, tag="task-suspended", kw_only=True):
    """An attempt gave its process up until later (Airflow: deferred, up for reschedule).

    Fields as in `TaskExecuted`; what follows is the same attempt in another process.
    """

    task: str
    attempt: int
    reason: str
    began: str | None = None
    processes: list[Process] | None = None
    usage: dict[str, Figure] | None = None
    host: str | None = None


class TaskExecuted(Event, tag="task-executed", kw_only=True):
    """What that process saw of it; fields as in `TaskEnded`. That the engine's main process
    thinks so, too, is for a `TaskEnded` to say."""

    task: str
    attempt: int
    status: Status
    began: str | None = None
    finished: str | None = None
    exit_code: int | None = None
    signal: int | None = None
    error: str | None = None
    outputs: list[File] | None = None
    results: dict[str, Any] | None = None
    processes: list[Process] | None = None
    usage: dict[str, Figure] | None = None
    host: str | None = None


class TaskNoted(Event, tag="task-noted", kw_only=True):
    """What a process that neither runs nor plans an attempt learned of it.

    error: counts where its end has none. attributes: those of several notes add up. A note alone
    makes no attempt.
    """

    task: str
    attempt: int
    error: str | None = None
    attributes: dict[str, Any] | None = None


class TaskEnded(Event, tag="task-ended", kw_only=True):
    """One attempt reached its final state, after the engine's own checks of its outputs.

    began, finished: when its process ran, where that is known apart from when the
        engine handed it out and took it back.
    usage: figures by the names in ``yprov4wms.metering``.
    results: outputs that are no files, by name.
    """

    task: str
    attempt: int
    status: Status
    began: str | None = None
    finished: str | None = None
    exit_code: int | None = None
    signal: int | None = None
    error: str | None = None
    outputs: list[File] | None = None
    results: dict[str, Any] | None = None
    processes: list[Process] | None = None
    usage: dict[str, Figure] | None = None
    host: str | None = None
    attributes: dict[str, Any] | None = None


class FilesHashed(Event, tag="files-hashed", kw_only=True):
    """Checksums of files that an earlier event of this attempt named, read afterwards."""

    task: str
    attempt: int
    files: list[File]


class ChildAttached(Event, tag="child-attached", kw_only=True):
    """A provenance document of a child run, copied to ``children/<sha256>``.

    type: the dialect, ``yprov4wms-ml`` for this project's own recorder; ``version`` of it,
        as far as it is known.
    document: its ``origin`` is where the child left it.
    complete: false where the child's own end was not recorded.
    repaired: what its document says in another form now, or could not keep.
    doubt: why it may be of another task.
    checked: the version of the rules (`yprov4wms.prov.rules.VERSION`) that the document was
        found to keep when it was copied; None where it was not looked at, or breaks one.
    """

    task: str
    attempt: int
    child: str
    type: str
    document: File
    complete: bool = True
    version: str | None = None
    repaired: list[str] | None = None
    doubt: str | None = None
    checked: int | None = None


class RecorderFailed(Event, tag="recorder-failed", kw_only=True):
    """The recorder itself failed, and the workflow went on."""

    where: str
    error: str
    task: str | None = None
    attempt: int | None = None


# -- machine-learning runs -------------------------------------------------------


class MLRunStarted(Event, tag="ml-run-started", kw_only=True):
    """An ML run began, or one process of it; ``parent`` is the task attempt around it.

    rank: of this process among the ``world_size`` of a distributed run, from 0.
    local_rank: among those of its host. launcher: by whose variables that is known.
    """

    experiment: str
    name: str | None = None
    directory: str | None = None
    command: list[str] | None = None
    host: str | None = None
    pid: int | None = None
    python: str | None = None
    person: Person | None = None
    parent: Parent | None = None
    rank: int | None = None
    local_rank: int | None = None
    world_size: int | None = None
    launcher: str | None = None
    attributes: dict[str, Any] | None = None


class MLContextStarted(Event, tag="ml-context-started", kw_only=True):
    """A phase of the run, or of another context: training, validation..."""

    context: str
    parent: str | None = None


class MLContextEnded(Event, tag="ml-context-ended", kw_only=True):
    context: str


class MLParam(Event, tag="ml-param", kw_only=True):
    """A parameter that the run was given; or one that it found, where not ``input``."""

    name: str
    value: Any
    input: bool = True
    context: str | None = None
    source: str | None = None


class MLMetricDeclared(Event, tag="ml-metric-declared", kw_only=True):
    """A series began; its values are those of number ``series`` in the file ``path``,
    relative to the ML run's folder."""

    name: str
    path: str
    series: int
    context: str | None = None
    source: str | None = None
    unit: str | None = None


class MLArtifact(Event, tag="ml-artifact", kw_only=True):
    """A file that the run used (``input``) or made; ``copy``: of it, in the run's folder."""

    name: str
    file: File
    copy: File | None = None
    input: bool = False
    context: str | None = None
    source: str | None = None
    step: int | None = None
    attributes: dict[str, Any] | None = None


class MLModel(Event, tag="ml-model", kw_only=True):
    """layers: in their order, each with what it tells of itself."""

    name: str
    file: File | None = None
    copy: File | None = None
    input: bool = False
    model_class: str | None = None
    parameters: int | None = None
    layers: list[dict[str, Any]] | None = None
    attributes: dict[str, Any] | None = None
    context: str | None = None
    source: str | None = None
    step: int | None = None


class MLDataset(Event, tag="ml-dataset", kw_only=True):
    name: str
    file: File | None = None
    input: bool = True
    samples: int | None = None
    shape: list[int] | None = None
    sha256: str | None = None
    attributes: dict[str, Any] | None = None
    context: str | None = None
    source: str | None = None


class MLCode(Event, tag="ml-code", kw_only=True):
    """The source code that runs: a commit, with what differs from it; or the files.

    diff: in the ML run's folder.
    """

    git: Git | None = None
    diff: File | None = None
    files: list[File] | None = None


class MLEnvironment(Event, tag="ml-environment", kw_only=True):
    """packages: versions of the installed distributions, by name."""

    packages: dict[str, str]
    platform: str | None = None
    machine: str | None = None
    cpus: int | None = None


class MLSummary(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What its writer knows of a series; figures that are not finite by their names.

    first, last: in the order of logging. min, max: of the values that are numbers.
    """

    series: int
    count: int
    first: float | str | None = None
    last: float | str | None = None
    min: float | str | None = None
    max: float | str | None = None


class MLRunEnded(Event, tag="ml-run-ended", kw_only=True):
    """series: those that this process logged; metrics: the file of their values."""

    status: Status
    error: str | None = None
    series: list[MLSummary] | None = None
    metrics: File | None = None


AnyEvent: TypeAlias = (
    RunStarted
    | RunEnded
    | StepDeclared
    | TaskPlanned
    | TaskNotRun
    | TaskStarted
    | TaskSubmitted
    | TaskExecuting
    | TaskSuspended
    | TaskExecuted
    | TaskNoted
    | TaskEnded
    | FilesHashed
    | ChildAttached
    | RecorderFailed
    | MLRunStarted
    | MLContextStarted
    | MLContextEnded
    | MLParam
    | MLMetricDeclared
    | MLArtifact
    | MLModel
    | MLDataset
    | MLCode
    | MLEnvironment
    | MLRunEnded
)
