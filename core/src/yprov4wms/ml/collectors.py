"""Sources of system metrics, which may be added to by plugins.

A collector is an object with a method ``sample()`` that gives `Sample`\\ s, and maybe one
``close()``. What makes it, a function without arguments or a class, is registered under
the entry-point group ``yprov4wms.collectors``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from yprov4wms.ml._probe import Sample, SystemProbe

GROUP = "yprov4wms.collectors"

__all__ = ["GROUP", "Collectors", "Sample"]


class Collectors:
    """All collectors of one run. Never raises; what fails is told once, and then left out."""

    def __init__(self, names: Iterable[str] | None, failed: Callable[[str, Exception], None]):
        self._names = None if names is None else frozenset(names)
        self._failed = failed
        self._probe: Any = SystemProbe()

    def sample(self) -> Iterator[Sample]:
        yield from self._probe.sample()

    def close(self) -> None:
        pass
