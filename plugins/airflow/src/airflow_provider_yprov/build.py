"""``python -m airflow_provider_yprov.build export STORE RUN``: the document of a run that has
ended; ``... sweep STORE RUN``: only send what its writers on this host could not send in time.

The former waits a little for task processes that are still to tell of their end: the scheduler
goes on before they are done. One builds at a time; all is over within `LIMIT` seconds.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from yprov4wms import settings
from yprov4wms.events import Status
from yprov4wms.export import document
from yprov4wms.journal import spool_folder, sweep
from yprov4wms.replay import replay_workflow
from yprov4wms.run import Run
from yprov4wms.store import RunFolder, Store

LIMIT = 60
#: Airflow kills a task's process that takes longer over its hooks (``task_success_overtime``).
GRACE = 20.0


def main() -> None:
    """Exit status 1, and the reason on stderr, where there is no document."""
    what, store, run_id = sys.argv[1:]

    def failed(reason: str) -> None:
        moment = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        print(f"{moment} {what} of run {run_id}: {reason}", file=sys.stderr, flush=True)
        os._exit(1)  # whatever else hangs: no process of ours outlives its limit

    signal.signal(signal.SIGALRM, lambda *_: failed(f"not done within {LIMIT} s"))
    signal.alarm(LIMIT)
    folder = Store(store).run(run_id)
    try:
        with _alone(folder):
            if what == "sweep":
                sweep(folder.events)
            else:
                _wait(folder)
                document.export(folder, nest=settings.load().nest)
    except Exception as error:
        failed(f"{type(error).__name__}: {error}")


def _wait(folder: RunFolder) -> None:
    """Until each process that said it runs has said how it ended, or the time is up."""
    until, pause = time.monotonic() + GRACE, 0.2
    while not _complete(replay_workflow(folder)) and time.monotonic() < until:
        time.sleep(pause)
        pause = min(2 * pause, 2.0)


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
