"""PROV-N (W3C Recommendation, 2013) as instances: one pass, without recursion."""

from __future__ import annotations

import re

from yprov4wms.prov._rules.names import Report
from yprov4wms.prov.constraints.model import (
    ELEMENTS,
    EMPTY_COLLECTION,
    KINDS,
    PREDEFINED,
    Instance,
    Kind,
)

# Every repetition is possessive, so that no text takes more than one pass.
_SPACE = re.compile(r"(?:[ \t\r\n\f]++|//[^\r\n]*+|/\*(?:[^*]|\*(?!/))*+\*/)*+")
_TOKEN = re.compile(
    r'(?P<string>"""(?:[^"\\]|\\.|"(?!""))*+"""|"(?:[^"\\\r\n]|\\.)*+")'
    r"|(?P<name>'(?:[^'\\\r\n]|\\.)*+')"
    r"|(?P<iri><[^<>\"{}|^`\\\x00-\x20]*+>)"
    r"|(?P<mark>%%|[()\[\],;={}])"
    r"|(?P<word>(?:[\w.:+/@~&*?#$!-]|%[0-9A-Fa-f]{2}|\\.)++)",
    re.DOTALL,
)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_OPENING, _CLOSING = frozenset("([{"), frozenset(")]}")

Token = tuple[str, str]
_END: Token = ("end", "")


class _SyntaxError(Exception):
    pass


def read(content: bytes, report: Report) -> list[Instance]:
    """The document's instance, then those of its bundles.

    What is no PROV-N is reported with its line, and what stands after it is not read.
    """
    try:
        parser = _Parser(content.decode("utf-8-sig"), report)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        report("malformed", f"line {line}", f"not UTF-8 text: {error.reason}")
        return []
    try:
        parser.document()
    except _SyntaxError as error:
        report("malformed", f"line {parser.line}", f"{error}; nothing after it is read")
    return parser.instances


