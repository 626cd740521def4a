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
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple

from yprov4wms.masking import Masker, declared_from_environment
from yprov4wms.ml import _checks, _ranks, _surroundings
from yprov4wms.ml._artifacts import Artifacts
from yprov4wms.ml._buffer import FULL, Buffer
from yprov4wms.ml._contexts import current
from yprov4wms.ml._fate import Watch
from yprov4wms.ml._keeper import Keeper
from yprov4wms.ml._lifetime import CANCELLED, COMPLETED, FAILED, Guard, Outcome, outcome
from yprov4wms.ml._log import EventLog, RecordingWarning
from yprov4wms.ml._logging import Logging, known
from yprov4wms.ml._series import SeriesFile
from yprov4wms.store import RunFolder, new_run_id

if TYPE_CHECKING:
    from yprov4wms.ml._sampler import Sampler
    from yprov4wms.ml.collectors.collecting import Collecting

__all__ = ["ActiveRun", "RecordingError", "RecordingWarning", "Wanted", "active", "start"]

STATUSES = (COMPLETED, FAILED, CANCELLED)

_now = time.time_ns


class RecordingError(RuntimeError):
    """Raised at the end of a run under ``YPROV_STRICT`` where its record is incomplete."""


class Wanted(NamedTuple):
    """What `yprov4wms.ml.start_run` was asked for; see there."""

    experiment: str
    name: str | None = None
    store: str | os.PathLike[str] | None = None
    products: str | os.PathLike[str] | None = None
    number: int | None = None
    rank: int | None = None
    all_ranks: bool = True
    metrics_format: str | None = None
    csv_separator: str = ","
    compress: bool = True
    sample_interval: float | None = None
    collectors: tuple[str, ...] | None = None
    attributes: Mapping[str, Any] = {}


class ActiveRun(Logging):
    """An ML run of this process, made by `start`. Its methods may be called from any thread.

    id: of the run, a UUIDv7, the same in all ranks. folder: where its record lies.
    rank: of this process in a distributed run, or None.
    """

    def __init__(self, wanted: Wanted, ordinal: int) -> None:
        self.id = new_run_id()
        self.wanted = wanted
        self._title = f"{wanted.experiment}/{wanted.name}" if wanted.name else wanted.experiment
        self._settings, problems = _surroundings.settings()
        names = (self._settings.secrets or "").replace(",", " ").split()
        self._log = EventLog(self.id, self._title, Masker(declared_from_environment(names)))
        self._lock = self._log.lock
        #: None while the run goes on, then why it takes nothing more.
        self._closed: str | None = None
        # By id: to hold the exception would hold all that its frames do.
        self._handled_before = id(sys.exception())
        self._guard = Guard(self._finish, self._doubt)
        self.buffer = Buffer(self._log.failed)
        self._numbers: dict[tuple[str, str | None, str | None], int] = {}
        self._collectors: Collecting | None = None
        self._keeper = Keeper(self._log.failed)
        self._sampler: Sampler | None = None
        self._watch: Watch | None = None
        self._place = _ranks.place(rank=wanted.rank)
        self.rank = self._place.rank if self._place else None
        self.folder = RunFolder("")
        self.recording = False
        self.began = time.time()
        if self.rank and not wanted.all_ranks:
            self._closed = "quiet"
            self.artifacts = Artifacts(self.folder, wanted, self.rank)
            return
        parent = _surroundings.parent()
        with self._log.guarded("opening the store"):
            self._open(parent, ordinal)
        self.recording = self._log.is_open
        self.artifacts = Artifacts(self.folder, wanted, self.rank)
        self._tell_start(parent)
        for problem in problems:
            self._log.failed("reading a setting", problem)
        self._guard.install()
        if self.recording:
            self._keeper.every(0.25, self.buffer.flush)
            self._keeper.every(30.0, lambda: self._collecting().refresh(), first=0.5)
            if wanted.sample_interval:
                from yprov4wms.ml._sampler import Sampler

                self._sampler = Sampler(
                    wanted.sample_interval, self.log_system_metrics, self._log.failed
                )

    def _open(self, parent: Mapping[str, Any] | None, ordinal: int) -> None:
        base = _surroundings.base(parent, self.wanted.store, self._settings.store)
        if self._place is not None:
            more = (self.wanted.experiment, self.wanted.name or "", str(ordinal))
            with self._log.guarded("finding the run of the other ranks"):
                self.id = _ranks.run_id(base, self._place, more)
        self._log.run_id = self.id
        self.folder = RunFolder(f"{base}/{self.id}")
        self._log.open(self.folder.events)
        if self._place is not None:
            self._log.claim()
        self.buffer.open(SeriesFile(self.folder.location, self._log.writer))
        if not self.folder.remote and threading.current_thread() is threading.main_thread():
            watch = Watch(self.folder.location, self._log.writer)
            with self._log.guarded("watching signals"):
                watch.install()
                self._watch = watch

    def _tell_start(self, parent: Mapping[str, Any] | None) -> None:
        wanted, place = self.wanted, self._place
        event: dict[str, Any] = {"kind": "ml-run-started", "experiment": wanted.experiment}
        attributes = dict(wanted.attributes) or None
        event |= known(name=wanted.name, parent=parent, attributes=attributes)
        if place is not None:
            event |= known(rank=place.rank, local_rank=place.local_rank)
            event |= known(world_size=place.world_size, launcher=place.launcher)
        more = []
        if not self.rank:
            with self._log.guarded("listing packages"):
                more.append({"kind": "ml-environment", **_surroundings.environment()})
        self._log.write(None, event | _surroundings.process(self._settings), *more)

    def __repr__(self) -> str:
        return f"<ML run {self._title} ({self.id})>"

    @property
    def writer(self) -> str:
        """The name of its journal; empty where it has none."""
        return self._log.writer

    @property
    def active(self) -> bool:
        """True in the process that started it, until its end."""
        return self._closed is None or self._closed == "quiet"

    @property
    def ended(self) -> bool:
        return self._closed == "ended"

    # -- the end -----------------------------------------------------------------

    def end(self, status: str | None = None, **products: bool) -> None:
        """See `yprov4wms.ml.end_run`."""
        if status is not None and status not in STATUSES:
            raise ValueError(f"status {status!r} is not one of {', '.join(STATUSES)}")
        error = sys.exception()
        found = outcome(None if id(error) == self._handled_before else error)
        if status is not None:
            found = Outcome(str(status), None if status == COMPLETED else found.error)
        if self._takes():
            self._finish(found, **products)
            self._check_strict()
        elif self._closed == "quiet":
            self._closed = "ended"

    def __enter__(self) -> ActiveRun:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._closed == "quiet":
            self._closed = "ended"
        elif self._closed is None:
            self._finish(outcome(error))
            if error is None:
                self._check_strict()

    def guarded(self, where: str) -> AbstractContextManager[None]:
        """A block that records on its own account, such as a framework's callback: what it
        raises is a failure of recording."""
        return self._log.guarded(where)

    def forked(self) -> None:
        """This process is a forked child of the one that records: it leaves the run alone."""
        if self._closed in (None, "quiet"):
            self._closed = "forked" if self._closed is None else "ended"
            self._guard.remove()
            self.buffer.leave()
            if self._watch is not None:
                self._watch.leave()

    def _finish(self, found: Outcome, **products: bool) -> None:
        if self._closed is not None:
            return
        if self._sampler is not None:
            self._sampler.stop()
        self._keeper.stop()
        if self._collectors is not None:
            self._collectors.close()
        with self._lock:
            if self.ended:
                return
            with self._log.guarded("storing metrics"):
                self.buffer.close(hashed=self._settings.hash != "none")
            last: dict[str, Any] = {"kind": "ml-run-ended", **known(**found._asdict())}
            last |= known(series=self.buffer.summaries() or None, metrics=self.buffer.file)
            self._log.close(last)
            self._closed = "ended"
            self._guard.remove()
            if self._watch is not None:
                self._watch.remove()
        wants_document = self._settings.export != "never"
        wishes = any(products.values()) or self.wanted.metrics_format is not None
        if self.recording and (wants_document or wishes):
            with self._log.guarded("building the document, and what goes with it"):
                from yprov4wms.ml import products as made

                made.make(self, wants_document, **products)

    def _check_strict(self) -> None:
        if self._log.failures and self._settings.strict:
            raise RecordingError(f"the record of ML run {self._title} is incomplete ({self.id})")

    # -- below -------------------------------------------------------------------

    def _doubt(self) -> None:
        """The process seems to die: what is logged next tells whether it does."""
        self.buffer.known.clear()


