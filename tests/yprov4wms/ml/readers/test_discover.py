"""Child runs that are found under a task: which are taken, which are in doubt, at what cost."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from tests.yprov4wms.ml.readers.runs import PIDS, document, nested, write

from yprov4wms import candidates
from yprov4wms.events import ChildAttached, File, FileType, RunStarted, Software
from yprov4wms.export.document import build
from yprov4wms.identity import Identity
from yprov4wms.ml import readers
from yprov4wms.recorder import Recorder
from yprov4wms.replay import replay_workflow
from yprov4wms.settings import Settings

BEGAN = "2026-11-21T08:59:30.000000+00:00"
LATER = "2026-11-21T12:00:00.000000+00:00"
Collect = Callable[..., list[ChildAttached]]


@pytest.fixture
def collect(tmp_path: Path) -> Collect:
    """Ends an attempt of a task that worked in ``tmp_path``; gives its child runs."""
    lost: list[str] = []
    settings = Settings(store=str(tmp_path / ".yprov"))
    recorder = Recorder(settings, str(tmp_path), lost.append)
    engine = Software(name="snakemake", kind="engine")
    recorder.emit(RunStarted(engine=engine, workflow="w", directory=str(tmp_path)))

    def end(*outputs: File, task: str = "train", **more: Any) -> list[ChildAttached]:
        recorder.collect_children(task, 1, outputs=outputs, **more)
        assert lost == []
        run = replay_workflow(recorder.folder)
        build(run, recorder.folder, "flatten")
        return [child for attempt in run.attempts() for child in attempt.child_runs]

    return end


def output(tmp_path: Path, path: str) -> File:
    return Identity(str(tmp_path)).identify(str(tmp_path / path), None, 0)


# -- declared outputs -------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["prov", "prov/exp_0", "prov/exp_0/prov_exp_GR0_0.json"])
def test_a_run_among_the_declared_outputs_is_the_tasks(
    tmp_path: Path, collect: Collect, path: str
) -> None:
    write(tmp_path)
    (child,) = collect(output(tmp_path, path), began=BEGAN)
    assert (child.child, child.type, child.version) == (PIDS[0], "yprov4ml", "3.2.5+")
    assert (child.doubt, child.complete) == (None, True)
    assert child.document.origin == "prov/exp_0/prov_exp_GR0_0.json"
    kept = tmp_path / ".yprov"
    (found,) = kept.glob(f"*/{child.document.path}")
    assert found.stat().st_size == child.document.size


def test_other_prov_json_among_the_outputs_is_taken(tmp_path: Path, collect: Collect) -> None:
    (tmp_path / "child.json").write_text('{"activity": {"x:a": {}}, "prefix": {"x": "http://x/"}}')
    (tmp_path / "metrics.json").write_text('{"loss": 0.1, "entity": {}}')
    (child,) = collect(output(tmp_path, "child.json"), output(tmp_path, "metrics.json"))
    assert child.type == "prov"


def test_an_older_run_among_the_outputs_is_in_doubt(tmp_path: Path, collect: Collect) -> None:
    write(tmp_path)
    (child,) = collect(output(tmp_path, "prov"), began=LATER)
    assert child.doubt == "by its times it ended before the task began"


def test_a_run_in_doubt_is_linked(tmp_path: Path) -> None:
    (child,) = readers.read(write(tmp_path))
    found = nested(child, "flatten", doubt="by its times it began before the task")
    (entity,) = [v for v in found["entity"].values() if v["prov:type"] == "prov:Bundle"]
    assert entity["yprov4wms:doubt"] == "by its times it began before the task"
    assert not any(name.startswith("ml1:") for name in found["activity"])


# -- by pattern -------------------------------------------------------------------------------


def test_a_run_in_the_directory_is_taken_in_its_time(tmp_path: Path, collect: Collect) -> None:
    write(tmp_path)
    (child,) = collect(began=BEGAN, search=True)
    assert (child.child, child.doubt) == (PIDS[0], None)


def test_a_run_that_ended_just_before_is_not_taken(tmp_path: Path, collect: Collect) -> None:
    """Its document was written then, too."""
    folder = write(tmp_path)
    (path,) = folder.glob("*.json")
    ended = datetime.fromisoformat("2026-11-21T09:01:00+00:00").timestamp()
    os.utime(path, (ended, ended))
    just = "2026-11-21T09:01:00.500000+00:00"
    assert collect(began=just, search=True) == []
    (child,) = collect(began=just, search=True, alone=True)  # put there by its process
    assert child.doubt == "by its times it began before the task"


def test_where_other_tasks_ran_it_is_in_doubt(tmp_path: Path, collect: Collect) -> None:
    write(tmp_path)
    (child,) = collect(began=BEGAN, search=True, shared=True)
    assert child.doubt == "other tasks ran in the same directory at the time"


def test_a_stale_run_is_not_taken(tmp_path: Path, collect: Collect) -> None:
    folder = write(tmp_path)
    for path in (*folder.rglob("*"), folder, folder.parent):
        os.utime(path, (1e9, 1e9))
    assert collect(began=LATER, search=True) == []
    # Also where another run has just made the folder around it newer.
    write(tmp_path, name="other", pid=1)
    assert [child.child for child in collect(began=BEGAN, search=True)] == [PIDS[1]]


def test_a_crashed_run_is_found_too(tmp_path: Path, collect: Collect) -> None:
    write(tmp_path, crashed=True)
    (child,) = collect(began=BEGAN, search=True)
    assert not child.complete


def test_a_run_that_is_found_twice_is_one(tmp_path: Path, collect: Collect) -> None:
    write(tmp_path)
    outputs = [output(tmp_path, "prov"), output(tmp_path, "prov/exp_0/prov_exp_GR0_0.json")]
    assert len(collect(*outputs, began=BEGAN, search=True, shared=True)) == 1


def test_a_run_that_is_another_tasks_for_sure_is_not_found_again(
    tmp_path: Path, collect: Collect
) -> None:
    write(tmp_path)
    assert len(collect(output(tmp_path, "prov"), began=BEGAN)) == 1
    assert len(collect(task="next", began=BEGAN, search=True)) == 1


def test_a_run_in_doubt_is_told_of_each_task_that_it_may_be_of(
    tmp_path: Path, collect: Collect
) -> None:
    write(tmp_path)
    collect(began=BEGAN, search=True, shared=True)
    found = collect(task="next", began=BEGAN, search=True, shared=True)
    assert [(child.task, child.child) for child in found] == [("train", PIDS[0]), ("next", PIDS[0])]


def test_a_broken_candidate_is_no_failure(tmp_path: Path, collect: Collect) -> None:
    (tmp_path / "a.json").write_text('{"entity": {')
    (tmp_path / "b.json").write_text('{"entity": {"a": 1}, "no prov": 2}')
    assert collect(output(tmp_path, "a.json"), output(tmp_path, "b.json")) == []


def test_what_is_gone_by_now_is_no_failure(tmp_path: Path, collect: Collect) -> None:
    write(tmp_path)
    gone = File(path="prov_exp_GR0_0.json")
    inside = [File(path="prov_exp_GR0_0.json"), File(path="a/prov_exp_GR0_0.json")]
    folder = File(path="gone", type=FileType.DIRECTORY, members=inside)
    assert len(collect(gone, folder, output(tmp_path, "prov"))) == 1


def test_a_reader_that_fails_costs_one_run_and_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path)
    write(tmp_path, name="good", run=1)
    read = readers.read

    def fails(path: str, *more: str | None) -> list[readers.ChildRun]:
        if path.endswith("exp_0"):
            raise KeyError("a defect")
        return read(path, *more)

    monkeypatch.setattr(readers, "read", fails)
    lost: list[str] = []
    recorder = Recorder(Settings(store=str(tmp_path / ".yprov")), str(tmp_path), lost.append)
    engine = Software(name="snakemake", kind="engine")
    recorder.emit(RunStarted(engine=engine, workflow="w", directory=str(tmp_path)))
    recorder.collect_children("train", 1, search=True, began=BEGAN)
    (attempt,) = replay_workflow(recorder.folder).attempts()
    assert [child.child for child in attempt.child_runs] == [PIDS[10]]
    assert lost == [
        "yprov: provenance is incomplete (looking for child runs: KeyError: 'a defect')"
    ]


# -- what it costs where there is nothing --------------------------------------------------------


def test_where_there_is_nothing_no_reader_is_imported(tmp_path: Path, script: Any) -> None:
    done = script("""
        from yprov4wms.events import File
        from yprov4wms.recorder import Recorder
        from yprov4wms.settings import Settings
        recorder = Recorder(Settings(store="s"), ".", print)
        files = [File(path="a.csv"), File(path="model.json")]
        recorder.collect_children("t", 1, outputs=files, search=True,
                                  began="2026-11-21T08:59:30.000000+00:00")
        import sys
        print([name for name in sys.modules if name.startswith("yprov4wms.ml.readers")])
    """)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_the_members_of_an_output_are_not_listed_again(tmp_path: Path) -> None:
    members = [File(path=f"part/{n}.csv") for n in range(10)]
    members.append(File(path="exp_0/prov_exp_GR0_0.json"))
    folder = File(path="nowhere", type=FileType.DIRECTORY, members=members)
    assert candidates.among([folder], "/w") == ["/w/nowhere/exp_0"]
    cut = [File(path="x/exp_0/artifacts_GR0/src/a.py"), File(path="exp_1/metrics_GR0/l.csv")]
    folder = File(path="nowhere", type=FileType.DIRECTORY, members=cut)
    assert candidates.among([folder], "/w") == ["/w/nowhere/x/exp_0", "/w/nowhere/exp_1"]
    folder = File(path="exp_2", type=FileType.DIRECTORY, members=[File(path="metrics_GR0/l.csv")])
    assert candidates.among([folder], "/w") == ["/w/exp_2"]


def test_names_tell_candidates_from_other_files(tmp_path: Path) -> None:
    (tmp_path / "plots_1").mkdir()
    (tmp_path / ".hidden" / "exp_0").mkdir(parents=True)
    (tmp_path / ".hidden" / "exp_0" / "metrics_GR0").mkdir()
    (tmp_path / "x_GR0").mkdir()
    assert candidates.under(str(tmp_path), 0) == []
    assert candidates.under(str(tmp_path / "nowhere"), 0) == []
    write(tmp_path)
    write(tmp_path, run=1, crashed=True)
    (tmp_path / "old_3" / "tmp").mkdir(parents=True)
    (tmp_path / "old_3" / "tmp" / "Loss_GR0.csv").touch()
    (tmp_path / "without_number").mkdir()
    (tmp_path / "without_number" / "prov_exp_GR0.json").touch()
    found = [path.removeprefix(f"{tmp_path}/") for path in candidates.under(str(tmp_path), 0)]
    assert found == ["old_3", "prov/exp_0", "prov/exp_1", "without_number"]


def test_every_document_that_a_reader_knows_is_a_candidate(tmp_path: Path) -> None:
    path = tmp_path / "prov_exp_GR0_0.json"
    path.write_text(json.dumps(document("exp", 0, 0, 0, 1, PIDS[0])))
    assert candidates.among([File(path=path.name)], str(tmp_path)) == [str(path)]
