"""The step graph over runs inside runs."""

from __future__ import annotations

import io
from pathlib import Path

import networkx as nx
import pytest
from tests.yprov4wms.export.nested_runs import INMOST, INNER, OUTER, started, task, within, write

from yprov4wms import events as e
from yprov4wms.export import document
from yprov4wms.export.graph import FORMATS, write_graph
from yprov4wms.graph import StepGraph
from yprov4wms.run import Run
from yprov4wms.store import Store
from yprov4wms.whole_graph import whole_graph


def planned(name: str, step: str, **more: str) -> e.TaskPlanned:
    return e.TaskPlanned(task=name, step=step, **more)


def graph_of(store: Path, run: str) -> nx.DiGraph[str]:
    folder = Store(str(store)).run(run)
    found = document.read(folder)
    assert isinstance(found, Run)
    return whole_graph(document.whole(found, folder))


def deep(store: Path) -> None:
    write(store, OUTER, 0, started(), planned("t", "train"), *task("t"))
    inner = started("/w", within(store, OUTER, "t"))
    steps = [
        e.StepDeclared(step="sub"),
        e.StepDeclared(step="sub/fit", parent="sub"),
        planned("s", "sub"),
        planned("u", "sub/fit", parent="s"),
    ]
    write(store, INNER, 1, inner, *steps, task("s")[0], *task("u"), task("s")[1])
    inmost = started("/w", within(store, INNER, "u"))
    write(store, INMOST, 2, inmost, planned("v", "count"), *task("v"))


def test_a_nested_runs_tasks_and_steps_hang_on_what_started_it(tmp_path: Path) -> None:
    deep(tmp_path)
    graph = graph_of(tmp_path, OUTER)
    nested = {(one, other) for one, other, link in graph.edges(data="link") if link == "nested"}
    assert nested == {
        (f"{INNER}/task:s", "task:t"),
        (f"{INNER}/step:sub", "step:train"),
        (f"{INMOST}/task:v", f"{INNER}/task:u"),
        (f"{INMOST}/step:count", f"{INNER}/step:sub/fit"),
    }
    assert graph.nodes[f"{INNER}/task:u"]["run"] == INNER


def test_the_graph_of_each_run_is_in_it_as_it_is(tmp_path: Path) -> None:
    deep(tmp_path)
    graph = graph_of(tmp_path, OUTER)
    for run, prefix in ((OUTER, ""), (INNER, f"{INNER}/"), (INMOST, f"{INMOST}/")):
        found = document.read(Store(str(tmp_path)).run(run))
        assert isinstance(found, Run)
        alone = StepGraph.of(found).graph
        renamed = nx.relabel_nodes(alone, {node: prefix + node for node in alone})
        part = graph.subgraph(renamed.nodes)
        assert set(part.edges) == set(renamed.edges)
        for node, values in renamed.nodes(data=True):
            assert values.items() <= part.nodes[node].items()


def test_it_is_acyclic_over_all_levels(tmp_path: Path) -> None:
    deep(tmp_path)
    assert nx.is_directed_acyclic_graph(graph_of(tmp_path, OUTER))


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_has_all_of_its_nodes(tmp_path: Path, form: str) -> None:
    deep(tmp_path)
    graph = graph_of(tmp_path, OUTER)
    file = io.BytesIO()
    write_graph(graph, form, file)
    text = file.getvalue().decode()
    if form == "graphml":
        assert nx.is_isomorphic(nx.parse_graphml(text), graph)
    for label in ("train", "sub/fit", "count"):
        assert label in text
