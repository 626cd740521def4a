"""What is sampled of one task while its processes run: memory, GPU, energy counters."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from yprov4wms.events import Figure
from yprov4wms.metering import nvml, procfs
from yprov4wms.metering.gpu import GpuUse
from yprov4wms.metering.memory import MemoryPeak
from yprov4wms.metering.rapl import NodeEnergy
from yprov4wms.metering.sampler import FIRST, Sampled, sampler

#: An ending process waits no longer than this for a sample that is being taken.
_PATIENCE = 0.1


class Observation(Sampled):
    """Samples the trees under the added processes while there are any.

    A new process brings the next sample forward; then the time between samples grows to
    ``interval``, so that short processes are seen and long ones cost little.
    peak_before: VmHWM of a process that ran before the task began in it.
    """

    def __init__(
        self, interval: float, *, with_gpu: bool, system_root: Path, peak_before: int = 0
    ) -> None:
        self.memory = MemoryPeak(peak_before)
        self._interval = interval
        self._delay = 0.0
        self._with_gpu = with_gpu
        self._root = system_root
        self._pids: dict[int, None] = {}
        self._environment: Mapping[Any, Any] | None = None
        self._begun = False
        self._gpu: GpuUse | None = None
        self._node: NodeEnergy | None = None
        # For the counters, which the sampler and an ending process read. Reentrant: a
        # finalizer that runs inside may end a process.
        self._lock = threading.RLock()

    def add(self, pid: int, environment: Mapping[Any, Any] | None = None) -> None:
        """Sample this process and its descendants from now on."""
        self._pids[pid] = None
        self._environment = environment
        if self._interval > 0:
            self._delay = min(FIRST, self._interval)
            sampler.add(self, self._delay)

    def discard(self, pid: int) -> None:
        """The process ended. With the last one, counters are read to the end."""
        self._pids.pop(pid, None)
        if self._pids or not (self._gpu or self._node):
            return
        if self._lock.acquire(timeout=_PATIENCE):
            try:
                if not self._pids:
                    self._pause()
            finally:
                self._lock.release()

    def sample(self) -> float | None:
        pids = tuple(self._pids)
        if not pids:
            return None
        tree = self.look(pids)
        if not self._begun:
            self._begin()
        if self._gpu or self._node:
            with self._lock:
                if self._pids:  # else it ended meanwhile, and so did the reading
                    now = time.monotonic()
                    if self._gpu:
                        self._gpu.sample(tree.pids, now)
                    if self._node:
                        self._node.sample(now)
        delay, self._delay = self._delay, min(2 * self._delay, self._interval)
        return delay

    def look(self, pids: Iterable[int]) -> procfs.Tree:
        """Take one sample of memory."""
        tree = procfs.tree(pids)
        with self._lock:
            self.memory.take(tree)
        return tree

    def gpu_figures(self, wall: float) -> dict[str, Figure]:
        return self._gpu.figures(wall) if self._gpu else {}

    @property
    def node(self) -> NodeEnergy | None:
        return self._node

    def _begin(self) -> None:
        """Find the counters, outside of the lock: loading NVML can take seconds."""
        self._begun = True
        self._node = NodeEnergy.find(self._root)
        library = nvml.load() if self._with_gpu else None
        if library is not None:
            self._gpu = GpuUse(library, self._environment)

    def _pause(self) -> None:
        now = time.monotonic()
        if self._gpu:
            self._gpu.pause(now)
        if self._node:
            self._node.pause()
