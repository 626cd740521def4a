"""What Airflow's REST API tells of one DAG run, read whole.

The API has tasks, parameters and descriptions of a DAG's latest version alone; of a run of
another version they are left out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from airflow_provider_yprov.rest import Api, ApiError
from yprov4wms.cli import style

Row = dict[str, Any]
Warn = Callable[[str], None]

#: Requests under way at a time: there is one for each task instance.
AT_ONCE = 4
#: No group can have this id, by Airflow's rules for names.
NO_GROUP = " "
#: What `dagSources` gives to who may not read all DAGs of the file.
_REDACTED = "REDACTED - "


class Past(NamedTuple):
    """Answers of the API.

    details, tasks: of the DAG, where its latest version is that of the run.
    instances: as they are now. tries: those before, by task id and map index.
    groups: the ids of the tasks in each.
    consumed, made: asset events. assets: what the DAG's tasks declare of them.
    airflow: the version that answers. source: sha256 of the DAG file as Airflow keeps it.
    """

    run: Row
    details: Row | None
    tasks: list[Row] | None
    instances: list[Row]
    tries: dict[tuple[str, int], list[Row]]
    groups: dict[str, set[str]]
    consumed: list[Row]
    made: list[Row]
    assets: list[Row]
    airflow: str | None
    source: str | None


def read(api: Api, dag_id: str, run_id: str, warn: Warn) -> Past:
    """All there is of a run; raises ApiError. What cannot be had is a warning."""
    run = api.run(dag_id, run_id)
    place = ("dags", dag_id, "dagRuns", run_id)
    instances = api.pages(*place, "taskInstances", key="task_instances", order_by="id")
    if len({_key(row) for row in instances}) != len(instances):
        raise ApiError(f"{api.url} gave a task instance twice: the run changes; try again")
    version = max((row["version_number"] for row in run.get("dag_versions") or ()), default=None)

    def known(what: str, call: Callable[[], Any], otherwise: Any) -> Any:
        try:
            return call()
        except ApiError as error:
            # Airflow 3.3 fails to tell of asset events that a run took which was cleared since.
            if error.status not in (403, 404, 500):
                raise
            warn(f"without {what}: {error}")
            return otherwise

    details = known("the DAG", lambda: api.get("dags", dag_id, "details"), None)
    latest = ((details or {}).get("latest_dag_version") or {}).get("version_number")
    if details is not None and (version is None or latest != version):
        had = "one that is not known" if version is None else version
        warn(
            f"Airflow tells of version {latest} of DAG {dag_id} alone, and this run had {had}: "
            "what its tasks depend on is left out"
        )
        details = None
    tasks = None
    if details is not None:
        tasks = known("the DAG's tasks", lambda: api.get("dags", dag_id, "tasks")["tasks"], None)
    names = {row["task_id"] for row in (*instances, *(tasks or ()))}
    asked: Row = {"source_dag_id": dag_id, "source_run_id": run_id}
    return Past(
        run,
        details,
        tasks,
        instances,
        _tries(api, place, instances),
        known("task groups", lambda: _groups(api, place, names), {}),
        known(
            "the assets that it was given",
            lambda: api.get(*place, "upstreamAssetEvents")["asset_events"],
            [],
        ),
        known(
            "the assets that it left",
            lambda: api.pages("assets", "events", key="asset_events", **asked),
            [],
        ),
        known(
            "the assets of the DAG", lambda: api.pages("assets", key="assets", dag_ids=dag_id), []
        )
        if details is not None
        else [],
        known("Airflow's version", lambda: api.get("version").get("version"), None),
        known("the DAG's source", lambda: _source(api, dag_id, version), None)
        if version is not None
        else None,
    )


def _key(row: Row) -> tuple[str, int]:
    return row["task_id"], row["map_index"]


def _tries(
    api: Api, place: tuple[str, ...], instances: list[Row]
) -> dict[tuple[str, int], list[Row]]:
    """Of each task instance the tries before the one that it has now."""

    def before(row: Row) -> list[Row]:
        path = ("taskInstances", row["task_id"], str(row["map_index"]), "tries")
        found: list[Row] = api.get(*place, *path)["task_instances"]
        # The last one is the present one; but before a retry it is among those of the past.
        retry = row["state"] == "up_for_retry"
        present = not retry and found and found[-1]["try_number"] >= row["try_number"]
        return found[:-1] if present else found

    pool = ThreadPoolExecutor(AT_ONCE)
    try:
        waiting = [(_key(row), pool.submit(before, row)) for row in instances]
        shown = style.progress(waiting, "task instances")
        return {key: found for key, future in shown if (found := future.result())}
    finally:
        pool.shutdown(cancel_futures=True)


def _groups(api: Api, place: tuple[str, ...], names: set[str]) -> dict[str, set[str]]:
    """By group the ids of the tasks in it, where the ids have the group's in front of them.

    The API lists no groups; but it tells whether there is one of a name, and what is in it.
    """
    named = {name[:end] for name in names for end, c in enumerate(name) if c == "."} - {""}
    found: dict[str, set[str]] = {}

    def inside(group: str) -> set[str] | None:
        path = (*place, "taskInstances")
        try:
            rows = api.pages(*path, key="task_instances", order_by="id", task_group_id=group)
        except ApiError as error:
            if error.status == 404:
                return None
            raise
        return {row["task_id"] for row in rows}

    # An Airflow that does not know of the question answers with all tasks.
    if named and inside(NO_GROUP) is None:
        for group in sorted(named):
            members = inside(group)
            if members:
                found[group] = members
    return found


def _source(api: Api, dag_id: str, version: int) -> str | None:
    content = api.get("dagSources", dag_id, version_number=version).get("content")
    if not isinstance(content, str) or content.startswith(_REDACTED):
        return None
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()
