"""Where child runs of other recorders may lie, by names alone.

Imported by every task process: standard library only. What a candidate is, its reader tells.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from yprov4wms.events import File

_DOCUMENT = re.compile(r"prov(?:graph)?_.+_GR\d+(?:_\d+)?\.json")
_PART = re.compile(r"(?:metrics|artifacts)_GR\d+")
_RUN = re.compile(r".+_\d+")
_CRATE = re.compile(r".+_\d+\.zip")
_OLD_METRIC = re.compile(r".+_GR\d+\.(?:csv|nc|zarr)")
_PROV = re.compile(
    rb'^\s*(?:\xef\xbb\xbf)?\s*\{\s*"(?:prefix|entity|activity|agent|bundle)"\s*:\s*\{'
)
_HEAD = 4096
#: MLflow's stores: a database, or a folder of experiments with runs inside.
_SQLITE = re.compile(rb"SQLite format 3\0")
_DATABASES = (".db", ".sqlite", ".sqlite3")
_DATABASE, _STORE, _META = "mlflow.db", "mlruns", "meta.yaml"
#: Folders that are looked into for runs.
_MOST_FOLDERS = 200
#: How much older than the task's start a folder may be, for file systems with coarse times.
_SLACK_NS = 2_000_000_000


def among(outputs: Iterable[File], directory: str) -> list[str]:
    """Declared outputs that are, or hold, child runs; absolute paths, each once.

    directory: where relative paths start.
    """
    found: dict[str, None] = {}
    for file in outputs:
        if "://" in file.path or file.type == "missing":
            continue
        path = os.path.join(directory, file.path)  # noqa: PTH118
        if file.type == "directory":
            inside = _inside(file, path) if file.members is not None else _runs_in(path)
            found.update(dict.fromkeys(inside))
            found.update(dict.fromkeys(_stores_at(path)))
        elif path.endswith(_DATABASES):
            if _begins(path, _SQLITE):
                found[path] = None
        elif _is_document(path):
            found[path] = None
    return list(found)


def _is_document(path: str) -> bool:
    """Whether a file is a run's document or crate by its name, or begins as PROV-JSON does."""
    name = os.path.basename(path)  # noqa: PTH119
    if _DOCUMENT.fullmatch(name) or _CRATE.fullmatch(name):
        return True
    return name.endswith((".json", ".provjson")) and _begins(path, _PROV)


def under(directory: str, began_ns: int, beside: Collection[str] = ()) -> list[str]:
    """Folders of runs, crates of runs without one, and stores of them, in a directory or one
    below, that changed since a moment; but for those that are known already, and what is in
    them (``beside``)."""
    found, looked = _crates(directory, began_ns) + _stores(directory, began_ns), 0
    for number, entry in enumerate(_folders(directory)):
        if entry.name.startswith(".") or looked >= _MOST_FOLDERS or entry.path in beside:
            continue
        if number < _MOST_FOLDERS:
            # What is written to a store that is there does not change the folder around it.
            found += _stores(entry.path, began_ns)
        if not _is_fresh(entry, began_ns):
            continue
        looked += 1
        if _is_run(entry.path):
            found.append(entry.path)
        else:
            found += [
                inner.path
                for inner in _folders(entry.path)
                if _RUN.fullmatch(inner.name) and _is_fresh(inner, began_ns) and _is_run(inner.path)
            ]
            found += _crates(entry.path, began_ns)
    return sorted(path for path in found if path not in beside)


def _crates(path: str, began_ns: int) -> list[str]:
    """Crates in a directory whose runs' folders are not beside them."""
    try:
        with os.scandir(path) as entries:
            found = [e for e in entries if _CRATE.fullmatch(e.name) and _is_plain(e)]
    except OSError:
        return []
    return [
        entry.path
        for entry in found
        if _is_fresh(entry, began_ns) and not _is_run(entry.path.removesuffix(".zip"))
    ]


def _is_plain(entry: os.DirEntry[str]) -> bool:
    return entry.is_file(follow_symlinks=False)


def _is_fresh(entry: os.DirEntry[str], began_ns: int) -> bool:
    try:
        return entry.stat().st_mtime_ns >= began_ns - _SLACK_NS
    except OSError:
        return False


def _stores(directory: str, began_ns: int) -> list[str]:
    """Stores of MLflow's in a directory, by their usual names."""
    found = []
    database = f"{directory}/{_DATABASE}"
    if any(_changed(f"{database}{suffix}", began_ns) for suffix in ("", "-wal")):
        found.append(database)
    store = f"{directory}/{_STORE}"
    for entry in _folders(store):
        if _is_fresh(entry, began_ns) and _is_there(f"{entry.path}/{_META}"):
            found.append(store)
            break
    return found


def _changed(path: str, began_ns: int) -> bool:
    try:
        return os.stat(path).st_mtime_ns >= began_ns - _SLACK_NS  # noqa: PTH116
    except OSError:
        return False


def _inside(file: File, path: str) -> Iterator[str]:
    """By the members that the record has of a directory."""
    for member in file.members or ():
        name = member.path
        folder, _, last = name.rpartition("/")
        if _DOCUMENT.fullmatch(last):
            # Alone in the directory it may be beside others that are not its run's.
            yield f"{path}/{folder}" if folder else f"{path}/{name}"
        elif "_GR" in folder:
            # Of many members not all are listed, and the document may be none of those.
            names = [path, *folder.split("/")]
            for place, part in enumerate(names[1:], 1):
                if _PART.fullmatch(part) and _RUN.fullmatch(os.path.basename(names[place - 1])):  # noqa: PTH119
                    yield "/".join(names[:place])
        elif last.endswith(".jsonl") and folder.endswith("/events"):
            yield f"{path}/{folder.removesuffix('/events')}"
        elif last.endswith(".provjson") or _CRATE.fullmatch(last):
            yield f"{path}/{name}"


def _stores_at(path: str) -> list[str]:
    """Stores that a directory is, or has in it."""
    if any(_is_there(f"{entry.path}/{_META}") for entry in _folders(path)[:_MOST_FOLDERS]):
        return [path]
    return _stores(path, 0)


def _is_there(path: str) -> bool:
    return os.path.exists(path)  # noqa: PTH110


def _runs_in(path: str) -> list[str]:
    if _is_run(path):
        return [path]
    found = [e.path for e in _folders(path) if _RUN.fullmatch(e.name) and _is_run(e.path)]
    return found + _crates(path, 0)


def _is_run(path: str) -> bool:
    """A document says so; what a crash left does in a folder that is named like a run's."""
    try:
        names = os.listdir(path)  # noqa: PTH208 - once for a folder
    except OSError:
        return False
    if any(_DOCUMENT.fullmatch(name) for name in names):
        return True
    if not _RUN.fullmatch(os.path.basename(path)):  # noqa: PTH119
        return False
    if any(_PART.fullmatch(name) for name in names):
        return True
    try:
        old = os.listdir(f"{path}/tmp") if "tmp" in names else []  # noqa: PTH208
    except OSError:
        return False
    return any(_OLD_METRIC.fullmatch(name) for name in old)


def _begins(path: str, pattern: re.Pattern[bytes]) -> bool:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return pattern.match(os.read(fd, _HEAD)) is not None
    except OSError:
        return False
    finally:
        os.close(fd)


def _folders(path: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(path) as entries:
            return [entry for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []
