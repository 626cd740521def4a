"""The record of one run by many processes: the leader's part, and that of each worker."""

from __future__ import annotations

import atexit
import base64
import hashlib
import json
import urllib.parse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
from cwltool.context import RuntimeContext
from cwltool.process import Process
from cwltool.secrets import SecretStore

from yprov4wms import events
from yprov4wms.events import File, FileType, Status
from yprov4wms.replay import replay
from yprov4wms.run import Run
from yprov4wms.settings import Settings
from yprov4wms.store import write_atomically
from yprov_cwl_runner import session, values
from yprov_cwl_runner.tasks import Node

#: In the run's folder: what the leader tells the workers.
SHARED = "toil.json"
_FILE, _DIRECTORY = "toilfile:", "toildir:"


class _Shared(msgspec.Struct):
    """What workers cannot know by themselves.

    outside: by Toil's URI, files from outside the run. tried: by task, how often it was tried
    before the run was restarted.
    """

    outside: dict[str, File] = {}
    tried: dict[str, int] = {}


class _ToilSession(session.Session):
    """Knows files by Toil's URIs, which are their places in the record."""

    engine = "toil"

    def __init__(self, settings: Settings, arguments: list[str]) -> None:
        super().__init__(settings, arguments)
        #: By URI, where this process saw the file that was stored under it.
        self.stored: dict[str, str] = {}
        self.shared = _Shared()

    def input_file(self, task: str, where: str) -> File:
        return self._file(where, False)

    def output_file(self, task: str, where: str) -> File:
        return self._file(where, True)

    def _file(self, where: str, made: bool) -> File:
        assert self._recorder is not None
        if where in self.shared.outside:
            return msgspec.structs.replace(self.shared.outside[where])
        if where.startswith(_DIRECTORY):
            members = sorted(self._members(where), key=lambda file: file.path) if made else None
            return File(_place(where), FileType.DIRECTORY, members=members or None)
        if not where.startswith(_FILE):
            return self._recorder.checksum(where)
        found = File(_place(where), FileType.FILE, size=int(where.split(":", 3)[1]))
        local = self.stored.get(where)
        if local is not None:
            seen = self._recorder.checksum(values.place({"location": local}))
            found.sha256, found.note = seen.sha256, seen.note
        return found

    def _members(self, where: str) -> Iterator[File]:
        """What is in a directory: its URI says it."""
        head = where.removeprefix(_DIRECTORY).split("/")[0].rsplit(":", 1)[-1]

        def walk(tree: Mapping[str, Any], path: str) -> Iterator[File]:
            for name, item in tree.items():
                if isinstance(item, Mapping):
                    yield from walk(item, f"{path}{name}/")
                else:
                    yield msgspec.structs.replace(self._file(item, True), path=path + name)

        yield from walk(json.loads(base64.urlsafe_b64decode(head)), "")

    def _join(self, run: Mapping[str, Any], secrets: SecretStore | None) -> None:
        """Go on with the record of a run that another process began."""
        recorder = self._open(run["directory"], run["id"], secrets)
        with recorder.guard("reading what the leader told"):
            self.shared = msgspec.json.decode(recorder.folder.read(SHARED), type=_Shared)


class WorkerSession(_ToilSession):
    """Of a worker's process, for as long as it lives: a journal of its own."""

    def __init__(self, run: Mapping[str, Any], secrets: SecretStore | None) -> None:
        super().__init__(Settings(**run["settings"]), [])
        self._join(run, secrets)
        assert self._recorder is not None
        atexit.register(self._recorder.close)

    def hide(self, secrets: SecretStore | None) -> None:
        """Have the secrets of one more job masked."""
        if secrets is not None and len(secrets.secrets) > len(self._secrets):
            self._secrets = secrets.secrets
            self._hide()


