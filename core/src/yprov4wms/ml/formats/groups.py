"""How series are laid out in formats that have groups: NetCDF and Zarr.

Each series is a group ``<context>/<metric>``, in ``run`` where it has no context, and in a
distributed run in ``rank_<n>`` of its rank. In it are three variables over the dimension
``time``: ``value``, its coordinate ``step`` unless no step was given, and ``time``. What
cannot be in the name of a group is ``_`` there, names that would be alike are numbered;
the true names are attributes of the group: ``name``, ``context``, ``source``, ``unit``,
``rank``.

A step that is missing among others is the smallest int64, as the attribute ``missing_step``
of ``step`` says: it is no fill value, for which readers would turn all to float64.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from yprov4wms.ml._series import NO_STEP

if TYPE_CHECKING:
    from yprov4wms.ml.metrics import Series
    from yprov4wms.run import MLRun

DIMENSION = "time"

_UNSAFE = re.compile(r"[^\w .+@%()=,-]")
#: In bytes of UTF-8 under the 255 that file systems allow.
_LONGEST = 60
#: Readers take a variable with such units for times, or durations.
_OF_TIME = re.compile(
    r"(days?|hours?|hrs?|h|minutes?|min|(milli|micro|nano)?s(ec(ond)?s?)?|ms|us|ns)"
)


def named(series: Iterable[Series]) -> Iterator[tuple[str, Series]]:
    """Each series with the path of its group."""
    taken: set[str] = set()
    for one in series:
        parts = [component(one.context or "run"), component(one.name)]
        if one.rank is not None:
            parts.insert(0, f"rank_{one.rank}")
        path, number = "/".join(parts), 1
        while path.casefold() in taken:
            number += 1
            path = "/".join([*parts[:-1], f"{parts[-1]}-{number}"])
        taken.add(path.casefold())
        yield path, one


def component(name: str) -> str:
    """As a name that NetCDF, Zarr and file systems take."""
    found = _UNSAFE.sub("_", unicodedata.normalize("NFC", name))[:_LONGEST].strip()
    if found.startswith("__"):
        found = "_" + found.lstrip("_")
    if not re.match(r"\w", found) or found == "zarr.json":
        found = "_" + found
    return found.rstrip(".") or "_"


def about(series: Series) -> dict[str, Any]:
    """Attributes of its group."""
    names = ("name", "context", "source", "unit", "rank")
    return {name: value for name in names if (value := getattr(series, name)) is not None}


def of_run(run: MLRun) -> dict[str, Any]:
    """Attributes of the whole."""
    found = {"run_id": run.id, "experiment": run.start.experiment, "run_name": run.start.name}
    return {name: value for name, value in found.items() if value is not None}


def of_value(series: Series) -> dict[str, Any]:
    found = {"long_name": series.name}
    if series.unit is not None and not _OF_TIME.match(series.unit):
        found["units"] = series.unit
    if has_steps(series):
        found["coordinates"] = "step"
    return found


def of_step(series: Series) -> dict[str, Any]:
    return {"missing_step": NO_STEP} if NO_STEP in series.column.steps else {}


OF_TIME = {
    "units": "microseconds since 1970-01-01T00:00:00",
    "calendar": "proleptic_gregorian",
    "time_zone": "UTC",
}


def has_steps(series: Series) -> bool:
    """Whether any value has one, or there is none."""
    steps = series.column.steps
    return not steps or steps.count(NO_STEP) < len(steps)
