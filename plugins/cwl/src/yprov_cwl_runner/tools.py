"""cwltool's process classes, each telling of what it does. None of them changes what is done:
without a node in the runtime context they are cwltool's own."""

from __future__ import annotations

import functools
import signal
import time
from collections.abc import Generator, Iterator, Mapping
from typing import Any

from cwltool.command_line_tool import CallbackJob, CommandLineTool, ExpressionJob, ExpressionTool
from cwltool.context import LoadingContext, RuntimeContext
from cwltool.job import ContainerCommandLineJob, JobBase
from cwltool.process import Process
from cwltool.workflow import Workflow, WorkflowStep, default_make_tool
from cwltool.workflow_job import WorkflowJob

from yprov4wms.events import Software
from yprov4wms.metering import TaskMeter
from yprov_cwl_runner import plan
from yprov_cwl_runner.containers import IN_TREE, ContainerWatch, engine_of
from yprov_cwl_runner.session import Session
from yprov_cwl_runner.tasks import Node, tool_node

_NODE = "yprov_node"


def node_of(context: RuntimeContext) -> Node | None:
    """The node under which a process runs; None where nothing is recorded."""
    return getattr(context, _NODE, None)


def under(node: Node, context: RuntimeContext) -> RuntimeContext:
    """A copy of the context, for what is to run under ``node``."""
    context = context.copy()
    setattr(context, _NODE, node)
    return context


def make_tool(session: Session, document: Any, context: LoadingContext) -> Process:
    """As `cwltool.workflow.default_make_tool`, with the classes of this module."""
    session.loading = session.loading or context
    kind = document.get("class") if isinstance(document, Mapping) else None
    made = _CLASSES.get(str(kind))
    return made(document, context) if made else default_make_tool(document, context)


class RecordedWorkflow(Workflow):
    def make_workflow_step(self, *arguments: Any, **named: Any) -> WorkflowStep:
        return RecordedStep(*arguments, **named)

    def job(
        self,
        job_order: Any,
        output_callbacks: Any,
        runtimeContext: RuntimeContext,
    ) -> Any:
        node = node_of(runtimeContext)
        if node is None:
            yield from super().job(job_order, output_callbacks, runtimeContext)
            return
        node.started(job_order)

        def done(out: Any, status: str) -> None:
            node.closed()
            if node.id is None:
                node.session.outputs_made(out)
            node.received(out, status)
            output_callbacks(out, status)

        for job in super().job(job_order, done, runtimeContext):
            if isinstance(job, WorkflowJob) and job.workflow is self:
                node.opened(job)
            yield job


class RecordedStep(WorkflowStep):
    def job(
        self,
        job_order: Any,
        output_callbacks: Any,
        runtimeContext: RuntimeContext,
    ) -> Any:
        scope = node_of(runtimeContext)
        node = scope.task_of(self.id, output_callbacks) if scope is not None else None
        if node is None:
            yield from super().job(job_order, output_callbacks, runtimeContext)
            return

        def done(out: Any, status: str) -> None:
            node.ended(status)
            output_callbacks(out, status)

        try:
            yield from super().job(job_order, done, under(node, runtimeContext))
        except Exception as error:
            node.failed(error)
            raise


def receiving(node: Node, callback: Any) -> Any:
    """The callback of a tool's job: what the tool gave back is the node's first."""

    def received(out: Any, status: str) -> None:
        if node.alone:
            node.session.outputs_made(out)
        node.received(out, status)
        if callback is not None:
            callback(out, status)

    return received


def _task_node(context: RuntimeContext, tool: Process) -> Node | None:
    node = node_of(context)
    if node is not None and node.id is None:
        return tool_node(node, tool)
    return node


class RecordedExpressionTool(ExpressionTool):
    def job(
        self,
        job_order: Any,
        output_callbacks: Any,
        runtimeContext: RuntimeContext,
    ) -> Generator[ExpressionJob, None, None]:
        node = _task_node(runtimeContext, self)
        if node is None:
            yield from super().job(job_order, output_callbacks, runtimeContext)
            return
        made = super().job(job_order, receiving(node, output_callbacks), runtimeContext)
        yield from expression_jobs(node, made)


class RecordedCommandLineTool(CommandLineTool):
    def make_job_runner(self, runtimeContext: RuntimeContext) -> type[JobBase]:
        return observed(super().make_job_runner(runtimeContext))

    def job(
        self,
        job_order: Any,
        output_callbacks: Any,
        runtimeContext: RuntimeContext,
    ) -> Generator[JobBase | CallbackJob, None, None]:
        node = _task_node(runtimeContext, self)
        if node is None:
            yield from super().job(job_order, output_callbacks, runtimeContext)
            return
        made = super().job(job_order, receiving(node, output_callbacks), runtimeContext)
        yield from command_jobs(node, self, made, runtimeContext)


def expression_jobs(node: Node, jobs: Iterator[ExpressionJob]) -> Iterator[ExpressionJob]:
    """The jobs that an ExpressionTool makes, each to tell of its run as ``node``."""
    for job in _guarded(node, jobs):
        _watch_run(job, node, functools.partial(_inputs, job, "builder"), False)
        yield job


def command_jobs(
    node: Node, tool: Process, jobs: Iterator[Any], context: RuntimeContext
) -> Iterator[Any]:
    """The jobs that a CommandLineTool makes, each to tell of its run as ``node``; of classes
    that `observed` has made."""
    for job in _guarded(node, jobs):
        if isinstance(job, CallbackJob):
            _watch_run(job, node, functools.partial(_inputs, job, "cachebuilder"), True)
        elif isinstance(job, _Observed):
            with node.session.guard("preparing a task", node):
                job.observe(node, tool, context)
        yield job


