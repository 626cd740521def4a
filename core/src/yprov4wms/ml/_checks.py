"""Checks of what a script logs: wrong use is an error that says what it is about."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any


def name(what: str, value: object) -> str:
    """A name as a plain string; raises TypeError or ValueError that says what it would name."""
    if not isinstance(value, str):
        raise TypeError(f"the {what} name is a string, not {value!r}")
    if not value:
        raise ValueError(f"the {what} name is empty")
    return str.__str__(value)


def optional_name(what: str, value: object) -> str | None:
    return None if value is None else name(what, value)


def number(metric: object, value: Any) -> float:
    """A metric's value: anything real, arrays and tensors of one element included."""
    try:
        if hasattr(value, "item"):
            value = value.item()
        if hasattr(value, "__float__"):
            return float(value)
    except Exception as error:
        raise TypeError(f"metric {metric!r}: {one_line(error)}") from error
    raise TypeError(f"metric {metric!r}: {value!r} is not a real number")


def moment(timestamp: Any) -> int:
    """A time in ms since the epoch as ns; its range is that of `_series`' microseconds."""
    try:
        return int(float(timestamp) * 1e6)
    except Exception:
        raise TypeError(f"timestamp {timestamp!r} is no time in ms since the epoch") from None


def step(value: Any) -> int:
    try:
        return int(operator.index(value))
    except Exception:
        raise TypeError(f"step {value!r} is not a whole number") from None


def whole(what: str, value: Any) -> int | None:
    """None, or a whole number from 0 up."""
    if value is None:
        return None
    try:
        found = operator.index(value)
    except TypeError:
        raise TypeError(f"{what} {value!r} is not a whole number") from None
    if found < 0:
        raise ValueError(f"{what} {value!r} is less than 0")
    return found


def seconds(what: str, value: Any) -> float | None:
    """None, or more than 0; 0 is None."""
    if value is None:
        return None
    try:
        found = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{what} {value!r} is no number of seconds") from None
    if not 0 <= found < float("inf"):
        raise ValueError(f"{what} {value!r} is no number of seconds from 0 up")
    return found or None


def choice(what: str, value: Any, choices: Mapping[str, str]) -> str | None:
    """None, or one of the choices, whatever its case and with or without a leading dot."""
    if value is None:
        return None
    text = getattr(value, "value", value)
    found = choices.get(text.lower().lstrip(".")) if isinstance(text, str) else None
    if found is None:
        raise ValueError(f"{what} {value!r} is not one of {', '.join(choices)}")
    return found


def one_line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
