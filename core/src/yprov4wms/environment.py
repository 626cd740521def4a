"""What surrounds a run, whatever its engine: code, packages, person, the run around it."""

from __future__ import annotations

import getpass
import os
import subprocess
import sys

from yprov4wms.events import Git, Parent, Person
from yprov4wms.plain import text
from yprov4wms.settings import told


def git_state(folder: str) -> Git | None:
    """Commit, branch, remote and changes of the repository around ``folder``, if any."""
    status = _git(folder, "status", "--porcelain=v2", "--branch", "--untracked-files=no")
    if status is None:
        return None
    found = Git(dirty=False, changed=[])
    for line in filter(None, status.split("\n")):
        if line.startswith("# branch.oid ") and not line.endswith("(initial)"):
            found.commit = line.split()[2]
        elif line.startswith("# branch.head ") and not line.endswith("(detached)"):
            found.branch = line.split(maxsplit=2)[2]
        elif not line.startswith("#") and found.changed is not None:
            found.dirty = True
            # Before the path stand as many fields as the kind of change has.
            path = line.split(" ", _FIELDS.get(line[0], 8))[-1]
            found.changed.append(text(path.partition("\t")[0]))
    found.changed = (found.changed or [])[:200] or None
    remote = _git(folder, "config", "--get", "remote.origin.url")
    found.remote = text(remote.strip()) if remote and remote.strip() else None
    return found


#: Of ``--porcelain=v2``: changed, renamed or copied, unmerged.
_FIELDS = {"1": 8, "2": 9, "u": 10}


def _git(folder: str, *arguments: str) -> str | None:
    options = ["--no-optional-locks", "-c", "core.quotePath=off"]
    try:
        done = subprocess.run(
            ["git", "-C", folder or ".", *options, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=20,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode("utf-8", "backslashreplace") if done.returncode == 0 else None


def person(name: str | None, orcid: str | None) -> Person:
    """Who runs this: the login, and what was given of name and ORCID iD."""
    try:
        login = getpass.getuser()
    except (KeyError, OSError, ImportError):
        login = None
    return Person(login=login, name=name, orcid=orcid)


def parent() -> Parent | None:
    """The attempt whose process this one was started by, from its ``YPROV_*`` variables."""
    run = told("YPROV_RUN_ID")
    if not run:
        return None
    attempt = told("YPROV_ATTEMPT") or ""
    return Parent(
        run=run,
        task=told("YPROV_TASK_ID") or None,
        attempt=int(attempt) if attempt.isdecimal() else None,
        store=told("YPROV_STORE"),
    )


def version(name: str) -> str | None:
    """The version of an installed distribution."""
    from importlib import metadata

    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def packages() -> dict[str, str]:
    """Installed distributions, read off the names of their metadata folders: reading each
    one's metadata takes a hundred times longer."""
    found: dict[str, str] = {}
    for folder in sys.path:
        try:
            names = os.listdir(folder or ".")  # noqa: PTH208
        except OSError:
            continue
        for name in names:
            if name.endswith(".dist-info"):
                package, _, version = name[: -len(".dist-info")].partition("-")
                found.setdefault(package.replace("_", "-").lower(), version)
    return found