def _inputs(job: Any, builder: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = getattr(job, builder).job
    return found


def _guarded(node: Node, jobs: Iterator[Any]) -> Iterator[Any]:
    """The jobs; where there is none to be had, because of the inputs, the task has failed."""
    try:
        yield from jobs
    except Exception as error:
        node.failed(error)
        raise


def _watch_run(job: Any, node: Node, inputs: Any, cached: bool) -> None:
    """Tell of the run of a job that starts no process."""
    run = job.run

    def watched(*arguments: Any, **named: Any) -> None:
        node.cached = cached
        node.facts["process"] = False
        node.started(inputs())
        node.session.last_error()
        try:
            run(*arguments, **named)
        except BaseException as error:
            node.failed(error)
            raise

    job.run = watched


class _Observed(JobBase):
    """In front of the class that cwltool chose for a job: local, or of a container engine."""

    _node: Node | None = None
    _tool: Process
    _engine: str | None = None
    _began = 0.0

    def observe(self, node: Node, tool: Process, context: RuntimeContext) -> None:
        """Prepare to tell of the job as ``node``; it does not run yet."""
        self._node, self._tool = node, tool
        inside: str | None = None
        if isinstance(self, ContainerCommandLineJob):
            self._engine = engine_of(self, context)
            # A container sees its temporary folder, and not the store.
            inside = f"{self.environment['TMPDIR']}/yprov"
            node.spool = f"{self.tmpdir}/yprov"
        self.environment.update(node.session.variables(node, inside))
        collect: Any = self.collect_outputs

        def collected(outdir: str, code: int, *arguments: Any, **named: Any) -> Any:
            node.exit_code = code
            limit = self.timelimit
            if limit and code == -signal.SIGTERM and time.monotonic() - self._began >= limit:
                node.error = f"stopped at its time limit of {limit} s"
            try:
                return collect(outdir, code, *arguments, **named)
            except Exception as error:
                node.error = str(error)
                raise

        self.collect_outputs = collected

    def run(self, runtimeContext: RuntimeContext, *more: Any, **named: Any) -> None:
        node = self._node
        if node is None:
            super().run(runtimeContext, *more, **named)  # type: ignore[safe-super]
            return
        node.session.last_error()
        try:
            super().run(runtimeContext, *more, **named)  # type: ignore[safe-super]
        except BaseException as error:
            self._tell_start([])
            node.failed(error)
            raise

    def _execute(
        self,
        runtime: list[str],
        env: Any,
        runtimeContext: RuntimeContext,
        monitor_function: Any = None,
        *more: Any,
        **named: Any,
    ) -> None:
        node = self._node
        if node is None:
            super()._execute(runtime, env, runtimeContext, monitor_function, *more, **named)
            return
        self._tell_start(runtime)
        self._began = time.monotonic()
        meter = node.meter = node.session.meter()
        if self._engine is not None:
            if self._engine not in IN_TREE:
                node.container = ContainerWatch(runtime, node.session.sample_interval)
            monitor_function = functools.partial(_monitored, node, monitor_function)
        with meter.attached():
            super()._execute(runtime, env, runtimeContext, monitor_function, *more, **named)

    def _tell_start(self, runtime: list[str]) -> None:
        node, tool = self._node, self._tool
        assert node is not None
        with node.session.guard("describing a task", node):
            resources = dict(self.builder.resources)
            about = {
                "stdin": self.stdin,
                "stdout": self.stdout,
                "stderr": self.stderr,
                "time_limit_s": self.timelimit,
                "mpi_processes": self.mpi_procs,
                "env": self._declared_environment(tool),
            }
            node.facts["container_engine"] = self._engine
            node.in_place = self.inplace_update
            node.directory = self.outdir
            cores = resources.get("cores")
            node.started(
                self.joborder,
                self.command_line,
                threads=int(cores) if isinstance(cores, int | float) else None,
                resources=resources,
                software=[*plan.packages(tool), *self._image(runtime)] or None,
                attributes={key: value for key, value in about.items() if value} or None,
            )

    def _image(self, runtime: list[str]) -> list[Software]:
        """The container's image, which ends what stands in front of the command."""
        if self._engine is None or not runtime:
            return []
        assert self._node is not None
        return [self._node.session.image(self._engine, runtime[-1])]

    def _declared_environment(self, tool: Process) -> dict[str, str]:
        """The variables of EnvVarRequirement, as the job gets them."""
        required: Any = tool.get_requirement("EnvVarRequirement")[0] or {}
        names = [str(item["envName"]) for item in required.get("envDef") or ()]
        return {name: self.environment[name] for name in names if name in self.environment}


def _monitored(node: Node, monitor: Any, client: Any) -> None:
    """What cwltool does while a container's client runs; what it starts is not the task's."""
    with node.session.guard("watching a container", node):
        if node.container is not None:
            node.container.start(client)
    if monitor is not None:
        with TaskMeter(sample_interval=0).attached():
            monitor(client)


@functools.cache
def observed(job: type[JobBase]) -> type[JobBase]:
    """The class that cwltool chose for a job, with us in front of it."""
    return type(job.__name__, (_Observed, job), {})


_CLASSES: dict[str, type[Process]] = {
    "Workflow": RecordedWorkflow,
    "CommandLineTool": RecordedCommandLineTool,
    "ExpressionTool": RecordedExpressionTool,
}
