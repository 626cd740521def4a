"""Nobody waits long for a store: what touches it has so many seconds, in all."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

#: After a store took too long, a process that goes on for ever leaves it alone so many seconds.
REST = 60.0


class StoreTimeoutError(Exception):
    """The store did not answer in time."""


class Patience:
    """Runs calls in a thread that is waited for, until ``seconds`` of waiting are used up.

    A call that takes longer is left to itself: its thread is a daemon, and ends with the call.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = self._left = seconds
        self._exhausted = 0.0

    def run(self, call: Callable[[], object]) -> None:
        """Raises what the call raises, and StoreTimeoutError where it is not done in time."""
        if self._left <= 0:
            if time.monotonic() - self._exhausted < REST:
                raise StoreTimeoutError(
                    "the store has not answered before; it is left alone for now"
                )
            self._left = self._seconds
        raised: list[BaseException] = []

        def body() -> None:
            try:
                call()
            except BaseException as error:
                raised.append(error)

        thread = threading.Thread(target=body, name="yprov-store", daemon=True)
        began = time.monotonic()
        thread.start()
        thread.join(self._left)
        if thread.is_alive():
            self._left, self._exhausted = 0.0, time.monotonic()
            raise StoreTimeoutError(f"the store has not answered within {self._seconds:g} s")
        self._left -= time.monotonic() - began
        if raised:
            raise raised[0]

    def renew(self) -> None:
        """Another round begins, unless the store is being left alone."""
        if self._left > 0:
            self._left = self._seconds
