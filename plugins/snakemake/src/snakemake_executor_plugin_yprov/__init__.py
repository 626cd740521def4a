"""Snakemake executor plugin ``yprov``: runs jobs as another executor does, and records the run.

Every Snakemake process imports this package, each cluster job's included, so that nothing
heavy is imported before an executor is built.
"""

from __future__ import annotations

import os
import sys
from dataclasses import InitVar, field, fields, make_dataclass
from types import FrameType
from typing import Any, Optional

from snakemake_interface_common.exceptions import ApiError
from snakemake_interface_executor_plugins.executors.base import AbstractExecutor
from snakemake_interface_executor_plugins.registry import ExecutorPluginRegistry
from snakemake_interface_executor_plugins.settings import CommonSettings, ExecutorSettingsBase

from snakemake_executor_plugin_yprov import options
from snakemake_executor_plugin_yprov.options import RecorderOptions

__all__ = ["Executor", "ExecutorSettings", "common_settings"]

LOCAL = "local"

#: Executors that run no jobs, so that there is nothing to record, and this one itself.
_NOT_INNER = {
    "dryrun": "for a dry run use --dry-run",
    "touch": "to touch files use --touch",
    "yprov": "name the one that is to run the jobs",
}


class _Settings(RecorderOptions, ExecutorSettingsBase):  # type: ignore[misc]
    """What `ExecutorSettings` adds to its fields.

    inner_settings: an instance of the inner plugin's own ``ExecutorSettings``, for use
    through Snakemake's API; on the command line they are given by their own options.
    """

    def __post_init__(self, inner_settings: ExecutorSettingsBase | None = None) -> None:
        self._inner_settings = inner_settings
        if _command_line() is not None:
            # It asks for the common settings before it validates these.
            common_settings.inner_executor = self.inner_executor

    @property
    def given_inner_settings(self) -> ExecutorSettingsBase | None:
        return self._inner_settings


class _InnerExecutor:
    """The field ``inner_executor``; reading it tells `common_settings` whose they are.

    Snakemake's API validates settings, and so reads the required ones, just before it asks
    for the common settings: these are then right for settings made long before, or used
    twice.
    """

    def __get__(self, settings: Any, owner: type | None = None) -> Any:
        if settings is None:
            return self
        name: str = settings.__dict__["inner_executor"]
        common_settings.inner_executor = name
        return name

    def __set__(self, settings: Any, name: str | None) -> None:
        """Raises ApiError for an executor that cannot be inside this one."""
        name = name or LOCAL
        if name in _NOT_INNER:
            raise ApiError(f"yprov: the inner executor cannot be {name}: {_NOT_INNER[name]}")
        settings.__dict__["inner_executor"] = name


_INNER: tuple[str, Any, Any] = (
    "inner_executor",
    Optional[str],  # noqa: UP045
    field(
        default=None,
        metadata={
            "help": "Executor plugin that runs the jobs, with its own settings (default: local).",
            "required": True,
        },
    ),
)

ExecutorSettings = make_dataclass(
    "ExecutorSettings",
    [
        _INNER,
        *options.FIELDS,
        ("inner_settings", InitVar[Any], field(default=None)),
    ],
    bases=(_Settings,),
)
ExecutorSettings.inner_executor = _InnerExecutor()  # type: ignore[attr-defined]


class _InnerCommonSettings(CommonSettings):  # type: ignore[misc]
    """The common settings of the inner plugin, under whose rules the jobs run.

    Snakemake reads them before it builds the executor.
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
        if settings is None:
            settings = ExecutorSettings()
        if not isinstance(settings, _Settings):
            found = f"{type(settings).__module__}.{type(settings).__qualname__}"
            raise ApiError(f"yprov: executor_settings are of another executor ({found})")
        plugin = ExecutorPluginRegistry().get_plugin(settings.inner_executor)
        # A later run in this process may give no settings.
        common_settings.inner_executor = LOCAL
        inner_settings = settings.given_inner_settings or _settings_from_command_line(plugin)
        if inner_settings is not None:
            plugin.validate_settings(inner_settings)
        given = (options.of_logger(workflow) or {}) | settings.given()
        loaded = options.load(given)
        # The inner executor reads both, and is to find its own.
        workflow.executor_settings = inner_settings
        workflow._executor_plugin = plugin

        from snakemake_executor_plugin_yprov import capture

        return capture.build(plugin, workflow, logger, loaded)

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
    """The inner plugin's settings as the command line and profiles give them, if any do."""
    if plugin.settings_cls is None:
        return None
    arguments = _command_line()
    found: ExecutorSettingsBase = (
        plugin.settings_cls() if arguments is None else plugin.get_settings(arguments)
    )
    return found


def _command_line() -> Any:
    """Snakemake's parsed arguments; None where its API was called by someone else.

    Snakemake does not hand them on, and parsing again would look for profiles in the
    working directory that it has changed to meanwhile: they are taken from the function
    that turns them into calls of the API.
    """
    cli = sys.modules.get("snakemake.cli")
    if cli is None:
        return None
    frame: FrameType | None = sys._getframe()
    while frame is not None and frame.f_code is not cli.args_to_api.__code__:
        frame = frame.f_back
    return frame.f_locals["args"] if frame is not None else None


if os.environ.get("YPROV_JOIN"):
    # This is a Snakemake that another one spawned for a job.
    from snakemake_executor_plugin_yprov.child import install

    install()
