"""Attributes of records: which names have a meaning, and which values they take."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from yprov4wms.events import Status
from yprov4wms.prov._rules import literals
from yprov4wms.prov._rules.names import Names, Report
from yprov4wms.prov.vocabulary import ATTRIBUTES, BARE, FURTHER_ENDS, RELATIONS, TIMED, Level, Link

#: Section, identifier, name, value and the whole record.
Handler = Callable[[str, str, str, Any, dict[str, Any]], None]

_OF_ALL = ("prov:label", "prov:type")
_PROV_O = {
    "prov:startedAtTime": "prov:startTime",
    "prov:endedAtTime": "prov:endTime",
    "prov:atTime": "prov:time",
    "prov:generatedAtTime": "prov:time, of wasGeneratedBy",
    "prov:invalidatedAtTime": "prov:time, of wasInvalidatedBy",
    "prov:hadPlan": "prov:plan, of wasAssociatedWith",
    "prov:hadRole": "prov:role",
    "prov:atLocation": "prov:location",
}
#: Attributes named after users' keys, which may end in anything.
_KEYED = tuple(
    f"yprov4wms:{kind}_"
    for kind in ("param", "wildcard", "resource", "attribute", "config", "version")
)
_UNSEEN: Any = object()


class Attributes:
    """Checks the attributes of one scope's records.

    further_end: checks an end of a relation beside the two that it always has.
    """

    def __init__(self, report: Report, names: Names, further_end: Handler) -> None:
        self._report = report
        self._names = names
        self._further_end = further_end
        self._handlers: dict[str, dict[str, Handler | None]] = {}
        self._types: set[str] = set()
        #: Empty without xsd: each number's type is then looked at by its prefix.
        self._numbers = literals.NUMBERS if names.uri("xsd:int") else {}

    def check(self, section: str, identifier: str, record: dict[str, Any]) -> None:
        """Report what is wrong with a record's attributes."""
        handlers = self._handlers.setdefault(section, {})
        for name, value in record.items():
            handler = handlers.get(name, _UNSEEN)
            if handler is _UNSEEN:
                handler = handlers[name] = self._handler(section, identifier, name)
            if handler is not None:
                handler(section, identifier, name, value, record)
            elif type(value) is dict and len(value) == 2:
                text, kind = value.get("$"), value.get("type")
                number = self._numbers.get(kind) if type(kind) is str else None
                if number is None or type(text) is not str or not number(text):
                    self._value(section, identifier, name, value)
            elif type(value) is not str:
                self._value(section, identifier, name, value)

    def _handler(self, section: str, identifier: str, name: str) -> Handler | None:
        """What checks an attribute's values; the name is met for the first time."""
        where = self._names.at(section, identifier, name)
        self._names.attribute(name, where)
        if section in BARE and (name in _OF_ALL or not name.startswith("prov:")):
            message = f"{section} has no attributes (first here); take it out"
            self._report("bare-relation", where, message)
        match name:
            case "prov:label" | "prov:type":
                return self._plain
            case "yprov4wfs:level":
                return self._level
            case "yprov4wfs:status":
                return self._status
            case "yprov4wms:link":
                return self._link
            case "analytics4yprov:level":  # yProv's tools take it as a bare number alone
                return self._reductions
        if name.startswith("prov:"):
            return self._prov_handler(section, where, name)
        figure = name.startswith("yprov4wms:") and name.endswith(("_unit", "_method"))
        return self._figure if figure and not name.startswith(_KEYED) else None

    def _prov_handler(self, section: str, where: str, name: str) -> Handler | None:
        time = False
        if section in RELATIONS:
            if name in (RELATIONS[section][0], RELATIONS[section][2]):
                return _checked
            if name in FURTHER_ENDS.get(section, ()):
                return self._further_end
            time = name == "prov:time" and section in TIMED
        else:
            time = name in ("prov:startTime", "prov:endTime") and section == "activity"
        if time:
            return self._time
        if name == "prov:value" and section == "entity":
            return self._single
        known = name in ATTRIBUTES.get(section, ())
        if not known:
            hint = f"; PROV-DM's name is {_PROV_O[name]}" if name in _PROV_O else ""
            message = f"PROV-DM knows no such attribute of {section} (first here){hint}"
            self._report("unknown-prov-attribute", where, message)
        return None

    def _value(self, section: str, identifier: str, name: str, value: object) -> None:
        where = self._names.at(section, identifier, name)
        for rule, message in literals.faults(value, lambda used: self._names.use(used, where)):
            self._report(rule, where, message)

    def _plain(
        self, section: str, identifier: str, name: str, value: Any, record: dict[str, Any]
    ) -> None:
        if type(value) is not str:
            rule = "bad-label" if name == "prov:label" else "bad-type"
            message = "yProv's explorer fails on all but one plain string; write that"
            self._report(rule, self._names.at(section, identifier, name), message)
        elif name == "prov:type" and value not in self._types:
            self._types.add(value)
            self._names.use_type(value, self._names.at(section, identifier, name))

    def _single(
        self, section: str, identifier: str, name: str, value: Any, record: dict[str, Any]
    ) -> None:
        if type(value) is list and len(value) > 1:
            message = "an entity has one; put the others in an attribute of your own"
            self._report("several-values", self._names.at(section, identifier, name), message)
        self._value(section, identifier, name, value)

    def _time(
        self, section: str, identifier: str, name: str, value: Any, record: dict[str, Any]
    ) -> None:
        if not literals.is_time(value):
            message = f"{value!r} is no time {literals.TIME_FORM}; leave out what is unknown"
            self._report("bad-time", self._names.at(section, identifier, name), message)

    def _level(
        self, section: str, identifier: str, name: str, value: Any, record: dict[str, Any]
    ) -> None:
        if type(value) is not str or value not in _LEVELS:
            message = f'{value!r} is none of the strings "0", "1", "2", "3"'
        elif section != "activity":
            message = "only an activity has a level; take it out"
        else:
            return
        self._report("bad-level", self._names.at(section, identifier, name), message)

    def _reductions(
        self, section: str, identifier: str, name: str, value: Any, record: dict[str, Any]
    ) -> None:
        if type(value) is not int or value < 0:
            message = f"{value!r} is no number of reductions: write a bare one, as 1"
            self._report("bad-level", self._names.at(section, identifier, name), message)

    def _status(
        self, section: str, identifier: str, name: str, value: Any, record: dict[str, Any]
    ) -> None:
        if type(value) is not str or value not in _STATUSES:
            message = f"{value!r} is none of {', '.join(Status)}"
            self._report("bad-status", self._names.at(section, identifier, name), message)

    def _link(
        self, section: str, identifier: str, name: str, value: Any, record: dict[str, Any]
    ) -> None:
        if type(value) is not str or value not in _LINKS:
            message = f"{value!r} is none of {', '.join(Link)}"
        elif section not in ("wasInformedBy", "wasInfluencedBy"):
            message = f"belongs on wasInformedBy, not on {section}"
        else:
            return
        self._report("bad-link", self._names.at(section, identifier, name), message)

    def _figure(
        self, section: str, identifier: str, name: str, value: Any, record: dict[str, Any]
    ) -> None:
        base, _, ending = name.rpartition("_")
        other = f"{base}_method" if ending == "unit" else f"{base}_unit"
        if other not in record and any(
            _is_number(record.get(base + which)) for which in ("", "_low", "_high")
        ):
            message = f"a figure has a unit and a method: add {other}"
            self._report("figure", self._names.at(section, identifier, name), message)
        self._value(section, identifier, name, value)


def _checked(section: str, identifier: str, name: str, value: Any, record: dict[str, Any]) -> None:
    """One of a relation's two ends, which its scope looks at."""


def _is_number(value: object) -> bool:
    return isinstance(value, dict) and value.get("type") in (*literals.NUMBERS,)


_LEVELS = frozenset(Level)
_STATUSES = frozenset(Status)
_LINKS = frozenset(Link)
