"""Advice: what is odd in an instance and no constraint forbids. It never makes one invalid.

PROV-CONSTRAINTS orders events and compares no clocks, for those of two hosts differ.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from math import nan

from yprov4wms.prov._rules.names import Report
from yprov4wms.prov.constraints.impossible import declared
from yprov4wms.prov.constraints.model import ELEMENTS, NONE, Instance

#: Names that a message shows of many.
_SHOWN = 3


def check(instance: Instance, tolerance: float, report: Report) -> None:
    """Report what clocks say against the order of events by more than ``tolerance`` seconds, files
    that no statement is about, figures in different units, and what was not checked."""
    _Clocks(instance, tolerance, report).check()
    _names(instance, report)
    _units(instance, report)
    for name, count in sorted(instance.unread.items()):
        message = f"none of PROV-DM's statements, and not checked (there {count} times)"
        report("not-checked", instance.at(name), message)


class _Clocks:
    """Compares the times of events that one statement puts in order."""

    def __init__(self, instance: Instance, tolerance: float, report: Report) -> None:
        self._instance = instance
        self._tolerance = tolerance
        self._report = report
        moments = (instance.moment(number) for number in range(len(instance.times.texts)))
        # The last stands for `NONE`. No comparison with one that is not known is true.
        self._seconds = array("d", [nan if m is None else m.timestamp() for m in moments])
        self._seconds.append(nan)
        self._started = self._times("activity", "startTime") | self._times("wasStartedBy")
        self._ended = self._times("activity", "endTime") | self._times("wasEndedBy")
        self._made = self._times("wasGeneratedBy")
        self._gone = self._times("wasInvalidatedBy")

    def _times(self, kind: str, time: str = "time") -> dict[int, int]:
        """The time of each element's event, of several the last that is told."""
        table = self._instance[kind]
        names = table.ids if kind == "activity" else table.columns[0]
        pairs = zip(names, table.column(time), strict=True)
        return {name: number for name, number in pairs if number != NONE}

    def check(self) -> None:
        start, end, made, gone = self._started, self._ended, self._made, self._gone
        for row, name in enumerate(self._instance["activity"].ids):
            self._compare("activity", row, 30, start.get(name), end.get(name))
        self._within()
        for row, activity, entity, time in self._rows("used"):
            if time != NONE:
                self._compare("used", row, 37, made.get(entity), time)
                self._compare("used", row, 38, time, gone.get(entity))
            else:
                # By 33 as well: a usage that has no time is no later than its activity's end.
                self._compare("used", row, 37, made.get(entity), end.get(activity))
                self._compare("used", row, 38, start.get(activity), gone.get(entity))
        for row, entity, _, time in self._rows("wasInvalidatedBy"):
            self._compare("wasInvalidatedBy", row, 36, made.get(entity), time)
        for row, two, one, *_ in self._rows("wasDerivedFrom"):
            self._compare("wasDerivedFrom", row, 42, made.get(one), made.get(two))
        for row, informed, informant in self._rows("wasInformedBy"):
            self._compare("wasInformedBy", row, 35, start.get(informant), end.get(informed))
        for row, activity, trigger, starter, _ in self._rows("wasStartedBy"):
            self._compare("wasStartedBy", row, 43, made.get(trigger), start.get(activity))
            self._compare("wasStartedBy", row, 43, start.get(starter), start.get(activity))

    def _within(self) -> None:
        for kind, constraint, end in (("used", 33, 0), ("wasGeneratedBy", 34, 1)):
            table = self._instance[kind]
            rows = zip(table.columns[end], table.column("time"), strict=True)
            for row, (activity, time) in enumerate(rows):
                if time != NONE:
                    self._compare(kind, row, constraint, self._started.get(activity), time)
                    self._compare(kind, row, constraint, time, self._ended.get(activity))

    def _rows(self, kind: str) -> Iterable[tuple[int, ...]]:
        columns = self._instance[kind].columns
        return zip(range(len(columns[0])), *columns, strict=True)

    def _compare(
        self, kind: str, row: int, constraint: int, one: int | None, two: int | None
    ) -> None:
        """One event is no later than another; both by the numbers of their times."""
        if one is None or two is None:
            return
        seconds = self._seconds[one] - self._seconds[two]
        if seconds > self._tolerance:
            told = self._instance.time
            message = (
                f"{told(one)} is {seconds:g} s after {told(two)}, and is to be no later by "
                f"constraint {constraint}: {self._instance.statement(kind, row)}"
            )
            self._report("clock-order", self._instance.where(kind, row), message)


def _names(instance: Instance, report: Report) -> None:
    """Elements that are named and not declared, and files that are declared and not named."""
    named: set[int] = set()
    for table in instance.tables.values():
        for _, column in zip(table.kind.types, table.columns, strict=False):
            named.update(column)
    known = set().union(*(declared(instance, kind) for kind in ELEMENTS))
    statements = set().union(*(table.ids for table in instance.tables.values()))
    undeclared = sorted(named - known - statements - {NONE})
    if undeclared:
        message = (
            f"{_some(instance, undeclared)}: named by statements and not declared, so that they "
            "have no start, end, generation or invalidation but those told, and order is "
            "checked by these alone"
        )
        report("undeclared", instance.at(f"{len(undeclared)} elements"), message)
    for file in sorted(instance.files - named):
        message = "a file that no statement is about: nothing used, made or holds it"
        report("dangling-file", instance.at(f"entity {instance.label(file)}"), message)
    for prefix, name in sorted(instance.names.undeclared.items()):
        message = (
            f"the prefix {prefix} is not declared (in {name}); such names are taken as they are"
        )
        report("undeclared-prefix", instance.at(f"prefix {prefix}"), message)


def _units(instance: Instance, report: Report) -> None:
    for name, units in sorted(instance.units.items()):
        if len(units) > 1:
            told = ", ".join(f"{unit} in {instance.label(e)}" for unit, e in sorted(units.items()))
            message = f"{told}: such figures cannot be compared or added as they are"
            report("mixed-units", instance.at(name), message)


def _some(instance: Instance, names: list[int]) -> str:
    shown = ", ".join(instance.label(name) for name in names[:_SHOWN])
    return f"{shown} and {len(names) - _SHOWN} more" if len(names) > _SHOWN else shown
