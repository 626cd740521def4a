"""Real runs of cwltool, plain and recorded, in a folder of their own, and their documents."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from typing import Any

from tests.documents import Document, checked, environment

PLAIN, OURS = "cwltool", "yprov-cwl-runner"


class Project:
    """A folder with CWL documents."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = folder / ".yprov"

    def write(self, name: str, content: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(content))
        return path

    def job(self, name: str = "job.json", **inputs: Any) -> Path:
        """A job order; a path is a File."""
        values = {
            port: {"class": "File", "path": str(value)} if isinstance(value, Path) else value
            for port, value in inputs.items()
        }
        return self.write(name, json.dumps(values))

    @staticmethod
    def command(*arguments: str, runner: str = OURS) -> list[str]:
        return [str(Path(sys.executable).with_name(runner)), *arguments]

    def run(
        self, *arguments: str, runner: str = OURS, stdin: str = "", **env: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments, runner=runner),
            cwd=self.folder,
            env=environment(**env),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def start(self, *arguments: str, **env: str) -> subprocess.Popen[str]:
        """The runner in a process group of its own."""
        return subprocess.Popen(
            self.command(*arguments),
            cwd=self.folder,
            env=environment(**env),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def recorded(self, *arguments: str, status: int = 0, **env: str) -> Document:
        """Run, and read the document that the run left."""
        done = self.run("--quiet", *arguments, **env)
        assert done.returncode == status, done.stderr
        assert "incomplete" not in done.stderr, done.stderr
        return self.document()

    def runs(self) -> list[Path]:
        return sorted(self.store.iterdir()) if self.store.is_dir() else []

    def document(self) -> Document:
        """The document of the last run, which must keep every rule."""
        return checked((self.runs()[-1] / "prov.json").read_bytes())

    def exported(self) -> Document:
        """A document built from what a run has left by now."""
        command = [sys.executable, "-m", "yprov4wms", "export", "latest", "-o", "-"]
        done = subprocess.run(
            command, cwd=self.folder, env=environment(), capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr.decode()
        return checked(done.stdout)


def task(document: Document, label: str) -> str:
    """The identifier of the task, run or not, of this path of steps: ``sub[1]/say``."""
    (found,) = [
        identifier
        for section in ("activity", "entity")
        for identifier, record in document.section(section).items()
        if record.get("prov:label") == label and "yprov4wms:task" in record
    ]
    return found


def statuses(document: Document) -> dict[str, str]:
    """By label the status of each task, run or not."""
    return {
        record["prov:label"]: record["yprov4wfs:status"]
        for section in ("activity", "entity")
        for record in document.section(section).values()
        if "yprov4wms:task" in record
    }
