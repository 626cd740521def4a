"""OpenLineage events: what they say is what the record says, and what the spec allows."""

from __future__ import annotations

import json
import tracemalloc
import uuid
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from tests.yprov4wms.export.openlineage.spec import Event, faults, needs_spec, own_schemas
from tests.yprov4wms.prov.runs import RUN_ID, Told, at, folded, lines_of, ml_run, runs, sha, started

from yprov4wms import events as e
from yprov4wms.events import File, FileType, Status
from yprov4wms.export import openlineage
from yprov4wms.export.openlineage import custom
from yprov4wms.export.openlineage.events import Lineage
from yprov4wms.export.openlineage.names import attempt_run_id, workflow_run_id
from yprov4wms.replay import replay_workflow
from yprov4wms.run import Run
from yprov4wms.store import RunFolder


def told_of(run: Run, children: dict[str, bytes] | None = None) -> list[Event]:
    return list(Lineage(run, lambda child: (children or {}).get(child.child)))


def events_of(
    *told: e.Event, children: dict[str, bytes] | None = None, **of_run: Any
) -> list[Event]:
    return told_of(folded([started(**of_run), *told]), children)


def of_task(events: list[Event], task: str, kind: str | None = None) -> list[Event]:
    """The events of a task's job, of one type if it is given."""
    return [
        event
        for event in events
        if event["job"]["name"] == f"Snakefile.{task}"
        and (kind is None or event.get("eventType") == kind)
    ]


def only(found: list[Any]) -> Any:
    (one,) = found
    return one


def names(datasets: list[Event]) -> list[tuple[str, str]]:
    return [(dataset["namespace"], dataset["name"]) for dataset in datasets]


def ran(
    task: str, attempt: int = 1, status: Status = Status.COMPLETED, **end: Any
) -> list[e.Event]:
    return [
        e.TaskStarted(task=task, attempt=attempt),
        e.TaskEnded(task=task, attempt=attempt, status=status, **end),
    ]


def test_a_run_and_each_attempt_start_and_end_when_they_did() -> None:
    found = events_of(
        e.TaskPlanned(task="a", step="s"),
        *ran("a"),
        e.RunEnded(status=Status.COMPLETED),
    )
    assert [(x["eventType"], x["eventTime"], x["job"]["name"]) for x in found] == [
        ("START", at(1), "Snakefile"),
        ("START", at(3), "Snakefile.a"),
        ("COMPLETE", at(4), "Snakefile.a"),
        ("COMPLETE", at(5), "Snakefile"),
    ]
    workflow, task = found[0], found[1]
    assert workflow["run"]["runId"] == RUN_ID
    assert task["run"]["runId"] == found[2]["run"]["runId"] == attempt_run_id(RUN_ID, "a", 1)
    parent = task["run"]["facets"]["parent"]
    job = {"namespace": "snakemake", "name": "Snakefile"}
    assert parent["run"] == {"runId": RUN_ID}
    assert parent["job"] == job
    assert parent["root"] == {"run": {"runId": RUN_ID}, "job": job}
    assert task["job"]["facets"]["jobType"]["jobType"] == "TASK"
    assert workflow["run"]["facets"]["processing_engine"]["version"] == "9.0"


def test_run_ids_are_uuids_that_follow_from_the_record_alone() -> None:
    assert workflow_run_id("not a uuid") == workflow_run_id("not a uuid")
    assert uuid.UUID(workflow_run_id("not a uuid")).version == 5
    assert workflow_run_id("{" + RUN_ID + "}") != RUN_ID
    found = {attempt_run_id(r, t, n) for r in ("a", "b") for t in ("x", "y") for n in (1, 2)}
    assert len(found) == 8
    assert attempt_run_id("a", 'b", 1, "', 1) != attempt_run_id('a", "b', "", 1)


