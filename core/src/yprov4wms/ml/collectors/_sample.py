"""What collectors give, and what they share to make it."""

from __future__ import annotations

import importlib
from typing import Any, NamedTuple

GIB = 1024.0**3

#: Seconds under which a mean or a rate says more of the clock's ticks than of the machine.
SHORTEST = 0.1


class Sample(NamedTuple):
    """One value of one metric, as it is now.

    unit: as it is written: ``%``, ``GiB``, ``B/s``, ``W``, ``J``. source: what it was read
    from, with the device where there are several; the collector's name where it is not given.
    """

    name: str
    value: float
    unit: str | None = None
    source: str | None = None


def psutil() -> Any:
    """None without it. Only for where there is no ``/proc``: its import takes longer than a
    hundred readings."""
    try:
        return importlib.import_module("psutil")
    except ImportError:
        return None
