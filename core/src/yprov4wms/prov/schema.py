"""The dialect of our documents as a JSON Schema (draft 2020-12).

It is made of the vocabulary; `text` is what stands in the package as `NAME`. What a schema cannot
say, such as that the ends of relations are declared, is for `yprov4wms.prov.rules`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from yprov4wms.events import Status
from yprov4wms.prov.terms import ALL, ATTEMPT, COARSE, FILE, RUN, Group, Kind
from yprov4wms.prov.vocabulary import (
    ATTRIBUTES,
    ELEMENTS,
    FURTHER_ENDS,
    LEVEL_OF,
    PREFIXES,
    RELATIONS,
    TIMED,
    Level,
    Link,
    Type,
)

NAME = "document.schema.json"
Schema = dict[str, Any]

_LOCAL = "[A-Za-z_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_-])?"
_QUALIFIED = f"(?:{_LOCAL}:)?{_LOCAL}"
_TIME = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00$"
_NAMESPACE = r"^[A-Za-z][A-Za-z0-9+.-]*:[^\s<>\"{}|\\^`\u0000-\u001f]*[#/:]$"
_NUMBERS = {
    "xsd:int": r"^[+-]?[0-9]{1,40}$",
    "xsd:long": r"^[+-]?[0-9]{1,40}$",
    "xsd:double": r"^(?:NaN|-?INF|[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)$",
}
#: XML Schema's types that a literal may have beside numbers.
_PLAIN_TYPES = (
    *("date", "time", "gYear", "gYearMonth", "gMonthDay", "gMonth", "gDay", "duration"),
    *("hexBinary", "base64Binary", "anyURI", "language", "string", "normalizedString"),
    *("token", "Name", "NCName", "NMTOKEN"),
)
_LINKED = ("wasInformedBy", "wasInfluencedBy")


def text() -> str:
    """The schema as it stands in the package."""
    return json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"


def schema() -> Schema:
    """The schema of a document."""
    scope = _scope()
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:yprov4wms:schema:document",
        "title": "A document of yprov4wms: PROV-JSON, in the form that prov 1.5 to 3.2 read alike",
        "type": "object",
        "required": ["prefix", "activity"],
        "properties": {**scope, "bundle": {"$ref": "#/$defs/bundles"}},
        "additionalProperties": False,
        "$defs": {
            "bundles": {
                "type": "object",
                "propertyNames": {"$ref": "#/$defs/identifier"},
                "additionalProperties": {
                    "type": "object",
                    "properties": scope,
                    "additionalProperties": False,
                },
            },
            **_names(),
            **_values(),
            **{f"{section}-record": _element(section) for section in ELEMENTS},
            **{f"{section}-record": _relation(section) for section in RELATIONS},
        },
    }


def _scope() -> dict[str, Schema]:
    """What a document and a bundle have."""
    found: dict[str, Schema] = {"prefix": {"$ref": "#/$defs/prefixes"}}
    for section in (*ELEMENTS, *RELATIONS):
        name = "identifier" if section in ELEMENTS else "relation-identifier"
        found[section] = {
            "type": "object",
            "propertyNames": {"$ref": f"#/$defs/{name}"},
            "additionalProperties": {"$ref": f"#/$defs/{section}-record"},
        }
    return found


def _names() -> dict[str, Schema]:
    return {
        "prefixes": {
            "type": "object",
            "propertyNames": {"pattern": f"^{_LOCAL}$", "not": {"const": "_"}},
            "properties": {prefix: {"const": uri} for prefix, uri in PREFIXES.items()},
            "additionalProperties": {"type": "string", "pattern": _NAMESPACE},
        },
        "identifier": {"type": "string", "pattern": f"^(?!_:){_QUALIFIED}$"},
        "relation-identifier": {"type": "string", "pattern": f"^{_QUALIFIED}$"},
        "attribute-name": {"type": "string", "pattern": f"^(?!_:){_QUALIFIED}$"},
    }


def _values() -> dict[str, Schema]:
    """What stands under an attribute: a literal, or an array of literals."""
    typed = [_literal(pattern, kind) for kind, pattern in _NUMBERS.items()]
    typed += [
        _literal(_TIME, "xsd:dateTime"),
        _literal(rf"^[^\s:]+:{_LOCAL}$", "prov:QUALIFIED_NAME"),
        _literal(None, *(f"xsd:{name}" for name in _PLAIN_TYPES)),
        {
            "properties": {
                "$": {"type": "string"},
                "type": {"type": "string", "not": {"pattern": "^(xsd:|prov:QUALIFIED_NAME$)"}},
            },
            "required": ["$", "type"],
            "additionalProperties": False,
        },
        {
            "properties": {
                "$": {"type": "string"},
                "lang": {"type": "string", "pattern": "^[A-Za-z]{1,8}(-[A-Za-z0-9]{1,8})*$"},
                "type": {"const": "prov:InternationalizedString"},
            },
            "required": ["$", "lang"],
            "additionalProperties": False,
        },
    ]
    literal = {"if": {"type": "object"}, "then": {"anyOf": typed}}
    return {
        "time": {"type": "string", "pattern": _TIME},
        "literal": {"type": ["string", "boolean", "object"], **literal},
        "value": {
            "if": {"type": "array"},
            "then": {"items": {"$ref": "#/$defs/literal"}},
            "else": {"$ref": "#/$defs/literal"},
        },
    }


def _literal(pattern: str | None, *kinds: str) -> Schema:
    value = {"type": "string"} if pattern is None else {"type": "string", "pattern": pattern}
    return {
        "properties": {"$": value, "type": {"enum": [*kinds]}},
        "required": ["$", "type"],
        "additionalProperties": False,
    }


def _record(properties: dict[str, Any], required: Iterable[str]) -> Schema:
    """An object of these attributes and any that are not PROV's own."""
    return {
        "type": "object",
        "required": [*required],
        "properties": properties,
        "patternProperties": _closed("prov", properties),
        "propertyNames": {"$ref": "#/$defs/attribute-name"},
        "additionalProperties": {"$ref": "#/$defs/value"},
    }


