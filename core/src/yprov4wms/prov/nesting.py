"""Child documents inside a workflow's document: flattened, as bundles, or linked."""

from __future__ import annotations

import re
from collections.abc import Iterator
from posixpath import normpath
from typing import Any

import msgspec

from yprov4wms.events import ChildAttached, File, Person
from yprov4wms.prov.values import attributes, hashed_name, local_name, string
from yprov4wms.prov.vocabulary import (
    ELEMENTS,
    OPTIONAL_ENDS,
    PREFIXES,
    RELATIONS,
    RUN,
    Level,
    Link,
    Type,
    run_namespace,
)
from yprov4wms.prov.writer import ProvJsonWriter

#: The dialect of this project's own ML recorder.
OWN_DIALECT = "yprov4wms-ml"

#: By path, the identifier of a file's version and what it was.
Versions = dict[str, tuple[str, File]]
_Records = dict[str, dict[str, Any]]

#: Absolute, with a separator at its end: what a prefix may stand for.
_NAMESPACE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:\S*[#/:]")

_json = msgspec.json.Encoder().encode


class Nesting:
    """Puts child documents into a document, each with its own namespace ``ml<n>``."""

    def __init__(
        self, writer: ProvJsonWriter, mode: str, directory: str, person: Person | None
    ) -> None:
        self._writer = writer
        self._mode = mode
        self._directory = directory.rstrip("/")
        self._login = person.login if person else None
        self._count = 0

    def child(
        self,
        child: ChildAttached,
        content: bytes | None,
        attempt: str,
        agent: str,
        uses: Versions,
        makes: Versions,
    ) -> set[str]:
        """Write one child of the activity ``attempt``; ``agent`` answers for both.

        uses, makes: the file versions of the attempt. Returns those that the child made.
        A document that is gone (None) or cannot be read is linked, and the reason stands there.
        """
        self._count += 1
        document = f"{RUN}:{hashed_name('document', attempt, child.child)}"
        note: str | None = None
        records: _Records = {}
        if content is None:
            note = "the document is gone from the store"
        else:
            try:
                records = msgspec.json.decode(content, type=_Records)
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                note = f"not a PROV-JSON document: {error}"
        if self._mode == "bundle" and content is not None and note is None:
            note = self._bundle(document, child, content)
        elif self._mode == "flatten" and "bundle" in records:
            note = "its bundles are left out"
        self._document(document, child, attempt, note)
        one = _Child(self, records, child, f"ml{self._count}")
        if self._mode == "flatten" and records:
            return one.flatten(attempt, agent, uses, makes)
        return one.summarise(document, attempt, agent, uses, makes)

    def _document(
        self, identifier: str, child: ChildAttached, attempt: str, note: str | None
    ) -> None:
        file = child.document
        values = {
            "prov:label": file.path,
            "prov:type": Type.BUNDLE,
            "dcterms:identifier": file.path,
            "yprov4wms:path": file.path,
            "yprov4wms:size": file.size,
            "yprov4wms:sha256": file.sha256,
            "yprov4wms:dialect": child.type,
            "yprov4wms:child_run": child.child,
            "yprov4wms:complete": child.complete,
            "yprov4wms:note": note,
        }
        self._writer.element("entity", identifier, attributes(values))
        self._writer.relation("wasGeneratedBy", identifier, attempt)

    def _bundle(self, identifier: str, child: ChildAttached, content: bytes) -> str | None:
        """Put a child's document in a bundle as it is; or say why it cannot stand there."""
        if child.type != OWN_DIALECT:
            from yprov4wms.prov.rules import check

            problems = check(content)
            if problems:
                first = problems[0]
                return f"not put in a bundle: {first.where}: {first.message}"
        self._writer.bundle(identifier, content)
        return None

    def canonical(self, path: str) -> str:
        """A child's path as the workflow's run names it."""
        path = normpath(path)
        inside = self._directory + "/"
        return path[len(inside) :] if self._directory and path.startswith(inside) else path

    @property
    def writer(self) -> ProvJsonWriter:
        return self._writer

    @property
    def login(self) -> str | None:
        return self._login


class _Child:
    """One child's records, on their way into the workflow's document."""

    def __init__(
        self, nesting: Nesting, records: _Records, child: ChildAttached, prefix: str
    ) -> None:
        self._nesting = nesting
        self._writer = nesting.writer
        self._records = records
        self._prefixes: dict[str, str] = {k: str(v) for k, v in records.get("prefix", {}).items()}
        self._child = child
        self._prefix = prefix
        self._writer.prefixes[prefix] = run_namespace(child.child)
        self._own = {p for p, uri in self._prefixes.items() if uri == run_namespace(child.child)}
        self._ids: dict[str, str] = {}
        self._attributes: dict[str, str] = {}

    def flatten(self, attempt: str, agent: str, uses: Versions, makes: Versions) -> set[str]:
        shared = self._shared(uses, makes)
        self._ids = dict(shared)
        for section in ELEMENTS:
            for identifier, values in self._records.get(section, {}).items():
                if identifier in self._ids:
                    continue
                if section == "agent" and self._same_person(values):
                    self._ids[identifier] = agent
                    continue
                new = self._ids[identifier] = self._identifier(identifier)
                self._writer.element(section, new, self._body(identifier, values))
        inner: set[str] = set()
        roots = dict.fromkeys(self._ids[root] for root in self._roots())
        unassociated = dict(roots)
        for section, record in self._relations():
            first, _, second, _ = RELATIONS[section]
            one, two = self._end(record.pop(first, None)), self._end(record.pop(second, None))
            if one is None or two is None:
                continue
            self._writer.relation(section, one, two, self._more(record))
            if section == "wasGeneratedBy":
                inner.add(one)
            if section == "wasAssociatedWith" and two == agent:
                unassociated.pop(one, None)
        for root in roots:
            self._writer.relation(
                "wasInformedBy", root, attempt, f'"yprov4wms:link":"{Link.NESTED}"'
            )
            if root in unassociated:
                self._writer.relation("wasAssociatedWith", root, agent)
        return inner & set(shared.values())

    def summarise(
        self, document: str, attempt: str, agent: str, uses: Versions, makes: Versions
    ) -> set[str]:
        """One activity that stands for the child, and its share in the attempt's files."""
        identifier = f"{RUN}:{hashed_name('child', attempt, self._child.child)}"
        root: dict[str, Any] = next((self._records["activity"][r] for r in self._roots()), {})
        kept = ("prov:startTime", "prov:endTime", "prov:label", "yprov4wfs:status")
        values = {name: root[name] for name in kept if isinstance(root.get(name), str)}
        values.setdefault("prov:label", self._child.child)
        values |= {
            "prov:type": Type.ML_RUN,
            "yprov4wfs:level": Level.ML_RUN,
            "yprov4wms:child_run": self._child.child,
            "yprov4wms:document": document,
        }
        self._writer.element("activity", identifier, attributes(values))
        self._writer.relation(
            "wasInformedBy", identifier, attempt, f'"yprov4wms:link":"{Link.NESTED}"'
        )
        self._writer.relation("wasAssociatedWith", identifier, agent)
        generated = self._generated()
        for original, version in self._shared(uses, makes).items():
            stub = self._identifier(original)
            entity = self._records["entity"][original]
            label = string(str(entity.get("prov:label", original)))
            self._writer.element("entity", stub, f'"prov:label":{label},"prov:type":"{Type.FILE}"')
            if original in generated:
                self._writer.relation("wasGeneratedBy", stub, identifier)
                self._writer.relation("wasDerivedFrom", version, stub)
            else:
                self._writer.relation("used", identifier, stub)
                self._writer.relation("wasDerivedFrom", stub, version)
        return set()

    def _shared(self, uses: Versions, makes: Versions) -> dict[str, str]:
        """The child's file entities that are versions of the attempt's own files."""
        generated = self._generated()
        shared: dict[str, str] = {}
        taken: set[str] = set()
        for identifier, values in self._records.get("entity", {}).items():
            path = values.get("yprov4wms:path")
            if not isinstance(path, str):
                continue
            path = self._nesting.canonical(path)
            order = (makes,) if identifier in generated else (uses, makes)
            for versions in order:
                version, file = versions.get(path, (None, None))
                sha256 = values.get("yprov4wms:sha256")
                if version is None or file is None or version in taken:
                    continue
                if sha256 and file.sha256 and sha256 != file.sha256:
                    continue
                shared[identifier] = version
                taken.add(version)
                break
        return shared

    def _generated(self) -> set[str]:
        return {
            record.get("prov:entity", "")
            for section, record in self._relations()
            if section == "wasGeneratedBy"
        }

    def _roots(self) -> list[str]:
        """The activities that no other activity of the child informed."""
        informed = {
            record.get("prov:informed")
            for section, record in self._relations()
            if section == "wasInformedBy"
        }
        return [a for a in self._records.get("activity", {}) if a not in informed]

    def _relations(self) -> Iterator[tuple[str, dict[str, Any]]]:
        for section in RELATIONS:
            for record in self._records.get(section, {}).values():
                for one in record if isinstance(record, list) else [record]:
                    members = one.get("prov:entity") if section == "hadMember" else None
                    if isinstance(members, list):
                        for member in members:
                            yield section, {**one, "prov:entity": member}
                    else:
                        yield section, dict(one)

    def _end(self, identifier: Any) -> str | None:
        return self._ids.get(identifier) if isinstance(identifier, str) else None

    def _same_person(self, values: dict[str, Any]) -> bool:
        login = values.get("yprov4wms:login")
        return login is not None and login == self._nesting.login

    def _identifier(self, original: str) -> str:
        prefix, _, local = original.partition(":")
        return f"{self._prefix}:{local_name(local if prefix in self._own else original)}"

    def _body(self, original: str, values: dict[str, Any]) -> str:
        found = {self._attribute(name): self._value(value) for name, value in values.items()}
        if self._ids[original].partition(":")[2] != original.partition(":")[2]:
            found.setdefault("yprov4wms:original_id", string(original))
        return ",".join(f'"{name}":{value}' for name, value in found.items())

    def _value(self, value: Any) -> str:
        """A value as JSON text; a qualified name in it under the document's own prefixes."""
        if isinstance(value, dict) and value.get("type") in ("prov:QUALIFIED_NAME", "xsd:QName"):
            name = self._qualified(str(value.get("$")))
            return _json({"$": name, "type": "prov:QUALIFIED_NAME"}).decode()
        if isinstance(value, dict) and isinstance(value.get("type"), str):
            value = {**value, "type": self._qualified(value["type"])}
        return _json(value).decode()

    def _qualified(self, name: str) -> str:
        known = self._ids.get(name)
        return known if known is not None else self._attribute(name)

    def _attribute(self, name: str) -> str:
        """An attribute's name under a prefix that means the same in the whole document."""
        known = self._attributes.get(name)
        if known is None:
            prefix, _, local = name.partition(":")
            uri = self._prefixes.get(prefix)
            if local and (uri is None or uri == PREFIXES.get(prefix)) and prefix in PREFIXES:
                known = f"{prefix}:{local_name(local)}"
            elif local and uri and _NAMESPACE.fullmatch(uri):
                self._writer.prefixes.setdefault(f"{self._prefix}_{local_name(prefix)}", uri)
                known = f"{self._prefix}_{local_name(prefix)}:{local_name(local)}"
            else:
                known = f"yprov4wms:{local_name(name)}"
            self._attributes[name] = known
        return known

    def _more(self, record: dict[str, Any]) -> str:
        parts = []
        for name, value in record.items():
            if name in OPTIONAL_ENDS:
                end = self._end(value)
                if end is not None:
                    parts.append(f'"{name}":"{end}"')
            elif name not in ("prov:generation", "prov:usage"):  # they name relations
                parts.append(f'"{self._attribute(name)}":{self._value(value)}')
        return ",".join(parts)
