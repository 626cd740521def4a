"""A workflow run as PROV records: the plan, what happened, who did it, with what."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping

from msgspec.structs import replace

from yprov4wms.events import ChildAttached, File, FileType, RunStarted, Status, TaskNotRun
from yprov4wms.prov import attributes as attrs
from yprov4wms.prov.attempts import attempt_attributes, attempt_times, seconds
from yprov4wms.prov.child import Versions
from yprov4wms.prov.files import Files
from yprov4wms.prov.handover import Handover
from yprov4wms.prov.inner import ChildReader, Inner, Into, Nested
from yprov4wms.prov.names import Names
from yprov4wms.prov.nesting import Nesting
from yprov4wms.prov.numbering import Numbering
from yprov4wms.prov.plan import DEPENDS_ON, Plan
from yprov4wms.prov.stitch import Stitch
from yprov4wms.prov.usage import Usage, as_role, began_before
from yprov4wms.prov.values import attributes, string
from yprov4wms.prov.vocabulary import Level, Link, Type
from yprov4wms.prov.writer import ProvJsonWriter
from yprov4wms.run import Attempt, Run, Task

Progress = Callable[[int], None]


def _unheard(done: int) -> None:
    """Progress that nobody wants to know of."""


def combined(
    roots: list[Nested], nest: str = "flatten", progress: Progress = _unheard
) -> ProvJsonWriter:
    """One document of several runs, tied where one used data that another had made before.

    It is the same data where the checksums are equal: ``wasDerivedFrom`` names them. The
    ``around`` and ``place`` of ``roots`` say nothing.
    """
    inner = {root.run.id: root.nested for root in roots} if nest == "flatten" else {}
    writers = documents([root.run for root in roots], inner)
    writer, stitch = writers[0].writer, Stitch()
    for root, into in zip(roots, writers, strict=True):
        if len(roots) > 1:
            into = into._replace(outer=stitch.of(root.run))
        WorkflowDocument(
            *(root.run, root.read_child, nest, root.extra_children, progress, root.nested, into)
        ).build()
    for sha256, used, made in stitch.ties():
        more = f'"yprov4wms:sha256":"{sha256}"'
        writer.relation("wasDerivedFrom", used.entity, made.entity, more)
    return writer


def told(root: Nested, stitch: Stitch) -> None:
    """Have ``stitch`` know what a run used and made, without a document."""
    (into,) = documents([root.run], {root.run.id: root.nested})
    into = into._replace(outer=stitch.of(root.run))
    WorkflowDocument(
        *(root.run, root.read_child, "flatten", root.extra_children, _unheard, root.nested, into)
    ).build()


def documents(runs: list[Run], nested: Mapping[str, list[Nested]]) -> list[Into]:
    """Where the records of these runs go: all to one new document.

    nested: by id of such a run, the runs inside it whose records go there, too. Their prefixes
    are declared before any record is written: one run may name what another left.
    """
    writer, numbering, published = ProvJsonWriter({}), Numbering(), set[str]()
    found: list[Into] = []
    for run in runs:
        names = Names(numbering.declare(run.id, writer.prefixes))
        found.append(Into(writer, names, numbering, published))
    for run in runs:
        for inner in nested.get(run.id, []):
            for one in inner.every():
                numbering.declare(one.run.id, writer.prefixes)
    return found


class WorkflowDocument:
    """Writes one run's records, and those of the runs inside it.

    nest is ``flatten``, ``bundle`` or ``link``; progress is told the number of tasks done now
    and then. into: where the records go, by default to a document of their own.
    """

    def __init__(
        self,
        run: Run,
        read_child: ChildReader,
        nest: str = "flatten",
        extra_children: dict[tuple[str, int], list[ChildAttached]] | None = None,
        progress: Progress = _unheard,
        nested: Iterable[Nested] = (),
        into: Into | None = None,
    ) -> None:
        nested = list(nested)
        if into is None:
            (into,) = documents([run], {run.id: nested} if nest == "flatten" else {})
        self._run = run
        self._nest = nest
        self._writer = into.writer
        self._names = into.names
        self._files = Files(self._writer, run, into.names, into.published, into.around)
        if into.around is not None:
            into.around.settle(self._files.parts)
        self._nested: dict[int, list[Nested]] = {}
        for inner in nested:
            self._nested.setdefault(id(inner.around), []).append(inner)
        children = bool(extra_children or self._nested)
        children = children or any(attempt.children for attempt in run.attempts())
        self._handover = Handover(self._writer, run, self._files, into.names, children, into.outer)
        start = run.start
        self._nesting = Nesting(
            *(self._writer, nest, start.directory, start.person, self._handover),
            *(into.names, into.numbering),
        )
        self._inner = Inner(run, nest, into, self._handover, self._write_nested)
        self._usage = Usage(self._writer, run, into.names, self._files, self._handover)
        self._read_child = read_child
        self._extra = extra_children or {}
        self._progress = progress
        self._statuses = run.statuses()
        self._plan = Plan(self._writer, run, self._names)
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
        for nested in self._nested.get(id(None), ()):
            self._inner.put(nested, self._names.workflow_run, self._agent(), {}, {})
        self._handover.tie()
        return self._writer

    def _write_nested(self, nested: Nested, nest: str, into: Into) -> None:
        WorkflowDocument(
            *(nested.run, nested.read_child, nest, nested.extra_children, self._progress),
            *(nested.nested, into),
        ).build()

    def _agent(self) -> str:
        """Who answers for what attempts start."""
        return self._names.person if self._run.start.person else self._names.engine

    # -- who and what -----------------------------------------------------------

    def _agents(self, start: RunStarted) -> None:
        writer = self._writer
        # Of several associations of an activity prov reads those back from RDF that have a plan
        # or an attribute, or else all: where one has a plan, all have.
        plan = f'"prov:plan":"{self._names.workflow}"'
        plugins = {s.name: s for s in start.software or () if s.kind == "plugin"}
        for index, agent in enumerate([start.engine, *plugins.values()]):
            identifier = (
                self._names.engine if index == 0 else self._names.local("plugin_" + agent.name)
            )
            label = f"{agent.name} {agent.version}" if agent.version else agent.name
            head = {"prov:label": label, "prov:type": Type.SOFTWARE_AGENT}
            writer.element("agent", identifier, attributes(head | attrs.software(agent)))
            writer.relation("wasAssociatedWith", self._names.workflow_run, identifier, plan)
        person = start.person
        if person is not None:
            who = {
                "prov:label": person.name or person.login or person.orcid or "unknown person",
                "prov:type": Type.PERSON,
                "yprov4wms:login": person.login,
                "yprov4wms:name": person.name,
                "yprov4wms:orcid": attrs.orcid(person),
            }
            writer.element("agent", self._names.person, attributes(who))
            writer.relation("wasAssociatedWith", self._names.workflow_run, self._names.person, plan)
            writer.relation("actedOnBehalfOf", self._names.engine, self._names.person)

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
        writer.element(
            "activity", self._names.workflow_run, attributes(activity) + attrs.figures(intensity)
        )
        for file in start.files or ():
            if file.type is not FileType.MISSING:
                role = f'"prov:role":{string(file.role)}' if file.role else ""
                entity = self._files.write_outside(file)
                writer.relation("used", self._names.workflow_run, entity, role)
                self._handover.at_start(file, entity)
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
            entity = self._files.made(self._names.attempt(maker), place) if maker else None
            if maker is None:
                found = self._files.outside(replace(self._files.resolved(file), path=place))
                entity = found if self._files.is_outside(found) else None
            if file.origin is not None or entity is None:
                moved = self._files.made(self._names.workflow_run, file.path)
                for made in self._files.write_made(self._names.workflow_run, file, known):
                    roles.setdefault(made, {})
                if file.secondary_of is not None:
                    primary = self._files.made(self._names.workflow_run, file.secondary_of)
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
            self._writer.relation(
                "wasGeneratedBy", entity, self._names.workflow_run, as_role(names)
            )

    def _environment(self, start: RunStarted) -> None:
        packages = {s.name: s.version for s in start.software or () if s.kind != "plugin"}
        if not packages:
            return
        identifier = f"{self._names.prefix}:environment"
        values = {
            "prov:label": "software environment",
            "prov:type": Type.ENVIRONMENT,
            **attrs.keyed("version", packages),
        }
        self._writer.element("entity", identifier, attributes(values))
        self._writer.relation(
            "used", self._names.workflow_run, identifier, '"prov:role":"environment"'
        )

    # -- what happened ----------------------------------------------------------

    def _task_plan(self, task: Task, not_run: TaskNotRun | None) -> None:
        """A task that never ran, or did not then, is a plan with a status, not an activity."""
        identifier = self._names.task_plan(task)
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
            around = self._names.attempt(container.attempts[-1])
            self._writer.relation("wasInfluencedBy", identifier, around, part_of)
        for file in (not_run.outputs if not_run else None) or ():
            if file.type is not FileType.MISSING:
                self._writer.relation("hadMember", identifier, self._files.write_outside(file))
        for upstream in dict.fromkeys(task.depends_on):
            other = self._run.tasks.get(upstream)
            if other is not None:
                self._writer.relation("wasInfluencedBy", identifier, self._node(other), DEPENDS_ON)

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

    def _node(self, task: Task, moment: str | None = None) -> str:
        """What stands for a task: its last attempt, or the plan of one that never ran.

        moment: of several attempts, those count that began before.
        """
        if not task.attempts:
            return self._names.task_plan(task)
        if moment is None or len(task.attempts) == 1:
            return self._names.attempt(task.attempts[-1])
        began = (a for a in reversed(task.attempts) if began_before(a, moment))
        return self._names.attempt(next(began, task.attempts[0]))

    def _attempts(self, task: Task) -> None:
        previous: str | None = None
        for attempt in task.attempts:
            identifier = self._names.attempt(attempt)
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
            uses = self._usage.uses(identifier, task, attempt, start, times[1])
            inner = self._within(attempt, identifier, outputs, uses)
            if outputs:
                self._usage.generations(identifier, attempt, outputs, times[1], inner, uses)
                self._usage.updates(identifier, start, outputs, uses)
            previous = identifier

    def _within(
        self, attempt: Attempt, identifier: str, outputs: list[File] | None, uses: Versions
    ) -> set[str]:
        """Write the child runs of an attempt; returns the versions that they made."""
        children = attempt.child_runs + self._extra.get((attempt.task, attempt.key), [])
        nested = self._nested.get(id(attempt), [])
        inner: set[str] = set()
        if not children and not nested:
            return inner
        agent = self._agent()
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
        # The last one left what is there.
        for run in sorted(nested, key=lambda one: one.run.times()[0] or "", reverse=True):
            made = self._inner.put(run, identifier, agent, uses, makes)
            inner |= made if self._nest == "flatten" else set()
            makes = {p: v for p, v in makes.items() if v[0] not in made}
        # What a run inside the attempt tells of as well is that run's.
        known = {child for run in nested for child in run.children()}
        for child in {c.child: c for c in children if c.child not in known}.values():
            content = self._content(child)
            made = self._nesting.child(child, content, attempt, identifier, agent, uses, makes)
            inner |= made
            # What one child made, the next one cannot make again.
            makes = {p: v for p, v in makes.items() if v[0] not in made}
        return inner

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
        writer.relation(
            "wasAssociatedWith", identifier, self._names.engine, f'"prov:plan":"{step}"'
        )
        container = self._run.container(task)
        writer.relation(
            "wasInformedBy",
            identifier,
            self._names.attempt(container.attempts[-1]) if container else self._names.workflow_run,
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
                writer.relation(section, identifier, self._node(other, finished), DEPENDS_ON)


def _failures(run: Run) -> str | None:
    lines = [f"{failure.where}: {failure.error}" for failure in run.failures[:10]]
    return "\n".join(lines) or None
