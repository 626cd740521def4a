"""The combined document of a run, built from its journal alone."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from typing import BinaryIO, cast

from yprov4wms.events import ChildAttached
from yprov4wms.ml import collect
from yprov4wms.ml import document as ml_document
from yprov4wms.prov.document import WorkflowDocument
from yprov4wms.prov.writer import ProvJsonWriter
from yprov4wms.replay import replay
from yprov4wms.run import MLRun, Run
from yprov4wms.store import RunFolder, write_atomically

Progress = Callable[[int], None]


def export(
    folder: RunFolder,
    output: str | None = None,
    nest: str = "flatten",
    progress: Progress = lambda done: None,
) -> Run | MLRun:
    """Write the document of the run in ``folder`` to ``output``, by default ``prov.json`` there.

    A suffix ``.gz`` or ``.zst`` compresses. The file appears whole or not at all, and the
    same journal gives the same bytes. Raises StoreError where ``folder`` holds no run,
    OSError where ``output`` cannot be written.
    """
    run = replay(folder)
    writer = build(run, folder, nest, progress)
    target = output or folder.document
    write_atomically(target, lambda file: write_document(writer, file, target))
    return run


def build(
    run: Run | MLRun, folder: RunFolder, nest: str, progress: Progress = lambda done: None
) -> ProvJsonWriter:
    """The records of a run, child runs included."""
    if isinstance(run, MLRun):
        return ml_document.build(run, folder)
    late = collect.late_children(folder, run)
    contents = {child.child: content for found in late.values() for child, content in found}
    extra = {key: [child for child, _ in found] for key, found in late.items()}

    def read_child(child: ChildAttached) -> bytes | None:
        return contents.get(child.child) or _kept(folder, child)

    return WorkflowDocument(run, read_child, nest, extra, progress).build()


def children(run: Run, folder: RunFolder) -> Iterator[tuple[ChildAttached, bytes | None]]:
    """The run's child runs with their documents; None for one that is gone."""
    late = collect.late_children(folder, run)
    for attempt in run.attempts():
        for child in attempt.child_runs:
            yield child, _kept(folder, child)
        yield from late.get((attempt.task, attempt.number), ())


def _kept(folder: RunFolder, child: ChildAttached) -> bytes | None:
    try:
        return folder.read(child.document.path)
    except FileNotFoundError:
        return None


def write_document(writer: ProvJsonWriter, file: BinaryIO, name: str) -> None:
    """Write to an open file, compressed as the suffix of ``name`` says."""
    if name.endswith(".gz"):
        with gzip.GzipFile(
            fileobj=file, mode="wb", filename="", mtime=0, compresslevel=6
        ) as packed:
            writer.write_to(cast("BinaryIO", packed))
    elif name.endswith(".zst"):
        import zstandard

        with zstandard.ZstdCompressor(level=3).stream_writer(file, closefd=False) as stream:
            writer.write_to(cast("BinaryIO", stream))
    else:
        writer.write_to(file)
