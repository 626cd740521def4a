"""``yprov4wms import``: a run that was made without us, from what its engine left behind."""

from __future__ import annotations

from collections.abc import Callable
from importlib import metadata
from typing import TypeAlias, cast

import click

from yprov4wms.cli import options
from yprov4wms.export import document
from yprov4wms.settings import load
from yprov4wms.store import RunFolder, Store

#: Entry points: by engine a function (directory, store, warn) that returns the run's id; or a
#: `click.Command` with options of its own, ``--store`` among them, that returns its RunFolder.
#: Each raises ValueError, with what is wrong and where, and then has left nothing behind.
GROUP = "yprov4wms.importers"
Importer: TypeAlias = Callable[[str, str, Callable[[str], None]], str]


def warn(line: str) -> None:
    """Tell of something that an importer goes on without."""
    click.echo(f"yprov4wms: warning: {line}", err=True)


class Importers(click.Group):
    """The importers that are installed; none is loaded before it is asked for."""

    def list_commands(self, context: click.Context) -> list[str]:
        return sorted({entry.name for entry in metadata.entry_points(group=GROUP)})

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        for entry in metadata.entry_points(group=GROUP, name=name):
            found = entry.load()
            return found if isinstance(found, click.Command) else _of_folder(name, found)
        return None

    def resolve_command(
        self, context: click.Context, arguments: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name, *rest = arguments
        found = self.get_command(context, name)
        if found is None:
            known = ", ".join(self.list_commands(context)) or "none is installed"
            raise click.UsageError(f"no importer for {name!r} (there is: {known})", context)
        return name, found, rest

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        entries = sorted(metadata.entry_points(group=GROUP), key=lambda entry: entry.name)
        rows = [(e.name, f"{e.dist.name} {e.dist.version}" if e.dist else "") for e in entries]
        with formatter.section("Engines (see also: yprov4wms import ENGINE --help)"):
            formatter.write_dl(rows or [("none", "install the plugin of an engine")])


def _of_folder(engine: str, importer: Importer) -> click.Command:
    @click.command(
        engine,
        help=f"""Record a run of {engine} that was made without us in DIR, the working directory
        by default.

        What the engine's own record does not hold stays unknown. Files are read as they are
        now; one that was changed since has no checksum.""",
    )
    @click.argument("directory", default=".", metavar="[DIR]")
    @options.store
    def command(directory: str, store: str) -> RunFolder:
        return Store(store).run(importer(directory, store, warn))

    return command


@click.command(
    "import",
    cls=Importers,
    invoke_without_command=True,
    subcommand_metavar="ENGINE [DIR] ...",
    epilog="""\b
Examples:
  yprov4wms import snakemake
  yprov4wms import snakemake ~/project --store results/.yprov
  yprov4wms import airflow --dag train --run manual__2026-01-31T12:00:00+00:00
""",
)
@options.store
@click.pass_context
def command(context: click.Context, store: str) -> None:
    """Record a run of ENGINE that was made without us.

    What the engine's own record does not hold stays unknown.
    """
    if context.invoked_subcommand is None:
        raise click.MissingParameter(ctx=context, param_hint="'ENGINE'", param_type="argument")
    # What is given in front of the engine holds where it is not given behind.
    engines = cast(Importers, context.command).list_commands(context)
    context.default_map = {name: {"store": store} for name in engines}


@command.result_callback()
def export(folder: RunFolder, store: str) -> None:
    document.export(folder, nest=load().nest)
    click.echo(f"imported as run {folder.run_id}: {folder.document}")
