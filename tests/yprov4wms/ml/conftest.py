"""What the tests of ML runs share: a clean process, scripts that really run, strict reading."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

import yprov4wms
from yprov4wms import events
from yprov4wms.ml import metrics, recorder

SOURCE = str(Path(yprov4wms.__file__).parents[1])
_decode = msgspec.json.Decoder(events.AnyEvent).decode


@pytest.fixture(autouse=True)
def clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty working directory, no settings but ``export=never``, and no run left open."""
    for name in [name for name in os.environ if name.startswith("YPROV_")]:
        monkeypatch.delenv(name)
    # The document has tests of its own, and costs an import.
    monkeypatch.setenv("YPROV_EXPORT", "never")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    yield
    run = recorder._Process.run
    if run is not None and run.active:
        run.end()


class Point(NamedTuple):
    """time: seconds since the epoch."""

    step: int | None
    value: float
    time: float


Script = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def command(tmp_path: Path) -> Callable[[str], list[str]]:
    """The command line of a script that starts with ``from yprov4wms import ml``."""

    def write(code: str) -> list[str]:
        path = tmp_path / "script.py"
        head = f"import os, sys, time\nsys.path.insert(0, {SOURCE!r})\nfrom yprov4wms import ml\n"
        path.write_text(head + textwrap.dedent(code))
        return [sys.executable, str(path)]

    return write


@pytest.fixture
def script(command: Callable[[str], list[str]]) -> Script:
    """Run code in a process of its own; the store is ``.yprov`` in the working directory."""

    def run(code: str, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
        line = command(code)
        return subprocess.run(
            [line[0], *options, *line[1:]],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


class Record:
    """What lies in the folder of one ML run, every line of it decoded strictly.

    torn: lines that a full disk cut.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.events: list[Any] = []
        self.torn: list[bytes] = []
        for path in sorted((folder / "events").iterdir()):
            for line in path.read_bytes().splitlines(keepends=True):
                if line.endswith(b"}\n"):
                    self.events.append(decoded(line))
                elif line.endswith(b"\n"):
                    self.torn.append(line)

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def start(self) -> events.MLRunStarted:
        return self.of(events.MLRunStarted)[0]

    @property
    def end(self) -> events.MLRunEnded | None:
        ends = self.of(events.MLRunEnded)
        assert len(ends) <= 1
        return ends[0] if ends else None

    def series(self, name: str, context: str | None = None) -> list[Point]:
        (found,) = metrics.read(self.folder, name, **({"context": context} if context else {}))
        column = found.column
        return [
            Point(None if step == metrics.NO_STEP else step, value, moment / 1e6)
            for step, value, moment in zip(column.steps, column.values, column.times, strict=True)
        ]

    def values(self, name: str, context: str | None = None) -> list[float]:
        return [point.value for point in self.series(name, context)]


def decoded(line: bytes) -> Any:
    """The event of a line; fails if any of its content is not in the event."""
    event = _decode(line)
    kept = msgspec.to_builtins(event)
    raw = json.loads(line)
    del raw["h"]  # the journal's own: `yprov4wms.chain`
    for key, value in raw.items():
        if key in kept:
            assert kept[key] == value
        else:  # a default, which is not written back
            assert key in event.__struct_fields__
            assert getattr(event, key) == value
    return event


@pytest.fixture
def records(tmp_path: Path) -> Callable[..., list[Record]]:
    """The runs of a store, oldest first."""

    def read(store: Path | None = None) -> list[Record]:
        folder = tmp_path / ".yprov" if store is None else store
        if not folder.is_dir():
            return []
        found = [Record(path) for path in folder.iterdir() if (path / "events").is_dir()]
        return sorted(found, key=lambda run: run.start.time)

    return read


@pytest.fixture
def record(records: Callable[..., list[Record]]) -> Callable[..., Record]:
    """The only run of a store; lines in it may be ``torn`` if so told."""

    def read(store: Path | None = None, *, torn: bool = False) -> Record:
        (found,) = records(store)
        assert torn or not found.torn
        return found

    return read
