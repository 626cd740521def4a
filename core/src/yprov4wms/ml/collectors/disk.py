"""Space and traffic of the disks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cache

from yprov4wms.metering import procfs
from yprov4wms.ml.collectors._rates import Rates
from yprov4wms.ml.collectors._sample import GIB, Sample, psutil

#: Of /proc/diskstats, whatever the disk's own are.
_SECTOR = 512


class Disk:
    """``disk_usage_gb`` (GiB) and ``disk_usage_pct`` of the root file system, as yProv4ML has
    them; ``disk_read_rate`` and ``disk_write_rate`` (B/s) of all disks of the machine;
    ``process_disk_read_rate`` and ``process_disk_write_rate`` (B/s) of this process.

    Rates are means since the sample before, at first since this was made. The process's are
    what it caused at the disk: reads from the cache of files are not among them.
    """

    def __init__(self) -> None:
        counters, source = _machine()
        self._machine = Rates(counters, source)
        self._process = Rates(_process(), "proc")

    def sample(self) -> Iterator[Sample]:
        yield from _space()
        if self._machine.due():
            yield from self._machine.sample(_machine()[0])
            yield from self._process.sample(_process())


def _space() -> Iterator[Sample]:
    try:
        disk = os.statvfs("/")
    except (OSError, AttributeError):
        return
    used = disk.f_blocks - disk.f_bfree
    if used + disk.f_bavail:
        yield Sample("disk_usage_gb", used * disk.f_frsize / GIB, "GiB", "os")
        yield Sample("disk_usage_pct", 100.0 * used / (used + disk.f_bavail), "%", "os")


def _machine() -> tuple[dict[str, int], str]:
    """Bytes that all disks moved since the machine's start, by metric; the source."""
    text = procfs.read("/proc/diskstats")
    read = written = disks = 0
    for line in text.splitlines():
        # major minor name reads merged sectors ms writes merged sectors ...
        fields = line.split(None, 10)
        if len(fields) > 9 and _is_disk(fields[2]):
            disks += 1
            read += int(fields[5])
            written += int(fields[9])
    if disks:
        return _named(read * _SECTOR, written * _SECTOR), "proc"
    library = None if text else psutil()
    found = library.disk_io_counters() if library is not None else None
    return ({}, "proc") if found is None else (_named(*found[2:4]), "psutil")


def _named(read: int, written: int) -> dict[str, int]:
    return {"disk_read_rate": read, "disk_write_rate": written}


@cache
def _is_disk(name: bytes) -> bool:
    """Whether it is hardware: what goes through a partition, a volume or a RAID goes through
    the disks below, too, and would count twice."""
    return os.path.exists(b"/sys/block/" + name.replace(b"/", b"!") + b"/device")  # noqa: PTH110


def _process() -> dict[str, int]:
    found = procfs.io("self")
    if found is None:
        return {}
    return {
        "process_disk_read_rate": found.read_bytes,
        "process_disk_write_rate": found.write_bytes,
    }
