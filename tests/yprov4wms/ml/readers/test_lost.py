"""Child runs of attempts that were killed: found when the document is built, in doubt as fits."""

from __future__ import annotations

import os
import socket
import subprocess
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from tests.documents import checked
from tests.yprov4wms.ml.readers.runs import PIDS, write

from yprov4wms.events import (
    ChildAttached,
    RunEnded,
    RunStarted,
    Software,
    Status,
    TaskEnded,
    TaskExecuted,
    TaskExecuting,
    TaskStarted,
)
from yprov4wms.export import document
from yprov4wms.recorder import Recorder
from yprov4wms.run import Run
from yprov4wms.settings import Settings

HERE = socket.gethostname()
DOUBT = "its task was killed: what else worked in the same directory is not known"
#: Before and after the runs that tests write.
BEGAN, LATER = "2026-11-21T08:59:30.000000+00:00", "2026-11-21T09:30:00.000000+00:00"


def gone() -> int:
    """The id of a process that is no more."""
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def id_of(moment: str) -> str:
    """A UUIDv7 of then."""
    digits = f"{int(datetime.fromisoformat(moment).timestamp() * 1000):012x}"
    return f"{digits[:8]}-{digits[8:]}-7000-8000-000000000000"


class Killed:
    """The record of a run whose engine was killed."""

    def __init__(
        self, work: Path, monkeypatch: pytest.MonkeyPatch, run_id: str | None = None, **start: Any
    ) -> None:
        self.work = work
        self._run_id = run_id
        self._monkeypatch = monkeypatch
        about = {"host": HERE, "pid": gone(), "directory": str(work), **start}
        engine = Software(name="snakemake", kind="engine")
        self.tell(BEGAN, RunStarted(engine=engine, workflow="w", **about), new=True)

    def tell(self, when: str, *batch: Any, new: bool = False) -> None:
        """As told at that time, by the first writer or a new one."""
        self._monkeypatch.setattr("yprov4wms.recorder.now", lambda: when)
        if new:
            settings = Settings(store=str(self.work / ".yprov"))
            self.recorder = Recorder(settings, str(self.work), print, self._run_id)
            self._run_id = self.recorder.run_id
        self.recorder.emit(*batch)

    def children(self) -> list[ChildAttached]:
        """Of the document as it is built now, which is the same again."""
        run = document.export(self.recorder.folder)
        assert isinstance(run, Run)
        assert run.problems == []
        content = Path(self.recorder.folder.document).read_bytes()
        checked(content)
        document.export(self.recorder.folder)
        assert Path(self.recorder.folder.document).read_bytes() == content
        return [child for attempt in run.attempts() for child in attempt.child_runs]


def test_where_the_task_worked_alone_the_run_is_its(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = Killed(tmp_path / "home", monkeypatch)
    work = str(tmp_path / "job")
    killed.tell(BEGAN, TaskStarted(task="t", attempt=1, directory=work, alone=True, host=HERE))
    write(Path(work))
    (child,) = killed.children()
    assert (child.child, child.doubt) == (PIDS[0], None)


def test_where_others_may_work_it_is_in_doubt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = Killed(tmp_path, monkeypatch)
    killed.tell(BEGAN, TaskStarted(task="t", attempt=1, directory="."))
    write(tmp_path)
    (child,) = killed.children()
    assert child.doubt == DOUBT


def test_a_run_that_came_after_the_next_workflow_run_is_that_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By their ids the one began half an hour after the other."""
    killed = Killed(tmp_path, monkeypatch, id_of(BEGAN))
    killed.tell(BEGAN, TaskStarted(task="t", attempt=1, directory="."))
    (tmp_path / ".yprov" / id_of(LATER) / "events").mkdir(parents=True)
    write(tmp_path, "late", run=1, begin=45 * 60, end=50 * 60)
    assert killed.children() == []
    write(tmp_path)
    assert [child.child for child in killed.children()] == [PIDS[0]]


def test_while_the_engine_lives_nothing_is_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = Killed(tmp_path, monkeypatch, pid=os.getpid())
    killed.tell(BEGAN, TaskStarted(task="t", attempt=1, directory="."))
    write(tmp_path)
    assert killed.children() == []


@pytest.mark.parametrize("where", ["engine", "task"])
def test_on_another_host_nothing_is_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    killed = Killed(tmp_path, monkeypatch, host="elsewhere" if where == "engine" else HERE)
    host = "elsewhere" if where == "task" else None
    killed.tell(BEGAN, TaskStarted(task="t", attempt=1, directory=".", host=host))
    write(tmp_path)
    assert killed.children() == []


def test_an_attempt_that_ended_was_looked_around_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = Killed(tmp_path, monkeypatch)
    killed.tell(BEGAN, TaskStarted(task="t", attempt=1, directory="."))
    killed.tell(LATER, TaskEnded(task="t", attempt=1, status=Status.COMPLETED))
    write(tmp_path)
    assert killed.children() == []


def test_a_process_that_was_killed_under_an_engine_that_lives_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process tells of its end, at which the window ends."""
    killed = Killed(tmp_path, monkeypatch, pid=os.getpid())
    about = {"task": "t", "attempt": 1}
    executing = TaskExecuting(**about, host=HERE, directory=str(tmp_path))
    killed.tell(BEGAN, executing, new=True)
    ended = TaskEnded(**about, status=Status.FAILED, finished="2026-11-21T09:02:00.000000+00:00")
    killed.tell(LATER, ended, RunEnded(status=Status.FAILED), new=True)
    write(tmp_path)
    write(tmp_path, "late", run=1, begin=180, end=240)
    (child,) = killed.children()
    assert (child.child, child.doubt) == (PIDS[0], DOUBT)


def test_a_process_that_told_of_its_end_was_not_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = Killed(tmp_path, monkeypatch)
    about = {"task": "t", "attempt": 1}
    killed.tell(BEGAN, TaskExecuting(**about, host=HERE, directory=str(tmp_path)), new=True)
    killed.tell(LATER, TaskExecuted(**about, status=Status.COMPLETED))
    killed.tell(LATER, RunEnded(status=Status.COMPLETED), new=True)
    write(tmp_path)
    assert killed.children() == []


def test_a_store_that_cannot_be_written_is_a_word_and_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = Killed(tmp_path, monkeypatch)
    killed.tell(BEGAN, TaskStarted(task="t", attempt=1, directory="."))
    write(tmp_path)
    Path(killed.recorder.folder.location, "children").touch()
    run = document.export(killed.recorder.folder)
    assert [problem.split(":")[0] for problem in run.problems] == ["child runs of killed tasks"]
