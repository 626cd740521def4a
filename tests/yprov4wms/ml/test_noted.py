"""MLflow runs of a task are found by the tags that name it: here, on a server, after a kill."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.documents import checked, environment
from tests.mlflow_stores import QUIET, needed, script

from yprov4wms.events import RunStarted, Software, Status, TaskEnded, TaskStarted
from yprov4wms.export.document import build, export
from yprov4wms.ml.readers import mlflow_process
from yprov4wms.recorder import Recorder
from yprov4wms.replay import replay_workflow
from yprov4wms.settings import Settings

needed()

TRAIN = """
    import os, signal, sys
    import mlflow
    with mlflow.start_run(run_name=sys.argv[1]):
        mlflow.log_metric("loss", 0.5)
        with mlflow.start_run(run_name="inner", nested=True):
            mlflow.log_param("p", 1)
        if sys.argv[1] == "doomed":
            os.kill(os.getpid(), signal.SIGKILL)
"""


class Work:
    """A run in a store of its own; its tasks train in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lost: list[str] = []
        store = Settings(store=str(folder / ".yprov"))
        self.recorder = Recorder(store, str(folder), self.lost.append)
        engine = Software(name="snakemake", kind="engine")
        self.recorder.emit(RunStarted(engine=engine, workflow="w", directory=str(folder)))

    def variables(self, task: str) -> dict[str, str]:
        return {
            "YPROV_RUN_ID": self.recorder.run_id,
            "YPROV_TASK_ID": task,
            "YPROV_ATTEMPT": "1",
            "YPROV_STORE": str(self.folder / ".yprov"),
        }

    def train(self, task: str, uri: str, name: str = "trained", prefix: str = "") -> None:
        self.recorder.emit(TaskStarted(task=task, attempt=1))
        told = {prefix + key: value for key, value in self.variables(task).items()}
        with contextlib.suppress(subprocess.CalledProcessError):
            script(self.folder, TRAIN, name, MLFLOW_TRACKING_URI=uri, **told)

    def end(self, task: str) -> list[str]:
        """Labels of its child runs, in the document."""
        self.recorder.collect_children(task, 1)
        self.recorder.emit(TaskEnded(task=task, attempt=1, status=Status.COMPLETED))
        return self.nested(task)

    def nested(self, task: str) -> list[str]:
        target = self.folder / "exported.json"
        export(self.recorder.folder, str(target))
        document = checked(target.read_bytes())
        activities = document.section("activity")
        return [
            activities[r["prov:informed"]]["prov:label"]
            for r in document.links("wasInformedBy", informant=f"run:task_{task}.1")
            if r["yprov4wms:link"] == "nested"
        ]

    def tags(self, uri: str) -> list[dict[str, str]]:
        code = """
            import json, sys
            import mlflow
            found = mlflow.MlflowClient(sys.argv[1]).search_runs(["0"])
            print(json.dumps([run.data.tags for run in found]))
        """
        found: list[dict[str, str]] = json.loads(script(self.folder, code, uri).stdout)
        return found


@pytest.fixture
def work(tmp_path: Path) -> Iterator[Work]:
    work = Work(tmp_path)
    yield work
    work.recorder.close()
    mlflow_process.close()


@pytest.mark.parametrize("prefix", ["", "AIRFLOW_CTX_"])
def test_a_run_under_a_task_is_tagged_and_taken(work: Work, prefix: str) -> None:
    uri = f"file:{work.folder}/mlruns"
    work.train("a", uri, prefix=prefix)
    assert work.end("a") == ["trained"]
    assert work.lost == []
    for tags in work.tags(uri):
        assert tags["yprov4wms.run"] == work.recorder.run_id
        assert (tags["yprov4wms.task"], tags["yprov4wms.attempt"]) == ("a", "1")


