"""Tasks in a crate: each attempt an action of its step's tool, under one of the engine's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple
from urllib.parse import quote

from yprov4wms.events import ChildAttached, FileType, Status, TaskEnded, TaskStarted
from yprov4wms.export.openlineage.names import attempt_run_id, workflow_run_id
from yprov4wms.export.rocrate import values
from yprov4wms.export.rocrate.code import Code
from yprov4wms.export.rocrate.crate import Crate, Reference, reference
from yprov4wms.export.rocrate.data import Data, Version
from yprov4wms.export.rocrate.plan import INPUT, OUTPUT, Plan
from yprov4wms.export.rocrate.software import Programs
from yprov4wms.metering.energy import carbon
from yprov4wms.metering.names import CARBON, ENERGY, GPU_ENERGY
from yprov4wms.prov.attempts import attempt_times
from yprov4wms.run import Attempt, Run, Task

_REMARKS = (Status.CANCELLED, Status.CACHED, Status.SKIPPED)


def prefix_of(run: Run) -> str:
    """What ids begin with that only this run has."""
    return f"#{quote(run.id, safe='')}"


def run_action(run: Run) -> str:
    """The id of the action that is the run."""
    return f"urn:uuid:{workflow_run_id(run.id)}"


def attempt_action(run: Run, attempt: Attempt) -> str:
    """The id of the action that is an attempt."""
    return f"urn:uuid:{attempt_run_id(run.id, attempt.task, attempt.key)}"


class Parts(NamedTuple):
    """What the parts of one run in a crate share. main: the workflow's file."""

    crate: Crate
    data: Data
    plan: Plan
    programs: Programs
    code: Code
    main: Version


