"""A look at a file that may be a document."""

from __future__ import annotations

import os
import stat
from pathlib import Path

#: So much of a file is looked at to tell what it is.
HEAD = 64 * 1024


def beginning(path: Path) -> bytes:
    """The first bytes of a regular file; none of anything else, a pipe say. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return os.read(fd, HEAD) if stat.S_ISREG(os.fstat(fd).st_mode) else b""
    finally:
        os.close(fd)
