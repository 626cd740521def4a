"""Prefixes and identifiers of one scope: a document or one of its bundles."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from yprov4wms.prov.vocabulary import BARE, PREFIXES

#: Takes a rule's code, where it is broken, and what is wrong with what to do.
Report = Callable[[str, str, str], None]

_LOCAL = r"[A-Za-z_][A-Za-z0-9_.-]*(?<!\.)"
_QUALIFIED = re.compile(rf"([^:]+):{_LOCAL}")
_LOCAL_NAME = re.compile(_LOCAL)
_BLANK = re.compile(rf"_:{_LOCAL}")
_TYPE_NAME = re.compile(rf"({_LOCAL}):{_LOCAL}")
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s<>\"{}|\\^`\x00-\x1f]*[#/:]")
_FORM = "[A-Za-z_][A-Za-z0-9_.-]* without a final dot"
#: Stands in "prefix" for the namespace of names without prefix (PROV-JSON).
_DEFAULT = "default"


class Names:
    """What the scope's prefixes stand for; reports names that mean nothing.

    bundle: the identifier of the bundle that the scope is, and ``outer`` the document's
        names, which hold inside too.
    """

    def __init__(self, report: Report, bundle: str = "", outer: Names | None = None) -> None:
        self._report = report
        self._bundle = bundle
        self._outer = outer
        self._prefixes: dict[str, str] = dict(outer._prefixes) if outer else {}
        self._missing: set[str] = set()

    def at(self, section: str, identifier: str = "", attribute: str = "") -> str:
        """A place in the document, as people read it."""
        place = f"bundle {self._bundle}, {section}" if self._bundle else section
        if identifier:
            place = f"{place} {identifier}"
        return f"{place}, {attribute}" if attribute else place

    def uri(self, name: str) -> str | None:
        """The namespace of a qualified name."""
        return self._prefixes.get(name.partition(":")[0] if ":" in name else _DEFAULT)

    def same_outside(self, name: str) -> bool:
        """Whether a name in a bundle means the same in the document around it."""
        return self._outer is not None and self._outer.uri(name) == self.uri(name)

    def declare(self, namespaces: Mapping[str, object]) -> None:
        """Take in the scope's "prefix" section."""
        for prefix, uri in namespaces.items():
            where = self.at("prefix", prefix)
            if prefix == "_" or not _LOCAL_NAME.fullmatch(prefix):
                message = f"a prefix is {_FORM}, and _ stands for blank identifiers: rename it"
                self._report("bad-prefix", where, message)
            if not isinstance(uri, str) or not _URI.fullmatch(uri):
                message = f"{uri!r} is no absolute URI that ends in #, / or :"
                self._report("bad-namespace", where, message)
            elif prefix in PREFIXES and uri != PREFIXES[prefix]:
                rule = "reserved-prefix" if prefix in ("prov", "xsd") else "ecosystem-prefix"
                self._report(rule, where, f"bound to {uri}; it stands for {PREFIXES[prefix]}")
            outside = self._outer._prefixes.get(prefix, uri) if self._outer else uri
            if uri != outside and prefix == self._bundle.partition(":")[0]:
                message = f"redefined: readers then rename the bundle {self._bundle}"
                self._report("bundle-prefix", where, message)
            self._prefixes[prefix] = str(uri)

    def use(self, name: str, where: str) -> None:
        """Report the prefix of a qualified name, once, where nothing declares it."""
        prefix, colon, _ = name.partition(":")
        if not colon:
            prefix = _DEFAULT
        if prefix in self._prefixes or prefix in self._missing:
            return
        self._missing.add(prefix)
        if not colon:
            message = f"{name} has no prefix, and no default namespace is declared (first here)"
        elif prefix == "_":
            message = f"{name}: only relations have blank identifiers (first here)"
        else:
            message = f'prefix {prefix} is not declared (first here); add it to "prefix"'
        self._report("undeclared-prefix", where, message)

    def use_type(self, text: str, where: str) -> None:
        """As `use`, for a plain prov:type, which other formats write as a qualified name."""
        match = _TYPE_NAME.fullmatch(text)
        if match is not None and match[1] not in self._prefixes:
            self.use(text, where)

    def identifier(self, section: str, identifier: str) -> None:
        """Check the identifier of an element or bundle."""
        match = _QUALIFIED.fullmatch(identifier)
        if match is None or match[1] not in self._prefixes:
            where = self.at(section, identifier)
            self.use(identifier, where)
            self._local(identifier, "bad-identifier", where)

    def relation(self, section: str, identifier: str) -> None:
        """Check the identifier of a relation, which may be blank."""
        if _BLANK.fullmatch(identifier):
            return
        if section in BARE and not identifier.startswith("_:"):
            message = f"{section} has no identifier: write a blank one, as _:1"
            self._report("bare-relation", self.at(section, identifier), message)
        if identifier.startswith("_:"):
            self._local(identifier, "bad-identifier", self.at(section, identifier))
        else:
            self.identifier(section, identifier)

    def attribute(self, name: str, where: str) -> None:
        """Check the name of an attribute."""
        self.use(name, where)
        self._local(name, "bad-attribute-name", where)

    def _local(self, name: str, rule: str, where: str) -> None:
        _, colon, local = name.partition(":")
        if not colon:
            local = name
        if not _LOCAL_NAME.fullmatch(local):
            self._report(rule, where, f"local part {local!r} is not {_FORM}: rename it")
