"""Reads the journal files of one run and folds them into a Run or an MLRun.

Folding is idempotent and does not depend on the order of files or lines: events are
sorted by (time, writer, sequence), and one that was met before is dropped. An
unterminated last line (a write cut by ``kill -9``) is ignored; any other line that is
not an event is reported in ``problems``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from operator import itemgetter
from typing import Any

import msgspec

from yprov4wms import events
from yprov4wms.events import INNER_RETRY, FileType, Status
from yprov4wms.run import Attempt, MLRun, Run, Task, decode, is_time
from yprov4wms.store import RunFolder, StoreError


class _Head(msgspec.Struct, gc=False):
    """As much of a line as it takes to put it in its place."""

    kind: str
    v: int
    time: str
    writer: str
    seq: int
    run: str


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

_Line = tuple[str, str, int, bytes]
_decode_head = msgspec.json.Decoder(_Head).decode
_ERRORS = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def replay(folder: RunFolder) -> Run | MLRun:
    """The run in a folder of a store; raises StoreError where there is none."""
    if folder.journal_count() == 1:
        for _, lines in folder.journals():
            run = _stream(lines)
            if run is not None:
                return run
    return fold(folder.journals(), where=folder.location, run_id=folder.run_id)


def replay_workflow(folder: RunFolder) -> Run:
    """As `replay`, for a workflow run only."""
    run = replay(folder)
    if isinstance(run, MLRun):
        raise StoreError(f"{folder.location}: this is an ML run, not a workflow run")
    return run


def fold(
    journals: Iterable[tuple[str, Iterable[bytes]]],
    where: str = "journal",
    run_id: str | None = None,
) -> Run | MLRun:
    """Fold journal files, given as name and lines with their newlines.

    run_id: the run that they should tell of; lines of others are then problems.
    Raises StoreError where they hold no event, or events of several runs and not of that.
    """
    problems: list[str] = []
    lines, runs = _read(journals, problems)
    if len(runs) > 1 and run_id in runs:
        lines, runs = _of_run(run_id, lines, problems), [run_id]
    if len(runs) > 1:
        raise StoreError(f"{where}: lines of several runs lie in one folder: {', '.join(runs)}")
    for _, _, _, line in lines:
        try:
            first = decode(line)
        except _ERRORS:
            continue
        if isinstance(first, events.RunStarted):
            return _fold_workflow(first, lines, problems)
        if isinstance(first, events.MLRunStarted):
            return _fold_ml(first, lines, problems)
    if not lines:
        hint = f" ({problems[0]})" if problems else ""
        raise StoreError(f"{where}: not a run: no journal here has an event{hint}")
    problems.append("the event that tells of the run's start is lost")
    unknown = events.Software(name="unknown", kind="engine")
    lost = events.RunStarted(run=runs[0], engine=unknown, workflow="unknown", directory="")
    return _fold_workflow(lost, lines, problems)


def _stream(lines: Iterable[bytes]) -> Run | None:
    """What `fold` gives for one sound journal, in one pass: half the time and memory.

    None where it is not that: a line that is no event, out of order, of another writer...
    """
    run: Run | None = None
    writer, last = "", ("", 0)
    for line in lines:
        if not line.endswith(b"\n"):
            break
        try:
            event = decode(line)
        except _ERRORS:
            return None
        place = (event.time, event.seq)
        if event.v > events.VERSION or place <= last or not is_time(event.time):
            return None
        last = place
        if run is None:
            if not isinstance(event, events.RunStarted):
                return None
            run, writer = Run(id=event.run, start=event), event.writer
        elif event.writer != writer or event.run != run.id:
            return None
        else:
            _HANDLERS[type(event)](run, event, line)
    if run is not None:
        _finish(run)
    return run


def _finish(run: Run) -> None:
    _expand(run)
    if run.notes:
        for attempt in run.attempts():
            attempt.notes = run.notes.get((attempt.task, attempt.key))
    _find_main_file(run)
    _find_sources(run)
    dropped = _drop_unbegun(run)
    for task in run.tasks.values():
        if len(task.attempts) > 1:
            task.attempts.sort(key=_order)
            if any(attempt.key >= INNER_RETRY for attempt in task.attempts):
                _unfold_retries(run, task)
        if task.id in dropped:
            for number, attempt in enumerate(task.attempts, 1):
                attempt.number = number
        for attempt in task.attempts:
            attempt.imported = run.start.imported
            attempt.conclude()


def _expand(run: Run) -> None:
    """Put the tasks that are known in the place of those that stood for them."""
    places = {
        task.id: (task.step, task.parent)
        for task in run.tasks.values()
        if task.unexpanded and not task.attempts
    }
    if not places:
        return
    found: dict[tuple[str, str | None], list[str]] = {place: [] for place in places.values()}
    for task in run.tasks.values():
        place = (task.step, task.parent)
        if place in found and task.id not in places:
            found[place].append(task.id)
    expanded = {task: found[place] for task, place in places.items() if found[place]}
    for stand_in in expanded:
        del run.tasks[stand_in]
    for task in run.tasks.values():
        if any(before in expanded for before in task.depends_on):
            if len(task.depends_on) == 1:
                task.depends_on = expanded[task.depends_on[0]]  # one list for all who share it
            else:
                every = (expanded.get(before, [before]) for before in task.depends_on)
                task.depends_on = [before for several in every for before in several]


def _find_main_file(run: Run) -> None:
    """Who runs an attempt has read the file that the workflow is written in."""
    main = run.start.main_file
    if main is None or main.sha256 is not None:
        return
    for attempt in run.attempts():
        if attempt.executing_line is not None and b'"script"' in attempt.executing_line:
            script = attempt.start.script if attempt.start else None
            if script is not None and script.path == main.path and script.sha256:
                run.start.main_file = script
                return


def _find_sources(run: Run) -> None:
    """Of inputs that processes told of: which attempt's output each was, by their times."""
    if not run.left:
        return
    ends = {
        path: sorted(
            ((end.finished or end.time, attempt) for attempt in makers if (end := attempt.end)),
            key=itemgetter(0),
        )
        for path, makers in run.left.items()
    }
    for attempt in run.attempts():
        if attempt.executing_line is None or b'"inputs"' not in attempt.executing_line:
            continue
        start, end = attempt.start, attempt.end
        began = (end.began if end else None) or (start.time if start else "")
        attempt.sources = []
        for file in (start.inputs if start else None) or ():
            before = [
                maker
                for finished, maker in ends.get(file.path, ())
                if maker is not attempt and finished <= began
            ]
            attempt.sources.append(before[-1] if before else None)


