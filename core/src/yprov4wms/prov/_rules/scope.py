"""The records of one scope: a document, or one of its bundles."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from yprov4wms.prov._rules import literals, scan
from yprov4wms.prov._rules.attributes import Attributes
from yprov4wms.prov._rules.graph import Graph
from yprov4wms.prov._rules.names import Names, Report
from yprov4wms.prov.vocabulary import (
    ELEMENTS,
    OPTIONAL_ENDS,
    RELATIONS,
    Level,
    Link,
    run_namespace,
)

_SECTIONS = frozenset({"prefix", *ELEMENTS, *RELATIONS, "bundle"})
#: A kind of element is one bit: an entity may be an agent, too.
_KINDS = {"entity": 1, "activity": 2, "agent": 4}
_ENTITY_AND_ACTIVITY = 3
_ANY = 7
#: Memberships go before usages: what is used of a directory is then known.
_RELATIONS = sorted(RELATIONS, key=lambda section: section != "hadMember")


class Scope:
    """Reports the broken rules of a document or, with ``name``, of a bundle in ``top``."""

    def __init__(
        self, report: Report, sections: scan.Members, name: str = "", top: Scope | None = None
    ) -> None:
        self._report = report
        self._sections = sections
        self._top = top
        self._names: Names = Names(report, name, top._names if top else None)
        self._kinds: dict[str, int] = {}
        self._relations: set[str] = set()
        self._events: list[tuple[str, str]] = []
        self._graph = Graph(report, self._names)

    def check(self) -> None:
        for section in self._sections:
            if section not in _SECTIONS:
                message = "no section of PROV-JSON: readers stop here; take it out"
                self._report("unknown-section", self._names.at("section", section), message)
        namespaces = self._members("section prefix", self._sections.get("prefix"))
        self._names.declare({p: scan.value(uri) for p, uri in namespaces.items()})
        self._attributes = Attributes(self._report, self._names, self._further_end)
        for section in ELEMENTS:
            for identifier, record in self._records(section):
                self._element(section, identifier, record)
        for section in _RELATIONS:
            for identifier, record in self._records(section):
                self._relation(section, identifier, record)
        for where, event in self._events:
            if event not in self._relations:
                message = f"{event} is no relation of this document; leave it out"
                self._report("undeclared-end", where, message)
        self._graph.check(self._section_of)
        self._bundles()

    # -- what there is ----------------------------------------------------------

    def _members(self, place: str, raw: msgspec.Raw | None) -> scan.Members:
        try:
            return scan.members(raw) if raw is not None else {}
        except scan.NotAnObjectError as error:
            self._report("not-an-object", self._names.at(place), f"{error}: write an object")
            return {}

    def _records(self, section: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """The records of a section: of several under one identifier the first."""
        found = self._members(f"section {section}", self._sections.get(section))
        for identifier, raw in found.items():
            record = scan.value(raw)
            if type(record) is list:
                message = f"{len(record)} records under one identifier; give each its own"
                self._report("several-objects", self._names.at(section, identifier), message)
                record = next((one for one in record if type(one) is dict), {})
            if type(record) is dict:
                yield identifier, record
            else:
                message = "a record is an object of attributes"
                self._report("not-an-object", self._names.at(section, identifier), message)

    def _section_of(self, identifier: str) -> str:
        return next(name for name, bit in _KINDS.items() if self._kinds[identifier] & bit)

    def _bundles(self) -> None:
        raw = self._sections.get("bundle")
        if raw is not None and self._top is not None:
            message = "a bundle in a bundle; move it up into the document"
            self._report("nested-bundle", self._names.at("section bundle"), message)
            return
        for name, content in self._members("section bundle", raw).items():
            self._names.identifier("bundle", name)
            if not self._kinds.get(name, 0) & _KINDS["entity"]:
                message = "no entity stands for it, and yProv's tools look into no bundle; add one"
                self._report("bundle-entity", f"bundle {name}", message)
            Scope(self._report, self._members(f"bundle {name}", content), name, self).check()

    # -- elements ---------------------------------------------------------------

    def _element(self, section: str, identifier: str, record: dict[str, Any]) -> None:
        self._names.identifier(section, identifier)
        kinds = self._kinds.get(identifier, 0) | _KINDS[section]
        if kinds & _ENTITY_AND_ACTIVITY == _ENTITY_AND_ACTIVITY:
            message = "both an entity and an activity; give one another identifier"
            self._report("entity-and-activity", self._names.at(section, identifier), message)
        self._kinds[identifier] = kinds
        self._attributes.check(section, identifier, record)
        for name, rule in (("prov:label", "bad-label"), ("prov:type", "bad-type")):
            if name not in record:
                message = f"has no {name}; give it one, a plain string"
                self._report(rule, self._names.at(section, identifier), message)
        if section == "activity":
            self._activity(identifier, record)
        self._graph.element(section, identifier, record)

    def _activity(self, identifier: str, record: dict[str, Any]) -> None:
        start, end = record.get("prov:startTime"), record.get("prov:endTime")
        # In the one form that times have, their order as text is their order in time.
        backwards = type(start) is str and type(end) is str and end < start
        if backwards and literals.is_time(start) and literals.is_time(end):
            message = f"ends {end}, before it starts {start}"
            self._report("end-before-start", self._names.at("activity", identifier), message)
        if record.get("yprov4wfs:level") == Level.WORKFLOW:
            self._own_namespace(identifier, record.get("yprov4wms:run_id"))

    def _own_namespace(self, identifier: str, run: object) -> None:
        uri = self._names.uri(identifier)
        if uri is None:
            return
        if isinstance(run, str):
            expected, kept = run_namespace(run), uri == run_namespace(run)
        else:
            expected, kept = run_namespace("<run id>"), bool(re.fullmatch("urn:uuid:[^#]+#", uri))
        if not kept:
            message = f"in namespace {uri}; a run's own is {expected}"
            self._report("run-namespace", self._names.at("activity", identifier), message)

    # -- relations --------------------------------------------------------------

    def _relation(self, section: str, identifier: str, record: dict[str, Any]) -> None:
        self._names.relation(section, identifier)
        if identifier in self._relations or identifier in self._kinds:
            message = "another record has this identifier; number relations over all sections"
            self._report("duplicate-relation", self._names.at(section, identifier), message)
        self._relations.add(identifier)
        first, kind, second, other = RELATIONS[section]
        one = self._end(section, identifier, first, record.get(first), kind)
        if second == "prov:trigger" and second not in record:
            starter = "prov:starter" if section == "wasStartedBy" else "prov:ender"
            if starter in record:  # and no trigger, as PROV-DM 5.1.6 and 5.1.7 allow
                self._end(section, identifier, starter, record[starter], "activity")
                self._attributes.check(section, identifier, record)
                return
        two = self._end(section, identifier, second, record.get(second), other)
        if one is not None and two is not None:
            self._graph.relation(section, one, two, record)
            if len(record) > 2:
                self._attributes.check(section, identifier, record)
            if section == "wasInformedBy" and "yprov4wms:link" not in record:
                self._unlinked(identifier, one, two)
        else:
            self._attributes.check(section, identifier, record)

    def _end(
        self, section: str, identifier: str, name: str, end: object, kind: str | None
    ) -> str | None:
        """The element at one end; reports what is wrong where there is none."""
        if type(end) is not str:
            message = "is missing" if end is None else "is not one identifier, a plain string"
            self._report("missing-end", self._names.at(section, identifier), f"{name} {message}")
            return None
        kinds = self._kinds.get(end) or self._outside(end)
        if kinds & (_KINDS[kind] if kind else _ANY):
            return end
        where = self._names.at(section, identifier, name)
        if kinds:
            known = next(known for known, bit in _KINDS.items() if kinds & bit)
            message = f"{end} is declared as {known}, and {name} of {section} names an {kind}"
            self._report("wrong-end", where, message)
        else:
            self._names.use(end, where)
            message = f"{end} is declared nowhere: prov drops the end, viewers the relation"
            self._report("undeclared-end", where, message)
        return None

    def _outside(self, identifier: str) -> int:
        """The kinds of an element of the document around this bundle; 0 where it is none."""
        if self._top is None or not self._names.same_outside(identifier):
            return 0
        return self._top._kinds.get(identifier, 0)

    def _further_end(
        self, section: str, identifier: str, name: str, value: Any, record: dict[str, Any]
    ) -> None:
        if name in ("prov:generation", "prov:usage") and type(value) is str:
            self._events.append((self._names.at(section, identifier, name), value))
            return
        end = self._end(section, identifier, name, value, OPTIONAL_ENDS.get(name))
        if end is None:
            return
        first = record.get(RELATIONS[section][0])
        if type(first) is str and first in self._kinds:
            self._graph.further_end(section, first, name, end)
        if name == "prov:plan" and end in self._kinds and not self._graph.is_plan(end):
            message = f"{end} is of another prov:type than prov:Plan; give it that"
            self._report("plan-type", self._names.at(section, identifier, name), message)

    def _unlinked(self, identifier: str, one: str, two: str) -> None:
        """Inside a child of another dialect nobody knows why; of our own activities we do."""
        if {self._graph.level(one), self._graph.level(two)} & {Level.WORKFLOW, Level.TASK}:
            message = f"does not say why; add yprov4wms:link, one of {', '.join(Link)}"
            self._report("missing-link", self._names.at("wasInformedBy", identifier), message)
