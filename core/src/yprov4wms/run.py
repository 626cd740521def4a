"""What a journal folds into: a Run with its steps, tasks, attempts and child runs.

Events stay encoded inside (`Attempt.start` and the like decode one when it is asked
for): a run of 100,000 tasks then costs little more memory than its journal.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any, TypeVar

import msgspec

from yprov4wms import events
from yprov4wms.events import WHOLE_GROUP, Status

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


_TOLD_BY_PROCESS = ("host", "command", "parameters", "threads", "resources")
_SEEN_BY_PROCESS = ("began", "finished", "exit_code", "signal", "processes", "usage", "host")


def _typed(line: bytes | None, kind: type[_E]) -> _E | None:
    if line is None:
        return None
    event = decode(line)
    assert isinstance(event, kind)
    return event


class Attempt(msgspec.Struct, gc=False):
    """One try of a task: what started it, what became of it.

    key: its number in the journal; ``number`` counts all of the task's attempts from 1.
    """

    task: str
    number: int
    key: int
    status: Status = Status.RUNNING
    started_line: bytes | None = None
    ended_line: bytes | None = None
    executing_line: bytes | None = None
    executed_line: bytes | None = None
    external_id: str | None = None
    #: The times of its events are those of an import.
    imported: bool = False
    children: list[bytes] | None = None
    #: For each input the attempt whose output it was when this one started, or None.
    sources: list[Attempt | None] | None = None
    #: By path, of a container's outputs, the attempt inside it that made them.
    inner: dict[str, Attempt] | None = None

    @property
    def start(self) -> events.TaskStarted | None:
        """With what the process that executes it knows better than the engine."""
        start = _typed(self.started_line, events.TaskStarted)
        executing = _typed(self.executing_line, events.TaskExecuting)
        if executing is not None and start is not None:
            if self.ended_line is None:
                start.time = executing.time
            for name in _TOLD_BY_PROCESS:
                found = getattr(executing, name)
                if found is not None:
                    setattr(start, name, found)
        if self.imported and start is not None:
            start.time = ""
        return start

    @property
    def end(self) -> events.TaskEnded | None:
        """With what the process that executed it knows better than the engine."""
        end = _typed(self.ended_line, events.TaskEnded)
        if self.imported and end is not None:
            end.time = ""
        if self.executed_line is None:
            if end is not None and end.began is None and self.executing_line is not None:
                executing = _typed(self.executing_line, events.TaskExecuting)
                end.began = executing.time if executing else None
            return end
        executed = _typed(self.executed_line, events.TaskExecuted)
        assert executed is not None
        if end is None:
            end = events.TaskEnded(task=self.task, attempt=self.number, status=executed.status)
            end.time, end.error = executed.time, executed.error
        elif executed.status is Status.FAILED and executed.error is not None:
            end.error = executed.error
        end.status = self.status
        if end.status not in (Status.FAILED, Status.CANCELLED):
            end.error = None
        for name in _SEEN_BY_PROCESS:
            found = getattr(executed, name)
            if found is not None:
                setattr(end, name, found)
        return end

    def conclude(self) -> None:
        """Set the status, once all that is known of the attempt was taken in."""
        if self.executed_line is None:
            return
        executed = _typed(self.executed_line, events.TaskExecuted)
        end = _typed(self.ended_line, events.TaskEnded)
        assert executed is not None
        # A group fails as a whole; what became of a member only its process knows.
        if end is None or (end.attributes or {}).get(WHOLE_GROUP):
            self.status = executed.status

    @property
    def child_runs(self) -> list[events.ChildAttached]:
        found = [_typed(line, events.ChildAttached) for line in self.children or ()]
        return [child for child in found if child is not None]


class Task(msgspec.Struct, gc=False):
    """A job (Snakemake), step instance (CWL) or task instance (Airflow)."""

    id: str
    step: str
    depends_on: list[str]
    label: str | None = None
    parent: str | None = None
    unexpanded: bool = False
    attributes: dict[str, Any] | None = None
    not_run_line: bytes | None = None
    attempts: list[Attempt] = []

    @property
    def name(self) -> str:
        """What people call it."""
        return self.label or self.id

    @property
    def not_run(self) -> events.TaskNotRun | None:
        return _typed(self.not_run_line, events.TaskNotRun)

    @property
    def last(self) -> Attempt | None:
        return self.attempts[-1] if self.attempts else None


class MLRun(msgspec.Struct):
    """One machine-learning run, from its own journal."""

    id: str
    start: events.MLRunStarted
    end: events.MLRunEnded | None = None
    contexts: list[events.MLContextStarted] = []
    params: list[events.MLParam] = []
    metrics: list[events.MLMetricDeclared] = []
    artifacts: list[events.MLArtifact] = []
    models: list[events.MLModel] = []
    datasets: list[events.MLDataset] = []
    failures: list[events.RecorderFailed] = []
    problems: list[str] = []

    @property
    def status(self) -> Status:
        return self.end.status if self.end else Status.RUNNING


class Run(msgspec.Struct):
    """A workflow run. ``problems`` tells what of its journal could not be read."""

    id: str
    start: events.RunStarted
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
    #: sha256 (or why there is none) by what the file was: (path, size, mtime in ns).
    checksums: dict[tuple[str, int | None, int | None], events.File] = {}
    problems: list[str] = []

    @property
    def status(self) -> Status:
        return self.end.status if self.end else Status.RUNNING

    def attempts(self) -> Iterator[Attempt]:
        """All attempts, task by task in the order in which tasks became known."""
        for task in self.tasks.values():
            yield from task.attempts

    def statuses(self) -> dict[str, Status]:
        """The status of each task, those that never ran included.

        A planned task without attempt is ``upstream-failed`` where something that it
        depends on failed or was cancelled, at any distance, else ``not-started``.
        """
        known: dict[str, Status] = {}
        waiting: dict[str, list[str]] = {}
        lost: list[str] = []
        for task in self.tasks.values():
            if task.attempts:
                status = task.attempts[-1].status
            elif task.not_run_line is not None:
                not_run = task.not_run
                status = not_run.status if not_run else Status.NOT_STARTED
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
