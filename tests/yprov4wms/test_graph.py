"""The step graph of runs that are folded from real events."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache

import msgspec
import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yprov4wms import events
from yprov4wms.events import Figure, Software, Status
from yprov4wms.graph import CycleError, Parallelism, StepGraph, redundant, step_key, task_key
from yprov4wms.replay import fold
from yprov4wms.run import Run

START = datetime(2026, 1, 1, tzinfo=UTC)
Timed = tuple[float, events.Event]


def moment(seconds: float) -> str:
    return (START + timedelta(seconds=seconds)).isoformat(timespec="microseconds")


def lines_of(*body: Timed) -> list[bytes]:
    engine = Software(name="snakemake", kind="engine", version="9.27")
    start = events.RunStarted(engine=engine, workflow="Snakefile", directory="/work")
    lines = []
    for seq, (seconds, event) in enumerate([(0.0, start), *body], 1):
        event.v, event.time, event.run = events.VERSION, moment(seconds), "run-1"
        event.writer, event.seq = "host-1", seq
        lines.append(msgspec.json.encode(event) + b"\n")
    return lines


def folded(*journals: list[bytes]) -> Run:
    run = fold([(f"host-{number}.jsonl", lines) for number, lines in enumerate(journals)])
    assert isinstance(run, Run)
    assert run.problems == []
    return run


def graph_of(*body: Timed) -> StepGraph:
    return StepGraph.of(folded(lines_of(*body)))


def planned(
    task: str, *depends_on: str, step: str = "step", label: str | None = None, parent: str = ""
) -> Timed:
    return 0.0, events.TaskPlanned(
        task=task, step=step, depends_on=list(depends_on), label=label, parent=parent or None
    )


def ran(
    task: str,
    begin: float,
    end: float,
    attempt: int = 1,
    status: Status = Status.COMPLETED,
    cpu: float | None = None,
    exit_code: int | None = None,
) -> list[Timed]:
    usage = {"cpu_time": Figure(unit="s", method="wait4", value=cpu)} if cpu is not None else None
    return [
        (begin, events.TaskStarted(task=task, attempt=attempt)),
        (
            end,
            events.TaskEnded(
                task=task, attempt=attempt, status=status, usage=usage, exit_code=exit_code
            ),
        ),
    ]


@st.composite
def dags(draw: st.DrawFn) -> list[list[int]]:
    """By node, the nodes before it; the numbers of the nodes are in no topological order."""
    size = draw(st.integers(1, 14))
    names = draw(st.permutations(range(size)))
    upstream: list[list[int]] = [[] for _ in range(size)]
    for after in range(size):
        for before in draw(st.sets(st.integers(0, after - 1))) if after else ():
            upstream[names[after]].append(names[before])
    return upstream


def as_networkx(upstream: list[list[int]]) -> nx.DiGraph:
    graph = nx.DiGraph()
    graph.add_nodes_from(range(len(upstream)))
    graph.add_edges_from((b, node) for node, before in enumerate(upstream) for b in before)
    return graph


def test_a_task_node_tells_what_became_of_all_its_attempts() -> None:
    graph = graph_of(
        planned("t", step="align", label="align sample=a"),
        *ran("t", 10, 12.5, status=Status.FAILED, cpu=2, exit_code=1),
        *ran("t", 20, 24, attempt=2, cpu=3.5, exit_code=0),
    )
    assert graph.graph.nodes[task_key("t")] == {
        "kind": "task",
        "label": "align sample=a",
        "task": "t",
        "step": "align",
        "status": "completed",
        "attempts": 2,
        "start": moment(10),
        "end": moment(24),
        "duration_s": 6.5,
        "cpu_time_s": 5.5,
        "exit_code": 0,
    }
    assert graph.graph.graph == {
        "run": "run-1",
        "workflow": "Snakefile",
        "engine": "snakemake",
        "status": "running",
    }


def test_the_time_of_the_process_goes_before_that_of_the_engine() -> None:
    started = events.TaskStarted(task="t", attempt=1)
    ended = events.TaskEnded(
        task="t", attempt=1, status=Status.COMPLETED, began=moment(13), finished=moment(14)
    )
    node = graph_of((10, started), (20, ended)).graph.nodes[task_key("t")]
    assert (node["start"], node["end"], node["duration_s"]) == (moment(13), moment(14), 1.0)


def test_tasks_that_never_ran_are_nodes_with_their_status() -> None:
    graph = graph_of(
        planned("a"),
        *ran("a", 1, 2, status=Status.FAILED),
        planned("b", "a"),
        planned("c", "b"),
        planned("d"),
        planned("e"),
        (3, events.TaskNotRun(task="e", status=Status.UP_TO_DATE)),
    )
    assert dict(graph.tasks().nodes(data="status")) == {
        "task:a": "failed",
        "task:b": "upstream-failed",
        "task:c": "upstream-failed",
        "task:d": "not-started",
        "task:e": "up-to-date",
    }
    assert graph.graph.nodes["task:c"]["attempts"] == 0
    assert not {"start", "end", "duration_s", "exit_code"} & set(graph.graph.nodes["task:c"])


@pytest.mark.parametrize(
    ("began", "finished"),
    [("yesterday", moment(5)), (moment(5), "9"), (moment(5), moment(4)), ("2026-01-01", moment(1))],
)
def test_times_that_cannot_be_give_no_duration(began: str, finished: str) -> None:
    ended = events.TaskEnded(
        task="t", attempt=1, status=Status.COMPLETED, began=began, finished=finished
    )
    graph = graph_of((1, events.TaskStarted(task="t", attempt=1)), (2, ended))
    assert "duration_s" not in graph.graph.nodes["task:t"]
    assert graph.critical_path() == ([], 0.0)
    assert graph.parallelism() == (0, None)


def test_a_sum_over_attempts_is_left_out_where_one_of_them_is_unknown() -> None:
    graph = graph_of(
        (1, events.TaskStarted(task="t", attempt=1)),
        *ran("t", 10, 12, attempt=2, cpu=1),
        *ran("u", 1, 2),
        (3, events.TaskStarted(task="u", attempt=2)),
    )
    t, u = graph.graph.nodes["task:t"], graph.graph.nodes["task:u"]
    assert not {"duration_s", "cpu_time_s"} & set(t)
    assert (t["start"], t["end"]) == (moment(1), moment(12))
    assert (u["start"], u["status"], "end" in u) == (moment(1), "running", False)


def test_processor_time_in_another_unit_is_not_taken_for_seconds() -> None:
    usage = {"cpu_time": Figure(unit="ms", method="guess", value=5.0)}
    ended = events.TaskEnded(task="t", attempt=1, status=Status.COMPLETED, usage=usage)
    assert "cpu_time_s" not in graph_of((1, ended)).graph.nodes["task:t"]


def test_edges_link_steps_tasks_and_the_plan_with_what_happened() -> None:
    graph = graph_of(
        (0, events.StepDeclared(step="map", type="rule")),
        (0, events.StepDeclared(step="reduce", depends_on=["map", "undeclared"])),
        planned("m1", step="map"),
        planned("m2", step="map", parent="sub"),
        planned("r", "m1", "m2", step="reduce"),
        planned("sub", step="workflow"),
    )
    assert set(graph.graph.edges(data="link")) == {
        ("step:map", "step:reduce", "depends-on"),
        ("step:undeclared", "step:reduce", "depends-on"),
        ("task:m1", "task:r", "depends-on"),
        ("task:m2", "task:r", "depends-on"),
        ("task:m1", "step:map", "instance-of"),
        ("task:m2", "step:map", "instance-of"),
        ("task:r", "step:reduce", "instance-of"),
        ("task:sub", "step:workflow", "instance-of"),
        ("task:m2", "task:sub", "part-of"),
    }
    assert graph.graph.nodes["step:map"] == {
        "kind": "step",
        "label": "map",
        "step": "map",
        "type": "rule",
        "tasks": 2,
    }
    assert graph.graph.nodes["step:undeclared"]["tasks"] == 0
    assert graph.graph.nodes["step:workflow"]["tasks"] == 1


def test_the_dependencies_of_tasks_complete_those_of_steps() -> None:
    graph = graph_of(
        planned("a", step="first"),
        planned("b1", "a", step="again"),
        planned("b2", "b1", step="again"),
        planned("c", "b2", step="first"),
    )
    assert set(graph.plan().edges) == {
        ("step:first", "step:again"),
        ("step:again", "step:again"),
        ("step:again", "step:first"),
    }
    assert set(graph.plan()) == {"step:first", "step:again"}
    assert graph.cycle() == []


def test_a_step_and_a_task_of_one_name_are_two_nodes() -> None:
    graph = graph_of(planned("x", step="x"), planned("step:x", step="task:x"))
    assert set(graph.graph) == {"step:x", "task:x", "task:step:x", "step:task:x"}


def test_an_upstream_that_nothing_tells_of_is_a_node_without_status() -> None:
    graph = graph_of(planned("a", "ghost"), *ran("a", 0, 4), planned("b", parent="phantom"))
    assert graph.graph.nodes["task:ghost"] == {"kind": "task", "label": "ghost", "task": "ghost"}
    assert graph.graph.has_edge("task:ghost", "task:a")
    assert graph.graph.edges["task:b", "task:phantom"] == {"link": "part-of"}
    assert graph.critical_path() == (["a"], 4.0)


def test_a_task_without_a_plan_has_no_step() -> None:
    graph = graph_of(*ran("t", 1, 2))
    assert list(graph.graph) == ["task:t"]
    assert "step" not in graph.graph.nodes["task:t"]
    assert graph.graph.number_of_edges() == 0
    after = graph_of(*ran("t", 1, 2), planned("u", "t", step="s"))
    assert dict(after.plan().nodes(data="tasks")) == {"step:s": 1}


def test_the_graph_does_not_depend_on_the_order_of_the_journals_lines() -> None:
    body = [planned(f"t{n}", *(f"t{n // k}" for k in (2, 3)), step=f"s{n % 3}") for n in range(30)]
    body += [event for n in range(30) for event in ran(f"t{n}", n, n + 2.0)]
    lines = lines_of(*body)
    straight = StepGraph.of(folded(lines)).graph
    random.Random(1).shuffle(lines)
    shuffled = StepGraph.of(folded(lines[:20], lines[20:])).graph
    assert list(straight.nodes(data=True)) == list(shuffled.nodes(data=True))
    assert list(straight.edges(data=True)) == list(shuffled.edges(data=True))


def test_the_critical_path_is_the_chain_that_took_longest() -> None:
    graph = graph_of(
        planned("load"),
        planned("slow", "load"),
        planned("quick", "load"),
        planned("merge", "slow", "quick"),
        planned("lost", "merge"),
        *ran("load", 0, 1),
        *ran("slow", 1, 8),
        *ran("quick", 1, 2),
        *ran("merge", 8, 9),
    )
    assert graph.critical_path() == (["load", "slow", "merge"], 9.0)


def test_the_critical_path_counts_a_tasks_retries() -> None:
    graph = graph_of(
        *ran("steady", 0, 5),
        *ran("flaky", 0, 4, status=Status.FAILED),
        *ran("flaky", 60, 64, attempt=2),
    )
    assert graph.critical_path() == (["flaky"], 8.0)


def test_the_critical_path_goes_through_a_container_by_its_members() -> None:
    graph = graph_of(
        planned("before"),
        planned("sub", "before"),
        planned("sub/x", parent="sub"),
        planned("sub/y", "sub/x", parent="sub"),
        planned("sub/z", parent="sub"),
        planned("after", "sub"),
        *ran("before", 0, 1),
        *ran("sub", 1, 100),
        *ran("sub/x", 1, 30),
        *ran("sub/y", 30, 90),
        *ran("sub/z", 1, 50),
        *ran("after", 100, 101),
    )
    assert graph.critical_path() == (["before", "sub/x", "sub/y", "after"], 91.0)
    assert graph.parallelism().peak == 2


def test_a_container_whose_members_left_no_trace_stands_for_itself() -> None:
    graph = graph_of(planned("in", parent="sub"), planned("sub"), *ran("sub", 0, 7))
    assert graph.critical_path() == (["sub"], 7.0)
    assert graph.parallelism() == (1, 1.0)


def test_a_container_and_its_member_may_name_each_other_as_upstream() -> None:
    graph = graph_of(
        planned("sub", "in1"),
        planned("in1", parent="sub"),
        planned("in2", "sub", parent="sub"),
        *ran("sub", 0, 9),
        *ran("in1", 0, 3),
        *ran("in2", 0, 5),
    )
    assert graph.cycle() == []
    assert graph.critical_path() == (["in2"], 5.0)
    assert graph.graph.edges["task:in1", "task:sub"]["link"] == "part-of"


@settings(deadline=None)
@given(dags(), st.data())
def test_the_critical_path_is_as_long_as_the_longest_path_of_networkx(
    upstream: list[list[int]], data: st.DataObject
) -> None:
    size = len(upstream)
    durations = data.draw(st.lists(st.integers(0, 20), min_size=size, max_size=size))
    body = [planned(str(node), *map(str, before)) for node, before in enumerate(upstream)]

    @cache
    def end(node: int) -> float:
        return max((end(before) for before in upstream[node]), default=10.0) + durations[node]

    for node, length in enumerate(durations):
        body += ran(str(node), end(node) - length, end(node))
    found = graph_of(*body).critical_path()

    weighted = as_networkx(upstream)
    for before, _, values in weighted.edges(data=True):
        values["weight"] = durations[before]
    weighted.add_weighted_edges_from((node, "end", durations[node]) for node in range(size))
    assert found.seconds == nx.dag_longest_path_length(weighted)
    assert sum(durations[int(task)] for task in found.tasks) == found.seconds
    assert all(
        int(a) in upstream[int(b)] for a, b in zip(found.tasks, found.tasks[1:], strict=False)
    )


def test_what_ran_beside_its_upstream_counts_from_the_upstreams_end() -> None:
    body = [planned("writer"), planned("reader", "writer"), planned("after", "reader")]
    runs = [*ran("writer", 0, 3), *ran("reader", 0, 3), *ran("after", 3, 4)]
    found = graph_of(*body, *runs).critical_path()
    assert found.seconds == 4
    assert found.tasks in (["writer", "reader", "after"], ["reader", "after"])
    early = [*ran("writer", 0, 3), *ran("reader", 1, 2), *ran("after", 2, 4)]
    assert graph_of(*body, *early).critical_path().seconds <= 4


def test_parallelism_of_nothing_is_unknown() -> None:
    assert graph_of(planned("a")).parallelism() == (0, None)
    assert graph_of().critical_path() == ([], 0.0)


def test_parallelism_does_not_count_one_that_ends_as_the_other_starts() -> None:
    graph = graph_of(*ran("a", 0, 2), *ran("b", 2, 4), *ran("c", 2, 2))
    assert graph.parallelism() == Parallelism(peak=2, average=1.0)
    assert graph_of(*ran("a", 1, 1)).parallelism() == (1, None)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 12), st.integers(1, 6)), min_size=1, max_size=8))
def test_parallelism_is_what_counting_at_each_second_gives(spans: list[tuple[int, int]]) -> None:
    body = [
        e for n, (begin, length) in enumerate(spans) for e in ran(f"t{n}", begin, begin + length)
    ]
    at_once = [sum(b <= second < b + length for b, length in spans) for second in range(20)]
    makespan = max(b + length for b, length in spans) - min(b for b, _ in spans)
    found = graph_of(*body).parallelism()
    assert found.peak == max(at_once)
    assert found.average == pytest.approx(sum(at_once) / makespan, abs=1e-6)


@settings(deadline=None)
@given(dags())
def test_the_transitive_reduction_is_that_of_networkx(upstream: list[list[int]]) -> None:
    body = [planned(str(node), *map(str, before)) for node, before in enumerate(upstream)]
    graph = graph_of(*body)
    expected = nx.transitive_reduction(as_networkx(upstream))
    reduced = graph.transitive_reduction()
    assert {(task_key(str(a)), task_key(str(b))) for a, b in expected.edges} == set(reduced.edges)
    assert dict(reduced.nodes(data=True)) == dict(graph.tasks().nodes(data=True))
    assert all(link == "depends-on" for _, _, link in reduced.edges(data="link"))


@settings(max_examples=50, deadline=None)
@given(st.randoms(use_true_random=False), st.integers(1, 5))
def test_the_reduction_is_the_same_in_many_sweeps(chance: random.Random, sweep: int) -> None:
    size = 60
    upstream = [
        sorted({chance.randrange(node) for _ in range(3)}) if node else [] for node in range(size)
    ]
    expected = nx.transitive_reduction(as_networkx(upstream))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("yprov4wms.graph._SWEEP", sweep)
        found = redundant(upstream, range(size))
    kept = {(b, node) for node, before in enumerate(upstream) for b in before} - set(found)
    assert kept == set(expected.edges)
    assert len(found) == len(set(found))


class Counted(list[int]):
    """Counts the edges that are looked at."""

    looked_at = 0

    def __iter__(self) -> Iterator[int]:
        Counted.looked_at += len(self)
        return super().__iter__()


def layered() -> list[list[int]]:
    """100 layers of 334 tasks, each on three tasks of the layer before: 1e5 edges."""
    chance = random.Random(3)
    return [
        sorted(334 * (node // 334 - 1) + n for n in chance.sample(range(334), 3))
        if node >= 334
        else []
        for node in range(334 * 101)
    ]


def shortcuts() -> list[list[int]]:
    """A chain of 3e4 tasks, each on the one before the last, too: 6e4 edges."""
    return [[n for n in (node - 2, node - 1) if n >= 0] for node in range(30_000)]


def set_up_once() -> list[list[int]]:
    """A chain of 5e4 tasks, each of which depends on the first one, too: 1e5 edges."""
    return [sorted({0, node - 1}) if node else [] for node in range(50_000)]


def gathered_and_scattered() -> list[list[int]]:
    """3e4 samples, one gather; 2e4 regions, each on the gather and on a split of its own."""
    gather = 30_000
    upstream: list[list[int]] = [[] for _ in range(gather)] + [list(range(gather)), []]
    upstream += [[gather + 1] for _ in range(20_000)]
    upstream += [[gather, gather + 2 + region] for region in range(20_000)]
    return upstream


@pytest.mark.parametrize(
    ("upstream", "looks", "found"),
    [
        (layered(), 2, 0),
        (shortcuts(), 5, 29_998),
        (set_up_once(), 4, 49_998),
        (gathered_and_scattered(), 8, 0),
    ],
    ids=["layered", "shortcuts", "set up once", "gathered and scattered"],
)
def test_the_reduction_looks_at_each_edge_a_few_times(
    upstream: list[list[int]], looks: int, found: int
) -> None:
    counted = [Counted(before) for before in upstream]
    edges = sum(map(len, counted))
    Counted.looked_at = 0
    assert len(redundant(counted, range(len(counted)))) == found
    assert 0 < Counted.looked_at <= looks * edges


@pytest.mark.parametrize(
    ("body", "cycle"),
    [
        ([planned("a", "a")], {"a"}),
        ([planned("a", "c"), planned("b", "a"), planned("c", "b"), planned("d", "c")], set("abc")),
        ([planned("a", parent="b"), planned("b", parent="a")], set("ab")),
        ([planned("a", parent="a")], {"a"}),
        ([planned("in", "out", parent="box"), planned("out", "box")], {"in", "box", "out"}),
    ],
    ids=["self", "three", "containers", "own container", "through a container"],
)
def test_a_cycle_is_said_where_it_is(body: list[Timed], cycle: set[str]) -> None:
    graph = graph_of(*body, *ran("a", 0, 1), *ran("in", 0, 1))
    assert set(graph.cycle()) == cycle
    with pytest.raises(CycleError, match=r"tasks depend on one another: \w+ -> ") as raised:
        graph.critical_path()
    assert raised.value.cycle == graph.cycle()
    assert graph.parallelism().peak > 0


def test_a_cycle_is_told_in_the_direction_of_the_data() -> None:
    graph = graph_of(planned("b", "a"), planned("c", "b"), planned("a", "c"), planned("d", "a"))
    with pytest.raises(CycleError) as raised:
        graph.transitive_reduction()
    cycle = raised.value.cycle
    assert "abcabc".find("".join(cycle)) >= 0
    assert str(raised.value).endswith(" -> ".join([*cycle, cycle[0]]))


def test_a_long_cycle_neither_recurses_nor_fills_the_screen() -> None:
    size = 20_000
    graph = graph_of(*(planned(str(n), str((n + 1) % size)) for n in range(size)))
    with pytest.raises(CycleError) as raised:
        graph.critical_path()
    assert len(raised.value.cycle) == size
    assert "(19990 more)" in str(raised.value)
    assert len(str(raised.value)) < 200


def test_containers_may_be_nested_deeply() -> None:
    size = 5_000
    body = [planned(str(n), parent=str(n - 1) if n else "") for n in range(size)]
    graph = graph_of(*body, *ran("0", 0, 9), *ran(str(size - 1), 1, 3))
    assert graph.critical_path() == ([str(size - 1)], 2.0)
    assert graph.parallelism() == (1, 1.0)


@settings(deadline=None)
@given(st.sets(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=14))
def test_a_cycle_is_found_where_networkx_finds_one(edges: set[tuple[int, int]]) -> None:
    reference = nx.DiGraph(sorted(edges))
    body = [
        planned(str(node), *(str(b) for b, after in sorted(edges) if after == node))
        for node in range(7)
    ]
    cycle = graph_of(*body).cycle()
    assert bool(cycle) is not nx.is_directed_acyclic_graph(reference)
    around = zip(cycle, cycle[1:] + cycle[:1], strict=True)
    assert all((int(before), int(after)) in edges for before, after in around)


def test_keys_are_those_of_the_nodes() -> None:
    graph = graph_of(planned("t", step="s"))
    assert list(graph.graph) == [step_key("s"), task_key("t")]