def test_each_attempt_is_a_run_of_the_same_job() -> None:
    found = events_of(
        e.TaskPlanned(task="a", step="s"),
        *ran("a", 1, Status.FAILED, exit_code=3),
        *ran("a", 2, Status.CANCELLED),
        *ran("a", 3),
    )
    tried = of_task(found, "a")
    assert [x["eventType"] for x in tried] == [
        *("START", "FAIL", "START", "ABORT", "START", "COMPLETE")
    ]
    assert len({x["run"]["runId"] for x in tried}) == 3
    assert tried[1]["run"]["facets"]["errorMessage"]["message"] == "exit code 3"
    retry = tried[2]["run"]["facets"]["yprov4wms_attempt"]
    assert retry["retryOf"] == {"runId": tried[0]["run"]["runId"]}
    assert retry["attempt"] == 2
    assert "errorMessage" not in tried[5]["run"]["facets"]


def test_what_still_runs_or_was_killed_has_a_start_alone() -> None:
    body = [e.TaskPlanned(task="a", step="s"), e.TaskStarted(task="a", attempt=1)]
    running = of_task(events_of(*body), "a")
    assert [x["eventType"] for x in running] == ["START"]
    assert running[0]["run"]["facets"]["yprov4wms_attempt"]["status"] == "running"
    killed = of_task(events_of(*body, e.RunEnded(status=Status.FAILED)), "a")
    assert [x["eventType"] for x in killed] == ["START"]
    assert "status" not in killed[0]["run"]["facets"]["yprov4wms_attempt"]


def test_a_task_that_never_ran_is_a_job_without_a_run() -> None:
    found = events_of(
        *(e.TaskPlanned(task=task, step="s", depends_on=["a"]) for task in ("b", "c")),
        e.TaskPlanned(task="d", step="s"),
        *ran("a", status=Status.FAILED),
        e.TaskNotRun(task="b", status=Status.SKIPPED, reason="not today"),
        e.TaskNotRun(
            task="d", status=Status.UP_TO_DATE, outputs=[File("d.txt", sha256="0" * 64, size=3)]
        ),
        e.RunEnded(status=Status.FAILED, error="a failed"),
    )
    skipped = only(of_task(found, "b"))
    assert "run" not in skipped
    assert "eventType" not in skipped
    assert skipped["eventTime"] == at(7)
    facet = skipped["job"]["facets"]["yprov4wms_notRun"]
    assert (facet["status"], facet["reason"]) == ("skipped", "not today")
    assert facet["run"] == {"runId": RUN_ID}
    lost = only(of_task(found, "c"))
    assert lost["job"]["facets"]["yprov4wms_notRun"]["status"] == "upstream-failed"
    assert lost["eventTime"] == at(9)  # of the run's end: no event tells of it
    kept = only(of_task(found, "d"))
    assert names(kept["outputs"]) == [("file", "/w/d.txt")]
    assert found[-1]["eventType"] == "FAIL"
    assert found[-1]["run"]["facets"]["errorMessage"]["message"] == "a failed"


def test_a_task_that_was_skipped_and_then_ran_is_both() -> None:
    found = events_of(
        e.TaskPlanned(task="a", step="s"),
        e.TaskNotRun(task="a", status=Status.SKIPPED, before=1),
        *ran("a"),
    )
    assert [x.get("eventType") for x in of_task(found, "a")] == [None, "START", "COMPLETE"]


def test_cached_outputs_are_complete_and_say_so() -> None:
    found = events_of(e.TaskPlanned(task="a", step="s"), *ran("a", status=Status.CACHED))
    end = only(of_task(found, "a", "COMPLETE"))
    assert end["run"]["facets"]["yprov4wms_attempt"]["status"] == "cached"


