"""A workflow run as PROV records: the plan, what happened, who did it, with what."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable
from typing import Any

from msgspec.structs import replace

from yprov4wms.events import (
    UPDATE,
    ChildAttached,
    File,
    FileType,
    RunStarted,
    Status,
    TaskNotRun,
    TaskStarted,
)
from yprov4wms.prov import attributes as attrs
from yprov4wms.prov.attempts import attempt_attributes, attempt_times, seconds
from yprov4wms.prov.files import Files
from yprov4wms.prov.handover import Handover
from yprov4wms.prov.nesting import Nesting
from yprov4wms.prov.plan import DEPENDS_ON, WORKFLOW, Plan
from yprov4wms.prov.values import attributes, local_name, string
from yprov4wms.prov.vocabulary import RUN, Level, Link, Type, run_namespace
from yprov4wms.prov.writer import ProvJsonWriter
from yprov4wms.run import Attempt, Run, Task

WORKFLOW_RUN = f"{RUN}:workflow_run"
ENGINE = f"{RUN}:engine"
PERSON = f"{RUN}:person"

#: Gives the bytes of a child's document, which have the checksum that the event names, or None
#: where it is gone; raises OSError or ValueError, whose text says why it cannot be had.
ChildReader = Callable[[ChildAttached], bytes | None]
Progress = Callable[[int], None]


def attempt_id(attempt: Attempt) -> str:
    """The identifier of an attempt's activity."""
    return f"{RUN}:{local_name('task_' + attempt.task)}.{attempt.number}"


def task_plan_id(task: Task) -> str:
    """The identifier of the plan that stands for a task that never ran."""
    return f"{RUN}:{local_name('plan_' + task.id)}"


def _node(task: Task, moment: str | None = None) -> str:
    """What stands for a task: its last attempt, or the plan of one that never ran.

    moment: of several attempts, those count that began before.
    """
    if not task.attempts:
        return task_plan_id(task)
    if moment is None or len(task.attempts) == 1:
        return attempt_id(task.attempts[-1])
    began = (a for a in reversed(task.attempts) if _began_before(a, moment))
    return attempt_id(next(began, task.attempts[0]))


