"""Energy counters of the processor packages (RAPL), through ``/sys/class/powercap``.

They count for the whole node, in microjoules, and wrap around. Since 2020 (CVE-2020-8694)
most systems let only root read them.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import NamedTuple

#: Seconds between readings: far below the minutes in which a counter wraps around.
_INTERVAL = 10.0


class Domain(NamedTuple):
    """One counter. counted: it is part of the node's sum; others lie inside one that is.

    wrap: microjoules after which it starts anew.
    """

    name: str
    path: Path
    wrap: int
    counted: bool

    def read(self) -> int | None:
        """Microjoules, or None where it may not be read."""
        try:
            return int(self.path.read_text())
        except (OSError, ValueError):
            return None


def domains(root: Path = Path("/")) -> list[Domain]:
    """All powercap RAPL domains of this node."""
    found = []
    for folder in sorted((root / "sys/class/powercap").glob("intel-rapl:*")):
        try:
            name = (folder / "name").read_text().strip()
            wrap = int((folder / "max_energy_range_uj").read_text())
        except (OSError, ValueError):
            continue
        # core and uncore are inside package; psys is around it; dram is beside it.
        counted = name.startswith("package") or name == "dram"
        found.append(Domain(name, folder / "energy_uj", wrap, counted))
    return found


def difference(before: int, after: int, wrap: int) -> int:
    """What a counter advanced by, if it wrapped around at most once."""
    return after - before if after >= before else after - before + wrap


class NodeEnergy:
    """Joules that the node's packages used, and CPU seconds that it was busy, in the same
    time: from the first sample to the last one, pauses left out."""

    def __init__(self, counted: tuple[Domain, ...], root: Path) -> None:
        self.joules = 0.0
        self.cpu_seconds = 0.0
        self.domains = tuple(domain.name for domain in counted)
        self._counted = counted
        self._root = root
        self._last: tuple[list[int], float] | None = None
        self._due = 0.0

    @classmethod
    def find(cls, root: Path) -> NodeEnergy | None:
        """None unless every counter that makes up the node's sum can be read."""
        counted = _readable(root)
        return cls(counted, root) if counted else None

    def sample(self, now: float) -> None:
        """Read the counters, where the last reading is old enough. now: monotonic."""
        if self._last is None or now >= self._due:
            self._due = now + _INTERVAL
            self._read()

    def pause(self) -> None:
        """Read the counters a last time, and start anew with the next sample."""
        if self._last is not None:
            self._read()
            self._last = None

    def _read(self) -> None:
        counts = [domain.read() for domain in self._counted]
        busy = busy_seconds(self._root)
        known = [count for count in counts if count is not None]
        if busy is None or len(known) < len(counts):
            return
        if self._last is not None:
            before, busy_before = self._last
            microjoules = sum(
                difference(old, new, domain.wrap)
                for domain, old, new in zip(self._counted, before, known, strict=True)
            )
            self.joules += microjoules / 1e6
            self.cpu_seconds += max(0.0, busy - busy_before)
        self._last = known, busy


@cache
def _readable(root: Path) -> tuple[Domain, ...]:
    counted = tuple(domain for domain in domains(root) if domain.counted)
    packages = any(domain.name.startswith("package") for domain in counted)
    readable = all(domain.read() is not None for domain in counted)
    return counted if packages and readable else ()


def busy_seconds(root: Path = Path("/")) -> float | None:
    """CPU seconds that all cores of this node have worked since boot (proc_stat(5))."""
    try:
        with (root / "proc/stat").open("rb") as file:
            fields = file.readline().split()
        # cpu user nice system idle iowait irq softirq steal; guest is inside user.
        ticks = [int(field) for field in fields[1:8]]
        return sum(ticks[:3] + ticks[5:7]) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return None
