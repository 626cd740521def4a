"""PROV-CONSTRAINTS by the letter, for instances of a few statements.

Every event is a node and every pair of constraints 30 to 49 an edge; every argument that is
left out is a variable, and uniqueness is applied until nothing changes.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count, product
from typing import NamedTuple

Name = str | None


class Statement(NamedTuple):
    """Its arguments in PROV-N's order, without the identifier; None is "-"."""

    kind: str
    id: Name
    args: tuple[Name, ...]

    def provn(self) -> str:
        args = ", ".join(arg or "-" for arg in self.args)
        if self.kind in ("entity", "activity", "agent"):
            return f"{self.kind}({self.id}{', ' + args if args else ''})"
        return f"{self.kind}({self.id + '; ' if self.id else ''}{args})"


def provn(statements: list[Statement]) -> bytes:
    lines = ["document", "prefix ex <http://example.org/>", *(s.provn() for s in statements)]
    return "\n".join([*lines, "endDocument", ""]).encode()


# -- order ---------------------------------------------------------------------------------


class Events:
    """The events of an instance, with those that inferences 5 to 14 and 21 add."""

    def __init__(self, statements: list[Statement]) -> None:
        self.fresh = (f"?{number}" for number in count())
        self.of: dict[str, list[tuple[str, ...]]] = {}
        for statement in statements:
            filled = [arg or next(self.fresh) for arg in statement.args]
            if statement.kind == "wasDerivedFrom" and statement.args[2] is None:
                filled[2] = ""
            self.add(statement.kind, *filled, id=statement.id)
        self.specializations()
        self.infer()

    def add(self, kind: str, *args: str, id: Name = None) -> None:  # noqa: A002
        self.of.setdefault(kind, []).append((id or next(self.fresh), *args))

    def __call__(self, kind: str) -> list[tuple[str, ...]]:
        return list(self.of.get(kind, []))

    def unknown(self, number: int) -> list[str]:
        return [next(self.fresh) for _ in range(number)]

    def specializations(self) -> None:
        pairs = {(two, one) for _, two, one in self("specializationOf")}
        while more := {(a, d) for (a, b), (c, d) in product(pairs, pairs) if b == c} - pairs:
            pairs |= more
        self.special = pairs
        declared = {entity[0] for entity in self("entity")}
        for two in {two for two, one in pairs if one in declared} - declared:
            self.add("entity", id=two)

    def infer(self) -> None:
        for _, informed, informant in self("wasInformedBy"):
            entity, time, other = self.unknown(3)
            self.add("wasGeneratedBy", entity, informant, time)
            self.add("used", informed, entity, other)
        for entity in self("entity"):
            self.add("wasGeneratedBy", entity[0], *self.unknown(2))
            self.add("wasInvalidatedBy", entity[0], *self.unknown(2))
        for activity in self("activity"):
            self.add("wasStartedBy", activity[0], *self.unknown(3))
            self.add("wasEndedBy", activity[0], *self.unknown(3))
        for kind in ("wasStartedBy", "wasEndedBy"):
            for _, _, trigger, by, _ in self(kind):
                self.add("wasGeneratedBy", trigger, by, *self.unknown(1))
        for _, two, one, activity, generation, usage in self("wasDerivedFrom"):
            if activity:
                self.add("wasGeneratedBy", two, activity, *self.unknown(1), id=generation)
                self.add("used", activity, one, *self.unknown(1), id=usage)
        for _, entity, agent in self("wasAttributedTo"):
            activity, plan, time = self.unknown(3)
            self.add("wasGeneratedBy", entity, activity, time)
            self.add("wasAssociatedWith", activity, agent, plan)
        for _, one, two, activity in self("actedOnBehalfOf"):
            self.add("wasAssociatedWith", activity, one, *self.unknown(1))
            self.add("wasAssociatedWith", activity, two, *self.unknown(1))
        made = [(e, a) for _, e, a, _ in self("wasGeneratedBy")]
        for (entity, one), (_, two, used, _) in product(made, self("used")):
            if entity == used:
                self.add("wasInformedBy", two, one)


