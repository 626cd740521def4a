"""One child's records in a namespace of their own, joined with those of the attempt around it."""

from __future__ import annotations

import re
from collections import Counter
from posixpath import normpath
from typing import Any

from yprov4wms.events import ChildAttached, File, Status
from yprov4wms.prov import foreign
from yprov4wms.prov.foreign import Record, Records
from yprov4wms.prov.islands import Islands
from yprov4wms.prov.values import local_name, string
from yprov4wms.prov.vocabulary import (
    DRAWN,
    OPTIONAL_ENDS,
    PREFIXES,
    RELATIONS,
    Level,
    Link,
    Type,
    run_namespace,
)
from yprov4wms.prov.writer import ProvJsonWriter

#: By path, the identifier of a file's version and what it was.
Versions = dict[str, tuple[str, File]]
#: By entity of a child, the version that it is a copy of, and whether the attempt made that.
Copies = dict[str, tuple[str, bool]]

#: What an activity can have come to.
RAN = (Status.COMPLETED, Status.FAILED, Status.CANCELLED, Status.RUNNING, Status.CACHED)

#: Absolute, with a separator at its end: what a prefix may stand for.
_NAMESPACE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s<>\"{}|\\^`\x00-\x1f]*[#/:]")
_TYPES = {"entity": "prov:Entity", "activity": "prov:Activity", "agent": "prov:Agent"}
_TIMES = ("prov:startTime", "prov:endTime")
_TIMED = ("used", "wasGeneratedBy", "wasStartedBy", "wasEndedBy", "wasInvalidatedBy")
_STARTERS = {"wasStartedBy": "prov:starter", "wasEndedBy": "prov:ender"}
_FURTHER_ENDS = {
    "wasAssociatedWith": "prov:plan",
    "wasDerivedFrom": "prov:activity",
    **_STARTERS,
    "actedOnBehalfOf": "prov:activity",
}


class Child:
    """What a child's document says, and what of it is the attempt's own.

    prefix: of the namespace that its records are to have. directory: of the workflow's
    run; the child's paths are told from there. login: of the run's person.
    """

    def __init__(
        self,
        records: Records,
        child: ChildAttached,
        prefix: str,
        namespace: str,
        directory: str,
        login: str | None,
    ) -> None:
        self.records = records
        self.prefix = prefix
        self.namespace = namespace
        self._inside = directory.rstrip("/") + "/" if directory else None
        self._login = login
        own = run_namespace(child.child)
        self._own = {p for p, uri in records.prefixes.items() if uri == own}
        self.roots = self._find_roots()
        self.generated = {
            records.end(record, "prov:entity")
            for section, record in records.relations
            if section == "wasGeneratedBy"
        }

    def identifier(self, original: str, kind: str = "") -> str:
        """The new identifier of an element; kind: where two kinds share the old one."""
        prefix, _, local = original.partition(":")
        name = local if prefix in self._own and local else original
        return f"{self.prefix}:{local_name(name + kind)}"

    def is_person(self, values: Record) -> bool:
        """Whether an agent is the person whom the workflow's run names."""
        login = values.get("yprov4wms:login")
        return login is not None and login == self._login

    def shared(self, uses: Versions, makes: Versions) -> dict[str, str]:
        """The child's file entities that are versions of the attempt's own files."""
        found: dict[str, str] = {}
        taken: set[str] = set()
        entities = self.records.elements["entity"]
        # What it wrote to a path last is what the attempt left there.
        made = [identifier for identifier in reversed(entities) if identifier in self.generated]
        for identifier in (*made, *(name for name in entities if name not in self.generated)):
            values = entities[identifier]
            path = values.get("yprov4wms:path")
            if not isinstance(path, str):
                continue
            path = self._canonical(path)
            order = (makes,) if identifier in self.generated else (uses, makes)
            for versions in order:
                version, file = versions.get(path, (None, None))
                sha256 = values.get("yprov4wms:sha256")
                if version is None or file is None or version in taken:
                    continue
                if sha256 and file.sha256 and sha256 != file.sha256:
                    continue
                found[identifier] = version
                taken.add(version)
                break
        return found

    def _canonical(self, path: str) -> str:
        """A child's path as the workflow's run names it."""
        if "://" in path:
            return path
        path = normpath(path)
        inside = self._inside
        return path[len(inside) :] if inside and path.startswith(inside) else path

    def _find_roots(self) -> list[str]:
        """The activities that no other activity of the child informed or started."""
        activities = self.records.elements["activity"]
        inner: set[str | None] = set()
        for section, record in self.records.relations:
            if section in ("wasInformedBy", "wasStartedBy"):
                first, _, second, _ = RELATIONS[section]
                one, two = self.records.end(record, first), self.records.end(record, second)
                if two is None:
                    two = self.records.end(record, "prov:starter")
                if two in activities and one != two:
                    inner.add(one)
        return [a for a in activities if a not in inner] or list(activities)


