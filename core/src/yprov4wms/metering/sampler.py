"""The one thread that samples everything that is metered in this process.

It starts with the first thing to sample and ends by itself a while after the last.
"""

from __future__ import annotations

import _thread
import heapq
import itertools
import os
import threading
import time
from abc import ABC, abstractmethod

#: A first sample comes this long after the start, so that a short job costs none.
FIRST = 0.02
#: No thing that is sampled takes more than this share of one core...
_MAX_SHARE = 0.01
#: ...but a single dear sample (a library is loaded) delays the next this often at most.
_MAX_STRETCH = 10
#: A due time may pass by this much before the thread is woken for it.
_SLACK = 0.02
#: How long the thread stays with nothing to do: starting one costs more than keeping it.
_LINGER = 1.0


class Sampled(ABC):
    """Something to sample. ``due`` is the sampler's note of when."""

    due: float | None = None

    @abstractmethod
    def sample(self) -> float | None:
        """Take one sample; give the seconds until the next, or None to be left alone."""


class Sampler:
    """Calls each thing's ``sample`` when it is due."""

    def __init__(self) -> None:
        self._reset()

    def _reset(self) -> None:
        # Reentrant: a signal handler or a finalizer may start a process while it is held.
        self._lock = threading.RLock()
        self._heap: list[tuple[float, int, Sampled]] = []
        self._order = itertools.count()
        self._running = False
        self._wakes_at = 0.0
        self._alarm = threading.Lock()
        self._alarm.acquire()

    def add(self, sampled: Sampled, delay: float) -> None:
        """Sample this after ``delay`` seconds, or earlier if it is due earlier already."""
        due = time.monotonic() + delay
        with self._lock:
            if sampled.due is not None and sampled.due <= due:
                return
            self._push(sampled, due)
            if not self._running:
                self._start()
            elif due + _SLACK < self._wakes_at and self._alarm.locked():
                self._alarm.release()

    def _start(self) -> None:
        self._wakes_at = 0.0
        try:
            # One of `threading` is waited for until it runs: on a busy machine milliseconds.
            _thread.start_new_thread(self._run, ())
        except RuntimeError:
            # No more threads, or the interpreter shuts down: then nothing is sampled.
            for _, _, sampled in self._heap:
                sampled.due = None
            self._heap.clear()
        else:
            self._running = True

    def _push(self, sampled: Sampled, due: float) -> None:
        sampled.due = due
        heapq.heappush(self._heap, (due, next(self._order), sampled))

    def _run(self) -> None:
        idle_since: float | None = None
        while True:
            with self._lock:
                now = time.monotonic()
                sampled = self._pop(now)
                if sampled is None:
                    if self._heap:
                        idle_since, self._wakes_at = None, self._heap[0][0]
                    else:
                        idle_since = idle_since or now
                        self._wakes_at = idle_since + _LINGER
                        if now >= self._wakes_at:
                            self._running = False
                            return
            if sampled is None:
                self._alarm.acquire(timeout=max(0.0, self._wakes_at - now))
            else:
                self._take(sampled)

    def _pop(self, now: float) -> Sampled | None:
        while self._heap and self._heap[0][0] <= now:
            due, _, sampled = heapq.heappop(self._heap)
            if sampled.due == due:  # else it was put in again, for an earlier time
                sampled.due = None
                return sampled
        return None

    def _take(self, sampled: Sampled) -> None:
        before = time.thread_time()
        try:
            delay = sampled.sample()
        except Exception:
            # What cannot be sampled is unknown; the others go on.
            return
        if delay is not None:
            cost = time.thread_time() - before
            with self._lock:
                if sampled.due is None:
                    delay = max(delay, min(cost / _MAX_SHARE, delay * _MAX_STRETCH))
                    self._push(sampled, time.monotonic() + delay)


sampler = Sampler()

if hasattr(os, "register_at_fork"):
    # A forked child has the lists of its parent and not the thread.
    os.register_at_fork(after_in_child=sampler._reset)
