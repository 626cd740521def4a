"""The listener: thin hooks, none of which raises, waits, or changes anything of Airflow's."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable
from functools import wraps
from typing import Any

from airflow.listeners import hookimpl

from airflow_provider_yprov import config
from airflow_provider_yprov.dag_run import DagRuns
from airflow_provider_yprov.task import TaskProcess
from yprov4wms.events import Status

log = logging.getLogger(__name__)
#: The same warning is not given again for so many seconds: what is wrong is so in every hook.
QUIET = 600.0
#: What this process has warned of, and when.
_said: dict[str, float] = {}


def _guarded(hook: Callable[..., None]) -> Callable[..., None]:
    """Another listener's exception would hide ours from pluggy, and ours another's."""

    @wraps(hook)
    def guarded(*arguments: Any, **named: Any) -> None:
        try:
            if not config.load().disabled:
                hook(*arguments, **named)
        except Exception as error:
            with contextlib.suppress(Exception):
                text = " ".join(f"{type(error).__name__}: {error}".split())
                now = time.monotonic()
                if now - _said.get(text, -QUIET) >= QUIET:
                    _said[text] = now
                    log.warning("yprov: provenance is incomplete (%s: %s)", hook.__name__, text)

    return guarded


class Listener:
    """Of one process: the scheduler, the API server, or that of a task instance."""

    def __init__(self) -> None:
        self._runs = DagRuns()
        self._task: TaskProcess | None = None

    @hookimpl
    @_guarded
    def on_starting(self, component: Any) -> None:
        if type(component).__name__ == "Job" and component.job_type == "SchedulerJob":
            self._runs.look_around()

    @hookimpl(tryfirst=True)
    @_guarded
    def before_stopping(self, component: Any) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.stop()

    @hookimpl(tryfirst=True)
    @_guarded
    def on_task_instance_running(self, previous_state: Any, task_instance: Any) -> None:
        if not _is_row(task_instance):
            self._task = TaskProcess(task_instance, config.load())
            self._task.begin()

    @hookimpl(tryfirst=True)
    @_guarded
    def on_task_instance_success(self, previous_state: Any, task_instance: Any) -> None:
        self._ended(task_instance, previous_state, Status.COMPLETED, "success")

    @hookimpl(tryfirst=True)
    @_guarded
    def on_task_instance_failed(self, previous_state: Any, task_instance: Any, error: Any) -> None:
        self._ended(task_instance, previous_state, Status.FAILED, "failed", error)

    @hookimpl(tryfirst=True)
    @_guarded
    def on_task_instance_skipped(self, previous_state: Any, task_instance: Any) -> None:
        self._ended(task_instance, previous_state, Status.SKIPPED, "skipped")

    @hookimpl(tryfirst=True)
    @_guarded
    def on_dag_run_running(self, dag_run: Any, msg: str) -> None:
        self._runs.started(dag_run)

    @hookimpl(tryfirst=True)
    @_guarded
    def on_dag_run_success(self, dag_run: Any, msg: str) -> None:
        self._runs.ended(dag_run, msg)

    @hookimpl(tryfirst=True)
    @_guarded
    def on_dag_run_failed(self, dag_run: Any, msg: str) -> None:
        self._runs.ended(dag_run, msg)

    def _ended(self, ti: Any, previous: Any, status: Status, state: str, error: Any = None) -> None:
        if _is_row(ti):
            # The API server knows of no state before when a person sets one.
            self._runs.noted(ti, state, error, by_hand=previous is None)
            return
        if self._task is None:
            # Its start was not told: it failed while its templates were rendered.
            self._task = TaskProcess(ti, config.load())
        self._task.ended(status, error)


def _is_row(ti: Any) -> bool:
    """Whether it is one of the database's, which processes other than the task's own have."""
    return hasattr(ti, "_sa_instance_state")
