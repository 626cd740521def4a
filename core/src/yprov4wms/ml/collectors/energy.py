"""Power and energy of processors, memory and NVIDIA devices, as their counters tell them.

They are those of the whole machine or device, whoever used it. Without a counter that this
process may read, there is no figure.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from yprov4wms.ml.collectors._nvidia import Board, boards
from yprov4wms.ml.collectors._sample import SHORTEST, Sample

if TYPE_CHECKING:
    from yprov4wms.metering.rapl import Domain

#: Watts that no processor package draws: a counter cannot wrap around faster.
_MOST = 1000.0


class Energy:
    """``cpu_power``, ``ram_power``, ``gpu_power`` (W) and ``cpu_energy``, ``ram_energy``,
    ``gpu_energy`` (J), both since the sample before.

    Processors count from when this is made, devices from the first sample. Sources: ``rapl``
    and ``nvml``, with ``:<index>`` of the package or device where there are several; energy
    of a device that has no counter is added up from its power at each sample, and its source
    is ``nvml-power-sampled``.
    """

    def __init__(self, root: Path = Path("/")) -> None:
        now = time.monotonic()
        self._packages = [
            _Package(name, domain, source, now) for name, domain, source in _rapl(root)
        ]
        self._boards: list[_Board] | None = None

    def sample(self) -> Iterator[Sample]:
        for package in self._packages:
            yield from package.sample(time.monotonic())
        if self._boards is None:
            self._boards = [_Board(board) for board in boards()]
        for board in self._boards:
            yield from board.sample(time.monotonic())

    def refresh(self) -> None:
        """Read the counters that wrap around: to be called every half minute."""
        for package in self._packages:
            package.advance(time.monotonic())


class _Package:
    """A counter of a processor package, or of the memory behind it, that wraps around."""

    def __init__(self, name: str, domain: Domain, source: str, now: float) -> None:
        self._name = name
        self._domain = domain
        self._source = source
        self._count = domain.read()
        self._read = self._sampled = now
        self._joules = 0.0
        self._complete = self._count is not None

    def advance(self, now: float) -> None:
        """Take in what was used until now."""
        from yprov4wms.metering.rapl import difference

        count, before = self._domain.read(), self._count
        if count is None:
            return
        if before is None or (now - self._read) * _MOST * 1e6 > self._domain.wrap:
            # How often it wrapped around meanwhile is not known, after a sleep for example.
            self._complete = False
        else:
            self._joules += difference(before, count, self._domain.wrap) / 1e6
        self._count, self._read = count, now

    def sample(self, now: float) -> Iterator[Sample]:
        self.advance(now)
        if self._read != now:
            return
        joules, elapsed, complete = self._joules, now - self._sampled, self._complete
        self._joules, self._sampled, self._complete = 0.0, now, True
        if complete:
            yield Sample(f"{self._name}_energy", joules, "J", self._source)
            if elapsed >= SHORTEST:
                yield Sample(f"{self._name}_power", joules / elapsed, "W", self._source)


def _rapl(root: Path) -> list[tuple[str, Domain, str]]:
    """What each counter is of, ``cpu`` or ``ram``, and its source; those that may be read."""
    if not os.path.isdir(root / "sys/class/powercap"):  # noqa: PTH112
        return []
    from yprov4wms.metering import rapl

    counted = [domain for domain in rapl.domains(root) if domain.counted]
    zones = {_zone(domain) for domain in counted}
    return [
        (
            "ram" if domain.name == "dram" else "cpu",
            domain,
            f"rapl:{_zone(domain)}" if len(zones) > 1 else "rapl",
        )
        for domain in counted
        if domain.read() is not None
    ]


def _zone(domain: Domain) -> str:
    """The number of the package: its memory's counter is ``intel-rapl:0:1``."""
    return domain.path.parent.name.split(":")[1]


class _Board:
    def __init__(self, board: Board) -> None:
        self._board = board
        #: Millijoules, or milliwatts where energy is not counted, and when they were read.
        self._energy: tuple[int, float] | None = None
        self._power: tuple[int, float] | None = None

    def sample(self, now: float) -> Iterator[Sample]:
        energy = self._board.library.energy(self._board.number)
        if energy is not None:
            yield from self._counted(energy, now)
        elif self._energy is None:
            # A counter that cannot be read just now tells of this time later.
            power = self._board.library.power(self._board.number)
            if power is not None:
                yield from self._integrated(power, now)

    def _counted(self, energy: int, now: float) -> Iterator[Sample]:
        source = f"nvml{self._board.suffix}"
        before, self._energy = self._energy, (energy, now)
        # One that went back was reset: what lies between is not known.
        if before is not None and energy >= before[0]:
            joules, elapsed = (energy - before[0]) / 1000.0, now - before[1]
            yield Sample("gpu_energy", joules, "J", source)
            if elapsed >= SHORTEST:
                yield Sample("gpu_power", joules / elapsed, "W", source)

    def _integrated(self, power: int, now: float) -> Iterator[Sample]:
        yield Sample("gpu_power", power / 1000.0, "W", f"nvml{self._board.suffix}")
        before, self._power = self._power, (power, now)
        if before is not None:
            joules = (power + before[0]) / 2000.0 * (now - before[1])
            yield Sample("gpu_energy", joules, "J", f"nvml-power-sampled{self._board.suffix}")
