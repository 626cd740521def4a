"""Why nothing is recorded: what ``yprov4wms doctor`` tells an operator of an Airflow deployment."""

from __future__ import annotations

import contextlib
import io
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from airflow_provider_yprov import config
from yprov4wms.journal import filesystem
from yprov4wms.settings import SettingError
from yprov4wms.store import Store

#: What is looked at, whether it is as it should be (None: neither good nor bad), and the reason.
Found = tuple[str, bool | None, str]


def findings() -> Iterator[Found]:
    """One after another; each look is guarded, for one that fails tells something, too."""
    # Airflow says on standard output what it loads.
    with contextlib.redirect_stdout(io.StringIO()), _quiet():
        found = [*_looked("airflow plugin", _plugin), *_looked("airflow listener", _listener)]
        try:
            settings = config.load()
        except SettingError as error:
            yield from found
            yield "airflow [yprov]", False, str(error)
            return
        found += [
            *_looked("airflow [yprov]", lambda: _section(settings)),
            *_looked("airflow store", lambda: _store(settings)),
            *_looked("airflow export", lambda: _export(settings)),
        ]
    yield from found


def _looked(what: str, look: Callable[[], Iterator[tuple[bool | None, str]]]) -> list[Found]:
    try:
        return [(what, ok, text) for ok, text in look()]
    except Exception as error:
        return [(what, False, " ".join(f"{type(error).__name__}: {error}".split()))]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


def _plugin() -> Iterator[tuple[bool | None, str]]:
    from airflow import plugins_manager

    plugins, errors = plugins_manager._get_plugins()
    ours = [plugin for plugin in plugins if plugin.name == "yprov"]
    if ours:
        yield True, "Airflow has loaded it"
    else:
        told = "; ".join(f"{source}: {error}" for source, error in errors.items())
        yield (
            False,
            f"Airflow does not find it: install it where Airflow runs ({told or 'no error'})",
        )


def _listener() -> Iterator[tuple[bool | None, str]]:
    from airflow.listeners.listener import get_listener_manager as of_core
    from airflow.sdk.listener import get_listener_manager as of_tasks

    others: set[str] = set()
    for where, manager in (("scheduler", of_core()), ("task processes", of_tasks())):
        names = {getattr(one, "__name__", type(one).__module__) for one in manager.pm.get_plugins()}
        if __package__ + ".listener" not in names:
            yield False, f"not registered for {where}"
            return
        others |= {name for name in names if not name.startswith(__package__)}
    more = f"; so are {', '.join(sorted(others))}" if others else ""
    yield True, f"registered for scheduler and task processes{more}"
    yield None, "Airflow refuses DAGs with end_from_trigger=True wherever there is a listener"


def _section(found: config.Config) -> Iterator[tuple[bool | None, str]]:
    if found.disabled:
        yield False, "disabled = True: nothing is recorded"
        return
    given = [f"deployment={found.deployment}", f"export={found.core.export}"]
    yield True, ", ".join(given)


def _store(found: config.Config) -> Iterator[tuple[bool | None, str]]:
    from airflow.configuration import AIRFLOW_HOME, conf

    store = Store(found.core.store)
    if store.remote:
        fs = filesystem(store.location)
        probe = f"{store.location}/.yprov-doctor"
        fs.pipe_file(probe, b"probe")
        fs.rm_file(probe)
        yield True, f"{store.location} can be written from here"
        return
    folder = Path(store.location)
    there = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not os.access(there, os.W_OK | os.X_OK) or not there.is_dir():
        yield (
            False,
            f"{folder} cannot be written by user {os.geteuid()}: make it, or set [yprov] store",
        )
        return
    yield True, f"{folder} can be written from here by user {os.geteuid()}"
    executor = conf.get("core", "executor", fallback="")
    if "Local" not in executor and str(folder).startswith(str(AIRFLOW_HOME)):
        yield (
            False,
            f"tasks of {executor} run on other machines, and {folder} is in AIRFLOW_HOME of this "
            "one: set [yprov] store to a shared folder or a URL",
        )
    if not Path(found.core.store).is_absolute():
        yield False, f"{found.core.store} is relative: each process has another working folder"


def _export(found: config.Config) -> Iterator[tuple[bool | None, str]]:
    from airflow_provider_yprov.detached import export_log

    if found.core.export == "never":
        yield None, "documents are built by: yprov4wms export RUN --store " + found.core.store
        return
    log = Path(export_log())
    lines = log.read_text(errors="replace").splitlines() if log.is_file() else []
    if lines:
        yield None, f"last failure: {lines[-1]} ({log})"
    runs: list[Any] = Store(found.core.store).runs()
    yield None, f"{len(runs)} runs in the store" if runs else "no run is in the store yet"
