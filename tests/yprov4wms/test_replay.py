"""Folding journals: order, duplication and truncation make no difference but of omission."""

from __future__ import annotations

import random
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from yprov4wms import events
from yprov4wms.events import File, FileType, Software, Status
from yprov4wms.replay import fold, replay
from yprov4wms.run import MLRun, Run
from yprov4wms.store import RunFolder, StoreError

RUN = "01939f3e-0000-7000-8000-000000000001"


def lines(*found: events.Event, writer: str = "host-1-a", start: int = 0) -> list[bytes]:
    """Events as one writer's journal lines, a microsecond apart."""
    encoded = []
    for seq, event in enumerate(found, 1):
        event.v, event.writer, event.seq, event.run = events.VERSION, writer, seq, RUN
        event.time = f"2026-11-21T10:00:00.{start + seq:06d}+00:00"
        encoded.append(msgspec.json.encode(event) + b"\n")
    return encoded


def started() -> events.RunStarted:
    return events.RunStarted(
        engine=Software(name="snakemake", kind="engine"), workflow="w", directory="/w"
    )


def workflow_events() -> list[events.Event]:
    """Two tasks, the first retried, a file passed between them, one task never run."""
    return [
        started(),
        events.StepDeclared(step="a"),
        events.TaskPlanned(task="a1", step="a"),
        events.TaskPlanned(task="b1", step="b", depends_on=["a1"]),
        events.TaskPlanned(task="c1", step="c", depends_on=["b1"]),
        events.TaskStarted(task="a1", attempt=1, inputs=[File(path="in", sha256="0" * 64)]),
        events.TaskEnded(task="a1", attempt=1, status=Status.FAILED, exit_code=1),
        events.TaskStarted(task="a1", attempt=2, inputs=[File(path="in", sha256="0" * 64)]),
        events.TaskEnded(
            task="a1", attempt=2, status=Status.COMPLETED, outputs=[File(path="x", size=3)]
        ),
        events.TaskStarted(task="b1", attempt=1, inputs=[File(path="x")]),
        events.TaskEnded(task="b1", attempt=1, status=Status.FAILED),
        events.FilesHashed(task="a1", attempt=2, files=[File(path="x", size=3, sha256="1" * 64)]),
        events.RunEnded(status=Status.FAILED),
    ]


def facts(run: Run | MLRun) -> bytes:
    """All that a run holds, as comparable bytes."""
    return msgspec.json.encode(
        msgspec.to_builtins(run, builtin_types=(bytes,), str_keys=True)
        if isinstance(run, MLRun)
        else [
            run.id,
            run.start,
            run.end,
            run.steps,
            [
                [task.id, task.step, task.depends_on, task.label, task.parent, task.not_run]
                for task in run.tasks.values()
            ],
            [
                [
                    *(attempt.task, attempt.number, attempt.key, attempt.status),
                    *(attempt.start, attempt.end, attempt.child_runs),
                    [source and (source.task, source.number) for source in attempt.sources or ()],
                ]
                for attempt in run.attempts()
            ],
            sorted((path, attempt.task, attempt.number) for path, attempt in run.made.items()),
            sorted((str(key), value) for key, value in run.checksums.items()),
        ]
    )


def test_statuses_tell_failed_from_never_started_and_why() -> None:
    run = fold([("j", lines(*workflow_events()))])
    assert isinstance(run, Run)
    assert run.statuses() == {
        "a1": Status.COMPLETED,
        "b1": Status.FAILED,
        "c1": Status.UPSTREAM_FAILED,
    }
    assert [attempt.status for attempt in run.tasks["a1"].attempts] == ["failed", "completed"]


def test_an_input_is_the_version_of_the_attempt_that_made_it_before() -> None:
    run = fold([("j", lines(*workflow_events()))])
    assert isinstance(run, Run)
    (source,) = run.tasks["b1"].attempts[0].sources or [None]
    assert source is not None
    assert (source.task, source.number) == ("a1", 2)
    assert run.tasks["a1"].attempts[1].sources is None


