"""``yprov4wms verify``: is the record what it was, and are the files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn

from yprov4wms.cli import options, style
from yprov4wms.store import CHECKSUMS, RunFolder, Store

SHOWN = 20


@click.command(
    "verify",
    epilog="""\b
Examples:
  yprov4wms verify                                the latest run
  yprov4wms verify 0192f --no-files               its record alone
  yprov4wms verify run.json.gz --directory here   the files of a document, in a tree that has moved
  yprov4wms verify 0192f --seal 9f86d08...        is it the record that I noted the seal of

\b
Exit status: 0 all is the same, 1 something differs, 2 wrong usage.
""",
    help="""Compare files with what the record says of them, and the record with itself.

The argument is a run (its id, a part of it that no other has, its folder, or `latest`) or the
file of a document, which may be compressed.""",
)
@click.argument("run", default="latest", metavar="[RUN|DOCUMENT]")
@options.store
@click.option("--directory", metavar="DIR", help="Where the run's directory is now.")
@click.option("--no-files", is_flag=True, help="Leave the files alone.")
@click.option("--fast", is_flag=True, help="Trust checksums that the store's cache remembers.")
@click.option("--seal", metavar="SHA256", help="Of the run's manifest, as it was noted before.")
@click.option("--all", "everything", is_flag=True, help=f"List more than {SHOWN} of a kind.")
@click.option("--json", "as_json", is_flag=True, help="The whole result as JSON.")
@click.pass_context
def command(
    context: click.Context,
    run: str,
    store: str,
    directory: str | None,
    no_files: bool,
    fast: bool,
    seal: str | None,
    everything: bool,
    as_json: bool,
) -> None:
    # What only this command needs is imported with it.
    from yprov4wms.integrity.verify import verify_document, verify_run

    if directory is not None and not Path(directory).is_dir():
        raise click.UsageError(f"--directory {directory}: there is no such folder")
    moved = None if directory is None else str(Path(directory).absolute())
    with _progress(as_json) as progress:
        if Path(run).is_file():
            if no_files or fast or seal is not None:
                raise click.UsageError("--no-files, --fast and --seal are for runs")
            found = verify_document(run, moved, progress)
        else:
            place = Store(store)
            folder = place.find(run)
            cache = None if place.remote or not fast else _cache(folder)
            found = verify_run(folder, moved, not no_files, cache, seal, progress)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(found)).decode())
    else:
        for line in found.lines(None if everything else SHOWN):
            click.echo(style.plain(line))
    if not found.same:
        context.exit(1)


def _cache(folder: RunFolder) -> str:
    return f"{folder.location.rpartition('/')[0]}/{CHECKSUMS}"


@contextmanager
def _progress(quiet: bool) -> Iterator[Callable[[int], None]]:
    console = Console(stderr=True)
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        console=console,
        transient=True,
        disable=quiet or not console.is_terminal,
    ) as progress:
        bar = progress.add_task("files: 0")
        yield lambda done: progress.update(bar, description=f"files: {done}")
