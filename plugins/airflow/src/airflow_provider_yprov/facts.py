"""What is known of a DAG run, as primitives; and what events tell of it."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any, NamedTuple

from airflow_provider_yprov import __version__
from airflow_provider_yprov.ids import task_key
from yprov4wms import __version__ as core_version
from yprov4wms import events
from yprov4wms.events import File, Person, Software, Status

PACKAGE = "airflow-provider-yprov"
ENGINE = "airflow"


class TaskFacts(NamedTuple):
    """A task as the DAG has it. groups: the ids of the groups around it, outermost first.

    mapped_groups: those of them that are expanded. mapped: it is expanded itself.
    """

    task_id: str
    operator: str | None = None
    upstream: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    mapped_groups: tuple[str, ...] = ()
    mapped: bool = False
    doc: str | None = None
    attributes: Mapping[str, Any] = {}


class GroupFacts(NamedTuple):
    group_id: str
    parent: str | None
    mapped: bool
    doc: str | None
    attributes: Mapping[str, Any] = {}


class DagFacts(NamedTuple):
    """The structure of one version of a DAG. file: where the DAG is defined."""

    tasks: tuple[TaskFacts, ...]
    groups: tuple[GroupFacts, ...] = ()
    file: str | None = None
    attributes: Mapping[str, Any] = {}
    params: Mapping[str, Any] | None = None


class Try(NamedTuple):
    """One row of Airflow's ``task_instance`` or ``task_instance_history``.

    current: of the former.
    """

    task_id: str
    map_index: int
    try_number: int
    state: str | None
    current: bool
    id: str | None = None
    start_date: datetime | None = None
    end_date: datetime | None = None
    hostname: str | None = None
    pid: int | None = None
    operator: str | None = None
    max_tries: int | None = None
    unixname: str | None = None
    pool: str | None = None
    pool_slots: int | None = None
    queue: str | None = None
    priority_weight: int | None = None
    executor: str | None = None
    queued_dttm: datetime | None = None
    scheduled_dttm: datetime | None = None
    external_executor_id: str | None = None
    rendered_map_index: str | None = None
    retry_reason: str | None = None
    dag_version: int | None = None
    bundle_name: str | None = None
    bundle_version: str | None = None


class RunFacts(NamedTuple):
    """One DAG run. attributes: what else is known of it, under Airflow's names. serial: of the
    database, which tells apart runs that had the same id one after the other."""

    dag_id: str
    run_id: str
    state: str
    start_date: datetime | None = None
    end_date: datetime | None = None
    conf: Mapping[str, Any] | None = None
    triggering_user: str | None = None
    attributes: Mapping[str, Any] = {}
    serial: str | None = None


#: Of a task instance that ends in this state, what that means for a task of any engine.
_STATUS = {
    "success": Status.COMPLETED,
    "failed": Status.FAILED,
    "up_for_retry": Status.FAILED,
    "skipped": Status.SKIPPED,
    "upstream_failed": Status.UPSTREAM_FAILED,
    "removed": Status.NOT_STARTED,
}
#: Of a task instance in this state a try is under way, in a process or between two.
_UNDER_WAY = frozenset(("running", "deferred", "up_for_reschedule", "restarting", "awaiting_input"))
_REASON = {
    "skipped": "skipped by Airflow",
    "upstream_failed": None,
    "removed": "removed from the DAG, or from what it is mapped over",
}
_RUN_STATUS = {"success": Status.COMPLETED, "failed": Status.FAILED}


def iso(moment: datetime | None) -> str | None:
    """A time as events carry it."""
    if moment is None:
        return None
    if moment.tzinfo is not None:
        moment = moment.astimezone(UTC).replace(tzinfo=None)
    return moment.isoformat(timespec="microseconds") + "+00:00"  # the database's are UTC


def run_started(
    run: RunFacts,
    dag: DagFacts | None,
    engine_version: str | None,
    *,
    orcid: str | None = None,
    person: str | None = None,
    **more: Any,
) -> events.RunStarted:
    """The event of the run's start, as far as these facts go; ``more`` are further fields."""
    names = Person(login=run.triggering_user, name=person, orcid=orcid)
    config = {
        "conf": dict(run.conf) if run.conf else None,
        "params": _merged(dag.params, run.conf) if dag and dag.params else None,
    }
    attributes = {**run.attributes, **(dag.attributes if dag else {})}
    return events.RunStarted(
        engine=Software(name=ENGINE, kind="engine", version=engine_version),
        workflow=run.dag_id,
        directory=(dag.file or "").rpartition("/")[0] if dag else "",
        began=iso(run.start_date),
        serial=run.serial,
        main_file=File(dag.file) if dag and dag.file else None,
        engine_run_id=run.run_id,
        config={key: value for key, value in config.items() if value} or None,
        person=names if any((names.login, names.name, names.orcid)) else None,
        attributes={key: value for key, value in attributes.items() if value is not None} or None,
        **more,
    )


