"""Child documents as anybody may write PROV-JSON, in the forms that our documents have."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from yprov4wms.prov._rules import literals
from yprov4wms.prov.values import literal, string
from yprov4wms.prov.vocabulary import ELEMENTS, RELATIONS

Record = dict[str, Any]

_json = msgspec.json.Encoder().encode
_NUMBER_TYPES = frozenset(
    f"xsd:{kind}"
    for kind in (
        *("int", "long", "integer", "short", "byte", "decimal", "float", "double"),
        *("nonNegativeInteger", "nonPositiveInteger", "positiveInteger", "negativeInteger"),
        *("unsignedLong", "unsignedInt", "unsignedShort", "unsignedByte"),
    )
)
_DIGIT = re.compile(r"\d")
#: A prov:type such as ``provml:Dataset``, which other formats write as a qualified name.
TYPE_NAME = re.compile(r"([A-Za-z_][A-Za-z0-9_.-]*):([A-Za-z_][A-Za-z0-9_.-]*)(?<!\.)")


class Records(NamedTuple):
    """What a document says.

    elements: by section and identifier. relations: with their sections; what stands for
    several (an array, several members) is taken apart. bundles: whether it has any.
    """

    prefixes: dict[str, str]
    elements: dict[str, dict[str, Record]]
    relations: list[tuple[str, Record]]
    bundles: bool

    def end(self, record: Record, name: str) -> str | None:
        return end(record, name)


def read(content: bytes) -> Records:
    """Raises ValueError for what is no PROV-JSON document."""
    try:
        document = msgspec.json.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(str(error)) from error
    return read_decoded(document)


def read_decoded(document: object) -> Records:
    """As `read`, of a document as ``json`` decodes it."""
    if not isinstance(document, dict):
        raise ValueError("it is no JSON object")
    for section in ("prefix", *ELEMENTS, *RELATIONS):
        if not isinstance(document.get(section, {}), dict):
            raise ValueError(f"its section {section} is no object")
    prefixes = {p: uri for p, uri in document.get("prefix", {}).items() if isinstance(uri, str)}
    elements = {
        section: {name: _merged(found) for name, found in document.get(section, {}).items()}
        for section in ELEMENTS
    }
    relations = [
        (section, record)
        for section in RELATIONS
        for found in document.get(section, {}).values()
        for record in _single(section, found)
    ]
    return Records(prefixes, elements, relations, bool(document.get("bundle")))


def _merged(found: object) -> Record:
    """Several records of one element say all that they say."""
    if isinstance(found, dict):
        return found
    merged: Record = {}
    for one in found if isinstance(found, list) else ():
        for name, said in one.items() if isinstance(one, dict) else ():
            if name not in merged:
                merged[name] = said
            elif said != merged[name]:
                merged[name] = _distinct([merged[name], said])
    return merged


def _distinct(values: list[Any]) -> Any:
    """Of values, some of which are several already, each once."""
    found: list[Any] = []
    for value in values:
        for one in value if isinstance(value, list) else [value]:
            if one not in found:
                found.append(one)
    return found[0] if len(found) == 1 else found


def _single(section: str, found: object) -> Iterator[Record]:
    for one in found if isinstance(found, list) else [found]:
        if isinstance(one, dict):
            members = one.get("prov:entity") if section == "hadMember" else None
            for member in members if isinstance(members, list) else [None]:
                yield {**one, "prov:entity": member} if member is not None else dict(one)


def end(record: Record, name: str) -> str | None:
    """What a relation has at one of its ends."""
    found = record.get(name)
    return found if type(found) is str else text(found)


def text(value: object) -> str | None:
    """The text of a plain string, of a literal, or of the first of several; else None."""
    if isinstance(value, list):
        return next((found for item in value if (found := text(item)) is not None), None)
    if isinstance(value, dict):
        value = value.get("$")
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    return str(value)


def time(value: object) -> str | None:
    """A moment as documents carry it; None where it is none, or has no zone."""
    try:
        moment = datetime.fromisoformat(text(value) or "")
        if moment.tzinfo is not None:
            return moment.astimezone(UTC).isoformat(timespec="microseconds")
    except (ValueError, OverflowError):
        pass
    return None


def value(found: object, qualified: Callable[[str], str]) -> str | None:
    """An attribute's value as JSON text; None where it says nothing."""
    if isinstance(found, list):
        parts = [part for item in found if (part := _single_value(item, qualified)) is not None]
        return f"[{','.join(parts)}]" if parts else None
    return _single_value(found, qualified)


def _single_value(found: object, qualified: Callable[[str], str]) -> str | None:
    if found is None:
        return None
    if not isinstance(found, dict) or "$" not in found:
        try:
            return literal(found)
        except RecursionError:  # as deep as what could just be read
            return None
    as_number = number(found)
    if as_number is not None:
        return as_number
    legal = _literal(found, qualified)
    if legal is not None and not any(literals.faults(legal, lambda name: None)):
        return _json(legal).decode()
    content = found["$"]
    return string(content) if isinstance(content, str) else literal(content)


def _literal(found: Record, qualified: Callable[[str], str]) -> object:
    """A literal in the types that all readers know; None where it can only be its text."""
    content, kind = found["$"], found.get("type")
    if isinstance(content, bool) or not isinstance(content, str | int | float):
        return None
    content = str(content)
    if "lang" in found:
        return {"$": content, "lang": found["lang"]}
    if not isinstance(kind, str):
        return None
    if kind == "xsd:boolean":
        return {"true": True, "1": True, "false": False, "0": False}.get(content)
    if kind in (literals.QUALIFIED_NAME, "xsd:QName"):
        return {"$": qualified(content), "type": literals.QUALIFIED_NAME}
    if kind == "xsd:dateTime":
        content = time(content) or content
    return {"$": content, "type": qualified(kind)}


def number(found: Record) -> str | None:
    """A literal that is a number, as JSON text; None for any other, and for more than a double
    can hold."""
    content, kind = found.get("$"), found.get("type")
    if type(kind) is not str or kind not in _NUMBER_TYPES or "lang" in found:
        return None
    if type(content) is int or type(content) is float:
        content = str(content)
    if type(content) is not str or "_" in content:
        return None
    try:
        if "." not in content:
            return literal(int(content))
    except ValueError:
        pass
    try:
        real = float(content)
    except ValueError:
        return None
    return literal(real) if math.isfinite(real) or not _DIGIT.search(content) else None
