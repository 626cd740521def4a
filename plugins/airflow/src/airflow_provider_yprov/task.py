"""What the process of a task instance tells of itself: it runs, how it ended, what it cost."""

from __future__ import annotations

import contextlib
import logging
import os
import platform
import socket
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from airflow_provider_yprov import assets, config, facts, ids
from airflow_provider_yprov.detached import start_detached
from airflow_provider_yprov.patience import Patience, StoreTimeoutError
from airflow_provider_yprov.workplace import Company, directory_of, watch_temporary
from yprov4wms import events, journal
from yprov4wms.events import File, Process, Status
from yprov4wms.identity import Identity
from yprov4wms.metering import SelfMeter
from yprov4wms.plain import plain
from yprov4wms.recorder import Recorder, now

log = logging.getLogger("airflow.task.yprov")

#: The folder that paths are relative to: none, for a run works in many.
_NOWHERE = os.devnull
#: Seconds that the reading of runs that other recorders left may take, where there are any: less
#: than Airflow gives a process after its task has succeeded.
_READING = 15.0
#: What left such runs ran for so many seconds.
_LEAST = 1.0
#: Bytes that a file with DAGs has at most for its checksum to be kept with each try.
_SMALL = 1 << 20


class TaskProcess:
    """One process of one try of a task instance; a deferred one has several, one by one."""

    def __init__(self, ti: Any, found: config.Config, *, began: bool = True) -> None:
        """began: false where the process was at work before this was told."""
        self._ti = ti
        self._config = found
        self._patience = Patience(found.patience)
        self._began = now() if began else None
        self._started = time.monotonic()
        self._directory: str | None = None
        self._company: Company | None = None
        self._unwatch: Callable[[], None] | None = None
        self._pid = os.getpid()
        self._told = False
        self._recorder: Recorder | None = None
        self._meter: SelfMeter | None = None
        self.task = ids.task_key(ti.task_id, ti.map_index)
        self.attempt = max(1, ti.try_number)
        self.run_id = ids.run_uuid(found.deployment, ti.dag_id, ti.run_id)
        self._identity = Identity(
            _NOWHERE, found.core.hash, found.core.hash_limit, cache_path=None, ignore=()
        )
        self._before: dict[str, str | None] = {}

    def begin(self) -> None:
        """Before the operator executes, and after its templates were rendered."""
        self._set_environment()
        core = self._config.core
        with _guarded("telling that the task runs"):
            ti = self._ti
            triggered_by = assets.consumed(ti, self._config.deployment)
            dag_file = self._dag_file()
            start = facts.run_started(
                facts.RunFacts(ti.dag_id, ti.run_id, "running"),
                None,
                _airflow_version(),
                software=facts.software(),
                files=triggered_by or None,
            )
            start.main_file = dag_file
            executing = events.TaskExecuting(
                task=self.task,
                attempt=self.attempt,
                host=socket.gethostname(),
                pid=self._pid,
                script=dag_file,
                inputs=assets.inlets(ti, triggered_by, self._identity) or None,
                parameters=_rendered(ti.task),
                directory=self._find_directory(),
                attributes=self._about(),
            )
            # What begins a run, or was begun by assets, tells of the run, too.
            first = not ti.task.upstream_task_ids and (ti.map_index or 0) <= 0
            told = [start, executing] if first or triggered_by else [executing]
            self._patience.run(lambda: self._tell_first(told))
            self._patience.rest()  # no thread of ours while the operator executes
        with _guarded("metering"):
            self._meter = SelfMeter(sample_interval=core.sample_interval, cpu_watts=core.cpu_watts)

    def ended(self, status: Status, error: object = None) -> None:
        """The operator is done, for better or worse."""
        if os.getpid() != self._pid:
            return  # a child that the task forked, and that leaves through Airflow's code
        self._told = True
        with _guarded("telling how the task ended"):
            usage = self._stop_meter()
            completed = status is Status.COMPLETED
            outputs = assets.outlets(self._ti, self._identity) if completed else None
            executed = events.TaskExecuted(
                task=self.task,
                attempt=self.attempt,
                status=status,
                error=_told(error) if status is Status.FAILED else None,
                outputs=outputs or None,
                results=self._returned() if completed else None,
                processes=self._process(),
                usage=usage,
            )
            self._in_time(lambda: self._tell_last(executed, children=True))
            self._look_around(outputs)
            self._in_time(lambda: self._open().close())
        with _guarded("telling which DAG run this task triggered"):
            self._triggered()

    def stop(self) -> None:
        """The process goes. Where nobody has said how the task ended, it will go on elsewhere."""
        if os.getpid() != self._pid:
            return
        if not self._told:
            with _guarded("telling that the task was suspended"):
                state = getattr(self._ti.state, "value", self._ti.state)
                suspended = events.TaskSuspended(
                    task=self.task,
                    attempt=self.attempt,
                    reason=str(state),
                    began=self._began,
                    processes=self._process(),
                    usage=self._stop_meter(),
                    host=socket.gethostname(),
                )
                self._in_time(lambda: self._tell_last(suspended, children=False))
                self._in_time(lambda: self._open().close())
        with _guarded("leaving where the task worked"):
            self._leave()
        self._stop_meter()
        self._restore_environment()
        self._patience.rest()

    def _triggered(self) -> None:
        """Of a TriggerDagRunOperator: the DAG run is nested in this try.

        It knows nothing of that itself: who began it is told here, in its record.
        """
        dag_id = getattr(self._ti.task, "trigger_dag_id", None)
        if not isinstance(dag_id, str) or not isinstance(self._ti.task, _trigger_operators()):
            return
        # Airflow leaves it when the run is there, and before it waits for it.
        run_id = self._ti.xcom_pull(
            task_ids=self._ti.task_id, map_indexes=self._ti.map_index, key="trigger_run_id"
        )
        if not isinstance(run_id, str):
            return
        found = self._config
        store = self._open().folder.location.rpartition("/")[0]
        start = facts.run_started(
            facts.RunFacts(dag_id, run_id, "queued"),
            None,
            _airflow_version(),
            parent=events.Parent(self.run_id, self.task, self.attempt, store),
        )

        def tell() -> None:
            recorder = Recorder(
                *(
                    found.core,
                    _NOWHERE,
                    log.warning,
                    ids.run_uuid(found.deployment, dag_id, run_id),
                ),
                remote=journal.LATER,
                identity=self._identity,
            )
            recorder.emit(start)
            recorder.announce(start)
            recorder.close()

        self._patience.run(tell)

    def _process(self) -> list[Process] | None:
        if self._began is None:
            return None
        return [Process(pid=self._pid, started=self._began, ended=now())]

    def _in_time(self, tell: Callable[[], None]) -> None:
        """What is on its way to a store that takes its time is sent by another process."""
        try:
            self._patience.run(tell)
        except StoreTimeoutError:
            if self._recorder is None or not self._recorder.folder.remote:
                raise
            log.info("yprov: the store takes its time; another process sends what it has not got")
            start_detached("sweep", self._config.core.store, self.run_id)

    def _open(self) -> Recorder:
        if self._recorder is None:
            self._recorder = Recorder(
                self._config.core,
                _NOWHERE,
                log.warning,
                run_id=self.run_id,
                remote=journal.LATER,
                identity=self._identity,
            )
        return self._recorder

    def _tell_first(self, told: Sequence[events.Event]) -> None:
        recorder = self._open()
        recorder.emit(*told)
        if self._directory is not None and recorder.recording:
            with recorder.guard("looking who else works here", self.task, self.attempt):
                marks = journal.spool_folder(f"{self._config.core.store}/at-work")
                self._company = Company(str(marks), self._directory)
                self._company.enter()

    def _tell_last(self, event: events.Event, children: bool) -> None:
        recorder = self._open()
        recorder.emit(event)
        # From an object store they are collected when the document is built.
        if children and not recorder.folder.remote:
            # What takes seconds is for the process that builds the document.
            recorder.collect_children(self.task, self.attempt, elsewhere=False)

    # -- runs that other recorders leave where the operator works -----------------------------

    def _find_directory(self) -> str | None:
        with _guarded("finding where the task works"):
            self._directory = directory_of(self._ti.task)
            if self._directory is None:
                self._unwatch = watch_temporary(self._left)
        return self._directory

    def _left(self, directory: str) -> None:
        """A folder that only the operator worked in is about to be deleted."""
        if os.getpid() == self._pid:
            with _guarded("looking for child runs"):
                self._find_children(None, directory, alone=True)

    def _look_around(self, outputs: list[File] | None) -> None:
        shared = not self._leave()
        long = time.monotonic() - self._started >= _LEAST
        search = self._directory is not None and self._began is not None and long
        if outputs or search:
            self._find_children(outputs, self._directory if search else None, shared=shared)

    def _find_children(
        self,
        outputs: list[File] | None,
        directory: str | None,
        shared: bool = False,
        alone: bool = False,
    ) -> None:
        """Raises StoreTimeoutError where there is more than can be read in time."""
        recorder = self._recorder
        if recorder is None:  # the store does not answer
            return
        reading = Patience(_READING)
        reading.run(
            lambda: recorder.find_children(
                *(self.task, self.attempt, outputs, directory is not None),
                *(self._began, shared, directory, alone),
            )
        )
        reading.rest()

    def _leave(self) -> bool:
        """Whether nobody else worked where the operator did, as far as is known."""
        unwatch, self._unwatch = self._unwatch, None
        if unwatch is not None:
            unwatch()
        company, self._company = self._company, None
        alone: list[bool] = []
        if company is not None:
            self._patience.run(lambda: alone.append(company.leave()))
        return alone == [True]

    def _stop_meter(self) -> dict[str, events.Figure] | None:
        meter, self._meter = self._meter, None
        return meter.stop() if meter is not None else None

    def _set_environment(self) -> None:
        with _guarded("setting the task's environment"):
            for name, value in ids.variables(self._ti, self.run_id).items():
                # What Airflow exports itself it leaves behind under ``dag.test()``.
                for key in (name, f"AIRFLOW_CTX_{name}"):
                    self._before[key] = os.environ.get(key)
                os.environ[name] = value

    def _restore_environment(self) -> None:
        for name, value in self._before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        self._before.clear()

    def _dag_file(self) -> File | None:
        path = getattr(self._ti.task.dag, "fileloc", None)
        return self._identity.identify(path, None, _SMALL) if path else None

    def _about(self) -> dict[str, Any]:
        ti, bundle = self._ti, getattr(self._ti, "bundle_instance", None)
        found = {
            "python": platform.python_version(),
            "task_instance_id": str(ti.id),
            "map_index": ti.map_index,
            "try_number": ti.try_number,
            "rendered_map_index": getattr(ti, "rendered_map_index", None),
            "operator_class": f"{type(ti.task).__module__}.{type(ti.task).__qualname__}",
            "bundle_name": getattr(bundle, "name", None),
            "bundle_version": getattr(bundle, "version", None),
            "bundle_path": _text(getattr(bundle, "path", None)),
        }
        return {name: value for name, value in found.items() if value is not None}

    def _returned(self) -> dict[str, Any] | None:
        """What the task returned, where that was asked for and is small enough."""
        limit = self._config.xcom_limit
        if not limit:
            return None
        import json

        value = self._ti.xcom_pull(
            task_ids=self._ti.task_id, map_indexes=self._ti.map_index, key="return_value"
        )
        if value is None:
            return None
        from airflow.sdk._shared.secrets_masker import redact

        value = plain(redact(value, "return_value"))
        size = len(json.dumps(value))
        if size > limit:
            return {"return_value": f"<{size} bytes of JSON: more than xcom_limit>"}
        return {"return_value": value}


