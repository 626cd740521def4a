"""What a journal folds into: a Run with its steps, tasks, attempts and child runs.

Events stay encoded, and beside (`Attempt.start` and the like read and decode one when it is
asked for): a run of a million tasks then costs less memory than its journal has bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any, TypeVar

import msgspec

from yprov4wms import events
from yprov4wms.events import Figure, Status
from yprov4wms.lines import Lines

_decoder = msgspec.json.Decoder(events.AnyEvent)
_E = TypeVar("_E", bound=events.Event)


def decode(line: bytes) -> events.AnyEvent:
    """One event; raises msgspec.MsgspecError where the line is not one."""
    event: events.AnyEvent = _decoder.decode(line)
    return event


def is_time(text: str) -> bool:
    """Whether it is a moment in the one form that events have.

    They then compare as text as the moments do.
    """
    if len(text) != 32 or text[10] != "T" or text[19] != "." or not text.endswith("+00:00"):
        return False
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return text[5] != "W"  # of a week


_TOLD_BY_PROCESS = (
    *("host", "inputs", "command", "script", "parameters", "threads", "resources", "attributes"),
    "directory",
)
_SEEN_BY_PROCESS = (
    *("began", "finished", "exit_code", "signal", "outputs", "results", "processes", "usage"),
    "host",
)


def _take(into: events.Event, known: events.Event, names: tuple[str, ...]) -> None:
    for name in names:
        found = getattr(known, name)
        if found is not None:
            setattr(into, name, found)


def added(usages: list[dict[str, Figure] | None]) -> dict[str, Figure] | None:
    """The use of processes that ran one after another: sums, but the larger of peaks.

    A figure that one of them lacks, or that has no sum (a mean), says of how many it is known.
    """
    known = [usage for usage in usages if usage]
    found: dict[str, Figure] = {}
    for name in dict.fromkeys(name for usage in known for name in usage):
        figures = [usage[name] for usage in known if name in usage]
        total = msgspec.structs.replace(figures[0])
        for field in ("value", "low", "high"):
            values = [getattr(figure, field) for figure in figures]
            there = [value for value in values if value is not None]
            combine = max if name.endswith(("_peak", "_max", "_mean")) else sum
            setattr(total, field, combine(there) if there else None)
        if len(figures) < len(usages):
            total.scope = f"{len(figures)} of {len(usages)} processes"
        found[name] = total
    return found or None


class _Writer(msgspec.Struct):
    writer: str = ""


_written = msgspec.json.Decoder(_Writer)


def _writer(line: bytes) -> str:
    return _written.decode(line).writer


def _typed(lines: Lines, line: int | None, kind: type[_E]) -> _E | None:
    if line is None:
        return None
    event = decode(lines.read(line))
    assert isinstance(event, kind)
    return event


class Attempt(msgspec.Struct, gc=False):
    """One try of a task: what started it, what became of it.

    key: its number in the journal; ``number`` counts all of the task's attempts from 1.
    lines: has the lines by the numbers in ``..._line`` and the like.
    """

    task: str
    number: int
    key: int
    lines: Lines
    status: Status = Status.RUNNING
    started_line: int | None = None
    ended_line: int | None = None
    executing_line: int | None = None
    executed_line: int | None = None
    #: What its process says became of it.
    executed_status: Status | None = None
    #: The group that ended with the status that the engine gave it.
    group: str | None = None
    external_id: str | None = None
    #: Of processes that gave it up until later, in their order.
    suspended: list[int] | None = None
    notes: list[int] | None = None
    #: The times of its events are those of an import.
    imported: bool = False
    children: list[int] | None = None
    #: For each input the attempt whose output it was when this one started, or None; None at
    #: once where no input was one.
    sources: list[Attempt | None] | None = None
    #: By path, of a container's outputs, the attempt inside it that made them.
    inner: dict[str, Attempt] | None = None

    @property
    def start(self) -> events.TaskStarted | None:
        """With what the process that executes it knows better than the engine."""
        start = _typed(self.lines, self.started_line, events.TaskStarted)
        executing = _typed(self.lines, self.executing_line, events.TaskExecuting)
        if executing is not None:
            if start is None:
                start = events.TaskStarted(task=self.task, attempt=self.number)
            if self.ended_line is None or not start.time:
                start.time = self._began() or executing.time
            _take(start, executing, _TOLD_BY_PROCESS)
        if self.notes and self.ended_line is None and self.executed_line is None:
            start = start or events.TaskStarted(task=self.task, attempt=self.number)
            for note in self._notes():
                start.attributes = (start.attributes or {}) | (note.attributes or {})
        if self.imported and start is not None:
            start.time = ""
        return start

    @property
    def end(self) -> events.TaskEnded | None:
        """With what the process that executed it knows better than the engine."""
        end = _typed(self.lines, self.ended_line, events.TaskEnded)
        if self.imported and end is not None:
            end.time = ""
        executed = _typed(self.lines, self.executed_line, events.TaskExecuted)
        if executed is None:
            if end is not None and end.began is None and self.executing_line is not None:
                executing = _typed(self.lines, self.executing_line, events.TaskExecuting)
                end.began = self._began() or (executing.time if executing else None)
        else:
            if end is None:
                end = events.TaskEnded(task=self.task, attempt=self.number, status=executed.status)
                end.time, end.error = executed.time, executed.error
            elif executed.status is Status.FAILED and executed.error is not None:
                end.error = executed.error
            end.status = self.status
            if end.status not in (Status.FAILED, Status.CANCELLED):
                end.error = None
            _take(end, executed, _SEEN_BY_PROCESS)
        if end is not None and (self.suspended or self.notes):
            self._add_parts(end)
        return end

    def _began(self) -> str | None:
        """When the first of several processes began."""
        if not self.suspended:
            return None
        first = _typed(self.lines, self.suspended[0], events.TaskSuspended)
        return (first.began or first.time) if first else None

    def _notes(self) -> list[events.TaskNoted]:
        found = [_typed(self.lines, line, events.TaskNoted) for line in self.notes or ()]
        return [note for note in found if note is not None]

    def _add_parts(self, end: events.TaskEnded) -> None:
        """What earlier processes of the attempt used, and what others noted of it."""
        parts = [_typed(self.lines, line, events.TaskSuspended) for line in self.suspended or ()]
        before = [part for part in parts if part is not None]
        if before:
            processes = [process for part in before for process in part.processes or ()]
            end.processes = [*processes, *(end.processes or ())] or None
            end.usage = added([*(part.usage for part in before), end.usage])
            end.began = self._began() or end.began
        for note in self._notes():
            if end.status in (Status.FAILED, Status.CANCELLED):
                end.error = end.error or note.error
            if note.attributes:
                end.attributes = note.attributes | (end.attributes or {})

    def conclude(self) -> None:
        """Set the status, once all that is known of the attempt was taken in."""
        # A group fails as a whole; what became of a member only its process knows.
        if self.executed_status is not None and (self.ended_line is None or self.group):
            self.status = self.executed_status

    @property
    def is_unseen(self) -> bool:
        """Whether the process that tells where it works has not told of its end, so far."""
        told = self.started_line if self.executing_line is None else self.executing_line
        if told is None or not self.says(told, "directory"):
            return False
        if self.executing_line is not None:
            return self.executed_line is None
        if self.ended_line is None:
            return True
        read = self.lines.read
        return _writer(read(told)) != _writer(read(self.ended_line))

    def says(self, line: int, name: str) -> bool:
        """Whether an event may have a field or key of this name: false where it has none."""
        return f'"{name}"'.encode() in self.lines.read(line)

    @property
    def child_runs(self) -> list[events.ChildAttached]:
        found = [_typed(self.lines, line, events.ChildAttached) for line in self.children or ()]
        return [child for child in found if child is not None]


class Task(msgspec.Struct, gc=False):
    """A job (Snakemake), step instance (CWL) or task instance (Airflow)."""

    id: str
    step: str
    depends_on: list[str]
    lines: Lines
    label: str | None = None
    parent: str | None = None
    unexpanded: bool = False
    attributes: dict[str, Any] | None = None
    not_run_line: int | None = None
    #: By number of attempt, that it did not run then.
    past: dict[int, int] | None = None
    attempts: list[Attempt] = []

    @property
    def name(self) -> str:
        """What people call it."""
        return self.label or self.id

    @property
    def not_run(self) -> events.TaskNotRun | None:
        """That it did not run; after attempts, that it did not run again."""
        return _typed(self.lines, self.not_run_line, events.TaskNotRun)

    def not_run_before(self) -> list[events.TaskNotRun]:
        """When it did not run, and the engine changed its mind afterwards."""
        past = [line for _, line in sorted((self.past or {}).items())]
        found = [_typed(self.lines, line, events.TaskNotRun) for line in past]
        return [event for event in found if event is not None]

    @property
    def last(self) -> Attempt | None:
        return self.attempts[-1] if self.attempts else None


class MLRank(msgspec.Struct):
    """One process of an ML run; most runs have one.

    lost: its process lives no more, and did not say how it ended.
    """

    start: events.MLRunStarted
    end: events.MLRunEnded | None = None
    lost: bool = False

    @property
    def status(self) -> Status:
        return self.end.status if self.end else Status.RUNNING


class MLRun(msgspec.Struct):
    """One machine-learning run, from its own journals; ``ranks`` in their order."""

    id: str
    ranks: list[MLRank] = []
    contexts: list[events.MLContextStarted | events.MLContextEnded] = []
    params: list[events.MLParam] = []
    metrics: list[events.MLMetricDeclared] = []
    artifacts: list[events.MLArtifact] = []
    models: list[events.MLModel] = []
    datasets: list[events.MLDataset] = []
    codes: list[events.MLCode] = []
    environments: list[events.MLEnvironment] = []
    failures: list[events.RecorderFailed] = []
    problems: list[str] = []

    @property
    def start(self) -> events.MLRunStarted:
        """Of the process that was the first."""
        return min((rank.start for rank in self.ranks), key=lambda start: start.time)

    @property
    def end(self) -> events.MLRunEnded | None:
        """Of the process that was the last, with the first failure of any.

        None while a process may go on, and where none has told of its end.
        """
        ends = [rank.end for rank in self.ranks if rank.end is not None]
        lost = [rank for rank in self.ranks if rank.end is None]
        if not ends or not all(rank.lost for rank in lost):
            return None
        last = max(ends, key=lambda end: end.time)
        for status in (Status.FAILED, Status.CANCELLED):
            for rank in self.ranks:
                if rank.end is not None and rank.end.status is status:
                    return msgspec.structs.replace(last, status=status, error=rank.end.error)
            if lost and status is Status.FAILED:
                error = f"rank {lost[0].start.rank} ended without a word"
                return msgspec.structs.replace(last, status=status, error=error)
        return last

    @property
    def status(self) -> Status:
        end = self.end
        return end.status if end else Status.RUNNING


class Run(msgspec.Struct):
    """A workflow run. ``problems`` tells what of its journal could not be read."""

    id: str
    start: events.RunStarted
    #: What attempts and tasks have their events in.
    lines: Lines
    end: events.RunEnded | None = None
    steps: dict[str, events.StepDeclared] = {}
    tasks: dict[str, Task] = {}
    failures: list[events.RecorderFailed] = []
    #: By path, the attempt that made what lies there last.
    made: dict[str, Attempt] = {}
    #: The same of directories alone.
    directories: dict[str, Attempt] = {}
    #: Tasks and numbers of the attempts that made directories, also such as were replaced.
    directory_makers: set[tuple[str, int]] = set()
    #: By task and number of an attempt what others noted of it.
    notes: dict[tuple[str, int], list[int]] = {}
    #: By path, the attempts of which their own processes say that they left something there.
    left: dict[str, list[Attempt]] = {}
    #: sha256 (or why there is none) by what the file was: (path, size, mtime in ns).
    checksums: dict[tuple[str, int | None, int | None], events.File] = {}
    problems: list[str] = []

    @property
    def status(self) -> Status:
        return self.end.status if self.end else Status.RUNNING

    def times(self) -> tuple[str | None, str | None]:
        """When it began and ended; None where that is not known."""
        start, end = self.start, self.end
        began, finished = start.began, end.finished if end else None
        if start.imported:
            return began, finished
        return began or start.time or None, finished or (end.time if end else None)

    def attempts(self) -> Iterator[Attempt]:
        """All attempts, task by task in the order in which tasks became known."""
        for task in self.tasks.values():
            yield from task.attempts

    def container(self, task: Task) -> Task | None:
        """The task that contains this one and ran; None in a circle of containers."""
        seen = {task.id}
        parent = found = self.tasks.get(task.parent) if task.parent else None
        while parent is not None:
            if parent.id in seen:
                return None
            seen.add(parent.id)
            parent = self.tasks.get(parent.parent) if parent.parent else None
        return found if found and found.attempts else None

    def statuses(self) -> dict[str, Status]:
        """The status of each task, those that never ran included.

        A planned task without attempt is ``upstream-failed`` where something that it
        depends on failed or was cancelled, at any distance, else ``not-started``.
        """
        known: dict[str, Status] = {}
        waiting: dict[str, list[str]] = {}
        lost: list[str] = []
        for task in self.tasks.values():
            if task.not_run_line is not None:
                not_run = task.not_run
                status = not_run.status if not_run else Status.NOT_STARTED
            elif task.attempts:
                status = task.attempts[-1].status
            else:
                status = Status.NOT_STARTED
                for upstream in task.depends_on:
                    waiting.setdefault(upstream, []).append(task.id)
            known[task.id] = status
            if status in (Status.FAILED, Status.CANCELLED):
                lost.append(task.id)
        while lost:
            for dependent in waiting.pop(lost.pop(), ()):
                if known[dependent] is Status.NOT_STARTED:
                    known[dependent] = Status.UPSTREAM_FAILED
                    lost.append(dependent)
        return known
