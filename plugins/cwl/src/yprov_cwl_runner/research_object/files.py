"""Files of the research object, by the names that they had."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

from yprov4wms.events import File, FileType
from yprov4wms.plain import text
from yprov4wms.recorder import Recorder
from yprov_cwl_runner import values
from yprov_cwl_runner.research_object.bag import INPUTS, OUTPUTS, Bag
from yprov_cwl_runner.research_object.log import last_name
from yprov_cwl_runner.research_object.records import SHA1, Records

DEEPEST = 100


class Files:
    """CWL values of the entities.

    A file that a task left has the task's path before its name, which tells versions apart;
    one from outside has its name alone, and a part of its checksum if others have that name.
    """

    def __init__(self, bag: Bag, recorder: Recorder, records: Records) -> None:
        self._bag, self._recorder, self._records = bag, recorder, records
        #: By path the entity, or another mark of what lies there.
        self._marks: dict[str, str] = {}
        self._paths: dict[str, str] = {}
        #: By path the content: a checksum, or by name those of a directory's files.
        self._contents: dict[str, str | dict[str, str | None] | None] = {}
        self._copies: dict[str, File] = {}
        #: By checksum, as the job order and the outputs have them.
        self._sizes = {
            last_name(str(file.get("location"))): file.get("size")
            for name in (INPUTS, OUTPUTS)
            for file in values.file_objects(bag.json(name))
        }

    def entity(self, path: str) -> str:
        """Of what a task left at a path."""
        return self._marks.get(path, "")

    def name(self, entity: str, folder: str) -> None:
        """Give a path to what the task of this path left, if it is a file or directory."""
        if entity in self._paths or not self._records.types(entity) & {"File", "Folder"}:
            return
        path = f"{folder}/{self._basename(entity)}"
        if path in self._marks:
            path = f"{folder}/{entity[-12:]}/{self._basename(entity)}"
        self._name(entity, path)

    def _name(self, entity: str, path: str) -> None:
        if entity in self._paths:
            return
        self._paths[entity], self._marks[path] = path, entity
        if "Folder" in self._records.types(entity):
            for name, member in self._records.items(entity).items():
                self._name(member, f"{path}/{text(name)}")

    def value(self, entity: str, met: tuple[str, ...] = ()) -> Any:
        """What an entity is as a CWL value; None where that is not recorded."""
        records = self._records
        types = records.types(entity)
        if entity in met:
            return None
        met = (*met, entity)
        if "Folder" in types:
            return self._object("Directory", entity, self._listing(entity, ""))
        found = records.values(entity, "value")
        if "File" in types or (not found and entity.startswith(SHA1)):
            value = self._object("File", entity, records.sha1(entity))
            secondary = [self.value(other, met) for other in records.secondary(entity)]
            return value | ({"secondaryFiles": secondary} if secondary else {})
        if "Dictionary" in types:
            return {key: self.value(item, met) for key, item in records.items(entity).items()}
        if "Collection" in types:
            members = records.members(entity)
            return None if members is None else [self.value(item, met) for item in members]
        return found[0] if len(found) == 1 else None

    def translated(self, value: Any) -> Any:
        """A value of the job order or of the outputs, with files as `value` gives them."""
        if isinstance(value, list):
            return [self.translated(item) for item in value]
        if not isinstance(value, dict):
            return value
        if not values.is_file(value):
            return {str(key): self.translated(item) for key, item in value.items()}
        about = {"format": value["format"]} if "format" in value else {}
        entity = value.get("@id")
        if isinstance(entity, str) and self._records.types(entity) & {"File", "Folder"}:
            return about | self.value(entity)
        name = str(value.get("basename") or "")
        if value["class"] == "Directory":
            return self._outside("Directory", name, self._listed(value, ""))
        found = re.fullmatch(r"\.\./data/../([0-9a-f]{40})", str(value.get("location")))
        if found is None:
            return value
        secondary = [self.translated(item) for item in value.get("secondaryFiles") or ()]
        about |= {"secondaryFiles": secondary} if secondary else {}
        return about | self._outside("File", name or found[1], found[1])

    def described(self, path: str) -> File:
        """The file or directory that `value` has at a path, by its copy in the bag."""
        content = self._contents.get(path)
        if isinstance(content, dict):
            members = [self._file(name, sha1) for name, sha1 in sorted(content.items())]
            found = File(path=path, type=FileType.DIRECTORY, members=members or None)
            if all(member.sha256 for member in members):
                lines = "".join(f"{member.sha256}  {member.path}\0" for member in members)
                found.sha256 = hashlib.sha256(lines.encode()).hexdigest()
            return found
        if path in self._contents:
            return self._file(path, content)
        return File(path=text(path), type=FileType.URL if "://" in path else FileType.FILE)

    def _file(self, path: str, sha1: str | None) -> File:
        if sha1 is None:
            return File(path=path)
        copy, place = self._copies.get(sha1), f"data/{sha1[:2]}/{sha1}"
        if copy is None:
            copy = self._copies[sha1] = self._recorder.checksum(str(self._bag.folder / place))
        if place in self._bag.changed or copy.type is not FileType.FILE:
            note = "the research object has no copy of it as it was"
            size = self._sizes.get(sha1)
            return File(
                path=path, size=size if isinstance(size, int) else None, sha1=sha1, note=note
            )
        return File(path=path, size=copy.size, sha256=copy.sha256, note=copy.note, sha1=sha1)

    def _object(self, kind: str, entity: str, content: str | dict[str, str | None] | None) -> Any:
        path = self._paths.get(entity)
        if path is None:
            return self._outside(kind, self._basename(entity), content)
        self._contents[path] = content
        return {"class": kind, "location": path}

    def _outside(self, kind: str, name: str, content: str | dict[str, str | None] | None) -> Any:
        mark = f"{kind} {content if isinstance(content, str) else json.dumps(content)}"
        path = name = text(name.replace("/", "_")) or kind
        if self._marks.setdefault(path, mark) != mark:
            path = f"{hashlib.sha1(mark.encode()).hexdigest()[:8]}/{name}"
            self._marks[path] = mark
        self._contents[path] = content
        return {"class": kind, "location": path}

    def _basename(self, entity: str) -> str:
        found = self._records.values(entity, "basename") or [self._records.sha1(entity) or ""]
        return text(str(found[0]).replace("/", "_")) or "unnamed"

    def _listing(self, entity: str, folder: str, depth: int = 0) -> dict[str, str | None]:
        """By path inside it, checksums of what a directory holds."""
        found: dict[str, str | None] = {}
        for name, item in self._records.items(entity).items() if depth < DEEPEST else ():
            path = f"{folder}{text(name)}"
            if "Folder" in self._records.types(item):
                found |= self._listing(item, f"{path}/", depth + 1)
            else:
                found[path] = self._records.sha1(item)
        return found

    def _listed(self, value: dict[str, Any], folder: str) -> dict[str, str | None]:
        """The same of a value in the job order."""
        found: dict[str, str | None] = {}
        for item in filter(values.is_file, value.get("listing") or ()):
            path = f"{folder}{text(str(item.get('basename')))}"
            if item["class"] == "Directory":
                found |= self._listed(item, f"{path}/")
            else:
                sha1 = last_name(str(item.get("location")))
                found[path] = sha1 if re.fullmatch("[0-9a-f]{40}", sha1) else None
        return found
