"""CWL values: which of them are files, and what is left of the others."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from schema_salad.ref_resolver import uri_file_path

from yprov4wms.events import File, FileType
from yprov4wms.plain import plain, text

#: Looks at what lies at a path or URL.
Describe = Callable[[str], File]

_CLASSES = ("File", "Directory")


def is_file(value: object) -> bool:
    """Whether it is a CWL File or Directory object."""
    return isinstance(value, Mapping) and value.get("class") in _CLASSES


def file_objects(value: object) -> Iterator[Mapping[str, Any]]:
    """The File and Directory objects in a value, in an order that does not change: each before
    its secondary files, a literal directory before its listing."""
    if isinstance(value, Mapping):
        if value.get("class") in _CLASSES:
            yield value
            yield from file_objects(value.get("secondaryFiles"))
            if _is_literal_directory(value):
                yield from file_objects(value.get("listing"))
        else:
            for item in value.values():
                yield from file_objects(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from file_objects(item)


def _is_literal_directory(value: Mapping[str, Any]) -> bool:
    location = str(value.get("location") or "_:")
    return value["class"] == "Directory" and location.startswith("_:")


def place(value: Mapping[str, Any]) -> str:
    """Where a File or Directory object lies: a path, a URL, or what tells a literal apart."""
    location = str(value.get("location") or value.get("path") or "_:")
    if location.startswith("file://"):
        return str(uri_file_path(location))
    if location == "_:":
        return f"_:{value.get('basename') or ''}"
    return location


def files(port: str, value: object, describe: Describe) -> Iterator[File]:
    """What a port carries of files, secondary files included, with the port's name as role."""
    if isinstance(value, Mapping):
        if value.get("class") in _CLASSES:
            yield from _file(port, value, describe, None)
        else:
            for item in value.values():
                yield from files(port, item, describe)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from files(port, item, describe)


def _file(
    port: str, value: Mapping[str, Any], describe: Describe, primary: str | None
) -> Iterator[File]:
    where = place(value)
    found = _literal(where, value) if where.startswith("_:") else describe(where)
    found.role = port
    found.secondary_of = primary
    checksum = value.get("checksum")
    # What was changed in its place may have the checksum of before still.
    stale = found.size is not None and value.get("size", found.size) != found.size
    if isinstance(checksum, str) and checksum.startswith("sha1$") and not stale:
        found.sha1 = checksum[5:]
    if isinstance(value.get("format"), str):
        found.format = text(value["format"])
    if found.size is None and isinstance(value.get("size"), int) and value["class"] == "File":
        found.size = value["size"]
    inside: list[File] = []
    if _is_literal_directory(value):
        found.listing = []
        for item in filter(is_file, value.get("listing") or ()):
            entry = list(_file(port, item, describe, None))
            found.listing.append(entry[0].path)
            inside += entry
    yield found
    for item in filter(is_file, value.get("secondaryFiles") or ()):
        yield from _file(port, item, describe, found.path)
    yield from inside


def _literal(where: str, value: Mapping[str, Any]) -> File:
    name = text(str(value.get("basename") or "")) or None
    if value["class"] == "Directory":
        return File(path=where, type=FileType.DIRECTORY, name=name)
    contents = str(value.get("contents") or "").encode("utf-8", "surrogateescape")
    digest = hashlib.sha256(contents).hexdigest()
    return File(path=where, type=FileType.LITERAL, size=len(contents), sha256=digest, name=name)


def parameters(values: Mapping[str, Any]) -> dict[str, Any]:
    """Of values by port those that are not files alone; a file in a record is its place."""
    found = {}
    for port, value in values.items():
        if is_only_files(value):
            continue
        found[port] = plain(_without_files(value))
    return found


def is_only_files(value: object) -> bool:
    """Whether it is a file, or an array of nothing else."""
    if isinstance(value, list) and value:
        return all(item is None or is_only_files(item) for item in value)
    return is_file(value)


def _without_files(value: object) -> object:
    if isinstance(value, Mapping):
        if value.get("class") in _CLASSES:
            return place(value)
        return {key: _without_files(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_files(item) for item in value]
    return value