def _closed(prefix: str, properties: Iterable[str]) -> dict[str, Any]:
    """That there are no further attributes under a prefix."""
    local = [name.partition(":")[2] for name in properties if name.startswith(f"{prefix}:")]
    return {f"^{prefix}:(?!(?:{'|'.join(local)})$)": False}


def _element(section: str) -> Schema:
    value = {"$ref": "#/$defs/value"}
    properties: dict[str, Any] = {
        **{name: _kind(kind) for term in ALL.terms for name, kind in term.each()},
        "prov:location": value,
        "yprov4wfs:level": False,
        "yprov4wms:link": False,
        "yprov4wfs:status": {"enum": [*Status]},
    }
    if section == "activity":
        properties["yprov4wfs:level"] = {"enum": [*Level]}
        properties |= {name: _kind(kind) for term in COARSE.terms for name, kind in term.each()}
    else:
        for name in ("prov:startTime", "prov:endTime"):
            del properties[name]
    record = _record(properties, ["prov:label", "prov:type"])
    typed = _typed_terms()[section]
    return record | ({"allOf": typed} if typed else {})


def _typed_terms() -> dict[str, list[Schema]]:
    """What elements of our own types have: no child run's document speaks of these."""
    groups = {
        "activity": {Type.WORKFLOW_RUN: RUN, Type.TASK_ATTEMPT: ATTEMPT},
        "entity": {Type.FILE: FILE, Type.COLLECTION: FILE},
        "agent": {},
    }
    found: dict[str, list[Schema]] = {section: [] for section in groups}
    for kind, level in LEVEL_OF.items():
        then = {
            "required": ["yprov4wfs:level"],
            "properties": {"yprov4wfs:level": {"const": level}},
        }
        found["activity"].append(_if_type(kind, then))
    for section, of_types in groups.items():
        for kind, group in of_types.items():
            found[section].append(_if_type(kind, _terms(group)))
    return found


def _if_type(kind: str, then: Schema) -> Schema:
    asked = {"required": ["prov:type"], "properties": {"prov:type": {"const": kind}}}
    return {"if": asked, "then": then}


def _terms(group: Group) -> Schema:
    """The types of a group's terms; of families (``.*``) any value will do."""
    each = [pair for term in group.terms for pair in term.each()]
    return {
        "properties": {
            name: _kind(kind)
            for name, kind in each
            if not name.endswith(".*") and kind is not Kind.ANY
        }
    }


def _kind(kind: Kind) -> Schema:
    integer = _literal(_NUMBERS["xsd:int"], "xsd:int", "xsd:long")
    number = {"anyOf": [integer, _literal(_NUMBERS["xsd:double"], "xsd:double")]}
    plain: dict[Kind, Schema] = {
        Kind.TEXT: {"type": "string"},
        Kind.HEX: {"type": "string"},
        Kind.INT: {"type": "object", **integer},
        Kind.NUMBER: {"type": "object", **number},
        Kind.INT_OR_TEXT: {"if": {"type": "object"}, "then": integer, "else": {"type": "string"}},
        Kind.BARE: {"type": "integer", "minimum": 0},
        Kind.BOOLEAN: {"type": "boolean"},
        Kind.TIME: {"$ref": "#/$defs/time"},
    }
    return plain.get(kind, {"$ref": "#/$defs/value"})


def _relation(section: str) -> Schema:
    end: Schema = {"$ref": "#/$defs/identifier"}
    first, _, second, _ = RELATIONS[section]
    properties: dict[str, Any] = {first: end, second: end}
    properties |= {
        name: {"type": "string"} if name in ("prov:generation", "prov:usage") else end
        for name in FURTHER_ENDS.get(section, ())
    }
    value: Schema = {"$ref": "#/$defs/value"}
    properties |= dict.fromkeys(ATTRIBUTES.get(section, ()), value)
    if section in TIMED:
        properties["prov:time"] = {"$ref": "#/$defs/time"}
    properties["yprov4wms:link"] = {"enum": [*Link]} if section in _LINKED else False
    properties["yprov4wfs:level"] = False
    properties["yprov4wfs:status"] = {"enum": [*Status]}
    if second != "prov:trigger":
        return _record(properties, [first, second])
    starter = "prov:starter" if section == "wasStartedBy" else "prov:ender"
    either = [{"required": [second]}, {"required": [starter]}]
    return _record(properties, [first]) | {"anyOf": either}
