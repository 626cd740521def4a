"""Traffic of the network interfaces."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cache

from yprov4wms.metering import procfs
from yprov4wms.ml.collectors._rates import Rates
from yprov4wms.ml.collectors._sample import Sample, psutil


class Network:
    """``network_receive_rate`` and ``network_send_rate`` (B/s) of the machine, or of the
    container: means since the sample before, at first since this was made.

    Of the interfaces that are hardware; where none is, as in a container, of all but the
    loopback. What InfiniBand moves without the kernel (RDMA) is not in them.
    """

    def __init__(self) -> None:
        self._rates = Rates(*_counters())

    def sample(self) -> Iterator[Sample]:
        if self._rates.due():
            yield from self._rates.sample(_counters()[0])


def _counters() -> tuple[dict[str, int], str]:
    source = "proc"
    found = list(_from_proc(procfs.read("/proc/net/dev")))
    if not found:
        source, found = "psutil", list(_from_psutil())
    chosen = [counts for name, *counts in found if _is_hardware(name)]
    chosen = chosen or [counts for name, *counts in found if name not in ("lo", "lo0")]
    if not chosen:
        return {}, source
    received, sent = (sum(counts) for counts in zip(*chosen, strict=True))
    return {"network_receive_rate": received, "network_send_rate": sent}, source


def _from_proc(text: bytes) -> Iterator[tuple[str, int, int]]:
    """Interface, bytes received, bytes sent; below two lines of headings (proc_net(5))."""
    for line in text.splitlines()[2:]:
        name, _, counts = line.rpartition(b":")
        fields = counts.split(None, 9)
        if len(fields) > 8:
            yield os.fsdecode(name.strip()), int(fields[0]), int(fields[8])


def _from_psutil() -> Iterator[tuple[str, int, int]]:
    library = psutil()
    if library is not None:
        for name, counts in library.net_io_counters(pernic=True).items():
            yield name, counts.bytes_recv, counts.bytes_sent


@cache
def _is_hardware(name: str) -> bool:
    return os.path.exists(f"/sys/class/net/{name}/device")  # noqa: PTH110
