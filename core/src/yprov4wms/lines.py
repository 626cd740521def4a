"""The lines of a run's journals, of which memory has no more than the first."""

from __future__ import annotations

import os
from typing import BinaryIO

from yprov4wms.store import scratch

#: Bytes that stay in memory: those of some 10,000 tasks.
_HELD = 1 << 24
#: Bits of a number that say how long its line is; one read gives as much.
_LENGTH = 30


class Lines:
    """Keeps lines, and gives a number for each, in their order.

    What is too much for memory lies in a file.
    """

    def __init__(self) -> None:
        self._held: list[bytes] = []
        self._room = _HELD
        self._file: BinaryIO | None = None
        self._end = self._readable = 0

    def add(self, line: bytes) -> int:
        """Raises OSError where there is no room for it."""
        size = len(line)
        if self._room > 0 or size >> _LENGTH:
            self._room -= size
            self._held.append(line)
            return len(self._held) - 1
        if self._file is None:
            self._file = scratch()
        self._file.write(line)
        self._end += size
        return (_HELD + self._end << _LENGTH) + size

    def read(self, number: int) -> bytes:
        """The line for which `add` gave the number. Raises OSError."""
        if number < len(self._held):
            return self._held[number]
        assert self._file is not None
        size = number & ((1 << _LENGTH) - 1)
        end = (number >> _LENGTH) - _HELD
        if end > self._readable:
            self._file.flush()
            self._readable = self._end
        return os.pread(self._file.fileno(), size, end - size)
