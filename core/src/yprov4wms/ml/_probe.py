"""System metrics: of the machine, of this process, of NVIDIA devices where there are any.

Names are those of yProv4ML 3.2 where the meaning is the same; figures of this process
alone, which it has not, begin with ``process_``.
"""

from __future__ import annotations

import importlib
import os
import time
from pathlib import Path
from typing import Any, NamedTuple

_GIB = 1024.0**3


class Sample(NamedTuple):
    """source: ``proc``, ``psutil``, ``os``; ``nvml`` or, of several devices, ``nvml:<index>``."""

    name: str
    value: float
    unit: str
    source: str


class SystemProbe:
    """Reads the metrics; percentages of time are since the reading before.

    What cannot be read is left out, and so is a CPU percentage over no measurable time.
    """

    def __init__(self) -> None:
        self._machine = _proc_cpu()
        self._process = time.process_time(), time.monotonic()
        self._gpus: _Gpus | None = None
        self._gpus_sought = False

    def sample(self) -> list[Sample]:
        found = [*self._cpu(), *_memory(), *_disk()]
        if not self._gpus_sought:
            self._gpus_sought = True
            self._gpus = _gpus()
        if self._gpus is not None:
            found += self._gpus.sample()
        return found

    def _cpu(self) -> list[Sample]:
        found = []
        machine = _proc_cpu() or _psutil_cpu()
        if machine is not None:
            busy, total, source = machine
            was_busy, was_total, _ = self._machine or machine
            if total > was_total:
                share = 100.0 * (busy - was_busy) / (total - was_total)
                found.append(Sample("cpu_usage_pct", min(max(share, 0.0), 100.0), "%", source))
                self._machine = machine
            elif self._machine is None:
                self._machine = machine
        cpu, now = time.process_time(), time.monotonic()
        was_cpu, was_now = self._process
        if now > was_now:
            share = 100.0 * (cpu - was_cpu) / (now - was_now)
            found.append(Sample("process_cpu_usage_pct", share, "%", "os"))
            self._process = cpu, now
        return found


def _proc_cpu() -> tuple[float, float, str] | None:
    """Busy and total CPU time of the machine since its start, in any one unit."""
    line = _read("/proc/stat").partition(b"\n")[0]
    if not line.startswith(b"cpu "):
        return None
    # user nice system idle iowait irq softirq steal; guest time is in user (proc(5)).
    times = [float(word) for word in line.split()[1:9]]
    idle = sum(times[3:5])
    return sum(times) - idle, sum(times), "proc"


def _psutil_cpu() -> tuple[float, float, str] | None:
    psutil = _psutil()
    if psutil is None:
        return None
    times = psutil.cpu_times()
    return sum(times) - times.idle, sum(times), "psutil"


def _memory() -> list[Sample]:
    source = "proc"
    fields = dict(line.split(b":", 1) for line in _read("/proc/meminfo").splitlines())
    try:
        total, free = (int(fields[key].split()[0]) * 1024 for key in (b"MemTotal", b"MemAvailable"))
        own = int(_read("/proc/self/statm").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (KeyError, IndexError, ValueError):
        psutil = _psutil()
        if psutil is None:
            return []
        memory = psutil.virtual_memory()
        total, free, own = memory.total, memory.available, psutil.Process().memory_info().rss
        source = "psutil"
    return [
        Sample("ram_usage_gb", (total - free) / _GIB, "GiB", source),
        Sample("ram_usage_pct", 100.0 * (total - free) / total, "%", source),
        Sample("process_ram_usage_gb", own / _GIB, "GiB", source),
    ]


def _disk() -> list[Sample]:
    """Of the root file system, as yProv4ML reads it."""
    try:
        disk = os.statvfs("/")
    except (OSError, AttributeError):
        return []
    used = disk.f_blocks - disk.f_bfree
    if not used + disk.f_bavail:
        return []
    return [
        Sample("disk_usage_gb", used * disk.f_frsize / _GIB, "GiB", "os"),
        Sample("disk_usage_pct", 100.0 * used / (used + disk.f_bavail), "%", "os"),
    ]


class _Gpus:
    def __init__(self, library: Any, devices: list[Any]) -> None:
        self._library = library
        self._devices = devices
        self._energy: dict[int, tuple[int, float]] = {}

    def sample(self) -> list[Sample]:
        found = []
        for device in self._devices:
            source = "nvml" if len(self._devices) == 1 else f"nvml:{device.index}"
            reading = self._library.read(device.index, processes=False)
            if reading.utilization is not None:
                found.append(Sample("gpu_usage_pct", float(reading.utilization), "%", source))
            if reading.memory is not None:
                used = reading.memory / _GIB
                found.append(Sample("gpu_memory_usage_gb", used, "GiB", source))
                if device.memory:
                    share = 100.0 * reading.memory / device.memory
                    found.append(Sample("gpu_memory_usage_pct", share, "%", source))
            watts = self._power(device.index, reading)
            if watts is not None:
                found.append(Sample("gpu_power", watts, "W", source))
        return found

    def _power(self, index: int, reading: Any) -> float | None:
        """Watts: the mean since the sample before where energy is counted, else as read."""
        if reading.energy is None:
            return None if reading.power is None else reading.power / 1000.0
        now = time.monotonic()
        energy, then = self._energy.get(index, (reading.energy, now))
        self._energy[index] = reading.energy, now
        if now <= then or reading.energy < energy:
            return None
        return float((reading.energy - energy) / 1000.0 / (now - then))


def _gpus() -> _Gpus | None:
    # The metering package costs far more to import than a look for the driver.
    if not any(Path(node).exists() for node in ("/dev/nvidiactl", "/dev/dxg")):
        return None
    try:
        from yprov4wms.metering import gpu, nvml
    except ImportError:
        return None
    library = nvml.load()
    devices = gpu.visible(library.devices, os.environ) if library else []
    return _Gpus(library, devices) if devices else None


def _psutil() -> Any:
    """Only where there is no ``/proc``: its import takes longer than a hundred readings."""
    try:
        return importlib.import_module("psutil")
    except ImportError:
        return None


def _read(path: str) -> bytes:
    try:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - read at each sample
            return file.read()
    except OSError:
        return b""
