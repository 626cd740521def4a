"""Run the DAG `digits` through Airflow's scheduler, and `digits_report`, which follows from it.

    python workflows/airflow/run.py [--conf '{"epochs": 3}']

Uses the ``airflow`` beside the Python that runs it, with settings of its own and ``.airflow``
beside this file as its home. What is started here ends here.
"""

from __future__ import annotations

import argparse
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

HERE = Path(__file__).resolve().parent
HOME = HERE / ".airflow"
AIRFLOW = Path(sys.executable).with_name("airflow")

#: Seconds for a server to come up, and for a DAG run to end.
START, RUN = 180, 900

#: DAG runs that an asset of this run led to.
FOLLOWING = """
    SELECT following.dag_id, following.run_id FROM dag_run AS following
    JOIN dagrun_asset_event AS link ON link.dag_run_id = following.id
    JOIN asset_event ON asset_event.id = link.event_id
    WHERE asset_event.source_dag_id = ? AND asset_event.source_run_id = ?
"""
FAILED = """
    SELECT task_id, map_index, try_number FROM task_instance
    WHERE dag_id = ? AND run_id = ? AND state = 'failed' ORDER BY end_date
"""


class FailedRunError(Exception):
    """What it says is all that there is to say."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--conf", default="{}", help="parameters of the run, as JSON")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        run(arguments.conf)
    except FailedRunError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return 0


def run(conf: str) -> None:
    if not AIRFLOW.exists():
        raise FailedRunError(f"{sys.executable} has no airflow beside it; see {HERE / 'README.md'}")
    HOME.mkdir(parents=True, exist_ok=True)
    (HOME / ".gitignore").write_text("*\n")
    print(f"starting Airflow in {HOME}", flush=True)
    port = free_port()
    env = environment(port)
    call(env, "db", "migrate")
    with server(env, "api-server", "--apps", "execution") as api_server:
        call(env, "dags", "reserialize")
        for name, why in query("SELECT filename, stacktrace FROM import_error"):
            raise FailedRunError(f"{name} is no DAG file\n{why}")
        address = f"http://127.0.0.1:{port}/execution/health/ping"
        wait(lambda: answers(address), "the API server", START, api_server)
        with server(env, "scheduler", "--skip-serve-logs") as scheduler:
            run_id = f"manual__{uuid.uuid4()}"
            call(env, "dags", "trigger", "--run-id", run_id, "--conf", conf, "digits")
            finish("digits", run_id, api_server, scheduler)
            ((dag_id, following),) = wait(
                lambda: query(FOLLOWING, "digits", run_id),
                "the DAG run that the scores lead to",
                START,
                api_server,
                scheduler,
            )
            finish(dag_id, following, api_server, scheduler)


def finish(dag_id: str, run_id: str, *servers: subprocess.Popen[bytes]) -> None:
    """Wait for the DAG run's end, and say what it was."""
    of_run = "FROM dag_run WHERE dag_id = ? AND run_id = ? AND state IN ('success', 'failed')"

    def ended() -> list[tuple]:
        return query(f"SELECT state {of_run}", dag_id, run_id)

    ((state,),) = wait(ended, f"the end of {dag_id}", RUN, *servers)
    print(f"{dag_id} {run_id}: {state}", flush=True)
    tell_of_document(dag_id, run_id)
    if state == "success":
        return
    for task_id, map_index, number in query(FAILED, dag_id, run_id):
        folder = HOME / "logs" / f"dag_id={dag_id}" / f"run_id={run_id}" / f"task_id={task_id}"
        task = task_id if map_index < 0 else f"{task_id}[{map_index}]"
        folder = folder if map_index < 0 else folder / f"map_index={map_index}"
        raise FailedRunError(
            f"{dag_id}: task {task} failed\n{tail(folder / f'attempt={number}.log')}"
        )
    raise FailedRunError(f"{dag_id} failed; the scheduler's log is {HOME / 'scheduler.log'}")


def tell_of_document(dag_id: str, run_id: str) -> None:
    """Where it is; a process of its own builds it when the run has ended."""
    from airflow_provider_yprov.ids import run_uuid

    if any(name.startswith("AIRFLOW__YPROV__") for name in os.environ):
        return  # who has settings knows where it is, if there is to be one
    folder = HOME / "yprov" / run_uuid("airflow", dag_id, run_id)
    document = folder / "prov.json"
    wait(lambda: [()] if document.exists() else [], f"the document {document}", START)
    print(
        f"  provenance is in {document}; look at it: yprov4wms show {folder}",
        flush=True,
    )


def environment(port: int) -> dict[str, str]:
    ours = "AIRFLOW__YPROV__"
    return {
        **{k: v for k, v in os.environ.items() if k.startswith(ours) or "AIRFLOW" not in k},
        "AIRFLOW_HOME": str(HOME),
        "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(32),
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(HERE / "dags"),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__PARALLELISM": str(os.cpu_count() or 2),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{HOME / 'airflow.db'}",
        "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "60",
    }


def call(env: dict[str, str], *command: str) -> None:
    """A command of Airflow's that ends by itself."""
    log = HOME / "commands.log"
    with log.open("wb") as file:
        done = subprocess.run([AIRFLOW, *command], env=env, cwd=HOME, stdout=file, stderr=file)
    if done.returncode:
        raise FailedRunError(f"airflow {' '.join(command)} failed\n{tail(log)}")


@contextlib.contextmanager
def server(env: dict[str, str], *command: str) -> Iterator[subprocess.Popen[bytes]]:
    """One that ends with the block, with all that it started."""
    with (HOME / f"{command[0]}.log").open("wb") as log:
        process = subprocess.Popen(
            [AIRFLOW, *command],
            env=env,
            cwd=HOME,
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


def wait(
    condition: Callable[[], list[tuple]],
    what: str,
    seconds: float,
    *servers: subprocess.Popen[bytes],
) -> list[tuple]:
    """What the condition gives once it gives something."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        for process in servers:
            if process.poll() is not None:
                name = process.args[1]
                raise FailedRunError(f"Airflow's {name} ended\n{tail(HOME / f'{name}.log')}")
        if time.monotonic() > deadline:
            raise FailedRunError(f"no sign of {what} in {seconds} s; the logs are in {HOME}")
        time.sleep(0.2)
    return found


def answers(address: str) -> list[tuple]:
    with contextlib.suppress(OSError), urllib.request.urlopen(address, timeout=5) as answer:
        return [(answer.status,)]
    return []


def query(sql: str, *values: str) -> list[tuple]:
    address = f"{(HOME / 'airflow.db').as_uri()}?mode=ro"
    with contextlib.closing(sqlite3.connect(address, uri=True, timeout=60)) as database:
        return database.execute(sql, values).fetchall()


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


if __name__ == "__main__":
    sys.exit(main())
