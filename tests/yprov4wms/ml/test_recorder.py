"""What a script logs, and what becomes of it; wrong use; stores that fail."""

from __future__ import annotations

import json
import math
import os
import subprocess
import threading
import time
import warnings
from pathlib import Path
from unittest import mock

import fsspec
import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from yprov4wms import events, ml
from yprov4wms.events import (
    File,
    FileType,
    MLArtifact,
    MLContextStarted,
    MLDataset,
    MLMetricDeclared,
    MLModel,
    MLParam,
    Parent,
    Status,
)
from yprov4wms.ml import _log, _series, recorder
from yprov4wms.ml.metrics import NO_STEP, read
from yprov4wms.replay import replay
from yprov4wms.run import MLRun
from yprov4wms.settings import DEFAULT_STORE
from yprov4wms.store import RunFolder

DIGEST = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # of b"abc"


def test_version_and_statuses_are_those_of_the_events():
    assert _log.VERSION == events.VERSION
    assert set(recorder.STATUSES) <= set(Status)


def test_all_that_is_logged_is_replayed(tmp_path):
    (tmp_path / "data.csv").write_bytes(b"abc")
    with ml.start_run("digits", name="mlp", seed=7) as run:
        ml.log_param("lr", 0.1)
        ml.log_param("layers", [64, 32], context="training")
        ml.log_dataset("train", "data.csv", context="training")
        ml.log_metric("loss", 0.5, context="training", step=0)
        ml.log_metric("loss", 0.25, context="training", step=1)
        ml.log_metric("loss", 0.75, context="validation", step=1, source="sklearn")
        ml.log_model("net", object(), path="data.csv")
        ml.log_artifact("table", Path("data.csv"), context="validation")
    found = replay(run.folder)
    assert isinstance(found, MLRun)
    assert found.problems == []
    assert found.id == run.id
    assert (found.start.experiment, found.start.name) == ("digits", "mlp")
    assert found.start.attributes == {"seed": 7}
    assert (found.start.pid, found.start.directory) == (os.getpid(), str(tmp_path))
    assert found.start.parent is None
    assert found.status is Status.COMPLETED
    assert [(p.name, p.value, p.context) for p in found.params] == [
        ("lr", 0.1, None),
        ("layers", [64, 32], "training"),
    ]
    assert [(m.name, m.context, m.source) for m in found.metrics] == [
        ("loss", "training", None),
        ("loss", "validation", "sklearn"),
    ]
    assert [list(series.column.values) for series in read(run.folder.location)] == [
        [0.5, 0.25],
        [0.75],
    ]
    assert [c.context for c in found.contexts] == ["training", "validation"]
    assert found.datasets[0].file.sha256 == DIGEST
    assert found.models[0].model_class == "builtins.object"
    assert found.artifacts[0].file.path == str(tmp_path / "data.csv")


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=4)
    ),
    max_leaves=8,
)
names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=30)
contexts = st.none() | names
steps = st.none() | st.integers(-(1 << 63) + 1, (1 << 63) - 1)
logged = st.one_of(
    st.tuples(st.just("log_param"), names, json_values, contexts),
    st.tuples(st.just("log_metric"), names, st.floats(), contexts, steps, contexts),
)


class Open:
    """In place of the Masker, which changes what looks like a secret."""

    def __init__(self, declared):
        pass

    def mask_line(self, line):
        return line

    def text(self, text):
        return text


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(logged, max_size=15), names, st.dictionaries(names, json_values, max_size=3))
def test_nothing_that_is_logged_is_lost(records, tmp_path_factory, calls, name, attributes):
    store = tmp_path_factory.mktemp("store")
    with warnings.catch_warnings(), mock.patch.object(recorder, "Masker", Open):
        warnings.simplefilter("error")
        wanted = recorder.Wanted("x", name, str(store), attributes=attributes)
        with recorder.start(wanted) as run:
            for function, *arguments in calls:
                getattr(run, function)(*arguments)
    (found,) = records(store)
    assert (found.start.name, found.start.attributes or {}) == (name, attributes)
    params = [(p.name, p.value, p.context) for p in found.of(MLParam)]
    assert params == [tuple(rest) for function, *rest in calls if function == "log_param"]
    series: dict[tuple[object, ...], list[tuple[object, str]]] = {}
    for function, *rest in calls:
        if function == "log_metric":
            key, value, context, step, source = rest
            series.setdefault((context, source, key), []).append((step, repr(value)))
    for kept in read(found.folder):
        expected = series.pop((kept.context, kept.source, kept.name))
        known = [None if step == NO_STEP else step for step in kept.column.steps]
        assert list(zip(known, map(repr, kept.column.values), strict=True)) == expected
    assert series == {}
    used = [c.context for c in found.of(MLContextStarted)]
    assert used == list(dict.fromkeys(c[3] for c in calls if c[3] is not None))


