"""Values, times and statuses of a run as RO-Crate has them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from yprov4wms.events import Figure, Status, TaskEnded
from yprov4wms.export.rocrate.crate import Crate, Reference
from yprov4wms.prov.vocabulary import PREFIXES

COMPLETED = "http://schema.org/CompletedActionStatus"
FAILED = "http://schema.org/FailedActionStatus"
#: Schema.org has no status for what was stopped: it did not complete.
_STATUSES = {
    Status.COMPLETED: COMPLETED,
    Status.CACHED: COMPLETED,
    Status.SKIPPED: COMPLETED,
    Status.UP_TO_DATE: COMPLETED,
    Status.RUNNING: "http://schema.org/ActiveActionStatus",
}
#: QUDT's units by our own.
_UNITS = {"s": "SEC", "B": "BYTE", "J": "J", "%": "PERCENT", "kg": "KiloGM"}
#: Beyond it not every reader of JSON has integers.
_MOST = 2**53

_encode = msgspec.json.Encoder().encode


def status(found: Status) -> str:
    return _STATUSES.get(found, FAILED)


def error_text(end: TaskEnded | None) -> str | None:
    """What is known of a failure: the engine's words, else how the process ended."""
    if end is None:
        return None
    if end.error:
        return end.error
    if end.signal is not None:
        return f"killed by signal {end.signal}"
    return f"exit code {end.exit_code}" if end.exit_code else None


def time(moment: str | None) -> str | None:
    """An event's time in ms, as the profile's checks take it; the PROV document has all of it."""
    if not moment:
        return None
    head, dot, rest = moment.partition(".")
    return f"{head}.{rest[:3]}{rest[6:]}" if dot else moment


def modified(mtime_ns: int | None) -> str | None:
    """When a file was changed last, to the second."""
    try:
        moment = datetime.fromtimestamp((mtime_ns or 0) // 10**9, UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return moment.isoformat() if mtime_ns is not None else None


def number(value: float | None) -> float | str | None:
    """What JSON has no number for, as XML Schema writes it; whole numbers without a point."""
    if value is None or isinstance(value, int):
        return value
    if math.isfinite(value):
        return int(value) if value == int(value) and abs(value) < _MOST else value
    return "NaN" if math.isnan(value) else "INF" if value > 0 else "-INF"


def plain(value: object) -> tuple[Any, str]:
    """A value as a PropertyValue has it, and its kind in schema.org; what is no scalar is JSON."""
    if isinstance(value, str):
        return value, "Text"
    if isinstance(value, bool):
        return value, "Boolean"
    if isinstance(value, int):
        return value if abs(value) < _MOST else str(value), "Integer"
    if isinstance(value, float):
        return value if math.isfinite(value) else number(value), "Float"
    try:
        return _encode(value).decode(), "PropertyValue"
    except (RecursionError, OverflowError, UnicodeEncodeError, TypeError):
        return repr(value), "PropertyValue"


def flat(values: Mapping[str, Any] | None, whole: set[str], path: str = "") -> dict[str, Any]:
    """By names, those of nested mappings joined by dots, but for ``whole`` ones."""
    found: dict[str, Any] = {}
    for key, value in (values or {}).items():
        name = f"{path}{key}"
        if isinstance(value, Mapping) and value and name not in whole and path.count(".") < 20:
            found |= flat(value, whole, f"{name}.")
        elif value is not None:
            found[name] = value
    return found


def usage(crate: Crate, owner: str, figures: Mapping[str, Figure] | None) -> list[Reference]:
    """The resources that an action used. owner: what their ids begin with."""
    return [
        crate.tell(
            f"{owner}/{name}",
            "PropertyValue",
            name=name,
            propertyID=f"{PREFIXES['yprov4wms']}{name}",
            value=number(figure.value),
            minValue=number(figure.low),
            maxValue=number(figure.high),
            unitText=figure.unit,
            unitCode=f"https://qudt.org/vocab/unit/{_UNITS[figure.unit]}"
            if figure.unit in _UNITS
            else None,
            measurementTechnique=figure.method,
            description=f"of the {figure.scope}" if figure.scope else None,
        )
        for name, figure in (figures or {}).items()
    ]
