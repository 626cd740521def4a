"""What no instance may say: constraints 50 to 56 of PROV-CONSTRAINTS (6.3, 6.4), and statements
without what they need (PROV-DM 5)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from yprov4wms.prov._rules.names import Report
from yprov4wms.prov.constraints.model import ELEMENTS, KINDS, NONE, Instance
from yprov4wms.prov.constraints.order import SHOWN, Order

#: Relations whose identifiers are of one kind: a derivation or an influence may be another
#: relation as well (constraint 53).
_DISJOINT = tuple(
    kind.name
    for kind in KINDS.values()
    if kind.identified and kind.name not in (*ELEMENTS, "wasDerivedFrom", "wasInfluencedBy")
)
_IDENTIFIED = (*_DISJOINT, "wasDerivedFrom", "wasInfluencedBy")


def check(instance: Instance, report: Report) -> None:
    """Report every such statement, or pair of them. Uniqueness has been checked before."""
    _incomplete(instance, report)
    _overlaps(instance, report)
    _types(instance, report)
    _unspecified(instance, report)
    _specializations(instance, report)
    _members(instance, report)


def _incomplete(instance: Instance, report: Report) -> None:
    for name, table in instance.tables.items():
        for end, column in zip(table.kind.ends[: table.kind.required], table.columns, strict=False):
            if NONE not in column:
                continue
            for row, value in enumerate(column):
                if value == NONE:
                    message = f"{instance.statement(name, row)} lacks its prov:{end}"
                    report("incomplete", instance.where(name, row), message)


def declared(instance: Instance, kind: str) -> set[int]:
    """The elements of a kind; of entities, also what specializes one (inference 21)."""
    found = set(instance[kind].ids)
    return found | _specializing(instance, found) if kind == "entity" else found


def _specializing(instance: Instance, general: set[int]) -> set[int]:
    below: dict[int, list[int]] = {}
    for kind in ("specializationOf", "mentionOf"):
        specific, of = instance[kind].columns[:2]
        for one, two in zip(specific, of, strict=True):
            if NONE not in (one, two):
                below.setdefault(two, []).append(one)
    found: set[int] = set()
    waiting = [one for one in below if one in general]
    while waiting:
        for one in below.get(waiting.pop(), ()):
            if one not in found:
                found.add(one)
                waiting.append(one)
    return found


def _overlaps(instance: Instance, report: Report) -> None:
    """Constraints 53 and 54."""
    blank = instance.names.blank | {NONE}
    identifiers = {kind: set(instance[kind].ids) - blank for kind in _IDENTIFIED}
    elements = {kind: declared(instance, kind) for kind in ELEMENTS}
    pairs = [("constraint-53", pair) for pair in combinations(_DISJOINT, 2)]
    pairs += [("constraint-54", (e, r)) for e in ELEMENTS for r in _IDENTIFIED]
    for rule, (one, two) in pairs:
        first = identifiers.get(one) or elements.get(one) or set()
        both = first & identifiers[two]
        if not both:
            continue
        rows = {name: row for row, name in enumerate(instance[two].ids) if name in both}
        for name, row in rows.items():
            message = f"{instance.label(name)} is the identifier of {one} and of {two}"
            report(rule, instance.where(two, row), message)


def _types(instance: Instance, report: Report) -> None:
    """Constraint 55, with what 50 infers of the ends of statements."""
    found: dict[str, set[int]] = {"entity": set(instance["entity"].ids)}
    found["activity"] = set(instance["activity"].ids)
    for table in instance.tables.values():
        for type_, column in zip(table.kind.types, table.columns, strict=False):
            if type_ in found:
                found[type_].update(column)
    both = (found["entity"] & found["activity"]) - {NONE}
    if not both:
        return
    entities = dict(_inferred(instance, "entity", both))
    activities = dict(_inferred(instance, "activity", both))
    for name in sorted(both):
        told = entities[name] if entities[name][0] not in ELEMENTS else activities[name]
        message = (
            f"{instance.label(name)} is an entity by {instance.statement(*entities[name])} and "
            f"an activity by {instance.statement(*activities[name])}"
        )
        report("constraint-55", instance.where(*told), message)


def _inferred(
    instance: Instance, type_: str, names: set[int]
) -> Iterator[tuple[int, tuple[str, int]]]:
    """Statements that make names of this type; the last of a name is the plainest."""
    for kind, table in reversed(instance.tables.items()):
        columns = list(zip(table.kind.types, table.columns, strict=False))
        if kind == type_:
            columns.append((type_, table.ids))
        for of, column in columns:
            if of == type_:
                for row, name in enumerate(column):
                    if name in names:
                        yield name, (kind, row)


def _unspecified(instance: Instance, report: Report) -> None:
    """Constraint 51."""
    _, _, activities, generations, usages = instance["wasDerivedFrom"].columns
    for row, activity in enumerate(activities):
        if activity == NONE and (generations[row] != NONE or usages[row] != NONE):
            message = (
                f"{instance.statement('wasDerivedFrom', row)} names a generation or usage and "
                "not the activity: name it, or leave both out"
            )
            report("constraint-51", instance.where("wasDerivedFrom", row), message)


def _specializations(instance: Instance, report: Report) -> None:
    """Constraint 52, with the inference that specialization is transitive (19)."""
    order = Order()
    for kind in ("specializationOf", "mentionOf"):
        specific, general = instance[kind].columns[:2]
        for row, (one, two) in enumerate(zip(specific, general, strict=True)):
            if NONE not in (one, two):
                order.add(one, two, (kind, row, ""), strict=True)
    for cycle in order.cycles():
        kind, row, _ = cycle[0][2]
        steps = [f"of {instance.label(target)}" for _, target, _ in cycle]
        if len(steps) > SHOWN:
            steps[SHOWN:] = [f"{len(steps) - SHOWN} steps more"]
        element = instance.label(cycle[0][0])
        message = f"{element} is a specialization {', '.join(steps)}: of itself"
        report("constraint-52", instance.where(kind, row), message)


def _members(instance: Instance, report: Report) -> None:
    """Constraint 56."""
    if not instance.empty:
        return
    empty = instance.empty | _specializing(instance, instance.empty)
    collections, members = instance["hadMember"].columns
    for row, collection in enumerate(collections):
        if collection in empty:
            message = (
                f"{instance.label(collection)} is a prov:EmptyCollection and has "
                f"{instance.label(members[row])} as a member"
            )
            report("constraint-56", instance.where("hadMember", row), message)
