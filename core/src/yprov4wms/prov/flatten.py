"""One child's records in a namespace of their own, joined with those of the attempt around it."""

from __future__ import annotations

from collections import Counter
from typing import Any

from yprov4wms.prov import foreign
from yprov4wms.prov.child import Child
from yprov4wms.prov.foreign import Record
from yprov4wms.prov.hazards import Hazards
from yprov4wms.prov.islands import Islands
from yprov4wms.prov.values import string
from yprov4wms.prov.vocabulary import (
    BARE,
    DRAWN,
    ELEMENTS,
    OPTIONAL_ENDS,
    RELATIONS,
    Level,
    Link,
    Type,
)
from yprov4wms.prov.wording import Wording
from yprov4wms.prov.writer import ProvJsonWriter

__all__ = ["Child", "Flattened"]

_TYPES = {
    "entity": string("prov:Entity"),
    "activity": string("prov:Activity"),
    "agent": string("prov:Agent"),
}
_ML_RUN, _RUN_LEVEL = string(Type.ML_RUN.value), string(Level.ML_RUN.value)
_PLAN = string(Type.PLAN.value)
_DRAWN = frozenset(DRAWN)
_STARTERS = {"wasStartedBy": "prov:starter", "wasEndedBy": "prov:ender"}
_OF_PEOPLE = ("yprov4wms:login", "yprov4wms:name", "yprov4wms:orcid")
_FURTHER_ENDS = {
    "wasAssociatedWith": "prov:plan",
    "wasDerivedFrom": "prov:activity",
    **_STARTERS,
    "actedOnBehalfOf": "prov:activity",
}


