"""ML runs by yProv4ML's layout under real jobs: among their outputs, and where they worked."""

from __future__ import annotations

import time
from pathlib import Path

from tests.documents import Document, kill_group
from tests.runs_by_yprov4ml import SCRIPT
from tests.snakemake.project import Project

SNAKEFILE = """
import sys
rule declared:
    output: runs=directory("runs"), model="model.pt"
    params: python=sys.executable
    shell: "{params.python} train.py runs digits"
rule undeclared:
    output: "model.pt"
    params: python=sys.executable
    shell: "{params.python} train.py prov digits"
rule killed:
    output: "never.txt"
    params: python=sys.executable
    shell: "{params.python} train.py prov killed; touch trained; sleep 60"
rule crashed:
    output: "never.txt"
    params: python=sys.executable
    shell: "{params.python} train.py prov crash"
"""


def ran(folder: Path, rule: str, status: int = 0) -> tuple[Document, str, list[str]]:
    """A run of one rule; its document, its attempt, and what is nested in that."""
    project = Project(folder)
    project.snakefile(SNAKEFILE)
    project.write("train.py", SCRIPT)
    done = project.snakemake("--", rule)
    assert done.returncode == status, done.stderr
    assert "provenance is incomplete" not in done.stderr
    document = project.document()
    attempt = document.attempt_id(rule)
    found = [
        r["prov:informed"]
        for r in document.links("wasInformedBy", informant=attempt)
        if r["yprov4wms:link"] == "nested"
    ]
    return document, attempt, found


def test_a_run_in_a_declared_directory_is_nested(tmp_path: Path) -> None:
    document, attempt, (run,) = ran(tmp_path, "declared")
    ((model, _),) = document.files("model.pt").items()
    makers = {r["prov:activity"] for r in document.links("wasGeneratedBy", entity=model)}
    assert makers == {attempt, run}


def test_a_run_where_the_job_worked_is_nested(tmp_path: Path) -> None:
    document, _, (run,) = ran(tmp_path, "undeclared")
    assert document.section("activity")[run]["yprov4wfs:level"] == "2"
    assert "model.pt" in document.made(run)


def test_what_a_crashed_training_left_is_nested(tmp_path: Path) -> None:
    document, _, nested = ran(tmp_path, "crashed", status=1)
    assert len(nested) == 1
    (entity,) = [e for e in document.section("entity").values() if "yprov4wms:dialect" in e]
    assert (entity["yprov4wms:complete"], entity["yprov4wms:dialect"]) == (False, "yprov4ml")


def test_what_a_job_left_that_was_killed_with_its_engine_is_found_in_doubt(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.snakefile(SNAKEFILE)
    project.write("train.py", SCRIPT)
    process = project.start("--", "killed")
    deadline = time.monotonic() + 60
    while not (tmp_path / "trained").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    kill_group(process)
    process.communicate()
    document = project.exported()
    (entity,) = [e for e in document.section("entity").values() if "yprov4wms:dialect" in e]
    assert entity["yprov4wms:doubt"].startswith("its task was killed")
    assert project.exported().content == document.content
