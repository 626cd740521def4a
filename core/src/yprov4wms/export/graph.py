"""The step graph as a file: node-link JSON, GraphML, DOT or Mermaid.

Written by hand, line by line: networkx's own writers give other bytes where lxml is
installed, fail on control characters, and take many times the memory.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, BinaryIO
from xml.sax.saxutils import escape, quoteattr

import msgspec

from yprov4wms.events import Status
from yprov4wms.export.quoting import dot_text, legal, short
from yprov4wms.graph import Kind, Link, StepGraph

if TYPE_CHECKING:
    import networkx as nx

#: Fill and border colour by status; the text in a node names the status, too.
COLOURS = {
    Status.COMPLETED: ("#c8e6c9", "#2e7d32"),
    Status.FAILED: ("#ffcdd2", "#c62828"),
    Status.CANCELLED: ("#ffe0b2", "#e65100"),
    Status.RUNNING: ("#bbdefb", "#1565c0"),
    Status.NOT_STARTED: ("#f5f5f5", "#757575"),
    Status.UPSTREAM_FAILED: ("#f8bbd0", "#ad1457"),
    Status.SKIPPED: ("#eeeeee", "#9e9e9e"),
    Status.UP_TO_DATE: ("#f1f8e9", "#7cb342"),
    Status.CACHED: ("#b2dfdb", "#00695c"),
}
_STEP = ("#fffde7", "#827717")
_UNKNOWN = ("#ffffff", "#9e9e9e")

#: What may mean something to Mermaid's parser inside quotes.
_MERMAID = re.compile(r"[^\w ,()./=-]")
#: Where Mermaid reads a label after decoding it, so that only a space of no width helps:
#: line breaks, formulas, icons.
_MERMAID_DECODED = re.compile(r"(?<=\\)(?=n)|(?<=\$)(?=\$)|(?<=:)(?=fa-)")

_encode = msgspec.json.Encoder().encode


def write_graph(graph: StepGraph | nx.DiGraph[str], form: str, file: BinaryIO) -> None:
    """Write a step graph, or a part of one (`StepGraph.plan`, `StepGraph.tasks`...).

    form: one of `FORMATS`, else ValueError. The same graph gives the same bytes, UTF-8.

    - ``node-link`` and ``graphml`` keep all attributes, and networkx reads them back equal
      (``nx.node_link_graph(..., edges="edges")``, ``nx.read_graphml``). GraphML has U+FFFD
      for characters that XML 1.0 cannot hold.
    - ``dot`` and ``mermaid`` are drawings: of a node its label, status, attempts and
      duration; its key is DOT's tooltip. Mermaid's own default is to refuse more than 500
      edges or 50,000 characters: give it the plan of a larger run.
    """
    lines = FORMATS.get(form)
    if lines is None:
        raise ValueError(f"unknown graph format {form!r}: use one of {', '.join(FORMATS)}")
    whole = graph.graph if isinstance(graph, StepGraph) else graph
    for line in lines(whole):
        file.write(line.encode("utf-8", "replace"))


def _node_link(graph: nx.DiGraph[str]) -> Iterator[str]:
    """What ``nx.node_link_data(graph, edges="edges")`` gives, an object per line."""
    yield f'{{"directed":true,"multigraph":false,"graph":{_json(graph.graph)},"nodes":['
    yield from _separated({**values, "id": node} for node, values in graph.nodes(data=True))
    yield '\n],"edges":['
    yield from _separated(
        {**values, "source": before, "target": after}
        for before, after, values in graph.edges(data=True)
    )
    yield "\n]}\n"


def _separated(items: Iterable[dict[str, Any]]) -> Iterator[str]:
    separator = "\n"
    for item in items:
        yield separator + _json(item)
        separator = ",\n"


def _json(value: Mapping[str, Any]) -> str:
    return _encode(value).decode()


def _graphml(graph: nx.DiGraph[str]) -> Iterator[str]:
    yield '<?xml version="1.0" encoding="utf-8"?>\n'
    yield '<graphml xmlns="http://graphml.graphdrawing.org/xmlns">\n'
    of_graph = _Keys("graph", "g", [graph.graph])
    of_node = _Keys("node", "n", (values for _, values in graph.nodes(data=True)))
    of_edge = _Keys("edge", "e", (values for _, _, values in graph.edges(data=True)))
    for keys in (of_graph, of_node, of_edge):
        yield from keys.declared()
    yield f'<graph edgedefault="directed">\n{of_graph.data(graph.graph)}'
    names = {node: quoteattr(name) for node, name in _xml_names(graph).items()}
    for node, values in graph.nodes(data=True):
        yield f"<node id={names[node]}>{of_node.data(values)}</node>\n"
    for before, after, values in graph.edges(data=True):
        ends = f"source={names[before]} target={names[after]}"
        yield f"<edge {ends}>{of_edge.data(values)}</edge>\n"
    yield "</graph>\n</graphml>\n"


class _Keys:
    """GraphML's declarations of the attributes of one kind of thing: their ids and types."""

    def __init__(self, domain: str, prefix: str, all_values: Iterable[Mapping[str, Any]]) -> None:
        self._domain = domain
        types: dict[str, set[type]] = {}
        for values in all_values:
            for name, value in values.items():
                types.setdefault(name, set()).add(type(value))
        self._types = {name: _graphml_type(found) for name, found in types.items()}
        self._ids = {name: f"{prefix}{number}" for number, name in enumerate(types)}

    def declared(self) -> Iterator[str]:
        for name, key in self._ids.items():
            about = f"attr.name={quoteattr(legal(name))} attr.type={quoteattr(self._types[name])}"
            yield f'<key id="{key}" for="{self._domain}" {about}/>\n'

    def data(self, values: Mapping[str, Any]) -> str:
        return "".join(
            f'<data key="{self._ids[name]}">{_xml_text(value)}</data>'
            for name, value in values.items()
            if value is not None
        )


