"""The recording layer over an executor class: what each of its hooks means to the record."""

from __future__ import annotations

import logging
import shlex
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from snakemake_interface_executor_plugins.registry import ExecutorPluginRegistry

from snakemake_executor_plugin_yprov import options
from snakemake_executor_plugin_yprov.options import RecorderOptions
from snakemake_executor_plugin_yprov.session import Session, members
from yprov4wms.settings import Settings

if TYPE_CHECKING:
    from snakemake_executor_plugin_yprov.child import ChildSession

#: These build their command from the one that Snakemake formats, and expect it unchanged.
_NO_PREFIX = ("htcondor",)


def build(plugin: Any, workflow: Any, logger: Any, settings: Settings) -> Any:
    """An executor of the plugin's class that records, into a session that the workflow keeps."""
    base = getattr(plugin.executor, "_yprov_original", plugin.executor)
    session = getattr(workflow, _SESSION, None)
    main = session is None
    if session is None:
        session = Session(workflow, settings, plugin.name)
    executor = instrumented(base, session, main=main)(workflow, logger)
    setattr(workflow, _SESSION, session)
    if main:
        _spare_events(workflow.logger_manager)
    if main and not plugin.common_settings.local_exec:
        # Snakemake builds a second, local executor for the local rules of a remote run.
        install(ExecutorPluginRegistry().get_plugin("local"))
    return executor


def _spare_events(manager: Any) -> None:
    """Where ours is the only log handler of a plugin, nothing needs to go to plugins.

    Snakemake formats, copies and queues a dozen events per job for them.
    """
    handlers = manager.get_log_handlers()
    if handlers and all(isinstance(handler.settings, RecorderOptions) for handler in handlers):
        for handler in manager.logger.handlers:
            if getattr(handler, "queue", None) is manager.queue_listener.queue:
                handler.setLevel(logging.CRITICAL + 1)


#: The attribute of a workflow that is being recorded.
_SESSION = "_yprov_session"


def install(plugin: Any) -> None:
    """Let the executors record that are built of a plugin in Snakemake's registry.

    The class in the plugin's place builds executors that record for workflows that are
    recorded already or have the logger plugin, and for others those of the original class.
    """
    original = plugin.executor
    if hasattr(original, "_yprov_original"):
        return

    def new(cls: type, workflow: Any, logger: Any) -> Any:
        given = options.of_logger(workflow)
        if given is None and not hasattr(workflow, _SESSION):
            return original(workflow, logger)
        return build(plugin, workflow, logger, options.load(given or {}))

    # What it gives is no instance of this class, so that nothing is initialised twice.
    names = {"__module__": original.__module__, "__new__": new, "_yprov_original": original}
    plugin.executor = type(original.__name__, (original,), names)


def instrumented(
    base: type, session: Session | ChildSession, *, main: bool
) -> Callable[[Any, Any], Any]:
    """The class with the hooks; not a wrapper, for executors call their own methods."""
    names = {"__module__": base.__module__, "_yprov": session, "_yprov_main": main}
    return type("Executor", (Capture, base), names)


class Capture:
    """Mixin in front of an executor class. Each hook leaves its work to the session, which
    never raises but in strict mode."""

    _yprov: Session | ChildSession
    _yprov_main: bool

    def run_job_pre(self, job: Any) -> None:
        try:
            super().run_job_pre(job)  # type: ignore[misc]
        except BaseException:
            # A command that cannot be formatted ends the run, before its first job even.
            self._yprov.open()
            raise
        for one in members(job):
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
            for one in members(job_info.job):
                self._yprov.submitted(one, str(job_info.external_jobid))

    def report_job_error(self, job_info: Any, msg: Any = None, **kwargs: Any) -> None:
        error = sys.exc_info()[1]
        job = job_info.job
        for one in members(job):
            self._yprov.reported(one, msg, error, str(job.jobid) if job.is_group() else None)
        super().report_job_error(job_info, msg, **kwargs)  # type: ignore[misc]

    def handle_job_success(self, job: Any) -> None:
        """Final: Snakemake has checked the outputs."""
        super().handle_job_success(job)  # type: ignore[misc]
        for one in members(job):
            self._yprov.succeeded(one)

    def handle_job_error(self, job: Any) -> None:
        """Final for this attempt, failures of the checks after the job included."""
        error = sys.exc_info()[1]
        super().handle_job_error(job)  # type: ignore[misc]
        for one in members(job):
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
