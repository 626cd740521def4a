"""Peak memory: from samples of a tree, or from ``ru_maxrss`` where that tells anything."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from yprov4wms.events import Figure
from yprov4wms.metering import names, procfs

#: One process had this much; what the tree had at that moment is not known.
_ONE = "largest process of the tree"


class MemoryPeak:
    """The largest that samples saw: of the tree's sum, of one process's VmHWM.

    before: a VmHWM reached before the task began; up to it, it tells nothing of the task.
    """

    def __init__(self, before: int = 0) -> None:
        self.before = before
        self.tree = 0
        self.process = 0

    def take(self, sample: procfs.Tree) -> None:
        self.tree = max(self.tree, sample.rss)
        self.process = max(self.process, self.new_peak(sample.peak))

    def new_peak(self, peak: int) -> int:
        """The peak, or 0 where it may be from before the task."""
        return peak if peak > self.before else 0

    def figure(self, largest: Iterable[int | None] = ()) -> Figure | None:
        """The highest of both and of ``largest``, what reaping told of single processes."""
        maxrss = max((value for value in largest if value), default=0)
        value = max(self.tree, self.process, maxrss)
        if not value:
            return None
        if value == self.tree:
            return Figure(names.BYTES, "rss-sum-sampled", value)
        method = "vmhwm-sampled" if value == self.process else "ru_maxrss"
        return Figure(names.BYTES, method, value, scope=_ONE)


class _Floor:
    """This process's own peak as last read; it only grows."""

    bytes = 0


def largest_process(maxrss: int) -> int | None:
    """``ru_maxrss`` of a reaped child in bytes, or None where it may be our own peak.

    Linux hands the high-water mark of the process that starts a program on to the
    program, so a child's ``ru_maxrss`` says nothing below the peak of this process.
    """
    if sys.platform == "darwin":
        return maxrss
    value = maxrss * 1024
    if sys.platform != "linux":
        return value
    if not _clearly_above(value, _Floor.bytes):
        return None
    own = procfs.own_peak()
    if own is None:
        return None
    _Floor.bytes = own
    return value if _clearly_above(value, own) else None


def _clearly_above(value: int, floor: int) -> bool:
    # The kernel's counters of pages lag behind by some pages per core.
    return value > floor + max(2 << 20, floor // 20)
