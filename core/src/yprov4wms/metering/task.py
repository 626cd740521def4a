"""What one attempt of a task cost: the processes that it started, added up."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from yprov4wms.events import Figure, Process
from yprov4wms.metering import energy, names, procfs
from yprov4wms.metering.memory import largest_process
from yprov4wms.metering.observation import Observation

#: Wall clock in nanoseconds since the epoch, and the monotonic clock in seconds.
Moment = tuple[int, float]

# A thread's own, and no context variable: Snakemake runs jobs in asyncio runners that are
# kept per thread and keep the context of the first job that the thread ran.
_thread = threading.local()

ROOT = Path("/")


def clock() -> Moment:
    return time.time_ns(), time.monotonic()


def current() -> TaskMeter | None:
    """The meter that is attached to this thread."""
    meter: TaskMeter | None = getattr(_thread, "meter", None)
    return meter


class Watch:
    """One process: its beginning, and what its parent learns when it reaps it.

    usage: ``resource.struct_rusage`` of it and its waited-for descendants. largest: the
    peak memory in bytes of one process among them, where ``usage`` tells it.
    """

    __slots__ = ("began", "exit_code", "finished", "io", "largest", "meter", "pid", "usage")

    def __init__(self, meter: TaskMeter, pid: int, began: Moment) -> None:
        self.meter = meter
        self.pid = pid
        self.began = began
        self.finished: Moment | None = None
        self.exit_code: int | None = None
        self.usage: Any = None
        self.io: procfs.IO | None = None
        self.largest: int | None = None


class TaskMeter:
    """Meters the processes that threads start while it is attached to them.

    env: added to the environment of each process.
    sample_interval: seconds between samples of memory, GPU and energy counters; 0: none.
    cpu_watts: of one busy core, for energy that nothing measures.
    system_root: where ``sys`` and ``proc`` are, for tests.

    It takes no lock: a list's append and a dict's set are atomic, and a finalizer or a
    signal handler may reap a process at any point.
    """

    def __init__(
        self,
        env: Mapping[str, str] | None = None,
        *,
        sample_interval: float = 0.5,
        cpu_watts: energy.Watts | str | None = None,
        gpu: bool = True,
        system_root: Path = ROOT,
    ) -> None:
        self.env = dict(env or {})
        #: The environment that the last process got, without `env`.
        self.child_environment: Mapping[Any, Any] | None = None
        self._watts = energy.watts(cpu_watts)
        self._watches: list[Watch] = []
        self._ended: list[Watch] = []
        self._observation = Observation(sample_interval, with_gpu=gpu, system_root=system_root)

    @contextmanager
    def attached(self) -> Iterator[TaskMeter]:
        """Processes that this thread starts inside are this meter's; the innermost wins."""
        outer = current()
        _thread.meter = self
        try:
            yield self
        finally:
            _thread.meter = outer

    @property
    def processes(self) -> list[Process]:
        """In the order in which they were started."""
        return [
            Process(
                pid=watch.pid,
                started=_iso(watch.began),
                ended=_iso(watch.finished) if watch.finished else None,
                exit_code=watch.exit_code,
            )
            for watch in list(self._watches)
        ]

    @property
    def exit_code(self) -> int | None:
        """The last that is not 0, else the last; negative: the signal, as Popen says."""
        codes = [watch.exit_code for watch in list(self._ended)]
        return next((code for code in reversed(codes) if code), codes[-1] if codes else None)

    def figures(self) -> dict[str, Figure]:
        """What is known by now. A figure that lacks some of the processes says so."""
        watches = list(self._watches)
        if not watches:
            return {}
        wall = self._wall(watches)
        figures: dict[str, Figure | None] = {}
        self._add_cpu(figures, watches)
        figures[names.WALL_TIME] = Figure(names.SECONDS, "monotonic-clock", wall)
        self._add_io(figures, watches)
        largest = [watch.largest for watch in watches]
        figures[names.MEMORY_PEAK] = self._observation.memory.figure(largest)
        figures.update(self._observation.gpu_figures(wall))
        cpu_time = figures[names.CPU_TIME]
        figures[names.ENERGY] = energy.cpu_energy(cpu_time, self._observation.node, self._watts)
        return {name: figure for name, figure in figures.items() if figure is not None}

    def started(self, pid: int, began: Moment) -> Watch:
        """A process runs; called by the Popen that started it."""
        watch = Watch(self, pid, began)
        self._watches.append(watch)
        with suppress(Exception):  # what reaping tells does not need samples
            self._observation.add(pid, self.child_environment)
        return watch

    def ended(self, watch: Watch, exit_code: int) -> None:
        """A process was reaped; called by the Popen that did it."""
        watch.finished = clock()
        watch.exit_code = exit_code
        self._ended.append(watch)
        if watch.usage is not None:
            watch.largest = largest_process(watch.usage.ru_maxrss)
        self._observation.discard(watch.pid)

    @staticmethod
    def _add_cpu(figures: dict[str, Figure | None], watches: list[Watch]) -> None:
        count, user, system = 0, 0.0, 0.0
        for watch in watches:
            if watch.usage is not None:
                count += 1
                user += watch.usage.ru_utime
                system += watch.usage.ru_stime
        for name, seconds in (
            (names.CPU_USER, user),
            (names.CPU_SYSTEM, system),
            (names.CPU_TIME, user + system),
        ):
            figures[name] = _sum(names.SECONDS, "wait4", round(seconds, 6), count, len(watches))

    @staticmethod
    def _wall(watches: list[Watch]) -> float:
        """From the first process's start to the last one's end, so far."""
        now = clock()
        began = min(watch.began[1] for watch in watches)
        finished = max((watch.finished or now)[1] for watch in watches)
        return round(finished - began, 6)

    @staticmethod
    def _add_io(figures: dict[str, Figure | None], watches: list[Watch]) -> None:
        known = [watch.io for watch in watches if watch.io is not None]
        sums = map(sum, zip(*known, strict=True)) if known else (0, 0, 0, 0)
        for name, size in zip(_IO, sums, strict=True):
            figures[name] = _sum(names.BYTES, "proc-io-before-reap", size, len(known), len(watches))
        if len(known) < len(watches) and sys.platform == "linux":
            # The same bytes in units of 512; also of a process whose /proc/<pid>/io is
            # another user's.
            usages = [watch.usage for watch in watches if watch.usage is not None]
            if len(usages) > len(known):
                for name, field in _BLOCKS:
                    size = 512 * sum(getattr(usage, field) for usage in usages)
                    figures[name] = _sum(names.BYTES, field, size, len(usages), len(watches))


_IO = (names.IO_READ_CHARS, names.IO_WRITE_CHARS, names.IO_READ_BYTES, names.IO_WRITE_BYTES)
_BLOCKS = ((names.IO_READ_BYTES, "ru_inblock"), (names.IO_WRITE_BYTES, "ru_oublock"))


def _sum(unit: str, method: str, value: float, known: int, of: int) -> Figure | None:
    """A sum over as many processes as are known; the scope says so if that is not all."""
    if not known:
        return None
    scope = f"{known} of {of} processes" if known < of else None
    return Figure(unit, method, value, scope=scope)


def _iso(moment: Moment) -> str:
    return datetime.fromtimestamp(moment[0] / 1e9, UTC).isoformat(timespec="microseconds")
