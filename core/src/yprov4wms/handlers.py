"""What each event changes in the Run that it is taken into."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from yprov4wms import events
from yprov4wms.events import WHOLE_GROUP, FileType, Status
from yprov4wms.run import Attempt, Run, Task

_RAN = (Status.COMPLETED, Status.FAILED, Status.CANCELLED, Status.CACHED)
#: How an attempt ends: a process that ran may say that it is to count as skipped.
_ENDS = (*_RAN, Status.SKIPPED)

#: Fields of a start of which any process may know more than the first that told of it.
_FILLED = tuple(
    name
    for name in events.RunStarted.__struct_fields__
    if name not in events.Event.__struct_fields__
)

#: Those that hold for the process that tells, and say more of the first.
_FIRST = ("software", "parent", "executor")


def take_in(run: Run, event: events.Event, line: int) -> None:
    """line: the event as it is in its journal, by its number in ``run.lines``."""
    _HANDLERS[type(event)](run, event, line)


def _task(run: Run, task_id: str) -> Task:
    task = run.tasks.get(task_id)
    if task is None:
        task = run.tasks[task_id] = Task(id=task_id, step="", depends_on=[], lines=run.lines)
    return task


def _attempt(run: Run, task_id: str, number: int) -> Attempt:
    task = _task(run, task_id)
    for attempt in task.attempts:
        if attempt.key == number:
            return attempt
    attempt = Attempt(task=task.id, number=number, key=number, lines=run.lines)
    task.attempts.append(attempt)
    task.not_run_line = None
    return attempt


def _run_started(run: Run, event: events.RunStarted, line: int) -> None:
    """What a further process tells of the start, or of the run's being begun again."""
    start = run.start
    if (event.writer, event.seq) == (start.writer, start.seq):
        return
    if event.serial and start.serial and event.serial != start.serial:
        _forget(run)
        run.start = event
        return
    if run.end and run.end.finished and event.began and event.began > run.end.finished:
        run.end = None
    known = {name: getattr(start, name) for name in _FILLED}
    for name, mine in known.items():
        more = getattr(event, name)
        if more and (not mine or (event.began and name not in _FIRST)):
            setattr(start, name, more)
    start.began = known["began"] or event.began
    for name in ("config", "attributes"):
        mine, more = known[name], getattr(event, name)
        if mine and more:
            setattr(start, name, mine | more if event.began else more | mine)
    mine, more = known["main_file"], event.main_file
    if mine and more and mine.path == more.path:
        start.main_file = more if more.sha256 else mine
    files = {_same_file(file): file for file in (*(known["files"] or ()), *(event.files or ()))}
    start.files = list(files.values()) or None


def _forget(run: Run) -> None:
    """The engine has another run of this id: what was told so far is not of it."""
    run.end = None
    for known in (run.steps, run.tasks, run.made, run.directories, run.notes, run.left):
        known.clear()
    run.directory_makers.clear()


def _same_file(file: events.File) -> object:
    origin = file.origin_task
    task = (origin.run, origin.task) if origin else None
    return file.path, file.sha256, file.role, task


def _run_ended(run: Run, event: events.RunEnded, line: int) -> None:
    run.end = event


def _step(run: Run, event: events.StepDeclared, line: int) -> None:
    run.steps[event.step] = event


def _planned(run: Run, event: events.TaskPlanned, line: int) -> None:
    task = _task(run, event.task)
    known = run.tasks
    # Of each name one string: at a million tasks this is memory that counts.
    task.step = sys.intern(event.step)
    task.depends_on = [known[one].id if one in known else one for one in event.depends_on or ()]
    task.label, task.parent, task.attributes = event.label, event.parent, event.attributes
    task.unexpanded = event.unexpanded


def _not_run(run: Run, event: events.TaskNotRun, line: int) -> None:
    if event.status in _RAN:
        run.problems.append(f"task {event.task}: what did not run cannot be {event.status}")
        return
    task = _task(run, event.task)
    if event.before is None:
        task.not_run_line = line
    else:
        task.past = {**(task.past or {}), event.before: line}


def _started(run: Run, event: events.TaskStarted, line: int) -> None:
    attempt = _attempt(run, event.task, event.attempt)
    if attempt.started_line is None:
        attempt.started_line = line
        if event.inputs:
            sources = [_maker(run, file.path) for file in event.inputs]
            attempt.sources = sources if any(sources) else None
            for file, source in zip(event.inputs, sources, strict=True):
                if source is None and file.sha256 is not None:
                    # Who looked at the same version without reading it learns its checksum.
                    run.checksums.setdefault((file.path, file.size, file.mtime_ns), file)


