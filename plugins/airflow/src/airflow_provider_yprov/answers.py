"""The facts in what Airflow's REST API answers, under the names that `snapshot` has for them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from airflow_provider_yprov.facts import DagFacts, GroupFacts, RunFacts, TaskFacts, Try
from airflow_provider_yprov.past import Past, Row
from yprov4wms.plain import plain


def run_facts(past: Past) -> RunFacts:
    run = past.run
    names = (
        *("run_type", "triggered_by", "logical_date", "data_interval_start"),
        *("data_interval_end", "run_after", "queued_at", "partition_key", "bundle_version"),
    )
    conf = run.get("conf")
    ended = run.get("state") in ("success", "failed")
    return RunFacts(
        dag_id=run["dag_id"],
        run_id=run["dag_run_id"],
        state=run["state"],
        start_date=when(run.get("start_date")),
        end_date=when(run.get("end_date")),
        conf=plain(conf) if isinstance(conf, dict) and conf else None,
        triggering_user=run.get("triggering_user_name"),
        attributes={
            **{name: _moment(run.get(name)) for name in names},
            "dag_source_sha256": past.source,
            "airflow_version_at_import": past.airflow,
            "state_at_import": None if ended else run["state"],
        },
    )


def tries(past: Past) -> list[Try]:
    """Every try, those of the past first."""
    found = [_try(row, False) for rows in past.tries.values() for row in rows]
    return found + [_try(row, True) for row in past.instances]


_SAME = (
    *("task_id", "map_index", "try_number", "state", "hostname", "pid", "operator", "max_tries"),
    *("unixname", "pool", "pool_slots", "queue", "priority_weight", "executor"),
)


def _try(row: Row, current: bool) -> Try:
    version = row.get("dag_version") or {}
    same: Row = {name: row.get(name) for name in _SAME}
    rendered = row.get("rendered_map_index")
    return Try(
        **same,
        current=current,
        id=row.get("id"),
        start_date=when(row.get("start_date")),
        end_date=when(row.get("end_date")),
        queued_dttm=when(row.get("queued_when")),
        scheduled_dttm=when(row.get("scheduled_when")),
        # Where a task has no template for it, the API gives the index.
        rendered_map_index=rendered if rendered != str(row["map_index"]) else None,
        dag_version=version.get("version_number"),
        bundle_name=version.get("bundle_name"),
        bundle_version=version.get("bundle_version"),
    )


def dag_facts(past: Past) -> DagFacts:
    """The DAG as far as it is known of the run's version: else task ids and operators alone."""
    mapped = _mapped(past)
    around = {
        name: tuple(g for g in sorted(past.groups, key=len) if name in past.groups[g])
        for name in {row["task_id"] for row in (*past.instances, *(past.tasks or ()))}
    }

    def task(row: Row, **more: Any) -> TaskFacts:
        groups = around[row["task_id"]]
        return TaskFacts(
            row["task_id"],
            row.get("operator_name"),
            groups=groups,
            mapped_groups=tuple(group for group in groups if group in mapped),
            **more,
        )

    if past.tasks is None:
        tasks = list({row["task_id"]: task(row) for row in past.instances}.values())
    else:
        upstream: dict[str, set[str]] = {}
        for row in past.tasks:
            for name in row.get("downstream_task_ids") or ():
                upstream.setdefault(name, set()).add(row["task_id"])
        declared = _declared(past)
        tasks = [
            task(
                row,
                upstream=tuple(sorted(upstream.get(row["task_id"], ()))),
                mapped=bool(row.get("is_mapped")),
                doc=row.get("doc_md"),
                attributes=_task_attributes(row, around[row["task_id"]], declared),
            )
            for row in past.tasks
        ]
    details = past.details or {}
    return DagFacts(
        tasks=tuple(tasks),
        groups=tuple(_group(name, past.groups, mapped) for name in sorted(past.groups)),
        file=details.get("fileloc"),
        attributes=_dag_attributes(details),
        params={key: plain(_default(value)) for key, value in (details.get("params") or {}).items()}
        or None,
    )


def _default(param: Any) -> Any:
    return param.get("value") if isinstance(param, dict) else param


def _group(name: str, groups: Mapping[str, set[str]], mapped: set[str]) -> GroupFacts:
    outer = [g for g in groups if name.startswith(f"{g}.") and groups[name] <= groups[g]]
    is_mapped = name in mapped
    about = {"mapped_known_by": "the map indices of its task instances"} if is_mapped else {}
    return GroupFacts(name, max(outer, key=len, default=None), is_mapped, None, about)


