"""The data entities of a run: each version of a file once, by reference or copied."""

from __future__ import annotations

import hashlib
import mimetypes
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import product
from posixpath import join, normpath
from typing import Any
from urllib.parse import quote

from msgspec.structs import replace

from yprov4wms.events import File, FileType
from yprov4wms.export.rocrate import values
from yprov4wms.export.rocrate.copying import NotSameError, inside, unchanged
from yprov4wms.export.rocrate.crate import Crate, Reference, reference, uri
from yprov4wms.run import Attempt, Run

#: A parameter by its id.
Parameter = str
#: Who made it (a number of its own), and its path; or what it holds, and its path.
_Key = tuple[str, int | str, str]

_KINDS = {FileType.FILE: "File", FileType.URL: "File", FileType.DIRECTORY: "Dataset"}


@dataclass
class Copies:
    """Which data a crate is to hold, and what became of that.

    most: bytes of all together. too_large, changed, gone, unknown: how many files are left out,
    because they do not fit, or are no more what they were, or have no checksum to tell by.
    """

    wanted: bool = False
    most: int = 1 << 30
    copied: int = 0
    too_large: int = 0
    changed: int = 0
    gone: int = 0
    unknown: int = 0


@dataclass(eq=False)
class Version:
    """One version of a file. reference: shared by all that name it; its id may change until
    the crate is closed."""

    reference: Reference
    file: File
    #: Whether it is what lies there now, as far as the run knows.
    current: bool
    made_as: dict[Parameter, None] = field(default_factory=dict)
    used_as: dict[Parameter, None] = field(default_factory=dict)
    parts: dict[str, Version] = field(default_factory=dict)
    #: Where it was before it was moved here, and what else is said of it.
    derived: Reference | None = None
    about: dict[str, Any] = field(default_factory=dict)
    #: It is in the crate; it is code; it is in a directory that is a version itself.
    stored: bool = False
    is_code: bool = False
    is_part: bool = False
    #: A task found it; one that left something did.
    found: bool = False
    consumed: bool = False
    #: What it is beside a file.
    types: list[str] = field(default_factory=list)