def test_what_bytes_cannot_say_is_still_written(record):
    with ml.start_run("café 😀", name="\udce9"):
        ml.log_param("a\nb", {"\udce9": float("nan")})
    assert record().start.name == "\\udce9"
    assert [(p.name, p.value) for p in record().of(MLParam)] == [("a\nb", {"\\udce9": "nan"})]


def test_events_are_numbered_and_times_never_go_back(record, monkeypatch):
    moments = iter(["2026-01-02", "2026-01-03", "2026-01-01", "2026-01-04"])

    class Clock:
        @staticmethod
        def now(zone):
            return Clock()

        def isoformat(self, timespec):
            return f"{next(moments)}T00:00:00.000000+00:00"

    monkeypatch.setattr(_log, "datetime", Clock)
    with ml.start_run("x") as run:
        ml.log_param("a", 1)
        ml.log_param("b", 2)
    found = record().events
    assert [event.seq for event in found] == [1, 2, 3, 4, 5]
    assert [event.time[:10] for event in found] == [
        *("2026-01-02", "2026-01-02", "2026-01-03", "2026-01-03", "2026-01-04")
    ]
    assert {(event.run, event.v) for event in found} == {(run.id, events.VERSION)}
    (writer,) = {event.writer for event in found}
    assert (record().folder / "events" / f"{writer}.jsonl").is_file()


# -- where a run lies --------------------------------------------------------------


def test_alone_it_lies_in_the_default_store(tmp_path):
    run = ml.start_run("x")
    assert run.folder.location == str(tmp_path / DEFAULT_STORE / run.id)


def test_alone_it_lies_in_the_store_of_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("YPROV_STORE", str(tmp_path / "env"))
    run = ml.start_run("x")
    assert run.folder.location == str(tmp_path / "env" / run.id)


def test_alone_it_lies_in_the_store_that_is_given(tmp_path, monkeypatch):
    monkeypatch.setenv("YPROV_STORE", str(tmp_path / "env"))
    run = ml.start_run("x", store=tmp_path / "given")
    assert run.folder.location == str(tmp_path / "given" / run.id)


def test_a_relative_store_stays_where_it_was(tmp_path, monkeypatch, record):
    ml.start_run("x", store="here")
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path / "there")
    ml.log_metric("loss", 1.0)
    ml.end_run()
    assert record(tmp_path / "here").values("loss") == [1.0]


def test_in_a_task_it_lies_in_the_run_around_it(tmp_path, monkeypatch, records):
    store = str(tmp_path / "store")
    for name, value in {"RUN_ID": "r", "TASK_ID": "t", "ATTEMPT": "2", "STORE": store}.items():
        monkeypatch.setenv(f"YPROV_{name}", value)
    with ml.start_run("x", store=tmp_path / "other") as run:
        pass
    assert run.folder.location == f"{store}/r/ml/t-2/{run.id}"
    (found,) = records(tmp_path / "store/r/ml/t-2")
    assert found.start.parent == Parent(run="r", task="t", attempt=2, store=store)
    folders = RunFolder(f"{store}/r").subfolders("ml/t-2")
    assert [folder.run_id for folder in folders] == [run.id]


def test_half_a_task_is_none(tmp_path, monkeypatch, record):
    monkeypatch.setenv("YPROV_RUN_ID", "r")
    monkeypatch.setenv("YPROV_TASK_ID", "t")
    with ml.start_run("x", store=tmp_path / "s"):
        pass
    assert record(tmp_path / "s").start.parent is None


