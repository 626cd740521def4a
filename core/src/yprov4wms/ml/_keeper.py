"""A thread that does small things at intervals while a run is open."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Keeper:
    """failed: is told what a task raised, which is done again all the same."""

    def __init__(self, failed: Callable[[str, Exception], None]) -> None:
        self._failed = failed
        self._tasks: list[tuple[float, float, Callable[[], object]]] = []
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def every(
        self, seconds: float, task: Callable[[], object], *, first: float | None = None
    ) -> None:
        """To be called before the thread runs on, by the thread that made this.

        first: after so many seconds; else after as many as from then on.
        """
        self._tasks.append((seconds if first is None else first, seconds, task))
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="yprov-keeper", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """No task is done any more when this returns, but for one that takes long."""
        self._stopped.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(5.0)

    def _run(self) -> None:
        due: dict[int, float] = {}
        wait = 0.0
        while not self._stopped.wait(wait):
            now = time.monotonic()
            for index, (first, seconds, task) in enumerate(list(self._tasks)):
                if now < due.setdefault(index, now + first):
                    continue
                # Not once for each that was missed, where a training held the interpreter.
                due[index] = max(due[index] + seconds, now)
                try:
                    task()
                except Exception as error:
                    if not self._stopped.is_set():
                        self._failed("in the background", error)
            now = time.monotonic()
            wait = max(min((moment - now for moment in due.values()), default=1.0), 0.0)
