"""Where a crate goes: a zip file, or a folder."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import zipfile
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Protocol

_Moment = tuple[int, int, int, int, int, int]


class Sink(Protocol):
    """Takes files, each under a path of its own; complete when it is closed."""

    def put(self, path: str, pieces: Iterable[bytes]) -> int:
        """Store a file; returns its size in bytes. Raises OSError."""

    def close(self) -> None: ...


class ZipSink:
    """A zip file; the same files and date give the same bytes. date: ISO 8601, of all in it."""

    def __init__(self, file: BinaryIO, date: str) -> None:
        self._zip = zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED)
        self._moment = _zip_time(date)

    def put(self, path: str, pieces: Iterable[bytes]) -> int:
        info = zipfile.ZipInfo(path, self._moment)
        info.compress_type = zipfile.ZIP_DEFLATED
        info.external_attr = 0o644 << 16
        with self._zip.open(info, "w", force_zip64=True) as stored:
            return sum(stored.write(piece) for piece in pieces)

    def close(self) -> None:
        self._zip.close()


@contextlib.contextmanager
def zipped(file: BinaryIO, date: str) -> Iterator[Sink]:
    """A zip file that is let go of, whatever happens, while ``file`` is open."""
    sink = ZipSink(file, date)
    try:
        yield sink
    except BaseException:
        # What is left of it would be written when nobody asks for it any more.
        with contextlib.suppress(Exception):
            sink.close()
        raise


class FolderSink:
    """A folder that is being made."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, path: str, pieces: Iterable[bytes]) -> int:
        target = self._folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as stored:
            size = sum(stored.write(piece) for piece in pieces)
            stored.flush()
            os.fsync(stored.fileno())
        return size

    def close(self) -> None:
        pass


def write_folder(path: str, write: Callable[[Sink], None]) -> None:
    """Let ``write`` fill a folder that appears whole or not at all.

    Raises OSError: FileExistsError or NotADirectoryError where something else is there.
    """
    target = Path(os.path.realpath(path))
    check_folder(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name[:40]}.{os.getpid()}-{os.urandom(4).hex()}")
    temporary.mkdir()
    try:
        write(FolderSink(temporary))
        # Over an empty folder, and over nothing else.
        temporary.rename(target)
    except BaseException as error:
        if isinstance(error, OSError) and str(error.filename).startswith(str(temporary)):
            error.filename, error.filename2 = path, None
        with contextlib.suppress(OSError):
            shutil.rmtree(temporary)
        raise


def check_folder(path: str) -> None:
    """Raises what `write_folder` would raise for what is in the way."""
    target = Path(os.path.realpath(path))
    if target.is_dir():
        if any(target.iterdir()):
            raise FileExistsError(errno.ENOTEMPTY, "the folder is not empty", path)
    elif target.exists():
        raise NotADirectoryError(errno.ENOTDIR, "this is a file, not a folder", path)


def _zip_time(date: str) -> _Moment:
    """As a zip file has it: no year before 1980."""
    try:
        moment = datetime.fromisoformat(date).astimezone(UTC)
    except (ValueError, OverflowError):
        return 1980, 1, 1, 0, 0, 0
    if not 1980 <= moment.year <= 2107:
        return 1980, 1, 1, 0, 0, 0
    return (
        *(moment.year, moment.month, moment.day),
        *(moment.hour, moment.minute, moment.second),
    )
