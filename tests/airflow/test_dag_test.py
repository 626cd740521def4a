"""Runs of ``airflow dags test``: one process, no server; and what may go wrong with the store."""

from __future__ import annotations

import json
import shutil
import socket
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from tests.airflow.deployment import AIRFLOW
from tests.airflow.record import elements
from tests.airflow.services import until
from tests.documents import Document, checked, environment, value

DAG = """
    import os
    from airflow.providers.standard.operators.bash import BashOperator
    from airflow.sdk import dag, task
    from airflow.sdk.log import mask_secret

    @dag
    def small():
        @task
        def first() -> list[int]:
            mask_secret("knownonlytoairflow")
            return [1, 2]

        @task
        def second(n: int) -> None:
            assert os.environ.get("YPROV_MAP_INDEX", str(n - 1)) == str(n - 1)

        first() >> BashOperator(task_id="bash", bash_command="echo knownonlytoairflow >&2")
        second.expand(n=first.override(task_id="numbers")())

    made = small()
    if __name__ == "__main__":
        before = dict(os.environ)
        state = made.test().state
        print("STATE", state)
        print("SAME", {k: v for k, v in os.environ.items() if "YPROV" in k}
              == {k: v for k, v in before.items() if "YPROV" in k})
"""
TASKS = {("first", -1), ("bash", -1), ("numbers", -1), ("second", 0), ("second", 1)}


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with Airflow's database, and the DAG in it."""
    home = tmp_path_factory.mktemp("migrated")
    (home / "dags").mkdir()
    (home / "dags" / "small.py").write_text(textwrap.dedent(DAG))
    for command in (("db", "migrate"), ("dags", "reserialize")):
        airflow(home, *command)
    return home


def settings(home: Path) -> dict[str, str]:
    return {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        "AIRFLOW__DATABASE__LOAD_DEFAULT_CONNECTIONS": "False",
    }


