"""Jobs of a real SLURM, under either plugin: what the nodes tell, and what deaths leave."""

from __future__ import annotations

import contextlib
import platform
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import psutil
import pytest
from tests.documents import Document, at_once, environment, value
from tests.snakemake.project import Project
from tests.snakemake.slurm import Cluster, cluster

pytest.importorskip("snakemake_executor_plugin_slurm")

SNAKEFILE = """
localrules: all, gather

rule all:
    input: "gathered.txt", "fails.txt", "killed.txt", "trained.txt"
rule one:
    output: "one_{n}.txt"
    resources: mem_mb=150
    threads: 2
    shell: "echo $SLURM_ARRAY_JOB_ID > {output}; python3 -c 'sum(range(3000000))'"
rule flaky:
    output: "flaky.txt"
    retries: 1
    shell: "echo $SLURM_JOB_ID >> tries; test $(wc -l < tries) -gt 1; cp tries {output}"
rule first:
    output: "first.txt"
    group: "pair"
    shell: "touch {output}"
rule second:
    input: "first.txt"
    output: "second.txt"
    group: "pair"
    shell: "sleep 1; echo $SLURM_JOB_ID > {output}"
rule trained:
    output: "trained.txt"
    script: "train.py"
rule fails:
    output: "fails.txt"
    shell: "exit 7"
rule killed:
    output: "killed.txt"
    shell: "touch begun; sleep 300; touch {output}"
rule gather:
    input: "one_1.txt", "one_2.txt", "flaky.txt", "second.txt"
    output: "gathered.txt"
    shell: "cat {input} > {output}"
"""

TRAIN = """
from yprov4wms import ml
with ml.start_run("train", name="on a node"):
    ml.log_param("x", 1)
open(snakemake.output[0], "w").write("x")
"""

LONG = """
rule long:
    output: "long.txt"
    shell: "touch begun; sleep 300; touch {output}"
"""

OPTIONS = (
    *("--slurm-no-account", "--jobs", "8", "--slurm-status-command", "squeue"),
    *("--default-resources", "slurm_partition=main", "mem_mb=100", "runtime=5"),
    *("--slurm-init-seconds-before-status-checks", "1", "--seconds-between-status-checks", "1"),
)
WITH_LOGGER = ("--executor", "slurm", "--logger", "yprov")
INNER = ("--executor", "yprov", "--yprov-inner-executor", "slurm")


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster(tmp_path_factory.mktemp("slurm")) as found:
        yield found


def start(slurm: Cluster, project: Project, *options: str) -> subprocess.Popen[str]:
    base = project.command("--latency-wait", "20", executor=None)
    at = base.index("--cores")
    del base[at : at + 2]
    return slurm.popen([*base, *OPTIONS, *options], project.folder, environment())


def whole(slurm: Cluster, project: Project) -> list[Document]:
    project.snakefile(SNAKEFILE)
    project.write("train.py", TRAIN)
    options = ("--keep-going", "--slurm-array-jobs", "one")
    process = start(slurm, project, *options, *WITH_LOGGER)
    begun(project)
    kill_on_node(project)
    out, _ = process.communicate(timeout=400)
    assert process.returncode == 1, out
    return [project.document()]


