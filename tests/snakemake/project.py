"""Real Snakemake runs in a folder of their own, and their documents."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from textwrap import dedent

from tests.documents import Document, checked, environment


class Project:
    """A folder with a Snakefile."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = folder / ".yprov"

    def write(self, name: str, content: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(content))
        return path

    def snakefile(self, content: str) -> None:
        self.write("Snakefile", content)

    def command(self, *options: str, executor: str | None = "yprov", cores: int = 2) -> list[str]:
        chosen = ["--executor", executor] if executor else []
        base = [sys.executable, "-m", "snakemake", "--scheduler", "greedy", "--nocolor"]
        return [*base, *chosen, "--cores", str(cores), *options]

    def snakemake(
        self, *options: str, executor: str | None = "yprov", cores: int = 2, **env: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*options, executor=executor, cores=cores),
            cwd=self.folder,
            env=environment(**env),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def start(self, *options: str, **env: str) -> subprocess.Popen[str]:
        """Snakemake in a process group of its own."""
        return subprocess.Popen(
            self.command(*options),
            cwd=self.folder,
            env=environment(**env),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def yprov4wms(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [sys.executable, "-m", "yprov4wms", *arguments],
            cwd=self.folder,
            env=environment(),
            capture_output=True,
            timeout=120,
            check=False,
        )

    def runs(self) -> list[Path]:
        return sorted(self.store.iterdir()) if self.store.is_dir() else []

    def document(self, run: Path | None = None, check: bool = True) -> Document:
        """The document that the run left, which must keep every rule."""
        path = (run or self.runs()[-1]) / "prov.json"
        return checked(path.read_bytes()) if check else Document(path.read_bytes())

    def exported(self, *options: str, run: str = "latest") -> Document:
        done = self.yprov4wms("export", run, *options, "-o", "-")
        assert done.returncode == 0, done.stderr.decode()
        return checked(done.stdout)
