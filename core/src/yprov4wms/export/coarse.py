"""The coarse view of a document: of each workflow run, what went in and what came out.

In the convention of yProv's tools (yProv4Dask, the explorer's reducer): an activity that stands for
others has ``analytics4yprov:level``, the number of reductions; ``:source``, the path of the finer
document; ``:aggregates``, the identifiers there; and the type ``reduced_pipeline``.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from yprov4wms.export.records import Record, Scope, scopes
from yprov4wms.prov.vocabulary import ANALYTICS, ANALYTICS_URI, REDUCED, Level, Link, Type

#: Of what went through the tasks of a run, these are kept.
_DATA = (Type.FILE, Type.COLLECTION, Type.MODEL, Type.DATASET)
_INSIDE = (Link.PART_OF, Link.NESTED)
#: Relations between entities: kept where both their ends are.
_BETWEEN = {
    "wasDerivedFrom": ("prov:generatedEntity", "prov:usedEntity"),
    "hadMember": ("prov:collection", "prov:entity"),
    "wasInfluencedBy": ("prov:influencee", "prov:influencer"),
    "specializationOf": ("prov:specificEntity", "prov:generalEntity"),
    "alternateOf": ("prov:alternate1", "prov:alternate2"),
}
#: What says by which part of a run something was derived.
_PARTS = ("prov:activity", "prov:generation", "prov:usage")

_ENDS = ("prov:activity", "prov:entity")

_Section = dict[str, Record]


def view(content: bytes, source: str | None) -> bytes:
    """The coarse view of a document of ours, PROV-JSON of the same form.

    source: the path of the document, where it has one. Bundles, which are of child runs, are not
    in the view, and neither is what only tasks have: steps, parameters, metrics, files that go
    from one to the next.
    """
    scope = next(scopes(content))
    runs = _Runs(scope)
    flows = _Flows(scope, runs)
    associations = [
        record
        for _, _, record in scope.records(["wasAssociatedWith"])
        if record["prov:activity"] in runs.parts
    ]
    plans = {record["prov:plan"] for record in associations if "prov:plan" in record}
    entities = {
        identifier: record
        for _, identifier, record in scope.records(["entity"])
        if identifier in plans or flows.has(identifier, record)
    }
    attributions = [
        record
        for _, _, record in scope.records(["wasAttributedTo"])
        if record["prov:entity"] in entities
    ]
    known = {record["prov:agent"] for record in (*associations, *attributions)}
    delegations = [
        record
        for _, _, record in scope.records(["actedOnBehalfOf"])
        if {record["prov:delegate"], record["prov:responsible"]} <= known
    ]
    document: dict[str, Any] = {
        "prefix": {**scope.own, ANALYTICS: ANALYTICS_URI},
        "entity": entities,
        "activity": runs.reduced(scope, source),
        "agent": {i: record for _, i, record in scope.records(["agent"]) if i in known},
        "used": _numbered("used", flows.used(entities)),
        "wasGeneratedBy": _numbered("wasGeneratedBy", flows.made(entities)),
        "wasInformedBy": _numbered("wasInformedBy", runs.informed(scope)),
        "wasAssociatedWith": _numbered("wasAssociatedWith", associations),
        "wasAttributedTo": _numbered("wasAttributedTo", attributions),
        "actedOnBehalfOf": _numbered(
            "actedOnBehalfOf", [_without(record, _PARTS) for record in delegations]
        ),
    }
    for section, (one, two) in _BETWEEN.items():
        kept = [
            _without(record, _PARTS)
            for _, _, record in scope.records([section])
            if record[one] in entities and record[two] in entities
        ]
        document[section] = _numbered(section, kept)
    return msgspec.json.encode({name: found for name, found in document.items() if found}) + b"\n"


def _numbered(section: str, records: list[Record]) -> _Section:
    return {f"_:{section}{number}": record for number, record in enumerate(records, 1)}


def _without(record: Record, names: tuple[str, ...]) -> Record:
    return {name: value for name, value in record.items() if name not in names}


class _Runs:
    """Which activity belongs to which run: a workflow's, or in an ML run's document that run.

    ``parts``: by run, the activities that it stands for. ``ids``: of the runs.
    """

    def __init__(self, scope: Scope) -> None:
        levels: dict[str, str | None] = {}
        ids = {}
        for _, identifier, record in scope.records(["activity"]):
            levels[identifier] = record.get("yprov4wfs:level")
            ids[identifier] = record.get("yprov4wms:run_id", record.get("yprov4wms:child_run"))
        top = Level.WORKFLOW if Level.WORKFLOW in levels.values() else Level.ML_RUN
        runs = [identifier for identifier, level in levels.items() if level == top]
        self.ids = {ids[run] for run in runs} - {None}
        deepest = Level.TASK if top == Level.WORKFLOW else Level.ML_CONTEXT
        self._inner = {i for i, level in levels.items() if level is None or level > deepest}
        self.parts: dict[str, list[str]] = {run: [] for run in runs}
        self._of = {run: run for run in runs}
        inside: dict[str, str] = {}
        after: dict[str, str] = {}
        for _, _, record in scope.records(["wasInformedBy"]):
            around = inside if record.get("yprov4wms:link") in _INSIDE else after
            around.setdefault(record["prov:informed"], record["prov:informant"])
        for activity in levels if runs else ():
            if activity not in self.parts:
                run = self._find(activity, inside, after, runs[0])
                self.parts[run].append(activity)

    def _find(
        self, activity: str, inside: dict[str, str], after: dict[str, str], first: str
    ) -> str:
        """The run around it; the first, where nothing ties it to one."""
        way = []
        found: str | None = activity
        while found is not None and found not in self._of:
            way.append(found)
            self._of[found] = first  # for a way that leads back to where it began
            found = inside.get(found) or after.get(found)
        run = first if found is None else self._of[found]
        self._of.update(dict.fromkeys(way, run))
        return run

    def of(self, activity: str) -> str | None:
        return self._of.get(activity)

    def whose(self, activity: str | None) -> str | None:
        """The run whose data an activity used and made: what an ML run in a task did its task
        tells."""
        return None if activity is None or activity in self._inner else self._of.get(activity)

    def reduced(self, scope: Scope, source: str | None) -> _Section:
        """The runs themselves, each for what is in it."""
        found: _Section = {}
        for _, identifier, record in scope.records(["activity"]):
            parts = self.parts.get(identifier)
            if parts is None:
                continue
            if parts:
                record["yprov4wms:further_type"] = record["prov:type"]
                record["prov:type"] = REDUCED
                record[f"{ANALYTICS}:level"] = 1
                if source is not None:
                    record[f"{ANALYTICS}:source"] = source
                record[f"{ANALYTICS}:aggregates"] = parts
            found[identifier] = record
        return found

    def informed(self, scope: Scope) -> list[Record]:
        """How one run came after, or lies in, another."""
        found: dict[tuple[str, str], Record] = {}
        for _, _, record in scope.records(["wasInformedBy"]):
            one, two = record["prov:informed"], self.of(record["prov:informant"])
            if one in self.parts and two is not None and one != two:
                found.setdefault((one, two), {**record, "prov:informant": two})
        return list(found.values())


class _Flow(NamedTuple):
    """What passed between a run and an entity: its only record, and whether the run itself is
    said to have used or made it."""

    record: Record
    direct: bool


class _Flows:
    """What went into runs, and what came out of them."""

    def __init__(self, scope: Scope, runs: _Runs) -> None:
        self._runs = runs.ids
        self._makers: set[str] = set()
        #: By run and entity: what an activity used that made something itself.
        self._passed: set[tuple[str, str]] = set()
        self._made: dict[tuple[str, str], _Flow] = {}
        self._used: dict[tuple[str, str], _Flow] = {}
        for flows, section in ((self._made, "wasGeneratedBy"), (self._used, "used")):
            for _, _, record in scope.records([section]):
                self._add(flows, record, runs)
        users: dict[str, set[str]] = {}
        for run, entity in self._used:
            users.setdefault(entity, set()).add(run)
        outputs = {
            (run, entity): flow
            for (run, entity), flow in self._made.items()
            if flow.direct or (run, entity) not in self._passed or users[entity] - {run}
        }
        self._used = {pair: flow for pair, flow in self._used.items() if pair not in self._made}
        self._made = outputs
        ends = [*self._made.items(), *self._used.items()]
        self._entities = {entity for (_, entity), _ in ends}
        self._direct = {entity for (_, entity), flow in ends if flow.direct}

    def _add(self, flows: dict[tuple[str, str], _Flow], record: Record, runs: _Runs) -> None:
        activity, entity = record.get("prov:activity"), record.get("prov:entity")
        run = runs.whose(activity)
        if run is None or entity is None or activity is None:
            return
        if flows is self._made:
            self._makers.add(activity)
        elif activity in self._makers and activity != run:
            self._passed.add((run, entity))
        flow = _Flow({**record, "prov:activity": run}, activity == run)
        before = flows.get((run, entity))
        flows[run, entity] = flow if before is None else _joined(before, flow)

    def has(self, identifier: str, record: Record) -> bool:
        """Whether an entity is of those that are kept."""
        if identifier not in self._entities or identifier in self._direct:
            return identifier in self._direct
        if record["prov:type"] == Type.BUNDLE:  # the document of a run that stands beside this
            return record.get("yprov4wms:child_run") in self._runs
        return record["prov:type"] in _DATA

    def used(self, entities: _Section) -> list[Record]:
        return [flow.record for (_, e), flow in self._used.items() if e in entities]

    def made(self, entities: _Section) -> list[Record]:
        return [flow.record for (_, e), flow in self._made.items() if e in entities]


def _joined(one: _Flow, two: _Flow) -> _Flow:
    """Of several records the ends are left, and a time that no other differs from."""
    ends = {name: one.record[name] for name in one.record if name in _ENDS}
    times = {flow.record["prov:time"] for flow in (one, two) if "prov:time" in flow.record}
    if len(times) == 1:
        ends["prov:time"] = times.pop()
    return _Flow(ends, one.direct or two.direct)
