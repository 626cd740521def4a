"""Any run becomes a document that keeps the rules, and says of it what the events said."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prov.model import ProvDocument
from tests.yprov4wms.prov.runs import (
    RUN_ID,
    Document,
    Told,
    all_by_label,
    at,
    by_label,
    content_of,
    document_of,
    folded,
    lines_of,
    related,
    runs,
    sha,
    started,
    text_of,
    uris,
)

from yprov4wms import events as e
from yprov4wms.events import File, FileType, Status
from yprov4wms.graph import StepGraph, task_key
from yprov4wms.ml import document as ml_document
from yprov4wms.prov.document import WorkflowDocument
from yprov4wms.prov.names import Names
from yprov4wms.prov.rules import check
from yprov4wms.prov.vocabulary import ELEMENTS, RELATIONS
from yprov4wms.replay import fold
from yprov4wms.run import MLRun, Run
from yprov4wms.store import RunFolder

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
    nodes = {Names().attempt(attempt): attempt.task for attempt in run.attempts()}
    nodes |= {Names().task_plan(task): task.id for task in run.tasks.values() if not task.attempts}
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
        found = document["activity"][Names().attempt(attempt)].get("yprov4wfs:status")
        lost = attempt.end is None and (
            run.end is not None or attempt is not run.tasks[attempt.task].last
        )
        assert found == (None if lost else attempt.status.value)
    statuses = run.statuses()
    for task in run.tasks.values():
        plan = document["entity"].get(Names().task_plan(task))
        assert (plan is None) is bool(task.attempts)
        if plan is not None:
            assert plan["yprov4wfs:status"] == statuses[task.id].value


@patient
@given(runs())
def test_the_document_of_a_run_cut_off_anywhere_keeps_the_rules(told: Told) -> None:
    for cut in range(1, len(told.events) + 1):
        content = content_of(folded(told.events[:cut]), told.children)
        assert problems(content) == []


# -- versions of files ---------------------------------------------------------------------


def file(path: str, content: str = "1", **more: Any) -> File:
    return File(path=path, size=len(content), mtime_ns=7, sha256=sha(content), **more)


def begins(task: str, *inputs: File, attempt: int = 1) -> e.TaskStarted:
    return e.TaskStarted(task=task, attempt=attempt, inputs=list(inputs))


def ends(
    task: str, *outputs: File, attempt: int = 1, status: Status = Status.COMPLETED, **more: Any
) -> e.TaskEnded:
    return e.TaskEnded(task=task, attempt=attempt, status=status, outputs=list(outputs), **more)


def document(*told: e.Event, children: dict[str, bytes] | None = None, **more: Any) -> Document:
    """The document of a completed run; it keeps the rules."""
    events = [started(), *told, e.RunEnded(status=Status.COMPLETED)]
    content = content_of(folded(events), children, **more)
    assert problems(content) == []
    found: Document = json.loads(content)
    return found


def task(name: str, attempt: int = 1) -> str:
    return f"run:task_{name}.{attempt}"


def makers(found: Document, entity: str) -> set[str]:
    return {activity for made, activity in related(found, "wasGeneratedBy") if made == entity}


def users(found: Document, entity: str) -> set[str]:
    return {activity for activity, used in related(found, "used") if used == entity}


def test_a_use_names_the_version_that_was_current_when_the_attempt_began() -> None:
    found = document(
        begins("a"),
        ends("a", file("x", "1")),
        begins("b", file("x", "1")),
        begins("c"),
        ends("c", file("x", "2")),  # overwrites what b uses still
        begins("d", file("x", "2")),
        ends("b"),
        ends("d"),
    )
    versions = all_by_label(found, "x")
    assert len(versions) == 2
    assert {(tuple(makers(found, v)), tuple(users(found, v))) for v in versions} == {
        ((task("a"),), (task("b"),)),
        ((task("c"),), (task("d"),)),
    }


def test_an_overwrite_by_equal_bytes_is_a_new_version() -> None:
    found = document(begins("a"), ends("a", file("x")), begins("b"), ends("b", file("x")))
    versions = all_by_label(found, "x")
    assert len(versions) == 2
    assert {found["entity"][v]["yprov4wms:sha256"] for v in versions} == {sha("1")}


def test_a_retry_makes_a_version_of_its_own_and_follows_the_attempt_before_it() -> None:
    found = document(
        begins("a"),
        ends("a", file("x"), status=Status.FAILED, exit_code=1),
        begins("a", attempt=2),
        ends("a", file("x"), attempt=2),
        e.TaskPlanned(task="b", step="s", depends_on=["a"]),
        begins("b", file("x")),
        ends("b"),
    )
    assert related(found, "wasInformedBy", "retry-of") == [(task("a", 2), task("a"))]
    assert related(found, "wasInformedBy", "depends-on") == [(task("b"), task("a", 2))]
    (used,) = [v for v in all_by_label(found, "x") if users(found, v)]
    assert makers(found, used) == {task("a", 2)}
    assert len(all_by_label(found, "x")) == 2


def test_a_file_updated_in_place_is_used_in_one_version_and_made_in_another() -> None:
    found = document(begins("a", file("x", "1")), ends("a", file("x", "2")))
    (before,) = [v for v in all_by_label(found, "x") if users(found, v)]
    (after,) = [v for v in all_by_label(found, "x") if makers(found, v)]
    assert before != after
    assert found["entity"][before]["yprov4wms:sha256"] == sha("1")


def test_a_file_from_outside_is_one_entity_per_path_and_content() -> None:
    found = document(
        begins("a", file("in", "1")),
        begins("b", file("in", "1")),
        begins("c", file("in", "2")),
        begins("d", file("other", "1")),
        *(ends(name) for name in "abcd"),
    )
    assert sorted(users(found, v) for v in all_by_label(found, "in")) == [
        {task("a"), task("b")},
        {task("c")},
    ]
    assert all(not makers(found, v) for v in all_by_label(found, "in"))


def test_the_reader_of_a_pipe_uses_what_its_writer_makes() -> None:
    """Both run at once: the reader begins before the writer has ended."""
    pipe = File(path="p", type=FileType.FIFO)
    found = document(
        e.TaskPlanned(task="w", step="s"),
        e.TaskPlanned(task="r", step="s", depends_on=["w"]),
        begins("w"),
        begins("r", pipe),
        ends("w", pipe),
        ends("r"),
    )
    entity = by_label(found, "p")
    assert makers(found, entity) == {task("w")}
    assert users(found, entity) == {task("r")}


def test_a_later_version_by_a_task_that_is_not_upstream_is_not_what_was_used() -> None:
    found = document(begins("r", file("x")), begins("w"), ends("w", file("x")), ends("r"))
    (used,) = [v for v in all_by_label(found, "x") if users(found, v)]
    assert makers(found, used) == set()


def test_a_late_checksum_is_that_of_the_version_that_was_read() -> None:
    plain = File(path="x", size=1, mtime_ns=7)
    other = File(path="x", size=2, mtime_ns=9)
    found = document(
        begins("a"),
        ends("a", plain),
        e.FilesHashed(task="a", attempt=1, files=[file("x", "1")]),
        begins("b"),
        ends("b", other),  # whose checksum was never computed
    )
    kept = {
        tuple(makers(found, v)): found["entity"][v].get("yprov4wms:sha256")
        for v in all_by_label(found, "x")
    }
    assert kept == {(task("a"),): sha("1"), (task("b"),): None}


def test_a_missing_file_is_no_entity() -> None:
    gone = File(path="x", type=FileType.MISSING)
    found = document(begins("a", gone), ends("a", gone))
    assert "used" not in found
    assert "wasGeneratedBy" not in found


# -- directories ---------------------------------------------------------------------------


def folder(path: str, *members: str, content: str = "1") -> File:
    return File(
        path=path,
        type=FileType.DIRECTORY,
        mtime_ns=3,
        members=[file(name, content) for name in members],
    )


def test_a_member_of_a_directory_has_a_generation_of_its_own() -> None:
    found = document(
        begins("a"),
        ends("a", folder("d", "x", "e/y")),
        begins("b", file("d/e/y")),
        ends("b"),
    )
    whole, part = by_label(found, "d"), by_label(found, "d/e/y")
    assert found["entity"][whole]["prov:type"] == "prov:Collection"
    assert (whole, part) in related(found, "hadMember")
    assert makers(found, part) == makers(found, whole) == {task("a")}
    assert users(found, part) == {task("b")}


def test_a_file_in_a_directory_that_is_not_among_its_listed_members_is_from_outside() -> None:
    cut = File(path="d", type=FileType.DIRECTORY, mtime_ns=3, members=[file("x")], member_count=99)
    found = document(begins("a"), ends("a", cut), begins("b", file("d/z")), ends("b"))
    assert makers(found, by_label(found, "d/z")) == set()
    count = found["entity"][by_label(found, "d")]["yprov4wms:member_count"]
    assert count == {"$": "99", "type": "xsd:int"}


def test_members_that_a_later_checksum_lists_are_there() -> None:
    plain = File(path="d", type=FileType.DIRECTORY, mtime_ns=3)
    found = document(
        begins("a"),
        ends("a", plain),
        begins("b", file("d/x")),
        ends("b"),
        e.FilesHashed(
            task="a",
            attempt=1,
            files=[
                File(
                    path="d",
                    type=FileType.DIRECTORY,
                    mtime_ns=3,
                    sha256=sha("d"),
                    members=[file("x")],
                )
            ],
        ),
    )
    assert makers(found, by_label(found, "d/x")) == {task("a")}
    assert users(found, by_label(found, "d/x")) == {task("b")}


def test_directories_from_outside_that_differ_inside_alone_are_two() -> None:
    """What lies deeper does not change a directory's own time."""
    found = document(
        begins("a", File(**_without_sha(folder("d", "e/x", content="1")))),
        ends("a"),
        begins("b", File(**_without_sha(folder("d", "e/x", content="22")))),
        ends("b"),
    )
    assert len(all_by_label(found, "d")) == 2
    assert len(all_by_label(found, "d/e/x")) == 2


