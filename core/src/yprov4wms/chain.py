"""Ties each line of a journal to all before it, so that a change, a cut or a swap is seen.

A line ends in ``,"h":"<8 hexadecimal digits>"}``: the CRC-32 (as of zlib) of all that stands
before these 17 bytes since the line before, which starts from the ``h`` of that line instead
of 0; from the CRC-32 of the writer's name in the first. What a full disk left of a line belongs
to the line after it.

That tells of accidents and of careless edits. It is no signature: who changes a line can
compute the chain anew (`yprov4wms.integrity.manifest` is for that).

Every task process imports this: standard library only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from zlib import crc32

if TYPE_CHECKING:
    from collections.abc import Iterable

_MARK = b',"h":"'
_LENGTH = len(b',"h":"01234567"}\n')
_DIGITS = frozenset(b"0123456789abcdef")


def start(writer: str) -> int:
    """The state before a writer's first line."""
    return crc32(writer.encode())


def chained(line: bytes, state: int) -> tuple[bytes, int]:
    """An event, a JSON object, as a line with its ``h`` and a newline; and the state after it."""
    body = line[:-1]
    state = crc32(body, state)
    return b'%b,"h":"%08x"}\n' % (body, state), state


def all_chained(events: Iterable[bytes], state: int) -> tuple[bytes, int]:
    """As `chained`, of several events."""
    lines = []
    for event in events:
        line, state = chained(event, state)
        lines.append(line)
    return b"".join(lines), state


def told(line: bytes) -> int | None:
    """The state that a line tells in its ``h``; None where it has none."""
    digits = line[len(_MARK) - _LENGTH : -3]
    if line[-_LENGTH : len(_MARK) - _LENGTH] != _MARK or line[-3:] != b'"}\n':
        return None
    return int(digits, 16) if _DIGITS.issuperset(digits) else None


def computed(line: bytes, state: int) -> int:
    """The state that a line with an ``h`` is to tell, after ``state``."""
    return crc32(line[:-_LENGTH], state)


def after(lines: bytes, state: int) -> int:
    """The state after what stands in a file, each line as it tells itself."""
    for line in lines.split(b"\n")[:-1]:
        known = told(line + b"\n")
        state = crc32(line + b"\n", state) if known is None else known
    return state
