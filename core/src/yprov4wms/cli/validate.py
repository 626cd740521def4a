"""``yprov4wms validate``: does a document keep the rules."""

from __future__ import annotations

from collections import Counter

import click

from yprov4wms.cli import style
from yprov4wms.prov.rules import RULES, check, load

SHOWN = 20


@click.command(
    "validate",
    epilog="""\b
Examples:
  yprov4wms validate .yprov/0192f.../prov.json
  yprov4wms validate run.json.zst other.json
""",
)
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--all", "everything", is_flag=True, help=f"More than {SHOWN} places per rule.")
@click.pass_context
def command(context: click.Context, files: tuple[str, ...], everything: bool) -> None:
    """Check PROV-JSON documents: every broken rule, and where.

    Documents may be compressed (gzip, zstd).
    """
    broken = False
    for file in files:
        problems = check(load(file))
        shown: Counter[str] = Counter()
        for problem in problems:
            shown[problem.rule] += 1
            if everything or shown[problem.rule] <= SHOWN:
                told = f"{file}: {problem.where}: {problem.message} [{problem.rule}]"
                click.echo(style.plain(told))
        for rule, count in shown.items():
            if count > SHOWN and not everything:
                click.echo(f"{file}: [{rule}] in {count - SHOWN} more places: {RULES[rule]}")
        click.echo(f"{file}: " + (f"{len(problems)} problems" if problems else "valid"))
        broken |= bool(problems)
    if broken:
        context.exit(1)
