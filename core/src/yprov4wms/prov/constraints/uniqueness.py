"""Uniqueness: what two statements of one thing say is put together, or contradicts
(PROV-CONSTRAINTS 6.1, constraints 22 to 29, with the inferences 8, 9, 10 and 11).

A left-out argument is a variable of its own, so putting statements together by a key is one
pass over each key, in an order in which none makes new pairs for one before it.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence

from yprov4wms.prov._rules.names import Report
from yprov4wms.prov.constraints.model import ELEMENTS, KINDS, NONE, Instance, Table

_BY_IDENTIFIER = ("constraint-22", "constraint-23")
#: Why two statements are one.
_WHY = {
    "constraint-22": "one identifier",
    "constraint-23": "one identifier",
    "constraint-24": "one generation of an entity by an activity",
    "constraint-25": "one invalidation of an entity by an activity",
    "constraint-26": "one start of an activity by another",
    "constraint-27": "one end of an activity by another",
    "unique-mention": "one mention of an entity",
}


def check(instance: Instance, report: Report) -> None:
    """Report what contradicts; what does not is put together in the first of its statements."""
    merger = _Merger(instance, report)
    merger.merge("constraint-22", "activity", instance["activity"].ids)
    merger.by_identifier("wasDerivedFrom")
    _derivations(instance)
    for kind in KINDS.values():
        if kind.identified and kind.name not in (*ELEMENTS, "wasDerivedFrom"):
            merger.by_identifier(kind.name)
    for number, kind_name, ends in (
        ("24", "wasGeneratedBy", ("entity", "activity")),
        ("25", "wasInvalidatedBy", ("entity", "activity")),
        ("26", "wasStartedBy", ("activity", "starter")),
        ("27", "wasEndedBy", ("activity", "ender")),
    ):
        merger.merge(f"constraint-{number}", kind_name, _pairs(instance[kind_name], *ends))
    merger.merge("unique-mention", "mentionOf", instance["mentionOf"].column("specificEntity"))
    merger.times("constraint-28", "wasStartedBy", "startTime")
    merger.times("constraint-29", "wasEndedBy", "endTime")


def _derivations(instance: Instance) -> None:
    """A derivation by an activity has a generation and a usage (inference 11)."""
    table = instance["wasDerivedFrom"]
    generated, used, activities, generations, usages = table.columns
    for row, activity in enumerate(activities):
        if activity == NONE:
            continue
        for kind, identifier, ends in (
            ("wasGeneratedBy", generations[row], (generated[row], activity)),
            ("used", usages[row], (activity, used[row])),
        ):
            target = instance[kind]
            target.sources[target.add(identifier, (*ends, NONE))] = ("wasDerivedFrom", row)


def _pairs(table: Table, one: str, two: str) -> list[Hashable]:
    """The pair of each statement; `NONE` where it lacks one of both."""
    columns = zip(table.column(one), table.column(two), strict=True)
    return [NONE if NONE in pair else pair for pair in columns]


def _repeated(keys: Sequence[Hashable]) -> Iterator[list[int]]:
    """The rows that have one key, of each key with several."""
    known = len(keys) - sum(1 for key in keys if key == NONE)
    if len(set(keys) - {NONE}) == known:
        return
    first: dict[Hashable, int] = {}
    rows: dict[Hashable, list[int]] = {}
    for row, key in enumerate(keys):
        if key != NONE and first.setdefault(key, row) != row:
            rows.setdefault(key, [first[key]]).append(row)
    yield from rows.values()


class _Merger:
    def __init__(self, instance: Instance, report: Report) -> None:
        self._instance = instance
        self._report = report

    def by_identifier(self, kind: str) -> None:
        self.merge("constraint-23", kind, self._instance[kind].ids)

    def merge(self, rule: str, kind: str, keys: Sequence[Hashable]) -> None:
        """Put the statements of one key together in the first of them."""
        ids = self._instance[kind].ids
        for first, *others in _repeated(keys):
            # What the first gets from others is told of as theirs.
            origins: dict[str, int] = {}
            for row in others:
                # Statements of one identifier have been put together before those of one pair.
                if (
                    rule in _BY_IDENTIFIER
                    or NONE in (ids[first], ids[row])
                    or ids[first] != ids[row]
                ):
                    self._unify(rule, kind, first, row, origins)

    def _unify(self, rule: str, kind: str, first: int, row: int, origins: dict[str, int]) -> None:
        differ: dict[int, list[str]] = {}
        table, names = self._instance[kind], self._instance.names
        one, two = table.ids[first], table.ids[row]
        if one == NONE or (one in names.blank and two != NONE):
            table.ids[first] = two
        elif two not in (NONE, one) and two not in names.blank:
            differ[first] = ["the identifier"]
        for name, column in zip((*table.kind.ends, *table.kind.times), table.columns, strict=True):
            one, two = column[first], column[row]
            if one == NONE and two != NONE and _open(table, name, first):
                column[first] = two
                origins[name] = row
            elif one != two and not (two == NONE and _open(table, name, row)):
                timed = name in table.kind.times and NONE not in (one, two)
                if not (timed and self._instance.same_time(one, two)):
                    differ.setdefault(origins.get(name, first), []).append(f"prov:{name}")
        for other, what in differ.items():
            statements = [self._instance.statement(kind, r) for r in (other, row)]
            message = (
                f"{' and '.join(statements)} are one statement ({_WHY[rule]}), and differ in "
                f"{', '.join(what)}"
            )
            self._report(rule, self._instance.where(kind, row), message)

    def times(self, rule: str, kind: str, attribute: str) -> None:
        """The start or end of a declared activity has the activity's time."""
        instance = self._instance
        table, activities = instance[kind], instance["activity"]
        told = table.column("time")
        timed = [row for row, time in enumerate(told) if time != NONE]
        if not timed:
            return
        own = activities.column(attribute)
        known: dict[int, tuple[str, int, int]] = {}
        declared = set(activities.ids)
        for row, activity in enumerate(activities.ids):
            if own[row] != NONE:
                known.setdefault(activity, ("activity", row, own[row]))
        for row in timed:
            activity, time = table.column("activity")[row], told[row]
            if activity not in declared:
                continue
            one_kind, one, other = known.setdefault(activity, (kind, row, time))
            if one_kind == kind and _same(table, one, row):
                continue
            if not instance.same_time(time, other):
                message = (
                    f"{instance.label(activity)} has two times of its "
                    f"{'start' if kind == 'wasStartedBy' else 'end'}: "
                    f"{instance.statement(one_kind, one)} and {instance.statement(kind, row)}"
                )
                self._report(rule, instance.where(kind, row), message)


def _open(table: Table, name: str, row: int) -> bool:
    """Whether an argument that is left out stands for some value, and not for none."""
    if table.kind.name == "wasDerivedFrom" and name in ("generation", "usage"):
        return table.column("activity")[row] != NONE
    return name not in table.kind.none


def _same(table: Table, one: int, two: int) -> bool:
    """Whether two starts, or ends, of an activity are one: by identifier, or by who started it."""
    return any(column[one] == column[two] != NONE for column in (table.ids, table.columns[2]))
