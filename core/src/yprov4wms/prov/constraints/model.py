"""A PROV instance as numbers: what the readers fill, and the constraints are checked on.

A document's statements and those of each of its bundles are an instance of their own
(PROV-CONSTRAINTS 7.2). A name is a number, an argument of a statement a number in a column,
so that a million statements take some 20 bytes each.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from datetime import UTC, datetime

import msgspec

#: Stands for an argument that is left out, or "-" (PROV-N).
NONE = -1

PROV = "http://www.w3.org/ns/prov#"
EMPTY_COLLECTION = PROV + "EmptyCollection"
#: Prefixes that need no declaration (PROV-N 3.7.1; PROV-JSON, namespaces).
PREDEFINED = {"prov": PROV, "xsd": "http://www.w3.org/2001/XMLSchema#"}


class Kind(msgspec.Struct, frozen=True):
    """A kind of statement, with its arguments in PROV-N's order, times last.

    ends: attributes that name elements or statements; ``types`` is what constraint 50 infers
        of each ("" for nothing). The first ``required`` of them cannot be left out.
    none: ends that mean "none" where they are left out, and not "some that is not known"
        (definition 4, table 3).
    identified: it has an identifier (PROV-DM 5).
    """

    name: str
    ends: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    required: int = 0
    times: tuple[str, ...] = ()
    none: tuple[str, ...] = ()
    identified: bool = True


#: Attributes that say where a file is: ours, and PROV-DM 5.7.2.3.
_PLACES = (":path", ":location", ":atLocation")
#: Ends of the names of attributes that `Instance.attribute` takes note of.
NOTED = ("_unit", *_PLACES)

_ENTITY, _ACTIVITY, _AGENT = "entity", "activity", "agent"
_GENERATION = (("entity", "activity"), (_ENTITY, _ACTIVITY), 1, ("time",))
_ALL = (
    Kind("entity"),
    Kind("activity", times=("startTime", "endTime")),
    Kind("agent"),
    Kind("used", ("activity", "entity"), (_ACTIVITY, _ENTITY), 1, ("time",)),
    Kind("wasGeneratedBy", *_GENERATION),
    Kind("wasInvalidatedBy", *_GENERATION),
    Kind(
        "wasStartedBy",
        ("activity", "trigger", "starter"),
        (_ACTIVITY, _ENTITY, _ACTIVITY),
        1,
        ("time",),
    ),
    Kind(
        "wasEndedBy",
        ("activity", "trigger", "ender"),
        (_ACTIVITY, _ENTITY, _ACTIVITY),
        1,
        ("time",),
    ),
    Kind("wasInformedBy", ("informed", "informant"), (_ACTIVITY, _ACTIVITY), 2),
    Kind(
        "wasDerivedFrom",
        ("generatedEntity", "usedEntity", "activity", "generation", "usage"),
        (_ENTITY, _ENTITY, _ACTIVITY, "", ""),
        2,
        none=("activity",),
    ),
    Kind("wasAttributedTo", ("entity", "agent"), (_ENTITY, _AGENT), 2),
    Kind(
        "wasAssociatedWith",
        ("activity", "agent", "plan"),
        (_ACTIVITY, _AGENT, _ENTITY),
        1,
        none=("plan",),
    ),
    Kind(
        "actedOnBehalfOf",
        ("delegate", "responsible", "activity"),
        (_AGENT, _AGENT, _ACTIVITY),
        1,
    ),
    Kind("wasInfluencedBy", ("influencee", "influencer"), ("", ""), 2),
    Kind("alternateOf", ("alternate1", "alternate2"), (_ENTITY, _ENTITY), 2, identified=False),
    Kind(
        "specializationOf",
        ("specificEntity", "generalEntity"),
        (_ENTITY, _ENTITY),
        2,
        identified=False,
    ),
    Kind(
        "mentionOf",
        ("specificEntity", "generalEntity", "bundle"),
        (_ENTITY, _ENTITY, ""),
        3,
        identified=False,
    ),
    Kind("hadMember", ("collection", "entity"), (_ENTITY, _ENTITY), 2, identified=False),
)
#: Every kind by its name, which is that of PROV-N, PROV-JSON and PROV-XML.
KINDS: dict[str, Kind] = {kind.name: kind for kind in _ALL}
ELEMENTS = ("entity", "activity", "agent")


class Table:
    """The statements of one kind: ``ids`` and a column for each argument.

    lines: of each statement, where the document has lines.
    sources: of a statement that was inferred, the kind and row that it is inferred from.
    """

    __slots__ = ("columns", "ids", "kind", "lines", "sources")

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.ids = array("i")
        self.columns = [array("i") for _ in (*kind.ends, *kind.times)]
        self.lines = array("i")
        self.sources: dict[int, tuple[str, int]] = {}

    def __len__(self) -> int:
        return len(self.ids)

    def column(self, name: str) -> array[int]:
        return self.columns[(*self.kind.ends, *self.kind.times).index(name)]

    def add(self, identifier: int, arguments: Iterable[int], line: int = 0) -> int:
        """Append a statement with all its arguments; its row."""
        self.ids.append(identifier)
        for column, argument in zip(self.columns, arguments, strict=True):
            column.append(argument)
        if line:
            self.lines.append(line)
        return len(self.ids) - 1


class Numbers(dict[str | None, int]):
    """Texts by number, from 0; None, for what is left out, is `NONE`."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self[None] = NONE

    def __missing__(self, text: str | None) -> int:
        assert text is not None
        found = self[text] = len(self.texts)
        self.texts.append(text)
        return found


