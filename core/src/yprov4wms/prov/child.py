"""What a child's document says of itself, and what of it is its attempt's own."""

from __future__ import annotations

from posixpath import basename, normpath

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
        self.generated = {
            end(record, "prov:entity")
            for section, record in records.relations
            if section == "wasGeneratedBy"
        }

    def identifier(self, original: str, kind: str = "") -> str:
        """The new identifier of an element; kind: where two kinds share the old one."""
        prefix, _, local = original.partition(":")
        name = local if prefix in self._own and local else original
        return f"{self.prefix}:{local_name(name + kind)}"

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
            values = entities[identifier]
            path = values.get("yprov4wms:path")
            if not isinstance(path, str):
                continue
            path = self._canonical(path)
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

    def _canonical(self, path: str) -> str:
        """A child's path as the workflow's run names it."""
        if "://" in path:
            return path
        path = normpath(path)
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
