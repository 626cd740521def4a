"""Whether a flattened child may break a rule that is about more than one attribute or relation.

Most rules are kept by the way in which `Flattened` says things. For the others it is cheaper
to see that nothing touches them than to check the whole (`yprov4wms.prov.rules`); the tests
hold the one against the other.
"""

from __future__ import annotations

from collections.abc import Iterable

from yprov4wms.prov.values import string
from yprov4wms.prov.vocabulary import Level, Link, Type

_RUN_LEVEL = string(Level.ML_RUN.value)
_OUTER_LEVELS = (string(Level.WORKFLOW.value), string(Level.TASK.value))
#: What activities of a type have as their level.
_LEVELS = {
    string(kind.value): string(level.value)
    for kind, level in (
        (Type.WORKFLOW_RUN, Level.WORKFLOW),
        (Type.TASK_ATTEMPT, Level.TASK),
        (Type.ML_RUN, Level.ML_RUN),
        (Type.ML_CONTEXT, Level.ML_CONTEXT),
    )
}
_PLAN = string(Type.PLAN.value)
_INSIDE = tuple(f'"yprov4wms:link":"{link}"' for link in (Link.PART_OF, Link.NESTED))


class Hazards:
    """Looks at each record once, in any order; then `found` tells.

    attempt: the activity around the child. shared: the versions of its files that elements
    of the child are.
    """

    def __init__(self, attempt: str, shared: Iterable[str]) -> None:
        self._attempt = attempt
        self._shared = set(shared)
        self._found = False
        self._identifiers: dict[str, set[str]] = {"thing": set(), "agent": set()}
        self._runs: list[str] = []
        self._makers: dict[str, str] = {}
        self._members: list[tuple[str, str]] = []
        self._contents: dict[str, list[str]] = {}

    def element(self, section: str, identifier: str, said: dict[str, str]) -> None:
        """An element with its attributes as JSON text."""
        same = self._identifiers["agent" if section == "agent" else "thing"]
        if identifier in same:
            self._found = True
        same.add(identifier)
        kind = said["prov:type"]
        if section == "entity":
            if kind == _PLAN and "yprov4wfs:status" in said:
                self._found = True
        elif section == "activity":
            level = said.get("yprov4wfs:level")
            if level in _OUTER_LEVELS or level != _LEVELS.get(kind, level):
                self._found = True
            if level == _RUN_LEVEL:
                self._runs.append(identifier)

    def figures(self, names: set[str], said: dict[str, str]) -> None:
        """names: those that a unit or a method of a figure may have."""
        for name in names & said.keys():
            base, _, ending = name.rpartition("_")
            if f"{base}_{'method' if ending == 'unit' else 'unit'}" not in said:
                self._found = True

    def relation(self, section: str, one: str, two: str, said: str) -> None:
        """A relation with its attributes as JSON text, those to the attempt included."""
        if section == "wasGeneratedBy":
            self._makers[one] = two
        elif section == "hadMember":
            self._members.append((one, two))
        elif section == "wasInformedBy" and said:
            if _INSIDE[1] in said and two != self._attempt:
                self._found = True  # nested in what has neither its agent nor its document
            if any(link in said for link in _INSIDE):
                self._contents.setdefault(two, []).append(one)

    def found(self) -> bool:
        """Whether there may be one."""
        if self._found:
            return True
        held = self._makers.keys() | self._shared
        if any(one in held and two not in self._makers for one, two in self._members):
            return True  # used alone it had to have a generation of its own
        inside = self._within()
        makers = (self._makers.get(entity, self._attempt) for entity in self._shared)
        return not all(a in inside for a in (*self._runs, *makers))

    def _within(self) -> set[str]:
        """The attempt, and all activities that lie in it."""
        found, waiting = {self._attempt}, [self._attempt]
        while waiting:
            for inner in self._contents.get(waiting.pop(), ()):
                if inner not in found:
                    found.add(inner)
                    waiting.append(inner)
        return found
