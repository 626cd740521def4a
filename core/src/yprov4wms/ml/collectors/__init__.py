"""Collectors of system metrics, one per kind, which plugins may add to.

A collector is what `Collector` says, made by a class or a function without arguments that
is registered under the entry-point group ``yprov4wms.collectors``. Its name there is what
``start_run(collectors=[...])`` chooses it by.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from yprov4wms.ml.collectors import entries
from yprov4wms.ml.collectors._sample import Sample
from yprov4wms.ml.collectors.entries import BUILT_IN, GROUP

__all__ = ["GROUP", "Collector", "Sample", "chosen"]


class Collector(Protocol):
    """Measures one kind of thing, for one run of one process.

    A method ``close()``, where there is one, is called at the end of the run. What ours have
    besides, ``refresh()``, is called every half minute, too. No two threads call the same
    collector at once.
    """

    def sample(self) -> Iterable[Sample]:
        """What it measures, as it is now, or since the sample before.

        It may take its time where only ``start_run(sample_interval=...)`` asks for it. An
        exception is told in the record, and the collector is not asked again.
        """


def chosen(names: Iterable[str]) -> tuple[str, ...]:
    """The names of collectors, each checked; no plugin is imported.

    Raises TypeError for what are no names, ValueError for one that no collector has.
    """
    if isinstance(names, str):
        raise TypeError(f"collectors is a list of names, not {names!r}")
    found = tuple(dict.fromkeys(names))
    unknown = [name for name in found if name not in BUILT_IN]
    if unknown:
        try:
            known = {*BUILT_IN, *entries.others()}
        except Exception:
            return found  # broken metadata, of which the record is told at the first sample
        for name in unknown:
            if name not in known:
                raise ValueError(f"collector {name!r} is none of {', '.join(sorted(known))}")
    return found
