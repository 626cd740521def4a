"""Files of metrics: what is written is read, whatever cut or damaged it; a run's series."""

from __future__ import annotations

import math
import os
import signal
import struct
import subprocess
import sys
import time
import zlib
from array import array
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import yprov4wms
from yprov4wms import ml
from yprov4wms.ml import metrics, recorder
from yprov4wms.ml._series import HEADER, MARK, NO_STEP, SeriesFile, encode
from yprov4wms.ml.metrics import Summary, blocks, columns, frame, read, summarise
from yprov4wms.store import StoreError

SOURCE = str(Path(yprov4wms.__file__).parents[1])


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("YPROV_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("YPROV_EXPORT", "never")
    monkeypatch.chdir(tmp_path)


# -- blocks ------------------------------------------------------------------------

series_numbers = st.integers(0, 3) | st.integers(0, 2**32 - 1)
steps = st.none() | st.integers(-5, 5) | st.integers(-(2**63) + 1, 2**63 - 1)
moments = st.integers(0, 2**62) | st.integers(-(2**63) * 1000 + 999, (2**63 - 1) * 1000)
rows = st.lists(st.tuples(series_numbers, steps, st.floats(), moments), min_size=1, max_size=200)


def flat(found: list[tuple[int, int | None, float, int]]) -> list[object]:
    return [field for row in found for field in row]


def bits(value: float) -> bytes:
    return struct.pack("<d", value)


def unpacked(data: bytes) -> list[tuple[int, int | None, bytes, int]]:
    return [
        (number, None if step == NO_STEP else step, bits(value), moment)
        for block in blocks(data)
        for number, step, value, moment in zip(*block, strict=True)
    ]


def expected(
    found: list[tuple[int, int | None, float, int]],
) -> list[tuple[int, int | None, bytes, int]]:
    return [(number, step, bits(value), moment // 1000) for number, step, value, moment in found]


@given(rows)
def test_what_is_encoded_is_read_to_the_bit(found):
    assert unpacked(encode(flat(found))) == expected(found)


@given(st.lists(rows, max_size=4))
def test_blocks_follow_each_other(parts):
    data = b"".join(encode(flat(part)) for part in parts)
    assert unpacked(data) == [row for part in parts for row in expected(part)]
    by_series = columns(data)
    for number in {row[0] for part in parts for row in part}:
        own = [row for part in parts for row in expected(part) if row[0] == number]
        column = by_series[number]
        assert [bits(value) for value in column.values] == [row[2] for row in own]
        assert [None if s == NO_STEP else s for s in column.steps] == [row[1] for row in own]
        assert list(column.times) == [row[3] for row in own]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -0.0, 5e-324, 1.7e308, 0.1])
@pytest.mark.parametrize("count", [1, 63, 64, 1000])
def test_odd_values_survive_each_way_a_plane_is_stored(value, count):
    found = [(7, 2**53 + step, value, 1_000 * step) for step in range(count)]
    assert unpacked(encode(flat(found))) == expected(found)


def test_a_regular_series_takes_little_room_and_noise_no_more_than_it_is():
    import random

    chance = random.Random(1)
    regular = [(0, step, 0.5, 10**18 + step * 10**6) for step in range(8192)]
    noise = [
        (chance.getrandbits(32), chance.getrandbits(62), chance.random(), chance.getrandbits(61))
        for _ in range(1000)
    ]
    assert len(encode(flat(regular))) < 1000
    assert len(encode(flat(noise))) < 1000 * 28 + 100


def test_a_step_beyond_64_bits_is_an_error():
    with pytest.raises(OverflowError):
        encode([0, 2**63, 1.0, 0])


PARTS = [
    [(0, 1, 0.5, 1_000), (1, None, -0.0, 2_000)],
    [(0, step, math.sin(step), 1_000 * step) for step in range(300)],
    [(2, None, math.nan, 5_000)],
]
WHOLE = b"".join(encode(flat(part)) for part in PARTS)


def test_every_truncation_reads_as_the_blocks_before_it():
    ends, place = [], 0
    for part in PARTS:
        place += len(encode(flat(part)))
        ends.append(place)
    for cut in range(len(WHOLE) + 1):
        kept = sum(end <= cut for end in ends)
        assert unpacked(WHOLE[:cut]) == [row for part in PARTS[:kept] for row in expected(part)]


@given(st.data())
def test_a_damaged_block_takes_no_other_with_it(data):
    first, last = len(encode(flat(PARTS[0]))), len(encode(flat(PARTS[2])))
    place = data.draw(st.integers(first, len(WHOLE) - last - 1))
    broken = bytearray(WHOLE)
    broken[place] ^= data.draw(st.integers(1, 255))
    found = unpacked(bytes(broken))
    kept = [PARTS[0], PARTS[2]]
    assert found == [row for part in kept for row in expected(part)]


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_rubbish_between_blocks_is_passed_over(before, after):
    block = encode(flat(PARTS[0]))
    assert unpacked(before + block + after)[: len(PARTS[0])] == expected(PARTS[0])


@given(st.binary(max_size=400), st.integers(0, 2**32 - 1))
def test_the_reader_never_raises(body, count):
    count %= 10_000
    header = HEADER.pack(MARK, len(body), zlib.crc32(body, count), count)
    list(blocks(header + body))
    columns(body)


def test_a_claim_of_many_rows_costs_no_memory():
    import tracemalloc

    body = bytes(40)
    tracemalloc.start()
    count = 2**32 - 1
    header = HEADER.pack(MARK, len(body), zlib.crc32(body, count), count)
    assert list(blocks(header + body)) == []
    assert tracemalloc.get_traced_memory()[1] < 50_000_000
    tracemalloc.stop()


# -- summaries ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "summary"),
    [
        ([], Summary(0, None, None, None, None)),
        ([3.0, 1.0, 2.0], Summary(3, 3.0, 2.0, 1.0, 3.0)),
        ([1.0, math.inf, -math.inf], Summary(3, 1.0, -math.inf, -math.inf, math.inf)),
    ],
)
def test_summary(values, summary):
    assert summarise(values) == summary