def test_files_are_datasets_with_version_size_and_roles() -> None:
    data = File("data.csv", sha256=sha("x"), size=10, role="table")
    found = events_of(
        e.TaskPlanned(task="a", step="s"),
        e.TaskStarted(
            task="a",
            attempt=1,
            inputs=[
                data,
                File("data.csv", sha256=sha("x"), size=10, role="again"),
                File("s3a://bucket/deep/key", type=FileType.URL),
                File("https://me:word@host:8080/a?b=c", type=FileType.URL),
                File("file:///abs/../x", type=FileType.URL),
                File("gone", type=FileType.MISSING),
                File("_:1", type=FileType.LITERAL),
                File("sales", type=FileType.ASSET),
            ],
        ),
        e.TaskEnded(
            task="a",
            attempt=1,
            status=Status.COMPLETED,
            outputs=[
                File(
                    "d",
                    type=FileType.DIRECTORY,
                    sha256=sha("d"),
                    members=[File("x", size=1), File("y/z", size=2, sha256=sha("z"))],
                ),
                File("part", type=FileType.DIRECTORY, members=[File("x", size=1)], member_count=9),
                File("never", type=FileType.MISSING),
            ],
        ),
        e.TaskPlanned(task="b", step="s"),
        e.TaskStarted(task="b", attempt=1, inputs=[File("d/y/z", sha256=sha("z"), size=2)]),
    )
    end = only(of_task(found, "a", "COMPLETE"))
    assert names(end["inputs"]) == [
        ("file", "/w/data.csv"),
        ("s3://bucket", "deep/key"),
        ("https://host:8080", "/a?b=c"),
        ("file", "/x"),
        ("snakemake", "sales"),
    ]
    table = end["inputs"][0]
    assert table["facets"]["version"]["datasetVersion"] == f"sha256:{sha('x')}"
    assert table["inputFacets"]["inputStatistics"]["size"] == 10
    assert table["inputFacets"]["yprov4wms_role"]["roles"] == ["table", "again"]
    # A member that another task reads by itself is a dataset, too.
    assert names(end["outputs"]) == [("file", "/w/d"), ("file", "/w/d/y/z"), ("file", "/w/part")]
    folder, member, part = end["outputs"]
    assert folder["facets"]["datasetType"]["subType"] == "DIRECTORY"
    statistics = folder["outputFacets"]["outputStatistics"]
    assert (statistics["size"], statistics["fileCount"]) == (3, 2)
    assert member["facets"]["version"]["datasetVersion"] == f"sha256:{sha('z')}"
    assert "size" not in part["outputFacets"]["outputStatistics"]
    assert part["outputFacets"]["outputStatistics"]["fileCount"] == 9
    assert names(only(of_task(found, "b"))["inputs"]) == [("file", "/w/d/y/z")]


def test_a_checksum_that_came_late_is_the_version() -> None:
    file = File("big", size=5, mtime_ns=7)
    found = events_of(
        e.TaskPlanned(task="a", step="s"),
        *ran("a", outputs=[file]),
        e.FilesHashed(
            task="a", attempt=1, files=[File("big", size=5, mtime_ns=7, sha256=sha("b"))]
        ),
    )
    end = only(of_task(found, "a", "COMPLETE"))
    assert end["outputs"][0]["facets"]["version"]["datasetVersion"] == f"sha256:{sha('b')}"


def test_an_output_that_the_engine_moved_comes_from_where_it_lay() -> None:
    found = events_of(
        e.TaskPlanned(task="a", step="s"),
        *ran("a", outputs=[File("/tmp/o/x", size=1)]),
        e.RunEnded(
            status=Status.COMPLETED, outputs=[File("x", size=1, origin="/tmp/o/x", role="model")]
        ),
    )
    moved = only(found[-1]["outputs"])
    source = {"namespace": "file", "name": "/tmp/o/x", "type": "DATASET"}
    assert moved["facets"]["lineage"]["inputs"] == [source]
    assert moved["name"] == "/w/x"


def test_jobs_depend_on_the_attempt_that_was_there() -> None:
    found = events_of(
        e.StepDeclared(step="t", attributes={"trigger_rule": "all_done"}),
        e.TaskPlanned(task="a", step="s"),
        e.TaskPlanned(task="n", step="s"),
        e.TaskPlanned(task="b", step="t", depends_on=["a", "n", "ghost"]),
        *ran("a", 1, Status.FAILED),
        *ran("a", 2),
        *ran("b"),
        *ran("a", 3),
        e.TaskNotRun(task="n", status=Status.SKIPPED),
    )
    facet = only(of_task(found, "b", "START"))["run"]["facets"]["jobDependencies"]
    assert [one["job"]["name"] for one in facet["upstream"]] == ["Snakefile.a", "Snakefile.n"]
    assert facet["upstream"][0]["run"] == {"runId": attempt_run_id(RUN_ID, "a", 2)}
    assert "run" not in facet["upstream"][1]
    assert facet["trigger_rule"] == "ALL_DONE"


