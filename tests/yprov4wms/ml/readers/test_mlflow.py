"""MLflow runs, written by the real MLflow: file stores, databases, and what they tell."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.documents import Document, checked, environment, sha256, value
from tests.mlflow_stores import FILL, OLD_REVISION, QUIET, needed, old_store, script
from tests.yprov4wms.ml.readers.runs import NESTS, nested

from yprov4wms.events import File
from yprov4wms.ml import readers
from yprov4wms.ml.readers import ChildRun

needed()

STORES = ("mlruns", "mlflow.db")


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the same runs in a file store and in a database."""
    folder = tmp_path_factory.mktemp("work")
    script(folder, FILL, f"file:{folder}/mlruns", f"sqlite:///{folder}/mlflow.db")
    return folder


@pytest.fixture(scope="module")
def found(work: Path) -> dict[str, dict[str, ChildRun]]:
    """By store and label, the child runs."""
    return {store: by_label(readers.read(work / store, str(work))) for store in STORES}


def by_label(runs: list[ChildRun]) -> dict[str, ChildRun]:
    return {root(sound(run.content))["prov:label"]: run for run in runs}


def sound(content: bytes) -> Document:
    """The document, which prov reads as well; of NaN none is equal to another."""
    checked(content.replace(b'"$":"NaN"', b'"$":"0.5"'))
    return Document(content)


def root(document: Document) -> dict[str, Any]:
    return document.section("activity")["ml:run"]


def labelled(document: Document, kind: str) -> dict[str, dict[str, Any]]:
    found = document.section("entity").values()
    return {e["prov:label"]: e for e in found if e["prov:type"] == kind}


@pytest.fixture(params=STORES)
def main(request: pytest.FixtureRequest, found: dict[str, dict[str, ChildRun]]) -> Document:
    return sound(found[request.param]["the über run"].content)


def test_each_run_that_is_in_no_other_is_one(found: dict[str, dict[str, ChildRun]]) -> None:
    for runs in found.values():
        assert sorted(runs) == ["fails", "killed", "the über run"]
        assert {run.complete for run in runs.values()} == {True}
        assert {run.dialect for run in runs.values()} == {"mlflow"}


def test_statuses_are_told(found: dict[str, dict[str, ChildRun]]) -> None:
    for runs in found.values():
        statuses = {n: root(Document(r.content))["yprov4wfs:status"] for n, r in runs.items()}
        assert statuses == {"the über run": "completed", "fails": "failed", "killed": "cancelled"}
        assert root(Document(runs["killed"].content))["yprov4wms:deleted"] is True


def test_the_run_itself_is_told(main: Document) -> None:
    run = root(main)
    assert run["yprov:experiment_name"] == "digits"
    assert run["yprov4wms:mlflow_status"] == "FINISHED"
    assert run["yprov4wms:description"] == "a *test*"
    assert run["yprov4wms:source_name"].endswith("script.py")
    assert run["prov:startTime"] < run["prov:endTime"]
    assert run["yprov4wfs:level"] == "2"
    assert "x\ny" in run.values()
    (person,) = main.section("agent").values()
    assert person["prov:type"] == "prov:Person"


def test_nested_runs_are_parts_of_it(main: Document) -> None:
    activities = main.section("activity")
    links = {
        activities[r["prov:informed"]]["prov:label"]: activities[r["prov:informant"]]["prov:label"]
        for r in main.section("wasInformedBy").values()
        if r["yprov4wms:link"] == "part-of"
    }
    outer = "the über run"
    assert links == {"inner 1": outer, "inner 2": outer, "innermost": "inner 2"}
    (inner,) = [i for i, a in activities.items() if a["prov:label"] == "inner 2"]
    assert main.used(inner) >= {"depth"}


def test_parameters_are_used_and_secrets_masked(main: Document) -> None:
    found = labelled(main, "provml:HyperParameter")
    values = {name: entity["prov:value"] for name, entity in found.items()}
    assert values["C"] == "0.5"
    assert values["name é 1/a:b"] == "世界 😀"
    assert values["none"] == "None"
    assert values["db_password"] == "***"
    assert b"hunter22" not in main.content
    assert b"s3cret9" not in main.content


