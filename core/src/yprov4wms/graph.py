"""The step graph: the plan, what happened, and the link between both, as one networkx graph.

networkx, half a second of CPU to load, is imported when the first graph is made.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from yprov4wms.events import Status, StepDeclared, TaskEnded, TaskStarted
from yprov4wms.metering.names import CPU_TIME, SECONDS
from yprov4wms.run import Run, Task

if TYPE_CHECKING:
    import networkx as nx

Interval = tuple[datetime, datetime]

#: Upstream tasks looked for in one sweep of the transitive reduction.
_SWEEP = 4096


class Kind(StrEnum):
    """``kind`` of a node."""

    STEP = "step"
    TASK = "task"


class Link(StrEnum):
    """``link`` of an edge, in the words of ``yprov4wms:link``; and the edge's direction."""

    #: From upstream to downstream, as data flow: step to step, task to task.
    DEPENDS_ON = "depends-on"
    #: From a task to the step whose instance it is.
    INSTANCE_OF = "instance-of"
    #: From a task to the task that contains it.
    PART_OF = "part-of"
    #: From a task, or step, of a run inside another one to that which started the run.
    NESTED = "nested"


class CycleError(ValueError):
    """Tasks wait for one another: ``cycle`` has their ids, each upstream of the next."""

    def __init__(self, cycle: list[str]) -> None:
        shown = cycle if len(cycle) <= 10 else [*cycle[:10], f"({len(cycle) - 10} more)"]
        super().__init__("tasks depend on one another: " + " -> ".join([*shown, cycle[0]]))
        self.cycle = cycle


class CriticalPath(NamedTuple):
    """Ids of tasks, each upstream of the next, and their seconds in all."""

    tasks: list[str]
    seconds: float


class Parallelism(NamedTuple):
    """``peak``: attempts at one moment. ``average``: busy seconds by seconds of the makespan.

    The makespan goes from the first start of an attempt to the last end; ``average`` is None
    where it is unknown or zero.
    """

    peak: int
    average: float | None


def step_key(step: str) -> str:
    """The node of a step."""
    return f"step:{step}"


def task_key(task: str) -> str:
    """The node of a task; never that of a step."""
    return f"task:{task}"


