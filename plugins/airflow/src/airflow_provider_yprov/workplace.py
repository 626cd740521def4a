"""Where the process of a task works, and whether others work there at the same time.

A BashOperator without a ``cwd`` works in a temporary folder of its own, which Airflow deletes
before any hook is called. All else works where the worker was started, or in the operator's
``cwd``, which tasks share.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

#: Airflow's, that makes the temporary folder; loaded with the operator.
_HOOK = "airflow.providers.standard.hooks.subprocess"


def directory_of(task: Any) -> str | None:
    """Where the operator works; None where that is a temporary folder of its own."""
    if hasattr(type(task), "subprocess_hook") or getattr(task, "cwd", None):
        return os.path.abspath(task.cwd) if task.cwd else None  # noqa: PTH100
    return os.getcwd()  # noqa: PTH109


class Company:
    """Tells whether other tasks of this host work in a directory at the time.

    Each has a mark in a folder that stands for the directory. Others are there where other
    marks are, and have come or gone where the folder has changed.
    """

    def __init__(self, marks: str, directory: str) -> None:
        """marks: a folder on this host, or one that it shares with others."""
        key = f"{socket.gethostname()}\0{os.path.realpath(directory)}"
        name = hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()[:24]
        self._folder = Path(marks, name)
        self._mark = self._folder / str(os.getpid())
        self._changed: int | None = None

    def enter(self) -> None:
        """Raises OSError."""
        self._folder.mkdir(parents=True, exist_ok=True)
        alone = True
        for name in os.listdir(self._folder):  # noqa: PTH208 - for each task
            if name != self._mark.name and _is_alive(name):
                alone = False
            else:
                (self._folder / name).unlink(missing_ok=True)
        self._mark.touch()
        if alone:
            self._changed = self._folder.stat().st_mtime_ns

    def leave(self) -> bool:
        """Whether there was nobody else since `enter`; false where that is not known."""
        before, self._changed = self._changed, None
        alone = False
        with contextlib.suppress(OSError):
            there = os.listdir(self._folder)  # noqa: PTH208
            alone = there == [self._mark.name] and self._folder.stat().st_mtime_ns == before
            self._mark.unlink()
        return alone


def _is_alive(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ValueError, ProcessLookupError):
        return False
    except OSError:  # another user's
        return True
    return True


def watch_temporary(leaving: Callable[[str], None]) -> Callable[[], None]:
    """Have ``leaving`` called with each temporary folder of a BashOperator before it is deleted.

    It must not raise. Returns what ends that.
    """
    module = sys.modules.get(_HOOK)
    made = getattr(module, "TemporaryDirectory", None)
    if made is not TemporaryDirectory:
        return lambda: None

    class Watched(TemporaryDirectory[str]):
        def cleanup(self) -> None:
            try:
                leaving(self.name)
            finally:
                super().cleanup()

    module.TemporaryDirectory = Watched  # type: ignore[union-attr]

    def end() -> None:
        module.TemporaryDirectory = made  # type: ignore[union-attr]

    return end
