"""Toil's jobs that make other jobs: workflows, scatters, loops, conditional steps. Each tells of
the tasks that it means to run."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any

from cwltool.process import shortname
from cwltool.workflow import Workflow

from yprov4wms import events
from yprov4wms.events import Status
from yprov_cwl_runner import plan
from yprov_cwl_runner.steps import Step, task_id
from yprov_toil_cwl_runner.scope import MANY, Scope
from yprov_toil_cwl_runner.session import ToilNode, WorkerSession

_local = threading.local()


class _Creating:
    """While it is entered: the job that makes others, to tell what those are."""

    def __init__(self, job: Any, scope: Scope) -> None:
        self.job = job
        self.scope = scope
        self.made: list[Scope] = []
        #: The job's inputs, as Toil resolved them.
        self.order: Mapping[str, Any] | None = None

    def __enter__(self) -> _Creating:
        self._before = getattr(_local, "creating", None)
        _local.creating = self
        return self

    def __exit__(self, *_: object) -> None:
        _local.creating = self._before

    def child(self, tool: Any) -> Scope:
        step = getattr(self.job, "step", None)
        if step is None:
            step = next(step for step in self.job.cwlwf.steps if step.embedded_tool is tool)
        name = shortname(step.id)
        scope = self.scope
        made = Scope(scope.run, plan.joined(scope.path, name), plan.joined(scope.step, name))
        self.made.append(made)
        return made


def child(tool: Any, scope: Scope) -> Scope:
    """The scope of a job that is being made for ``tool``, by a job of this scope."""
    creating: _Creating | None = getattr(_local, "creating", None)
    if creating is not None:
        return creating.child(tool)
    if isinstance(tool, Workflow):
        return scope
    name = plan.process_name(tool)
    return Scope(scope.run, name, name, alone=True)


def resolve(original: Callable[..., Any], unresolved: Any, *more: Any, **named: Any) -> Any:
    found = original(unresolved, *more, **named)
    creating: _Creating | None = getattr(_local, "creating", None)
    if creating is not None and creating.order is None:
        creating.order = found
    return found


def workflow_run(
    original: Callable[..., Any], job: Any, store: Any, scope: Scope, session: WorkerSession
) -> Any:
    node = ToilNode(session, scope.path, scope.step)
    with session.guard("preparing a workflow"):
        # Toil pickles its jobs, and with them this, when it has made them.
        scope.steps = {
            step.id: {key: step.tool[key] for key in MANY if key in step.tool}
            for step in plan.in_order(job.cwlwf)
        }
        scope.owners = plan.owners(job.cwlwf)
    with _Creating(job, scope) as creating:
        try:
            found = original(job, store)
        except Exception as error:
            with session.guard("recording the failure of a workflow", node):
                node.started(creating.order or {})
                node.failed(error)
            raise
    with session.guard("recording the plan of a workflow", node):
        if type(found) is dict:  # what `when` leaves
            _skipped(session, scope, job.conditional)
        else:
            node.started(creating.order or {})
            steps = [
                Step(node, step, None, scope.owners or {}) for step in plan.in_order(job.cwlwf)
            ]
            session.emit(*[step.planned() for step in steps])
    return found


def resolved(
    original: Callable[..., Any], job: Any, store: Any, scope: Scope, session: WorkerSession
) -> Any:
    """The end of a subworkflow: Toil has all its outputs."""
    found = original(job, store)
    node = ToilNode(session, scope.path, scope.step)
    with session.guard("recording the end of a workflow", node):
        if scope.path and not any(type(v).__name__ == "SkipNull" for v in found.values()):
            node.gave(found)
    return found


def wrapper_run(
    original: Callable[..., Any], job: Any, store: Any, scope: Scope, session: WorkerSession
) -> Any:
    """A step with ``when``, or whose resources an expression tells."""
    found = original(job, store)
    with session.guard("recording a step that was skipped"):
        if isinstance(found, dict):
            _skipped(session, scope, job.conditional)
    return found


def scatter_run(
    original: Callable[..., Any], job: Any, store: Any, scope: Scope, session: WorkerSession
) -> Any:
    with _Creating(job, scope) as creating:
        found = original(job, store)
    with session.guard("recording the plan of a scatter"):
        step = _Many(session, scope, job.step, creating.order or {})
        places = list(_places(found, step.depth()))
        for made, place in zip(creating.made, places, strict=True):
            # Toil pickles the job after this.
            made.path = step.path_of(place)
        session.emit(*[step.element(place, place, None) for place in places])
        if not places:
            step.skip_all("scatter over an empty array")
    return found


def loop_run(
    original: Callable[..., Any], job: Any, store: Any, scope: Scope, session: WorkerSession
) -> Any:
    with _Creating(job, scope) as creating:
        found = original(job, store)
    with session.guard("recording the plan of a loop"):
        step = _Many(session, scope, job.step, creating.order or {})
        iteration = int(job.iteration)
        for made in creating.made:
            made.path = step.path_of((iteration,))
            session.emit(step.element((iteration,), None, iteration))
        if not creating.made and not iteration:
            step.skip_all(step.when())
    return found


class _Many(Step):
    """A step that scatters or loops, in the process of the job that makes its tasks."""

    def __init__(
        self, session: WorkerSession, scope: Scope, step: Any, order: Mapping[str, Any]
    ) -> None:
        node = ToilNode(session, scope.path, scope.step)
        owners = scope.owners or {}
        for identifier, tool in (scope.steps or {}).items():
            other = SimpleNamespace(id=identifier, tool=tool)
            node.steps[identifier] = Step(node, other, None, owners)
        super().__init__(node, step, None, owners)
        self._order = order

    def _array_lengths(self) -> list[int] | None:
        return [len(self._order[shortname(port)]) for port in self.scatter]


def _places(found: Any, depth: int, at: tuple[int, ...] = ()) -> Iterator[tuple[int, ...]]:
    """Where the elements of a scatter are in the arrays that they are gathered in."""
    for number, item in enumerate(found):
        if depth == 1:
            yield (*at, number)
        else:
            yield from _places(item, depth - 1, (*at, number))


def _skipped(session: WorkerSession, scope: Scope, conditional: Any) -> None:
    reason = f"when: {conditional.expression}"
    session.emit(events.TaskNotRun(task=task_id(scope.path), status=Status.SKIPPED, reason=reason))
