"""A folder of Zarr 3 with a group per series, as `yprov4wms.ml.formats.groups` says.

Needs zarr 3. ``xarray.open_datatree(path, engine="zarr")`` reads all,
``xarray.open_zarr(path, group="training/loss")`` one.
"""

from __future__ import annotations

import warnings
from array import array
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from yprov4wms.ml.formats import MissingLibraryError, library
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

#: Values per chunk, which is one file.
_CHUNK = 1 << 18


def write(run: MLRun, series: Iterable[Series], path: str, options: Options) -> None:
    """Compressed by Blosc (Zstandard, shuffled bytes), or not."""
    library("zarr", "Zarr", "zarr")
    import zarr

    if int(zarr.__version__.partition(".")[0]) < 3:
        raise MissingLibraryError(
            f"Zarr needs zarr 3, not {zarr.__version__}: pip install 'yprov4wms[zarr]'"
        )
    root = zarr.open_group(path, mode="w-", zarr_format=3, attributes=of_run(run))
    for name, one in named(series):
        group = root.create_group(name, attributes=about(one))
        column = one.column
        _array(group, "time", column.times, options.compress, OF_TIME)
        if has_steps(one):
            _array(group, "step", column.steps, options.compress, of_step(one))
        _array(group, "value", column.values, options.compress, of_value(one))
    with warnings.catch_warnings():
        # Zarr 3 does not specify it yet; xarray reads by it, and warns where it is not there.
        warnings.simplefilter("ignore")
        zarr.consolidate_metadata(root.store)


def _array(
    group: Any, name: str, values: array[Any], compress: bool, attributes: dict[str, Any]
) -> None:
    import numpy
    import zarr

    codec = zarr.codecs.BloscCodec(
        typesize=values.itemsize, cname="zstd", clevel=5, shuffle="shuffle"
    )
    made = group.create_array(
        name,
        shape=(len(values),),
        dtype="f8" if values.typecode == "d" else "i8",
        chunks=(max(1, min(len(values), _CHUNK)),),
        compressors=[codec] if compress else None,
        dimension_names=(DIMENSION,),
        attributes=attributes,
        # A chunk that equals the fill value is no file, and -0.0 equals 0.0.
        config={"write_empty_chunks": True},
    )
    if values:
        made[:] = numpy.frombuffer(values, dtype=made.dtype)