def test_a_summary_counts_nan_but_takes_no_bound_from_it():
    found = summarise(array("d", [math.nan, 2.0, math.nan]))
    assert (found.count, found.min, found.max) == (3, 2.0, 2.0)
    assert math.isnan(found.first)
    assert math.isnan(found.last)
    assert summarise([math.nan])[3:] == (None, None)


@given(st.lists(st.floats()))
def test_a_running_run_is_summarised_as_one_that_ended(values):
    """The writer adds up block by block, a reader goes over all."""
    from yprov4wms.ml._buffer import Buffer

    buffer = Buffer(lambda where, error: pytest.fail(f"{where}: {error}"))
    for number in range(0, len(values), 3):
        chunk = values[number : number + 3]
        buffer._summarise([field for value in chunk for field in (0, None, value, 0)])
    buffer.close()
    told = buffer.summaries()
    if not values:
        assert told == []
        return
    (found,) = told
    figures = summarise(values)
    for name, figure in figures._asdict().items():
        assert repr(found.get(name)) == repr(figure) or (
            # Of zeros of both signs either is the least.
            found.get(name) == figure == 0.0
        )


# -- runs --------------------------------------------------------------------------

numpy = pytest.importorskip("numpy", reason="numpy gives the arrays")


def test_series_of_a_run_are_arrays(tmp_path):
    with ml.start_run("x") as run:
        for step in range(3):
            ml.log_metric("loss", step / 2, "training", step, timestamp=1_000.5 + step)
        ml.log_metric("loss", -0.0, source="sklearn")
        for sample, unit in (("cpu_usage_pct", "%"),):
            run._value((sample, None, "proc"), 12.5, None, 1_000, unit)
    loss, other, cpu = read(run.folder)
    assert (loss.name, loss.context, loss.source, loss.unit, loss.rank) == (
        "loss", "training", None, None, None
    )  # fmt: skip
    assert (loss.values.dtype, loss.values.tolist()) == ("f8", [0.0, 0.5, 1.0])
    assert (loss.steps.dtype, loss.steps.tolist()) == ("i8", [0, 1, 2])
    assert loss.times[0] == numpy.datetime64("1970-01-01T00:00:01.000500")
    assert loss.times.dtype == "M8[us]"
    assert loss.summary() == Summary(3, 0.0, 1.0, 0.0, 1.0)
    assert other.steps.mask.tolist() == [True]
    assert math.copysign(1, other.values[0]) == -1
    assert (cpu.unit, cpu.source) == ("%", "proc")
    assert [s.context for s in read(run.folder.location, "loss")] == ["training", None]
    assert [s.name for s in read(str(tmp_path / run.folder.location), source="proc")] == [
        "cpu_usage_pct"
    ]
    assert read(Path(run.folder.location), rank=1) == []


def test_a_run_as_a_data_frame():
    pandas = pytest.importorskip("pandas")
    with ml.start_run("x") as run:
        ml.log_metric("loss", 0.5, "training", 2**53 + 1, timestamp=0)
        ml.log_metric("loss", math.nan, timestamp=1)
    table = frame(run.folder)
    assert dict(table.dtypes.astype(str)) == {
        "name": "category",
        "context": "category",
        "source": "category",
        "unit": "category",
        "rank": "Int64",
        "step": "Int64",
        "value": "float64",
        "time": "datetime64[us, UTC]",
    }
    assert table["step"].tolist() == [2**53 + 1, pandas.NA]
    assert table["context"].isna().tolist() == [False, True]
    assert table["rank"].isna().all()
    assert table["time"].tolist()[1] == pandas.Timestamp("1970-01-01T00:00:00.001Z")
    assert len(frame(run.folder, context="training")) == 1


def test_a_run_without_values_is_an_empty_data_frame():
    pytest.importorskip("pandas")
    with ml.start_run("x") as run:
        pass
    assert len(frame(run.folder)) == 0
    assert str(frame(run.folder)["value"].dtype) == "float64"