def wait_for(condition: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + 90
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come about"
        time.sleep(0.5)


def begun(project: Project) -> None:
    wait_for((project.folder / "begun").exists, "the job's start")


def ancestors(project: Project) -> list[psutil.Process]:
    """Those of the job's ``sleep``, the nearest first."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.name() == "sleep" and process.cwd() == str(project.folder):
                return process.parents()
    raise AssertionError("no job runs")


def kill_on_node(project: Project) -> None:
    """The Snakemake that runs the job, and what it started."""
    innermost = next(p for p in ancestors(project) if "snakemake" in p.cmdline())
    for process in (innermost, *innermost.children(recursive=True)):
        process.kill()


def killed_here(slurm: Cluster, project: Project) -> list[Document]:
    """Snakemake itself dies, its job goes on."""
    project.snakefile(LONG.replace("300", "15"))
    process = start(slurm, project, *WITH_LOGGER)
    begun(project)
    for child in psutil.Process(process.pid).children(recursive=True):
        child.kill()
    process.communicate(timeout=60)
    meanwhile = project.exported()
    ended = lambda: "prov:endTime" in project.exported().attempts("long")[0]  # noqa: E731
    wait_for(ended, "the job's end")
    return [meanwhile, project.exported()]


@pytest.fixture(scope="module")
def seen(
    slurm: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[Project, list[Document]]]:
    scenarios: tuple[Callable[[Cluster, Project], list[Document]], ...]
    scenarios = (whole, killed_here)
    projects = [Project(tmp_path_factory.mktemp(s.__name__)) for s in scenarios]
    calls = [partial(s, slurm, p) for s, p in zip(scenarios, projects, strict=True)]
    found = zip(projects, at_once(*calls), strict=True)
    return dict(zip((s.__name__ for s in scenarios), found, strict=True))


def with_label(document: Document, label: str) -> list[dict[str, Any]]:
    found = document.section("activity").values()
    return [a for a in found if a["prov:label"] == label and "yprov4wms:attempt" in a]


def test_statuses_and_retries_on_nodes_are_told(seen: dict[str, Any]) -> None:
    _, (document,) = seen["whole"]
    assert document.run["yprov4wfs:status"] == "failed"
    assert document.run["yprov4wms:executor"] == "slurm"
    statuses = document.statuses()
    assert statuses.pop("flaky") == ["failed", "completed"]
    assert statuses.pop("one") == ["completed", "completed"]
    assert statuses.pop("fails") == statuses.pop("killed") == ["failed"]
    assert statuses.pop("all") == ["upstream-failed"]
    assert set(map(tuple, statuses.values())) == {("completed",)}
    (failed,) = document.attempts("fails")
    assert value(failed["yprov4wms:exit_code"]) == 7


def test_job_ids_are_those_of_slurm(seen: dict[str, Any]) -> None:
    project, (document,) = seen["whole"]
    tries = (project.folder / "tries").read_text().split()
    ids = [a.get("yprov4wms:external_id") for a in document.attempts("flaky")]
    assert ids == tries
    (grouped,) = (project.folder / "second.txt").read_text().split()
    for member in ("first", "second"):
        assert [a["yprov4wms:external_id"] for a in document.attempts(member)] == [grouped]
    for n in (1, 2):
        array = (project.folder / f"one_{n}.txt").read_text().strip()
        (attempt,) = with_label(document, f"one n={n}")
        assert attempt["yprov4wms:external_id"].startswith(array)
    assert "yprov4wms:external_id" not in document.attempts("gather")[0]


def test_each_job_has_its_own_times_and_costs(seen: dict[str, Any]) -> None:
    _, (document,) = seen["whole"]
    (first,) = document.attempts("first")
    (second,) = document.attempts("second")
    assert first["prov:endTime"] <= second["prov:startTime"]
    assert value(first["yprov4wfs:execution_time_sec"]) < 1
    assert 1 <= value(second["yprov4wfs:execution_time_sec"]) < 2
    for attempt in document.attempts("one"):
        assert 0.02 < value(attempt["yprov4wms:cpu_time"]) < 5
        assert value(attempt["yprov4wms:threads"]) == 2
    for step in ("one", "flaky", "second", "fails", "trained", "gather"):
        for attempt in document.attempts(step):
            assert attempt["yprov4wms:host"] == platform.node(), step


def test_an_ml_run_on_a_node_is_nested(seen: dict[str, Any]) -> None:
    _, (document,) = seen["whole"]
    (child,) = [
        i for i, a in document.section("activity").items() if a["prov:label"] == "on a node"
    ]
    assert document.links("wasStartedBy", activity=child) or document.links(
        "wasInformedBy", informed=child
    )


def test_a_snakemake_killed_on_its_node_is_a_failed_job(seen: dict[str, Any]) -> None:
    _, (document,) = seen["whole"]
    (attempt,) = document.attempts("killed")
    assert "SLURM status is: 'FAILED'" in attempt["yprov4wms:error"]
    assert attempt["yprov4wms:host"] == platform.node()


def test_a_job_that_outlives_snakemake_tells_its_end(seen: dict[str, Any]) -> None:
    _, (meanwhile, document) = seen["killed_here"]
    assert meanwhile.statuses() == {"long": ["running"]}
    assert document.statuses() == {"long": ["completed"]}
    (attempt,) = document.attempts("long")
    assert value(attempt["yprov4wms:exit_code"]) == 0
    assert 15 <= value(attempt["yprov4wfs:execution_time_sec"]) < 30
    assert document.run["yprov4wfs:status"] == "running"


def test_a_node_that_dies_with_its_daemon_leaves_its_job_running(
    slurm: Cluster, seen: dict[str, Any], project: Project
) -> None:
    project.snakefile(LONG)
    process = start(slurm, project, *INNER)
    begun(project)
    slurm.kill_node()
    document = project.exported()
    assert document.statuses() == {"long": ["running"]}
    assert "prov:endTime" not in document.attempts("long")[0]
    psutil.Process(process.pid).children()[0].send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 1, out
    assert project.document().statuses() == {"long": ["cancelled"]}
