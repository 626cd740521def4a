"""Attempts that fail, workers that are killed, runs that are restarted."""

from __future__ import annotations

from pathlib import Path

from tests.cwl.project import statuses, task
from tests.documents import value
from tests.toil.project import Toil

TOOL = "class: CommandLineTool, inputs: {}, stdout: o.txt, outputs: {o: stdout}"
OUTER = """
cwlVersion: v1.2
class: Workflow
requirements: {SubworkflowFeatureRequirement: {}}
inputs: {}
outputs: {}
steps: {sub: {run: wf.cwl, in: {}, out: []}}
"""
AFTER = "class: CommandLineTool, baseCommand: 'true', inputs: {x: Any}, outputs: {}"


def workflow(**commands: str) -> str:
    """A step for each shell command, and one after all."""
    steps = "".join(
        f"  {name}: {{in: {{}}, out: [o], run: {{{TOOL}, baseCommand: [sh, -c, '{command}']}}}}\n"
        for name, command in commands.items()
    )
    sources = ", ".join(f"{name}/o" for name in commands)
    return (
        "cwlVersion: v1.2\nclass: Workflow\nrequirements: {MultipleInputFeatureRequirement: {}}\n"
        f"inputs: {{}}\noutputs: {{}}\nsteps:\n{steps}"
        f"  after: {{in: {{x: {{source: [{sources}]}}}}, out: [], run: {{{AFTER}}}}}\n"
    )


def test_each_attempt_is_told_also_of_a_worker_that_was_killed(tmp_path: Path) -> None:
    project = Toil(tmp_path)
    once = "if [ -e {0} ]; then echo fine; else touch {0}; {1}; fi"
    flaky = once.format(tmp_path / "flaky", "exit 3")
    killed = once.format(tmp_path / "killed", "kill -9 $PPID; sleep 2")
    project.write("wf.cwl", workflow(flaky=flaky, killed=killed))
    done = project.run("--retryCount", "2", "wf.cwl")
    assert done.returncode == 0, done.stderr
    assert "incomplete" not in done.stderr
    document = project.document()
    for step in ("flaky", "killed"):
        first, second = (document.attempt_id(step, number) for number in (1, 2))
        activities = document.section("activity")
        assert activities[first]["yprov4wfs:status"] == "failed"
        assert activities[second]["yprov4wfs:status"] == "completed"
        assert document.informants(second, "retry-of") == {first}
    assert value(activities[document.attempt_id("flaky")]["yprov4wms:exit_code"]) == 3
    assert "worker was lost" in activities[document.attempt_id("killed")]["yprov4wms:error"]
    assert document.run["yprov4wfs:status"] == "completed"


def test_a_failed_run_is_told_and_its_restart_goes_on_with_the_record(tmp_path: Path) -> None:
    project = Toil(tmp_path)
    mended = tmp_path / "mended"
    project.write("wf.cwl", workflow(good="echo good", bad=f"echo bad; test -e {mended}"))
    project.write("outer.cwl", OUTER)
    arguments = ("--retryCount", "0", "--jobStore", str(tmp_path / "jobs"), "outer.cwl")
    assert project.run(*arguments).returncode == 1
    document = project.document()
    assert statuses(document) == {
        "sub": "failed",
        "sub/good": "completed",
        "sub/bad": "failed",
        "sub/after": "upstream-failed",
    }
    failed = document.section("activity")[task(document, "sub/bad")]
    assert value(failed["yprov4wms:exit_code"]) == 1
    assert document.run["yprov4wfs:status"] == "failed"

    mended.touch()
    done = project.run("--restart", *arguments)
    assert done.returncode == 0, done.stderr
    assert len(project.runs()) == 1
    document = project.document()
    assert document.run["yprov4wfs:status"] == "completed"
    assert [a["yprov4wfs:status"] for a in document.attempts("sub/bad")] == ["failed", "completed"]
    for step in ("sub", "sub/after"):
        (only,) = document.attempts(step)
        assert (only["yprov4wfs:status"], value(only["yprov4wms:attempt"])) == ("completed", 1)
