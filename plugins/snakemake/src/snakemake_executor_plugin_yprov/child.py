"""In a Snakemake that another one spawned, here or on a node: what it sees of its jobs.

The engine's main process counts attempts and has the last word on them. The process that
executes one knows when, where, at what cost, and what was retried inside it.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from snakemake_interface_executor_plugins.settings import ExecMode

from snakemake_executor_plugin_yprov import plan
from snakemake_executor_plugin_yprov.jobs import describe_try
from snakemake_executor_plugin_yprov.session import JOIN, as_text, members, meter_snakemake
from yprov4wms import events
from yprov4wms.events import INNER_RETRY, Status
from yprov4wms.metering import SelfMeter, TaskMeter
from yprov4wms.plain import text
from yprov4wms.recorder import Recorder, now
from yprov4wms.settings import load
from yprov4wms.store import Store

_RUN, _TASK, _ATTEMPT = "YPROV_RUN_ID", "YPROV_TASK_ID", "YPROV_ATTEMPT"


def install() -> None:
    """Let the local executor record that this process will build.

    Called while Snakemake collects its plugins, before it takes in the local one.
    """
    from snakemake.executors import local

    original = local.Executor

    def new(cls: type, workflow: Any, logger: Any) -> Any:
        session = ChildSession.joining(workflow, os.environ)
        if session is None:
            return original(workflow, logger)

        from snakemake_executor_plugin_yprov.capture import instrumented

        # What the jobs start is no part of the engine.
        os.environ.pop(JOIN, None)
        return instrumented(original, session, main=True)(workflow, logger)

    names = {"__module__": original.__module__, "__new__": new}
    local.Executor = type(original.__name__, (original,), names)


class _Live:
    def __init__(self, task: str, attempt: int, meter: TaskMeter) -> None:
        self.task = task
        self.attempt = attempt
        self.meter = meter
        #: Of what runs inside this process.
        self.own: SelfMeter | None = None
        self.began: str | None = None
        self.finished: str | None = None
        self.error: str | None = None
        self.spawned = False


class ChildSession:
    """Has the hooks of `session.Session`; nothing in it raises.

    attempts: by task, the number of the attempt that this process was sent out for.
    """

    executor = "local"
    cancelling = False

    def __init__(self, recorder: Recorder, attempts: dict[str, int]) -> None:
        self._recorder = recorder
        self._attempts = attempts
        self._tries: dict[str, int] = {}
        self._live: dict[str, _Live] = {}
        self._host = platform.node()
        meter_snakemake()

    @classmethod
    def joining(cls, workflow: Any, environment: Mapping[str, str]) -> ChildSession | None:
        """The session of a spawned process whose run's folder can be reached from here."""
        mode = workflow.workflow_settings.exec_mode
        attempts = _attempts(environment.get(JOIN, ""))
        run_id, location = environment.get(_RUN), environment.get("YPROV_STORE")
        if mode is ExecMode.DEFAULT or not (attempts and run_id and location):
            return None
        if not workflow.local_exec:
            return None  # as a SLURM job step: the jobs are those of one that it starts in turn
        try:
            folder = Store(location).run(run_id)
            if not folder.remote and not Path(folder.location).is_dir():
                return None  # a node without the file system that the store is on
            from snakemake.logging import logger

            settings = load({"store": location, "hash": "none"})
            return cls(Recorder(settings, str(Path.cwd()), logger.warning, run_id), attempts)
        except Exception:
            return None

    def open(self) -> None:
        """The run is its main process's to open."""

    def selected(self, job: Any) -> None:
        with self._recorder.guard("recording the start of a job"):
            task = plan.task_id(self._recorder.run_id, job)
            if task not in self._attempts:
                return
            retry = self._tries[task] = self._tries.get(task, -1) + 1
            attempt = self._attempts[task] + retry * INNER_RETRY
            if retry:
                # Of what runs inside this process, which was told of its first attempt.
                os.environ[_ATTEMPT] = str(attempt)
            settings = self._recorder.settings
            meter = TaskMeter(
                {_TASK: task, _ATTEMPT: str(attempt)},
                sample_interval=settings.sample_interval,
                cpu_watts=settings.cpu_watts,
            )
            self._live[task] = _Live(task, attempt, meter)

    @contextmanager
    def executing(self, job: Any) -> Iterator[Callable[[], None]]:
        live = self._find(job)
        if live is None:
            yield lambda: None
            return
        with self._recorder.guard("recording the execution of a job", live.task, live.attempt):
            event = events.TaskExecuting(
                task=live.task, attempt=live.attempt, host=self._host, pid=os.getpid()
            )
            if live.attempt >= INNER_RETRY:
                # What depends on the attempt's number is another than at the first.
                describe_try(event, job)
            self._recorder.emit(event)
            if job.is_run or job.is_template_engine:
                settings = self._recorder.settings
                live.own = SelfMeter(
                    sample_interval=settings.sample_interval, cpu_watts=settings.cpu_watts
                )
        live.began = now()
        try:
            with live.meter.attached():
                yield lambda: None
        except BaseException as error:
            live.error = as_text(error)
            raise
        finally:
            live.finished = now()
            if live.own is not None:
                live.own.stop()

    def environment(self, job: Any) -> dict[str, str]:
        """Of a process that this one spawns in turn, which then is the one to tell."""
        with self._recorder.guard("telling a job who it is"):
            found = [live for one in members(job) if (live := self._find(one)) is not None]
            for live in found:
                live.spawned = True
            if found:
                joined = ",".join(f"{live.task}.{live.attempt}" for live in found)
                variables = {JOIN: joined}
                if not job.is_group():
                    variables |= {_TASK: found[0].task, _ATTEMPT: str(found[0].attempt)}
                return variables
        return {}

    def submitted(self, job: Any, external_id: str) -> None:
        """The local executor has no ids."""

    def reported(
        self, job: Any, message: Any, error: BaseException | None, group: str | None
    ) -> None:
        live = self._find(job)
        if live is not None and live.error is None:
            with self._recorder.guard("noting an error", live.task, live.attempt):
                live.error = text(str(message)) if message else as_text(error) if error else None

    def succeeded(self, job: Any) -> None:
        self._end(job, Status.COMPLETED, None)

    def failed(self, job: Any, error: BaseException | None) -> None:
        self._end(job, Status.FAILED, as_text(error) if error else None)

    def finish(self, error: BaseException | None) -> None:
        self._recorder.close()

    def _find(self, job: Any) -> _Live | None:
        with self._recorder.guard("finding a job"):
            return self._live.get(plan.task_id(self._recorder.run_id, job))
        return None

    def _end(self, job: Any, status: Status, error: str | None) -> None:
        live = self._find(job)
        if live is None:
            return
        with self._recorder.guard("recording the end of a job", live.task, live.attempt):
            del self._live[live.task]
            if live.spawned:
                return
            code = live.meter.exit_code
            usage = live.own.figures() if live.own is not None else live.meter.figures()
            self._recorder.emit(
                events.TaskExecuted(
                    task=live.task,
                    attempt=live.attempt,
                    status=status,
                    began=live.began,
                    finished=live.finished,
                    exit_code=code,
                    signal=-code if code is not None and code < 0 else None,
                    error=None if status is Status.COMPLETED else error or live.error,
                    processes=live.meter.processes or None,
                    usage=usage or None,
                    host=self._host,
                )
            )


def _attempts(joined: str) -> dict[str, int]:
    """``<task>.<attempt>``, with commas between them, as numbers by task; else nothing."""
    found = {}
    for part in joined.split(","):
        task, _, attempt = part.rpartition(".")
        if not task or not attempt.isdecimal():
            return {}
        found[task] = int(attempt)
    return found
