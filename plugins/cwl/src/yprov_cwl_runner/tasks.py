"""Tasks: each time that a step's process is run, alone, as a scatter element or in a loop."""

from __future__ import annotations

import functools
import hashlib
import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cwltool.process import Process, shortname
from cwltool.utils import aslist
from cwltool.workflow_job import WorkflowJob, WorkflowJobStep

from yprov4wms import events
from yprov4wms.events import File, Status
from yprov4wms.plain import text
from yprov_cwl_runner import plan, values

if TYPE_CHECKING:
    from yprov4wms.metering import TaskMeter
    from yprov_cwl_runner.containers import ContainerWatch
    from yprov_cwl_runner.session import Session

#: The place of an element in its scatter, one number per dimension; of a loop, the iteration.
Index = tuple[int, ...]


def task_id(path: str) -> str:
    """The same in every process: the path has the scatter indices of all steps around it."""
    return hashlib.blake2b(path.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def element_index(callback: object) -> tuple[Index | None, int | None]:
    """Which scatter element, or which loop iteration, a step's output callback is for.

    cwltool passes neither on; both are in the chain of callbacks.
    """
    index: list[int] = []
    while isinstance(callback, functools.partial):
        owner = getattr(callback.func, "__self__", None)
        name = getattr(callback.func, "__name__", "")
        if name == "receive_scatter_output":
            index.insert(0, callback.args[0])
            callback = getattr(owner, "output_callback", None)
        elif name == "loop_callback":
            return None, getattr(owner, "iteration", 0)
        else:
            break
    return tuple(index) or None, None


class Node:
    """A task, or (with an empty path) the run itself; a workflow's steps are run under one.

    path: names of the steps around it and its own, with their indices. step: without them.
    """

    def __init__(self, session: Session, path: str, step: str, parent: Node | None) -> None:
        self.session = session
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
        #: It may change what it is given (InplaceUpdateRequirement).
        self.in_place = False
        #: Under docker or podman, who looks at its container's processes.
        self.container: ContainerWatch | None = None
        self.facts: dict[str, Any] = {}
        self._outputs: Mapping[str, Any] | None = None
        self._inputs: dict[str, File] = {}
        #: Where they lie by cwltool's word, and the path that is recorded for that.
        self._places: dict[str, str] = {}
        self._began: str | None = None
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
        return found.node(callback) if found is not None else None

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
                    attempt=1,
                    inputs=found or None,
                    command=shlex.join(map(str, command)) if command else None,
                    parameters=values.parameters(inputs) or None,
                    host=session.host,
                    spool=self.spool,
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
            self._end(Status.CANCELLED, f"cwltool was stopped by signal {told}")
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
            session.taken_in(self)
            meter, code = self.meter, self.exit_code
            code = meter.exit_code if code is None and meter is not None else code
            processes = meter.processes if meter is not None else []
            session.emit(
                events.TaskEnded(
                    task=self.id,
                    attempt=1,
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
        return self.session.output_file(self.id, where)

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


class Step:
    """A step of a workflow that is running: which tasks it has, as they become known."""

    def __init__(
        self, scope: Node, job_step: WorkflowJobStep, job: WorkflowJob, owners: dict[str, str]
    ) -> None:
        name = shortname(job_step.id)
        self.path = plan.joined(scope.path, name)
        self.step = plan.joined(scope.step, name)
        self.id = task_id(self.path)
        self._tool = job_step.tool
        self.scatter: list[str] = [str(port) for port in aslist(self._tool.get("scatter") or [])]
        self.loops = bool(self._tool.get("loop"))
        self._scope = scope
        self._job_step = job_step
        self._job = job
        self._owners = owners
        #: The elements that are to run.
        self._known: set[Index] = set()
        self._scattered: Any = None
        self._lengths: list[int] | None = None

    @property
    def many(self) -> bool:
        """Whether it has as many tasks as turns out only when it runs."""
        return bool(self.scatter) or self.loops

    def planned(self) -> events.TaskPlanned:
        return events.TaskPlanned(
            task=self.id,
            step=self.step,
            label=self.path,
            depends_on=self._depends_on(None, None) or None,
            parent=self._scope.id,
            unexpanded=self.many,
        )

    def watch(self) -> None:
        """Hear of each element when cwltool makes it, before any of them runs."""
        if not self.many:
            return
        made = self._job_step.job

        def job(order: Any, callback: Any, context: Any) -> Any:
            with self._scope.session.guard("recording the plan of a task", self._scope):
                self._element(callback)
            return made(order, callback, context)

        self._job_step.job = job  # type: ignore[method-assign, assignment]

    def node(self, callback: object) -> Node:
        """The task that a call of the step's `job` is for."""
        index, iteration = element_index(callback)
        path = self._path(index if iteration is None else (iteration,))
        return Node(self._scope.session, path, self.step, self._scope)

    def gathered(self, out: Mapping[str, Any], status: str) -> None:
        """All of it is done; elements that were never made were skipped."""
        if not self.many:
            if status == "skipped":
                self._skip_all(self._when())
        elif self.loops:
            if not self._known:
                self._skip_all(self._when())
        else:
            every = self._elements(out)
            if every is not None and not every:
                self._skip_all("scatter over an empty array")
            self._skip([i for i in every or () if i not in self._known])
        self._scattered = None
        self._known.clear()

    def left(self) -> None:
        """The workflow ended before all of it was done: tell of elements that were skipped."""
        scattered = self._scattered
        if scattered is not None and self._depth() == 1:
            done = getattr(scattered, "_completed", ())
            self._skip([(i,) for i in sorted(done) if (i,) not in self._known])

    def _element(self, callback: object) -> None:
        index, iteration = element_index(callback)
        place = index if iteration is None else (iteration,)
        if place is None:
            return
        self._known.add(place)
        self._scattered = getattr(getattr(callback, "func", None), "__self__", None)
        self._scope.session.emit(self._planned(place, index, iteration))

    def _planned(
        self, place: Index, index: Index | None, iteration: int | None
    ) -> events.TaskPlanned:
        path = self._path(place)
        attributes: dict[str, Any]
        if iteration is not None:
            attributes = {"loop_iteration": iteration}
        else:
            attributes = {"scatter_index": place[0] if len(place) == 1 else list(place)}
        return events.TaskPlanned(
            task=task_id(path),
            step=self.step,
            label=path,
            depends_on=self._depends_on(index, iteration) or None,
            parent=self._scope.id,
            attributes=attributes,
        )

    def _skip_all(self, reason: str) -> None:
        not_run = events.TaskNotRun(task=self.id, status=Status.SKIPPED, reason=reason)
        self._scope.session.emit(not_run)

    def _skip(self, elements: list[Index]) -> None:
        for place in elements:
            planned = self._planned(place, place, None)
            not_run = events.TaskNotRun(
                task=planned.task, status=Status.SKIPPED, reason=self._when()
            )
            self._scope.session.emit(planned, not_run)

    def _when(self) -> str:
        return f"when: {self._tool.get('when')}"

    def _depth(self) -> int:
        """How many numbers it takes to tell an element."""
        nested = self._tool.get("scatterMethod") == "nested_crossproduct"
        return len(self.scatter) if nested else 1

    def _path(self, place: Index | None) -> str:
        return self.path if place is None else f"{self.path}[{','.join(map(str, place))}]"

    def _elements(self, out: Mapping[str, Any]) -> list[Index] | None:
        """Every element, skipped ones too, by the arrays that they were gathered in."""
        for value in out.values():
            found: list[tuple[Index, Any]] = [((), value)]
            for _ in range(self._depth()):
                found = [((*at, i), item) for at, items in found for i, item in enumerate(items)]
            return [at for at, _ in found]
        return None

    # -- dependencies -----------------------------------------------------------

    def _depends_on(self, index: Index | None, iteration: int | None) -> list[str]:
        found: dict[str, None] = {}
        for port in self._tool["inputs"]:
            sources = aslist(port.get("source") or [])
            for source in sources:
                before = self._scope.steps.get(self._owners.get(source, ""))
                if before is not None:
                    found |= dict.fromkeys(before.tasks(self._taken(port, list(sources), index)))
                elif source in self._owners:
                    # Of a step that comes later in the document.
                    name = shortname(self._owners[source])
                    found[task_id(plan.joined(self._scope.path, name))] = None
        if iteration:
            found[task_id(self._path((iteration - 1,)))] = None
        return list(found)

    def tasks(self, element: int | None) -> list[str]:
        """Its tasks; of a scatter those alone whose output this element of its output is."""
        if not self.scatter or element is None:
            return [self.id]
        if self._depth() == 1:
            return [task_id(self._path((element,)))]
        return [self.id]

    def _taken(
        self, port: Mapping[str, Any], sources: list[str], index: Index | None
    ) -> int | None:
        """Which element of the array at a port the element at ``index`` takes; None: all."""
        if index is None or port["id"] not in self.scatter or len(sources) != 1:
            return None
        if port.get("linkMerge") or port.get("pickValue"):
            return None
        position = self.scatter.index(port["id"])
        if self._tool.get("scatterMethod") == "nested_crossproduct":
            return index[position]
        if self._tool.get("scatterMethod") != "flat_crossproduct":
            return index[0]
        lengths = self._array_lengths()
        if lengths is None:
            return None
        taken = index[0]
        for length in reversed(lengths[position + 1 :]):
            taken //= length
        return taken % lengths[position]

    def _array_lengths(self) -> list[int] | None:
        """Of the arrays that are scattered over, in their order."""
        if self._lengths is None:
            ports = {port["id"]: port for port in self._tool["inputs"]}
            found = []
            for name in self.scatter:
                sources = aslist(ports[name].get("source") or [])
                state = self._job.state.get(sources[0]) if len(sources) == 1 else None
                if state is None or not isinstance(state.value, list) or not state.value:
                    return None
                found.append(len(state.value))
            self._lengths = found
        return self._lengths


def tool_node(root: Node, process: Process) -> Node:
    """The task of a tool that is run without a workflow."""
    name = plan.process_name(process)
    node = Node(root.session, name, name, root)
    assert node.id is not None
    node.alone = True
    root.session.emit(events.TaskPlanned(task=node.id, step=name, label=name))
    return node
