"""The step graph as files: what is written is read back by others than its writer."""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from datetime import UTC, datetime, timedelta

import msgspec
import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yprov4wms import events
from yprov4wms.events import Figure, Software, Status
from yprov4wms.export.graph import COLOURS, FORMATS, write_graph
from yprov4wms.graph import StepGraph
from yprov4wms.replay import fold
from yprov4wms.run import Run

START = datetime(2026, 1, 1, tzinfo=UTC)
SVG = "{http://www.w3.org/2000/svg}"

HOSTILE = [
    'a"b',
    "a]b",
    'x)"] --> n9',
    "<script>alert(1)</script>",
    "one\ntwo",
    "carriage\rreturn\r\n",
    "end",
    "back\\slash\\",
    "\\N \\G \\n",
    "&lt;amp&gt; &#65;",
    "a\x00b\x01c\x1b[31m",
    "\ufffe\uffff",
    "#quot; #35;",
    "`code`",
    '%%{init: {"theme": "dark"}}%%',
    "style a:b#c; d",
    "classDef x:y#z;",
    "$$x^2$$",
    "fa:fa-car",
    "é 漢字 😀",
    "a;b|c{d}",
    "subgraph x",
    ":::failed",
    "]]>",
    "x" * 20_000,
    "\t tab",
]
#: What may stand in a Mermaid label: nothing that its grammar knows, entity codes, line breaks.
SAFE = r"(?:[\w ,()./=-]|#\d+;|<br/>)+"


def fold_run(*body: tuple[float, events.Event]) -> Run:
    engine = Software(name="cwltool", kind="engine")
    start = events.RunStarted(engine=engine, workflow='main"<&\x00.cwl', directory="/work")
    lines = []
    for seq, (seconds, event) in enumerate([(0.0, start), *body], 1):
        event.v, event.run, event.writer, event.seq = events.VERSION, "run-1", "host-1", seq
        event.time = (START + timedelta(seconds=seconds)).isoformat(timespec="microseconds")
        lines.append(msgspec.json.encode(event) + b"\n")
    run = fold([("host-1.jsonl", lines)])
    assert isinstance(run, Run)
    assert run.problems == []
    return run


@pytest.fixture
def graph() -> StepGraph:
    """A run with each kind of node, edge and attribute."""
    usage = {"cpu_time": Figure(unit="s", method="wait4", value=1.5)}
    failed = events.TaskEnded(task="a", attempt=1, status=Status.FAILED, exit_code=1, usage=usage)
    retried = events.TaskEnded(
        task="a", attempt=2, status=Status.COMPLETED, exit_code=0, usage=usage
    )
    return StepGraph.of(
        fold_run(
            (0, events.StepDeclared(step="align", type="rule")),
            (0, events.TaskPlanned(task="a", step="align", label="align sample=1")),
            (0, events.TaskPlanned(task="b", step="sort", depends_on=["a", "ghost"], parent="sub")),
            (0, events.TaskPlanned(task="sub", step="workflow")),
            (0, events.TaskPlanned(task="c", step="sort", depends_on=["b"])),
            (1, events.TaskStarted(task="a", attempt=1)),
            (2, failed),
            (3, events.TaskStarted(task="a", attempt=2)),
            (6.25, retried),
            (7, events.TaskStarted(task="b", attempt=1)),
            (8, events.TaskNotRun(task="c", status=Status.SKIPPED)),
        )
    )


def hostile_graph(texts: list[str]) -> StepGraph:
    """A step, a task and a label for each text, in a chain."""
    return StepGraph.of(
        fold_run(
            *(
                (0.0, events.TaskPlanned(task=text, step=text, depends_on=[before]))
                for before, text in zip([texts[-1], *texts], texts, strict=False)
            )
        )
    )


def written(graph: StepGraph | nx.DiGraph, form: str) -> bytes:
    file = io.BytesIO()
    write_graph(graph, form, file)
    return file.getvalue()


def shown(text: str) -> list[str]:
    """The lines of a text as a drawing has them."""
    text = re.sub("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\ufffd", text)
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