class StepGraph:
    """``graph`` has a node per step and task, and the edges that `Link` tells of.

    Nodes of both kinds have ``kind`` and ``label``; what is unknown is left out.

    - A step has ``step``, ``type``, and ``tasks``, their number. Steps are linked as declared,
      and as their tasks' dependencies imply: a step whose tasks depend on one another has an
      edge to itself.
    - A task has ``task``, ``step``, ``status`` (of tasks that never ran, too), ``attempts``
      (their number), ``start`` of the first one, ``end`` and ``exit_code`` of the last, and
      over all of them ``duration_s`` and ``cpu_time_s``, where each attempt's is known.
    - A task that only others name, as upstream or container, has neither status nor attempts;
      a task without a plan has no step.

    Where a container depends on its own member there is the member's ``part-of`` alone.
    """

    def __init__(self, graph: nx.DiGraph[str], intervals: dict[str, list[Interval]]) -> None:
        """intervals: by a task's node, when each of its attempts ran, where that is known."""
        self.graph = graph
        self._intervals = intervals

    @classmethod
    def of(cls, run: Run) -> StepGraph:
        """The graph of a run; the same for the same run, the order of nodes and edges too."""
        import networkx as nx

        graph: nx.DiGraph[str] = nx.DiGraph(
            run=run.id,
            workflow=run.start.workflow,
            engine=run.start.engine.name,
            status=run.status.value,
        )
        _add_steps(graph, run)
        intervals, parents = _add_tasks(graph, run)
        _link_tasks(graph, run, parents)
        return cls(graph, intervals)

    def plan(self) -> nx.DiGraph[str]:
        """The steps alone; cyclic where the workflow is (a rule that feeds itself)."""
        return self._only(Kind.STEP)

    def tasks(self) -> nx.DiGraph[str]:
        """The tasks alone, with ``depends-on`` from upstream to downstream."""
        return self._only(Kind.TASK)

    def cycle(self) -> list[str]:
        """Ids of tasks that wait for one another, each upstream of the next; empty in a sound run.

        A member of a container that waits for what waits for the container counts, too.
        """
        tasks = _Tasks(self.graph)
        try:
            tasks.order(tasks.nested())
        except CycleError as error:
            return error.cycle
        return []

    def critical_path(self) -> CriticalPath:
        """The chain of dependent tasks that took longest: to end earlier, make these quicker.

        A task counts with all its attempts, for what is downstream waited for each of them;
        with nothing where no attempt's duration is known, and from its upstream's end on where
        it started before that (a pipe, a group). A container whose members ran is not named:
        they stand for it. Raises CycleError.
        """
        tasks = _Tasks(self.graph)
        upstream = tasks.nested()
        order = tasks.order(upstream)
        covered = self._covered(tasks)
        seconds = [0.0] * len(order)
        ends: list[datetime | None] = [None] * len(order)
        for index, key in enumerate(tasks.keys):
            if index not in covered and (ran := self._intervals.get(key)):
                seconds[index] = _seconds(ran)
                ends[index] = max(end for _, end in ran)
        reached = list(ends)  # by the chain that leads to each
        longest = [0.0] * len(order)
        came_from = [-1] * len(order)
        for node in order:
            end, took = ends[node], seconds[node]
            longest[node] = took
            for before in upstream[node]:
                last, alone = reached[before], took
                if end is not None and last is not None:
                    alone = min(took, max((end - last).total_seconds(), 0.0))
                if longest[before] and longest[before] + alone > longest[node]:
                    longest[node] = longest[before] + alone
                    came_from[node] = before
            if came_from[node] >= 0:
                last = reached[came_from[node]]
                reached[node] = max(filter(None, (end, last)), default=None)
        node = max(order, key=longest.__getitem__, default=-1)
        total = longest[node] if order else 0.0
        path: list[str] = []
        while total and node >= 0:
            if node < len(tasks.ids) and node not in covered:
                path.append(tasks.ids[node])
            node = came_from[node]
        return CriticalPath(path[::-1], round(total, 6))

    def parallelism(self) -> Parallelism:
        """Of attempts whose start and end are known; a container counts by its members."""
        tasks = _Tasks(self.graph)
        covered = self._covered(tasks)
        ran = [
            interval
            for index, key in enumerate(tasks.keys)
            if index not in covered
            for interval in self._intervals.get(key, ())
        ]
        if not ran:
            return Parallelism(0, None)
        # At one instant: ends, then starts, then ends of what took no time at all.
        moments = [(begin, 1, 1) for begin, _ in ran]
        moments += [(end, 0 if end > begin else 2, -1) for begin, end in ran]
        peak = running = 0
        for _, _, change in sorted(moments):
            running += change
            peak = max(peak, running)
        makespan = (max(end for _, end in ran) - min(begin for begin, _ in ran)).total_seconds()
        return Parallelism(peak, round(_seconds(ran) / makespan, 6) if makespan else None)

    def transitive_reduction(self) -> nx.DiGraph[str]:
        """`tasks` without each dependency that a longer chain implies. Raises CycleError."""
        tasks = _Tasks(self.graph)
        order = tasks.order(tasks.upstream)
        reduced = self.tasks()
        reduced.remove_edges_from(
            (tasks.keys[before], tasks.keys[node])
            for before, node in redundant(tasks.upstream, order)
        )
        return reduced

    def _only(self, kind: Kind) -> nx.DiGraph[str]:
        import networkx as nx

        found: nx.DiGraph[str] = nx.DiGraph(**self.graph.graph)
        found.add_nodes_from(
            (key, values) for key, values in self.graph.nodes(data=True) if values["kind"] == kind
        )
        found.add_edges_from(
            (before, after, values)
            for before, after, values in self.graph.edges(data=True)
            if values["link"] == Link.DEPENDS_ON and before in found
        )
        return found

    def _covered(self, tasks: _Tasks) -> set[int]:
        """Containers that have a member that ran, at any depth."""
        covered: set[int] = set()
        for index, key in enumerate(tasks.keys):
            if not self._intervals.get(key):
                continue
            container = tasks.parent.get(index)
            while container is not None and container not in covered:
                covered.add(container)
                container = tasks.parent.get(container)
        return covered


