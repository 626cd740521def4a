"""How the values of metrics are written: one append-only binary file per writer.

A file is a sequence of blocks, each made by one ``write(2)``. A block is a header (`HEADER`:
mark, length of the body in bytes, CRC-32 of the body, which starts from the number of rows
instead of 0, and that number) and four columns:
number of the series (uint32), step (int64, `NO_STEP` for none; differences), value
(float64), time (microseconds since the epoch, int64; differences). Each column is split
into the planes of its bytes, lowest first (as HDF5's shuffle filter does), and each plane
is stored as one byte where all are alike, as it is, or compressed by zlib. All is
little-endian. What each series is stands in the writer's journal.

Standard library only: training processes import it. `yprov4wms.ml.metrics` reads.
"""

from __future__ import annotations

import contextlib
import os
import struct
import sys
import zlib
from array import array
from itertools import islice
from operator import sub
from pathlib import Path
from typing import Any

from yprov4wms import journal

FOLDER = "metrics"
SUFFIX = ".ymet"
MARK = b"yPM1"
HEADER = struct.Struct("<4sIII")
LENGTH = struct.Struct("<I")
#: In the place of a step that was not given.
NO_STEP = -(1 << 63)
#: Rows above which a reader takes a block for damaged; a writer's have some thousand.
MOST = 1 << 24
#: How a plane is stored.
ALIKE, PLAIN, ZLIB = 0, 1, 2

#: A plane of less is not worth a compressor's header.
_SMALL = 16
_PROBE = 1024


def encode(rows: list[Any]) -> bytes:
    """One block of rows, given flat: series, step or None, value, time in ns, and so on.

    Raises OverflowError for a step of more than 64 bits.
    """
    steps, times = rows[1::4], [moment // 1000 for moment in rows[3::4]]
    if None in steps:
        steps = [NO_STEP if step is None else step for step in steps]
    body = b"".join(
        (
            _planes(array("I", rows[0::4])),
            _planes(_differences(steps)),
            _planes(array("d", rows[2::4])),
            _planes(_differences(times)),
        )
    )
    return HEADER.pack(MARK, len(body), zlib.crc32(body, len(times)), len(times)) + body


def _differences(values: list[int]) -> array[int]:
    try:
        return array("q", [values[0], *map(sub, islice(values, 1, None), values)])
    except OverflowError:
        array("q", values)  # raises for a value that is itself too large
        first = values[0]
        found = [first, *map(sub, islice(values, 1, None), values)]
        return array("q", [(value + (1 << 63)) % (1 << 64) - (1 << 63) for value in found])


def _planes(column: array[Any]) -> bytes:
    if sys.byteorder == "big":
        column.byteswap()
    raw, count, width = column.tobytes(), len(column), column.itemsize
    kinds, parts = bytearray(), [b""]
    for place in range(width):
        plane = raw[place::width]
        kind = PLAIN
        if plane.count(plane[:1]) == count:
            kind, plane = ALIKE, plane[:1]
        elif count >= _SMALL and _repeats(plane[:_PROBE]):
            packed = zlib.compress(plane, 1)
            if len(packed) + LENGTH.size < count:
                kind, plane = ZLIB, LENGTH.pack(len(packed)) + packed
        kinds.append(kind)
        parts.append(plane)
    parts[0] = bytes(kinds)
    return b"".join(parts)


def _repeats(probe: bytes) -> bool:
    """Whether it may be worth compressing: the low bytes of noise are not."""
    return len(set(probe)) < 0.75 * min(len(probe), 256)


class SeriesFile:
    """The file of one writer, made at its first block; in ``metrics`` beside its journal.

    location: of the run's folder. Where that is a URL the file is spooled on this host
    until `close` uploads it. path: relative to the folder of the run.

    Not thread-safe: its user holds a lock.
    """

    def __init__(self, location: str, writer: str) -> None:
        self.path = f"{FOLDER}/{writer}{SUFFIX}"
        self._location = location
        self._remote = "://" in location
        base = spool(location) if self._remote else Path(location, FOLDER)
        self._file = base / f"{writer}{SUFFIX}"
        self._fd = -1
        self._stat: os.stat_result | None = None
        #: What it is when it is closed, as ``events.File`` has it; None without values.
        self.told: dict[str, Any] | None = None

    def append(self, block: bytes) -> None:
        """Write one block; it survives ``kill -9`` when this returns.

        Raises OSError where it could not be stored, and takes back what was stored of it.
        """
        if self._fd < 0 or not self._is_ours():
            self._open()
        written = os.write(self._fd, block)
        while written < len(block):
            try:
                written += os.write(self._fd, block[written:])
            except OSError:
                with contextlib.suppress(OSError):
                    os.ftruncate(self._fd, os.fstat(self._fd).st_size - written)
                raise

    def _open(self) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._fd = os.open(self._file, flags, 0o644)
        self._stat = os.fstat(self._fd)

    def _is_ours(self) -> bool:
        """A user's code may close any descriptor, and get its number for a file of its own."""
        try:
            return self._stat is not None and os.path.samestat(os.fstat(self._fd), self._stat)
        except OSError:
            return False

    def close(self, *, hashed: bool = True) -> None:
        """Force to the disk what was written, and upload it where the store is remote.

        hashed: with a sha256 in ``told``.

        Raises OSError, or any error of the store's backend; a spooled file that could not
        be sent stays for `upload`.
        """
        if self._stat is None:
            return
        if self._is_ours():
            fd, self._fd = self._fd, -1
            try:
                getattr(os, "fdatasync", os.fsync)(fd)
            finally:
                os.close(fd)
        self.told = {"path": self.path, "size": self._file.stat().st_size}
        if hashed:
            import hashlib

            with self._file.open("rb") as file:
                self.told["sha256"] = hashlib.file_digest(file, "sha256").hexdigest()
        if self._remote:
            # Others of this host may be ranks that write still.
            upload(self._location, self._file.name)


def upload(location: str, name: str = "*" + SUFFIX) -> None:
    """Send what this host has spooled of the metrics of the run at a URL; name: of one file,
    or a pattern of several whose writers live no more."""
    folder = spool(location)
    fs = journal.filesystem(location)
    for path in sorted(folder.glob(name)):
        journal.put(fs, f"{location}/{FOLDER}/{path.name}", path.read_bytes())
        path.unlink()
    with contextlib.suppress(OSError):
        folder.rmdir()


def spool(location: str) -> Path:
    """Where this host keeps the metrics of a run at a URL until they are sent."""
    return journal.spool_folder(f"{location}/{FOLDER}")
