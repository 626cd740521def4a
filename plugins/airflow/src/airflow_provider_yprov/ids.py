"""Ids that every process of a deployment computes alike."""

from __future__ import annotations

import json
import uuid

from airflow_provider_yprov import config

_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "urn:yprov4wms:airflow")


def run_uuid(deployment: str, dag_id: str, run_id: str) -> str:
    """The id of a DAG run's record: a UUIDv5 (RFC 9562 section 5.5) of what names it."""
    return str(uuid.uuid5(_NAMESPACE, json.dumps([deployment, dag_id, run_id])))


def task_key(task_id: str, map_index: int | None) -> str:
    """The id of a task instance in the record: ``train``, ``train[3]``."""
    mapped = map_index is not None and map_index >= 0
    return f"{task_id}[{map_index}]" if mapped else task_id


def variables(ti: object, run: str | None = None) -> dict[str, str]:
    """The environment variables that tell a task instance's processes who they are.

    ti: a task instance of any kind. run: the id of its run, if known. Raises SettingError where
    ``[yprov]`` is not valid.
    """
    found = config.load()
    task_id, map_index = ti.task_id, ti.map_index  # type: ignore[attr-defined]
    dag_id, run_id = ti.dag_id, ti.run_id  # type: ignore[attr-defined]
    return {
        **found.core.for_processes(),
        "YPROV_RUN_ID": run or run_uuid(found.deployment, dag_id, run_id),
        "YPROV_TASK_ID": task_key(task_id, map_index),
        "YPROV_ATTEMPT": str(max(1, ti.try_number)),  # type: ignore[attr-defined]
        "YPROV_STORE": found.core.store,
        "YPROV_MAP_INDEX": str(-1 if map_index is None else map_index),
        "YPROV_TASK_INSTANCE_ID": str(ti.id),  # type: ignore[attr-defined]
    }