def test_histories_are_summarised(main: Document) -> None:
    metrics = labelled(main, "provml:Metric")
    loss = {
        n: value(metrics["loss"][f"yprov4wms:{n}"])
        for n in ("count", "first", "last", "min", "max")
    }
    assert loss == {"count": 4000, "first": 1.0, "last": 1 / 4000, "min": 1 / 4000, "max": 1.0}
    odd = metrics["odd"]
    assert (value(odd["yprov4wms:count"]), value(odd["yprov4wms:min"])) == (3, 3.0)
    assert odd["yprov4wms:last"]["$"] == "NaN"
    assert metrics["system/cpu_utilization_percentage"]["yprov:source"] == "system"
    series = metrics["loss"]["yprov4wms:series"]
    assert series.startswith("/")
    assert Path(series.partition(",")[0]).is_file()


def test_data_sets_are_used_and_lead_to_their_files(main: Document, work: Path) -> None:
    (data,) = labelled(main, "provml:Dataset").values()
    assert (data["yprov:context"], value(data["yprov4wms:samples"])) == ("training", 200)
    assert "mlflow_colspec" in data["yprov4wms:schema"]
    assert data["yprov4wms:tag_who"] == "ada"
    assert len(data["yprov4wms:digest"]) == 8
    assert str(work / "digits.csv") in main.used("ml:run")
    derived = {main.label(r["prov:usedEntity"]) for r in main.links("wasDerivedFrom")}
    assert str(work / "digits.csv") in derived


def test_models_have_their_files_and_their_metrics(main: Document) -> None:
    (name,) = [i for i, e in main.section("entity").items() if e["prov:type"] == "provml:Model"]
    model = main.section("entity")[name]
    assert model["prov:label"] == "classifier"
    assert model["yprov4wms:model_status"] == "READY"
    assert model["yprov4wms:parameter_C"] == "0.5"
    assert value(model["yprov4wms:metric_accuracy"]) == 0.75
    assert model["yprov4wms:metric_odd"]["$"] in ("NaN", "3.0")
    files = {
        main.label(r["prov:generatedEntity"]) for r in main.links("wasDerivedFrom", usedEntity=name)
    }
    assert {Path(path).name for path in files} >= {"MLmodel", "requirements.txt", "accuracy"}
    assert "digits-classifier/1" in root(main)["yprov4wms:registered_models"]
    assert "classifier" in main.made("ml:run")


def test_artifacts_are_files_with_checksums(main: Document, work: Path) -> None:
    (file,) = [
        e
        for e in main.section("entity").values()
        if e.get("yprov4wms:artifact_path") == "files/deep/model.joblib"
    ]
    path = Path(file["yprov4wms:path"])
    assert path.is_file()
    assert file["yprov4wms:sha256"] == sha256(path)
    assert value(file["yprov4wms:size"]) == path.stat().st_size


@pytest.mark.parametrize("nest", NESTS)
@pytest.mark.parametrize("store", STORES)
def test_it_nests_in_every_way(
    found: dict[str, dict[str, ChildRun]], work: Path, store: str, nest: str
) -> None:
    child = found[store]["the über run"]
    digest = sha256(work / "model.joblib")
    inputs = [File(path="digits.csv")]
    outputs = [File(path="model.joblib", sha256=digest)]
    document = nested(child, nest, str(work), inputs, outputs)
    again = sound(json.dumps(document, separators=(",", ":")).encode())
    ((model, _),) = again.files("model.joblib").items()
    ((data, _),) = again.files("digits.csv").items()
    makers = {r["prov:activity"] for r in again.links("wasGeneratedBy", entity=model)}
    if nest == "flatten":
        assert makers == {"run:task_train.1", "ml1:run"}
        assert {"ml1:run"} <= {r["prov:activity"] for r in again.links("used", entity=data)}
        copies = {
            again.label(r["prov:generatedEntity"])
            for r in again.links("wasDerivedFrom", usedEntity=model)
        }
        assert [Path(copy).parts[-3:] for copy in copies] == [("files", "deep", "model.joblib")]
    else:
        sources = {
            r["prov:usedEntity"] for r in again.links("wasDerivedFrom", generatedEntity=model)
        }
        assert len(sources) == 1


def test_reading_changes_nothing_in_a_store(work: Path) -> None:
    def state() -> dict[str, tuple[int, int]]:
        paths = [p for store in STORES for p in (work / store, *(work / store).rglob("*"))]
        return {str(p): (p.stat().st_mtime_ns, p.stat().st_size) for p in paths}

    shutil.rmtree(work / "mlruns" / ".trash", ignore_errors=True)
    before, there = state(), set(work.iterdir())
    for store in STORES:
        readers.read(work / store)
    assert state() == before
    assert set(work.iterdir()) == there


