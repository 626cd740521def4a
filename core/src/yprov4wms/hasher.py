"""A background thread that computes checksums, so that an engine is never held up."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable

import msgspec

from yprov4wms.events import File, FileType
from yprov4wms.identity import ENDED, Identity


class Hasher:
    """Computes checksums in a thread of its own, in the order in which they were asked for.

    ``done`` gets a new `File` for what was submitted: of the same version, so with the same
    size and time. Where something else stands there by now, or nothing, there is a note in
    place of the checksum. ``done`` is called in the thread; what it or a checksum raises
    goes to ``on_error``.
    """

    _thread: threading.Thread | None

    def __init__(
        self, identity: Identity, on_error: Callable[[BaseException], None] | None = None
    ) -> None:
        self._identity = identity
        self._on_error = on_error
        self._reset()

    def submit(self, file: File, done: Callable[[File], None]) -> None:
        """Queue a checksum; after `close`, ``done`` is called at once, with a note."""
        self._check_process()
        with self._changed:
            closed = self._closed
            if not closed:
                self._queue.append((file, done))
                self._pending += 1
                self._changed.notify_all()
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name="yprov-hash")
                    self._thread.daemon = True
                    self._thread.start()
        if closed:
            self._give_up(file, done)

    def drain(self, timeout: float | None = None) -> bool:
        """Wait until all that was submitted is done, at most ``timeout`` seconds; True if so."""
        self._check_process()
        with self._changed:
            return self._changed.wait_for(lambda: not self._pending, timeout)

    def close(self) -> None:
        """Stop, in the middle of a file if need be; what is left gets a note."""
        self._check_process()
        with self._changed:
            self._closed = True
            left = list(self._queue)
            self._queue.clear()
            self._changed.notify_all()
        for file, done in left:
            self._give_up(file, done)
            self._finished()
        if self._thread and self._thread is not threading.current_thread():
            # Not for ever: a read from a file server that is gone does not end.
            self._thread.join(5)

    def _reset(self) -> None:
        self._process = os.getpid()
        self._changed = threading.Condition()
        self._queue: deque[tuple[File, Callable[[File], None]]] = deque()
        self._pending = 0
        self._closed = False
        self._thread = None

    def _check_process(self) -> None:
        # A forked child has not got the thread, and its copy of the lock may be held for ever.
        if self._process != os.getpid():
            self._reset()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._queue) or self._closed)
                if not self._queue:
                    return
                file, done = self._queue.popleft()
            try:
                done(_as_submitted(file, self._identity.checksum(file, lambda: self._closed)))
            except BaseException as error:
                self._report(error)
            self._finished()

    def _give_up(self, file: File, done: Callable[[File], None]) -> None:
        try:
            done(msgspec.structs.replace(file, note=ENDED))
        except BaseException as error:
            self._report(error)

    def _report(self, error: BaseException) -> None:
        if self._on_error is not None:
            try:
                self._on_error(error)
            except BaseException:
                return  # There is nobody left to tell.

    def _finished(self) -> None:
        with self._changed:
            self._pending -= 1
            self._changed.notify_all()


def _as_submitted(file: File, now: File) -> File:
    known = file.mtime_ns is not None
    if now.type is FileType.MISSING and file.type is not FileType.MISSING:
        return msgspec.structs.replace(file, note="gone before it could be read")
    if now.type is not file.type or (known and (now.size, now.mtime_ns) != _version(file)):
        return msgspec.structs.replace(file, note="changed before it could be read")
    return now


def _version(file: File) -> tuple[int | None, int | None]:
    return file.size, file.mtime_ns
