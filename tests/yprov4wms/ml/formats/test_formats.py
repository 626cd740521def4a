"""Metrics in formats of others: what pandas, xarray, pyarrow and zarr read is what was logged."""

from __future__ import annotations

import json
import math
import os
import struct
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import fsspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import yprov4wms
from yprov4wms import ml
from yprov4wms.ml import formats, metrics, recorder
from yprov4wms.ml._series import NO_STEP
from yprov4wms.ml.formats import groups
from yprov4wms.store import RunFolder, StoreError

numpy = pytest.importorskip("numpy")

SOURCE = str(Path(yprov4wms.__file__).parents[1])

#: A row: name, context, source, unit, rank, step, the value's bits, microseconds.
Row = tuple[Any, ...]


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("YPROV_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("YPROV_EXPORT", "never")
    monkeypatch.chdir(tmp_path)


def bits(value: float) -> str:
    return "nan" if math.isnan(value) else struct.pack("<d", value).hex()


def logged(folder: RunFolder) -> list[Row]:
    return [
        (s.name, s.context, s.source, s.unit, s.rank, None if step == NO_STEP else step,
         bits(value), moment)
        for s in metrics.read(folder)
        for step, value, moment in zip(
            s.column.steps, s.column.values, s.column.times, strict=True
        )
    ]  # fmt: skip


# -- a reader for each format, by the libraries that people use -------------------


def pandas_csv(path: str) -> list[Row]:
    pandas = pytest.importorskip("pandas")
    table = pandas.read_csv(
        path,
        dtype={"rank": "Int64", "step": "Int64"},
        parse_dates=["time"],
        # From pandas 3 on this is the default.
        float_precision="round_trip" if pandas.__version__ < "3" else None,
        keep_default_na=False,
        na_values={
            **{name: [""] for name in ("context", "source", "unit", "rank", "step", "time")},
            "value": ["nan"],
        },
    )
    return _of_table(table)


def pandas_parquet(path: str) -> list[Row]:
    pytest.importorskip("pyarrow")
    return _of_table(pytest.importorskip("pandas").read_parquet(path))


def _of_table(table: Any) -> list[Row]:
    import pandas

    def plain(value: Any) -> Any:
        return None if pandas.isna(value) else value

    table = table.copy()
    table["time"] = table["time"].astype("datetime64[us, UTC]").astype("int64")
    assert (str(table["step"].dtype), str(table["rank"].dtype)) == ("Int64", "Int64")
    return [
        (*map(plain, row[:4]), *(None if plain(n) is None else int(n) for n in row[4:6]),
         bits(row[6]), row[7])
        for row in table.itertuples(index=False)
    ]  # fmt: skip


def arrow(path: str) -> list[Row]:
    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(path)
    columns = [table[name].to_pylist() for name in table.column_names[:6]]
    values = table["value"].to_pylist()
    times = table["time"].cast("int64").to_pylist()
    return [(*row[:6], bits(row[6]), row[7]) for row in zip(*columns, values, times, strict=True)]


def xarray_netcdf(path: str) -> list[Row]:
    pytest.importorskip("netCDF4")
    return _of_tree(pytest.importorskip("xarray").open_datatree(path, engine="netcdf4"))


def xarray_zarr(path: str) -> list[Row]:
    pytest.importorskip("zarr", "3")
    return _of_tree(pytest.importorskip("xarray", "2025.1").open_datatree(path, engine="zarr"))


def _of_tree(tree: Any) -> list[Row]:
    found = []
    for node in tree.leaves:
        names = ("name", "context", "source", "unit", "rank")
        said = [_plain(node.attrs.get(name)) for name in names]
        if "value" not in node:
            continue
        rows = len(node["value"])
        assert node["value"].dtype == "f8"
        steps: list[int | None] = [None] * rows
        if "step" in node:
            assert node["step"].dtype == "i8"
            missing = node["step"].attrs.get("missing_step")
            steps = [None if s == missing else s for s in node["step"].values.tolist()]
        times = node["time"].values.astype("M8[us]").astype("i8").tolist()
        values = map(bits, node["value"].values.tolist())
        found += [(*said, *row) for row in zip(steps, values, times, strict=True)]
    tree.close()
    return found


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value


def netcdf4(path: str) -> list[Row]:
    netcdf = pytest.importorskip("netCDF4")
    with netcdf.Dataset(path) as file:
        return _of_groups(_leaves(file))


def zarr3(path: str) -> list[Row]:
    zarr = pytest.importorskip("zarr", "3")
    root = zarr.open_group(path, mode="r")
    return _of_groups(
        (dict(group.attrs), {name: (array[:], dict(array.attrs)) for name, array in group.arrays()})
        for _, group in sorted(root.members(max_depth=None))
        if isinstance(group, zarr.Group)
    )


def _leaves(group: Any) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    names = {
        name: (v[:], {a: v.getncattr(a) for a in v.ncattrs()})
        for name, v in group.variables.items()
    }
    yield {name: group.getncattr(name) for name in group.ncattrs()}, names
    for inner in group.groups.values():
        yield from _leaves(inner)


def _of_groups(found: Any) -> list[Row]:
    rows = []
    for said, arrays in found:
        if "value" not in arrays:
            continue
        about = [_plain(said.get(name)) for name in ("name", "context", "source", "unit", "rank")]
        values, times = arrays["value"][0], arrays["time"][0]
        if hasattr(values, "mask"):
            assert not numpy.isfinite(values.data[values.mask]).any()
            values = values.filled(math.nan)
        steps = [None] * len(values)
        if "step" in arrays:
            array, attributes = arrays["step"]
            steps = [None if s == attributes.get("missing_step") else s for s in array.tolist()]
        rows += [
            (*about, *row)
            for row in zip(steps, map(bits, values.tolist()), times.tolist(), strict=True)
        ]
    return rows


READERS: list[tuple[str, Callable[[str], list[Row]]]] = [
    ("csv", pandas_csv),
    ("parquet", pandas_parquet),
    ("parquet", arrow),
    ("netcdf", xarray_netcdf),
    ("netcdf", netcdf4),
    ("zarr", xarray_zarr),
    ("zarr", zarr3),
]
LIBRARIES = {"csv": "csv", "parquet": "pyarrow", "netcdf": "netCDF4", "zarr": "zarr"}
every = pytest.mark.parametrize(
    ("form", "reader"), READERS, ids=[reader.__name__ for _, reader in READERS]
)
each = pytest.mark.parametrize("form", formats.FORMATS)


def needs(form: str) -> None:
    pytest.importorskip(LIBRARIES[form])


def ordered(rows: list[Row]) -> list[tuple[str, ...]]:
    """As text, for None has no order; rows of a series stay as they are to each other."""
    return sorted((tuple(map(repr, row[:5])), number, *map(repr, row[5:])) for number, row in
                  _numbered(rows))  # fmt: skip


def _numbered(rows: list[Row]) -> Iterator[tuple[int, Row]]:
    counts: dict[tuple[Any, ...], int] = {}
    for row in rows:
        number = counts[row[:5]] = counts.get(row[:5], 0) + 1
        yield number, row


NAMES = (
    *("a/b", "a_b", "A_B", "..", ".", "zarr.json", "__x", "-", "日本 😀", "é", "e\u0301"),
    *("x" * 300, "x" * 299 + "y", " ", 'a\nb\t"c",\';', "value", "NA", "nan"),
)


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run with all that is odd, of two ranks."""
    store = tmp_path_factory.mktemp("odd") / "store"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("YPROV_EXPORT", "never")
        for rank in (0, 1):
            patch.setitem(recorder._started, "odd", 0)
            with ml.start_run("odd", name="é", store=store, rank=rank) as run:
                for step, value in enumerate(
                    [
                        math.nan,
                        math.inf,
                        -math.inf,
                        -0.0,
                        0.0,
                        5e-324,
                        2.2e-308,
                        9.969209968386869e36,
                    ]
                ):
                    ml.log_metric("odd", value, step=step, context="training")
                ml.log_metric("steps", 1.0, step=2**53 + 1)
                ml.log_metric("steps", 2.0)
                ml.log_metric("steps", 3.0, step=-(2**63) + 1)
                ml.log_metric("steps", 4.0, step=2**63 - 1)
                ml.log_metric("steps", 5.0, step=2**53 + 1)
                ml.log_metric("no steps", -0.0)
                ml.log_metric("no steps", -0.0)
                for name in NAMES:
                    ml.log_metric(name, 1.5, context="a/b", step=0)
                    ml.log_metric(name, 2.5, context="a_b", step=0)
                ml.log_metric("training", 1.0, context="run")
                ml.log_metric("training", 2.0)
                ml.log_metric("odd", 1.0, context="training", source="another", timestamp=-1e12)
                for unit in ("%", "s", "seconds", "days since 2000-01-01", "GiB"):
                    run._value((f"in {unit}", None, "proc"), 1.0, None, 10**15, unit)
                for step in range(1000):
                    ml.log_metric("long", step / 7, "training", step)
                # Declared, and then the process is killed before the first block.
                run._declare(("empty", None, None), None)
    return run.folder


@every
@pytest.mark.parametrize("compress", [True, False])
def test_what_is_read_is_what_was_logged(odd, tmp_path, form, reader, compress):
    needs(form)
    path = tmp_path / formats.file_name(form, formats.Options(compress))
    assert metrics.export(odd, form, path, compress=compress) == str(path)
    expected = logged(odd)
    assert len(expected) > 2000
    assert ordered(reader(str(path))) == ordered(expected)


values = st.tuples(
    st.sampled_from(["m", "n/o", "ü"]),
    st.sampled_from([None, "training", "a b"]),
    st.none() | st.integers(-(2**63) + 1, 2**63 - 1),
    st.floats(),
    st.integers(-(10**15), 4 * 10**15),  # ms: some 30,000 years back, and more than Python has
)


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(values, max_size=30))
def test_nothing_is_lost_between_formats(tmp_path_factory, found):
    folder = tmp_path_factory.mktemp("any")
    with ml.start_run("x", store=folder / "store") as run:
        for name, context, step, value, _ in found:
            ml.log_metric(name, value, context, step)
    expected = ordered(logged(run.folder))
    for form, reader in READERS:
        try:
            path = metrics.export(run.folder, form, folder / f"m.{form}")
            read = reader(path)
        except (ImportError, pytest.skip.Exception):
            continue
        assert ordered(read) == expected, form


@each
def test_a_thousand_series(tmp_path, form):
    needs(form)
    with ml.start_run("x") as run:
        for number in range(1000):
            ml.log_metric(f"m{number}", number, context="many", step=number)
    path = metrics.export(run.folder, form, tmp_path / f"m.{form}")
    reader = {"csv": pandas_csv, "parquet": arrow, "netcdf": netcdf4, "zarr": zarr3}[form]
    assert ordered(reader(path)) == ordered(logged(run.folder))


@each
def test_an_empty_series_and_no_series_at_all(tmp_path, form):
    needs(form)
    run = ml.start_run("x")
    reader = {"csv": pandas_csv, "parquet": arrow, "netcdf": netcdf4, "zarr": zarr3}[form]
    assert reader(metrics.export(run.folder, form, tmp_path / f"a.{form}")) == []
    run._declare(("empty", "c", None), None)
    assert reader(metrics.export(run.folder, form, tmp_path / f"b.{form}")) == []
    ml.end_run()


def test_an_empty_series_stands_in_parquets_metadata(odd, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    path = metrics.export(odd, "parquet", tmp_path / "m.parquet")
    said = json.loads(parquet.read_schema(path).metadata[b"yprov4wms"])
    assert (said["experiment"], said["run_name"]) == ("odd", "é")
    assert {"name": "empty", "rank": 0} in said["series"]
    kinds = parquet.read_schema(path)
    assert str(kinds.field("time").type) == "timestamp[us, tz=UTC]"
    assert "dictionary" in str(kinds.field("name").type)


def test_long_tables_keep_their_dictionaries_over_row_groups(tmp_path, monkeypatch):
    pytest.importorskip("pyarrow")
    from yprov4wms.ml.formats import parquet

    monkeypatch.setattr(parquet, "_GROUP", 7)
    with ml.start_run("x") as run:
        for number in range(50):
            ml.log_metric(f"m{number % 5}", number, context=f"c{number % 2}")
    path = metrics.export(run.folder, "parquet", tmp_path / "m.parquet")
    assert ordered(arrow(path)) == ordered(logged(run.folder))


def test_groups_are_where_one_looks_for_them(odd, tmp_path):
    pytest.importorskip("netCDF4")
    xarray = pytest.importorskip("xarray")
    path = metrics.export(odd, "netcdf", tmp_path / "m.nc", rank=0)
    with xarray.open_dataset(path, group="rank_0/training/long") as one:
        assert one["value"].plot is not None
        assert set(one.coords) == {"time", "step"}
        assert one["value"].attrs["long_name"] == "long"
    with xarray.open_datatree(path) as tree:
        assert tree.attrs["experiment"] == "odd"
        assert tree["rank_0/run/in %"]["value"].attrs["units"] == "%"
        assert "units" not in tree["rank_0/run/in seconds"]["value"].attrs
        assert tree["rank_0/run/in seconds"].attrs["unit"] == "seconds"
        assert "rank_1" not in tree.children


def test_some_series_alone(odd, tmp_path):
    path = metrics.export(odd, "csv", tmp_path / "m.csv", name="odd", context="training", rank=1)
    rows = Path(path).read_text().splitlines()
    assert len(rows) == 1 + 9
    assert rows[0] == "name,context,source,unit,rank,step,value,time"
    assert rows[1].startswith("odd,training,,,1,0,nan,2")
    moment = rows[1].rpartition(",")[2]
    assert datetime.fromisoformat(moment).isoformat(timespec="microseconds") == moment


def test_csv_with_another_separator(tmp_path):
    with ml.start_run("x") as run:
        ml.log_metric("a,b;c", 1.0)
    path = metrics.export(run.folder, "csv", tmp_path / "m.csv", csv_separator=";")
    assert Path(path).read_text().splitlines()[1].startswith('"a,b;c";;;;;;1.0;')


@given(st.lists(st.tuples(st.text(min_size=1), st.none() | st.text(min_size=1)), max_size=20))
def test_group_names_are_safe_and_differ(names):
    series = [metrics.Series(name=n, context=c, column=metrics.Column()) for n, c in names]
    paths = [path for path, _ in groups.named(series)]
    assert len({path.casefold() for path in paths}) == len(paths)
    for path in paths:
        parts = path.split("/")
        assert len(parts) == 2
        for part in parts:
            assert 0 < len(part.encode("utf-8", "surrogatepass")) <= 255
            assert part.strip(" ") == part
            assert not part.startswith((".", "__", "-"))
            assert part != "zarr.json"


@each
def test_a_run_that_goes_on_is_written_as_it_is_now(tmp_path, form):
    needs(form)
    run = ml.start_run("x")
    ml.log_metric("loss", 1.0)
    run.buffer.flush(wait=True)
    reader = {"csv": pandas_csv, "parquet": arrow, "netcdf": netcdf4, "zarr": zarr3}[form]
    target = tmp_path / f"m.{form}"
    metrics.export(run.folder, form, target)
    assert len(reader(str(target))) == 1
    ml.log_metric("loss", 2.0)
    ml.end_run()
    metrics.export(run.folder, form, target)
    assert len(reader(str(target))) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == [".yprov", target.name]


def test_a_run_that_was_killed_is_written(tmp_path):
    code = f"""
        import os, sys, time
        sys.path.insert(0, {SOURCE!r})
        from yprov4wms import ml
        run = ml.start_run("x", store={str(tmp_path / "store")!r})
        ml.log_metric("loss", 0.5, step=3)
        run.buffer.flush(wait=True)
        print(run.folder.location, flush=True)
        os.kill(os.getpid(), 9)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False
    )
    path = metrics.export(done.stdout.strip(), "csv")
    assert path == f"{done.stdout.strip()}/metrics.csv.gz"
    assert [row[:7] for row in pandas_csv(path)] == [("loss", None, None, None, None, 3, bits(0.5))]


