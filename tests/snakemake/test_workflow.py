"""The workflow that this project ships, run as its README says, and what its document holds."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests import crates
from tests.documents import Document, sha256, value
from tests.snakemake.project import Project

from yprov4wms.graph import StepGraph
from yprov4wms.replay import replay_workflow
from yprov4wms.store import RunFolder

pytest.importorskip("sklearn", reason="the workflow trains with scikit-learn")

SHIPPED = Path(__file__).parents[2] / "workflows" / "snakemake"
EPOCHS = 15
GRID = {
    f"hidden{hidden}_lr{rate}": ([int(size) for size in hidden.split("-")], rate)
    for hidden in ("16", "64", "64-32")
    for rate in (0.001, 0.01)
}


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=Test", "-c", "user.email=test@example.org")
    done = subprocess.run(
        ["git", "-C", str(folder), *identity, *arguments],
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


class Digits:
    """A copy of the workflow in a git repository with a change that is not committed."""

    def __init__(self, folder: Path) -> None:
        ignored = shutil.ignore_patterns("results", ".yprov", ".snakemake", "__pycache__")
        shutil.copytree(SHIPPED, folder, ignore=ignored)
        git(folder, "init", "--quiet", "--initial-branch", "trunk")
        git(folder, "add", "--all")
        git(folder, "commit", "--quiet", "--message", "as shipped")
        self.commit = git(folder, "rev-parse", "HEAD")
        with (folder / "config.yaml").open("a") as file:
            file.write("# changed\n")
        self.project = Project(folder)
        done = self.project.snakemake("--cores", "2")
        assert done.returncode == 0, done.stderr
        self.told = [line for line in done.stderr.splitlines() if line.startswith("yprov")]
        self.document = self.project.document()
        self.files = {
            str(path.relative_to(folder)): sha256(path)
            for path in (folder / "results").rglob("*")
            if path.is_file() and path.name != ".snakemake_timestamp"
        }

    def json(self, path: str) -> Any:
        return json.loads((self.project.folder / path).read_text())


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Digits:
    return Digits(tmp_path_factory.mktemp("workflow") / "digits")


@pytest.fixture(scope="module")
def document(digits: Digits) -> Document:
    return digits.document


def upstream(document: Document, start: str) -> Iterator[str]:
    """Elements that an entity or activity comes from, by used, wasGeneratedBy, wasDerivedFrom."""
    edges: dict[str, list[str]] = {}
    for relation, later, earlier in (
        ("used", "activity", "entity"),
        ("wasGeneratedBy", "entity", "activity"),
        ("wasDerivedFrom", "generatedEntity", "usedEntity"),
    ):
        for record in document.section(relation).values():
            found = edges.setdefault(record[f"prov:{later}"], [])
            found.append(record[f"prov:{earlier}"])
    seen, waiting = {start}, [start]
    while waiting:
        for one in edges.get(waiting.pop(), ()):
            if one not in seen:
                seen.add(one)
                waiting.append(one)
                yield one


def children(document: Document, attempt: str) -> list[str]:
    return [
        r["prov:informed"]
        for r in document.links("wasInformedBy", informant=attempt)
        if r["yprov4wms:link"] == "nested"
    ]


def parts(document: Document, activity: str) -> list[str]:
    """An ML run and its contexts."""
    inside = [
        r["prov:informed"]
        for r in document.links("wasInformedBy", informant=activity)
        if r["yprov4wms:link"] == "part-of"
    ]
    return [activity, *inside]


def attempts(document: Document, step: str) -> dict[str, dict[str, Any]]:
    return {
        i: a for i, a in document.section("activity").items() if a.get("yprov4wms:step") == step
    }


def test_it_ends_by_saying_where_the_document_is_and_how_to_look_at_it(digits: Digits) -> None:
    (line,) = digits.told
    found = re.fullmatch(r"yprov: provenance is in (.*); look at it: yprov4wms (.*)", line)
    assert found is not None, line
    assert Path(found[1]) == digits.project.runs()[0] / "prov.json"
    shown = digits.project.yprov4wms(*found[2].split())
    assert shown.returncode == 0
    assert b"13 completed" in shown.stdout


def test_every_job_is_there(document: Document) -> None:
    counts = {step: len(found) for step, found in document.statuses().items()}
    assert counts == {
        "prepare": 1, "split": 1, "train": 6, "select": 1, "evaluate": 2, "report": 1, "all": 1
    }  # fmt: skip
    assert {s for found in document.statuses().values() for s in found} == {"completed"}


def test_steps_depend_on_each_other_as_in_the_plan(document: Document) -> None:
    edges = {
        (r["prov:influencee"], r["prov:influencer"])
        for r in document.section("wasInfluencedBy").values()
        if r["yprov4wms:link"] == "depends-on"
    }
    steps = [
        ("all", "report"),
        ("report", "evaluate"),
        ("evaluate", "select"),
        ("evaluate", "split"),
    ]
    steps += [("report", "train"), ("select", "train"), ("train", "split"), ("split", "prepare")]
    assert edges >= {(f"run:step_{a}", f"run:step_{b}") for a, b in steps}


def test_each_training_is_an_ml_run_nested_under_its_job(document: Document) -> None:
    trained = {}
    for identifier, attempt in attempts(document, "train").items():
        (child,) = children(document, identifier)
        run = document.section("activity")[child]
        assert run["yprov4wfs:level"] == "2"
        assert run["yprov4wfs:status"] == "completed"
        wildcards = (attempt["yprov4wms:wildcard_hidden"], attempt["yprov4wms:wildcard_rate"])
        assert run["prov:label"] == "hidden{}_lr{}".format(*wildcards)
        trained[run["prov:label"]] = child
    assert set(trained) == set(GRID)


def test_hyperparameters_and_metrics_are_those_of_the_scores(
    document: Document, digits: Digits
) -> None:
    for identifier in attempts(document, "train"):
        (child,) = children(document, identifier)
        name = document.label(child)
        used = [
            document.section("entity")[r["prov:entity"]]
            for r in document.links("used", activity=child)
        ]
        params = {e["prov:label"]: e["prov:value"] for e in used if "prov:value" in e}
        hidden, rate = GRID[name]
        assert json.loads(params["hidden_layers"]) == hidden
        assert value(params["learning_rate"]) == rate
        assert value(params["epochs"]) == EPOCHS
        final = digits.json(f"results/models/{name}.json")["validation"]
        found: dict[tuple[str, str], dict[str, Any]] = {}
        for part in parts(document, child):
            for relation in document.links("wasGeneratedBy", activity=part):
                entity = document.section("entity")[relation["prov:entity"]]
                if "yprov4wms:count" in entity:
                    found[document.label(part), entity["prov:label"]] = entity
        for metric in ("loss", "accuracy"):
            assert value(found["training", metric]["yprov4wms:count"]) == EPOCHS
            series = found["validation", metric]
            file = (
                digits.project.store
                / document.run["yprov4wms:run_id"]
                / series["dcterms:identifier"]
            )
            assert sha256(file) == series["yprov4wms:sha256"]
            assert value(series["yprov4wms:last"]) == pytest.approx(final[metric])
            low, high = value(series["yprov4wms:min"]), value(series["yprov4wms:max"])
            assert low <= value(series["yprov4wms:first"]) <= high
        assert ("training", "process_ram_usage_gb") in found


def test_each_model_is_the_jobs_own_file_and_comes_from_the_digits(document: Document) -> None:
    (digits_file,) = document.files("results/data/digits.npz")
    for name in GRID:
        ((model, entity),) = document.files(f"results/models/{name}.joblib").items()
        makers = {
            document.section("activity")[r["prov:activity"]]["yprov4wfs:level"]
            for r in document.links("wasGeneratedBy", entity=model)
        }
        assert makers == {"1", "3"}, "made by the task, and inside it by a phase of the ML run"
        behind = set(upstream(document, model))
        assert digits_file in behind
        labels = {document.label(one) for one in behind}
        assert {"results/data/train.npz", "prepare", "split", "training images"} < labels
        assert not any(path.startswith("results/evaluation") for path in labels)
        assert entity["yprov4wms:sha256"]


def test_an_evaluation_is_informed_by_the_checkpoint_that_chose_its_model(
    document: Document, digits: Digits
) -> None:
    (select,) = attempts(document, "select")
    chosen = (digits.project.folder / "results/ranking.txt").read_text().split()
    evaluated = {}
    for identifier, attempt in attempts(document, "evaluate").items():
        assert select in document.informants(identifier, "depends-on")
        name = attempt["yprov4wms:wildcard_model"]
        used = {
            r["prov:entity"]: r.get("prov:role")
            for r in document.links("used", activity=identifier)
        }
        (model,) = (i for i, role in used.items() if role == "model")
        assert document.links("wasGeneratedBy", entity=model, activity=select)
        behind = {document.label(one) for one in upstream(document, model)}
        assert f"results/models/{name}.joblib" in behind
        (child,) = children(document, identifier)
        assert document.label(child) == name
        evaluated[name] = child
    assert sorted(evaluated) == sorted(chosen)


def test_the_accuracy_of_an_evaluation_is_that_of_its_scores(
    document: Document, digits: Digits
) -> None:
    for identifier, attempt in attempts(document, "evaluate").items():
        scores = digits.json(f"results/evaluation/{attempt['yprov4wms:wildcard_model']}.json")
        (child,) = children(document, identifier)
        (metric,) = (
            document.section("entity")[r["prov:entity"]]
            for part in parts(document, child)
            for r in document.links("wasGeneratedBy", activity=part)
            if document.label(r["prov:entity"]) == "accuracy"
        )
        assert value(metric["yprov4wms:last"]) == pytest.approx(scores["test_accuracy"])


def test_the_report_traces_back_to_every_model(document: Document) -> None:
    (report,) = document.files("results/report.md")
    labels = {document.label(one) for one in upstream(document, report)}
    assert {f"results/models/{name}.json" for name in GRID} < labels
    assert "results/data/test.npz" in labels


def test_every_file_under_results_has_its_checksum(document: Document, digits: Digits) -> None:
    generated = {r["prov:entity"] for r in document.section("wasGeneratedBy").values()}
    known = {}
    for identifier in generated:
        entity = document.section("entity")[identifier]
        path = entity.get("yprov4wms:path", "")
        if path.startswith("results/") and entity.get("yprov4wms:file_type") != "directory":
            known[path] = entity["yprov4wms:sha256"]
    assert known == digits.files


def test_scripts_and_code_are_told_with_checksums(document: Document, digits: Digits) -> None:
    entities = document.section("entity")
    for step, script in (("train", "train.py"), ("select", "select_best.py")):
        plan = entities[f"run:step_{step}"]
        assert Path(plan["yprov4wms:script"]).name == script
        shipped = digits.project.folder / "scripts" / script
        assert plan["yprov4wms:script_sha256"] == sha256(shipped)
    workflow = entities["run:workflow"]
    assert workflow["yprov4wms:sha256"] == sha256(digits.project.folder / "Snakefile")
    assert value(workflow["yprov4wms:config_training.epochs"]) == EPOCHS


def test_the_commit_and_what_differs_from_it(document: Document, digits: Digits) -> None:
    workflow = document.section("entity")["run:workflow"]
    assert workflow["yprov4wms:git_commit"] == digits.commit
    assert workflow["yprov4wms:git_branch"] == "trunk"
    assert workflow["yprov4wms:git_dirty"] is True
    assert workflow["yprov4wms:git_changed"] == "config.yaml"


def test_software_agents_and_costs(document: Document) -> None:
    environment = document.section("entity")["run:environment"]
    for package in ("snakemake", "scikit-learn", "numpy", "yprov4wms"):
        assert environment[f"yprov4wms:version_{package}"]
    agents = {a["prov:label"].split()[0] for a in document.section("agent").values()}
    assert {"snakemake", "snakemake-executor-plugin-yprov"} < agents
    people = [a for a in document.section("agent").values() if a["prov:type"] == "prov:Person"]
    assert len(people) == 1, "the same person runs the workflow and its ML runs"
    for attempt in attempts(document, "train").values():
        assert value(attempt["yprov4wms:cpu_time"]) > 0.5
        assert value(attempt["yprov4wms:memory_peak"]) > 30e6
        assert attempt["yprov4wms:memory_peak_unit"] == "B"
        assert attempt["yprov4wms:energy_method"]


def test_the_critical_path_goes_through_every_stage(digits: Digits) -> None:
    run = replay_workflow(RunFolder(str(digits.project.runs()[0])))
    graph = StepGraph.of(run)
    path, seconds = graph.critical_path()
    steps = [run.tasks[task].step for task in path]
    assert steps == ["prepare", "split", "train", "select", "evaluate", "report", "all"]
    for task, upstream_task in zip(path[1:], path, strict=False):
        assert upstream_task in run.tasks[task].depends_on
    took = value(digits.document.run["yprov4wfs:execution_time_sec"])
    assert 1 < seconds <= took


@pytest.mark.parametrize("mode", ["bundle", "link"])
def test_other_ways_of_nesting_keep_the_links(digits: Digits, mode: str) -> None:
    nested = digits.project.exported("--nest", mode)
    assert len(nested.section("bundle")) == (8 if mode == "bundle" else 0)
    for step, count in (("train", 6), ("evaluate", 2)):
        found = [child for one in attempts(nested, step) for child in children(nested, one)]
        assert len(found) == count
    model = next(iter(nested.files("results/models/hidden16_lr0.01.joblib")))
    (digits_file,) = nested.files("results/data/digits.npz")
    assert digits_file in set(upstream(nested, model))


def test_a_second_export_is_byte_identical(digits: Digits) -> None:
    assert digits.project.exported().content == digits.document.content


def test_it_is_an_ro_crate(digits: Digits, tmp_path: Path) -> None:
    crate = crates.of_run(digits.project.store, "latest", tmp_path / "crate.zip", "--with-data")
    found = crates.graph(crate)
    assert {tool: len(runs) for tool, runs in crates.ml_runs(found).items()} == {
        "train": 6, "evaluate": 2,
    }  # fmt: skip
    content = crates.files(crate)
    report = hashlib.sha256(content["data/results/report.md"]).hexdigest()
    assert report == digits.files["results/report.md"]
    assert content["workflow/scripts/train.py"] == (SHIPPED / "scripts/train.py").read_bytes()
    main = found[found["./"]["mainEntity"]["@id"]]
    assert main["version"] == f"{digits.commit} with changes"


def test_another_selection_reruns_from_the_checkpoint_on(digits: Digits) -> None:
    """As the README proposes: what was up to date is told, and nothing is shared but content."""
    done = digits.project.snakemake("--config", "select=1")
    assert done.returncode == 0, done.stderr
    again = digits.project.document()
    statuses = again.statuses()
    assert statuses["train"] == ["up-to-date"] * 6
    assert statuses["select"] == statuses["evaluate"] == statuses["report"] == ["completed"]
    assert not again.ids() & digits.document.ids()
    path = "results/models/hidden64_lr0.01.joblib"
    (before,), (after,) = (d.files(path).values() for d in (digits.document, again))
    assert before["yprov4wms:sha256"] == after["yprov4wms:sha256"]
