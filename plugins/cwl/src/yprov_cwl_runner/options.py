"""The runner's own options, which are taken out before cwltool sees the command line."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from yprov4wms import settings

PREFIX = "--yprov-"

#: Of the settings, those that have an option; all have an environment variable.
NAMES = ("store", "export", "nest", "hash", "hash_limit", "strict", "sample_interval")


class UsageError(Exception):
    """The command line is wrong; the text says what and where."""


def split(
    arguments: list[str], parser: argparse.ArgumentParser
) -> tuple[dict[str, object], list[str]]:
    """The runner's own settings, and the command line without their options.

    They stand before the workflow: what follows it are the workflow's own inputs, which may
    have any name. parser: cwltool's, to tell where the workflow stands. Raises UsageError.
    """
    own: dict[str, object] = {}
    rest: list[str] = []
    left = iter(arguments)
    for argument in left:
        if argument.startswith(PREFIX):
            _take(argument, left, own)
            continue
        rest.append(argument)
        if not argument.startswith("-") or argument in ("-", "--"):
            break
        rest += [value for _, value in zip(range(_values(argument, parser)), left, strict=False)]
    return own, [*rest, *left]


def _take(argument: str, left: Iterator[str], own: dict[str, object]) -> None:
    option, given, value = argument.partition("=")
    name = option.removeprefix(PREFIX).replace("-", "_")
    if name not in NAMES:
        known = ", ".join(PREFIX + known.replace("_", "-") for known in NAMES)
        raise UsageError(f"{option} is no option (there are: {known}, --yprov-help)")
    if name == "strict":
        own[name] = value if given else "yes"
        return
    if not given:
        value = next(left, "")
        if not value:
            raise UsageError(f"{option} needs a value")
    own[name] = value


def _values(argument: str, parser: argparse.ArgumentParser) -> int:
    """How many of the next arguments are an option's values."""
    name, given, _ = argument.partition("=")
    if given:
        return 0
    actions = parser._option_string_actions
    found = [actions[name]] if name in actions else []
    if not found and name.startswith("--"):
        # As argparse does: an option may be cut short.
        found = list({id(a): a for key, a in actions.items() if key.startswith(name)}.values())
    if len(found) != 1:
        return 0
    wanted = found[0].nargs
    return 1 if wanted is None else wanted if isinstance(wanted, int) else 0


def help_text() -> str:
    lines = [
        "usage: yprov-cwl-runner [--yprov-... VALUE] [any option of cwltool] WORKFLOW [JOB]",
        "",
        "Runs cwltool, and leaves the run's provenance in a store. Options of its own, which",
        "stand before the workflow; each can be given by its environment variable, too:",
        "",
    ]
    for option in settings.OPTIONS:
        flag = PREFIX + option.name.replace("_", "-") if option.name in NAMES else "(variable)"
        lines.append(f"  {flag:<26}{option.env}")
        lines.append(f"  {'':<26}{option.help}")
    lines += ["", "All other options are cwltool's: yprov-cwl-runner --help"]
    return "\n".join(lines)