@given(st.randoms(use_true_random=False), st.integers(1, 5), st.data())
def test_any_interleaving_and_duplication_folds_to_the_same_run(
    rng: random.Random, files: int, data: st.DataObject
) -> None:
    written = lines(*workflow_events())
    expected = facts(fold([("j", written)]))
    doubled = written + data.draw(st.lists(st.sampled_from(written), max_size=8))
    rng.shuffle(doubled)
    journals = [(f"j{n}", doubled[n::files]) for n in range(files)]
    rng.shuffle(journals)
    assert facts(fold(journals)) == expected


@given(st.integers(0, 6000))
def test_a_truncated_file_folds_to_a_prefix_of_the_run(cut: int) -> None:
    written = lines(*workflow_events())
    content = b"".join(written)[:cut]
    whole = [line + b"\n" for line in content.split(b"\n")[:-1]]
    torn = [*whole, content.split(b"\n")[-1]]
    if not whole:
        with pytest.raises(StoreError, match="not a run"):
            fold([("j", torn)])
        return
    run = fold([("j", torn)])
    assert isinstance(run, Run)
    assert run.problems == []
    assert facts(run) == facts(fold([("j", written[: len(whole)])]))


@given(st.binary(min_size=1, max_size=80).filter(lambda b: b"\n" not in b), st.integers(1, 12))
def test_a_corrupt_line_is_reported_and_costs_only_itself(junk: bytes, at: int) -> None:
    written = lines(*workflow_events())
    run = fold([("j", [*written[:at], junk + b"\n", *written[at:]])])
    assert isinstance(run, Run)
    assert len(run.problems) == 1
    assert f"line {at + 1}" in run.problems[0]
    assert facts(run) == facts(fold([("j", written)]))


def test_an_event_of_a_wrong_shape_is_reported() -> None:
    written = lines(*workflow_events())
    bad = written[5].replace(b'"attempt":1', b'"attempt":"one"')
    run = fold([("j", [*written[:5], bad, *written[6:]])])
    assert isinstance(run, Run)
    assert len(run.problems) == 1
    assert run.tasks["a1"].attempts[0].start is None


def test_a_lost_first_line_does_not_lose_the_rest() -> None:
    run = fold([("j", lines(*workflow_events())[1:])])
    assert isinstance(run, Run)
    assert run.start.workflow == "unknown"
    assert len(run.tasks) == 3
    assert "start is lost" in run.problems[0]


def test_a_late_file_of_another_writer_is_taken_in() -> None:
    main = lines(*workflow_events()[:10])
    late = lines(
        events.TaskEnded(task="b1", attempt=1, status=Status.COMPLETED), writer="node-9-z", start=50
    )
    run = fold([("node", late), ("main", main)])
    assert isinstance(run, Run)
    assert run.statuses()["b1"] is Status.COMPLETED


def test_two_runs_in_one_folder_are_refused() -> None:
    other = lines(started(), writer="host-2-b")
    other = [line.replace(RUN.encode(), b"another-run") for line in other]
    with pytest.raises(StoreError, match="several runs"):
        fold([("a", lines(started())), ("b", other)])


def test_a_newer_version_is_reported_not_misread() -> None:
    newer = lines(events.TaskPlanned(task="t", step="s"), writer="host-3-c")
    newer = [line.replace(b'"v":1', b'"v":99') for line in newer]
    run = fold([("a", lines(started())), ("b", newer)])
    assert isinstance(run, Run)
    assert run.tasks == {}
    assert "newer version" in run.problems[0]


