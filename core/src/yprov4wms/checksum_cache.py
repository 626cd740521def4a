"""Checksums by a file's stat, in memory and in a file that several runs can share."""

from __future__ import annotations

import os
import stat
import zlib

_Key = tuple[int, int, int, int, int]


def version_key(status: os.stat_result) -> _Key:
    """What tells one state of a file from another."""
    return (
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )


def is_settled(status: os.stat_result, now: int) -> bool:
    """Whether a change from ``now`` on must show in the file's times.

    A file system that counts in seconds, or in ticks of a few milliseconds, gives two
    changes within one the same time (git: "racily clean"). What was set by hand (`utime`)
    shows in the change time.
    """
    _, _, _, modified, changed = version_key(status)
    coarse = not (modified % 1_000_000_000 or changed % 1_000_000_000)
    tick = 2_500_000_000 if coarse else 100_000_000
    return now - changed >= tick and abs(now - modified) >= tick


class ChecksumCache:
    """Checksums by what `os.stat` told of the file when it was read.

    The file of the cache has a line per file of at least a megabyte: fields, and their
    CRC-32. Each is appended by one ``write``, so that runs can share it without locks,
    which file servers and parallel file systems have in name only; a torn line fails its
    CRC and is lost. Where it cannot be read or written, it is as if it was empty.
    """

    _LINES_FROM = 1024 * 1024
    _MOST_BYTES = 16 * 1024 * 1024
    _MOST_FILES = 200_000

    def __init__(self, path: str | None) -> None:
        self._path = path
        self._known: dict[tuple[int, int], tuple[_Key, str]] = {}
        self._loaded = path is None
        self._descriptor = -1

    def get(self, status: os.stat_result) -> str | None:
        if status.st_size >= self._LINES_FROM and not self._loaded:
            self._load()
        key, sha256 = self._known.get((status.st_dev, status.st_ino), (None, ""))
        return sha256 if key == version_key(status) else None

    def put(self, status: os.stat_result, sha256: str) -> None:
        key = version_key(status)
        self._remember(key, sha256)
        if status.st_size >= self._LINES_FROM and self._path is not None:
            try:
                if self._descriptor < 0:
                    folder = os.path.dirname(self._path) or "."  # noqa: PTH120
                    os.makedirs(folder, exist_ok=True)  # noqa: PTH103
                    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NONBLOCK", 0)
                    self._descriptor = os.open(self._path, flags, 0o644)
                os.write(self._descriptor, _line(key, sha256))
            except (OSError, ValueError):
                self._path = None

    def _remember(self, key: _Key, sha256: str) -> None:
        while len(self._known) >= self._MOST_FILES:
            # Another thread may have taken it already.
            self._known.pop(next(iter(self._known)), None)
        self._known[key[:2]] = key, sha256

    def _load(self) -> None:
        try:
            if self._path and stat.S_ISREG(os.stat(self._path).st_mode):  # noqa: PTH116
                with open(self._path, "rb") as file:  # noqa: PTH123
                    self._take(file.read(4 * self._MOST_BYTES))
        except FileNotFoundError:
            pass
        except (OSError, ValueError):
            self._path = None
        self._loaded = True

    def _take(self, data: bytes) -> None:
        for line in data.splitlines():
            entry = _entry(line)
            if entry:
                self._remember(*entry)
        if len(data) > self._MOST_BYTES:
            self._shrink()

    def _shrink(self) -> None:
        newest = list(self._known.values())[-50_000:]
        temporary = f"{self._path}.{os.getpid()}"
        with open(temporary, "xb") as file:  # noqa: PTH123
            file.writelines(_line(key, sha256) for key, sha256 in newest)
        os.replace(temporary, str(self._path))  # noqa: PTH105


def _line(key: _Key, sha256: str) -> bytes:
    fields = f"{' '.join(map(str, key))} {sha256}".encode()
    return b"%b %08x\n" % (fields, zlib.crc32(fields))


def _entry(line: bytes) -> tuple[_Key, str] | None:
    fields, _, crc = line.rpartition(b" ")
    parts = fields.split(b" ")
    try:
        if len(parts) != 6 or int(crc, 16) != zlib.crc32(fields):
            return None
        device, inode, size, modified, changed = map(int, parts[:5])
        return (device, inode, size, modified, changed), parts[5].decode("ascii")
    except ValueError:
        return None
