"""Steps of a workflow that is running: which tasks each has, and what these depend on."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cwltool.process import shortname
from cwltool.utils import aslist
from cwltool.workflow_job import WorkflowJob

from yprov4wms import events
from yprov4wms.events import Status
from yprov_cwl_runner import plan

if TYPE_CHECKING:
    from yprov_cwl_runner.tasks import Node

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


class Step:
    """A step of a workflow that is running: which tasks it has, as they become known."""

    def __init__(
        self, scope: Node, job_step: Any, job: WorkflowJob | None, owners: dict[str, str]
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
        #: Of a nested scatter that is done, its elements by the first number.
        self._rows: dict[int, list[Index]] = {}
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
                self._made(callback)
            return made(order, callback, context)

        self._job_step.job = job

    def path_for(self, callback: object) -> str:
        """The path of the task that a call of the step's `job` with this callback is for."""
        index, iteration = element_index(callback)
        return self.path_of(index if iteration is None else (iteration,))

    def gathered(self, out: Mapping[str, Any], status: str) -> None:
        """All of it is done; elements that were never made were skipped."""
        if not self.many:
            if status == "skipped":
                self.skip_all(self.when())
        elif self.loops:
            if not self._known:
                self.skip_all(self.when())
        else:
            every = self._elements(out)
            if every is not None and not every:
                self.skip_all("scatter over an empty array")
            self._skip([i for i in every or () if i not in self._known])
            if self.depth() > 1:
                for place in every or ():
                    self._rows.setdefault(place[0], []).append(place)
        self._scattered = None
        self._known.clear()

    def left(self) -> None:
        """The workflow ended before all of it was done: tell of elements that were skipped."""
        scattered = self._scattered
        if scattered is not None and self.depth() == 1:
            done = getattr(scattered, "_completed", ())
            self._skip([(i,) for i in sorted(done) if (i,) not in self._known])

    def _made(self, callback: object) -> None:
        index, iteration = element_index(callback)
        place = index if iteration is None else (iteration,)
        if place is None:
            return
        self._known.add(place)
        self._scattered = getattr(getattr(callback, "func", None), "__self__", None)
        self._scope.session.emit(self.element(place, index, iteration))

    def element(
        self, place: Index, index: Index | None, iteration: int | None
    ) -> events.TaskPlanned:
        path = self.path_of(place)
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

    def skip_all(self, reason: str) -> None:
        not_run = events.TaskNotRun(task=self.id, status=Status.SKIPPED, reason=reason)
        self._scope.session.emit(not_run)

    def _skip(self, elements: list[Index]) -> None:
        for place in elements:
            planned = self.element(place, place, None)
            not_run = events.TaskNotRun(
                task=planned.task, status=Status.SKIPPED, reason=self.when()
            )
            self._scope.session.emit(planned, not_run)

    def when(self) -> str:
        return f"when: {self._tool.get('when')}"

    def depth(self) -> int:
        """How many numbers it takes to tell an element."""
        nested = self._tool.get("scatterMethod") == "nested_crossproduct"
        return len(self.scatter) if nested else 1

    def path_of(self, place: Index | None) -> str:
        return self.path if place is None else f"{self.path}[{','.join(map(str, place))}]"

    def _elements(self, out: Mapping[str, Any]) -> list[Index] | None:
        """Every element, skipped ones too, by the arrays that they were gathered in."""
        for value in out.values():
            found: list[tuple[Index, Any]] = [((), value)]
            for _ in range(self.depth()):
                found = [((*at, i), item) for at, items in found for i, item in enumerate(items)]
            return [at for at, _ in found]
        return None

    # -- dependencies -----------------------------------------------------------

    def _depends_on(self, index: Index | None, iteration: int | None) -> list[str]:
        found: dict[str, None] = {}
        for port in self._tool["inputs"]:
            for source, element in self._taken(port, index):
                before = self._scope.steps.get(self._owners.get(source, ""))
                if before is not None:
                    found |= dict.fromkeys(before.tasks(element))
                elif source in self._owners:
                    # Not known yet: the plan of a step that comes before it in the document.
                    name = shortname(self._owners[source])
                    found[task_id(plan.joined(self._scope.path, name))] = None
        if iteration:
            found[task_id(self.path_of((iteration - 1,)))] = None
        return list(found)

    def tasks(self, element: int | None) -> list[str]:
        """Its tasks; of a scatter those alone whose output this element of its output is."""
        if not self.scatter or element is None:
            return [self.id]
        if self.depth() == 1:
            return [task_id(self.path_of((element,)))]
        if not self._rows:
            return [self.id]
        return [task_id(self.path_of(place)) for place in self._rows.get(element, ())]

    def _taken(self, port: Mapping[str, Any], index: Index | None) -> list[tuple[str, int | None]]:
        """The sources of what a port gets at ``index``, and which element of each; None: all."""
        sources = [str(source) for source in aslist(port.get("source") or [])]
        every: list[tuple[str, int | None]] = [(source, None) for source in sources]
        place = None if port.get("pickValue") else self._place(port, index)
        merge = port.get("linkMerge") or ("merge_nested" if len(sources) > 1 else None)
        if place is None:
            return every
        if merge is None:
            return [(source, place) for source in sources]
        if merge == "merge_nested":
            return every[place : place + 1]
        for source in sources:
            length = self._length(source)
            if length is None:
                return every
            if place < length:
                single = not isinstance(self._value(source), list)
                return [(source, None if single else place)]
            place -= length
        return every

    def _place(self, port: Mapping[str, Any], index: Index | None) -> int | None:
        """Which element of the array at a port the element at ``index`` takes."""
        if index is None or port["id"] not in self.scatter:
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
        if self._lengths is None and self._job is not None:
            ports = {port["id"]: port for port in self._tool["inputs"]}
            found = []
            for name in self.scatter:
                sources = aslist(ports[name].get("source") or [])
                length = self._length(str(sources[0])) if len(sources) == 1 else None
                if not length or ports[name].get("linkMerge"):
                    return None
                found.append(length)
            self._lengths = found
        return self._lengths

    def _length(self, source: str) -> int | None:
        """How many elements a source gives to an array; None where it is not known."""
        if self._job is None or self._job.state.get(source) is None:
            return None
        value = self._value(source)
        return len(value) if isinstance(value, list) else 1

    def _value(self, source: str) -> Any:
        state = self._job.state.get(source) if self._job is not None else None
        return state.value if state is not None else None
