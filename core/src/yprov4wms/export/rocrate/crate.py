"""An RO-Crate 1.1: files, and what they are, as JSON-LD.

Written by hand: a crate is one JSON file beside the data, and is made where nothing can be
installed. Context 1.1 is the one that the Workflow Run RO-Crate profiles 0.5 are checked by.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Any, BinaryIO
from urllib.parse import quote

import msgspec

from yprov4wms.export.rocrate.sinks import Sink

METADATA = "ro-crate-metadata.json"
CONTEXT = (
    "https://w3id.org/ro/crate/1.1/context",
    "https://w3id.org/ro/terms/workflow-run/context",
)
SPECIFICATION = "https://w3id.org/ro/crate/1.1"

#: A profile's URI, name and version.
Profile = tuple[str, str, str]

PROCESS_RUN = ("https://w3id.org/ro/wfrun/process/0.5", "Process Run Crate", "0.5")
WORKFLOW_RUN = ("https://w3id.org/ro/wfrun/workflow/0.5", "Workflow Run Crate", "0.5")
PROVENANCE_RUN = ("https://w3id.org/ro/wfrun/provenance/0.5", "Provenance Run Crate", "0.5")
WORKFLOW = ("https://w3id.org/workflowhub/workflow-ro-crate/1.0", "Workflow RO-Crate", "1.0")

_PIECE = 1 << 20
_encode = msgspec.json.Encoder().encode

#: An entity by its id.
Reference = dict[str, str]


def reference(identifier: str) -> Reference:
    return {"@id": identifier}


class Crate:
    """A crate that is written to a sink while it is put together.

    date: ISO 8601, of the crate. license: text, or a URL.
    """

    def __init__(self, sink: Sink, name: str, description: str, date: str, license_: str) -> None:
        self._sink = sink
        self._paths: set[str] = {METADATA.casefold()}
        self._entities: dict[str, dict[str, Any]] = {}
        self._told: list[bytes] = []
        self.add(METADATA, "CreativeWork", about=reference("./"))
        self._root: dict[str, Any] = self._entities.setdefault("./", {})
        named = license_ if "://" in license_ else "#license"
        said = self.add(uri(named), "CreativeWork", name=license_)
        self._root |= {
            "@id": "./",
            "@type": "Dataset",
            "name": name,
            "description": description,
            "datePublished": date,
            "license": said,
            "conformsTo": [],
            "hasPart": [],
            "mentions": [],
        }

    def conform(self, *profiles: Profile) -> None:
        """Say, once, what the crate conforms to."""
        for identifier, title, version in profiles:
            found = self.add(identifier, "CreativeWork", name=title, version=version)
            self._root["conformsTo"].append(found)
        # As Workflow RO-Crate has it.
        both = [SPECIFICATION, *(p[0] for p in profiles if p == WORKFLOW)]
        self._entities[METADATA]["conformsTo"] = [reference(one) for one in both]

    def add(self, identifier: str, type_: str | list[str], /, **properties: Any) -> Reference:
        """An entity; properties that are None or empty are left out. One of an id that is
        known adds what the first did not say."""
        entity = _entity(identifier, type_, properties)
        known = self._entities.get(identifier)
        self._entities[identifier] = entity if known is None else {**entity, **known}
        return reference(identifier)

    def tell(self, identifier: str, type_: str | list[str], /, **properties: Any) -> Reference:
        """As `add`, of an entity of which all is said, and that nobody else describes."""
        self._told.append(_text(_entity(identifier, type_, properties)))
        return reference(identifier)

    def mention(self, entity: Reference) -> None:
        """Say on the crate itself that it is about an entity: an action, say."""
        self._root["mentions"].append(entity)

    def author(self, agent: Reference) -> None:
        self._root["author"] = agent

    def main(self, entity: Reference) -> None:
        """Say what the crate is for: the workflow."""
        self._root["mainEntity"] = entity

    def refer(self, identifier: str, type_: str | list[str], /, **properties: Any) -> Reference:
        """A data entity that is not in the crate, by its URI."""
        if identifier not in self._entities:
            self._root["hasPart"].append(reference(identifier))
        return self.add(identifier, type_, **properties)

    def store(
        self, path: str, content: bytes | BinaryIO, type_: str | list[str] = "File", **more: Any
    ) -> Reference:
        """A file in the crate, under its path or one like it that is free."""
        path, size = self.put(path, content)
        return self.refer(quote(path), type_, **{"contentSize": str(size), **more})

    def put(self, path: str, content: bytes | BinaryIO) -> tuple[str, int]:
        """Store a file that is described later; returns its path and size in bytes."""
        path = self._free(path)
        return path, self._sink.put(path, _pieces(content))

    def _free(self, path: str) -> str:
        stem, dot, suffix = path.rpartition(".")
        if not dot or "/" in suffix:
            stem, dot, suffix = path, "", ""
        number = 1
        while path.casefold() in self._paths:
            number += 1
            path = f"{stem}-{number}{dot}{suffix}"
        self._paths.add(path.casefold())
        return path

    def close(self) -> None:
        """Write the metadata: the crate is whole."""
        context = _encode(list(CONTEXT))
        kept = (_text(entity) for entity in self._entities.values())
        lines = chain(kept, self._told)
        self._sink.put(METADATA, _graph(context, lines))
        self._sink.close()


def uri(text: str) -> str:
    """A URI, or a path in one, with whatever it cannot hold (RFC 3986) quoted."""
    return quote(text, safe="!#$%&'()*+,/:;=?@~", errors="surrogatepass")


def _entity(identifier: str, type_: str | list[str], properties: dict[str, Any]) -> dict[str, Any]:
    known = {key: value for key, value in properties.items() if value not in (None, "", [])}
    return {"@id": identifier, "@type": type_, **known}


def _text(entity: Mapping[str, Any]) -> bytes:
    """On one line; as RO-Crate recommends, one of a kind is no list."""
    compact = {
        key: value[0] if type(value) is list and len(value) == 1 else value
        for key, value in entity.items()
        if value != []
    }
    try:
        return _encode(compact)
    except (UnicodeEncodeError, OverflowError):  # surrogates; numbers beyond 64 bits
        text = json.dumps(compact, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return text.encode("utf-8", "replace")


def _graph(context: bytes, lines: Iterable[bytes]) -> Iterable[bytes]:
    yield b'{"@context":' + context + b',\n"@graph":['
    part: list[bytes] = []
    before = b"\n"
    for line in lines:
        part += (before, line)
        before = b",\n"
        if len(part) > 1000:
            yield b"".join(part)
            part.clear()
    yield b"".join(part) + b"\n]}\n"


def _pieces(content: bytes | BinaryIO) -> Iterable[bytes]:
    if isinstance(content, bytes):
        yield content
        return
    while piece := content.read(_PIECE):
        yield piece