def _submitted(run: Run, event: events.TaskSubmitted, line: int) -> None:
    _attempt(run, event.task, event.attempt).external_id = event.external_id


def _executing(run: Run, event: events.TaskExecuting, line: int) -> None:
    _attempt(run, event.task, event.attempt).executing_line = line


def _executed(run: Run, event: events.TaskExecuted, line: int) -> None:
    if event.status not in _ENDS:
        run.problems.append(f"task {event.task}: an attempt cannot end as {event.status}")
        return
    attempt = _attempt(run, event.task, event.attempt)
    attempt.executed_line, attempt.executed_status = line, event.status
    for file in event.outputs or ():
        makers = run.left.setdefault(file.path, [])
        if attempt not in makers:
            makers.append(attempt)


def _suspended(run: Run, event: events.TaskSuspended, line: int) -> None:
    attempt = _attempt(run, event.task, event.attempt)
    attempt.suspended = [*(attempt.suspended or ()), line]


def _noted(run: Run, event: events.TaskNoted, line: int) -> None:
    run.notes.setdefault((event.task, event.attempt), []).append(line)


def _ended(run: Run, event: events.TaskEnded, line: int) -> None:
    if event.status not in _ENDS:
        run.problems.append(f"task {event.task}: an attempt cannot end as {event.status}")
        return
    attempt = _attempt(run, event.task, event.attempt)
    if attempt.ended_line is not None:
        _forget_outputs(run, attempt)
    attempt.ended_line, attempt.status = line, event.status
    group = (event.attributes or {}).get(WHOLE_GROUP)
    attempt.group = group if isinstance(group, str) else None
    for file in event.outputs or ():
        if file.type is not FileType.MISSING:
            made = run.made.get(file.path)
            if made is not None and _is_inside(run, made, attempt):
                attempt.inner = attempt.inner or {}
                attempt.inner[file.path] = made
                continue
            run.made[file.path] = attempt
            if file.type is FileType.DIRECTORY:
                run.directories[file.path] = attempt
                run.directory_makers.add((attempt.task, attempt.key))


def _is_inside(run: Run, attempt: Attempt, container: Attempt) -> bool:
    """Whether it is an attempt of a task that ``container``'s task contains, at any depth."""
    met = {attempt.task}
    parent = run.tasks[attempt.task].parent
    while parent is not None and parent not in met:
        if parent == container.task:
            return True
        met.add(parent)
        parent = run.tasks[parent].parent if parent in run.tasks else None
    return False


def _maker(run: Run, path: str) -> Attempt | None:
    """The attempt that made what lies at ``path``, or a directory around it."""
    found = run.made.get(path)
    if found is None and run.directories:
        parent = path.rpartition("/")[0]
        while parent and found is None:
            found = run.directories.get(parent)
            parent = parent.rpartition("/")[0]
    return found


def _forget_outputs(run: Run, attempt: Attempt) -> None:
    """A second end of one attempt replaces the first, with what that said of files."""
    for known in (run.made, run.directories):
        for path in [path for path, maker in known.items() if maker is attempt]:
            del known[path]
    for other in run.attempts():
        if other.sources and attempt in other.sources:
            other.sources = [None if source is attempt else source for source in other.sources]


def _hashed(run: Run, event: events.FilesHashed, line: int) -> None:
    for file in event.files:
        run.checksums[file.path, file.size, file.mtime_ns] = file


def _child(run: Run, event: events.ChildAttached, line: int) -> None:
    attempt = _attempt(run, event.task, event.attempt)
    attempt.children = [*(attempt.children or ()), line]


def _failed(run: Run, event: events.RecorderFailed, line: int) -> None:
    run.failures.append(event)


def _ignored(run: Run, event: events.Event, line: int) -> None:
    """The start, taken already, and what belongs to ML runs."""


_Handler = Callable[[Run, Any, int], None]
_HANDLERS: dict[type[events.Event], _Handler] = dict.fromkeys(events.AnyEvent.__args__, _ignored)
_HANDLERS |= {
    events.RunStarted: _run_started,
    events.RunEnded: _run_ended,
    events.StepDeclared: _step,
    events.TaskPlanned: _planned,
    events.TaskNotRun: _not_run,
    events.TaskStarted: _started,
    events.TaskSubmitted: _submitted,
    events.TaskExecuting: _executing,
    events.TaskSuspended: _suspended,
    events.TaskExecuted: _executed,
    events.TaskNoted: _noted,
    events.TaskEnded: _ended,
    events.FilesHashed: _hashed,
    events.ChildAttached: _child,
    events.RecorderFailed: _failed,
}