def test_a_task_in_a_task_has_that_as_its_parent_and_the_workflow_as_its_root() -> None:
    found = events_of(
        e.TaskPlanned(task="sub", step="s"),
        e.TaskPlanned(task="in", step="s", parent="sub"),
        e.TaskPlanned(task="x", step="s", parent="y"),
        e.TaskPlanned(task="y", step="s", parent="x"),
        *(event for task in ("sub", "in", "x", "y") for event in ran(task)),
    )
    parent = only(of_task(found, "in", "START"))["run"]["facets"]["parent"]
    assert parent["run"] == {"runId": attempt_run_id(RUN_ID, "sub", 1)}
    assert parent["job"]["name"] == "Snakefile.sub"
    assert parent["root"]["run"] == {"runId": RUN_ID}
    circle = only(of_task(found, "x", "START"))["run"]["facets"]["parent"]
    assert circle["run"] == {"runId": RUN_ID}


def test_tasks_that_share_a_name_are_different_jobs() -> None:
    found = events_of(
        e.TaskPlanned(task="1", step="s", label="fit"),
        e.TaskPlanned(task="2", step="s", label="fit"),
        *ran("1"),
        *ran("2"),
    )
    assert {x["job"]["name"] for x in found[1:]} == {"Snakefile.fit (1)", "Snakefile.fit (2)"}


def test_code_parameters_and_nominal_time_are_told_where_they_are_known() -> None:
    git = e.Git(commit="c0ffee", branch="main", remote="git@host.org:lab/flow.git", dirty=True)
    found = events_of(
        e.StepDeclared(step="s", type="shell", code="cp {input} {output}", doc="Copies."),
        e.TaskPlanned(task="a", step="s"),
        e.TaskStarted(
            task="a",
            attempt=1,
            parameters={"lr": 0.1, "deep": {"k": [1]}},
            threads=2,
            wildcards={"x": "y"},
        ),
        git=git,
        config={"n": 1},
        attributes={
            "data_interval_start": "2026-01-01 00:00:00+00:00",
            "data_interval_end": "2026-01-02T00:00:00+00:00",
        },
    )
    start, task = found[0], only(of_task(found, "a"))
    code = start["job"]["facets"]["sourceCodeLocation"]
    assert code["url"] == "ssh://git@host.org/lab/flow.git"
    assert (code["version"], code["branch"]) == ("c0ffee", "main")
    facets = start["run"]["facets"]
    assert facets["yprov4wms_run"]["git"]["dirty"] is True
    assert facets["nominalTime"]["nominalStartTime"] == "2026-01-01T00:00:00+00:00"
    assert facets["nominalTime"]["nominalEndTime"] == "2026-01-02T00:00:00+00:00"
    assert task["job"]["facets"]["sourceCode"]["sourceCode"] == "cp {input} {output}"
    assert task["job"]["facets"]["documentation"]["description"] == "Copies."
    given = task["run"]["facets"]["executionParameters"]["parameters"]
    assert {one["key"]: one["value"] for one in given} == {
        "parameters.lr": "0.1",
        "parameters.deep": '{"k": [1]}',
        "wildcards.x": "y",
        "engine.threads": "2",
    }


@pytest.mark.parametrize(
    ("remote", "url"),
    [
        ("https://me:token@host.org/lab/flow.git", "https://host.org/lab/flow.git"),
        ("https://token@host.org/lab/flow", "https://host.org/lab/flow"),
        ("ssh://git@host.org:22/lab/flow", "ssh://git@host.org:22/lab/flow"),
        ("host.org:lab/flow", "ssh://host.org/lab/flow"),
        ("/srv/git/flow.git", "file:///srv/git/flow.git"),
        ("../flow", None),
        ("https://host.org/with space", None),
        ("host.org:lab/fl<ow", None),
    ],
)
def test_a_repository_is_named_without_user_and_password(remote: str, url: str | None) -> None:
    start = events_of(git=e.Git(commit="c0ffee", remote=remote))[0]
    location = start["job"]["facets"].get("sourceCodeLocation")
    assert (location["url"] if location else None) == url


