"""PROV-XML (W3C Note, 2013) as instances: a stream, without a tree and without entities."""

from __future__ import annotations

from typing import Any
from xml.parsers import expat

from yprov4wms.prov._rules.names import Report
from yprov4wms.prov.constraints.model import (
    ELEMENTS,
    EMPTY_COLLECTION,
    KINDS,
    NONE,
    PREDEFINED,
    PROV,
    Instance,
)

_XSI_TYPE = "http://www.w3.org/2001/XMLSchema-instance type"
_PROV = PROV + " "
#: Elements that are a statement of another name, those of entities with their type.
_SUBTYPES = {
    "person": "agent",
    "organization": "agent",
    "softwareAgent": "agent",
    "plan": "entity",
    "collection": "entity",
    "emptyCollection": "entity",
    "wasRevisionOf": "wasDerivedFrom",
    "wasQuotedFrom": "wasDerivedFrom",
    "hadPrimarySource": "wasDerivedFrom",
}
_CONTAINERS = ("bundleContent", "bundle")


class _SyntaxError(Exception):
    pass


def read(content: bytes, report: Report) -> list[Instance]:
    """The document's instance, then those of its bundles.

    What is no PROV-XML is reported with its line, and what stands after it is not read. A
    document type declaration is refused, and with it every entity.
    """
    reader = _Reader()
    try:
        reader.parser.Parse(content, True)
    except expat.ExpatError as error:
        message = f"not XML: {expat.ErrorString(error.code)}; nothing after it is read"
        report("malformed", f"line {error.lineno}", message)
    except (LookupError, ValueError) as error:
        report("malformed", "line 1", f"its encoding cannot be read: {error}")
    except _SyntaxError as error:
        line = reader.parser.CurrentLineNumber
        report("malformed", f"line {line}", f"{error}; nothing after it is read")
    return reader.instances


