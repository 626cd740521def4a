"""The document in RDF (PROV-O), with the classes of W3C ML-Schema beside those of ProvML.

By hand, record by record: prov and rdflib take 40 s and 1.9 GB for 10,000 tasks, name blank nodes
otherwise each time, and before prov 3.0 cut numbers to six digits. A relation is qualified where
it says more than its ends, and then, as prov has it, stands for itself: prov reads both forms,
the plain and the qualified, of a usage as two usages.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from itertools import count, groupby
from types import MappingProxyType
from typing import Any, BinaryIO, NamedTuple

from yprov4wms.export.records import (
    DEFAULT,
    TIMES,
    Name,
    Record,
    Scope,
    Text,
    formal,
    is_plain,
    quoted,
    scopes,
    split,
    values,
)
from yprov4wms.prov.vocabulary import ELEMENTS, RELATIONS, Type

#: Terms that documents have no prefix for are written as IRIs, in angle brackets.
_OWN = {
    "rdfs": "http://www.w3.org/2000/01/rdf-schema#",
    "mls": "http://www.w3.org/ns/mls#",
}
_TYPE = "<http://www.w3.org/1999/02/22-rdf-syntax-ns#type>"
_LABEL = f"<{_OWN['rdfs']}label>"
_CLASSES: dict[str, str] = {
    Type.ML_RUN: f"<{_OWN['mls']}Run>",
    Type.HYPERPARAMETER: f"<{_OWN['mls']}HyperParameterSetting>",
    Type.DATASET: f"<{_OWN['mls']}Dataset>",
    Type.MODEL: f"<{_OWN['mls']}Model>",
    Type.METRIC: f"<{_OWN['mls']}ModelEvaluation>",
}
_HAS_VALUE = f"<{_OWN['mls']}hasValue>"
#: Metrics of the machine, which evaluate no model.
_SYSTEM = re.compile(r"(?:process_)?(?:cpu|gpu|ram|disk)_.+")
#: That an element is one of these its section says.
_SAID = ("prov:Entity", "prov:Activity", "prov:Agent")


class _Form(NamedTuple):
    """How PROV-O has a relation (section 3.3).

    kind: the class of a qualified one; those without have neither attributes nor identifiers
    (PROV-DM). plain: that it is also the property between its ends. parts: properties of the
    formal attributes that a qualified one has.
    """

    kind: str = ""
    plain: bool = False
    parts: Mapping[str, str] = MappingProxyType({})


_AT = {"prov:time": "prov:atTime", "prov:location": "prov:atLocation"}
_FORMS = {
    "used": _Form("Usage", parts={"prov:entity": "prov:entity", **_AT}),
    "wasGeneratedBy": _Form("Generation", parts={"prov:activity": "prov:activity", **_AT}),
    "wasInvalidatedBy": _Form("Invalidation", parts={"prov:activity": "prov:activity", **_AT}),
    "wasStartedBy": _Form(
        "Start", parts={"prov:trigger": "prov:entity", "prov:starter": "prov:hadActivity", **_AT}
    ),
    "wasEndedBy": _Form(
        "End", parts={"prov:trigger": "prov:entity", "prov:ender": "prov:hadActivity", **_AT}
    ),
    "wasDerivedFrom": _Form(
        "Derivation",
        parts={
            "prov:usedEntity": "prov:entity",
            "prov:activity": "prov:hadActivity",
            "prov:generation": "prov:hadGeneration",
            "prov:usage": "prov:hadUsage",
        },
    ),
    "wasAssociatedWith": _Form(
        "Association", parts={"prov:agent": "prov:agent", "prov:plan": "prov:hadPlan"}
    ),
    "wasInformedBy": _Form("Communication", True, {"prov:informant": "prov:activity"}),
    "wasAttributedTo": _Form("Attribution", True, {"prov:agent": "prov:agent"}),
    "actedOnBehalfOf": _Form(
        "Delegation", True, {"prov:responsible": "prov:agent", "prov:activity": "prov:hadActivity"}
    ),
    "wasInfluencedBy": _Form("Influence", True, {"prov:influencer": "prov:influencer"}),
    "specializationOf": _Form(),
    "alternateOf": _Form(),
    "hadMember": _Form(),
    "mentionOf": _Form(),
}
_OF_ELEMENT = {
    "prov:label": _LABEL,
    "prov:location": "prov:atLocation",
    "prov:startTime": "prov:startedAtTime",
    "prov:endTime": "prov:endedAtTime",
}
_OF_RELATION = {"prov:type": _TYPE, "prov:label": _LABEL, "prov:role": "prov:hadRole"}

#: Objects: a name, a literal, or a node without a name.
_Node = list[tuple[str, Any]]
_Statement = tuple[str, _Node]


def write(content: bytes, form: str, file: BinaryIO) -> None:
    """Write a PROV-JSON document of ours in one of `FORMATS`, UTF-8.

    Raises ValueError for bundles where they have no place: they are graphs.
    """
    syntax = FORMATS[form]()
    for scope in scopes(content):
        if scope.identifier is not None and not syntax.graphs:
            use = "trig" if form == "turtle" else "n-quads"
            raise ValueError(f"bundles have no place in {form}: use {use}, or another --nest")
        for text in syntax.scope(scope, _statements(scope)):
            file.write(text.encode())


def _statements(scope: Scope) -> Iterator[_Statement]:
    for section, identifier, record in scope.named():
        if section in ELEMENTS:
            add_classes(record)
            kinds = [Name(f"prov:{section.capitalize()}"), *values(record.pop("prov:type", []))]
            yield identifier, [*((_TYPE, kind) for kind in kinds), *_pairs(record, _OF_ELEMENT)]
        else:
            yield from _relation(section, identifier, record)


def add_classes(record: Record) -> None:
    """Give an element the classes of ML-Schema, and take away the one that its section says."""
    kinds = record.get("prov:type", [])
    types: list[Any] = []
    for kind in kinds if isinstance(kinds, list) else [kinds]:
        name = kind["$"] if isinstance(kind, dict) else None
        if name in _SAID:
            continue
        types.append(kind)
        known = _CLASSES.get(name) if name is not None else None
        if known is None or (name == Type.METRIC and _is_of_machine(record)):
            continue
        types.append({"$": known, "type": "prov:QUALIFIED_NAME"})
        if name == Type.HYPERPARAMETER and "prov:value" in record:
            record[_HAS_VALUE] = record["prov:value"]
    record.pop("prov:type", None)
    if types:
        record["prov:type"] = types


def _is_of_machine(record: Record) -> bool:
    label = record.get("prov:label")
    return isinstance(label, str) and _SYSTEM.fullmatch(label) is not None


def _relation(section: str, identifier: str, record: Record) -> Iterator[_Statement]:
    form = _FORMS[section]
    one, _, two, _ = RELATIONS[section]
    subject, other = record.pop(one), record.get(two)
    blank = identifier.startswith("_:")
    qualified = bool(form.kind) and not (blank and len(record) == (other is not None))
    if other is not None and (not qualified or (form.plain and blank)):
        yield subject, [(f"prov:{section}", Name(other))]
    if section == "mentionOf" and "prov:bundle" in record:
        yield subject, [("prov:asInBundle", Name(record["prov:bundle"]))]
    if qualified:
        properties = {**_OF_RELATION, **form.parts}
        node = [(_TYPE, Name(f"prov:{form.kind}")), *_pairs(record, properties, section)]
        yield subject, [(f"prov:qualified{form.kind}", node if blank else Name(identifier))]
        if not blank:
            yield identifier, node


def _pairs(
    record: Record, properties: dict[str, str], section: str = "activity"
) -> Iterator[tuple[str, Name | Text]]:
    ends = [name for name in formal(section) if name not in TIMES]
    for attribute, found in record.items():
        name = properties.get(attribute, attribute)
        if attribute in ends:
            yield name, Name(found)
        elif attribute in TIMES:
            yield name, Text(found, "xsd:dateTime")
        else:
            for value in values(found):
                yield name, value


class _Lines:
    """N-Triples, and N-Quads (W3C Recommendations, 2014)."""

    def __init__(self, graphs: bool) -> None:
        self.graphs = graphs
        self._blank = count(1)

    def scope(self, scope: Scope, statements: Iterator[_Statement]) -> Iterator[str]:
        names = _Iris(scope.prefixes)
        graph = f" {names(scope.identifier)}" if scope.identifier is not None else ""
        for subject, pairs in statements:
            yield from self._node(names(subject), pairs, f"{graph} .\n", names)

    def _node(self, subject: str, pairs: _Node, end: str, names: _Iris) -> Iterator[str]:
        for predicate, value in pairs:
            if isinstance(value, list):
                blank = f"_:b{next(self._blank)}"
                yield f"{subject} {names(predicate)} {blank}{end}"
                yield from self._node(blank, value, end, names)
            else:
                yield f"{subject} {names(predicate)} {_term(value, names)}{end}"


class _Turtle:
    """Turtle, and TriG (W3C Recommendations, 2014)."""

    def __init__(self, graphs: bool) -> None:
        self.graphs = graphs
        self._bound: dict[str, str] = {}

    def scope(self, scope: Scope, statements: Iterator[_Statement]) -> Iterator[str]:
        names = _Spelled(scope.prefixes)
        for prefix, uri in names.prefixes.items():
            if self._bound.get(prefix) != uri:
                self._bound[prefix] = uri
                yield f"@prefix {'' if prefix == DEFAULT else prefix}: <{uri}> .\n"
        yield "\n"
        if scope.identifier is not None:
            yield f"{names(scope.identifier)} {{\n"
        for subject, pairs in statements:
            yield f"{names(subject)} {_listed(pairs, names, '    ')} .\n"
        if scope.identifier is not None:
            yield "}\n"


def _listed(pairs: _Node, names: Callable[[str], str], indent: str) -> str:
    listed = []
    for predicate, same in groupby(pairs, lambda pair: pair[0]):
        objects = ", ".join(_object(value, names, indent) for _, value in same)
        listed.append(f"{'a' if predicate == _TYPE else names(predicate)} {objects}")
    return f" ;\n{indent}".join(listed)


def _object(value: Any, names: Callable[[str], str], indent: str) -> str:
    if not isinstance(value, list):
        return _term(value, names)
    return f"[ {_listed(value, names, indent + '    ')} ]"


def _term(value: Name | Text, names: Callable[[str], str]) -> str:
    if isinstance(value, Name):
        return names(value.name)
    text = quoted(value.text)
    if value.language:
        return f"{text}@{value.language}"
    if value.type is None or value.type == "xsd:string":
        return text
    return f"{text}^^{names(value.type)}"


class _Iris:
    """Names as IRIs."""

    def __init__(self, prefixes: dict[str, str]) -> None:
        self.prefixes = prefixes

    def __call__(self, name: str) -> str:
        if name.startswith("<"):
            return name
        prefix, local = split(name)
        if not is_plain(local):
            local = _ILLEGAL.sub(_percent, local)
        return f"<{self.prefixes[prefix]}{local}>"


class _Spelled(_Iris):
    """Names with their prefixes, where Turtle has a form for them."""

    def __init__(self, prefixes: dict[str, str]) -> None:
        free = {p: uri for p, uri in _OWN.items() if prefixes.get(p, uri) == uri}
        super().__init__({**prefixes, **free})
        terms = (_LABEL, _HAS_VALUE, *_CLASSES.values())
        self._terms = {
            term: f"{prefix}:{term[len(uri) + 1 : -1]}"
            for prefix, uri in free.items()
            for term in terms
            if term.startswith(f"<{uri}")
        }

    def __call__(self, name: str) -> str:
        if name.startswith("<"):
            return self._terms.get(name, name)
        prefix, local = split(name)
        if prefix.startswith("_") or not is_plain(local):
            return super().__call__(name)
        return f":{local}" if prefix == DEFAULT else name


#: What an IRI cannot hold (RFC 3987, N-Triples' IRIREF).
_ILLEGAL = re.compile(r'[\x00-\x20<>"{}|^`\\]')


def _percent(found: re.Match[str]) -> str:
    return f"%{ord(found.group()):02X}"


#: The formats by the names that a user gives. Turtle and N-Triples have no place for the graphs
#: that bundles are.
FORMATS: dict[str, Callable[[], _Lines | _Turtle]] = {
    "turtle": lambda: _Turtle(False),
    "trig": lambda: _Turtle(True),
    "n-triples": lambda: _Lines(False),
    "n-quads": lambda: _Lines(True),
}