# -- the one active run ----------------------------------------------------------


class _Process:
    lock = threading.Lock()
    run: ActiveRun | None = None


#: How many runs of each experiment this process has started.
_started: dict[str, int] = {}


def start(wanted: Wanted) -> ActiveRun:
    """See `yprov4wms.ml.start_run`."""
    with _Process.lock:
        if _Process.run is not None and _Process.run.active:
            raise RuntimeError(f"{_Process.run} is active in this process: end it before the next")
        ordinal = _started[wanted.experiment] = _started.get(wanted.experiment, 0) + 1
        _Process.run = ActiveRun(wanted, ordinal)
        return _Process.run


def current_run() -> ActiveRun | None:
    """The last run that this process started, ended or not."""
    return _Process.run


def active() -> ActiveRun:
    """The run that this process has open; raises RuntimeError where there is none."""
    if _Process.run is None or _Process.run.ended:
        raise RuntimeError("no ML run is active: call yprov4wms.ml.start_run first")
    return _Process.run


def log_metric(
    key: str,
    value: Any,
    context: str | None = None,
    step: int | None = None,
    source: str | None = None,
    timestamp: float | None = None,
) -> None:
    """Add a value to the series that key, context and source tell apart.

    It is on disk within a second.

    Args:
        value: A real number, kept as float64; NaN and infinities are numbers. NumPy scalars,
            and arrays and tensors of one element, are taken through their ``item()``.
        step: Epoch, batch or the like: a whole number.
        source: What measured it, where that needs telling.
        timestamp: When it was measured, in ms since the epoch as yProv4ML has it; now where
            it is not given.

    Raises TypeError for any other value, step or time, RuntimeError where no run is active.
    """
    # Called each step: each line here is measured (benchmarks/ml_recorder.py).
    run = _Process.run
    if run is not None and timestamp is None:
        if context is None:
            context = current()
        buffer = run.buffer
        try:
            number = buffer.known[key, context, source]
        except (KeyError, TypeError):
            number = None
        if number is not None and (step is None or type(step) is int):
            if type(value) is not float:
                value = _checks.number(key, value)
            now = _now()
            pending = buffer.pending
            pending.extend((number, step, value, now))
            if now >= buffer.due or len(pending) >= FULL:
                buffer.flush()
            return
    active().log_metric(key, value, context, step, source, timestamp)


def _after_fork() -> None:
    _Process.lock = threading.Lock()
    if _Process.run is not None:
        _Process.run.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
