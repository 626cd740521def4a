"""Series files: what is written is read, whatever cut it short."""

from __future__ import annotations

import math
import os
import pathlib
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yprov4wms.ml import metrics
from yprov4wms.ml.metrics import Point, SeriesFiles, Summary, points, summarise

numbers = st.floats(allow_nan=True, allow_infinity=True)
steps = st.none() | st.integers(-(2**63), 2**63)


def lines(path):
    return path.read_bytes().splitlines(keepends=True)


def descriptors():
    return len(list(pathlib.Path("/proc/self/fd").iterdir()))


def same(one, other):
    return one == other or (math.isnan(one) and math.isnan(other))


@given(st.lists(st.tuples(steps, numbers), max_size=20))
def test_what_is_written_is_read(tmp_path_factory, values):
    folder = tmp_path_factory.mktemp("run")
    files = SeriesFiles(str(folder))
    series = files.new("training", None, "loss")
    for step, value in values:
        series.append(step, value, 12.5)
    files.close()
    read = list(points(lines(folder / series.path))) if values else []
    assert [point.step for point in read] == [step for step, _ in values]
    assert all(same(p.value, v) for p, (_, v) in zip(read, values, strict=True))
    assert all(point.time == 12.5 for point in read)


@given(st.lists(numbers, min_size=1, max_size=10), st.data())
def test_a_file_cut_anywhere_reads_as_a_beginning(tmp_path_factory, values, data):
    folder = tmp_path_factory.mktemp("run")
    files = SeriesFiles(str(folder))
    series = files.new(None, None, "m")
    for step, value in enumerate(values):
        series.append(step, value, 1.0)
    files.close()
    whole = (folder / series.path).read_bytes()
    cut = whole[: data.draw(st.integers(0, len(whole)))]
    read = list(points(cut.splitlines(keepends=True)))
    assert all(same(p.value, v) for p, v in zip(read, values, strict=False))
    assert len(read) == max(0, cut.count(b"\n") - 1)
    assert summarise(cut.splitlines(keepends=True)).count == len(read)


@given(st.lists(st.binary(max_size=20)))
def test_the_reader_never_raises(raw):
    summarise([line + b"\n" for line in raw])


@pytest.mark.parametrize(
    ("values", "summary"),
    [
        ([], Summary(0, None, None, None, None)),
        ([3.0, 1.0, 2.0], Summary(3, 3.0, 2.0, 1.0, 3.0)),
        ([1.0, math.inf, -math.inf], Summary(3, 1.0, -math.inf, -math.inf, math.inf)),
    ],
)
def test_summary(values, summary):
    text = [b"step,value,time\n", *(f"{i},{v!r},0.0\n".encode() for i, v in enumerate(values))]
    assert summarise(text) == summary


def test_summary_counts_nan_but_takes_no_bound_from_it():
    found = summarise([b"step,value,time\n", b",nan,1.0\n", b",2.0,1.0\n", b",nan,1.0\n"])
    assert (found.count, found.min, found.max) == (3, 2.0, 2.0)
    assert math.isnan(found.first)
    assert math.isnan(found.last)
    assert summarise([b",nan,1.0\n"])[3:] == (None, None)


def test_a_line_that_a_full_disk_cut_is_passed_over(tmp_path, monkeypatch):
    files = SeriesFiles(str(tmp_path))
    series = files.new(None, None, "m")
    series.append(0, 1.0, 1.0)
    write = os.write
    calls = iter([3])

    def full(fd, data):
        if (room := next(calls, None)) is None:
            raise OSError(28, "No space left on device")
        return write(fd, data[:room])

    monkeypatch.setattr(metrics.os, "write", full)
    with pytest.raises(OSError, match="No space"):
        series.append(1, 2.0, 1.0)
    monkeypatch.setattr(metrics.os, "write", write)
    series.append(2, 3.0, 1.0)
    assert list(points(lines(tmp_path / series.path))) == [Point(0, 1.0, 1.0), Point(2, 3.0, 1.0)]


def test_time_does_not_go_back(tmp_path):
    series = SeriesFiles(str(tmp_path)).new(None, None, "m")
    series.append(None, 1.0, 100.0)
    series.append(None, 1.0, 50.0)
    assert [point.time for point in points(lines(tmp_path / series.path))] == [100.0, 100.0]


def test_names_that_look_alike_have_files_of_their_own(tmp_path):
    files = SeriesFiles(str(tmp_path))
    names = [
        ("a", None, "b"),
        (None, "a", "b"),
        (None, None, "a-b"),
        (None, None, "a/b"),
        (None, None, "a\\b"),
        (None, None, "../../a"),
        (None, None, "A/B"),
        (None, None, "é" * 300),
        (None, None, "é" * 301),
        (None, None, "con:\n\0"),
    ]
    for index, name in enumerate(names):
        files.new(*name).append(None, float(index), 0.0)
    found = sorted((tmp_path / "metrics").iterdir())
    assert len({path.name.lower() for path in found}) == len(names)
    assert [path.name for path in tmp_path.iterdir()] == ["metrics"]
    assert sorted(summarise(lines(path)).last for path in found) == [*map(float, range(len(names)))]


def test_few_files_are_open_at_once(tmp_path):
    files = SeriesFiles(str(tmp_path))
    before = descriptors()
    series = [files.new(None, None, str(i)) for i in range(3 * metrics.MAX_OPEN)]
    for one in series:
        one.append(0, 0.0, 0.0)
    assert descriptors() - before <= metrics.MAX_OPEN
    for value, one in enumerate(random.Random(1).sample(series * 3, 900)):
        one.append(value, 1.0, 0.0)
    assert descriptors() - before <= metrics.MAX_OPEN
    files.close()
    assert descriptors() == before
    assert all(summarise(lines(tmp_path / one.path)).count == 4 for one in series)


def test_the_series_used_last_stay_open(tmp_path, monkeypatch):
    monkeypatch.setattr(metrics, "MAX_OPEN", 2)
    files = SeriesFiles(str(tmp_path))
    first, second, third = (files.new(None, None, name) for name in "abc")
    for one in (first, second, first, third):
        one.append(None, 0.0, 0.0)
    assert [one._fd >= 0 for one in (first, second, third)] == [True, False, True]
