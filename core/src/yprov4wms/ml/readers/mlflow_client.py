"""Reads MLflow stores through MLflow's own client, in a process of its own.

A line of JSON on stdin is a `Request`, a line on stdout its `Answer`. MLflow's import takes
seconds and some 200 MB, its stores make folders where they are opened, and its client's
timeouts are minutes: all of that stays in here. Nothing is written to a store.
"""

from __future__ import annotations

import os
import select
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec

from yprov4wms.ml.readers import mlflow_run
from yprov4wms.ml.readers.mlflow_facts import (
    ATTEMPT_TAG,
    PARENT_TAG,
    RUN_TAG,
    TASK_TAG,
    Answer,
    Request,
    Run,
    owner_of,
)

#: Seconds after which a process that nobody asks ends itself.
IDLE = 60.0
#: mlflow.entities.ViewType.ALL: deleted ones are told of as such.
_ALL = 3
_PAGE = 1000
_TRASH = ".trash"


def main(folder: str) -> None:
    """folder: made for this process, which removes it."""
    out = os.dup(1)
    os.dup2(2, 1)  # what libraries print is no answer
    # Opening a database makes the folder of its artifacts where the process works.
    os.chdir(folder)
    os.environ["TMPDIR"] = tempfile.tempdir = folder
    try:
        with suppress(BrokenPipeError):
            for line in _lines(0):
                _write(out, msgspec.json.encode(_answer(line)) + b"\n")
    finally:
        os.chdir("/")
        shutil.rmtree(folder, ignore_errors=True)


def _lines(fd: int) -> Iterator[bytes]:
    rest = b""
    while select.select([fd], [], [], IDLE)[0]:
        chunk = os.read(fd, 1 << 16)
        if not chunk:
            return
        *lines, rest = (rest + chunk).split(b"\n")
        yield from lines


def _write(fd: int, content: bytes) -> None:
    while content:
        content = content[os.write(fd, content) :]


def _answer(line: bytes) -> Answer:
    try:
        import mlflow.version
        from mlflow.tracking.client import MlflowClient
    except ImportError as error:
        return Answer(error=f"MLflow cannot be imported ({error})", missing=True)
    request = msgspec.json.decode(line, type=Request)
    version = str(mlflow.version.VERSION)
    try:
        with _opened(request, MlflowClient) as client:
            return Answer(version=version, runs=list(_runs(client, request)))
    except Exception as error:  # a store can be anybody's
        missing = (
            isinstance(error, ImportError) or "UnsupportedModelRegistry" in type(error).__name__
        )
        told = " ".join(str(error).split())[:500]
        return Answer(error=f"{type(error).__name__}: {told}", missing=missing, version=version)


@contextmanager
def _opened(request: Request, client: Any) -> Iterator[Any]:
    """A client of the store, which stays as it is. Raises what MLflow does."""
    if request.root is not None:
        with _unchanged(Path(request.root)):
            yield client(tracking_uri=request.root, registry_uri=request.root)
    elif request.uri.startswith("/"):
        yield _database(Path(request.uri), client)
    else:
        yield client(tracking_uri=request.uri, registry_uri=request.uri)


@contextmanager
def _unchanged(root: Path) -> Iterator[None]:
    """A file store is given a folder for its trash, and one for its models, when opened; when
    asked again, MLflow counts on the first."""
    new = [path for name in (_TRASH, "models") if not (path := root / name).exists()]
    before = root.stat()
    (root / _TRASH).mkdir(exist_ok=True)
    try:
        yield
    finally:
        gone = False
        for path in new:
            with suppress(OSError):
                path.rmdir()
                gone = True
        if gone:
            os.utime(root, ns=(before.st_atime_ns, before.st_mtime_ns))


def _database(path: Path, client: Any) -> Any:
    """Of a database that is only read; of an older MLflow's, a copy that is brought up to date."""
    uri = f"sqlite:///file:{quote(str(path))}?mode=ro&uri=true"
    try:
        found = client(tracking_uri=uri, registry_uri=uri)
        found.search_experiments(max_results=1)
    except ImportError:
        raise
    except Exception as first:
        copy = Path("snapshot.db").absolute()
        copy.unlink(missing_ok=True)
        with (
            closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as source,
            closing(sqlite3.connect(copy)) as target,
        ):
            source.backup(target)
        uri = f"sqlite:///{copy}"
        try:
            _upgrade(uri)
            found = client(tracking_uri=uri, registry_uri=uri)
            found.search_experiments(max_results=1)
        except Exception:
            raise first from None
    return found


def _upgrade(uri: str) -> None:
    import sqlalchemy
    from mlflow.store.db.utils import _upgrade_db

    _upgrade_db(sqlalchemy.create_engine(uri))


def _runs(client: Any, request: Request) -> Iterator[Run]:
    experiments = {e.experiment_id: e for e in _paged(client.search_experiments, view_type=_ALL)}
    chosen = [request.experiment] if request.experiment else list(experiments)
    found: dict[str, Any] = {}
    for condition in _conditions(request):
        for run in _paged(client.search_runs, chosen, condition, run_view_type=_ALL):
            found.setdefault(run.info.run_id, run)
    if request.run is not None:
        found = _inside(found, request.run)
    for run in sorted(found.values(), key=lambda run: (run.info.start_time or 0, run.info.run_id)):
        if _is_over(run, request.since_ms) or _is_known(run, found, request.known):
            continue
        if request.only and owner_of(run.data.tags) not in (None, request.only):
            continue
        experiment = experiments.get(run.info.experiment_id)
        yield mlflow_run.told(client, run, experiment, request.root)


def _conditions(request: Request) -> list[str]:
    """Filters whose results are taken together: MLflow's have no ``or``."""
    if request.owner is not None:
        tags = zip((RUN_TAG, TASK_TAG, ATTEMPT_TAG), request.owner, strict=True)
        return [" and ".join(f"tags.`{name}` = {_quoted(value)}" for name, value in tags)]
    if request.since_ms is not None:
        return [f"attributes.{name}_time >= {request.since_ms}" for name in ("start", "end")]
    return [""]


def _quoted(value: str) -> str:
    return f'"{value}"' if "'" in value else f"'{value}'"


def _inside(found: dict[str, Any], root: str) -> dict[str, Any]:
    """A run and what is nested in it, at any depth."""
    inner: dict[str | None, list[str]] = {}
    for name, run in found.items():
        inner.setdefault(run.data.tags.get(PARENT_TAG), []).append(name)
    chosen, waiting = {}, [root]
    while waiting:
        name = waiting.pop()
        if name in found and name not in chosen:
            chosen[name] = found[name]
            waiting += inner.get(name, ())
    return chosen


def _is_over(run: Any, since_ms: int | None) -> bool:
    """Whether it ended before; one without an end that began before is not of the time since."""
    if since_ms is None:
        return False
    last = run.info.end_time or run.info.start_time
    return last is not None and last < since_ms


def _is_known(run: Any, found: dict[str, Any], known: list[str]) -> bool:
    """Whether it, or one that it is nested in, is told of already."""
    seen: set[str] = set()
    at = run if known else None
    while at is not None and at.info.run_id not in seen:
        seen.add(at.info.run_id)
        parent = at.data.tags.get(PARENT_TAG)
        if at.info.run_id in known or parent in known:
            return True
        at = found.get(parent)
    return False


def _paged(search: Any, *arguments: Any, **more: Any) -> Iterator[Any]:
    token = None
    while True:
        page = search(*arguments, **more, max_results=_PAGE, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


if __name__ == "__main__":
    main(sys.argv[1])
