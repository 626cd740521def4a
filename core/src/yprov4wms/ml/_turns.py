"""Which rank of a distributed run makes what stands at its end, and when: one at a time, and
never from an older state of the record than was made from before.

What each rank asks for, and from what state was made what stands there, is kept in
`FOLDER` of the run's folder.

Standard library only.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from yprov4wms import journal
from yprov4wms.store import write_atomically

if TYPE_CHECKING:
    from yprov4wms.store import RunFolder

FOLDER = ".products"
_STATE = "state"
_LAST = b'{"kind":"ml-run-ended"'

#: Seconds that a rank waits for another one that is at work.
PATIENCE = 120.0

#: Sizes of the journals, by name.
State = dict[str, int]


class BusyError(OSError):
    """Another rank is at work for too long."""


@contextlib.contextmanager
def held(folder: RunFolder) -> Iterator[None]:
    """Be alone among the ranks of this host, and of others where the file system can.

    Raises BusyError.
    """
    place = Path(folder.location, FOLDER)
    if folder.remote:
        place = journal.spool_folder(f"{folder.location}/{FOLDER}")
    place.mkdir(parents=True, exist_ok=True)
    fd = os.open(place / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        _lock(fd)
        yield
    finally:
        os.close(fd)


def _lock(fd: int) -> None:
    until = time.monotonic() + PATIENCE
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                raise BusyError("another rank has been at work for too long") from None
            time.sleep(0.05)
        except OSError:
            return  # a file system without locks
        else:
            return


def ask(folder: RunFolder, writer: str, wish: dict[str, Any]) -> None:
    """Tell the other ranks what this one asks for. Raises what the store raises."""
    content = json.dumps(wish).encode()
    write_atomically(f"{folder.location}/{FOLDER}/{writer}.json", lambda file: file.write(content))


def asked(folder: RunFolder) -> list[dict[str, Any]]:
    """What all ranks that have ended ask for, in order of their writers."""
    found = []
    for name in _names(folder, FOLDER):
        if name.endswith(".json") and not name.startswith("."):
            with contextlib.suppress(OSError, ValueError):
                found.append(json.loads(folder.read(f"{FOLDER}/{name}")))
    return found


def others_live(folder: RunFolder, writer: str) -> bool:
    """Whether another process of this host still writes to the run.

    Of those that a store at a URL has sent nothing is left here.
    """
    place = journal.spool_folder(folder.events) if folder.remote else Path(folder.events)
    for path in place.glob("*" + journal.SUFFIX):
        with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
            if (
                path.stem != writer
                and journal.is_of_this_host(path)
                and not _has_ended(file.read())
                and not journal.is_dead(path, file)
            ):
                return True
    return False


def _has_ended(content: bytes) -> bool:
    whole = content[: content.rfind(b"\n") + 1]
    return whole.splitlines()[-1].startswith(_LAST) if whole else False


def state(folder: RunFolder) -> State:
    """How much was recorded so far."""
    if folder.remote:
        return dict(journal.objects(journal.filesystem(folder.events), folder.events))
    with os.scandir(folder.events) as entries:
        return {e.name: e.stat().st_size for e in entries if e.name.endswith(journal.SUFFIX)}


def made_from(folder: RunFolder) -> dict[str, Any]:
    """From what was made what stands there: ``state`` and ``asked``; empty where nothing was."""
    try:
        found = json.loads(folder.read(f"{FOLDER}/{_STATE}"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def note(folder: RunFolder, now: State, wishes: list[dict[str, Any]]) -> None:
    content = json.dumps({"state": now, "asked": wishes}).encode()
    write_atomically(f"{folder.location}/{FOLDER}/{_STATE}", lambda file: file.write(content))


def is_older(now: State, than: dict[str, Any]) -> bool:
    """Whether something was made from more than there is ``now``."""
    return any(size > now.get(name, -1) for name, size in than.get("state", {}).items())


def _names(folder: RunFolder, relative: str) -> list[str]:
    path = f"{folder.location}/{relative}"
    if not folder.remote:
        with contextlib.suppress(FileNotFoundError):
            return sorted(os.listdir(path))  # noqa: PTH208
        return []
    with contextlib.suppress(FileNotFoundError):
        found = journal.filesystem(path).ls(path, detail=False)
        return sorted(entry.rstrip("/").rsplit("/", 1)[-1] for entry in found)
    return []