def airflow(home: Path, *arguments: str, **extra: str) -> str:
    done = subprocess.run(
        [AIRFLOW, *arguments],
        env=environment(**settings(home), **extra),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


class Project:
    """One AIRFLOW_HOME in which the DAG is run."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def run(self, *before: str, **extra: str) -> str:
        """The output of a run that has succeeded; before: a command that starts it."""
        done = subprocess.run(
            [*before, sys.executable, str(self.home / "dags" / "small.py")],
            env=environment(**settings(self.home), **extra),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        output = done.stdout + done.stderr
        assert "STATE success" in output, output[-5000:]
        assert "SAME True" in output
        return output

    def document(self) -> Document:
        store = self.home / "yprov"
        until(lambda: list(store.glob("*/prov.json")), "a document", 60)
        (path,) = store.glob("*/prov.json")
        return checked(path.read_bytes())

    def plugin(self, code: str) -> None:
        (self.home / "plugins").mkdir()
        (self.home / "plugins" / "more.py").write_text(textwrap.dedent(code))


@pytest.fixture
def project(migrated: Path, tmp_path: Path) -> Project:
    home = tmp_path / "home"
    shutil.copytree(migrated, home, ignore=lambda *_: ["airflow.cfg"])  # it names folders
    with sqlite3.connect(home / "airflow.db") as database:
        database.execute("UPDATE dag SET fileloc = ?", (str(home / "dags" / "small.py"),))
    return Project(home)


def warnings(output: str) -> list[str]:
    return [line for line in output.splitlines() if "provenance is incomplete" in line]


def tasks(found: Document) -> set[tuple[str, int]]:
    return {(e["yprov4wms:step"], value(e["yprov4wms:engine_map_index"])) for e in elements(found)}


def test_a_run_in_one_process(project: Project) -> None:
    output = project.run()
    assert not warnings(output)
    found = project.document()
    assert tasks(found) == TASKS
    assert found.run["yprov4wfs:status"] == "completed"
    (bash,) = found.attempts("bash")
    assert bash["yprov4wms:param_bash_command"] == "echo *** >&2"
    assert b"knownonlytoairflow" not in found.content


def test_nothing_is_recorded_where_it_is_disabled(project: Project) -> None:
    output = project.run(AIRFLOW__YPROV__DISABLED="True")
    assert not warnings(output)
    assert not (project.home / "yprov").exists()


def test_a_setting_that_cannot_be(project: Project) -> None:
    output = project.run(AIRFLOW__YPROV__NEST="deep")
    (warning,) = warnings(output)
    assert "'deep' is not one of flatten, bundle, link" in warning
    assert not (project.home / "yprov").exists()


def test_settings_and_variables_of_every_engine(project: Project, tmp_path: Path) -> None:
    store = tmp_path / "elsewhere"
    project.run(
        AIRFLOW__YPROV__DEPLOYMENT="two", AIRFLOW__YPROV__EXPORT="never", YPROV_STORE=str(store)
    )
    (run,) = store.iterdir()
    assert not (run / "prov.json").exists()
    program = str(Path(sys.executable).with_name("yprov4wms"))
    subprocess.run([program, "export", "--store", str(store)], check=True)
    assert tasks(checked((run / "prov.json").read_bytes())) == TASKS


def test_a_listener_that_raises_beside_ours(project: Project) -> None:
    project.plugin("""
        from airflow.listeners import hookimpl
        from airflow.plugins_manager import AirflowPlugin

        class Bad:
            @hookimpl(tryfirst=True)
            def on_task_instance_running(self, previous_state, task_instance):
                raise RuntimeError("bad")

            @hookimpl
            def on_dag_run_success(self, dag_run, msg):
                raise RuntimeError("bad")

        class Plugin(AirflowPlugin):
            name = "bad"
            listeners = [Bad()]
    """)
    project.run()
    assert tasks(project.document()) == TASKS


#: Of the processes of a run: what touches the store waits for longer than a test may take.
HANGS = """
    import os, time
    from airflow.plugins_manager import AirflowPlugin

    def hanging(call):
        def wait(path, *arguments, **named):
            if "/hangs/" in os.fsdecode(path):
                time.sleep(3600)
            return call(path, *arguments, **named)
        return wait

    os.open, os.mkdir = hanging(os.open), hanging(os.mkdir)

    class Plugin(AirflowPlugin):
        name = "hangs"
"""


def test_a_store_that_hangs(project: Project, tmp_path: Path) -> None:
    project.plugin(HANGS)
    output = project.run(AIRFLOW__YPROV__STORE=str(tmp_path / "hangs" / "store"))
    assert "the store has not answered within 0.8 s" in output


def test_a_store_that_cannot_be_written(project: Project, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    output = project.run(AIRFLOW__YPROV__STORE=str(tmp_path / "file" / "store"))
    assert "provenance is incomplete (opening the store: NotADirectoryError" in output


def test_a_store_that_is_full(project: Project, tmp_path: Path) -> None:
    full = tmp_path / "full"
    full.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", str(full)]
    if subprocess.run(["unshare", "-m", *mount], capture_output=True, check=False).returncode:
        pytest.skip("no mount namespace to be had")
    mounted = ["unshare", "-m", "sh", "-c", f'{" ".join(mount)} && exec "$@"', "sh"]
    output = project.run(*mounted, AIRFLOW__YPROV__STORE=str(full / "store"))
    assert "No space left on device" in output


def test_an_object_store_that_does_not_answer(project: Project) -> None:
    pytest.importorskip("s3fs", reason="s3fs is not installed")
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(1)  # connections are taken, and nobody answers
        port = silent.getsockname()[1]
        output = project.run(
            AIRFLOW__YPROV__STORE="s3://bucket/store",
            AIRFLOW__YPROV__EXPORT="never",
            AWS_ENDPOINT_URL=f"http://127.0.0.1:{port}",
            AWS_ACCESS_KEY_ID="test",
            AWS_SECRET_ACCESS_KEY="test",
            XDG_CACHE_HOME=str(project.home / "cache"),
        )
    assert "another process sends what it has not got" in output
    # What could not be sent is kept for whoever sweeps it up.
    spools = list((project.home / "cache").rglob("*.jsonl"))
    kinds = {json.loads(line)["kind"] for path in spools for line in path.read_text().splitlines()}
    assert {"run-started", "task-executing", "task-executed", "run-ended"} <= kinds
