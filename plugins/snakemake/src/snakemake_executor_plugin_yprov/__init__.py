"""Snakemake executor plugin ``yprov``: runs jobs as another executor does, and records the run.

Every Snakemake process imports this package, each cluster job's included, so that nothing
heavy is imported before an executor is built.
"""

from __future__ import annotations

import sys
from dataclasses import InitVar, field, fields, make_dataclass
from pathlib import Path
from typing import Any, Optional

from snakemake_interface_common.exceptions import WorkflowError
from snakemake_interface_executor_plugins.executors.base import AbstractExecutor
from snakemake_interface_executor_plugins.registry import ExecutorPluginRegistry
from snakemake_interface_executor_plugins.settings import CommonSettings, ExecutorSettingsBase

from yprov4wms import settings as core

__all__ = ["Executor", "ExecutorSettings", "common_settings"]

LOCAL = "local"


class _Settings(ExecutorSettingsBase):  # type: ignore[misc]
    """What `ExecutorSettings` adds to its fields.

    inner_settings: an instance of the inner plugin's own ``ExecutorSettings``, for use
    through Snakemake's API; on the command line they are given by their own options.
    """

    def __post_init__(self, inner_settings: ExecutorSettingsBase | None = None) -> None:
        self._inner_settings = inner_settings
        common_settings.inner_executor = self.inner_executor or LOCAL

    @property
    def inner(self) -> str:
        """The name of the executor plugin that runs the jobs."""
        return self.inner_executor or LOCAL

    @property
    def given_inner_settings(self) -> ExecutorSettingsBase | None:
        return self._inner_settings

    def load(self) -> core.Settings:
        """The recorder's settings; raises WorkflowError for a value that cannot be."""
        given = {option.name: getattr(self, option.name) for option in core.OPTIONS}
        given["strict"] = given["strict"] or None
        try:
            return core.load(given)
        except core.SettingError as error:
            raise WorkflowError(f"yprov: {error}") from None


def _option(option: core.Option) -> tuple[str, Any, Any]:
    metadata: dict[str, Any] = {"help": f"{option.help} (environment: {option.env})"}
    if option.name == "strict":
        return option.name, bool, field(default=False, metadata=metadata)
    if option.choices:
        metadata["choices"] = list(option.choices)
    # Snakemake knows Optional[str], and not str | None.
    return option.name, Optional[str], field(default=None, metadata=metadata)  # noqa: UP045


_INNER: tuple[str, Any, Any] = (
    "inner_executor",
    Optional[str],  # noqa: UP045
    field(
        default=None,
        metadata={
            "help": "Executor plugin that runs the jobs, with its own settings (default: local)."
        },
    ),
)

ExecutorSettings = make_dataclass(
    "ExecutorSettings",
    [
        _INNER,
        *(_option(option) for option in core.OPTIONS),
        ("inner_settings", InitVar[Any], field(default=None)),
    ],
    bases=(_Settings,),
)


class _InnerCommonSettings(CommonSettings):  # type: ignore[misc]
    """The common settings of the inner plugin, under whose rules the jobs run.

    Snakemake reads them before it builds the executor; by then ``ExecutorSettings`` has
    been made, on the command line, from a profile and through the API alike.
    """

    inner_executor = LOCAL

    def __getattribute__(self, name: str) -> Any:
        if name in _COMMON:
            inner = ExecutorPluginRegistry().get_plugin(self.inner_executor)
            return getattr(inner.common_settings, name)
        return super().__getattribute__(name)


_COMMON = frozenset(f.name for f in fields(CommonSettings))

common_settings = _InnerCommonSettings(
    non_local_exec=False, implies_no_shared_fs=False, job_deploy_sources=False
)


class Executor(AbstractExecutor):  # type: ignore[misc]
    """Stands for the inner executor: building one gives an instrumented inner executor."""

    def __new__(cls, workflow: Any, logger: Any) -> Any:
        settings = workflow.executor_settings
        if not isinstance(settings, ExecutorSettings):
            settings = ExecutorSettings()
        if settings.inner == "yprov":
            raise WorkflowError("yprov: --yprov-inner-executor cannot be yprov itself")
        registry = ExecutorPluginRegistry()
        plugin = registry.get_plugin(settings.inner)
        inner_settings = settings.given_inner_settings or _settings_from_command_line(plugin)
        if inner_settings is not None:
            plugin.validate_settings(inner_settings)
        loaded = settings.load()
        # The inner executor reads both, and is to find its own.
        workflow.executor_settings = inner_settings
        workflow._executor_plugin = plugin

        from snakemake_executor_plugin_yprov.capture import build

        return build(plugin, workflow, logger, loaded)

    def run_job(self, job: Any) -> None:
        raise AssertionError("never built")

    def shutdown(self) -> None:
        raise AssertionError("never built")

    def cancel(self) -> None:
        raise AssertionError("never built")

    def handle_job_success(self, job: Any) -> None:
        raise AssertionError("never built")

    def handle_job_error(self, job: Any) -> None:
        raise AssertionError("never built")


def _settings_from_command_line(plugin: Any) -> ExecutorSettingsBase | None:
    """The inner plugin's settings as the command line and profiles give them.

    Snakemake does not hand its arguments to executors; parsing them again does.
    """
    if plugin.settings_cls is None:
        return None
    if Path(sys.argv[0]).name not in ("snakemake", "__main__.py"):
        defaults: ExecutorSettingsBase = plugin.settings_cls()
        return defaults
    from snakemake.cli import parse_args

    _, args = parse_args(None)
    found: ExecutorSettingsBase = plugin.get_settings(args)
    return found