def _without_sha(found: File) -> dict[str, Any]:
    members = [File(path=m.path, size=m.size, mtime_ns=m.mtime_ns) for m in found.members or []]
    return {"path": found.path, "type": found.type, "mtime_ns": found.mtime_ns, "members": members}


def test_what_is_known_of_a_member_is_there_inside_and_outside() -> None:
    member = File(path="x", size=9, mtime_ns=1, note="larger than the hash limit", target="y")
    found = document(
        begins("a", File(path="in", type=FileType.DIRECTORY, members=[member])),
        ends("a", File(path="out", type=FileType.DIRECTORY, members=[member])),
    )
    for path in ("in/x", "out/x"):
        entity = found["entity"][by_label(found, path)]
        assert entity["yprov4wms:note"] == "larger than the hash limit"
        assert entity["yprov4wms:link_target"] == "y"


# -- statuses and ends ---------------------------------------------------------------------


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled", "cached"])
def test_an_attempt_has_the_status_it_ended_with(status: str) -> None:
    found = document(begins("a"), ends("a", status=Status(status), exit_code=-9, signal=9))
    activity = found["activity"][task("a")]
    assert activity["yprov4wfs:status"] == status
    assert activity["yprov4wms:exit_code"] == {"$": "-9", "type": "xsd:int"}


