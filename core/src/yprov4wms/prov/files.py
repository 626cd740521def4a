"""File entities: one per version of a file (design: attempt and path, or path and checksum)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from msgspec.structs import replace

from yprov4wms.events import File, FileType, Parent
from yprov4wms.prov.attributes import keyed
from yprov4wms.prov.names import Names
from yprov4wms.prov.values import attributes, hashed_name, literal, string
from yprov4wms.prov.vocabulary import Link, Type, run_namespace

if TYPE_CHECKING:
    from yprov4wms.prov.around import Around
    from yprov4wms.prov.writer import ProvJsonWriter
    from yprov4wms.run import Run

# Formatting a member of an enumeration takes ten times as long as a string.
_COLLECTION, _FILE = Type.COLLECTION.value, Type.FILE.value
_SECONDARY_FILE = f'"yprov4wms:link":"{Link.SECONDARY_FILE}"'


class Files:
    """Writes each version of a file once, and knows its identifier.

    names: of the run's records. published: identifiers of what was published, as far as the
    document has them. around: which of the versions are those of the attempt around a nested run.
    """

    def __init__(
        self,
        writer: ProvJsonWriter,
        run: Run,
        names: Names,
        published: set[str],
        around: Around | None = None,
    ) -> None:
        self._writer = writer
        self._checksums = run.checksums
        self._names = names
        self._around = around
        self._outside: set[str] = set()
        self._published = published
        self._accompanied: set[str] = set()

    def made(self, maker: str, path: str) -> str:
        """Identifier of what the activity ``maker`` left at ``path``."""
        entity = self._names.hashed("file", maker, path)
        if self._around is not None:
            return self._around.left(maker, path, entity) or entity
        return entity

    def is_around(self, identifier: str) -> bool:
        """Whether it is a version of the attempt around the run, which tells of it."""
        return self._around is not None and identifier in self._around.versions

    def resolved(self, file: File) -> File:
        """The file with the checksum that a later event brought."""
        if file.sha256 is None and self._checksums:
            known = self._checksums.get((file.path, file.size, file.mtime_ns))
            if known is not None:
                file.sha256, file.note = known.sha256, known.note
                file.members = known.members or file.members
                file.member_count = known.member_count or file.member_count
        return file

    def write_made(self, maker: str, file: File, known: set[str]) -> list[str]:
        """Write what ``maker`` made: the file, and the members of a directory.

        known: identifiers of what was written of this maker's already; the new ones are
        added. Returns these, each of which was generated.
        """
        file = self.resolved(file)
        identifier = self.made(maker, file.path)
        new = []
        if identifier not in known:
            known.add(identifier)
            new.append(identifier)
            self._write(identifier, file, made=True)
        for path, member in self.parts(file)[1:] if file.members else ():
            member_id = self.made(maker, path)
            if member_id not in known:
                known.add(member_id)
                new.append(member_id)
                self._write(member_id, member, made=True)
            if not (self.is_around(identifier) and self.is_around(member_id)):
                self._writer.relation("hadMember", identifier, member_id)
        return new

    def parts(self, file: File) -> list[tuple[str, File]]:
        """The file, and a directory's members, each by the path that it has in the run."""
        file = self.resolved(file)
        found = [(file.path, file)]
        for member in file.members or ():
            path = f"{file.path}/{member.path}"
            found.append((path, replace(member, path=path)))
        return found

    def write_outside(self, file: File) -> str:
        """Write a file that no task of the run made, once per content; returns its identifier."""
        file = self.resolved(file)
        identifier = self.outside(file)
        if identifier not in self._outside:
            self._outside.add(identifier)
            if self.is_around(identifier):
                return identifier
            self._write(identifier, file, made=False)
            for _, member in self.parts(file)[1:] if file.members else ():
                self._writer.relation("hadMember", identifier, self.write_outside(member))
            if file.origin_task is not None:
                self._come_from(identifier, file, file.origin_task)
        return identifier

    def publish(self, task: str, file: File, version: str) -> None:
        """Tell that ``version`` is what other runs name by the task that left it."""
        published = self._write_published(self._names.prefix, task, file)
        self._writer.relation("wasDerivedFrom", published, version)

    def _come_from(self, identifier: str, file: File, origin: Parent) -> None:
        """Tell of what another run published, by the identifier that it has there."""
        namespace = run_namespace(origin.run)
        prefixes = self._writer.prefixes
        found = [prefix for prefix, uri in prefixes.items() if uri == namespace]
        prefix = found[0] if found else f"origin{len(prefixes)}"
        prefixes[prefix] = namespace
        published = self._write_published(prefix, origin.task or "", file)
        self._writer.relation("wasDerivedFrom", identifier, published)

    def _write_published(self, prefix: str, task: str, file: File) -> str:
        identifier = f"{prefix}:{hashed_name('published', task, file.path)}"
        if identifier not in self._published:
            self._published.add(identifier)
            plain = File(file.path, FileType.ASSET, name=file.name)
            about = attributes({"yprov4wms:task": task})
            self._writer.element(
                "entity", identifier, f"{file_attributes(plain, plain.path)},{about}"
            )
        return identifier

    def accompany(self, entity: str, primary: str | None) -> None:
        """Tell, once, that a file goes with another one (CWL's ``secondaryFiles``)."""
        if primary is not None and entity not in self._accompanied:
            self._accompanied.add(entity)
            self._writer.relation("wasInfluencedBy", entity, primary, _SECONDARY_FILE)

    def hold(self, directory: str, entities: Iterable[str]) -> None:
        """Tell, once, what is in a directory that is put together."""
        if directory not in self._accompanied:
            self._accompanied.add(directory)
            for entity in dict.fromkeys(entities):
                self._writer.relation("hadMember", directory, entity)

    def is_outside(self, identifier: str) -> bool:
        """Whether a file from outside was written under this identifier."""
        return identifier in self._outside

    def outside(self, file: File) -> str:
        """Identifier of a file from outside: by path and checksum, else by size and time."""
        version = file.sha256 or f"{file.size} {file.mtime_ns}"
        if file.origin_task is not None:
            version += f" {file.origin_task.run} {file.origin_task.task} {file.attributes}"
        if file.sha256 is None and file.members:
            # A directory's own time tells nothing of what lies deeper in it.
            version += "".join(f" {m.path} {m.size} {m.mtime_ns}" for m in file.members)
        entity = self._names.hashed("file", "outside", version, file.path)
        if self._around is not None:
            return self._around.used(self.resolved(file), entity) or entity
        return entity

    def _write(self, identifier: str, file: File, made: bool) -> None:
        if self._around is not None:
            if self.is_around(identifier):
                return
            self._around.wrote(identifier, file, made)
        self._writer.element("entity", identifier, file_attributes(file, file.path))