def captions(graph: StepGraph) -> dict[str, list[str]]:
    """By name in a drawing, what is to be read in each node of a graph of tasks that never ran."""
    found = {}
    for number, (_, values) in enumerate(graph.graph.nodes(data=True)):
        label = values["label"]
        label = label if len(label) <= 200 else label[:199] + "…"
        what = values["status"] if values["kind"] == "task" else "1 task"
        found[f"n{number}"] = shown(f"{label}\n{what}")
    return found


def assert_same(found: nx.DiGraph, expected: nx.DiGraph) -> None:
    assert found.is_directed()
    assert not found.is_multigraph()
    assert dict(found.nodes(data=True)) == dict(expected.nodes(data=True))
    assert list(found) == list(expected)
    assert {(a, b): d for a, b, d in found.edges(data=True)} == {
        (a, b): d for a, b, d in expected.edges(data=True)
    }
    for name, value in expected.graph.items():
        assert found.graph[name] == value.replace("\x00", "\ufffd") or found.graph[name] == value


@pytest.mark.parametrize("form", FORMATS)
def test_one_run_gives_the_same_bytes_each_time(graph: StepGraph, form: str) -> None:
    assert written(graph, form) == written(graph.graph.copy(), form)
    assert written(graph, form).endswith(b"\n")


def test_an_unknown_format_is_refused_with_the_names_of_the_known(graph: StepGraph) -> None:
    with pytest.raises(ValueError, match="'svg': use one of node-link, graphml, dot, mermaid"):
        written(graph, "svg")


def test_node_link_is_read_back_equal(graph: StepGraph) -> None:
    data = json.loads(written(graph, "node-link"))
    assert_same(nx.node_link_graph(data, edges="edges"), graph.graph)
    assert data == nx.node_link_data(graph.graph, edges="edges")


def test_node_link_holds_any_text() -> None:
    graph = hostile_graph(HOSTILE)
    data = json.loads(written(graph, "node-link"))
    assert_same(nx.node_link_graph(data, edges="edges"), graph.graph)


def test_graphml_is_read_back_equal_with_its_types(graph: StepGraph) -> None:
    found = nx.read_graphml(io.BytesIO(written(graph, "graphml")))
    assert_same(found, graph.graph)
    node = found.nodes["task:a"]
    assert (type(node["attempts"]), type(node["duration_s"])) == (int, float)
    assert "exit_code" not in found.nodes["task:b"]


def test_graphml_declares_each_attribute_once_with_its_type(graph: StepGraph) -> None:
    root = ET.fromstring(written(graph, "graphml"))
    keys = root.findall("{http://graphml.graphdrawing.org/xmlns}key")
    types = {(key.get("for"), key.get("attr.name")): key.get("attr.type") for key in keys}
    assert len({key.get("id") for key in keys}) == len(keys) == len(types)
    assert types["node", "attempts"] == types["node", "exit_code"] == "long"
    assert types["node", "duration_s"] == types["node", "cpu_time_s"] == "double"
    assert types["node", "start"] == types["edge", "link"] == types["graph", "run"] == "string"


def test_graphml_keeps_any_text_that_xml_can_hold() -> None:
    texts = [text for text in HOSTILE if not set(text) & set("\x00\x01\x1b\ufffe\uffff")]
    graph = hostile_graph(texts)
    assert_same(nx.read_graphml(io.BytesIO(written(graph, "graphml"))), graph.graph)


def test_graphml_keeps_nodes_apart_that_xml_would_make_one() -> None:
    texts = ["a\x00", "a\x01", "a\ufffd", "a\ufffd_", "b"]
    graph = hostile_graph(texts)
    found = nx.read_graphml(io.BytesIO(written(graph, "graphml")))
    assert found.number_of_nodes() == graph.graph.number_of_nodes() == 10
    assert found.number_of_edges() == graph.graph.number_of_edges()
    assert found.nodes["task:a\ufffd"]["label"] == "a\ufffd"
    assert {values["label"] for _, values in found.nodes(data=True)} == {"a\ufffd", "a\ufffd_", "b"}


