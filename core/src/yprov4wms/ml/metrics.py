"""Reads the metrics of ML runs: their values as arrays or a data frame.

::

    from yprov4wms.ml import metrics

    for series in metrics.read(".yprov/0193.../"):
        print(series.name, series.context, series.values.mean())
    metrics.export(".yprov/0193.../", "parquet", "metrics.parquet")

A run is read while it goes on, too: what is in its files is whole blocks of values, at
most a second old.
"""

from __future__ import annotations

import contextlib
import math
import sys
import threading
import zlib
from array import array
from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, cast

import msgspec

from yprov4wms.ml._series import ALIKE, HEADER, LENGTH, MARK, MOST, NO_STEP, ZLIB, spool

if TYPE_CHECKING:
    import os

    import numpy
    import pandas

    from yprov4wms.events import MLMetricDeclared
    from yprov4wms.run import MLRun
    from yprov4wms.store import RunFolder

#: A run's folder: path or fsspec URL, or ``folder`` of the run that is active.
Place: TypeAlias = "str | os.PathLike[str] | RunFolder"


class Block(NamedTuple):
    """Rows in the order in which they were logged, as columns of one length.

    series: uint32. steps: int64, `NO_STEP` for none. values: float64. times: microseconds
    since the epoch, int64.
    """

    series: array[int]
    steps: array[int]
    values: array[float]
    times: array[int]


class Column(msgspec.Struct):
    """One series, as `Block` has it."""

    steps: array[int] = msgspec.field(default_factory=lambda: array("q"))
    values: array[float] = msgspec.field(default_factory=lambda: array("d"))
    times: array[int] = msgspec.field(default_factory=lambda: array("q"))


class Summary(NamedTuple):
    """What a document says of a series.

    count: its values, those that are not numbers (NaN) included.
    first, last: in the order in which they were logged; may be NaN or infinite.
    min, max: over the values that are numbers; None where there is none.
    """

    count: int  # type: ignore[assignment]  # hides a method of tuples
    first: float | None
    last: float | None
    min: float | None
    max: float | None


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """One series of one writer; a run of several ranks has one of each.

    name, context, source, unit: as logged. rank: None where the run has no ranks.
    """

    name: str
    context: str | None = None
    source: str | None = None
    unit: str | None = None
    rank: int | None = None
    column: Column

    @property
    def values(self) -> numpy.ndarray:
        """float64, shape (n,), in the order of logging. Needs NumPy."""
        return _array(self.column.values, "f8")

    @property
    def times(self) -> numpy.ndarray:
        """datetime64[us], UTC, shape (n,). Needs NumPy."""
        return _array(self.column.times, "i8").view("M8[us]")

    @property
    def steps(self) -> numpy.ma.MaskedArray:
        """int64, shape (n,), masked where no step was given. Needs NumPy."""
        import numpy

        found = _array(self.column.steps, "i8")
        return numpy.ma.masked_equal(found, NO_STEP, copy=False)

    def summary(self) -> Summary:
        return summarise(self.column.values)


def _array(column: array[Any], kind: str) -> numpy.ndarray:
    import numpy

    return numpy.array(column, dtype=kind)


def read(
    run: Place,
    name: str | None = None,
    *,
    context: str | None = None,
    source: str | None = None,
    rank: int | None = None,
) -> list[Series]:
    """The series of an ML run, in the order in which they began, rank by rank.

    name, context, source, rank: what the series are to have. Raises StoreError where there
    is no ML run.
    """
    found, folder = _opened(run)
    return list(_chosen(found, folder, name=name, context=context, source=source, rank=rank))


def _opened(run: Place) -> tuple[MLRun, RunFolder]:
    from yprov4wms.replay import replay
    from yprov4wms.run import MLRun
    from yprov4wms.store import RunFolder, StoreError

    folder = RunFolder(_location(run))
    found = replay(folder)
    if not isinstance(found, MLRun):
        raise StoreError(f"{folder.location}: not an ML run")
    return found, folder


def _location(run: Place) -> str:
    import os

    return str(getattr(run, "location", None) or os.fspath(cast("str", run)).rstrip("/"))


