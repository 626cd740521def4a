"""The ML run that this process records: what a script calls, and when the run ends.

Wrong use raises. A failure of recording is one warning, and the training goes on; with
``YPROV_STRICT`` it raises when the run ends.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from yprov4wms.masking import Masker, declared_from_environment
from yprov4wms.ml import _checks, _surroundings
from yprov4wms.ml._lifetime import CANCELLED, COMPLETED, FAILED, Guard, Outcome, outcome
from yprov4wms.ml._log import EventLog, RecordingWarning, warn
from yprov4wms.ml._system import Sample, SystemProbe
from yprov4wms.ml.metrics import Series, SeriesFiles
from yprov4wms.store import RunFolder, new_run_id

__all__ = ["ActiveRun", "RecordingError", "RecordingWarning", "active", "start"]

STATUSES = (COMPLETED, FAILED, CANCELLED)


class RecordingError(RuntimeError):
    """Raised at the end of a run under ``YPROV_STRICT`` where its record is incomplete."""


class ActiveRun:
    """An ML run of this process, made by `start`. Its methods may be called from any thread.

    id: of the run, a UUIDv7. folder: where its record lies.
    """

    def __init__(
        self,
        experiment: str,
        name: str | None,
        store: str | os.PathLike[str] | None,
        attributes: Mapping[str, Any],
    ) -> None:
        self.id = new_run_id()
        self._title = f"{experiment}/{name}" if name else experiment
        self._settings, problems = _surroundings.settings()
        names = (self._settings.secrets or "").replace(",", " ").split()
        self._log = EventLog(self.id, self._title, Masker(declared_from_environment(names)))
        self._lock = self._log.lock
        #: None while the run goes on, then why it takes nothing more.
        self._closed: str | None = None
        self._series: dict[tuple[str | None, str | None, str], Series] = {}
        # By id: to hold the exception would hold all that its frames do.
        self._handled_before = id(sys.exception())
        self._guard = Guard(self._finish)
        parent = _surroundings.parent()
        self.folder = RunFolder("")
        with self._log.guarded("opening the store"):
            self.folder = _surroundings.folder(parent, store, self._settings.store, self.id)
            self._log.open(self.folder.events)
        self.recording = self._log.is_open
        self._files = SeriesFiles(self.folder.location)
        event = {"kind": "ml-run-started", "experiment": experiment}
        event |= _known(name=name, parent=parent, attributes=dict(attributes) or None)
        self._log.write(None, event | _surroundings.process(self._settings))
        for problem in problems:
            self._log.failed("reading a setting", problem)
        self._probe = SystemProbe()
        self._guard.install()

    def __repr__(self) -> str:
        return f"<ML run {self._title} ({self.id})>"

    @property
    def active(self) -> bool:
        """True in the process that started it, until its end."""
        return self._closed is None

    @property
    def ended(self) -> bool:
        return self._closed == "ended"

    # -- what a script logs ------------------------------------------------------

    def log_param(self, name: str, value: Any, context: str | None = None) -> None:
        """See `yprov4wms.ml.log_param`."""
        event = {"kind": "ml-param", "name": _checks.name("parameter", name), "value": value}
        self._write(context, event)

    def log_metric(
        self,
        name: str,
        value: Any,
        context: str | None = None,
        step: int | None = None,
        source: str | None = None,
    ) -> None:
        """See `yprov4wms.ml.log_metric`."""
        if type(value) is not float:
            value = _checks.number(name, value)
        if step is not None and type(step) is not int:
            step = _checks.step(step)
        if type(name) is not str or not name:
            name = _checks.name("metric", name)
        if context is not None and (type(context) is not str or not context):
            context = _checks.name("context", context)
        if source is not None and (type(source) is not str or not source):
            source = _checks.name("source", source)
        self._value(name, value, context, step, source)

    def log_artifact(
        self,
        name: str,
        path: str | os.PathLike[str],
        context: str | None = None,
        is_input: bool = False,
    ) -> None:
        """See `yprov4wms.ml.log_artifact`."""
        event: dict[str, Any] = {"kind": "ml-artifact", "name": _checks.name("artifact", name)}
        if self._takes():
            file = self._describe(f"artifact {name!r}", path, is_input)
            self._write(context, event | {"file": file, "input": bool(is_input)})

    def log_model(
        self,
        name: str,
        model_or_path: Any,
        context: str | None = None,
        *,
        path: str | os.PathLike[str] | None = None,
    ) -> None:
        """See `yprov4wms.ml.log_model`."""
        event: dict[str, Any] = {"kind": "ml-model", "name": _checks.name("model", name)}
        if model_or_path is None:
            raise TypeError(f"model {name!r} is None: give a model or the path of its file")
        if isinstance(model_or_path, str | os.PathLike):
            if path is not None:
                raise TypeError(f"model {name!r}: give a path once, or a model and its path")
            path, model_or_path = model_or_path, None
        if not self._takes():
            return
        if model_or_path is not None:
            from yprov4wms.ml import _objects

            event |= _objects.model(model_or_path)
        if path is not None:
            event["file"] = self._describe(f"model {name!r}", path, False)
        self._write(context, event)

    def log_dataset(
        self,
        name: str,
        dataset_or_path: Any,
        context: str | None = None,
        is_input: bool = True,
    ) -> None:
        """See `yprov4wms.ml.log_dataset`."""
        event: dict[str, Any] = {"kind": "ml-dataset", "name": _checks.name("dataset", name)}
        if dataset_or_path is None:
            raise TypeError(f"dataset {name!r} is None: give a dataset or the path of its file")
        if not self._takes():
            return
        if isinstance(dataset_or_path, str | os.PathLike):
            event["file"] = self._describe(f"dataset {name!r}", dataset_or_path, is_input)
        else:
            from yprov4wms.ml import _objects

            event |= _objects.dataset(dataset_or_path, hashed=self._settings.hash != "none")
        if not is_input:
            event["input"] = False
        self._write(context, event)

    def log_system_metrics(self, context: str | None = None, step: int | None = None) -> None:
        """See `yprov4wms.ml.log_system_metrics`."""
        context = _checks.optional_name("context", context)
        step = None if step is None else _checks.step(step)
        if not self._takes():
            return
        samples: list[Sample] = []
        with self._lock, self._log.guarded("reading system metrics"):
            samples = self._probe.sample()
        for sample in samples:
            self._value(sample.name, sample.value, context, step, sample.source, sample.unit)

    # -- the end -----------------------------------------------------------------

    def end(self, status: str | None = None) -> None:
        """See `yprov4wms.ml.end_run`."""
        if status is not None and status not in STATUSES:
            raise ValueError(f"status {status!r} is not one of {', '.join(STATUSES)}")
        error = sys.exception()
        found = outcome(None if id(error) == self._handled_before else error)
        if status is not None:
            found = Outcome(str(status), None if status == COMPLETED else found.error)
        if self._takes():
            self._finish(found)
            self._check_strict()

    def __enter__(self) -> ActiveRun:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._closed is None:
            self._finish(outcome(error))
            if error is None:
                self._check_strict()

    def forked(self) -> None:
        """This process is a forked child of the one that records: it leaves the run alone."""
        if self._closed is None:
            self._closed = "forked"
            self._guard.remove()

    def _finish(self, found: Outcome) -> None:
        with self._lock:
            if self._closed is not None:
                return
            with self._log.guarded("storing metrics"):
                self._files.close()
            self._log.close({"kind": "ml-run-ended", **_known(**found._asdict())})
            self._closed = "ended"
            self._guard.remove()
        if self.recording and self._settings.export != "never":
            with self._log.guarded("building the document"):
                from yprov4wms.ml import document

                document.write(self.folder)

    def _check_strict(self) -> None:
        if self._log.failures and self._settings.strict:
            raise RecordingError(f"the record of ML run {self._title} is incomplete ({self.id})")

    # -- below -------------------------------------------------------------------

    def _takes(self) -> bool:
        """Whether to log; raises RuntimeError after the end.

        To be asked before the lock is taken: in a forked child it may be held for ever, by
        a thread that the child has not got.
        """
        if self._closed is None:
            if self._guard.dying is not None:
                self._guard.alive()
            return True
        if self._closed == "ended":
            raise RuntimeError(f"ML run {self._title} ({self.id}) has ended")
        if self._closed == "forked":
            self._closed = "forked, and told"
            warn(
                f"ML run {self._title} belongs to the parent process: "
                "what a forked child logs is not recorded"
            )
        return False

    def _write(self, context: str | None, event: dict[str, Any]) -> None:
        context = _checks.optional_name("context", context)
        if self._takes():
            with self._lock:
                self._takes()
                if context is not None:
                    event["context"] = context
                self._log.write(context, event)

    def _value(
        self,
        name: str,
        value: float,
        context: str | None,
        step: int | None,
        source: str | None,
        unit: str | None = None,
    ) -> None:
        if (self._closed is not None or self._guard.dying is not None) and not self._takes():
            return
        with self._lock:
            if self._closed is not None:
                self._takes()
            series = self._series.get((context, source, name))
            try:
                if series is None:
                    series = self._declare(name, context, source, unit)
                if series is not None:
                    series.append(step, value, time.time())
            except OSError as error:
                self._log.failed("writing a metric", error)

    def _declare(
        self, name: str, context: str | None, source: str | None, unit: str | None
    ) -> Series | None:
        """A new series, or None where that cannot be recorded."""
        if not self.recording:
            return None
        masked = self._log.masked
        series = self._files.new(
            context and masked(context), source and masked(source), masked(name)
        )
        event = {"kind": "ml-metric-declared", "name": name, "path": series.path}
        event |= _known(context=context, source=source, unit=unit)
        if not self._log.write(context, event):
            return None
        self._series[context, source, name] = series
        return series

    def _describe(
        self, what: str, path: str | os.PathLike[str], is_input: object
    ) -> dict[str, Any]:
        from yprov4wms.ml import _files

        role = "input" if is_input else "output"
        try:
            return _files.describe(path, role, self._settings)
        except FileNotFoundError as error:
            raise FileNotFoundError(f"{what}: {error}") from None


def _known(**fields: Any) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if value is not None}


# -- the one active run ----------------------------------------------------------


class _Process:
    lock = threading.Lock()
    run: ActiveRun | None = None


def start(
    experiment: str,
    name: str | None,
    store: str | os.PathLike[str] | None,
    attributes: Mapping[str, Any],
) -> ActiveRun:
    """See `yprov4wms.ml.start_run`."""
    experiment = _checks.name("experiment", experiment)
    name = _checks.optional_name("run", name)
    with _Process.lock:
        if _Process.run is not None and _Process.run.active:
            raise RuntimeError(f"{_Process.run} is active in this process: end it before the next")
        _Process.run = ActiveRun(experiment, name, store, attributes)
        return _Process.run


def active() -> ActiveRun:
    """The run that this process has open; raises RuntimeError where there is none."""
    if _Process.run is None or _Process.run.ended:
        raise RuntimeError("no ML run is active: call yprov4wms.ml.start_run first")
    return _Process.run


def _after_fork() -> None:
    _Process.lock = threading.Lock()
    if _Process.run is not None:
        _Process.run.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
