"""What processes other than the engine's main one tell of a run: in any order it is the same."""

from __future__ import annotations

import json
import random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.yprov4wms.prov.runs import (
    RUN_ID,
    Document,
    at,
    content_of,
    document_of,
    related,
    started,
    uris,
)

from yprov4wms import events as e
from yprov4wms.events import Figure, File, FileType, Parent, Process, Status
from yprov4wms.prov.rules import check
from yprov4wms.replay import fold
from yprov4wms.run import Run, added

OTHER = "01939f3e-0000-7000-8000-00000000000f"


def told(writer: str, *events: tuple[int, e.Event], run: str = RUN_ID) -> list[bytes]:
    """The journal of one writer: events with their seconds."""
    lines = []
    for seq, (second, event) in enumerate(events, 1):
        event.v, event.time, event.writer, event.seq, event.run = 1, at(second), writer, seq, run
        lines.append(msgspec.json.encode(event) + b"\n")
    return lines


def folded(*journals: list[bytes]) -> Run:
    found = fold([(f"j{number}", lines) for number, lines in enumerate(journals)])
    assert isinstance(found, Run)
    assert not found.problems
    return found


def valid(run: Run) -> Document:
    content = content_of(run)
    assert [f"{p.rule}: {p.message}" for p in check(content)] == []
    found: Document = json.loads(content)
    return found


def figure(value: float) -> Figure:
    return Figure(unit="s", method="getrusage", value=value)


def process_of(task: str, second: int, attempt: int = 1, **more: Any) -> list[bytes]:
    """What a task's process tells: it began at a second, and was done two later."""
    inputs = more.pop("inputs", None)
    executing = e.TaskExecuting(
        task=task,
        attempt=attempt,
        host="worker",
        pid=second,
        inputs=inputs,
        script=File(path="/dags/dag.py", sha256="a" * 64),
        parameters={"rate": 0.5},
        attributes={"python": "3.11"},
    )
    executed = e.TaskExecuted(
        task=task,
        attempt=attempt,
        status=more.pop("status", Status.COMPLETED),
        processes=[Process(pid=second, started=at(second), ended=at(second + 2))],
        usage={"cpu_time": figure(1.5)},
        **more,
    )
    return told(f"worker-{second}", (second, executing), (second + 2, executed))


def engine(*events: e.Event, second: int = 100) -> list[bytes]:
    """What the engine tells at the end."""
    ends = e.RunEnded(status=Status.COMPLETED, finished=at(90))
    return told(
        "engine", (second, started(began=at(0))), *((second, x) for x in events), (second, ends)
    )


def ended(task: str, began: int, finished: int, attempt: int = 1, **more: Any) -> e.TaskEnded:
    return e.TaskEnded(
        task=task,
        attempt=attempt,
        status=more.pop("status", Status.COMPLETED),
        began=at(began),
        finished=at(finished),
        attributes={"state": "success"},
        **more,
    )


def planned(task: str, *before: str) -> e.TaskPlanned:
    return e.TaskPlanned(task=task, step=task, depends_on=list(before))


def test_an_attempt_that_only_its_process_and_the_end_tell_of() -> None:
    run = folded(engine(planned("a"), ended("a", 9, 13)), process_of("a", 10))
    (activity,) = [v for v in valid(run)["activity"].values() if v.get("yprov4wms:task") == "a"]
    assert (activity["prov:startTime"], activity["prov:endTime"]) == (at(9), at(13))
    assert activity["yprov4wms:host"] == "worker"
    assert activity["yprov4wms:script_sha256"] == "a" * 64
    assert activity["yprov4wms:param_rate"]["$"] == "0.5"
    assert activity["yprov4wms:engine_python"] == "3.11"
    assert activity["yprov4wms:engine_state"] == "success"
    assert activity["yprov4wms:cpu_time"]["$"] == "1.5"


def test_the_engine_has_the_last_word_on_a_status_and_the_process_on_the_error() -> None:
    failed = process_of("a", 10, status=Status.FAILED, error="ValueError: no")
    run = folded(engine(planned("a"), ended("a", 9, 13)), failed)
    assert run.statuses() == {"a": Status.COMPLETED}
    end = run.tasks["a"].attempts[0].end
    assert end is not None
    assert end.error is None
    run = folded(engine(planned("a"), ended("a", 9, 13, status=Status.FAILED)), failed)
    end = run.tasks["a"].attempts[0].end
    assert end is not None
    assert end.error == "ValueError: no"


def test_a_process_that_ran_may_say_that_it_was_skipped() -> None:
    run = folded(engine(planned("a")), process_of("a", 10, status=Status.SKIPPED))
    assert run.statuses() == {"a": Status.SKIPPED}
    assert valid(run)["activity"]["run:task_a.1"]["yprov4wfs:status"] == "skipped"