def _merged(params: Mapping[str, Any] | None, conf: Mapping[str, Any] | None) -> dict[str, Any]:
    """DAG params with what the run's conf says instead (``dag_run_conf_overrides_params``)."""
    return {key: (conf or {}).get(key, value) for key, value in (params or {}).items()}


def parameters(rendered: Mapping[str, Any]) -> dict[str, Any] | None:
    """Template fields, without those that are empty."""
    found = {
        name: value
        for name, value in rendered.items()
        # An array has no truth of its own.
        if value is not None and not (isinstance(value, str | list | dict | tuple) and not value)
    }
    return found or None


def software() -> list[Software]:
    """This plugin, the core, and Python."""
    return [
        Software(name=PACKAGE, kind="plugin", version=__version__),
        Software(name="yprov4wms", kind="package", version=core_version),
        Software(name="python", kind="interpreter", version=platform.python_version()),
    ]


def run_ended(run: RunFacts, error: str | None) -> events.RunEnded | None:
    """None where the run has not ended."""
    status = _RUN_STATUS.get(run.state)
    if status is None:
        return None
    failed = status is Status.FAILED
    return events.RunEnded(
        status=status, finished=iso(run.end_date), error=error if failed else None
    )


def plan(dag: DagFacts | None, tries: list[Try]) -> Iterator[events.Event]:
    """The steps, and every task instance with what it depends on."""
    steps = {task.task_id: task for task in dag.tasks} if dag else {}
    for group in dag.groups if dag else ():
        yield events.StepDeclared(
            step=group.group_id,
            type="MappedTaskGroup" if group.mapped else "TaskGroup",
            parent=group.parent,
            doc=group.doc,
            attributes=dict(group.attributes) or None,
        )
    for task in steps.values():
        yield events.StepDeclared(
            step=task.task_id,
            type=task.operator,
            parent=task.groups[-1] if task.groups else None,
            depends_on=sorted(task.upstream) or None,
            doc=task.doc,
            attributes=dict(task.attributes) or None,
        )
    found = _Expansion(steps, tries)
    for task_id in found.stand_ins():
        yield events.TaskPlanned(
            task=task_id, step=task_id, depends_on=found.upstream(task_id, -1), unexpanded=True
        )
    for row in tries:
        if row.current:
            yield events.TaskPlanned(
                task=task_key(row.task_id, row.map_index),
                step=row.task_id,
                label=_label(row),
                depends_on=found.upstream(row.task_id, row.map_index),
                unexpanded=row.map_index < 0 and found.is_mapped(row.task_id),
            )


def _label(row: Try) -> str | None:
    if row.map_index < 0 or not row.rendered_map_index:
        return None
    return f"{row.task_id}[{row.map_index}: {row.rendered_map_index}]"