class Names(Numbers):
    """Qualified names by the number of the URI that they stand for."""

    def __init__(self, namespaces: dict[str, str]) -> None:
        super().__init__()
        self.namespaces = namespaces
        self.blank: set[int] = set()
        #: Prefixes that nothing declares, each with a name that has it.
        self.undeclared: dict[str, str] = {}
        self._uris = Numbers()

    def __missing__(self, text: str | None) -> int:
        assert text is not None
        found = self[text] = self.intern(self.uri(text), text)
        if text.startswith("_:"):
            self.blank.add(found)
        return found

    def intern(self, uri: str, text: str) -> int:
        """The number of a URI, which messages call ``text``."""
        found = self._uris[uri]
        if found == len(self.texts):
            self.texts.append(text)
        return found

    def uri(self, text: str) -> str:
        """What a name stands for; a name with an undeclared prefix, for itself."""
        prefix, colon, local = text.partition(":")
        if not colon:
            prefix, local = "", text
        namespace = self.namespaces.get(prefix)
        if namespace is None:
            if prefix not in ("", "_"):
                self.undeclared.setdefault(prefix, text)
            return text
        return namespace + local


class Instance:
    """The statements of a document or, with ``bundle``, of one of its bundles.

    empty: entities that are declared to be of type prov:EmptyCollection.
    files: entities that have a path or a location.
    units: of each attribute that names a unit, the units with an element that has it.
    unread: extensions of PROV whose statements were passed over, with how many.
    """

    def __init__(self, namespaces: dict[str, str], bundle: str = "") -> None:
        self.bundle = bundle
        self.names = Names(namespaces)
        self.times = Numbers()
        self.tables = {name: Table(kind) for name, kind in KINDS.items()}
        self.empty: set[int] = set()
        self.files: set[int] = set()
        self.units: dict[str, dict[str, int]] = {}
        self.unread: dict[str, int] = {}

    def __getitem__(self, kind: str) -> Table:
        return self.tables[kind]

    def attribute(self, element: int, name: str, value: str) -> None:
        """Take note of an attribute that advice is given on; ``name`` may have its prefix."""
        if name.endswith("_unit"):
            self.units.setdefault(name.rpartition(":")[2], {}).setdefault(value, element)
        elif name.endswith(_PLACES):
            self.files.add(element)

    def label(self, name: int) -> str:
        return "-" if name == NONE else self.names.texts[name]

    def statement(self, kind: str, row: int) -> str:
        """A statement as PROV-N writes it, without its attributes."""
        table = self.tables[kind]
        identifier = table.ids[row]
        ends = len(table.kind.ends)
        arguments = [self.label(column[row]) for column in table.columns[:ends]]
        arguments += [self.time(column[row]) for column in table.columns[ends:]]
        if kind in ELEMENTS:
            return f"{kind}({', '.join([self.label(identifier), *arguments])})"
        start = f"{self.label(identifier)}; " if identifier != NONE else ""
        text = f"{kind}({start}{', '.join(arguments)})"
        if row in table.sources:
            return f"{text}, which follows from {self.statement(*table.sources[row])}"
        return text

    def time(self, number: int) -> str:
        return "-" if number == NONE else self.times.texts[number]

    def at(self, place: str) -> str:
        return f"bundle {self.bundle}, {place}" if self.bundle else place

    def where(self, kind: str, row: int) -> str:
        """The place of a statement: its line, or its section and identifier."""
        table = self.tables[kind]
        if row in table.sources:
            return self.where(*table.sources[row])
        if row < len(table.lines):
            return self.at(f"line {table.lines[row]}")
        return self.at(f"{kind} {self.label(table.ids[row])}" if table.ids[row] != NONE else kind)

    def moment(self, number: int) -> datetime | None:
        """A time as a moment; None where it is none. One without a zone is taken as UTC."""
        if number == NONE:
            return None
        try:
            found = datetime.fromisoformat(self.times.texts[number])
            return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
        except (ValueError, OverflowError):
            return None

    def same_time(self, one: int, two: int) -> bool:
        """Whether two times are equal as xsd:dateTime: by their values, both zoned or none."""
        if one == two:
            return True
        try:
            first, second = (datetime.fromisoformat(self.times.texts[n]) for n in (one, two))
        except ValueError:
            return False
        return (first.tzinfo is None) == (second.tzinfo is None) and first == second
