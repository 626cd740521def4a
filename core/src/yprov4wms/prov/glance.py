"""A look at a child's document that is known to keep the rules: its run and its files alone."""

from __future__ import annotations

from typing import Any

import msgspec

from yprov4wms.prov.copies import ARTIFACT
from yprov4wms.prov.foreign import Record, Records
from yprov4wms.prov.vocabulary import ELEMENTS

_Relation = dict[str, Any]


class _Entity(msgspec.Struct, gc=False):
    path: Any = msgspec.field(name="yprov4wms:path", default=None)
    sha256: Any = msgspec.field(name="yprov4wms:sha256", default=None)
    label: Any = msgspec.field(name="prov:label", default=None)
    artifact: Any = msgspec.field(name=ARTIFACT, default=None)


class _OfEntity(msgspec.Struct, gc=False):
    entity: str = msgspec.field(name="prov:entity")


class _Document(msgspec.Struct, gc=False):
    prefix: dict[str, str] = {}
    activity: dict[str, Record] = {}
    entity: dict[str, _Entity] = {}
    used: dict[str, _OfEntity] = {}
    wasGeneratedBy: dict[str, _OfEntity] = {}  # noqa: N815 - PROV-JSON's name
    wasInformedBy: dict[str, _Relation] = {}  # noqa: N815
    wasStartedBy: dict[str, _Relation] = {}  # noqa: N815
    bundle: dict[str, msgspec.Raw] = {}


_decode = msgspec.json.Decoder(_Document).decode


def read(content: bytes) -> Records:
    """As `yprov4wms.prov.foreign.read`, but only what an activity that stands for the run tells:
    activities, how they hang together, and entities that have a path.

    Raises ValueError for what does not keep the rules after all, as far as that is seen.
    """
    try:
        found = _decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(str(error)) from error
    elements: dict[str, dict[str, Record]] = {section: {} for section in ELEMENTS}
    elements["activity"] = found.activity
    entities = elements["entity"]
    for name, entity in found.entity.items():
        if entity.path is not None or entity.artifact is not None:
            entities[name] = {
                "yprov4wms:path": entity.path,
                "yprov4wms:sha256": entity.sha256,
                "prov:label": entity.label,
                ARTIFACT: entity.artifact,
            }
    relations = [
        (section, record)
        for section in ("wasInformedBy", "wasStartedBy")
        for record in getattr(found, section).values()
    ]
    relations += [
        (section, {"prov:entity": one.entity})
        for section in ("used", "wasGeneratedBy")
        for one in getattr(found, section).values()
        if one.entity in entities
    ]
    return Records(found.prefix, elements, relations, bool(found.bundle))