class _Expansion:
    """Which task instances there are of each task, and on which others each depends."""

    def __init__(self, steps: Mapping[str, TaskFacts], tries: list[Try]) -> None:
        self._steps = steps
        self._counts: dict[str, int] = {}
        self._unexpanded: set[str] = set()
        for row in tries:
            if not row.current:
                continue
            if row.map_index >= 0:
                self._counts[row.task_id] = self._counts.get(row.task_id, 0) + 1
            else:
                self._unexpanded.add(row.task_id)
        #: One list for all instances that depend on the same.
        self._whole: dict[str, list[str] | None] = {}

    def is_mapped(self, task_id: str) -> bool:
        """Whether the DAG says that there may be several instances of it."""
        task = self._steps.get(task_id)
        return task_id in self._counts or bool(task and (task.mapped or task.mapped_groups))

    def stand_ins(self) -> list[str]:
        """Mapped tasks of which there is no instance without an index."""
        return [task_id for task_id in self._counts if task_id not in self._unexpanded]

    def upstream(self, task_id: str, map_index: int) -> list[str] | None:
        """Ids of the task instances that this one waits for; a mapped task's own id for all."""
        task = self._steps.get(task_id)
        if task is None or not task.upstream:
            return None
        if map_index < 0 or not task.mapped_groups:
            if task_id not in self._whole:
                self._whole[task_id] = sorted(task.upstream)
            return self._whole[task_id]
        return [
            name
            for upstream in sorted(task.upstream)
            for name in self._relevant(task, map_index, upstream)
        ]

    def _relevant(self, task: TaskFacts, map_index: int, upstream: str) -> list[str]:
        """Inside one mapped group an instance sees those of its own expansion alone.

        As ``airflow.models.taskinstance._get_relevant_map_indexes`` has it.
        """
        other = self._steps.get(upstream)
        common = [group for group in task.mapped_groups if other and group in other.mapped_groups]
        own = self._counts.get(task.task_id, 0)
        if not common or other is None or not own:
            return [upstream]
        around = self._expansions(common[-1])
        if not around:
            return [upstream]
        index = map_index * around // own
        if not _further_mapped(other, common[-1]):
            return [task_key(upstream, index)]
        further = own // around
        return [task_key(upstream, i) for i in range(index * further, (index + 1) * further)]

    def _expansions(self, group: str) -> int:
        """How often a group was expanded: so many instances has a task that it maps alone."""
        for task in self._steps.values():
            if group in task.mapped_groups and not _further_mapped(task, group):
                return self._counts.get(task.task_id, 0)
        return 0


def _further_mapped(task: TaskFacts, group: str) -> bool:
    return task.mapped or task.mapped_groups[-1] != group


def outcomes(tries: list[Try]) -> Iterator[events.Event]:
    """What became of every try; of a task instance those of the past come first."""
    past = {(row.task_id, row.map_index, row.try_number) for row in tries if not row.current}
    for row in sorted(tries, key=lambda row: row.current):
        task = task_key(row.task_id, row.map_index)
        status = _STATUS.get(row.state or "")
        # A task instance that was cleared keeps number and process id of its last try until the
        # next; what somebody then says of it by hand is not of that one.
        again = row.current and (row.task_id, row.map_index, row.try_number) in past
        executed = row.pid is not None and not again
        ran = executed or row.state in ("success", "failed", "up_for_retry")
        attempt = max(1, row.try_number) + again
        if row.state in _UNDER_WAY:
            yield events.TaskNoted(task=task, attempt=attempt, attributes=_attributes(row))
        elif status is not None and ran and status is not Status.UPSTREAM_FAILED:
            yield events.TaskEnded(
                task=task,
                attempt=attempt,
                status=Status.CANCELLED if status is Status.NOT_STARTED else status,
                began=None if again else iso(row.start_date),
                finished=iso(row.end_date),
                host=None if again else row.hostname or None,
                attributes=_attributes(row),
            )
        else:
            yield events.TaskNotRun(
                task=task,
                status=status or Status.NOT_STARTED,
                before=None if row.current else row.try_number,
                reason=_REASON.get(row.state or "", f"the run ended while it was {row.state}"),
                attributes=_attributes(row),
            )


_NAMES = (
    *("state", "try_number", "max_tries", "map_index", "operator", "unixname", "pool"),
    *("pool_slots", "queue", "priority_weight", "executor", "external_executor_id"),
    *("rendered_map_index", "retry_reason", "dag_version", "bundle_name", "bundle_version"),
)
_VALUES = attrgetter(*_NAMES)


def _attributes(row: Try) -> dict[str, Any]:
    """Under Airflow's own names. No process: nothing was executed for this try."""
    values = zip(_NAMES, _VALUES(row), strict=True)
    found = {name: value for name, value in values if value is not None and value != ""}
    if row.id is not None:
        found["task_instance_id"] = row.id
    if row.pid is None:
        found["no_process"] = True
    if row.queued_dttm is not None:
        found["queued"] = iso(row.queued_dttm)
    if row.scheduled_dttm is not None:
        found["scheduled"] = iso(row.scheduled_dttm)
    return found