def test_a_store_at_a_url_gets_events_and_metrics(tmp_path):
    store = "memory://ml-store"
    with ml.start_run("x", store=store) as run:
        ml.log_param("lr", 0.1)
        for step in range(3):
            ml.log_metric("loss", float(step), "training", step)
    assert run.folder.location == f"{store}/{run.id}"
    found = replay(run.folder)
    assert isinstance(found, MLRun)
    assert found.status is Status.COMPLETED
    (series,) = read(run.folder.location)
    assert list(series.column.values) == [0.0, 1.0, 2.0]
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_metrics_that_could_not_be_uploaded_wait_for_it(tmp_path, monkeypatch):
    memory = fsspec.filesystem("memory")
    run = ml.start_run("x", store="memory://ml-later")
    ml.log_metric("loss", 1.5)
    original = type(memory).pipe_file

    def refuse(self, path, *args, **kwargs):
        if path.endswith(_series.SUFFIX):
            raise ConnectionError("no network")
        return original(self, path, *args, **kwargs)

    monkeypatch.setattr(type(memory), "pipe_file", refuse)
    with pytest.warns(ml.RecordingWarning, match="no network"):
        ml.end_run()
    monkeypatch.setattr(type(memory), "pipe_file", original)
    assert list(read(run.folder.location)[0].column.values) == [1.5]  # from where it waits
    _series.upload(run.folder.location)
    assert not list((tmp_path / "cache").rglob("*" + _series.SUFFIX))
    assert list(read(run.folder.location)[0].column.values) == [1.5]


# -- values ------------------------------------------------------------------------


class Tensor:
    """As much of torch's as is asked for."""

    def __init__(self, *values):
        self.values = values

    def item(self):
        if len(self.values) != 1:
            raise RuntimeError(f"a Tensor with {len(self.values)} elements cannot be converted")
        return self.values[0]


def test_times_ahead_of_the_clock_are_written_in_blocks_all_the_same(tmp_path):
    ahead = (time.time() + 3600) * 1e3
    with ml.start_run("x") as run:
        for step in range(1000):
            ml.log_metric("loss", 0.5, step=step, timestamp=ahead + step)
    (file,) = Path(run.folder.location).glob("metrics/*")
    assert file.stat().st_size < 20_000


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (3, 3.0),
        (True, 1.0),
        (np.float32(0.1), float(np.float32(0.1))),
        (np.float64(0.1), 0.1),
        (np.int64(4), 4.0),
        (np.longdouble(2), 2.0),
        (np.array(5.0), 5.0),
        (np.array([5.0]), 5.0),
        (Tensor(0.25), 0.25),
        (math.inf, math.inf),
        (-math.inf, -math.inf),
        (5e-324, 5e-324),
        (0.1 + 0.2, 0.1 + 0.2),
    ],
)
def test_real_numbers_are_metrics(record, value, kept):
    with ml.start_run("x"):
        ml.log_metric("m", value, step=np.int32(3))
    (point,) = record().series("m")
    assert (point.step, point.value) == (3, kept)


def test_nan_is_kept(record):
    with ml.start_run("x"):
        ml.log_metric("m", math.nan)
    (value,) = record().values("m")
    assert math.isnan(value)


@pytest.mark.parametrize(
    "value",
    ["0.5", None, 1j, [1.0], np.array([1.0, 2.0]), np.complex128(1), np.str_("a"), Tensor(1, 2),
     10**400, object()],
)  # fmt: skip
def test_anything_else_is_refused_by_name(records, value):
    with ml.start_run("x"), pytest.raises(TypeError, match="metric 'accuracy'"):
        ml.log_metric("accuracy", value)
    assert records()[0].of(MLMetricDeclared) == []


