"""yProv4ML 2.0: activities ``context:<context>``, parameters as attributes of them."""

from __future__ import annotations

import posixpath
from pathlib import Path

from yprov4wms.ml.readers import dress, moments
from yprov4wms.ml.readers.draft import Draft
from yprov4wms.ml.readers.layout import Rank
from yprov4wms.ml.readers.series import SUFFIXES
from yprov4wms.prov import foreign
from yprov4wms.prov.vocabulary import Type

#: Attributes of an activity that are no parameters.
_ABOUT = frozenset(
    f"yprov:{name}"
    for name in (
        *("level", "provenance_path", "artifact_uri", "experiment_dir", "experiment_name"),
        *("run_id", "python_version", "global_rank", "execution_start_time", "execution_end_time"),
        *("PID", "user_id", "runtime_type", "host_name", "time_zone"),
    )
)


def root_of(draft: Draft, rank: Rank) -> str | None:
    found = draft.elements["activity"]
    for name, record in found.items():
        if "yprov:experiment_name" in record:
            return name
    return next(iter(found), None)


def say(
    draft: Draft, rank: Rank, root: str, directory: Path | None
) -> tuple[str | None, dress.Metrics]:
    record = draft.elements["activity"][root]
    places = dress.Places(rank, foreign.text(record.get("yprov:experiment_dir")), directory)
    metrics = dress.Metrics(draft, rank, places)
    for edge in ("start", "end"):
        told = foreign.text(record.get(f"yprov:execution_{edge}_time"))
        moment = moments.of_seconds(told)
        if moment is not None:
            record[f"prov:{edge}Time"] = moment
    _parameters(draft)
    paths: dict[str, str] = {}
    for name, entity in draft.elements["entity"].items():
        label, path = (foreign.text(entity.get(f"yprov:{key}")) for key in ("label", "path"))
        if label is not None:
            entity.setdefault("prov:label", label)
        if path and posixpath.basename(posixpath.dirname(path)).startswith("metrics"):
            if path.endswith(SUFFIXES):
                entity.setdefault("prov:type", Type.METRIC.value)
                metrics.add(entity, path)
        elif path:
            paths[name] = path
    dress.files(draft, paths, places)
    metrics.rest(root)
    dress.contexts(draft, root)
    return "2.0", metrics


def _parameters(draft: Draft) -> None:
    """Also as entities, by which parameters are looked for."""
    for activity, record in draft.elements["activity"].items():
        for name, value in list(record.items()):
            prefix, _, local = name.partition(":")
            if prefix != "yprov" or name in _ABOUT or not local:
                continue
            identifier = f"{local} (parameter of {activity})"
            draft.elements["entity"][identifier] = {
                "prov:label": local,
                "prov:type": Type.HYPERPARAMETER.value,
                "prov:value": value,
            }
            draft.relate("used", activity, identifier)
            draft.notes["parameter that is an attribute of an activity: an entity as well"] += 1