class Flattened:
    """A child's records under their new identifiers, to be written with `write_to`.

    shared: by old identifier, the versions of the attempt's own files; copies: those with the
    same content as another file of the child's; artifacts: those of which the child keeps
    copies, as `yprov4wms.prov.copies` finds them. ``made`` are the versions that the child
    generated. ``repairs`` counts, in words, what could not stand as it was. ``hazards`` says
    whether the records may break a rule all the same.
    """

    def __init__(
        self,
        child: Child,
        document: str,
        attempt: str,
        agent: str,
        shared: dict[str, str],
        copies: dict[str, str] | None = None,
        artifacts: dict[str, tuple[str, bool]] | None = None,
    ) -> None:
        self.made: set[str] = set()
        self.repairs: Counter[str] = Counter(child.records.lost)
        self.hazards = Hazards(attempt, shared.values())
        self._child = child
        self._shared = shared
        #: What shared files are told of beside: it goes with the first use or generation.
        self._beside = {v: dict(child.beside[v]) for v in shared.values() if child.beside.get(v)}
        self._agent = agent
        #: By kind of element and old identifier, the new one.
        self._ids: dict[str, dict[str, str]] = {section: {} for section in ELEMENTS}
        self._elements: list[tuple[str, str, str]] = []
        self._relations: list[tuple[str, str, str, str]] = []
        self._plans: set[str] = set()
        self._activities: set[str] = set()
        self._makers: set[str] = set()
        self._associated: set[str] = set()
        self._islands = Islands()
        self._copied = tuple(version for version, _ in (artifacts or {}).values())
        self._wording = Wording(child.prefix, child.records.prefixes, self._any, self.repairs)
        self._add_elements()
        for section, record in child.records.relations:
            self._add_relation(section, record)
        for original, version in (copies or {}).items():
            one, two = self.entity(original), version
            if original in child.generated:
                one, two = two, one
            sha256 = child.records.elements["entity"][original]["yprov4wms:sha256"]
            self._relate("wasDerivedFrom", one, two, f'"yprov4wms:sha256":{string(sha256)}')
        for original, (version, made) in (artifacts or {}).items():
            self._copy(original, version, made)
        for values in self._beside.values():
            self.repairs["attribute of a file that is the task's: left out"] += len(values)
        for root in child.roots:
            self._nest(self._ids["activity"][root], attempt)
        self._tie(document, attempt)

    def write_to(self, writer: ProvJsonWriter) -> None:
        writer.prefixes.update({self._child.prefix: self._child.namespace})
        writer.prefixes.update(self._wording.prefixes)
        for element in self._elements:
            writer.element(*element)
        for section, one, two, more in self._relations:
            if section in _STARTERS and two in self._activities:
                writer.started(section, one, _STARTERS[section], two, more)
            else:
                writer.relation(section, one, two, more)

    def entity(self, original: str) -> str:
        """The new identifier of an entity."""
        return self._ids["entity"][original]

    def told(self) -> list[str]:
        """The repairs as people read them."""
        return [f"{count} x {what}" for what, count in self.repairs.items()]

    # -- elements ---------------------------------------------------------------

    def _add_elements(self) -> None:
        child, ids = self._child, self._ids
        activities = child.records.elements["activity"]
        known = any(a.get("yprov4wfs:level") == Level.ML_RUN for a in activities.values())
        run = child.roots[0] if len(child.roots) == 1 and not known else None
        new: list[tuple[str, str, str, Record]] = []
        for section, elements in child.records.elements.items():
            for original, values in elements.items():
                if section == "entity" and original in self._shared:
                    ids[section][original] = self._shared[original]
                elif section == "agent" and child.is_person(values):
                    ids[section][original] = self._agent
                    self._is_person(values)
                else:
                    clash = any(original in ids[other] for other in ELEMENTS if other != section)
                    identifier = child.identifier(original, f" ({section})" if clash else "")
                    ids[section][original] = identifier
                    new.append((section, original, identifier, values))
        self._activities.update(ids["activity"].values())
        # Values name elements that come later.
        for section, original, identifier, values in new:
            is_run = section == "activity" and original == run
            body = self._body(section, original, identifier, values, is_run)
            self._elements.append((section, identifier, body))
            self._islands.add(section, identifier)

    def _is_person(self, values: Record) -> None:
        """Tell what is said of the run's own person, whom the run has told of already."""
        known = [values.get(name) for name in _OF_PEOPLE]
        further = [
            n for n in values if n not in _OF_PEOPLE and n not in ("prov:label", "prov:type")
        ]
        if further or values.get("prov:label", known[0]) not in known:
            self.repairs["attribute of the run's own person: left out"] += len(further) or 1

    def _body(self, section: str, original: str, new: str, values: Record, is_run: bool) -> str:
        found = self._wording.attributes(section, values)
        end = found.get("prov:endTime")
        if end is not None and end < found.get("prov:startTime", ""):
            name = "yprov4wms:prov_endTime"
            while name in found:
                name += "_"
            found[name] = found.pop("prov:endTime")
        found.setdefault("prov:label", string(original))
        if is_run and "yprov4wfs:level" not in found:
            found.setdefault("prov:type", _ML_RUN)
            found["yprov4wfs:level"] = _RUN_LEVEL
        found.setdefault("prov:type", _TYPES[section])
        if found["prov:type"] == _PLAN:
            self._plans.add(new)
        if new.partition(":")[2] != original.partition(":")[2]:
            found.setdefault("yprov4wms:original_id", string(original))
        self.hazards.element(section, new, found)
        return self._said(found)

    def _said(self, found: dict[str, str]) -> str:
        if self._wording.figures:
            self.hazards.figures(self._wording.figures, found)
        return ",".join([f'"{name}":{value}' for name, value in found.items()])

    def _any(self, name: str) -> str | None:
        """The new identifier of an element of any kind."""
        for ids in self._ids.values():
            if name in ids:
                return ids[name]
        return None

    # -- relations --------------------------------------------------------------

    def _end(self, name: str | None, kind: str | None) -> str | None:
        if name is None:
            return None
        return self._ids[kind].get(name) if kind else self._any(name)

    def _add_relation(self, section: str, record: Record) -> None:
        """A relation that cannot stand as it is becomes an influence that says what it was."""
        first, kind, second, other = RELATIONS[section]
        names = foreign.end(record, first), foreign.end(record, second)
        one, two = self._end(names[0], kind), self._end(names[1], other)
        started = section in _STARTERS and one is not None and two is None
        if started and self._start(section, str(one), names[1], record):
            return
        # What is mentioned is in a bundle, and there are none here.
        legal = one is not None and two is not None and section != "mentionOf"
        if not legal:
            one, two = self._end(names[0], None), self._end(names[1], None)
        if one is None or two is None:
            self.repairs[f"{section} without both its ends: left out"] += 1
            return
        if section == "wasGeneratedBy":
            legal = legal and one not in self._makers
            if legal:
                self._makers.add(one)
                if one in self._shared.values():
                    self.made.add(one)
        if legal and len(record) == 2 and self._is_plain(record, first, second):
            self._relate(section, one, two)
            return
        found: dict[str, str] = {}
        if legal and section in BARE:
            further = len(record) - 2
            for name in (first, second):
                further += len(foreign.picked(record[name])[1])
            self.repairs[f"attribute of {section}, which has none: left out"] += further
            self._relate(section, one, two)
            return
        if not legal:
            found["yprov4wms:original_relation"] = string(section)
            self.repairs[f"{section} that PROV does not allow: an influence"] += 1
            section = "wasInfluencedBy"
        for name, value in record.items():
            if name not in (first, second):
                self._relation_attribute(found, section, name, value)
            elif type(value) is not str:
                self._further_ends(found, name, value)
        if self._beside and section in ("used", "wasGeneratedBy"):
            for name, value in self._beside.pop(one if section[0] == "w" else two, {}).items():
                name = f"yprov4wms:prov_{name[5:]}" if name.startswith("prov:") else name
                self._wording.attribute(found, section, name, value)
        self._relate(section, one, two, self._said(found))

    def _is_plain(self, record: Record, first: str, second: str) -> bool:
        """Whether a relation's two ends are all that is to be said of it."""
        return type(record[first]) is str and type(record[second]) is str and not self._beside

    def _further_ends(self, found: dict[str, str], name: str, value: Any) -> None:
        """What an end says beside one identifier."""
        _, others = foreign.picked(value)
        if others:
            self._wording.put(found, f"yprov4wms:further_{name[5:]}", others)

    def _start(self, section: str, one: str, trigger: str | None, record: Record) -> bool:
        """Write a start (or end) by an activity; a trigger that is one is the starter.

        Viewers draw it by the communication that goes with it.
        """
        name = _STARTERS[section]
        starter, told = (
            self._end(trigger, "activity"),
            self._end(foreign.end(record, name), "activity"),
        )
        if starter is not None:
            self.repairs[f"{section} whose trigger is an activity: {name}"] += 1
        elif trigger is None:
            starter = told
        if starter is None or starter == one:
            return False
        found: dict[str, str] = {}
        for key, value in record.items():
            if key == name and told != starter:
                self._wording.put(found, f"yprov4wms:prov_{name[5:]}", value)
            elif key not in ("prov:activity", "prov:trigger", name):
                self._relation_attribute(found, section, key, value)
            elif type(value) is not str:
                self._further_ends(found, key, value)
        self._relate(section, one, starter, self._said(found))
        if section == "wasStartedBy":
            self._relate("wasInformedBy", one, starter)
        return True

    def _relation_attribute(
        self, found: dict[str, str], section: str, name: str, value: Any
    ) -> None:
        if name in ("prov:generation", "prov:usage"):
            self.repairs[f"{name} of {section}: left out, relations have other identifiers"] += 1
            return
        if name == _FURTHER_ENDS.get(section):
            end = self._end(foreign.text(value), OPTIONAL_ENDS[name])
            if end is not None and (name != "prov:plan" or end in self._plans):
                found[name] = string(end)
                if type(value) is not str:
                    self._further_ends(found, name, value)
                return
        self._wording.attribute(found, section, name, value)

    def _relate(self, section: str, one: str, two: str, more: str = "") -> None:
        self._relations.append((section, one, two, more))
        self.hazards.relation(section, one, two, more)
        if section in _DRAWN:
            self._islands.join(one, two)
        if section == "wasAssociatedWith" and two == self._agent:
            self._associated.add(one)

    def _copy(self, original: str, version: str, made: bool) -> None:
        """An artifact is a copy of a file of the attempt's; who kept it made that, or used it."""
        entity = self.entity(original)
        activities = [r[2] for r in self._relations if r[:2] == ("wasGeneratedBy", entity)]
        self._relate("wasDerivedFrom", entity, version)
        for activity in activities:
            if not made:
                self._relate("used", activity, version)
            elif version not in self._makers:
                self._makers.add(version)
                self.made.add(version)
                self._relate("wasGeneratedBy", version, activity)

    def _nest(self, activity: str, attempt: str) -> None:
        self._relate("wasInformedBy", activity, attempt, f'"yprov4wms:link":"{Link.NESTED}"')
        if activity not in self._associated:
            self._relate("wasAssociatedWith", activity, self._agent)

    def _tie(self, document: str, attempt: str) -> None:
        """What the child ties to nothing is tied to its document: viewers would lose it."""
        outside = (attempt, self._agent, document, *self._shared.values(), *self._copied)
        for section, identifier in self._islands.apart(outside):
            if section == "activity":
                self._nest(identifier, attempt)
            elif section == "entity":
                self._relate("hadMember", document, identifier)
            else:
                self._relate("wasAttributedTo", document, identifier)
