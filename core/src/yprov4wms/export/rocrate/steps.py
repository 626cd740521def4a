"""The steps of a run, and which of them are workflows themselves."""

from __future__ import annotations

from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter

from yprov4wms.events import StepDeclared
from yprov4wms.prov.plan import steps_before
from yprov4wms.run import Run


@dataclass(eq=False)
class Step:
    """ran: there was an attempt of a task of it. has_tasks: there are any tasks of it.

    holds_what_ran: a step inside it ran, at any depth. around: the workflow that it is a step
    of, None for the main one. steps: of what is a workflow itself.
    """

    name: str
    declared: StepDeclared
    ran: bool = False
    has_tasks: bool = False
    is_parent: bool = False
    holds_what_ran: bool = False
    parent: Step | None = None
    around: Step | None = None
    steps: list[Step] = field(default_factory=list)

    @property
    def is_group(self) -> bool:
        """It only holds others together (Airflow's task groups)."""
        return self.is_parent and not self.has_tasks

    @property
    def is_workflow(self) -> bool:
        """It ran, and so did something in it."""
        return self.ran and self.holds_what_ran


def steps_of(run: Run) -> dict[str, Step]:
    """By name the steps that were declared, and those that only tasks name."""
    found = {name: Step(name, declared) for name, declared in run.steps.items()}
    for task in run.tasks.values():
        step = found.get(task.step)
        if step is None:
            step = found[task.step] = Step(task.step, StepDeclared(step=task.step))
        step.has_tasks = True
        step.ran = step.ran or bool(task.attempts)
    _nest(found)
    for step in found.values():
        inside: Step | None = step if step.ran else None
        while inside is not None and (inside := inside.parent) is not None:
            if inside.holds_what_ran:
                break
            inside.holds_what_ran = True
    _place(found)
    return found


def positions(run: Run, steps: dict[str, Step]) -> dict[str, int]:
    """Of steps, each after those that it waits for; none where they wait for one another."""
    before = {name: list(found) for name, found in steps_before(run).items()}
    graph = {
        name: [
            other
            for other in [*before.get(name, ()), *(step.declared.depends_on or ())]
            if other in steps and other != name
        ]
        for name, step in steps.items()
    }
    try:
        order = TopologicalSorter(graph).static_order()
        return {name: place for place, name in enumerate(order)}
    except CycleError:
        return {}


def _nest(steps: dict[str, Step]) -> None:
    """Find each step's parent; where steps contain one another, one of them has none."""
    for step in steps.values():
        parent = steps.get(step.declared.parent) if step.declared.parent else None
        step.parent = parent if parent is not step else None
    done: set[int] = set()
    for step in steps.values():
        path: set[int] = set()
        at: Step | None = step
        while at is not None and id(at) not in done:
            path.add(id(at))
            if at.parent is not None and id(at.parent) in path:
                at.parent = None
            at = at.parent
        done |= path
    for step in steps.values():
        if step.parent is not None:
            step.parent.is_parent = True


def _place(steps: dict[str, Step]) -> None:
    """Find the workflow around each step."""
    known: dict[int, Step | None] = {}
    for step in steps.values():
        path = []
        at = step
        while at.parent is not None and id(at) not in known and not at.parent.is_workflow:
            path.append(at)
            at = at.parent
        around = known.get(id(at), at.parent)
        for one in (at, *path):
            known[id(one)] = one.around = around
        if around is not None and not step.is_group:
            around.steps.append(step)
