"""An RO-Crate 1.1 as one zip file: files, and what they are, as JSON-LD.

Written by hand: a crate is one JSON file beside the data, and is made where nothing can be
installed. Context 1.1 is the one that the Workflow Run RO-Crate profiles 0.5 are checked by.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, BinaryIO
from urllib.parse import quote

METADATA = "ro-crate-metadata.json"
CONTEXT = (
    "https://w3id.org/ro/crate/1.1/context",
    "https://w3id.org/ro/terms/workflow-run/context",
)
SPECIFICATION = "https://w3id.org/ro/crate/1.1"
PROCESS_RUN = ("https://w3id.org/ro/wfrun/process/0.5", "Process Run Crate", "0.5")

_PIECE = 1 << 20

#: An entity by its id.
Reference = dict[str, str]


def reference(identifier: str) -> Reference:
    return {"@id": identifier}


class Crate:
    """A crate that is written to an open file while it is put together.

    date: ISO 8601, of the crate and of the files in it. license: text, or a URL. profiles:
    what the crate conforms to, each a URI, name and version.
    """

    def __init__(
        self,
        file: BinaryIO,
        name: str,
        description: str,
        date: str,
        license_: str,
        profiles: Iterable[tuple[str, str, str]] = (PROCESS_RUN,),
    ) -> None:
        self._zip = zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED)
        self._moment = _zip_time(date)
        self._paths: set[str] = {METADATA.casefold()}
        self._entities: dict[str, dict[str, Any]] = {}
        self.add(METADATA, "CreativeWork", about=reference("./"), conformsTo=[SPECIFICATION])
        self._root: dict[str, Any] = self._entities.setdefault("./", {})
        conforms = []
        for uri, title, version in profiles:
            conforms.append(self.add(uri, "CreativeWork", name=title, version=version))
        named = license_ if "://" in license_ else "#license"
        said = self.add(named, "CreativeWork", name=license_)
        self._root |= {
            "@id": "./",
            "@type": "Dataset",
            "name": name,
            "description": description,
            "datePublished": date,
            "license": said,
            "conformsTo": conforms,
            "hasPart": [],
            "mentions": [],
        }
        self._entities[METADATA]["conformsTo"] = reference(SPECIFICATION)

    def add(self, identifier: str, type_: str | list[str], /, **properties: Any) -> Reference:
        """An entity; properties that are None or empty are left out. One of an id that is
        known adds what the first did not say."""
        entity = {"@id": identifier, "@type": type_}
        entity |= {key: value for key, value in properties.items() if value not in (None, "", [])}
        known = self._entities.get(identifier)
        self._entities[identifier] = entity if known is None else {**entity, **known}
        return reference(identifier)

    def mention(self, entity: Reference) -> None:
        """Say on the crate itself that it is about an entity: an action, say."""
        self._root["mentions"].append(entity)

    def author(self, agent: Reference) -> None:
        self._root["author"] = agent

    def refer(self, identifier: str, type_: str | list[str], /, **properties: Any) -> Reference:
        """A data entity that is not in the crate, by its URI."""
        if identifier not in self._entities:
            self._root["hasPart"].append(reference(identifier))
        return self.add(identifier, type_, **properties)

    def store(
        self, path: str, content: bytes | BinaryIO, type_: str | list[str] = "File", **more: Any
    ) -> Reference:
        """A file in the crate, under its path or one like it that is free."""
        path = self._free(path)
        info = zipfile.ZipInfo(path, self._moment)
        info.compress_type = zipfile.ZIP_DEFLATED
        info.external_attr = 0o644 << 16
        size = 0
        with self._zip.open(info, "w", force_zip64=True) as stored:
            if isinstance(content, bytes):
                size = stored.write(content)
            else:
                while piece := content.read(_PIECE):
                    size += stored.write(piece)
        return self.refer(quote(path), type_, **{"contentSize": str(size), **more})

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
        graph = [_compact(entity) for entity in self._entities.values()]
        whole = {"@context": list(CONTEXT), "@graph": graph}
        text = json.dumps(whole, indent=1, ensure_ascii=False, allow_nan=False)
        info = zipfile.ZipInfo(METADATA, self._moment)
        info.compress_type = zipfile.ZIP_DEFLATED
        info.external_attr = 0o644 << 16
        self._zip.writestr(info, text.encode("utf-8", "replace"))
        self._zip.close()


def _compact(entity: Mapping[str, Any]) -> dict[str, Any]:
    """As RO-Crate recommends: one of a kind is no list."""
    return {
        key: value[0] if isinstance(value, list) and len(value) == 1 else value
        for key, value in entity.items()
        if value != []
    }


def _zip_time(date: str) -> tuple[int, int, int, int, int, int]:
    """As a zip file has it: no year before 1980."""
    try:
        moment = datetime.fromisoformat(date).astimezone(UTC)
    except (ValueError, OverflowError):
        return 1980, 1, 1, 0, 0, 0
    if not 1980 <= moment.year <= 2107:
        return 1980, 1, 1, 0, 0, 0
    return (
        *(moment.year, moment.month, moment.day),
        *(moment.hour, moment.minute, moment.second),
    )
