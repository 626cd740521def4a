"""Whether the journals of a run are as their writers left them (`yprov4wms.chain`)."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from operator import itemgetter
from typing import BinaryIO

import msgspec

from yprov4wms import chain, journal
from yprov4wms.integrity.findings import Findings
from yprov4wms.store import RunFolder


class Count(msgspec.Struct):
    """unchained: journals of versions that did not tie their lines together."""

    journals: int = 0
    events: int = 0
    unchained: int = 0


class _Head(msgspec.Struct, gc=False):
    writer: str
    seq: int
    run: str


_decode = msgspec.json.Decoder(_Head).decode


def check(folder: RunFolder, found: Findings, place: str = "") -> Count:
    """Look at each journal of a folder; ``place`` is told before their names.

    Raises OSError where one cannot be read.
    """
    count = Count()
    runs: dict[str, str] = {}
    writers: dict[str, str] = {}
    for name, lines in _journals(folder, found, place):
        one = _Journal(f"{place}events/{name}", found)
        one.read(lines)
        count.journals += 1
        count.events += one.events
        count.unchained += not one.chained and one.events > 0
        for run in one.runs:
            runs.setdefault(run, one.where)
        if one.writer not in (None, name.removesuffix(journal.SUFFIX)):
            writers[name] = one.writer or ""
    _same_run(folder, runs, found)
    for name, writer in writers.items():
        _copy(folder, name, writer, found, place)
    return count


def _same_run(folder: RunFolder, runs: dict[str, str], found: Findings) -> None:
    known = folder.run_id if folder.run_id in runs else next(iter(runs), None)
    for run, where in runs.items():
        if run != known:
            found.problem(where, f"has events of another run, {run}")


def _copy(folder: RunFolder, name: str, writer: str, found: Findings, place: str) -> None:
    """A journal under another name than its writer's: a copy, which changes nothing, or not."""
    where, original = f"{place}events/{name}", f"events/{writer}{journal.SUFFIX}"
    try:
        same = not folder.remote and folder.read(f"events/{name}") == folder.read(original)
    except OSError:
        same = False
    if same:
        found.notes.append(f"{where}: a copy of {place}{original}, which changes nothing")
    else:
        found.problem(where, f"is not the file of its writer, which is {writer}")


class _Journal:
    """Reads one journal, line by line."""

    def __init__(self, where: str, found: Findings) -> None:
        self.where = where
        self.events = 0
        self.chained = False
        self.writer: str | None = None
        self.runs: dict[str, None] = {}
        self._found = found
        self._state = 0
        self._seq = 0
        #: Numbers of lines without ``h`` since the last one that has it.
        self._loose: list[int] = []

    def read(self, lines: Iterable[bytes]) -> None:
        number = 0
        for number, line in enumerate(lines, 1):
            if not line.endswith(b"\n"):
                text = "its last line is not complete: its writer was killed, or still writes"
                self._found.notes.append(f"{self.where}: {text}")
                break
            self._line(number, line)
        if self.chained and self._loose:
            self._problem(self._loose[0], "does not tell its `h`: it was changed, or added")

    def _line(self, number: int, line: bytes) -> None:
        try:
            head = _decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            head = None
        if head is not None:
            self.events += 1
            self.runs[head.run] = None
        if self.writer is None and head is not None:
            self.writer = head.writer
        if number == 1:
            # Of a first line that is none, the name of the file tells whose it was.
            name = self.where.rpartition("/")[2].removesuffix(journal.SUFFIX)
            self._state = chain.start(head.writer if head is not None else name)
        told = chain.told(line)
        if told is None:
            self._loose.append(number)
            self._state = chain.after(line, self._state)
            if head is not None and self.chained:
                self._seq = max(self._seq, head.seq)
            elif head is not None:
                self._unchained(number, head)
            return
        sound = chain.computed(line, self._state) == told
        first = self._loose[0] if self._loose else number
        if not self.chained and len(self._loose) > 0 and self._seq:
            sound = False  # whole events stood before, which no writer leaves without
        self.chained, self._state, self._loose = True, told, []
        if not sound:
            self._problem(first, self._why(head))
        elif head is not None and head.seq > self._seq + 1:
            missing = _span(self._seq + 1, head.seq - 1)
            text = f"{missing} could not be stored when it happened: the chain is whole"
            self._found.notes.append(f"{self.where}, line {number}: {text}")
        if head is not None:
            self._seq = max(self._seq, head.seq)

    def _why(self, head: _Head | None) -> str:
        if head is not None and head.writer != self.writer:
            return f"is of another writer, {head.writer}"
        if head is not None and head.seq > self._seq + 1:
            return f"{_span(self._seq + 1, head.seq - 1)} before it was cut out"
        if head is not None and head.seq <= self._seq:
            return f"event {head.seq} stands twice, or not in its place"
        return "it was changed, or what stood before it was"

    def _unchained(self, number: int, head: _Head) -> None:
        """In a journal of an older version: what the numbers of its events tell."""
        if head.writer != self.writer:
            self._problem(number, f"is of another writer, {head.writer}")
        elif head.seq > self._seq + 1:
            missing = _span(self._seq + 1, head.seq - 1)
            self._problem(number, f"{missing} before it was cut out, or never stored")
        elif head.seq <= self._seq:
            self._problem(number, f"event {head.seq} stands twice, or not in its place")
        self._seq = max(self._seq, head.seq)

    def _problem(self, number: int, message: str) -> None:
        self._found.problem(f"{self.where}, line {number}", message)


def _span(first: int, last: int) -> str:
    return f"event {first}" if first == last else f"events {first} to {last}"


def _journals(
    folder: RunFolder, found: Findings, place: str
) -> Iterator[tuple[str, Iterable[bytes]]]:
    """Name and lines of each journal; of an object store, put together from its batches."""
    if not folder.remote:
        yield from folder.journals()
        return
    batches: dict[str, list[tuple[int, str, BinaryIO]]] = {}
    for name, file in folder.journals():
        writer, _, offset = name.removesuffix(journal.SUFFIX).rpartition("@")
        if writer and offset.isdecimal():
            batches.setdefault(writer, []).append((int(offset), name, file))
        else:
            yield name, file
    for writer, parts in batches.items():
        content = io.BytesIO()
        for start, name, file in sorted(parts, key=itemgetter(0, 1)):
            end, data = content.seek(0, io.SEEK_END), file.read()
            overlap = content.getvalue()[start : start + len(data)] if start < end else b""
            if start > end:
                found.problem(f"{place}events/{name}", f"{start - end} bytes before it are gone")
            elif not data.startswith(overlap):
                found.problem(f"{place}events/{name}", "differs from a batch that it overlaps")
            content.write(data[len(overlap) :])
        content.seek(0)
        yield writer + journal.SUFFIX, content