def _chosen(run: MLRun, folder: RunFolder, **wanted: Any) -> Iterator[Series]:
    asked = {key: value for key, value in wanted.items() if value is not None}
    for series in all_series(run, folder):
        if all(getattr(series, key) == value for key, value in asked.items()):
            yield series


def frame(run: Place, **wanted: Any) -> pandas.DataFrame:
    """The same as one table, a row per value. Needs pandas.

    Columns: name, context, source, unit (categories; missing where none), rank and step
    (Int64, missing where none), value (float64), time (datetime64[us, UTC]).
    """
    import numpy
    import pandas

    found = read(run, **wanted)
    lengths = [len(series.column.values) for series in found]

    def repeated(field: str) -> Any:
        return numpy.repeat(numpy.array([getattr(s, field) for s in found], dtype=object), lengths)

    def joined(field: str, kind: str) -> Any:
        parts = [_array(getattr(series.column, field), kind) for series in found]
        return numpy.concatenate([numpy.array([], kind), *parts])

    steps = joined("steps", "i8")
    columns = {
        key: pandas.Categorical(repeated(key)) for key in ("name", "context", "source", "unit")
    }
    return pandas.DataFrame(
        {
            **columns,
            "rank": pandas.array(repeated("rank"), dtype="Int64"),
            "step": pandas.arrays.IntegerArray(steps, steps == NO_STEP),
            "value": joined("values", "f8"),
            "time": pandas.to_datetime(joined("times", "i8").view("M8[us]"), utc=True),
        }
    )


def export(
    run: Place,
    form: str,
    path: str | os.PathLike[str] | None = None,
    *,
    compress: bool = True,
    csv_separator: str = ",",
    name: str | None = None,
    context: str | None = None,
    source: str | None = None,
    rank: int | None = None,
) -> str:
    """Write the series of an ML run, or some of them, in another format; returns where.

    How each is laid out, the modules of `yprov4wms.ml.formats` say. A run that goes on is
    written as it is now; one that was killed as it was then.

    Args:
        run: As for `read`, with ``name``, ``context``, ``source`` and ``rank``.
        form: ``csv``, ``netcdf`` (``nc``), ``zarr`` or ``parquet``.
        path: Of the file, of Zarr's folder, or fsspec URL; replaced if it is there. Without
            it, ``metrics`` with the format's suffix in the run's folder.
        compress: False to leave it uncompressed. CSV is compressed where its name, if it is
            given, ends in ``.gz``.

    Raises StoreError where there is no ML run, ValueError for an unknown format, ImportError
    that says what to install where the format's library is missing, OSError.
    """
    import os

    from yprov4wms.ml import formats

    form = {"nc": "netcdf"}.get(form, str(form))
    if form not in formats.FORMATS:
        raise ValueError(f"format {form!r} is not one of {', '.join(formats.FORMATS)}")
    folder = _location(run)
    options = formats.Options(compress, csv_separator)
    target = f"{folder}/{formats.file_name(form, options)}" if path is None else os.fspath(path)
    wanted = {"name": name, "context": context, "source": source, "rank": rank}
    if form != "csv" and not threading.main_thread().is_alive():
        # At the exit of the interpreter the libraries cannot start the threads they need.
        formats.elsewhere(folder, form, target, compress=compress, **wanted)
    else:
        found, place = _opened(folder)
        formats.write(found, _chosen(found, place, **wanted), form, target, options)
    return target


def all_series(run: MLRun, folder: RunFolder) -> Iterator[Series]:
    """All series of a run that was read already; one whose file is missing is empty."""
    files: dict[str, dict[int, Column]] = {}
    ranks = {part.start.writer: part.start.rank for part in run.ranks}
    for metric in run.metrics:
        if metric.path not in files:
            files[metric.path] = columns(content(folder, metric.path) or b"")
        yield Series(
            name=metric.name,
            context=metric.context,
            source=metric.source,
            unit=metric.unit,
            rank=ranks.get(metric.writer),
            column=files[metric.path].get(metric.series, Column()),
        )