@each
def test_to_a_url(form):
    needs(form)
    with ml.start_run("x", store="memory://formats-store") as run:
        ml.log_metric("loss", 1.0)
    for _ in range(2):
        path = metrics.export(run.folder, form)
    fs = fsspec.filesystem("memory")
    assert path.startswith(f"memory://formats-store/{run.id}/metrics.")
    assert fs.exists(path)
    if form == "zarr":
        assert fs.exists(f"{path}/run/loss/value/c/0")


@each
def test_a_file_that_cannot_be_made_leaves_the_old_one(tmp_path, form, monkeypatch):
    needs(form)
    with ml.start_run("x") as run:
        ml.log_metric("loss", 1.0)
    target = tmp_path / "m"
    metrics.export(run.folder, form, target)
    before = sorted((p.relative_to(target), p.stat().st_ino) for p in [target, *target.rglob("*")])

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(formats.os, "replace", full)
    with pytest.raises(OSError, match="No space"):
        metrics.export(run.folder, form, target)
    after = sorted((p.relative_to(target), p.stat().st_ino) for p in [target, *target.rglob("*")])
    assert after == before
    assert sorted(path.name for path in tmp_path.iterdir()) == [".yprov", "m"]


@pytest.mark.parametrize(
    ("form", "missing", "extra"),
    [("netcdf", "netCDF4", "netcdf"), ("zarr", "zarr", "zarr"), ("parquet", "pyarrow", "parquet")],
)
def test_a_missing_library_is_an_error_that_says_what_to_install(
    tmp_path, monkeypatch, form, missing, extra
):
    with ml.start_run("x") as run:
        pass
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ImportError, match=rf"{missing}.*pip install 'yprov4wms\[{extra}\]'"):
        metrics.export(run.folder, form, tmp_path / "m")
    assert not (tmp_path / "m").exists()


