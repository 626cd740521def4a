"""The machine-learning runs that attempts started, as actions beside those of the attempts.

What is said is what their documents say, as they were collected: of our own recorder, and of
other ones as `yprov4wms.ml.readers` has them.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable
from posixpath import join
from typing import Any
from urllib.parse import quote

from msgspec.json import decode

from yprov4wms.events import ChildAttached, File, FileType
from yprov4wms.export.rocrate import values
from yprov4wms.export.rocrate.crate import Crate, Reference
from yprov4wms.export.rocrate.data import Version
from yprov4wms.export.rocrate.values import COMPLETED, FAILED
from yprov4wms.prov import foreign
from yprov4wms.prov.foreign import Record, Records
from yprov4wms.prov.inner import ChildReader
from yprov4wms.prov.vocabulary import Level, Type

_STATUSES = {
    "completed": COMPLETED,
    "running": "http://schema.org/ActiveActionStatus",
    "failed": FAILED,
    "cancelled": FAILED,
}
#: Of a document: the entities that an activity used, and those that it generated.
_Ends = tuple[dict[str, None], dict[str, None]]
#: The file at a path as the attempt around knows it, or as a file from outside.
Find = Callable[[File], Version]


class MLRuns:
    """Adds the ML runs of one workflow run.

    prefix: of ids that only the workflow run has. read: a child's document.
    """

    def __init__(self, crate: Crate, prefix: str, directory: str, read: ChildReader) -> None:
        self._crate, self._prefix, self._directory, self._read = crate, prefix, directory, read
        self._packages: dict[str, Reference] = {}
        self._seen: set[str] = set()

    def add(
        self, child: ChildAttached, attempt: Reference, agent: Reference | None, find: Find
    ) -> None:
        """Add one child of an attempt, once; nothing where its document cannot be read, which
        the PROV document in the crate says."""
        try:
            content = self._read(child)
            records = foreign.read(content) if content else None
        except (OSError, ValueError):
            records = None
        about = _run(records) if records is not None else None
        if records is None or about is None or child.child in self._seen:
            return
        self._seen.add(child.child)
        base = f"{self._prefix}/ml/{quote(child.child, safe='')}"
        used, made = _ends(records)
        status = foreign.text(about.get("yprov4wfs:status"))
        label = foreign.text(about.get("prov:label")) or child.child
        experiment = foreign.text(about.get("yprov:experiment_name"))
        error = foreign.text(about.get("yprov4wms:error"))
        action_status = _STATUSES.get(status or "") or (None if child.complete else FAILED)
        action = self._crate.add(
            _action_id(child.child, base),
            "CreateAction",
            name=f"ML run {label}",
            description=_joined(
                f"Machine-learning run recorded by {child.type}",
                f"of the experiment {experiment}" if experiment else None,
                status if status == "cancelled" else None,
                None if child.complete else "its end was not recorded",
                child.doubt,
            ),
            startTime=values.time(foreign.time(about.get("prov:startTime"))),
            endTime=values.time(foreign.time(about.get("prov:endTime"))),
            actionStatus=action_status,
            error=error if action_status == FAILED else None,
            agent=agent,
            instrument=self._tool(base, experiment or label, records, about),
            object=self._described(base, records, used, find),
            result=self._described(base, records, made, find),
            isPartOf=attempt,
        )
        self._crate.mention(action)

    def _tool(self, base: str, name: str, records: Records, about: Record) -> Reference:
        """What was run: nobody lists it as a part of the workflow."""
        packages: Reference | None = None
        commit: str | None = None
        for entity in records.elements["entity"].values():
            kind = foreign.text(entity.get("prov:type"))
            if kind == Type.ENVIRONMENT:
                packages = self._requirements(foreign.text(entity.get("yprov4wms:packages")))
            elif kind == Type.SOURCE_CODE:
                commit = commit or foreign.text(entity.get("yprov4wms:commit"))
        python = foreign.text(about.get("yprov:python_version"))
        return self._crate.tell(
            f"{base}/script",
            "SoftwareApplication",
            name=name,
            description=foreign.text(about.get("yprov4wms:command")),
            softwareVersion=commit,
            runtimePlatform=f"Python {python}" if python else None,
            softwareRequirements=packages,
        )

    def _requirements(self, packages: str | None) -> Reference | None:
        """A file that lists them, one for all runs with the same."""
        try:
            lines = decode(packages or "", type=list[str])
        except (ValueError, RecursionError):
            return None
        content = "".join(f"{line}\n" for line in lines).encode("utf-8", "replace")
        key = hashlib.sha256(content).hexdigest()
        if key not in self._packages:
            self._packages[key] = self._crate.store(
                f"environments/{key[:16]}.txt",
                content,
                name="Python packages installed where ML runs ran",
                encodingFormat="text/plain",
                sha256=key,
            )
        return self._packages[key]

    def _described(
        self, base: str, records: Records, names: dict[str, None], find: Find
    ) -> list[Reference]:
        found: dict[str, Reference] = {}
        for name in names:
            entity = records.elements["entity"].get(name)
            kind = foreign.text(entity.get("prov:type")) if entity is not None else None
            if entity is None or kind == Type.ENVIRONMENT:
                continue
            identifier = f"{base}/{quote(name, safe='')}"
            one = self._entity(identifier, kind, entity, find)
            found[one["@id"]] = one
        return list(found.values())

    def _entity(self, identifier: str, kind: str | None, entity: Record, find: Find) -> Reference:
        label = foreign.text(entity.get("prov:label")) or "unnamed"
        context = foreign.text(entity.get("yprov:context"))
        rank = foreign.text(entity.get("yprov:global_rank"))
        name = "/".join(part for part in (context, label, rank and f"rank {rank}") if part)
        path = foreign.text(entity.get("yprov4wms:path"))
        if path:
            return find(self._file(path, kind, entity)).reference
        if kind == Type.HYPERPARAMETER:
            value, _ = values.plain(decoded(entity.get("prov:value")))
            return self._crate.add(identifier, "PropertyValue", name=name, value=value)
        if kind == Type.METRIC:
            figures = {key: decoded(entity.get(f"yprov4wms:{key}")) for key in _SUMMARY}
            count = figures["count"]
            return self._crate.add(
                identifier,
                "PropertyValue",
                name=name,
                description=f"The last of {count} values" if count is not None else "A metric",
                value=_figure(figures["last"]),
                minValue=_figure(figures["min"]),
                maxValue=_figure(figures["max"]),
                unitText=foreign.text(entity.get("yprov4wms:unit")),
            )
        size = foreign.text(entity.get("yprov4wms:parameters"))
        return self._crate.add(
            identifier,
            "CreativeWork",
            name=name,
            additionalType=(kind or "").rpartition(":")[2] or None,
            description=_joined(
                foreign.text(entity.get("yprov4wms:model_class")),
                f"{size} parameters" if size else None,
                _told(entity, "samples", "shape"),
            ),
            identifier=foreign.text(entity.get("dcterms:identifier")),
            sha256=foreign.text(entity.get("yprov4wms:content_sha256")),
        )

    def _file(self, path: str, kind: str | None, entity: Record) -> File:
        type_ = FileType.FILE
        if kind == Type.COLLECTION:
            type_ = FileType.DIRECTORY
        elif "://" in path:
            type_ = FileType.URL
        else:
            path = join(self._directory, path)
        size = decoded(entity.get("yprov4wms:size"))
        sha256 = foreign.text(entity.get("yprov4wms:sha256"))
        return File(path, type_, size=size if type(size) is int else None, sha256=sha256)


_SUMMARY = ("count", "first", "last", "min", "max")


def decoded(value: object) -> Any:
    """A PROV-JSON value as Python has it; of several the first."""
    if isinstance(value, list):
        value = value[0] if value else None
    if not isinstance(value, dict):
        return value
    content, kind = value.get("$"), value.get("type")
    try:
        if kind in ("xsd:int", "xsd:long", "xsd:integer"):
            return int(str(content))
        if kind in ("xsd:double", "xsd:float", "xsd:decimal"):
            return float(str(content).replace("INF", "inf"))
    except ValueError:
        pass
    return content


def _figure(value: Any) -> float | str | None:
    if value is None or isinstance(value, str):
        return value
    return values.number(value) if isinstance(value, int | float) else str(value)


def _run(records: Records) -> Record | None:
    """The activity that is the run, if the document has one."""
    for activity in records.elements["activity"].values():
        if foreign.text(activity.get("yprov4wfs:level")) == Level.ML_RUN:
            return activity
    return None


def _ends(records: Records) -> _Ends:
    """What the run and its contexts used, and what they generated; what they only passed from
    one to another counts as generated."""
    used: dict[str, None] = {}
    made: dict[str, None] = {}
    for section, record in records.relations:
        entity = foreign.end(record, "prov:entity")
        if entity is not None and section in ("used", "wasGeneratedBy"):
            (used if section == "used" else made)[entity] = None
    return {name: None for name in used if name not in made}, made


def _action_id(child: str, base: str) -> str:
    try:
        return f"urn:uuid:{uuid.UUID(child)}"
    except ValueError:
        return base


def _told(entity: Record, *names: str) -> str | None:
    found = ((name, foreign.text(entity.get(f"yprov4wms:{name}"))) for name in names)
    return _joined(*(f"{name} {text}" for name, text in found if text))


def _joined(*parts: str | None) -> str | None:
    return ", ".join(part for part in parts if part) or None
