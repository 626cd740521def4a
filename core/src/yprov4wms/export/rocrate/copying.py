"""Files of a run, copied into a crate where they still are what the run recorded."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

from yprov4wms.events import File, FileType

_PIECE = 1 << 20
#: What no name of a file in a crate should hold: it is unpacked anywhere.
_ODD = re.compile(r'[\x00-\x1f\x7f\\:*?"<>|]')


class NotSameError(Exception):
    """A file is not what it was; ``gone``: nothing readable is there any more."""

    def __init__(self, gone: bool = False) -> None:
        super().__init__()
        self.gone = gone


@contextmanager
def unchanged(place: str, file: File) -> Iterator[BinaryIO]:
    """The open file at a place, if it holds what ``file`` says by its checksum.

    Raises NotSameError where it does not, and where there is no checksum to tell it by. Read,
    it raises OSError if it changes meanwhile. Never waits for anything but a disk.
    """
    name, recorded = ("sha256", file.sha256) if file.sha256 else ("sha1", file.sha1)
    if file.type is not FileType.FILE or not recorded:
        raise NotSameError
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)
    try:
        descriptor = os.open(place, flags)
    except (OSError, ValueError) as error:
        raise NotSameError(gone=True) from error
    with os.fdopen(descriptor, "rb") as content:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise NotSameError
        if file.size is not None and found.st_size != file.size:
            raise NotSameError
        if _digest(content, name) != recorded.removeprefix("sha1$"):
            raise NotSameError
        content.seek(0)
        yield cast("BinaryIO", _Checked(content, name, recorded, place))


class _Checked:
    """A file that says at its end if it was not the one that was looked at before."""

    def __init__(self, content: IO[bytes], name: str, recorded: str, place: str) -> None:
        self._content, self._digest = content, hashlib.new(name, usedforsecurity=False)
        self._recorded, self._place = recorded.removeprefix("sha1$"), place

    def read(self, size: int) -> bytes:
        piece = self._content.read(size)
        self._digest.update(piece)
        if not piece and self._digest.hexdigest() != self._recorded:
            reason = "it changed while it was copied: export again when nothing writes to it"
            raise OSError(errno.EBUSY, reason, self._place)
        return piece


def _digest(content: IO[bytes], name: str) -> str:
    digest: Any = hashlib.new(name, usedforsecurity=False)
    while piece := content.read(_PIECE):
        digest.update(piece)
    return str(digest.hexdigest())


def inside(folder: str, path: str, directory: str) -> str:
    """The path of a copy in a crate, below ``folder`` whatever ``path`` is.

    As it lies in ``directory``; of what lies elsewhere, its name alone. directory: absolute.
    """
    relative = os.path.relpath(path, directory) if directory else path.lstrip("/")
    if relative.startswith("../") or relative in ("..", "."):
        relative = f"elsewhere/{Path(path).name}"
    parts = [_ODD.sub("_", part) for part in relative.split("/")]
    return "/".join([folder, *(part for part in parts if part not in ("", ".", ".."))])
