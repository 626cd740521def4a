"""Any Python value as JSON, by the standard library alone: msgspec costs 43 ms at import."""

from __future__ import annotations

import enum
import json
import math
import os
import sys
from collections.abc import Mapping, Sequence, Set
from typing import Any

#: Longer sequences and arrays are recorded as their ``repr``, which abbreviates arrays.
MAX_ITEMS = 1000
MAX_DEPTH = 50


def encode(event: dict[str, Any]) -> bytes:
    """One event as a line of JSON, without its newline. Never raises for what is in it."""
    try:
        return _encoder.encode(event).encode()
    except (TypeError, ValueError, RecursionError):
        # A float that JSON has not, a lone surrogate, a key that is no string, a cycle.
        return _encoder.encode(plain(event)).encode()


def plain(value: object, inside: tuple[int, ...] = ()) -> Any:
    """The same value of JSON's types alone.

    A float that is not finite becomes its name (``nan``, ``inf``, ``-inf``), an undecodable
    byte of a path a backslash sequence, what has no like in JSON its ``repr``.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str.__str__(value).encode(errors="backslashreplace").decode()
    if isinstance(value, int):
        return _integer(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else repr(float(value))
    if id(value) in inside or len(inside) >= MAX_DEPTH:
        return plain(_text(value))
    inside = (*inside, id(value))
    if isinstance(value, dict):
        return {_key(key): plain(item, inside) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item, inside) for item in value]
    return plain(_convert(value), inside)


def _integer(value: int) -> int | str:
    try:
        int.__repr__(value)
    except ValueError:
        return hex(value)  # Python refuses to write thousands of decimal digits
    return int(value)


def _key(key: object) -> str:
    text: str = plain(key if isinstance(key, str) else _text(key))
    return text


def _convert(value: Any) -> Any:
    """One step nearer to JSON; the text of the value where there is no such step."""
    try:
        nearer = _nearer(value)
    except Exception:
        return _text(value)
    return _text(value) if type(nearer) is type(value) else nearer


def _nearer(value: Any) -> Any:
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, type) or (callable(value) and hasattr(value, "__qualname__")):
        return f"{value.__module__}.{value.__qualname__}"
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if hasattr(value, "tolist") and hasattr(value, "shape"):
        return value.tolist() if math.prod(value.shape) <= MAX_ITEMS else _text(value)
    if hasattr(value, "__dataclass_fields__"):
        return {name: getattr(value, name) for name in value.__dataclass_fields__}
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Set) and len(value) <= MAX_ITEMS:
        return sorted(value, key=repr)
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray | memoryview):
        return list(value) if len(value) <= MAX_ITEMS else _text(value)
    argparse = sys.modules.get("argparse")
    if argparse is not None and isinstance(value, argparse.Namespace):
        return vars(value)
    return _text(value)


def _text(value: object) -> str:
    try:
        return repr(value)
    except Exception:
        return f"<{type(value).__qualname__}, whose repr fails>"


_encoder = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_convert
)
