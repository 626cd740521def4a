"""What stands in a run's folder when it has ended: its document."""

from __future__ import annotations

from typing import TYPE_CHECKING

from yprov4wms.ml import document

if TYPE_CHECKING:
    from yprov4wms.ml.recorder import ActiveRun


def make(run: ActiveRun, wants_document: bool, **products: bool) -> None:
    """Raises OSError and StoreError."""
    if wants_document:
        document.write(run.folder)
