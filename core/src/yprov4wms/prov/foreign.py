"""Child documents as anybody may write PROV-JSON, in the forms that our documents have."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec

from yprov4wms.prov._rules import literals, scan
from yprov4wms.prov.values import literal, string
from yprov4wms.prov.vocabulary import ELEMENTS, PREFIX_OF, PREFIXES, RELATIONS

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
#: So many digits a double has for certain.
_DOUBLE_DIGITS = 15
_TEXT_TYPES = (
    None,
    literals.QUALIFIED_NAME,
    "prov:InternationalizedString",
    "xsd:QName",
    "xsd:string",
    "xsd:dateTime",
)
_LITERAL = {"$", "type", "lang"}
_BELOW_MICROSECONDS = re.compile(r"[.,]\d{6}\d*[1-9]")
_SECTIONS = {"prefix", *ELEMENTS, *RELATIONS, "bundle"}
_NO_RECORD = "what stands for a record and is none: left out"
_REPEATED = "key that stands twice in an object: only the last is kept"
_DIGIT = re.compile(r"\d")
#: A prov:type such as ``provml:Dataset``, which other formats write as a qualified name.
TYPE_NAME = re.compile(r"([A-Za-z_][A-Za-z0-9_.-]*):([A-Za-z_][A-Za-z0-9_.-]*)(?<!\.)")


class Records(NamedTuple):
    """What a document says.

    elements: by section and identifier. relations: with their sections; what stands for
    several (an array, several members) is taken apart. bundles: whether it has any. lost:
    counts, in words, what it holds that is no record.
    """

    prefixes: dict[str, str]
    elements: dict[str, dict[str, Record]]
    relations: list[tuple[str, Record]]
    bundles: bool
    lost: Mapping[str, int] = MappingProxyType({})


def read(content: bytes, *, closely: bool = False) -> Records:
    """Raises ValueError for what is no PROV-JSON document.

    closely: what stands twice under one key, which parsers pass over, is counted too.
    """
    try:
        document = msgspec.json.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(str(error)) from error
    records = read_decoded(document)
    repeated = _repeated(content, document) if closely else 0
    if repeated:
        records = records._replace(lost={**records.lost, _REPEATED: repeated})
    return records


def read_decoded(document: object) -> Records:
    """As `read`, of a document as ``json`` decodes it."""
    if not isinstance(document, dict):
        raise ValueError("it is no JSON object")
    for section in ("prefix", *ELEMENTS, *RELATIONS):
        if not isinstance(document.get(section, {}), dict):
            raise ValueError(f"its section {section} is no object")
    lost: Counter[str] = Counter()
    lost.update(f"section {name}: left out" for name in document if name not in _SECTIONS)
    prefixes = {p: uri for p, uri in document.get("prefix", {}).items() if isinstance(uri, str)}
    if len(prefixes) < len(document.get("prefix", ())):
        lost["prefix of no URI: left out"] += len(document["prefix"]) - len(prefixes)
    elements = {
        section: {name: _merged(found, lost) for name, found in document.get(section, {}).items()}
        for section in ELEMENTS
    }
    relations = [
        (section, record)
        for section in RELATIONS
        for name, found in document.get(section, {}).items()
        for record in _single(section, name, found, lost)
    ]
    # The same names under other prefixes are those names: prov takes them for them, too.
    same = {p: PREFIX_OF[uri] for p, uri in prefixes.items() if uri in PREFIX_OF}
    same = {p: ours for p, ours in same.items() if p not in PREFIXES}
    if same:
        for section, found in elements.items():
            elements[section] = {name: _renamed(record, same) for name, record in found.items()}
        relations = [(section, _renamed(record, same)) for section, record in relations]
    return Records(prefixes, elements, relations, bool(document.get("bundle")), lost)


def _repeated(content: bytes, document: object) -> int:
    """How many keys stand twice in an object."""
    if msgspec.json.format(content, indent=-1) == _json(document):
        return 0  # nothing is missing
    try:
        return len(scan.duplicate_keys(content))
    except ValueError:
        return 0


def _merged(found: object, lost: Counter[str]) -> Record:
    """Several records of one element say all that they say."""
    if isinstance(found, dict):
        return found
    merged: Record = {}
    for one in found if isinstance(found, list) else [found]:
        if not isinstance(one, dict):
            lost[_NO_RECORD] += 1
            continue
        for name, said in one.items():
            merged[name] = _distinct([merged[name], said]) if name in merged else said
    return merged


def _distinct(values: list[Any]) -> Any:
    """Of values, some of which are several already, each once."""
    found: dict[bytes, Any] = {}
    for value in values:
        for one in value if isinstance(value, list) else [value]:
            found.setdefault(_json(one), one)  # True is no 1 there
    distinct = list(found.values())
    return distinct[0] if len(distinct) == 1 else distinct


def _single(section: str, name: str, found: object, lost: Counter[str]) -> Iterator[Record]:
    for one in found if isinstance(found, list) else [found]:
        if not isinstance(one, dict):
            lost[_NO_RECORD] += 1
            continue
        if not name.startswith("_:"):
            one = {"yprov4wms:original_id": name, **one}
        members = one.get("prov:entity") if section == "hadMember" else None
        if isinstance(members, list) and members:
            for member in members:
                yield {**one, "prov:entity": member}
        else:
            yield dict(one)


def _renamed(record: Record, prefixes: dict[str, str]) -> Record:
    found: Record = {}
    for name, said in record.items():
        prefix, colon, local = name.partition(":")
        new = f"{prefixes[prefix]}:{local}" if colon and prefix in prefixes else name
        found[new] = _distinct([found[new], said]) if new in found else said
    return found


def end(record: Record, name: str) -> str | None:
    """What a relation has at one of its ends, or another text of a record."""
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


def picked(value: object) -> tuple[str | None, list[Any]]:
    """The first text that a value has, as `text` finds it, and what it says beside that."""
    items = value if isinstance(value, list) else [value]
    for place, item in enumerate(items):
        found = None if isinstance(item, list) else text(item)
        if found is not None:
            others = [*items[:place], *items[place + 1 :]]
            if isinstance(item, dict) and (
                item.keys() - {"$", "type"} or item.get("type") not in _TEXT_TYPES
            ):
                others.insert(0, item)
            return found, others
    return None, items


def time(value: object) -> str | None:
    """A moment as documents carry it; None where it is none, or has no zone."""
    try:
        moment = datetime.fromisoformat(text(value) or "")
        if moment.tzinfo is not None:
            return moment.astimezone(UTC).isoformat(timespec="microseconds")
    except (ValueError, OverflowError):
        pass
    return None


def is_exact(moment: str) -> bool:
    """Whether microseconds, which documents have, are all that a time tells."""
    return _BELOW_MICROSECONDS.search(moment) is None


def value(found: object, qualified: Callable[[str], str], lost: Counter[str]) -> str | None:
    """An attribute's value as JSON text; None where it says nothing.

    lost: counts, in words, what else it said.
    """
    if isinstance(found, list):
        parts = [_single_value(item, qualified, lost) for item in found]
        told = [part for part in parts if part is not None]
        if told and len(told) < len(parts):
            lost["value of several that says nothing: left out"] += len(parts) - len(told)
        return f"[{','.join(told)}]" if told else None
    return _single_value(found, qualified, lost)


def _single_value(found: object, qualified: Callable[[str], str], lost: Counter[str]) -> str | None:
    if found is None:
        return None
    if not isinstance(found, dict) or "$" not in found:
        try:
            return literal(found)
        except RecursionError:  # as deep as what could just be read
            return None
    content = found["$"]
    if content is None:
        return None
    if further := len(found.keys() - _LITERAL):
        lost["part of a literal that literals have not: left out"] += further
    as_number = number(found)
    if as_number is not None:
        return as_number
    legal = _literal(found, qualified)
    if legal is not None and not any(literals.faults(legal, lambda name: None)):
        if "lang" in found and found.get("type") not in _TEXT_TYPES:
            lost["type of a text that has a language: left out"] += 1
        return _json(legal).decode()
    if found.get("type") is not None or "lang" in found:
        lost["literal that is none of its type: its text"] += 1
    try:
        return string(content) if isinstance(content, str) else literal(content)
    except RecursionError:
        return None


def _literal(found: Record, qualified: Callable[[str], str]) -> object:
    """A literal in the types that all readers know; None where it can only be its text."""
    content, kind = found["$"], found.get("type")
    if isinstance(content, bool):
        return content if kind == "xsd:boolean" else None
    if not isinstance(content, str | int | float):
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
    if kind == "xsd:dateTime" and is_exact(content):
        content = time(content) or content
    return {"$": content, "type": qualified(kind)}


def number(found: Record) -> str | None:
    """A literal that is a number, as JSON text; None for any other, and for one that none of
    our types can hold."""
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
    if not math.isfinite(real) and _DIGIT.search(content):
        return None
    if len(content) > _DOUBLE_DIGITS and kind not in ("xsd:double", "xsd:float"):
        from decimal import Decimal

        if Decimal(content) != Decimal(repr(real)):
            return None
    return literal(real)
