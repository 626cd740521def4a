"""Metric series as yProv4ML keeps them, summarised: CSV, NetCDF, Zarr."""

from __future__ import annotations

import math
import re
import stat
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple, TextIO

SUFFIXES = (".csv", ".nc", ".zarr")

_NUMBER = re.compile(r"(?:np\.\w+\()?([-+]?(?:\d+\.?\d*(?:e[-+]?\d+)?|\.\d+|inf|nan))\)?", re.I)
_LONGEST_ROW = 4096
_SEPARATORS = ",\t;|"


class Series(NamedTuple):
    """A series without its values.

    names: metric, context and source, where the file says them. first_ms, last_ms: times of
    the first and last value, in ms since the epoch. missing: values that are none.
    """

    values: int
    first: float | None
    last: float | None
    low: float | None
    high: float | None
    missing: int = 0
    first_ms: int | None = None
    last_ms: int | None = None
    names: tuple[str, ...] = ()
    unreadable: int = 0

    def attributes(self) -> dict[str, Any]:
        return {
            "yprov4wms:count": self.values,
            "yprov4wms:first": self.first,
            "yprov4wms:last": self.last,
            "yprov4wms:min": self.low,
            "yprov4wms:max": self.high,
            "yprov4wms:missing_values": self.missing or None,
        }


class SeriesError(ValueError):
    """Why a series cannot be read."""


def read(path: Path) -> Series:
    """Raises SeriesError or OSError."""
    if not (stat.S_ISDIR if path.suffix == ".zarr" else stat.S_ISREG)(path.stat().st_mode):
        raise SeriesError("it is no file")
    if path.suffix == ".csv":
        return _csv(path)
    reader = {".nc": _netcdf, ".zarr": _zarr}.get(path.suffix)
    if reader is None:
        raise SeriesError(f"no format of metrics that is known: {path.suffix or path.name}")
    try:
        values, times, names = reader(path)
    except SeriesError:
        raise
    except Exception as error:  # of libraries that are not ours
        raise SeriesError(f"{type(error).__name__}: {error}") from error
    return _summary(zip(values, times, strict=False), names)


def of_text(values: str, times: str = "") -> Series:
    """Of a list as numpy or Python prints it; what numpy left out (``...``) is not counted."""
    found: list[float | None] = [float(n) for n in _NUMBER.findall(values)]
    moments = [int(float(n)) for n in _NUMBER.findall(times)]
    padded = moments if len(moments) == len(found) else [0] * len(found)
    return _summary(zip(found, padded, strict=True), ())


def _summary(rows: Iterable[tuple[float | None, int]], names: tuple[str, ...]) -> Series:
    count = missing = 0
    first = last = low = high = None
    first_ms = last_ms = None
    for value, moment in rows:
        count += 1
        if moment:
            first_ms = moment if first_ms is None else first_ms
            last_ms = moment
        if value is None:
            missing += 1
            continue
        first = value if first is None else first
        last = value
        if not math.isnan(value):
            low = value if low is None or value < low else low
            high = value if high is None or value > high else high
    return Series(count, first, last, low, high, missing, first_ms, last_ms, names)


def _csv(path: Path) -> Series:
    """The columns are step, value and time; the first row is their names, or what the series
    is of. A last row that is cut short, of a writer that was killed, is none."""
    bad: list[int] = [0]
    with path.open(encoding="utf-8", errors="replace", newline="\n") as file:
        head = file.readline(_LONGEST_ROW)
        separator = max(_SEPARATORS, key=head.count)
        names = tuple(head.strip().split(separator))
        if names[1:2] == ("value",) or head.count(separator) < 2:
            names = ()
        found = _summary(_rows(file, separator, bad), names)
    return found._replace(unreadable=bad[0])


def _rows(file: TextIO, separator: str, bad: list[int]) -> Iterator[tuple[float | None, int]]:
    while line := file.readline(_LONGEST_ROW):
        if not line.endswith("\n") and len(line) < _LONGEST_ROW:
            return
        if not line.strip():
            continue
        try:
            _, value, moment = line.strip().split(separator)
            number = None if value in ("None", "") else float(value)
            yield number, int(float(moment)) if moment not in ("None", "") else 0
        except (ValueError, OverflowError):
            bad[0] += 1


_Arrays = tuple[Iterable[float | None], Iterable[int], tuple[str, ...]]


def _library(*names: str) -> Any:
    for name in names:
        try:
            return import_module(name)
        except ImportError:
            continue
    raise SeriesError(f"{' or '.join(names)} is not installed here")


def _netcdf(path: Path) -> _Arrays:
    library = _library("netCDF4", "h5py")
    with (library.Dataset if library.__name__ == "netCDF4" else library.File)(str(path)) as data:
        arrays = data.variables if hasattr(data, "variables") else data
        said = data.__dict__ if hasattr(data, "variables") else dict(data.attrs)
        names = tuple(_text(said.get(name, "")) for name in ("_name", "_context", "_source"))
        return _written(arrays["values"]), _whole(_written(arrays["timestamps"])), names


def _written(array: Any) -> list[Any]:
    """A variable's values, None for what was never written: netCDF4 masks it, by h5py it is
    what NetCDF fills up with; HDF5 itself fills up with 0."""
    fill = getattr(array, "fillvalue", None)
    found: list[Any] = array[:].tolist()
    return [None if value is None or (fill and value == fill) else value for value in found]


def _zarr(path: Path) -> _Arrays:
    data = _library("zarr").open_group(str(path), mode="r")
    names = tuple(_text(data.attrs.get(name, "")) for name in ("_name", "_context", "_source"))
    return data["values"][:].tolist(), _whole(data["timestamps"][:].tolist()), names


def _whole(values: list[Any]) -> list[int]:
    return [int(value or 0) for value in values]


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
