"""Whether the record of a run, all that lies in its folder, is as it was left."""

from __future__ import annotations

import contextlib
import hashlib
import zlib
from collections.abc import Iterator
from posixpath import normpath
from typing import BinaryIO, cast

import msgspec

from yprov4wms.events import File
from yprov4wms.export import document
from yprov4wms.integrity import journals, manifest
from yprov4wms.integrity.findings import Findings
from yprov4wms.ml import metrics
from yprov4wms.ml._series import FOLDER, HEADER, MARK, SUFFIX
from yprov4wms.prov.writer import ProvJsonWriter
from yprov4wms.replay import replay
from yprov4wms.run import MLRun, Run
from yprov4wms.store import DOCUMENT, RunFolder, StoreError

_AGAIN = "or built by another version, with other options; yprov4wms export builds it again"
MODES = ("flatten", "bundle", "link")


class Record(msgspec.Struct):
    """What was found of a run's record.

    nest: how the child runs stand in the document that the record gives; None where the
    document in the folder is another, or there is none. seal: sha256 of the manifest.
    kept: files of the folder that an event names with their checksum.
    """

    findings: Findings
    journals: journals.Count
    kept: int = 0
    nest: str | None = None
    seal: str | None = None


def check(folder: RunFolder, run: Run | MLRun, content: bytes) -> Record:
    """Look at journals, manifest, copies of child documents, metrics and the document.

    content: the document that the record gives, its child runs flattened.

    Raises OSError where the store cannot be read.
    """
    found = Findings()
    record = Record(found, journals.check(folder, found), seal=manifest.seal(folder))
    for place in manifest.nested(folder):
        one = RunFolder(f"{folder.location}/{place}".rstrip("/"))
        more = journals.check(one, found, place)
        for name in more.__struct_fields__:
            setattr(record.journals, name, getattr(record.journals, name) + getattr(more, name))
    if record.journals.unchained:
        text = f"{record.journals.unchained} journals of an older version: a changed line in"
        found.notes.append(f"{text} them is not seen")
    untouched = manifest.check(folder, found)
    for file in _named(folder, run):
        record.kept += 1
        _check_kept(folder, file, found)
    for place, ml_run in _ml_runs(folder, run):
        for path in _unfinished(ml_run):
            _check_blocks(folder, place, path, found)
    record.nest = _check_document(folder, run, content, untouched, found)
    return record


def unreadable(folder: RunFolder) -> Findings:
    """What is wrong with a record that tells of no run any more."""
    found = Findings()
    journals.check(folder, found)
    if manifest.seal(folder) is not None:
        manifest.check(folder, found)
    return found


def _ml_runs(folder: RunFolder, run: Run | MLRun) -> Iterator[tuple[str, MLRun]]:
    """The ML runs in the folder, each with where it lies there."""
    if isinstance(run, MLRun):
        yield "", run
        return
    for place in manifest.nested(folder):
        with contextlib.suppress(StoreError):  # of a process that was killed before its first event
            one = replay(RunFolder(f"{folder.location}/{place}".rstrip("/")))
            if isinstance(one, MLRun):
                yield place, one


def _named(folder: RunFolder, run: Run | MLRun) -> Iterator[File]:
    """Files in the run's folder that events name with their checksums."""
    if isinstance(run, Run):
        if run.start.packed is not None:
            yield run.start.packed
        children = (child for attempt in run.attempts() for child in attempt.child_runs)
        yield from {child.document.path: child.document for child in children}.values()
    for place, one in _ml_runs(folder, run):
        told = [rank.end.metrics for rank in one.ranks if rank.end is not None]
        told += [code.diff for code in one.codes]
        for file in told:
            if file is not None:
                yield msgspec.structs.replace(file, path=place + file.path)


def _check_kept(folder: RunFolder, file: File, found: Findings) -> None:
    path = normpath(file.path)
    if path.startswith(("/", "..")):
        found.problem(file.path, "lies outside of the run's folder")
        return
    content = _content(folder, path)
    if content is None:
        found.problem(path, "is gone")
    elif file.sha256 is not None and hashlib.sha256(content).hexdigest() != file.sha256:
        found.problem(path, "is not what it was: its sha256 is another")
    elif file.sha256 is None and file.size is not None and len(content) != file.size:
        found.problem(path, f"is not what it was: {len(content)} bytes instead of {file.size}")


def _content(folder: RunFolder, path: str) -> bytes | None:
    head, _, name = path.rpartition(f"{FOLDER}/")
    if name.endswith(SUFFIX):
        # What a writer has not sent yet lies on its host.
        around = RunFolder(f"{folder.location}/{head}".rstrip("/"))
        return metrics.content(around, f"{FOLDER}/{name}")
    try:
        return folder.read(path)
    except FileNotFoundError:
        return None


def _unfinished(run: MLRun) -> set[str]:
    """Files of metrics of which no event has the checksum: their writers did not end."""
    told = {rank.end.metrics.path for rank in run.ranks if rank.end and rank.end.metrics}
    return {metric.path for metric in run.metrics} - told


def _check_blocks(folder: RunFolder, place: str, path: str, found: Findings) -> None:
    """Each block has a checksum; the last one may have been cut by the end of its writer."""
    content, at = _content(folder, place + path) or b"", 0
    while at + HEADER.size <= len(content):
        mark, length, checksum, count = HEADER.unpack_from(content, at)
        body = content[at + HEADER.size : at + HEADER.size + length]
        if mark == MARK and len(body) < length:
            return
        if mark != MARK or zlib.crc32(body, count) != checksum:
            found.problem(place + path, f"its block at byte {at} was changed")
            return
        at += HEADER.size + length


def _check_document(
    folder: RunFolder,
    run: Run | MLRun,
    content: bytes,
    untouched: bool | None,
    found: Findings,
) -> str | None:
    """How the child runs stand in it, if it is what the record gives, byte for byte."""
    try:
        sha256 = manifest.sha256(folder, DOCUMENT)
    except FileNotFoundError:
        if untouched is None:
            found.notes.append("the document is not built (yprov4wms export)")
        return None
    if hashlib.sha256(content).hexdigest() == sha256:
        return MODES[0]
    for nest in MODES[1:] if isinstance(run, Run) else ():
        if _digest(document.build(run, folder, nest)) == sha256:
            return nest
    if untouched:
        text = f"{DOCUMENT}: is as it was built, and not what the record gives now: the record"
        found.notes.append(f"{text} went on since, {_AGAIN}")
    else:
        text = "is not what the record gives: it was changed, or is older,"
        found.problem(DOCUMENT, f"{text} {_AGAIN}")
    return None


class _Hash:
    """What a document is written to, for its checksum alone."""

    def __init__(self) -> None:
        self.sha256 = hashlib.sha256()

    def write(self, content: bytes) -> int:
        self.sha256.update(content)
        return len(content)


def _digest(writer: ProvJsonWriter) -> str:
    found = _Hash()
    writer.write_to(cast("BinaryIO", found))
    return found.sha256.hexdigest()