def test_resources_have_their_method_and_carbon_only_with_an_intensity() -> None:
    usage = {
        "cpu_time": e.Figure("s", "wait4", 1.5),
        "energy": e.Figure("J", "cpu-time*5..10W", low=7.5, high=15.0),
    }
    body = [e.TaskPlanned(task="a", step="s"), *ran("a", usage=usage)]
    plain = only(of_task(events_of(*body), "a", "COMPLETE"))
    figures = plain["run"]["facets"]["yprov4wms_resources"]["figures"]
    assert figures["cpu_time"] == {"unit": "s", "method": "wait4", "value": 1.5}
    assert figures["energy"]["low"] == 7.5
    assert "carbon" not in figures
    intensity = e.Figure("g/kWh", "given", 300.0)
    end = only(of_task(events_of(*body, carbon_intensity=intensity), "a", "COMPLETE"))
    assert "carbon" in end["run"]["facets"]["yprov4wms_resources"]["figures"]


def test_ml_runs_tell_their_parameters_metrics_and_models() -> None:
    child = "0198f3a1-0000-7000-8000-000000000001"
    content = ml_run(child, outputs=[File("m.bin", sha256=sha("m"), size=1)])
    attached = [
        e.ChildAttached(
            task="a", attempt=1, child=name, type="yprov4wms-ml", document=File("children/x.json")
        )
        for name in (child, "gone")
    ]
    body = [e.TaskPlanned(task="a", step="s"), e.TaskStarted(task="a", attempt=1), *attached]
    ended = e.TaskEnded(task="a", attempt=1, status=Status.COMPLETED)
    for told in ([*body, ended], body):  # of one that was killed, its START tells
        last = of_task(events_of(*told, children={child: content}), "a")[-1]
        found, gone = last["run"]["facets"]["yprov4wms_mlRuns"]["runs"]
        assert (found["id"], found["experiment"], found["status"]) == (child, "digits", "completed")
        assert {one["name"]: one["value"] for one in found["parameters"]} == {
            "lr": 0.1,
            "layers": "[1,2]",  # as the document has it
        }
        assert found["metrics"][0]["context"] == "training"
        assert found["models"][0]["name"] == "net"
        assert gone["id"] == "gone"
        assert "parameters" not in gone


def test_what_has_no_time_is_left_out_and_counted() -> None:
    run = folded(
        [
            started(imported=True),
            e.TaskPlanned(task="a", step="s"),
            e.TaskStarted(task="a", attempt=1),
            e.TaskEnded(task="a", attempt=1, status=Status.COMPLETED, finished=at(3)),
            e.TaskPlanned(task="b", step="s"),
            *ran("b"),
        ]
    )
    lineage = Lineage(run)
    assert [x["eventType"] for x in lineage] == ["COMPLETE"]
    assert lineage.untimed == 4  # the run's start, a's start, both of b's
    assert len(list(lineage)) == 1
    assert lineage.untimed == 4


def test_what_the_engine_knows_beside_is_in_the_facets() -> None:
    conda = e.Software(name="env.yaml", kind="conda", sha256="0" * 64)
    found = events_of(
        e.TaskPlanned(task="a", step="s", attributes={"pool": "p"}),
        e.TaskStarted(task="a", attempt=1, software=[conda], attributes={"jobid": 3}),
        e.TaskEnded(
            task="a", attempt=1, status=Status.COMPLETED, results={"n": 1}, attributes={"x": None}
        ),
        e.RunEnded(status=Status.COMPLETED, results={"all": [1]}),
        person=e.Person(login="ada"),
    )
    facet = only(of_task(found, "a", "COMPLETE"))["run"]["facets"]["yprov4wms_attempt"]
    assert facet["software"] == [{"name": "env.yaml", "kind": "conda", "sha256": "0" * 64}]
    assert facet["engine"] == {"pool": "p", "jobid": 3, "x": None}
    assert facet["results"] == {"n": 1}
    run = found[-1]["run"]["facets"]["yprov4wms_run"]
    assert run["person"] == {"login": "ada"}
    assert run["results"] == {"all": [1]}


