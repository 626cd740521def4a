"""The combined document of a run, built from its journal alone."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
from collections.abc import Callable, Iterator
from posixpath import normpath
from typing import BinaryIO, cast

from yprov4wms import nested
from yprov4wms.events import ChildAttached
from yprov4wms.integrity import manifest
from yprov4wms.prov.document import combined
from yprov4wms.prov.inner import ChildReader, Nested
from yprov4wms.prov.writer import ProvJsonWriter
from yprov4wms.replay import replay
from yprov4wms.run import Attempt, MLRun, Run
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
    run = read(folder)
    write(run, folder, output or folder.document, nest, progress)
    return run


def read(folder: RunFolder) -> Run | MLRun:
    """The run in ``folder``, with what was left by attempts that were killed, taken in now."""
    run = replay(folder)
    if isinstance(run, Run) and any(attempt.is_unseen for attempt in run.attempts()):
        from yprov4wms.ml import lost

        try:
            if lost.take_in(folder, run):
                return replay(folder)
        except Exception as error:  # readers are anybody's
            run.problems.append(f"child runs of killed tasks: {type(error).__name__}: {error}")
    return run


def write(
    run: Run | MLRun,
    folder: RunFolder,
    target: str,
    nest: str,
    progress: Progress = lambda done: None,
) -> None:
    """As `export`, for the run of ``folder`` that was read already.

    In its own place in the store the document has a manifest beside it.
    """
    writer = build(run, folder, nest, progress)
    write_atomically(target, lambda file: write_document(writer, file, target))
    if target == folder.document:
        manifest.write(folder)


def build(
    run: Run | MLRun, folder: RunFolder, nest: str, progress: Progress = lambda done: None
) -> ProvJsonWriter:
    """The records of a run, child runs included."""
    if isinstance(run, MLRun):
        from yprov4wms.ml import document as ml_document

        return ml_document.build(run, folder)
    return combined([whole(run, folder)], nest, progress)


def whole(run: Run, folder: RunFolder) -> Nested:
    """A run, with the runs that its attempts started, at any depth.

    What cannot be read of these is among the problems of ``run``.
    """
    return _whole(run, folder, None, "", {run.id})


def _whole(
    run: Run, folder: RunFolder, around: Attempt | None, place: str, known: set[str]
) -> Nested:
    read_child, extra = child_documents(run, folder)
    within: list[Nested] = []
    for inner in nested.inside(run, folder, known, read):
        place_of = nested.place(inner.folder, folder)
        within.append(_whole(inner.run, inner.folder, inner.around, place_of, known))
        for problem in inner.run.problems:
            nested.add_problem(run, f"run {inner.run.id}: {problem}")
    return Nested(run, folder, around, place, read_child, extra, within)


def child_documents(
    run: Run, folder: RunFolder
) -> tuple[ChildReader, dict[tuple[str, int], list[ChildAttached]]]:
    """What reads the document of a child run; and, by task and key of their attempts, those of
    which no event tells."""
    late = _late_children(folder, run)
    contents = {id(child): content for found in late.values() for child, content in found}
    extra = {key: [child for child, _ in found] for key, found in late.items()}

    def read_child(child: ChildAttached) -> bytes:
        return contents.get(id(child)) or _kept(folder, child)

    return read_child, extra


def children(run: Run, folder: RunFolder) -> Iterator[tuple[ChildAttached, bytes | None]]:
    """The run's child runs with their documents; None for one that cannot be read."""
    late = _late_children(folder, run)
    for attempt in run.attempts():
        for child in attempt.child_runs:
            try:
                yield child, _kept(folder, child)
            except (OSError, ValueError):
                yield child, None
        yield from late.get((attempt.task, attempt.key), ())


def _late_children(
    folder: RunFolder, run: Run
) -> dict[tuple[str, int], list[tuple[ChildAttached, bytes]]]:
    _sweep(folder, run)
    if not folder.may_have_ml_runs():
        return {}
    # What it imports is for runs that have any.
    from yprov4wms.ml import collect

    return collect.late_children(folder, run)


def _sweep(folder: RunFolder, run: Run) -> None:
    """Take in what attempts that nobody saw the end of left where they did not see the store."""
    for attempt in run.attempts():
        if (
            attempt.ended_line is None
            and attempt.started_line is not None
            and attempt.says(attempt.started_line, "spool")
        ):
            spool = attempt.start.spool if attempt.start else None
            with contextlib.suppress(OSError):
                folder.take_in(spool or "")


def _kept(folder: RunFolder, child: ChildAttached) -> bytes:
    """The copy of a child's document; raises OSError or ValueError where it is not that."""
    path, sha256 = normpath(child.document.path), child.document.sha256
    if path.startswith(("/", "../")):
        raise ValueError("its path leads out of the run")
    content = folder.read(path)
    if sha256 is not None and hashlib.sha256(content).hexdigest() != sha256:
        raise ValueError("the document in the store is not the one that was collected")
    return content


def write_document(writer: ProvJsonWriter, file: BinaryIO, name: str) -> None:
    """Write to an open file, compressed as the suffix of ``name`` says."""
    compressed(file, name, writer.write_to)


def compressed(file: BinaryIO, name: str, write: Callable[[BinaryIO], object]) -> None:
    """Let ``write`` fill an open file, compressed as the suffix of ``name`` says."""
    if name.endswith(".gz"):
        with gzip.GzipFile(
            fileobj=file, mode="wb", filename="", mtime=0, compresslevel=6
        ) as packed:
            write(cast("BinaryIO", packed))
    elif name.endswith(".zst"):
        import zstandard

        with zstandard.ZstdCompressor(level=3).stream_writer(file, closefd=False) as stream:
            write(cast("BinaryIO", stream))
    else:
        write(file)
