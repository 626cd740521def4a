"""Every prefix, type, link and attribute name of the document, in one place.

Attribute names that the yProv ecosystem has already are used under its own prefixes;
its tools match the prefixed string. Terms of ours are under ``yprov4wms``.
"""

from __future__ import annotations

from enum import StrEnum

#: Prefixes that every document declares (PROV-JSON section 2.2).
PREFIXES = {
    "prov": "http://www.w3.org/ns/prov#",
    "xsd": "http://www.w3.org/2001/XMLSchema#",
    "dcterms": "http://purl.org/dc/terms/",
    "yprov4wfs": "https://github.com/HPCI-Lab/yProv4WFs#",
    "yprov": "https://github.com/HPCI-Lab/yProv4ML#",
    "provml": "https://github.com/HPCI-Lab/yProv4ML/provml#",
    "yprov4wms": "urn:yprov4wms:terms#",
}

PREFIX_OF = {uri: prefix for prefix, uri in PREFIXES.items()}

#: What yProv's tools say of an activity that stands for others: its prefix, and its ``prov:type``.
#: They bind the prefix to http://example.org, in which names have no place.
ANALYTICS = "analytics4yprov"
ANALYTICS_URI = "https://github.com/HPCI-Lab/yprov4dask/analytics4yprov#"
REDUCED = "reduced_pipeline"

#: The prefix of a workflow run's own namespace, and of an ML run's in its own document.
RUN = "run"
ML = "ml"


def run_namespace(run_id: str) -> str:
    """The namespace of one run: no other run shares it."""
    return f"urn:uuid:{run_id}#"


class Level(StrEnum):
    """``yprov4wfs:level``: the kind of an activity, not its depth."""

    WORKFLOW = "0"
    TASK = "1"
    ML_RUN = "2"
    ML_CONTEXT = "3"


class Link(StrEnum):
    """``yprov4wms:link``: why one activity (or plan) was informed by another."""

    DEPENDS_ON = "depends-on"
    PART_OF = "part-of"
    RETRY_OF = "retry-of"
    NESTED = "nested"
    #: From a port to the one that it takes its value from.
    SOURCE = "source"
    #: From a file to the one that it accompanies.
    SECONDARY_FILE = "secondary-file"


class Type(StrEnum):
    """``prov:type``: one plain string per element."""

    PLAN = "prov:Plan"
    PORT = "yprov4wms:Port"
    COLLECTION = "prov:Collection"
    PERSON = "prov:Person"
    SOFTWARE_AGENT = "prov:SoftwareAgent"
    BUNDLE = "prov:Bundle"
    WORKFLOW_RUN = "yprov4wms:WorkflowRun"
    TASK_ATTEMPT = "yprov4wms:TaskAttempt"
    FILE = "yprov4wms:File"
    SOFTWARE = "yprov4wms:Software"
    ENVIRONMENT = "yprov4wms:Environment"
    SOURCE_CODE = "yprov4wms:SourceCode"
    ML_RUN = "yprov4wms:MLRun"
    ML_CONTEXT = "yprov4wms:MLContext"
    HYPERPARAMETER = "provml:HyperParameter"
    METRIC = "provml:Metric"
    MODEL = "provml:Model"
    DATASET = "provml:Dataset"


#: By type, the level of an activity.
LEVEL_OF: dict[str, str] = {
    Type.WORKFLOW_RUN: Level.WORKFLOW,
    Type.TASK_ATTEMPT: Level.TASK,
    Type.ML_RUN: Level.ML_RUN,
    Type.ML_CONTEXT: Level.ML_CONTEXT,
}

#: Relations by their PROV-JSON section: the two ends that are always given, in PROV-DM's
#: order, and the kind of element that each end is. ``None`` stands for any.
RELATIONS: dict[str, tuple[str, str | None, str, str | None]] = {
    "used": ("prov:activity", "activity", "prov:entity", "entity"),
    "wasGeneratedBy": ("prov:entity", "entity", "prov:activity", "activity"),
    "wasInformedBy": ("prov:informed", "activity", "prov:informant", "activity"),
    "wasAssociatedWith": ("prov:activity", "activity", "prov:agent", "agent"),
    "wasAttributedTo": ("prov:entity", "entity", "prov:agent", "agent"),
    "wasDerivedFrom": ("prov:generatedEntity", "entity", "prov:usedEntity", "entity"),
    "actedOnBehalfOf": ("prov:delegate", "agent", "prov:responsible", "agent"),
    "hadMember": ("prov:collection", "entity", "prov:entity", "entity"),
    "wasInfluencedBy": ("prov:influencee", None, "prov:influencer", None),
    "wasStartedBy": ("prov:activity", "activity", "prov:trigger", "entity"),
    "wasEndedBy": ("prov:activity", "activity", "prov:trigger", "entity"),
    "wasInvalidatedBy": ("prov:entity", "entity", "prov:activity", "activity"),
    "specializationOf": ("prov:specificEntity", "entity", "prov:generalEntity", "entity"),
    "alternateOf": ("prov:alternate1", "entity", "prov:alternate2", "entity"),
    "mentionOf": ("prov:specificEntity", "entity", "prov:generalEntity", "entity"),
}

#: Further ends that some relations may have.
OPTIONAL_ENDS: dict[str, str] = {
    "prov:plan": "entity",
    "prov:activity": "activity",
    "prov:starter": "activity",
    "prov:ender": "activity",
    "prov:bundle": "entity",
}

#: Which of them which relation may have, and the two that name relations.
FURTHER_ENDS: dict[str, tuple[str, ...]] = {
    "wasAssociatedWith": ("prov:plan",),
    "wasDerivedFrom": ("prov:activity", "prov:generation", "prov:usage"),
    "wasStartedBy": ("prov:starter",),
    "wasEndedBy": ("prov:ender",),
    "actedOnBehalfOf": ("prov:activity",),
    "mentionOf": ("prov:bundle",),
}

#: The relations that may have a ``prov:time``.
TIMED = ("used", "wasGeneratedBy", "wasStartedBy", "wasEndedBy", "wasInvalidatedBy")
#: What PROV-DM gives records beside their ends and times, their label and their type (5.7.2).
ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "entity": ("prov:value", "prov:location"),
    "activity": ("prov:location",),
    "agent": ("prov:location",),
    "wasAssociatedWith": ("prov:role",),
    **dict.fromkeys(TIMED, ("prov:role", "prov:location")),
}
#: Relations that are their ends alone: without identifier, without attributes (5.5, 5.6).
BARE = ("specializationOf", "alternateOf", "hadMember", "mentionOf")

#: The relations that the yProv explorer draws: no element may hang on others alone.
DRAWN = (
    "used",
    "wasGeneratedBy",
    "wasInformedBy",
    "wasAssociatedWith",
    "wasAttributedTo",
    "wasDerivedFrom",
    "hadMember",
    "wasStartedBy",
)

ELEMENTS = ("entity", "activity", "agent")
