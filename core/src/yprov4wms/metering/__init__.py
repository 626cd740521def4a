"""What a task costs: CPU, memory, IO, GPU and energy of its processes.

A TaskMeter is attached to a thread; MeteredPopen, or the subprocess module behind
`module_proxy`, tells it what that thread starts. SelfMeter is for a task that runs inside
this process. `names` lists the figures; each says by which method it came about, and what
is not known is left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from yprov4wms.metering import names

if TYPE_CHECKING:
    from yprov4wms.metering.energy import Watts, carbon, power_sources
    from yprov4wms.metering.own import SelfMeter
    from yprov4wms.metering.process import MeteredPopen, module_proxy
    from yprov4wms.metering.task import TaskMeter, current

__all__ = [
    "MeteredPopen",
    "SelfMeter",
    "TaskMeter",
    "Watts",
    "carbon",
    "current",
    "module_proxy",
    "names",
    "power_sources",
]

#: Imported when first asked for: a training process needs the readings below alone.
_LATER = {
    "MeteredPopen": "process",
    "SelfMeter": "own",
    "TaskMeter": "task",
    "Watts": "energy",
    "carbon": "energy",
    "current": "task",
    "module_proxy": "process",
    "power_sources": "energy",
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