def test_ten_thousand_tasks_take_memory_for_their_times_alone() -> None:
    told: list[e.Event] = [started()]
    for number in range(10_000):
        task = f"t{number}"
        told.append(e.TaskPlanned(task=task, step="s", depends_on=[f"t{number - 1}"]))
        told += ran(task, outputs=[File(f"{number}", size=1)])
    run = folded(told)
    del told
    tracemalloc.start()
    try:
        lines = sum(1 for _ in Lineage(run))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert lines == 20_001
    assert peak < 20e6


def test_a_nested_run_has_the_attempt_around_it_as_parent(tmp_path: Path) -> None:
    outer, middle, inner = (f"0198f3a0-0000-7000-8000-00000000000{n}" for n in "123")

    def put(run: str, *told: e.Event, parent: e.Parent | None = None) -> RunFolder:
        folder = tmp_path / run / "events"
        folder.mkdir(parents=True)
        (folder / "w.jsonl").write_bytes(b"".join(lines_of([started(parent=parent), *told], run)))
        return RunFolder(str(tmp_path / run))

    put(outer, e.TaskPlanned(task="o", step="s"), *ran("o"))
    put(middle, e.TaskPlanned(task="m", step="s"), *ran("m"), parent=e.Parent(outer, "o", 1))
    folder = put(
        inner, e.TaskPlanned(task="i", step="s"), *ran("i"), parent=e.Parent(middle, "m", 1)
    )
    first, task, *_ = openlineage.lineage(replay_workflow(folder), folder)
    parent = first["run"]["facets"]["parent"]
    assert parent["run"] == {"runId": attempt_run_id(middle, "m", 1)}
    assert parent["job"]["name"] == "Snakefile.m"
    assert parent["root"]["run"] == {"runId": outer}
    assert task["run"]["facets"]["parent"]["run"] == {"runId": inner}
    assert task["run"]["facets"]["parent"]["root"]["run"] == {"runId": outer}
    # One whose record is gone has no job that is known.
    alone = put("x", parent=e.Parent("nowhere", "t", 2))
    facets = next(iter(openlineage.lineage(replay_workflow(alone), alone)))["run"]["facets"]
    assert "parent" not in facets
    assert facets["yprov4wms_run"]["parent"]["runId"] == attempt_run_id("nowhere", "t", 2)


def test_our_facets_have_the_schemas_that_they_name() -> None:
    found = {name.removesuffix(".json"): schema for name, schema in own_schemas().items()}
    assert set(found) == set(custom.SCHEMAS.values())
    for name, definition in custom.SCHEMAS.items():
        assert name.startswith("yprov4wms_")
        schema = found[definition]
        assert schema["$id"] == custom.schema_id(definition)
        assert list(schema["properties"]) == [name]
        assert definition in schema["$defs"]


@needs_spec
@given(runs())
@settings(max_examples=150)
def test_any_run_gives_events_that_the_spec_allows(told: Told) -> None:
    run = folded(told.events)
    found = told_of(run, told.children)
    for event in found:
        assert faults(json.loads(json.dumps(event))) == []
    assert [x["eventTime"] for x in found] == sorted(x["eventTime"] for x in found)
    started_runs = [x["run"]["runId"] for x in found if x.get("eventType") == "START"]
    ended_runs = [
        x["run"]["runId"] for x in found if x.get("eventType") in ("COMPLETE", "FAIL", "ABORT")
    ]
    assert len(started_runs) == len(set(started_runs))
    assert len(ended_runs) == len(set(ended_runs))
    moments = {x["eventTime"] for x in found}
    record = json.dumps([*run.times()]) + "".join(
        repr(a.start) + repr(a.end) for a in run.attempts()
    )
    record += "".join(repr(t.not_run) + repr(t.not_run_before()) for t in run.tasks.values())
    assert all(moment in record for moment in moments)  # nothing invented


@needs_spec
def test_an_event_that_is_wrong_is_seen() -> None:
    event = events_of()[0]
    assert faults(event) == []
    assert faults({**event, "eventType": "BOGUS"})
    assert faults({**event, "run": {**event["run"], "runId": "x"}})
    broken = {**event["run"]["facets"]["yprov4wms_run"], "status": "odd"}
    assert faults({**event, "run": {**event["run"], "facets": {"yprov4wms_run": broken}}})
