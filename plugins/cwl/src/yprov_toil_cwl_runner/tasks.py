"""Toil's jobs that run tools: each attempt of a task, on the worker that makes it."""

from __future__ import annotations

import functools
import importlib
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from yprov4wms import events
from yprov_cwl_runner import tools
from yprov_toil_cwl_runner.scope import Scope
from yprov_toil_cwl_runner.session import LeaderSession, ToilNode, WorkerSession

cwltoil: Any = importlib.import_module("toil.cwl.cwltoil")

#: Where batch systems tell a job its number.
_BATCH_JOB = ("SLURM_JOB_ID", "JOB_ID", "LSB_JOBID", "PBS_JOBID", "AWS_BATCH_JOB_ID")
_local = threading.local()


def job_run(
    original: Callable[..., Any], job: Any, store: Any, scope: Scope, session: WorkerSession
) -> Any:
    tool, context = job.cwltool, job.runtime_context
    kind: Any = tool.__class__
    node = ToilNode(session, scope.path, scope.step, _attempt(job))
    _local.session = session
    with session.guard("preparing a task", node):
        node.facts["toil_job"] = str(job.description.jobStoreID)
        node.facts["toil_name"] = str(job.description.unitName)
        node.facts["batch_job"] = next(filter(None, map(os.environ.get, _BATCH_JOB)), None)
        if scope.alone:
            assert node.id is not None
            session.emit(events.TaskPlanned(task=node.id, step=scope.step, label=scope.path))
        made = _observed(kind)
        job.runtime_context = tools.under(node, context)
        tool.__class__ = made
    try:
        found = original(job, store)
    except BaseException as error:
        node.broke(error)
        raise
    else:
        node.ended("success")
        return found
    finally:
        job.runtime_context, tool.__class__ = context, kind
        _local.session = None
        session.stored.clear()
        session.drain()


def import_file(
    leader: LeaderSession | None, original: Callable[..., Any], *arguments: Any, **named: Any
) -> Any:
    """Toil puts a file into its store: on the leader an input, on a worker an output."""
    found = original(*arguments, **named)
    session = getattr(_local, "session", None) or leader
    if session is not None:
        with session.guard("noting what Toil stores"):
            place = named.get("file_uri") or arguments[-1]
            if found.startswith("toilfile:") and found != place:
                session.stored.setdefault(found, place)
    return found


def _attempt(job: Any) -> int:
    """Which try of the job this is; a restart gives it all its tries back."""
    with suppress(Exception):
        about = job.description
        return max(1, int(about._config.retryCount) + 1 - int(about.remainingTryCount) + 1)
    return 1


@functools.cache
def _observed(kind: Any) -> Any:
    """A tool's class while it is run. Python changes an object's class only to one that adds no
    base; so it is not one of `tools`."""

    def make_job_runner(self: Any, runtimeContext: Any) -> Any:  # noqa: N803
        return tools.observed(kind.make_job_runner(self, runtimeContext))

    def command(self: Any, job_order: Any, output_callbacks: Any, runtimeContext: Any) -> Any:  # noqa: N803
        node = tools.node_of(runtimeContext)
        assert node is not None
        callback = tools.receiving(node, output_callbacks)
        made = kind.job(self, job_order, callback, runtimeContext)
        yield from tools.command_jobs(node, self, made, runtimeContext)

    def expression(self: Any, job_order: Any, output_callbacks: Any, runtimeContext: Any) -> Any:  # noqa: N803
        node = tools.node_of(runtimeContext)
        assert node is not None
        callback = tools.receiving(node, output_callbacks)
        yield from tools.expression_jobs(node, kind.job(self, job_order, callback, runtimeContext))

    if kind is cwltoil.ToilCommandLineTool:
        return type(kind.__name__, (kind,), {"make_job_runner": make_job_runner, "job": command})
    if kind is cwltoil.ToilExpressionTool:
        return type(kind.__name__, (kind,), {"job": expression})
    return kind
