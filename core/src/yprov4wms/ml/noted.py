"""MLflow runs of a task attempt whose store its process noted in ours (`mlflow_context`).

They carry tags that name the attempt, so that none is another's. When a note has been followed,
a mark beside it says which runs there were: an export does not ask again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

import msgspec

from yprov4wms.events import ChildAttached
from yprov4wms.ml import discover
from yprov4wms.ml.collect import NOTE
from yprov4wms.ml.readers import ChildRun, ReadError, mlflow, mlflow_process
from yprov4wms.store import RunFolder

_DONE = ".done"


class Note(msgspec.Struct, kw_only=True):
    """Where runs of an attempt are. directory: where its process worked; python: what ran it."""

    tracking_uri: str
    directory: str
    python: str | None = None


def children(folder: RunFolder, task: str, attempt: int) -> Iterator[ChildAttached]:
    """Keep the documents of these runs in the store, and tell of each.

    Raises, in the end, OSError or ReadError where a store cannot be read; it is tried again
    by an export then.
    """
    failure: Exception | None = None
    told: set[str] = set()
    for name, note in _notes(folder, task, attempt):
        try:
            runs = _runs(folder, task, attempt, note, live=True)
        except (OSError, ReadError) as error:
            failure = _placed(error, note)
            continue
        for run in runs:
            if run.id not in told:
                told.add(run.id)
                yield discover.attached(folder, run, task, attempt, note.directory, None)
        folder.put(name + _DONE, b"[]")
    if failure is not None:
        raise failure


def late_children(
    folder: RunFolder, task: str, attempt: int, known: Collection[str]
) -> Iterator[tuple[ChildAttached, bytes]]:
    """Those that nobody collected, but for known ones, with their documents. Raises as above."""
    failure: Exception | None = None
    told = set(known)
    for name, note in _notes(folder, task, attempt):
        try:
            found = list(_late(folder, task, attempt, name, note))
        except (OSError, ReadError) as error:
            failure = _placed(error, note)
            continue
        for child, content in found:
            if child.child not in told:
                told.add(child.child)
                yield child, content
    if failure is not None:
        raise failure


def _late(
    folder: RunFolder, task: str, attempt: int, name: str, note: Note
) -> Iterator[tuple[ChildAttached, bytes]]:
    try:
        done = msgspec.json.decode(folder.read(name + _DONE), type=list[ChildAttached])
    except (FileNotFoundError, msgspec.MsgspecError):
        pass
    else:
        for child in done:
            yield child, folder.read(child.document.path)
        return
    runs = _runs(folder, task, attempt, note, live=False)
    told = [discover.attached(folder, run, task, attempt, note.directory, None) for run in runs]
    if runs and all(run.complete for run in runs):
        folder.put(name + _DONE, msgspec.json.encode(told))
    for child, run in zip(told, runs, strict=True):
        yield child, run.content


def _notes(folder: RunFolder, task: str, attempt: int) -> Iterator[tuple[str, Note]]:
    """Each with its place in the folder, and each store but once."""
    place = folder.ml_runs(task, attempt)
    seen: set[tuple[str, str]] = set()
    for name in folder.names(place):
        if not (name.startswith(NOTE) and name.endswith(".json")):
            continue
        try:
            note = msgspec.json.decode(folder.read(f"{place}/{name}"), type=Note)
        except msgspec.MsgspecError:
            continue  # of a store that does not write whole files
        key = (note.tracking_uri, "" if "://" in note.tracking_uri else note.directory)
        if key not in seen:
            seen.add(key)
            yield f"{place}/{name}", note


def _runs(folder: RunFolder, task: str, attempt: int, note: Note, live: bool) -> list[ChildRun]:
    store, request = mlflow.store_of(note.tracking_uri, note.directory)
    request.owner = (folder.run_id, task, str(attempt))
    # What a record from elsewhere names is not run, and no credentials are sent there.
    python = note.python if live else None
    answer = mlflow_process.ask(request, python, trusted=live)
    return mlflow.children(answer, store, Path(note.directory))


def _placed(error: Exception, note: Note) -> Exception:
    return ReadError(f"MLflow at {note.tracking_uri}: {error}")
