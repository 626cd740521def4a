"""``yprov4wms export``: the combined document of a run, its step graph, OpenLineage events."""

from __future__ import annotations

import io
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import BinaryIO, TypeVar

import click
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn

from yprov4wms.cli import options, style
from yprov4wms.export import document, formats, joined
from yprov4wms.export.graph import FORMATS, write_graph
from yprov4wms.export.prov_dot import DrawingError, svg
from yprov4wms.graph import Kind
from yprov4wms.prov.document import combined
from yprov4wms.prov.library import LibraryError
from yprov4wms.prov.writer import ProvJsonWriter
from yprov4wms.run import Run
from yprov4wms.settings import load
from yprov4wms.store import DOCUMENT, RunFolder, Store, StoreError, scratch, write_atomically
from yprov4wms.whole_graph import whole_graph

_T = TypeVar("_T")

PROV_JSON = "prov-json"
OPENLINEAGE = "openlineage"
SVG = "svg"
RO_CRATE = "ro-crate"


@click.command(
    "export",
    epilog="""\b
Examples:
  yprov4wms export                                  the latest run, to its place in the store
  yprov4wms export 0192f --output run.json.zst      compressed
  yprov4wms export latest --nest bundle -o -        to standard output
  yprov4wms export 0192f 0193a -o both.json         two runs, tied by their data
  yprov4wms export latest --upstream -o all.json    with the runs that made its data
  yprov4wms export latest --format mermaid -o graph.mmd
  yprov4wms export latest --format turtle -o run.ttl
  yprov4wms export latest --coarse --format prov-svg -o run.svg
  yprov4wms export latest --format openlineage -o events.jsonl
  yprov4wms export latest --format openlineage --to openlineage.yml
  yprov4wms export latest --format ro-crate --with-data -o crate.zip
""",
    help=f"""Write the provenance document of a run, and of the runs that its tasks started.

{options.RUN_HELP} A run that was killed, or that still goes on, gives the document of what is
known. Several runs become one document, in which data that one of them made and another used
are tied by their checksums. The same record always gives the same bytes.""",
)
@click.argument("runs", metavar="[RUN]...", nargs=-1)
@options.store
@click.option("-o", "--output", metavar="FILE", help="Default: prov.json in the run's folder.")
@click.option(
    "--format",
    "form",
    default=PROV_JSON,
    show_default=True,
    type=click.Choice([PROV_JSON, *formats.FORMATS, OPENLINEAGE, RO_CRATE, *FORMATS, SVG]),
    help="The document (prov-..., RDF), OpenLineage events, an RO-Crate (a folder, or with .zip "
    "one file), or the step graph (docs/formats.md).",
)
@click.option(
    "--nest",
    type=click.Choice(["flatten", "bundle", "link"]),
    help="How child runs enter the document (default: $YPROV_NEST, else flatten).",
)
@click.option(
    "--upstream",
    is_flag=True,
    help="With the runs in the store that made the data that RUN used, at any distance.",
)
@click.option(
    "--coarse",
    is_flag=True,
    help="Of the document the runs alone, each for all its tasks, with what went in and came out; "
    "of the step graph the steps.",
)
@click.option(
    "--to",
    metavar="CONFIG|env",
    help="Send the OpenLineage events as this file of openlineage-python says, or, with `env`, "
    "as that library finds its configuration itself.",
)
@click.option(
    "--namespace",
    envvar="OPENLINEAGE_NAMESPACE",
    help="Of the OpenLineage jobs (default: $OPENLINEAGE_NAMESPACE, else the engine's name).",
)
@click.option(
    "--with-data",
    is_flag=True,
    help="Copy the run's files into the RO-Crate, as far as they still are what they were.",
)
@click.option(
    "--max-data-size",
    type=options.Size(),
    help="Of all that --with-data copies, e.g. 500M (default: 1G); the rest is referred to.",
)
@click.option("--license", "license_", metavar="URL|TEXT", help="Of the RO-Crate.")
def command(
    runs: tuple[str, ...],
    store: str,
    output: str | None,
    form: str,
    nest: str | None,
    upstream: bool,
    coarse: bool,
    to: str | None,
    namespace: str | None,
    with_data: bool,
    max_data_size: int | None,
    license_: str | None,
) -> None:
    if form != RO_CRATE and (with_data or max_data_size is not None or license_):
        raise click.UsageError(
            f"--with-data, --max-data-size and --license are of crates: add --format {RO_CRATE}"
        )
    if max_data_size is not None and not with_data:
        raise click.UsageError("--max-data-size limits what is copied: add --with-data")
    if to is not None and form != OPENLINEAGE:
        raise click.UsageError(f"--to sends OpenLineage events: add --format {OPENLINEAGE}")
    if coarse and form in (OPENLINEAGE, RO_CRATE):
        raise click.UsageError("--coarse is of the document and the step graph alone")
    if output is not None and not output.strip():
        raise click.UsageError("--output is empty: name a file, or - for standard output")
    place = Store(store)
    folders = [place.find(run) for run in runs or ("latest",)]
    mode = load({"nest": nest}).nest
    if upstream or len(folders) > 1:
        _several(folders, place if upstream else None, output, form, mode, coarse)
        return
    folder = folders[0]
    if form == OPENLINEAGE:
        _lineage(folder, output, to, namespace or None)
        return
    if form == RO_CRATE:
        _crate(folder, output, mode, license_, with_data, max_data_size)
        return
    if form in formats.FORMATS or (coarse and form == PROV_JSON):
        found = document.read(folder)
        reduced = _reduced(f"{folder.run_id}/{DOCUMENT}") if coarse else None
        _document(document.build(found, folder, mode), form, output, reduced)
        _warn(found.problems)
        return
    if form != PROV_JSON:
        _graph(folder, form, output, coarse)
        return
    if output == "-":
        found = document.read(folder)
        _document(document.build(found, folder, mode), form, output)
    else:
        target = output or folder.document
        with _writing(target), _progress() as progress:
            bar = progress.add_task("tasks written: 0")
            found = document.export(
                folder,
                target,
                mode,
                lambda done: progress.update(bar, description=f"tasks written: {done}"),
            )
        click.echo(target)
    _warn(found.problems)


