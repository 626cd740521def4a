"""``yprov4wms schema``: the JSON Schema of the documents."""

from __future__ import annotations

from importlib.resources import files

import click

from yprov4wms.prov.schema import NAME
from yprov4wms.store import write_atomically


@click.command(
    "schema",
    epilog="""\b
Examples:
  yprov4wms schema -o document.schema.json
  check-jsonschema --schemafile document.schema.json prov.json
""",
)
@click.option("-o", "--output", metavar="FILE", help="Default: standard output.")
def command(output: str | None) -> None:
    """Print the JSON Schema (draft 2020-12) of the documents.

    What a schema cannot say, `yprov4wms validate` checks.
    """
    content = files("yprov4wms.prov").joinpath(NAME).read_bytes()
    if output is None or output == "-":
        click.echo(content, nl=False)
    else:
        write_atomically(output, lambda file: file.write(content))
        click.echo(output)