def _graphml_type(found: set[type]) -> str:
    match found - {type(None)}:
        case types if types == {bool}:
            return "boolean"
        case types if types == {int}:
            return "long"
        case types if types and types <= {int, float}:
            return "double"
    return "string"


def _xml_text(value: object) -> str:
    text = str(value).lower() if isinstance(value, bool) else legal(str(value))
    return escape(text, {"\r": "&#13;"})


def _xml_names(graph: nx.DiGraph[str]) -> dict[str, str]:
    """A name for each node, its own where XML can hold it; no two alike."""
    names: dict[str, str] = {}
    taken = set(graph)
    for node in graph:
        name = legal(node)
        while name != node and name in taken:
            name += "_"
        taken.add(name)
        names[node] = name
    return names


_DOT_EDGES: dict[str, str] = {
    Link.DEPENDS_ON: "",
    Link.INSTANCE_OF: " [style=dashed, arrowhead=empty]",
    Link.PART_OF: " [style=dotted, arrowhead=odiamond]",
    Link.NESTED: " [style=dotted, arrowhead=diamond]",
}
_MERMAID_EDGES: dict[str, str] = {
    Link.DEPENDS_ON: "-->",
    Link.INSTANCE_OF: "-.->",
    Link.PART_OF: "--o",
    Link.NESTED: "-.-o",
}


def _dot(graph: nx.DiGraph[str]) -> Iterator[str]:
    """Steps are boxes, tasks rounded; dashed from a task to its step, dotted to what it is in."""
    yield "digraph {\n"
    yield 'graph [rankdir=LR, fontname="sans-serif"];\n'
    yield 'node [shape=box, style="rounded,filled", fontname="sans-serif"];\n'
    names = {node: f"n{number}" for number, node in enumerate(graph)}
    for node, values in graph.nodes(data=True):
        fill, border = _colours(values)
        label = dot_text(_caption(values))
        shape = ", shape=component, style=filled" if values["kind"] == Kind.STEP else ""
        yield (
            f"{names[node]} [label={label}, tooltip={dot_text(short(node, 1000))}, "
            f'fillcolor="{fill}", color="{border}"{shape}];\n'
        )
    for before, after, link in graph.edges(data="link", default=""):
        yield f"{names[before]} -> {names[after]}{_DOT_EDGES[link]};\n"
    yield "}\n"


def _mermaid(graph: nx.DiGraph[str]) -> Iterator[str]:
    """Steps are subroutines, tasks rounded; dotted from a task to its step."""
    yield "flowchart LR\n"
    names = {node: f"n{number}" for number, node in enumerate(graph)}
    used: dict[str, tuple[str, str]] = {}
    for node, values in graph.nodes(data=True):
        label = _mermaid_text(_caption(values))
        shape = f'[["{label}"]]' if values["kind"] == Kind.STEP else f'("{label}")'
        style = _style_name(values)
        used[style] = _colours(values)
        yield f"{names[node]}{shape}:::{style}\n"
    for before, after, link in graph.edges(data="link", default=""):
        yield f"{names[before]} {_MERMAID_EDGES[link]} {names[after]}\n"
    for style, (fill, border) in used.items():
        yield f"classDef {style} fill:{fill},stroke:{border},color:#000\n"


def _mermaid_text(text: str) -> str:
    """Text in quotes, with all that Mermaid might read as its own in entity codes."""
    text = _MERMAID_DECODED.sub("\u200b", legal(text))
    lines = (" ".join(line.split()) for line in text.splitlines())
    return "<br/>".join(_MERMAID.sub(_entity, line) for line in lines if line)


def _entity(found: re.Match[str]) -> str:
    return f"#{ord(found.group())};"


def _style_name(values: Mapping[str, Any]) -> str:
    if values["kind"] == Kind.STEP:
        return "step"
    status: str = values.get("status", "unknown")
    return status.replace("-", "_")


def _colours(values: Mapping[str, Any]) -> tuple[str, str]:
    if values["kind"] == Kind.STEP:
        return _STEP
    return COLOURS.get(values.get("status", ""), _UNKNOWN)


def _caption(values: Mapping[str, Any]) -> str:
    """The text in a drawn node: its label, and a line of what became of it."""
    label = short(values["label"], 200)
    if values["kind"] == Kind.STEP:
        count = values["tasks"]
        return f"{label}\n{count} {'task' if count == 1 else 'tasks'}"
    parts = [values.get("status", "unknown")]
    if values.get("attempts", 0) > 1:
        parts.append(f"{values['attempts']} attempts")
    if "duration_s" in values:
        parts.append(f"{values['duration_s']:.1f} s")
    return f"{label}\n{', '.join(parts)}"


#: The formats by the names that a user gives.
FORMATS: dict[str, Callable[[nx.DiGraph[str]], Iterator[str]]] = {
    "node-link": _node_link,
    "graphml": _graphml,
    "dot": _dot,
    "mermaid": _mermaid,
}
