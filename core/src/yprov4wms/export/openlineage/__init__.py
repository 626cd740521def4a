"""A workflow run as OpenLineage events (spec 2-0-2): runs, jobs, datasets and their facets."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from operator import itemgetter
from typing import BinaryIO

import msgspec

from yprov4wms.export.document import whole
from yprov4wms.export.openlineage.around import around
from yprov4wms.export.openlineage.events import Event, Lineage
from yprov4wms.run import Run
from yprov4wms.store import RunFolder

FORMAT = "openlineage"

_encode = msgspec.json.Encoder().encode


class Lineages:
    """The events of several runs, in the order of their times.

    untimed: as `Lineage` has it, of all of them.
    """

    def __init__(self, parts: list[Lineage]) -> None:
        self._parts = parts

    def __iter__(self) -> Iterator[Event]:
        return heapq.merge(*self._parts, key=itemgetter("eventTime"))

    @property
    def untimed(self) -> int:
        return sum(part.untimed for part in self._parts)


def lineage(run: Run, folder: RunFolder, namespace: str | None = None) -> Lineages:
    """The events of the run that was read from ``folder``, and of the runs inside it.

    namespace: of the jobs, by default the name of each one's engine.
    """
    return Lineages(
        [
            Lineage(
                *(one.run, one.read_child, one.extra_children),
                *(around(one.run, one.folder, namespace), namespace),
            )
            for one in whole(run, folder).every()
        ]
    )


def write(events: Lineages, file: BinaryIO) -> None:
    """One JSON object per line; the same record gives the same bytes."""
    for event in events:
        file.write(_encode(event) + b"\n")