@pytest.mark.parametrize("status", ["skipped", "up-to-date", "upstream-failed", "not-started"])
def test_a_task_that_never_ran_is_a_plan_with_a_status_and_no_activity(status: str) -> None:
    found = document(
        e.TaskPlanned(task="a", step="s"),
        e.TaskNotRun(task="a", status=Status(status), reason="why", outputs=[file("x")]),
    )
    plan = found["entity"]["run:plan_a"]
    assert plan["yprov4wfs:status"] == status
    assert plan["yprov4wms:reason"] == "why"
    assert plan["prov:type"] == "prov:Plan"
    assert ("run:plan_a", Names().step("s")) in related(found, "wasDerivedFrom")
    assert ("run:plan_a", by_label(found, "x")) in related(found, "hadMember")
    assert list(found["activity"]) == ["run:workflow_run"]


def test_a_step_depends_on_what_its_tasks_depend_on() -> None:
    """Also where an engine learnt of it later, as Snakemake after a checkpoint."""
    found = document(
        e.StepDeclared(step="one"),
        e.StepDeclared(step="agg", depends_on=["one"]),
        e.TaskPlanned(task="m", step="made"),
        e.TaskPlanned(task="o1", step="one", depends_on=["m"]),
        e.TaskPlanned(task="o2", step="one", depends_on=["m", "o1"]),
        e.TaskPlanned(task="a", step="agg", depends_on=["o1", "o2"]),
        *(begins(name) for name in ("m", "o1", "o2", "a")),
        *(ends(name) for name in ("m", "o1", "o2", "a")),
    )
    assert sorted(related(found, "wasInfluencedBy", "depends-on")) == [
        (Names().step("agg"), Names().step("one")),
        (Names().step("one"), Names().step("made")),
    ]