def indexed(past: Past) -> set[str]:
    """Tasks in a mapped group: they are not mapped themselves, and have several instances."""
    plain_tasks = {row["task_id"] for row in past.tasks or () if row.get("is_mapped") is False}
    return {row["task_id"] for row in past.instances if row["map_index"] >= 0} & plain_tasks


def _mapped(past: Past) -> set[str]:
    """The groups that are expanded, where there is no doubt which of several it is."""
    inside = indexed(past)
    once = {r["task_id"] for r in past.instances if r["map_index"] < 0 and r.get("pid") is not None}
    mapped_tasks = {row["task_id"] for row in past.tasks or () if row.get("is_mapped")}
    single = once - mapped_tasks
    possible = {g for g, names in past.groups.items() if names & inside and not names & single}
    found: set[str] = set()
    for name in inside:
        chain = [group for group in possible if name in past.groups[group]]
        found.update(chain if len(chain) == 1 else ())
    return found


def _declared(past: Past) -> dict[str, dict[str, list[str]]]:
    """By task the URIs of its inlets and outlets."""
    found: dict[str, dict[str, list[str]]] = {}
    for kind, key in (("inlets", "consuming_tasks"), ("outlets", "producing_tasks")):
        for asset, task in references(past, key):
            found.setdefault(task, {}).setdefault(kind, []).append(asset["uri"] or asset["name"])
    return found


def references(past: Past, key: str) -> Iterator[tuple[Row, str]]:
    """Assets, each with a task of the DAG that names it. key: as the API calls these."""
    for asset in past.assets:
        for reference in asset.get(key) or ():
            if reference["dag_id"] == past.run["dag_id"]:
                yield asset, reference["task_id"]


def _task_attributes(
    row: Row, groups: tuple[str, ...], declared: Mapping[str, Mapping[str, list[str]]]
) -> dict[str, Any]:
    made_of = row.get("class_ref") or {}
    parts = (made_of.get("module_path"), made_of.get("class_name"))
    retries = int(row.get("retries") or 0)
    found = {
        "operator_class": ".".join(part for part in parts if part) or None,
        "trigger_rule": row.get("trigger_rule"),
        "mapped": row.get("is_mapped") or None,
        "group": groups[-1] if groups else None,
        "owner": row.get("owner"),
        "pool": row.get("pool"),
        "queue": row.get("queue"),
        "priority_weight": _whole(row.get("priority_weight")),
        "retries": retries,
        "retry_delay": _duration(row.get("retry_delay")) if retries else None,
        "execution_timeout": _duration(row.get("execution_timeout")),
        "depends_on_past": row.get("depends_on_past") or None,
    }
    for kind, names in declared.get(row["task_id"], {}).items():
        found[kind] = ", ".join(sorted(names))
    return {key: value for key, value in found.items() if value is not None}


def _dag_attributes(details: Row) -> dict[str, Any]:
    if not details:
        return {}
    title = details.get("dag_display_name")
    return {
        "relative_file": details.get("relative_fileloc"),
        "dag_display_name": title if title != details["dag_id"] else None,
        "description": details.get("description"),
        "doc": details.get("doc_md"),
        "schedule": details.get("timetable_summary"),
        "tags": ", ".join(sorted(tag["name"] for tag in details.get("tags") or ())) or None,
        "owner": ", ".join(details.get("owners") or ()) or None,
        "catchup": details.get("catchup") or None,
        "max_active_runs": details.get("max_active_runs"),
        "dagrun_timeout": _duration(details.get("dag_run_timeout")),
    }


def when(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _moment(value: Any) -> Any:
    """A time as `snapshot` writes it; other values as they are."""
    try:
        return datetime.fromisoformat(value).isoformat() if len(value) > 10 else value
    except (TypeError, ValueError):
        return value


def _whole(number: Any) -> Any:
    return int(number) if isinstance(number, float) and number.is_integer() else number


def _duration(value: Any) -> str | None:
    """The API has days, seconds and microseconds; or a duration of ISO 8601."""
    if isinstance(value, dict):
        parts = ("days", "seconds", "microseconds")
        return str(timedelta(**{part: value.get(part) or 0 for part in parts}))
    return str(value) if value else None
