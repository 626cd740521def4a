"""Append-only files of events, one per writer, on a local folder or any fsspec URL.

Imported by every task process: standard library only, fsspec for URLs alone.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from yprov4wms import chain

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

SUFFIX = ".jsonl"
UPLOAD_INTERVAL = 1.0


#: What a writer does about a store that is not local: be sure at once that it can be had,
#: leave that to the thread that uploads, or leave the upload to a sweep by another process.
CONNECT, LATER, SPOOL = "connect", "later", "spool"


def open_journal(events: str, remote: str = CONNECT) -> Journal:
    """A new journal file of this process in the folder or URL ``events``.

    Raises OSError where the store cannot be written.
    """
    if "://" not in events:
        return LocalJournal(Path(events))
    if remote == SPOOL:
        spool = LocalJournal(spool_folder(events.rstrip("/")))
        spool.claim()
        return spool
    return RemoteJournal(events, connect=remote == CONNECT)


class Journal(Protocol):
    """Where one writer's events go, each a JSON object without a newline in it.

    ``append`` returns once they would survive ``kill -9``.
    """

    writer: str

    def append(self, *events: bytes) -> None: ...
    def flush(self) -> None: ...
    def sync(self) -> None: ...
    def close(self) -> None: ...


class LocalJournal:
    """One file, created ``O_EXCL`` and appended ``O_APPEND``: one ``write`` per call.

    Its lines are chained (`yprov4wms.chain`).
    """

    def __init__(self, folder: Path) -> None:
        try:
            self.writer, self.path, self._fd = _create(folder)
        except FileNotFoundError:
            folder.mkdir(parents=True, exist_ok=True)
            self.writer, self.path, self._fd = _create(folder)
        status = os.fstat(self._fd)
        self._inode, self._device = status.st_ino, status.st_dev
        self._torn = False
        self._state = chain.start(self.writer)

    def append(self, *events: bytes) -> None:
        """Write a line for each; raises OSError if they are not stored."""
        if self._fd >= 0 and not self._is_ours():
            self._fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        if len(events) == 1:
            lines, state = chain.chained(events[0], self._state)
        else:
            lines, state = chain.all_chained(events, self._state)
        if self._torn:
            # A full disk took half a line: the newline keeps the next one whole.
            lines = b"\n" + lines
        written = os.write(self._fd, lines)
        if written < len(lines):
            self._finish(lines, written)
        self._torn, self._state = False, state

    def _finish(self, lines: bytes, written: int) -> None:
        try:
            while written < len(lines):
                written += os.write(self._fd, lines[written:])
        except OSError:
            # What is there now is part of the chain, with the newline that comes before the rest.
            there = lines[1:written] if self._torn else lines[:written]
            self._torn, self._state = True, chain.after(there + b"\n", self._state)
            raise

    def flush(self) -> None:
        """Nothing is held back."""

    def sync(self) -> None:
        """Force to the disk what the kernel holds (`fdatasync`).

        Raises OSError also where the file was removed: nothing else tells of it.
        """
        getattr(os, "fdatasync", os.fsync)(self._fd)
        if os.fstat(self._fd).st_nlink == 0:
            raise FileNotFoundError(errno.ENOENT, "the journal was removed", str(self.path))

    def close(self) -> None:
        if self._fd >= 0 and self._is_ours():
            os.close(self._fd)
        self._fd = -1

    def _is_ours(self) -> bool:
        """Whether the descriptor is still that of the journal: a user's code may close any, and
        get the same number for a file of its own."""
        try:
            status = os.fstat(self._fd)
        except OSError:
            return False
        return status.st_ino == self._inode and status.st_dev == self._device

    def claim(self) -> None:
        """Hold a lock for as long as this writer lives, where the file system has locks."""
        with contextlib.suppress(OSError):
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)


class RemoteJournal:
    """Object stores have no append: spool locally, upload a new object per batch.

    A batch is named by its offset in the spool, so that a batch sent twice is one object.
    """

    def __init__(self, events: str, *, connect: bool = True) -> None:
        self._events = events.rstrip("/")
        self._fs = filesystem(events) if connect else None
        self._spool = LocalJournal(spool_folder(self._events))
        self._spool.claim()
        self.writer = self._spool.writer
        self._sent = 0
        self._news = False
        self._lock = threading.Lock()
        self._upload_lock = threading.Lock()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def append(self, *events: bytes) -> None:
        with self._lock:
            self._spool.append(*events)
            self._news = True
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="yprov-upload", daemon=True)
                self._thread.start()

    def flush(self) -> None:
        """Upload what is new; raises OSError where the store cannot be reached."""
        with self._upload_lock:
            if self._fs is None:
                self._fs = filesystem(self._events)
            self._sent = _upload(self._fs, self._events, self._spool.path, self._sent)

    def sync(self) -> None:
        self._spool.sync()

    def close(self) -> None:
        """Upload the rest; the spool stays where that fails, for a later export to sweep up."""
        self._closed.set()
        try:
            self.flush()
            self._spool.path.unlink(missing_ok=True)
        finally:
            self._spool.close()

    def _run(self) -> None:
        if self._fs is None:  # to import a backend takes as long as a short task does
            with contextlib.suppress(Exception):
                self.flush()
        while not self._closed.wait(UPLOAD_INTERVAL):
            if self._news:
                self._news = False
                try:
                    self.flush()
                except Exception:  # any backend's own; told by who calls `flush` himself
                    self._news = True


def sweep(events: str) -> int:
    """Upload what writers on this host left in their spools; returns the bytes sent.

    The spool of a writer that lives no more is removed.
    """
    sent = 0
    events = events.rstrip("/")
    folder = spool_folder(events)
    if not folder.is_dir():
        return 0
    fs = filesystem(events)
    for path in sorted(folder.glob("*" + SUFFIX)):
        # A writer that ends now removes its own.
        with contextlib.suppress(FileNotFoundError), path.open("rb") as spool:
            dead = is_dead(path, spool)
            stored = _stored(fs, events, path.stem)
            sent += _upload(fs, events, path, stored) - stored
            if dead:
                path.unlink()
    return sent


def is_dead(path: Path, spool: BinaryIO) -> bool:
    """Whether a spool's writer lives no more; in doubt it does.

    Only one of this host: over NFS another's lock may not show. A writer holds its lock
    before it writes, so that an empty file tells nothing.
    """
    if not is_of_this_host(path) or os.fstat(spool.fileno()).st_size == 0:
        return False
    try:
        fcntl.flock(spool, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def is_of_this_host(path: Path) -> bool:
    """Whether a process of this host writes the file."""
    return path.name.startswith(f"{_host()}-")


def filesystem(url: str) -> Any:
    """The fsspec file system of a URL; raises ValueError for an unknown or missing backend."""
    import fsspec

    try:
        found = fsspec.core.url_to_fs(url)[0]
    except (ImportError, ValueError) as error:
        raise ValueError(f"{url}: {error}") from error
    # Other processes write there, too.
    found.invalidate_cache()
    return found


#: fsspec's file systems that do not make a file's folder with the file.
_WITH_FOLDERS = frozenset(
    {"file", "local", "ftp", "sftp", "ssh", "smb", "hdfs", "webhdfs", "webdav", "dav"}
)


def put(fs: Any, path: str, content: bytes) -> None:
    """Store one object under a URL, with the folders around it."""
    make_folder(fs, path)
    fs.pipe_file(path, content)


def make_folder(fs: Any, path: str) -> None:
    """Make the folder of a file, but no bucket: a mistyped name is an error."""
    if path.partition("://")[0] in _WITH_FOLDERS:
        fs.makedirs(path.rpartition("/")[0], exist_ok=True)


def spool_folder(events: str) -> Path:
    """Where this host keeps what is not yet in the store ``events`` (a URL)."""
    import hashlib

    name = hashlib.sha256(events.encode()).hexdigest()[:24]
    return Path(_cache_folder(), "yprov4wms", "spool", name)


def _cache_folder() -> str:
    """The user's cache; in a container there may be none that can be written."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111
    there = Path(cache)
    if there.is_absolute():
        while not os.path.lexists(there):
            there = there.parent
        if there.is_dir() and os.access(there, os.W_OK | os.X_OK):
            return cache
    import tempfile

    return f"{tempfile.gettempdir()}/yprov4wms-{os.getuid()}"


