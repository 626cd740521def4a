"""Python values as PROV-JSON text: literals, attribute names, identifiers."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable
from json.encoder import encode_basestring
from typing import Any

import msgspec

_encode = msgspec.json.Encoder().encode
_SAFE = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*(?<!\.)")
_LONGEST = 80
_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]+")


#: A JSON string, quotes included.
string: Callable[[str], str] = encode_basestring


def literal(value: object) -> str:
    """A PROV-JSON attribute value that prov 1.5.1 to 3.2 read to the same thing.

    Numbers are typed strings (xsd:int, xsd:long, xsd:double); lists, mappings and
    integers beyond 64 bits become their JSON text.
    """
    known = _LITERALS.get(type(value))
    if known is not None:
        return known(value)
    if isinstance(value, str):
        return string(str(value))
    return string(_encode(value).decode())


def _integer(value: Any) -> str:
    if -(2**31) <= value < 2**31:
        return f'{{"$":"{value}","type":"xsd:int"}}'
    if -(2**63) <= value < 2**63:
        return f'{{"$":"{value}","type":"xsd:long"}}'
    return f'"{value}"'


def _double(value: Any) -> str:
    if math.isfinite(value):
        return f'{{"$":"{value!r}","type":"xsd:double"}}'
    text = "NaN" if math.isnan(value) else "INF" if value > 0 else "-INF"
    return f'{{"$":"{text}","type":"xsd:double"}}'


def _boolean(value: Any) -> str:
    return "true" if value else "false"


_LITERALS: dict[type, Callable[[Any], str]] = {
    str: string,
    bool: _boolean,
    int: _integer,
    float: _double,
}


def attributes(values: dict[str, Any]) -> str:
    """``"name":value,...`` of a mapping; names are trusted, absent values (None) left out."""
    parts = []
    for name, value in values.items():
        if value is not None:
            known = _LITERALS.get(type(value)) or literal
            parts.append(f'"{name}":{known(value)}')
    return ",".join(parts)


def local_name(text: str) -> str:
    """A local part that every tool of the ecosystem takes: ``[A-Za-z_][A-Za-z0-9_.-]*``.

    Text that is not one already is changed and gets a hash, so that no two become one.
    """
    if _SAFE.fullmatch(text):
        return text
    # What is cut is told apart by the hash alone.
    size = 4 if len(text) <= _LONGEST else 8
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=size).hexdigest()
    body = _UNSAFE.sub("_", text)[:_LONGEST]
    if not re.match("[A-Za-z_]", body):
        body = "_" + body
    return f"{body}-{digest}"


def hashed_name(kind: str, *parts: str) -> str:
    """``<kind>_<hash of the parts>``: the same for the same parts, in any process."""
    key = "\0".join(parts).encode("utf-8", "surrogatepass")
    return f"{kind}_{hashlib.blake2b(key, digest_size=10).hexdigest()}"
