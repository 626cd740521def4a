"""What a process died of that no Python code of its own could tell any more.

While a run is open, Python's own ``faulthandler`` watches the signals that kill: its
handlers are written in C, write where the process was to an open file, and let the signal
do what it does. Each signal has a place of its own in one file, `SLOT` bytes apart, by
which a reader knows it. What is not seen so is ``kill -9``, ``os._exit`` and the like.

Standard library only.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import re
import signal
from pathlib import Path
from typing import IO, NamedTuple

FOLDER = "fates"
#: faulthandler stops after 100 frames, of at most 500 characters each.
SLOT = 1 << 20
#: Those that faulthandler handles itself (crashes) share the first place; it names them.
_CRASH = "crash"
SLOTS = (_CRASH, "SIGTERM", "SIGHUP", "SIGXCPU", "SIGUSR1", "SIGUSR2", "SIGQUIT", "SIGALRM")

_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC
_TRIES = 100

_FATAL = re.compile(r"^Fatal Python error: (.+)$", re.M)
_FRAME = re.compile(r'^  File "(?P<file>.*)", line (?P<line>\d+) in (?P<function>.+)$', re.M)


class Watch:
    """Watches the signals of this process; only where its main thread runs this, and only
    those that nobody handles or ignores."""

    def __init__(self, folder: str, writer: str) -> None:
        self._path = Path(folder, FOLDER, writer)
        self._files: dict[str, IO[bytes]] = {}

    def install(self) -> None:
        """Raises OSError where the file cannot be made."""
        try:
            for place, name in enumerate(SLOTS):
                if name == _CRASH:
                    if not faulthandler.is_enabled():
                        faulthandler.enable(self._open(name, place), all_threads=False)
                    continue
                number = getattr(signal, name, None)
                if number is not None and signal.getsignal(number) is signal.SIG_DFL:
                    file = self._open(name, place)
                    faulthandler.register(number, file, all_threads=False, chain=True)
        except BaseException:
            self.remove()
            raise

    def _open(self, name: str, place: int) -> IO[bytes]:
        fd = self._created()
        file = self._files[name] = open(fd, "wb", buffering=0)  # noqa: PTH123, SIM115 - kept open
        os.lseek(fd, place * SLOT, os.SEEK_SET)
        return file

    def _created(self) -> int:
        # Another process of the run that ends now takes the empty folder away again.
        for _ in range(_TRIES):
            with contextlib.suppress(FileNotFoundError, FileExistsError):
                self._path.parent.mkdir(parents=True, exist_ok=True)
                return os.open(self._path, _FLAGS, 0o644)
        return os.open(self._path, _FLAGS, 0o644)

    def remove(self) -> None:
        """Let go of the signals, and of a file to which nothing was written."""
        files = self._let_go()
        for file in files:
            file.close()
        if files:
            with contextlib.suppress(OSError):
                if self._path.stat().st_size == 0:
                    self._path.unlink()
                    self._path.parent.rmdir()

    def leave(self) -> None:
        """In a forked child: its signals are not those of the run's process."""
        self._let_go()

    def _let_go(self) -> list[IO[bytes]]:
        for name in self._files:
            if name == _CRASH:
                faulthandler.disable()
            # Else somebody has taken it since, whose handler this would remove.
            elif signal.getsignal(getattr(signal, name)) is signal.SIG_DFL:
                faulthandler.unregister(getattr(signal, name))
        files, self._files = list(self._files.values()), {}
        return files


class Fate(NamedTuple):
    """signal: its name. text: of the error, with where the process was."""

    signal: str
    text: str


def read(content: bytes) -> Fate | None:
    """What stands in such a file; the last signal where there are several."""
    found = None
    for place, name in enumerate(SLOTS):
        text = content[place * SLOT : (place + 1) * SLOT].strip(b"\0").decode("utf-8", "replace")
        if not text:
            continue
        fatal = _FATAL.search(text)
        what = fatal[1] if fatal else name
        frame = _FRAME.search(text)
        at = f" at {frame['file']}:{frame['line']} in {frame['function']}" if frame else ""
        found = Fate(name, f"{what}{at}")
    return found