def _host() -> str:
    return "".join(c if c.isalnum() or c in "._" else "_" for c in socket.gethostname())


def _create(folder: Path) -> tuple[str, Path, int]:
    host = _host()
    while True:
        writer = f"{host}-{os.getpid()}-{time.time_ns() // 1000:x}"
        path = folder / (writer + SUFFIX)
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
            return writer, path, os.open(path, flags, 0o644)
        except FileExistsError:
            continue


def _upload(fs: Any, events: str, spool: Path, sent: int) -> int:
    with spool.open("rb") as file:
        file.seek(sent)
        data = file.read()
    data = data[: data.rfind(b"\n") + 1]
    if data:
        put(fs, f"{events}/{spool.stem}@{sent:015d}{SUFFIX}", data)
    return sent + len(data)


def _stored(fs: Any, events: str, writer: str) -> int:
    """How much of a writer's spool, from its start, is in the store.

    Batches may overlap: a sweep and the writer itself can send the same at once.
    """
    end = 0
    for name, size in sorted(objects(fs, events)):
        stem, _, offset = name.removesuffix(SUFFIX).rpartition("@")
        if stem == writer and offset.isdecimal() and int(offset) <= end:
            end = max(end, int(offset) + size)
    return end


def objects(fs: Any, events: str) -> Iterator[tuple[str, int]]:
    """Name and size of each journal in a folder of a remote store."""
    try:
        listing = fs.ls(events, detail=True)
    except FileNotFoundError:
        return
    for entry in listing:
        name = entry["name"].rsplit("/", 1)[-1]
        if name.endswith(SUFFIX):
            yield name, entry["size"] or 0
