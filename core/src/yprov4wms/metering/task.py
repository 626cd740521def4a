"""What one attempt of a task cost: the processes that it started, added up."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
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
        system_root: Path | None = None,
    ) -> None:
        self.env = dict(env or {})
        #: The environment that the last process got, without `env`.
        self.child_environment: Mapping[Any, Any] | None = None
        self._watts = energy.watts(cpu_watts)
        self._watches: list[Watch] = []
        self._ended: list[Watch] = []
        self._observation = Observation(
            sample_interval, with_gpu=gpu, system_root=system_root or Path("/")
        )

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
        if not self._watches:
            return {}
        wall = self._wall()
        figures = {
            **self._cpu(),
            names.WALL_TIME: Figure(names.SECONDS, "monotonic-clock", wall),
            **self._io(),
            **self._memory(),
            **self._observation.gpu_figures(wall),
        }
        cpu_time = figures.get(names.CPU_TIME)
        power = energy.cpu_energy(cpu_time, self._observation.node, self._watts)
        if power is not None:
            figures[names.ENERGY] = power
        return figures

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

    def _cpu(self) -> dict[str, Figure]:
        usages = [watch.usage for watch in self._watches]
        user = [usage.ru_utime if usage else None for usage in usages]
        system = [usage.ru_stime if usage else None for usage in usages]
        both = [usage.ru_utime + usage.ru_stime if usage else None for usage in usages]
        return _known(
            {
                names.CPU_USER: _sum(names.SECONDS, "wait4", user),
                names.CPU_SYSTEM: _sum(names.SECONDS, "wait4", system),
                names.CPU_TIME: _sum(names.SECONDS, "wait4", both),
            }
        )

    def _wall(self) -> float:
        """From the first process's start to the last one's end, so far."""
        now = clock()
        began = min(watch.began[1] for watch in self._watches)
        finished = max((watch.finished or now)[1] for watch in self._watches)
        return round(finished - began, 6)

    def _io(self) -> dict[str, Figure]:
        fields = {
            names.IO_READ_CHARS: "read_chars",
            names.IO_WRITE_CHARS: "write_chars",
            names.IO_READ_BYTES: "read_bytes",
            names.IO_WRITE_BYTES: "write_bytes",
        }
        figures = {
            name: _sum(
                names.BYTES,
                "proc-io-before-reap",
                [getattr(watch.io, field) if watch.io else None for watch in self._watches],
            )
            for name, field in fields.items()
        }
        if sys.platform == "linux":
            # The same bytes in units of 512; also of a process whose /proc/<pid>/io is
            # another user's.
            for name, field in {
                names.IO_READ_BYTES: "ru_inblock",
                names.IO_WRITE_BYTES: "ru_oublock",
            }.items():
                blocks = [getattr(watch.usage, field, None) for watch in self._watches]
                sizes = [None if count is None else count * 512 for count in blocks]
                best = figures[name]
                if best is None or best.scope:
                    figures[name] = _sum(names.BYTES, field, sizes)
        return _known(figures)

    def _memory(self) -> dict[str, Figure]:
        largest = [watch.largest for watch in self._watches]
        return _known({names.MEMORY_PEAK: self._observation.memory.figure(largest)})


def _sum(unit: str, method: str, values: Sequence[float | None]) -> Figure | None:
    """Of what is known; the scope says of how many processes that is, if not of all."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    partial = f"{len(known)} of {len(values)} processes" if len(known) < len(values) else None
    return Figure(unit, method, round(sum(known), 6), scope=partial)


def _known(figures: dict[str, Figure | None]) -> dict[str, Figure]:
    return {name: figure for name, figure in figures.items() if figure is not None}


def _iso(moment: Moment) -> str:
    return datetime.fromtimestamp(moment[0] / 1e9, UTC).isoformat(timespec="microseconds")
