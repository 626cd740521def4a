"""Files of metric series, one CSV each: how they are written and how they are read.

A file has the header ``step,value,time`` and one line per value. Step is empty where
none was given; value is the shortest decimal that reads back to the same float64, or
``nan``, ``inf``, ``-inf``; time is seconds since the epoch.

Standard library only: training processes import it.
"""

from __future__ import annotations

import contextlib
import math
import os
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from yprov4wms import journal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

FOLDER = "metrics"
SUFFIX = ".csv"
HEADER = "step,value,time\n"
#: Files kept open at once; beyond, the one unused for longest is closed until it is needed.
MAX_OPEN = 100


# -- reading ---------------------------------------------------------------------


class Point(NamedTuple):
    """time: seconds since the epoch."""

    step: int | None
    value: float
    time: float


class Summary(NamedTuple):
    """What a document says of a series.

    count: its values, those that are not numbers (NaN) included.
    first, last: in the order in which they were logged; may be NaN or infinite.
    min, max: over the values that are numbers; None where there is none.
    """

    count: int  # type: ignore[assignment]  # hides a method of tuples
    first: float | None
    last: float | None
    min: float | None
    max: float | None


def points(lines: Iterable[bytes]) -> Iterator[Point]:
    """The values of a series, in the order in which they were logged.

    lines: of its file, with their newlines. A last line without one was cut by the end of
    its writer, and a line that is no value was cut by a full disk: both are passed over.
    """
    for line in lines:
        if not line.endswith(b"\n"):
            return
        try:
            step, value, time = line.split(b",")
            yield Point(int(step) if step else None, float(value), float(time))
        except ValueError:
            continue


def summarise(lines: Iterable[bytes]) -> Summary:
    """Count and figures of a series, from its file's lines as for `points`."""
    count = 0
    first = last = low = high = None
    for point in points(lines):
        value = last = point.value
        if not count:
            first = value
        count += 1
        if not math.isnan(value):
            low = value if low is None else min(low, value)
            high = value if high is None else max(high, value)
    return Summary(count, first, last, low, high)


# -- writing ---------------------------------------------------------------------


class Series:
    """One series; its file is made at the first value. `SeriesFiles.new` makes these.

    path: relative to the folder of the run.
    """

    __slots__ = ("_began", "_fd", "_file", "_files", "_time", "_torn", "path")

    def __init__(self, files: SeriesFiles, path: str, file: Path) -> None:
        self.path = path
        self._files = files
        self._file = file
        self._fd = -1
        self._time = 0.0
        self._began = False
        self._torn = False

    def append(self, step: int | None, value: float, time: float) -> None:
        """Write one value; it survives ``kill -9`` when this returns.

        time: seconds since the epoch; a clock that was set back is not followed.
        Raises OSError where the value could not be stored.
        """
        if time < self._time:
            time = self._time
        else:
            self._time = time
        line = f"{'' if step is None else step},{value!r},{time:.6f}\n"
        if self._fd < 0:
            self._open()
        else:
            self._files.touch(self)
        if self._began and not self._torn:
            data = line.encode()
        else:
            data = ("\n" * self._torn + HEADER * (not self._began) + line).encode()
        written = os.write(self._fd, data)
        while written < len(data):
            self._torn = True
            written += os.write(self._fd, data[written:])
        self._torn = False
        self._began = True

    def _open(self) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._fd = os.open(self._file, flags, 0o644)
        self._files.opened(self)

    def close(self, *, sync: bool = False) -> None:
        """Close the file until the next value; with ``sync``, force it to the disk before."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            try:
                if sync:
                    getattr(os, "fdatasync", os.fsync)(fd)
            finally:
                os.close(fd)


class SeriesFiles:
    """All series of one run, in the folder ``metrics`` beside its journal.

    location: of the run's folder. Where that is a URL the files are spooled on this host
    until `close` uploads them.

    Not thread-safe: its user holds a lock.
    """

    def __init__(self, location: str) -> None:
        self._location = location
        remote = "://" in location
        self._base = _spool(location) if remote else Path(location, FOLDER)
        self._remote = remote
        self._count = 0
        self._open: OrderedDict[Series, None] = OrderedDict()

    def new(self, context: str | None, source: str | None, name: str) -> Series:
        """A new series; raises OSError where the folder cannot be made.

        Its number in the file name tells apart what reads the same in safe characters,
        and what differs by case alone on a file system that does not.
        """
        self._base.mkdir(parents=True, exist_ok=True)
        self._count += 1
        words = [_safe(word) for word in (context, source, name) if word is not None]
        file = f"{'-'.join(words)[:120]}-{self._count}{SUFFIX}"
        return Series(self, f"{FOLDER}/{file}", self._base / file)

    def opened(self, series: Series) -> None:
        self._open[series] = None
        while len(self._open) > MAX_OPEN:
            self._open.popitem(last=False)[0].close()

    def touch(self, series: Series) -> None:
        self._open.move_to_end(series)

    def close(self) -> None:
        """Force what is open to the disk, close it, and upload what is spooled.

        Raises OSError, or any error of the store's backend; spooled files that could not
        be sent stay for `upload`.
        """
        while self._open:
            self._open.popitem()[0].close(sync=True)
        if self._remote and self._count:
            upload(self._location)


def upload(location: str) -> None:
    """Send the series that this host has spooled for the run at a URL."""
    folder = _spool(location)
    fs = journal.filesystem(location)
    for path in sorted(folder.glob("*" + SUFFIX)):
        journal.put(fs, f"{location}/{FOLDER}/{path.name}", path.read_bytes())
        path.unlink()
    with contextlib.suppress(OSError):
        folder.rmdir()


def _spool(location: str) -> Path:
    return journal.spool_folder(f"{location}/{FOLDER}")


def _safe(word: str) -> str:
    return "".join(c if c.isascii() and (c.isalnum() or c in "._") else "_" for c in word)[:60]