def file_attributes(file: File, path: str) -> str:
    """Attributes of a file entity as JSON text. Sizes are bytes."""
    name, label = string(path), string(file.name or path)
    kind = _COLLECTION if file.type is FileType.DIRECTORY else _FILE
    text = f'"prov:label":{label},"prov:type":"{kind}","yprov4wms:path":{name}'
    if file.size is not None:
        text += f',"yprov4wms:size":{literal(file.size)}'
    if file.sha256 is not None:
        text += f',"yprov4wms:sha256":"{file.sha256}"'
    if file.sha1 is not None:
        text += f',"yprov4wms:sha1":{string(file.sha1)}'
    if file.format is not None:
        text += f',"yprov4wms:format":{string(file.format)}'
    if file.type is not FileType.FILE:
        text += f',"yprov4wms:file_type":"{file.type}"'
    if file.listing is not None:
        text += ',"yprov4wms:put_together":true'
    if file.temporary:
        text += ',"yprov4wms:temporary":true'
    if file.target is not None:
        text += f',"yprov4wms:link_target":{string(file.target)}'
    if file.type is FileType.DIRECTORY and (file.member_count or file.members):
        count = file.member_count or len(file.members or ())
        text += f',"yprov4wms:member_count":{literal(count)}'
    if file.note is not None:
        text += f',"yprov4wms:note":{string(file.note)}'
    if file.attributes:
        text += "," + attributes(keyed("asset", file.attributes, null="null"))
    return text
