"""MLflow runs: file stores (``mlruns``), SQLite databases and tracking servers.

What a store has is read by MLflow's own client, in a process of its own (`mlflow_process`).
Nothing of MLflow is imported here.
"""

from __future__ import annotations

import os
import re
import sqlite3
import uuid
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, unquote

from yprov4wms.ml.readers import (
    ChildRun,
    ReadError,
    Search,
    mlflow_document,
    mlflow_process,
)
from yprov4wms.ml.readers.mlflow_facts import PARENT_TAG, Answer, Request, Run
from yprov4wms.ml.readers.peek import beginning

DIALECT = "mlflow"
DATABASE = "mlflow.db"
STORE = "mlruns"

_SQLITE = b"SQLite format 3\0"
_META = "meta.yaml"
_FIELD = re.compile(rb"^(experiment_id|run_id|run_uuid):", re.M)
#: How far clocks may be apart.
_SLACK_MS = 2000


class _Place(NamedTuple):
    """Where runs lie, and which of them are meant."""

    path: Path
    request: Request


class MlflowReader:
    """Each run with those nested in it is one child run."""

    def takes(self, path: Path) -> bool:
        return bool(_places(path))

    def read(self, path: Path, directory: Path | None = None) -> list[ChildRun]:
        return self.search(path, directory, None)

    def search(self, path: Path, directory: Path | None, search: Search | None) -> list[ChildRun]:
        found: list[ChildRun] = []
        for place in _places(path):
            request = place.request
            if search is not None:
                request.only = search.owner
                request.known = [_run_of(known) for known in search.known]
                if search.since is not None and request.run is None:
                    moment = datetime.fromisoformat(search.since).timestamp()
                    request.since_ms = int(moment * 1000) - _SLACK_MS
            answer = mlflow_process.ask(request)
            if search is None and request.run is not None and not answer.runs:
                raise ReadError(f"MLflow has no run {request.run} there")
            found += children(answer, str(place.path), directory)
        return found


def store_of(uri: str, directory: str) -> tuple[str, Request]:
    """What a tracking URI names, from where a process worked: its path or URI, and a request."""
    if uri.startswith("sqlite:///"):
        path = os.path.normpath(os.path.join(directory, _plain(uri[len("sqlite:///") :])))  # noqa: PTH118
        return path, Request(uri=path)
    if "://" in uri and not uri.startswith("file://"):
        return uri, Request(uri=uri)
    told = _plain(uri.removeprefix("file://").removeprefix("file:")) or STORE
    path = os.path.normpath(os.path.join(directory, told))  # noqa: PTH118
    return path, Request(uri=path, root=path)


def _plain(path: str) -> str:
    return unquote(path.partition("?")[0])


def children(answer: Answer, store: str, directory: Path | None) -> list[ChildRun]:
    """The runs of an answer, nested ones inside those that they are nested in.

    store: its path or tracking URI. directory: where their process worked.
    """
    known = {run.id: run for run in answer.runs}
    inner: dict[str, list[Run]] = {}
    roots = []
    for run in answer.runs:
        parent = known.get(run.parent or "")
        if parent is None or parent.owner != run.owner or _is_in_circle(run, known):
            roots.append(run)
        else:
            inner.setdefault(parent.id, []).append(run)
    return [_child(run, inner, answer.version, store, directory) for run in roots]


def _is_in_circle(run: Run, known: dict[str, Run]) -> bool:
    seen: set[str] = set()
    at: Run | None = run
    while at is not None and at.id not in seen:
        seen.add(at.id)
        at = known.get(at.tags.get(PARENT_TAG, ""))
    return at is not None


def _child(
    root: Run, inner: dict[str, list[Run]], version: str | None, store: str, directory: Path | None
) -> ChildRun:
    identifier = _identifier(root.id)
    runs = mlflow_document.Runs(identifier, store, directory)
    waiting: list[tuple[Run, str | None]] = [(root, None)]
    told = []
    while waiting:
        run, parent = waiting.pop()
        name = runs.add(run, parent)
        told.append(run)
        waiting += [(one, name) for one in reversed(inner.get(run.id, []))]
    place = str(Path(store, root.experiment_id, root.id)) if Path(store).is_dir() else store
    content, repaired = runs.draft.written(identifier, mlflow_document.ROOT, place)
    return ChildRun(
        dialect=DIALECT,
        id=identifier,
        content=content,
        complete=all(run.end_ms is not None for run in told),
        began=mlflow_document.of_ms(root.start_ms),
        ended=mlflow_document.of_ms(root.end_ms),
        repaired=repaired,
        sources=(place,),
        owner=root.owner,
        among_others=True,
    )


def _identifier(run: str) -> str:
    try:
        return str(uuid.UUID(run))
    except ValueError:
        return f"mlflow-{run}"


def _run_of(identifier: str) -> str:
    """The run of a child's id."""
    return identifier.removeprefix("mlflow-").replace("-", "")


def _places(path: Path) -> list[_Place]:
    """The stores, or parts of stores, at a path."""
    if path.is_file():
        return [_Place(path, Request(uri=str(path)))] if _is_database(path) else []
    if not path.is_dir():
        return []
    fields = _fields(path)
    if "run_id" in fields or "run_uuid" in fields:
        return [_part(path, path.parent.parent, experiment=path.parent.name, run=path.name)]
    if "experiment_id" in fields:
        return [_part(path.parent, path.parent, experiment=path.name)]
    if _is_file_store(path):
        return [_part(path, path)]
    inside = [path / name for name in (STORE, DATABASE)]
    return [place for one in inside if os.path.lexists(one) for place in _places(one)]


def _part(path: Path, root: Path, experiment: str | None = None, run: str | None = None) -> _Place:
    store = path if run is None else root
    request = Request(uri=str(root), root=str(root), experiment=experiment, run=run)
    return _Place(store, request)


def _fields(folder: Path) -> set[str]:
    try:
        return {name.decode() for name in _FIELD.findall(beginning(folder / _META))}
    except OSError:
        return set()


def _is_file_store(path: Path) -> bool:
    with os.scandir(path) as entries:
        names = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    return any("experiment_id" in _fields(path / name) for name in names)


def _is_database(path: Path) -> bool:
    try:
        if not beginning(path).startswith(_SQLITE):
            return False
        uri = f"file:{quote(str(path))}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True, timeout=5)) as database:
            names = {name for (name,) in database.execute("select name from sqlite_master")}
    except (OSError, sqlite3.Error):
        return False
    return {"experiments", "runs", "latest_metrics", "tags"} <= names


READER = MlflowReader()
