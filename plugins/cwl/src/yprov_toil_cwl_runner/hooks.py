"""What is wrapped around Toil's functions and jobs: on the leader by the command, on a worker by
the first `Scope` that is unpickled there. Toil's classes stay Toil's."""

from __future__ import annotations

import functools
import importlib
import inspect
import subprocess
from collections.abc import Callable
from typing import Any

import cwltool.job

from yprov4wms.metering import module_proxy
from yprov_cwl_runner.session import tell
from yprov_toil_cwl_runner import jobs, tasks
from yprov_toil_cwl_runner.scope import Scope
from yprov_toil_cwl_runner.session import LeaderSession, WorkerSession

cwltoil: Any = importlib.import_module("toil.cwl.cwltoil")

#: By run, of this process; None where it cannot record.
_sessions: dict[str, WorkerSession | None] = {}
_installed: list[bool] = []


def arrived(state: dict[str, Any]) -> Scope:
    """A job that is to be recorded was loaded in this process."""
    install(None)
    return Scope(**state)


def install(leader: LeaderSession | None) -> None:
    """Wrap Toil's functions, once in a process. leader: its session, where this is the leader."""
    if _installed:
        return
    _installed.append(True)
    for owner, name, wrapper in (
        ("CWLWorkflow", "run", jobs.workflow_run),
        ("CWLScatter", "run", jobs.scatter_run),
        ("CWLLoop", "run", jobs.loop_run),
        ("ResolveIndirect", "run", jobs.resolved),
        ("CWLJobWrapper", "run", jobs.wrapper_run),
        ("CWLJob", "run", tasks.job_run),
    ):
        wrap(getattr(cwltoil, owner, None), name, functools.partial(_recorded, wrapper), owner)
    wrap(cwltoil, "makeJob", _make_job)
    wrap(cwltoil, "resolve_dict_w_promises", jobs.resolve)
    wrap(cwltoil, "import_file_through_cache", functools.partial(tasks.import_file, leader))
    modules: Any = cwltool.job
    modules.subprocess = module_proxy(subprocess)


def wrap(owner: Any, name: str, wrapper: Callable[..., Any], of: str = "toil.cwl.cwltoil") -> None:
    """Have ``wrapper`` called in the place of a function, with the function in front."""
    original = getattr(owner, name, None)
    if original is None:
        tell(f"yprov: provenance is incomplete (this version of Toil has no {of}.{name})")
        return

    @functools.wraps(original)
    def wrapped(*arguments: Any, **named: Any) -> Any:
        return wrapper(original, *arguments, **named)

    setattr(owner, name, wrapped)


def _recorded(
    wrapper: Callable[..., Any], original: Callable[..., Any], job: Any, store: Any
) -> Any:
    """Run a job by its wrapper, if it is of a run that is recorded."""
    scope, session = _recording(job)
    if scope is None or session is None:
        return original(job, store)
    return wrapper(original, job, store, scope, session)


def _recording(job: Any) -> tuple[Scope | None, WorkerSession | None]:
    context = getattr(job, "runtime_context", None)
    scope = getattr(job, "yprov", None) or getattr(context, "yprov", None)
    if scope is None:
        return None, None
    run = scope.run
    secrets = getattr(context, "secret_store", None)
    try:
        if run["id"] not in _sessions:
            _sessions[run["id"]] = None
            made = WorkerSession(run, secrets)
            _sessions[run["id"]] = made if made.recording else None
        session = _sessions[run["id"]]
        if session is not None:
            session.hide(secrets)
    except Exception as error:
        tell(f"yprov: provenance is incomplete (a worker cannot record: {error})")
        return None, None
    return scope, session


def _make_job(original: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """Toil makes a job: tell it who it is."""
    scope = None
    try:
        given = inspect.signature(original).bind(*arguments, **named)
        context = given.arguments["runtime_context"]
        if getattr(context, "yprov", None) is not None:
            given.arguments["runtime_context"] = own = context.copy()
            own.yprov = None
            scope = own.yprov = jobs.child(given.arguments["tool"], context.yprov)
            arguments, named = given.args, given.kwargs
    except Exception as error:
        tell(f"yprov: provenance is incomplete (making a job: {error!r})")
    made = original(*arguments, **named)
    if scope is not None and made[1] is not made[0]:
        # The job that ends a subworkflow.
        made[1].yprov = scope
    return made
