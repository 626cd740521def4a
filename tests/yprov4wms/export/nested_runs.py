"""Stores of runs, some inside others, written event by event."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import msgspec
from tests.documents import Document
from tests.yprov4wms.written import assert_everywhere

from yprov4wms import events as e
from yprov4wms import nested
from yprov4wms.events import File, Parent, Person, Status
from yprov4wms.export import document
from yprov4wms.prov.rules import check
from yprov4wms.store import RunFolder, Store

OUTER = "0198f3a0-0000-7000-8000-00000000000a"
INNER = "0198f3a1-0000-7000-8000-00000000000b"
INMOST = "0198f3a2-0000-7000-8000-00000000000c"
OTHER = "0198f3a3-0000-7000-8000-00000000000d"


def sha(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()


def file(path: str, content: str | None = None, **more: Any) -> File:
    size = len(content) if content is not None else 7
    return File(path=path, size=size, sha256=None if content is None else sha(content), **more)


def started(directory: str = "/w", parent: Parent | None = None, **more: Any) -> e.RunStarted:
    engine = e.Software(name="snakemake", kind="engine", version="9.0")
    person = Person(login="ada")
    return e.RunStarted(
        engine=engine, workflow="wf", directory=directory, person=person, parent=parent, **more
    )


def task(
    name: str, inputs: list[File] | None = None, outputs: list[File] | None = None, **more: Any
) -> list[e.Event]:
    return [
        e.TaskStarted(task=name, attempt=1, inputs=inputs),
        e.TaskEnded(task=name, attempt=1, status=Status.COMPLETED, outputs=outputs, **more),
    ]


def write(store: Path, run: str, second: int, *told: e.Event, ended: bool = True) -> RunFolder:
    """A run whose first event is that many seconds past ten, and each next one a tenth later.

    One that has a parent leaves a note with it.
    """
    folder = store / run
    (folder / "events").mkdir(parents=True)
    events = [*told, e.RunEnded(status=Status.COMPLETED)] if ended else list(told)
    with (folder / "events" / "h-1-1.jsonl").open("wb") as journal:
        for seq, event in enumerate(events, 1):
            event.v, event.writer, event.seq, event.run = e.VERSION, "h-1-1", seq, run
            event.time = f"2026-03-01T10:00:{second:02d}.{seq:06d}+00:00"
            journal.write(msgspec.json.encode(event) + b"\n")
    found = Store(str(store)).run(run)
    first = told[0]
    if isinstance(first, e.RunStarted) and first.parent is not None:
        nested.announce(first.parent, found)
    return found


def within(store: Path, run: str, name: str) -> Parent:
    return Parent(run=run, task=name, attempt=1, store=str(store))


def exported(folder: RunFolder, nest: str = "flatten") -> Document:
    """The document, which keeps the rules."""
    run = document.export(folder, nest=nest)
    content = Path(folder.document).read_bytes()
    assert check(content) == []
    assert run.problems == []
    assert_everywhere(content)
    return Document(content)


def three_deep(store: Path) -> RunFolder:
    """The workflows a, b and c, each started by a task of the one before."""

    def begun(workflow: str, parent: Parent | None = None) -> e.RunStarted:
        event = started(parent=parent)
        event.workflow = workflow
        event.main_file = file(f"{workflow}.smk", workflow)
        return event

    def of(step: str, *files: list[File]) -> list[e.Event]:
        plan = [e.StepDeclared(step=step), e.TaskPlanned(task=step, step=step)]
        return [*plan, *task(step, *files)]

    data, model = file("data.csv", "data"), file("model.bin", "model")
    outer = write(store, OUTER, 0, begun("a"), *of("train", [data], [model]))
    inner = begun("b", within(store, OUTER, "train"))
    write(store, INNER, 1, inner, *of("fit", [data], [model]))
    write(store, INMOST, 2, begun("c", within(store, INNER, "fit")), *of("count", [data], []))
    return outer
