"""The PROV documents: activities, and what each used and made."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from prov.model import ProvDocument

from yprov4wms.plain import text
from yprov_cwl_runner.research_object.log import last_name

SHA1 = "urn:hash::sha1:"


class Records:
    """What all PROV documents say, by URI; a later one repeats what an earlier one has."""

    _MAIN = "Run of workflow/packed.cwl#main"
    #: By which of its ends each relation is looked up.
    _SUBJECT = {  # noqa: RUF012
        "Derivation": "usedEntity",
        "Specialization": "specificEntity",
        **dict.fromkeys(("Usage", "Generation", "Start", "End", "Association"), "activity"),
    }

    def __init__(self) -> None:
        #: The activity of the run; empty where no document tells of it.
        self.root = ""
        #: By activity of a nested workflow, names of the documents that tell of it.
        self.nested: dict[str, list[str]] = {}
        self._elements: dict[str, dict[str, list[Any]]] = {}
        self._relations: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}
        self._members: dict[str, list[str]] = {}
        self._started: dict[str, dict[str, None]] = {}

    def read(self, place: Path) -> None:
        """Take in one document; raises whatever a broken one leads to."""
        members: dict[str, list[str]] = {}
        nested = re.fullmatch(r"(.*)\.([0-9a-f-]{36})\.cwlprov\.json", place.name)
        for record in ProvDocument.deserialize(str(place)).get_records():
            found: dict[str, list[Any]] = {}
            for name, value in record.attributes:
                found.setdefault(name.localpart, []).append(literal(value))
            kind = record.get_type().localpart
            if record.is_element():
                uri = record.identifier.uri
                element = self._elements.setdefault(uri, {})
                for name, several in found.items():
                    # The library keeps several values in no order.
                    element[name] = sorted({*element.get(name, ()), *several}, key=repr)
                if kind == "Activity" and found.get("label") == [self._MAIN] and not nested:
                    self.root = uri
            elif kind == "Membership":
                members.setdefault(found["collection"][0], []).append(found["entity"][0])
            elif kind in self._SUBJECT:
                self._add(kind, {name: several[0] for name, several in found.items()})
        for collection, entities in members.items():
            self._members.setdefault(collection, entities)
        if nested:
            self.nested.setdefault(f"urn:uuid:{nested[2]}", []).append(nested[1])

    def _add(self, kind: str, relation: dict[str, Any]) -> None:
        subject = relation[self._SUBJECT[kind]]
        told = self._relations.setdefault((kind, subject), {})
        told.setdefault(repr(sorted(relation.items())), relation)
        if kind == "Start" and "starter" in relation:
            self._started.setdefault(relation["starter"], {})[subject] = None

    def _of(self, kind: str, subject: str) -> list[dict[str, Any]]:
        return list(self._relations.get((kind, subject), {}).values())

    # -- activities --------------------------------------------------------------

    def started_by(self, activity: str) -> list[str]:
        """Activities in the order of their starts; of a run without a document of its own
        those that no activity started."""
        found = list(self._started.get(activity, ()))
        if not activity:
            inner = {a for s, started in self._started.items() if s in self.nested for a in started}
            found = [nested for nested in self.nested if nested not in inner]
        return sorted(found, key=self.start)

    def start(self, activity: str) -> str:
        return min(self.times("Start", activity), default="")

    def name(self, activity: str) -> str:
        """As cwltool named its job, or its step if it is a workflow."""
        for label in self._elements.get(activity, {}).get("label", ()):
            if str(label).startswith(f"{self._MAIN}/"):
                return unquote(last_name(str(label)))
        return ""

    def times(self, kind: str, activity: str, starter: str | None = None) -> list[str]:
        """Local times, of a zone that is not recorded, of the ``Start`` or ``End``."""
        return [
            relation["time"]
            for relation in self._of(kind, activity)
            if "time" in relation and starter in (None, relation.get("starter"))
        ]

    def used(self, activity: str) -> list[tuple[str, str]]:
        """Ports and entities."""
        found = [(last_name(str(r.get("role"))), r["entity"]) for r in self._of("Usage", activity)]
        return list(dict.fromkeys(found))

    def generated(self, activity: str) -> list[tuple[str, str]]:
        """Ports and entities."""
        found = [
            (last_name(str(r.get("role"))), r["entity"]) for r in self._of("Generation", activity)
        ]
        return list(dict.fromkeys(found))

    def images(self, activity: str) -> list[str]:
        agents = [relation.get("agent", "") for relation in self._of("Association", activity)]
        found = [str(i) for a in agents for i in self._elements.get(a, {}).get("image", ())]
        return list(dict.fromkeys(map(text, found)))

    def agents(self) -> dict[str, str]:
        """The ``engine`` with its version, ``person`` (name), ``orcid``, ``login``, ``host``."""
        found: dict[str, str] = {}
        for uri, element in self._elements.items():
            types = self.types(uri)
            for key, type_, name in (
                ("engine", "WorkflowEngine", "label"),
                ("person", "Person", "name"),
                ("login", "OnlineAccount", "accountName"),
                ("host", "OnlineAccount", "hostname"),
            ):
                if type_ in types and element.get(name):
                    found[key] = text(str(element[name][0]))
            if "Person" in types and uri.startswith("https://orcid.org/"):
                found["orcid"] = last_name(uri)
        return found

    # -- entities ----------------------------------------------------------------

    def types(self, uri: str) -> set[str]:
        return {re.split(r"[#/]", str(t))[-1] for t in self.values(uri, "type")}

    def values(self, uri: str, name: str) -> list[Any]:
        return self._elements.get(uri, {}).get(name, [])

    def sha1(self, uri: str) -> str | None:
        found = [relation["generalEntity"] for relation in self._of("Specialization", uri)]
        for general in (*found, uri):
            if re.fullmatch(f"{SHA1}[0-9a-f]{{40}}", general):
                return str(general).removeprefix(SHA1)
        return None

    def secondary(self, uri: str) -> list[str]:
        """What accompanies a file."""
        found = [r for r in self._of("Derivation", uri) if "SecondaryFile" in str(r.get("type"))]
        return [relation["generatedEntity"] for relation in found]

    def members(self, uri: str) -> list[str] | None:
        """Of an array; None where they are recorded without their order."""
        found = self._members.get(uri, [])
        return found if len(set(found)) in (1, len(found)) else None

    def items(self, uri: str) -> dict[str, str]:
        """By name what a directory or a record has."""
        found = {}
        for pair in self.values(uri, "hadDictionaryMember"):
            for key in self.values(pair, "pairKey"):
                for entity in self.values(pair, "pairEntity"):
                    found[str(key)] = str(entity)
        return dict(sorted(found.items()))

    def within(self, uri: str) -> list[str]:
        """An entity, its members at any depth, and what accompanies these."""
        found = {uri: None}
        left = [uri]
        while left:
            here = left.pop()
            inner = [*self._members.get(here, ()), *self.items(here).values()]
            for other in (*inner, *self.secondary(here)):
                if other not in found:
                    found[other] = None
                    left.append(other)
        return list(found)


def literal(value: Any) -> Any:
    """Of PROV's own types the plain value."""
    for name in ("uri", "isoformat", "value"):
        if hasattr(value, name):
            found = getattr(value, name)
            return found() if callable(found) else found
    return value
