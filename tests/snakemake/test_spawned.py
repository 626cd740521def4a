"""What Snakemakes that Snakemake spawns tell: ``run:``, shadow, and jobs of a cluster."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from tests.documents import Document, environment, sha256, value
from tests.snakemake.project import Project

pytest.importorskip("snakemake_executor_plugin_cluster_generic")

SNAKEFILE = """
localrules: all, nested

rule all:
    input: "flaky.txt", "two.txt", "shadowed.txt", "nested.txt", "trained.txt", "made"

rule flaky:
    output: "flaky.txt"
    retries: 2
    resources: tries=lambda wildcards, attempt: attempt
    shell: "echo ${{YPROV_ATTEMPT}} {resources.tries} >> tries; echo $(wc -l < tries) > {output};"
        " test $(wc -l < tries) -ge 3"
rule one:
    output: "one.txt"
    group: "pair"
    shell: "python3 -c 'sum(range(3000000))'; touch {output}"
rule passing:
    output: temp("passing.txt")
    group: "pair"
    shell: "touch {output}"
rule two:
    input: "one.txt", "passing.txt"
    output: "two.txt"
    group: "pair"
    shell: "sleep 1; touch {output}"
rule fine:
    output: "fine.txt"
    group: "broken"
    shell: "echo fine > {output}"
rule broken:
    input: "fine.txt"
    output: "broken.txt"
    group: "broken"
    shell: "exit 5"
rule never:
    input: "broken.txt"
    output: "never.txt"
    group: "broken"
    shell: "touch {output}"
rule again1:
    output: "again1.txt"
    group: "again"
    shell: "sleep 0.1; touch {output}"
rule again2:
    input: "again1.txt"
    output: "again2.txt"
    group: "again"
    retries: 1
    shell: "echo x >> again; test $(wc -l < again) -ge 3; touch {output}"
rule again3:
    input: "again2.txt"
    output: "again3.txt"
    group: "again"
    shell: "touch {output}"
rule shadowed:
    output: "shadowed.txt"
    shadow: "minimal"
    shell: "python3 -c 'sum(range(3000000))'; touch {output}"
rule made:
    output: directory("made")
    retries: 1
    run:
        import os
        os.makedirs(output[0])
        if os.environ["YPROV_ATTEMPT"] == "1":
            raise ValueError("not yet")
        open(output[0] + "/x", "w").write("x")
rule nested:
    output: "nested.txt"
    shell: "cd inner && unset YPROV_STORE && snakemake --cores 1 -s Snakefile --executor local"
        " && cp done ../nested.txt"
rule trained:
    output: "trained.txt"
    retries: 1
    script: "train.py"
"""

INNER = """
rule inner:
    output: "done"
    run:
        import os
        open(output[0], "w").write(os.environ.get("YPROV_JOIN", "none"))
"""

TRAIN = """
import os
from yprov4wms import ml
with ml.start_run("train", name=os.environ["YPROV_ATTEMPT"]):
    ml.log_param("x", 1)
    if os.environ["YPROV_ATTEMPT"] == "1":
        raise ValueError("diverged")
