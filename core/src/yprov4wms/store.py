"""The run store: ``<store>/<run id>/`` with ``events/``, ``children/``, ``ml/``, ``prov.json``.

Imported by every task process: standard library only, fsspec for URLs alone.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, cast

from yprov4wms import journal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import BinaryIO

DOCUMENT = "prov.json"
#: The cache of checksums of large files, beside the runs.
CHECKSUMS = "checksums"
#: Where large temporary files lie by custom; in many a system /tmp is memory itself.
_LARGE = "/var/tmp"


class StoreError(Exception):
    """The store, or a run in it, is not what it should be; the text is for the user."""


def new_run_id() -> str:
    """A UUIDv7 (RFC 9562 section 5.7): ordered by time, unique across hosts."""
    milliseconds = time.time_ns() // 1_000_000
    noise = int.from_bytes(os.urandom(10), "big")
    value = (milliseconds << 80) | (7 << 76) | ((noise & 0xFFF) << 64)
    value |= (0b10 << 62) | (noise >> 18)
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _age(run_id: str, journals: Callable[[], list[str]]) -> tuple[int, str]:
    """Orders runs by when they began: in ms since the epoch, and then by id.

    A UUIDv7 says it itself; of another id its journals' names do, each with its writer's start.
    """
    digits = run_id.replace("-", "")
    if digits[12:13] == "7" and len(digits) == 32:
        with contextlib.suppress(ValueError):
            return int(digits[:12], 16), run_id
    starts = []
    for name in journals():
        stem = name.removesuffix(journal.SUFFIX).partition("@")[0]
        with contextlib.suppress(ValueError):
            starts.append(int(stem.rpartition("-")[2], 16) // 1000)
    return min(starts, default=0), run_id


class Store:
    """A folder or fsspec URL that holds runs."""

    def __init__(self, location: str) -> None:
        location = location.removeprefix("file://")
        self.remote = "://" in location
        self.location = location.rstrip("/") if self.remote else str(Path(location).absolute())

    def run(self, run_id: str) -> RunFolder:
        return RunFolder(f"{self.location}/{run_id}")

    def runs(self) -> list[str]:
        """Ids of the runs in this store, oldest first; empty where there is no store yet.

        Raises StoreError where something else is in its place.
        """
        if not self.remote:
            folder = Path(self.location)
            if not folder.is_dir():
                if folder.exists():
                    raise StoreError(f"{folder} is no folder (give another place with --store)")
                return []
            found = [p for p in folder.iterdir() if (p / "events").is_dir()]
            found.sort(key=lambda p: _age(p.name, lambda: os.listdir(p / "events")))  # noqa: PTH208
            return [p.name for p in found]
        fs = journal.filesystem(self.location)
        try:
            entries = fs.ls(self.location, detail=True)
        except FileNotFoundError:
            return []
        events = {
            entry["name"].rstrip("/").rsplit("/", 1)[-1]: entry["name"].rstrip("/") + "/events"
            for entry in entries
            if entry["type"] == "directory"
        }
        names = [name for name, path in events.items() if fs.exists(path)]
        return sorted(
            names,
            key=lambda run: _age(
                run, lambda: [name for name, _ in journal.objects(fs, events[run])]
            ),
        )

    def find(self, name: str) -> RunFolder:
        """The run with this id, a unique beginning or end of it, a path or URL, or ``latest``.

        Raises StoreError where there is none, or more than one.
        """
        if "://" in name:
            store, _, name = name.rstrip("/").rpartition("/")
            return Store(store).find(name)
        if not self.remote and os.sep in name and (Path(name) / "events").is_dir():
            return RunFolder(str(Path(name).absolute()))
        runs = self.runs()
        if name not in runs and self._is_spooled(name):
            return self.run(name)
        if not runs:
            raise StoreError(f"no runs in {self.location} (give another place with --store)")
        if name == "latest":
            return self.run(runs[-1])
        found = [r for r in runs if r.startswith(name) or r.endswith(name)] if name else []
        if name in runs:
            found = [name]
        if not found:
            raise StoreError(f"no run {name!r} in {self.location} (see: yprov4wms runs)")
        if len(found) > 1:
            raise StoreError(f"{name!r} names {len(found)} runs: {', '.join(found)}")
        return self.run(found[0])

    def _is_spooled(self, run_id: str) -> bool:
        """Whether this host has a part of a run of which nothing has reached the store."""
        return self.remote and journal.spool_folder(self.run(run_id).events).is_dir()


class RunFolder:
    """One run's folder in a store."""

    def __init__(self, location: str) -> None:
        self.remote = "://" in location
        self.location = location
        self.run_id = location.rstrip("/").rsplit("/", 1)[-1]

    @property
    def events(self) -> str:
        return self.location + "/events"

    @property
    def document(self) -> str:
        return f"{self.location}/{DOCUMENT}"

    def journal_count(self) -> int | None:
        """How many writers this run had; None where asking is not cheap."""
        return None if self.remote else len(self._local_journals())

    def journals(self) -> Iterator[tuple[str, BinaryIO]]:
        """Name and open file of each journal, in order of name."""
        if not self.remote:
            for name in sorted(self._local_journals()):
                with open(f"{self.events}/{name}", "rb") as file:  # noqa: PTH123 - one per task
                    yield name, file
            return
        journal.sweep(self.events)
        fs = journal.filesystem(self.events)
        for name, _ in sorted(journal.objects(fs, self.events)):
            yield name, io.BytesIO(fs.cat_file(f"{self.events}/{name}"))

    def _local_journals(self) -> list[str]:
        try:
            names = os.listdir(self.events)  # noqa: PTH208
        except (FileNotFoundError, NotADirectoryError):
            return []
        return [name for name in names if name.endswith(journal.SUFFIX)]

    def subfolders(self, relative: str) -> list[RunFolder]:
        """Folders under ``relative`` that hold a journal of their own."""
        base = f"{self.location}/{relative}"
        if not self.remote:
            try:
                names = sorted(os.listdir(base))  # noqa: PTH208 - once per task end
            except (FileNotFoundError, NotADirectoryError):
                return []
            return [RunFolder(f"{base}/{n}") for n in names if Path(base, n, "events").is_dir()]
        return [RunFolder(f"{base}/{name}") for name in Store(base).runs()]

    def ml_runs(self, task: str, attempt: int) -> str:
        """Where the ML runs of a task attempt lie, relative to this folder."""
        return f"ml/{task}-{attempt}"

    def may_have_ml_runs(self, task: str | None = None, attempt: int = 1) -> bool:
        """Whether to look for those of a task attempt at all; without a task, for any."""
        where = "ml" if task is None else self.ml_runs(task, attempt)
        return self.remote or os.path.isdir(f"{self.location}/{where}")  # noqa: PTH112

    def with_ml_runs(self) -> set[str]:
        """Where there are ML runs of task attempts at all, as `ml_runs` names each place."""
        base = f"{self.location}/ml"
        try:
            if not self.remote:
                return {f"ml/{name}" for name in os.listdir(base)}  # noqa: PTH208
            entries = journal.filesystem(base).ls(base, detail=False)
        except (FileNotFoundError, NotADirectoryError):
            return set()
        return {"ml/" + entry.rstrip("/").rsplit("/", 1)[-1] for entry in entries}

    def take_in(self, spool: str) -> None:
        """Copy what a container wrote to the local store ``spool``: the ML runs of this run, and
        the runs inside it.

        Links in it are left out: they may lead anywhere. Raises OSError.
        """
        store = self.location.rpartition("/")[0]
        for name in (f"{self.run_id}/ml", f"{self.run_id}/runs"):
            _copy(f"{spool}/{name}", f"{store}/{name}")
        if os.path.isdir(f"{spool}/{self.run_id}/runs"):  # noqa: PTH112
            for name in os.listdir(spool):  # noqa: PTH208
                inner = RunFolder(f"{spool}/{name}")
                if name != self.run_id and os.path.isdir(inner.events):  # noqa: PTH112
                    _copy(inner.location, f"{store}/{name}")

    def names(self, relative: str) -> list[str]:
        """What lies in a folder of this run, sorted; nothing where there is no such folder."""
        base = f"{self.location}/{relative}"
        try:
            if not self.remote:
                return sorted(os.listdir(base))  # noqa: PTH208
            entries = journal.filesystem(base).ls(base, detail=False)
        except (FileNotFoundError, NotADirectoryError):
            return []
        return sorted(entry.rstrip("/").rsplit("/", 1)[-1] for entry in entries)

    def put(self, relative: str, content: bytes) -> None:
        """Store a file of this run, whole or not at all. Raises OSError."""
        path = f"{self.location}/{relative}"
        if self.remote:
            journal.put(journal.filesystem(path), path, content)
        else:
            write_atomically(path, lambda file: file.write(content))

    def read(self, relative: str) -> bytes:
        """Content of one file; raises FileNotFoundError."""
        if not self.remote:
            return Path(self.location, relative).read_bytes()
        path = f"{self.location}/{relative}"
        content: bytes = journal.filesystem(path).cat_file(path)
        return content

    def keep(self, content: bytes, suffix: str = "") -> str:
        """Store ``content`` under its checksum in ``children/``; returns its sha256."""
        import hashlib

        digest = hashlib.sha256(content).hexdigest()
        relative = f"children/{digest}{suffix}"
        if self.remote:
            path = f"{self.location}/{relative}"
            journal.put(journal.filesystem(path), path, content)
        elif not Path(self.location, relative).exists():
            write_atomically(f"{self.location}/{relative}", lambda file: file.write(content))
        return digest


