"""The document in PROV-N (W3C Recommendation, 2013), by the rules of its strict grammar.

By hand, record by record: prov's writer needs the whole document as objects, and before 3.0
changed texts with backslashes and numbers of many digits.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO

from yprov4wms.export.records import (
    BUILT_IN,
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
from yprov4wms.prov.vocabulary import ELEMENTS

#: What a local part may hold as it is ([53] PN_CHARS_OTHERS, SPARQL's PN_CHARS), and what only
#: behind a backslash; a dot or a hyphen in front and a dot at the end need one, too.
_CHARACTERS = (
    r"\w./@~&+*?#$!\-\u00b7\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u037d\u037f-\u1fff\u200c\u200d"
    r"\u203f\u2040\u2070-\u218f\u2c00-\u2fef\u3001-\ud7ff\uf900-\ufdcf\ufdf0-\ufffd"
    r"\U00010000-\U000effff"
)
_ESCAPED = re.compile(r"[=',:;\[\]()]|^[-.]|\.\Z", re.ASCII)
_FOREIGN = re.compile(rf"%(?![0-9A-Fa-f]{{2}})|[^%=',:;\[\](){_CHARACTERS}]", re.ASCII)
_INDENT = "  "


def write(content: bytes, file: BinaryIO) -> None:
    """Write a PROV-JSON document of ours as PROV-N, UTF-8."""
    file.write(b"document\n")
    for scope in scopes(content):
        for line in _scope(scope):
            file.write(line.encode())
    file.write(b"endDocument\n")


def _scope(scope: Scope) -> Iterator[str]:
    indent = _INDENT
    names = _Names(scope.prefixes)
    if scope.identifier is not None:
        yield f"{_INDENT}bundle {names.spelled(scope.identifier)}\n"
        indent += _INDENT
    for prefix, uri in scope.own.items():
        if prefix == DEFAULT:
            yield f"{indent}default <{uri}>\n"
        elif prefix not in BUILT_IN:
            yield f"{indent}prefix {names.prefix(prefix)} <{uri}>\n"
    for section, identifier, record in scope.named():
        yield f"{indent}{_statement(section, identifier, record, names)}\n"
    if scope.identifier is not None:
        yield f"{_INDENT}endBundle\n"


def _statement(section: str, identifier: str, record: Record, names: _Names) -> str:
    known = formal(section)
    terms = []
    for attribute in known:
        end = record.get(attribute)
        terms.append("-" if end is None else end if attribute in TIMES else names.spelled(end))
    attributes = [
        f"{names.spelled(attribute)}={_value(value, names)}"
        for attribute, found in record.items()
        if attribute not in known
        for value in values(found)
    ]
    if attributes:
        terms.append(f"[{', '.join(attributes)}]")
    before = ""
    if section in ELEMENTS:
        terms.insert(0, names.spelled(identifier))
    elif not identifier.startswith("_:"):
        before = f"{names.spelled(identifier)}; "
    # The Recommendation has no mention; PROV-Links gives it this name.
    keyword = "prov:mentionOf" if section == "mentionOf" else section
    return f"{keyword}({before}{', '.join(terms)})"


def _value(value: Name | Text, names: _Names) -> str:
    if isinstance(value, Name):
        return f"'{names.spelled(value.name)}'"
    text = quoted(value.text)
    if value.language:
        return f"{text}@{value.language}"
    return f"{text} %% {names.spelled(value.type)}" if value.type else text


class _Names:
    """Qualified names as PROV-N spells them."""

    def __init__(self, prefixes: dict[str, str]) -> None:
        self._prefixes = prefixes

    def prefix(self, prefix: str) -> str:
        """The prefix, or one for it where it starts as none may ([52] PN_PREFIX)."""
        if not prefix.startswith("_"):
            return prefix
        prefix = f"x{prefix}"
        while prefix in self._prefixes:
            prefix = f"x{prefix}"
        return prefix

    def spelled(self, name: str) -> str:
        prefix, local = split(name)
        if not is_plain(local):
            local = _ESCAPED.sub(r"\\\g<0>", _FOREIGN.sub(_percent, local))
        return local if prefix == DEFAULT else f"{self.prefix(prefix)}:{local}"


def _percent(found: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in found.group().encode())
