"""What went wrong, was retried, or never ran: statuses, attempts, exit codes, error texts."""

from __future__ import annotations

import signal
import time

import pytest
from tests.documents import Document, kill_group, value
from tests.snakemake.project import Project

CHAIN = """
rule all:
    input: "c", "d"
rule a:
    output: "a"
    shell: "echo a > {output}"
rule b:
    input: "a"
    output: "b"
    log: "b.log"
    shell: "echo trouble > {log}; exit 3"
rule c:
    input: "b"
    output: "c"
    shell: "touch {output}"
rule d:
    output: "d"
    shell: "touch {output}"
"""


def failed(project: Project, *options: str) -> Document:
    done = project.snakemake(*options)
    assert done.returncode == 1, done.stderr
    return project.document()


def test_a_failing_rule_is_told_with_exit_code_and_error(project: Project) -> None:
    project.snakefile(CHAIN)
    document = failed(project, "--keep-going")
    assert document.statuses() == {
        "a": ["completed"],
        "b": ["failed"],
        "c": ["upstream-failed"],
        "d": ["completed"],
        "all": ["upstream-failed"],
    }
    (b,) = document.attempts("b")
    assert value(b["yprov4wms:exit_code"]) == 3
    assert "exit status 3" in b["yprov4wms:error"]
    assert document.run["yprov4wfs:status"] == "failed"
    (plan,) = document.plans("c")
    assert plan["yprov4wms:reason"] == "depends on b"
    (log,) = document.files("b.log")
    assert document.links("wasGeneratedBy", entity=log, activity=document.attempt_id("b"))


def test_without_keep_going_the_rest_never_starts(project: Project) -> None:
    project.snakefile(
        CHAIN.replace('rule d:\n    output: "d"', 'rule d:\n    input: "a"\n    output: "d"')
    )
    done = project.snakemake(cores=1)
    assert done.returncode == 1
    statuses = project.document().statuses()
    assert statuses["b"] == ["failed"]
    assert statuses["c"] == ["upstream-failed"]
    assert statuses["d"][0] in ("completed", "not-started")


def test_a_missing_output_fails_after_the_job_ended_well(project: Project) -> None:
    project.snakefile("rule a:\n    output: 'x'\n    shell: 'true'\n")
    document = failed(project, "--latency-wait", "1")
    (attempt,) = document.attempts("a")
    assert attempt["yprov4wfs:status"] == "failed"
    assert value(attempt["yprov4wms:exit_code"]) == 0
    assert "missing" in attempt["yprov4wms:error"].lower()
    assert not document.files("x")


def test_each_retry_is_an_attempt_of_its_own(project: Project) -> None:
    project.snakefile(
        """
        rule flaky:
            input: "in"
            output: "out"
            retries: 2
            resources: attempt_no=lambda wc, attempt: attempt
            shell:
                "test {resources.attempt_no} -gt 2; cp {input} {output}; "
                "echo $YPROV_ATTEMPT >> {output}"
        """
    )
    project.write("in", "x\n")
    assert project.snakemake().returncode == 0
    document = project.document()
    attempts = document.attempts("flaky")
    assert [a["yprov4wfs:status"] for a in attempts] == ["failed", "failed", "completed"]
    assert [value(a["yprov4wms:exit_code"]) for a in attempts] == [1, 1, 0]
    assert [value(a["yprov4wms:resource_attempt_no"]) for a in attempts] == [1, 2, 3]
    assert (project.folder / "out").read_text() == "x\n3\n"
    third, second = document.attempt_id("flaky", 3), document.attempt_id("flaky", 2)
    assert document.informants(third, "retry-of") == {second}
    (out,) = document.files("out")
    assert [r["prov:activity"] for r in document.links("wasGeneratedBy", entity=out)] == [third]
    assert document.run["yprov4wfs:status"] == "completed"


def test_a_script_that_raises_is_told_with_its_status(project: Project) -> None:
    project.snakefile("rule a:\n    output: 'x'\n    script: 'boom.py'\n")
    project.write("boom.py", "raise ValueError('no such luck')\n")
    document = failed(project)
    (attempt,) = document.attempts("a")
    assert attempt["yprov4wfs:status"] == "failed"
    assert value(attempt["yprov4wms:exit_code"]) == 1
    assert attempt["yprov4wms:error"]


def test_a_run_directive_that_raises_is_told(project: Project) -> None:
    project.snakefile("rule a:\n    output: 'x'\n    run:\n        raise ValueError('no')\n")
    (attempt,) = failed(project).attempts("a")
    assert attempt["yprov4wfs:status"] == "failed"


def test_a_job_killed_by_a_signal_names_it(project: Project) -> None:
    project.snakefile("rule a:\n    output: 'x'\n    shell: 'kill -9 $$'\n")
    (attempt,) = failed(project).attempts("a")
    assert value(attempt["yprov4wms:exit_code"]) == -9
    assert value(attempt["yprov4wms:signal"]) == 9


def test_an_input_function_that_raises_late_ends_the_run_as_failed(project: Project) -> None:
    project.snakefile(
        """
        checkpoint first:
            output: "first"
            shell: "touch {output}"
        def later(wildcards):
            checkpoints.first.get()
            raise ValueError("cannot go on")
        rule all:
            input: later
        """
    )
    done = project.snakemake("all")
    assert done.returncode == 1
    document = project.document()
    assert document.statuses()["first"] == ["completed"]
    assert document.run["yprov4wfs:status"] == "failed"


SLEEPERS = """
rule all:
    input: "quick", "slow"
rule quick:
    output: "quick"
    shell: "touch {output}"
rule slow:
    output: "slow"
    shell: "touch started; sleep 60; touch {output}"
"""


def wait_for(project: Project, name: str) -> None:
    deadline = time.monotonic() + 60
    while not (project.folder / name).exists():
        assert time.monotonic() < deadline, f"{name} did not appear"
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_says_so(project: Project, number: signal.Signals) -> None:
    project.snakefile(SLEEPERS.replace("sleep 60", "sleep 5"))
    process = project.start()
    wait_for(project, "started")
    # Snakemake deadlocks by itself on a SIGTERM that comes while it takes in a finished job.
    time.sleep(1)
    if number == signal.SIGINT:
        kill_group(process, number)  # as a terminal does
    else:
        process.send_signal(number)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 1, out
    document = project.document()
    assert document.run["yprov4wfs:status"] == "cancelled"
    assert document.statuses()["all"][0] in ("not-started", "upstream-failed")
    slow = document.statuses()["slow"]
    assert slow == (["cancelled"] if number == signal.SIGINT else ["completed"])


def test_keep_incomplete_files_of_a_failed_job_are_told(project: Project) -> None:
    project.snakefile("rule a:\n    output: 'x'\n    shell: 'echo half > {output}; exit 1'\n")
    document = failed(project, "--keep-incomplete")
    assert document.files("x")
    project.snakemake("--unlock")
    (project.folder / "x").unlink()
    document = failed(project)
    assert not document.files("x")


def test_a_first_command_that_cannot_be_formatted_leaves_a_failed_run(project: Project) -> None:
    project.snakefile(
        """
        rule a:
            output: "a.txt"
            shell: "touch {output} {resources.nothing}"
        """
    )
    plain = project.snakemake(executor="local")
    done = project.snakemake()
    assert done.returncode == plain.returncode == 1
    document = project.document()
    assert document.run["yprov4wfs:status"] == "failed"
    assert "nothing" in document.run["yprov4wms:error"]
    assert document.statuses() == {"a": ["not-started"]}
