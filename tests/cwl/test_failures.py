"""What fails, is killed or interrupted: told as it was, in a document that is valid still."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cwl.project import OURS, PLAIN, Project, statuses, task
from tests.documents import Document, kill_group, value

TOOL = "class: CommandLineTool, baseCommand: [sh, -c], inputs: {x: 'Any?'}, outputs: {o: stdout}"
WORKFLOW = f"""
cwlVersion: v1.2
class: Workflow
requirements: {{ScatterFeatureRequirement: {{}}, SubworkflowFeatureRequirement: {{}}}}
inputs: {{ns: 'int[]'}}
steps:
  good:
    in: {{}}
    out: [o]
    run: {{{TOOL}, arguments: ["echo good"], stdout: o.txt}}
  bad:
    scatter: x
    in: {{x: ns, after: good/o}}
    out: [o]
    run:
      class: CommandLineTool
      baseCommand: [sh, -c, 'echo $0; exit $0']
      inputs: {{x: {{type: int, inputBinding: {{}}}}}}
      stdout: o.txt
      outputs: {{o: stdout}}
  after:
    in: {{x: bad/o}}
    out: [o]
    run: {{{TOOL}, arguments: ["echo after"], stdout: o.txt}}
  beyond:
    in: {{x: after/o}}
    out: [o]
    run:
      class: Workflow
      inputs: {{x: Any}}
      outputs: {{o: {{type: File, outputSource: in/o}}}}
      steps:
        in:
          in: {{x: x}}
          out: [o]
          run: {{{TOOL}, arguments: ["echo beyond"], stdout: o.txt}}
outputs:
  o: {{type: Any, outputSource: beyond/o}}
"""


def same_as_plain(project: Project, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run both ways, which must print and end the same."""
    plain = project.run("--quiet", *arguments, runner=PLAIN)
    ours = project.run("--quiet", *arguments, runner=OURS)
    assert (ours.returncode, ours.stdout) == (plain.returncode, plain.stdout)
    assert "incomplete" not in ours.stderr, ours.stderr
    return ours


def test_a_failing_element_stops_the_workflow(project: Project) -> None:
    project.write("wf.cwl", WORKFLOW)
    done = same_as_plain(project, "wf.cwl", str(project.job(ns=[0, 3, 0])))
    assert done.returncode == 1
    document = project.document()
    found = statuses(document)
    assert found["good"] == "completed"
    assert found["bad[1]"] == "failed"
    assert found["after"] == found["beyond"] == "upstream-failed"
    failed = document.section("activity")[task(document, "bad[1]")]
    assert value(failed["yprov4wms:exit_code"]) == 3
    assert "permanentFail" in failed["yprov4wms:error"]
    assert document.run["yprov4wfs:status"] == "failed"


def test_on_error_continue_goes_on_with_the_rest(project: Project) -> None:
    project.write("wf.cwl", WORKFLOW)
    job = str(project.job(ns=[0, 3, 0]))
    same_as_plain(project, "--on-error", "continue", "wf.cwl", job)
    found = statuses(project.document())
    assert [found[f"bad[{i}]"] for i in range(3)] == ["completed", "failed", "completed"]
    assert found["beyond"] == "upstream-failed"


def tool(project: Project, **more: object) -> str:
    document = {"cwlVersion": "v1.2", "class": "CommandLineTool", "inputs": {}, "outputs": {}}
    return str(project.write("tool.cwl", json.dumps({**document, **more})))