class Data:
    """Names the versions of a run's files, and describes them at the end.

    prefix: of ids that only this run has. A version has the URI of its place; where several
    lay at one place, all but the one that the run left there have a fragment, too.
    """

    def __init__(self, crate: Crate, run: Run, prefix: str, copies: Copies) -> None:
        self._crate, self._run, self._prefix, self._copies = crate, run, prefix, copies
        self._directory = run.start.directory
        self._versions: dict[_Key, Version] = {}
        self._ids: dict[str, _Key] = {}
        self._there: dict[str, Version] = {}

    # -- which version -------------------------------------------------------------

    def made(self, maker: Attempt, file: File, path: str | None = None) -> Version:
        """What an attempt left at a path. file: all that is known of it."""
        path = path or file.path
        key = ("made", id(maker), path)
        current = self._run.made.get(path, maker) is maker
        version = self._version(key, replace(self._resolved(file), path=path), current)
        if current:
            self._there[self.absolute(path)] = version
        for member in version.file.members or ():
            place = f"{path}/{member.path}"
            version.parts[place] = part = self.made(maker, member, place)
            part.is_part = True
        return version

    def outside(self, file: File) -> Version:
        """What no task of the run made: by its place and what it holds."""
        file = self._resolved(file)
        content = file.sha256 or file.sha1 or f"{file.size} {file.mtime_ns}"
        known = file.path in self._run.made
        version = self._version(("outside", content, file.path), file, not known)
        for member in file.members or ():
            place = f"{file.path}/{member.path}"
            version.parts[place] = part = self.outside(replace(member, path=place))
            part.is_part = True
        return version

    def moved(self, file: File, origin: Version | None) -> Version:
        """A workflow's output at the place to which its engine has moved or copied it."""
        version = self._version(("moved", "", file.path), self._resolved(file), True)
        if origin is not None:
            version.derived = origin.reference
        return version

    def store(self, path: str, content: bytes, **about: Any) -> Version:
        """A file that is the crate's alone."""
        version = self._version(("stored", "", path), File(path), False)
        version.about = about
        self.put(version, path, content)
        return version

    def put(self, version: Version, path: str, content: bytes) -> None:
        """Put the content of a version into the crate, under this path or one like it."""
        path, size = self._crate.put(path, content)
        if path != version.file.path:
            version.about["alternateName"] = version.file.path
        version.file = replace(version.file, size=size)
        version.reference["@id"], version.stored = quote(path), True

    def of(self, file: File, source: Attempt | None) -> Version:
        """What an attempt found at a path. source: the attempt that had left it there."""
        if source is None:
            return self.outside(file)
        source = (source.inner or {}).get(file.path, source)
        return self.made(source, file)

    def kind(self, file: File) -> str:
        """The type of its entity."""
        return _KINDS.get(file.type, "CreativeWork")

    def _version(self, key: _Key, file: File, current: bool) -> Version:
        known = self._versions.get(key)
        if known is None:
            identifier = self._identify(key, file, current)
            known = Version(reference(identifier), file, current)
            self._versions[key] = known
        elif _knows_more(file, known.file):
            known.file = replace(file, role=known.file.role)
        return known

    def _identify(self, key: _Key, file: File, current: bool) -> str:
        identifier = self.place(file)
        if not current or self._ids.setdefault(identifier, key) != key:
            content = file.sha256 or file.sha1 or "-".join(map(str, (*key, len(self._ids))))
            label = hashlib.sha256(content.encode("utf-8", "replace")).hexdigest()
            base = f"{identifier}#{(file.sha256 or label)[:16]}"
            identifier, count = base, 1
            while self._ids.setdefault(identifier, key) != key:
                count += 1
                identifier = f"{base}-{count}"
        return identifier

    def place(self, file: File) -> str:
        """The URI of where it lies; of what lies nowhere, an id."""
        path = file.path
        if "://" in path and not path.startswith("file://"):
            return uri(path)
        if file.type in (FileType.LITERAL, FileType.ASSET) or not path:
            return f"{self._prefix}/data/{quote(path, safe='')}"
        path = self.absolute(path)
        if not path.startswith("/"):
            return f"{self._prefix}/file/{quote(path, safe='')}"
        return "file://" + quote(path, errors="surrogatepass")

    def told(self, places: dict[str, Version], file: File) -> Version:
        """What the run has of a file of which a child run of an attempt tells.

        places: the attempt's own, by where its processes had them. A file at another place with
        the content of one of those is derived from it.
        """
        place = self.absolute(file.path)
        for known in (places.get(place), self._there.get(place)):
            if known is not None and _may_be(file, known.file):
                if known.file.sha256 is None:
                    known.file = replace(known.file, sha256=file.sha256)
                return known
        version = self.outside(file)
        for known in places.values() if file.sha256 and version.derived is None else ():
            if known.file.sha256 == file.sha256 and known is not version and file.size:
                version.derived = known.reference
                break
        return version

    def absolute(self, path: str) -> str:
        """In normal form; relative where the run's directory is not known."""
        return normpath(join(self._directory, path.removeprefix("file://")))

    def _resolved(self, file: File) -> File:
        """The file with the checksum that a later event brought."""
        if file.sha256 is None and self._run.checksums:
            known = self._run.checksums.get((file.path, file.size, file.mtime_ns))
            if known is not None:
                return replace(
                    file,
                    sha256=known.sha256,
                    note=known.note,
                    members=known.members or file.members,
                    member_count=known.member_count or file.member_count,
                )
        return file

    def from_outside(self) -> Iterator[Version]:
        """What tasks found and none had made, but for code."""
        for (kind, *_), version in self._versions.items():
            if kind == "outside" and version.found and not version.is_code:
                yield version

    def left(self) -> Iterator[Version]:
        """What tasks left in its place, and no other made anything of."""
        for (kind, *_), version in self._versions.items():
            if kind == "made" and version.current and not (version.consumed or version.is_part):
                yield version

    # -- what is said of it --------------------------------------------------------

    def connections(self) -> Iterator[tuple[Parameter, Parameter]]:
        """Of what was made as one parameter and used as another, both."""
        for version in self._versions.values():
            yield from product(version.made_as, version.used_as)

    def realizations(self) -> Iterator[tuple[Parameter, str]]:
        """The parameters that data stand for, each with a type that such data have."""
        for version in self._versions.values():
            for parameter in {**version.made_as, **version.used_as}:
                yield parameter, self.kind(version.file)

    def close(self) -> None:
        """Copy what is wanted, and describe all. Raises OSError."""
        versions = list(self._versions.values())
        for version in versions:
            identifier = version.reference["@id"]
            # Who uses a directory does not always know that it is one.
            if version.file.type is FileType.DIRECTORY and "#" not in identifier:
                version.reference["@id"] = identifier.rstrip("/") + "/"
        if self._copies.wanted:
            for version in versions:
                if version.file.type is FileType.FILE and version.current and not version.stored:
                    self._copy(version)
            for version in reversed(versions):
                self._make_folder(version)
        for version in versions:
            self._describe(version)

    def _copy(self, version: Version) -> None:
        file, copies = version.file, self._copies
        place = self.absolute(file.path)
        if not place.startswith("/") or not (file.sha256 or file.sha1):
            copies.unknown += 1
            return
        if (file.size or 0) > copies.most - copies.copied:
            copies.too_large += 1
            return
        try:
            with unchanged(place, file) as content:
                path, size = self._crate.put(inside("data", place, self._directory), content)
        except NotSameError as error:
            copies.gone += error.gone
            copies.changed += not error.gone
            return
        copies.copied += size
        version.about["alternateName"] = file.path
        version.file = replace(file, size=size)
        version.reference["@id"], version.stored = quote(path), True

    def _make_folder(self, version: Version) -> None:
        """A directory is one in the crate if all that was in it is."""
        file, parts = version.file, version.parts
        if file.type is not FileType.DIRECTORY or not parts or len(parts) != _count(file):
            return
        folder = inside("data", self.absolute(file.path), self._directory)
        there = {f"{folder}{path[len(file.path) :]}" for path in parts}
        if {part.reference["@id"] for part in parts.values()} == set(map(quote, there)):
            version.about["alternateName"] = file.path
            version.reference["@id"] = f"{quote(folder)}/"

    def _describe(self, version: Version) -> None:
        file = version.file
        identifier, kind = version.reference["@id"], self.kind(file)
        told: dict[str, Any] = {
            "name": file.name or file.path.rpartition("/")[2] or file.path or "unnamed",
            "description": _joined(*_remarks(file)),
            "exampleOfWork": [reference(found) for found in {**version.made_as, **version.used_as}],
            "wasDerivedFrom": version.derived,
            "sha256": file.sha256,
            "sha1": file.sha1,
            "dateModified": values.modified(file.mtime_ns),
        }
        if kind == "File":
            told["contentSize"] = None if file.size is None else str(file.size)
            told["encodingFormat"] = encoding(file)
        told["hasPart"] = [part.reference for part in version.parts.values()]
        told |= version.about
        if kind == "CreativeWork":
            self._crate.add(identifier, kind, **told)
        else:
            types: str | list[str] = [kind, *version.types] if version.types else kind
            self._crate.refer(identifier, types, **told)


