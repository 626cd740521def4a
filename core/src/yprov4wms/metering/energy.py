"""Energy and carbon of a task, from the best source that there is. Each says which.

The ladder for the CPU: RAPL, else CPU time times watts, else nothing. GPU energy is a
figure of its own (`yprov4wms.metering.gpu`).
"""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path
from typing import NamedTuple

from yprov4wms.events import Figure
from yprov4wms.metering import names, rapl

#: Below this many busy CPU seconds the ticks of /proc/stat (10 ms) are too coarse.
_ENOUGH = 0.2


class Watts(NamedTuple):
    """Power of one busy core, lowest and highest."""

    low: float
    high: float

    @classmethod
    def parse(cls, text: str) -> Watts:
        """``"LOW-HIGH"`` or one number. Raises ValueError."""
        match = re.fullmatch(r"\s*(\d+\.?\d*)\s*(?:-\s*(\d+\.?\d*)\s*)?", text)
        if match is None:
            raise ValueError(f"{text!r} is not watts: N or LOW-HIGH")
        low, high = sorted((float(match[1]), float(match[2] or match[1])))
        return cls(low, high)

    def __str__(self) -> str:
        return f"{self.low:g}W" if self.low == self.high else f"{self.low:g}-{self.high:g}W"


#: From a many-core server's share per core to one core of a desktop at full clock.
DEFAULT_WATTS = Watts(2.0, 12.0)


class PowerSource(NamedTuple):
    """A counter that this node has. used: it is part of what a task's energy is taken from."""

    name: str
    path: str
    readable: bool
    used: bool


def watts(given: Watts | str | None = None) -> Watts:
    """As given, else ``YPROV_CPU_WATTS``, else the default. Never raises."""
    if isinstance(given, Watts):
        return given
    text = given or os.environ.get("YPROV_CPU_WATTS")
    if text:
        try:
            return Watts.parse(text)
        except ValueError as error:
            logging.getLogger("yprov4wms").warning("cpu-watts: %s; taking the default", error)
    return DEFAULT_WATTS


def cpu_energy(
    cpu_time: Figure | None, node: rapl.NodeEnergy | None = None, power: Watts = DEFAULT_WATTS
) -> Figure | None:
    """Joules of a task's CPU time by the best rung; None where that time is not known."""
    if cpu_time is None or cpu_time.value is None:
        return None
    # SLURM's accounting belongs between these two.
    return _measured(cpu_time, node) or _modelled(cpu_time, power)


def _measured(cpu_time: Figure, node: rapl.NodeEnergy | None) -> Figure | None:
    """The node's joules per busy CPU second, idle power included, times the task's own."""
    if node is None or node.cpu_seconds < _ENOUGH or cpu_time.value is None:
        return None
    value = node.joules / node.cpu_seconds * cpu_time.value
    counters = "+".join(sorted({name.partition("-")[0] for name in node.domains}))
    scope = f"whole node ({counters}) by this task's share of its CPU time"
    return Figure(names.JOULES, "rapl", round(value, 6), scope=_also(scope, cpu_time.scope))


def _modelled(cpu_time: Figure, power: Watts) -> Figure:
    seconds = cpu_time.value or 0.0
    figure = Figure(names.JOULES, f"cpu-time*{power}", scope=cpu_time.scope)
    if power.low == power.high:
        figure.value = round(seconds * power.low, 6)
    else:
        figure.low, figure.high = (round(seconds * part, 6) for part in power)
    return figure


def carbon(
    energy: Figure | None, gpu_energy: Figure | None, intensity: float | None
) -> Figure | None:
    """Kilograms of CO2 equivalent, at ``intensity`` grams per kilowatt hour.

    None without an intensity or without any energy. An interval where an energy has one.
    """
    parts = {"CPU": energy, "GPU": gpu_energy}
    known = {
        name: bounds
        for name, figure in parts.items()
        if figure is not None and (bounds := _bounds(figure)) is not None
    }
    if intensity is None or not known:
        return None
    factor = intensity / 3.6e6 / 1000  # J to kWh, g to kg
    low = sum(bounds[0] for bounds in known.values()) * factor
    high = sum(bounds[1] for bounds in known.values()) * factor
    figure = Figure(
        names.KILOGRAMS, f"energy*{intensity:g}g/kWh", scope="energy of " + " and ".join(known)
    )
    if low == high:
        figure.value = low
    else:
        figure.low, figure.high = low, high
    return figure


def _bounds(figure: Figure) -> tuple[float, float] | None:
    if figure.low is not None and figure.high is not None:
        return figure.low, figure.high
    return None if figure.value is None else (figure.value, figure.value)


def _also(scope: str, more: str | None) -> str:
    return f"{scope}; {more}" if more else scope


def power_sources(root: Path = Path("/")) -> list[PowerSource]:
    """The CPU's energy counters, for ``doctor``. GPUs: `yprov4wms.metering.gpu.devices`."""
    return [
        PowerSource(domain.name, str(domain.path), domain.read() is not None, domain.counted)
        for domain in rapl.domains(root)
    ]
