"""A DAG run as the database and the serialized DAG have it, read with the session at hand.

One select; nothing is written, flushed or committed, and no attribute is touched that would
be loaded: any of that would break the scheduler's locks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any
from uuid import UUID

from airflow_provider_yprov.facts import DagFacts, GroupFacts, RunFacts, TaskFacts, Try
from yprov4wms.plain import plain

if TYPE_CHECKING:
    from airflow.models.dagrun import DagRun
    from sqlalchemy.orm import Session

#: Columns that task instances, of the present and the past alike, have for fields of `Try`.
_COLUMNS = tuple(
    name for name in Try._fields if name not in ("current", "dag_version") and "bundle" not in name
)
#: Those that the plan needs.
_PLANNED = ("task_id", "map_index", "try_number", "state", "rendered_map_index")


def planned(dag_run: DagRun) -> list[Try]:
    """Every task instance of a run as far as the plan goes: by one select, without the past."""
    return _read(dag_run, _plan_select, _planned_try)


def tries(dag_run: DagRun) -> list[Try]:
    """Every task instance of a run with all its tries: by one select."""
    return _read(dag_run, _select, _try)


def _read(dag_run: DagRun, select: Any, row_to_try: Any) -> list[Try]:
    """In the session that the run is in; where it is in none (under ``dag.test()``), nobody's
    transaction is under way, and the select has a session of its own."""
    from airflow import settings
    from sqlalchemy.orm import Session, object_session

    values = {"dag_id": dag_run.dag_id, "run_id": dag_run.run_id}
    session = object_session(dag_run)
    if session is None:
        with Session(settings.engine) as own:
            return [row_to_try(row) for row in own.connection().execute(select(), values)]
    rows = session.connection().execute(select(), values)
    return _with_pending(session, dag_run, [row_to_try(row) for row in rows])


def _planned_try(row: Any) -> Try:
    task_id, map_index, try_number, state, rendered = row
    return Try(task_id, map_index, try_number, state, True, rendered_map_index=rendered)


def _try(row: Any) -> Try:
    identifier = str(row[_ID])
    if len(identifier) == 32:
        identifier = str(UUID(identifier))
    return Try._make((*row[:_ID], identifier, *row[_ID + 1 :]))


_ID = Try._fields.index("id")


@cache
def _plan_select() -> Any:
    from airflow.models.taskinstance import TaskInstance
    from sqlalchemy import bindparam, select

    table = TaskInstance.__table__
    return select(*(table.c[name] for name in _PLANNED)).where(
        table.c.dag_id == bindparam("dag_id"), table.c.run_id == bindparam("run_id")
    )


@cache
def _select() -> Any:
    """Columns in the order of `Try`'s fields.

    Times and ids as the driver gives them: to have them converted takes longer than to read
    them, and `facts.iso` takes both.
    """
    from airflow.models.dag_version import DagVersion
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.taskinstancehistory import TaskInstanceHistory
    from sqlalchemy import TIMESTAMP, String, bindparam, literal, select, type_coerce, union_all

    times = TIMESTAMP(timezone=True)
    parts = []
    for table, identifier, current in (
        (TaskInstance.__table__, "id", True),
        (TaskInstanceHistory.__table__, "task_instance_id", False),
    ):
        version = DagVersion.__table__.alias()
        others = {
            "current": literal(current),
            "id": type_coerce(table.c[identifier], String),
            "dag_version": version.c.version_number,
            "bundle_name": version.c.bundle_name,
            "bundle_version": version.c.bundle_version,
        }
        columns = []
        for name in Try._fields:
            column = others[name] if name in others else table.c[name]
            if name.endswith(("_date", "_dttm")):
                column = type_coerce(column, times)
            columns.append(column.label(name))
        parts.append(
            select(*columns)
            .select_from(table.outerjoin(version, table.c.dag_version_id == version.c.id))
            .where(table.c.dag_id == bindparam("dag_id"), table.c.run_id == bindparam("run_id"))
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


def dag(dag_run: DagRun, redact: Any) -> DagFacts | None:
    """The structure of the run's DAG, where the caller has it loaded; redact as in `run`."""
    found = getattr(dag_run, "dag", None)
    return _structure(found, redact) if found is not None else None


def _structure(dag: Any, redact: Any) -> DagFacts:
    groups = list(_groups(dag.task_group, None))
    return DagFacts(
        tasks=tuple(_task(task) for task in dag.task_dict.values()),
        groups=tuple(groups),
        file=getattr(dag, "fileloc", None),
        params=_params(dag.params, redact),
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


def _params(params: Any, redact: Any) -> dict[str, Any] | None:
    found = params.dump() if hasattr(params, "dump") else dict(params or {})
    return {key: redact(plain(value), key) for key, value in found.items()} or None


def _differs(value: Any, other: str) -> str | None:
    return str(value) if value and value != other else None


def _text(value: Any) -> str | None:
    """A value of any of Airflow's types as text; times in ISO 8601."""
    if value is None:
        return None
    if hasattr(value, "isoformat"):
        return str(value.isoformat())
    return str(getattr(value, "value", value))
