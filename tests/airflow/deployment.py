"""A real Airflow in a folder of its own: its servers on loopback, for one test or a few.

Needs ``psutil`` and what Airflow brings. Everything that is started ends with ``stop``, and
with this process where nobody calls it.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import secrets
import shutil
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy
from tests.airflow import services
from tests.airflow.services import Process, free_port, until
from tests.documents import environment

T = TypeVar("T")

#: Seconds that a server has to come up, and that a DAG run has to end. Much for a busy machine.
START, RUN = 180, 300

AIRFLOW = str(Path(sys.executable).with_name("airflow"))

TASK_INSTANCES = """
    SELECT task_id, map_index, try_number, state FROM {table}
    WHERE dag_id = :dag_id AND run_id = :run_id
"""


class Deployment:
    """DAG files lie in `dags`; `sync` makes them known, `trigger` and `wait` run them.

    Args:
        home: AIRFLOW_HOME, made if it is not there. It keeps the servers' logs as ``*.log``
            and the tasks' under ``logs/``.
        executor: ``LocalExecutor``, or ``CeleryExecutor`` with a Redis and two workers.
        database: ``sqlite`` or ``postgresql``.
        triggerer: Whether deferrable operators are served.
        public_api: Whether `request` is answered, by whom everybody is an administrator.
        dags: Where the DAG files lie; ``home/dags`` unless given.
        settings: Variables beside and before those in `environment`.
    """

    def __init__(
        self,
        home: Path,
        *,
        executor: str = "LocalExecutor",
        database: str = "sqlite",
        triggerer: bool = False,
        public_api: bool = False,
        dags: Path | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.home = home
        self.dags = dags or home / "dags"
        self.executor = executor
        self.database = database
        self.schedulers: list[Process] = []
        self.workers: list[Process] = []
        self.api_server: Process | None = None
        self.triggerer: Process | None = None
        self._with_triggerer = triggerer
        self._with_public_api = public_api
        self._started: list[Process] = []
        self._services = contextlib.ExitStack()
        self._admin: Process | None = None
        self._asked = 0
        self._engine: sqlalchemy.Engine | None = None
        self._port = free_port()
        for folder in (home, self.dags):
            folder.mkdir(parents=True, exist_ok=True)
        self.environment = {
            **{k: v for k, v in environment().items() if not k.startswith("AIRFLOW_")},
            **self._settings(),
            **(settings or {}),
        }

    def __enter__(self) -> Deployment:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Skips the test where a service that it needs cannot be had."""
        if self.database == "postgresql":
            url = self._services.enter_context(services.postgresql(self.home / "postgresql"))
            self.environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] = url
        if self.executor == "CeleryExecutor":
            url = self._services.enter_context(services.redis(self.home / "redis"))
            self.environment["AIRFLOW__CELERY__BROKER_URL"] = f"{url}/0"
            self.environment["AIRFLOW__CELERY__RESULT_BACKEND"] = f"{url}/1"
        (self.home / "answers").mkdir(exist_ok=True)
        program = str(Path(__file__).with_name("admin.py"))
        command = (sys.executable, "-P", program, str(self.home / "answers"))
        self._admin = self._start("admin", *command, stdin="")
        self._request("migrate")
        self._engine = sqlalchemy.create_engine(
            self.environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"],
            poolclass=sqlalchemy.NullPool,
        )
        apps = "all" if self._with_public_api else "execution"
        server = self._start("api-server", AIRFLOW, "api-server", "--apps", apps)
        self.api_server = server
        if self.executor == "CeleryExecutor":
            self.workers = [self._start_worker(number) for number in (1, 2)]
        if self._with_triggerer:
            self.triggerer = self._start("triggerer", AIRFLOW, "triggerer", "--skip-serve-logs")
        # A task that finds no server fails: the scheduler comes last.
        self._until(self._answers, "the API server")
        logs = [worker.log for worker in self.workers]
        self._until(lambda: all(" ready." in log.read_text() for log in logs), "the workers")
        if self._with_triggerer:
            self._until(lambda: self._jobs("TriggererJob") > 0, "the triggerer")
        self.start_scheduler()

    def stop(self) -> None:
        """All that was started, first those that start others."""
        started, self._started = self._started, []
        services.stop([*self.schedulers, *self.workers], 30)
        services.stop([p for p in started if p not in (*self.schedulers, *self.workers)], 15)
        self.schedulers, self.workers = [], []
        self.api_server = self.triggerer = self._admin = None
        self._services.close()

    def start_scheduler(self) -> Process:
        """One more scheduler, which is up when this returns."""
        before = self._jobs("SchedulerJob")
        name = f"scheduler-{before + 1}"
        scheduler = self._start(name, AIRFLOW, "scheduler", "--skip-serve-logs")
        self.schedulers.append(scheduler)
        self._until(lambda: self._jobs("SchedulerJob") > before, name)
        return scheduler

    def restart_scheduler(self) -> Process:
        """In place of those that run; they end as they do when they are asked to."""
        services.stop(self.schedulers, 30)
        self.schedulers = []
        return self.start_scheduler()

    def kill(self, process: Process, *, alone: bool = False) -> None:
        """By SIGKILL, with all that it started unless alone."""
        process.kill(alone=alone)
        for group in (self.schedulers, self.workers):
            if process in group:
                group.remove(process)

    def sync(self, folder: Path | None = None) -> None:
        """Make the DAGs in `dags` known, with those of the folder copied there."""
        if folder is not None and folder != self.dags:
            shutil.copytree(folder, self.dags, dirs_exist_ok=True)
        self._request("sync", str(self.dags))

    def trigger(
        self,
        dag_id: str,
        conf: Mapping[str, Any] | None = None,
        run_id: str | None = None,
        logical_date: datetime.datetime | None = None,
    ) -> str:
        """The id of the new DAG run."""
        date = logical_date and logical_date.isoformat()
        return str(self._request("trigger", dag_id, conf, run_id, date))

    def state(self, dag_id: str, run_id: str) -> str | None:
        """Of a DAG run; None where it is not there."""
        found = self.query(
            "SELECT state FROM dag_run WHERE dag_id = :dag_id AND run_id = :run_id",
            dag_id=dag_id,
            run_id=run_id,
        )
        return str(found[0][0]) if found else None

    def wait(self, dag_id: str, run_id: str, timeout: float = RUN) -> str:
        """Until the DAG run ends: ``success`` or ``failed``."""

        def ended() -> str | None:
            state = self.state(dag_id, run_id)
            return state if state in ("success", "failed") else None

        return self._until(ended, f"the end of {dag_id} {run_id}", timeout)

    def task_instances(self, dag_id: str, run_id: str) -> set[tuple[str, int, int, str | None]]:
        """(task id, map index, try number, state) of every try."""
        return {
            (row[0], row[1], row[2], row[3])
            for table in ("task_instance", "task_instance_history")
            for row in self.query(TASK_INSTANCES.format(table=table), dag_id=dag_id, run_id=run_id)
        }

    def relatives(self, dag_id: str, run_id: str) -> dict[str, list[str]]:
        """By task instance (``train[3]``) those that it waits for, by Airflow's own word."""
        found: dict[str, list[str]] = self._request("relatives", dag_id, run_id)
        return found

    def clear(self, dag_id: str, run_id: str) -> None:
        """Have what failed, and what depends on it, run again."""
        self._request("clear", dag_id, run_id)

    def request(self, method: str, path: str, **content: Any) -> None:
        """Ask the public API, as the user interface does."""
        host = self.environment["AIRFLOW__API__BASE_URL"]
        with urllib.request.urlopen(f"{host}/auth/token", timeout=60) as answer:
            token = json.load(answer)["access_token"]
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        data = json.dumps(content).encode() if content else None
        url = f"{host}/api/v2/{path}"
        asked = urllib.request.Request(url, data, headers, method=method)
        with urllib.request.urlopen(asked, timeout=60) as answer:
            assert answer.status < 300

    def query(self, sql: str, **values: Any) -> list[tuple[Any, ...]]:
        """Rows of Airflow's database; values stand in the text as ``:name``."""
        assert self._engine is not None, "the deployment was not started"
        with self._engine.connect() as connection:
            return [tuple(row) for row in connection.execute(sqlalchemy.text(sql), values)]

    def tails(self, characters: int = 2000) -> str:
        """Ends of the servers' logs and of the newest tasks'."""
        tasks = sorted((self.home / "logs").rglob("*.log"), key=lambda p: p.stat().st_mtime)
        logs = [*sorted(self.home.glob("*.log")), *tasks[-3:]]
        return "\n".join(f"--- {p}\n{p.read_text()[-characters:]}" for p in logs)

    def _settings(self) -> dict[str, str]:
        host = f"http://127.0.0.1:{self._port}"
        return {
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(32),
            "AIRFLOW__API__BASE_URL": host,
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(self._port),
            "AIRFLOW__API__SECRET_KEY": secrets.token_hex(32),
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.dags),
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{host}/execution/",
            "AIRFLOW__CORE__EXECUTOR": self.executor,
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__PARALLELISM": "4",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "AIRFLOW__DATABASE__LOAD_DEFAULT_CONNECTIONS": "False",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{self.home}/airflow.db",
            "AIRFLOW__LOGGING__COLORED_CONSOLE_LOG": "False",
            "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "10",
            "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "1",
            "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.2",
            # A server that is busy for longer than the default, 5 s, fails a task.
            "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "60",
            # A busy machine's disk takes longer than the default, 0.8 s.
            "AIRFLOW__YPROV__PATIENCE": "60",
            "C_FORCE_ROOT": "1",
        }

    def _start(self, name: str, *command: str, stdin: str | None = None) -> Process:
        log = self.home / f"{name}.log"
        process = Process(name, command, log, self.environment, stdin=stdin)
        self._started.append(process)
        return process

    def _start_worker(self, number: int) -> Process:
        name = f"worker-{number}"
        who = ("--celery-hostname", f"{name}@%h", "--pid", str(self.home / f"{name}.pid"))
        quick = ("--skip-serve-logs", "--without-mingle", "--without-gossip")
        return self._start(name, AIRFLOW, "celery", "worker", "-c", "2", *who, *quick)

    def _request(self, name: str, *arguments: Any) -> Any:
        """Ask the process that has Airflow imported."""
        assert self._admin is not None, "the deployment was not started"
        self._asked += 1
        path = self.home / "answers" / f"{self._asked}.json"
        path.unlink(missing_ok=True)
        self._admin.write(json.dumps([self._asked, name, *arguments]) + "\n")
        self._until(path.exists, f"an answer to {name}")
        answer = json.loads(path.read_text())
        assert "error" not in answer, f"{name} {arguments}: {answer['error']}"
        return answer["result"]

    def _answers(self) -> bool:
        url = f"http://127.0.0.1:{self._port}/execution/health/ping"
        with (
            contextlib.suppress(urllib.error.URLError, OSError),
            urllib.request.urlopen(url, timeout=5) as answer,
        ):
            return bool(answer.status == 200)
        return False

    def _jobs(self, kind: str) -> int:
        return int(self.query("SELECT count(*) FROM job WHERE job_type = :kind", kind=kind)[0][0])

    def _until(self, condition: Callable[[], T | None], what: str, timeout: float = START) -> T:
        return until(condition, what, timeout, self._started, self.tails)
