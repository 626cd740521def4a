"""Where a run lies and what is around its process: settings, task, folder, person."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping
from typing import Any

from yprov4wms.settings import OPTIONS, SettingError, Settings, load, told
from yprov4wms.store import Store


def settings() -> tuple[Settings, list[Exception]]:
    """The settings, and what is wrong with those that were left at their defaults.

    A training does not stop for a setting with a bad value.
    """
    try:
        return load(), []
    except (SettingError, OverflowError):
        good: dict[str, str] = {}
        problems: list[Exception] = []
        for option in OPTIONS:
            value = os.environ.get(option.env, "")
            try:
                load(environment={option.env: value})
                good[option.env] = value
            except (SettingError, OverflowError) as error:
                problems.append(error)
        return load(environment=good), problems


def parent() -> dict[str, Any] | None:
    """The task attempt around this process, where all that names it is there."""
    # In a thread of an engine's own process the variables are those of the thread's task.
    metering = sys.modules.get("yprov4wms.metering.task")
    meter = metering.current() if metering is not None else None
    found = os.environ if meter is None else {**os.environ, **meter.env}
    names = ("YPROV_RUN_ID", "YPROV_TASK_ID", "YPROV_STORE", "YPROV_ATTEMPT")
    run, task, store, attempt = (told(name, found) for name in names)
    if run and task and store and attempt and attempt.isdecimal():
        return {"run": run, "task": task, "attempt": int(attempt), "store": store}
    return None


def base(
    around: Mapping[str, Any] | None,
    given: str | os.PathLike[str] | None,
    default: str,
) -> str:
    """Where the run's folder is to be: in the task's run where a task is around, else a store."""
    if around is None:
        return Store(default if given is None else os.fspath(given)).location
    run = Store(around["store"]).run(around["run"])
    return f"{run.location}/ml/{around['task']}-{around['attempt']}"


def environment() -> dict[str, Any]:
    """Fields of an MLEnvironment event."""
    system = os.uname()
    return {
        "packages": packages(),
        "platform": f"{system.sysname} {system.release}",
        "machine": system.machine,
        "cpus": os.cpu_count(),
    }


def packages() -> dict[str, str]:
    """Versions of the installed distributions on ``sys.path``, by name; of two the first.

    By the names of their metadata folders, which costs a listing each: to read the
    metadata of some hundreds takes longer than all else at a run's start.
    """
    found: dict[str, str] = {}
    for folder in sys.path:
        try:
            names = os.listdir(folder or ".")  # noqa: PTH208 - once for each
        except OSError:
            continue
        for name in names:
            stem, _, suffix = name.rpartition(".")
            if suffix in ("dist-info", "egg-info"):
                project, _, rest = stem.partition("-")
                version = rest.partition("-py")[0] if suffix == "egg-info" else rest
                if project and version:
                    found.setdefault(project.replace("_", "-"), version)
    return dict(sorted(found.items(), key=lambda item: item[0].lower()))


def process(found: Settings) -> dict[str, Any]:
    """Fields of an MLRunStarted event that tell of this process; unknown ones are left out."""
    fields = {
        "directory": _working_directory(),
        "command": list(sys.orig_argv) or None,
        "host": socket.gethostname() or None,
        "pid": os.getpid(),
        "python": sys.version.split()[0],
        "person": _person(found),
    }
    return {key: value for key, value in fields.items() if value is not None}


def _person(found: Settings) -> dict[str, str] | None:
    import getpass

    try:
        login = getpass.getuser()
    except (KeyError, OSError, ImportError):
        login = None
    fields = {"login": login, "name": found.person, "orcid": found.orcid}
    return {key: value for key, value in fields.items() if value is not None} or None


def _working_directory() -> str | None:
    try:
        return os.getcwd()  # noqa: PTH109
    except FileNotFoundError:
        return None
