"""Real runs of Toil, plain and recorded, each in a folder of its own."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from tests.cwl.project import Project
from tests.documents import environment

from yprov4wms.replay import replay
from yprov4wms.run import Run
from yprov4wms.store import Store

PLAIN, OURS = "toil-cwl-runner", "yprov-toil-cwl-runner"
#: Quick, and silent about what it does.
OPTIONS = (
    *("--batchSystem", "single_machine", "--logLevel", "ERROR", "--maxCores", "4"),
    *("--defaultMemory", "100M", "--defaultDisk", "100M"),
)


class Toil(Project):
    @staticmethod
    def command(*arguments: str, runner: str = OURS) -> list[str]:
        options = OPTIONS if runner in (PLAIN, OURS) else ("--quiet",)
        return Project.command(*options, *arguments, runner=runner)

    def run(
        self, *arguments: str, runner: str = OURS, stdin: str = "", **env: str
    ) -> subprocess.CompletedProcess[str]:
        return super().run(*arguments, runner=runner, stdin=stdin, **env)

    def folded(self) -> Run:
        run = replay(Store(str(self.store)).find("latest"))
        assert isinstance(run, Run)
        return run


def on_workers(folder: Path, code: str) -> dict[str, str]:
    """Variables that have Python run ``code`` at the start of each of Toil's workers."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(
        "import sys\nif any('_toil_worker' in part for part in sys.orig_argv):\n"
        + "".join(f"    {line}\n" for line in code.strip().splitlines())
    )
    before = environment().get("PYTHONPATH", "")
    return {"PYTHONPATH": f"{folder}{os.pathsep}{before}".rstrip(os.pathsep)}


def facts(run: Run) -> dict[str, dict[str, Any]]:
    """By label what is told of each task; all that does not differ from run to run."""
    label = {task.id: task.label for task in run.tasks.values()}
    statuses = run.statuses()
    found = {}
    for task in run.tasks.values():
        attempt = task.attempts[-1] if task.attempts else None
        start = attempt.start if attempt else None
        end = attempt.end if attempt else None
        used = (start.inputs if start else None) or []
        sources = (attempt.sources if attempt else None) or [None] * len(used)
        inputs = zip(used, sources, strict=True)
        found[task.label] = {
            "step": task.step,
            "parent": label.get(task.parent or ""),
            "status": str(statuses[task.id]),
            "attributes": task.attributes,
            "depends_on": sorted(label.get(other, other) for other in task.depends_on),
            "inputs": sorted(
                (file.role, file.size or 0, label[source.task] if source else "outside")
                for file, source in inputs
            ),
            "outputs": sorted(
                (file.role, file.sha1 or "", str(file.type))
                for file in (end.outputs if end else None) or []
                if str(file.type) != "directory"
            ),
            "parameters": start.parameters if start else None,
            "results": end.results if end else None,
            "exit_code": end.exit_code if end else None,
            "attempts": len(task.attempts),
        }
    found[""] = {
        "steps": [json.dumps(sorted(run.steps), indent=1)],
        "status": str(run.end.status) if run.end else None,
        "outputs": sorted((f.role, f.sha256) for f in (run.end and run.end.outputs) or []),
        "results": run.end and run.end.results,
    }
    return found
