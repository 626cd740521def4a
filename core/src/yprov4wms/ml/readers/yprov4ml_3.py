"""yProv4ML 3.2: ``<name>//<context>`` entities, PROV-O's names of times, one root activity.

Up to 3.2.4 literals are Python's text of them, and parameters have no type.
"""

from __future__ import annotations

from pathlib import Path

from yprov4wms.ml.readers import dress
from yprov4wms.ml.readers.draft import Draft
from yprov4wms.ml.readers.layout import Rank
from yprov4wms.prov import foreign
from yprov4wms.prov.vocabulary import Type

_LITERALS = "literal written as Python's text of it"
_NO_FILES = (Type.METRIC, Type.HYPERPARAMETER)


def root_of(draft: Draft, rank: Rank) -> str | None:
    found = draft.elements["activity"]
    for name, record in found.items():
        if "yprov:experiment_name" in record or name == draft.prefixes.get("default"):
            return name
    return next(iter(found), None)


def say(
    draft: Draft, rank: Rank, root: str, directory: Path | None
) -> tuple[str | None, dress.Metrics]:
    """Returns the version, as far as the document shows it."""
    version = "3.2.0-3.2.4" if draft.notes[_LITERALS] else "3.2.5+"
    record = draft.elements["activity"][root]
    places = dress.Places(rank, foreign.text(record.get("yprov:experiment_dir")), directory)
    metrics = dress.Metrics(draft, rank, places)
    dress.times(draft, record)
    paths: dict[str, str] = {}
    for name, entity in draft.elements["entity"].items():
        path = foreign.text(entity.get("dcterms:identifier"))
        if "prov:value" in entity:
            entity.setdefault("prov:type", Type.HYPERPARAMETER.value)
        kind = foreign.text(entity.get("prov:type"))
        if kind == Type.METRIC:
            metrics.add(entity, path)
        elif path and kind not in _NO_FILES:
            paths[name] = path
    dress.files(draft, paths, places)
    metrics.rest(root)
    dress.contexts(draft, root)
    return version, metrics