def _copy(source: str, target: str) -> None:
    """The files of a folder at any depth, into a folder or an fsspec URL."""
    for folder, _, names in os.walk(source):
        for name in names:
            path = f"{folder}/{name}"
            if os.path.islink(path):  # noqa: PTH114
                continue
            content = Path(path).read_bytes()
            place = f"{target}{path[len(source) :]}"
            if "://" in place:
                journal.put(journal.filesystem(place), place, content)
            else:
                Path(place).parent.mkdir(parents=True, exist_ok=True)
                Path(place).write_bytes(content)


def write_atomically(path: str, write: Callable[[BinaryIO], object]) -> None:
    """Let ``write`` fill a file that appears whole or not at all (temporary, fsync, rename).

    ``path`` may be an fsspec URL: the object is sent when it is complete. What is no file
    (a pipe, ``/dev/null``) is written to as it is. Raises OSError.
    """
    path = path.removeprefix("file://")
    if "://" in path:
        _send(path, write)
        return
    if os.path.exists(path) and not os.path.isfile(path):  # noqa: PTH110, PTH113
        with Path(path).open("wb") as file:
            write(file)
        return
    # A link stays, and what it names is replaced.
    target = Path(os.path.realpath(path))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        reason = os.strerror(errno.ENOTDIR)
        raise NotADirectoryError(errno.ENOTDIR, reason, str(target.parent)) from None
    temporary = target.with_name(f".{target.name[:40]}.{os.getpid()}-{os.urandom(4).hex()}")
    try:
        with temporary.open("xb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except BaseException as error:
        if isinstance(error, OSError) and error.filename == str(temporary):
            error.filename, error.filename2 = path, None
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def scratch() -> BinaryIO:
    """A file without a name, for what is too much for memory; it is gone once it is closed.

    It lies where ``TMPDIR`` says, else in ``/var/tmp``. Raises OSError.
    """
    import tempfile

    there = None if os.environ.get("TMPDIR") or not os.access(_LARGE, os.W_OK) else _LARGE
    return cast("BinaryIO", tempfile.TemporaryFile(dir=there))


def _send(url: str, write: Callable[[BinaryIO], object]) -> None:
    fs = journal.filesystem(url)
    with scratch() as spool:
        write(spool)
        spool.seek(0)
        journal.make_folder(fs, url)
        with fs.open(url, "wb") as stored:
            while chunk := spool.read(1 << 20):
                stored.write(chunk)
