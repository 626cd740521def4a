"""A meter for a task that runs inside this very process."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from yprov4wms.events import Figure
from yprov4wms.metering import energy, names, procfs
from yprov4wms.metering.observation import Observation


class SelfMeter:
    """What this process and its waited-for children use from here on.

    It measures the process as a whole: of two that run at once, each sees the other's use.
    Arguments as TaskMeter's.
    """

    def __init__(
        self,
        *,
        sample_interval: float = 0.5,
        cpu_watts: energy.Watts | str | None = None,
        gpu: bool = True,
        system_root: Path = Path("/"),
    ) -> None:
        self._samples = sample_interval > 0
        self._watts = energy.watts(cpu_watts)
        self._observation = Observation(
            sample_interval,
            with_gpu=gpu,
            system_root=system_root,
            peak_before=procfs.own_peak() or 0,
        )
        self._io = procfs.io("self")
        self._cpu = _cpu()
        self._began = time.monotonic()
        self._pid = os.getpid()
        self._figures: dict[str, Figure] | None = None
        self._observation.add(self._pid, os.environ)

    def __enter__(self) -> SelfMeter:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def stop(self) -> dict[str, Figure]:
        """End the metering; `figures` stay as they are now."""
        if self._figures is None:
            self._observation.discard(self._pid)
            self._figures = self._now()
        return dict(self._figures)

    def figures(self) -> dict[str, Figure]:
        """Use from construction until now, or until `stop`."""
        return self._now() if self._figures is None else dict(self._figures)

    def _now(self) -> dict[str, Figure]:
        wall = time.monotonic() - self._began
        figures = {names.WALL_TIME: Figure(names.SECONDS, "monotonic-clock", round(wall, 6))}
        if (cpu := _cpu()) is not None and self._cpu is not None:
            user, system = cpu[0] - self._cpu[0], cpu[1] - self._cpu[1]
            for name, seconds in (
                (names.CPU_USER, user),
                (names.CPU_SYSTEM, system),
                (names.CPU_TIME, user + system),
            ):
                figures[name] = Figure(names.SECONDS, "getrusage", round(seconds, 6))
        if (io := procfs.io("self")) is not None and self._io is not None:
            for name, before, after in zip(
                (
                    names.IO_READ_CHARS,
                    names.IO_WRITE_CHARS,
                    names.IO_READ_BYTES,
                    names.IO_WRITE_BYTES,
                ),
                self._io,
                io,
                strict=True,
            ):
                figures[name] = Figure(names.BYTES, "proc-io", after - before)
        if (peak := self._memory()) is not None:
            figures[names.MEMORY_PEAK] = peak
        figures.update(self._observation.gpu_figures(wall))
        cpu_time = figures.get(names.CPU_TIME)
        power = energy.cpu_energy(cpu_time, self._observation.node, self._watts)
        if power is not None:
            figures[names.ENERGY] = power
        return figures

    def _memory(self) -> Figure | None:
        memory = self._observation.memory
        if self._samples:
            self._observation.look((self._pid,))
        else:
            # One look at the end shows a peak only if it is a new one of this process.
            memory.process = max(memory.process, memory.new_peak(procfs.own_peak() or 0))
        return memory.figure()


def _cpu() -> tuple[float, float] | None:
    """User and system seconds of this process and of the children that it waited for."""
    if sys.platform == "win32":
        return None
    import resource

    own, children = (
        resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return own.ru_utime + children.ru_utime, own.ru_stime + children.ru_stime