@pytest.mark.parametrize(
    ("more", "code", "error"),
    [
        ({"baseCommand": ["sh", "-c", "exit 7"]}, 7, "exit code 7: permanentFail"),
        ({"baseCommand": ["no-such-program"]}, None, "no-such-program"),
        ({"baseCommand": ["sh", "-c", "kill -9 $$"]}, -9, "killed by signal 9"),
        (
            {
                "baseCommand": "true",
                "outputs": {"o": {"type": "File", "outputBinding": {"glob": "absent"}}},
            },
            0,
            "Did not find output file",
        ),
        (
            {"baseCommand": ["sleep", "60"], "requirements": {"ToolTimeLimit": {"timelimit": 1}}},
            -15,
            "stopped at its time limit of 1 s",
        ),
        ({"baseCommand": ["sh", "-c", "exit 5"], "temporaryFailCodes": [5]}, 5, "temporaryFail"),
        (
            {
                "baseCommand": "true",
                "requirements": {"DockerRequirement": {"dockerPull": "none.invalid/none"}},
            },
            None,
            "ocker",
        ),
        ({"baseCommand": "true", "arguments": ["$(inputs.none.path)"]}, None, "none"),
    ],
)
def test_a_tool_that_fails_says_why(
    project: Project, more: dict[str, object], code: int | None, error: str
) -> None:
    done = same_as_plain(project, tool(project, **more))
    assert done.returncode in (1, 33)
    document = project.document()
    ((_, status),) = statuses(document).items()
    assert status == "failed"
    (found,) = [a for a in document.section("activity").values() if "yprov4wms:task" in a]
    assert error in found["yprov4wms:error"]
    assert value(found.get("yprov4wms:exit_code")) == code
    assert document.run["yprov4wfs:status"] == "failed"


def test_a_success_code_is_a_success(project: Project) -> None:
    same_as_plain(project, tool(project, baseCommand=["sh", "-c", "exit 4"], successCodes=[4]))
    document = project.document()
    assert set(statuses(document).values()) == {"completed"}
    (found,) = [a for a in document.section("activity").values() if "yprov4wms:task" in a]
    assert value(found["yprov4wms:exit_code"]) == 4


def test_an_exception_before_any_step_is_a_failed_run(project: Project) -> None:
    project.write(
        "abstract.cwl",
        """
        cwlVersion: v1.2
        class: Workflow
        inputs: {}
        outputs: {}
        steps:
          some:
            in: {}
            out: []
            run: {class: Operation, inputs: {}, outputs: {}}
        """,
    )
    done = same_as_plain(project, "abstract.cwl")
    assert done.returncode == 1
    document = project.document()
    assert document.run["yprov4wfs:status"] == "failed"
    assert "abstract Operation" in document.run["yprov4wms:error"]
    # Nothing was planned yet; the step is there.
    assert document.section("entity")["run:step_some"]["yprov4wfs:type"] == "Operation"


def test_a_failing_expression_is_a_failed_task(project: Project) -> None:
    project.write(
        "e.cwl",
        """
        cwlVersion: v1.2
        class: ExpressionTool
        requirements: {InlineJavascriptRequirement: {}}
        inputs: {}
        outputs: {o: int}
        expression: "${throw 'no good';}"
        """,
    )
    done = same_as_plain(project, "e.cwl")
    assert done.returncode == 1
    (found,) = [a for a in project.document().section("activity").values() if "yprov4wms:task" in a]
    assert found["yprov4wfs:status"] == "failed"


# -- deaths ------------------------------------------------------------------------------------

LONG = """
cwlVersion: v1.2
class: Workflow
requirements: {SubworkflowFeatureRequirement: {}, ScatterFeatureRequirement: {}}
inputs: {xs: {type: 'string[]', default: [a, b]}}
steps:
  quick:
    in: {}
    out: [o]
    run: {class: CommandLineTool, baseCommand: [echo, q], inputs: {}, outputs: {o: stdout},
          stdout: q.txt}
  sub:
    in: {o: quick/o}
    out: [o]
    run:
      class: Workflow
      inputs: {o: File}
      outputs: {o: {type: File, outputSource: slow/o}}
      steps:
        slow:
          in: {o: o}
          out: [o]
          run:
            class: CommandLineTool
            baseCommand: [sh, -c, 'echo $$ > $0; exec sleep 300']
            inputs: {o: File}
            arguments: [PIDFILE]
            stdout: s.txt
            outputs: {o: stdout}
  later:
    scatter: x
    in: {x: xs, o: sub/o}
    out: [o]
    run: {class: CommandLineTool, baseCommand: [echo], inputs: {x: string}, outputs: {o: stdout},
          stdout: l.txt}
outputs: {o: {type: 'File[]', outputSource: later/o}}
"""