class _Reader:
    """Handlers of expat's events.

    A bundle's content and the entity that stands for a bundle may have the same name
    (ProvToolbox writes so): which it is shows when a statement stands in it.
    """

    def __init__(self) -> None:
        self.parser = expat.ParserCreate(namespace_separator=" ")
        self.parser.buffer_text = True
        self.parser.StartDoctypeDeclHandler = self._doctype
        self.parser.StartNamespaceDeclHandler = self._declare
        self.parser.EndNamespaceDeclHandler = self._forget
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._characters
        self._scopes: dict[str, list[str]] = {prefix: [uri] for prefix, uri in PREDEFINED.items()}
        self.instances = [Instance({})]
        self._instance = self.instances[0]
        self._depth = 0
        #: The depth at which statements stand: 1 in the document, 2 in a bundle.
        self._level = 1
        self._statement = ""
        self._identifier: str | None = None
        self._line = 0
        self._ends: dict[str, list[str]] = {}
        #: Of each child its name, with "prov:" or ":" in front, its text and its xsi:type.
        self._texts: list[tuple[str, str, str]] = []
        self._text: list[str] = []
        self._type = ""

    def _doctype(self, *_: Any) -> None:
        raise _SyntaxError("a document type declaration, which PROV-XML does not need: refused")

    def _declare(self, prefix: str | None, uri: str | None) -> None:
        self._scopes.setdefault(prefix or "", []).append(uri or "")

    def _forget(self, prefix: str | None) -> None:
        self._scopes[prefix or ""].pop()

    def _name(self, text: str) -> int:
        """The number of a qualified name, by the namespaces where it stands."""
        return self._instance.names.intern(self._uri(text), text.strip())

    def _uri(self, text: str) -> str:
        prefix, colon, local = text.strip().partition(":")
        if not colon:
            prefix, local = "", prefix
        stack = self._scopes.get(prefix)
        if not stack:
            if prefix:
                self._instance.names.undeclared.setdefault(prefix, text)
            return text.strip()
        return stack[-1] + local

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        name = tag.removeprefix(_PROV) if tag.startswith(_PROV) else ""
        depth = self._depth
        self._depth += 1
        if depth == 0:
            if name != "document":
                raise _SyntaxError(f"the root is {tag}, not prov:document")
        elif depth == self._level:
            self._open(name, tag, attributes)
        elif depth == 2 and self._level == 1 and self._statement == "bundle" and _is_record(name):
            self._enter()
            self._open(name, tag, attributes)
        elif depth == self._level + 1 and self._statement:
            self._text = []
            self._type = attributes.get(_XSI_TYPE, "")
            reference = attributes.get(_PROV + "ref")
            if reference is not None and name:
                self._ends.setdefault(name, []).append(reference)

    def _open(self, name: str, tag: str, attributes: dict[str, str]) -> None:
        self._identifier = attributes.get(_PROV + "id")
        self._line = self.parser.CurrentLineNumber
        self._ends, self._texts = {}, []
        self._statement = name if name in _CONTAINERS or _is_record(name) else ""
        if name == "bundleContent" and self._level == 1:
            self._enter()
        elif not self._statement and name not in ("label", "location", "type", "value", "other"):
            unread = self._instance.unread
            unread[name or tag] = unread.get(name or tag, 0) + 1

    def _enter(self) -> None:
        """What was opened is a bundle's content."""
        self._instance = Instance({}, self._identifier or "without identifier")
        self.instances.append(self._instance)
        self._level, self._statement = 2, ""

    def _characters(self, text: str) -> None:
        if self._statement and self._depth == self._level + 2:
            self._text.append(text)

    def _end(self, tag: str) -> None:
        self._depth -= 1
        if self._depth == self._level + 1 and self._statement:
            prefix = "prov:" if tag.startswith(_PROV) else ":"
            name = prefix + tag.rpartition(" ")[2]
            self._texts.append((name, "".join(self._text).strip(), self._type))
        elif self._depth == self._level and self._statement:
            self._close()
            self._statement = ""
        elif self._depth == 1 and self._level == 2:
            self._instance, self._level = self.instances[0], 1

    def _close(self) -> None:
        kind = KINDS[_kind(self._statement)]
        instance = self._instance
        identifier = self._name(self._identifier) if self._identifier else NONE
        if kind.name in ELEMENTS and identifier == NONE:
            raise _SyntaxError(f"{kind.name} without prov:id")
        given = {name: text or None for name, text, _ in self._texts}
        times = [instance.times[given.get(f"prov:{name}")] for name in kind.times]
        members = 1
        for name, found in self._ends.items():
            if (kind.name, name) == ("hadMember", "entity"):
                members = len(found)
            elif name in kind.ends and len(found) > 1:
                raise _SyntaxError(f"{kind.name} has prov:{name} more than once")
        for number in range(members):
            ends = [self._end_of(name, number) for name in kind.ends]
            key = identifier if kind.identified else NONE
            instance[kind.name].add(key, [*ends, *times], self._line)
        if kind.name in ELEMENTS:
            self._attributes(kind.name, identifier)

    def _end_of(self, name: str, number: int) -> int:
        """An end of a statement; of a collection's members the one of this number."""
        found = self._ends.get(name)
        return self._name(found[min(number, len(found) - 1)]) if found else NONE

    def _attributes(self, kind: str, element: int) -> None:
        instance = self._instance
        if self._statement == "emptyCollection":
            instance.empty.add(element)
        for name, text, datatype in self._texts:
            if name != "prov:type":
                instance.attribute(element, name, text)
            elif kind == "entity" and not datatype.endswith(":string"):
                uri = text if datatype.endswith(":anyURI") else self._uri(text)
                if uri == EMPTY_COLLECTION:
                    instance.empty.add(element)


def _kind(name: str) -> str:
    return "entity" if name == "bundle" else _SUBTYPES.get(name, name)


def _is_record(name: str) -> bool:
    return _SUBTYPES.get(name, name) in KINDS