class _Parser:
    def __init__(self, text: str, report: Report) -> None:
        self._text = text
        self._report = report
        self._position = 0
        self._counted = 0
        self.line = 1
        self._namespaces = dict(PREDEFINED)
        self.instances = [Instance(self._namespaces)]
        self._instance = self.instances[0]

    # -- tokens -----------------------------------------------------------------

    def _next(self) -> Token:
        text = self._text
        start = _SPACE.match(text, self._position).end()  # type: ignore[union-attr]
        self.line += text.count("\n", self._counted, start)
        self._counted = start
        if start == len(text):
            self._position = start
            return _END
        match = _TOKEN.match(text, start)
        if match is None:
            raise _SyntaxError(f"{text[start : start + 20]!r} is no PROV-N")
        self._position = match.end()
        return (str(match.lastgroup), match[0])

    def _expect(self, mark: str) -> None:
        token = self._next()
        if token != ("mark", mark):
            raise _SyntaxError(f"{_told(token)} where {mark} belongs")

    def _word(self, what: str) -> str:
        kind, text = self._next()
        if kind != "word":
            raise _SyntaxError(f"{_told((kind, text))} where {what} belongs")
        return _ESCAPE.sub(r"\1", text)

    # -- the document -----------------------------------------------------------

    def document(self) -> None:
        if self._word("document") != "document":
            raise _SyntaxError("PROV-N begins with the word document")
        top, outer = self._instance, self._namespaces
        while (word := self._word("a statement or endDocument")) != "endDocument":
            if word == "bundle" and self._instance is top:
                name = self._word("the bundle's identifier")
                self._instance = Instance(dict(outer), name)
                self.instances.append(self._instance)
            elif word == "endBundle" and self._instance is not top:
                self._instance = top
            elif word in ("prefix", "default"):
                self._declaration(word)
            else:
                self._statement(word)
        if self._instance is not top:
            raise _SyntaxError(f"bundle {self._instance.bundle} has no endBundle")
        if self._next() != _END:
            raise _SyntaxError("more text after endDocument")

    def _declaration(self, word: str) -> None:
        prefix = self._word("a prefix") if word == "prefix" else ""
        kind, text = self._next()
        if kind != "iri":
            raise _SyntaxError(f"{_told((kind, text))} where a namespace in <> belongs")
        self._instance.names.namespaces[prefix] = text[1:-1]

    def _statement(self, name: str) -> None:
        line = self.line
        self._expect("(")
        kind = KINDS.get(name)
        if kind is None:
            if ":" not in name:
                raise _SyntaxError(f"{name} is no statement of PROV-N")
            self._skip()
            unread = self._instance.unread
            unread[name] = unread.get(name, 0) + 1
            return
        arguments, identified, mark = self._arguments(kind)
        identifier = arguments.pop(0) if identified and arguments else None
        if name in ELEMENTS and identifier is None:
            raise _SyntaxError(f"{name} without an identifier")
        element = self._add(kind, identifier, arguments, line)
        if mark == "[":
            self._attributes(name, element)
            self._expect(")")

    def _arguments(self, kind: Kind) -> tuple[list[str | None], bool, str]:
        """The arguments up to ) or the [ of attributes, whether the first is the identifier, and
        which of both marks was read. A "-" is None."""
        arguments: list[str | None] = []
        identified = kind.name in ELEMENTS
        while True:
            token = self._next()
            if token == ("mark", "[") or (token == ("mark", ")") and not arguments):
                return arguments, identified, token[1]
            if token[0] != "word":
                raise _SyntaxError(f"{_told(token)} where an argument of {kind.name} belongs")
            arguments.append(None if token[1] == "-" else _ESCAPE.sub(r"\1", token[1]))
            mark = self._next()
            if mark == ("mark", ")"):
                return arguments, identified, ")"
            if mark == ("mark", ";") and len(arguments) == 1 and kind.identified and not identified:
                identified = True
            elif mark != ("mark", ","):
                raise _SyntaxError(f"{_told(mark)} in {kind.name} where a comma or ) belongs")

    def _add(
        self, kind: Kind, identifier: str | None, arguments: list[str | None], line: int
    ) -> int:
        expected = len(kind.ends) + len(kind.times)
        if len(arguments) > expected:
            raise _SyntaxError(f"{kind.name} has {expected} arguments at most")
        names, times = self._instance.names, self._instance.times
        arguments += [None] * (expected - len(arguments))
        ends = len(kind.ends)
        numbers = [*(names[a] for a in arguments[:ends]), *(times[a] for a in arguments[ends:])]
        number = names[identifier]
        self._instance[kind.name].add(number, numbers, line)
        return number

    def _attributes(self, statement: str, element: int) -> None:
        """What stands in [...], whose bracket is read; only elements' are of interest."""
        token = self._next()
        while token != ("mark", "]"):
            if token[0] != "word":
                raise _SyntaxError(f"{_told(token)} where an attribute belongs")
            name = token[1]
            self._expect("=")
            kind, text = self._next()
            if kind not in ("string", "name", "word"):
                raise _SyntaxError(f"{_told((kind, text))} where the value of {name} belongs")
            token = self._next()
            if token[0] == "word" and token[1].startswith("@") and kind == "string":
                token = self._next()
            datatype = ""
            if token == ("mark", "%%"):
                of, datatype = self._next()
                if of not in ("word", "iri"):
                    raise _SyntaxError(f"{_told((of, datatype))} where a type belongs")
                token = self._next()
            if statement in ELEMENTS:
                self._attribute(statement, element, name, (kind, text), datatype)
            if token == ("mark", ","):
                token = self._next()
            elif token != ("mark", "]"):
                raise _SyntaxError(f"{_told(token)} after the value of {name}; a comma is missing")

    def _attribute(
        self, statement: str, element: int, name: str, value: Token, datatype: str
    ) -> None:
        kind, quoted = value
        quotes = 3 if quoted.startswith('"""') else 1
        text = quoted[quotes:-quotes] if kind != "word" else quoted
        instance = self._instance
        uri = instance.names.uri
        if name != "prov:type":
            instance.attribute(element, name, text)
        elif statement == "entity":
            qualified = kind == "name" or datatype.endswith((":QName", ":QUALIFIED_NAME"))
            named = uri(text) if qualified else text if datatype.endswith(":anyURI") else ""
            if named == EMPTY_COLLECTION:
                instance.empty.add(element)

    def _skip(self) -> None:
        """To the end of an extension's statement, whose parenthesis is read."""
        depth = 1
        while depth:
            kind, text = self._next()
            if kind == "end":
                raise _SyntaxError("the document ends inside a statement")
            if kind == "mark":
                depth += (text in _OPENING) - (text in _CLOSING)


def _told(token: Token) -> str:
    return "the document's end" if token == _END else repr(token[1][:40])
