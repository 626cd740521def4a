"""Files that a nested run and the attempt around it both tell of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from posixpath import join, normpath
from typing import NamedTuple

from msgspec.structs import replace

from yprov4wms.events import File, FileType
from yprov4wms.prov.child import EMPTY, Versions
from yprov4wms.prov.names import Names
from yprov4wms.run import Run

#: A file, and a directory's members, each by its path in the run.
Parts = Callable[[File], list[tuple[str, File]]]
#: The version that lay at a path of the run around the nested one, and what it was.
Before = Callable[[str], tuple[str, File] | None]


def renamed(path: str, start: str, base: str) -> str | None:
    """A path as a run in the directory ``base`` names it, where one in ``start`` names it so.

    None for a relative one where nobody knows from where.
    """
    if "://" in path:
        return path
    if not path.startswith("/") and not start:
        return None
    path = normpath(path if path.startswith("/") else join(start, path))
    inside = base.rstrip("/") + "/" if base else None
    return path[len(inside) :] if inside and path.startswith(inside) else path


class Same(NamedTuple):
    """A version of the attempt's, and the nested run's own entity of that file.

    made: the nested run made it. copy: it lies elsewhere, with the same content.
    """

    version: str
    entity: str
    label: str
    made: bool
    copy: bool


class Around:
    """What the attempt around a nested run used and made, by the nested run's own paths.

    nested: that run, whose records have ``names``. directory: of the run around it. joined:
    one document holds both, and the nested run is to name the attempt's versions. before: gives
    what a task before the attempt's left at a path. beyond: the same of the run around it, if
    that is nested, too.
    """

    def __init__(
        self,
        nested: Run,
        names: Names,
        directory: str,
        uses: Versions,
        makes: Versions,
        joined: bool,
        before: Before,
        beyond: Around | None = None,
    ) -> None:
        start = nested.start.directory
        self._joined = joined
        self._directory = directory
        self._beyond = beyond
        self._before = before
        self._uses = _by_name(uses, directory, start)
        self._makes = _by_name(makes, directory, start)
        self._nested = nested
        self._names = names
        self._final: dict[str, tuple[str, File]] = {}
        #: Those that the nested run's records name.
        self.versions: set[str] = set()
        if joined:
            self.versions.update(version for version, _ in (*uses.values(), *makes.values()))
            self.versions |= beyond.versions if beyond is not None else set()
        self._content: dict[bool, dict[str, str]] = {True: {}, False: {}}
        for made, versions in ((True, makes), (False, uses)):
            for version, file in versions.values():
                if file.sha256 and file.sha256 != EMPTY:
                    self._content[made].setdefault(file.sha256, version)
        self._same: dict[str, Same] = {}
        self._copies: dict[tuple[bool, str], Same] = {}

    def settle(self, parts: Parts) -> None:
        """Find out what the nested run left last; ``parts``: of its files."""
        self._final = dict(_final(self._nested, self._names, self._makes, parts))

    def used(self, file: File, entity: str) -> str | None:
        """The attempt's version of a file that came from outside the nested run, if it is one;
        ``entity``: what it is by itself."""
        # What the nested run left last it has not found there.
        places = (self._uses,) if file.path in self._final else (self._uses, self._makes)
        for versions in places:
            version, known = versions.get(file.path, (None, None))
            if version is not None and known is not None and _agree(file, known):
                return self._is(version, entity, file)
        path = renamed(file.path, self._nested.start.directory, self._directory)
        if path is None:
            return None
        version, known = self._before(path) or (None, None)
        if version is not None and known is not None and _agree(file, known):
            return self._is(version, entity, file)
        return self._beyond.used(replace(file, path=path), entity) if self._beyond else None

    def _is(self, version: str, entity: str, file: File) -> str | None:
        self._same[version] = Same(version, entity, file.path, False, copy=False)
        if self._joined:
            self.versions.add(version)
        return version if self._joined else None

    def declared(self, path: str, sha256: str | None, made: bool) -> str | None:
        """The attempt's version of a file of which a child of the nested run alone tells."""
        version, known = (self._makes if made else self._uses).get(path, (None, None))
        if version is None or known is None or version in self._same:
            return None
        return version if sha256 is not None and known.sha256 == sha256 else None

    def left(self, maker: str, path: str, entity: str) -> str | None:
        """The attempt's version of what the activity ``maker`` of the nested run left."""
        last, file = self._final.get(path, (None, None))
        if last != maker or file is None:
            return None
        version, known = self._makes[path]
        if not _agree(file, known):
            return None
        self._same[version] = Same(version, entity, path, True, copy=False)
        return version if self._joined else None

    def wrote(self, entity: str, file: File, made: bool) -> None:
        """The nested run has an entity of its own for a file: is it a copy of one of these?"""
        version = self._content[made].get(file.sha256 or "")
        if version is not None:
            self._copies[made, version] = Same(version, entity, file.path, made, copy=True)

    def same(self) -> list[Same]:
        """What was found, each version once."""
        copies = [copy for copy in self._copies.values() if copy.version not in self._same]
        return [*self._same.values(), *copies]


def _by_name(versions: Versions, directory: str, start: str) -> Versions:
    named = {renamed(path, directory, start): version for path, version in versions.items()}
    return {path: version for path, version in named.items() if path is not None}


def _agree(one: File, other: File) -> bool:
    if one.sha256 and other.sha256:
        return one.sha256 == other.sha256
    return one.size is None or other.size is None or one.size == other.size


def _final(
    run: Run, names: Names, paths: Iterable[str], parts: Parts
) -> Iterator[tuple[str, tuple[str, File]]]:
    """By path, the last activity that left something there, and what."""
    known: dict[int, dict[str, File]] = {}
    outputs = _by_path(run.end.outputs if run.end else None, parts)
    for path in paths:
        maker, folder = run.made.get(path), path
        while maker is None and (folder := folder.rpartition("/")[0]):
            maker = run.directories.get(folder)
        if maker is not None:
            files = known.get(id(maker))
            if files is None:
                end = maker.end
                files = known[id(maker)] = _by_path(end.outputs if end else None, parts)
            if path in files:
                yield path, (names.attempt(maker), files[path])
                continue
        if path in outputs:
            yield path, (names.workflow_run, outputs[path])


def _by_path(files: list[File] | None, parts: Parts) -> dict[str, File]:
    there = (file for file in files or () if file.type is not FileType.MISSING)
    return {path: part for file in there for path, part in parts(file)}
