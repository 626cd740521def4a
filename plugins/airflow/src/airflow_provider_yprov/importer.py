"""``yprov4wms import airflow``: a DAG run that was made without us, by Airflow's REST API."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import click

from airflow_provider_yprov import answers, assets, facts, past
from airflow_provider_yprov.facts import Try
from airflow_provider_yprov.ids import run_uuid, task_key
from airflow_provider_yprov.past import Past, Row, Warn
from airflow_provider_yprov.rest import Api, ApiError
from yprov4wms import events
from yprov4wms.cli import options
from yprov4wms.cli.imports import warn
from yprov4wms.events import File, Status
from yprov4wms.plain import plain
from yprov4wms.recorder import Recorder
from yprov4wms.settings import load
from yprov4wms.store import RunFolder, Store

DEFAULT_URL = "http://localhost:8080"
#: Of a task instance that nothing was decided of yet.
_OPEN = (None, "scheduled", "queued")


@click.command(
    "airflow",
    epilog="""\b
Examples:
  AIRFLOW_TOKEN=... yprov4wms import airflow --dag train --run manual__2026-01-31T12:00:00+00:00
  yprov4wms import airflow --url https://airflow.example.org --username me --dag train --run R
""",
)
@click.option("--dag", "dag_id", required=True, metavar="ID", help="The DAG.")
@click.option("--run", "run_id", required=True, metavar="ID", help="The DAG run.")
@click.option("--url", help=f"The API server (default: [api] base_url here, else {DEFAULT_URL}).")
@click.option("--token", envvar="AIRFLOW_TOKEN", help="A token of Airflow's (or: $AIRFLOW_TOKEN).")
@click.option(
    "--username",
    metavar="NAME",
    help="In place of a token; the password is asked for, or $AIRFLOW_PASSWORD.",
)
@click.option(
    "--deployment",
    metavar="NAME",
    help="Part of what the run's id is computed from (default: [yprov] deployment here).",
)
@options.store
def command(
    dag_id: str,
    run_id: str,
    url: str | None,
    token: str | None,
    username: str | None,
    deployment: str | None,
    store: str,
) -> RunFolder:
    """Record a DAG run that Airflow 3 made without us, from what its REST API tells.

    What the API does not tell stays unknown.
    """
    if not dag_id.strip() or not run_id.strip():
        raise click.UsageError("--dag and --run are ids, and not empty")
    if url is None or deployment is None:
        known = _configured()
        url, deployment = url or known[0], deployment or known[1]
    folder = Store(store).run(run_uuid(deployment, dag_id, run_id))
    _refuse_known(folder, store)
    api = Api(url)
    secrets = _log_in(api, token, username)
    try:
        found = past.read(api, dag_id, run_id, warn)
        batch = list(told(found, deployment, warn))
    except ApiError:
        raise
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        what = f"{type(error).__name__}: {error}"
        raise ValueError(f"{api.url} answers otherwise than Airflow 3 does ({what})") from error
    _refuse_known(folder, store)
    _write(folder, store, batch, secrets)
    state = found.run["state"]
    if state not in ("success", "failed"):
        warn(
            f"the run is still {state}: what happens from now on is not in the record "
            "(to import it again, remove its folder)"
        )
    return folder


def _configured() -> tuple[str, str]:
    """URL and name of the deployment that is configured here, as far as one is."""
    name, before = "_AIRFLOW__AS_LIBRARY", os.environ.get("_AIRFLOW__AS_LIBRARY")
    os.environ[name] = "1"  # no database, no logging: to read the configuration is enough
    try:
        from airflow.configuration import conf

        url = conf.get("api", "base_url", fallback=None) or DEFAULT_URL
        return url, conf.get("yprov", "deployment", fallback=None) or "airflow"
    except Exception as error:
        warn(f"Airflow's configuration is not read: {' '.join(str(error).split())}")
        return DEFAULT_URL, "airflow"
    finally:
        if before is None:
            del os.environ[name]


def _log_in(api: Api, token: str | None, username: str | None) -> list[str]:
    """Returns what is secret from now on."""
    if username is None:
        api.use(token) if token else api.log_in_as_anyone()
        return [token] if token else []
    password = os.environ.get("AIRFLOW_PASSWORD")
    if password is None:
        if not sys.stdin.isatty():
            raise ValueError(
                f"the password of {username!r} is asked for on a terminal alone, "
                "or taken from AIRFLOW_PASSWORD"
            )
        password = str(click.prompt(f"Password of {username}", hide_input=True, err=True))
    return [password, api.log_in(username, password)]


def _refuse_known(folder: RunFolder, store: str) -> None:
    there = folder.run_id in Store(store).runs() or (
        not folder.remote and Path(folder.location).exists()
    )
    if there:
        raise ValueError(
            f"the store has this run already: yprov4wms show {folder.run_id} --store {store}"
        )


def _write(folder: RunFolder, store: str, batch: list[events.Event], secrets: list[str]) -> None:
    problems: list[str] = []
    settings = load()._replace(store=store, strict=True)
    recorder = Recorder(settings, os.devnull, problems.append, run_id=folder.run_id)
    recorder.mask(secrets)
    if recorder.recording:
        recorder.emit(*batch)
        recorder.drain()
    recorder.close()
    if recorder.failures:
        if not folder.remote:
            shutil.rmtree(folder.location, ignore_errors=True)
        raise ValueError(problems[0] if problems else "the record could not be written")


# -- what is told ------------------------------------------------------------------------------


class _Asset(NamedTuple):
    name: str
    uri: str
    group: str | None


class _AssetEvent(NamedTuple):
    """As a task's process is given one, but for its aliases."""

    asset: _Asset
    extra: Any
    timestamp: datetime | None
    source_dag_id: str | None
    source_run_id: str | None
    source_task_id: str | None
    source_map_index: int | None
    partition_key: str | None
    source_aliases: tuple[()] = ()


