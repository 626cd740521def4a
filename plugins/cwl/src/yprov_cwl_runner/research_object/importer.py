"""What a research object holds, as events."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

from cwltool.process import Process
from cwltool.workflow import Workflow

from yprov4wms import events
from yprov4wms.events import File, Person, Software, Status
from yprov4wms.plain import plain, text
from yprov4wms.recorder import Recorder
from yprov_cwl_runner import plan, values
from yprov_cwl_runner.research_object.bag import INPUTS, MANIFEST, OUTPUTS, PACKED, Bag
from yprov_cwl_runner.research_object.files import Files
from yprov_cwl_runner.research_object.log import Log, Span, last_name, together
from yprov_cwl_runner.research_object.records import Records
from yprov_cwl_runner.research_object.steps import Steps, Task
from yprov_cwl_runner.steps import task_id

#: A workflow of which steps were skipped may end as ``skipped``.
STATUSES = {
    "success": Status.COMPLETED,
    "skipped": Status.COMPLETED,
    "cached": Status.CACHED,
}


class Import:
    def __init__(
        self, bag: Bag, recorder: Recorder, records: Records, log: Log, process: Process | None
    ) -> None:
        self._bag, self._recorder, self._records, self._log = bag, recorder, records, log
        self._process = process
        self._steps = Steps(process, log.tool or last_name(PACKED))
        self._files = Files(bag, recorder, records)
        self._paths: set[str] = set()
        self._nameless: list[str] = []
        self._root = Task("", "", None, records.root)
        if process is None or isinstance(process, Workflow):
            self._inside(self._root)
            self._expressions()
            self._without_activity()
        else:
            self._tool()
        #: By file the task that left it: of nested ones the innermost.
        self._makers: dict[str, Task] = {}
        for task in sorted(self._root.every(), key=lambda t: t.activity not in records.nested):
            for _, entity in records.generated(task.activity) if task.path else ():
                self._makers |= dict.fromkeys(records.within(entity), task)
        for entity, task in self._makers.items():
            self._files.name(entity, task.path)
        #: What tasks used.
        self._taken = {
            part
            for task in self._root.every()
            for _, entity in (records.used(task.activity) if task.path else ())
            for part in records.within(entity)
        }

    def write(self, warn: Callable[[str], None]) -> None:
        recorder, log = self._recorder, self._log
        order = self._order()
        recorder.emit(self._run_started(order), *self._steps.all.values())
        recorder.emit(*[self._planned(t) for t in self._root.every() if t.path], *self._not_run())
        for task in self._root.inner:
            self._emit(task)
        lost = [t for t in self._root.every() if not t.activity and t.span and t.span.command]
        if lost:
            warn(f"{self._bag.folder} has nothing of {len(lost)} jobs' files (--parallel: of none)")
        if log.status is None:
            return
        outputs = self._files.translated(self._bag.json(OUTPUTS))
        failed = None if log.status == "success" else f"cwltool's final status is {log.status}"
        recorder.emit(
            events.RunEnded(
                status=STATUSES.get(log.status, Status.FAILED),
                error=log.error or failed,
                outputs=self._described(outputs.items()) or None,
                results=values.parameters(outputs) or None,
            )
        )

    # -- which tasks there are ---------------------------------------------------

    def _inside(self, scope: Task) -> None:
        """The tasks of the activities that one started, in the order of their starts."""
        for activity in self._records.started_by(scope.activity):
            nested = self._records.nested.get(activity, [])
            spans = {n: s for n, s in self._log.workflows.items() if file_name(n) in nested}
            name = self._records.name(activity) or next(iter(spans), "")
            if not name and not nested:
                self._nameless.append(activity)
                continue
            ports = {port for port, _ in self._records.used(activity)}
            step = self._steps.find(name, scope, ports)
            task = self._add(scope, name or "workflow", step, activity)
            if nested:
                starts = self._records.times("Start", activity, scope.activity)
                task.runs = max(len(nested), len(starts))
                task.span = together(list(spans.values())) if len(spans) == task.runs else None
                self._inside(task)
            elif (
                step and self._steps.all[step].type == "Workflow" and not self._steps.repeats(step)
            ):
                task.span = self._log.workflows.get(name)
            else:
                task.span = self._log.jobs.get(name)

    def _expressions(self) -> None:
        """Of all that cwltool runs, ExpressionTools alone leave activities without a name.

        Which is which is known by the log, if it has as many, in their order.
        """
        tools = [path for path, step in self._steps.all.items() if step.type == "ExpressionTool"]
        found = [self._steps.find(name, None, set()) for name in self._log.starts]
        found = [step for step in found if step in tools]
        if len(found) != len(self._nameless):
            found = (tools if len(tools) == 1 else [""]) * len(self._nameless)
        activities = sorted(self._nameless, key=self._records.start)
        for activity, step in zip(activities, found, strict=True):
            task = self._add(self._scope(step), last_name(step) or "expression", step, activity)
            if step and not self._steps.repeats(step):
                task.span = self._log.steps.get(last_name(step))

    def _without_activity(self) -> None:
        """Jobs that the log alone tells of: run by --parallel, or taken from a cache."""
        known = {id(task.span) for task in self._root.every()}
        for name, span in self._log.jobs.items():
            if span.began and id(span) not in known:
                step = self._steps.find(name, None, set())
                self._add(self._scope(step), name, step, "").span = span
        for name, span in self._log.steps.items():
            step = self._steps.find(name, None, set())
            if step and not self._steps.repeats(step) and not self._tasks_of(step):
                is_expression = self._steps.all[step].type == "ExpressionTool"
                is_expression = is_expression and not self._nameless and not span.empty
                if span.status == "permanentFail" or (is_expression and span.status == "success"):
                    self._add(self._scope(step), name, step, "").span = span

    def _tool(self) -> None:
        """A tool that is run without a workflow: its activity is the run's, too."""
        (step,) = self._steps.all
        jobs = self._log.jobs
        if self._root.activity or jobs:
            self._add(self._root, step, step, self._root.activity).span = (
                next(iter(jobs.values())) if len(jobs) == 1 else None
            )

    def _add(self, scope: Task, name: str, step: str, activity: str) -> Task:
        path, number = plan.joined(scope.path, text(name)), 1
        while path in self._paths:
            number += 1
            path = f"{plan.joined(scope.path, text(name))} ({number})"
        self._paths.add(path)
        scope.inner.append(Task(path, step, scope, activity))
        return scope.inner[-1]

    def _tasks_of(self, step: str) -> list[Task]:
        return [task for task in self._root.every() if task.step == step]

    def _scope(self, step: str) -> Task:
        """The one task around a step's; the run, where that is not known."""
        found = self._tasks_of(step.rpartition("/")[0])
        return found[0] if len(found) == 1 else self._root

    # -- events ------------------------------------------------------------------

    def _order(self) -> dict[str, Any]:
        """The run's inputs by port."""
        used = self._values(self._records.used(self._root.activity))
        found: dict[str, Any] = {port: several[0] for port, several in used.items()}
        for port, value in self._bag.json(INPUTS).items():
            # The job order does not say what a directory holds.
            if port not in found or "Directory" not in json.dumps(value):
                found[port] = self._files.translated(value)
        return found

    def _run_started(self, order: dict[str, Any]) -> events.RunStarted:
        bag, records, log, process = self._bag, self._records, self._log, self._process
        inputs, outputs = plan.workflow_ports(process) if process else (None, None)
        agents = records.agents()
        engine, _, version = (agents.get("engine") or bag.info("Bag-Software-Agent")).partition(" ")
        documents = sorted((bag.folder / "snapshot").glob("*.cwl"))
        files = [self._recorder.identified(str(p), "workflow", "", 0) for p in documents]
        main = next(
            (f for f in files if log.document and f.path.endswith(f"/{log.document}")), None
        )
        about = process.tool if process else {}
        attributes = {
            **{key: plain(about.get(key)) for key in ("class", "label", "doc")},
            "cwl_version": plan.cwl_version(process) if process else None,
            "profile": bag.json(MANIFEST).get("conformsTo"),
            "research_object": bag.info("External-Identifier"),
            "changed_files": bag.changed,
            "command_line": log.command_line if not bag.secret else None,
            "began": log.began,
            "finished": log.finished,
        }
        name = agents.get("person") or bag.info("Contact-Name") or None
        person = Person(login=agents.get("login"), name=name, orcid=agents.get("orcid"))
        return events.RunStarted(
            engine=Software(name=engine or "cwltool", kind="engine", version=version or None),
            workflow=text(log.document or "packed.cwl"),
            directory=str(bag.folder),
            main_file=main,
            files=[*files, *self._described(order.items())] or None,
            config=values.parameters(order) or None,
            host=agents.get("host"),
            person=person if person != Person() else None,
            engine_run_id=records.root.removeprefix("urn:uuid:") or None,
            imported=True,
            inputs=inputs,
            outputs=outputs,
            packed=self._packed(),
            attributes={key: value for key, value in attributes.items() if value},
        )

    def _packed(self) -> File | None:
        content = self._bag.read(PACKED)
        if not content:
            return None
        kept = self._recorder.hidden(content).encode()
        digest = self._recorder.folder.keep(kept, ".cwl")
        return File(path=f"children/{digest}.cwl", size=len(kept), sha256=digest)

    def _planned(self, task: Task) -> events.TaskPlanned:
        assert task.id is not None
        assert task.parent is not None
        siblings = task.parent.inner
        before: dict[str | None, None] = {}
        for _, entity in self._records.used(task.activity):
            for part in self._records.within(entity):
                maker = self._makers.get(part)
                for around in maker.around() if maker else ():
                    if around.parent is task.parent and around is not task:
                        before[around.id] = None
        declared = self._steps.all.get(task.step)
        for step in (declared.depends_on if declared else None) or ():
            # Which elements of a scatter one of another needs is not recorded.
            both = self._steps.scattered(task.step) and self._steps.scattered(step)
            if task.parent.runs == 1 and not both:
                before |= {other.id: None for other in siblings if other.step == step}
        return events.TaskPlanned(
            task=task.id,
            step=task.step,
            label=task.path,
            depends_on=[other for other in before if other] or None,
            parent=task.parent.id,
            attributes={"runs_in_one_activity": task.runs} if task.runs > 1 else None,
        )

    def _not_run(self) -> Iterator[events.Event]:
        """Steps that the log does not have, or has as skipped; it is whole if it has an end."""
        for path, step in self._steps.all.items() if self._log.status else ():
            scope, span = self._scope(path), self._log.steps.get(last_name(path))
            known = self._tasks_of(path) or not isinstance(self._process, Workflow)
            many = sum(last_name(other) == last_name(path) for other in self._steps.all) > 1
            if known or many or scope.runs > 1 or scope.step != (step.parent or ""):
                continue
            if span is None or span.status == "skipped" or span.empty:
                task = plan.joined(scope.path, last_name(path))
                yield self._planned(Task(task, path, scope))
                if span is not None:
                    when = f"when: {(step.attributes or {}).get('when')}"
                    reason = "scatter over an empty array" if span.empty else when
                    yield events.TaskNotRun(
                        task=task_id(task), status=Status.SKIPPED, reason=reason
                    )

    def _emit(self, task: Task) -> None:
        """In an order in which what a task used is there before it starts."""
        assert task.id is not None
        records, span = self._records, task.span or Span()
        used = self._values(records.used(task.activity))
        inputs = [(port, value) for port, found in used.items() for value in found]
        # A loop's later runs use what the earlier ones left.
        files = [f for f in self._described(inputs) if task not in self._around_maker(f)]
        local = {
            "local_start": records.start(task.activity),
            "local_end": max(records.times("End", task.activity), default=None),
        }
        self._recorder.emit(
            events.TaskStarted(
                task=task.id,
                attempt=1,
                inputs=files or None,
                command=span.command,
                parameters=values.parameters(single(used)) or None,
                software=[Software(name=i, kind="container") for i in records.images(task.activity)]
                or None,
                attributes=None if span.began else {k: v for k, v in local.items() if v} or None,
            )
        )
        for inner in task.inner:
            self._emit(inner)
        made = self._values(records.generated(task.activity))
        outputs = [(port, value) for port, found in made.items() for value in found]
        status = span.status or ("success" if self._was_taken(task) else None)
        if status is None or (span.finished is None and self._log.status == "success"):
            return
        failed = status not in STATUSES
        error = span.error or f"it ended with {status}" if failed else None
        code = span.exit_code
        self._recorder.emit(
            events.TaskEnded(
                task=task.id,
                attempt=1,
                status=STATUSES.get(status, Status.FAILED),
                began=span.began,
                finished=span.finished,
                exit_code=code,
                signal=-code if code is not None and code < 0 else None,
                error=text(error) if error else None,
                outputs=[f for f in self._described(outputs) if task in self._around_maker(f)]
                or None,
                results=values.parameters(single(made)) or None,
            )
        )

    def _was_taken(self, task: Task) -> bool:
        """Whether a step used what it left: cwltool does not start one after a failure."""
        left = {
            e
            for _, entity in self._records.generated(task.activity)
            for e in self._records.within(entity)
        }
        return not task.inner and bool(left & self._taken)

    def _around_maker(self, file: File) -> list[Task]:
        maker = self._makers.get(self._files.entity(file.path))
        return list(maker.around()) if maker else []

    def _values(self, relations: list[tuple[str, str]]) -> dict[str, list[Any]]:
        """By port its values; several where runs are mixed."""
        found: dict[str, list[Any]] = {}
        for port, entity in relations:
            value = self._files.value(entity)
            if value is not None and value not in found.setdefault(port, []):
                found[port].append(value)
        return {port: several for port, several in found.items() if several}

    def _described(self, ports: Any) -> list[File]:
        return [f for port, v in ports for f in values.files(port, v, self._files.described)]


def single(ports: dict[str, list[Any]]) -> dict[str, Any]:
    return {port: several[0] for port, several in ports.items() if len(several) == 1}


def file_name(workflow: str) -> str:
    """As cwltool names the documents of a nested workflow's run."""
    return quote(f"workflow {workflow}", safe="").replace("%", "_")
