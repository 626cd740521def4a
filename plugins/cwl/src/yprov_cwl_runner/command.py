"""``yprov-cwl-runner``: cwltool's own command line, with the run recorded."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cwltool.context
import cwltool.main
from cwltool import job as job_module
from cwltool.argparser import arg_parser
from cwltool.context import RuntimeContext
from cwltool.executors import JobExecutor, MultithreadedJobExecutor, SingleJobExecutor
from cwltool.process import Process
from cwltool.workflow import default_make_tool

from yprov4wms import settings
from yprov4wms.metering import module_proxy
from yprov_cwl_runner import options
from yprov_cwl_runner.session import Session, tell
from yprov_cwl_runner.tools import make_tool, under


def main() -> None:
    """The command; exits with cwltool's status, or 2 where our own options are wrong."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run cwltool with these arguments and record what it executes; returns its exit status."""
    if "--yprov-help" in arguments:
        print(options.help_text())
        return 0
    try:
        own, rest = options.split(arguments, arg_parser())
        chosen = settings.load(own)
    except (options.UsageError, settings.SettingError) as error:
        tell(f"yprov-cwl-runner: {error}")
        return 2
    if "--help" in rest or "-h" in rest:
        tell("yprov-cwl-runner has options of its own: yprov-cwl-runner --yprov-help")
    session = Session(chosen, [sys.argv[0], *arguments])
    # cwltool prints its program's name with its version, and that on stdout.
    sys.argv[0] = str(Path(sys.argv[0]).with_name("cwltool"))
    contexts: Any = cwltool.context
    jobs: Any = job_module
    contexts.default_make_tool = functools.partial(make_tool, session)
    jobs.subprocess = module_proxy(subprocess)
    status = 1
    try:
        status = cwltool.main.run(rest, executor=_Executor(session, rest))
    except BaseException as error:
        session.raised(error)
        raise
    finally:
        contexts.default_make_tool = default_make_tool
        jobs.subprocess = subprocess
        session.finish()
    return 1 if chosen.strict and session.failures and status == 0 else status


class _Executor:
    """What cwltool calls to execute a process: its own executor, told of before and after."""

    def __init__(self, session: Session, arguments: list[str]) -> None:
        self._session = session
        self._arguments = arguments

    def __call__(
        self, process: Process, job_order: Any, context: RuntimeContext, *more: Any, **named: Any
    ) -> tuple[Mapping[str, Any] | None, str]:
        executor = self._executor(context)
        if context.validate_only:
            return executor(process, job_order, context, *more, **named)
        session = self._session
        session.begin(process, job_order, context, type(executor).__name__)
        if not session.recording:
            return executor(process, job_order, context, *more, **named)
        run_jobs = executor.run_jobs

        def recorded(*arguments: Any, **names: Any) -> None:
            try:
                run_jobs(*arguments, **names)
            finally:
                session.drain()

        executor.run_jobs = recorded  # type: ignore[method-assign]
        try:
            outputs, status = executor(
                process, job_order, under(session.root, context), *more, **named
            )
        except BaseException as error:
            session.raised(error)
            raise
        session.ended(status, outputs)
        return outputs, status

    def _executor(self, context: RuntimeContext) -> JobExecutor:
        """As `cwltool.main.main` chooses it where none is given."""
        added = [part for part in os.environ.get("CWLTOOL_OPTIONS", "").split(" ") if part]
        given = arg_parser().parse_args(added + self._arguments)
        if not given.parallel:
            return SingleJobExecutor()
        executor = MultithreadedJobExecutor(max_parallel=given.parallel_max)
        context.select_resources = executor.select_resources
        return executor
