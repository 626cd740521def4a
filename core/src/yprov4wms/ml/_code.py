"""The source code that a run was made by: its commit and what differs from it, or its files."""

from __future__ import annotations

import os
import site
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from typing import Any

#: Bytes of a diff; what is larger holds data.
MAX_DIFF = 10 << 20
MAX_FILES = 1000


def script() -> str | None:
    """The file that the interpreter was started with."""
    path = getattr(sys.modules.get("__main__"), "__file__", None)
    return os.path.abspath(path) if path and os.path.isfile(path) else None  # noqa: PTH100, PTH113


def folder() -> str:
    """The script's, else the working directory."""
    path = script()
    return os.path.dirname(path) if path else os.getcwd()  # noqa: PTH109, PTH120


def files() -> list[str]:
    """The script and the modules that are imported now from its folder or from below it,
    packages that are installed left out; absolute paths, in order."""
    base = os.path.realpath(folder())
    found = {os.path.realpath(path) for path in _modules()}
    inside = {path for path in found if path.startswith(base.rstrip("/") + "/")}
    own = script()
    return sorted(inside | ({own} if own else set()))[:MAX_FILES]


def _modules() -> Iterator[str]:
    installed = {sys.prefix, sys.base_prefix, *site.getsitepackages(), site.getusersitepackages()}
    installed |= {sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")}
    folders = tuple(os.path.realpath(path).rstrip("/") + "/" for path in installed)
    for module in list(sys.modules.values()):
        path = getattr(module, "__file__", None)
        if not isinstance(path, str) or not path.endswith(".py"):
            continue
        real = os.path.realpath(path)
        if not os.path.isfile(real):  # noqa: PTH113
            continue  # torch.classes calls itself _classes.py
        if "/site-packages/" not in real and not real.startswith(folders):
            yield real


def git() -> tuple[dict[str, Any], bytes | None] | None:
    """Commit, branch, remote and changes of the repository around the script, as
    ``events.Git`` has them, and the diff of tracked files to that commit, if there is one.

    None where there is no repository, or no git.
    """
    import msgspec

    from yprov4wms.environment import git_state

    place = folder()
    found = git_state(place)
    if found is None or found.commit is None:
        return None
    return msgspec.to_builtins(found), _diff(place) if found.dirty else None


def _diff(place: str) -> bytes | None:
    command = ["git", "-C", place, "--no-optional-locks", "diff", "--no-color", "--no-ext-diff"]
    try:
        done = subprocess.run(
            [*command, "--no-textconv", "HEAD", "--"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode or not done.stdout or len(done.stdout) > MAX_DIFF:
        return None
    return done.stdout
