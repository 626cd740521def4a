"""Runs in one document, tied by data that one made and another used."""

from __future__ import annotations

from collections.abc import Iterator
from posixpath import join, normpath
from typing import NamedTuple

from yprov4wms.prov.child import EMPTY
from yprov4wms.prov.handover import Outer
from yprov4wms.run import Run


class Data(NamedTuple):
    """What one run says of a file. moment: when it was made, or first used."""

    run: str
    path: str
    entity: str
    moment: str


class Stitch:
    """Finds what ties runs: what a run used, and another run had made by then, where
    the checksums are equal.

    Of several that had, it is the one at the same path, else the last. Files without a byte,
    without a checksum or without a time are tied to nothing.
    """

    def __init__(self) -> None:
        self._made: dict[str, list[Data]] = {}
        self._used: dict[str, dict[str, Data]] = {}

    def of(self, run: Run) -> Outer:
        """What takes the files of a run."""
        directory = run.start.directory

        def told(
            path: str, sha256: str | None, made: bool, entity: str, moment: str | None
        ) -> None:
            if sha256 is None or sha256 == EMPTY or moment is None:
                return
            if "://" not in path:
                path = normpath(join(directory, path))
            data = Data(run.id, path, entity, moment)
            if made:
                self._made.setdefault(sha256, []).append(data)
            else:
                uses = self._used.setdefault(sha256, {})
                first = uses.get(entity)
                uses[entity] = data if first is None or moment < first.moment else first

        return Outer(told, deep=True)

    def ties(self) -> Iterator[tuple[str, Data, Data]]:
        """Checksum, use, and what had been made by then, of each use that there is one of."""
        for sha256, uses in self._used.items():
            for used in uses.values():
                before = [
                    made
                    for made in self._made.get(sha256, ())
                    if made.run != used.run and made.moment <= used.moment
                ]
                if before:
                    best = max(before, key=lambda data: (data.path == used.path, data.moment))
                    yield sha256, used, best

    def used(self) -> set[str]:
        """Checksums of what runs used and had not made themselves."""
        return set(self._used)
