"""A DAG run as the database and the serialized DAG have it, read with the session at hand.

One select; nothing is written, flushed or committed, and no attribute is touched that would
be loaded: any of that would break the scheduler's locks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider_yprov.facts import DagFacts, GroupFacts, RunFacts, TaskFacts, Try
from yprov4wms.plain import plain

if TYPE_CHECKING:
    from airflow.models.dagrun import DagRun
    from sqlalchemy.orm import Session

#: Columns of task instances, of the present and the past alike, that `Try` has fields for.
_COLUMNS = (
    *("task_id", "map_index", "try_number", "state", "start_date", "end_date", "hostname"),
    *("pid", "operator", "max_tries", "unixname", "pool", "pool_slots", "queue"),
    *("priority_weight", "executor", "queued_dttm", "scheduled_dttm"),
    *("external_executor_id", "retry_reason"),
)


def tries(dag_run: DagRun) -> list[Try]:
    """Every task instance of a run with all its tries, by one select.

    In the session that the run is in; where it is in none (under ``dag.test()``), nobody's
    transaction is under way, and the select has a session of its own.
    """
    from airflow import settings
    from sqlalchemy.orm import Session, object_session

    session = object_session(dag_run)
    if session is not None:
        return _with_pending(session, dag_run, _selected(session, dag_run))
    with Session(settings.engine) as own:
        return _selected(own, dag_run)


def _selected(session: Session, dag_run: DagRun) -> list[Try]:
    with session.no_autoflush:
        rows = session.execute(_select(dag_run.dag_id, dag_run.run_id)).all()
    return [
        Try(**{**row._asdict(), "id": str(row.id), "current": bool(row.current)}) for row in rows
    ]


def _select(dag_id: str, run_id: str) -> Any:
    from airflow.models.dag_version import DagVersion
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.taskinstancehistory import TaskInstanceHistory
    from sqlalchemy import literal, select, union_all

    parts = []
    for table, identifier, current in (
        (TaskInstance.__table__, "id", 1),
        (TaskInstanceHistory.__table__, "task_instance_id", 0),
    ):
        version = DagVersion.__table__.alias()
        columns = [table.c[name] for name in (*_COLUMNS, "rendered_map_index") if name in table.c]
        parts.append(
            select(
                *columns,
                table.c[identifier].label("id"),
                literal(current).label("current"),
                version.c.version_number.label("dag_version"),
                version.c.bundle_name,
                version.c.bundle_version,
            )
            .select_from(table.outerjoin(version, table.c.dag_version_id == version.c.id))
            .where(table.c.dag_id == dag_id, table.c.run_id == run_id)
        )
    return union_all(*parts)


def _with_pending(session: Session, dag_run: DagRun, found: list[Try]) -> list[Try]:
    """With what Airflow has decided in this transaction, and not yet sent to the database."""
    from airflow.models.taskinstance import TaskInstance

    pending = {
        (ti.task_id, ti.map_index): ti
        for ti in (*session.dirty, *session.new)
        if isinstance(ti, TaskInstance)
        and ti.dag_id == dag_run.dag_id
        and ti.run_id == dag_run.run_id
    }
    if not pending:
        return found
    merged = []
    for row in found:
        ti = pending.pop((row.task_id, row.map_index), None) if row.current else None
        merged.append(row._replace(**_loaded(ti)) if ti is not None else row)
    return merged + [
        Try(**{"try_number": 0, "state": None, **_loaded(ti)}, current=True)
        for ti in pending.values()
    ]


def _loaded(ti: Any) -> dict[str, Any]:
    """What is there of a task instance without asking the database."""
    there = ti.__dict__
    found = {name: there[name] for name in _COLUMNS if name in there}
    return found | ({"id": str(there["id"])} if there.get("id") else {})


def run(dag_run: DagRun, redact: Any) -> RunFacts:
    """redact: masks secrets in a value, given its name, as Airflow does."""
    there = dag_run.__dict__
    attributes = {
        name: _text(there.get(name))
        for name in (
            *("run_type", "triggered_by", "logical_date", "data_interval_start"),
            *("data_interval_end", "run_after", "queued_at", "backfill_id", "partition_key"),
            "bundle_version",
        )
    }
    attributes["clear_number"] = there.get("clear_number") or None
    conf = there.get("conf")
    return RunFacts(
        dag_id=dag_run.dag_id,
        run_id=dag_run.run_id,
        state=str(getattr(dag_run.state, "value", dag_run.state)),
        start_date=there.get("start_date"),
        end_date=there.get("end_date"),
        conf=redact(plain(conf), "conf") if isinstance(conf, Mapping) and conf else None,
        triggering_user=there.get("triggering_user_name"),
        attributes=attributes,
    )


def dag(dag_run: DagRun) -> DagFacts | None:
    """The structure of the run's DAG, where the caller has it loaded."""
    found = getattr(dag_run, "dag", None)
    return structure(found) if found is not None else None


