"""``yprov4wms runs``: what is in a store."""

from __future__ import annotations

import click
from rich import box
from rich.table import Table
from rich.text import Text

from yprov4wms.cli import options, style
from yprov4wms.replay import replay
from yprov4wms.run import MLRun, Run
from yprov4wms.store import Store, StoreError

INSIDE = "\u21b3 "


@click.command(
    "runs",
    epilog="""\b
Examples:
  yprov4wms runs
  yprov4wms runs --store s3://bucket/provenance
""",
)
@options.store
def command(store: str) -> None:
    """List the runs in a store, oldest first."""
    found = Store(store)
    names = found.runs()
    console = style.console()
    if not names:
        console.print(f"no runs in {found.location}", markup=False)
        return
    table = Table(box=box.SIMPLE_HEAD, caption_justify="left")
    table.add_column("run", no_wrap=True, min_width=36)
    for column in ("started", "status", "workflow", "engine"):
        table.add_column(column)
    table.add_column("tasks", justify="right")
    table.add_column("failed", justify="right")
    inside = False
    for name in style.progress(names, "reading runs"):
        try:
            run = replay(found.run(name))
        except (StoreError, OSError) as error:
            table.add_row(name, "", Text("damaged", "red"), Text(style.plain(str(error))))
            continue
        is_inside = isinstance(run, Run) and run.start.parent is not None
        inside |= is_inside
        table.add_row(name, *_cells(run, is_inside))
    if inside:
        table.caption = f"{INSIDE}was started by a task of another run (yprov4wms show tells which)"
    console.print(table)


def _cells(run: Run | MLRun, is_inside: bool) -> list[str | Text]:
    status = style.status(run.status)
    if isinstance(run, MLRun):
        started = style.local_time(run.start.time)
        return [started, status, Text(style.plain(run.start.experiment)), "ML run", "", ""]
    started = style.local_time(run.times()[0] or run.start.time)
    statuses = run.statuses().values()
    failed = sum(1 for one in statuses if one == "failed")
    engine = run.start.engine.name
    tasks, failures = str(len(run.tasks)), str(failed or "")
    return [
        started,
        status,
        Text((INSIDE if is_inside else "") + style.plain(run.start.workflow)),
        Text(style.plain(engine)),
        tasks,
        failures,
    ]
