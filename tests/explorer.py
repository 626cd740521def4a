"""How yProv's explorer reads a document (yprov-explorer-v2, ``parseProvenance.js``).

Its rules, said again in Python: nodes are the elements at the top alone, bundles are passed over;
of an array the first counts; a label is text, or the element's identifier where there is none;
links whose ends are not both nodes are dropped, and identifiers are compared as they stand.
"""

from __future__ import annotations

from typing import Any, NamedTuple

Record = dict[str, Any]
#: Section, source, target, and what the link is called: an attribute that is missing is no end.
LINKS = (
    ("wasDerivedFrom", "prov:generatedEntity", "prov:usedEntity", "wasDerivedFrom"),
    ("wasDerivedFrom", "prov:generatedEntity", "prov:activity", "wasGeneratedBy"),
    ("wasDerivedFrom", "prov:activity", "prov:usedEntity", "used"),
    ("wasGeneratedBy", "prov:entity", "prov:activity", "wasGeneratedBy"),
    ("used", "prov:activity", "prov:entity", "used"),
    ("wasInformedBy", "prov:informed", "prov:informant", "wasInformedBy"),
    ("hadMember", "prov:collection", "prov:entity", "hadMember"),
    ("wasStartedBy", "prov:activity", "prov:trigger", "wasStartedBy"),
    ("wasAssociatedWith", "prov:activity", "prov:agent", "wasAssociatedWith"),
    ("wasAssociatedWith", "prov:activity", "prov:plan", "plan"),
    ("wasAttributedTo", "prov:entity", "prov:agent", "wasAttributedTo"),
)
#: The second way, in its motif and reducer services, which fails on an end that is not described.
GRAPH = (
    ("used", "prov:activity", "prov:entity"),
    ("wasGeneratedBy", "prov:entity", "prov:activity"),
    ("wasAssociatedWith", "prov:activity", "prov:agent"),
    ("wasAttributedTo", "prov:entity", "prov:agent"),
    ("actedOnBehalfOf", "prov:delegate", "prov:responsible"),
    ("wasInformedBy", "prov:informed", "prov:informant"),
    ("wasDerivedFrom", "prov:generatedEntity", "prov:usedEntity"),
)


class ExplorerError(Exception):
    """The explorer, or the browser under it, would fail on the whole document."""


class View(NamedTuple):
    """labels: of nodes by identifier. links: source, target and name. dropped: links that the
    document has and the view has not."""

    labels: dict[str, str]
    links: list[tuple[str, str, str]]
    dropped: list[tuple[str, Any]]


def parse(document: Record) -> View:
    """What the explorer shows of a document; raises ExplorerError."""
    labels: dict[str, str] = {}
    for section in ("entity", "activity", "agent"):
        for identifier, found in document.get(section, {}).items():
            labels[identifier] = _label(identifier, _first(found))
    links, dropped = [], []
    for section, source, target, name in LINKS:
        for identifier, record in document.get(section, {}).items():
            if record is None:
                raise ExplorerError(f"{section} {identifier}: null has no attributes")
            one, two = (_attribute(record, end) for end in (source, target))
            if _is_node(one, labels) and _is_node(two, labels):
                links.append((one, two, name))
            elif (one is not None and two is not None) or not isinstance(record, dict):
                dropped.append((section, record))
    return View(labels, links, dropped)


def _first(found: Any) -> Record:
    if isinstance(found, list):
        found = found[0] if found else {}
    return found if isinstance(found, dict) else {}


def _label(identifier: str, record: Record) -> str:
    label = record.get("prov:label")
    if label is not None and not isinstance(label, str):
        raise ExplorerError(f"{identifier}: trim is not a function of {label!r}")
    kind = record.get("prov:type")
    kinds = kind if isinstance(kind, list) else [kind]
    if not all(one is None or isinstance(one, str) for one in kinds):
        raise ExplorerError(f"{identifier}: {kind!r} is not valid as a React child")
    return (label or "").strip() or identifier


def _attribute(record: Any, name: str) -> Any:
    return record.get(name) if isinstance(record, dict) else None


def _is_node(end: Any, labels: dict[str, str]) -> bool:
    return isinstance(end, str) and end in labels


class Vertex(NamedTuple):
    """An element as the reducer has it; ``level``, ``source`` and ``aggregates`` of one that
    stands for others."""

    type: str
    level: int
    source: str
    aggregates: list[str]


def vertices(document: Record) -> dict[str, Vertex]:
    """As the explorer's services take elements that relations name; raises ExplorerError for what
    does not fit in their typed columns."""
    elements = {
        identifier: _first(found)
        for section in ("entity", "activity", "agent")
        for identifier, found in document.get(section, {}).items()
    }
    found = {}
    for section, one, two in GRAPH:
        for record in document.get(section, {}).values():
            for end in (one, two):
                if record.get(end) not in elements:
                    raise ExplorerError(f"{section}: no element {record.get(end)}")
                found[record[end]] = _vertex(elements[record[end]])
    return found


def _vertex(record: Record) -> Vertex:
    kind = record.get("prov:type", "")
    level = record.get("analytics4yprov:level", 0)
    source = record.get("analytics4yprov:source", "")
    aggregates = record.get("analytics4yprov:aggregates", [])
    if not isinstance(kind, str) or type(level) is not int or not isinstance(source, str):
        raise ExplorerError(f"{kind!r}, {level!r} or {source!r} is of another type than its column")
    if not isinstance(aggregates, list) or not all(isinstance(one, str) for one in aggregates):
        raise ExplorerError(f"{aggregates!r} is no list of text")
    return Vertex(kind, level, source, aggregates)


def assert_shown(document: Record) -> View:
    """That the explorer shows every element and link of a document, and fails on nothing."""
    found = parse(document)
    assert not found.dropped, found.dropped[:5]
    vertices(document)
    return found
