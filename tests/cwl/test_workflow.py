"""The workflow that this project ships, run as its README says, and what its document holds."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from tests import crates
from tests.cwl.project import PLAIN, Project, statuses, task
from tests.documents import Document, sha256, value

pytest.importorskip("sklearn", reason="the workflow trains with scikit-learn")

SHIPPED = Path(__file__).parents[2] / "workflows"
EPOCHS = 15


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Project:
    folder = tmp_path_factory.mktemp("digits") / "workflows"
    ignored = shutil.ignore_patterns("results", ".yprov", ".snakemake", "__pycache__")
    shutil.copytree(SHIPPED, folder, ignore=ignored)
    project = Project(folder / "cwl")
    project.recorded("--parallel", "--outdir", "results", "digits.cwl", "digits.yml")
    return project


@pytest.fixture(scope="module")
def document(digits: Project) -> Document:
    return digits.document()


def nested(document: Document, label: str) -> str:
    """The ML run of a task."""
    (found,) = [
        identifier
        for identifier, activity in document.section("activity").items()
        if activity.get("yprov4wfs:level") == "2"
        and document.informants(identifier, "nested") == {task(document, label)}
    ]
    return found


def test_every_step_ran(document: Document) -> None:
    assert statuses(document) == {
        **dict.fromkeys(["data", "data/prepare", "data/split", "choose", "report"], "completed"),
        **{f"train[{index}]": "completed" for index in range(6)},
        **{f"evaluate[{index}]": "completed" for index in range(2)},
    }


def test_each_training_is_nested_with_its_parameters_and_model(
    digits: Project, document: Document
) -> None:
    seen = set()
    for index in range(6):
        run = document.section("activity")[nested(document, f"train[{index}]")]
        element = document.section("activity")[task(document, f"train[{index}]")]
        name = f"hidden{element['yprov4wms:param_hidden']}_lr"
        assert run["prov:label"].startswith(name)
        seen.add(run["prov:label"])
        made = document.links("wasGeneratedBy", activity=task(document, f"train[{index}]"))
        (model,) = [r["prov:entity"] for r in made if r.get("prov:role") == "model"]
        makers = {r["prov:activity"] for r in document.links("wasGeneratedBy", entity=model)}
        prefix = nested(document, f"train[{index}]").partition(":")[0]
        assert {maker.partition(":")[0] for maker in makers} == {"run", prefix}
    assert len(seen) == 6
    series = [
        e
        for e in document.section("entity").values()
        if e["prov:type"] == "provml:Metric" and e["prov:label"].endswith("loss")
    ]
    assert len(series) == 12
    assert {value(e["yprov4wms:count"]) for e in series} == {EPOCHS}


def test_a_model_can_be_followed_from_the_results_to_the_data_and_the_code(
    digits: Project, document: Document
) -> None:
    best = (digits.folder / "results" / "ranking.txt").read_text().split()[0]
    path = f"results/{best}.joblib"
    (final,) = document.files(path)
    assert document.files(path)[final]["yprov4wms:sha256"] == sha256(digits.folder / path)
    (moved,) = document.links("wasDerivedFrom", generatedEntity=final)
    makers = {
        r["prov:activity"]
        for r in document.links("wasGeneratedBy", entity=moved["prov:usedEntity"])
    }
    assert makers == {task(document, "choose")}
    used = document.links("used", activity=task(document, "choose"))
    trained = {r["prov:entity"] for r in used if r.get("prov:role") == "models"}
    trainings = {task(document, f"train[{index}]") for index in range(6)}
    for model in trained:
        found = {r["prov:activity"] for r in document.links("wasGeneratedBy", entity=model)}
        assert found & trainings
    used = document.links("used", activity=task(document, "train[0]"))
    roles = {r["prov:role"]: document.label(r["prov:entity"]) for r in used if "prov:role" in r}
    assert roles["script"].endswith("scripts/train.py")
    split = task(document, "data/split")
    (data,) = [r["prov:entity"] for r in used if r.get("prov:role") == "train"]
    assert split in {r["prov:activity"] for r in document.links("wasGeneratedBy", entity=data)}


def test_without_the_test_each_evaluation_is_skipped(digits: Project) -> None:
    job = (digits.folder / "digits.yml").read_text()
    job = job.replace("test: true", "test: false").replace("epochs: 15", "epochs: 1")
    (digits.folder / "untested.yml").write_text(job)
    document = digits.recorded("--outdir", "untested", "digits.cwl", "untested.yml")
    found = statuses(document)
    assert found["evaluate[0]"] == found["evaluate[1]"] == "skipped"
    assert found["report"] == "completed"
    crate = crates.of_run(digits.store, "latest", digits.folder / "untested.zip")
    runs = crates.ml_runs(crates.graph(crate))
    assert {tool: len(actions) for tool, actions in runs.items()} == {"train": 6}


def test_it_is_an_ro_crate(digits: Project) -> None:
    run = digits.runs()[0].name
    crate = crates.of_run(digits.store, run, digits.folder / "crate", "--with-data")
    found = crates.graph(crate)
    runs = crates.ml_runs(found)
    assert {tool: len(actions) for tool, actions in runs.items()} == {"train": 6, "evaluate": 2}
    main = found[found["./"]["mainEntity"]["@id"]]
    (sub,) = [t for t in crates.ends(found, main, "hasPart") if "HowTo" in crates.types(t)]
    assert [tool["name"] for tool in crates.ends(found, sub, "hasPart")] == [
        "data/prepare", "data/split",
    ]  # fmt: skip
    report = digits.folder / "results" / "report.md"
    assert crates.files(crate)["data/results/report.md"] == report.read_bytes()


def test_plain_cwltool_makes_the_same(digits: Project) -> None:
    done = digits.run(
        *("--quiet", "--outdir", "plain", "digits.cwl", "digits.yml"),
        runner=PLAIN,
        YPROV_STORE=str(digits.folder / "alone"),
    )
    assert done.returncode == 0, done.stderr
    for name in json.loads(done.stdout):
        assert name in ("page", "best", "ranking")
    mine = (digits.folder / "results" / "report.md").read_bytes()
    assert mine == (digits.folder / "plain" / "report.md").read_bytes()
