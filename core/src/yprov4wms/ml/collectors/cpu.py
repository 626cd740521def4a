"""CPU time of the machine and of this process."""

from __future__ import annotations

import time
from collections.abc import Iterator

from yprov4wms.metering import procfs
from yprov4wms.ml.collectors._sample import SHORTEST, Sample, psutil


class CPU:
    """``cpu_usage_pct`` of all cores; ``process_cpu_usage_pct``, 100 per busy core.

    Means since the sample before, at first since this was made.
    """

    def __init__(self) -> None:
        self._then = time.monotonic()
        self._machine = _from_proc()
        self._process = time.process_time()

    def sample(self) -> Iterator[Sample]:
        now = time.monotonic()
        if now - self._then < SHORTEST:
            return
        machine, before = _from_proc() or _from_psutil(), self._machine
        process, process_before = time.process_time(), self._process
        elapsed = now - self._then
        self._then, self._machine, self._process = now, machine, process
        if machine is not None and before is not None and machine[1] > before[1]:
            share = 100.0 * (machine[0] - before[0]) / (machine[1] - before[1])
            # Linux lets single fields go back a little (proc_stat(5)).
            yield Sample("cpu_usage_pct", min(max(share, 0.0), 100.0), "%", machine[2])
        share = 100.0 * (process - process_before) / elapsed
        yield Sample("process_cpu_usage_pct", share, "%", "os")


def _from_proc() -> tuple[float, float, str] | None:
    """Busy and total CPU time of the machine since its start, in any one unit; the source."""
    line = procfs.read("/proc/stat").partition(b"\n")[0]
    if not line.startswith(b"cpu "):
        return None
    # user nice system idle iowait irq softirq steal; guest time is in user.
    times = [float(word) for word in line.split()[1:9]]
    idle = sum(times[3:5])
    return sum(times) - idle, sum(times), "proc"


def _from_psutil() -> tuple[float, float, str] | None:
    library = psutil()
    if library is None:
        return None
    times = library.cpu_times()
    return sum(times) - times.idle, sum(times), "psutil"