@pytest.mark.parametrize("step", [1.5, "1", np.float64(1)])
def test_a_step_is_a_whole_number(step):
    with ml.start_run("x"), pytest.raises(TypeError, match="not a whole number"):
        ml.log_metric("m", 1.0, step=step)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: ml.log_metric("", 1.0), ValueError),
        (lambda: ml.log_metric(["a"], 1.0), TypeError),
        (lambda: ml.log_metric("a", 1.0, context=["c"]), TypeError),
        (lambda: ml.log_metric("a", 1.0, context=""), ValueError),
        (lambda: ml.log_metric("a", 1.0, source=3), TypeError),
        (lambda: ml.log_param(None, 1), TypeError),
        (lambda: ml.log_param("a", 1, context=5), TypeError),
        (lambda: ml.log_artifact("a", 5), TypeError),
        (lambda: ml.log_model("a", None), TypeError),
        (lambda: ml.log_model("a", "x", path="y"), TypeError),
        (lambda: ml.log_dataset("a", None), TypeError),
        (lambda: ml.log_system_metrics(3), TypeError),
        (lambda: ml.end_run(status="done"), ValueError),
        (lambda: ml.log_artifact("report", "absent.md"), FileNotFoundError),
        (lambda: ml.log_model("net", "absent.pt"), FileNotFoundError),
        (lambda: ml.log_model("net", object(), path="absent.pt"), FileNotFoundError),
        (lambda: ml.log_dataset("data", Path("absent")), FileNotFoundError),
    ],
)
def test_wrong_use_raises_and_the_run_goes_on(record, call, error):
    with ml.start_run("x"):
        with pytest.raises(error):
            call()
        ml.log_param("after", 1)
    assert [p.name for p in record().of(MLParam)] == ["after"]
    assert record().end.status is Status.COMPLETED


def test_a_missing_file_is_named():
    with ml.start_run("x"), pytest.raises(FileNotFoundError, match=r"artifact 'r'.*absent\.md"):
        ml.log_artifact("r", "absent.md")


@pytest.mark.parametrize(
    "call",
    [
        lambda: ml.log_param("a", 1),
        lambda: ml.log_metric("a", 1.0),
        lambda: ml.log_system_metrics(),
        lambda: ml.log_artifact("a", "b"),
        lambda: ml.log_model("a", object()),
        lambda: ml.log_dataset("a", []),
        lambda: ml.end_run(),
    ],
)
def test_without_a_run_everything_raises(call):
    with pytest.raises(RuntimeError, match="start_run"):
        call()
    with ml.start_run("x"):
        pass
    with pytest.raises(RuntimeError, match="start_run"):
        call()


def test_a_run_that_ended_takes_nothing_more():
    with ml.start_run("x", name="y") as run:
        pass
    for call in (lambda: run.log_param("a", 1), lambda: run.log_metric("a", 1.0), run.end):
        with pytest.raises(RuntimeError, match=r"x/y.*has ended"):
            call()


def test_a_second_run_names_the_one_that_is_active(records):
    first = ml.start_run("first", name="a")
    with pytest.raises(RuntimeError, match=rf"first/a \({first.id}\)"):
        ml.start_run("second")
    ml.end_run()
    ml.start_run("second")
    ml.end_run()
    assert [run.start.experiment for run in records()] == ["first", "second"]


# -- models, data, artifacts -------------------------------------------------------


def test_files_are_told_as_they_are(tmp_path, record):
    (tmp_path / "in.bin").write_bytes(b"abc")
    os.utime("in.bin", ns=(5, 7))
    with ml.start_run("x"):
        ml.log_artifact("a", "in.bin", is_input=True)
        ml.log_model("m", "in.bin")
        ml.log_dataset("d", "in.bin", is_input=False)
    file = File(path=str(tmp_path / "in.bin"), role="input", size=3, mtime_ns=7, sha256=DIGEST)
    (artifact,), (model,), (dataset,) = (
        record().of(kind) for kind in (MLArtifact, MLModel, MLDataset)
    )
    assert (artifact.file, artifact.input) == (file, True)
    assert model.file == msgspec.structs.replace(file, role="output")
    assert dataset.file == model.file
    assert not dataset.input


def test_a_file_that_cannot_be_read_is_told_of(record):
    with ml.start_run("x"):
        ml.log_artifact("a", "/proc/self/mem")
        ml.log_artifact("b", "s3://bucket/key")
    first, second = (a.file for a in record().of(MLArtifact))
    assert first.sha256 is None
    assert first.note
    assert (second.type, second.path) == (FileType.URL, "s3://bucket/key")


def test_hash_none_reads_nothing(tmp_path, monkeypatch, record):
    monkeypatch.setenv("YPROV_HASH", "none")
    (tmp_path / "a").write_bytes(b"abc")
    with ml.start_run("x"):
        ml.log_artifact("a", "a")
        ml.log_dataset("d", np.zeros(3))
    assert record().of(MLArtifact)[0].file.sha256 is None
    assert record().of(MLDataset)[0].sha256 is None