def test_a_dependency_cycle_in_a_hostile_journal_ends() -> None:
    run = fold(
        [
            (
                "j",
                lines(
                    started(),
                    events.TaskPlanned(task="a", step="s", depends_on=["b", "a"]),
                    events.TaskPlanned(task="b", step="s", depends_on=["a"]),
                ),
            )
        ]
    )
    assert isinstance(run, Run)
    assert set(run.statuses().values()) == {Status.NOT_STARTED}


@given(st.integers(0, 13), st.sampled_from(["cut", "swap", "junk", "twice"]))
def test_one_sound_journal_read_in_one_pass_is_the_same_run(
    tmp_path_factory: pytest.TempPathFactory, at: int, fault: str
) -> None:
    written = lines(*workflow_events())
    match fault:
        case "cut":
            written = written[: max(at, 1)]
        case "swap" if at < len(written) - 1:
            written[at], written[at + 1] = written[at + 1], written[at]
        case "junk":
            written.insert(at, b"{junk\n")
        case "twice" if at < len(written):
            written.insert(at, written[at])
    folder = tmp_path_factory.mktemp("run")
    events_folder = Path(folder) / "events"
    events_folder.mkdir()
    (events_folder / "host-1-a.jsonl").write_bytes(b"".join(written))
    found = replay(RunFolder(str(folder)))
    expected = fold([("host-1-a.jsonl", written)])
    assert facts(found) == facts(expected)
    assert found.problems == expected.problems


def test_a_maker_of_directories_is_known_also_when_its_directory_was_replaced() -> None:
    """What its record does not list inside must not be taken for its own."""
    folder = File(path="d", type=FileType.DIRECTORY)
    run = fold(
        [
            (
                "j",
                lines(
                    started(),
                    events.TaskEnded(
                        task="a", attempt=1, status=Status.COMPLETED, outputs=[folder]
                    ),
                    events.TaskStarted(task="b", attempt=1, inputs=[File(path="d/x")]),
                    events.TaskEnded(
                        task="c", attempt=1, status=Status.COMPLETED, outputs=[folder]
                    ),
                ),
            )
        ]
    )
    assert isinstance(run, Run)
    assert run.directory_makers == {("a", 1), ("c", 1)}
    (source,) = run.tasks["b"].attempts[0].sources or [None]
    assert source is not None
    assert source.task == "a"


# -- what the processes that executed attempts tell -----------------------------------------


def executed_events() -> tuple[list[events.Event], list[events.Event]]:
    """The engine's own, and those of two processes: one that retried inside, one that did not."""
    failed, completed = Status.FAILED, Status.COMPLETED
    engine: list[events.Event] = [
        started(),
        events.TaskPlanned(task="a1", step="a"),
        events.TaskStarted(task="a1", attempt=1, inputs=[File(path="in", sha256="0" * 64)]),
        events.TaskSubmitted(task="a1", attempt=1, external_id="7"),
        events.TaskEnded(task="a1", attempt=1, status=failed, error="the job failed"),
        events.TaskStarted(task="a1", attempt=2, inputs=[File(path="in", sha256="0" * 64)]),
        events.TaskSubmitted(task="a1", attempt=2, external_id="8"),
        events.TaskEnded(
            task="a1",
            attempt=2,
            status=completed,
            outputs=[File(path="d", type=FileType.DIRECTORY, members=[File(path="x")])],
        ),
        events.RunEnded(status=completed),
    ]
    elsewhere: list[events.Event] = []
    for attempt, status in ((1, failed), (1001, failed), (2, failed), (1002, completed)):
        code = 0 if status is completed else attempt % 256
        elsewhere += [
            events.TaskExecuting(task="a1", attempt=attempt, host="node", pid=attempt),
            events.TaskExecuted(
                task="a1", attempt=attempt, status=status, exit_code=code, error=f"try {attempt}"
            ),
        ]
    return engine, elsewhere


