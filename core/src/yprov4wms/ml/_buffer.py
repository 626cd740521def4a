"""Values of metrics between the call that logs one and the disk, at most a second apart."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from yprov4wms.ml._series import SeriesFile, encode

#: A value that comes this long (ns) after the last write is written at once.
_PATIENCE = 200_000_000
#: Elements of the flat list (4 per value) at which it is written.
FULL = 4 * 8192
#: Bytes of blocks that wait for a store that takes nothing, beyond which new ones are lost.
_MOST_WAITING = 64 << 20

Key = tuple[str, str | None, str | None]


class Buffer:
    """The values that one process logs, of all series.

    known: the numbers of series by name, context and source; empty while values are to
    take the long way. pending: flat, series, step, value and time (ns) of each.
    """

    def __init__(self, failed: Callable[[str, Exception], None]) -> None:
        self.known: dict[Key, int] = {}
        self.pending: list[Any] = []
        self.due = 0
        self._failed = failed
        self._file: SeriesFile | None = None
        self._lock = threading.Lock()
        self._summaries: dict[int, list[Any]] = {}
        self._waiting: list[bytes] = []

    def open(self, file: SeriesFile) -> None:
        self._file = file

    @property
    def path(self) -> str:
        """Of the file, relative to the run's folder."""
        return self._file.path if self._file is not None else ""

    def add(self, series: int, step: int | None, value: float, moment: int) -> None:
        """moment: ns since the epoch, by any clock."""
        self.pending.extend((series, step, value, moment))
        if time.time_ns() >= self.due or len(self.pending) >= FULL:
            self.flush()

    def flush(self, *, wait: bool = False) -> None:
        """Write what is pending. Without ``wait``, not while another thread does."""
        if not self._lock.acquire(blocking=wait):
            return
        try:
            if self._file is not None and (self.pending or self._waiting):
                self.due = time.time_ns() + _PATIENCE
                self._write(self._file)
        finally:
            self._lock.release()

    def _write(self, file: SeriesFile) -> None:
        # Other threads may add at its end meanwhile.
        rows = self.pending[:]
        del self.pending[: len(rows)]
        if rows:
            self._summarise(rows)
            self._waiting.append(self._encoded(rows))
        try:
            while self._waiting:
                file.append(self._waiting[0])
                del self._waiting[0]
        except OSError as error:
            self._failed("writing metrics", error)
            if sum(map(len, self._waiting)) > _MOST_WAITING:
                del self._waiting[-1]

    def _encoded(self, rows: list[Any]) -> bytes:
        try:
            return encode(rows)
        except OverflowError as error:
            self._failed("writing a step", error)
            rows[1::4] = [s if s is None or -(1 << 63) < s < 1 << 63 else None for s in rows[1::4]]
            return encode(rows)

    def _summarise(self, rows: list[Any]) -> None:
        numbers, values = rows[0::4], rows[2::4]
        if numbers.count(numbers[0]) == len(numbers):
            groups = {numbers[0]: values}
        else:
            groups = {}
            for number, value in zip(numbers, values, strict=True):
                try:
                    groups[number].append(value)
                except KeyError:
                    groups[number] = [value]
        for number, found in groups.items():
            self._add_to(number, found)

    def _add_to(self, number: int, values: list[float]) -> None:
        low: float | None = min(values)
        high: float | None = max(values)
        total = sum(values)
        if total != total:  # a NaN among them, which has no order; or both infinities
            numbers = [value for value in values if value == value]
            low, high = min(numbers, default=None), max(numbers, default=None)
        known = self._summaries.get(number)
        if known is None:
            self._summaries[number] = [len(values), values[0], values[-1], low, high]
            return
        known[0] += len(values)
        known[2] = values[-1]
        if low is not None and (known[3] is None or low < known[3]):
            known[3] = low
        if high is not None and (known[4] is None or high > known[4]):
            known[4] = high

    def close(self, *, hashed: bool = True) -> None:
        """Write the rest, and close the file. Raises OSError, or any error of the store's backend.

        hashed: with its checksum.
        """
        self.known = {}
        self.flush(wait=True)
        if self._file is not None:
            self._file.close(hashed=hashed)

    @property
    def file(self) -> dict[str, Any] | None:
        """What the file is, when it has been closed, as ``events.File`` has it."""
        return self._file.told if self._file is not None else None

    def summaries(self) -> list[dict[str, Any]]:
        """Of each series, as ``events.MLSummary`` has it."""
        names = ("count", "first", "last", "min", "max")
        return [
            {
                "series": number,
                **{n: v for n, v in zip(names, figures, strict=True) if v is not None},
            }
            for number, figures in sorted(self._summaries.items())
        ]

    def leave(self) -> None:
        """In a forked child, whose values are not the run's."""
        self.known, self.pending, self._waiting, self._file = {}, [], [], None
