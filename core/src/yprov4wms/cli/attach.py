"""``yprov4wms attach``: put a child run to a task of a recorded run, by hand."""

from __future__ import annotations

import hashlib
import os

import click

from yprov4wms.cli import options, style
from yprov4wms.events import ChildAttached
from yprov4wms.export import document
from yprov4wms.ml import discover, readers
from yprov4wms.recorder import Recorder
from yprov4wms.replay import replay_workflow
from yprov4wms.run import Attempt, Run, Task
from yprov4wms.settings import load
from yprov4wms.store import RunFolder, Store


@click.command(
    "attach",
    epilog="""\b
Examples:
  yprov4wms attach latest train prov/digits_0
  yprov4wms attach 0192f train --attempt 1 prov/digits_0/prov_digits_GR0_0.json
  yprov4wms attach latest train mlflow.db
""",
    help="""Attach a child run to a task of RUN.

RUN is the id of a run, a part of it that no other has, its folder, or `latest`. TASK is the
label or the id of a task, as `yprov4wms show` prints them. PATH is the folder or the document
of a child run: of yProv4ML, of yprov4wms.ml, or any PROV-JSON document; or an MLflow store
(`mlruns`, a database) with all its runs, or the folder of one of them. Runs that say that they
are another task's are left out. What is attached already stays as it is.""",
)
@click.argument("run")
@click.argument("task")
@click.argument("path")
@options.store
@click.option("--attempt", type=int, metavar="N", help="Which attempt, from 1 (default: the last).")
def command(run: str, task: str, path: str, store: str, attempt: int | None) -> None:
    folder = Store(store).find(run)
    found = replay_workflow(folder)
    chosen = _attempt(_task(found, task), attempt)
    directory = found.start.directory
    try:
        runs = readers.read(path, directory)
    except readers.ReadError as error:
        raise click.ClickException(f"{path}: {error}") from error
    if not runs:
        raise click.ClickException(f"{path}: no child run lies there")
    owner = (folder.run_id, chosen.task, str(chosen.key))
    others = [child for child in runs if child.owner not in (None, owner)]
    if len(others) == len(runs):
        raise click.ClickException(f"{path}: every child run there is another task's")
    runs = [child for child in runs if child not in others]
    new = [child for child in runs if not _is_attached(child, chosen)]
    if new:
        _attach(folder, found, chosen, new)
    for child in runs:
        told = "attached" if child in new else "attached already"
        click.echo(style.plain(f"{told}: {child.dialect} run {child.id} to {task}"))
        for line in child.repaired if child in new else ():
            click.echo(style.plain(f"  {line}"))
    if others:
        click.echo(style.plain(f"left out: {len(others)} of other tasks"))


def _task(run: Run, name: str) -> Task:
    """By id or, where but one has it, by label."""
    if name in run.tasks:
        return run.tasks[name]
    found = [task for task in run.tasks.values() if task.name == name]
    if not found:
        raise click.ClickException(f"no task {name!r} in run {run.id} (see: yprov4wms show --all)")
    if len(found) > 1:
        ids = ", ".join(task.id for task in found[:5]) + (", ..." if len(found) > 5 else "")
        raise click.ClickException(f"{name!r} names {len(found)} tasks: give an id of {ids}")
    return found[0]


def _attempt(task: Task, number: int | None) -> Attempt:
    if task.last is None:
        raise click.ClickException(f"task {task.name!r} never ran: nothing can be attached to it")
    if number is None:
        return task.last
    for attempt in task.attempts:
        if attempt.number == number:
            return attempt
    there = ", ".join(str(attempt.number) for attempt in task.attempts)
    raise click.ClickException(f"task {task.name!r} has no attempt {number} (there is: {there})")


def _is_attached(child: readers.ChildRun, attempt: Attempt) -> bool:
    """As it is now, and for sure."""
    digest = hashlib.sha256(child.content).hexdigest()
    known: dict[str, ChildAttached] = {one.child: one for one in attempt.child_runs}
    last = known.get(child.id)
    return last is not None and last.doubt is None and last.document.sha256 == digest


def _attach(
    folder: RunFolder, run: Run, attempt: Attempt, children: list[readers.ChildRun]
) -> None:
    """All of them, or an OSError and none: the events come after what they name."""
    settings = load({"store": folder.location.rpartition("/")[0]})
    lost: list[str] = []
    recorder = Recorder(settings, run.start.directory or os.curdir, lost.append, folder.run_id)
    try:
        if recorder.recording:
            told = [
                discover.attached(
                    folder, child, attempt.task, attempt.key, run.start.directory, None
                )
                for child in children
            ]
            recorder.emit(*told)
            recorder.drain()
    finally:
        recorder.close()
    if lost:
        raise click.ClickException(lost[0].removeprefix("yprov: "))
    if folder.remote or os.path.exists(folder.document):  # noqa: PTH110
        document.export(folder, nest=load().nest)
