"""Which step of the plan a job was of, and its task."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from cwltool.process import Process
from cwltool.workflow import Workflow

from yprov4wms.events import StepDeclared
from yprov_cwl_runner import plan
from yprov_cwl_runner.research_object.bag import PACKED
from yprov_cwl_runner.research_object.log import Span, last_name
from yprov_cwl_runner.steps import task_id


@dataclass(eq=False)
class Task:
    """An activity, or a job of the log that has none; without a path, the run.

    runs: how many runs of a workflow have this one activity.
    """

    path: str
    step: str
    parent: Task | None
    activity: str = ""
    span: Span | None = None
    runs: int = 1
    inner: list[Task] = field(default_factory=list)

    @property
    def id(self) -> str | None:
        return task_id(self.path) if self.path else None

    def around(self) -> Iterator[Task]:
        """It and all that contain it."""
        task: Task | None = self
        while task is not None:
            yield task
            task = task.parent

    def every(self) -> Iterator[Task]:
        """It and all that it contains."""
        yield self
        for task in self.inner:
            yield from task.every()


class Steps:
    """The plan, and which of its steps cwltool named a job after."""

    def __init__(self, process: Process | None, document: str) -> None:
        self.all: dict[str, StepDeclared] = {}
        for step in plan.steps(process) if process is not None else ():
            if not isinstance(process, Workflow):
                step.step = document
            step.source = PACKED if step.source else None
            self.all[step.step] = step

    def find(self, name: str, scope: Task | None, ports: set[str]) -> str:
        """The step of a job; empty where none, or more than one, can be it.

        cwltool adds a number to a name that it has given before in the same run.
        scope: what the job is in; where that is not known, it is no workflow's. ports: its own.
        """
        found = []
        for path, step in self.all.items():
            if scope is not None and (step.parent or "") != (scope.step if scope.path else ""):
                continue
            if scope is not None and scope.path and not scope.step:
                continue
            if scope is None and step.type == "Workflow":
                continue
            short = last_name(path)
            again = name.removeprefix(f"{short}_")
            if name == short or (name != again and again.isdecimal() and self.repeats(path)):
                found.append(path)
        if len(found) > 1:
            # A tool may have inputs that its step has not.
            found = [f for f in found if {p.name for p in self.all[f].inputs or ()} <= ports]
        return found[0] if len(found) == 1 else ""

    def scattered(self, path: str) -> bool:
        """Whether a step has many tasks in one run of its workflow."""
        about = (self.all[path].attributes or {}) if path in self.all else {}
        return bool(about.get("scatter") or about.get("loop"))

    def repeats(self, path: str) -> bool:
        """Whether a step's name may have been given more than once."""
        if sum(last_name(other) == last_name(path) for other in self.all) > 1:
            return True
        while path:
            if self.scattered(path):
                return True
            path = path.rpartition("/")[0]
        return False
