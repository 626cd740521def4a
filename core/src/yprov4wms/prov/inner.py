"""Workflow runs that the attempts of a run started: in one document with it, or beside it."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

from yprov4wms.events import ChildAttached, File
from yprov4wms.prov.around import Around, Same, renamed
from yprov4wms.prov.child import Versions
from yprov4wms.prov.handover import Handover, Outer
from yprov4wms.prov.names import Names
from yprov4wms.prov.numbering import Numbering
from yprov4wms.prov.summary import Summary
from yprov4wms.prov.values import attributes
from yprov4wms.prov.vocabulary import RUN, Level, Link, Type
from yprov4wms.prov.writer import ProvJsonWriter
from yprov4wms.run import Attempt, Run
from yprov4wms.store import RunFolder

#: Gives the bytes of a child's document, which have the checksum that the event names, or None
#: where it is gone; raises OSError or ValueError, whose text says why it cannot be had.
ChildReader = Callable[[ChildAttached], bytes | None]

#: What the documents of nested runs are, among the dialects of child runs.
DIALECT = "yprov4wms"


class Nested(NamedTuple):
    """A workflow run, and what it takes to write it; mostly one inside another.

    around: the attempt that started it; None where the run around it does not know of that one.
    place: of its document, from the folder of the run around it, or absolute. extra_children:
    as `WorkflowDocument` has it. nested: the runs inside it.
    """

    run: Run
    folder: RunFolder
    around: Attempt | None
    place: str
    read_child: ChildReader
    extra_children: dict[tuple[str, int], list[ChildAttached]]
    nested: list[Nested]

    def every(self) -> Iterator[Nested]:
        """The run itself, and all runs inside it, at any depth."""
        yield self
        for inner in self.nested:
            yield from inner.every()

    def children(self) -> Iterator[str]:
        """Ids of the child runs in it, at any depth."""
        for one in self.every():
            for attempt in one.run.attempts():
                yield from (child.child for child in attempt.child_runs)
            for extra in one.extra_children.values():
                yield from (child.child for child in extra)


class Into(NamedTuple):
    """Where a run's records go.

    published: as `Files` has it. around, outer: of a run whose files others tell of, too.
    """

    writer: ProvJsonWriter
    names: Names
    numbering: Numbering
    published: set[str]
    around: Around | None = None
    outer: Outer | None = None


#: Writes a nested run's records, with those of the child runs as the mode says.
Write = Callable[[Nested, str, Into], None]


class Inner:
    """Puts nested runs into a run's document, each with its own namespace.

    mode: ``flatten``, ``bundle`` or ``link``. into: where the records of the run around them
    go. handover: takes the files that only nested runs tell of.
    """

    def __init__(self, run: Run, mode: str, into: Into, handover: Handover, write: Write) -> None:
        self._run = run
        self._mode = mode
        self._into = into
        self._handover = handover
        self._write = write

    def put(
        self, nested: Nested, attempt: str, agent: str, uses: Versions, makes: Versions
    ) -> set[str]:
        """Write a nested run of the activity ``attempt``; ``agent`` answers for both.

        uses, makes: the file versions of the attempt. Returns those that the nested run made.
        """
        prefix, namespace = self._into.numbering.run(nested.run.id)
        joined = self._mode == "flatten"
        names = Names(RUN if self._mode == "link" else prefix)
        around = Around(
            *(nested.run, names, self._run.start.directory, uses, makes, joined),
            partial(self._before, nested),
            self._into.around if joined else None,
        )
        document = self._into.names.hashed("document", attempt, nested.run.id)
        if joined:
            self._document(nested, document, attempt, None)
            self._flatten(nested, names, namespace, around, attempt, agent)
        else:
            told: list[_Told] = []
            writer, content = self._apart(nested, names, namespace, around, told.append)
            namespaces = dict(writer.prefixes)
            if self._mode == "bundle":
                self._into.writer.bundle(document, content)
                self._document(nested, document, attempt, None)
            else:
                namespaces[prefix] = namespace
                self._document(nested, document, attempt, content)
            summary = self._summary(nested, namespaces, document, attempt, agent)
            self._tie(nested, summary, {RUN: prefix} if names.prefix == RUN else {}, around, told)
        return {same.version for same in around.same() if same.made and not same.copy}

    def _before(self, nested: Nested, path: str) -> tuple[str, File] | None:
        """What a task before the attempt's left at a path."""
        return self._handover.before(path, nested.around) if nested.around is not None else None

    def _flatten(
        self,
        nested: Nested,
        names: Names,
        namespace: str,
        around: Around,
        attempt: str,
        agent: str,
    ) -> None:
        writer = self._into.writer
        writer.prefixes[names.prefix] = namespace
        into = self._into._replace(names=names, around=around, outer=self._outer(nested, around))
        self._write(nested, "flatten", into)
        link = f'"yprov4wms:link":"{Link.NESTED}"'
        writer.relation("wasInformedBy", names.workflow_run, attempt, link)
        writer.relation("wasAssociatedWith", names.workflow_run, agent)
        for same in around.same():
            if same.copy:
                writer.relation("wasDerivedFrom", *_later_first(same, same.entity))

    def _outer(self, nested: Nested, around: Around) -> Outer:
        """What takes the files of a nested run of which its attempt says nothing."""

        def tell(
            path: str, sha256: str | None, made: bool, entity: str, moment: str | None
        ) -> None:
            version = around.declared(path, sha256, made)
            if version is not None:
                same = Same(version, entity, path, made, copy=True)
                self._into.writer.relation("wasDerivedFrom", *_later_first(same, entity))
            else:
                self._tell(nested, _Told(path, sha256, made, entity, moment), entity)

        return Outer(tell, deep=True)

    def _tell(
        self,
        nested: Nested,
        told: _Told,
        entity: str,
        write: Callable[[], None] = lambda: None,
    ) -> None:
        """Have the run around it know of a file; ``entity``: in this document."""
        run = nested.run
        path = renamed(told.path, run.start.directory, self._run.start.directory)
        if path is None:
            return
        if nested.around is not None:
            self._handover.child(
                *(run.id, path, told.sha256, told.made, nested.around, entity),
                *(write, told.moment),
            )
        elif self._into.outer is not None:
            write()
            self._into.outer.tell(path, told.sha256, told.made, entity, told.moment)

    def _apart(
        self,
        nested: Nested,
        names: Names,
        namespace: str,
        around: Around,
        told: Callable[[_Told], None],
    ) -> tuple[ProvJsonWriter, bytes]:
        """The nested run's own document; ``told``: as `_outer`, of that run itself alone."""

        def tell(
            path: str, sha256: str | None, made: bool, entity: str, moment: str | None
        ) -> None:
            told(_Told(path, sha256, made, entity, moment))

        writer = ProvJsonWriter({names.prefix: namespace})
        if self._mode == "bundle":
            # Under other prefixes than the document around it, which name the bundle.
            mode, numbering = "flatten", self._into.numbering
        else:
            mode, numbering = self._mode, Numbering()
            numbering.run(nested.run.id)
        into = Into(writer, names, numbering, set(), around, Outer(tell, deep=False))
        self._write(nested, mode, into)
        spool = io.BytesIO()
        writer.write_to(spool)
        return writer, spool.getvalue()

    def _tie(
        self,
        nested: Nested,
        summary: Summary,
        prefixes: dict[str, str],
        around: Around,
        mentions: list[_Told],
    ) -> None:
        """Tie the files of a document that stands apart to those of this one.

        prefixes: those that it has in that document and not in this one, with the ones here.
        """

        def here(entity: str) -> str:
            prefix, _, local = entity.partition(":")
            return f"{prefixes.get(prefix, prefix)}:{local}"

        known = set()
        for same in around.same():
            known.add(same.entity)
            stub = here(same.entity)
            summary.file(stub, same.label, same.made)
            self._into.writer.relation("wasDerivedFrom", *_later_first(same, stub))
        for told in mentions:
            if told.entity not in known:
                stub = here(told.entity)
                self._tell(nested, told, stub, partial(summary.file, stub, told.path, told.made))

    def _document(
        self, nested: Nested, identifier: str, attempt: str, content: bytes | None
    ) -> None:
        values = {
            "prov:label": nested.place,
            "prov:type": Type.BUNDLE,
            "dcterms:identifier": nested.place,
            "yprov4wms:path": nested.place,
            "yprov4wms:size": len(content) if content is not None else None,
            "yprov4wms:sha256": hashlib.sha256(content).hexdigest() if content else None,
            "yprov4wms:dialect": DIALECT,
            "yprov4wms:child_run": nested.run.id,
            "yprov4wms:complete": nested.run.end is not None,
        }
        self._into.writer.element("entity", identifier, attributes(values))
        self._into.writer.relation("wasGeneratedBy", identifier, attempt)

    def _summary(
        self,
        nested: Nested,
        namespaces: dict[str, str],
        document: str,
        attempt: str,
        agent: str,
    ) -> Summary:
        """One activity that stands for the nested run."""
        writer, run = self._into.writer, nested.run
        identifier = self._into.names.hashed("child", attempt, run.id)
        began, finished = run.times()
        values = {
            "prov:startTime": began if not finished or not began or began <= finished else None,
            "prov:endTime": finished,
            "prov:label": run.start.workflow,
            "prov:type": Type.WORKFLOW_RUN,
            "yprov4wfs:level": Level.WORKFLOW,
            "yprov4wfs:status": run.status,
            "yprov4wfs:engine": run.start.engine.name,
            "yprov4wms:child_run": run.id,
            "yprov4wms:document": document,
        }
        writer.element("activity", identifier, attributes(values))
        writer.relation("wasInformedBy", identifier, attempt, f'"yprov4wms:link":"{Link.NESTED}"')
        writer.relation("wasAssociatedWith", identifier, agent)
        return Summary(writer, identifier, namespaces)


class _Told(NamedTuple):
    """What a nested run says of what lay at a path."""

    path: str
    sha256: str | None
    made: bool
    entity: str
    moment: str | None


def _later_first(same: Same, entity: str) -> tuple[str, str]:
    """The two ends of a derivation: what the attempt left comes from what was made in it."""
    return (same.version, entity) if same.made else (entity, same.version)
