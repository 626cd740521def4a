"""yProv4ML 0.1 and 1.0: run and experiment are one entity, epochs are activities, series are
texts of lists."""

from __future__ import annotations

import posixpath
from pathlib import Path

from yprov4wms.ml.readers import dress, moments, series
from yprov4wms.ml.readers.draft import Draft
from yprov4wms.ml.readers.layout import Rank
from yprov4wms.prov import foreign
from yprov4wms.prov.foreign import Record
from yprov4wms.prov.vocabulary import Type

_LISTS = tuple(f"provml:metric_{name}_list" for name in ("epoch", "value", "timestamp"))
_TYPES = {
    "Parameter": Type.HYPERPARAMETER,
    "Metric": Type.METRIC,
    "ModelVersion": Type.MODEL,
}


def root_of(draft: Draft, rank: Rank) -> str | None:
    found = draft.elements["activity"]
    for name, record in found.items():
        if foreign.text(record.get("provml:type")) == "LearningExecution":
            return name
    return next(iter(found), None)


def say(
    draft: Draft, rank: Rank, root: str, directory: Path | None
) -> tuple[str | None, dress.Metrics]:
    entities = draft.elements["entity"]
    artifacts = next(
        (a for e in entities.values() if (a := foreign.text(e.get("provml:artifact_uri")))), ""
    )
    places = dress.Places(rank, posixpath.dirname(artifacts), directory)
    metrics = dress.Metrics(draft, rank, places)
    record = draft.elements["activity"][root]
    for edge in ("start", "end"):
        told = entities.get(f"execution_{edge}_time", {}).get("provml:parameter_value")
        moment = moments.of_seconds(foreign.text(told))
        if moment is not None:
            record[f"prov:{edge}Time"] = moment
    paths: dict[str, str] = {}
    for name, entity in entities.items():
        said = foreign.text(entity.get("provml:type"))
        if said in _TYPES:
            entity.setdefault("prov:type", _TYPES[said].value)
        if said == "Parameter":
            entity.setdefault("prov:value", entity.get("provml:parameter_value", "None"))
        elif said == "Metric":
            _metric(draft, metrics, name, entity, rank)
        path = foreign.text(entity.get("provml:artifact_path"))
        if path:
            paths[name] = path
            entity.setdefault("prov:label", posixpath.basename(path) or path)
    dress.files(draft, paths, places)
    metrics.rest(root)
    dress.contexts(draft, root)
    return "0.1/1.0", metrics


def _metric(draft: Draft, metrics: dress.Metrics, name: str, entity: Record, rank: Rank) -> None:
    """The series is in the document, and in a file as well if that was not cleared away."""
    for key in ("name", "context", "source"):
        value = foreign.text(entity.get(f"provml:{key}"))
        if value is not None and key == "name":
            entity.setdefault("prov:label", value)
        elif value is not None:
            entity.setdefault(f"yprov:{key}", value)
    file = next((f for f in rank.series() if f.stem == f"{name}_GR{rank.rank}"), None)
    if file is not None:
        metrics.add(entity, str(file))
    if file is not None and "yprov4wms:count" in entity:
        for key in _LISTS:
            if entity.pop(key, None) is not None:
                draft.notes["list of a series in the document: it is in the series' file"] += 1
        return
    values, times = (foreign.text(entity.get(key)) or "" for key in (_LISTS[1], _LISTS[2]))
    if "..." in values:
        draft.notes["series that was cut when it was written: no summary"] += 1
    elif values:
        found = series.of_text(values, times)
        metrics.saw(found)
        entity.update({k: v for k, v in found.attributes().items() if v is not None})
