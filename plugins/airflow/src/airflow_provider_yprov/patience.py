"""Nobody waits long for a store: what touches it has so many seconds, in all."""

from __future__ import annotations

import _thread
import time
from collections.abc import Callable
from queue import SimpleQueue

#: After a store took too long, a process that goes on for ever leaves it alone so many seconds.
REST = 60.0


class StoreTimeoutError(Exception):
    """The store did not answer in time."""


class Patience:
    """Runs calls in a thread that is waited for, until ``seconds`` of waiting are used up.

    A call that takes longer is left to itself. The thread ends with `rest`, or when the process
    does. It is one of `_thread`, and is fed by a queue: on a busy machine a thread of
    `threading`, whose start is waited for, takes milliseconds, and this one 20 us.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = self._left = seconds
        self._exhausted = 0.0
        self._calls: SimpleQueue[_Call | None] | None = None

    def run(self, call: Callable[[], object]) -> None:
        """Raises what the call raises, and StoreTimeoutError where it is not done in time."""
        if self._left <= 0:
            if time.monotonic() - self._exhausted < REST:
                raise StoreTimeoutError("the store did not answer before: left alone")
            self._left = self._seconds
        if self._calls is None:
            self._calls = SimpleQueue()
            _thread.start_new_thread(_work, (self._calls,))
        wanted = _Call(call)
        began = time.monotonic()
        self._calls.put(wanted)
        if not wanted.done.acquire(timeout=self._left):
            self._left, self._exhausted = 0.0, time.monotonic()
            self._calls = None  # whoever hangs there hangs alone
            raise StoreTimeoutError(f"the store has not answered within {self._seconds:g} s")
        self._left -= time.monotonic() - began
        if wanted.raised is not None:
            raise wanted.raised

    def renew(self) -> None:
        """Another round begins, unless the store is being left alone."""
        if self._left > 0:
            self._left = self._seconds

    def rest(self) -> None:
        """Nothing is to be run for now: the thread ends."""
        if self._calls is not None:
            self._calls.put(None)
            self._calls = None


class _Call:
    """One call, and what became of it."""

    __slots__ = ("call", "done", "raised")

    def __init__(self, call: Callable[[], object]) -> None:
        self.call = call
        self.done = _thread.allocate_lock()
        self.done.acquire()
        self.raised: BaseException | None = None


def _work(calls: SimpleQueue[_Call | None]) -> None:
    while (wanted := calls.get()) is not None:
        try:
            wanted.call()
        except BaseException as error:
            wanted.raised = error
        wanted.done.release()