def _several(
    folders: list[RunFolder],
    store: Store | None,
    output: str | None,
    form: str,
    nest: str,
    coarse: bool,
) -> None:
    """store: where to look for runs upstream."""
    if form not in (PROV_JSON, *formats.FORMATS):
        raise click.UsageError(f"--format {form} is of one run: name one, without --upstream")
    if output is None:
        raise click.UsageError("say with --output where the document of several runs goes")
    roots = joined.runs(folders)
    if store is not None:
        roots = joined.upstream(roots, store)
    _document(combined(roots, nest), form, output, _reduced(None) if coarse else None)
    names = ", ".join(root.run.id for root in roots)
    count = f"{len(roots)} runs" if len(roots) > 1 else "one run"
    click.echo(f"yprov4wms: {count} in the document: {names}", err=True)
    _warn([problem for root in roots for problem in root.run.problems])


def _warn(problems: list[str]) -> None:
    for problem in problems[:20]:
        click.echo(f"yprov4wms: warning: {style.plain(problem)}", err=True)
    if len(problems) > 20:
        click.echo(f"yprov4wms: warning: {len(problems) - 20} more", err=True)


def _graph(folder: RunFolder, form: str, output: str | None, coarse: bool) -> None:
    run = document.read(folder)
    if not isinstance(run, Run):
        raise StoreError(f"{folder.location}: this is an ML run, not a workflow run")
    graph = whole_graph(document.whole(run, folder))
    if coarse:
        steps = [node for node, values in graph.nodes.items() if values["kind"] == Kind.STEP]
        graph = graph.subgraph(steps)
    if form == SVG:
        drawing = io.BytesIO()
        write_graph(graph, "dot", drawing)
        _put(output, lambda file: file.write(_converted(lambda: svg(drawing.getvalue()))))
    else:
        _put(output, lambda file: write_graph(graph, form, file))
    _warn(run.problems)


def _lineage(folder: RunFolder, output: str | None, to: str | None, namespace: str | None) -> None:
    # What only this format needs is imported with it.
    from yprov4wms.export import openlineage
    from yprov4wms.export.openlineage import send

    run = document.read(folder)
    if not isinstance(run, Run):
        raise StoreError(f"{folder.location}: this is an ML run, not a workflow run")
    events = openlineage.lineage(run, folder, namespace)
    if to is None or output is not None:
        _put(output, lambda file: openlineage.write(events, file))
    if to is not None:
        try:
            sent = send.send(events, to)
        except send.SendError as error:
            raise click.ClickException(str(error)) from error
        click.echo(f"yprov4wms: {sent} events were sent", err=True)
    if events.untimed:
        text = f"{events.untimed} events are left out: their times are not known"
        click.echo(f"yprov4wms: warning: {text}", err=True)
    _warn(run.problems)


def _crate(
    folder: RunFolder,
    output: str | None,
    nest: str,
    license_: str | None,
    with_data: bool,
    most: int | None,
) -> None:
    # What only this format needs is imported with it.
    from yprov4wms.cli import crate

    with _writing(output or ""):
        warnings = crate.write(folder, output, crate.options(license_, nest, with_data, most))
    if output != "-":
        click.echo(output)
    _warn(warnings)


def _document(
    writer: ProvJsonWriter,
    form: str,
    output: str | None,
    reduced: Callable[[bytes], bytes] | None = None,
) -> None:
    if form == PROV_JSON and reduced is None:
        _put(output, writer.write_to)
        return
    spool = io.BytesIO()
    writer.write_to(spool)
    content = spool.getvalue()
    if reduced is not None:
        content = reduced(content)
    if form == PROV_JSON:
        _put(output, lambda file: file.write(content))
    else:
        _put(output, lambda file: _converted(lambda: formats.write(content, form, file)))


def _reduced(source: str | None) -> Callable[[bytes], bytes]:
    # What only this view needs is imported with it.
    from yprov4wms.export import coarse

    return partial(coarse.view, source=source)


def _converted(convert: Callable[[], _T]) -> _T:
    """What a format cannot do is one line, and not about the place that is written to."""
    try:
        return convert()
    except (LibraryError, DrawingError, ValueError) as error:
        raise click.ClickException(str(error)) from error


def _put(output: str | None, write: Callable[[BinaryIO], object]) -> None:
    """To a file, compressed as its name says, or to standard output."""
    if output is None or output == "-":
        with scratch() as spool:
            write(spool)
            spool.seek(0)
            shutil.copyfileobj(spool, sys.stdout.buffer)
            sys.stdout.buffer.flush()
    else:
        with _writing(output):
            write_atomically(output, lambda file: document.compressed(file, output, write))
        click.echo(output)


@contextmanager
def _writing(target: str) -> Iterator[None]:
    """Say what cannot be written and what to do."""
    try:
        yield
    except OSError as error:
        # What cannot be read, of a run, names a file of it; a full disk names none.
        place = error.filename
        if place is not None and os.path.realpath(target).startswith(os.path.realpath(place)):
            place = None
        if place is not None:
            raise
        reason = error.strerror or str(error)
        raise click.ClickException(
            f"cannot write {target}: {reason}; give another place with --output"
        ) from error


def _progress() -> Progress:
    console = Console(stderr=True)
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
