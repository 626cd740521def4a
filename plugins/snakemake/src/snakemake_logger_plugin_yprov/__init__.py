"""Snakemake logger plugin ``yprov``: records the run of any executor, whose options stay its own.

Of what Snakemake logs it needs nothing: it sees to it that the executors that Snakemake
builds for this workflow record, as those of ``--executor yprov`` do.
"""

from __future__ import annotations

import logging
from dataclasses import make_dataclass
from typing import Any

from snakemake_interface_executor_plugins.registry import ExecutorPluginRegistry
from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.settings import LogHandlerSettingsBase

from snakemake_executor_plugin_yprov import options
from snakemake_executor_plugin_yprov.options import RecorderOptions

__all__ = ["LogHandler", "LogHandlerSettings"]

#: These run no jobs; ours records by itself.
_NOT_RECORDED = ("dryrun", "touch", "yprov")

LogHandlerSettings = make_dataclass(
    "LogHandlerSettings", options.FIELDS, bases=(RecorderOptions, LogHandlerSettingsBase)
)


class LogHandler(LogHandlerBase):
    """Made before the executors are, and asked for its settings by `options.of_logger`."""

    writes_to_stream = False
    writes_to_file = False
    has_filter = True
    has_formatter = True
    needs_rulegraph = False

    def __post_init__(self) -> None:
        """Raises ApiError for a setting that cannot be."""
        settings: Any = self.settings
        options.load(settings.given())

        from snakemake_executor_plugin_yprov import capture

        for name, plugin in ExecutorPluginRegistry().plugins.items():
            if name not in _NOT_RECORDED:
                capture.install(plugin)

    def emit(self, record: logging.LogRecord) -> None:
        """Nothing: no event says more than the executors see."""