def test_what_depends_on_a_failure_says_on_which() -> None:
    found = document(
        e.TaskPlanned(task="a", step="s"),
        e.TaskPlanned(task="b", step="s", depends_on=["a"]),
        e.TaskPlanned(task="c", step="s", depends_on=["b"]),
        begins("a"),
        ends("a", status=Status.FAILED),
    )
    assert found["entity"]["run:plan_b"]["yprov4wms:reason"] == "depends on a"
    assert found["entity"]["run:plan_c"]["yprov4wms:reason"] == "depends on b"
    assert related(found, "wasInfluencedBy", "depends-on") == [
        ("run:plan_b", task("a")),
        ("run:plan_c", "run:plan_b"),
    ]


def test_a_task_that_ran_after_one_that_was_up_to_date_depends_on_its_plan() -> None:
    found = document(
        e.TaskPlanned(task="a", step="s"),
        e.TaskNotRun(task="a", status=Status.UP_TO_DATE),
        e.TaskPlanned(task="b", step="s", depends_on=["a", "a", "unknown"]),
        begins("b"),
        ends("b"),
    )
    assert related(found, "wasInfluencedBy", "depends-on") == [(task("b"), "run:plan_a")]


def test_an_attempt_without_an_end_runs_on_in_a_run_without_an_end() -> None:
    content = content_of(folded([started(), begins("a")]))
    assert problems(content) == []
    activities = json.loads(content)["activity"]
    for name in (task("a"), "run:workflow_run"):
        assert activities[name]["yprov4wfs:status"] == "running"
        assert "prov:endTime" not in activities[name]


def test_a_lost_end_is_no_status_and_no_time() -> None:
    found = document(begins("a"), begins("b"), begins("b", attempt=2), ends("b", attempt=2))
    for name in (task("a"), task("b")):
        assert "yprov4wfs:status" not in found["activity"][name]
        assert "prov:endTime" not in found["activity"][name]


def test_a_lost_start_is_no_time_and_no_inputs() -> None:
    found = document(ends("a", file("x")))
    assert "prov:startTime" not in found["activity"][task("a")]
    assert makers(found, by_label(found, "x")) == {task("a")}


def test_when_a_process_ran_stands_before_when_its_events_came() -> None:
    found = document(begins("a"), ends("a", began=at(2), finished=at(3)))
    activity = found["activity"][task("a")]
    assert (activity["prov:startTime"], activity["prov:endTime"]) == (at(2), at(3))
    assert activity["yprov4wfs:execution_time_sec"] == {"$": "1.0", "type": "xsd:double"}


