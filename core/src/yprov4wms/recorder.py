"""What an adapter calls. A failure in here is one warning, and the workflow goes on."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

import msgspec

from yprov4wms import candidates, events, journal
from yprov4wms.events import File, FileType, Status
from yprov4wms.hasher import Hasher
from yprov4wms.identity import Identity
from yprov4wms.masking import Masker, declared_from_environment
from yprov4wms.plain import plain
from yprov4wms.settings import Settings
from yprov4wms.store import CHECKSUMS, RunFolder, Store, new_run_id

#: Files up to this many bytes are hashed where they are met, larger ones in the background.
INLINE_BYTES = 64 * 1024

#: A value that JSON has not got, which an adapter overlooked, becomes what it reads as.
_encode = msgspec.json.Encoder(enc_hook=plain).encode
_WRITING = "writing an event"
_MOST_UNWRITTEN = 10


def _encoded(event: events.Event) -> bytes:
    try:
        return _encode(event)
    except UnicodeEncodeError:
        # A lone surrogate, from a file name that is not UTF-8, say.
        return _encode(_escaped(msgspec.to_builtins(event, enc_hook=plain)))


def _escaped(value: Any) -> Any:
    """With lone surrogates as escapes, and all else as it is."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_escaped(key): _escaped(item) for key, item in value.items()}
    return [_escaped(item) for item in value] if isinstance(value, list) else value


