"""Runs as a recorder writes them, with files that really lie there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from yprov4wms import events, nested
from yprov4wms.events import Parent, Software, Status
from yprov4wms.export import document
from yprov4wms.recorder import Recorder
from yprov4wms.settings import Settings
from yprov4wms.store import RunFolder


class Tasks:
    """A run of tasks in ``folder``, each of which leaves files."""

    def __init__(
        self, folder: Path, store: str | None = None, around: Tasks | None = None, **settings: Any
    ) -> None:
        """around: a run whose task `outer` starts this one."""
        self.folder = folder
        self.warnings: list[str] = []
        found = Settings(store=store or str(folder / ".yprov"), **settings)
        ignore = [".snakemake_timestamp"]
        self.recorder = Recorder(found, str(folder), self.warnings.append, ignore=ignore)
        parent = None
        if around is not None:
            location = str(Path(around.run.location).parent)
            parent = Parent(run=around.recorder.run_id, task="outer", attempt=1, store=location)
            nested.announce(parent, self.run)
        self.recorder.emit(
            events.RunStarted(
                engine=Software(name="test", kind="engine"),
                workflow="w",
                directory=str(folder),
                parent=parent,
            )
        )

    @property
    def run(self) -> RunFolder:
        return self.recorder.folder

    @property
    def journal(self) -> Path:
        (path,) = Path(self.run.events).glob("*.jsonl")
        return path

    def task(
        self,
        task: str,
        *outputs: str,
        inputs: tuple[str, ...] = (),
        work: Callable[[], object] = lambda: None,
        **changes: Any,
    ) -> None:
        """One task: what is there before and after ``work``. changes: of its outputs."""
        recorder = self.recorder
        recorder.emit(
            events.TaskPlanned(task=task, step=task),
            events.TaskStarted(
                task=task,
                attempt=1,
                inputs=[recorder.identified(path, None, task, 1) for path in inputs],
            ),
        )
        work()
        found = [recorder.identified(path, None, task, 1) for path in outputs]
        for file in found:
            for name, value in changes.items():
                setattr(file, name, value)
        recorder.emit(
            events.TaskEnded(task=task, attempt=1, status=Status.COMPLETED, outputs=found)
        )

    def write(self, name: str, content: str) -> Callable[[], object]:
        def work() -> None:
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)

        return work

    def make(self, task: str, name: str, content: str, **more: Any) -> None:
        """A task that writes one file."""
        self.task(task, name, work=self.write(name, content), **more)

    def end(self, export: bool = True) -> RunFolder:
        self.recorder.finish(Status.COMPLETED)
        if export:
            document.export(self.run)
        self.recorder.close()
        assert self.warnings == []
        return self.run
