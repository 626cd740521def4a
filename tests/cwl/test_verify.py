"""`yprov4wms verify` of a real run: what cwltool moved, and what it removed."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.cwl.project import Project
from tests.documents import environment

WORKFLOW = """
    cwlVersion: v1.2
    class: Workflow
    inputs: {text: File}
    outputs:
      sorted: {type: File, outputSource: sort/out}
    steps:
      upper:
        in: {text: text}
        out: [out]
        run:
          class: CommandLineTool
          baseCommand: [tr, a-z, A-Z]
          stdin: $(inputs.text.path)
          stdout: upper.txt
          inputs: {text: File}
          outputs: {out: stdout}
      sort:
        in: {text: upper/out}
        out: [out]
        run:
          class: CommandLineTool
          baseCommand: sort
          stdin: $(inputs.text.path)
          stdout: sorted.txt
          inputs: {text: File}
          outputs: {out: stdout}
"""


def test_what_cwltool_moved_or_removed_is_no_loss(project: Project) -> None:
    project.write("workflow.cwl", WORKFLOW)
    text = project.write("text.txt", "b\na\n")
    project.job(text=text)
    done = project.run("--quiet", "--outdir", "results", "workflow.cwl", "job.json")
    assert done.returncode == 0, done.stderr

    def verified() -> tuple[int, dict[str, list[dict[str, str]]]]:
        done = subprocess.run(
            [sys.executable, "-m", "yprov4wms", "verify", "--json"],
            cwd=project.folder,
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        found = json.loads(done.stdout)
        assert found["problems"] == []
        return done.returncode, found["files"]

    code, files = verified()
    assert code == 0
    assert sorted(one["message"] for one in files["removed"]) == [
        "moved to results/sorted.txt",
        "temporary: the engine removes it",
    ]
    (project.folder / "results" / "sorted.txt").write_text("C\n")
    code, files = verified()
    assert code == 1
    assert [one["path"] for one in files["changed"]] == ["results/sorted.txt"]


def test_what_cwltool_was_told_to_leave_is_expected(project: Project) -> None:
    project.write("workflow.cwl", WORKFLOW)
    project.job(text=project.write("text.txt", "b\na\n"))
    options = ("--quiet", "--leave-tmpdir", "--outdir", "results")
    done = project.run(*options, "workflow.cwl", "job.json")
    assert done.returncode == 0, done.stderr
    assert '"yprov4wms:temporary"' not in project.document().content.decode()
