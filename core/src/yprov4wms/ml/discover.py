"""Child runs of other recorders that a task attempt left: read, and told as events."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import NamedTuple

from yprov4wms.events import ChildAttached, File
from yprov4wms.ml import readers
from yprov4wms.ml.collect import SUFFIX
from yprov4wms.ml.readers import ChildRun
from yprov4wms.prov.rules import kept
from yprov4wms.store import RunFolder

#: How far clocks, and the times that a run notes, may be apart; but where tasks share a directory
#: they share a clock, and one may begin just after another's run ended.
_SLACK = timedelta(seconds=2)


#: Why a run in a directory may be another task's.
OTHERS = "other tasks ran in the same directory at the time"


class Window(NamedTuple):
    """Where and when an attempt worked.

    alone: nothing else ever works there. shared: why what is there may be of others. until:
    when it had ended for sure.
    """

    directory: str
    began: str | None
    alone: bool = False
    shared: str | None = None
    until: str | None = None


def found(
    folder: RunFolder,
    task: str,
    attempt: int,
    declared: Iterable[str],
    near: Iterable[str],
    window: Window,
    home: str,
    known: set[str],
) -> Iterator[ChildAttached]:
    """Tell of each run once, and keep its document in the store.

    declared: candidates among the attempt's outputs; near: others, where it worked. home: the
    run's directory. known: ids of runs that it is known to have, to which these are added. A
    run whose record names another attempt is none of its. Raises, in the end, what one of them
    raised; one that is gone by now is none.
    """
    failure: Exception | None = None
    owner = (folder.run_id, task, str(attempt))
    first = list(declared)
    rest = [path for path in near if path not in first]
    for is_output, paths in ((True, first), (False, rest)):
        for path in paths:
            try:
                search = readers.Search(window.began, owner, known)
                runs = readers.read(path, window.directory, search)
            except readers.UnreadableError as error:
                failure = error
                continue
            except (readers.ReadError, FileNotFoundError, NotADirectoryError):
                continue
            except Exception as error:  # readers are anybody's
                failure = error
                continue
            for run in runs:
                if run.id in known or run.owner not in (None, owner):
                    continue
                sure = is_output or window.alone
                doubt = None if run.owner else _doubt(run, window, sure)
                if doubt is None or doubt:
                    known.add(run.id)
                    yield attached(folder, run, task, attempt, home, doubt or None)
    if failure is not None:
        raise failure


def attached(
    folder: RunFolder, run: ChildRun, task: str, attempt: int, directory: str, doubt: str | None
) -> ChildAttached:
    """Keep a run's document in the store; the event that tells of it. Raises OSError."""
    digest = folder.keep(run.content, SUFFIX)
    return event_of(run, task, attempt, digest, directory, doubt)


def event_of(
    run: ChildRun, task: str, attempt: int, digest: str, directory: str, doubt: str | None
) -> ChildAttached:
    source = run.sources[0]
    if directory and source.startswith(directory.rstrip("/") + "/"):
        source = source[len(directory.rstrip("/")) + 1 :]
    document = File(
        path=f"children/{digest}{SUFFIX}", size=len(run.content), sha256=digest, origin=source
    )
    return ChildAttached(
        task=task,
        attempt=attempt,
        child=run.id,
        type=run.dialect,
        document=document,
        complete=run.complete,
        version=run.version,
        repaired=list(run.repaired) or None,
        doubt=doubt,
        checked=kept(run.content),
    )


def _doubt(run: ChildRun, window: Window, sure: bool) -> str | None:
    """Why a run may not be the attempt's; empty where it is not, None where it is."""
    if window.began is not None:
        start = datetime.fromisoformat(window.began) - (_SLACK if sure else timedelta())
        if run.ended is not None and datetime.fromisoformat(run.ended) < start:
            if not sure and not _touched_since(run, start):
                return ""
            return "by its times it ended before the task began"
        if run.began is not None and datetime.fromisoformat(run.began) < start:
            return "by its times it began before the task"
    elif run.among_others:
        return "it lies among runs of all times, and when the task began is not known"
    if sure:
        return None
    if window.until is not None and run.began is not None and run.began > window.until:
        return ""
    if run.began is None:
        return "when it ran is not known, and it is none of the task's declared outputs"
    return window.shared


def _touched_since(run: ChildRun, moment: datetime) -> bool:
    return any(os.stat(source).st_mtime >= moment.timestamp() for source in run.sources)  # noqa: PTH116
