"""Use of the NVIDIA devices; their power is `yprov4wms.ml.collectors.energy`'s."""

from __future__ import annotations

from collections.abc import Iterator

from yprov4wms.ml.collectors._nvidia import Board, boards
from yprov4wms.ml.collectors._sample import GIB, Sample


class GPU:
    """Of each device: ``gpu_usage_pct``, the share of the last moments in which it worked;
    ``gpu_memory_usage_gb`` (GiB), ``gpu_memory_usage_pct``, ``gpu_temperature_c``.

    They are the device's, whoever uses it. The source is ``nvml``, or ``nvml:<index>`` where
    this process sees several. What a device does not tell is left out.
    """

    def __init__(self) -> None:
        self._boards: list[Board] | None = None

    def sample(self) -> Iterator[Sample]:
        if self._boards is None:
            self._boards = boards()
        for board in self._boards:
            yield from _read(board)


def _read(board: Board) -> Iterator[Sample]:
    source = f"nvml{board.suffix}"
    usage = board.library.utilization(board.number)
    if usage is not None:
        yield Sample("gpu_usage_pct", float(usage), "%", source)
    memory = board.library.memory(board.number)
    if memory is not None:
        yield Sample("gpu_memory_usage_gb", memory / GIB, "GiB", source)
        if board.memory:
            yield Sample("gpu_memory_usage_pct", 100.0 * memory / board.memory, "%", source)
    temperature = board.library.temperature(board.number)
    if temperature is not None:
        yield Sample("gpu_temperature_c", float(temperature), "°C", source)
