"""The workflow of three engines that this project ships, run as its README says."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.documents import Document, checked, environment, sha256

from yprov4wms.export.document import read, whole
from yprov4wms.run import Run
from yprov4wms.store import RunFolder
from yprov4wms.whole_graph import whole_graph

SHIPPED = Path(__file__).parents[2] / "workflows"
#: Smaller than what it ships with.
CONF = {"epochs": 2, "hidden": ["16"], "learning_rate": [0.001, 0.01], "factors": [2.0]}


class Digits:
    """The folder of the workflows, after the run."""

    def __init__(self, workflows: Path) -> None:
        ignored = ("results", ".yprov", ".airflow", ".snakemake", "__pycache__")
        shutil.copytree(SHIPPED, workflows, ignore=shutil.ignore_patterns(*ignored))
        self.results = workflows / "combined" / "results"
        done = subprocess.run(
            [sys.executable, str(workflows / "combined/run.py"), "--conf", json.dumps(CONF)],
            env=environment(),
            cwd="/",
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        self.told = done.stdout
        (place,) = [
            line.partition(" is in ")[2].partition("; ")[0]
            for line in self.told.splitlines()
            if "provenance is in " in line
        ]
        self.place = Path(place)
        self.document = checked(self.place.read_bytes())

    def runs(self) -> dict[str, str]:
        """By engine, the prefix of its run."""
        return {
            found["yprov4wfs:engine"]: name.partition(":")[0]
            for name, found in self.document.section("activity").items()
            if found.get("yprov4wfs:level") == "0"
        }


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Digits:
    return Digits(tmp_path_factory.mktemp("digits") / "workflows")


def step(document: Document, activity: str) -> str:
    return str(document.section("activity")[activity]["yprov4wms:step"])


def test_the_command_tells_where_the_one_document_is_and_what_is_in_it(digits: Digits) -> None:
    assert "digits_engines manual__" in digits.told
    shown = digits.told.partition("$ yprov4wms show")[2]
    assert all(engine in shown for engine in ("airflow", "snakemake", "cwltool"))
    assert (digits.results / "comparison.md").read_text().count("hidden16") == 2


def test_both_engines_runs_are_nested_in_the_tries_that_started_them(digits: Digits) -> None:
    around = {
        engine: {
            step(digits.document, attempt)
            for attempt in digits.document.informants(f"{prefix}:workflow_run", "nested")
        }
        for engine, prefix in digits.runs().items()
    }
    assert around == {"airflow": set(), "snakemake": {"coarse"}, "cwltool": {"fine"}}


def test_each_ml_run_is_nested_in_the_task_that_it_ran_in(digits: Digits) -> None:
    found = []
    engines = {prefix: engine for engine, prefix in digits.runs().items()}
    for name, activity in digits.document.section("activity").items():
        if activity.get("yprov4wfs:level") == "2":
            (attempt,) = digits.document.informants(name, "nested")
            assert activity["yprov4wfs:status"] == "completed"
            found.append((engines[attempt.partition(":")[0]], step(digits.document, attempt)))
    assert sorted(found) == [
        ("airflow", "compare"),
        ("cwltool", "evaluate"),
        ("cwltool", "train"),
        ("snakemake", "evaluate"),
        ("snakemake", "train"),
        ("snakemake", "train"),
    ]


def test_all_three_engines_are_agents(digits: Digits) -> None:
    agents = {agent["prov:label"].split()[0] for agent in digits.document.section("agent").values()}
    assert {"airflow", "snakemake", "cwltool"} <= agents
    for prefix in digits.runs().values():
        links = digits.document.links("wasAssociatedWith", activity=f"{prefix}:workflow_run")
        assert f"{prefix}:engine" in {link["prov:agent"] for link in links}


def test_what_snakemake_made_is_the_file_that_cwl_trains_on(digits: Digits) -> None:
    path = digits.results / "snakemake/results/data/train.npz"
    files = digits.document.files(str(path))
    (name,) = (name for name in files if not name.startswith("run:published_"))
    assert files[name]["yprov4wms:sha256"] == sha256(path)
    runs = digits.runs()
    makers = {
        link["prov:activity"] for link in digits.document.links("wasGeneratedBy", entity=name)
    }
    assert {maker.partition(":")[0] for maker in makers} == {"run", runs["snakemake"]}
    users = {link["prov:activity"] for link in digits.document.links("used", entity=name)}
    assert {runs["snakemake"], runs["cwltool"]} <= {user.partition(":")[0] for user in users}


def test_the_winner_is_followed_back_through_both_engines_to_the_data(digits: Digits) -> None:
    document, runs = digits.document, digits.runs()
    back = {
        "wasGeneratedBy": ("prov:entity", "prov:activity"),
        "used": ("prov:activity", "prov:entity"),
        "wasDerivedFrom": ("prov:generatedEntity", "prov:usedEntity"),
    }
    before: dict[str, set[str]] = {}
    for relation, (later, earlier) in back.items():
        for link in document.section(relation).values():
            before.setdefault(link[later], set()).add(link[earlier])
    reached = set(document.files(str(digits.results / "winner.joblib")))
    ahead = list(reached)
    while ahead:
        more = before.get(ahead.pop(), set()) - reached
        reached |= more
        ahead += more
    assert {name.partition(":")[0] for name in reached} >= set(runs.values())
    (digits_file,) = document.files("results/data/digits.npz")
    assert digits_file in reached


def test_the_step_graph_goes_over_all_engines(digits: Digits) -> None:
    folder = RunFolder(str(digits.place.parent))
    run = read(folder)
    assert isinstance(run, Run)
    graph = whole_graph(whole(run, folder))
    hang = {
        (graph.nodes[one]["step"], graph.nodes[other]["step"])
        for one, other, link in graph.edges(data="link")
        if link == "nested" and graph.nodes[one]["kind"] == "step"
    }
    assert {("split", "coarse"), ("evaluate", "fine"), ("train", "coarse")} <= hang


def test_nothing_was_lost_on_the_way(digits: Digits) -> None:
    run = read(RunFolder(str(digits.place.parent)))
    assert run.problems == []
    assert {
        activity["yprov4wfs:status"]
        for activity in digits.document.section("activity").values()
        if "yprov4wfs:status" in activity
    } == {"completed"}
