"""Memory of the machine and of this process."""

from __future__ import annotations

import os
from collections.abc import Iterator

from yprov4wms.metering import procfs
from yprov4wms.ml.collectors._sample import GIB, Sample, psutil


class Memory:
    """``ram_usage_gb`` (GiB) and ``ram_usage_pct``, what is not available to programs (the
    cache of files is); ``process_ram_usage_gb`` (GiB), resident."""

    def sample(self) -> Iterator[Sample]:
        source = "proc"
        found = _from_proc()
        if found is None:
            found, source = _from_psutil(), "psutil"
        if found is None:
            return
        total, available, own = found
        yield Sample("ram_usage_gb", (total - available) / GIB, "GiB", source)
        yield Sample("ram_usage_pct", 100.0 * (total - available) / total, "%", source)
        yield Sample("process_ram_usage_gb", own / GIB, "GiB", source)


def _from_proc() -> tuple[int, int, int] | None:
    """Bytes: of the machine, available of them, resident of this process."""
    text = procfs.read("/proc/meminfo")
    try:
        total, available = (_kilobytes(text, key) for key in (b"MemTotal:", b"MemAvailable:"))
        pages = int(procfs.read("/proc/self/statm").split()[1])
        return total * 1024, available * 1024, pages * os.sysconf("SC_PAGE_SIZE")
    except (IndexError, ValueError):
        return None


def _kilobytes(text: bytes, key: bytes) -> int:
    return int(text[text.index(key) + len(key) :].split(None, 1)[0])


def _from_psutil() -> tuple[int, int, int] | None:
    library = psutil()
    if library is None:
        return None
    memory = library.virtual_memory()
    return memory.total, memory.available, library.Process().memory_info().rss
