"""What ``yprov4wms verify`` tells of a run or of a document."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Iterator

import msgspec

from yprov4wms.events import File, FileType
from yprov4wms.export import document
from yprov4wms.integrity import record as records
from yprov4wms.integrity.expected import Expected, expected
from yprov4wms.integrity.files import By, Result, State, compare
from yprov4wms.integrity.findings import Problem
from yprov4wms.prov.rules import load
from yprov4wms.replay import replay
from yprov4wms.run import MLRun, Run
from yprov4wms.store import RunFolder, StoreError

Progress = Callable[[int], None]


class Files(msgspec.Struct):
    """same: how many; by: of these, how many by less than their checksum. The others are named:
    what is changed, gone, removed as the record says, or was not looked at."""

    same: int = 0
    by: dict[By, int] = {}
    changed: list[Result] = []
    gone: list[Result] = []
    removed: list[Result] = []
    skipped: list[Result] = []


class Verified(msgspec.Struct):
    """name: of the run or document. record: None of a document alone. files: None where they
    were not looked at. problems: of the record."""

    name: str
    problems: list[Problem]
    notes: list[str]
    record: records.Record | None = None
    files: Files | None = None
    same: bool = True

    def lines(self, most: int | None = None) -> Iterator[str]:
        """For people; of each kind at most so many."""
        yield self.name
        if self.record is not None:
            yield from _record_lines(self.record)
        if self.files is not None:
            yield f"files: {_counts(self.files)}"
            for state in ("changed", "gone"):
                found = getattr(self.files, state)
                yield from _most((f"{state}: {_told(one)}" for one in found), len(found), most)
        shown = (f"record: {problem.where}: {problem.message}" for problem in self.problems)
        yield from _most(shown, len(self.problems), most)
        yield from _most((f"note: {note}" for note in self.notes), len(self.notes), most)
        yield "all is the same" if self.same else "something differs"


def verify_run(
    folder: RunFolder,
    directory: str | None = None,
    files: bool = True,
    cache: str | None = None,
    seal: str | None = None,
    progress: Progress = lambda done: None,
) -> Verified:
    """Look at the record of a run, and at its files as the record knows them.

    directory: where the run's directory is now, if not where it was. cache: see `compare`.
    seal: what the sha256 of the manifest should be. Nothing of the record is changed.

    Raises StoreError where ``folder`` holds no run, OSError where it cannot be read.
    """
    try:
        run = replay(folder)
    except StoreError:
        lost = records.unreadable(folder)
        if not lost.problems:
            raise
        named = f"run {folder.run_id}: {folder.location}"
        return _concluded(Verified(named, lost.problems, lost.notes))
    spool = io.BytesIO()
    document.build(run, folder, records.MODES[0]).write_to(spool)
    content = spool.getvalue()
    record = records.check(folder, run, content)
    found = record.findings
    if seal is not None and record.seal != seal.strip().lower():
        found.problem("manifest.json", f"its seal is {record.seal or 'not there'}, and not {seal}")
    named = f"run {run.id}: {folder.location}"
    result = Verified(named, found.problems, found.notes, record)
    result.notes.extend(f"cannot be read: {problem}" for problem in run.problems[:10])
    if files:
        known = expected(content, directory)
        _add_times(known, run)
        result.files = _compared(known, cache, progress)
    return _concluded(result)


def verify_document(
    path: str, directory: str | None = None, progress: Progress = lambda done: None
) -> Verified:
    """Look at the files that a document names.

    directory: where the run's directory is now; else where the document says that it was.
    Raises OSError where it cannot be read, ValueError where it is no document.
    """
    try:
        known = expected(load(path), directory)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    result = Verified(f"document {path}", [], [])
    result.files = _compared(known, None, progress)
    return _concluded(result)


def _compared(known: list[Expected], cache: str | None, progress: Progress) -> Files:
    files, by = Files(), Counter[By]()
    folders = {one.path: one for one in known if one.directory}
    lost: set[str] = set()
    for result in compare(known, cache=cache, progress=progress):
        if result.state is State.SAME:
            files.same += 1
            if result.by is not None:
                by[result.by] += 1
            continue
        place = {
            State.CHANGED: files.changed,
            State.GONE: files.gone,
            State.REMOVED: files.removed,
            State.SKIPPED: files.skipped,
        }[result.state]
        place.append(result)
        if result.state is State.GONE and result.path in folders:
            lost.add(result.path)
    for result in files.gone:
        if any(result.path.startswith(f"{folder}/") for folder in lost):
            result.message = "with its directory"
    files.by = dict(by)
    return files


def _add_times(known: list[Expected], run: Run | MLRun) -> None:
    """When files without a checksum were changed last: only events tell."""
    if isinstance(run, MLRun) or all(one.sha256 or one.skipped for one in known):
        return
    times = {(file.path, file.size): file.mtime_ns for file in _files(run) if not file.sha256}
    for one in known:
        if one.sha256 is None:
            one.mtime_ns = times.get((one.path, one.size))


def _files(run: Run) -> Iterator[File]:
    yield from run.start.files or ()
    for attempt in run.attempts():
        start, end = attempt.start, attempt.end
        for file in (*((start and start.inputs) or ()), *((end and end.outputs) or ())):
            if file.type is FileType.FILE:
                yield file


def _concluded(result: Verified) -> Verified:
    files = result.files
    result.same = not (result.problems or (files and (files.changed or files.gone)))
    return result


def _record_lines(record: records.Record) -> Iterator[str]:
    count = record.journals
    whole = "whole" if not record.findings.problems else "see below"
    kept = f", {record.kept} files kept with them" if record.kept else ""
    yield f"journals: {count.journals} with {count.events} events{kept}: {whole}"
    if record.nest is not None:
        yield f"document: what the record gives (--nest {record.nest})"
    if record.seal is not None:
        yield f"seal: {record.seal}"


def _counts(files: Files) -> str:
    by = ", ".join(f"{count} by {kind} alone" for kind, count in sorted(files.by.items()))
    told = [f"{files.same} same" + (f" ({by})" if by else "")]
    told += [f"{len(files.changed)} changed", f"{len(files.gone)} gone"]
    for results, verb in ((files.removed, "removed"), (files.skipped, "not looked at")):
        if results:
            why = Counter(result.message for result in results)
            reasons = ", ".join(f"{count} {reason}" for reason, count in why.most_common(4))
            told.append(f"{len(results)} {verb} ({reasons})")
    return ", ".join(told)


def _told(result: Result) -> str:
    message = f": {result.message}" if result.message else ""
    maker = f" (made by {result.maker})" if result.maker else ""
    return f"{result.path}{message}{maker}"


def _most(lines: Iterator[str], count: int, most: int | None) -> Iterator[str]:
    for number, line in enumerate(lines):
        if most is not None and number >= most:
            yield f"... and {count - most} more (--all)"
            return
        yield line