def encoding(file: File) -> list[Any] | None:
    """The media type by its name, and the URI of its format as the engine has it."""
    guessed, _ = mimetypes.guess_type(file.path.rpartition("/")[2])
    if file.format is None:
        return [guessed] if guessed else None
    return [*([guessed] if guessed else []), file.format]


def _may_be(told: File, known: File) -> bool:
    """Whether both may be the same version of what lies at one place."""
    return all(
        one is None or other is None or one == other
        for one, other in ((told.sha256, known.sha256), (told.size, known.size))
    )


def _knows_more(new: File, old: File) -> bool:
    def facts(file: File) -> Iterable[object]:
        return (file.size, file.sha256, file.sha1, file.members, file.type is not FileType.FILE)

    return sum(map(bool, facts(new))) > sum(map(bool, facts(old)))


def _count(file: File) -> int:
    return file.member_count or len(file.members or ())


def _remarks(file: File) -> Iterator[str | None]:
    if file.type not in (FileType.FILE, FileType.DIRECTORY):
        yield file.type.value
    if file.target is not None:
        yield f"a link to {file.target}"
    if file.note is not None:
        yield f"no checksum: {file.note}" if file.sha256 is None else file.note


def _joined(*parts: str | None) -> str | None:
    return ", ".join(part for part in parts if part) or None
