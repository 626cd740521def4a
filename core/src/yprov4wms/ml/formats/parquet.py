"""One long table: a row per value, series by series. Needs pyarrow.

Columns: name, context, source, unit (strings by dictionary), rank (int64), step (int64),
value (float64), time (timestamp[us, UTC]); null where something is missing. The metadata
``yprov4wms`` is JSON of the run and of each series, also those without values.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import msgspec

from yprov4wms.ml._series import NO_STEP
from yprov4wms.ml.formats import library
from yprov4wms.ml.formats.groups import about, of_run

if TYPE_CHECKING:
    from yprov4wms.ml.formats import Options
    from yprov4wms.ml.metrics import Series
    from yprov4wms.run import MLRun

#: Rows that are put together to one row group.
_GROUP = 1 << 20
_NAMES = ("name", "context", "source", "unit")

#: Without this pandas makes float64 of integers some of which are missing.
_FOR_PANDAS = {
    "index_columns": [],
    "column_indexes": [],
    "columns": [
        {
            "name": name,
            "field_name": name,
            "pandas_type": "int64",
            "numpy_type": "Int64",
            "metadata": None,
        }
        for name in ("rank", "step")
    ],
}


def write(run: MLRun, series: Iterable[Series], path: str, options: Options) -> None:
    """Compressed by Zstandard, or not."""
    library("pyarrow", "Parquet", "parquet")
    import pyarrow
    import pyarrow.parquet

    found = list(series)
    known = {**of_run(run), "series": [about(one) for one in found]}
    said = {"yprov4wms": known, "pandas": _FOR_PANDAS}
    schema = _schema().with_metadata({k: msgspec.json.encode(v) for k, v in said.items()})
    with pyarrow.parquet.ParquetWriter(
        path,
        schema,
        compression="zstd" if options.compress else "none",
        use_dictionary=[*_NAMES, "rank"],
    ) as writer:
        waiting: list[Any] = []
        rows = 0
        for one in found:
            waiting.append(_table(one, schema))
            rows += len(one.column.values)
            if rows >= _GROUP:
                _flush(writer, waiting)
                waiting, rows = [], 0
        if waiting:
            _flush(writer, waiting)


def _flush(writer: Any, tables: list[Any]) -> None:
    import pyarrow

    # Each series has dictionaries of its own, which one column chunk cannot have.
    writer.write_table(pyarrow.concat_tables(tables).unify_dictionaries(), _GROUP)


def _schema() -> Any:
    import pyarrow as pa

    return pa.schema(
        [
            *((name, pa.dictionary(pa.int32(), pa.string())) for name in _NAMES),
            ("rank", pa.int64()),
            ("step", pa.int64()),
            ("value", pa.float64()),
            ("time", pa.timestamp("us", "UTC")),
        ]
    )


def _table(series: Series, schema: Any) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    column, rows = series.column, len(series.column.values)
    steps = _array(column.steps, pa.int64())
    fields = [_alike(getattr(series, name), rows) for name in _NAMES]
    fields.append(pa.repeat(pa.scalar(series.rank, pa.int64()), rows))
    fields.append(pc.if_else(pc.not_equal(steps, NO_STEP), steps, pa.scalar(None, pa.int64())))
    fields.append(_array(column.values, pa.float64()))
    fields.append(_array(column.times, schema.field("time").type))
    return pa.Table.from_arrays(fields, schema=schema)


def _alike(text: str | None, rows: int) -> Any:
    import pyarrow as pa

    number = pa.scalar(None if text is None else 0, pa.int32())
    words = pa.array([] if text is None else [text], pa.string())
    return pa.DictionaryArray.from_arrays(pa.repeat(number, rows), words)


def _array(values: array[Any], kind: Any) -> Any:
    import pyarrow as pa

    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(values)])
