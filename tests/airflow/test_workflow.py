"""The workflow that this project ships, run as its README says, and what its documents hold."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests import crates
from tests.airflow.record import nested
from tests.documents import Document, checked, environment, sha256, value

pytest.importorskip("sklearn", reason="the workflow trains with scikit-learn")

SHIPPED = Path(__file__).parents[2] / "workflows"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workflow's folder, after its run."""
    workflows = tmp_path_factory.mktemp("digits") / "workflows"
    ignored = shutil.ignore_patterns("results", ".yprov", ".airflow", ".snakemake", "__pycache__")
    shutil.copytree(SHIPPED, workflows, ignore=ignored)
    done = run(workflows / "airflow")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(": success\n") == 2
    assert done.stdout.count("provenance is in ") == 2
    return workflows / "airflow"


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(folder / "run.py"), *arguments],
        env=environment(),
        cwd="/",
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )


@pytest.fixture(scope="module")
def documents(folder: Path) -> dict[str, Document]:
    """By DAG."""
    found = [checked(p.read_bytes()) for p in (folder / ".airflow/yprov").glob("*/prov.json")]
    return {document.run["prov:label"]: document for document in found}


def activity(document: Document, task: str) -> str:
    (found,) = [
        i for i, a in document.section("activity").items() if a.get("yprov4wms:task") == task
    ]
    return found


def test_each_training_is_nested_in_its_task_instance(documents: dict[str, Document]) -> None:
    digits = documents["digits"]
    runs = nested(digits)
    assert {f"train[{n}]" for n in range(6)} <= set(runs)
    assert {"evaluate[0]", "evaluate[1]"} <= set(runs)
    for task, identifier in runs.items():
        assert digits.section("activity")[identifier]["yprov4wfs:status"] == "completed", task


def test_the_model_is_what_the_training_left_and_the_evaluation_used(
    folder: Path, documents: dict[str, Document]
) -> None:
    digits = documents["digits"]
    models = {
        str(path): sha256(path)
        for path in (folder / "results").rglob("*.joblib")
        if "best" not in path.parts
    }
    assert models
    for path, checksum in models.items():
        versions = digits.files(path)
        assert checksum in {entity.get("yprov4wms:sha256") for entity in versions.values()}
        makers = {
            link["prov:activity"]
            for identifier in versions
            for link in digits.links("wasGeneratedBy", entity=identifier)
        }
        steps = {digits.section("activity")[m].get("yprov4wms:step") for m in makers}
        assert "train" in steps


def test_the_report_follows_from_the_run_that_made_the_scores(
    documents: dict[str, Document],
) -> None:
    report, digits = documents["digits_report"], documents["digits"]
    assert report.run["yprov4wms:engine_run_type"] == "asset_triggered"
    shared = report.ids() & digits.ids()
    assert any(uri.startswith(f"urn:uuid:{digits.run['yprov4wms:run_id']}#") for uri in shared)


def test_what_each_task_cost(documents: dict[str, Document]) -> None:
    train = documents["digits"].section("activity")[activity(documents["digits"], "train[0]")]
    assert value(train["yprov4wms:cpu_time"]) > 0.1
    assert value(train["yprov4wms:memory_peak"]) > 1e7


def test_a_run_that_fails_says_where(folder: Path, documents: dict[str, Document]) -> None:
    done = run(folder, "--conf", '{"alpha": "x"}')
    assert done.returncode == 1
    assert "task train[" in done.stderr
    places = set((folder / ".airflow" / "yprov").glob("*/prov.json"))
    assert len(places) == 3
    (failed,) = [
        document
        for document in (checked(place.read_bytes()) for place in places)
        if document.run["yprov4wfs:status"] == "failed"
    ]
    assert failed.statuses()["publish"] == ["upstream-failed"]
    store, target = folder / ".airflow" / "yprov", folder / "failed.zip"
    found = crates.graph(crates.of_run(store, failed.run["yprov4wms:run_id"], target))
    errors = [action for action in found.values() if "error" in action]
    assert {str(action["name"]).partition("[")[0] for action in errors} >= {"train"}


def test_it_is_an_ro_crate(folder: Path, documents: dict[str, Document]) -> None:
    store, run = folder / ".airflow" / "yprov", documents["digits"].run["yprov4wms:run_id"]
    crate = crates.of_run(store, run, folder / "crate.zip", "--with-data")
    found = crates.graph(crate)
    runs = crates.ml_runs(found)
    assert {tool: len(actions) for tool, actions in runs.items()} == {"train": 6, "evaluate": 2}
    assert found["./"]["mainEntity"] == {"@id": "workflow/digits.py"}
    assert any(name.endswith("ranking.txt") for name in crates.files(crate))