def structure(dag: Any) -> DagFacts:
    """dag: a SerializedDAG, or a DAG of the Task SDK."""
    groups = list(_groups(dag.task_group, None))
    return DagFacts(
        tasks=tuple(_task(task) for task in dag.task_dict.values()),
        groups=tuple(groups),
        file=getattr(dag, "fileloc", None),
        params=_params(dag.params),
        attributes={
            "relative_file": _text(getattr(dag, "relative_fileloc", None)),
            "dag_display_name": _differs(getattr(dag, "dag_display_name", None), dag.dag_id),
            "description": dag.description,
            "doc": dag.doc_md,
            "schedule": _text(getattr(getattr(dag, "timetable", None), "summary", None)),
            "tags": ", ".join(sorted(dag.tags)) or None,
            "owner": getattr(dag, "owner", None),
            "catchup": dag.catchup or None,
            "max_active_runs": dag.max_active_runs,
            "fail_fast": dag.fail_fast or None,
            "dagrun_timeout": _text(dag.dagrun_timeout),
        },
    )


def _task(task: Any) -> TaskFacts:
    around: list[Any] = []
    group = task.task_group
    while group is not None and group.group_id is not None:
        around.insert(0, group)
        group = group.parent_group
    trigger_rule = task.trigger_rule
    module = getattr(task, "_task_module", None) or getattr(task, "task_module", None)
    return TaskFacts(
        task_id=task.task_id,
        operator=getattr(task, "operator_name", None) or task.task_type,
        upstream=tuple(task.upstream_task_ids),
        groups=tuple(group.group_id for group in around),
        mapped_groups=tuple(group.group_id for group in around if _is_mapped(group)),
        mapped=bool(getattr(task, "is_mapped", False)),
        doc=getattr(task, "doc_md", None) or getattr(task, "doc", None),
        attributes={
            name: value
            for name, value in (
                ("operator_class", f"{module}.{task.task_type}" if module else task.task_type),
                ("trigger_rule", str(getattr(trigger_rule, "value", trigger_rule))),
                ("setup", task.is_setup or None),
                ("teardown", task.is_teardown or None),
                ("on_failure_fail_dagrun", getattr(task, "on_failure_fail_dagrun", None) or None),
                ("mapped", bool(getattr(task, "is_mapped", False)) or None),
                ("group", around[-1].group_id if around else None),
                ("owner", task.owner),
                ("pool", task.pool),
                ("queue", task.queue),
                ("priority_weight", task.priority_weight),
                ("retries", task.retries),
                ("retry_delay", _text(task.retry_delay) if task.retries else None),
                ("execution_timeout", _text(task.execution_timeout)),
                ("depends_on_past", task.depends_on_past or None),
                ("executor", task.executor),
                ("run_as_user", task.run_as_user),
                ("inlets", _assets(task.inlets)),
                ("outlets", _assets(task.outlets)),
            )
            if value is not None
        },
    )


def _is_mapped(group: Any) -> bool:
    return "Mapped" in group.__class__.__name__  # of a weak proxy, too


def _groups(group: Any, parent: str | None) -> Iterable[GroupFacts]:
    if group.group_id is not None:
        title = _differs(getattr(group, "group_display_name", None), group.group_id)
        about = {"title": title or None}
        yield GroupFacts(
            group.group_id,
            parent,
            _is_mapped(group),
            getattr(group, "doc_md", None) or group.tooltip or None,
            {key: value for key, value in about.items() if value},
        )
    for child in group.children.values():
        if hasattr(child, "children"):
            yield from _groups(child, group.group_id)


def _assets(found: Iterable[Any]) -> str | None:
    names = [getattr(one, "uri", None) or getattr(one, "name", None) for one in found]
    return ", ".join(name for name in names if name) or None


def _params(params: Any) -> dict[str, Any] | None:
    found = params.dump() if hasattr(params, "dump") else dict(params or {})
    return {key: plain(value) for key, value in found.items()} or None


def _differs(value: Any, other: str) -> str | None:
    return str(value) if value and value != other else None


def _text(value: Any) -> str | None:
    """A value of any of Airflow's types as text; times in ISO 8601."""
    if value is None:
        return None
    if hasattr(value, "isoformat"):
        return str(value.isoformat())
    return str(getattr(value, "value", value))
