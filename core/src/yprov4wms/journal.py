"""Append-only files of events, one per writer, on a local folder or any fsspec URL.

Imported by every task process: standard library only, fsspec for URLs alone.
"""

from __future__ import annotations

import hashlib
import os
import socket
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

SUFFIX = ".jsonl"
UPLOAD_INTERVAL = 1.0


def open_journal(events: str) -> Journal:
    """A new journal file of this process in the folder or URL ``events``.

    Raises OSError where the store cannot be written.
    """
    return RemoteJournal(events) if "://" in events else LocalJournal(Path(events))


class Journal(Protocol):
    """Where one writer's events go. ``append`` returns once they would survive ``kill -9``."""

    writer: str

    def append(self, lines: bytes) -> None: ...
    def flush(self) -> None: ...
    def sync(self) -> None: ...
    def close(self) -> None: ...


class LocalJournal:
    """One file, created ``O_EXCL`` and appended ``O_APPEND``: one ``write`` per call."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.writer, self.path, self._fd = _create(folder)
        self._torn = False

    def append(self, lines: bytes) -> None:
        """Write whole lines, each ending in a newline; raises OSError if they are not stored."""
        if self._torn:
            # A full disk took half a line: the newline keeps the next one whole.
            lines = b"\n" + lines
        written = os.write(self._fd, lines)
        while written < len(lines):
            self._torn = True
            written += os.write(self._fd, lines[written:])
        self._torn = False

    def flush(self) -> None:
        """Nothing is held back."""

    def sync(self) -> None:
        """Force to the disk what the kernel holds (`fdatasync`)."""
        getattr(os, "fdatasync", os.fsync)(self._fd)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class RemoteJournal:
    """Object stores have no append: spool locally, upload a new object per batch.

    A batch is named by its offset in the spool, so that a batch sent twice is one object.
    """

    def __init__(self, events: str) -> None:
        self._events = events.rstrip("/")
        self._fs = filesystem(events)
        self._spool = LocalJournal(spool_folder(self._events))
        self.writer = self._spool.writer
        self._size = self._sent = 0
        self._lock = threading.Lock()
        self._upload_lock = threading.Lock()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None
        self.error: Exception | None = None

    def append(self, lines: bytes) -> None:
        with self._lock:
            self._spool.append(lines)
            self._size += len(lines)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="yprov-upload", daemon=True)
                self._thread.start()

    def flush(self) -> None:
        """Upload what is new; raises OSError where the store cannot be reached."""
        with self._upload_lock:
            self._sent = _upload(self._fs, self._events, self._spool.path, self._sent)

    def sync(self) -> None:
        self._spool.sync()

    def close(self) -> None:
        """Upload the rest; the spool stays where that fails, for a later export to sweep up."""
        self._closed.set()
        try:
            self.flush()
            if self._sent == self._size:
                self._spool.path.unlink(missing_ok=True)
        finally:
            self._spool.close()

    def _run(self) -> None:
        while not self._closed.wait(UPLOAD_INTERVAL):
            if self._sent < self._size:
                try:
                    self.flush()
                    self.error = None
                except Exception as error:  # any backend's own exceptions
                    self.error = error


def sweep(events: str) -> int:
    """Upload what writers on this host left in their spools; returns the bytes sent."""
    sent = 0
    folder = spool_folder(events.rstrip("/"))
    if not folder.is_dir():
        return 0
    fs = filesystem(events)
    for path in sorted(folder.glob("*" + SUFFIX)):
        stored = sum(size for name, size in _objects(fs, events) if name.startswith(path.stem))
        sent += _upload(fs, events.rstrip("/"), path, stored) - stored
    return sent


def filesystem(url: str) -> Any:
    """The fsspec file system of a URL; raises ValueError for an unknown or missing backend."""
    import fsspec

    try:
        return fsspec.core.url_to_fs(url)[0]
    except ImportError as error:
        raise ValueError(f"{url}: {error}") from error


def spool_folder(events: str) -> Path:
    """Where this host keeps what is not yet in the store ``events`` (a URL)."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path("~/.cache").expanduser())
    if base.startswith("~"):
        base = "/tmp"  # a process without a home
    return Path(base) / "yprov4wms" / "spool" / hashlib.sha256(events.encode()).hexdigest()[:24]


def _create(folder: Path) -> tuple[str, Path, int]:
    host = "".join(c if c.isalnum() or c in "._" else "_" for c in socket.gethostname())
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
        fs.pipe_file(f"{events}/{spool.stem}@{sent:015d}{SUFFIX}", data)
    return sent + len(data)


def _objects(fs: Any, events: str) -> Iterator[tuple[str, int]]:
    try:
        listing = fs.ls(events, detail=True, refresh=True)
    except (FileNotFoundError, TypeError):
        return
    for entry in listing:
        yield entry["name"].rsplit("/", 1)[-1], entry["size"] or 0