def _rendered(task: Any) -> dict[str, Any] | None:
    """Template fields as rendered, as Airflow keeps them: cut, and with secrets masked."""
    from airflow.sdk._shared.secrets_masker import redact

    given = facts.parameters({name: getattr(task, name, None) for name in task.template_fields})
    return {
        name: plain(redact(_serialized(value, name), name)) for name, value in (given or {}).items()
    } or None


def _serialized(value: Any, name: str) -> Any:
    try:
        from airflow.sdk.execution_time.task_runner import _serialize_template_field
    except ImportError:  # private, and Airflow's to move
        return value
    return _serialize_template_field(value, name)


def _told(error: object) -> str | None:
    """With secrets masked as Airflow masks them in its logs."""
    from airflow.sdk._shared.secrets_masker import redact

    if error is None:
        return None
    text = str(redact(str(error)))
    if isinstance(error, BaseException):
        return f"{type(error).__name__}: {text}" if text else type(error).__name__
    return text


def _trigger_operators() -> tuple[type, ...]:
    """The class that triggers DAG runs, where the task's code has imported it."""
    module = sys.modules.get("airflow.providers.standard.operators.trigger_dagrun")
    return (module.TriggerDagRunOperator,) if module is not None else ()


def _text(value: object) -> str | None:
    return str(value) if value is not None else None


def _airflow_version() -> str | None:
    from airflow import __version__

    return __version__


@contextlib.contextmanager
def _guarded(what: str) -> Any:
    """One line in the task's log for a failure of ours; the task goes on."""
    try:
        yield
    except Exception as error:
        with contextlib.suppress(Exception):
            text = " ".join(f"{type(error).__name__}: {error}".split())
            log.warning("yprov: provenance is incomplete (%s: %s)", what, text)