class Tasks:
    """Adds the tasks of a run.

    extra: by task and key of an attempt, child runs that no event tells of. controls: the
    engine's actions so far. children: child runs so far, each with the action of its attempt
    and the files of that by their places.
    """

    def __init__(
        self,
        run: Run,
        parts: Parts,
        agent: Reference | None,
        extra: Mapping[tuple[str, int], list[ChildAttached]],
    ) -> None:
        self._run, self._parts, self._agent, self._extra = run, parts, agent, extra
        self._prefix = prefix_of(run)
        intensity = run.start.carbon_intensity
        self._intensity = intensity.value if intensity else None
        self.controls: list[Reference] = []
        self.children: list[tuple[ChildAttached, Reference, dict[str, Version]]] = []

    def add(self, task: Task) -> None:
        """Add a task's attempts, and what the engine did for them."""
        attempts = []
        for attempt in task.attempts:
            action, status = self._attempt(task, attempt)
            attempts.append(action)
        self.controls.append(
            self._parts.crate.tell(
                f"{self._prefix}/control/{quote(task.id, safe='')}",
                "ControlAction",
                name=f"Orchestration of {task.name}",
                instrument=self._parts.plan.step(task.step),
                object=attempts,
                actionStatus=status if status in (values.COMPLETED, values.FAILED) else None,
            )
        )

    def _attempt(self, task: Task, attempt: Attempt) -> tuple[Reference, str]:
        start, end = attempt.start, attempt.end
        began, finished = attempt_times(start, end)
        identifier = attempt_action(self._run, attempt)
        lost = end is None and (
            self._run.end is not None or attempt is not task.last or attempt.imported
        )
        status = values.FAILED if lost else values.status(attempt.status)
        error = "its end was not recorded" if lost else values.error_text(end)
        places: dict[str, Version] = {}
        productive = bool(end is not None and end.outputs)
        used = list(self._used(task, attempt, start, places, productive))
        made = list(self._made(task, attempt, end, places))
        container = self._run.container(task)
        name = task.name or "unknown task"
        around = (
            attempt_action(self._run, container.attempts[-1])
            if container
            else run_action(self._run)
        )
        action = self._parts.crate.add(
            identifier,
            "CreateAction",
            name=f"{name} (attempt {attempt.number})" if attempt.number > 1 else name,
            description=self._description(task, attempt, start),
            startTime=values.time(began),
            endTime=values.time(finished),
            actionStatus=status,
            error=error if status == values.FAILED else None,
            identifier=attempt.external_id,
            instrument=self._parts.plan.tool(task.step),
            agent=self._agent,
            object=once(used),
            result=once(made),
            environment=self._environment(start),
            containerImage=self._parts.programs.images(start.software if start else None),
            resourceUsage=self._usage(f"{self._prefix}/usage/{identifier[9:]}", end),
            isPartOf=reference(around),
        )
        self._parts.crate.mention(action)
        children = attempt.child_runs + self._extra.get((attempt.task, attempt.key), [])
        for child in {child.child: child for child in children}.values():
            self.children.append((child, action, places))
        return action, status

    def _description(self, task: Task, attempt: Attempt, start: TaskStarted | None) -> str:
        step = self._run.steps.get(task.step)
        script = start.script if start is not None else None
        what = (start.command if start is not None else None) or (
            f"script {script.path}" if script is not None else None
        )
        kind = step.type if step is not None else None
        remark = None
        if attempt.status in _REMARKS:
            remark = attempt.status.value
        return joined(remark, what or kind or f"step {task.step}") or "unknown"

    def _usage(self, owner: str, end: TaskEnded | None) -> list[Reference]:
        figures = dict(end.usage or {}) if end is not None else {}
        if figures and self._intensity is not None:
            footprint = carbon(figures.get(ENERGY), figures.get(GPU_ENERGY), self._intensity)
            if footprint is not None:
                figures[CARBON] = footprint
        return values.usage(self._parts.crate, owner, figures)

    def _environment(self, start: TaskStarted | None) -> list[Reference]:
        """The variables that the workflow sets for it, as the engine tells of them."""
        given = ((start.attributes or {}) if start is not None else {}).get("env")
        if not isinstance(given, dict):
            return []
        return [
            self._parts.plan.variable(name, value)
            for name, value in given.items()
            if value is not None
        ]

    def _used(
        self,
        task: Task,
        attempt: Attempt,
        start: TaskStarted | None,
        places: dict[str, Version],
        productive: bool,
    ) -> Iterator[Reference]:
        inputs = (start.inputs if start is not None else None) or []
        sources = attempt.sources or [None] * len(inputs)
        for file, source in zip(inputs, sources, strict=True):
            if file.type is FileType.MISSING and source is None:
                source = self._run.made.get(file.path)  # a pipe
                if source is None or source.task not in task.depends_on:
                    continue
            version = self._parts.data.of(file, source)
            places[self._parts.data.absolute(file.path)] = version
            if file.role and file.secondary_of is None:
                version.used_as[self._parts.plan.parameter(task.step, INPUT, file.role)] = None
            version.found = True
            version.consumed = version.consumed or productive
            yield version.reference
        if start is None:
            return
        for values_ in (start.parameters, start.wildcards):
            for name, value in (values_ or {}).items():
                if value is not None:
                    yield self._parts.plan.value(task.step, INPUT, name, value)
        if start.script is not None and start.script.type is FileType.FILE:
            script = self._parts.code.file(start.script)
            if script is not self._parts.main:
                self._parts.plan.scripts.setdefault(task.step, script.reference)

    def _made(
        self, task: Task, attempt: Attempt, end: TaskEnded | None, places: dict[str, Version]
    ) -> Iterator[Reference]:
        for file in (end.outputs if end is not None else None) or ():
            if file.type is FileType.MISSING:
                continue
            version = self._parts.data.of(file, attempt)
            places[self._parts.data.absolute(file.origin or file.path)] = version
            if file.role and file.secondary_of is None:
                version.made_as[self._parts.plan.parameter(task.step, OUTPUT, file.role)] = None
            yield version.reference
        for name, value in ((end.results if end is not None else None) or {}).items():
            if value is not None:
                yield self._parts.plan.value(task.step, OUTPUT, name, value)


def once(references: Iterable[Reference]) -> list[Reference]:
    return list({id(found): found for found in references}.values())


def joined(*parts: str | None) -> str | None:
    return " ".join(part for part in parts if part) or None
