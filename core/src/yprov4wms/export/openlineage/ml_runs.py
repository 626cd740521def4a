"""The machine-learning runs that an attempt started, as one facet of its run."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from yprov4wms.events import ChildAttached
from yprov4wms.export.openlineage import custom
from yprov4wms.export.openlineage.facets import Facets
from yprov4wms.prov import foreign
from yprov4wms.prov.inner import ChildReader
from yprov4wms.prov.vocabulary import Level, Type

_INTEGERS = ("xsd:int", "xsd:long", "xsd:integer")
_RUN = {
    "label": "prov:label",
    "experiment": "yprov:experiment_name",
    "status": "yprov4wfs:status",
    "error": "yprov4wms:error",
}
_PARAMETER = {"value": "prov:value"}
_METRIC = {
    "unit": "yprov4wms:unit",
    "count": "yprov4wms:count",
    "first": "yprov4wms:first",
    "last": "yprov4wms:last",
    "min": "yprov4wms:min",
    "max": "yprov4wms:max",
}
_MODEL = {
    "modelClass": "yprov4wms:model_class",
    "parameters": "yprov4wms:parameters",
    "step": "yprov4wms:step",
}
_WHERE = {"context": "yprov:context", "source": "yprov:source", "rank": "yprov:global_rank"}
#: What kinds of entity a run has, where the facet has them, and what it tells of them.
_KINDS = {
    Type.HYPERPARAMETER.value: ("parameters", _PARAMETER),
    Type.METRIC.value: ("metrics", _METRIC),
    Type.MODEL.value: ("models", _MODEL),
}


def facets(children: Iterable[ChildAttached], read: ChildReader) -> Facets:
    """What the children's documents say: parameters, summaries of metrics, models.

    Of a document that cannot be read, only that it is there.
    """
    by_id = {child.child: child for child in children}
    runs = [_run(child, read) for child in by_id.values()]
    return custom.facet(custom.ML_RUNS, {"runs": runs or None})


def _run(child: ChildAttached, read: ChildReader) -> dict[str, Any]:
    file = child.document
    found: dict[str, Any] = {
        "id": child.child,
        "dialect": child.type,
        "complete": child.complete,
        "document": _known({"path": file.path, "sha256": file.sha256}),
    }
    if child.doubt:
        found["doubt"] = child.doubt
    try:
        content = read(child)
        records = foreign.read(content) if content else None
    except (OSError, ValueError):
        records = None
    if records is not None:
        found.update(_told(records))
    return found


def _told(records: foreign.Records) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for activity in records.elements["activity"].values():
        if activity.get("yprov4wfs:level") == Level.ML_RUN:
            found = {key: foreign.text(activity.get(name)) for key, name in _RUN.items()}
            for key in ("startTime", "endTime"):
                found[key] = foreign.time(activity.get(f"prov:{key}"))
            break
    for entity in records.elements["entity"].values():
        kind = foreign.text(entity.get("prov:type"))
        if kind in _KINDS:
            group, attributes = _KINDS[kind]
            values = {key: plain(entity.get(name)) for key, name in attributes.items()}
            where = {key: foreign.text(entity.get(name)) for key, name in _WHERE.items()}
            name = {"name": foreign.text(entity.get("prov:label")) or ""}
            found.setdefault(group, []).append(name | _known(values | where))
    return _known(found)


def plain(value: object) -> Any:
    """A PROV-JSON value as JSON: numbers as such, but for those that are not finite."""
    if isinstance(value, list):
        return [plain(item) for item in value]
    if not isinstance(value, dict) or "$" not in value:
        return value
    content, kind = value["$"], value.get("type")
    try:
        if kind in _INTEGERS:
            return int(content)
        if kind == "xsd:double":
            number = float(content)
            return number if math.isfinite(number) else str(content)
    except (TypeError, ValueError):
        pass
    return content


def _known(content: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in content.items() if value is not None}
