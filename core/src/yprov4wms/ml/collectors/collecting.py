"""All collectors of one run, asked one after the other. Nothing here raises."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from yprov4wms.ml import _checks
from yprov4wms.ml.collectors import entries
from yprov4wms.ml.collectors._sample import Sample

#: Seconds to wait for a collector that another thread has just asked.
_PATIENCE = 0.05

#: Metrics whose values add up to what was used (J), and are measured apart.
_ENERGIES = ("cpu_energy", "ram_energy", "gpu_energy")


class Collecting:
    """A collector that fails is told of once, and left out from then on.

    names: of `entries`; None for all. failed: is told where something failed, and of what.
    joules: used since the start of the run, by metric and source, as far as was measured.
    """

    def __init__(
        self, names: tuple[str, ...] | None, failed: Callable[[str, Exception], None]
    ) -> None:
        self.joules: dict[tuple[str, str], float] = {}
        self._names = names
        self._failed = failed
        self._closed = False
        self._asked: list[_One] = []
        self._making = threading.Lock()
        self._made = False
        #: Held by the thread that loads those of plugins, and for good afterwards.
        self._loading = threading.Lock()

    def make(self) -> None:
        """Make ours, where that has not been done: what they measure begins then.

        Those of plugins are made when a sample is first wanted.
        """
        with self._making:
            if not self._made:
                self._made = True
                self._add(entries.BUILT_IN if self._names is None else self._names, ours=True)

    def sample(self, only: str | None = None) -> Iterator[Sample]:
        """What the collectors give; one that another thread is waiting for is passed over.

        only: name of the one to ask.
        """
        self.make()
        if only is None and self._loading.acquire(blocking=False):
            self._load()
        for one in list(self._asked):
            if only in (None, one.name):
                yield from self._ask(one)

    def carbon(self, intensity: float | None) -> Iterator[Sample]:
        """Energy and emissions of the run so far; nothing where no energy was measured.

        intensity: grams of CO2 equivalent per kilowatt hour; without it no emissions.
        """
        joules = dict(self.joules)  # another thread may add to it
        if not joules:
            return
        energy = sum(joules.values()) / 3.6e6
        source = "+".join(sorted({source for _, source in joules}))
        yield Sample("energy_consumed", energy, "kWh", source)
        if intensity is not None:
            kilograms = energy * intensity / 1000.0
            yield Sample("emissions", kilograms, "kg", f"{source}*{intensity:g}g/kWh")

    def refresh(self) -> None:
        """To be called soon after the start of the run, and every half minute."""
        self.make()
        for one in list(self._asked):
            refresh = getattr(one.collector, "refresh", None)
            if refresh is not None and one.lock.acquire(blocking=False):
                try:
                    refresh()
                except Exception as error:
                    self._drop(one, error)
                finally:
                    one.lock.release()

    def close(self) -> None:
        """Close what has a ``close``. One that is at work is closed by its thread."""
        self._closed = True
        for one in list(self._asked):
            self._close(one)

    # -- below -------------------------------------------------------------------

    def _load(self) -> None:
        """Make the collectors of plugins."""
        try:
            names = entries.others() if self._names is None else self._names
        except Exception as error:
            self._failed("looking for collectors", error)
        else:
            self._add(names, ours=False)

    def _add(self, names: Iterable[str], *, ours: bool) -> None:
        for name in names:
            if (name in entries.BUILT_IN) is ours:
                try:
                    self._asked.append(_One(name, entries.made(name)))
                except Exception as error:
                    self._failed(f"loading collector {name}", error)

    def _ask(self, one: _One) -> list[Sample]:
        if not one.lock.acquire(timeout=_PATIENCE):
            return []
        found: list[Sample] = []
        try:
            if not one.dropped and not self._closed:
                for given in one.collector.sample():
                    sample = self._checked(one, given)
                    if sample is not None:
                        found.append(sample)
        except Exception as error:
            self._drop(one, error)
        finally:
            one.lock.release()
        if self._closed:
            self._close(one)
        return found

    def _checked(self, one: _One, given: Any) -> Sample | None:
        """A sample that has all it needs; None where it cannot be one."""
        try:
            name, value, unit, source = given
            if type(value) is not float:
                value = _checks.number(name, value)
            name = _checks.name("metric", name)
            unit = _checks.optional_name("unit", unit)
            source = _checks.optional_name("source", source) or one.name
        except (TypeError, ValueError) as error:
            if not one.told:
                one.told = True
                self._failed(f"a sample of collector {one.name}", error)
            return None
        if name in _ENERGIES and unit == "J" and value >= 0:
            key = name, source
            self.joules[key] = self.joules.get(key, 0.0) + value
        return Sample(name, value, unit, source)

    def _drop(self, one: _One, error: Exception) -> None:
        one.dropped = True
        if one in self._asked:
            self._asked.remove(one)
        self._failed(f"collector {one.name}", error)
        self._close(one, held=True)

    def _close(self, one: _One, *, held: bool = False) -> None:
        if not held and not one.lock.acquire(blocking=False):
            return
        try:
            close = None if one.closed else getattr(one.collector, "close", None)
            one.closed = True
            if close is not None:
                close()
        except Exception as error:
            self._failed(f"closing collector {one.name}", error)
        finally:
            if not held:
                one.lock.release()


class _One:
    """A collector and what became of it. lock: held by the thread that asks it."""

    def __init__(self, name: str, collector: Any) -> None:
        self.name = name
        self.collector = collector
        self.lock = threading.Lock()
        self.told = self.dropped = self.closed = False
