"""The recording layer over an executor class: what each of its hooks means to the record."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from typing import Any

from snakemake_interface_executor_plugins.registry import ExecutorPluginRegistry

from snakemake_executor_plugin_yprov.session import Session
from yprov4wms.settings import Settings

#: These build their command from the one that Snakemake formats, and expect it unchanged.
_NO_PREFIX = ("htcondor",)


def build(plugin: Any, workflow: Any, logger: Any, settings: Settings) -> Any:
    """An executor of the plugin's class that records into a new session."""
    session = Session(workflow, settings, plugin.name)
    executor = _instrumented(plugin.executor, session, main=True)(workflow, logger)
    # Only now: an executor that cannot be built leaves nothing behind in the registry.
    if not plugin.common_settings.local_exec:
        _instrument_next_local(session)
    return executor


def _instrument_next_local(session: Session) -> None:
    """Snakemake builds a second, local executor for the local rules of a remote run."""
    local = ExecutorPluginRegistry().get_plugin("local")
    original = local.executor

    def build_once(workflow: Any, logger: Any) -> Any:
        local.executor = original
        return _instrumented(original, session, main=False)(workflow, logger)

    local.executor = build_once


def _instrumented(base: type, session: Session, *, main: bool) -> Callable[[Any, Any], Any]:
    """The class with the hooks; not a wrapper, for executors call their own methods."""
    names = {"__module__": base.__module__, "_yprov": session, "_yprov_main": main}
    return type("Executor", (Capture, base), names)


class Capture:
    """Mixin in front of an executor class. Each hook leaves its work to the session, which
    never raises but in strict mode."""

    _yprov: Session
    _yprov_main: bool

    def run_job_pre(self, job: Any) -> None:
        super().run_job_pre(job)  # type: ignore[misc]
        for one in _members(job):
            self._yprov.selected(one)

    def cached_or_run(self, job: Any, run_func: Any, *args: Any) -> Any:
        """Runs in a worker thread of the local executor."""
        with self._yprov.executing(job) as ran:

            def run(*arguments: Any) -> Any:
                ran()
                return run_func(*arguments)

            return super().cached_or_run(job, run, *args)  # type: ignore[misc]

    def format_job_exec(self, job: Any) -> str:
        """The command of a job that Snakemake spawns, here or on a node."""
        command: str = super().format_job_exec(job)  # type: ignore[misc]
        if self._yprov.executor in _NO_PREFIX:
            return command
        variables = self._yprov.environment(job)
        exports = " ".join(f"{name}={shlex.quote(value)}" for name, value in variables.items())
        return f"export {exports}; {command}" if exports else command

    def report_job_submission(self, job_info: Any, *args: Any, **kwargs: Any) -> None:
        super().report_job_submission(job_info, *args, **kwargs)  # type: ignore[misc]
        if job_info.external_jobid is not None:
            for one in _members(job_info.job):
                self._yprov.submitted(one, str(job_info.external_jobid))

    def report_job_error(self, job_info: Any, msg: Any = None, **kwargs: Any) -> None:
        error = sys.exc_info()[1]
        for one in _members(job_info.job):
            self._yprov.reported(one, msg, error, job_info.job.is_group())
        super().report_job_error(job_info, msg, **kwargs)  # type: ignore[misc]

    def handle_job_success(self, job: Any) -> None:
        """Final: Snakemake has checked the outputs."""
        super().handle_job_success(job)  # type: ignore[misc]
        for one in _members(job):
            self._yprov.succeeded(one)

    def handle_job_error(self, job: Any) -> None:
        """Final for this attempt, failures of the checks after the job included."""
        error = sys.exc_info()[1]
        super().handle_job_error(job)  # type: ignore[misc]
        for one in _members(job):
            self._yprov.failed(one, error)

    def cancel(self) -> None:
        error = sys.exc_info()[1]
        self._yprov.cancelling = True
        super().cancel()  # type: ignore[misc]
        if self._yprov_main:
            self._yprov.finish(error)

    def shutdown(self) -> None:
        super().shutdown()  # type: ignore[misc]
        if self._yprov_main and not self._yprov.cancelling:
            self._yprov.finish(None)


def _members(job: Any) -> list[Any]:
    """A group's jobs, in an order that does not change; or the job alone."""
    if job.is_group():
        return sorted(job.jobs, key=lambda one: (one.rule.name, str(one.output)))
    return [job]
