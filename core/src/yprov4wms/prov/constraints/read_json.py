"""PROV-JSON (W3C submission, 2013) as instances: section by section, each dropped once read."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import Any

import msgspec

from yprov4wms.prov._rules import scan
from yprov4wms.prov._rules.names import Report
from yprov4wms.prov.constraints.model import (
    ELEMENTS,
    EMPTY_COLLECTION,
    KINDS,
    NONE,
    NOTED,
    PREDEFINED,
    Instance,
    Kind,
)

Record = dict[str, Any]
_RELATIONS = [kind for kind in KINDS.values() if kind.name not in ELEMENTS]


def _fields(kind: Kind) -> msgspec.json.Decoder[dict[str, Any]]:
    """Decodes a section whose records have plain strings as ends, and nothing but these."""
    names = [f"prov:{name}" for name in (*kind.ends, *kind.times)]
    fields = [
        (f"f{number}", str | None, msgspec.field(default=None, name=name))
        for number, name in enumerate(names)
    ]
    return msgspec.json.Decoder(dict[str, msgspec.defstruct(kind.name, fields, gc=False)])  # type: ignore[misc]


_PLAIN = {kind.name: _fields(kind) for kind in _RELATIONS}


def read(content: bytes, report: Report) -> list[Instance]:
    """The document's instance, then those of its bundles.

    What is no PROV-JSON is reported and left out.
    """
    try:
        for path in scan.duplicate_keys(content):
            report("duplicate-key", path, "readers keep one of them and lose the others; remove it")
        return list(_Reader(report, scan.members(content), PREDEFINED).instances())
    except scan.NotAnObjectError as error:
        report("not-an-object", "document", f"{error}: PROV-JSON is an object")
    except scan.MalformedError as error:
        report("not-json", error.where, str(error))
    return []


class _Reader:
    def __init__(
        self, report: Report, sections: scan.Members, namespaces: dict[str, str], bundle: str = ""
    ) -> None:
        self._report = report
        self._sections = sections
        found = self._members("prefix")
        declared = {prefix: scan.value(raw) for prefix, raw in found.items()}
        if "default" in declared:
            declared[""] = declared.pop("default")
        texts = {prefix: uri for prefix, uri in declared.items() if isinstance(uri, str)}
        self._instance = Instance(namespaces | texts, bundle)
        self._referenced: set[str] = set()

    def _members(self, section: str) -> scan.Members:
        raw = self._sections.get(section)
        try:
            return scan.members(raw) if raw is not None else {}
        except scan.NotAnObjectError as error:
            self._report("not-an-object", f"section {section}", f"{error}: write an object")
            return {}

    def instances(self) -> Iterator[Instance]:
        for section in ELEMENTS:
            self._elements(section)
        # Derivations go first: they tell which blank generations and usages are named.
        for kind in sorted(_RELATIONS, key=lambda kind: kind.name != "wasDerivedFrom"):
            if kind.name in self._sections:
                self._relations(kind)
        for section in self._sections.keys() - KINDS.keys() - {"prefix", "bundle"}:
            self._instance.unread[section] = 1
        yield self._instance
        namespaces = self._instance.names.namespaces
        for name, raw in self._members("bundle").items():
            if self._instance.bundle:
                message = "a bundle in a bundle; move it up into the document"
                self._report("nested-bundle", self._instance.at(f"bundle {name}"), message)
                continue
            try:
                inner = scan.members(raw)
            except scan.NotAnObjectError as error:
                self._report("not-an-object", f"bundle {name}", f"{error}: write an object")
                continue
            yield from _Reader(self._report, inner, namespaces, name).instances()

    def _elements(self, section: str) -> None:
        table, names, times = self._instance[section], self._instance.names, self._instance.times
        for identifier, raw in self._members(section).items():
            number = names[identifier]
            for record in self._records(section, identifier, scan.value(raw)):
                told = (times[self._text(record.get(f"prov:{name}"))] for name in table.kind.times)
                table.add(number, told)
                for name, value in record.items():
                    if name == "prov:type":
                        self._types(number, section, value)
                    elif name.endswith(NOTED) and isinstance(value, str):
                        self._instance.attribute(number, name, value)

    def _types(self, element: int, section: str, value: object) -> None:
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, dict):
                kind = one.get("type")
                text = one.get("$") if kind != "xsd:string" else None
                plain = kind == "xsd:anyURI"
            else:
                text, plain = one, False
            if not isinstance(text, str) or section != "entity":
                continue
            if (text if plain else self._instance.names.uri(text)) == EMPTY_COLLECTION:
                self._instance.empty.add(element)

    def _relations(self, kind: Kind) -> None:
        raw = self._sections[kind.name]
        try:
            found = _PLAIN[kind.name].decode(raw)
        except (msgspec.DecodeError, RecursionError):
            self._any(kind)
            return
        table = self._instance[kind.name]
        table.ids.extend(self._identifier(kind, identifier) for identifier in found)
        numbers = [self._instance.names] * len(kind.ends) + [self._instance.times] * len(kind.times)
        for number, (column, of) in enumerate(zip(table.columns, numbers, strict=True)):
            name = f"f{number}"
            column.extend([of[getattr(record, name)] for record in found.values()])
        if kind.name == "wasDerivedFrom":
            self._refer(table.columns[-2:])

    def _refer(self, columns: list[array[int]]) -> None:
        names = self._instance.names
        blank = {number for column in columns for number in column} & names.blank
        self._referenced.update(names.texts[number] for number in blank)

    def _identifier(self, kind: Kind, identifier: str) -> int:
        """A blank one is none, unless a derivation names it."""
        if identifier.startswith("_:") and identifier not in self._referenced:
            return NONE
        return self._instance.names[identifier] if kind.identified else NONE

    def _any(self, kind: Kind) -> None:
        """A section as it comes: records in arrays, ends that are literals or several."""
        table, names, times = self._instance[kind.name], self._instance.names, self._instance.times
        for identifier, raw in self._members(kind.name).items():
            for record in self._records(kind.name, identifier, scan.value(raw)):
                for ends in self._ends(kind, identifier, record):
                    told = [times[self._text(record.get(f"prov:{name}"))] for name in kind.times]
                    table.add(
                        self._identifier(kind, identifier), [*(names[e] for e in ends), *told]
                    )
        if kind.name == "wasDerivedFrom":
            self._refer(table.columns[-2:])

    def _records(self, section: str, identifier: str, value: object) -> Iterator[Record]:
        for record in value if isinstance(value, list) else [value]:
            if isinstance(record, dict):
                yield record
            else:
                where = self._instance.at(f"{section} {identifier}")
                self._report("not-an-object", where, "a record is an object of attributes")

    def _ends(self, kind: Kind, identifier: str, record: Record) -> Iterator[list[str | None]]:
        """The ends of a record; several members of a collection are as many statements."""
        found: list[str | None] = []
        members: list[str | None] = []
        for name in kind.ends:
            value = record.get(f"prov:{name}")
            if isinstance(value, list) and kind.name == "hadMember" and name == "entity":
                members = [self._text(one) for one in value]
                value = None
            text = self._text(value)
            if text is None and value is not None:
                where = self._instance.at(f"{kind.name} {identifier}, prov:{name}")
                self._report("malformed", where, "names no one thing; give it one identifier")
            found.append(text)
        if members:
            yield from ([found[0], member] for member in members)
        else:
            yield found

    @staticmethod
    def _text(value: object) -> str | None:
        """The text of a name or a time, also where it is written as a literal."""
        if isinstance(value, dict):
            value = value.get("$")
        return value if isinstance(value, str) else None
