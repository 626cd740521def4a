"""``manifest.json`` in a run's folder: what the record was when its document was built.

It has the size and the sha256 of the document and of each journal, so that what no journal can
tell of itself is seen: that its end, or the whole of it, was taken away. Journals may have grown
since. Who keeps the sha256 of the manifest elsewhere, its *seal*, has evidence of all of that.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from typing import BinaryIO

import msgspec

from yprov4wms import journal
from yprov4wms.integrity.findings import Findings
from yprov4wms.store import DOCUMENT, RunFolder, write_atomically

NAME = "manifest.json"
_BLOCK = 1 << 20


class Entry(msgspec.Struct, omit_defaults=True):
    """sha256: absent for an object of a store at a URL, which is not read for it."""

    size: int
    sha256: str | None = None


class Manifest(msgspec.Struct):
    run: str
    document: Entry
    journals: dict[str, Entry] = {}


def write(folder: RunFolder) -> None:
    """Note what the folder's document and journals are now. Raises OSError."""
    found = Manifest(folder.run_id, _entry(folder, DOCUMENT), dict(_journals(folder)))
    content = msgspec.json.format(msgspec.json.encode(found, order="sorted"), indent=1) + b"\n"
    write_atomically(f"{folder.location}/{NAME}", lambda file: file.write(content))


def seal(folder: RunFolder) -> str | None:
    """The sha256 of the manifest; None where there is none."""
    try:
        return hashlib.sha256(folder.read(NAME)).hexdigest()
    except FileNotFoundError:
        return None


def sha256(folder: RunFolder, name: str) -> str:
    """Of a file of the folder; raises FileNotFoundError."""
    with _open(folder, name) as file:
        return _digest(file)


def check(folder: RunFolder, found: Findings) -> bool | None:
    """Whether the document is the one that the manifest names; what else differs from it is
    told in ``found``. None where there is no manifest, or none that can be read.

    Raises OSError where the store cannot be read.
    """
    try:
        known = msgspec.json.decode(folder.read(NAME), type=Manifest)
    except FileNotFoundError:
        text = "no manifest: that the end of a journal or a whole one was cut would not be seen"
        found.notes.append(text)
        return None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        found.problem(NAME, f"is no manifest: {error}")
        return None
    if known.run != folder.run_id:
        found.problem(NAME, f"is of another run, {known.run}")
        return None
    _check_journals(folder, known, found)
    try:
        return sha256(folder, DOCUMENT) == known.document.sha256
    except FileNotFoundError:
        found.problem(DOCUMENT, "is gone")
        return None


def _check_journals(folder: RunFolder, known: Manifest, found: Findings) -> None:
    there = dict(_sizes(folder))
    for name, entry in known.journals.items():
        size = there.get(name)
        if not _is_journal(name) or size is None:
            found.problem(name, "is gone")
        elif size < entry.size:
            found.problem(name, f"was cut: it has {size} bytes, and had {entry.size}")
        elif entry.sha256 is not None:
            with _open(folder, name) as file:
                if _digest(file, entry.size) != entry.sha256:
                    found.problem(name, "is not what it was when the document was built")


def _is_journal(name: str) -> bool:
    """Names are what the file says: they lead nowhere else."""
    parts = name.split("/")
    return "events" in parts and not {"", ".", ".."} & {*parts}


def _journals(folder: RunFolder) -> Iterator[tuple[str, Entry]]:
    for name, size in _sizes(folder):
        if folder.remote:
            yield name, Entry(size)
            continue
        with _open(folder, name) as file:
            # What is appended meanwhile comes later.
            yield name, Entry(size, _digest(file, size))


def _sizes(folder: RunFolder) -> Iterator[tuple[str, int]]:
    """Name, from the run's folder, and size of each journal; those of ML runs included."""
    if folder.remote:
        fs = journal.filesystem(folder.events)
        for name, size in sorted(journal.objects(fs, folder.events)):
            yield f"events/{name}", size
        return
    for place in ("", *nested(folder)):
        base = f"{folder.location}/{place}events"
        for name in sorted(os.listdir(base)) if os.path.isdir(base) else ():  # noqa: PTH112, PTH208
            if name.endswith(journal.SUFFIX):
                yield f"{place}events/{name}", os.stat(f"{base}/{name}").st_size  # noqa: PTH116


def nested(folder: RunFolder) -> Iterator[str]:
    """Where the ML runs of task attempts are, from the run's folder, each with a slash."""
    for around in sorted(folder.with_ml_runs()):
        for run in folder.subfolders(around):
            yield f"{around}/{run.run_id}/"


def _entry(folder: RunFolder, name: str) -> Entry:
    with _open(folder, name) as file:
        sha256 = _digest(file)
        return Entry(file.tell(), sha256)


def _open(folder: RunFolder, name: str) -> BinaryIO:
    path = f"{folder.location}/{name}"
    if folder.remote:
        remote: BinaryIO = journal.filesystem(path).open(path, "rb")
        return remote
    return open(path, "rb")  # noqa: PTH123


def _digest(file: BinaryIO, size: int | None = None) -> str:
    """The sha256 of the file, or of its first ``size`` bytes."""
    found, left = hashlib.sha256(), size
    while block := file.read(_BLOCK if left is None else min(_BLOCK, left)):
        found.update(block)
        left = None if left is None else left - len(block)
    return found.hexdigest()