def redundant(upstream: Sequence[Sequence[int]], order: Sequence[int]) -> list[tuple[int, int]]:
    """The edges (before, node) of a DAG that a longer path from ``before`` to ``node`` implies.

    upstream: by node, the nodes before it; order: a topological one.

    Only an edge that spans two levels (longest paths from a root) or more can be redundant.
    The nodes where such edges begin are looked for below them by the thousand, as bits of an
    integer that goes down the graph from the first of them to the last such edge's end.
    """
    level = [0] * len(upstream)
    ends: dict[int, int] = {}
    for position, node in enumerate(order):
        level[node] = deepest = 1 + max((level[before] for before in upstream[node]), default=-1)
        for before in upstream[node]:
            if deepest - level[before] > 1:
                ends[before] = position
    begins = [(position, node) for position, node in enumerate(order) if node in ends]
    found: list[tuple[int, int]] = []
    for first in range(0, len(begins), _SWEEP):
        block = begins[first : first + _SWEEP]
        bits = {node: 1 << number for number, (_, node) in enumerate(block)}
        last = max(ends[node] for _, node in block)
        above: dict[int, int] = {}
        for node in order[block[0][0] : last + 1]:
            direct = further = 0
            for before in upstream[node]:
                direct |= bits.get(before, 0)
                further |= above.get(before, 0)
            if direct & further:
                found += [(b, node) for b in upstream[node] if bits.get(b, 0) & further]
            if direct or further:
                above[node] = direct | further
    return found


class _Tasks:
    """The tasks of a graph by index, which is much quicker to walk."""

    def __init__(self, graph: nx.DiGraph[str]) -> None:
        nodes = [(k, v["task"]) for k, v in graph.nodes(data=True) if v["kind"] == Kind.TASK]
        self.keys = [key for key, _ in nodes]
        self.ids = [task for _, task in nodes]
        self.upstream: list[list[int]] = [[] for _ in nodes]
        self.parent: dict[int, int] = {}
        index = {key: number for number, key in enumerate(self.keys)}
        for before, after, link in graph.edges(data="link", default=""):
            if link == Link.PART_OF:
                self.parent[index[before]] = index[after]
            elif link == Link.DEPENDS_ON and after in index:
                self.upstream[index[after]].append(index[before])
        self.containers = list(dict.fromkeys(self.parent.values()))

    def nested(self) -> list[list[int]]:
        """As ``upstream``, a container being two nodes: its begin and its end.

        The end has the container's own index; begins follow the tasks, in the order of
        ``containers``. Members begin after their container's begin and end before its end.
        """
        count = len(self.keys)
        begin = {node: count + number for number, node in enumerate(self.containers)}
        upstream: list[list[int]] = [[] for _ in range(count + len(begin))]
        for node, all_before in enumerate(self.upstream):
            container = self.parent.get(node)
            entry = upstream[begin.get(node, node)]
            # Between a container and its member, the nesting says it all.
            entry += [before for before in all_before if before != container]
            if node in begin:
                upstream[node].append(begin[node])
            if container is not None:
                entry.append(begin[container])
                upstream[container].append(node)
        return upstream

    def order(self, upstream: Sequence[Sequence[int]]) -> list[int]:
        """A topological order (Kahn) of what is ``upstream`` or `nested`; raises CycleError."""
        waiting = [len(before) for before in upstream]
        downstream: list[list[int]] = [[] for _ in upstream]
        for node, all_before in enumerate(upstream):
            for before in all_before:
                downstream[before].append(node)
        order = [node for node, count in enumerate(waiting) if not count]
        for node in order:
            for after in downstream[node]:
                waiting[after] -= 1
                if not waiting[after]:
                    order.append(after)
        if len(order) < len(upstream):
            raise CycleError(self._cycle(upstream, set(order)))
        return order

    def _cycle(self, upstream: Sequence[Sequence[int]], sound: set[int]) -> list[str]:
        """What is not in order has something before it that is not either: go up to a repeat."""
        node = next(node for node in range(len(upstream)) if node not in sound)
        met: dict[int, None] = {}
        while node not in met:
            met[node] = None
            node = next(before for before in upstream[node] if before not in sound)
        path = list(met)
        looped = path[path.index(node) :][::-1]
        tasks = [*range(len(self.ids)), *self.containers]
        return [self.ids[task] for task in dict.fromkeys(tasks[node] for node in looped)]


