"""What a task costs: CPU, memory, IO, GPU and energy of its processes.

A TaskMeter is attached to a thread; MeteredPopen, or the subprocess module behind
`module_proxy`, tells it what that thread starts. SelfMeter is for a task that runs inside
this process. `names` lists the figures; each says by which method it came about, and what
is not known is left out.
"""

from __future__ import annotations

from yprov4wms.metering import names
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