def test_an_attempt_in_several_processes_adds_up() -> None:
    executing = e.TaskExecuting(task="a", attempt=1, host="first", pid=1)
    suspended = e.TaskSuspended(
        task="a",
        attempt=1,
        reason="deferred",
        began=at(5),
        processes=[Process(pid=1, started=at(5), ended=at(6))],
        usage={"cpu_time": figure(0.5), "memory_peak": Figure("B", "rss", 900.0)},
    )
    first = told("worker-5", (5, executing), (6, suspended))
    run = folded(engine(planned("a"), ended("a", 9, 13)), process_of("a", 10), first)
    activity = valid(run)["activity"]["run:task_a.1"]
    assert activity["prov:startTime"] == at(5)  # Airflow's own start is that of the last process
    assert activity["yprov4wms:started_processes"]["$"] == "2"
    assert activity["yprov4wms:cpu_time"]["$"] == "2.0"
    assert activity["yprov4wms:memory_peak_scope"] == "1 of 2 processes"


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=5))
def test_sums_of_processes_and_the_largest_of_peaks(values: list[float]) -> None:
    found = added([{"cpu_time": figure(v), "memory_peak": Figure("B", "rss", v)} for v in values])
    assert found is not None
    assert found["cpu_time"].value == pytest.approx(sum(values))
    assert found["memory_peak"].value == max(values)
    assert found["cpu_time"].scope is None


def test_notes_of_others_count_where_nobody_else_knows() -> None:
    note = e.TaskNoted(task="a", attempt=1, error="lost by its worker", attributes={"by": "hand"})
    noted = told("server", (20, note))
    run = folded(engine(planned("a"), ended("a", 9, 13, status=Status.FAILED)), noted)
    activity = valid(run)["activity"]["run:task_a.1"]
    assert activity["yprov4wms:error"] == "lost by its worker"
    assert activity["yprov4wms:engine_by"] == "hand"
    assert activity["yprov4wms:engine_state"] == "success"
    told_itself = process_of("a", 10, status=Status.FAILED, error="its own")
    run = folded(engine(planned("a"), ended("a", 9, 13, status=Status.FAILED)), noted, told_itself)
    assert valid(run)["activity"]["run:task_a.1"]["yprov4wms:error"] == "its own"
    begun = told("worker", (5, e.TaskExecuting(task="a", attempt=1)))
    run = folded(told("engine", (1, started()), (2, planned("a"))), begun, noted)
    assert valid(run)["activity"]["run:task_a.1"]["yprov4wms:engine_by"] == "hand"
    run = folded(told("engine", (1, started()), (2, planned("a"))), noted)
    assert run.tasks["a"].attempts == []  # to be told of is not to run


@pytest.mark.parametrize("late", [0, 3600])
def test_what_was_used_is_decided_by_times_and_not_by_when_it_was_told(late: int) -> None:
    data = File(path="data.csv", sha256="1" * 64)
    maker = process_of("make", 10 + late, outputs=[data])  # its clock, or its hooks, are late
    reader = process_of("read", 20, inputs=[File(path="data.csv")])
    run = folded(
        engine(
            planned("make"),
            planned("read", "make"),
            ended("make", 9, 13),
            ended("read", 19, 23),
            second=4000,
        ),
        reader,
        maker,
    )
    found = valid(run)
    ((made, by),) = list(related(found, "wasGeneratedBy"))
    assert by == "run:task_make.1"
    assert ("run:task_read.1", made) in related(found, "used")


def test_a_task_that_did_not_run_then_and_ran_later_is_both() -> None:
    before = e.TaskNotRun(
        task="a", status=Status.UPSTREAM_FAILED, before=0, attributes={"state": "upstream_failed"}
    )
    run = folded(engine(planned("a"), before, ended("a", 9, 13)))
    found = valid(run)
    assert run.statuses() == {"a": Status.COMPLETED}
    (plan,) = [v for v in found["entity"].values() if v.get("yprov4wms:task") == "a"]
    assert plan["yprov4wfs:status"] == "upstream-failed"
    assert "run:task_a.1" in found["activity"]


def test_a_task_that_ran_and_then_was_not_to_run_again_is_both() -> None:
    after = e.TaskNotRun(task="a", status=Status.SKIPPED)
    run = folded(engine(planned("a"), ended("a", 9, 13), after))
    assert run.statuses() == {"a": Status.SKIPPED}
    found = valid(run)
    (plan,) = [v for v in found["entity"].values() if v.get("yprov4wms:task") == "a"]
    assert plan["yprov4wfs:status"] == "skipped"
    assert found["activity"]["run:task_a.1"]["yprov4wfs:status"] == "completed"


