"""``yprov4wms export --format ro-crate``: a run as an RO-Crate, a zip file or a folder."""

from __future__ import annotations

import shutil
import sys
import tempfile
from typing import BinaryIO, cast

import click

from yprov4wms.export import document
from yprov4wms.export.rocrate import run as rocrate
from yprov4wms.export.rocrate.data import Copies
from yprov4wms.export.rocrate.sinks import Sink, check_folder, write_folder, zipped
from yprov4wms.run import Run
from yprov4wms.store import RunFolder, StoreError, write_atomically


def write(folder: RunFolder, output: str | None, options: rocrate.Options) -> list[str]:
    """Write the crate; returns what to warn of. Raises click.UsageError, StoreError, OSError."""
    if output is None:
        raise click.UsageError(
            "--format ro-crate makes a file or a folder: name it with --output (crate.zip)"
        )
    is_zip = output == "-" or output.lower().endswith(".zip")
    if not is_zip and "://" in output:
        raise click.UsageError("a crate at a URL is one file: end its name with .zip")
    if not is_zip:
        check_folder(output)
    run = document.read(folder)
    if not isinstance(run, Run):
        raise StoreError(
            f"{folder.location}: this is an ML run, not a workflow run; it makes its own crate "
            "(yprov4wms.ml, create_ro_crate)"
        )
    warnings: list[str] = []

    def fill(sink: Sink) -> None:
        warnings.extend(rocrate.write(run, folder, sink, options))

    def pack(file: BinaryIO) -> None:
        with zipped(file, rocrate.date(run)) as sink:
            fill(sink)

    if output == "-":
        with tempfile.TemporaryFile() as spool:
            pack(cast("BinaryIO", spool))
            spool.seek(0)
            shutil.copyfileobj(spool, sys.stdout.buffer)
            sys.stdout.buffer.flush()
    elif is_zip:
        write_atomically(output, pack)
    else:
        write_folder(output, fill)
    return [*warnings, *run.problems]


def options(license_: str | None, nest: str, with_data: bool, most: int | None) -> rocrate.Options:
    """As the command line gives them."""
    copies = Copies(wanted=with_data, most=Copies.most if most is None else most)
    return rocrate.Options(license_ or None, nest, copies)
