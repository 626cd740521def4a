"""One run's record: opens it at cwltool's first call of the executor, closes it at its end."""

from __future__ import annotations

import functools
import gc
import logging
import os
import platform
import shlex
import shutil
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from cwltool.context import LoadingContext, RuntimeContext
from cwltool.errors import WorkflowException
from cwltool.loghandler import _logger
from cwltool.main import print_pack
from cwltool.process import Process
from cwltool.secrets import SecretStore

from yprov4wms import __version__, environment, events
from yprov4wms.events import Figure, File, Software, Status, StepDeclared
from yprov4wms.metering import TaskMeter, energy, names
from yprov4wms.plain import plain, text
from yprov4wms.recorder import Guard, Recorder
from yprov4wms.settings import DEFAULT_STORE, Settings
from yprov_cwl_runner import containers, plan, values
from yprov_cwl_runner.tasks import Node

PACKAGE = "yprov-cwl-runner"


class _LastError(logging.Handler):
    """Remembers, for each thread, the last error that cwltool logged: it keeps it to itself."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self._thread = threading.local()

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(Exception):
            self._thread.last = record.getMessage()

    def take(self) -> str | None:
        last: str | None = getattr(self._thread, "last", None)
        self._thread.last = None
        return last


class Session:
    """Records one run. It is opened when cwltool begins to execute, not before: what only
    prints or validates leaves nothing behind."""

    engine = "cwltool"

    def __init__(self, settings: Settings, arguments: list[str]) -> None:
        self.live: dict[str, Node] = {}
        self.host = platform.node()
        self.root = Node(self, "", "", None)
        self.failures = 0
        #: With what cwltool loaded the first process.
        self.loading: LoadingContext | None = None
        self._settings = settings
        self._arguments = arguments
        self._recorder: Recorder | None = None
        self._errors = _LastError()
        self._watts = energy.watts(settings.cpu_watts)
        self._secrets: Mapping[str, str] = {}
        self._masked = 0
        #: What the documents themselves hold of values that look like credentials.
        self._given: list[str] = []
        self._made: set[str] = set()
        self._images: dict[tuple[str, str], Software] = {}
        self._outcome: tuple[Status, str | None] = (
            Status.FAILED,
            f"{self.engine} did not execute it",
        )
        self._before_move: list[tuple[str, Mapping[str, Any], str]] = []
        self._outputs: list[File] = []
        self._results: dict[str, Any] = {}
        #: Whether cwltool removes in the end what its steps left, where they left it.
        self.removes_intermediate = False

    # -- the run ----------------------------------------------------------------

    @property
    def recording(self) -> bool:
        return self._recorder is not None and self._recorder.recording

    def begin(
        self, process: Process, order: Mapping[str, Any], context: RuntimeContext, executor: str
    ) -> None:
        """cwltool is about to execute ``process``. A second call goes on with the same run.

        Raises WorkflowException in strict mode if the store cannot be written.
        """
        if self._recorder is not None:
            return
        directory = str(Path.cwd())
        self.removes_intermediate = context.rm_tmpdir and not context.cachedir
        recorder = self._open(directory, None, context.secret_store)
        if self._settings.strict and not recorder.recording:
            raise WorkflowException("yprov: the store cannot be written (strict)")
        # What cwltool has loaded by now stays to the end: the collector need not walk it again
        # and again, which is most of what our events would cost.
        gc.freeze()
        steps: list[StepDeclared] = []
        with recorder.guard("reading the plan"):
            steps += plan.steps(process)
            self._given += self._credentials(process, steps)
            self._hide()
        try:
            with recorder.guard("recording the start of the run"):
                start = self._run_started(process, order, directory, executor)
                recorder.emit(start)
                recorder.announce(start)
        except BaseException:
            # Interrupted before there was anything to tell.
            self._recorder = None
            recorder.close()
            if not recorder.folder.remote:
                shutil.rmtree(recorder.folder.location, ignore_errors=True)
            raise
        recorder.emit(*steps)

    def ended(self, status: str, outputs: Mapping[str, Any] | None) -> None:
        """cwltool is done with it; its outputs are where the user finds them."""
        with self.guard("recording the outputs of the run"):
            self._outcome = (
                (Status.COMPLETED, None)
                if status == "success"
                else (Status.FAILED, f"{self.engine}'s final status is {status}")
            )
            self._results = values.parameters(outputs or {})
            self._outputs = self._moved()

    def _moved(self) -> list[File]:
        """The run's files where they are now; cwltool changes its objects in their place."""
        found: list[File] = []
        primaries: dict[int, str] = {}
        for port, value, before in self._before_move:
            file = next(values.files(port, value, self._final_file))
            file.secondary_of = primaries.get(id(value))
            for other in value.get("secondaryFiles") or ():
                primaries[id(other)] = file.path
            origin = before if before.startswith("_:") else self.described(before).path
            if origin != file.path:
                file.origin = origin
            found.append(file)
        return found

    def raised(self, error: BaseException) -> None:
        """An exception ended it."""
        if isinstance(error, KeyboardInterrupt | SystemExit):
            self._outcome = (Status.CANCELLED, type(error).__name__)
        else:
            self._outcome = (Status.FAILED, text(str(error) or type(error).__name__))

    def outputs_made(self, outputs: Mapping[str, Any] | None) -> None:
        """The run's outputs as its tasks left them; cwltool moves them next."""
        with self.guard("noting where outputs lie"):
            self._before_move = [
                (port, file, values.place(file))
                for port, value in (outputs or {}).items()
                for file in values.file_objects(value)
            ]

    def drain(self) -> None:
        """Wait for checksums of files that cwltool is about to move or delete."""
        if self._recorder is not None:
            self._recorder.drain()

    def finish(self) -> None:
        """Close the record and build the document."""
        recorder = self._recorder
        if recorder is None:
            return
        status, error = self._outcome
        left = Status.CANCELLED if status is Status.CANCELLED else Status.FAILED
        for node in list(self.live.values())[::-1]:
            node.lost(left, error)
        elsewhere = self._elsewhere()
        with recorder.guard("closing the record"):
            recorder.emit(
                events.RunEnded(
                    status=status,
                    error=error,
                    outputs=self._outputs or None,
                    results=self._results or None,
                )
            )
        recorder.drain()
        self.failures = recorder.failures + elsewhere
        if recorder.recording:
            self._document(recorder)
        recorder.close()
        self.failures = max(self.failures, recorder.failures)
        _logger.removeHandler(self._errors)

    # -- what tasks need ---------------------------------------------------------

    def guard(self, where: str, node: Node | None = None) -> Guard | suppress:
        """Whatever is raised inside is a warning, and cwltool goes on."""
        if self._recorder is None:
            return suppress(Exception)
        task = node.id if node is not None else None
        return self._recorder.guard(where, task, node.attempt if node and task else None)

    def emit(self, *batch: events.Event) -> None:
        if self._recorder is not None:
            if len(self._secrets) != self._masked:
                self._hide()
            self._recorder.emit(*batch)

    def flush(self) -> None:
        if self._recorder is not None:
            self._recorder.flush()

    def meter(self) -> TaskMeter:
        return TaskMeter(sample_interval=self._settings.sample_interval, cpu_watts=self._watts)

    @property
    def sample_interval(self) -> float:
        return self._settings.sample_interval

    def image(self, engine: str, name: str) -> Software:
        """A container's image; the engine is asked once for each."""
        found = self._images.get((engine, name))
        if found is None or found.sha256 is None:
            found = self._images[engine, name] = containers.image(engine, name)
        return found

    @staticmethod
    def figures(node: Node) -> dict[str, Figure]:
        """What a task cost. Docker's client, and podman's, do not start the container's
        processes: theirs is not what the task cost."""
        found = node.meter.figures() if node.meter is not None else {}
        if node.container is None:
            return found
        wall = {name: figure for name, figure in found.items() if name == names.WALL_TIME}
        return wall | node.container.figures()

    def input_file(self, task: str, where: str) -> File:
        """What lies at a place that a task is given; one that the run made is known already."""
        assert self._recorder is not None
        if where in self._made:
            return self._recorder.describe(where)
        return self._recorder.identified(where, None, task, 1)

    def output_file(self, task: str, where: str) -> File:
        assert self._recorder is not None
        self._made.add(where)
        return self._recorder.identified(where, None, task, 1)

    def variables(self, node: Node, inside: str | None) -> dict[str, str]:
        """What a step's process is told.

        inside: where a process that does not see the store may leave its part.
        """
        if self._recorder is None or not self._recorder.recording:
            return {}
        assert node.id is not None
        location = self._recorder.folder.location
        found = {
            "YPROV_RUN_ID": self._recorder.run_id,
            "YPROV_TASK_ID": node.id,
            "YPROV_ATTEMPT": str(node.attempt),
            "YPROV_STORE": inside or location[: location.rindex("/")],
        }
        return found | self._settings.for_processes()

    def taken_in(self, node: Node, outputs: list[File] | None = None) -> None:
        """Take in the child runs of a task, before cwltool deletes its folders."""
        recorder = self._recorder
        assert recorder is not None
        assert node.id is not None
        if node.collected:
            return
        node.collected = True
        if node.spool is not None:
            with recorder.guard("taking in child runs", node.id, node.attempt):
                recorder.folder.take_in(node.spool)
        if node.directory is None and not node.cached:
            outputs = None  # of its steps, which have told of theirs
        recorder.collect_children(
            node.id,
            node.attempt,
            outputs=outputs,
            search=node.directory is not None,
            began=node.began,
            directory=node.directory,
            alone=True,
        )

    def last_error(self) -> str | None:
        return self._errors.take()

    # -- inside -----------------------------------------------------------------

    def _open(self, directory: str, run_id: str | None, secrets: SecretStore | None) -> Recorder:
        """Begin to record; with an id, as one more writer of a run that there is."""
        self._recorder = Recorder(self._settings, directory, tell, run_id=run_id)
        self._secrets = secrets.secrets if secrets is not None else {}
        self._hide()
        _logger.addHandler(self._errors)
        return self._recorder

    def _elsewhere(self) -> int:
        """Settle what other processes left open; how many failures of ours they noted."""
        return 0

    def _hide(self) -> None:
        """Have secrets masked, and what stands for them in cwltool's own values.

        Where that fails nothing more is recorded.
        """
        assert self._recorder is not None
        self._masked = len(self._secrets)
        hidden = False
        with self._recorder.guard("hiding secrets"):
            self._recorder.mask([*self._secrets.values(), *self._secrets, *self._given])
            hidden = True
        if not hidden:
            self._recorder.close()

    def _credentials(self, process: Process, steps: list[StepDeclared]) -> list[str]:
        """Defaults and variables that look like credentials by their names: what is masked
        under a name is to be nowhere."""
        assert self._recorder is not None
        inputs, _ = plan.workflow_ports(process)
        given = [(p.name, p.default) for p in inputs or ()]
        given += [(p.name, p.default) for step in steps for p in step.inputs or ()]
        given += plan.variables(process)
        return [
            value
            for name, value in given
            if isinstance(value, str) and self._recorder.looks_secret(name, value)
        ]

    def _run_started(
        self, process: Process, order: Mapping[str, Any], directory: str, executor: str
    ) -> events.RunStarted:
        assert self._recorder is not None
        settings = self._settings
        main = _document_of(process)
        files = [self._recorder.identified(path, "workflow", "", 0) for path in _documents(process)]
        main_file = next((file for file in files if main and main.endswith(file.path)), None)
        for port, value in order.items():
            files += values.files(port, value, functools.partial(self.input_file, ""))
        inputs, outputs = plan.workflow_ports(process)
        secret = set(self._secrets.values())
        command = [("***" if part in secret else text(part)) for part in self._arguments]
        intensity = settings.carbon_intensity
        return events.RunStarted(
            engine=Software(
                name=self.engine, kind="engine", version=environment.version(self.engine)
            ),
            workflow=text(Path(main).name) if main else plan.process_name(process),
            directory=directory,
            command=command,
            main_file=main_file,
            # A document may be named by several paths that are one.
            files=list({(file.role, file.path): file for file in files}.values()) or None,
            config=values.parameters(order) or None,
            git=environment.git_state(str(Path(main).parent) if main else directory),
            host=self.host,
            platform=platform.platform(),
            pid=os.getpid(),
            person=environment.person(settings.person, settings.orcid),
            software=_software(),
            executor=executor,
            parent=environment.parent(),
            carbon_intensity=Figure(unit="gCO2e/kWh", method="given", value=intensity)
            if intensity is not None
            else None,
            inputs=inputs,
            outputs=outputs,
            packed=self._packed(process),
            attributes=_about(process),
        )

    def _packed(self, process: Process) -> File | None:
        """Keep what ``cwltool --pack`` would print; its checksum tells what was run."""
        recorder, loading = self._recorder, self.loading
        assert recorder is not None
        identifier = str(process.tool.get("id", ""))
        if loading is None or identifier.startswith("_:"):
            return None
        with recorder.guard("packing the workflow"):
            packed = recorder.hidden(print_pack(loading, identifier)) + "\n"
            digest = recorder.folder.keep(packed.encode(), ".cwl")
            size = len(packed.encode())
            return File(path=f"children/{digest}.cwl", size=size, sha256=digest)
        return None

    def described(self, where: str) -> File:
        assert self._recorder is not None
        return self._recorder.describe(where)

    def _final_file(self, where: str) -> File:
        """With its checksum, for which a file that was moved is not read again."""
        assert self._recorder is not None
        return self._recorder.checksum(where)

    def _document(self, recorder: Recorder) -> None:
        folder = recorder.folder
        told = f"recorded run {folder.run_id}"
        if self._settings.export != "never":
            with recorder.guard("building the document"):
                from yprov4wms.export.document import export

                export(folder, nest=self._settings.nest)
                failed = self.failures or recorder.failures
                kind = "incomplete provenance" if failed else "provenance"
                told = f"{kind} is in {folder.document}"
        store = folder.location.rpartition("/")[0]
        show = "yprov4wms show"
        if store != f"{Path.cwd()}/{DEFAULT_STORE}":
            show += f" --store {shlex.quote(store)}"
        told += f"; look at it: {show} {folder.run_id}"
        if not folder.remote and not Path(folder.location).is_dir():
            told = f"the record of run {folder.run_id} was removed while it was written"
        tell(f"yprov: {told}")


