"""Runs of other recorders under attempts that nobody saw the end of: found afterwards.

Whoever runs an attempt looks for its child runs when it ends. Where that process was killed, it
is done when the document is built, on the same host: from where and when the attempt worked, as
the journal has it.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime

from yprov4wms import candidates
from yprov4wms.events import ChildAttached
from yprov4wms.ml import discover
from yprov4wms.ml.readers.moments import of_seconds
from yprov4wms.recorder import Recorder
from yprov4wms.run import Attempt, Run
from yprov4wms.settings import load
from yprov4wms.store import RunFolder, Store


def take_in(folder: RunFolder, run: Run) -> bool:
    """Record what killed attempts left; whether there was anything new. Raises OSError."""
    found: list[ChildAttached] = []
    home = run.start.directory
    over = run.end.time if run.end is not None else _next_run(folder)
    settled = {c.child for a in run.attempts() for c in a.child_runs if c.doubt is None}
    store = folder.location.rpartition("/")[0]
    for attempt, place, alone in _unseen(run):
        window = _window(attempt, os.path.join(home, place), alone, over)  # noqa: PTH118
        if window.began is None:
            continue
        moment = int(datetime.fromisoformat(window.began).timestamp() * 1e9)
        near = candidates.under(window.directory, moment, beside=[store])
        known = settled | {child.child for child in attempt.child_runs}
        found += discover.found(folder, attempt.task, attempt.key, (), near, window, home, known)
    if not found:
        return False
    lost: list[str] = []
    recorder = Recorder(load({"store": store}), home or os.curdir, lost.append, folder.run_id)
    try:
        recorder.emit(*found)
        recorder.drain()
    finally:
        recorder.close()
    if lost:
        raise OSError(lost[0].removeprefix("yprov: "))
    return True


def _unseen(run: Run) -> Iterator[tuple[Attempt, str, bool]]:
    """Attempts of this host that are over, and that nobody looked around; with where each
    worked, and whether alone."""
    if run.start.imported or not _is_over(run):
        return
    for attempt in run.attempts():
        start = attempt.start if attempt.is_unseen else None
        if start is None or not start.directory or attempt.external_id:
            continue
        if (start.host or run.start.host) == socket.gethostname():
            yield attempt, start.directory, start.alone


def _is_over(run: Run) -> bool:
    """Whether nobody writes its record any more, as far as that can be told here."""
    if run.end is not None:
        return True
    start = run.start
    if not start.pid or start.host != socket.gethostname():
        return False
    try:
        os.kill(start.pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        pass
    return False


def _window(attempt: Attempt, directory: str, alone: bool, until: str | None) -> discover.Window:
    start, end = attempt.start, attempt.end
    began = (end.began if end else None) or (start.time if start else None)
    ended = (end.finished or end.time) if end else None
    killed = "its task was killed: what else worked in the same directory is not known"
    return discover.Window(directory, began, alone, None if alone else killed, until=ended or until)


def _next_run(folder: RunFolder) -> str | None:
    """When the next run in the store began, as its UUIDv7 says: what came then may be its."""
    store = Store(folder.location.rpartition("/")[0])
    with suppress(ValueError, IndexError):
        runs = store.runs() if not store.remote else []
        after = runs[runs.index(folder.run_id) + 1].replace("-", "")
        return of_seconds(int(after[:12], 16) / 1000) if after[12] == "7" else None
    return None
