"""A child's document while a reader puts it together, and as the rules want it."""

from __future__ import annotations

import io
import json
from collections import Counter
from typing import Any

from yprov4wms.events import ChildAttached, File
from yprov4wms.ml.readers import ReadError
from yprov4wms.prov import foreign
from yprov4wms.prov.flatten import Child, Flattened
from yprov4wms.prov.foreign import Record, Records
from yprov4wms.prov.values import attributes
from yprov4wms.prov.vocabulary import (
    ELEMENTS,
    ML,
    OPTIONAL_ENDS,
    RELATIONS,
    Level,
    Link,
    Type,
    run_namespace,
)
from yprov4wms.prov.writer import ProvJsonWriter

DOCUMENT = f"{ML}:document"


def decoded(content: bytes) -> dict[str, Any]:
    """A document as its writer's ``json`` wrote it, NaN and the like included.

    Raises ReadError where it is none, such as one that is cut short.
    """
    try:
        found = json.loads(content.decode("utf-8-sig"))
        if b"\\ud" in content.lower():
            found = _escaped(found)
        foreign.read_decoded(found)
    except (ValueError, RecursionError) as error:
        raise ReadError(f"not a PROV-JSON document: {error}") from error
    document: dict[str, Any] = found
    return document


def _escaped(value: Any) -> Any:
    """With lone surrogates, which UTF-8 has not got, as escapes."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_escaped(name): _escaped(item) for name, item in value.items()}
    return [_escaped(item) for item in value] if isinstance(value, list) else value


class Draft:
    """What is known of a run, under the names that its writer gave; ``notes`` counts, in
    words, what is said in another form or could not be kept."""

    def __init__(self) -> None:
        self.prefixes: dict[str, str] = {}
        self.elements: dict[str, dict[str, Record]] = {section: {} for section in ELEMENTS}
        self.relations: list[tuple[str, Record]] = []
        self.notes: Counter[str] = Counter()

    @classmethod
    def of(cls, document: dict[str, Any]) -> Draft:
        draft, records = cls(), foreign.read_decoded(document)
        draft.prefixes = records.prefixes
        draft.elements = records.elements
        draft.relations = records.relations
        several = sum(
            type(found) is list for s in ELEMENTS for found in document.get(s, {}).values()
        )
        if several:
            draft.notes["identifier of several records: one, with all that they say"] += several
        if records.bundles:
            draft.notes["bundle: left out"] += len(document["bundle"])
        return draft

    def relate(self, section: str, one: str, two: str, **more: Any) -> None:
        first, _, second, _ = RELATIONS[section]
        self.relations.append((section, {first: one, second: two, **more}))

    def ends(self, section: str, record: Record) -> tuple[str | None, str | None]:
        first, _, second, _ = RELATIONS[section]
        one, two = foreign.text(record.get(first)), foreign.text(record.get(second))
        return one, two

    def renamed(self, prefix: str) -> None:
        """Give all but agents other names, under which two processes' records are apart."""
        names = {
            name: f"{prefix}.{name}"
            for section in ("entity", "activity")
            for name in self.elements[section]
        }
        for section in ("entity", "activity"):
            renamed: dict[str, Record] = {}
            for name, record in self.elements[section].items():
                record.setdefault("yprov4wms:original_id", name)
                renamed[names[name]] = record
            self.elements[section] = renamed
        ends = {
            *OPTIONAL_ENDS,
            *(end for one, _, two, _ in RELATIONS.values() for end in (one, two)),
        }
        for _, record in self.relations:
            for name in ends & record.keys():
                old = foreign.text(record[name])
                if old is not None and old not in self.elements["agent"]:
                    record[name] = names.get(old, f"{prefix}.{old}")

    def take(self, other: Draft) -> None:
        """Add what another one says; agents of one name are one."""
        self.prefixes = {**other.prefixes, **self.prefixes}
        for section, elements in other.elements.items():
            for name, record in elements.items():
                self.elements[section].setdefault(name, record)
        self.relations += other.relations
        self.notes += other.notes

    def written(self, run: str, root: str, path: str) -> tuple[bytes, tuple[str, ...]]:
        """The document of the run with this id, and what was repaired.

        root: the activity that is the run. path: where its own record lies.
        """
        self._declare_ends()
        self._settle()
        records = Records(self.prefixes, self.elements, self.relations, False)
        told = ChildAttached(task="", attempt=1, child=run, type="", document=File(path=path))
        child = Child(records, told, ML, run_namespace(run), "", None)
        alone = _Alone(child, root, path)
        writer = ProvJsonWriter({})
        alone.write_to(writer)
        spool = io.BytesIO()
        writer.write_to(spool)
        counts = self.notes + alone.repairs
        return spool.getvalue(), tuple(f"{count} x {what}" for what, count in counts.items())

    def _declare_ends(self) -> None:
        """What a relation names and nothing describes is there all the same."""
        for section, record in self.relations:
            first, kind, second, other = RELATIONS[section]
            for end, wanted in ((first, kind), (second, other)):
                name = foreign.text(record.get(end))
                if name and wanted and not any(name in e for e in self.elements.values()):
                    self.elements[wanted][name] = {}
                    self.notes[f"{wanted} that is named and not described"] += 1

    def _settle(self) -> None:
        kept = []
        for section, record in self.relations:
            one, two = self.ends(section, record)
            if section == "hadMember" and one == two:
                self.notes["hadMember of itself: left out"] += 1
            else:
                kept.append((section, record))
        self.relations = kept


class _Alone(Flattened):
    """Records that stand for themselves, tied to the run and to its document."""

    def __init__(self, child: Child, root: str, path: str) -> None:
        self._path = path
        self._run = child.identifier(root)
        super().__init__(child, DOCUMENT, self._run, "", {})
        self._tied()

    def _nest(self, activity: str, attempt: str) -> None:
        if activity != self._run:
            self.repairs["activity that nothing ties to the run: said to be a part of it"] += 1
            link = f'"yprov4wms:link":"{Link.PART_OF}"'
            self._relate("wasInformedBy", activity, attempt, link)

    def _tied(self) -> None:
        if not any(DOCUMENT in relation[1:3] for relation in self._relations):
            return
        values = {"prov:label": self._path, "prov:type": Type.BUNDLE}
        self._elements.append(("entity", DOCUMENT, attributes(values)))
        self._relations.append(("wasGeneratedBy", DOCUMENT, self._run, ""))
        self.repairs["element that nothing ties to the run: tied to its document"] += 1


def is_run(record: Record, label: str) -> None:
    """Make an activity the run."""
    record["prov:type"], record["yprov4wfs:level"] = Type.ML_RUN.value, Level.ML_RUN.value
    record.setdefault("prov:label", label)


def is_context(record: Record) -> None:
    record["prov:type"], record["yprov4wfs:level"] = Type.ML_CONTEXT.value, Level.ML_CONTEXT.value