def test_graphml_writes_attributes_that_others_added(graph: StepGraph) -> None:
    tasks = graph.tasks()
    mixed = {"task:a": 1, "task:b": 2.5}
    nx.set_node_attributes(tasks, mixed, "rank")
    nx.set_node_attributes(tasks, {"task:a": True, "task:b": False}, 'on "<path>"')
    nx.set_node_attributes(tasks, {"task:a": None, "task:b": 7}, "gap")
    content = written(tasks, "graphml")
    found = nx.read_graphml(io.BytesIO(content))
    assert dict(found.nodes(data="rank"))["task:b"] == 2.5
    assert dict(found.nodes(data="gap"))["task:b"] == 7
    assert "gap" not in found.nodes["task:a"]
    assert b">true<" in content
    assert found.nodes["task:a"]['on "<path>"'] is True
    assert found.nodes["task:b"]['on "<path>"'] is False


@settings(deadline=None, max_examples=50)
@given(st.lists(st.text(min_size=1), min_size=1, max_size=5, unique=True))
def test_any_text_leaves_each_format_whole(texts: list[str]) -> None:
    graph = hostile_graph(texts)
    data = json.loads(written(graph, "node-link"))
    assert_same(nx.node_link_graph(data, edges="edges"), graph.graph)
    found = nx.read_graphml(io.BytesIO(written(graph, "graphml")))
    assert found.number_of_edges() == graph.graph.number_of_edges()
    assert read_mermaid(written(graph, "mermaid").decode())[0] == captions(graph)
    quoted = r'"(?:[^"\\\n\x00]|\\.)*"'
    lines = written(graph, "dot").decode().split("\n")[3:-2]
    node = rf'n\d+ \[label={quoted}, tooltip={quoted}, fillcolor="#\w+", color="#\w+"(?:, .*)?\];'
    edge = r"n\d+ -> n\d+(?: \[style=\w+, arrowhead=\w+\])?;"
    assert all(re.fullmatch(f"{node}|{edge}", line) for line in lines)
    assert len(lines) == graph.graph.number_of_nodes() + graph.graph.number_of_edges()


