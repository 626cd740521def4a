"""ML runs of our own recorder: their folders in a store, those that a script had for what it
made (``provenance_save_dir``), and documents that were exported from them."""

from __future__ import annotations

import contextlib
import io
import os
import re
from pathlib import Path

import msgspec

from yprov4wms.ml._artifacts import MARK
from yprov4wms.ml.document import build
from yprov4wms.ml.readers import ChildRun, ReadError
from yprov4wms.ml.readers.peek import is_own_document, is_own_folder, own_document
from yprov4wms.prov import foreign
from yprov4wms.prov.nesting import OWN_DIALECT
from yprov4wms.prov.vocabulary import Level, Type
from yprov4wms.replay import replay
from yprov4wms.run import MLRun
from yprov4wms.store import DOCUMENT, RunFolder, StoreError

_NAMED = re.compile(r".+_\d+")


class _Mark(msgspec.Struct):
    """What `yprov4wms.ml` leaves in a folder for what a run makes."""

    run: str
    folder: str


class OwnReader:
    """The run's journal is read where it lies beside the document, or where that is told: it
    knows of the end."""

    def takes(self, path: Path) -> bool:
        if path.is_dir():
            return _is_run(path) or is_own_folder(path) or bool(_folders(path))
        return is_own_document(path)

    def read(self, path: Path, directory: Path | None = None) -> list[ChildRun]:
        if not path.is_dir():
            if path.name == DOCUMENT and _is_run(path.parent):
                return [_of_folder(path.parent)]
            return [_of_document(path)]
        if _is_run(path):
            return [_of_folder(path)]
        if is_own_folder(path):
            return [_of_products(path)]
        found = [_of_products(folder) for folder in _folders(path)]
        # Beside them may be runs of yProv4ML itself, which names its folders so.
        from yprov4wms.ml.readers.yprov4ml import READER as YPROV4ML

        return found + (YPROV4ML.read(path, directory) if YPROV4ML.takes(path) else [])


def _is_run(path: Path) -> bool:
    return (path / "events").is_dir()


def _folders(path: Path) -> list[Path]:
    """Folders of runs of ours right under a folder."""
    with os.scandir(path) as entries:
        named = sorted(entry.path for entry in entries if _NAMED.fullmatch(entry.name))
    return [folder for folder in map(Path, named) if folder.is_dir() and is_own_folder(folder)]


def _of_products(path: Path) -> ChildRun:
    """By the record that the folder tells of, where that can be read here, else its document."""
    document, told = own_document(path), None
    with contextlib.suppress(OSError, msgspec.MsgspecError):
        told = msgspec.json.decode((path / MARK).read_bytes(), type=_Mark)
    if told is not None and _is_run(Path(told.folder)):
        with contextlib.suppress(ReadError, OSError):
            found = _of_folder(Path(told.folder))
            if found.id == told.run:
                return msgspec.structs.replace(found, sources=(str(document or path),))
    if document is None:
        raise ReadError("the run that it is of has left no document here, nor a record in a store")
    return _of_document(document)


def _of_folder(path: Path) -> ChildRun:
    folder = RunFolder(str(path))
    try:
        run = replay(folder)
    except StoreError as error:
        raise ReadError(str(error)) from error
    if not isinstance(run, MLRun):
        raise ReadError("the record of a workflow's run, not of an ML run")
    spool = io.BytesIO()
    build(run, folder, str(path)).write_to(spool)
    return ChildRun(
        dialect=OWN_DIALECT,
        id=run.id,
        content=spool.getvalue(),
        complete=run.end is not None,
        began=run.start.time or None,
        ended=(run.end.time or None) if run.end else None,
        sources=(str(path),),
    )


def _of_document(path: Path) -> ChildRun:
    content = path.read_bytes()
    try:
        records = foreign.read(content)
    except ValueError as error:
        raise ReadError(f"not a PROV-JSON document: {error}") from error
    for activity in records.elements["activity"].values():
        run, kind = activity.get("yprov:run_id"), activity.get("prov:type")
        is_run = kind == Type.ML_RUN and activity.get("yprov4wfs:level") == Level.ML_RUN
        if is_run and isinstance(run, str):
            ended = foreign.time(activity.get("prov:endTime"))
            return ChildRun(
                dialect=OWN_DIALECT,
                id=run,
                content=content,
                complete=ended is not None,
                began=foreign.time(activity.get("prov:startTime")),
                ended=ended,
                sources=(str(path),),
            )
    raise ReadError("no document of an ML run: none of its activities is one")


READER = OwnReader()
