"""Tasks: each time that a step's process is run, alone, as a scatter element or in a loop."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cwltool.process import Process
from cwltool.workflow_job import WorkflowJob, WorkflowJobStep

from yprov4wms import events
from yprov4wms.events import File, FileType, Status
from yprov4wms.plain import text
from yprov4wms.recorder import now
from yprov_cwl_runner import plan, values
from yprov_cwl_runner.steps import Step, task_id

if TYPE_CHECKING:
    from yprov4wms.metering import TaskMeter
    from yprov_cwl_runner.containers import ContainerWatch
    from yprov_cwl_runner.session import Session


class Node:
    """A task, or (with an empty path) the run itself; a workflow's steps are run under one.

    path: names of the steps around it and its own, with their indices. step: without them.
    """

    def __init__(self, session: Session, path: str, step: str, parent: Node | None) -> None:
        self.session = session
        #: Its number, where the engine tries a task more than once.
        self.attempt = 1
        self.path = path
        self.step = step
        self.parent = parent
        self.id = task_id(path) if path else None
        self.steps: dict[str, Step] = {}
        self.meter: TaskMeter | None = None
        self.exit_code: int | None = None
        self.error: str | None = None
        #: No step is around it.
        self.alone = False
        self.cached = False
        #: Where a process that does not see the store leaves its ML runs.
        self.spool: str | None = None
        #: Where its process works, and nothing else; cwltool deletes it when the run is over.
        self.directory: str | None = None
        #: When it was told of first.
        self.began: str | None = None
        #: It may change what it is given (InplaceUpdateRequirement).
        self.in_place = False
        #: Whether its child runs were taken in.
        self.collected = False
        #: Under docker or podman, who looks at its container's processes.
        self.container: ContainerWatch | None = None
        self.facts: dict[str, Any] = {}
        self._outputs: Mapping[str, Any] | None = None
        self._inputs: dict[str, File] = {}
        #: Where they lie by cwltool's word, and the path that is recorded for that.
        self._places: dict[str, str] = {}
        self._started = False
        self._ended = False

    # -- as a workflow ----------------------------------------------------------

    def opened(self, job: WorkflowJob) -> None:
        """A workflow is to run under this node: tell of all that it means to run."""
        with self.session.guard("recording the plan of a workflow", self):
            owners = plan.owners(job.workflow)
            place = {step.id: n for n, step in enumerate(plan.in_order(job.workflow))}
            for job_step in sorted(job.steps, key=lambda step: place.get(step.id, 0)):
                self.steps[job_step.id] = Step(self, job_step, job, owners)
            self.session.emit(*[step.planned() for step in self.steps.values()])
            for step in self.steps.values():
                step.watch()
            received = job.receive_output

            def receive(
                job_step: WorkflowJobStep, ports: Any, final: Any, out: Any, status: str
            ) -> None:
                with self.session.guard("recording the end of a step", self):
                    # cwltool tells of an empty scatter more than once.
                    step = self.steps.get(job_step.id)
                    if step is not None:
                        step.gathered(out, status)
                received(job_step, ports, final, out, status)

            job.receive_output = receive  # type: ignore[method-assign, assignment]

    def task_of(self, step: str, callback: object) -> Node | None:
        """The task for which cwltool calls a step's ``job`` with this callback."""
        found = self.steps.get(step)
        if found is None:
            return None
        return Node(self.session, found.path_for(callback), found.step, self)

    def closed(self) -> None:
        """The workflow under this node is over."""
        with self.session.guard("recording the end of a workflow", self):
            for step in self.steps.values():
                step.left()
        self.steps.clear()

    # -- as a task --------------------------------------------------------------

    def started(
        self, inputs: Mapping[str, Any], command: list[str] | None = None, **more: Any
    ) -> None:
        """Its process is about to run, or its workflow's first step."""
        if self.id is None or self._started:
            return
        self._started = True
        self.began = now()
        with self.session.guard("recording the start of a task", self):
            session = self.session
            session.live[self.id] = self
            found: list[File] = []
            for port, value in inputs.items():
                found += values.files(port, value, self._input_file)
            self._inputs = {file.path: file for file in found}
            session.emit(
                events.TaskStarted(
                    task=self.id,
                    attempt=self.attempt,
                    inputs=found or None,
                    command=shlex.join(map(str, command)) if command else None,
                    parameters=values.parameters(inputs) or None,
                    host=session.host,
                    spool=self.spool,
                    directory=self.directory,
                    alone=self.directory is not None,
                    **more,
                )
            )

    def received(self, outputs: Mapping[str, Any] | None, status: str) -> None:
        """What its process gave back; the step around it may still find fault with that."""
        self._outputs = outputs
        if self.alone:
            self.ended(status)

    def ended(self, status: str) -> None:
        """It is done, as cwltool says: ``success``, ``permanentFail``, ``temporaryFail``."""
        if status in ("success", "skipped"):
            self._end(Status.CACHED if self.cached else Status.COMPLETED, None)
        else:
            error = self.error or self.session.last_error()
            self._end(Status.FAILED, error or f"{self._exit()}: {status}")

    def _exit(self) -> str:
        if self.exit_code is None:
            return "it failed"
        if self.exit_code < 0:
            return f"killed by signal {-self.exit_code}"
        return f"exit code {self.exit_code}"

    def failed(self, error: BaseException) -> None:
        """An exception ended it."""
        told = text(str(error) or type(error).__name__)
        if isinstance(error, SystemExit):  # by cwltool's handler of SIGTERM, with its number
            self._end(Status.CANCELLED, f"{self.session.engine} was stopped by signal {told}")
        elif isinstance(error, KeyboardInterrupt):
            self._end(Status.CANCELLED, told)
        else:
            self._end(Status.FAILED, told)

    def lost(self, status: Status, error: str | None) -> None:
        """The run is over, and nothing was heard of its end."""
        self._end(status, self.error or error)

    def _end(self, status: Status, error: str | None) -> None:
        if self.id is None or self._ended:
            return
        self.started({})
        self._ended = True
        session = self.session
        session.live.pop(self.id, None)
        with session.guard("recording the end of a task", self):
            outputs: list[File] = []
            with session.guard("describing outputs", self):
                for port, value in (self._outputs or {}).items():
                    outputs += values.files(port, value, self._output_file)
                outputs = [file for file in outputs if not self._is_input(file)]
                outputs += self._changed() if self.in_place else []
            session.taken_in(self, outputs)
            meter, code = self.meter, self.exit_code
            code = meter.exit_code if code is None and meter is not None else code
            processes = meter.processes if meter is not None else []
            session.emit(
                events.TaskEnded(
                    task=self.id,
                    attempt=self.attempt,
                    status=status,
                    began=processes[0].started if processes else None,
                    finished=processes[-1].ended if processes else None,
                    exit_code=code,
                    signal=-code if code is not None and code < 0 else None,
                    error=text(error) if error else None,
                    outputs=outputs or None,
                    results=values.parameters(self._results()) or None,
                    processes=processes or None,
                    usage=session.figures(self) or None,
                    host=session.host,
                    attributes=self.facts or None,
                )
            )
            session.flush()

    def _input_file(self, where: str) -> File:
        assert self.id is not None
        found = self.session.input_file(self.id, where)
        self._places[where] = found.path
        return found

    def _output_file(self, where: str) -> File:
        assert self.id is not None
        found = self.session.output_file(self.id, where)
        found.temporary = self.session.removes_intermediate and found.type in (
            FileType.FILE,
            FileType.DIRECTORY,
        )
        return found

    def _is_input(self, file: File) -> bool:
        """Whether it only passed through: the same version of a file as it was given."""
        given = self._inputs.get(file.path)
        return given is not None and (given.size, given.mtime_ns) == (file.size, file.mtime_ns)

    def _changed(self) -> list[File]:
        """Inputs that are others now than they were."""
        assert self.id is not None
        found = []
        for path in self._inputs:
            if not path.startswith("_:"):
                file = self.session.output_file(self.id, path)
                file.role = events.UPDATE
                found.append(file)
        return [file for file in found if not self._is_input(file)]

    def _results(self) -> dict[str, Any]:
        """Outputs that are no files; and where an input that passed through lies."""
        found = {}
        for port, value in (self._outputs or {}).items():
            places = [values.place(file) for file in values.file_objects(value)]
            if places and values.is_only_files(value) and all(p in self._places for p in places):
                known = [self._places[place] for place in places]
                found[port] = known[0] if len(known) == 1 else known
            else:
                found[port] = value
        return found


def tool_node(root: Node, process: Process) -> Node:
    """The task of a tool that is run without a workflow."""
    name = plan.process_name(process)
    node = Node(root.session, name, name, root)
    assert node.id is not None
    node.alone = True
    root.session.emit(events.TaskPlanned(task=node.id, step=name, label=name))
    return node
