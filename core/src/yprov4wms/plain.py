"""Any Python value as something that JSON holds: numbers, strings, lists, mappings."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import Any

TEXT_LIMIT = 10_000
ITEM_LIMIT = 1_000
DEPTH_LIMIT = 6
#: Python refuses to write integers of more than 4,300 digits in decimal.
BIT_LIMIT = 10_000


def plain(value: object, depth: int = 0) -> Any:
    """``value`` reduced to JSON's types; what has none becomes its text.

    Long texts and collections are cut, and say so. Never raises.
    """
    try:
        return _plain(value, depth)
    except Exception as error:
        return f"<{type(value).__name__}: {type(error).__name__} when read>"


def text(value: str) -> str:
    """Encodable text of bounded length; lone surrogates (odd file names) become escapes."""
    if len(value) > TEXT_LIMIT:
        value = f"{value[:TEXT_LIMIT]}... ({len(value)} characters)"
    if not value.isascii():
        value = value.encode("utf-8", "backslashreplace").decode()
    return value


def _plain(value: object, depth: int) -> Any:
    if value is None or value is True or value is False:
        return value
    kind = type(value)
    if kind is str:
        return text(str(value))
    if isinstance(value, int):
        return int(value) if value.bit_length() < BIT_LIMIT else text(hex(value))
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else repr(float(value))
    if isinstance(value, str):
        return text(str(value))
    if isinstance(value, os.PathLike):
        return text(os.fsdecode(value))
    if depth < DEPTH_LIMIT:
        if isinstance(value, Mapping):
            return _mapping(list(value.items()), depth)
        if isinstance(value, list | tuple | set | frozenset):
            members = sorted(value, key=repr) if isinstance(value, set | frozenset) else value
            kept = [plain(item, depth + 1) for item in list(members)[:ITEM_LIMIT]]
            return kept if len(value) <= ITEM_LIMIT else [*kept, f"... ({len(value)} items)"]
        item = getattr(value, "item", None)
        if callable(item) and getattr(value, "ndim", None) == 0:
            return _plain(item(), depth + 1)  # a numpy scalar
    return text(str(value))


def _mapping(items: list[tuple[Any, Any]], depth: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, item in items[:ITEM_LIMIT]:
        name = text(str(key))
        while name in found:  # 1 and "1"
            name += "*"
        found[name] = plain(item, depth + 1)
    if len(items) > ITEM_LIMIT:
        found["..."] = f"{len(items)} items"
    return found
