"""What a child's document says of itself, and what of it is its attempt's own."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
from posixpath import basename, join, normpath

from yprov4wms.events import ChildAttached, File
from yprov4wms.prov.foreign import Record, Records, end
from yprov4wms.prov.values import local_name
from yprov4wms.prov.vocabulary import RELATIONS, Type, run_namespace

#: By path, the identifier of a file's version and what it was.
Versions = dict[str, tuple[str, File]]

#: What the task's own record of a file says as well.
_OF_FILES = frozenset(
    (
        *("prov:label", "prov:type", "yprov4wms:path", "yprov4wms:size", "yprov4wms:sha256"),
        *("yprov4wms:file_type", "yprov4wms:member_count", "yprov4wms:link_target"),
    )
)

#: Of no bytes: that two files are empty says nothing.
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


class Child:
    """What a child's document says, and what of it is the attempt's own.

    prefix: of the namespace that its records are to have. directory: of the workflow's
    run; the child's paths are told from there. login: of the run's person.
    """

    def __init__(
        self,
        records: Records,
        child: ChildAttached,
        prefix: str,
        namespace: str,
        directory: str,
        login: str | None,
    ) -> None:
        self.records = records
        self.prefix = prefix
        self.namespace = namespace
        self._inside = directory.rstrip("/") + "/" if directory else None
        self._login = login
        own = run_namespace(child.child)
        self._own = {p for p, uri in records.prefixes.items() if uri == own}
        self.roots = self._find_roots()
        #: Of files that are shared: what the child says of them, and their task does not.
        self.beside: dict[str, Record] = {}
        ends: dict[str, set[str | None]] = {"wasGeneratedBy": set(), "used": set()}
        for section, record in records.relations:
            if section in ends:
                ends[section].add(end(record, "prov:entity"))
        self.generated, self.used = ends["wasGeneratedBy"], ends["used"]
        self._paths = self._find_paths()

    def identifier(self, original: str, kind: str = "") -> str:
        """The new identifier of an element; kind: where two kinds share the old one."""
        prefix, _, local = original.partition(":")
        name = local if prefix in self._own and local else original
        return f"{self.prefix}:{local_name(name + kind)}"

    def label(self, original: str) -> str:
        """What people call an entity."""
        return end(self.records.elements["entity"][original], "prov:label") or original

    def is_person(self, values: Record) -> bool:
        """Whether an agent is the person whom the workflow's run names."""
        login = values.get("yprov4wms:login")
        return login is not None and login == self._login

    def shared(self, uses: Versions, makes: Versions) -> dict[str, str]:
        """The child's file entities that are versions of the attempt's own files."""
        found: dict[str, str] = {}
        if not uses and not makes:
            return found
        taken: set[str] = set()
        entities = self.records.elements["entity"]
        # What it wrote to a path last is what the attempt left there.
        made = [identifier for identifier in reversed(entities) if identifier in self.generated]
        for identifier in (*made, *(name for name in entities if name not in self.generated)):
            path = self._paths.get(identifier)
            if path is None:
                continue
            values = entities[identifier]
            order = (makes,) if identifier in self.generated else (uses, makes)
            for versions in order:
                version, file = versions.get(path, (None, None))
                sha256 = values.get("yprov4wms:sha256")
                if version is None or file is None or version in taken:
                    continue
                if sha256 and file.sha256 and sha256 != file.sha256:
                    continue
                found[identifier] = version
                taken.add(version)
                self.beside[version] = _beside(values, file)
                break
        return found

    def upstream(
        self, find: Callable[[str], tuple[str, File] | None], uses: Versions, makes: Versions
    ) -> Versions:
        """What the child used and its attempt does not tell of, as ``find`` knows it."""
        found: Versions = {}
        for name, path in self._paths.items():
            unknown = name in self.used and name not in self.generated
            if unknown and path not in uses and path not in makes:
                version = find(path)
                if version is not None:
                    found[path] = version
        return found

    def copies(self, uses: Versions, makes: Versions, shared: dict[str, str]) -> dict[str, str]:
        """Of other files, versions of the attempt's that have the same content elsewhere."""
        known: dict[bool, dict[str, str]] = {True: {}, False: {}}
        for made, versions in ((True, makes), (False, uses)):
            for version, file in versions.values():
                if file.sha256 and file.sha256 != EMPTY and version not in shared.values():
                    known[made].setdefault(file.sha256, version)
        found: dict[str, str] = {}
        if not known[True] and not known[False]:
            return found
        for name in reversed(self._paths):
            made = name in self.generated
            if name in shared or (not made and name not in self.used):
                continue
            sha256 = self.records.elements["entity"][name].get("yprov4wms:sha256")
            if isinstance(sha256, str) and sha256 in known[made]:
                found[name] = known[made][sha256]
                if made:
                    del known[made][sha256]  # it is a copy of one of them
        return found

    def others(self, known: Container[str]) -> Iterator[tuple[str, str, str | None, bool]]:
        """Of files that are not ``known``: identifier, path, checksum, and whether it was made."""
        for name, path in self._paths.items():
            made = name in self.generated
            if name not in known and (made or name in self.used):
                sha256 = self.records.elements["entity"][name].get("yprov4wms:sha256")
                yield name, path, sha256 if isinstance(sha256, str) else None, made

    def _find_paths(self) -> dict[str, str]:
        """By identifier, where the files are that it tells of."""
        activities = self.records.elements["activity"]
        directories = (activities[root].get("yprov4wms:directory") for root in self.roots)
        start = next((d for d in directories if isinstance(d, str) and d.startswith("/")), "")
        found: dict[str, str] = {}
        for name, values in self.records.elements["entity"].items():
            path = values.get("yprov4wms:path")
            if isinstance(path, str):
                found[name] = self._canonical(path, start)
        return found

    def _canonical(self, path: str, start: str) -> str:
        """A child's path as the workflow's run names it; start: where the child worked."""
        if "://" in path:
            return path
        path = normpath(path if path.startswith("/") else join(start, path))
        inside = self._inside
        return path[len(inside) :] if inside and path.startswith(inside) else path

    def _find_roots(self) -> list[str]:
        """The activities that no other activity of the child informed or started."""
        activities = self.records.elements["activity"]
        inner: set[str | None] = set()
        for section, record in self.records.relations:
            if section in ("wasInformedBy", "wasStartedBy"):
                first, _, second, _ = RELATIONS[section]
                one, two = end(record, first), end(record, second)
                if two is None:
                    two = end(record, "prov:starter")
                if two in activities and one != two:
                    inner.add(one)
        return [a for a in activities if a not in inner] or list(activities)


def _beside(values: Record, file: File) -> Record:
    """What a child says of a file that is not known of it."""
    found = {name: value for name, value in values.items() if name not in _OF_FILES}
    for name, known in (("size", file.size), ("sha256", file.sha256)):
        value = values.get(f"yprov4wms:{name}")
        if known is None and value is not None:
            found[f"yprov4wms:{name}"] = value
    label, path = values.get("prov:label"), values.get("yprov4wms:path")
    if label is not None and label not in (path, file.path, file.name, basename(str(path))):
        found["prov:label"] = label
    kind = values.get("prov:type")
    if kind is not None and kind not in (Type.FILE.value, Type.COLLECTION.value):
        found["prov:type"] = kind
    return found
