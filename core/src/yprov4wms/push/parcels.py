"""What is sent: the documents of a run, as files."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from yprov4wms.events import ChildAttached
from yprov4wms.export import document
from yprov4wms.prov import rules
from yprov4wms.prov.document import combined
from yprov4wms.prov.inner import Nested
from yprov4wms.run import MLRun
from yprov4wms.store import RunFolder

#: Documents up to this size (bytes) are checked before they are sent; that needs them in memory.
CHECKED = 200_000_000
#: The key of the document that a push is of.
MAIN = "run"


@dataclass(frozen=True)
class Parcel:
    """One document to send.

    key: stands for the document in every push of this run: `MAIN`, or 64 hexadecimal digits.
    name: what it is, for people. size: bytes. parts: keys of the documents that this one links.
    """

    key: str
    name: str
    path: Path
    size: int
    sha256: str
    parts: list[str] = field(default_factory=list)


def pack(folder: RunFolder, nest: str, into: Path) -> tuple[list[Parcel], list[str]]:
    """Build the run's document in the folder ``into``, with ``link`` also those that it links.

    Returns these, the run's own first, and what there is to tell of them. Raises StoreError
    where there is no run, ValueError where a document breaks the rules.
    """
    run = document.read(folder)
    packing = _Packing(into, nest)
    if isinstance(run, MLRun):
        writer = document.build(run, folder, nest)
        packing.own(MAIN, run.id, writer.write_to)
    else:
        packing.run(MAIN, document.whole(run, folder))
    return packing.parcels, [*run.problems, *packing.notes]


class _Packing:
    def __init__(self, into: Path, nest: str) -> None:
        self._into = into
        self._nest = nest
        self._names: set[str] = set()
        self.parcels: list[Parcel] = []
        self.notes: list[str] = []

    def run(self, key: str, nested: Nested) -> None:
        parcel = self.own(key, nested.run.id, combined([nested], self._nest).write_to)
        if self._nest != "link":
            return
        for inner in nested.nested:
            # Its document changes while it goes on.
            part = hashlib.sha256(f"run {inner.run.id}".encode()).hexdigest()
            parcel.parts.append(part)
            self.run(part, inner)
        for attempt in nested.run.attempts():
            extra = nested.extra_children.get((attempt.task, attempt.key), ())
            for child in (*attempt.child_runs, *extra):
                self._child(parcel, child, nested)

    def own(self, key: str, run: str, write: Callable[[BinaryIO], object]) -> Parcel:
        """A document that is made here, and so keeps the rules."""
        path = self._into / f"{key}.json"
        with path.open("wb") as file:
            write(file)
        parcel = self._add(key, f"run {run}", path)
        if parcel.size > CHECKED:
            self.notes.append(f"{parcel.name}: above {CHECKED // 1_000_000} MB and not checked")
        elif problems := rules.check(path.read_bytes()):
            raise ValueError(
                f"the document of {parcel.name} breaks {len(problems)} rules, and nothing is "
                f"sent; the first: {problems[0].where}: {problems[0].message}"
            )
        return parcel

    def _child(self, parcel: Parcel, child: ChildAttached, nested: Nested) -> None:
        """The document of an ML run as it was collected; what two attempts name is sent once."""
        try:
            content = nested.read_child(child)
            reason = "it is gone"
        except (OSError, ValueError) as error:
            content, reason = None, str(error)
        name = f"child run {child.child}"
        if content is None:
            self.notes.append(f"{name}: its document is not sent: {reason}")
            return
        key = hashlib.sha256(content).hexdigest()
        if key not in parcel.parts:
            parcel.parts.append(key)
        if key not in self._names:
            path = self._into / f"{key}.json"
            path.write_bytes(content)
            self._add(key, name, path)

    def _add(self, key: str, name: str, path: Path) -> Parcel:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        parcel = Parcel(key, name, path, path.stat().st_size, digest)
        self.parcels.append(parcel)
        self._names.add(key)
        return parcel
