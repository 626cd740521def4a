"""Snakemake in Snakemake, started by jobs of every kind that Snakemake spawns elsewhere."""

from __future__ import annotations

import pytest
from tests.documents import Document
from tests.snakemake.project import Project

SNAKEFILE = """
import subprocess
from pathlib import Path

INNER = [sys.executable, "-m", "snakemake", "--executor", "yprov", "--cores", "1",
    "--scheduler", "greedy", "--quiet", "all", "--snakefile", str(Path("inner.smk").resolve())]

rule all:
    input: "shelled/done", "block/done", "one/done", "two/done"
rule shelled:
    output: "shelled/done"
    params: inner=INNER
    shell: "{params.inner} --directory shelled"
rule block:
    output: "block/done"
    run:
        subprocess.run([*INNER, "--directory", "block"], check=True)
rule one:
    output: "one/done"
    group: "pair"
    params: inner=INNER
    shell: "{params.inner} --directory one"
rule two:
    input: "one/done"
    output: "two/done"
    group: "pair"
    params: inner=INNER
    shell: "{params.inner} --directory two"
"""

INNER = """
rule inner:
    output: "done"
    script: "train.py"
"""

TRAIN = """
from pathlib import Path
from yprov4wms import ml

with ml.start_run("training", name=Path.cwd().name):
    ml.log_param("x", 1)
Path(snakemake.output[0]).touch()
"""


OUTERMOST = {"YPROV_RUN_ID": "outermost", "YPROV_TASK_ID": "task", "YPROV_ATTEMPT": "1"}


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> Document:
    project = Project(tmp_path_factory.mktemp("nested"))
    project.snakefile(SNAKEFILE)
    project.write("inner.smk", INNER)
    project.write("train.py", TRAIN)
    done = project.snakemake(
        *("--logger", "yprov", "--cluster-generic-submit-cmd", "sh", "--jobs", "2"),
        "--seconds-between-status-checks=1",
        executor="cluster-generic",
        # As a task of another run's: jobs are not to be taken for it.
        **OUTERMOST,
        YPROV_STORE=str(project.store),
    )
    assert done.returncode == 0, done.stderr
    (outer,) = (run for run in project.runs() if (run / "runs").is_dir() and run.name[0] == "0")
    return project.document(outer)


@pytest.mark.parametrize("step", ["shelled", "block", "one", "two"])
def test_a_workflow_is_nested_in_the_job_that_started_it(document: Document, step: str) -> None:
    (attempt,) = (
        i for i, a in document.section("activity").items() if a.get("yprov4wms:step") == step
    )
    inside = [
        link["prov:informed"]
        for link in document.links("wasInformedBy", informant=attempt)
        if link["yprov4wms:link"] == "nested"
    ]
    (run,) = inside
    prefix = run.partition(":")[0]
    assert run == f"{prefix}:workflow_run"
    (trained,) = (
        name
        for name, activity in document.section("activity").items()
        if activity.get("yprov4wfs:level") == "2" and activity["prov:label"] == step
    )
    (job,) = document.informants(trained, "nested")
    assert job.startswith(f"{prefix}:task_inner")


def test_a_group_that_cannot_record_its_jobs_is_not_the_task_around_the_run(
    project: Project,
) -> None:
    """As on a node that does not see the store."""
    project.snakefile("""
        rule one:
            output: "told"
            group: "pair"
            shell: "echo $YPROV_RUN_ID:$YPROV_TASK_ID:$YPROV_ATTEMPT > {output}"
        rule two:
            input: "told"
            output: "two"
            group: "pair"
            shell: "touch {output}"
    """)
    project.write("submit.sh", 'sed -i "s/YPROV_JOIN=[^;]*/YPROV_JOIN=/" "$1"; exec sh "$1"\n')
    done = project.snakemake(
        *("--logger", "yprov", "--cluster-generic-submit-cmd", "sh submit.sh", "--jobs", "1"),
        *("--seconds-between-status-checks=1", "two"),
        executor="cluster-generic",
        **OUTERMOST,
        YPROV_STORE=str(project.store),
    )
    assert done.returncode == 0, done.stderr
    (run,) = (run for run in project.runs() if (run / "prov.json").exists())
    assert (project.folder / "told").read_text() == f"{run.name}::\n"