def _event(row: Row) -> _AssetEvent:
    return _AssetEvent(
        _Asset(row.get("name") or row["uri"], row["uri"], row.get("group")),
        row.get("extra"),
        answers.when(row.get("timestamp")),
        row.get("source_dag_id"),
        row.get("source_run_id"),
        row.get("source_task_id"),
        row.get("source_map_index"),
        row.get("partition_key"),
    )


def told(found: Past, deployment: str, warn: Warn) -> Iterator[events.Event]:
    """The run as events, as if it had been recorded."""
    run, dag, tries = answers.run_facts(found), answers.dag_facts(found), answers.tries(found)
    consumed = [assets.from_event(_event(row), deployment) for row in found.consumed]
    yield facts.run_started(
        run,
        dag,
        None,
        # Not Python: what the run had is not known.
        software=[one for one in facts.software() if one.kind != "interpreter"],
        files=consumed or None,
        imported=True,
    )
    within = answers.indexed(found)
    unclear = {task.task_id for task in dag.tasks if task.task_id in within}
    unclear -= {task.task_id for task in dag.tasks if task.mapped_groups}
    for event in facts.plan(dag, tries):
        if isinstance(event, events.TaskPlanned) and event.step in unclear:
            # They may be of one group, and then not every instance waits for all.
            event.depends_on = [t for t in event.depends_on or () if t not in unclear] or None
        yield event
    end = facts.run_ended(run, None)
    if end is None:
        tries = [row for row in tries if not row.current or row.state not in _OPEN]
    yield from _happened(found, tries, consumed, warn)
    if end is not None:
        yield end


def _happened(
    found: Past, tries: list[Try], consumed: list[File], warn: Warn
) -> Iterator[events.Event]:
    """What became of every try, with what it was given and left."""
    rows: dict[tuple[str, int], Try] = {}
    for row in tries:
        rows.setdefault((task_key(row.task_id, row.map_index), max(1, row.try_number)), row)
    inlets, outlets = _inlets(found, consumed), _outlets(found, tries, warn)
    fields = {
        task_key(row["task_id"], row["map_index"]): row.get("rendered_fields") or {}
        for row in found.instances
    }
    for event in facts.outcomes(tries):
        if isinstance(event, events.TaskEnded | events.TaskNoted):
            key = (event.task, event.attempt)
            ran = rows.pop(key, None)
            if ran is not None and ran.pid is not None:
                rendered = fields[event.task] if ran.current else {}
                yield events.TaskExecuting(
                    task=event.task,
                    attempt=event.attempt,
                    host=ran.hostname or None,
                    pid=ran.pid,
                    inputs=inlets.get(ran.task_id),
                    parameters=facts.parameters({k: plain(v) for k, v in rendered.items()}),
                )
            if key in outlets:
                yield events.TaskExecuted(
                    task=event.task,
                    attempt=event.attempt,
                    status=Status.COMPLETED,
                    outputs=outlets.pop(key),
                )
        yield event


def _inlets(found: Past, consumed: list[File]) -> dict[str, list[File]]:
    """By task what it declares to read."""
    by_path = {file.path: file for file in consumed}
    inlets: dict[str, list[File]] = {}
    for asset, task in answers.references(found, "consuming_tasks"):
        file = assets.named(asset["name"], asset["uri"], "inlet")
        event = by_path.get(file.path)
        if event is not None:
            file.origin_task, file.attributes = event.origin_task, event.attributes
        inlets.setdefault(task, []).append(file)
    return inlets


def _outlets(found: Past, tries: list[Try], warn: Warn) -> dict[tuple[str, int], list[File]]:
    """By task and attempt what it left: an event is of the last success that began before."""
    outlets: dict[tuple[str, int], list[File]] = {}
    lost = 0
    for row in found.made:
        event = _event(row)
        makers = [
            one
            for one in tries
            if (one.task_id, one.map_index) == (event.source_task_id, event.source_map_index)
            and one.state == "success"
            and one.start_date
            and event.timestamp
            and one.start_date <= event.timestamp
        ]
        if not makers:
            lost += 1
            continue
        maker = max(makers, key=lambda one: (one.start_date, one.try_number))
        key = (task_key(maker.task_id, maker.map_index), max(1, maker.try_number))
        outlets.setdefault(key, []).append(assets.left(event))
    if lost:
        warn(f"{lost} asset events are left out: no try of the run can have made them")
    return outlets