class LeaderSession(_ToilSession):
    """Of the command's process, which begins the record and closes it."""

    def __init__(self, settings: Settings, arguments: list[str]) -> None:
        super().__init__(settings, arguments)
        self.run: dict[str, Any] = {}
        self._before_import: list[tuple[str, str]] = []

    def begin(
        self, process: Process, order: Mapping[str, Any], context: RuntimeContext, executor: str
    ) -> None:
        super().begin(process, order, context, executor)
        self._before_import = self._places(order)
        assert self._recorder is not None
        defaults = Settings._field_defaults
        chosen = {k: v for k, v in self._settings._asdict().items() if v != defaults[k]}
        chosen["store"] = self._recorder.folder.location.rpartition("/")[0]
        self.run = {
            "id": self._recorder.run_id,
            "directory": str(Path.cwd()),
            "settings": chosen,
        }

    def resume(self, run: dict[str, Any]) -> None:
        """Go on with a run that is restarted."""
        self.run = run
        self._settings = Settings(**run["settings"])
        self._join(run, None)
        assert self._recorder is not None
        before = replay(self._recorder.folder)
        assert isinstance(before, Run)
        for task in before.tasks.values():
            if task.attempts:
                self.shared.tried[task.id] = max(attempt.key for attempt in task.attempts)
        self._tell_workers()

    def imported(self, order: Mapping[str, Any]) -> None:
        """Toil has imported the inputs: tell workers what its URIs stand for."""
        assert self._recorder is not None
        found = {uri: values.place({"location": place}) for uri, place in self.stored.items()}
        after = self._places(order)
        if len(after) == len(self._before_import):
            pairs = zip(self._before_import, after, strict=True)
            found |= {uri: place for (_, place), (_, uri) in pairs if uri.startswith(_DIRECTORY)}
        self.shared.outside = {uri: self._recorder.checksum(path) for uri, path in found.items()}
        self._tell_workers()

    @staticmethod
    def _places(order: Mapping[str, Any]) -> list[tuple[str, str]]:
        return [
            (port, values.place(file))
            for port, value in order.items()
            for file in values.file_objects(value)
        ]

    def _tell_workers(self) -> None:
        assert self._recorder is not None
        content = msgspec.json.encode(self.shared)
        location = self._recorder.folder.location
        write_atomically(f"{location}/{SHARED}", lambda file: file.write(content))

    def described(self, where: str) -> File:
        if where.startswith((_FILE, _DIRECTORY)):
            return self.shared.outside.get(where) or File(_place(where))
        return super().described(where)

    def _elsewhere(self) -> int:
        """End the attempts that nothing was heard of any more; count workers' failures."""
        recorder = self._recorder
        assert recorder is not None
        if not recorder.recording:
            return 0
        with recorder.guard("reading what workers have told"):
            run = replay(recorder.folder)
            assert isinstance(run, Run)
            status, error = self._outcome
            left = Status.CANCELLED if status is Status.CANCELLED else Status.FAILED
            for attempt in run.attempts():
                if attempt.ended_line is None:
                    recorder.emit(
                        events.TaskEnded(
                            task=attempt.task,
                            attempt=attempt.key,
                            status=left,
                            error=error or "its worker was lost: nothing was heard of its end",
                        )
                    )
            return max(0, len(run.failures) - recorder.failures)
        return 0


class ToilNode(Node):
    """One attempt of a task, in the process that runs it; or a workflow."""

    def __init__(
        self, session: _ToilSession, path: str, step: str, number: int | None = None
    ) -> None:
        """number: of the attempt, since the run was restarted; a workflow goes on with its one."""
        super().__init__(session, path, step, None)
        if number is not None:
            self.attempt = number + session.shared.tried.get(self.id or "", 0)
        #: Where its process left its outputs, in their order, and then by their URIs.
        self._left: list[str] = []
        self._origins: dict[str, str] = {}

    def received(self, outputs: Mapping[str, Any] | None, status: str) -> None:
        self._outputs = outputs
        # Toil stores them next, and deletes its folders.
        left: list[File] = []
        with self.session.guard("noting where outputs lie", self):
            self._left = self._lie(outputs)
            left = [_as_left(file) for file in values.file_objects(outputs or {})]
        self.session.taken_in(self, left)

    def ended(self, status: str) -> None:
        with self.session.guard("noting where outputs lay", self):
            places = self._lie(self._outputs)
            if len(places) == len(self._left):
                self._origins = dict(zip(places, self._left, strict=True))
        super().ended(status)

    def _output_file(self, where: str) -> File:
        found = super()._output_file(where)
        origin = self._origins.get(where)
        if origin is not None and origin != where:
            found.origin = self.session.described(origin).path
        return found

    @staticmethod
    def _lie(outputs: Mapping[str, Any] | None) -> list[str]:
        return [values.place(file) for file in values.file_objects(outputs or {})]

    def gave(self, outputs: Mapping[str, Any]) -> None:
        """It is a workflow that began elsewhere, and is done."""
        self._started = True
        self._outputs = outputs
        self.ended("success")

    def broke(self, error: BaseException) -> None:
        """Toil gives up this attempt; nothing that it made is kept."""
        self._outputs = None
        # cwltool's own log has said what was wrong; the exception has the status alone.
        if str(error) in ("permanentFail", "temporaryFail"):
            self.ended(str(error))
        else:
            self.failed(error)


def _as_left(value: Mapping[str, Any]) -> File:
    """An output where the task's process left it."""
    kind = FileType.DIRECTORY if value["class"] == "Directory" else FileType.FILE
    return File(values.place(value), kind)


def _place(where: str) -> str:
    """A Toil URI as a path that is the same in all jobs, and short."""
    if where.startswith(_FILE):
        return _FILE + urllib.parse.unquote(where.split(":", 3)[3])
    head, _, rest = where.removeprefix(_DIRECTORY).partition("/")
    name = _DIRECTORY + hashlib.sha256(head.encode()).hexdigest()[:24]
    return f"{name}/{rest}" if rest else name
