"""Compares files on disk with what a document says of them."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from itertools import islice

import msgspec

from yprov4wms.events import File, FileType
from yprov4wms.identity import Identity
from yprov4wms.integrity.expected import Expected

#: What is handed to the threads at a time: the answers come in order, and in bounded memory.
_WINDOW = 1024
_MOST_NAMES = 5
#: Engines' own marks in directories.
_MARKS = (".snakemake_timestamp",)


class State(StrEnum):
    SAME = "same"
    CHANGED = "changed"
    GONE = "gone"
    #: Gone, as the record says why.
    REMOVED = "removed"
    SKIPPED = "not looked at"


class By(StrEnum):
    """By what a file that is the same is the same, where not by its checksum."""

    SIZE_AND_TIME = "size and time"
    SIZE = "size"
    #: A directory, or a file of which nothing else is known.
    PRESENCE = "presence"


class Result(msgspec.Struct, omit_defaults=True):
    """What was found at a path. message: what differs, or why it was not looked at."""

    path: str
    state: State
    message: str | None = None
    by: By | None = None
    maker: str | None = None


def compare(
    expected: Iterable[Expected],
    *,
    cache: str | None = None,
    threads: int | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> Iterator[Result]:
    """What lies at each of the places, in their order.

    cache: a file of checksums by the files' stat, which is trusted; without it each file is
    read. threads: that read at a time, by default one for each processor, at most 8. progress
    is told how many are done.
    """
    known = list(expected)
    places = {one.place for one in known if one.place is not None}
    comparison = _Comparison(places, cache)
    waiting, done = iter(known), 0
    with ThreadPoolExecutor(threads or min(8, os.cpu_count() or 1)) as pool:
        while window := list(islice(waiting, _WINDOW)):
            for result in pool.map(comparison.result, window):
                done += 1
                progress(done)
                yield result


class _Comparison:
    def __init__(self, places: set[str], cache: str | None) -> None:
        self._places = places
        self._identity = Identity("/", cache_path=cache)

    def result(self, one: Expected) -> Result:
        state, message, by = self._state(one)
        differs = state in (State.CHANGED, State.GONE)
        return Result(one.path, state, message, by, one.maker if differs else None)

    def _state(self, one: Expected) -> tuple[State, str | None, By | None]:
        if one.skipped is not None or one.place is None:
            return State.SKIPPED, one.skipped, None
        place = _existing(one.place)
        now = self._identity.describe(place)
        if now.type is FileType.MISSING:
            known = one.gone is not None
            return (State.REMOVED, one.gone, None) if known else (State.GONE, now.note, None)
        if now.target != one.target:
            text = f"a link to {one.target}" if one.target else "no link"
            told = f"a link to {now.target}" if now.target else "no link"
            return State.CHANGED, f"it was {text}, and is {told}", None
        if one.directory:
            return self._directory(one, place, now)
        if now.type is not FileType.FILE:
            return State.CHANGED, f"it was a file, and is {_named(now)}", None
        return self._file(one, place, now)

    def _file(self, one: Expected, place: str, now: File) -> tuple[State, str | None, By | None]:
        if one.size is not None and one.size != now.size:
            return State.CHANGED, f"{now.size} bytes, and not {one.size}", None
        if one.sha256 is not None:
            now = self._identity.checksum(now)
            if now.sha256 is None:
                return State.SKIPPED, now.note or "it could not be read", None
            if now.sha256 != one.sha256:
                return State.CHANGED, _other("sha256", one.sha256, now.sha256), None
            return State.SAME, None, None
        if one.sha1 is not None:
            found = _sha1(place)
            same = found == one.sha1.removeprefix("sha1$")
            message = None if same else _other("sha1", one.sha1, found)
            return (State.SAME if same else State.CHANGED), message, None
        if one.mtime_ns is not None and one.mtime_ns != now.mtime_ns:
            return State.CHANGED, "no checksum is known, and its time is another", None
        if one.size is None:
            return State.SAME, None, By.PRESENCE
        return State.SAME, None, By.SIZE if one.mtime_ns is None else By.SIZE_AND_TIME

    def _directory(
        self, one: Expected, place: str, now: File
    ) -> tuple[State, str | None, By | None]:
        """Its members are expected by themselves; here it is those that nobody told of."""
        if now.type is not FileType.DIRECTORY:
            return State.CHANGED, f"it was a directory, and is {_named(now)}", None
        if one.members is None or one.count is None:
            return State.SAME, None, By.PRESENCE
        limit = max(1000, one.count)
        listing = Identity("/", "none", member_limit=limit, ignore=_MARKS).checksum(now)
        found = [member.path for member in listing.members or ()]
        if one.count > len(one.members):
            count = listing.member_count or len(found)
            if count != one.count:
                return State.CHANGED, f"{count} files in it, and not {one.count}", None
            return State.SAME, None, By.PRESENCE
        known = set(one.members)
        more = [
            name
            for name in found
            if name not in known and os.path.normpath(f"{one.place}/{name}") not in self._places
        ]
        if more:
            names = ", ".join(more[:_MOST_NAMES]) + (", ..." if len(more) > _MOST_NAMES else "")
            return State.CHANGED, f"files in it that nothing tells of: {names}", None
        return State.SAME, None, By.PRESENCE


def _named(file: File) -> str:
    return "a directory" if file.type is FileType.DIRECTORY else f"a {file.type}"


def _other(kind: str, was: str, found: str) -> str:
    return f"{kind} {found[:16]}..., and not {was.removeprefix('sha1$')[:16]}..."


def _sha1(place: str) -> str:
    try:
        # What became a pipe meanwhile is not waited for.
        descriptor = os.open(place, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        with open(descriptor, "rb") as file:  # noqa: PTH123
            return hashlib.file_digest(file, "sha1").hexdigest()
    except OSError as error:
        return f"({error.strerror})"


def _existing(place: str) -> str:
    """The place; of a name that is no UTF-8 and is recorded with ``%XX`` for the odd bytes, the
    name that it has on disk."""
    if "%" not in place or os.path.lexists(place):
        return place
    odd = re.sub(rb"%([89A-F][0-9A-F])", lambda match: bytes([int(match[1], 16)]), place.encode())
    found = os.fsdecode(odd)
    return found if os.path.lexists(found) else place
