"""``python -m airflow_provider_yprov.build export STORE RUN``: the document of a run that has
ended; ``... sweep STORE RUN``: only send what its writers on this host could not send in time.

The former waits a little for task processes that are still to tell of their end, and for what
these started: the scheduler goes on before they are done. Where a task of a DAG run that has
ended triggered this one, that run's document is built again. One builds at a time; all is over
within `LIMIT` seconds.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import platform
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from airflow_provider_yprov.facts import ENGINE
from yprov4wms import nested, settings
from yprov4wms.events import Status
from yprov4wms.export import document
from yprov4wms.journal import spool_folder, sweep
from yprov4wms.replay import replay_workflow
from yprov4wms.run import MLRun, Run
from yprov4wms.store import DOCUMENT, RunFolder, Store

LIMIT = 60
#: Airflow kills a task's process that takes longer over its hooks (``task_success_overtime``).
GRACE = 20.0


def main() -> None:
    """Exit status 1, and the reason on stderr, where there is no document."""
    *given, store, run_id = sys.argv[1:]
    what = given[0] if given else "export"

    def failed(reason: str) -> None:
        moment = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        print(f"{moment} {what} of run {run_id}: {reason}", file=sys.stderr, flush=True)
        os._exit(1)  # whatever else hangs: no process of ours outlives its limit

    signal.signal(signal.SIGALRM, lambda *_: failed(f"not done within {LIMIT} s"))
    signal.alarm(LIMIT)
    folder = Store(store).run(run_id)
    time.sleep(min(float(os.environ.get("YPROV_EXPORT_DELAY", "0")), LIMIT / 2))
    try:
        with _alone(folder):
            if what == "sweep":
                sweep(folder.events)
            else:
                _wait(folder)
                run = document.export(folder, nest=settings.load().nest)
        if what != "sweep":
            _renew_around(run, folder)
    except Exception as error:
        failed(f"{type(error).__name__}: {error}")


def _wait(folder: RunFolder) -> None:
    """Until each process that said it runs has said how it ended, or the time is up."""
    until, pause = time.monotonic() + GRACE, 0.2
    ended: set[str] = set()
    while time.monotonic() < until:
        run = replay_workflow(folder)
        if _complete(run) and not _running_inside(run, folder, ended):
            return
        time.sleep(pause)
        pause = min(2 * pause, 2.0)


def _running_inside(run: Run, folder: RunFolder, ended: set[str]) -> bool:
    """Whether a nested run is still to tell of its end; ``ended``: those of which that is known.

    A DAG run is not waited for: at its end this document is built again.
    """
    running = False
    for found in nested.inside(run, folder, set(ended)):
        start = found.run.start
        here = start.host == platform.node() and start.pid is not None
        gone = here and not Path(f"/proc/{start.pid}").exists()
        if found.run.end is not None or gone or start.engine.name == ENGINE:
            ended.add(found.run.id)
        else:
            running = True
    return running


def _renew_around(run: Run | MLRun, folder: RunFolder) -> None:
    """Build the documents of the DAG runs around this one again that were built before its end."""
    known = {run.id}
    while isinstance(run, Run) and run.start.parent is not None:
        parent = run.start.parent
        folder = Store(parent.store or folder.location.rpartition("/")[0]).run(parent.run)
        if parent.run in known or not nested.is_id(parent.run) or not folder.names("events"):
            return
        known.add(parent.run)
        with _alone(folder):
            if DOCUMENT not in folder.names(""):
                return  # it has not ended; what is built then will tell of this run, too
            run = document.read(folder)
            if isinstance(run, Run) and run.start.engine.name == ENGINE:
                document.write(run, folder, folder.document, settings.load().nest)


def _complete(run: Run) -> bool:
    """Whether nobody is waited for: only a success is known before the process has gone."""
    return all(
        attempt.executing_line is None or attempt.executed_line is not None
        for attempt in run.attempts()
        if attempt.status is Status.COMPLETED
    )


@contextlib.contextmanager
def _alone(folder: RunFolder) -> Iterator[None]:
    """With a lock on the run, as far as this host and its file system have one."""
    path = Path(folder.location) if not folder.remote else spool_folder(folder.events)
    path.mkdir(parents=True, exist_ok=True)
    with (path / ".export.lock").open("w") as lock:
        with contextlib.suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    main()
