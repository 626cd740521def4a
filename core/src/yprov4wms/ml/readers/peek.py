"""A look at a file that may be a document, and at a folder that may be a run of ours."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from yprov4wms.ml._artifacts import MARK

#: So much of a file is looked at to tell what it is.
HEAD = 64 * 1024

#: The namespace of an ML run in its own document.
_OWN = re.compile(rb'"ml"\s*:\s*"urn:uuid:')
#: A document where `yprov4wms.ml` was given a folder for it.
_DOCUMENT = re.compile(r"prov_.+_GR0_\d+\.json")


def beginning(path: Path) -> bytes:
    """The first bytes of a regular file; none of anything else, a pipe say. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return os.read(fd, HEAD) if stat.S_ISREG(os.fstat(fd).st_mode) else b""
    finally:
        os.close(fd)


def is_own_document(path: Path) -> bool:
    """Whether it is of a run of `yprov4wms.ml`. Raises OSError."""
    head = beginning(path)
    return b'"yprov4wms"' in head and (
        _OWN.search(head) is not None or b'"yprov4wms:MLRun"' in head
    )


def own_document(folder: Path) -> Path | None:
    """That of a run of ours that has such a folder for what it made."""
    try:
        names = sorted(os.listdir(folder))  # noqa: PTH208 - names alone
    except (NotADirectoryError, FileNotFoundError):
        return None
    for name in names:
        if _DOCUMENT.fullmatch(name) and is_own_document(folder / name):
            return folder / name
    return None


def is_own_folder(folder: Path) -> bool:
    """Whether a run of ours had it for what it made, also one that was killed."""
    return (folder / MARK).is_file() or own_document(folder) is not None
