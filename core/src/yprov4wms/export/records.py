"""The records of a PROV-JSON document of ours one by one, in the terms of other formats.

Other formats carry what PROV-JSON has as plain text of a type (``"prov:type": "prov:Plan"``) as
the qualified name that it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import msgspec

from yprov4wms.prov.foreign import TYPE_NAME
from yprov4wms.prov.values import literal
from yprov4wms.prov.vocabulary import ANALYTICS, ELEMENTS, PREFIXES, REDUCED, RELATIONS

Record = dict[str, Any]

#: What every format knows without being told (PROV-JSON section 2.2).
BUILT_IN = {prefix: PREFIXES[prefix] for prefix in ("prov", "xsd")}
#: In PROV-JSON the prefix of the namespace that names without one are in.
DEFAULT = "default"

#: Formal attributes beside the two ends (PROV-DM section 5), in PROV-N's order.
FURTHER: dict[str, tuple[str, ...]] = {
    "activity": ("prov:startTime", "prov:endTime"),
    "used": ("prov:time",),
    "wasGeneratedBy": ("prov:time",),
    "wasInvalidatedBy": ("prov:time",),
    "wasStartedBy": ("prov:starter", "prov:time"),
    "wasEndedBy": ("prov:ender", "prov:time"),
    "wasDerivedFrom": ("prov:activity", "prov:generation", "prov:usage"),
    "wasAssociatedWith": ("prov:plan",),
    "actedOnBehalfOf": ("prov:activity",),
    "mentionOf": ("prov:bundle",),
}
TIMES = ("prov:startTime", "prov:endTime", "prov:time")

_QUALIFIED_NAME = ("prov:QUALIFIED_NAME", "xsd:QName")
#: A name as our documents have them: nothing in it means anything to any format.
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*(?<!\.)")

_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_record = msgspec.json.Decoder()


class Name(NamedTuple):
    """A qualified name, as the document spells it."""

    name: str


class Text(NamedTuple):
    """A literal: its text, and of a typed or tagged one the type's name or the language."""

    text: str
    type: str | None = None
    language: str | None = None


class Scope(NamedTuple):
    """A document, or one of its bundles.

    identifier: a bundle's. prefixes: that hold in it. own: those that it declares itself.
    """

    identifier: str | None
    prefixes: dict[str, str]
    own: dict[str, str]
    sections: dict[str, msgspec.Raw]

    def records(self, sections: Iterable[str]) -> Iterator[tuple[str, str, Record]]:
        """Section, identifier and attributes of each, section by section."""
        for section in sections:
            found = self.sections.get(section)
            if found is None:
                continue
            for identifier, raw in _members.decode(found).items():
                decoded = _record.decode(raw)
                for record in decoded if isinstance(decoded, list) else [decoded]:
                    yield section, identifier, record

    def named(self) -> Iterator[tuple[str, str, Record]]:
        """All records, with types as the qualified names that they are."""
        for section, identifier, record in self.records((*ELEMENTS, *RELATIONS)):
            name_types(record, self.prefixes)
            yield section, identifier, record


def scopes(content: bytes) -> Iterator[Scope]:
    """The document and then each of its bundles. Raises ValueError for what is not JSON."""
    document = _members.decode(content)
    bundles = document.pop("bundle", None)
    outer = _prefixes(document)
    yield Scope(None, {**BUILT_IN, **outer}, outer, document)
    if bundles is not None:
        for identifier, raw in _members.decode(bundles).items():
            bundle = _members.decode(raw)
            own = _prefixes(bundle)
            yield Scope(identifier, {**BUILT_IN, **outer, **own}, own, bundle)


def _prefixes(container: dict[str, msgspec.Raw]) -> dict[str, str]:
    found = container.pop("prefix", None)
    return {} if found is None else msgspec.json.decode(found, type=dict[str, str])


def name_types(record: Record, prefixes: dict[str, str]) -> None:
    """Let plain types whose prefix is declared be qualified names."""
    kinds = record.get("prov:type")
    if kinds is None:
        return
    if isinstance(kinds, list):
        record["prov:type"] = [_named(kind, prefixes) for kind in kinds]
    else:
        record["prov:type"] = _named(kinds, prefixes)


