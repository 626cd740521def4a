"""What is taken for a store of MLflow's, and what is said where MLflow is not installed."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

import pytest
from tests.mlflow_stores import old_store
from tests.yprov4wms.ml.readers.test_discover import Collect, collect, output

from yprov4wms import candidates
from yprov4wms.ml import readers
from yprov4wms.ml.readers import mlflow, mlflow_process
from yprov4wms.ml.readers.mlflow_facts import Request

__all__ = ["collect"]


def database(path: Path) -> Path:
    """With the tables by which MLflow's are known."""
    with sqlite3.connect(path) as made:
        for table in ("experiments", "runs", "latest_metrics", "tags"):
            made.execute(f"create table {table} (name text)")
    made.close()
    return path


@pytest.mark.parametrize(
    ("place", "taken"),
    [
        ("mlruns", True),
        ("mlruns/7", True),
        (f"mlruns/7/{'ab' * 16}", True),
        (".", True),
        (f"mlruns/7/{'ab' * 16}/artifacts", False),
        ("only-artifacts", False),
        ("mlflow.db", True),
        ("other.db", False),
        ("empty.db", False),
    ],
)
def test_a_store_is_known_by_what_is_in_it(tmp_path: Path, place: str, taken: bool) -> None:
    old_store(tmp_path)
    database(tmp_path / "mlflow.db")
    with sqlite3.connect(tmp_path / "other.db") as other:
        other.execute("create table runs (name text)")
    other.close()
    (tmp_path / "empty.db").touch()
    # MLflow 3 keeps the artifacts of a database's runs in such a folder.
    (tmp_path / "only-artifacts/mlruns/1/models").mkdir(parents=True)
    assert mlflow.READER.takes(tmp_path / place) is taken


@pytest.mark.parametrize(
    ("uri", "request_of"),
    [
        ("sqlite:///mlflow.db", Request(uri="/w/mlflow.db")),
        ("sqlite:////d/my%20runs.db?timeout=3", Request(uri="/d/my runs.db")),
        ("file:///d/mlruns", Request(uri="/d/mlruns", root="/d/mlruns")),
        ("file:./runs", Request(uri="/w/runs", root="/w/runs")),
        ("", Request(uri="/w/mlruns", root="/w/mlruns")),
        ("/d/mlruns", Request(uri="/d/mlruns", root="/d/mlruns")),
        ("http://h:5000", Request(uri="http://h:5000")),
        ("postgresql://h/db", Request(uri="postgresql://h/db")),
    ],
)
def test_a_tracking_uri_is_seen_from_where_the_process_worked(
    uri: str, request_of: Request
) -> None:
    assert mlflow.store_of(uri, "/w")[1] == request_of


def test_stores_that_changed_are_found_where_a_job_worked(tmp_path: Path) -> None:
    old_store(tmp_path)
    database(tmp_path / "mlflow.db")
    (tmp_path / "below").mkdir()
    database(tmp_path / "below/mlflow.db")
    names = ("below/mlflow.db", "mlflow.db", "mlruns")
    found = [str(tmp_path / name) for name in names]
    assert candidates.under(str(tmp_path), time.time_ns()) == found
    assert candidates.under(str(tmp_path), time.time_ns() + 3_600_000_000_000) == []


def test_stores_among_outputs_are_found(tmp_path: Path) -> None:
    old_store(tmp_path)
    database(tmp_path / "results.db")
    (tmp_path / "text.db").write_text("no database")
    outputs = [output(tmp_path, name) for name in ("mlruns", "results.db", "text.db")]
    found = candidates.among(outputs, str(tmp_path))
    assert found == [str(tmp_path / "mlruns"), str(tmp_path / "results.db")]


@pytest.fixture
def _without_mlflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process that reads stores finds an MLflow that cannot be imported."""
    broken = tmp_path / "path"
    broken.mkdir()
    (broken / "mlflow.py").write_text("raise ImportError('No module named mlflow')\n")
    monkeypatch.setenv("PYTHONPATH", str(broken))
    mlflow_process.close()
    monkeypatch.setattr(mlflow_process, "_running", {})


@pytest.mark.usefixtures("_without_mlflow")
def test_without_mlflow_it_is_said_what_to_install(tmp_path: Path) -> None:
    old_store(tmp_path)
    with pytest.raises(readers.UnreadableError, match=r"pip install 'yprov4wms\[mlflow\]'"):
        readers.read(tmp_path / "mlruns")
    mlflow_process.close()


@pytest.mark.usefixtures("_without_mlflow")
def test_a_store_that_cannot_be_read_is_no_silence(
    tmp_path: Path, collect: Collect, capfd: pytest.CaptureFixture[str]
) -> None:
    old_store(tmp_path)
    with pytest.raises(AssertionError, match=r"yprov4wms\[mlflow\]"):  # of what is lost
        collect(output(tmp_path, "mlruns"))
    mlflow_process.close()
    assert capfd.readouterr().err == ""