def _drop_unbegun(run: Run) -> set[str]:
    """Leave out what was started with a group, and never began: the group failed before.

    That is known of groups whose process told which of their members it executes.
    Returns the tasks that lost an attempt.
    """
    groups: dict[tuple[str, int], list[Attempt]] = {}
    for attempt in run.attempts():
        if attempt.ended_line is not None and _IN_GROUP in attempt.ended_line:
            end = attempt.end
            group = ((end.attributes if end else None) or {}).get(events.WHOLE_GROUP)
            if isinstance(group, str):
                groups.setdefault((group, attempt.key), []).append(attempt)
    dropped: set[str] = set()
    for members in groups.values():
        unbegun = [attempt for attempt in members if attempt.executing_line is None]
        if len(unbegun) < len(members):
            for attempt in unbegun:
                run.tasks[attempt.task].attempts.remove(attempt)
                dropped.add(attempt.task)
    return dropped


def _unfold_retries(run: Run, task: Task) -> None:
    """Number all attempts, those too that were retried where the engine does not count.

    What the engine then says of one attempt it says of the last of them.
    """
    outer: Attempt | None = None
    for place, attempt in enumerate(task.attempts):
        attempt.number = place + 1
        if attempt.key < INNER_RETRY:
            outer = attempt
        elif outer is not None:
            # The one that other records know as the maker of files stays the last.
            task.attempts[place - 1], task.attempts[place] = attempt, outer
            for name in ("number", "key", "executing_line", "executed_line", "children"):
                mine, others = getattr(attempt, name), getattr(outer, name)
                setattr(attempt, name, others)
                setattr(outer, name, mine)
            attempt.started_line, attempt.external_id = outer.started_line, outer.external_id
            attempt.sources = outer.sources
            if (task.id, attempt.key) in run.directory_makers:
                run.directory_makers.add((task.id, outer.key))