open(snakemake.output[0], "w").write("x")
"""


@pytest.fixture(scope="module")
def spawned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, Document]:
    project = Project(tmp_path_factory.mktemp("spawned"))
    project.snakefile(SNAKEFILE)
    project.write("inner/Snakefile", INNER)
    project.write("train.py", TRAIN)
    options = (
        "--cluster-generic-submit-cmd",
        "sh",
        "--jobs",
        "1",
        "--seconds-between-status-checks=1",
        "--keep-going",
    )
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = project.snakemake(
        *("--logger", "yprov", "--logger-yprov-sample-interval", "0.1"),
        *options,
        "--",
        "all",
        "never.txt",
        "again3.txt",
        executor="cluster-generic",
        PATH=path,
    )
    assert done.returncode == 1, done.stderr
    return project, project.document()


def tries(document: Document, step: str) -> list[Any]:
    found = document.attempts(step)
    assert [value(a["yprov4wms:attempt"]) for a in found] == list(range(1, len(found) + 1))
    return [a["yprov4wfs:status"] for a in found]


def test_a_retry_inside_the_child_is_an_attempt(spawned: tuple[Project, Document]) -> None:
    project, document = spawned
    assert tries(document, "flaky") == ["failed", "failed", "completed"]
    for number in (2, 3):
        here, before = (document.attempt_id("flaky", n) for n in (number, number - 1))
        assert document.informants(here, "retry-of") == {before}
    codes = [value(a["yprov4wms:exit_code"]) for a in document.attempts("flaky")]
    assert codes == [1, 1, 0]
    assert document.made(document.attempt_id("flaky", 3)) == {"flaky.txt"}
    assert document.made(document.attempt_id("flaky", 1)) == set()
    ((_, file),) = document.files("flaky.txt").items()
    assert file["yprov4wms:sha256"] == sha256(project.folder / "flaky.txt")
    for number, attempt in enumerate(document.attempts("flaky"), 1):
        assert value(attempt["yprov4wms:resource_tries"]) == number
        assert f"{number} >> tries" in attempt["yprov4wms:command"]
    starts = [a["prov:startTime"] for a in document.attempts("flaky")]
    assert starts == sorted(set(starts))


def test_a_directory_that_a_retry_made_is_its_own(spawned: tuple[Project, Document]) -> None:
    _, document = spawned
    assert tries(document, "made") == ["failed", "completed"]
    assert "not yet" in document.attempts("made")[0]["yprov4wms:error"]
    assert document.made(document.attempt_id("made", 2)) == {"made", "made/x"}


def test_members_of_a_group_have_times_and_costs_of_their_own(
    spawned: tuple[Project, Document],
) -> None:
    _, document = spawned
    (one,), (two,) = document.attempts("one"), document.attempts("two")
    assert value(one["yprov4wms:cpu_time"]) > 2 * value(two["yprov4wms:cpu_time"])
    assert value(two["yprov4wfs:execution_time_sec"]) > 1
    assert one["prov:endTime"] <= two["prov:startTime"]


def test_of_a_group_that_failed_each_member_has_its_own_status(
    spawned: tuple[Project, Document],
) -> None:
    _, document = spawned
    (fine,), (broken,) = document.attempts("fine"), document.attempts("broken")
    assert fine["yprov4wfs:status"] == "completed"
    assert "yprov4wms:error" not in fine
    assert broken["yprov4wfs:status"] == "failed"
    assert value(broken["yprov4wms:exit_code"]) == 5
    assert "exit status 5" in broken["yprov4wms:error"]


def test_a_member_that_its_group_did_not_come_to_never_ran(
    spawned: tuple[Project, Document],
) -> None:
    _, document = spawned
    assert document.attempts("never") == []
    (plan,) = document.plans("never")
    assert plan["yprov4wfs:status"] == "upstream-failed"


def test_a_group_that_is_retried_depends_on_what_was_there(
    spawned: tuple[Project, Document],
) -> None:
    _, document = spawned
    assert tries(document, "again1") == ["completed", "completed"]
    assert tries(document, "again2") == ["failed", "failed", "completed"]
    assert tries(document, "again3") == ["completed"]
    for number, upstream in ((1, 1), (2, 1), (3, 2)):
        here = document.attempt_id("again2", number)
        before = document.attempt_id("again1", upstream)
        assert document.informants(here, "depends-on") == {before}
        activities = document.section("activity")
        assert activities[before]["prov:startTime"] <= activities[here]["prov:endTime"]
    assert document.used(document.attempt_id("again2", 3)) == {"again1.txt"}
    assert document.used(document.attempt_id("again2", 1)) == set()


def test_a_temporary_file_of_a_group_ties_maker_and_reader(
    spawned: tuple[Project, Document],
) -> None:
    _, document = spawned
    assert document.made(document.attempt_id("passing")) == {"passing.txt"}
    assert "passing.txt" in document.used(document.attempt_id("two"))
    ((_, file),) = document.files("passing.txt").items()
    assert "temporary" in file["yprov4wms:note"]


def test_a_shadow_job_is_metered_without_the_snakemake_around_it(
    spawned: tuple[Project, Document],
) -> None:
    _, document = spawned
    (shadowed,) = document.attempts("shadowed")
    assert shadowed["yprov4wms:cpu_time_method"] == "wait4"
    assert 0 < value(shadowed["yprov4wms:cpu_time"]) < 1


def test_a_workflow_that_a_job_starts_is_none_of_ours(spawned: tuple[Project, Document]) -> None:
    project, document = spawned
    assert (project.folder / "nested.txt").read_text() == "none"
    assert document.attempts("inner") == []


def test_ml_runs_belong_to_the_try_that_made_them(spawned: tuple[Project, Document]) -> None:
    _, document = spawned
    assert tries(document, "trained") == ["failed", "completed"]
    for number, status in ((1, "failed"), (2, "completed")):
        links = document.links("wasInformedBy", informant=document.attempt_id("trained", number))
        (run,) = [r["prov:informed"] for r in links if r["yprov4wms:link"] == "nested"]
        assert document.section("activity")[run]["yprov4wfs:status"] == status


def test_a_second_export_is_byte_identical(spawned: tuple[Project, Document]) -> None:
    project, document = spawned
    assert project.exported().content == document.content


def test_a_child_that_is_killed_leaves_when_and_where_it_ran(project: Project) -> None:
    project.snakefile("""
        rule a:
            output: "a.txt"
            shell: "echo $PPID > pid; sleep 60"
    """)
    options = (
        "--cluster-generic-submit-cmd",
        "sh",
        "--jobs",
        "1",
        "--seconds-between-status-checks=1",
        "--logger",
        "yprov",
    )
    command = project.command(*options, "--", "a.txt", executor="cluster-generic")
    running = subprocess.Popen(
        command, cwd=project.folder, env=environment(), stderr=subprocess.PIPE, text=True
    )
    try:
        pid = project.folder / "pid"
        for _ in range(600):
            if pid.exists() and pid.read_text().strip():
                break
            time.sleep(0.1)
        os.kill(int(pid.read_text()), signal.SIGKILL)
        _, stderr = running.communicate(timeout=120)
    finally:
        running.kill()
    assert running.returncode == 1, stderr
    (attempt,) = project.document().attempts("a")
    assert attempt["yprov4wfs:status"] == "failed"
    assert "yprov4wms:host" in attempt
    (told,) = [
        event["time"]
        for path in project.runs()[0].glob("events/*")
        for event in map(json.loads, path.read_text().splitlines())
        if event["kind"] == "task-executing"
    ]
    assert attempt["prov:startTime"] == told


def test_on_a_node_that_cannot_see_the_store_nothing_is_made(project: Project) -> None:
    project.snakefile("""
        rule a:
            output: "a.txt"
            shell: "touch {output}"
    """)
    project.write("submit.sh", "sed -i 's#export YPROV_RUN_ID=#&elsewhere-#' $1; exec sh $1\n")
    options = (
        "--cluster-generic-submit-cmd",
        "sh submit.sh",
        "--jobs",
        "1",
        "--seconds-between-status-checks=1",
        "--logger",
        "yprov",
    )
    done = project.snakemake(*options, "--", "a.txt", executor="cluster-generic")
    assert done.returncode == 0, done.stderr
    assert len(project.runs()) == 1
    assert project.document().statuses() == {"a": ["completed"]}