def _before(events: Events) -> Iterator[tuple[str, str, bool]]:
    """Pairs of events, the earlier first, and whether strictly."""

    def of(kind: str, position: int) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for statement in events(kind):
            found.setdefault(statement[position], []).append(statement[0])
        return found

    start, end = of("wasStartedBy", 1), of("wasEndedBy", 1)
    made, gone = of("wasGeneratedBy", 1), of("wasInvalidatedBy", 1)

    def pairs(one: list[str] | None, two: list[str] | None) -> Iterator[tuple[str, str, bool]]:
        for a, b in product(one or [], two or []):
            yield a, b, False

    for activity in start.keys() | end.keys():
        yield from pairs(start.get(activity), end.get(activity))  # 30
        yield from pairs(start.get(activity), start.get(activity))  # 31
        yield from pairs(end.get(activity), end.get(activity))  # 32
    for use, activity, entity, _ in events("used"):
        yield from pairs(start.get(activity), [use])  # 33
        yield from pairs([use], end.get(activity))
        yield from pairs(made.get(entity), [use])  # 37
        yield from pairs([use], gone.get(entity))  # 38
    for generation, _, activity, _ in events("wasGeneratedBy"):
        yield from pairs(start.get(activity), [generation])  # 34
        yield from pairs([generation], end.get(activity))
    for _, informed, informant in events("wasInformedBy"):
        yield from pairs(start.get(informant), end.get(informed))  # 35
    for entity in made.keys() | gone.keys():
        yield from pairs(made.get(entity), gone.get(entity))  # 36
        yield from pairs(made.get(entity), made.get(entity))  # 39
        yield from pairs(gone.get(entity), gone.get(entity))  # 40
    for _, two, one, activity, generation, usage in events("wasDerivedFrom"):
        if activity:
            yield usage, generation, False  # 41
        for a, b in product(made.get(one, []), made.get(two, [])):
            yield a, b, True  # 42
    for kind in ("wasStartedBy", "wasEndedBy"):  # 43, 44
        for event, _, trigger, _, _ in events(kind):
            yield from pairs(made.get(trigger), [event])
            yield from pairs([event], gone.get(trigger))
    for two, one in events.special:
        yield from pairs(made.get(one), made.get(two))  # 45
        yield from pairs(gone.get(two), gone.get(one))  # 46
    for _, activity, agent, _ in events("wasAssociatedWith"):  # 47
        yield from pairs(start.get(activity), gone.get(agent))
        yield from pairs(made.get(agent), end.get(activity))
        yield from pairs(start.get(activity), end.get(agent))
        yield from pairs(start.get(agent), end.get(activity))
    for _, entity, agent in events("wasAttributedTo"):  # 48
        yield from pairs(made.get(agent), made.get(entity))
        yield from pairs(start.get(agent), made.get(entity))
    for _, two, one, _ in events("actedOnBehalfOf"):  # 49
        yield from pairs(made.get(one), gone.get(two))
        yield from pairs(start.get(one), end.get(two))


def is_ordered(statements: list[Statement]) -> bool:
    """Whether no cycle of these pairs has a strict one."""
    edges = list(_before(Events(statements)))
    after: dict[str, set[str]] = {}
    for one, two, _ in edges:
        after.setdefault(one, set()).add(two)

    def reached(node: str) -> set[str]:
        found, waiting = {node}, [node]
        while waiting:
            for other in after.get(waiting.pop(), set()) - found:
                found.add(other)
                waiting.append(other)
        return found

    return not any(strict and one in reached(two) for one, two, strict in edges)


# -- uniqueness ----------------------------------------------------------------------------

#: Of each kind the argument that means none where it is left out.
_NONE = {"wasAssociatedWith": 2, "wasDerivedFrom": 2}
_PAIRS = {
    "wasGeneratedBy": (0, 1),
    "wasInvalidatedBy": (0, 1),
    "wasStartedBy": (0, 2),
    "wasEndedBy": (0, 2),
}


class ContradictionError(Exception):
    pass


class _Terms:
    """Constants, and variables (which begin with "?") that become what they are unified with."""

    def __init__(self) -> None:
        self.is_now: dict[str, str] = {}

    def __call__(self, term: str) -> str:
        while term in self.is_now:
            term = self.is_now[term]
        return term

    def unify(self, one: str, two: str) -> bool:
        one, two = self(one), self(two)
        if one == two:
            return False
        if not one.startswith("?"):
            one, two = two, one
        if not one.startswith("?"):
            raise ContradictionError
        self.is_now[one] = two
        return True


def is_unique(statements: list[Statement]) -> bool:
    """Whether constraints 22 to 29 can be applied until nothing changes."""
    fresh = (f"?{number}" for number in count())
    found: list[tuple[str, tuple[str, ...]]] = []
    for statement in statements:
        args = [arg or next(fresh) for arg in statement.args]
        none = _NONE.get(statement.kind)
        if none is not None and statement.args[none] is None:
            args[none] = "-"
            if statement.kind == "wasDerivedFrom":
                args[3:] = [arg or "-" for arg in statement.args[3:]]
        found.append((statement.kind, (statement.id or next(fresh), *args)))
        if statement.kind == "wasDerivedFrom" and args[2] != "-":
            two, one, activity, generation, usage = args
            found.append(("wasGeneratedBy", (generation, two, activity, next(fresh))))
            found.append(("used", (usage, activity, one, next(fresh))))
    terms = _Terms()
    try:
        while sum(_step(terms, a, b) for a, b in product(found, found)):
            pass
    except ContradictionError:
        return False
    return True


def _step(
    terms: _Terms, first: tuple[str, tuple[str, ...]], second: tuple[str, tuple[str, ...]]
) -> bool:
    (kind, one), (other, two) = first, second
    changed = False
    if kind == other and terms(one[0]) == terms(two[0]):  # 22, 23
        changed = sum(terms.unify(a, b) for a, b in zip(one, two, strict=True)) > 0
    if kind == other and kind in _PAIRS:  # 24 to 27
        key = [number + 1 for number in _PAIRS[kind]]
        if all(terms(one[n]) == terms(two[n]) for n in key):
            changed |= terms.unify(one[0], two[0])
    for event, position in (("wasStartedBy", 1), ("wasEndedBy", 2)):  # 28, 29
        if (kind, other) == ("activity", event) and terms(one[0]) == terms(two[1]):
            changed |= terms.unify(one[position], two[4])
    return changed
