"""The NVIDIA devices that this process may use."""

from __future__ import annotations

import os
from typing import Any, NamedTuple

#: What is there where a driver is: Linux, Linux in a container, and under Windows.
NODES = ("/proc/driver/nvidia", "/dev/nvidiactl", "/dev/dxg")


class Board(NamedTuple):
    """library: `yprov4wms.metering.nvml.Library`. suffix: of a source; empty where there is
    but one device. memory: total bytes, None where it is not known."""

    library: Any
    number: int
    suffix: str
    memory: int | None


def boards() -> list[Board]:
    """All that ``CUDA_VISIBLE_DEVICES`` leaves; empty without a driver."""
    # NVML's bindings cost far more to import than a look for the driver.
    if not any(map(os.path.exists, NODES)):
        return []
    from yprov4wms.metering import gpu, nvml

    library = nvml.load()
    if library is None:
        return []
    found = gpu.visible(library.devices, os.environ)
    return [
        Board(library, one.index, f":{one.index}" if len(found) > 1 else "", one.memory)
        for one in found
    ]
