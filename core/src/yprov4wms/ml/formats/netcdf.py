"""A NetCDF-4 file with a group per series, as `yprov4wms.ml.formats.groups` says.

Needs netCDF4. ``xarray.open_datatree(path)`` reads all, ``xarray.open_dataset(path,
group="training/loss")`` one.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from yprov4wms.ml.formats import library
from yprov4wms.ml.formats.groups import (
    DIMENSION,
    OF_TIME,
    about,
    has_steps,
    named,
    of_run,
    of_step,
    of_value,
)

if TYPE_CHECKING:
    from yprov4wms.ml.formats import Options
    from yprov4wms.ml.metrics import Series
    from yprov4wms.run import MLRun

#: Values that are not worth the index of a compressed variable.
_SMALL = 256


def write(run: MLRun, series: Iterable[Series], path: str, options: Options) -> None:
    """Compressed by zlib with shuffled bytes, or not."""
    library("netCDF4", "NetCDF", "netcdf")
    import netCDF4
    import numpy

    with netCDF4.Dataset(path, "w", format="NETCDF4") as file:
        _describe(file, of_run(run))
        waiting = []
        for name, one in named(series):
            group = file.createGroup(name)
            _describe(group, about(one))
            group.createDimension(DIMENSION, len(one.column.values))
            columns: list[tuple[str, str, array[Any], dict[str, Any]]] = [
                ("time", "i8", one.column.times, OF_TIME)
            ]
            if has_steps(one):
                columns.append(("step", "i8", one.column.steps, of_step(one)))
            columns.append(("value", "f8", one.column.values, of_value(one)))
            for variable, kind, values, attributes in columns:
                made = _variable(group, variable, kind, len(values), options.compress)
                _describe(made, attributes)
                waiting.append((made, kind, values))
        # Each change between defining and writing costs as much as there are variables.
        for made, kind, values in waiting:
            if values:
                made[:] = numpy.frombuffer(values, dtype=kind)


def _variable(group: Any, name: str, kind: str, rows: int, compress: bool) -> Any:
    return group.createVariable(
        name,
        kind,
        (DIMENSION,),
        compression="zlib" if compress and rows > _SMALL else None,
        complevel=4,
        # A reader masks what equals it, and of integers xarray makes float64 then.
        fill_value=math.nan if kind == "f8" else False,
    )


def _describe(thing: Any, attributes: dict[str, Any]) -> None:
    import numpy

    for name, value in attributes.items():
        # A string of NetCDF ends at NUL.
        plain = value.replace("\0", "\ufffd") if isinstance(value, str) else numpy.int64(value)
        thing.setncattr(name, plain)
