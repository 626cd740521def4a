"""ML runs of our own recorder: their folders, and documents that were exported from them."""

from __future__ import annotations

import io
from pathlib import Path

from yprov4wms.ml.document import build
from yprov4wms.ml.readers import ChildRun, ReadError
from yprov4wms.ml.readers.peek import beginning
from yprov4wms.prov import foreign
from yprov4wms.prov.nesting import OWN_DIALECT
from yprov4wms.prov.vocabulary import Level, Type
from yprov4wms.replay import replay
from yprov4wms.run import MLRun
from yprov4wms.store import DOCUMENT, RunFolder, StoreError


class OwnReader:
    """The run's journal is read where it lies beside the document: it knows of the end."""

    def takes(self, path: Path) -> bool:
        if path.is_dir():
            return _is_run(path)
        return b'"yprov4wms:MLRun"' in (head := beginning(path)) and b'"yprov4wms"' in head

    def read(self, path: Path, directory: Path | None = None) -> list[ChildRun]:
        if path.is_dir():
            return [_of_folder(path)]
        if path.name == DOCUMENT and _is_run(path.parent):
            return [_of_folder(path.parent)]
        return [_of_document(path)]


def _is_run(path: Path) -> bool:
    return (path / "events").is_dir()


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
