"""A run with one child run, the two services, and the command."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.yprov4wms.export.test_document import run_with_child
from tests.yprov4wms.push.services import ADA, YProv, YProvStore, serving

from yprov4wms.cli import main
from yprov4wms.store import RunFolder


class Done(NamedTuple):
    """identifiers: of the documents, in the order in which they were told of."""

    code: int
    out: str
    err: str

    @property
    def identifiers(self) -> list[str]:
        return [line.split()[0] for line in self.out.splitlines()]


Push = Callable[..., Done]


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return run_with_child(tmp_path / ".yprov")


@pytest.fixture
def yprov() -> Iterator[YProv]:
    service = YProv()
    with serving(service):
        yield service


@pytest.fixture
def store() -> Iterator[YProvStore]:
    service = YProvStore()
    with serving(service):
        yield service


@pytest.fixture
def push(
    tmp_path: Path,
    folder: RunFolder,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Push:
    """Runs the command in this process, as Ada where the environment says nothing else."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("yprov4wms.push.http._WAIT", 0.05)
    for name in ("YPROV_PASSWORD", "YPROV_URL", "YPROV_NEST", "YPROV_STORE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("YPROV_TOKEN", ADA)

    def run(*arguments: str) -> Done:
        return in_process(monkeypatch, capfd, *arguments)

    return run


def in_process(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], *arguments: str
) -> Done:
    """What the command would do in a process of its own."""
    monkeypatch.setattr(sys, "argv", ["yprov4wms", "push", *arguments])
    capfd.readouterr()
    with pytest.raises(SystemExit) as ended:
        main()
    assert isinstance(ended.value.code, int)
    return Done(ended.value.code, *capfd.readouterr())
