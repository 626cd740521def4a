"""``yprov4wms validate``: does a document keep the rules, and the constraints of PROV."""

from __future__ import annotations

from collections import Counter

import click

from yprov4wms.cli import style
from yprov4wms.prov import constraints, rules
from yprov4wms.prov.constraints import ADVICE, CLOCK_TOLERANCE, CONSTRAINTS, Form
from yprov4wms.prov.rules import RULES, Problem

SHOWN = 20

_DIALECT, _CONSTRAINTS, _ALL = "dialect", "constraints", "all"
_TOLD = ADVICE | CONSTRAINTS | RULES


@click.command(
    "validate",
    epilog="""\b
Examples:
  yprov4wms validate .yprov/0192f.../prov.json
  yprov4wms validate run.json.zst other.json
  yprov4wms validate --rules constraints somebody-elses.provn
""",
)
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option(
    "--rules",
    "which",
    type=click.Choice([_DIALECT, _CONSTRAINTS, _ALL]),
    help="The form that documents of ours have (PROV-JSON only), W3C PROV-CONSTRAINTS, or both "
    "(default: both for PROV-JSON, the constraints for PROV-N and PROV-XML).",
)
@click.option(
    "--clock-tolerance",
    type=click.FloatRange(min=0),
    default=CLOCK_TOLERANCE,
    show_default=True,
    metavar="SECONDS",
    help="How far clocks may contradict the order of events before advice is given.",
)
@click.option("--all", "everything", is_flag=True, help=f"More than {SHOWN} places per rule.")
@click.pass_context
def command(
    context: click.Context,
    files: tuple[str, ...],
    which: str | None,
    clock_tolerance: float,
    everything: bool,
) -> None:
    """Check documents: every broken rule or constraint, and where.

    They are PROV-JSON, PROV-N or PROV-XML, and may be compressed (gzip, zstd). What is odd and
    not forbidden (clocks, files that nothing used or made, units) is told as advice, and
    leaves a document valid.
    """
    broken = False
    for file in files:
        content = rules.load(file)
        form = constraints.form_of(content)
        if which == _DIALECT and form != Form.JSON:
            raise click.UsageError(f"{file} is {form}; the rules of the dialect are PROV-JSON's")
        problems = rules.check(content) if which != _CONSTRAINTS and form == Form.JSON else []
        advice: list[Problem] = []
        of_dialect = len(problems)
        if which != _DIALECT:
            verdict = constraints.check(content, clock_tolerance)
            known = set(problems)
            problems += [problem for problem in verdict.problems if problem not in known]
            advice = verdict.advice
        _tell(file, problems, everything)
        _tell(file, advice, everything, "advice: ")
        told = f"{len(problems)} problems" if problems else "valid"
        if problems and len(problems) == of_dialect and which != _DIALECT:
            told += ", none of them of PROV-CONSTRAINTS"
        click.echo(f"{file}: {told}")
        broken |= bool(problems)
    if broken:
        context.exit(1)


def _tell(file: str, problems: list[Problem], everything: bool, kind: str = "") -> None:
    shown: Counter[str] = Counter()
    for problem in problems:
        shown[problem.rule] += 1
        if everything or shown[problem.rule] <= SHOWN:
            told = f"{file}: {problem.where}: {problem.message} [{kind}{problem.rule}]"
            click.echo(style.plain(told))
    for rule, count in shown.items():
        if count > SHOWN and not everything:
            click.echo(f"{file}: [{kind}{rule}] in {count - SHOWN} more places: {_TOLD[rule]}")