class WorkflowDocument:
    """Writes one run's records.

    nest is ``flatten``, ``bundle`` or ``link``; progress is told the number of tasks done now
    and then.
    """

    def __init__(
        self,
        run: Run,
        read_child: ChildReader,
        nest: str = "flatten",
        extra_children: dict[tuple[str, int], list[ChildAttached]] | None = None,
        progress: Progress = lambda done: None,
    ) -> None:
        self._run = run
        self._writer = ProvJsonWriter({RUN: run_namespace(run.id)})
        self._files = Files(self._writer, run, RUN)
        children = bool(extra_children) or any(attempt.children for attempt in run.attempts())
        self._handover = Handover(self._writer, run, self._files, attempt_id, children)
        start = run.start
        self._nesting = Nesting(self._writer, nest, start.directory, start.person, self._handover)
        self._read_child = read_child
        self._extra = extra_children or {}
        self._progress = progress
        self._statuses = run.statuses()
        self._plan = Plan(self._writer, run)
        self._members: dict[int, set[str]] = {}
        intensity = run.start.carbon_intensity
        self._intensity = intensity.value if intensity else None

    def build(self) -> ProvJsonWriter:
        """The filled writer."""
        self._agents(self._run.start)
        self._workflow(self._run.start)
        self._plan.write()
        for done, task in enumerate(self._run.tasks.values()):
            if task.attempts:
                self._attempts(task)
            if not task.attempts or task.not_run_line is not None:
                self._task_plan(task, task.not_run)
            for not_run in task.not_run_before() if task.past else ():
                self._task_plan(task, not_run)
            if done % 1000 == 0:
                self._progress(done)
        self._outputs(self._run)
        self._handover.tie()
        return self._writer

    # -- who and what -----------------------------------------------------------

    def _agents(self, start: RunStarted) -> None:
        writer = self._writer
        # Of several associations of an activity prov reads those back from RDF that have a plan
        # or an attribute, or else all: where one has a plan, all have.
        plan = f'"prov:plan":"{WORKFLOW}"'
        plugins = {s.name: s for s in start.software or () if s.kind == "plugin"}
        for index, agent in enumerate([start.engine, *plugins.values()]):
            identifier = ENGINE if index == 0 else f"{RUN}:{local_name('plugin_' + agent.name)}"
            label = f"{agent.name} {agent.version}" if agent.version else agent.name
            head = {"prov:label": label, "prov:type": Type.SOFTWARE_AGENT}
            writer.element("agent", identifier, attributes(head | attrs.software(agent)))
            writer.relation("wasAssociatedWith", WORKFLOW_RUN, identifier, plan)
        person = start.person
        if person is not None:
            who = {
                "prov:label": person.name or person.login or person.orcid or "unknown person",
                "prov:type": Type.PERSON,
                "yprov4wms:login": person.login,
                "yprov4wms:name": person.name,
                "yprov4wms:orcid": attrs.orcid(person),
            }
            writer.element("agent", PERSON, attributes(who))
            writer.relation("wasAssociatedWith", WORKFLOW_RUN, PERSON, plan)
            writer.relation("actedOnBehalfOf", ENGINE, PERSON)

    def _workflow(self, start: RunStarted) -> None:
        run, writer = self._run, self._writer
        end = run.end
        began, finished = run.times()
        if began and finished and finished < began:
            began = None  # by another host's clock
        activity = {
            "prov:startTime": began,
            "prov:endTime": finished,
            "prov:label": start.workflow,
            "prov:type": Type.WORKFLOW_RUN,
            "yprov4wfs:level": Level.WORKFLOW,
            "yprov4wfs:status": None if start.imported and run.end is None else run.status,
            "yprov4wms:imported": start.imported or None,
            "yprov4wfs:engine": start.engine.name,
            "yprov4wfs:execution_time_sec": seconds(began, finished),
            "yprov4wfs:run_platform": start.platform,
            "yprov4wms:run_id": run.id,
            "yprov4wms:engine_run_id": start.engine_run_id,
            "yprov4wms:executor": start.executor,
            "yprov4wms:command": shlex.join(start.command) if start.command else None,
            "yprov4wms:directory": start.directory,
            "yprov4wms:host": start.host,
            "yprov4wms:pid": start.pid,
            "yprov4wms:error": end.error if end else None,
            "yprov4wms:parent_run": start.parent.run if start.parent else None,
            "yprov4wms:parent_task": start.parent.task if start.parent else None,
            "yprov4wms:parent_attempt": start.parent.attempt if start.parent else None,
            "yprov4wms:recorder_failures": len(run.failures) or None,
            "yprov4wms:recorder_failure": _failures(run),
            "yprov4wms:unreadable_events": len(run.problems) or None,
            **attrs.keyed("output", end.results if end else None, null="null"),
            **attrs.keyed("engine", start.attributes),
        }
        intensity = {"carbon_intensity": start.carbon_intensity} if start.carbon_intensity else None
        writer.element("activity", WORKFLOW_RUN, attributes(activity) + attrs.figures(intensity))
        for file in start.files or ():
            if file.type is not FileType.MISSING:
                role = f'"prov:role":{string(file.role)}' if file.role else ""
                writer.relation("used", WORKFLOW_RUN, self._files.write_outside(file), role)
        self._environment(start)

    def _outputs(self, run: Run) -> None:
        """The workflow's own outputs: what its tasks made, and where the engine has put it."""
        end, known, derived = run.end, set[str](), set[tuple[str, str]]()
        roles: dict[str, dict[str, None]] = {}
        for file in (end.outputs if end else None) or ():
            place = file.origin or file.path
            maker = run.made.get(place)
            if file.type is FileType.MISSING and (file.origin or maker is None):
                continue
            entity = self._files.made(attempt_id(maker), place) if maker else None
            if maker is None:
                found = self._files.outside(replace(self._files.resolved(file), path=place))
                entity = found if self._files.is_outside(found) else None
            if file.origin is not None or entity is None:
                moved = self._files.made(WORKFLOW_RUN, file.path)
                for made in self._files.write_made(WORKFLOW_RUN, file, known):
                    roles.setdefault(made, {})
                if file.secondary_of is not None:
                    primary = self._files.made(WORKFLOW_RUN, file.secondary_of)
                    if primary in known:
                        self._files.accompany(moved, primary)
                if entity is not None and (moved, entity) not in derived:
                    derived.add((moved, entity))
                    self._writer.relation("wasDerivedFrom", moved, entity)
                entity = moved
            elif maker is None:
                continue  # the workflow gives back what it was given
            roles.setdefault(entity, {})
            if file.role:
                roles[entity][file.role] = None
        for entity, names in roles.items():
            self._writer.relation("wasGeneratedBy", entity, WORKFLOW_RUN, _role(names))

    def _environment(self, start: RunStarted) -> None:
        packages = {s.name: s.version for s in start.software or () if s.kind != "plugin"}
        if not packages:
            return
        identifier = f"{RUN}:environment"
        values = {
            "prov:label": "software environment",
            "prov:type": Type.ENVIRONMENT,
            **attrs.keyed("version", packages),
        }
        self._writer.element("entity", identifier, attributes(values))
        self._writer.relation("used", WORKFLOW_RUN, identifier, '"prov:role":"environment"')

    # -- what happened ----------------------------------------------------------

    def _task_plan(self, task: Task, not_run: TaskNotRun | None) -> None:
        """A task that never ran, or did not then, is a plan with a status, not an activity."""
        identifier = task_plan_id(task)
        if not_run is not None and not_run.before is not None:
            identifier = f"{identifier}.before{not_run.before}"
        values = {
            "prov:label": task.name,
            "prov:type": Type.PLAN,
            "yprov4wfs:status": not_run.status if not_run else self._statuses[task.id],
            "yprov4wms:task": task.id,
            "yprov4wms:step": task.step or None,
            "yprov4wms:reason": (not_run.reason if not_run else None) or self._reason(task),
            **attrs.keyed("engine", task.attributes),
            **attrs.keyed("engine", not_run.attributes if not_run else None),
        }
        self._writer.element("entity", identifier, attributes(values))
        self._writer.relation("wasDerivedFrom", identifier, self._plan.step(task.step))
        container = self._run.container(task)
        if container is not None:
            part_of = f'"yprov4wms:link":"{Link.PART_OF}"'
            around = attempt_id(container.attempts[-1])
            self._writer.relation("wasInfluencedBy", identifier, around, part_of)
        for file in (not_run.outputs if not_run else None) or ():
            if file.type is not FileType.MISSING:
                self._writer.relation("hadMember", identifier, self._files.write_outside(file))
        for upstream in dict.fromkeys(task.depends_on):
            other = self._run.tasks.get(upstream)
            if other is not None:
                self._writer.relation("wasInfluencedBy", identifier, _node(other), DEPENDS_ON)

    def _reason(self, task: Task) -> str | None:
        if self._statuses[task.id] is not Status.UPSTREAM_FAILED:
            return None
        lost = (Status.FAILED, Status.CANCELLED, Status.UPSTREAM_FAILED)
        names = [
            self._run.tasks[other].name
            for other in task.depends_on
            if self._statuses.get(other) in lost
        ]
        return "depends on " + ", ".join(names)

    def _attempts(self, task: Task) -> None:
        previous: str | None = None
        for attempt in task.attempts:
            identifier = attempt_id(attempt)
            start, end = attempt.start, attempt.end
            ended = self._run.end is not None or attempt is not task.last
            lost = end is None and (ended or attempt.imported)
            times = attempt_times(start, end)
            body = attempt_attributes(task, attempt, start, end, times, self._intensity, lost)
            self._writer.element("activity", identifier, body)
            for software in (start.software if start else None) or ():
                entity = self._plan.software(software)
                self._writer.relation("used", identifier, entity, '"prov:role":"environment"')
            self._relations(identifier, task, previous, times[1])
            outputs = end.outputs if end else None
            uses = self._uses(identifier, task, attempt, start, times[1])
            children = attempt.child_runs + self._extra.get((attempt.task, attempt.key), [])
            inner: set[str] = set()
            if children:
                agent = PERSON if self._run.start.person else ENGINE
                # By the places where its processes left them.
                makes = {
                    (file.origin or file.path) + path[len(file.path) :]: (
                        self._files.made(identifier, path),
                        inner_file,
                    )
                    for file in outputs or ()
                    if file.type is not FileType.MISSING and file.path not in (attempt.inner or ())
                    for path, inner_file in self._files.parts(file)
                }
                for child in {child.child: child for child in children}.values():
                    content = self._content(child)
                    made = self._nesting.child(
                        child, content, attempt, identifier, agent, uses, makes
                    )
                    inner |= made
                    # What one child made, the next one cannot make again.
                    makes = {p: v for p, v in makes.items() if v[0] not in made}
            if outputs:
                self._generations(identifier, attempt, outputs, times[1], inner, uses)
                self._updates(identifier, start, outputs, uses)
            previous = identifier

    def _content(self, child: ChildAttached) -> bytes | str:
        """A child's document, or why it cannot be had."""
        gone = "the document is gone from the store"
        try:
            content = self._read_child(child)
        except FileNotFoundError:
            return gone
        except OSError as error:
            return f"the document cannot be read: {error.strerror or error}"
        except ValueError as error:
            return str(error)
        return gone if content is None else content

    def _relations(
        self, identifier: str, task: Task, previous: str | None, finished: str | None
    ) -> None:
        writer = self._writer
        step = self._plan.step(task.step)
        writer.relation("wasAssociatedWith", identifier, ENGINE, f'"prov:plan":"{step}"')
        container = self._run.container(task)
        writer.relation(
            "wasInformedBy",
            identifier,
            attempt_id(container.attempts[-1]) if container else WORKFLOW_RUN,
            f'"yprov4wms:link":"{Link.PART_OF}"',
        )
        if previous is not None:
            writer.relation(
                "wasInformedBy", identifier, previous, f'"yprov4wms:link":"{Link.RETRY_OF}"'
            )
        for upstream in dict.fromkeys(task.depends_on):
            other = self._run.tasks.get(upstream)
            if other is not None:
                # What never ran informs nobody.
                section = "wasInformedBy" if other.attempts else "wasInfluencedBy"
                writer.relation(section, identifier, _node(other, finished), DEPENDS_ON)

    def _left(self, maker: Attempt, path: str) -> bool:
        """Whether the record has what lies at ``path`` among what ``maker`` left."""
        if (maker.task, maker.key) not in self._run.directory_makers:
            return True
        left = self._members.get(id(maker))
        if left is None:
            left = self._members[id(maker)] = set()
            end = maker.end
            for file in (end.outputs if end else None) or ():
                if file.type is not FileType.MISSING:
                    left.update(path for path, _ in self._files.parts(file))
        return path in left

    def _is_inside(self, member: Attempt, container: Attempt) -> bool:
        """Whether the document says so: by ``part-of``, at any depth."""
        task: Task | None = self._run.tasks[member.task]
        while task is not None and (task := self._run.container(task)) is not None:
            if task.attempts[-1] is container:
                return True
        return False

    def _uses(
        self,
        identifier: str,
        task: Task,
        attempt: Attempt,
        start: TaskStarted | None,
        finished: str | None,
    ) -> dict[str, tuple[str, Any]]:
        """Write what the attempt used; returns by path the version and what it was."""
        uses: dict[str, tuple[str, Any]] = {}
        inputs = (start.inputs if start else None) or []
        sources = attempt.sources or [None] * len(inputs)
        for file, source in zip(inputs, sources, strict=True):
            if source is None:
                # A pipe's reader starts before its writer has ended.
                later = self._run.made.get(file.path)
                if later is not None and later.task in task.depends_on:
                    source = later if _began_before(later, finished) else None
            if source is not None and not self._left(source, file.path):
                source = None  # in its directory, and not among the members that are listed
            if source is not None:
                entity = self._files.made(attempt_id(source), file.path)
            elif file.type is FileType.MISSING:
                continue
            else:
                entity = self._files.write_outside(file)
                self._handover.outside(file, entity, attempt)
            role = f'"prov:role":{string(file.role)}' if file.role else ""
            self._writer.relation("used", identifier, entity, role)
            uses[file.path] = (entity, file)
            if file.secondary_of is not None and source is None:
                self._files.accompany(entity, uses.get(file.secondary_of, (None,))[0])
            for path, member in self._files.parts(file)[1:]:
                if source is None:
                    part = self._files.outside(member)
                    there = self._files.is_outside(part)
                else:
                    part = self._files.made(attempt_id(source), path)
                    there = self._left(source, path)
                if there:
                    uses[path] = (part, member)
        for file in inputs:
            if file.listing and file.path in uses and not self._run.made.get(file.path):
                inside = [uses[path][0] for path in file.listing if path in uses]
                self._files.hold(uses[file.path][0], inside)
        return uses

    def _updates(
        self,
        identifier: str,
        start: TaskStarted | None,
        outputs: list[File],
        uses: dict[str, tuple[str, Any]],
    ) -> None:
        """A new version of a file comes from the one that the engine says it updates."""
        before = {f.path for f in (start.inputs if start else None) or () if f.role == UPDATE}
        for file in outputs:
            if file.type is FileType.MISSING or file.path not in uses:
                continue
            if file.path in before or file.role == UPDATE:
                new, old = self._files.made(identifier, file.path), uses[file.path][0]
                self._writer.relation("wasDerivedFrom", new, old)

    def _generations(
        self,
        identifier: str,
        attempt: Attempt,
        outputs: list[File],
        finished: str | None,
        inner: set[str],
        uses: dict[str, tuple[str, Any]],
    ) -> None:
        """What the attempt made; what was made inside it has its time from there."""
        time = f'"prov:time":"{finished}"' if finished else ""
        known: set[str] = set()
        roles: dict[str, dict[str, None]] = {}
        for file in outputs:
            if file.role:
                roles.setdefault(file.path, {})[file.role] = None
        told: set[str] = set()
        for file in outputs:
            if file.type is FileType.MISSING or file.path in told:
                continue
            told.add(file.path)
            role = _role(roles.get(file.path, {}))
            member = attempt.inner.get(file.path) if attempt.inner else None
            if member is not None:
                if self._is_inside(member, attempt):
                    entity = self._files.made(attempt_id(member), file.path)
                    self._writer.relation("wasGeneratedBy", entity, identifier, role)
                continue
            if file.secondary_of is not None:
                primary = self._files.made(identifier, file.secondary_of)
                if primary in known:
                    self._files.accompany(self._files.made(identifier, file.path), primary)
            if file.published:
                self._files.publish(attempt.task, file, self._files.made(identifier, file.path))
            for entity in self._files.write_made(identifier, file, known):
                parts = (time if entity not in inner else "", role)
                more = ",".join(filter(None, parts)) if role else parts[0]
                self._writer.relation("wasGeneratedBy", entity, identifier, more)
                role = ""  # it is the file's, not its members'
        for file in outputs:
            directory = self._files.made(identifier, file.path)
            if file.listing and directory in known:
                made = {path: self._files.made(identifier, path) for path in file.listing}
                self._files.hold(
                    directory,
                    [
                        made[path] if made[path] in known else uses[path][0]
                        for path in file.listing
                        if made[path] in known or path in uses
                    ],
                )


def _role(names: Iterable[str]) -> str:
    """As JSON text: a file may be several outputs at once."""
    found = [string(name) for name in names]
    if not found:
        return ""
    return f'"prov:role":{found[0] if len(found) == 1 else "[" + ",".join(found) + "]"}'


def _began_before(attempt: Attempt, moment: str | None) -> bool:
    """Whether it began before that; true where one of both is not known."""
    began = attempt_times(attempt.start, attempt.end)[0]
    return not (began and moment) or began <= moment


def _failures(run: Run) -> str | None:
    lines = [f"{failure.where}: {failure.error}" for failure in run.failures[:10]]
    return "\n".join(lines) or None