def test_a_start_is_told_by_several_and_each_adds_what_it_knows() -> None:
    early = started(files=[File(path="in", sha256="2" * 64)])
    early.workflow, early.config = "w", {"a": 1}
    run = folded(told("worker", (1, early)), engine(planned("a"), second=50))
    assert run.times() == (at(0), at(90))
    assert run.start.config == {"a": 1}
    assert [file.path for file in run.start.files or ()] == ["in"]
    valid(run)


def test_the_file_of_the_workflow_is_as_a_task_has_read_it() -> None:
    first = started(began=at(0), main_file=File(path="/dags/dag.py"))
    run = folded(told("engine", (0, first), (1, planned("a"))), process_of("a", 10))
    assert run.start.main_file is not None
    assert run.start.main_file.sha256 == "a" * 64


def test_a_run_that_is_begun_again_has_no_end_until_the_next() -> None:
    again = started(began=at(200))
    run = folded(engine(planned("a")), told("engine-2", (210, again)))
    assert run.end is None
    assert run.status is Status.RUNNING
    # A worker whose clock is ahead tells of the same start, and not of another.
    run = folded(engine(planned("a")), told("worker", (210, started())))
    assert run.end is not None


def test_another_run_of_the_same_id_is_not_mixed_with_the_one_before() -> None:
    first, second = started(began=at(0), serial="1"), started(began=at(200), serial="2")
    first.config, second.config = {"conf": {"who": "first"}}, {"conf": {"who": "second"}}
    run = folded(
        told("one", (0, first), (100, planned("old")), (100, ended("old", 9, 13))),
        told("two", (201, second), (300, planned("new")), (300, ended("new", 209, 213))),
    )
    assert list(run.tasks) == ["new"]
    assert run.start.config == {"conf": {"who": "second"}}
    assert run.times()[0] == at(200)
    valid(run)


def test_who_knows_the_run_as_it_is_by_now_has_the_last_word_on_it() -> None:
    first, second = started(began=at(0), serial="1"), started(began=at(200), serial="1")
    first.attributes, second.attributes = {"clear_number": 1, "a": 1}, {"clear_number": 3}
    late = started()
    late.attributes = {"clear_number": 0}
    run = folded(told("one", (0, first)), told("two", (201, second)), told("task", (202, late)))
    assert run.start.attributes == {"clear_number": 3, "a": 1}
    assert run.times()[0] == at(0)


def test_what_one_run_publishes_and_another_was_given_is_one_entity() -> None:
    asset = File(path="s3://b/x", type=FileType.ASSET, name="x", published=True)
    made = folded(engine(planned("make[1]"), ended("make[1]", 9, 13, outputs=[asset])))
    given_ = File(
        path="s3://b/x",
        type=FileType.ASSET,
        name="x",
        role="asset event",
        origin_task=Parent(run=RUN_ID, task="make[1]"),
        attributes={"extra": {"rows": 3}},
    )
    lines = told(
        "e", (1, started(files=[given_])), (2, e.RunEnded(status=Status.COMPLETED)), run=OTHER
    )
    used = folded(lines)
    here, there = valid(made), valid(used)
    (shared,) = uris(here) & uris(there)
    namespace, _, local = shared.partition("#")
    assert namespace == f"urn:uuid:{RUN_ID}"
    ((event, source),) = related(there, "wasDerivedFrom")
    assert source.endswith(f":{local}")
    assert there["entity"][event]["yprov4wms:asset_extra.rows"]["$"] == "3"
    ((published, version),) = related(here, "wasDerivedFrom")
    assert published == f"run:{local}"
    assert (version, "run:task_make_1_") not in related(here, "wasGeneratedBy")
    assert version in {entity for entity, _ in related(here, "wasGeneratedBy")}


@given(st.randoms(use_true_random=False))
def test_any_order_of_files_is_the_same_document(rng: random.Random) -> None:
    data = File(path="data.csv", sha256="1" * 64)
    journals = [
        engine(
            planned("make"), planned("read", "make"), ended("make", 9, 13), ended("read", 19, 23)
        ),
        process_of("make", 10, outputs=[data]),
        process_of("read", 20, inputs=[File(path="data.csv")]),
        told("server", (30, e.TaskNoted(task="read", attempt=1, attributes={"by": "hand"}))),
    ]
    expected = document_of(folded(*journals))
    shuffled = [line for journal in journals for line in journal]
    rng.shuffle(shuffled)
    assert document_of(folded(shuffled[::2], shuffled[1::2])) == expected
