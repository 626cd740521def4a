"""One workflow's record: turns what Snakemake does into the core's events."""

from __future__ import annotations

import os
import platform
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from snakemake.exceptions import SpawnedJobError
from snakemake.settings.types import Quietness
from snakemake_interface_common.exceptions import WorkflowError

from snakemake_executor_plugin_yprov import facts
from snakemake_executor_plugin_yprov.jobs import Describer
from snakemake_executor_plugin_yprov.plan import Planner
from yprov4wms import events
from yprov4wms.events import WHOLE_GROUP, Status
from yprov4wms.metering import TaskMeter, energy, module_proxy
from yprov4wms.plain import text
from yprov4wms.recorder import Guard, Recorder, now
from yprov4wms.settings import DEFAULT_STORE, Settings
from yprov4wms.store import RunFolder

#: Names the attempts that a Snakemake which this one spawns is to tell of.
JOIN = "YPROV_JOIN"


def members(job: Any) -> list[Any]:
    """A group's jobs, in an order that does not change; or the job alone."""
    if job.is_group():
        return sorted(job.jobs, key=lambda one: (one.rule.name, str(one.output)))
    return [job]


class _Live:
    """An attempt between its start and its end."""

    def __init__(self, task: str, attempt: int, meter: TaskMeter) -> None:
        self.task = task
        self.attempt = attempt
        self.meter = meter
        self.began: str | None = None
        self.finished: str | None = None
        self.error: str | None = None
        self.ran = False
        #: The group that it failed with, by its fault or another's.
        self.group: str | None = None
        #: A Snakemake of its own runs it.
        self.spawned = False
        #: Another task ran at the time.
        self.accompanied = False

    def mark_ran(self) -> None:
        self.ran = True

    def lasted(self, least: float) -> bool:
        """Whether it ran for so many seconds; false where that is not known."""
        if self.began is None:
            return False
        took = datetime.now(UTC) - datetime.fromisoformat(self.began)
        return took.total_seconds() >= least


