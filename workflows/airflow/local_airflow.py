"""An Airflow of one's own for a while: its scheduler and API server, on loopback.

Uses the ``airflow`` beside the Python that runs it. What is started here ends here.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

AIRFLOW = Path(sys.executable).with_name("airflow")

#: Seconds for a server to come up, and for a DAG run to end.
START, RUN = 180, 900

FAILED = """
    SELECT task_id, map_index, try_number FROM task_instance
    WHERE dag_id = ? AND run_id = ? AND state = 'failed' ORDER BY end_date
"""


class FailedRunError(Exception):
    """What it says is all that there is to say."""


def guarded(run: Callable[[], None]) -> int:
    """The exit status of a command that does this; what fails is told on stderr."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        run()
    except FailedRunError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return 0


class LocalAirflow:
    """With LocalExecutor and SQLite, and settings of its own; a context manager.

    home: its ``.airflow``, which keeps database, logs and records. dags: the folder of DAG files.
    """

    def __init__(self, home: Path, dags: Path) -> None:
        if not AIRFLOW.exists():
            readme = dags.parent / "README.md"
            raise FailedRunError(f"{sys.executable} has no airflow beside it; see {readme}")
        self.home = home
        self._dags = dags
        self._port = free_port()
        self._env = self._environment()
        self._servers: list[subprocess.Popen[bytes]] = []
        self._started = contextlib.ExitStack()

    def __enter__(self) -> LocalAirflow:
        with contextlib.ExitStack() as stack:
            self._start(stack)
            self._started = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._started.close()

    def _start(self, stack: contextlib.ExitStack) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        (self.home / ".gitignore").write_text("*\n")
        print(f"starting Airflow in {self.home}", flush=True)
        self._call("db", "migrate")
        api_server = self._server("api-server", "--apps", "execution")
        self._servers.append(stack.enter_context(api_server))
        self._call("dags", "reserialize")
        for name, why in self.query("SELECT filename, stacktrace FROM import_error"):
            raise FailedRunError(f"{name} is no DAG file\n{why}")
        address = f"http://127.0.0.1:{self._port}/execution/health/ping"
        self.wait(lambda: answers(address), "the API server", START)
        scheduler = self._server("scheduler", "--skip-serve-logs")
        self._servers.append(stack.enter_context(scheduler))

    def trigger(self, dag_id: str, conf: str) -> str:
        """The id of the new DAG run; conf: JSON."""
        run_id = f"manual__{uuid.uuid4()}"
        self._call("dags", "trigger", "--run-id", run_id, "--conf", conf, dag_id)
        return run_id

    def finish(self, dag_id: str, run_id: str) -> Path | None:
        """Wait for the DAG run's end, and say what it was; gives the folder of its record.

        Raises FailedRunError where it failed.
        """
        of_run = "FROM dag_run WHERE dag_id = ? AND run_id = ? AND state IN ('success', 'failed')"

        def ended() -> list[tuple]:
            return self.query(f"SELECT state {of_run}", dag_id, run_id)

        ((state,),) = self.wait(ended, f"the end of {dag_id}", RUN)
        print(f"{dag_id} {run_id}: {state}", flush=True)
        folder = self._tell_of_document(dag_id, run_id)
        if state == "success":
            return folder
        for task_id, map_index, number in self.query(FAILED, dag_id, run_id):
            logs = self.home / "logs" / f"dag_id={dag_id}" / f"run_id={run_id}"
            logs /= f"task_id={task_id}"
            task = task_id if map_index < 0 else f"{task_id}[{map_index}]"
            logs = logs if map_index < 0 else logs / f"map_index={map_index}"
            raise FailedRunError(
                f"{dag_id}: task {task} failed\n{tail(logs / f'attempt={number}.log')}"
            )
        raise FailedRunError(f"{dag_id} failed; the scheduler's log is {self.home}/scheduler.log")

    def _tell_of_document(self, dag_id: str, run_id: str) -> Path | None:
        """Where it is; a process of its own builds it when the run has ended."""
        from airflow_provider_yprov.ids import run_uuid

        if any(name.startswith("AIRFLOW__YPROV__") for name in os.environ):
            return None  # who has settings knows where it is, if there is to be one
        folder = self.home / "yprov" / run_uuid("airflow", dag_id, run_id)
        document = folder / "prov.json"
        self.wait(lambda: [()] if document.exists() else [], f"the document {document}", START)
        print(
            f"  provenance is in {document}; look at it: yprov4wms show {folder}",
            flush=True,
        )
        return folder

    def wait(
        self, condition: Callable[[], list[tuple]], what: str, seconds: float = START
    ) -> list[tuple]:
        """What the condition gives once it gives something."""
        deadline = time.monotonic() + seconds
        while not (found := condition()):
            for process in self._servers:
                if process.poll() is not None:
                    name = process.args[1]
                    log = self.home / f"{name}.log"
                    raise FailedRunError(f"Airflow's {name} ended\n{tail(log)}")
            if time.monotonic() > deadline:
                logs = f"the logs are in {self.home}"
                raise FailedRunError(f"no sign of {what} in {seconds} s; {logs}")
            time.sleep(0.2)
        return found

    def query(self, sql: str, *values: str) -> list[tuple]:
        """Rows of Airflow's database."""
        address = f"{(self.home / 'airflow.db').as_uri()}?mode=ro"
        with contextlib.closing(sqlite3.connect(address, uri=True, timeout=60)) as database:
            return database.execute(sql, values).fetchall()

    def _environment(self) -> dict[str, str]:
        ours = "AIRFLOW__YPROV__"
        return {
            **{k: v for k, v in os.environ.items() if k.startswith(ours) or "AIRFLOW" not in k},
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(32),
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(self._port),
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "AIRFLOW__CORE__DAGS_FOLDER": str(self._dags),
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{self._port}/execution/",
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__PARALLELISM": str(os.cpu_count() or 2),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{self.home / 'airflow.db'}",
            "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "60",
        }

    def _call(self, *command: str) -> None:
        """A command of Airflow's that ends by itself."""
        log = self.home / "commands.log"
        with log.open("wb") as file:
            options = {"env": self._env, "cwd": self.home, "stdout": file, "stderr": file}
            done = subprocess.run([AIRFLOW, *command], **options)
        if done.returncode:
            raise FailedRunError(f"airflow {' '.join(command)} failed\n{tail(log)}")

    @contextlib.contextmanager
    def _server(self, *command: str) -> Iterator[subprocess.Popen[bytes]]:
        """One that ends with the block, with all that it started."""
        with (self.home / f"{command[0]}.log").open("wb") as log:
            process = subprocess.Popen(
                [AIRFLOW, *command],
                env=self._env,
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            yield process
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(30)
            # Its tasks have process groups of their own.
            for pid in [process.pid, *(int(path.name) for path in Path("/proc").glob("[0-9]*"))]:
                with contextlib.suppress(OSError):
                    if os.getsid(pid) == process.pid:
                        os.kill(pid, signal.SIGKILL)
            process.wait()


def answers(address: str) -> list[tuple]:
    with contextlib.suppress(OSError), urllib.request.urlopen(address, timeout=5) as answer:
        return [(answer.status,)]
    return []


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def tail(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines() if log.exists() else ["(no log)"]
    return "\n".join([f"{log} ends with:", *map(readable, lines[-20:])])


def readable(line: str) -> str:
    """What a line says; those of a task's log are JSON."""
    try:
        said = json.loads(line)
        errors = [f"{e['exc_type']}: {e['exc_value']}" for e in said.get("error_detail") or []]
        return " ".join([f"{said['level']}:", str(said["event"]), *errors])
    except (ValueError, KeyError, TypeError, AttributeError):
        return line
