"""GPU use of a task: its memory, utilization and energy of the devices it worked on."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from typing import Any

from yprov4wms.events import Figure
from yprov4wms.metering import names, nvml
from yprov4wms.metering.nvml import Device, Library, Reading
from yprov4wms.metering.sampler import FIRST

#: A task that was watched for less than this share of its time is said to be.
_MOST = 0.9


def devices() -> list[Device]:
    """All NVIDIA devices of this node; empty where NVML is not to be had (`problem`)."""
    library = nvml.load()
    return list(library.devices) if library else []


def problem() -> str | None:
    """Why `devices` is empty, in words; None where NVML works."""
    return nvml.problem()


class GpuUse:
    """Adds up readings of the devices that a task can see.

    Energy and utilization are a device's own, whoever used it; which devices count is
    told by the processes that NVML lists, where it lists them.
    """

    def __init__(self, library: Library, environment: Mapping[Any, Any] | None = None) -> None:
        self._library = library
        seen = visible(library.devices, os.environ if environment is None else environment)
        self._uses = [_Use(device.index) for device in seen]
        self._memory_peak = 0
        self._memory_known = True
        #: All that were the task's: a driver lists a process a while longer than it lives.
        self._pids: set[int] = set()

    def sample(self, pids: frozenset[int], now: float) -> None:
        """Read each device. pids: the task's processes. now: monotonic seconds."""
        total = 0
        self._pids |= pids
        for use in self._uses:
            reading = self._library.read(use.index)
            use.advance(reading, now)
            use.note(reading.processes)
            for pid, size in (reading.processes or {}).items():
                if pid in self._pids:
                    self._memory_known &= size is not None
                    total += size or 0
        self._memory_peak = max(self._memory_peak, total)

    def pause(self, now: float) -> None:
        """Read the counters a last time; the next sample starts anew."""
        for use in self._uses:
            if use.last is not None:
                use.advance(self._library.read(use.index, processes=False), now)
                use.last = None

    def figures(self, wall: float | None = None) -> dict[str, Figure]:
        """Empty where the task used no device, as far as that can be told.

        wall: how long the task took. Loading NVML for a process's first task takes a
        while, in which nothing is counted; the scope says so.
        """
        known = self._attributable()
        uses = [use for use in self._uses if not known or use.pids & self._pids]
        if not any(use.samples for use in uses):
            return {}
        scope = self._scope(uses, known)
        seen = max(use.seconds for use in uses)
        if wall is not None and seen < _MOST * wall:
            scope += f"; {seen:.2f} of {wall:.2f} s"
        figures = {
            names.GPU_MEMORY_PEAK: self._memory(uses, known, scope),
            names.GPU_UTILIZATION_MEAN: _utilization(uses, scope),
            names.GPU_UTILIZATION_MAX: _utilization_max(uses, scope),
            names.GPU_ENERGY: _energy(uses, scope),
        }
        return {name: figure for name, figure in figures.items() if figure is not None}

    def _attributable(self) -> bool:
        """Whether NVML's pids are those that this process sees.

        In a container NVML may list none, or the host's: then only a pid of ours among
        them proves that it can be told who uses a device.
        """
        if not all(use.lists for use in self._uses):
            return False
        return any(use.pids & self._pids for use in self._uses) or _host_pids()

    def _memory(self, uses: list[_Use], known: bool, scope: str) -> Figure | None:
        if known and self._memory_known:
            return Figure(names.BYTES, "nvml-processes-sampled", self._memory_peak)
        peaks = [use.memory for use in uses if use.memory is not None]
        return (
            Figure(names.BYTES, "nvml-device-sampled", sum(peaks), scope=scope) if peaks else None
        )

    def _scope(self, uses: list[_Use], known: bool) -> str:
        listed = ",".join(str(use.index) for use in uses)
        scope = f"device: GPU {listed} of {len(self._library.devices)}"
        if not known:
            return f"{scope}, all that are visible; whose work it was is not known"
        others = any(use.pids - self._pids for use in uses)
        return f"{scope}, shared with others" if others else scope