def test_an_old_zarr_is_no_zarr(tmp_path, monkeypatch):
    zarr = pytest.importorskip("zarr")
    with ml.start_run("x") as run:
        pass
    monkeypatch.setattr(zarr, "__version__", "2.18.7")
    with pytest.raises(ImportError, match=r"zarr 3, not 2\.18\.7"):
        metrics.export(run.folder, "zarr", tmp_path / "m")


@pytest.mark.parametrize("form", ["netcdf", "zarr", "parquet"])
def test_at_the_exit_of_the_interpreter_too(tmp_path, form):
    """Where no library can start a thread any more."""
    needs(form)
    with ml.start_run("x") as run:
        ml.log_metric("loss", 1.0)
    code = f"""
        import atexit, sys
        sys.path.insert(0, {SOURCE!r})
        from yprov4wms.ml import metrics
        atexit.register(metrics.export, {run.folder.location!r}, {form!r}, {str(tmp_path / "m")!r})
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    reader = {"parquet": arrow, "netcdf": netcdf4, "zarr": zarr3}[form]
    assert len(reader(str(tmp_path / "m"))) == 1


def test_wrong_use(tmp_path):
    with ml.start_run("x") as run:
        pass
    with pytest.raises(ValueError, match="'xlsx' is not one of csv, netcdf, zarr, parquet"):
        metrics.export(run.folder, "xlsx", tmp_path / "m")
    with pytest.raises(StoreError):
        metrics.export(tmp_path / "absent", "csv", tmp_path / "m")
