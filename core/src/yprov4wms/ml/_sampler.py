"""A thread that takes samples while a run is open, apart from what writes them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

#: Seconds that the end of a run waits for a sample that is being taken.
_PATIENCE = 2.0
#: No last sample is taken where one takes longer than this.
_QUICK = 0.5


class Sampler:
    """Takes a sample at once, one each interval, and the last when it is stopped.

    failed: is told what ``sample`` raised, which is called again all the same.
    """

    def __init__(
        self, seconds: float, sample: Callable[[], object], failed: Callable[[str, Exception], None]
    ) -> None:
        self._seconds = seconds
        self._sample = sample
        self._failed = failed
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="yprov-sampler", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Returns when the last sample is taken, or two seconds later where that takes long."""
        self._stopped.set()
        if self._thread is not threading.current_thread():
            self._thread.join(_PATIENCE)

    def _run(self) -> None:
        due = time.monotonic()
        while True:
            took = self._once()
            # Not once for each that was missed, where a training held the interpreter.
            due = max(due + self._seconds, time.monotonic())
            if self._stopped.wait(due - time.monotonic()):
                break
        if took < _QUICK:
            self._once()

    def _once(self) -> float:
        """How long it took, in seconds."""
        began = time.monotonic()
        try:
            self._sample()
        except Exception as error:
            if not self._stopped.is_set():
                self._failed("sampling in the background", error)
        return time.monotonic() - began