def test_one_run_of_a_store_is_read_alone_with_what_is_in_it(
    found: dict[str, dict[str, ChildRun]], work: Path
) -> None:
    run = found["mlruns"]["the über run"]
    (alone,) = readers.read(run.sources[0], str(work))
    assert alone == run
    experiment = Path(run.sources[0]).parent
    assert [one.id for one in readers.read(experiment, str(work))] == [run.id]


def test_runs_that_were_over_before_or_are_known_are_not_read(
    found: dict[str, dict[str, ChildRun]], work: Path
) -> None:
    owner = ("run", "task", "1")
    for store in STORES:

        def read(since: str, known: list[str], store: str = store) -> list[str]:
            search = readers.Search(since, owner, known)
            return sorted(by_label(readers.read(work / store, str(work), search)))

        everything = ["fails", "killed", "the über run"]
        assert read("2100-01-01T00:00:00+00:00", []) == []
        assert read("2000-01-01T00:00:00+00:00", []) == everything
        known = [found[store]["the über run"].id]
        assert read("2000-01-01T00:00:00+00:00", known) == ["fails", "killed"]


def test_artifacts_beyond_what_a_document_can_list_are_counted(tmp_path: Path) -> None:
    artifacts = old_store(tmp_path) / "artifacts"
    for number in range(1010):
        (artifacts / f"{number:04}").touch()
    (run,) = readers.read(tmp_path / "mlruns")
    assert run.repaired == ("12 x artifact beyond those that are listed",)


def test_a_killed_run_is_running_and_incomplete(tmp_path: Path) -> None:
    code = """
import mlflow, os, signal
with mlflow.start_run(run_name="doomed"):
    mlflow.log_param("p", 1)
    for step in range(3):
        mlflow.log_metric("loss", 1.0, step=step)
    os.kill(os.getpid(), signal.SIGKILL)
"""
    env = environment(**QUIET, MLFLOW_TRACKING_URI=f"sqlite:///{tmp_path}/mlflow.db")
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, check=False
    )
    assert done.returncode == -9
    (run,) = readers.read(tmp_path / "mlflow.db", str(tmp_path))
    document = sound(run.content)
    assert (run.complete, run.ended) == (False, None)
    assert root(document)["yprov4wfs:status"] == "running"
    assert value(labelled(document, "provml:Metric")["loss"]["yprov4wms:count"]) == 3


def test_a_file_store_of_mlflow_2_that_was_moved_is_read(tmp_path: Path) -> None:
    path = old_store(tmp_path)
    (run,) = readers.read(tmp_path / "mlruns", str(tmp_path))
    assert (run.began, run.ended) == (
        "2023-11-14T22:13:20.000000+00:00",
        "2023-11-14T22:13:29.000000+00:00",
    )
    document = sound(run.content)
    assert root(document)["yprov4wms:git_commit"] == "1234abcd"
    (model,) = labelled(document, "provml:Model").values()
    assert model["yprov4wms:flavors"] == ["sklearn", "python_function"]
    files = document.made("ml:run")
    assert {str(path / "artifacts/model/model.pkl"), str(path / "artifacts/plot.txt")} <= files
    (file,) = document.files(str(path / "artifacts/model/model.pkl"))
    assert len(document.links("wasDerivedFrom", generatedEntity=file)) == 1


def test_a_database_of_mlflow_2_is_read_from_a_copy(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    script(
        tmp_path,
        """
        import sys
        import sqlalchemy
        from alembic import command
        from mlflow.store.db.utils import _get_alembic_config
        from mlflow.store.tracking.dbmodels.initial_models import Base

        Base.metadata.create_all(sqlalchemy.create_engine(sys.argv[1]))
        command.upgrade(_get_alembic_config(sys.argv[1]), sys.argv[2])
        """,
        f"sqlite:///{path}",
        OLD_REVISION,
    )
    with sqlite3.connect(path) as database:
        database.execute(
            "insert into experiments (experiment_id, name, lifecycle_stage) "
            "values (1, 'e', 'active')"
        )
        database.execute(
            "insert into runs (run_uuid, name, status, start_time, end_time, lifecycle_stage, "
            "experiment_id, artifact_uri, user_id) values (?, 'old', 'FINISHED', 1000, 2000, "
            "'active', 1, '/gone', 'ada')",
            ("ef" * 16,),
        )
        database.execute(
            "insert into params (key, value, run_uuid) values ('lr', '1', ?)", ("ef" * 16,)
        )
    database.close()
    before = sha256(path)
    (run,) = readers.read(path)
    assert "lr" in sound(run.content).used("ml:run")
    assert sha256(path) == before
    assert {one.name for one in tmp_path.iterdir()} == {"mlflow.db", "script.py"}
