"""Counters that only go up, as amounts per second."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping

from yprov4wms.ml.collectors._sample import SHORTEST, Sample


class Rates:
    """What counters advanced by per second since the call before.

    One that was not there then, or that went back (a device that was taken out and put
    back), is left out.
    """

    def __init__(self, counters: Mapping[str, int], source: str) -> None:
        """source: of the samples."""
        self._source = source
        self._before = counters
        self._then = time.monotonic()

    def due(self) -> bool:
        return time.monotonic() - self._then >= SHORTEST

    def sample(self, counters: Mapping[str, int]) -> Iterator[Sample]:
        """counters: bytes by the metric's name."""
        now = time.monotonic()
        before, elapsed = self._before, now - self._then
        self._before, self._then = counters, now
        for name, count in counters.items():
            if count >= before.get(name, count + 1):
                yield Sample(name, (count - before[name]) / elapsed, "B/s", self._source)
