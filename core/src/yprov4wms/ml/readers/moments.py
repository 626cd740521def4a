"""Moments as yProv4ML writes them, in the form that events have."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

_ZONE = re.compile(r"UTC([+-])(\d\d):?(\d\d)")


def zone(text: str | None) -> timezone | None:
    """``UTC+0100`` as a zone."""
    match = _ZONE.fullmatch(text or "")
    if match is None:
        return None
    offset = timedelta(hours=int(match[2]), minutes=int(match[3]))
    return timezone(-offset if match[1] == "-" else offset)


def moment(text: str | None, where: timezone | None) -> str | None:
    """A moment; one without a zone is in that of ``where``, else in this host's."""
    try:
        found = datetime.fromisoformat(text or "")
        if found.tzinfo is None and where is not None:
            found = found.replace(tzinfo=where)
        return found.astimezone(UTC).isoformat(timespec="microseconds")
    except (ValueError, OverflowError):
        return None


def of_seconds(seconds: float | str | None) -> str | None:
    """Of seconds since the epoch."""
    try:
        found = datetime.fromtimestamp(float(seconds or "nan"), UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return found.isoformat(timespec="microseconds")