def test_what_is_no_ml_run_is_an_error(tmp_path):
    with pytest.raises(StoreError):
        read(tmp_path)


def test_ranks_have_series_of_their_own(monkeypatch):
    runs = []
    for rank in (0, 1):
        monkeypatch.setitem(recorder._started, "x", 0)
        with ml.start_run("x", rank=rank) as run:
            ml.log_metric("loss", float(rank), step=rank)
        runs.append(run)
    assert runs[0].id == runs[1].id
    found = read(runs[0].folder)
    assert [(s.rank, s.values.tolist()) for s in found] == [(0, [0.0]), (1, [1.0])]
    assert [s.values.tolist() for s in read(runs[1].folder, rank=1)] == [[1.0]]


def test_a_series_whose_file_is_missing_is_empty():
    with ml.start_run("x") as run:
        ml.log_metric("loss", 1.0)
    for path in Path(run.folder.location, "metrics").iterdir():
        path.unlink()
    (series,) = read(run.folder)
    assert series.values.shape == series.steps.shape == series.times.shape == (0,)


def test_a_store_at_a_url_is_read():
    with ml.start_run("x", store="memory://metrics-store") as run:
        ml.log_metric("loss", 1.5)
    (series,) = read(run.folder.location)
    assert series.values.tolist() == [1.5]


WRITER = f"""
import sys, time
sys.path.insert(0, {SOURCE!r})
from yprov4wms import ml
run = ml.start_run("x", store={{store!r}})
print(run.folder.location, flush=True)
step = 0
while True:
    for _ in range(50):
        ml.log_metric("loss", float(step), step=step)
        step += 1
    time.sleep(0.001)
"""


@pytest.fixture
def writing(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process that logs for as long as it lives, and the folder of its run."""
    code = WRITER.format(store=str(tmp_path / "store"))
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    yield process, process.stdout.readline().strip()
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_run_is_read_while_it_goes_on_and_after_kill_9(writing):
    process, folder = writing
    lengths = []
    for _ in range(400):
        found = read(folder)
        if found:
            (series,) = found
            assert series.values.tolist() == [float(n) for n in range(len(series.values))]
            assert series.steps.tolist() == list(range(len(series.values)))
            lengths.append(len(series.values))
        if len(set(lengths)) > 3:
            break
        time.sleep(0.05)
    assert lengths == sorted(lengths)
    assert len(set(lengths)) > 3
    process.send_signal(signal.SIGKILL)
    process.wait()
    (series,) = read(folder)
    assert len(series.values) >= lengths[-1]
    assert series.values.tolist() == [float(n) for n in range(len(series.values))]


# -- the writer's file -------------------------------------------------------------


def test_a_block_that_a_full_disk_cut_is_taken_back(tmp_path, monkeypatch):
    from yprov4wms.ml import _series

    file = SeriesFile(str(tmp_path), "w")
    file.append(encode(flat(PARTS[0])))
    write, calls = os.write, iter([10])

    def full(fd: int, data: bytes) -> int:
        if (room := next(calls, None)) is None:
            raise OSError(28, "No space left on device")
        return write(fd, data[:room])

    monkeypatch.setattr(_series.os, "write", full)
    with pytest.raises(OSError, match="No space"):
        file.append(encode(flat(PARTS[1])))
    monkeypatch.setattr(_series.os, "write", write)
    file.append(encode(flat(PARTS[2])))
    file.close()
    data = (tmp_path / file.path).read_bytes()
    assert data == encode(flat(PARTS[0])) + encode(flat(PARTS[2]))


def test_a_script_that_closes_the_descriptor_loses_nothing(tmp_path):
    file = SeriesFile(str(tmp_path), "w")
    file.append(encode(flat(PARTS[0])))
    os.close(file._fd)
    with (tmp_path / "other").open("wb") as other:
        file.append(encode(flat(PARTS[2])))
        assert other.tell() == 0
    file.close()
    assert (tmp_path / "other").read_bytes() == b""
    assert len(unpacked((tmp_path / file.path).read_bytes())) == 3


def test_metrics_of_a_url_wait_on_this_host_until_they_are_sent(monkeypatch, tmp_path):
    import fsspec

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    memory = fsspec.filesystem("memory")
    original = type(memory).pipe_file

    def refuse(self, path, *args, **kwargs):
        if path.endswith(".ymet"):
            raise ConnectionError("no network")
        return original(self, path, *args, **kwargs)

    run = ml.start_run("x", store="memory://metrics-later")
    ml.log_metric("loss", 1.5)
    monkeypatch.setattr(type(memory), "pipe_file", refuse)
    with pytest.warns(ml.RecordingWarning, match="no network"):
        ml.end_run()
    assert [s.values.tolist() for s in read(run.folder.location)] == [[1.5]]
    monkeypatch.setattr(type(memory), "pipe_file", original)
    from yprov4wms.ml._series import upload

    upload(run.folder.location)
    assert not list((tmp_path / "cache").rglob("*.ymet"))
    assert metrics.read(run.folder.location)[0].values.tolist() == [1.5]