def running(project: Project, *options: str) -> subprocess.Popen[str]:
    """The runner, with its slow step under way."""
    pidfile = project.folder / "pid"
    project.write("long.cwl", LONG.replace("PIDFILE", str(pidfile)))
    process = project.start("--quiet", *options, "long.cwl")
    wait_for(lambda: pidfile.is_file() and pidfile.read_text().endswith("\n"))
    return process


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.02)


@pytest.mark.parametrize("options", [(), ("--parallel",)])
def test_after_kill_9_the_document_says_what_ran_and_what_did_not(
    project: Project, options: tuple[str, ...]
) -> None:
    process = running(project, *options)
    kill_group(process)
    process.communicate(timeout=60)
    slow = int((project.folder / "pid").read_text())
    if Path(f"/proc/{slow}").exists():
        os.kill(slow, signal.SIGKILL)
    document = project.exported()
    assert statuses(document) == {
        "quick": "completed",
        "sub": "running",
        "sub/slow": "running",
        "later": "not-started",
    }
    assert document.run["yprov4wfs:status"] == "running"


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, signal.SIGINT], ids=["terminated", "interrupted"]
)
def test_a_run_that_is_stopped_says_so(project: Project, number: signal.Signals) -> None:
    process = running(project)
    process.send_signal(number)
    output, _ = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "provenance is in" in output
    document = project.document()
    found = statuses(document)
    assert found["quick"] == "completed"
    assert found["sub/slow"] in ("cancelled", "failed")
    assert document.run["yprov4wfs:status"] == "cancelled"


def test_killed_at_any_moment_a_document_can_be_built(project: Project) -> None:
    project.write("wf.cwl", WORKFLOW)
    project.job(ns=[0] * 40)
    built = 0
    for number, seconds in enumerate((0, 0.01, 0.05, 0.2, 0.4, 0.8)):
        process = project.start("--quiet", "wf.cwl", "job.json")
        wait_for(lambda number=number: len(project.runs()) > number)
        time.sleep(seconds)
        kill_group(process)
        process.communicate(timeout=60)
        journals = list((project.runs()[-1] / "events").glob("*.jsonl"))
        if journals and journals[0].stat().st_size:
            document: Document = project.exported()
            assert document.run["yprov4wfs:engine"] == "cwltool"
            built += 1
    assert built  # else each was killed before its first event


# -- failures of our own ------------------------------------------------------------------------


def test_a_store_that_cannot_be_written_is_one_warning(project: Project) -> None:
    project.write("store", "in the way")
    quick = tool(project, baseCommand=["echo", "hi"], stdout="o.txt", outputs={"o": "stdout"})
    plain = project.run("--quiet", quick, runner=PLAIN)
    ours = project.run("--yprov-store", "store", "--quiet", quick)
    assert (ours.returncode, ours.stdout) == (plain.returncode, plain.stdout)
    assert [line for line in ours.stderr.splitlines() if "yprov" in line] == [
        line for line in ours.stderr.splitlines() if "provenance is incomplete" in line
    ]
    strict = project.run("--yprov-strict", "--yprov-store", "store", "--quiet", quick)
    assert strict.returncode == 1
    assert "the store cannot be written (strict)" in strict.stderr


def test_a_recorder_that_raises_everywhere_changes_nothing(project: Project) -> None:
    """Each function of ours that hooks call raises; cwltool must not notice."""
    project.write("wf.cwl", WORKFLOW)
    job = str(project.job(ns=[0, 0]))
    project.write(
        "broken/sitecustomize.py",
        """
        import os
        if os.environ.get("BREAK"):
            import yprov4wms.recorder as recorder
            def broken(*arguments, **named):
                raise RuntimeError("broken")
            for name in os.environ["BREAK"].split():
                setattr(recorder.Recorder, name, broken)
        """,
    )
    plain = project.run("--quiet", "wf.cwl", job, runner=PLAIN)
    for names in ("describe identified", "collect_children checksum", "_encoded mask hidden"):
        ours = project.run(
            "--quiet", "wf.cwl", job, PYTHONPATH=str(project.folder / "broken"), BREAK=names
        )
        assert (ours.returncode, ours.stdout) == (plain.returncode, plain.stdout), ours.stderr
