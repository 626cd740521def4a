"""What attempts used and made, as relations to versions of files."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from yprov4wms.events import UPDATE, File, FileType, TaskStarted
from yprov4wms.prov.attempts import attempt_times
from yprov4wms.prov.files import Files
from yprov4wms.prov.handover import Handover
from yprov4wms.prov.names import Names
from yprov4wms.prov.values import string
from yprov4wms.prov.writer import ProvJsonWriter
from yprov4wms.run import Attempt, Run, Task


class Usage:
    """Writes the uses and generations of a run's attempts."""

    def __init__(
        self, writer: ProvJsonWriter, run: Run, names: Names, files: Files, handover: Handover
    ) -> None:
        self._writer = writer
        self._run = run
        self._names = names
        self._files = files
        self._handover = handover
        self._members: dict[int, set[str]] = {}

    def uses(
        self,
        identifier: str,
        task: Task,
        attempt: Attempt,
        start: TaskStarted | None,
        finished: str | None,
    ) -> dict[str, tuple[str, Any]]:
        """Write what the attempt used; returns by path the version and what it was."""
        uses: dict[str, tuple[str, Any]] = {}
        inputs = (start.inputs if start else None) or []
        sources = attempt.sources or [None] * len(inputs)
        for file, source in zip(inputs, sources, strict=True):
            if source is None:
                # A pipe's reader starts before its writer has ended.
                later = self._run.made.get(file.path)
                if later is not None and later.task in task.depends_on:
                    source = later if began_before(later, finished) else None
            if source is not None and not self._left(source, file.path):
                source = None  # in its directory, and not among the members that are listed
            if source is not None:
                entity = self._files.made(self._names.attempt(source), file.path)
            elif file.type is FileType.MISSING:
                continue
            else:
                entity = self._files.write_outside(file)
                self._handover.outside(file, entity, attempt)
            role = f'"prov:role":{string(file.role)}' if file.role else ""
            self._writer.relation("used", identifier, entity, role)
            uses[file.path] = (entity, file)
            if file.secondary_of is not None and source is None:
                self._files.accompany(entity, uses.get(file.secondary_of, (None,))[0])
            for path, member in self._files.parts(file)[1:]:
                if source is None:
                    part = self._files.outside(member)
                    there = self._files.is_outside(part)
                else:
                    part = self._files.made(self._names.attempt(source), path)
                    there = self._left(source, path)
                if there:
                    uses[path] = (part, member)
        for file in inputs:
            if file.listing and file.path in uses and not self._run.made.get(file.path):
                inside = [uses[path][0] for path in file.listing if path in uses]
                self._files.hold(uses[file.path][0], inside)
        return uses

    def updates(
        self,
        identifier: str,
        start: TaskStarted | None,
        outputs: list[File],
        uses: dict[str, tuple[str, Any]],
    ) -> None:
        """A new version of a file comes from the one that the engine says it updates."""
        before = {f.path for f in (start.inputs if start else None) or () if f.role == UPDATE}
        for file in outputs:
            if file.type is FileType.MISSING or file.path not in uses:
                continue
            if file.path in before or file.role == UPDATE:
                new, old = self._files.made(identifier, file.path), uses[file.path][0]
                self._writer.relation("wasDerivedFrom", new, old)

    def generations(
        self,
        identifier: str,
        attempt: Attempt,
        outputs: list[File],
        finished: str | None,
        inner: set[str],
        uses: dict[str, tuple[str, Any]],
    ) -> None:
        """What the attempt made; what was made inside it has its time from there."""
        time = f'"prov:time":"{finished}"' if finished else ""
        known: set[str] = set()
        roles: dict[str, dict[str, None]] = {}
        for file in outputs:
            if file.role:
                roles.setdefault(file.path, {})[file.role] = None
        for file in left(outputs):
            role = as_role(roles.get(file.path, {}))
            member = attempt.inner.get(file.path) if attempt.inner else None
            if member is not None:
                if self._is_inside(member, attempt):
                    entity = self._files.made(self._names.attempt(member), file.path)
                    self._writer.relation("wasGeneratedBy", entity, identifier, role)
                continue
            if file.secondary_of is not None:
                primary = self._files.made(identifier, file.secondary_of)
                if primary in known:
                    self._files.accompany(self._files.made(identifier, file.path), primary)
            if file.published:
                self._files.publish(attempt.task, file, self._files.made(identifier, file.path))
            for entity in self._files.write_made(identifier, file, known):
                parts = (time if entity not in inner else "", role)
                more = ",".join(filter(None, parts)) if role else parts[0]
                self._writer.relation("wasGeneratedBy", entity, identifier, more)
                role = ""  # it is the file's, not its members'
        for file in outputs:
            directory = self._files.made(identifier, file.path)
            if file.listing and directory in known:
                made = {path: self._files.made(identifier, path) for path in file.listing}
                self._files.hold(
                    directory,
                    [
                        made[path] if made[path] in known else uses[path][0]
                        for path in file.listing
                        if made[path] in known or path in uses
                    ],
                )

    def _left(self, maker: Attempt, path: str) -> bool:
        """Whether the record has what lies at ``path`` among what ``maker`` left."""
        if (maker.task, maker.key) not in self._run.directory_makers:
            return True
        members = self._members.get(id(maker))
        if members is None:
            members = self._members[id(maker)] = set()
            end = maker.end
            for file in left((end.outputs if end else None) or []):
                members.update(path for path, _ in self._files.parts(file))
        return path in members

    def _is_inside(self, member: Attempt, container: Attempt) -> bool:
        """Whether the document says so: by ``part-of``, at any depth."""
        task: Task | None = self._run.tasks[member.task]
        while task is not None and (task := self._run.container(task)) is not None:
            if task.attempts[-1] is container:
                return True
        return False


def left(outputs: list[File]) -> list[File]:
    """What is there of an attempt's outputs, each path once: a directory with its members, where
    one of the outputs there lists them."""
    found: dict[str, File] = {}
    for file in outputs:
        if file.type is not FileType.MISSING:
            known = found.get(file.path)
            if known is None or (file.members and not known.members):
                found[file.path] = file
    return list(found.values())


def as_role(names: Iterable[str]) -> str:
    """As JSON text: a file may be several outputs at once."""
    found = [string(name) for name in names]
    if not found:
        return ""
    return f'"prov:role":{found[0] if len(found) == 1 else "[" + ",".join(found) + "]"}'


def began_before(attempt: Attempt, moment: str | None) -> bool:
    """Whether it began before that; true where one of both is not known."""
    began = attempt_times(attempt.start, attempt.end)[0]
    return not (began and moment) or began <= moment
