"""Child documents inside a workflow's document: flattened, as bundles, or linked."""

from __future__ import annotations

import io
from functools import partial

from yprov4wms.events import ChildAttached, Person
from yprov4wms.prov import foreign, glance, rules
from yprov4wms.prov.child import Child, Versions
from yprov4wms.prov.copies import artifacts
from yprov4wms.prov.flatten import Flattened
from yprov4wms.prov.handover import Handover
from yprov4wms.prov.names import Names
from yprov4wms.prov.numbering import Numbering
from yprov4wms.prov.summary import Summary
from yprov4wms.prov.values import attributes, string
from yprov4wms.prov.vocabulary import RUN, Level, Link, Type, run_namespace
from yprov4wms.prov.wording import RAN
from yprov4wms.prov.writer import ProvJsonWriter
from yprov4wms.run import Attempt

#: The dialect of this project's own ML recorder.
OWN_DIALECT = "yprov4wms-ml"

_NOTHING = foreign.read(b"{}")


class Nesting:
    """Puts child documents into a run's document, each with its own namespace ``ml<n>``.

    directory, person: of the workflow's run. handover: takes the files that only children
    tell of. names: of the run's records.
    """

    def __init__(
        self,
        writer: ProvJsonWriter,
        mode: str,
        directory: str,
        person: Person | None,
        handover: Handover,
        names: Names,
        numbering: Numbering,
    ) -> None:
        self._writer = writer
        self._handover = handover
        self._mode = mode
        self._directory = directory
        self._login = person.login if person else None
        self._names = names
        self._numbering = numbering

    def child(
        self,
        child: ChildAttached,
        content: bytes | str,
        around: Attempt,
        attempt: str,
        agent: str,
        uses: Versions,
        makes: Versions,
    ) -> set[str]:
        """Write one child of the attempt ``around``, whose activity is ``attempt``; ``agent``
        answers for both.

        content: of the child's document, or a text that says why there is none. uses, makes:
        the file versions of the attempt. Returns those that the child made. A document that
        cannot be had, or cannot stand in this one as it should, is linked with the reason; so
        is one that may be another task's.
        """
        mode = self._mode if child.doubt is None else "link"
        document = self._names.hashed("document", attempt, child.child)
        records, note = _NOTHING, None
        problems: list[rules.Problem] = []
        if isinstance(content, str):
            note = content
        else:
            checked = _is_checked(child)
            if mode == "bundle" and not checked:
                problems = rules.check(content)
                checked = not problems
            try:
                if mode != "flatten" and checked:
                    records = glance.read(content)
                else:
                    records = foreign.read(content, closely=mode == "flatten" and not checked)
            except ValueError as error:
                note = f"not a PROV-JSON document: {error}"
        prefix, namespace = self._numbering.child(child.child)
        one = Child(records, child, prefix, namespace, self._directory, self._login)
        further = one.upstream(lambda path: self._handover.before(path, around), uses, makes)
        uses = {**uses, **further}
        shared = one.shared(uses, makes)
        kept = artifacts(records.elements["entity"], shared, makes, uses)
        copied = {name: version for name, (version, _) in kept.items()}
        copies = one.copies(uses, makes, shared | copied)
        flat = None
        if mode == "bundle" and isinstance(content, bytes) and note is None:
            note = self._bundle(document, content, records, problems)
        elif mode == "flatten" and one.roots:
            flat = Flattened(one, document, attempt, agent, shared, copies, kept)
            refusal = None
            if flat.hazards.found():
                refusal = _refusal(flat, document, attempt, agent, uses, makes)
            if refusal is not None:
                flat, note = None, f"not flattened: {refusal}"
            elif records.bundles:
                note = "its bundles are left out"
        elif mode == "flatten" and note is None:
            note = "not flattened: it has no activity"
        repaired = [*(child.repaired or ()), *(flat.told() if flat is not None else ())]
        self._document(document, child, attempt, note, repaired)
        if flat is None:
            summary = self._summary(one, child, document, attempt, agent)
            for original, version in (shared | copied | copies).items():
                stub, made = one.identifier(original), original in one.generated
                summary.file(stub, one.label(original), made)
                self._writer.relation(
                    "wasDerivedFrom", *((version, stub) if made else (stub, version))
                )
        else:
            flat.write_to(self._writer)
        for original, path, sha256, made in one.others({*shared, *copied, *copies}):
            if flat is not None:
                self._handover.child(child.child, path, sha256, made, around, flat.entity(original))
            else:
                entity = one.identifier(original)
                write = partial(summary.file, entity, one.label(original), made)
                self._handover.child(child.child, path, sha256, made, around, entity, write)
        return flat.made if flat is not None else set()

    def _document(
        self,
        identifier: str,
        child: ChildAttached,
        attempt: str,
        note: str | None,
        repaired: list[str],
    ) -> None:
        file = child.document
        values = {
            "prov:label": file.path,
            "prov:type": Type.BUNDLE,
            "dcterms:identifier": file.path,
            "yprov4wms:path": file.path,
            "yprov4wms:size": file.size,
            "yprov4wms:sha256": file.sha256,
            "yprov4wms:origin": file.origin,
            "yprov4wms:dialect": child.type,
            "yprov4wms:dialect_version": child.version,
            "yprov4wms:child_run": child.child,
            "yprov4wms:complete": child.complete,
            "yprov4wms:note": note,
            "yprov4wms:doubt": child.doubt,
        }
        body = attributes(values)
        if repaired:
            body += f',"yprov4wms:repaired":[{",".join(string(text) for text in repaired)}]'
        self._writer.element("entity", identifier, body)
        self._writer.relation("wasGeneratedBy", identifier, attempt)

    def _bundle(
        self,
        identifier: str,
        content: bytes,
        records: foreign.Records,
        problems: list[rules.Problem],
    ) -> str | None:
        """Put a child's document in a bundle as it is; or say why it cannot stand there."""
        if records.bundles:
            return "not put in a bundle: it has bundles itself"
        prefix = self._names.prefix
        own = self._writer.prefixes[prefix]
        if records.prefixes.get(prefix, own) != own:
            return f"not put in a bundle: it has another prefix {prefix}, which names the bundle"
        if problems:
            return f"not put in a bundle: {problems[0].where}: {problems[0].message}"
        self._writer.bundle(identifier, content)
        return None

    def _summary(
        self, one: Child, child: ChildAttached, document: str, attempt: str, agent: str
    ) -> Summary:
        """One activity that stands for the child."""
        writer, elements = self._writer, one.records.elements
        identifier = self._names.hashed("child", attempt, child.child)
        activities = [elements["activity"][root] for root in one.roots]
        runs = [a for a in activities if a.get("yprov4wfs:level") == Level.ML_RUN]
        root = (runs or activities or [{}])[0]
        start, end = (foreign.time(root.get(f"prov:{name}Time")) for name in ("start", "end"))
        status = root.get("yprov4wfs:status")
        values = {
            "prov:startTime": start,
            "prov:endTime": end if not start or not end or start <= end else None,
            "prov:label": foreign.text(root.get("prov:label")) or child.child,
            "prov:type": Type.ML_RUN,
            "yprov4wfs:level": Level.ML_RUN,
            "yprov4wfs:status": status if status in list(RAN) else None,
            "yprov4wms:child_run": child.child,
            "yprov4wms:document": document,
        }
        writer.element("activity", identifier, attributes(values))
        writer.relation("wasInformedBy", identifier, attempt, f'"yprov4wms:link":"{Link.NESTED}"')
        writer.relation("wasAssociatedWith", identifier, agent)
        return Summary(writer, identifier, {one.prefix: one.namespace})


