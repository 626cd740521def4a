"""Attribute values: the forms that prov 1.5 to 3.2 read to the same thing."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

#: A rule's code, and what is wrong with what to do.
Fault = tuple[str, str]

QUALIFIED_NAME = "prov:QUALIFIED_NAME"
_QNAME = re.compile(r"[^\s:]+:[A-Za-z_][A-Za-z0-9_.-]*(?<!\.)")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00", re.ASCII)
_INTEGER = re.compile(r"[+-]?[0-9]{1,40}")
_DOUBLE = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
_LANGUAGE = re.compile(r"[A-Za-z]{1,8}(-[A-Za-z0-9]{1,8})*")
TIME_FORM = "YYYY-MM-DDThh:mm:ss.ffffff+00:00"


def is_time(text: object) -> bool:
    """Whether it is a moment in the one form that every tool reads."""
    if type(text) is not str or not _TIME.fullmatch(text):
        return False
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def _is_int(text: str) -> bool:
    return bool(_INTEGER.fullmatch(text)) and -(2**31) <= int(text) < 2**31


def _is_long(text: str) -> bool:
    return bool(_INTEGER.fullmatch(text)) and -(2**63) <= int(text) < 2**63


def _is_double(text: str) -> bool:
    if text in ("NaN", "INF", "-INF"):
        return True
    return bool(_DOUBLE.fullmatch(text)) and math.isfinite(float(text))


def _is_any(text: str) -> bool:
    return True


def _matches(pattern: str) -> Callable[[str], bool]:
    compiled = re.compile(pattern, re.ASCII)
    return lambda text: bool(compiled.fullmatch(text))


#: The three types that numbers have.
NUMBERS: dict[Any, Callable[[str], bool]] = {
    "xsd:int": _is_int,
    "xsd:long": _is_long,
    "xsd:double": _is_double,
}

_ZONE = r"(Z|[+-]\d\d:\d\d)?"
_LEXICAL: dict[str, Callable[[str], bool]] = {
    **NUMBERS,
    "xsd:dateTime": is_time,
    "xsd:date": _matches(r"-?\d{4,}-\d\d-\d\d" + _ZONE),
    "xsd:time": _matches(r"\d\d:\d\d:\d\d(\.\d+)?" + _ZONE),
    "xsd:gYear": _matches(r"-?\d{4,}" + _ZONE),
    "xsd:gYearMonth": _matches(r"-?\d{4,}-\d\d" + _ZONE),
    "xsd:gMonthDay": _matches(r"--\d\d-\d\d" + _ZONE),
    "xsd:gMonth": _matches(r"--\d\d" + _ZONE),
    "xsd:gDay": _matches(r"---\d\d" + _ZONE),
    "xsd:duration": _matches(
        r"-?P(?=.)(\d+Y)?(\d+M)?(\d+D)?(T(?=.)(\d+H)?(\d+M)?(\d+(\.\d+)?S)?)?"
    ),
    "xsd:hexBinary": _matches(r"([0-9A-Fa-f]{2})*"),
    "xsd:base64Binary": _matches(r"[A-Za-z0-9+/ ]*={0,2}"),
    "xsd:anyURI": _matches(r"[^\s<>\"{}|\\^`]+"),
    "xsd:language": lambda text: bool(_LANGUAGE.fullmatch(text)),
    QUALIFIED_NAME: lambda text: bool(_QNAME.fullmatch(text)),
    "xsd:string": _is_any,
    "xsd:normalizedString": _is_any,
    "xsd:token": _is_any,
    "xsd:Name": _is_any,
    "xsd:NCName": _is_any,
    "xsd:NMTOKEN": _is_any,
}

_OTHER_NUMBERS = frozenset(
    {
        "xsd:integer",
        "xsd:decimal",
        "xsd:float",
        "xsd:short",
        "xsd:byte",
        "xsd:nonNegativeInteger",
        "xsd:nonPositiveInteger",
        "xsd:positiveInteger",
        "xsd:negativeInteger",
        "xsd:unsignedLong",
        "xsd:unsignedInt",
        "xsd:unsignedShort",
        "xsd:unsignedByte",
    }
)


def faults(value: object, use: Callable[[str], None]) -> Iterator[Fault]:
    """What is wrong with one attribute's value; ``use`` is told each qualified name in it."""
    match value:
        case str() | bool():
            return
        case None:
            yield "null-value", "null is no value; leave the attribute out"
        case int() | float():
            kind = "xsd:double" if isinstance(value, float) else "xsd:int or xsd:long"
            yield "bare-number", f'bare number; write {{"$": "{value}", "type": "{kind}"}}'
        case list():
            for item in value:
                if isinstance(item, list):
                    yield "nested-value", "array in an array; PROV-JSON has only flat ones"
                else:
                    yield from faults(item, use)
        case dict():
            yield from _literal(value, use)


def _literal(value: dict[str, Any], use: Callable[[str], None]) -> Iterator[Fault]:
    if "$" not in value:
        yield "nested-value", "an object that is no literal; write its JSON text as a string"
        return
    text, kind = value["$"], value.get("type")
    if extra := [key for key in value if key not in ("$", "type", "lang")]:
        yield "bad-literal", f'a literal has "$" with "type" or "lang", not {extra[0]!r}'
    if type(text) is not str:
        yield "bad-literal", f'"$" holds {_shown(text)}; write it as a string'
        return
    if "lang" in value:
        language = value["lang"]
        if type(language) is not str or not _LANGUAGE.fullmatch(language):
            yield "bad-literal", f"{_shown(language)} is no language tag (BCP 47)"
        if kind not in (None, "prov:InternationalizedString"):
            yield "bad-literal", f'text with a language has no type {_shown(kind)}; drop "type"'
        return
    if type(kind) is not str:
        yield "bad-literal", 'no "type" with "$"; name one, or write a plain string'
        return
    use(kind)
    yield from _typed(text, kind)
    if kind == QUALIFIED_NAME and _QNAME.fullmatch(text):
        use(text)


def _typed(text: str, kind: str) -> Iterator[Fault]:
    if kind in _OTHER_NUMBERS:
        yield (
            "number-type",
            f"{kind} is read differently by prov's versions; use xsd:int|long|double",
        )
    elif kind == "xsd:boolean":
        yield "typed-boolean", "write true or false bare"
    elif kind == "xsd:QName":
        yield "qname-type", f"prov before 3 takes xsd:QName for text; use {QUALIFIED_NAME}"
    elif (lexical := _LEXICAL.get(kind)) is not None:
        if not lexical(text):
            hint = f" ({TIME_FORM})" if kind == "xsd:dateTime" else ""
            yield "bad-literal", f"{_shown(text)} is no {kind}{hint}"
    elif kind.startswith("xsd:"):
        yield "bad-literal", f"{kind} is no type of XML Schema that PROV uses"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