def test_two_tasks_in_one_store_have_each_its_own(work: Work) -> None:
    uri = f"sqlite:///{work.folder}/mlflow.db"
    script(work.folder, TRAIN, "nobody's", MLFLOW_TRACKING_URI=uri)
    code = work.folder / "script.py"
    running = [
        subprocess.Popen(
            [sys.executable, str(code), f"of {task}"],
            cwd=work.folder,
            env=environment(**QUIET, MLFLOW_TRACKING_URI=uri, **work.variables(task)),
            stderr=subprocess.DEVNULL,
        )
        for task in ("a", "b")
    ]
    for task in ("a", "b"):
        work.recorder.emit(TaskStarted(task=task, attempt=1))
    assert [process.wait(300) for process in running] == [0, 0]
    began = "2020-01-01T00:00:00.000000+00:00"
    for task in ("a", "b"):
        # The store is where they worked, too; what nobody tagged is in doubt there.
        work.recorder.collect_children(task, 1, search=True, began=began, shared=True)
    found = {
        attempt.task: [child.doubt for child in attempt.child_runs]
        for attempt in replay_workflow(work.recorder.folder).attempts()
    }
    assert work.lost == []
    assert {task: doubts[0] for task, doubts in found.items()} == {"a": None, "b": None}
    assert [len(doubts) for doubts in found.values()] == [2, 2]
    assert all("other tasks ran" in doubts[1] for doubts in found.values())
    assert sorted(work.nested("a") + work.nested("b"))[-2:] == ["of a", "of b"]


def test_what_was_killed_with_its_engine_is_in_the_export(work: Work) -> None:
    uri = f"file:{work.folder}/mlruns"
    work.train("a", uri, "doomed")
    assert work.nested("a") == ["doomed"]
    (entity,) = [
        e
        for e in checked((work.folder / "exported.json").read_bytes()).section("entity").values()
        if "yprov4wms:dialect" in e
    ]
    assert (entity["yprov4wms:complete"], entity["yprov4wms:dialect"]) == (False, "mlflow")


def test_an_export_asks_once_for_what_has_ended(
    work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    work.train("a", f"file:{work.folder}/mlruns")
    assert work.nested("a") == ["trained"]
    first = (work.folder / "exported.json").read_bytes()
    shutil.rmtree(work.folder / "mlruns")
    monkeypatch.setattr(mlflow_process, "ask", lambda *given, **more: pytest.fail("asked again"))
    assert work.nested("a") == ["trained"]
    assert (work.folder / "exported.json").read_bytes() == first


def test_where_the_engine_has_no_mlflow_the_tasks_own_python_reads(
    work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    work.train("a", f"file:{work.folder}/mlruns")
    broken = work.folder / "broken"
    broken.mkdir()
    (broken / "mlflow.py").write_text("raise ImportError('No module named mlflow')\n")
    python = broken / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={broken} exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    assert work.end("a") == ["trained"]
    assert work.lost == []


class Server:
    """An MLflow server on loopback."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self.port}"
        self._folder = folder
        self._process: subprocess.Popen[Any] | None = None

    def start(self) -> None:
        options = [
            *("--backend-store-uri", f"sqlite:///{self._folder}/server.db"),
            *("--artifacts-destination", str(self._folder / "kept")),
            *("--host", "127.0.0.1", "--port", str(self.port), "--workers", "1"),
        ]
        with (self._folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "mlflow", "server", *options],
                cwd=self._folder,
                env=environment(**QUIET),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        until = time.monotonic() + 120
        while time.monotonic() < until:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.uri}/health"):
                return
            time.sleep(0.2)
        raise TimeoutError((self._folder / "server.log").read_text())

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, 15)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, 9)
                process.wait(20)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    server.start()
    yield server
    server.stop()


def test_a_run_on_a_server_is_read_there_or_later(work: Work, server: Server) -> None:
    code = """
        import mlflow
        with mlflow.start_run(run_name="remote"):
            mlflow.log_text("weights", "files/model.txt")
    """
    told = work.variables("a")
    work.recorder.emit(TaskStarted(task="a", attempt=1))
    work.recorder.emit(TaskStarted(task="b", attempt=1))
    script(work.folder, code, MLFLOW_TRACKING_URI=server.uri, **told)
    assert work.end("a") == ["remote"]
    document = checked((work.folder / "exported.json").read_bytes())
    (file,) = [e for e in document.section("entity").values() if e["prov:label"] == "model.txt"]
    assert file["yprov4wms:path"].startswith("mlflow-artifacts:/")
    assert file["yprov4wms:size"]["$"] == "7"
    assert work.lost == []

    work.train("b", server.uri, "later")
    server.stop()
    began = time.monotonic()
    work.recorder.collect_children("b", 1)
    assert time.monotonic() - began < mlflow_process.PATIENCE
    (said,) = work.lost
    assert f"MLflow at {server.uri}" in said
    run = replay_workflow(work.recorder.folder)
    build(run, work.recorder.folder, "flatten")
    assert len(run.failures) == 1
    assert any("MLflow at" in problem for problem in run.problems)
    server.start()
    assert work.nested("b") == ["later"]