class Flattened:
    """A child's records under their new identifiers, to be written with `write_to`.

    shared: by old identifier, the versions of the attempt's own files. copies: of which there
    are artifacts. ``made`` are those of both that the child generated. ``repairs`` counts, in
    words, what could not stand as it was.
    """

    def __init__(
        self,
        child: Child,
        document: str,
        attempt: str,
        agent: str,
        shared: dict[str, str],
        copies: Copies | None = None,
    ) -> None:
        self.made: set[str] = set()
        self.repairs: Counter[str] = Counter()
        self._child = child
        self._shared = shared
        self._agent = agent
        self._prefixes = {child.prefix: child.namespace}
        #: By old identifier and kind of element, the new one.
        self._ids: dict[str, dict[str, str]] = {}
        self._names: dict[str, str] = {}
        self._elements: list[tuple[str, str, str]] = []
        self._relations: list[tuple[str, str, str, str]] = []
        self._plans: set[str] = set()
        self._activities: set[str] = set()
        self._makers: set[str] = set()
        self._associated: set[str] = set()
        self._islands = Islands()
        self._copied = tuple(version for version, _ in (copies or {}).values())
        self._add_elements()
        for section, record in child.records.relations:
            self._add_relation(section, record)
        for original, (version, made) in (copies or {}).items():
            self._copy(original, version, made)
        for root in child.roots:
            self._nest(self._ids[root]["activity"], attempt)
        self._tie(document, attempt)

    def write_to(self, writer: ProvJsonWriter) -> None:
        writer.prefixes.update(self._prefixes)
        for element in self._elements:
            writer.element(*element)
        for section, one, two, more in self._relations:
            if section in _STARTERS and two in self._activities:
                writer.started(section, one, _STARTERS[section], two, more)
            else:
                writer.relation(section, one, two, more)

    def told(self) -> list[str]:
        """The repairs as people read them."""
        return [f"{count} x {what}" for what, count in self.repairs.items()]

    # -- elements ---------------------------------------------------------------

    def _add_elements(self) -> None:
        child = self._child
        activities = child.records.elements["activity"]
        known = any(a.get("yprov4wfs:level") == Level.ML_RUN for a in activities.values())
        run = child.roots[0] if len(child.roots) == 1 and not known else None
        for section, elements in child.records.elements.items():
            for original, values in elements.items():
                kinds = self._ids.setdefault(original, {})
                if section == "entity" and original in self._shared:
                    kinds[section] = self._shared[original]
                elif section == "agent" and child.is_person(values):
                    kinds[section] = self._agent
                else:
                    clash = section == "activity" and "entity" in kinds
                    new = child.identifier(original, " (activity)" if clash else "")
                    kinds[section] = new
                    if section == "activity":
                        self._activities.add(new)
                    is_run = section == "activity" and original == run
                    body = self._body(section, original, new, values, is_run)
                    self._elements.append((section, new, body))
                    self._islands.add(section, new)

    def _body(self, section: str, original: str, new: str, values: Record, is_run: bool) -> str:
        found: dict[str, str] = {}
        for name, value in values.items():
            self._attribute(found, section, name, value)
        start, end = (found.get(name) for name in _TIMES)
        if start is not None and end is not None and end < start:
            found["yprov4wms:prov_endTime"] = found.pop("prov:endTime")
        found.setdefault("prov:label", string(original))
        if is_run and "yprov4wfs:level" not in found:
            found.setdefault("prov:type", string(Type.ML_RUN.value))
            found["yprov4wfs:level"] = string(Level.ML_RUN.value)
        found.setdefault("prov:type", string(_TYPES[section]))
        if found["prov:type"] == string(Type.PLAN.value):
            self._plans.add(new)
        if new.partition(":")[2] != original.partition(":")[2]:
            found.setdefault("yprov4wms:original_id", string(original))
        return ",".join(f'"{name}":{value}' for name, value in found.items())

    def _attribute(self, found: dict[str, str], section: str, name: str, value: Any) -> None:
        """Add an attribute of an element, or of a relation, as it may stand there."""
        if name in ("prov:label", "prov:type"):
            plain = foreign.text(value)
            if plain is not None:
                found[name] = string(self._type(plain) if name == "prov:type" else plain)
            self._further(found, name, value)
        elif (section in _TYPES and name in _TIMES) or (section in _TIMED and name == "prov:time"):
            moment = foreign.time(value) if section != "entity" and section != "agent" else None
            if moment is not None:
                found[name] = string(moment)
                self._further(found, name, value)
            else:
                self._put(found, f"yprov4wms:prov_{name[5:]}", value)
        else:
            self._put(found, self._attribute_name(section, name, value), value)

    def _further(self, found: dict[str, str], name: str, value: Any) -> None:
        if isinstance(value, list) and len(value) > 1:
            self._put(found, f"yprov4wms:further_{name[5:]}", value[1:])

    def _attribute_name(self, section: str, name: str, value: Any) -> str:
        if name.startswith("prov:"):
            known = ("prov:value", "prov:location") if section in _TYPES else ("prov:role",)
            return name if name in known else f"yprov4wms:{local_name(f'prov_{name[5:]}')}"
        legal = True
        if name == "yprov4wfs:level":
            legal = section == "activity" and value in list(Level)
        elif name == "yprov4wfs:status":
            legal = value in list(RAN if section == "activity" else Status)
        elif name == "yprov4wms:link":
            legal = section in ("wasInformedBy", "wasInfluencedBy") and value in list(Link)
        return self._name(name) if legal else f"yprov4wms:original_{name.partition(':')[2]}"

    def _put(self, found: dict[str, str], name: str, value: Any) -> None:
        legal = foreign.value(value, self._reference)
        if legal is None:
            self.repairs["attribute without a value: left out"] += 1
        else:
            while name in found:
                name += "_"
            found[name] = legal

    # -- names ------------------------------------------------------------------

    def _name(self, name: str) -> str:
        """A qualified name under a prefix that means the same in the whole document."""
        known = self._names.get(name)
        if known is None:
            prefix, _, local = name.partition(":")
            uri = self._child.records.prefixes.get(prefix, "")
            usable = _NAMESPACE.fullmatch(uri) is not None
            if not local:
                known = f"yprov4wms:{local_name(name)}"
            elif prefix in PREFIXES and (prefix in ("prov", "xsd") or not usable):
                # Consumers go by the prefix, and producers bind it to anything.
                known = f"{prefix}:{local_name(local)}"
            elif uri == PREFIXES.get(prefix):
                known = f"{prefix}:{local_name(local)}"
            elif usable:
                ours = f"{self._child.prefix}_{local_name(prefix)}"
                self._prefixes[ours] = uri
                known = f"{ours}:{local_name(local)}"
            else:
                known = f"yprov4wms:{local_name(f'{prefix}_{local}')}"
            self._names[name] = known
        return known

    def _reference(self, name: str) -> str:
        """A qualified name in a value, which may be that of an element."""
        kinds = self._ids.get(name)
        return next(iter(kinds.values())) if kinds else self._name(name)

    def _type(self, plain: str) -> str:
        return self._name(plain) if foreign.TYPE_NAME.fullmatch(plain) else plain

    # -- relations --------------------------------------------------------------

    def _end(self, name: str | None, kind: str | None) -> str | None:
        kinds = self._ids.get(name, {}) if name is not None else {}
        return kinds.get(kind) if kind else next(iter(kinds.values()), None)

    def _add_relation(self, section: str, record: Record) -> None:
        """A relation that cannot stand as it is becomes an influence that says what it was."""
        first, kind, second, other = RELATIONS[section]
        names = [self._child.records.end(record, name) for name in (first, second)]
        one, two = self._end(names[0], kind), self._end(names[1], other)
        started = section in _STARTERS and one is not None and two is None
        if started and self._start(section, str(one), names[1], record):
            return
        legal = one is not None and two is not None
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
        found: dict[str, str] = {}
        if not legal:
            found["yprov4wms:original_relation"] = string(section)
            self.repairs[f"{section} that PROV does not allow: an influence"] += 1
            section = "wasInfluencedBy"
        for name, value in record.items():
            if name not in (first, second):
                self._relation_attribute(found, section, name, value)
        more = ",".join(f'"{name}":{value}' for name, value in found.items())
        self._relate(section, one, two, more)

    def _start(self, section: str, one: str, trigger: str | None, record: Record) -> bool:
        """Write a start (or end) by an activity; a trigger that is one is the starter.

        Viewers draw it by the communication that goes with it.
        """
        name = _STARTERS[section]
        starter = self._end(trigger, "activity")
        if starter is not None:
            self.repairs[f"{section} whose trigger is an activity: {name}"] += 1
        elif trigger is None:
            starter = self._end(foreign.text(record.get(name)), "activity")
        if starter is None or starter == one:
            return False
        found: dict[str, str] = {}
        for key, value in record.items():
            if key not in ("prov:activity", "prov:trigger", name):
                self._relation_attribute(found, section, key, value)
        more = ",".join(f'"{key}":{value}' for key, value in found.items())
        self._relate(section, one, starter, more)
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
                return
        self._attribute(found, section, name, value)

    def _relate(self, section: str, one: str, two: str, more: str = "") -> None:
        self._relations.append((section, one, two, more))
        if section in DRAWN:
            self._islands.join(one, two)
        if section == "wasAssociatedWith" and two == self._agent:
            self._associated.add(one)

    def _copy(self, original: str, version: str, made: bool) -> None:
        """An artifact is a copy of a file of the attempt's; who kept it made that, or used it."""
        entity = self._ids[original]["entity"]
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