def _is_checked(child: ChildAttached) -> bool:
    """Whether the document kept the rules, as they are now, when it was collected: it is the
    same by its checksum."""
    return child.checked == rules.VERSION and child.document.sha256 is not None


def _refusal(
    flat: Flattened, document: str, attempt: str, agent: str, uses: Versions, makes: Versions
) -> str | None:
    """Why a flattened document would break the rules, if it would.

    It is looked at in the smallest run that it can stand in.
    """
    writer = ProvJsonWriter({RUN: run_namespace("check")})
    plan, run = f"{RUN}:plan", f"{RUN}:workflow_run"
    label = '"prov:label":"",'
    part_of = f'"yprov4wms:link":"{Link.PART_OF}"'
    writer.element("agent", agent, f'{label}"prov:type":"{Type.SOFTWARE_AGENT}"')
    writer.element("entity", plan, f'{label}"prov:type":"{Type.PLAN}"')
    for identifier, kind, level in (
        (run, Type.WORKFLOW_RUN, Level.WORKFLOW),
        (attempt, Type.TASK_ATTEMPT, Level.TASK),
    ):
        body = f'{label}"prov:type":"{kind}","yprov4wfs:level":"{level}"'
        writer.element("activity", identifier, body)
        writer.relation("wasAssociatedWith", identifier, agent, f'"prov:plan":"{plan}"')
    writer.relation("wasInformedBy", attempt, run, part_of)
    writer.element("entity", document, f'{label}"prov:type":"{Type.BUNDLE}"')
    writer.relation("wasGeneratedBy", document, attempt)
    made = {version for version, _ in makes.values()}
    for version in dict.fromkeys(version for version, _ in (*uses.values(), *makes.values())):
        writer.element("entity", version, f'{label}"prov:type":"{Type.FILE}"')
        if version in made:
            writer.relation("wasGeneratedBy", version, attempt)
        else:
            writer.relation("used", attempt, version)
    flat.write_to(writer)
    spool = io.BytesIO()
    writer.write_to(spool)
    problems = rules.check(spool.getvalue())
    return f"{problems[0].where}: {problems[0].message}" if problems else None