def _read(
    journals: Iterable[tuple[str, Iterable[bytes]]], problems: list[str]
) -> tuple[list[_Line], list[str]]:
    """The lines in their order, each event once; and the ids of the runs they tell of."""
    interned: dict[str, str] = {}
    runs: dict[str, None] = {}
    found: list[_Line] = []
    for name, content in journals:
        for number, line in enumerate(content, 1):
            if not line.endswith(b"\n"):
                break  # cut short by the end of its writer
            if line == b"\n":
                continue
            try:
                head = _decode_head(line)
            except _ERRORS as error:
                problems.append(f"{name}, line {number}: not an event: {error}")
                continue
            if head.v > events.VERSION:
                problems.append(f"{name}, line {number}: written by a newer version (v{head.v})")
                continue
            if not is_time(head.time):
                problems.append(f"{name}, line {number}: not an event: its time is {head.time!r}")
                continue
            runs[head.run] = None
            writer = interned.setdefault(head.writer, head.writer)
            found.append((head.time, writer, head.seq, line))
    found.sort(key=itemgetter(0, 1, 2))
    kept = 0
    for entry in found:
        if kept == 0 or entry[2] != found[kept - 1][2] or entry[1] != found[kept - 1][1]:
            found[kept] = entry
            kept += 1
    del found[kept:]
    return found, list(runs)


def _of_run(run_id: str, lines: list[_Line], problems: list[str]) -> list[_Line]:
    kept = []
    for line in lines:
        run = _decode_head(line[3]).run
        if run == run_id:
            kept.append(line)
        else:
            problems.append(f"{line[1]}, event {line[2]}: of another run ({run})")
    return kept


def _fold_workflow(first: events.RunStarted, lines: list[_Line], problems: list[str]) -> Run:
    run = Run(id=first.run, start=first, problems=problems)
    lines.reverse()
    while lines:  # given up as they are taken in: at 100,000 tasks this is memory that counts
        _, writer, seq, line = lines.pop()
        try:
            event = decode(line)
        except _ERRORS as error:
            problems.append(f"{writer}, event {seq}: not a known event: {error}")
            continue
        _HANDLERS[type(event)](run, event, line)
    _finish(run)
    return run


_IN_GROUP = f'"{events.WHOLE_GROUP}"'.encode()


def _order(attempt: Attempt) -> tuple[int, int]:
    retry, number = divmod(attempt.key, INNER_RETRY)
    return number, retry


def _task(run: Run, task_id: str) -> Task:
    task = run.tasks.get(task_id)
    if task is None:
        task = run.tasks[task_id] = Task(id=task_id, step="", depends_on=[])
    return task


def _attempt(run: Run, task_id: str, number: int) -> Attempt:
    task = _task(run, task_id)
    for attempt in task.attempts:
        if attempt.key == number:
            return attempt
    attempt = Attempt(task=task.id, number=number, key=number)
    task.attempts.append(attempt)
    task.not_run_line = None
    return attempt


def _run_started(run: Run, event: events.RunStarted, line: bytes) -> None:
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


def _run_ended(run: Run, event: events.RunEnded, line: bytes) -> None:
    run.end = event


def _step(run: Run, event: events.StepDeclared, line: bytes) -> None:
    run.steps[event.step] = event


def _planned(run: Run, event: events.TaskPlanned, line: bytes) -> None:
    task = _task(run, event.task)
    task.step = event.step
    task.depends_on = event.depends_on or []
    task.label, task.parent, task.attributes = event.label, event.parent, event.attributes
    task.unexpanded = event.unexpanded


