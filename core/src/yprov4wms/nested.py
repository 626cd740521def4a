"""Runs inside runs: what a nested run leaves with the one around it, and how both are found."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

import msgspec

from yprov4wms.events import INNER_RETRY, Parent
from yprov4wms.replay import replay
from yprov4wms.run import Attempt, MLRun, Run
from yprov4wms.store import RunFolder, Store, StoreError

Read = Callable[[RunFolder], Run | MLRun]

#: In a run's folder, a note of each run that its attempts started.
NOTES = "runs"
#: What a run's id may be: it becomes the name of a file.
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


class Note(msgspec.Struct, omit_defaults=True):
    """That an attempt started a run, and the store in which that was recorded."""

    run: str
    store: str
    task: str | None = None
    attempt: int | None = None


class Found(NamedTuple):
    """A run, and the attempt that started it, where the run around it knows of that one."""

    run: Run
    folder: RunFolder
    around: Attempt | None


def is_id(run: str) -> bool:
    """Whether it can be the name of a run's folder."""
    return _ID.fullmatch(run) is not None


def announce(parent: Parent, folder: RunFolder) -> None:
    """Leave a note of the run in ``folder`` with the run that it is nested in.

    Raises OSError where that one's store cannot be written.
    """
    store = folder.location.rpartition("/")[0]
    if parent.run == folder.run_id or not is_id(parent.run):
        return
    note = Note(run=folder.run_id, store=store, task=parent.task, attempt=parent.attempt)
    outer = Store(parent.store or store).run(parent.run)
    outer.put(f"{NOTES}/{folder.run_id}.json", msgspec.json.encode(note))


def noted(folder: RunFolder) -> Iterator[Note]:
    """The notes in a run's folder; what is no note is passed over."""
    for name in folder.names(NOTES):
        try:
            note = msgspec.json.decode(folder.read(f"{NOTES}/{name}"), type=Note)
        except (OSError, msgspec.MsgspecError):
            continue
        if f"{note.run}.json" == name and is_id(note.run):
            yield note


def inside(run: Run, folder: RunFolder, known: set[str], read: Read = replay) -> Iterator[Found]:
    """The runs that the attempts of ``run`` started, in the order of their ids.

    known: ids of runs that are not to be looked at; those that are found are added. read: gives
    the run in a folder. What was noted and cannot be found is a problem of ``run``.
    """
    for note in noted(folder):
        if note.run in known:
            continue
        try:
            place, found = _look(note, folder, read)
        except (StoreError, OSError) as error:
            add_problem(run, f"run {note.run} inside it: {error}")
            continue
        if not isinstance(found, Run):
            continue
        if found.start.parent is None or found.start.parent.run != run.id:
            add_problem(run, f"run {note.run} is noted as inside it, and does not say so")
            continue
        known.add(note.run)
        yield Found(found, place, attempt(run, found.start.parent))


def add_problem(run: Run, problem: str) -> None:
    """Once: a run may be looked at several times."""
    if problem not in run.problems:
        run.problems.append(problem)


def attempt(run: Run, parent: Parent) -> Attempt | None:
    """The attempt of ``run`` that ``parent`` names."""
    task = run.tasks.get(parent.task or "")
    if task is None or not task.attempts:
        return None
    key = parent.attempt or 0
    for wanted in (key, key % INNER_RETRY):
        for found in task.attempts:
            if found.key == wanted:
                return found
    return task.attempts[-1]


def _look(note: Note, folder: RunFolder, read: Read) -> tuple[RunFolder, Run | MLRun]:
    """In the store of the run around it first: stores are moved."""
    beside = RunFolder(f"{folder.location.rpartition('/')[0]}/{note.run}")
    try:
        return beside, read(beside)
    except StoreError:
        told = Store(note.store).run(note.run)
        if told.location == beside.location:
            raise
        return told, read(told)


def place(inner: RunFolder, outer: RunFolder) -> str:
    """Where the document of a nested run is: from the outer run's folder, if it is near."""
    store = outer.location.rpartition("/")[0]
    if inner.location.rpartition("/")[0] == store:
        return os.path.join("..", inner.run_id, "prov.json")  # noqa: PTH118 - a URL's path, too
    return inner.document
