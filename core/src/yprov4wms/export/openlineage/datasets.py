"""Files as datasets: one per place, with its version and size."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec.structs import replace

from yprov4wms.events import File, FileType
from yprov4wms.export.openlineage import custom, facets
from yprov4wms.export.openlineage.facets import Facets
from yprov4wms.export.openlineage.names import Name, Places
from yprov4wms.run import Run

Dataset = dict[str, Any]

#: What lies nowhere is no dataset. An input may have been there before.
_NOWHERE = {"input": {FileType.LITERAL}, "output": {FileType.LITERAL, FileType.MISSING}}
_SUBTYPES = {
    FileType.DIRECTORY: "DIRECTORY",
    FileType.FIFO: "FIFO",
    FileType.OTHER: "OTHER",
}


class Datasets:
    """Describes what the runs of one workflow run read and left."""

    def __init__(self, run: Run, places: Places) -> None:
        self._checksums = run.checksums
        self._places = places

    def inputs(self, files: Iterable[File]) -> list[Dataset]:
        """Files that were read. Of those that are missing the caller gives such alone as a task
        had left there."""
        return self._merged("input", ((file, None) for file in files))

    def outputs(self, files: Iterable[File], members: set[str] | None = None) -> list[Dataset]:
        """Files that were left; of directories, those members that others use by themselves.

        members: their paths.
        """
        return self._merged("output", self._with_members(files, members or set()))

    def results(self, files: Iterable[File]) -> list[Dataset]:
        """A workflow's own outputs, each with where a task left it, if the engine moved it."""
        return self._merged("output", ((file, file.origin) for file in files))

    def _with_members(
        self, files: Iterable[File], members: set[str]
    ) -> Iterable[tuple[File, str | None]]:
        for file in files:
            yield file, None
            if members:
                for member in self._resolved(file).members or ():
                    path = f"{file.path}/{member.path}"
                    if path in members:
                        yield replace(member, path=path), None

    def _merged(self, direction: str, files: Iterable[tuple[File, str | None]]) -> list[Dataset]:
        """One dataset per place, with all the roles that it has."""
        found: dict[Name, Dataset] = {}
        roles: dict[Name, dict[str, None]] = {}
        for file, origin in files:
            if not file.path or file.type in _NOWHERE[direction]:
                continue
            name = self._places.name(file)
            if name not in found:
                found[name] = self._dataset(direction, name, self._resolved(file), origin)
            if file.role:
                roles.setdefault(name, {})[file.role] = None
        for name, names in roles.items():
            one = found[name].setdefault(f"{direction}Facets", {})
            one.update(custom.facet(custom.ROLE, {"roles": list(names)}))
        return list(found.values())

    def _resolved(self, file: File) -> File:
        """The file with the checksum that a later event brought."""
        if file.sha256 is None and self._checksums:
            known = self._checksums.get((file.path, file.size, file.mtime_ns))
            if known is not None:
                return replace(
                    file,
                    sha256=known.sha256,
                    note=known.note,
                    members=known.members or file.members,
                    member_count=known.member_count or file.member_count,
                )
        return file

    def _dataset(self, direction: str, name: Name, file: File, origin: str | None) -> Dataset:
        about: Facets = {}
        version = f"sha256:{file.sha256}" if file.sha256 else None
        version = version or (f"sha1:{file.sha1}" if file.sha1 else None)
        if version is not None:
            about["version"] = facets.dataset_version(version)
        if file.type in (FileType.FILE, *_SUBTYPES):
            about["datasetType"] = facets.dataset_type(_SUBTYPES.get(file.type))
        if origin is not None:
            source = self._places.at(origin)
            if source != name:
                about["lineage"] = facets.lineage([source])
        about.update(custom.file(file, origin))
        dataset: Dataset = {**name.as_json(), "facets": about}
        statistics = facets.statistics(direction.capitalize(), *_extent(file))
        if statistics is not None:
            dataset[f"{direction}Facets"] = {f"{direction}Statistics": statistics}
        return dataset


def _extent(file: File) -> tuple[int | None, int | None]:
    """Bytes and number of files; of a directory only where all its members are known."""
    if file.type is FileType.FILE:
        return file.size, None if file.size is None else 1
    if file.type is not FileType.DIRECTORY:
        return None, None
    members = file.members
    count = file.member_count or (len(members) if members is not None else None)
    sizes = [member.size for member in members or ()]
    if members is None or len(members) != count or None in sizes:
        return None, count
    return sum(size for size in sizes if size is not None), count