def graphviz(content: bytes, form: str) -> bytes:
    if shutil.which("dot") is None:
        pytest.skip("graphviz is not installed")
    done = subprocess.run(["dot", f"-T{form}"], input=content, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout


def test_dot_shows_steps_tasks_and_what_became_of_them(graph: StepGraph) -> None:
    text = written(graph, "dot").decode()
    completed, skipped = COLOURS[Status.COMPLETED][0], COLOURS[Status.SKIPPED][0]
    assert (
        'n0 [label="align\\n1 task", tooltip="step:align", '
        'fillcolor="#fffde7", color="#827717", shape=component, style=filled];' in text
    )
    assert (
        'n3 [label="align sample=1\\ncompleted, 2 attempts, 4.2 s", tooltip="task:a", '
        f'fillcolor="{completed}", color="#2e7d32"];' in text
    )
    assert f'[label="c\\nskipped", tooltip="task:c", fillcolor="{skipped}"' in text
    assert '[label="ghost\\nunknown", tooltip="task:ghost"' in text
    assert "n3 -> n4;" in text
    assert "n3 -> n0 [style=dashed, arrowhead=empty];" in text
    assert "n4 -> n5 [style=dotted, arrowhead=odiamond];" in text


def test_graphviz_reads_all_nodes_and_edges(graph: StepGraph) -> None:
    found = json.loads(graphviz(written(graph, "dot"), "json"))
    keys = list(graph.graph)
    assert [node["tooltip"] for node in found["objects"]] == keys
    edges = {(keys[edge["tail"]], keys[edge["head"]]) for edge in found["edges"]}
    assert edges == set(graph.graph.edges)


def test_graphviz_draws_any_text_as_it_is() -> None:
    graph = hostile_graph(HOSTILE)
    drawing = ET.fromstring(graphviz(written(graph, "dot"), "svg"))
    found = {}
    for group in drawing.iter(f"{SVG}g"):
        if group.get("class") == "node":
            texts = [" ".join((part.text or "").split()) for part in group.iter(f"{SVG}text")]
            found[group.findtext(f"{SVG}title")] = [text for text in texts if text]
    assert found == captions(graph)


def read_mermaid(text: str) -> tuple[dict[str, list[str]], list[str]]:
    """The captions by node, and the other lines; fails on what is not of the safest grammar."""
    first, *lines = text.rstrip("\n").split("\n")
    assert first == "flowchart LR"
    nodes, others = {}, []
    for line in lines:
        node = re.fullmatch(rf'(n\d+)(?:\[\["({SAFE})"\]\]|\("({SAFE})"\)):::([a-z_]+)', line)
        if node is None:
            edge = r"n\d+ (?:-->|-\.->|--o) n\d+"
            style = r"classDef [a-z_]+ fill:#[0-9a-f]{6},stroke:#[0-9a-f]{6},color:#000"
            assert re.fullmatch(f"{edge}|{style}", line), line
            others.append(line)
            continue
        caption = re.sub(r"#(\d+);", lambda code: chr(int(code[1])), node[2] or node[3])
        nodes[node[1]] = caption.replace("\u200b", "").split("<br/>")
    return nodes, others


def test_mermaid_shows_steps_tasks_and_what_became_of_them(graph: StepGraph) -> None:
    text = written(graph, "mermaid").decode()
    nodes, others = read_mermaid(text)
    assert nodes == {
        "n0": ["align", "1 task"],
        "n1": ["sort", "2 tasks"],
        "n2": ["workflow", "1 task"],
        "n3": ["align sample=1", "completed, 2 attempts, 4.2 s"],
        "n4": ["b", "running"],
        "n5": ["sub", "not-started"],
        "n6": ["c", "skipped"],
        "n7": ["ghost", "unknown"],
    }
    assert 'n0[["align<br/>1 task"]]:::step' in text
    assert '"]]:::not_started' not in text
    assert 'n5("sub<br/>not-started"):::not_started' in text
    assert {"n3 --> n4", "n3 -.-> n0", "n4 --o n5", "n7 --> n4"} <= set(others)
    assert "classDef completed fill:#c8e6c9,stroke:#2e7d32,color:#000" in others
    used = re.findall(r":::(\w+)", text)
    assert sorted(set(used)) == sorted(re.findall(r"classDef (\w+)", text))


def test_mermaid_keeps_hostile_labels_out_of_its_grammar() -> None:
    graph = hostile_graph(HOSTILE)
    nodes, others = read_mermaid(written(graph, "mermaid").decode())
    assert nodes == captions(graph)
    assert len([line for line in others if line.startswith("n")]) == graph.graph.number_of_edges()


def test_mermaid_is_kept_from_reading_labels_after_it_decoded_them() -> None:
    text = written(hostile_graph(["C:\\new", "$$x$$", "fa:fa-car"]), "mermaid").decode()
    for part in ("C#58;#92;#8203;new", "#36;#8203;#36;x#36;#8203;#36;", "fa#58;#8203;fa-car"):
        assert part in text


def test_each_status_has_a_colour_of_its_own() -> None:
    assert set(COLOURS) == set(Status)
    assert len(set(COLOURS.values())) == len(COLOURS)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("part", ["plan", "tasks", "transitive_reduction"])
def test_a_part_of_the_graph_can_be_written_alone(graph: StepGraph, form: str, part: str) -> None:
    alone = getattr(graph, part)()
    text = written(alone, form).decode()
    assert not re.search(r"instance-of|-\.->|style=dashed", text)
    if form == "node-link":
        assert len(json.loads(text)["nodes"]) == len(alone)


@pytest.mark.parametrize("form", FORMATS)
def test_a_run_that_only_began_has_an_empty_graph(form: str) -> None:
    graph = StepGraph.of(fold_run())
    content = written(graph, form)
    if form == "dot":
        graphviz(content, "json")
    elif form == "mermaid":
        assert content == b"flowchart LR\n"
    elif form == "graphml":
        assert len(nx.read_graphml(io.BytesIO(content))) == 0
    else:
        assert json.loads(content)["nodes"] == []


@pytest.mark.parametrize("form", FORMATS)
def test_a_graph_with_cycles_is_written_like_any_other(form: str) -> None:
    graph = StepGraph.of(
        fold_run(
            (0, events.TaskPlanned(task="a", step="s", depends_on=["b", "a"], parent="b")),
            (0, events.TaskPlanned(task="b", step="s", depends_on=["a"], parent="a")),
        )
    )
    assert graph.cycle()
    assert written(graph, form)