def _not_run(run: Run, event: events.TaskNotRun, line: bytes) -> None:
    if event.status in _RAN:
        run.problems.append(f"task {event.task}: what did not run cannot be {event.status}")
        return
    task = _task(run, event.task)
    if event.before is None:
        task.not_run_line = line
    else:
        task.past = {**(task.past or {}), event.before: line}


def _started(run: Run, event: events.TaskStarted, line: bytes) -> None:
    attempt = _attempt(run, event.task, event.attempt)
    if attempt.started_line is None:
        attempt.started_line = line
        if event.inputs:
            attempt.sources = [_maker(run, file.path) for file in event.inputs]
            for file, source in zip(event.inputs, attempt.sources, strict=True):
                if source is None and file.sha256 is not None:
                    # Who looked at the same version without reading it learns its checksum.
                    run.checksums.setdefault((file.path, file.size, file.mtime_ns), file)


def _submitted(run: Run, event: events.TaskSubmitted, line: bytes) -> None:
    _attempt(run, event.task, event.attempt).external_id = event.external_id


def _executing(run: Run, event: events.TaskExecuting, line: bytes) -> None:
    _attempt(run, event.task, event.attempt).executing_line = line


def _executed(run: Run, event: events.TaskExecuted, line: bytes) -> None:
    if event.status not in _ENDS:
        run.problems.append(f"task {event.task}: an attempt cannot end as {event.status}")
        return
    attempt = _attempt(run, event.task, event.attempt)
    attempt.executed_line = line
    for file in event.outputs or ():
        makers = run.left.setdefault(file.path, [])
        if attempt not in makers:
            makers.append(attempt)


def _suspended(run: Run, event: events.TaskSuspended, line: bytes) -> None:
    attempt = _attempt(run, event.task, event.attempt)
    attempt.suspended = [*(attempt.suspended or ()), line]


def _noted(run: Run, event: events.TaskNoted, line: bytes) -> None:
    run.notes.setdefault((event.task, event.attempt), []).append(line)


def _ended(run: Run, event: events.TaskEnded, line: bytes) -> None:
    if event.status not in _ENDS:
        run.problems.append(f"task {event.task}: an attempt cannot end as {event.status}")
        return
    attempt = _attempt(run, event.task, event.attempt)
    if attempt.ended_line is not None:
        _forget_outputs(run, attempt)
    attempt.ended_line = line
    attempt.status = event.status
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


def _hashed(run: Run, event: events.FilesHashed, line: bytes) -> None:
    for file in event.files:
        run.checksums[file.path, file.size, file.mtime_ns] = file


def _child(run: Run, event: events.ChildAttached, line: bytes) -> None:
    attempt = _attempt(run, event.task, event.attempt)
    attempt.children = [*(attempt.children or ()), line]


def _failed(run: Run, event: events.RecorderFailed, line: bytes) -> None:
    run.failures.append(event)


def _ignored(run: Run, event: events.Event, line: bytes) -> None:
    """The start, taken already, and what belongs to ML runs."""


_Handler = Callable[[Run, Any, bytes], None]
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


def _fold_ml(first: events.MLRunStarted, lines: list[_Line], problems: list[str]) -> MLRun:
    run = MLRun(id=first.run, start=first, problems=problems)
    for _, writer, seq, line in lines:
        try:
            event = decode(line)
        except _ERRORS as error:
            problems.append(f"{writer}, event {seq}: not a known event: {error}")
            continue
        match event:
            case events.MLRunEnded():
                run.end = event
            case events.MLContextStarted():
                run.contexts.append(event)
            case events.MLParam():
                run.params.append(event)
            case events.MLMetricDeclared():
                run.metrics.append(event)
            case events.MLArtifact():
                run.artifacts.append(event)
            case events.MLModel():
                run.models.append(event)
            case events.MLDataset():
                run.datasets.append(event)
            case events.RecorderFailed():
                run.failures.append(event)
    return run