def summaries(run: MLRun, folder: RunFolder) -> Iterator[tuple[MLMetricDeclared, Summary | None]]:
    """Each series of a run with its figures: as its writer gave them at its end, else from
    its file; None where there are none."""
    known = {
        (rank.start.writer, told.series): told
        for rank in run.ranks
        for told in (rank.end.series if rank.end else None) or ()
    }
    files: dict[str, dict[int, Column]] = {}
    for metric in run.metrics:
        told = known.get((metric.writer, metric.series))
        if told is not None:
            figures = (told.first, told.last, told.min, told.max)
            yield metric, Summary(told.count, *(None if f is None else float(f) for f in figures))
            continue
        if metric.path not in files:
            files[metric.path] = columns(content(folder, metric.path) or b"")
        column = files[metric.path].get(metric.series)
        yield metric, summarise(column.values) if column is not None else None


def content(folder: RunFolder, path: str) -> bytes | None:
    """A file of metrics, also one that its writer has not sent to a remote store; None
    where there is none."""
    try:
        return folder.read(path)
    except (OSError, ValueError):
        if not folder.remote:
            return None
    with contextlib.suppress(OSError):
        return (spool(folder.location) / path.rpartition("/")[2]).read_bytes()
    return None


def columns(data: bytes) -> dict[int, Column]:
    """The series in a file of metrics, by their numbers."""
    found: dict[int, Column] = {}
    for block in blocks(data):
        numbers = block.series
        if numbers.count(numbers[0]) == len(numbers):
            column = found.setdefault(numbers[0], Column())
            column.steps.extend(block.steps)
            column.values.extend(block.values)
            column.times.extend(block.times)
            continue
        for number, step, value, moment in zip(*block, strict=True):
            column = found.get(number) or found.setdefault(number, Column())
            column.steps.append(step)
            column.values.append(value)
            column.times.append(moment)
    return found


def blocks(data: bytes) -> Iterator[Block]:
    """The blocks of a file. What is no whole block is passed over: the last one was cut by
    the end of its writer, another one was damaged."""
    place = 0
    while (place := data.find(MARK, place)) >= 0 and place + HEADER.size <= len(data):
        _, length, checksum, count = HEADER.unpack_from(data, place)
        body = data[place + HEADER.size : place + HEADER.size + length]
        sound = 0 < count <= MOST and zlib.crc32(body, count) == checksum
        block = _block(body, count) if sound else None
        if block is None:
            place += len(MARK)
            continue
        place += HEADER.size + length
        yield block


def _block(body: bytes, count: int) -> Block | None:
    place, found = 0, []
    try:
        for kind in ("I", "q", "d", "q"):
            column, place = _column(body, place, array(kind), count)
            found.append(column)
    except (IndexError, ValueError, zlib.error):
        return None
    series, steps, values, times = found
    return Block(series, _sums(steps), values, _sums(times))


def _column(body: bytes, place: int, column: array[Any], count: int) -> tuple[array[Any], int]:
    width = column.itemsize
    kinds = body[place : place + width]
    place += width
    raw = bytearray(count * width)
    for number in range(width):
        if kinds[number] == ALIKE:
            size, plane = 1, body[place : place + 1] * count
        elif kinds[number] == ZLIB:
            size = LENGTH.size + int.from_bytes(body[place : place + LENGTH.size], "little")
            opened = zlib.decompressobj()
            plane = opened.decompress(body[place + LENGTH.size : place + size], count)
        else:
            size, plane = count, body[place : place + count]
        raw[number::width] = plane  # ValueError for another length
        place += size
    column.frombytes(bytes(raw))
    if sys.byteorder == "big":
        column.byteswap()
    return column, place


def _sums(differences: array[int]) -> array[int]:
    try:
        return array("q", accumulate(differences))
    except OverflowError:  # they wrapped around
        sums = accumulate(differences)
        return array("q", ((value + (1 << 63)) % (1 << 64) - (1 << 63) for value in sums))


def summarise(values: Iterable[float]) -> Summary:
    """Count and figures of a series."""
    found = list(values)
    numbers = [value for value in found if not math.isnan(value)]
    if not found:
        return Summary(0, None, None, None, None)
    low, high = (min(numbers), max(numbers)) if numbers else (None, None)
    return Summary(len(found), found[0], found[-1], low, high)