@given(seed=st.integers(0, 2**32))
def test_retries_that_the_engine_did_not_count_are_attempts_whatever_the_order(seed: int) -> None:
    engine, elsewhere = executed_events()
    journals = [("engine", lines(*engine)), ("node", lines(*elsewhere, writer="node-1-a"))]
    shuffled = random.Random(seed)
    for _, content in journals:
        shuffled.shuffle(content)
    shuffled.shuffle(journals)
    run = fold(journals)
    assert isinstance(run, Run)
    attempts = run.tasks["a1"].attempts
    assert [(a.number, a.key) for a in attempts] == [(1, 1), (2, 1001), (3, 2), (4, 1002)]
    assert [a.status for a in attempts] == ["failed", "failed", "failed", "completed"]
    assert [a.external_id for a in attempts] == ["7", "7", "8", "8"]
    assert [a.end.error for a in attempts if a.end] == ["try 1", "try 1001", "try 2", None]
    assert [a.end.exit_code for a in attempts if a.end] == [1, 233, 2, 0]
    assert [a.start.host for a in attempts if a.start] == ["node"] * 4
    assert run.made["d"] is attempts[-1]
    assert attempts[-1].end is not None
    assert attempts[-1].end.outputs
    assert not any(a.end.outputs for a in attempts[:-1] if a.end)


def test_the_engine_has_the_last_word_but_of_members_of_a_group() -> None:
    engine, completed = [started()], Status.COMPLETED
    elsewhere: list[events.Event] = []
    for task, attributes in (("single", None), ("member", {events.WHOLE_GROUP: "g"})):
        engine += [
            events.TaskStarted(task=task, attempt=1),
            events.TaskEnded(
                task=task, attempt=1, status=Status.FAILED, error="no", attributes=attributes
            ),
        ]
        elsewhere.append(events.TaskExecuted(task=task, attempt=1, status=completed, exit_code=0))
    run = fold([("e", lines(*engine)), ("n", lines(*elsewhere, writer="n"))])
    assert isinstance(run, Run)
    assert run.statuses() == {"single": Status.FAILED, "member": Status.COMPLETED}
    single, member = (run.tasks[name].attempts[0].end for name in ("single", "member"))
    assert single
    assert single.error == "no"
    assert member
    assert member.error is None


def test_what_was_executed_stands_where_the_engine_was_killed() -> None:
    engine = [started(), *(events.TaskStarted(task=name, attempt=1) for name in "ab")]
    elsewhere: list[events.Event] = [
        events.TaskExecuting(task="a", attempt=1, host="node"),
        events.TaskExecuted(task="a", attempt=1, status=Status.COMPLETED, exit_code=0),
        events.TaskExecuting(task="b", attempt=1, host="node"),
    ]
    run = fold([("e", lines(*engine)), ("n", lines(*elsewhere, writer="n"))])
    assert isinstance(run, Run)
    assert run.statuses() == {"a": Status.COMPLETED, "b": Status.RUNNING}


def test_what_a_failed_group_did_not_come_to_never_ran_where_its_process_told() -> None:
    engine: list[events.Event] = [
        started(),
        events.TaskPlanned(task="a", step="a"),
        events.TaskPlanned(task="b", step="b", depends_on=["a"]),
    ]
    for attempt, group in ((1, "told"), (2, "silent")):
        for task in "ab":
            engine += [
                events.TaskStarted(task=task, attempt=attempt),
                events.TaskEnded(
                    task=task,
                    attempt=attempt,
                    status=Status.FAILED,
                    attributes={events.WHOLE_GROUP: group},
                ),
            ]
    elsewhere: list[events.Event] = [
        events.TaskExecuting(task="a", attempt=1, host="node"),
        events.TaskExecuted(task="a", attempt=1, status=Status.FAILED, exit_code=1),
    ]
    run = fold([("e", lines(*engine)), ("n", lines(*elsewhere, writer="n"))])
    assert isinstance(run, Run)
    numbers = {task.id: [(a.number, a.key) for a in task.attempts] for task in run.tasks.values()}
    assert numbers == {"a": [(1, 1), (2, 2)], "b": [(1, 2)]}
    only_told = [event for event in engine if getattr(event, "attempt", 1) == 1]
    run = fold([("e", lines(*only_told)), ("n", lines(*elsewhere, writer="n"))])
    assert isinstance(run, Run)
    assert run.statuses() == {"a": Status.FAILED, "b": Status.UPSTREAM_FAILED}


