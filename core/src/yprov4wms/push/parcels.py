"""What is sent: the documents of a run, as files."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

from yprov4wms.export import document
from yprov4wms.prov import rules
from yprov4wms.run import Run
from yprov4wms.store import RunFolder

#: Documents up to this size (bytes) are checked before they are sent; that needs them in memory.
CHECKED = 200_000_000


class Parcel(NamedTuple):
    """One document to send.

    name: what it is, for people. main: the run's own; else that of a child run. size: bytes.
    """

    name: str
    path: Path
    size: int
    sha256: str
    main: bool = False


class Packed(NamedTuple):
    """The documents of a run, its own first, and what there is to say of them."""

    parcels: list[Parcel]
    notes: list[str]


def pack(folder: RunFolder, nest: str, into: Path) -> Packed:
    """Build the run's document, with ``link`` also copies of its children's, in ``into``.

    Raises StoreError where there is no run, ValueError where the document breaks the rules.
    """
    run = document.read(folder)
    path = into / "run.json"
    with path.open("wb") as file:
        document.write_document(document.build(run, folder, nest), file, "")
    parcels = [_parcel(f"run {folder.run_id}", path, main=True)]
    notes = list(run.problems)
    if parcels[0].size > CHECKED:
        notes.append(f"the document is above {CHECKED // 1_000_000} MB and was not checked")
    elif problems := rules.check(path.read_bytes()):
        raise ValueError(
            f"the document breaks {len(problems)} rules and is not sent; the first: "
            f"{problems[0].where}: {problems[0].message} (see: yprov4wms validate)"
        )
    if nest == "link" and isinstance(run, Run):
        _pack_children(run, folder, into, parcels, notes)
    return Packed(parcels, notes)


def _pack_children(
    run: Run, folder: RunFolder, into: Path, parcels: list[Parcel], notes: list[str]
) -> None:
    """A document that two attempts name is sent once."""
    seen = set()
    for child, content in document.children(run, folder):
        if content is None:
            notes.append(f"child run {child.child}: its document cannot be read and is not sent")
            continue
        digest = hashlib.sha256(content).hexdigest()
        if digest not in seen:
            seen.add(digest)
            path = into / f"{digest}.json"
            path.write_bytes(content)
            parcels.append(_parcel(f"child run {child.child}", path))


def _parcel(name: str, path: Path, main: bool = False) -> Parcel:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Parcel(name, path, path.stat().st_size, digest, main)
