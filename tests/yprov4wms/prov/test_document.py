"""Any run becomes a document that keeps the rules, and says of it what the events said."""

from __future__ import annotations

import json
import random
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prov.model import ProvDocument
from tests.yprov4wms.prov.runs import (
    RUN_ID,
    Document,
    Told,
    content_of,
    document_of,
    folded,
    lines_of,
    related,
    runs,
    uris,
)

from yprov4wms import events as e
from yprov4wms.graph import StepGraph, task_key
from yprov4wms.prov.document import attempt_id, task_plan_id
from yprov4wms.prov.rules import check
from yprov4wms.prov.vocabulary import ELEMENTS, RELATIONS
from yprov4wms.replay import fold
from yprov4wms.run import Run

nests = st.sampled_from(["flatten", "bundle", "link"])
#: Runs are large for hypothesis, and machines may be slow.
patient = settings(deadline=None, suppress_health_check=list(HealthCheck))


def problems(content: bytes) -> list[str]:
    return [f"{p.rule}: {p.where}: {p.message}" for p in check(content)]


# -- any run -------------------------------------------------------------------------------


@patient
@given(runs(), nests)
def test_the_document_of_any_run_keeps_the_rules(told: Told, nest: str) -> None:
    assert problems(content_of(folded(told.events), told.children, nest)) == []


@patient
@given(runs(), nests)
def test_prov_reads_all_of_the_document_of_any_run_and_writes_it_back_equal(
    told: Told, nest: str
) -> None:
    content = content_of(folded(told.events), told.children, nest).decode()
    document = ProvDocument.deserialize(content=content, format="json")
    again = ProvDocument.deserialize(content=document.serialize(format="json"), format="json")
    assert again == document
    assert_all_is_read(json.loads(content), document)


def assert_all_is_read(written: Document, read: Any) -> None:
    for section in (*ELEMENTS, *RELATIONS):
        found = written.get(section, {})
        count = sum(
            1 for record in read.get_records() if _SECTIONS[record.get_type().localpart] == section
        )
        assert count == len(found), section
        for identifier, values in found.items() if section in ELEMENTS else ():
            records = read.get_record(identifier)
            (record,) = [r for r in records if _SECTIONS[r.get_type().localpart] == section]
            expected = sum(
                len(set(map(str, v))) if isinstance(v, list) else 1 for v in values.values()
            )
            assert len(record.attributes) == expected, (identifier, values, record.attributes)
    bundles = {str(bundle.identifier) for bundle in read.bundles}
    assert bundles == set(written.get("bundle", {}))


def _count(value: Any) -> int:
    return len(set(map(str, value))) if isinstance(value, list) else 1


_SECTIONS = {
    "Entity": "entity",
    "Activity": "activity",
    "Agent": "agent",
    "Usage": "used",
    "Generation": "wasGeneratedBy",
    "Communication": "wasInformedBy",
    "Association": "wasAssociatedWith",
    "Attribution": "wasAttributedTo",
    "Derivation": "wasDerivedFrom",
    "Delegation": "actedOnBehalfOf",
    "Membership": "hadMember",
    "Influence": "wasInfluencedBy",
}


@patient
@given(runs(), nests, st.randoms(use_true_random=False))
def test_a_second_export_is_the_same_bytes_whatever_the_order_of_the_files(
    told: Told, nest: str, rng: random.Random
) -> None:
    lines = lines_of(told.events)
    first = content_of(folded(told.events), told.children, nest)
    shuffled = lines + rng.sample(lines, len(lines) // 2)
    rng.shuffle(shuffled)
    run = fold([("a", shuffled[::2]), ("b", shuffled[1::2])])
    assert isinstance(run, Run)
    assert content_of(run, told.children, nest) == first


@patient
@given(runs())
def test_two_runs_share_no_identifier(told: Told) -> None:
    told = Told([event for event in told.events if not isinstance(event, e.ChildAttached)], {})
    one = uris(document_of(folded(told.events)))
    two = uris(document_of(folded(told.events, "0198f3a0-0000-7000-8000-00000000000f")))
    assert one & two == set()
    assert all(uri.startswith(f"urn:uuid:{RUN_ID}#") for uri in one)


@patient
@given(runs())
def test_dependencies_are_those_of_the_step_graph(told: Told) -> None:
    run = folded(told.events)
    document = document_of(run, told.children)
    nodes = {attempt_id(attempt): attempt.task for attempt in run.attempts()}
    nodes |= {task_plan_id(task): task.id for task in run.tasks.values() if not task.attempts}
    found = {
        (nodes[before], nodes[after])
        for section in ("wasInformedBy", "wasInfluencedBy")
        for after, before in related(document, section, "depends-on")
        if after in nodes
    }
    # A container that also depends on its member is one edge of the graph: that of the nesting.
    found -= {(task.id, task.parent) for task in run.tasks.values()}
    graph = StepGraph.of(run).tasks()
    known = {task_key(task): task for task in run.tasks}
    assert found == {(known[one], known[two]) for one, two in graph.edges() if one in known}


@patient
@given(runs())
def test_every_attempt_and_every_task_that_never_ran_is_there_with_its_status(told: Told) -> None:
    run = folded(told.events)
    document = document_of(run, told.children)
    for attempt in run.attempts():
        found = document["activity"][attempt_id(attempt)].get("yprov4wfs:status")
        lost = attempt.end is None and (
            run.end is not None or attempt is not run.tasks[attempt.task].last
        )
        assert found == (None if lost else attempt.status.value)
    statuses = run.statuses()
    for task in run.tasks.values():
        plan = document["entity"].get(task_plan_id(task))
        assert (plan is None) is bool(task.attempts)
        if plan is not None:
            assert plan["yprov4wfs:status"] == statuses[task.id].value


@patient
@given(runs())
def test_the_document_of_a_run_cut_off_anywhere_keeps_the_rules(told: Told) -> None:
    for cut in range(1, len(told.events) + 1):
        content = content_of(folded(told.events[:cut]), told.children)
        assert problems(content) == []