def test_a_try_tells_what_was_other_than_at_the_first() -> None:
    engine = [
        started(),
        events.TaskStarted(task="a", attempt=1, command="try 1", resources={"mem_mb": 100}),
        events.TaskEnded(task="a", attempt=1, status=Status.FAILED),
    ]
    again = events.TaskExecuting(task="a", attempt=1001, command="try 2", resources={"mem_mb": 200})
    elsewhere = [
        events.TaskExecuting(task="a", attempt=1),
        events.TaskExecuted(task="a", attempt=1, status=Status.FAILED),
        again,
    ]
    run = fold([("e", lines(*engine)), ("n", lines(*elsewhere, writer="n"))])
    assert isinstance(run, Run)
    starts = [attempt.start for attempt in run.tasks["a"].attempts]
    assert [(s.command, s.resources) for s in starts if s] == [
        ("try 1", {"mem_mb": 100}),
        ("try 2", {"mem_mb": 200}),
    ]
    # Nothing told of its end but the engine: it began when its process said so.
    last = run.tasks["a"].attempts[-1].end
    assert last
    assert last.began


# -- tasks that others stand for, and containers ----------------------------------------------


def folded(*found: events.Event) -> Run:
    run = fold([("j", lines(started(), *found))])
    assert isinstance(run, Run)
    return run


def test_known_tasks_take_the_place_of_the_one_that_stood_for_them() -> None:
    run = folded(
        events.TaskPlanned(task="all", step="say", unexpanded=True),
        events.TaskPlanned(task="cat", step="cat", depends_on=["all"]),
        events.TaskPlanned(task="both", step="cat", depends_on=["cat", "all"]),
        events.TaskPlanned(task="0", step="say"),
        events.TaskPlanned(task="1", step="say"),
        events.TaskPlanned(task="inner", step="say", parent="cat"),
    )
    assert list(run.tasks) == ["cat", "both", "0", "1", "inner"]
    assert run.tasks["cat"].depends_on == ["0", "1"]
    assert run.tasks["both"].depends_on == ["cat", "0", "1"]


def test_what_never_expanded_stays_a_task_that_did_not_start() -> None:
    run = folded(
        events.TaskPlanned(task="a", step="a"),
        events.TaskStarted(task="a", attempt=1),
        events.TaskEnded(task="a", attempt=1, status=Status.FAILED),
        events.TaskPlanned(task="all", step="say", depends_on=["a"], unexpanded=True),
    )
    assert run.statuses() == {"a": Status.FAILED, "all": Status.UPSTREAM_FAILED}


def test_what_was_made_inside_a_container_stays_its_makers() -> None:
    out = File(path="out", size=1)
    run = folded(
        events.TaskPlanned(task="sub", step="sub"),
        events.TaskPlanned(task="in", step="in", parent="sub"),
        events.TaskStarted(task="sub", attempt=1),
        events.TaskStarted(task="in", attempt=1),
        events.TaskEnded(task="in", attempt=1, status=Status.COMPLETED, outputs=[out]),
        events.TaskEnded(task="sub", attempt=1, status=Status.COMPLETED, outputs=[out]),
        events.TaskPlanned(task="next", step="next", depends_on=["sub"]),
        events.TaskStarted(task="next", attempt=1, inputs=[out]),
    )
    (made,) = run.tasks["in"].attempts
    assert run.made["out"] is made
    assert run.tasks["sub"].attempts[0].inner == {"out": made}
    assert run.tasks["next"].attempts[0].sources == [made]