def _named(kind: Any, prefixes: dict[str, str]) -> Any:
    if kind == REDUCED:  # of yProv's tools, which name it without its prefix
        kind = f"{ANALYTICS}:{kind}"
    match = TYPE_NAME.fullmatch(kind) if isinstance(kind, str) else None
    if match is None or match[1] not in prefixes:
        return kind
    return {"$": kind, "type": _QUALIFIED_NAME[0]}


def named_document(content: bytes, *, prefixed: bool = False) -> bytes:
    """The document with types as qualified names, as PROV-JSON.

    prefixed: names without a prefix get one, for prov's writer of XML forgets the namespace that
    they are in where a bundle declares it.
    """
    document: dict[str, Any] = {}
    for scope in scopes(content):
        target = document
        if scope.identifier is not None:
            target = document.setdefault("bundle", {})[scope.identifier] = {}
        named: Iterable[tuple[str, str, Record]] = scope.named()
        target["prefix"] = own = dict(scope.own)
        if prefixed and DEFAULT in scope.prefixes:
            prefix = _free(scope.prefixes)
            own[prefix] = scope.prefixes[DEFAULT]
            own.pop(DEFAULT, None)
            named = _prefixed(named, prefix)
        for section, identifier, record in named:
            members = target.setdefault(section, {})
            known = members.get(identifier)
            if known is None:
                members[identifier] = record
            elif isinstance(known, list):
                known.append(record)
            else:
                members[identifier] = [known, record]
    return msgspec.json.encode(document)


def _free(prefixes: dict[str, str]) -> str:
    prefix = "ns"
    while prefix in prefixes:
        prefix += "_"
    return prefix


def _prefixed(
    records: Iterable[tuple[str, str, Record]], prefix: str
) -> Iterator[tuple[str, str, Record]]:
    def name(text: str) -> str:
        return text if ":" in text else f"{prefix}:{text}"

    def said(value: Any) -> Any:
        if isinstance(value, list):
            return [said(one) for one in value]
        if not isinstance(value, dict) or "type" not in value:
            return value
        text = name(value["$"]) if value["type"] in _QUALIFIED_NAME else value["$"]
        return {"$": text, "type": name(value["type"])}

    for section, identifier, record in records:
        ends = [end for end in formal(section) if end not in TIMES]
        found = {name(k): name(v) if k in ends else said(v) for k, v in record.items()}
        yield section, name(identifier), found


def values(value: Any) -> Iterator[Name | Text]:
    """What an attribute's value holds."""
    for one in value if isinstance(value, list) else [value]:
        if isinstance(one, str):
            yield Text(one)
        elif isinstance(one, bool):
            yield Text("true" if one else "false", "xsd:boolean")
        elif not isinstance(one, dict):
            yield from values(msgspec.json.decode(literal(one)))
        elif "lang" in one:
            yield Text(one["$"], None, one["lang"])
        elif one.get("type") in _QUALIFIED_NAME:
            yield Name(one["$"])
        else:
            yield Text(one["$"], one.get("type"))


def formal(section: str) -> tuple[str, ...]:
    """The names of a record's formal attributes, in PROV-N's order, its identifier aside."""
    ends: tuple[str, ...] = ()
    if section in RELATIONS:
        one, _, two, _ = RELATIONS[section]
        ends = (one, two)
    return ends + FURTHER.get(section, ())


def split(name: str) -> tuple[str, str]:
    """Prefix and local part of a name; `DEFAULT` where it has no prefix."""
    prefix, colon, local = name.partition(":")
    return (prefix, local) if colon else (DEFAULT, name)


def is_plain(local: str) -> bool:
    """Whether a local part stands for itself in every format."""
    return _PLAIN.fullmatch(local) is not None


_ESCAPED = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"})


def quoted(text: str) -> str:
    """A string as PROV-N, Turtle and N-Triples have it (their STRING_LITERAL, ECHAR)."""
    return f'"{text.translate(_ESCAPED)}"'
