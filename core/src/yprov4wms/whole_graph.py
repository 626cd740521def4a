"""The step graph of a run and of the runs inside it, as one networkx graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from yprov4wms.graph import Kind, Link, StepGraph, step_key, task_key
from yprov4wms.run import Attempt, Run

if TYPE_CHECKING:
    import networkx as nx


class Whole(Protocol):
    """A run, the attempt that started it, and the runs inside it."""

    @property
    def run(self) -> Run: ...
    @property
    def around(self) -> Attempt | None: ...
    @property
    def nested(self) -> Sequence[Whole]: ...


def whole_graph(whole: Whole) -> nx.DiGraph[str]:
    """The graph of a run (`StepGraph`), with those of the runs inside it.

    Nodes of a run inside it have its id and a slash before their names, and as ``run``. Its
    tasks that no other task contains have an edge, ``nested``, to the task that started the run;
    so have its steps to that task's step.
    """
    graph = StepGraph.of(whole.run).graph
    _add(graph, whole, "")
    return graph


def _add(graph: nx.DiGraph[str], whole: Whole, before: str) -> None:
    """before: what stands before the names of the nodes of ``whole``."""
    for inner in whole.nested:
        prefix, run = f"{inner.run.id}/", inner.run
        part = StepGraph.of(run).graph
        for node, values in part.nodes(data=True):
            graph.add_node(prefix + node, **values, run=run.id)
        for one, other, values in part.edges(data=True):
            graph.add_edge(prefix + one, prefix + other, **values)
        _hang(graph, part, inner, prefix, whole.run, before)
        _add(graph, inner, prefix)


def _hang(
    graph: nx.DiGraph[str],
    part: nx.DiGraph[str],
    inner: Whole,
    prefix: str,
    outer: Run,
    before: str,
) -> None:
    if inner.around is None:
        return
    task = before + task_key(inner.around.task)
    step = before + step_key(outer.tasks[inner.around.task].step)
    contained = {one for one, _, values in part.edges(data=True) if values["link"] == Link.PART_OF}
    declared = inner.run.steps
    for node, values in part.nodes(data=True):
        if values["kind"] == Kind.TASK:
            target = task if node not in contained else None
        else:
            known = declared.get(values["step"])
            target = step if known is None or known.parent is None else None
        if target is not None and target in graph:
            graph.add_edge(prefix + node, target, link=Link.NESTED.value)
