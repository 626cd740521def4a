"""The runners' own options, which are taken out before the engine sees the command line."""

from __future__ import annotations

import argparse
from collections import deque

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
    have any name. parser: the engine's, to tell where the workflow stands. Raises UsageError.
    """
    own: dict[str, object] = {}
    rest: list[str] = []
    left = deque(arguments)
    while left:
        argument = left.popleft()
        if argument.startswith(PREFIX):
            _take(argument, left, own)
            continue
        rest.append(argument)
        if not argument.startswith("-") or argument in ("-", "--"):
            break
        rest += [left.popleft() for _ in range(_values(argument, left, parser))]
    return own, [*rest, *left]


def _take(argument: str, left: deque[str], own: dict[str, object]) -> None:
    option, given, value = argument.partition("=")
    name = option.removeprefix(PREFIX).replace("-", "_")
    if name not in NAMES:
        known = ", ".join(PREFIX + known.replace("_", "-") for known in NAMES)
        raise UsageError(f"{option} is no option (there are: {known}, --yprov-help)")
    if name == "strict":
        own[name] = value if given else "yes"
        return
    if not given:
        value = left.popleft() if left else ""
        if not value:
            raise UsageError(f"{option} needs a value")
    own[name] = value


def _values(argument: str, left: deque[str], parser: argparse.ArgumentParser) -> int:
    """How many of the arguments that are left are an option's values."""
    name, given, _ = argument.partition("=")
    if given:
        return 0
    actions = parser._option_string_actions
    found = [actions[name]] if name in actions else []
    if not found and name.startswith("--") and parser.allow_abbrev:
        # As argparse does: an option may be cut short.
        found = list({id(a): a for key, a in actions.items() if key.startswith(name)}.values())
    if len(found) != 1:
        return 0
    wanted = found[0].nargs
    if wanted in ("?", "*", "+"):
        plain = [not value.startswith("-") for value in left] + [False]
        free = plain.index(False)
        return min(free, 1) if wanted == "?" else free
    most = 1 if wanted is None else wanted if isinstance(wanted, int) else 0
    return min(most, len(left))


def help_text(command: str = "yprov-cwl-runner", engine: str = "cwltool") -> str:
    lines = [
        f"usage: {command} [--yprov-... VALUE] [any option of {engine}] WORKFLOW [JOB]",
        "",
        f"Runs {engine}, and leaves the run's provenance in a store. Options of its own, which",
        "stand before the workflow; each can be given by its environment variable, too:",
        "",
    ]
    for option in settings.OPTIONS:
        flag = PREFIX + option.name.replace("_", "-") if option.name in NAMES else "(variable)"
        lines.append(f"  {flag:<26}{option.env}")
        lines.append(f"  {'':<26}{option.help}")
    lines += ["", f"All other options are {engine}'s: {command} --help"]
    return "\n".join(lines)