def test_system_metrics_are_series_with_source_and_unit(record):
    with ml.start_run("x"):
        ml.log_system_metrics("training", 0)
        ml.log_system_metrics("training", 1)
    declared = {event.name: event for event in record().of(MLMetricDeclared)}
    assert {"ram_usage_gb", "ram_usage_pct", "process_ram_usage_gb"} <= set(declared)
    assert declared["ram_usage_gb"].unit == "GiB"
    assert declared["ram_usage_gb"].source == "proc"
    assert [point.step for point in record().series("ram_usage_pct", "training")] == [0, 1]


# -- threads -----------------------------------------------------------------------


def test_threads_log_side_by_side(record):
    count, each = 4, 500

    def work(index):
        for step in range(each):
            ml.log_metric("shared", float(index), step=step)
            ml.log_metric(f"own {index}", float(step), f"context {step % 7}")
            ml.log_param(f"{index}.{step}", step)

    with ml.start_run("x"):
        threads = [threading.Thread(target=work, args=[index]) for index in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    found = record()
    assert len(found.values("shared")) == count * each
    assert [event.seq for event in found.events] == list(range(1, len(found.events) + 1))
    assert len(found.of(MLParam)) == count * each
    assert sorted(c.context for c in found.of(MLContextStarted)) == [
        f"context {index}" for index in range(7)
    ]
    assert len(found.of(MLMetricDeclared)) == 1 + count * 7


# -- stores that fail --------------------------------------------------------------

WORK = """
    import warnings
    run = ml.start_run("x")
    for step in range(30_000):
        ml.log_metric("loss", 1 / (step + 1), "training", step)
        if step % 300 == 0:
            ml.log_param(f"p{step}", "x" * 100)
    ml.log_artifact("script", __file__)
    ml.log_system_metrics()
    ml.end_run()
    print("trained")
"""


@pytest.mark.parametrize("store", ["/proc/yprov", "file/below"])
def test_a_store_that_cannot_be_made_is_one_warning(script, tmp_path, store):
    (tmp_path / "file").write_text("")
    done = script(WORK, YPROV_STORE=store)
    assert (done.returncode, done.stdout) == (0, "trained\n")
    assert done.stderr.count("RecordingWarning") == 1
    assert "script.py:6: RecordingWarning: yprov: the record of ML run x is incomplete" in (
        done.stderr
    )


def test_a_failing_store_is_no_error_where_warnings_are(script):
    done = script(WORK, "-Werror", YPROV_STORE="/proc/yprov")
    assert (done.returncode, done.stdout) == (0, "trained\n")
    assert done.stderr.count("yprov:") == 1


def test_strict_raises_at_the_end(script):
    done = script(WORK, YPROV_STORE="/proc/yprov", YPROV_STRICT="yes")
    assert (done.returncode, done.stdout) == (1, "")
    assert "RecordingError: the record of ML run x is incomplete" in done.stderr


def test_strict_does_not_hide_the_error_of_a_with_block(script):
    code = "with ml.start_run('x'):\n    {}"
    strict = {"YPROV_STORE": "/proc/yprov", "YPROV_STRICT": "yes"}
    done = script(code.format("1 / 0"), **strict)
    assert "ZeroDivisionError" in done.stderr
    assert "RecordingError" not in done.stderr
    assert "RecordingError" in script(code.format("pass"), **strict).stderr


def test_a_working_directory_that_is_gone_is_one_warning(script):
    done = script(
        "os.mkdir('d'); os.chdir('d'); os.rmdir('../d')\n"
        "with ml.start_run('x'): ml.log_metric('m', 1.0)\nprint('trained')"
    )
    assert (done.returncode, done.stdout) == (0, "trained\n")
    assert done.stderr.count("RecordingWarning") == 1


def check_full(done, run):
    """A run whose store took only its beginning, and then nothing."""
    assert (done.returncode, done.stdout) == (0, "trained\n")
    assert done.stderr.count("RecordingWarning") == 1
    values = run.values("loss", "training")
    assert 0 < len(values) < 30_000
    # What was cut is not taken for others.
    assert set(values) <= {1 / (step + 1) for step in range(30_000)}


@pytest.fixture
def tiny(tmp_path):
    """A file system of 64 KiB."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"a file system cannot be mounted here: {error}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_store_that_fills_up_is_one_warning(script, tiny, record):
    done = script(WORK, YPROV_STORE=str(tiny))
    check_full(done, record(tiny, torn=True))
    assert "No space left on device" in done.stderr


def test_a_store_that_has_room_again_is_told_what_it_missed(script, tiny, record):
    done = script(
        """
        import pathlib
        ml.start_run("x")
        ml.log_metric("a", 1.0)
        fill = pathlib.Path(os.environ["YPROV_STORE"], "fill")
        fd = os.open(fill, os.O_WRONLY | os.O_CREAT)
        try:
            while os.write(fd, bytes(4096)):
                pass
        except OSError:
            pass
        import random
        for step in range(9_000):
            ml.log_metric("a", float(random.randrange(1000)))
            if step % 900 == 0:
                ml.log_param("x", "y" * 100)
        fill.unlink()
        os.close(fd)
        ml.log_metric("a", 3.0)
        """,
        YPROV_STORE=str(tiny),
    )
    assert done.returncode == 0
    assert done.stderr.count("RecordingWarning") == 1
    found = record(tiny, torn=True)
    assert found.values("a")[-1] == 3.0
    assert len(found.values("a")) == 9_002  # they waited
    assert found.end.status is Status.COMPLETED
    failures = found.of(events.RecorderFailed)
    assert {failure.where for failure in failures} == {"writing metrics", "writing an event"}
    assert "No space left" in failures[0].error


def test_a_file_that_may_not_grow_is_one_warning(script, record):
    # Anybody can set this limit, where only root can mount a small file system.
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))"
    done = script(f"    {limit}\n{WORK}")
    check_full(done, record(torn=True))


def test_a_bad_setting_is_one_warning(script, record):
    done = script("with ml.start_run('x'): pass", YPROV_STRICT="perhaps", YPROV_HASH_LIMIT="much")
    assert done.returncode == 0
    assert done.stderr.count("RecordingWarning") == 1
    assert {failure.error.split(":")[0] for failure in record().of(events.RecorderFailed)} == {
        "SettingError"
    }


def test_declared_secrets_do_not_reach_the_disk(script, tmp_path, record):
    done = script(
        """
        ml.start_run("x", token=os.environ["MY_TOKEN"])
        ml.log_param("token", {"value": os.environ["MY_TOKEN"]})
        ml.log_metric("tokens of " + os.environ["MY_TOKEN"], 1.0)
        raise ValueError("refused: " + os.environ["MY_TOKEN"])
        """,
        MY_TOKEN="tr0ub4dor&3-and-more",
        YPROV_SECRETS="MY_TOKEN",
    )
    assert "tr0ub4dor" in done.stderr  # the script's own traceback is its own
    files = [path for path in (tmp_path / ".yprov").rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if b"tr0ub4dor" in path.read_bytes()]
    assert not [path for path in files if "tr0ub4dor" in path.name]
    assert record().values("tokens of ***") == [1.0]


# -- the document ------------------------------------------------------------------


def test_the_document_stands_beside_the_events_at_the_end(monkeypatch):
    monkeypatch.setenv("YPROV_EXPORT", "end")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with ml.start_run("digits") as run:
            ml.log_metric("loss", 0.5, "training", 1)
    document = json.loads(run.folder.read("prov.json"))
    assert "digits" in json.dumps(document["activity"])


def test_the_document_of_a_run_that_was_left_open_is_built_at_exit(script, record):
    done = script("ml.start_run('x')\nml.log_metric('m', 1.0)\n1 / 0", YPROV_EXPORT="end")
    assert "Recording" not in done.stderr
    document = json.loads((record().folder / "prov.json").read_bytes())
    (run,) = (a for a in document["activity"].values() if a["yprov4wfs:level"] == "2")
    assert run["yprov4wfs:status"] == "failed"


def test_a_document_that_fails_is_one_warning(monkeypatch, record):
    from yprov4wms.ml import document

    def fail(folder):
        raise ValueError("no document today")

    monkeypatch.setenv("YPROV_EXPORT", "end")
    monkeypatch.setattr(document, "write", fail)
    ml.start_run("x")
    with pytest.warns(ml.RecordingWarning, match="building the document.*no document today"):
        ml.end_run()
    assert record().end.status is Status.COMPLETED