def tell(line: str) -> None:
    with suppress(OSError):  # whoever read stderr is gone
        print(line, file=sys.stderr)


def _document_of(process: Process) -> str | None:
    """The path of the document in which a process stands."""
    document = str(process.tool.get("id", "")).partition("#")[0]
    if not document.startswith("file://"):
        return None
    return values.place({"location": document})


def _documents(process: Process) -> list[str]:
    """Paths of all documents that were loaded for it, the main one first."""
    found = dict.fromkeys(filter(None, [_document_of(process)]))
    for step in plan.steps(process):
        if step.source and "://" not in step.source:
            found[str(Path(step.source).absolute())] = None
    return list(found)


def _about(process: Process) -> dict[str, Any] | None:
    found = {
        "class": process.tool.get("class"),
        "cwl_version": plan.cwl_version(process),
        "label": process.tool.get("label"),
        "doc": process.tool.get("doc"),
    }
    return {key: plain(value) for key, value in found.items() if value} or None


def _software() -> list[Software]:
    """Python, this plugin, and every package installed beside it."""
    packages = environment.packages()
    own = packages.pop(PACKAGE, None) or __version__
    python = Software(name="python", kind="interpreter", version=platform.python_version())
    found = [Software(name=n, kind="package", version=v) for n, v in sorted(packages.items())]
    return [Software(name=PACKAGE, kind="plugin", version=own), python, *found]
