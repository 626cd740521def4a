"""The events of one ML run on their way to disk, and what becomes of those that fail."""

from __future__ import annotations

import sys
import threading
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from yprov4wms import journal
from yprov4wms.masking import Masker
from yprov4wms.ml._checks import one_line
from yprov4wms.ml._values import encode

#: `yprov4wms.events.VERSION`, whose module costs too much to import in a training process.
VERSION = 1


class RecordingWarning(UserWarning):
    """Something of an ML run could not be recorded."""


class EventLog:
    """Writes events as dictionaries of their fields. Never raises; `failures` counts.

    lock: held while anything of the run is written; its user may hold it for longer.
    """

    def __init__(self, run_id: str, title: str, masker: Masker) -> None:
        self.lock = threading.RLock()
        self.failures = 0
        self.run_id = run_id
        self._title = title
        self._masker = masker
        self._journal: journal.Journal | None = None
        self._seq = 0
        self._time = ""
        self._contexts: set[str] = set()
        self.writer = ""
        self._noted: dict[str, dict[str, Any] | None] = {}

    @property
    def is_open(self) -> bool:
        return self._journal is not None

    def open(self, events: str) -> None:
        """Open a journal; without one nothing is written. Raises what the store raises."""
        self._journal = journal.open_journal(events, journal.LATER)
        self.writer = self._journal.writer

    def claim(self) -> None:
        """Hold a lock for as long as this process lives, by which others know that it does."""
        if isinstance(self._journal, journal.LocalJournal):
            self._journal.claim()

    def begin_context(self, context: str, parent: str | None = None) -> None:
        """Tell of a context that is new."""
        with self.lock:
            if context not in self._contexts:
                self._contexts.add(context)
                event = {"kind": "ml-context-started", "context": context}
                self.write(parent, event if parent is None else {**event, "parent": parent})

    def write(self, context: str | None, *batch: dict[str, Any]) -> bool:
        """Put events on disk in one write, after the start of a context that is new.

        False where they were not stored.
        """
        with self.lock:
            if self._journal is None:
                return False
            new = context is not None and context not in self._contexts
            if new:
                batch = ({"kind": "ml-context-started", "context": context}, *batch)
            try:
                self._journal.append(*self._lines(self._journal.writer, batch))
            except Exception as error:
                self.failed("writing an event", error)
                return False
            if new and context is not None:
                self._contexts.add(context)
            return True

    def _lines(self, writer: str, batch: Iterable[dict[str, Any]]) -> Iterator[bytes]:
        # Never back, whatever the clock does: a file's order is that of its times.
        now = datetime.now(UTC).isoformat(timespec="microseconds")
        self._time = moment = max(now, self._time)
        for event in batch:
            self._seq += 1
            head = {
                "kind": event["kind"],
                "v": VERSION,
                "time": moment,
                "writer": writer,
                "seq": self._seq,
                "run": self.run_id,
            }
            yield self._masker.mask_line(encode({**head, **event}))

    def masked(self, text: str) -> str:
        """The text without secrets, as it stands in events."""
        return self._masker.text(text)

    def close(self, last: dict[str, Any]) -> None:
        """Write the last event, after the failures that are not stored yet, and close."""
        with self.lock:
            late = [event for event in self._noted.values() if event is not None]
            self.write(None, *late, last)
            if self._journal is not None:
                with self.guarded("closing the journal"):
                    self._journal.sync()
                    self._journal.close()
                self._journal = None

    @contextmanager
    def guarded(self, where: str) -> Iterator[None]:
        """Swallow what the body raises, and count it as a failure of recording."""
        try:
            yield
        except Exception as error:
            self.failed(where, error)

    def failed(self, where: str, error: BaseException) -> None:
        """Warn of the first failure; the record tells of the first of each kind."""
        text = one_line(error)
        with self.lock:
            self.failures += 1
            first = self.failures == 1
            if where not in self._noted:
                event = {"kind": "recorder-failed", "where": where, "error": text}
                self._noted[where] = event
                if where != "writing an event" and self.write(None, event):
                    self._noted[where] = None
        if first:
            text = self.masked(
                f"the record of ML run {self._title} is incomplete ({where}: {text})"
            )
            warn(text)


def warn(text: str) -> None:
    """A RecordingWarning at the line of the script that called this package."""
    text = f"yprov: {text}"
    try:
        warnings.warn(text, RecordingWarning, stacklevel=_depth())
    except RecordingWarning:
        # Warnings are errors here; a failure of recording still does not stop a training.
        sys.stderr.write(f"{text}\n")


def _depth() -> int:
    """The stack level, seen from `warn`, of the first frame outside of this package."""
    level, frame = 1, sys._getframe(1)
    inside = (__name__.rpartition(".")[0], "contextlib")
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith(inside):
        level, frame = level + 1, frame.f_back
    return level
