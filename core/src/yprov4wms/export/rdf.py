"""The document in RDF (PROV-O), with the classes of W3C ML-Schema beside those of ProvML."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from yprov4wms.prov import library
from yprov4wms.prov.foreign import TYPE_NAME
from yprov4wms.prov.vocabulary import ELEMENTS, PREFIXES, Type

#: Turtle has no place for the graphs that bundles are.
FORMATS = ("turtle", "trig")

_MLS = "http://www.w3.org/ns/mls#"
_CLASSES: dict[str, str] = {
    Type.ML_RUN: "mls:Run",
    Type.HYPERPARAMETER: "mls:HyperParameterSetting",
    Type.DATASET: "mls:Dataset",
    Type.MODEL: "mls:Model",
    Type.METRIC: "mls:ModelEvaluation",
}
#: Metrics of the machine, which evaluate no model.
_SYSTEM = re.compile(r"(?:process_)?(?:cpu|gpu|ram|disk)_.+")
#: That an element is one of these its section says.
_SAID = ("prov:Entity", "prov:Activity", "prov:Agent")
_NAME = "prov:QUALIFIED_NAME"


def convert(content: bytes, form: str) -> bytes:
    """A document of ours, PROV-JSON, in one of `FORMATS`.

    Raises LibraryError where what that needs is not installed, ValueError for bundles in Turtle.
    """
    document = msgspec.json.decode(content)
    if form == "turtle" and document.get("bundle"):
        raise ValueError("bundles have no place in Turtle: use trig, or another --nest")
    return library.written_rdf(msgspec.json.encode(with_classes(document)), form)


def with_classes(document: dict[str, Any]) -> dict[str, Any]:
    """The document with types as the qualified names that they are, and those of ML-Schema."""
    document["prefix"]["mls"] = _MLS
    for bundle in document.get("bundle", {}).values():
        _dress(bundle, {*document["prefix"], *bundle.get("prefix", {})})
    _dress(document, {*document["prefix"], *PREFIXES})
    return document


def _dress(container: dict[str, Any], prefixes: set[str]) -> None:
    for section in ELEMENTS:
        for found in container.get(section, {}).values():
            for record in found if isinstance(found, list) else [found]:
                types = _types(record, record.pop("prov:type", []), prefixes)
                if types:
                    record["prov:type"] = types


def _types(record: dict[str, Any], kinds: Any, prefixes: set[str]) -> list[Any]:
    types: list[Any] = []
    for kind in kinds if isinstance(kinds, list) else [kinds]:
        if kind in _SAID:
            continue
        match = TYPE_NAME.fullmatch(kind) if isinstance(kind, str) else None
        known = match is not None and match[1] in prefixes
        types.append({"$": kind, "type": _NAME} if known else kind)
        name = _CLASSES.get(kind) if isinstance(kind, str) else None
        if name is None or (kind == Type.METRIC and _is_of_machine(record)):
            continue
        types.append({"$": name, "type": _NAME})
        if kind == Type.HYPERPARAMETER and "prov:value" in record:
            record["mls:hasValue"] = record["prov:value"]
    return types


def _is_of_machine(record: dict[str, Any]) -> bool:
    label = record.get("prov:label")
    return isinstance(label, str) and _SYSTEM.fullmatch(label) is not None
