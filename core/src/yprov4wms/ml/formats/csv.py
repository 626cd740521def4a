"""One long table as text: a row per value, series by series.

Columns: name, context, source, unit, rank, step, value, time. What is missing is empty.
Values are the shortest text that reads back to the same float64, with ``nan``, ``inf`` and
``-inf``; times are as in ``2026-01-31T12:00:00.000001+00:00``.
"""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

from yprov4wms.ml._series import NO_STEP

if TYPE_CHECKING:
    from yprov4wms.ml.formats import Options
    from yprov4wms.ml.metrics import Series
    from yprov4wms.run import MLRun

HEAD = ("name", "context", "source", "unit", "rank", "step", "value", "time")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def write(run: MLRun, series: Iterable[Series], path: str, options: Options) -> None:
    """Compressed by gzip where the name ends in ``.gz``."""
    with Path(path).open("xb") as file, _opened(file, path) as text:
        rows = csv.writer(text, delimiter=options.separator, lineterminator="\n")
        rows.writerow(HEAD)
        for one in series:
            rows.writerows(_rows(one))


@contextlib.contextmanager
def _opened(file: IO[bytes], path: str) -> Iterator[io.TextIOWrapper]:
    with contextlib.ExitStack() as stack:
        if path.endswith(".gz"):
            packed = gzip.GzipFile(fileobj=file, mode="wb", filename="", mtime=0, compresslevel=6)
            file = cast("IO[bytes]", stack.enter_context(packed))
        text = io.TextIOWrapper(file, "utf-8", errors="replace", newline="")
        yield text
        text.flush()
        text.detach()


def _rows(series: Series) -> Iterator[tuple[object, ...]]:
    about = (series.name, series.context, series.source, series.unit, series.rank)
    column = series.column
    for step, value, moment in zip(column.steps, column.values, column.times, strict=True):
        yield (*about, None if step == NO_STEP else step, repr(value), _time(moment))


def _time(microseconds: int) -> str:
    try:
        moment = _EPOCH + timedelta(microseconds=microseconds)
    except OverflowError:  # a year that Python's calendar has not
        return ""
    return moment.isoformat(timespec="microseconds")