class Session:
    """Records one workflow. Created with its executor; opens the store at the first job."""

    def __init__(self, workflow: Any, settings: Settings, executor: str) -> None:
        self.executor = executor
        self.cancelling = False
        self._workflow = workflow
        self._settings = settings
        self._recorder: Recorder | None = None
        self._planner: Planner | None = None
        self._describer: Describer | None = None
        self._live: dict[str, _Live] = {}
        self._finished = False
        self._host = platform.node()
        self._watts = energy.watts(settings.cpu_watts)

    # -- hooks, in the order of a job's life ------------------------------------

    def open(self) -> None:
        """Begin the record, if that is still to be done.

        Raises WorkflowError in strict mode if the store cannot be written.
        """
        if self._recorder is None:
            self._start()

    def selected(self, job: Any) -> None:
        """The scheduler chose the job; its inputs are there. Main thread.

        Raises WorkflowError in strict mode if the store cannot be written.
        """
        self.open()
        with self._guard("recording the start of a job"):
            recorder, planner, describer = self._parts()
            task = planner.task(job)
            planner.refresh(recorder, job)
            planner.started(task)
            meter = TaskMeter(
                self._environment(task, job.attempt),
                sample_interval=self._settings.sample_interval,
                cpu_watts=self._watts,
            )
            self._live[task] = _Live(task, job.attempt, meter)
            recorder.emit(describer.started(job, task))

    @contextmanager
    def executing(self, job: Any) -> Iterator[Callable[[], None]]:
        """Around a local job, in its worker thread; what it yields says that the job ran."""
        live = self._find(job)
        if live is None:
            yield lambda: None
            return
        live.began = now()
        try:
            with live.meter.attached():
                yield live.mark_ran
        except BaseException as error:
            live.error = as_text(error)
            raise
        finally:
            live.finished = now()

    def environment(self, job: Any) -> dict[str, str]:
        """What a process that Snakemake spawns for the job is told."""
        with self._guard("telling a job who it is"):
            _, planner, _ = self._parts()
            tasks = [(planner.task(one), one.attempt) for one in members(job)]
            for task, _ in tasks:
                if task in self._live:
                    self._live[task].spawned = True
            variables = self._environment(*((None, None) if job.is_group() else tasks[0]))
            if variables:
                variables[JOIN] = ",".join(f"{task}.{attempt}" for task, attempt in tasks)
                variables |= self._settings.for_processes()
            return variables
        return {}

    def submitted(self, job: Any, external_id: str) -> None:
        """A scheduler has taken the job in."""
        live = self._find(job)
        if live is not None:
            with self._guard("recording the submission of a job", live):
                recorder, _, _ = self._parts()
                recorder.emit(
                    events.TaskSubmitted(
                        task=live.task, attempt=live.attempt, external_id=external_id
                    )
                )

    def reported(
        self, job: Any, message: Any, error: BaseException | None, group: str | None
    ) -> None:
        """The executor says that the job, or the group of this id, failed; any thread."""
        live = self._find(job)
        if live is not None and live.error is None:
            with self._guard("noting an error", live):
                found = str(message) if message else as_text(error) if error else None
                live.group = group
                if found is not None:
                    live.error = text(f"in its group: {found}" if group else found)

    def succeeded(self, job: Any) -> None:
        """The job is done and its outputs were checked. Main thread."""
        live = self._pop(job)
        if live is None or self._workflow.remote_execution_settings.immediate_submit:
            return  # with --immediate-submit this says that the job was submitted, no more
        with self._guard("recording the end of a job", live):
            cached = live.began is not None and not live.ran
            self._end(live, job, Status.CACHED if cached else Status.COMPLETED, None)
            if job.rule.is_checkpoint and self._planner is not None:
                self._planner.stale = True

    def failed(self, job: Any, error: BaseException | None) -> None:
        """This attempt is lost, by its own fault or by that of its outputs. Main thread."""
        live = self._pop(job)
        if live is not None:
            with self._guard("recording the failure of a job", live):
                self._end(live, job, Status.FAILED, as_text(error) if error else live.error)

    def finish(self, error: BaseException | None) -> None:
        """The scheduler is done; ``error`` is what ended it, if something did.

        Raises WorkflowError in strict mode if the recorder failed anywhere.
        """
        recorder = self._recorder
        if recorder is None or self._finished:
            return
        self._finished = True
        while self._live:
            _, live = self._live.popitem()
            with self._guard("recording a cancelled job", live):
                self._end(live, None, Status.CANCELLED, live.error)
        with self._guard("recording the last plan"):
            _, planner, _ = self._parts()
            planner.refresh(recorder)
        with self._guard("closing the record"):
            recorder.finish(*self._outcome(error))
        if recorder.recording:
            self._document(recorder)
        recorder.close()
        if self._settings.strict and recorder.failures:
            raise WorkflowError(f"yprov: {recorder.failures} failures of the recorder (strict)")

    # -- inside -----------------------------------------------------------------

    def _start(self) -> None:
        """Open the store and record the run's start and plan; raises only in strict mode."""
        from snakemake.logging import logger

        directory = str(Path.cwd())
        output_settings = self._workflow.output_settings
        secrets = list(getattr(self._workflow, "envvars", ()))
        recorder = self._recorder = Recorder(
            self._settings,
            directory,
            # Where Snakemake is to say nothing it hides warnings, too.
            _tell if Quietness.ALL in (output_settings.quiet or ()) else logger.warning,
            secret_names=facts.secret_names(secrets),
            ignore=[".snakemake_timestamp"],
        )
        if not recorder.recording and self._settings.strict:
            raise WorkflowError("yprov: the store cannot be written (strict)")
        with recorder.guard("recording the start of the run"):
            self._describer = Describer(recorder, directory, self._workflow)
            self._planner = Planner(self._workflow, recorder.run_id, self._describer)
            meter_snakemake()
            start = facts.run_started(
                self._workflow, recorder, directory, self.executor, self._host
            )
            recorder.emit(start)
            recorder.announce(start)
            self._planner.stale = True
            self._planner.refresh(recorder)

    def _parts(self) -> tuple[Recorder, Planner, Describer]:
        """Raises RuntimeError if the run's start could not be recorded."""
        if self._recorder is None or self._planner is None or self._describer is None:
            raise RuntimeError("the run's start was not recorded")
        return self._recorder, self._planner, self._describer

    def _end(self, live: _Live, job: Any, status: Status, error: str | None) -> None:
        recorder, _, describer = self._parts()
        outputs = None
        if job is not None:
            with recorder.guard("describing outputs", live.task, live.attempt):
                outputs = describer.outputs(job, live.task, live.attempt, status)
        retries = job.rule.restart_times or 0 if job is not None and live.spawned else 0
        others = list(self._live.values())
        for other in others:
            other.accompanied = True
        recorder.collect_children(
            live.task,
            live.attempt,
            retries,
            outputs,
            # What has ML runs takes longer than to look for them.
            search=live.lasted(1.0),
            began=live.began,
            shared=live.accompanied or bool(others),
        )
        code = live.meter.exit_code
        recorder.emit(
            events.TaskEnded(
                task=live.task,
                attempt=live.attempt,
                status=status,
                began=live.began,
                finished=live.finished,
                exit_code=code,
                signal=-code if code is not None and code < 0 else None,
                error=error,
                outputs=outputs,
                attributes={WHOLE_GROUP: live.group} if live.group else None,
                processes=live.meter.processes or None,
                usage=live.meter.figures() or None,
                host=self._host if live.began else None,
            )
        )
        recorder.flush()

    def _outcome(self, error: BaseException | None) -> tuple[Status, str | None]:
        if isinstance(error, KeyboardInterrupt | SystemExit):
            return Status.CANCELLED, type(error).__name__
        if error is not None:
            return Status.FAILED, as_text(error)
        scheduler = self._workflow.scheduler
        if scheduler._user_kill:
            return Status.CANCELLED, "terminated"
        if scheduler._executor_error is not None:
            return Status.FAILED, text(str(scheduler._executor_error))
        return (Status.FAILED if scheduler._errors else Status.COMPLETED), None

    def _document(self, recorder: Recorder) -> None:
        folder = recorder.folder
        told = f"recorded run {folder.run_id}"
        if self._settings.export != "never":
            with recorder.guard("building the document"):
                from yprov4wms.export.document import export

                export(folder, nest=self._settings.nest)
                kind = "incomplete provenance" if recorder.failures else "provenance"
                told = f"{kind} is in {folder.document}"
        told += f"; look at it: {self._show(folder)}"
        if not folder.remote and not Path(folder.location).is_dir():
            told = f"the record of run {folder.run_id} was removed while it was written"
        _tell(f"yprov: {told}")

    def _show(self, folder: RunFolder) -> str:
        """The command that shows the run, as it is typed where Snakemake was started."""
        store, workflow = folder.location.rpartition("/")[0], self._workflow
        # Under --directory this is not where Snakemake was started.
        default = None if workflow.overwrite_workdir else f"{workflow.workdir_init}/{DEFAULT_STORE}"
        if store == default and not os.environ.get("YPROV_STORE"):
            return f"yprov4wms show {folder.run_id}"
        return f"yprov4wms show --store {shlex.quote(store)} {folder.run_id}"

    def _environment(self, task: str | None, attempt: int | None) -> dict[str, str]:
        assert self._recorder is not None
        if not self._recorder.recording:
            return {}
        location = self._recorder.folder.location
        variables = {
            "YPROV_RUN_ID": self._recorder.run_id,
            "YPROV_STORE": location[: location.rindex("/")],
        }
        # Where a run is around this one, its task is in the environment, and is none of these.
        told = (task, str(attempt)) if task is not None else ("", "")
        return variables | dict(zip(("YPROV_TASK_ID", "YPROV_ATTEMPT"), told, strict=True))

    def _find(self, job: Any) -> _Live | None:
        with self._guard("finding a job"):
            return self._live.get(self._planner.task(job)) if self._planner else None
        return None

    def _pop(self, job: Any) -> _Live | None:
        with self._guard("finding a job"):
            return self._live.pop(self._planner.task(job), None) if self._planner else None
        return None

    def _guard(self, where: str, live: _Live | None = None) -> Guard | suppress:
        """Whatever is raised inside is a warning, and the workflow goes on."""
        if self._recorder is None:
            return suppress(Exception)
        task, attempt = (live.task, live.attempt) if live else (None, None)
        return self._recorder.guard(where, task, attempt)


def _tell(line: str) -> None:
    with suppress(OSError):  # whoever read stderr is gone
        print(line, file=sys.stderr)


def as_text(error: BaseException) -> str:
    if isinstance(error, SpawnedJobError):
        return "SpawnedJobError: the job's own process tells on stderr what went wrong"
    return text(str(error) or type(error).__name__)


def meter_snakemake() -> None:
    """Meter what Snakemake starts for jobs: both modules call ``subprocess`` by a global."""
    from snakemake.executors import local

    # ``snakemake.shell`` is a class of this name; the module is behind it.
    shell: Any = sys.modules["snakemake.shell"]
    if not isinstance(shell.sp, type(sys)) or shell.sp.Popen.__module__ == "subprocess":
        shell.sp = module_proxy(shell.sp)
    if local.subprocess.Popen.__module__ == "subprocess":
        local.subprocess = module_proxy(local.subprocess)