@pytest.mark.parametrize(
    "times",
    [
        {"began": at(9), "finished": at(3)},
        {"began": "yesterday"},
        {"finished": "2026-99-99T99:99:99.999999+00:00"},
        {"began": "2026-02-30T10:00:00.000000+00:00"},
        {"began": "2026-W09-7T10:00:00.000000+00:00"},
        {"began": at(3)[:-6] + "+01:00"},
    ],
)
def test_a_time_that_cannot_be_leaves_those_of_the_events(times: dict[str, str]) -> None:
    found = document(begins("a"), ends("a", **times))
    activity = found["activity"][task("a")]
    assert (activity["prov:startTime"], activity["prov:endTime"]) == (at(2), at(3))


def test_a_run_that_another_host_says_ended_before_it_began_has_no_start() -> None:
    told = lines_of([started()])
    (end,) = lines_of([e.RunEnded(status=Status.COMPLETED)])
    end = end.replace(b'"writer":"w"', b'"writer":"other"').replace(b"10:00:01", b"09:00:00")
    run = fold([("a", told), ("b", [end])])
    assert isinstance(run, Run)
    content = content_of(run)
    assert problems(content) == []
    assert "prov:startTime" not in json.loads(content)["activity"]["run:workflow_run"]


# -- what is said of runs and attempts -----------------------------------------------------


def value(found: Any) -> Any:
    if isinstance(found, dict):
        return float(found["$"]) if found["type"] == "xsd:double" else int(found["$"])
    return found


def test_an_attempt_has_all_that_its_events_say() -> None:
    start = e.TaskStarted(
        task="a",
        attempt=1,
        command="do it",
        script=file("s.py"),
        parameters={"lr": 0.1, "deep": {"er": [1, None]}, "flag": True, "none": None, "": 1},
        wildcards={"sample": "A 1"},
        threads=4,
        resources={"mem_mb": 2**40, "huge": 2**80},
        reason="Missing output",
        host="h1",
        attributes={"prio": 1},
        software=[e.Software(name="env.yaml", kind="conda", sha256=sha("c"))],
    )
    end = ends(
        "a",
        status=Status.FAILED,
        exit_code=1,
        error='line 1\n"line" 2',
        host="h2",
        processes=[e.Process(pid=7, started=at(2)), e.Process(pid=8, started=at(2))],
        usage={
            "cpu_time": e.Figure("s", "wait4", 1.5),
            "memory_peak": e.Figure("B", "rss-sum-sampled", 2e6, scope="tree"),
            "energy": e.Figure("J", "cpu-time*2-12W", None, 3.0, 18.0),
        },
    )
    found = document(start, e.TaskSubmitted(task="a", attempt=1, external_id="77"), end)
    activity = {name: value(v) for name, v in found["activity"][task("a")].items()}
    assert (
        activity
        | {
            "yprov4wms:command": "do it",
            "yprov4wms:script": "s.py",
            "yprov4wms:script_sha256": sha("1"),
            "yprov4wms:param_lr": 0.1,
            "yprov4wms:param_deep.er": "[1,null]",
            "yprov4wms:param_flag": True,
            "yprov4wms:param_": 1,
            "yprov4wms:wildcard_sample": "A 1",
            "yprov4wms:threads": 4,
            "yprov4wms:resource_mem_mb": 2**40,
            "yprov4wms:resource_huge": str(2**80),
            "yprov4wms:reason": "Missing output",
            "yprov4wms:host": "h2",
            "yprov4wms:engine_prio": 1,
            "yprov4wms:external_id": "77",
            "yprov4wms:exit_code": 1,
            "yprov4wms:error": 'line 1\n"line" 2',
            "yprov4wms:pid": 7,
            "yprov4wms:started_processes": 2,
            "yprov4wms:cpu_time": 1.5,
            "yprov4wms:cpu_time_unit": "s",
            "yprov4wms:cpu_time_method": "wait4",
            "yprov4wms:memory_peak_scope": "tree",
            "yprov4wms:energy_low": 3.0,
            "yprov4wms:energy_high": 18.0,
            "yprov4wfs:ram_usage_mb": 2.0,
            "yprov4wfs:level": "1",
        }
        == activity
    )
    assert "yprov4wms:energy" not in activity
    assert activity["yprov4wms:param_none"] == "null"
    assert found["activity"][task("a")]["yprov4wms:resource_mem_mb"]["type"] == "xsd:long"
    assert (task("a"), by_label(found, "env.yaml")) in related(found, "used")


