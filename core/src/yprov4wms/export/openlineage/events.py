"""The OpenLineage events of a workflow run, in the order of their times.

The workflow is a run of its job, and so is every attempt of a task. An event is told of where
its time is known: START, then COMPLETE, FAIL or ABORT. What still runs, or was killed, has a
START alone. A task that never ran has no run: a JobEvent says what became of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from typing import Any, NamedTuple

from yprov4wms.events import (
    ChildAttached,
    File,
    FileType,
    Status,
    TaskNotRun,
    TaskStarted,
)
from yprov4wms.export.openlineage import custom, facets, ml_runs
from yprov4wms.export.openlineage.around import Around, parent_run_id
from yprov4wms.export.openlineage.datasets import Datasets
from yprov4wms.export.openlineage.facets import CORE, PRODUCER, Facet, Facets
from yprov4wms.export.openlineage.names import (
    Jobs,
    Name,
    Places,
    attempt_run_id,
    workflow_run_id,
)
from yprov4wms.prov.attempts import attempt_times
from yprov4wms.prov.inner import ChildReader
from yprov4wms.run import Attempt, Run, Task, is_time

Event = dict[str, Any]
Children = dict[tuple[str, int], list[ChildAttached]]

#: What the end of a run is called. A task that says of itself that it is skipped, and one whose
#: outputs come from a cache, ended as they should.
_ENDS = {
    Status.COMPLETED: "COMPLETE",
    Status.CACHED: "COMPLETE",
    Status.SKIPPED: "COMPLETE",
    Status.UP_TO_DATE: "COMPLETE",
    Status.FAILED: "FAIL",
    Status.CANCELLED: "ABORT",
    Status.UPSTREAM_FAILED: "ABORT",
    Status.NOT_STARTED: "ABORT",
}


class _Kind(IntEnum):
    RUN_START = 0
    START = 1
    END = 2
    NOT_RUN = 3
    RUN_END = 4


class _Moment(NamedTuple):
    """When what is to be told, in the order of telling."""

    time: str
    number: int
    kind: _Kind
    task: str = ""
    #: Of an attempt, or of what says that the task did not run.
    place: int = 0


class Lineage:
    """The events of a run, from its record alone.

    read_child, extra: as `yprov4wms.export.document.child_documents` gives them. around: the
    run around this one. namespace: of the jobs, by default the engine's name. untimed: how many
    events are left out because nobody knows their time; it is counted as they are told.
    """

    def __init__(
        self,
        run: Run,
        read_child: ChildReader = lambda child: None,
        extra: Children | None = None,
        around: Around | None = None,
        namespace: str | None = None,
    ) -> None:
        self._run = run
        self._read_child = read_child
        self._extra = extra or {}
        self._around = around
        self._jobs = Jobs(run, namespace)
        self._datasets = Datasets(run, Places(run.start.directory, self._jobs.workflow.namespace))
        self._run_id = workflow_run_id(run.id)
        self._statuses = run.statuses()
        self._engine = run.start.engine.name
        #: Of tasks with several attempts, when each began.
        self._began: dict[str, list[str | None]] = {}
        #: By task and key of attempts the members of their directories that others use alone.
        self._members: dict[tuple[str, int], set[str]] = {}
        self.untimed = 0

    def __iter__(self) -> Iterator[Event]:
        self.untimed = 0
        for moment in self._moments():
            if moment.kind in (_Kind.RUN_START, _Kind.RUN_END):
                yield self._workflow(moment)
                continue
            task = self._run.tasks[moment.task]
            if moment.kind is _Kind.NOT_RUN:
                yield self._not_run(moment, task, _refusals(task)[moment.place])
            else:
                yield self._attempt(moment, task)

    # -- when --------------------------------------------------------------------

    def _moments(self) -> list[_Moment]:
        began, finished = (t if t and is_time(t) else None for t in self._run.times())
        if began and finished and finished < began:
            began = None  # by another host's clock
        found: list[_Moment] = []
        if began is not None:
            found.append(_Moment(began, 0, _Kind.RUN_START))
        for task in self._run.tasks.values():
            self._of_task(task, finished or began, found)
        if self._run.end is not None and finished is not None:
            found.append(_Moment(finished, len(found) + 1, _Kind.RUN_END))
        self.untimed += (began is None) + (self._run.end is not None and finished is None)
        found.sort()
        return found

    def _of_task(self, task: Task, known_at: str | None, found: list[_Moment]) -> None:
        """known_at: when a task is known not to have started, if no event says so."""
        several: list[str | None] = []
        for index, attempt in enumerate(task.attempts):
            start, end = attempt.start, attempt.end
            began, finished = attempt_times(start, end)
            several.append(began)
            if began is not None:
                found.append(_Moment(began, len(found) + 1, _Kind.START, task.id, index))
            if end is not None and finished is not None:
                found.append(_Moment(finished, len(found) + 1, _Kind.END, task.id, index))
            self.untimed += (began is None) + (end is not None and finished is None)
            if self._run.directory_makers:
                self._note_members(attempt, start)
        if len(several) > 1:
            self._began[task.id] = several
        for index, refusal in enumerate(_refusals(task)):
            said = refusal.time if refusal is not None and not self._run.start.imported else None
            moment = said or known_at
            if moment is None:
                self.untimed += 1
            else:
                found.append(_Moment(moment, len(found) + 1, _Kind.NOT_RUN, task.id, index))

    def _note_members(self, attempt: Attempt, start: TaskStarted | None) -> None:
        for file, source in _with_sources(attempt, start):
            if source is not None and (source.task, source.key) in self._run.directory_makers:
                self._members.setdefault((source.task, source.key), set()).add(file.path)

    # -- the workflow ------------------------------------------------------------

    def _workflow(self, moment: _Moment) -> Event:
        run, start, end = self._run, self._run.start, self._run.end
        about: Facets = {}
        around = self._around
        if around is not None:
            about["parent"] = facets.parent(*around)
        _put(about, "processing_engine", facets.processing_engine(start.engine))
        _put(about, "nominalTime", facets.nominal_time(start.attributes))
        outer = parent_run_id(start.parent) if start.parent is not None else None
        job: Facets = {"jobType": facets.job_type(self._engine, facets.workflow_kind(self._engine))}
        event = "START"
        inputs = [file for file in start.files or () if file.type is not FileType.MISSING]
        outputs: list[Any] = []
        if moment.kind is _Kind.RUN_START:
            _put(about, "executionParameters", facets.parameters([("config", start.config)]))
            _put(job, "sourceCodeLocation", facets.source_code_location(start.git))
            told = start.attributes or {}
            _put(job, "documentation", facets.documentation(told.get("doc")))
            if "documentation" not in job:
                _put(job, "documentation", facets.documentation(told.get("description")))
        elif end is not None:
            event = _ENDS.get(end.status, "COMPLETE")
            if event != "COMPLETE":
                _put(about, "errorMessage", facets.error_message(self._engine, end.error))
            outputs = self._datasets.results(end.outputs or ())
        if moment.kind is _Kind.RUN_END or end is None:
            about.update(custom.workflow(run, outer))
        return self._event(
            event,
            moment.time,
            (self._run_id, about),
            (self._jobs.workflow, job),
            self._datasets.inputs(inputs),
            outputs,
        )

    # -- attempts ----------------------------------------------------------------

    def _attempt(self, moment: _Moment, task: Task) -> Event:
        attempt = task.attempts[moment.place]
        start, end = attempt.start, attempt.end
        step = self._run.steps.get(task.step)
        job: Facets = {"jobType": facets.job_type(self._engine, "TASK")}
        about: Facets = {"parent": self._parent(task)}
        _put(about, "processing_engine", facets.processing_engine(self._run.start.engine))
        before = task.attempts[moment.place - 1] if moment.place else None
        retry_of = attempt_run_id(self._run.id, task.id, before.key) if before else None
        event, outputs = "START", []
        status = attempt.status
        if moment.kind is _Kind.START:
            rule = (step.attributes or {}).get("trigger_rule") if step is not None else None
            upstream = self._upstream(task, attempt_times(start, end)[1])
            if upstream:
                text = rule.upper() if isinstance(rule, str) else None
                about["jobDependencies"] = facets.dependencies(upstream, text)
            _put(about, "executionParameters", facets.started_with(start))
            _put(job, "sourceCode", facets.source_code(step))
            _put(job, "documentation", facets.documentation(step.doc if step else None))
            lost = self._run.end is not None or attempt is not task.last or attempt.imported
            said = None if end is not None or lost else status
            about.update(custom.attempt(task, attempt, start, None, said, retry_of))
        elif end is not None:
            event = _ENDS.get(status, "COMPLETE")
            if event != "COMPLETE":
                _put(about, "errorMessage", facets.error_message(self._engine, end.error, end))
            about.update(custom.attempt(task, attempt, start, end, status, retry_of))
            intensity = self._run.start.carbon_intensity
            about.update(custom.resources(end.usage, intensity.value if intensity else None))
            members = self._members.get((attempt.task, attempt.key))
            outputs = self._datasets.outputs(end.outputs or (), members)
        if moment.kind is _Kind.END or end is None:
            children = attempt.child_runs + self._extra.get((attempt.task, attempt.key), [])
            about.update(ml_runs.facets(children, self._read_child))
        run_id = attempt_run_id(self._run.id, task.id, attempt.key)
        inputs = self._datasets.inputs(self._inputs(task, attempt, start))
        whole = (self._jobs.task(task), job)
        return self._event(event, moment.time, (run_id, about), whole, inputs, outputs)

    def _parent(self, task: Task) -> Facet:
        """The task that contains this one, else the workflow."""
        root_id, root = self._run_id, self._jobs.workflow
        if self._around is not None:
            root_id, root = self._around.root_id, self._around.root
        container = self._run.container(task)
        if container is None:
            return facets.parent(self._run_id, self._jobs.workflow, root_id, root)
        run_id = attempt_run_id(self._run.id, container.id, container.attempts[-1].key)
        return facets.parent(run_id, self._jobs.task(container), root_id, root)

    def _upstream(self, task: Task, finished: str | None) -> list[tuple[Name, str | None]]:
        """The jobs that a task depends on, each with its last run that began before that."""
        found: list[tuple[Name, str | None]] = []
        for upstream in dict.fromkeys(task.depends_on):
            other = self._run.tasks.get(upstream)
            if other is None:
                continue
            run_id: str | None = None
            if other.attempts:
                index = len(other.attempts) - 1
                times = self._began.get(other.id, [None])
                while index > 0 and finished and (times[index] or "") > finished:
                    index -= 1
                run_id = attempt_run_id(self._run.id, other.id, other.attempts[index].key)
            found.append((self._jobs.task(other), run_id))
        return found

    def _inputs(self, task: Task, attempt: Attempt, start: TaskStarted | None) -> list[File]:
        """A file that was not there is an input all the same if a task had left it."""
        found = []
        for file, source in _with_sources(attempt, start):
            if file.type is FileType.MISSING and source is None:
                later = self._run.made.get(file.path)  # a pipe
                if later is None or later.task not in task.depends_on:
                    continue
            found.append(file)
        return found

    # -- what did not run --------------------------------------------------------

    def _not_run(self, moment: _Moment, task: Task, refusal: TaskNotRun | None) -> Event:
        status = refusal.status if refusal is not None else self._statuses[task.id]
        step = self._run.steps.get(task.step)
        job: Facets = {"jobType": facets.job_type(self._engine, "TASK")}
        _put(job, "sourceCode", facets.source_code(step))
        _put(job, "documentation", facets.documentation(step.doc if step else None))
        reason = refusal.reason if refusal is not None else None
        job.update(custom.not_run(self._run_id, task, status, reason))
        event: Event = {
            "eventTime": moment.time,
            "producer": PRODUCER,
            "schemaURL": f"{CORE}JobEvent",
            "job": {**self._jobs.task(task).as_json(), "facets": job},
        }
        outputs = self._datasets.outputs((refusal.outputs if refusal is not None else None) or ())
        return {**event, "outputs": outputs} if outputs else event

    def _event(
        self,
        kind: str,
        time: str,
        run: tuple[str, Facets],
        job: tuple[Name, Facets],
        inputs: list[Any],
        outputs: list[Any],
    ) -> Event:
        return {
            "eventType": kind,
            "eventTime": time,
            "producer": PRODUCER,
            "schemaURL": f"{CORE}RunEvent",
            "run": {"runId": run[0], "facets": run[1]},
            "job": {**job[0].as_json(), "facets": job[1]},
            "inputs": inputs,
            "outputs": outputs,
        }


def _put(into: Facets, name: str, facet: Facet | None) -> None:
    if facet is not None:
        into[name] = facet


def _refusals(task: Task) -> list[TaskNotRun | None]:
    """When a task did not run; None where no event says so of one that never started."""
    found: list[TaskNotRun | None] = list(task.not_run_before()) if task.past else []
    if task.not_run_line is not None or not task.attempts:
        found.append(task.not_run)
    return found


def _with_sources(
    attempt: Attempt, start: TaskStarted | None
) -> Iterator[tuple[File, Attempt | None]]:
    inputs = (start.inputs if start is not None else None) or []
    return zip(inputs, attempt.sources or [None] * len(inputs), strict=True)
