"""Metric series in the formats that yProv4ML has, written by the real libraries."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.yprov4wms.ml.readers.runs import nested, write

from yprov4wms.ml import readers
from yprov4wms.ml.readers import series

#: What stands for a value that is none is NaN here: the arrays are of floats.
STEPS, VALUES = [0, 1, 2, 3], [0.5, float("nan"), 0.25, 1.5]
TIMES = [1795251600000 + n for n in range(4)]
NAMES = {"_name": "Loss", "_context": "training", "_source": "None"}


def netcdf(path: Path, kind: str = "NETCDF4") -> None:
    library = pytest.importorskip("netCDF4")
    times = [float(time) for time in TIMES] if kind == "NETCDF3_CLASSIC" else TIMES
    with library.Dataset(str(path), "w", format=kind) as data:
        data.createDimension("time", None)
        for name, form, content in (
            ("epochs", "i4", STEPS),
            ("values", "f4", VALUES),
            ("timestamps", "f8" if kind == "NETCDF3_CLASSIC" else "i8", times),
        ):
            data.createVariable(name, form, ("time",))[:] = content
        data.setncatts(NAMES)


def netcdf_3(path: Path) -> None:
    netcdf(path, "NETCDF3_CLASSIC")


def hdf5(path: Path) -> None:
    library = pytest.importorskip("h5py")
    with library.File(str(path), "w") as data:
        data.create_dataset("epochs", data=STEPS, dtype="i4")
        data.create_dataset("values", data=VALUES, dtype="f4")
        data.create_dataset("timestamps", data=TIMES, dtype="i8")
        data.attrs.update(NAMES)


def zarr(path: Path, layout: int, consolidated: bool = False) -> None:
    library = pytest.importorskip("zarr")
    numpy = pytest.importorskip("numpy")
    group = library.open_group(str(path), mode="w", zarr_format=layout)
    for name, form, content in (
        ("epochs", "i4", STEPS),
        ("values", "f4", VALUES),
        ("timestamps", "i8", TIMES),
    ):
        array = group.create_array(name, shape=(len(content),), dtype=form, chunks=(2,))
        array[:] = numpy.array(content, form)
    group.attrs.update(NAMES)
    if consolidated:
        library.consolidate_metadata(str(path))


def zarr_2(path: Path) -> None:
    zarr(path, 2)
    assert (path / ".zgroup").exists()


def zarr_2_consolidated(path: Path) -> None:
    zarr(path, 2, consolidated=True)
    assert (path / ".zmetadata").exists()


def zarr_3(path: Path) -> None:
    zarr(path, 3)
    assert (path / "zarr.json").exists()


FORMATS = [(netcdf, "nc"), (netcdf_3, "nc"), (hdf5, "nc"), (zarr_2, "zarr")]
FORMATS += [(zarr_2_consolidated, "zarr"), (zarr_3, "zarr")]


@pytest.mark.parametrize(("made", "suffix"), FORMATS)
def test_a_series_is_summarised(tmp_path: Path, made: Callable[[Path], None], suffix: str) -> None:
    path = tmp_path / f"Loss_training_None_GR0.{suffix}"
    made(path)
    found = series.read(path)
    assert (found.values, found.first, found.last, found.low, found.high) == (
        4,
        0.5,
        1.5,
        0.25,
        1.5,
    )
    assert (found.first_ms, found.last_ms) == (TIMES[0], TIMES[-1])
    assert found.names == ("Loss", "training", "None")


@pytest.mark.parametrize("made", [netcdf, hdf5])
def test_where_netcdf4_is_not_installed_h5py_reads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: Callable[[Path], None]
) -> None:
    pytest.importorskip("h5py")
    path = tmp_path / "x.nc"
    made(path)
    monkeypatch.setitem(sys.modules, "netCDF4", None)
    found = series.read(path)
    assert (found.values, found.last, found.names) == (4, 1.5, ("Loss", "training", "None"))


@pytest.mark.parametrize(("made", "suffix"), FORMATS)
def test_the_metric_of_a_run_has_its_summary(
    tmp_path: Path, made: Callable[[Path], None], suffix: str
) -> None:
    folder = write(tmp_path)
    (csv,) = folder.rglob("*.csv")
    csv.unlink()
    made(csv.with_suffix(f".{suffix}"))
    (document,) = folder.glob("*.json")
    document.write_text(document.read_text().replace(csv.name, f"{csv.stem}.{suffix}"))
    (child,) = readers.read(folder)
    nested(child)
    (metric,) = metrics(child)
    assert metric["yprov4wms:count"]["$"] == "4"
    assert float(metric["yprov4wms:max"]["$"]) == 1.5
    assert metric["yprov4wms:series"].endswith(suffix)
    # And of one that was killed before it had a document.
    document.unlink()
    (crashed,) = readers.read(folder)
    (metric,) = metrics(crashed)
    assert (metric["prov:label"], metric["yprov:context"]) == ("Loss", "training")
    assert not crashed.complete
    assert crashed.began is not None
    assert crashed.began.startswith("2026-11-21T09:00:00")


def metrics(child: readers.ChildRun) -> list[dict[str, Any]]:
    entities = json.loads(child.content)["entity"].values()
    return [entity for entity in entities if entity.get("prov:type") == "provml:Metric"]


@pytest.mark.parametrize(("made", "suffix"), [(netcdf, "nc"), (zarr_2, "zarr"), (zarr_3, "zarr")])
def test_one_that_is_half_written_is_no_failure(
    tmp_path: Path, made: Callable[[Path], None], suffix: str
) -> None:
    path = tmp_path / f"Loss_training_None_GR0.{suffix}"
    made(path)
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.name in METADATA]
    for file in files:
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 3])
    with pytest.raises(series.SeriesError):
        series.read(path)


METADATA = (".zgroup", ".zarray", "zarr.json")


@pytest.mark.parametrize(("made", "suffix"), FORMATS)
def test_an_empty_one_has_no_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: Callable[[Path], None], suffix: str
) -> None:
    for name in ("STEPS", "VALUES", "TIMES"):
        monkeypatch.setitem(globals(), name, [])
    path = tmp_path / f"x.{suffix}"
    made(path)
    found = series.read(path)
    assert (found.values, found.first, found.last, found.first_ms) == (0, None, None, None)


@pytest.mark.parametrize("with_netcdf", [True, False])
def test_what_was_never_written_is_no_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_netcdf: bool
) -> None:
    """Between values: NetCDF fills the place up with a number."""
    library = pytest.importorskip("netCDF4")
    pytest.importorskip("h5py")
    path = tmp_path / "x.nc"
    netcdf(path)
    with library.Dataset(str(path), "a") as data:
        data["values"][5] = 2.0
        data["timestamps"][5] = TIMES[-1] + 2
    if not with_netcdf:
        monkeypatch.setitem(sys.modules, "netCDF4", None)
    found = series.read(path)
    assert (found.values, found.missing, found.last, found.high) == (6, 1, 2.0, 2.0)
    assert found.last_ms == TIMES[-1] + 2
