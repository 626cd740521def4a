"""What is decided once all events of a run were taken in."""

from __future__ import annotations

from operator import itemgetter

from yprov4wms.events import INNER_RETRY
from yprov4wms.run import Attempt, Run, Task

#: What tells of an attempt that the engine does not count.
_OF_PROCESS = (
    *("number", "key", "executing_line", "executed_line", "executed_status", "children"),
)


def _order(attempt: Attempt) -> tuple[int, int]:
    retry, number = divmod(attempt.key, INNER_RETRY)
    return number, retry


def conclude(run: Run) -> None:
    """Tasks where others stood for them, sources, numbers and statuses of attempts."""
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
        if attempt.executing_line is not None and attempt.says(attempt.executing_line, "script"):
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
        if attempt.executing_line is None or not attempt.says(attempt.executing_line, "inputs"):
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
        if attempt.group is not None:
            groups.setdefault((attempt.group, attempt.key), []).append(attempt)
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
            for name in _OF_PROCESS:
                mine, others = getattr(attempt, name), getattr(outer, name)
                setattr(attempt, name, others)
                setattr(outer, name, mine)
            attempt.started_line, attempt.external_id = outer.started_line, outer.external_id
            attempt.sources = outer.sources
            if (task.id, attempt.key) in run.directory_makers:
                run.directory_makers.add((task.id, outer.key))
