"""Ends a run that its script leaves open, with what the process died of.

What no Python code can see leaves the run without an end, as ``kill -9`` does: ``os._exit``,
and a signal with its default action, of which `yprov4wms.ml._fate` tells. Of a
``SystemExit`` that nothing catches, Python tells no hook: ``sys.exit(3)`` is seen because
it is wrapped while a run is open, but ``raise SystemExit(3)`` outside of the run's ``with``
block reads as a normal end.
"""

from __future__ import annotations

import atexit
import sys
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, NamedTuple

COMPLETED = "completed"
FAILED = "failed"
CANCELLED = "cancelled"


class Outcome(NamedTuple):
    status: str
    error: str | None = None


def outcome(error: BaseException | None) -> Outcome:
    """What an exception that ends a run says of it."""
    if error is None:
        return Outcome(COMPLETED)
    if isinstance(error, SystemExit):
        if not error.code:
            return Outcome(COMPLETED)
        return Outcome(FAILED, _text(error))
    # KeyboardInterrupt, asyncio's CancelledError, GeneratorExit: somebody wanted it to stop.
    return Outcome(FAILED if isinstance(error, Exception) else CANCELLED, _text(error))


def _text(error: BaseException) -> str:
    name = type(error).__qualname__
    try:
        message = str(error)
    except Exception:
        message = ""
    return f"{name}: {message}" if message else name


class Guard:
    """Calls ``end`` at the exit of an interpreter that still has the run open, and ``doubt``
    when it seems about to exit."""

    def __init__(self, end: Callable[[Outcome], None], doubt: Callable[[], None]) -> None:
        self._end = end
        self._doubt = doubt
        #: What the process seems to die of.
        self.dying: Outcome | None = None

    def install(self) -> None:
        self._inner_hook, self._inner_exit = sys.excepthook, sys.exit
        self._hook, self._exit = self._wrapped_hook(), self._wrapped_exit()
        sys.excepthook = self._hook
        sys.exit = self._exit
        atexit.register(self._at_exit)

    def remove(self) -> None:
        """Put back what was there, unless somebody else has wrapped it since."""
        atexit.unregister(self._at_exit)
        if sys.excepthook is self._hook:
            sys.excepthook = self._inner_hook
        if sys.exit is self._exit:
            sys.exit = self._inner_exit

    def alive(self) -> None:
        """The script goes on: what it seemed to die of was caught."""
        main = threading.main_thread()
        # A thread, or a function at exit, may well log after the main thread has died.
        if main.is_alive() and threading.current_thread() is main:
            self.dying = None

    def _at_exit(self) -> None:
        self._end(self.dying or Outcome(COMPLETED))

    def _wrapped_hook(self) -> Any:
        inner = self._inner_hook

        def excepthook(
            kind: type[BaseException], value: BaseException, traceback: TracebackType | None
        ) -> None:
            self.dying = outcome(value)
            self._doubt()
            inner(kind, value, traceback)

        return excepthook

    def _wrapped_exit(self) -> Any:
        inner = self._inner_exit

        def exit(status: Any = None, /) -> None:  # noqa: A001 - its name in tracebacks
            if threading.current_thread() is threading.main_thread():
                self.dying = outcome(SystemExit(status))
                self._doubt()
            inner(status)

        return exit
