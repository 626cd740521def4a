"""How values look on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TypeVar

from rich.console import Console
from rich.progress import track
from rich.text import Text

from yprov4wms.events import Figure, Status

_T = TypeVar("_T")

_COLOURS: dict[str, str] = {
    Status.COMPLETED: "green",
    Status.CACHED: "green",
    Status.UP_TO_DATE: "cyan",
    Status.FAILED: "red",
    Status.CANCELLED: "magenta",
    Status.RUNNING: "yellow",
    Status.UPSTREAM_FAILED: "red",
}


def console() -> Console:
    """Standard output; wide enough for whole ids where it is no terminal."""
    found = Console(highlight=False, soft_wrap=True)
    if not found.is_terminal:
        found.width = 200
    return found


def plain(text: str) -> str:
    """Text without control characters: what a workflow names must not steer the terminal."""
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)


def status(value: str) -> Text:
    return Text(str(value), _COLOURS.get(value, ""))


def local_time(time: str) -> str:
    """An event's time in the local zone, to the second."""
    return datetime.fromisoformat(time).astimezone().strftime("%Y-%m-%d %H:%M:%S") if time else ""


def duration(seconds: float | None) -> str:
    if seconds is None:
        return ""
    if seconds < 60:
        return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def size(value: float | None) -> str:
    """Bytes in decimal units."""
    if value is None:
        return ""
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def energy(figure: Figure | None) -> str:
    """Joules, as one figure or as the bounds of an estimate."""
    if figure is None:
        return ""
    if figure.value is not None:
        return f"{figure.value:.3g} J"
    if figure.low is not None and figure.high is not None:
        return f"{figure.low:.3g}-{figure.high:.3g} J"
    return ""


def grams(kilograms: Figure) -> str:
    """Of CO2 equivalent, as one figure or as the bounds of an estimate."""
    bounds = [kilograms.value] if kilograms.value is not None else [kilograms.low, kilograms.high]
    return "-".join(f"{bound * 1000:.3g}" for bound in bounds if bound is not None) + " g"


def progress(items: Sequence[_T], what: str) -> Iterable[_T]:
    """The items, with a bar on stderr where that is a terminal and they are many."""
    if len(items) < 20 or not sys.stderr.isatty():
        return items
    return track(items, description=what, console=Console(stderr=True), transient=True)