def test_keys_that_would_be_one_attribute_are_both_there() -> None:
    found = document(
        e.TaskStarted(
            task="a",
            attempt=1,
            parameters={"m": {"lr": 1}, "m_lr": 2, "m.lr": 3, "m lr": 4, "größe": 5},
        ),
        ends("a"),
    )
    attempt = found["activity"][task("a")]
    names = {k.removeprefix("yprov4wms:param_"): value(v) for k, v in attempt.items()}
    assert (names["m.lr"], names["m_lr"], names["m.lr_"]) == (1, 2, 3)
    named = {v: names[k.removesuffix("_name")] for k, v in names.items() if k.endswith("_name")}
    assert named == {"m.lr": 3, "m lr": 4, "größe": 5}


def test_parameters_nested_without_end_do_not_end_the_export() -> None:
    deep: dict[str, Any] = {}
    for _ in range(400):
        deep = {"k": deep, "v": 1}
    found = document(e.TaskStarted(task="a", attempt=1, parameters=deep), ends("a"))
    assert found["activity"][task("a")]["yprov4wms:param_v"] == {"$": "1", "type": "xsd:int"}


def test_carbon_is_told_only_with_an_intensity_that_was_given() -> None:
    end = ends("a", usage={"energy": e.Figure("J", "rapl", 3.6e6)})
    events = [started(), end, e.RunEnded(status=Status.COMPLETED)]
    assert "carbon" not in json.dumps(document_of(folded(events)))
    given = e.Figure("g/kWh", "given", 300.0)
    found = document_of(folded([started(carbon_intensity=given), *events[1:]]))
    assert value(found["activity"][task("a")]["yprov4wfs:carbon_footprint_kg"]) == 0.3


def test_the_run_has_agents_plan_code_configuration_and_environment() -> None:
    found = document_of(
        folded(
            [
                started(
                    command=["snakemake", "-c1"],
                    main_file=file("Snakefile"),
                    files=[file("config.yaml", role="config")],
                    config={"lr": 0.1},
                    git=e.Git(commit="c0ffee", branch="main", dirty=True, changed=["a", "b"]),
                    person=e.Person(login="ada", name="Ada", orcid="0000-0002-1825-0097"),
                    software=[
                        e.Software(name="yprov", kind="plugin", version="1"),
                        e.Software(name="numpy", kind="package", version="2"),
                    ],
                    parent=e.Parent(run="r", task="t", attempt=2),
                    executor="slurm",
                ),
                e.StepDeclared(step="s", code="x = 1", line=7, script=file("s.py")),
                e.RecorderFailed(where="here", error="E: x"),
            ]
        )
    )
    workflow, run = found["entity"]["run:workflow"], found["activity"]["run:workflow_run"]
    assert workflow["yprov4wms:sha256"] == sha("1")
    assert workflow["yprov4wms:git_commit"] == "c0ffee"
    assert workflow["yprov4wms:git_dirty"] is True
    assert workflow["yprov4wms:git_changed"] == "a\nb"
    assert workflow["yprov4wms:config_lr"] == {"$": "0.1", "type": "xsd:double"}
    assert run["yprov4wms:executor"] == "slurm"
    assert run["yprov4wms:parent_run"] == "r"
    assert run["yprov4wms:recorder_failure"] == "here: E: x"
    assert found["agent"]["run:person"]["yprov4wms:orcid"].endswith("0000-0002-1825-0097")
    assert ("run:engine", "run:person") in related(found, "actedOnBehalfOf")
    assert ("run:workflow", Names().step("s")) in related(found, "hadMember")
    environment = found["entity"]["run:environment"]
    assert environment["yprov4wms:version_numpy"] == "2"
    assert ("run:workflow_run", by_label(found, "config.yaml")) in related(found, "used")
    assert {agent for _, agent in related(found, "wasAssociatedWith")} == set(found["agent"])


