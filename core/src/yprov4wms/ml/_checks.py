"""Checks of what a script logs: wrong use is an error that says what it is about."""

from __future__ import annotations

import operator
from typing import Any


def name(what: str, value: object) -> str:
    """A name as a plain string; raises TypeError or ValueError that says what it would name."""
    if not isinstance(value, str):
        raise TypeError(f"the name of a {what} is a string, not {value!r}")
    if not value:
        raise ValueError(f"the name of a {what} is empty")
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


def step(value: Any) -> int:
    try:
        return int(operator.index(value))
    except Exception:
        raise TypeError(f"step {value!r} is not a whole number") from None


def one_line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
