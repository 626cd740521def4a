"""``yprov4wms attach``: a child run is put to a task by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.yprov4wms.cli.test_bad_input import FIRST, SECOND, error, make_run, yprov4wms
from tests.yprov4wms.ml.readers.runs import PIDS, write

from yprov4wms import events
from yprov4wms.prov.rules import check


@pytest.fixture
def work(tmp_path: Path) -> Path:
    make_run(tmp_path / ".yprov", FIRST)
    retried = (
        events.TaskEnded(task="a-1", attempt=1, status=events.Status.FAILED),
        events.TaskStarted(task="a-1", attempt=2),
        events.TaskPlanned(task="b-1", step="a", label="b"),
        events.TaskPlanned(task="c-1", step="a", label="twice"),
        events.TaskPlanned(task="c-2", step="a", label="twice"),
    )
    make_run(tmp_path / ".yprov", SECOND, *retried, ended=False)
    write(tmp_path)
    return tmp_path


def exported(work: Path, run: str) -> dict[str, Any]:
    content = (work / ".yprov" / run / "prov.json").read_bytes()
    assert check(content) == []
    found: dict[str, Any] = json.loads(content)
    return found


def files(work: Path) -> set[Path]:
    return set((work / ".yprov").rglob("*"))


def test_a_run_is_attached_and_the_document_rebuilt(work: Path) -> None:
    assert yprov4wms(work, "export", FIRST).returncode == 0
    done = yprov4wms(work, "attach", FIRST, "a-1", "prov/exp_0")
    assert done.returncode == 0, done
    assert done.stdout.decode().startswith(f"attached: yprov4ml run {PIDS[0]} to a-1\n")
    assert f"urn:uuid:{PIDS[0]}#" in exported(work, FIRST)["prefix"].values()
    shown = yprov4wms(work, "show", FIRST).stdout.decode()
    assert "lr=0.1" in shown


def test_without_a_document_none_is_built(work: Path) -> None:
    assert yprov4wms(work, "attach", FIRST, "a-1", "prov/exp_0").returncode == 0
    assert not (work / ".yprov" / FIRST / "prov.json").exists()


def test_what_is_attached_again_changes_nothing(work: Path) -> None:
    assert yprov4wms(work, "export", FIRST).returncode == 0
    yprov4wms(work, "attach", FIRST, "a-1", "prov/exp_0")
    before, there = exported(work, FIRST), files(work)
    again = yprov4wms(work, "attach", FIRST, "[bold]a[/bold]", "prov/exp_0/prov_exp_GR0_0.json")
    assert again.stdout.decode().startswith("attached already: yprov4ml run")
    assert (again.returncode, files(work)) == (0, there)
    yprov4wms(work, "export", FIRST)
    assert exported(work, FIRST) == before


def test_the_last_attempt_is_meant_if_none_is_named(work: Path) -> None:
    assert yprov4wms(work, "attach", SECOND, "a-1", "prov/exp_0").returncode == 0
    write(work, name="other", run=1)
    done = yprov4wms(work, "attach", SECOND, "a-1", "prov/other_1", "--attempt", "1")
    assert done.returncode == 0
    yprov4wms(work, "export", SECOND)
    nested = {
        record["prov:informant"]
        for record in exported(work, SECOND)["wasInformedBy"].values()
        if record.get("yprov4wms:link") == "nested"
    }
    assert nested == {"run:task_a-1.1", "run:task_a-1.2"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((FIRST, "none", "prov/exp_0"), "no task 'none' in run"),
        ((SECOND, "twice", "prov/exp_0"), "'twice' names 2 tasks: give an id of c-1, c-2"),
        ((SECOND, "b", "prov/exp_0"), "task 'b' never ran"),
        ((FIRST, "a-1", "prov/exp_0", "--attempt", "3"), "no attempt 3 (there is: 1)"),
        ((FIRST, "a-1", "nowhere"), "nowhere: No such file"),
        ((FIRST, "a-1", ".yprov"), ".yprov: no child run of any known kind"),
        ((FIRST, "a-1", f".yprov/{FIRST}"), "the record of a workflow's run"),
        (("0777", "a-1", "prov/exp_0"), "no run '0777'"),
        ((FIRST, "a-1"), "Missing argument"),
    ],
)
def test_what_cannot_be_is_one_line_and_changes_nothing(
    work: Path, arguments: tuple[str, ...], said: str
) -> None:
    there = files(work)
    assert said in error(yprov4wms(work, "attach", *arguments))
    assert files(work) == there