def test_a_container_that_ran_is_what_its_members_are_part_of() -> None:
    found = document(
        e.TaskPlanned(task="sub", step="s"),
        e.TaskPlanned(task="in", step="s", parent="sub"),
        e.TaskPlanned(task="lost", step="s", parent="never ran"),
        begins("sub"),
        begins("in"),
        ends("in"),
        ends("sub"),
        begins("lost"),
        ends("lost"),
    )
    assert set(related(found, "wasInformedBy", "part-of")) == {
        (task("in"), task("sub")),
        (task("sub"), "run:workflow_run"),
        (task("lost"), "run:workflow_run"),
    }


def test_containers_in_a_circle_lie_in_the_run() -> None:
    found = document(
        e.TaskPlanned(task="a", step="s", parent="b"),
        e.TaskPlanned(task="b", step="s", parent="a"),
        begins("a"),
        ends("a"),
        begins("b"),
        ends("b"),
    )
    assert {outer for _, outer in related(found, "wasInformedBy", "part-of")} == {
        "run:workflow_run"
    }


def test_names_that_read_the_same_when_made_safe_stay_apart() -> None:
    names = ["a b", "a_b", "a/b", "a-b", "é", "è", "x" * 90 + "1", "x" * 90 + "2", ".", ""]
    told = [event for name in names for event in (begins(name), ends(name))]
    found = document(*told, *(e.StepDeclared(step=name) for name in names))
    attempts = [k for k in found["activity"] if k.startswith("run:task_")]
    assert len(attempts) == len(names)
    steps = [k for k in found["entity"] if k.startswith("run:step_")]
    assert len(steps) == len(names)  # that of the tasks, whose step nobody told, is ""


def test_progress_is_told() -> None:
    told = [event for n in range(2500) for event in (begins(str(n)), ends(str(n)))]
    seen: list[int] = []
    writer = WorkflowDocument(
        folded([started(), *told]), lambda child: None, progress=seen.append
    ).build()
    assert seen == [0, 1000, 2000]
    assert len(json.loads(text_of(writer))["activity"]) == 2501


def test_an_ml_runs_person_without_a_name_is_still_an_agent_with_a_label() -> None:
    told = lines_of([e.MLRunStarted(experiment="x", person=e.Person(orcid="0000"))], "r")
    run = fold([("ml", told)])
    assert isinstance(run, MLRun)
    assert problems(text_of(ml_document.build(run, RunFolder("/nowhere")))) == []


@pytest.mark.parametrize("first", [True, False])
def test_of_a_directory_that_is_two_outputs_the_members_are_told(first: bool) -> None:
    inside = File(path="x", size=1, mtime_ns=1)
    outputs = [
        File(path="d", type=FileType.DIRECTORY, mtime_ns=1, members=members, role=role)
        for members, role in ((None, "a"), ([inside], "b"))
    ]
    used = [File(path="d/x", type=FileType.MISSING)]
    told = [
        started(),
        e.TaskEnded(
            task="a", attempt=1, status=Status.COMPLETED, outputs=outputs[:: 1 if first else -1]
        ),
        e.TaskStarted(task="b", attempt=1, inputs=used),
    ]
    content = content_of(folded(told))
    assert problems(content) == []
    found = json.loads(content)
    member, directory = by_label(found, "d/x"), by_label(found, "d")
    assert related(found, "hadMember")[-1:] == [(directory, member)]
    assert ("run:task_b.1", member) in related(found, "used")
