"""``yprov-toil-cwl-runner``: toil-cwl-runner's own command line, with the run recorded."""

from __future__ import annotations

import argparse
import importlib
import inspect
import json
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from cwltool.errors import WorkflowException

from yprov4wms import settings
from yprov_cwl_runner import options
from yprov_cwl_runner.session import tell
from yprov_toil_cwl_runner.scope import Scope
from yprov_toil_cwl_runner.session import LeaderSession

COMMAND = "yprov-toil-cwl-runner"
#: In Toil's job store: whose record a restart goes on with.
_NOTE = "yprov.json"


def main() -> None:
    """The command; exits with Toil's status, or 2 where our own options are wrong."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run toil-cwl-runner with these arguments, recorded; returns its exit status."""
    if "--yprov-help" in arguments:
        print(options.help_text(COMMAND, "toil-cwl-runner"))
        return 0
    try:
        cwltoil: Any = importlib.import_module("toil.cwl.cwltoil")
    except ImportError as error:
        tell(f"{COMMAND}: {error}; install Toil: pip install 'yprov-cwl-runner[toil]'")
        return 2
    try:
        own, rest = options.split(arguments, _parser())
        chosen = settings.load(own)
    except (options.UsageError, settings.SettingError) as error:
        tell(f"{COMMAND}: {error}")
        return 2
    if "--help" in rest or "-h" in rest:
        tell(f"{COMMAND} has options of its own: {COMMAND} --yprov-help")
    session = LeaderSession(chosen, [sys.argv[0], *arguments])
    # Toil prints its program's name.
    sys.argv[0] = str(Path(sys.argv[0]).with_name("toil-cwl-runner"))
    _Leader(cwltoil, session).install()
    status = 1
    try:
        status = cwltoil.main(rest)
    except BaseException as error:
        session.raised(error)
        raise
    finally:
        session.finish()
    return 1 if chosen.strict and session.failures and status == 0 else status


def _parser() -> argparse.ArgumentParser:
    """Toil's, as its `get_options` makes it."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    try:
        common: Any = importlib.import_module("toil.common")
        config: Any = importlib.import_module("configargparse")
        made: argparse.ArgumentParser = config.ArgParser(allow_abbrev=False)
        common.addOptions(made, jobstore_as_flag=True, cwl=True)
    except Exception as error:
        tell(f"yprov: Toil's options are not known ({error!r})")
        return parser
    return made


class _Leader:
    """What is wrapped around Toil's functions in the command's process alone."""

    def __init__(self, cwltoil: Any, session: LeaderSession) -> None:
        self._cwltoil = cwltoil
        self._session = session

    def install(self) -> None:
        from yprov_toil_cwl_runner import hooks

        hooks.install(self._session)
        hooks.wrap(self._cwltoil, "toil_make_tool", self._make_tool)
        hooks.wrap(self._cwltoil, "makeRootJob", self._make_root)
        hooks.wrap(self._cwltoil, "toilStageFiles", self._stage)
        toil = getattr(self._cwltoil, "Toil", None)
        hooks.wrap(toil, "start", self._start, "Toil")
        hooks.wrap(toil, "restart", self._restart, "Toil")

    def _make_tool(self, original: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """With what Toil loads the first process."""
        with suppress(IndexError):
            loading = named.get("loadingContext") or arguments[-1]
            self._session.loading = self._session.loading or loading
        return original(*arguments, **named)

    def _make_root(self, original: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """All is loaded; Toil is about to import the inputs and to run."""
        session = self._session
        order: Mapping[str, Any] = {}
        try:
            given = inspect.signature(original).bind(*arguments, **named).arguments
            order, context = given["initialized_job_order"], given["runtime_context"]
            session.begin(given["tool"], order, context, str(given["options"].batchSystem))
            if session.recording:
                context.yprov = Scope(session.run)
        except WorkflowException:  # strict, and no store
            raise
        except Exception as error:
            tell(f"yprov: provenance is incomplete (beginning the record: {error!r})")
        made = original(*arguments, **named)
        if session.recording:
            with session.guard("telling workers of imported files"):
                session.imported(order)
            with session.guard("noting the run in Toil's job store"):
                _write_note(given["toil"], session.run)
        return made

    def _start(self, original: Callable[..., Any], toil: Any, *arguments: Any) -> Any:
        try:
            return original(toil, *arguments)
        except BaseException as error:
            self._raised(error)
            raise

    def _restart(self, original: Callable[..., Any], toil: Any) -> Any:
        """Go on with a run that stopped, if it was recorded, and its record."""
        try:
            with toil._jobStore.read_shared_file_stream(_NOTE) as file:
                run = json.loads(file.read())
            self._session.resume(run)
        except Exception as error:
            tell(f"yprov: not recorded (what is restarted has no record: {error!r})")
        return self._start(original, toil)

    def _stage(
        self, original: Callable[..., Any], toil: Any, outputs: Any, *more: Any, **named: Any
    ) -> Any:
        """The run is done; Toil copies its outputs to where the user wants them."""
        self._session.outputs_made(outputs)
        found = original(toil, outputs, *more, **named)
        self._session.ended("success", outputs)
        return found

    def _raised(self, error: BaseException) -> None:
        """Toil's own errors go on with the log of each job that failed."""
        if isinstance(error, Exception):
            error = RuntimeError(str(error).partition("\n")[0])
        self._session.raised(error)


def _write_note(toil: Any, run: Mapping[str, Any]) -> None:
    with toil._jobStore.write_shared_file_stream(_NOTE) as file:
        file.write(json.dumps(run).encode())