def _told(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:
        return type(error).__name__


class _Second:
    """The last second that was written out: to format it costs more than the rest of a time."""

    known = (-1, "")


def now() -> str:
    """The time as events carry it."""
    second, rest = divmod(time.time_ns(), 1_000_000_000)
    known, text = _Second.known
    if known != second:
        text = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        _Second.known = second, text
    return f"{text}.{rest // 1000:06}+00:00"


class Recorder:
    """Records one run into a store.

    ``warn`` is called at most once, with one line. Methods never raise, but where their
    docstring says so; `failures` counts what went wrong.
    """

    def __init__(
        self,
        settings: Settings,
        directory: str,
        warn: Callable[[str], None],
        run_id: str | None = None,
        secret_names: Iterable[str] = (),
        ignore: Iterable[str] = (),
        remote: str = journal.CONNECT,
        identity: Identity | None = None,
    ) -> None:
        """secret_names: environment variables whose values are masked. ignore: names of
        files in directories that are the engine's own marks, not members. remote: what to do
        about a store that is not local, as `journal.open_journal` has it. identity: what
        looks at files, in place of one made of the settings."""
        self.settings = settings
        self.run_id = run_id or new_run_id()
        self.failures = 0
        self._warn = warn
        self._directory = directory
        #: Child runs that were found, and are an attempt's for sure.
        self._settled: set[str] = set()
        self._process = os.getpid()
        self._lock = threading.RLock()
        self._remote = remote
        self._seq = 0
        self._time = ""
        #: Failures that could not be written when they happened.
        self._unwritten: list[events.Event] = []
        self._journal: journal.Journal | None = None
        names = [*secret_names, *(settings.secrets or "").replace(",", " ").split()]
        self._declared = declared_from_environment(names)
        self._masker = Masker(self._declared)
        self.folder, cache = RunFolder(""), None
        with self.guard("opening the store"):
            store = Store(settings.store)
            cache = None if store.remote else f"{store.location}/{CHECKSUMS}"
            self.folder = store.run(self.run_id)
            self._journal = journal.open_journal(self.folder.events, remote)
        self._identity = identity or Identity(
            directory, settings.hash, settings.hash_limit, cache_path=cache, ignore=ignore
        )
        self._hasher: Hasher | None = None
        self._closed = False

    @property
    def recording(self) -> bool:
        """False where the store could not be opened: nothing will be kept."""
        return self._journal is not None

    def emit(self, *batch: events.Event) -> None:
        """Put events on disk, in one write."""
        if os.getpid() != self._process:
            self._forked()
        broken: list[tuple[str, Exception]] = []
        try:
            with self._lock:
                if self._journal is None:
                    return
                # Never back, whatever the clock does: a file's order is that of its times.
                self._time = moment = max(now(), self._time)
                writer, lines = self._journal.writer, []
                for event in (*self._unwritten, *batch):
                    self._seq += 1
                    event.v = events.VERSION
                    event.time = moment
                    event.writer = writer
                    event.seq = self._seq
                    event.run = self.run_id
                    try:
                        lines.append(self._masker.mask_line(_encoded(event)))
                    except Exception as error:
                        broken.append((type(event).__name__, error))
                if lines:
                    self._journal.append(*lines)
                self._unwritten.clear()
        except Exception as error:
            self.failed(_WRITING, error)
        for kind, cause in broken:
            self.failed(f"encoding a {kind}", cause)

    def announce(self, start: events.RunStarted) -> None:
        """Leave a note of this run with the one inside which it was started, if there is one."""
        if start.parent is not None and self.recording:
            from yprov4wms import nested

            with self.guard("noting this run with the one around it"):
                nested.announce(start.parent, self.folder)

    def guard(self, where: str, task: str | None = None, attempt: int | None = None) -> Guard:
        """Swallow what the body raises: a warning, and a record of it in the run."""
        return Guard(self, where, task, attempt)

    def failed(
        self, where: str, error: BaseException, task: str | None = None, attempt: int | None = None
    ) -> None:
        """Note a failure of the recorder."""
        text = _told(error)
        failure = events.RecorderFailed(where=where, error=text, task=task, attempt=attempt)
        with self._lock:
            self.failures += 1
            first = self.failures == 1
            if len(self._unwritten) < _MOST_UNWRITTEN:
                self._unwritten.append(failure)
            if where != _WRITING:
                self.emit()
        if first:
            text = " ".join(text.split())
            with contextlib.suppress(Exception):
                self._warn(f"yprov: provenance is incomplete ({where}: {self._masker.text(text)})")

    def mask(self, secrets: Iterable[str]) -> None:
        """From now on these values, too, are masked wherever they stand."""
        self._masker = Masker([*self._declared, *secrets])

    def hidden(self, text: str) -> str:
        """Text without the secrets in it, as it may be kept."""
        return self._masker.text(text)

    def looks_secret(self, name: str, value: str) -> bool:
        """Whether a value would be masked where it stands under this name."""
        line = _encode({"attributes": {name: value}})
        return self._masker.mask_line(line) != line

    def describe(self, path: str, role: str | None = None) -> File:
        """What lies at ``path`` now, without a checksum; costs a stat."""
        return self._identity.describe(path, role)

    def identify(self, file: File, task: str, attempt: int) -> File:
        """Add the checksum: at once to a small file, by a later event to anything else."""
        small = file.type is FileType.FILE and (file.size or 0) <= INLINE_BYTES
        if small or self.settings.hash == "none":
            return self._identity.checksum(file)
        if file.type in (FileType.FILE, FileType.DIRECTORY):
            self._hashing().submit(file, lambda done: self._hashed(done, task, attempt))
        return file

    def identified(self, path: str, role: str | None, task: str, attempt: int) -> File:
        """`describe` and `identify` by one look."""
        if self.settings.hash == "none":
            return self.identify(self.describe(path, role), task, attempt)
        file = self._identity.identify(path, role, INLINE_BYTES)
        if file.sha256 is None and file.note is None:
            return self.identify(file, task, attempt)
        return file

    def checksum(self, path: str) -> File:
        """`describe` with the checksum, for which it waits."""
        return self._identity.checksum(self._identity.describe(path))

    def collect_children(
        self,
        task: str,
        attempt: int,
        inner_retries: int = 0,
        outputs: Iterable[File] | None = None,
        elsewhere: bool = True,
        **where: Any,
    ) -> None:
        """Take in the child runs that this attempt left in the store, and elsewhere.

        inner_retries: how many times a process of the engine's may have repeated it.
        elsewhere: also those that a store of MLflow's has; else they are left to the export.
        where: as `find_children` has it.
        """
        for retry in range(inner_retries + 1):
            self._collect(task, attempt + retry * events.INNER_RETRY, elsewhere)
        self.find_children(task, attempt, outputs, **where)

    def find_children(
        self,
        task: str,
        attempt: int,
        outputs: Iterable[File] | None = None,
        search: bool = False,
        began: str | None = None,
        shared: bool = False,
        directory: str | None = None,
        alone: bool = False,
    ) -> None:
        """Take in the runs of other recorders that this attempt left.

        outputs: those of the attempt, which are looked through. search: look in ``directory``
        as well, where the attempt worked: the run's directory, unless given. What is there is
        taken where it falls in the time since ``began``, and is in doubt where that is
        ``shared``: other tasks ran there at the time. alone: nothing but the attempt ever
        works there.
        """
        if not outputs and not search:
            return
        with self.guard("looking for child runs", task, attempt):
            declared = candidates.among(outputs or (), self._directory)
            near: list[str] = []
            where = directory or self._directory
            if search and began is not None:
                moment = int(datetime.fromisoformat(began).timestamp() * 1e9)
                store = self.folder.location.rpartition("/")[0]
                near = candidates.under(where, moment, beside=[*declared, store])
            if not self.recording or not (declared or near):
                return
            from yprov4wms.ml import discover

            others = discover.OTHERS if shared else None
            window = discover.Window(where, began, alone, others)
            for child in discover.found(
                *(self.folder, task, attempt, declared, near),
                *(window, self._directory, set(self._settled)),
            ):
                self.emit(child)
                if child.doubt is None:
                    self._settled.add(child.child)

    def _collect(self, task: str, attempt: int, elsewhere: bool) -> None:
        with self.guard("collecting child runs", task, attempt):
            if not self.folder.may_have_ml_runs(task, attempt):
                return
            # What it imports is for tasks that have any.
            from yprov4wms.ml import collect

            for child in collect.children(self.folder, task, attempt, elsewhere):
                self._settled.add(child.child)
                self.emit(child)

    def flush(self) -> None:
        """Send what a remote store has not got yet."""
        if self._journal is not None:
            with self.guard("sending events to the store"):
                self._journal.flush()

    def finish(self, status: Status, error: str | None = None) -> None:
        """Record the end, wait for checksums under way, force all to the disk."""
        self.emit(events.RunEnded(status=status, error=error))
        self.drain()

    def drain(self) -> None:
        """Wait for checksums under way, and force all to the disk."""
        if self._hasher is not None:
            self._hasher.drain(None)
        with self._lock, self.guard("forcing the journal to the disk"):
            if self._journal is not None:
                self._journal.flush()
                self._journal.sync()

    def close(self) -> None:
        """Nothing is recorded after this."""
        if os.getpid() != self._process:
            self._forked()
        self._closed = True
        if self._hasher is not None:
            self._hasher.close()
        with self._lock, self.guard("closing the journal"):
            if self._journal is not None:
                self._journal.close()
        self._journal = None

    def _hashing(self) -> Hasher:
        with self._lock:
            if self._hasher is None:
                self._hasher = Hasher(self._identity, on_error=self._hash_failed)
                if self._closed:
                    self._hasher.close()
            return self._hasher

    def _forked(self) -> None:
        """A child of the process that records: another writer, with a file of its own."""
        self._process = os.getpid()
        # A thread that the child has not got may hold the lock for ever.
        self._lock = threading.RLock()
        self._seq = 0
        self._unwritten.clear()
        recording, self._journal = self.recording, None
        if recording:
            with self.guard("opening the store"):
                self._journal = journal.open_journal(self.folder.events, self._remote)

    def _hashed(self, file: File, task: str, attempt: int) -> None:
        self.emit(events.FilesHashed(task=task, attempt=attempt, files=[file]))

    def _hash_failed(self, error: BaseException) -> None:
        self.failed("computing a checksum", error)


class Guard:
    """A context manager that swallows what its body raises, and has it noted."""

    def __init__(
        self, recorder: Recorder, where: str, task: str | None, attempt: int | None
    ) -> None:
        self._recorder = recorder
        self._about = (where, task, attempt)

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> bool:
        if not isinstance(error, Exception):
            return False
        where, task, attempt = self._about
        self._recorder.failed(where, error, task, attempt)
        return True
