"""What holds between the records of one scope: generations, plans, nesting, connectivity."""

from __future__ import annotations

from collections.abc import Callable, Collection
from itertools import pairwise
from typing import Any

from yprov4wms.events import Status
from yprov4wms.prov._rules.names import Names, Report
from yprov4wms.prov.vocabulary import DRAWN, LEVEL_OF, Level, Link, Type

#: Optional ends that the explorer draws as lines of their own.
_DRAWN_ENDS = frozenset({("wasAssociatedWith", "prov:plan"), ("wasDerivedFrom", "prov:activity")})
_INSIDE = (Link.PART_OF, Link.NESTED)
_NEVER_RAN = frozenset(
    {Status.NOT_STARTED, Status.UPSTREAM_FAILED, Status.SKIPPED, Status.UP_TO_DATE}
)
#: An operator that skips itself has been started, and stays an activity.
_NO_ACTIVITY = _NEVER_RAN - {Status.SKIPPED}
_NO_PLAN = frozenset({Status.RUNNING, Status.COMPLETED, Status.FAILED, Status.CACHED})
_LEVELS = (*Level,)
#: The name by which everything outside a bundle goes in its graph.
_OUTSIDE = ""


class Graph:
    """Takes each well-formed record once, elements first and memberships before the rest."""

    def __init__(self, report: Report, names: Names) -> None:
        self._report = report
        self._at = names.at
        self._levels: dict[str, str] = {}
        self._statuses: dict[str, object] = {}
        self._unfinished: list[str] = []
        self._plans: set[str] = set()
        self._never_ran: set[str] = set()
        self._documents: set[str] = set()
        self._documented: set[str] = set()
        self._parents: dict[str, str] = {_OUTSIDE: _OUTSIDE}
        self._generated: dict[str, tuple[str, bool]] = {}
        self._again: dict[str, list[tuple[str, bool]]] = {}
        self._inside: dict[str, list[str]] = {}
        self._nested: list[tuple[str, str]] = []
        self._agents: dict[str, tuple[str, ...]] = {}
        self._planned: set[str] = set()
        self._collections: dict[str, str] = {}
        self._used_members: set[str] = set()
        self._put_together: set[str] = set()
        self._handlers: dict[str, Callable[[str, str, dict[str, Any]], None]] = {
            "used": self._use,
            "wasGeneratedBy": self._generation,
            "wasInformedBy": self._communication,
            "wasAssociatedWith": self._association,
            "wasDerivedFrom": self._derivation,
            "hadMember": self._membership,
        }

    # -- records ----------------------------------------------------------------

    def element(self, section: str, identifier: str, record: dict[str, Any]) -> None:
        self._parents[identifier] = identifier
        if section == "activity":
            self._activity(identifier, record)
        elif section == "entity":
            kind = record.get("prov:type")
            status = record.get("yprov4wfs:status")
            if kind == Type.PLAN:
                self._plans.add(identifier)
                if status is not None:
                    self._task_plan(identifier, status)
            elif kind == Type.BUNDLE:
                self._documents.add(identifier)
            elif kind == Type.COLLECTION and record.get("yprov4wms:put_together"):
                self._put_together.add(identifier)

    def _activity(self, identifier: str, record: dict[str, Any]) -> None:
        level, status = record.get("yprov4wfs:level"), record.get("yprov4wfs:status")
        kind = record.get("prov:type")
        expected = LEVEL_OF.get(kind) if isinstance(kind, str) else None
        if expected is not None and level != expected and (level is None or level in _LEVELS):
            where = self._at("activity", identifier)
            message = f'a {kind} is of yprov4wfs:level "{expected}", not {level!r}'
            self._report("bad-level", where, message)
        if isinstance(status, str) and status in _NO_ACTIVITY:
            message = f"{status}: what never ran is a prov:Plan entity, not an activity"
            self._report("never-ran", self._at("activity", identifier), message)
        level = expected or level
        if isinstance(level, str):
            self._levels[identifier] = level
            if level == Level.WORKFLOW:
                self._statuses[identifier] = status
            # Without a status an attempt is one whose end was lost: nothing to hold against it.
            ended = "prov:endTime" in record or status is None
            if level == Level.TASK and (status == Status.RUNNING or not ended):
                self._unfinished.append(identifier)

    def _task_plan(self, identifier: str, status: object) -> None:
        self._never_ran.add(identifier)
        if isinstance(status, str) and status in _NO_PLAN:
            message = f"{status}: what ran is an activity, not a plan with a status"
            self._report("never-ran", self._at("entity", identifier), message)

    def relation(self, section: str, first: str, second: str, record: dict[str, Any]) -> None:
        """A relation between two declared elements."""
        if section in DRAWN:
            self._join(first, second)
        handler = self._handlers.get(section)
        if handler is not None:
            handler(first, second, record)

    def further_end(self, section: str, first: str, name: str, end: str) -> None:
        """A further, declared end of the relation that starts at ``first``."""
        if name == "prov:plan":
            self._planned.add(first)
        if (section, name) in _DRAWN_ENDS:
            self._join(first, end)

    def is_plan(self, identifier: str) -> bool:
        return identifier in self._plans

    def level(self, activity: str) -> str | None:
        return self._levels.get(activity)

    def _use(self, activity: str, entity: str, record: dict[str, Any]) -> None:
        if entity in self._collections:
            self._used_members.add(entity)

    def _generation(self, entity: str, activity: str, record: dict[str, Any]) -> None:
        timed = "prov:time" in record
        if entity in self._generated:
            self._again.setdefault(entity, [self._generated[entity]]).append((activity, timed))
        else:
            self._generated[entity] = (activity, timed)
        if entity in self._documents:
            self._documented.add(activity)

    def _communication(self, informed: str, informant: str, record: dict[str, Any]) -> None:
        link = record.get("yprov4wms:link")
        if link in _INSIDE:
            self._inside.setdefault(informed, []).append(informant)
            if link == Link.NESTED:
                self._nested.append((informed, informant))

    def _association(self, activity: str, agent: str, record: dict[str, Any]) -> None:
        self._agents[activity] = (*self._agents.get(activity, ()), agent)

    def _derivation(self, generated: str, used: str, record: dict[str, Any]) -> None:
        if used in self._plans:
            self._never_ran.discard(generated)

    def _membership(self, collection: str, entity: str, record: dict[str, Any]) -> None:
        # What a directory is put together from may be older than it.
        if collection not in self._put_together:
            self._collections.setdefault(entity, collection)

    # -- connectivity -----------------------------------------------------------

    def _root(self, node: str) -> str:
        parents = self._parents
        if node not in parents:
            parents[node] = _OUTSIDE
        while (above := parents[node]) != node:
            parents[node] = node = parents[above]
        return node

    def _join(self, one: str, two: str) -> None:
        first, second = self._root(one), self._root(two)
        if first != second:
            self._parents[first] = second

    # -- the whole --------------------------------------------------------------

    def check(self, section_of: Callable[[str], str]) -> None:
        """Report what only all records together show."""
        self._connected(self._roots(), section_of)
        for entity, generations in self._again.items():
            self._generations(entity, generations)
        self._members()
        self._places()
        for plan in sorted(self._never_ran):
            message = "a task that never ran is derived from its step's plan: add wasDerivedFrom"
            self._report("task-plan", self._at("entity", plan), message)
        for child, attempt in self._nested:
            self._child(child, attempt)

    def _roots(self) -> list[str]:
        """The workflow runs, or the ML runs of an ML run's own document."""
        runs = self._of_level(Level.WORKFLOW)
        if not runs and Level.TASK not in self._levels.values():
            runs = self._of_level(Level.ML_RUN)
        if not runs:
            message = (
                'no activity has yprov4wfs:level "0" (the workflow run) or, in an ML run\'s own '
                'document, "2": viewers find no place to start'
            )
            self._report("no-root", self._at("section activity"), message)
        return runs

    def _connected(self, roots: list[str], section_of: Callable[[str], str]) -> None:
        islands: dict[str, list[str]] = {}
        for node in self._parents:
            islands.setdefault(self._root(node), []).append(node)
        outside = islands.get(self._root(_OUTSIDE), [])
        if roots:
            reached = {self._root(root) for root in roots}
        else:
            reached = {max(islands, key=lambda root: len(islands[root]))}
        if len(outside) > 1:
            reached.add(self._root(_OUTSIDE))
        for root, nodes in islands.items():
            named = [node for node in nodes if node != _OUTSIDE]
            if root in reached or not named:
                continue
            more = f" and {len(named) - 1} more with it" if len(named) > 1 else ""
            message = f"not tied to the run{more} by any of {', '.join(DRAWN)}; viewers lose it"
            self._report("unconnected", self._at(section_of(named[0]), named[0]), message)

    def _containers(self, activity: str) -> set[str]:
        """All activities that ``activity`` lies in, at any distance."""
        found: set[str] = set()
        waiting = [activity]
        while waiting:
            for container in self._inside.get(waiting.pop(), ()):
                if container not in found:
                    found.add(container)
                    waiting.append(container)
        return found

    def _generations(self, entity: str, generations: list[tuple[str, bool]]) -> None:
        activities = {activity for activity, _ in generations}
        around = {activity: self._containers(activity) & activities for activity in activities}
        inward = sorted(activities, key=lambda activity: len(around[activity]))
        chain = all(outer in around[inner] for outer, inner in pairwise(inward))
        if not chain or len(activities) < len(generations):
            names = ", ".join(inward[:3]) + (", ..." if len(inward) > 3 else "")
            message = (
                f"generated {len(generations)} times, by {names}, not one inside the other "
                "(part-of, nested); each version has an identifier of its own"
            )
            self._report("generated-twice", self._at("entity", entity), message)
            return
        for activity, timed in generations:
            if timed and activity != inward[-1]:
                message = f"generated by {activity} with prov:time, and by {inward[-1]} inside it"
                self._report("outer-time", self._at("entity", entity), message)

    def _members(self) -> None:
        for entity in sorted(self._used_members):
            collection = self._collections[entity]
            if collection in self._generated and entity not in self._generated:
                message = (
                    f"used alone, and only {collection}, whose member it is, has a wasGeneratedBy; "
                    "give it its own"
                )
                self._report("member-generation", self._at("entity", entity), message)

    def _places(self) -> None:
        """An attempt follows a plan, in its workflow run; an ML run lies in an attempt."""
        inside = {
            Level.TASK: self._within(self._of_level(Level.WORKFLOW)),
            Level.ML_RUN: self._within(self._of_level(Level.TASK)),
        }
        for activity, level in self._levels.items():
            if level == Level.TASK and activity not in self._planned:
                message = "an attempt names the plan that it followed: wasAssociatedWith, prov:plan"
                self._report("attempt-plan", self._at("activity", activity), message)
            if self._statuses and level in inside and activity not in inside[Level(level)]:
                outer, link = (
                    ("workflow run", Link.PART_OF)
                    if level == Level.TASK
                    else ("attempt", Link.NESTED)
                )
                message = f"lies in no {outer}: add wasInformedBy with yprov4wms:link {link}"
                self._report("outside", self._at("activity", activity), message)
        completed = [a for a, status in self._statuses.items() if status == Status.COMPLETED]
        # A run inside it has a status of its own, and may have been killed or left to itself.
        over = self._within(completed, but=set(self._of_level(Level.WORKFLOW)))
        for activity in self._unfinished:
            if activity in over:
                message = "still running or without prov:endTime, and its workflow run is completed"
                self._report("unfinished", self._at("activity", activity), message)

    def _of_level(self, level: Level) -> list[str]:
        return [activity for activity, found in self._levels.items() if found == level]

    def _within(self, activities: list[str], but: Collection[str] = ()) -> set[str]:
        """All activities that lie in one of these, at any distance, without ``but``."""
        contents: dict[str, list[str]] = {}
        for informed, informants in self._inside.items():
            for informant in informants:
                contents.setdefault(informant, []).append(informed)
        found: set[str] = set()
        waiting = list(activities)
        while waiting:
            inner = [
                activity for activity in contents.pop(waiting.pop(), []) if activity not in but
            ]
            found.update(inner)
            waiting.extend(inner)
        return found

    def _child(self, child: str, attempt: str) -> None:
        where = self._at("activity", child)
        around = {attempt, *self._containers(attempt)}
        agents = {agent for activity in around for agent in self._agents.get(activity, ())}
        if not agents.intersection(self._agents.get(child, ())):
            message = f"nested in {attempt}, and no agent of that is an agent of this as well"
            self._report("nested-agent", where, message)
        if attempt not in self._documented:
            message = (
                f"nested in {attempt}, which generated no document: add an entity of type "
                f"{Type.BUNDLE} with wasGeneratedBy"
            )
            self._report("nested-document", where, message)
