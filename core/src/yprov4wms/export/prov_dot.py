"""A document as a picture: for Graphviz, in the shapes and colours that PROV's figures have.

Entities are yellow ellipses, activities blue boxes, agents orange houses (W3C PROV-PRIMER).
Each arrow leads from the later to the earlier, as PROV's relations do; inputs are on the left.
"""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from yprov4wms.export.quoting import dot_text, short
from yprov4wms.prov.vocabulary import ELEMENTS, OPTIONAL_ENDS, RELATIONS, Type

#: Elements that are drawn at most: more is not to be read, and takes Graphviz minutes.
MOST = 200
#: Relations at most, those of elements that are drawn.
MOST_EDGES = 1000

#: Seconds that Graphviz may take.
PATIENCE = 60.0

_SHAPES = {
    "entity": 'shape=ellipse, fillcolor="#fffc87", color="#808080"',
    "activity": 'shape=box, fillcolor="#9fb1fc", color="#0000ff"',
    "agent": 'shape=house, fillcolor="#fed37f", color="#808080"',
}
_COLOURS = {
    "used": "#b22222",
    "wasGeneratedBy": "#006400",
    "wasDerivedFrom": "#8b4513",
    "wasInformedBy": "#3b3bd0",
    "wasAssociatedWith": "#b8860b",
    "wasAttributedTo": "#b8860b",
}
#: Where not all can be drawn, these are the first to stay.
_FIRST = (Type.MODEL, Type.DATASET, Type.SOURCE_CODE, Type.ENVIRONMENT, Type.FILE, Type.COLLECTION)


class DrawingError(OSError):
    """Graphviz could not draw it; the text says why."""


def dot(document: Mapping[str, Any]) -> str:
    """The graph of a PROV-JSON document that was decoded; what lies in bundles is not in it."""
    elements = {
        identifier: (section, record)
        for section in ELEMENTS
        for identifier, record in document.get(section, {}).items()
        if isinstance(record, dict)
    }
    drawn = _drawn(elements)
    names = {identifier: f"n{number}" for number, identifier in enumerate(drawn)}
    relations = list(_relations(document, names))
    lines = [
        "digraph {",
        'graph [rankdir=RL, fontname="sans-serif", nodesep=0.15, ranksep=0.8, labelloc=b];',
        'node [style=filled, fontname="sans-serif", fontsize=11, margin="0.12,0.06"];',
        'edge [fontname="sans-serif", fontsize=8, arrowsize=0.7];',
    ]
    for identifier in drawn:
        section, record = elements[identifier]
        label, tip = dot_text(_caption(identifier, record)), dot_text(short(identifier, 300))
        lines.append(f"{names[identifier]} [label={label}, tooltip={tip}, {_SHAPES[section]}];")
    for kind, first, second in relations[:MOST_EDGES]:
        colour = _COLOURS.get(kind, "#555555")
        style = f'label="{kind}", color="{colour}", fontcolor="{colour}"'
        lines.append(f"{names[first]} -> {names[second]} [{style}];")
    left_out = _left_out(elements, drawn, len(relations) - MOST_EDGES)
    if left_out:
        lines.append(f"rest [shape=note, fillcolor=white, label={dot_text(left_out)}];")
    return "\n".join([*lines, "}", ""])


def svg(graph: bytes) -> bytes:
    """The picture of a graph, UTF-8, by Graphviz. Raises DrawingError."""
    try:
        done = subprocess.run(
            ["dot", "-Tsvg"], input=graph, capture_output=True, check=False, timeout=PATIENCE
        )
    except FileNotFoundError:
        raise DrawingError("Graphviz is not installed: its program dot draws it") from None
    except subprocess.TimeoutExpired:
        raise DrawingError(f"Graphviz took more than {PATIENCE:.0f} s") from None
    if done.returncode or b"</svg>" not in done.stdout:
        said = done.stderr.decode("utf-8", "replace").strip()
        raise DrawingError(f"Graphviz ended with {done.returncode}: {short(said, 300)}")
    return done.stdout


def _drawn(elements: Mapping[str, tuple[str, dict[str, Any]]]) -> list[str]:
    """What is to be seen, in the order of the document."""

    def weight(identifier: str) -> int:
        section, record = elements[identifier]
        kind = _plain(record.get("prov:type"))
        if section != "entity":
            return -1
        return _FIRST.index(kind) if kind in _FIRST else len(_FIRST)

    shown = [identifier for identifier in elements if not _is_of_system(elements[identifier][1])]
    kept = set(sorted(shown, key=weight)[:MOST])
    return [identifier for identifier in shown if identifier in kept]


def _is_of_system(record: Mapping[str, Any]) -> bool:
    """Whether it is a metric that collectors took of the machine: it has a unit."""
    return record.get("prov:type") == Type.METRIC and "yprov4wms:unit" in record


def _relations(
    document: Mapping[str, Any], names: Mapping[str, str]
) -> Iterator[tuple[str, str, str]]:
    """Kind and the two ends of those between elements that are drawn."""
    for kind, (one, _, two, _) in RELATIONS.items():
        for relation in document.get(kind, {}).values():
            for record in relation if isinstance(relation, list) else [relation]:
                if not isinstance(record, dict):
                    continue
                ends = [record.get(one), record.get(two)]
                ends += [record[end] for end in OPTIONAL_ENDS if ends[1] is None and end in record]
                known = [end for end in ends if isinstance(end, str) and end in names]
                if len(known) > 1:
                    yield kind, known[0], known[1]


def _left_out(
    elements: Mapping[str, tuple[str, dict[str, Any]]], drawn: list[str], edges: int
) -> str:
    """What the picture says of what is not in it; empty where all is."""
    kept = set(drawn)
    counts = Counter(
        "metrics of the system"
        if _is_of_system(record)
        else str(_plain(record.get("prov:type")) or section)
        for identifier, (section, record) in elements.items()
        if identifier not in kept
    )
    lines = [f"{count} {kind.rpartition(':')[2]}" for kind, count in counts.most_common(12)]
    if edges > 0:
        lines.append(f"{edges} relations")
    return "\n".join(["not drawn:", *lines]) if lines else ""


def _caption(identifier: str, record: Mapping[str, Any]) -> str:
    """The label, and what is most worth knowing of it."""
    label = str(_plain(record.get("prov:label")) or identifier)
    if "/" in label:  # of a path, its end tells more
        label = label if len(label) <= 40 else "…" + label[-39:]
    lines = [short(" ".join(label.split()), 40)]
    kind = _plain(record.get("prov:type"))
    if kind == Type.HYPERPARAMETER:
        lines[0] += f" = {short(str(_plain(record.get('prov:value'))), 40)}"
    elif kind == Type.METRIC and "yprov4wms:last" in record:
        last = _plain(record["yprov4wms:last"])
        lines.append(f"{last:.6g}" if isinstance(last, float) else str(last))
    elif kind == Type.MODEL and "yprov4wms:parameters" in record:
        lines.append(f"{_plain(record['yprov4wms:parameters'])} parameters")
    status = _plain(record.get("yprov4wfs:status"))
    if status:
        lines.append(str(status))
    return "\n".join(lines)


def _plain(value: Any) -> Any:
    """The first of several, a typed literal as its number."""
    if isinstance(value, list):
        value = value[0] if value else None
    if isinstance(value, dict):
        text, kind = str(value.get("$", "")), value.get("type")
        if kind == "xsd:double":
            return float(text.lower())
        return text
    return value
