"""``yprov4wms import``: a run that was made without us, from what its engine left behind."""

from __future__ import annotations

from importlib import metadata

import click

from yprov4wms.cli import options
from yprov4wms.export import document
from yprov4wms.settings import load
from yprov4wms.store import Store

#: Entry points: by engine a function (directory, store, warn) that returns the run's id.
#: It raises ValueError, with what is wrong and where, and then has left nothing behind.
GROUP = "yprov4wms.importers"


@click.command(
    "import",
    epilog="""\b
Examples:
  yprov4wms import snakemake
  yprov4wms import snakemake ~/project --store results/.yprov
""",
)
@click.argument("engine")
@click.argument("directory", default=".", metavar="[DIR]")
@options.store
def command(engine: str, directory: str, store: str) -> None:
    """Record a run of ENGINE that was made without us in DIR, the working directory by default.

    What the engine's own record does not hold stays unknown. Files are read as they are now;
    one that was changed since has no checksum.
    """
    found = {entry.name: entry for entry in metadata.entry_points(group=GROUP)}
    if engine not in found:
        known = ", ".join(sorted(found)) or "none is installed"
        raise click.UsageError(f"no importer for {engine!r} (there is: {known})")
    run_id = found[engine].load()(
        directory, store, lambda line: click.echo(f"yprov4wms: warning: {line}", err=True)
    )
    folder = Store(store).run(run_id)
    document.export(folder, nest=load().nest)
    click.echo(f"imported as run {run_id}: {folder.document}")
