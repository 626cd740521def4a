"""What an administrator does, by a process that has Airflow imported: importing takes seconds.

Reads requests as lines of JSON, ``[number, name, *arguments]``, and answers each with a file
``<number>.json`` in the folder that it was given.
"""

from __future__ import annotations

import datetime
import json
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any


def migrate() -> None:
    from airflow.utils.db import initdb

    initdb()


def sync(folder: str) -> None:
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.dag_processing.dagbag import BundleDagBag, sync_bag_to_db

    DagBundlesManager().sync_bundles_to_db()
    name = "dags-folder"
    bag = BundleDagBag(folder, bundle_path=Path(folder), bundle_name=name)
    if bag.import_errors:
        raise ValueError("\n".join(bag.import_errors.values()))
    sync_bag_to_db(bag, name, None)


def trigger(dag_id: str, conf: dict[str, Any] | None, run_id: str | None, date: str | None) -> str:
    from airflow.api.common.trigger_dag import trigger_dag
    from airflow.utils.types import DagRunTriggeredByType

    run = trigger_dag(
        dag_id,
        triggered_by=DagRunTriggeredByType.CLI,
        conf=conf,
        run_id=run_id,
        logical_date=datetime.datetime.fromisoformat(date) if date else None,
        replace_microseconds=False,
    )
    assert run is not None
    return str(run.run_id)


def relatives(dag_id: str, run_id: str) -> dict[str, list[str]]:
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session
    from sqlalchemy import select

    def key(task_id: str, index: int) -> str:
        return f"{task_id}[{index}]" if index >= 0 else task_id

    found: dict[str, list[str]] = {}
    with create_session() as session:
        dag = _dag(dag_id, run_id, session)
        where = (TaskInstance.dag_id == dag_id, TaskInstance.run_id == run_id)
        instances = session.scalars(select(TaskInstance).where(*where)).all()
        indexes: dict[str, list[int]] = {}
        for ti in instances:
            indexes.setdefault(ti.task_id, []).append(ti.map_index)
        for ti in instances:
            ti.task = dag.get_task(ti.task_id)
            before: set[str] = set()
            for upstream in ti.task.upstream_task_ids:
                count = len(indexes[ti.task_id]) if ti.map_index >= 0 else None
                seen = ti.get_relevant_upstream_map_indexes(
                    dag.get_task(upstream), count, session=session
                )
                seen = [seen] if isinstance(seen, int) else seen
                there = indexes[upstream]
                chosen = there if seen is None else [i for i in seen if i in there]
                before |= {key(upstream, index) for index in chosen}
            found[key(ti.task_id, ti.map_index)] = sorted(before)
    return found


def clear(dag_id: str, run_id: str) -> None:
    from airflow.utils.session import create_session

    with create_session() as session:
        dag = _dag(dag_id, run_id, session)
        dag.clear(run_id=run_id, only_failed=True, session=session)


def _dag(dag_id: str, run_id: str, session: Any) -> Any:
    from airflow.models.dagbag import DBDagBag
    from airflow.models.dagrun import DagRun

    run = session.query(DagRun).filter_by(dag_id=dag_id, run_id=run_id).one()
    return DBDagBag().get_dag_for_run(dag_run=run, session=session)


REQUESTS: dict[str, Callable[..., Any]] = {
    "migrate": migrate,
    "clear": clear,
    "relatives": relatives,
    "sync": sync,
    "trigger": trigger,
}


def main(answers: Path) -> None:
    for line in sys.stdin:
        number, name, *arguments = json.loads(line)
        try:
            answer = {"result": REQUESTS[name](*arguments)}
        except Exception:
            answer = {"error": traceback.format_exc()}
        partial = answers / f"{number}.part"
        partial.write_text(json.dumps(answer))
        partial.rename(answers / f"{number}.json")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
