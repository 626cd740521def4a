"""Snakemake report plugin ``yprov``: the provenance of what lies there now.

It joins what Snakemake kept of each job with its present DAG, which has no jobs any more for
what lies upstream of a finished checkpoint's files.
"""

from __future__ import annotations

from dataclasses import make_dataclass
from pathlib import Path
from typing import Any

from snakemake_interface_common.exceptions import WorkflowError
from snakemake_interface_report_plugins.reporter import ReporterBase
from snakemake_interface_report_plugins.settings import ReportSettingsBase

from snakemake_executor_plugin_yprov import options
from snakemake_executor_plugin_yprov.options import RecorderOptions

__all__ = ["ReportSettings", "Reporter"]

ReportSettings = make_dataclass(
    "ReportSettings", options.FIELDS, bases=(RecorderOptions, ReportSettingsBase)
)


class Reporter(ReporterBase):  # type: ignore[misc]
    def render(self) -> None:
        """Raises WorkflowError where there is nothing to report, or no place for it."""
        from snakemake.logging import logger

        from snakemake_executor_plugin_yprov.finished import import_run
        from yprov4wms.export.document import export
        from yprov4wms.store import Store, StoreError

        given: Any = self.settings
        settings = options.load(given.given() if given is not None else {})
        try:
            run_id = import_run(str(Path.cwd()), settings.store, logger.warning, self.dag, settings)
            folder = Store(settings.store).run(run_id)
            export(folder, nest=settings.nest)
        except (ValueError, StoreError, OSError) as error:
            raise WorkflowError(f"yprov: {error}") from error
        logger.info(f"yprov: provenance is in {folder.document}")