def _add_steps(graph: nx.DiGraph[str], run: Run) -> None:
    steps = dict(run.steps)
    counts = dict.fromkeys(steps, 0)
    for step in run.steps.values():
        for name in step.depends_on or ():
            steps.setdefault(name, StepDeclared(step=name))
    for task in run.tasks.values():
        if task.step:
            steps.setdefault(task.step, StepDeclared(step=task.step))
            counts[task.step] = counts.get(task.step, 0) + 1
    for name, step in steps.items():
        key = step_key(name)
        values: dict[str, Any] = {"label": name or key, "step": name, "type": step.type}
        values["tasks"] = counts.get(name, 0)
        graph.add_node(key, kind=Kind.STEP.value, **_known(values))
    for name, step in steps.items():
        for before in step.depends_on or ():
            graph.add_edge(step_key(before), step_key(name), link=Link.DEPENDS_ON.value)


def _add_tasks(
    graph: nx.DiGraph[str], run: Run
) -> tuple[dict[str, list[Interval]], list[tuple[str, str]]]:
    """Adds the tasks; returns when their attempts ran, and the pairs of task and container."""
    intervals: dict[str, list[Interval]] = {}
    parents: list[tuple[str, str]] = []
    statuses = run.statuses()
    for task in run.tasks.values():
        key = task_key(task.id)
        happened, ran = _happened(task)
        status = statuses[task.id]
        # Of an imported run an attempt without an end is one of which no more is known.
        unknown = run.start.imported and status is Status.RUNNING
        values = {
            "label": task.name or key,
            "task": task.id,
            "step": task.step or None,
            "status": None if unknown else status.value,
            "attempts": len(task.attempts),
            **happened,
        }
        graph.add_node(key, kind=Kind.TASK.value, **_known(values))
        if ran:
            intervals[key] = ran
        if task.parent is not None:
            parents.append((task.id, task.parent))
    return intervals, parents


def _link_tasks(graph: nx.DiGraph[str], run: Run, parents: list[tuple[str, str]]) -> None:
    implied: dict[tuple[str, str], None] = {}

    def node(task: str) -> str:
        key = task_key(task)
        if key not in graph:
            graph.add_node(key, kind=Kind.TASK.value, label=task or key, task=task)
        return key

    for task in run.tasks.values():
        key = task_key(task.id)
        for before in task.depends_on:
            graph.add_edge(node(before), key, link=Link.DEPENDS_ON.value)
            other = run.tasks.get(before)
            if other is not None and other.step and task.step:
                implied[other.step, task.step] = None
        if task.step:
            graph.add_edge(key, step_key(task.step), link=Link.INSTANCE_OF.value)
    for member, container in parents:
        graph.add_edge(node(member), node(container), link=Link.PART_OF.value)
    for first, second in implied:
        graph.add_edge(step_key(first), step_key(second), link=Link.DEPENDS_ON.value)


def _happened(task: Task) -> tuple[dict[str, Any], list[Interval]]:
    """A task's attempts as attributes, and when they ran, of those whose times are known."""
    ran: list[Interval] = []
    cpu: list[float] = []
    first: str | None = None
    last: TaskEnded | None = None
    end: datetime | None = None
    for attempt in task.attempts:
        started, last = attempt.start, attempt.end
        began, end = _began(started, last), _finished(last)
        if attempt is task.attempts[0]:
            first = _text(began)
        if began and end and began <= end:
            ran.append((began, end))
        used = (last.usage or {}).get(CPU_TIME) if last else None
        if used is not None and used.value is not None and used.unit == SECONDS:
            cpu.append(used.value)
    tries = len(task.attempts)
    return {
        "start": first,
        "end": _text(end),
        "duration_s": round(_seconds(ran), 6) if tries and len(ran) == tries else None,
        "cpu_time_s": round(sum(cpu), 6) if tries and len(cpu) == tries else None,
        "exit_code": last.exit_code if last else None,
    }, ran


def _began(started: TaskStarted | None, ended: TaskEnded | None) -> datetime | None:
    return _moment((ended.began if ended else None) or (started.time if started else None))


def _finished(ended: TaskEnded | None) -> datetime | None:
    return _moment((ended.finished or ended.time) if ended else None)


def _moment(text: str | None) -> datetime | None:
    """An event's time; None where it is not one."""
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return moment if moment.tzinfo else None


def _text(moment: datetime | None) -> str | None:
    return moment.isoformat(timespec="microseconds") if moment else None


def _seconds(intervals: Iterable[Interval]) -> float:
    return sum((end - begin for begin, end in intervals), timedelta()).total_seconds()


def _known(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