class _Use:
    """One device while the task runs. last: time, millijoules and milliwatts last read."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.samples = 0
        self.last: tuple[float, int | None, int | None] | None = None
        self.counted: float | None = None
        self.integrated: float | None = None
        self.busy = self.weight = self.seconds = 0.0
        self.busiest: int | None = None
        self.memory: int | None = None
        self.pids: set[int] = set()
        self.lists = True

    def advance(self, reading: Reading, now: float) -> None:
        self.samples += 1
        if self.last is not None:
            self.seconds += now - self.last[0]
        then, energy, power = self.last or (now - FIRST, None, None)
        if reading.energy is not None:
            # A counter that went back was reset: what lies between is not known.
            if energy is not None and reading.energy >= energy:
                self.counted = (self.counted or 0.0) + (reading.energy - energy) / 1000
            energy = reading.energy
        if reading.power is not None:
            if power is not None:
                joules = (reading.power + power) / 2000 * (now - then)
                self.integrated = (self.integrated or 0.0) + joules
            power = reading.power
        if reading.utilization is not None:
            # Samples come closer together at first: each counts for the time before it.
            self.busy += reading.utilization * (now - then)
            self.weight += now - then
            self.busiest = max(self.busiest or 0, reading.utilization)
        if reading.memory is not None:
            self.memory = max(self.memory or 0, reading.memory)
        self.last = now, energy, power

    def note(self, processes: dict[int, int | None] | None) -> None:
        """Take in who uses the device; None: it cannot be told."""
        if processes is None:
            self.lists = False
        else:
            self.pids.update(processes)


def _utilization(uses: list[_Use], scope: str) -> Figure | None:
    means = [use.busy / use.weight for use in uses if use.weight > 0]
    if not means:
        return None
    return Figure(names.PERCENT, "nvml-sampled", round(sum(means) / len(means), 2), scope=scope)


def _utilization_max(uses: list[_Use], scope: str) -> Figure | None:
    highest = [use.busiest for use in uses if use.busiest is not None]
    return Figure(names.PERCENT, "nvml-sampled", max(highest), scope=scope) if highest else None


def _energy(uses: list[_Use], scope: str) -> Figure | None:
    """None where a device's share is missing: a part is not the sum."""
    total = 0.0
    methods = []
    for use in uses:
        joules = use.counted if use.counted is not None else use.integrated
        if joules is None:
            return None
        total += joules
        methods.append("nvml-energy" if use.counted is not None else "nvml-power-sampled")
    method = "+".join(sorted(set(methods)))
    return Figure(names.JOULES, method, round(total, 6), scope=scope)


def visible(devices: list[Device], environment: Mapping[Any, Any]) -> list[Device]:
    """The devices that CUDA_VISIBLE_DEVICES leaves; all where it cannot be told which.

    CUDA counts the fastest device first unless CUDA_DEVICE_ORDER says otherwise, so that
    its numbers are NVML's only then or where all devices are alike.
    """
    text = environment.get("CUDA_VISIBLE_DEVICES")
    if not isinstance(text, str):
        return devices
    same_numbers = (
        environment.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID"
        or len({device.name for device in devices}) == 1
    )
    chosen: list[Device] = []
    for word in filter(None, (part.strip() for part in text.split(","))):
        if word.isdecimal() and not same_numbers:
            return devices
        match = [
            device
            for device in devices
            if (device.index == int(word) if word.isdecimal() else _named(device, word))
        ]
        if not match:
            # CUDA stops at the first that it does not know; a MIG slice is known to it.
            return devices if word.startswith("MIG-") else chosen
        chosen += [device for device in match if device not in chosen]
    return chosen


def _named(device: Device, word: str) -> bool:
    return word.startswith("GPU-") and (device.uuid or "").startswith(word)


@cache
def _host_pids() -> bool:
    """Whether this process is in the host's namespace of pids (its inode is fixed)."""
    try:
        return os.readlink("/proc/self/ns/pid") == "pid:[4026531836]"  # noqa: PTH115
    except OSError:
        return False
