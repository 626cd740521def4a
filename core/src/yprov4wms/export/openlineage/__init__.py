"""A workflow run as OpenLineage events (spec 2-0-2): runs, jobs, datasets and their facets."""

from __future__ import annotations

from typing import BinaryIO

import msgspec

from yprov4wms.export.document import child_documents
from yprov4wms.export.openlineage.around import around
from yprov4wms.export.openlineage.events import Lineage
from yprov4wms.run import Run
from yprov4wms.store import RunFolder

FORMAT = "openlineage"

_encode = msgspec.json.Encoder().encode


def lineage(run: Run, folder: RunFolder, namespace: str | None = None) -> Lineage:
    """The events of the run that was read from ``folder``.

    namespace: of its jobs, by default the engine's name.
    """
    read_child, extra = child_documents(run, folder)
    return Lineage(run, read_child, extra, around(run, folder, namespace), namespace)


def write(events: Lineage, file: BinaryIO) -> None:
    """One JSON object per line; the same record gives the same bytes."""
    for event in events:
        file.write(_encode(event) + b"\n")
