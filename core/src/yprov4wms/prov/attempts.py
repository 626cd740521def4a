"""The attributes of one attempt: what ran, how, what became of it, what it cost."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from yprov4wms.events import Figure, TaskEnded, TaskStarted
from yprov4wms.metering.energy import carbon
from yprov4wms.metering.names import CARBON, ENERGY, GPU_ENERGY, MEMORY_PEAK
from yprov4wms.prov import attributes as attrs
from yprov4wms.prov.values import attributes, string
from yprov4wms.prov.vocabulary import Level, Type
from yprov4wms.run import Attempt, Task, is_time

#: When something began and ended, as events carry times; None where that is unknown.
Times = tuple[str | None, str | None]

_CONSTANT = f'"prov:type":"{Type.TASK_ATTEMPT.value}","yprov4wfs:level":"{Level.TASK.value}"'


def seconds(start: str | None, end: str | None) -> float | None:
    """Seconds between two event times; None where one is unknown or none."""
    if not start or not end:
        return None
    try:
        return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()
    except (ValueError, TypeError):
        return None


def attempt_times(start: TaskStarted | None, end: TaskEnded | None) -> Times:
    """When an attempt began and ended: its process, where that is known, else its events.

    Where clocks of two hosts contradict each other, the recording host's stand.
    """
    began = (end.began if end else None) or (start.time if start else None) or None
    finished = (end.finished or end.time or None) if end else None
    if _in_order(began, finished):
        return began, finished
    began, finished = (start.time or None) if start else None, (end.time or None) if end else None
    return (began, finished) if _in_order(began, finished) else (None, finished)


def _in_order(began: str | None, finished: str | None) -> bool:
    """Both of the form that events have (so that they compare as text), and not reversed."""
    if began is not None and not is_time(began):
        return False
    if finished is None:
        return True
    return is_time(finished) and (began is None or began <= finished)


def attempt_attributes(
    task: Task,
    attempt: Attempt,
    start: TaskStarted | None,
    end: TaskEnded | None,
    times: Times,
    intensity: float | None,
    lost: bool,
) -> str:
    """As JSON text.

    times: as `attempt_times` gives them. intensity: of the grid, gCO2e/kWh; without it there
    is no CO2 figure. lost: it ended, and its end was not recorded, so that its status is
    not known.
    """
    began, finished = times
    label = f"{task.name} (attempt {attempt.number})" if attempt.number > 1 else task.name
    text = f'"prov:label":{string(label)},{_CONSTANT}'
    if began:
        text += f',"prov:startTime":"{began}"'
    if finished:
        text += f',"prov:endTime":"{finished}"'
    values: dict[str, Any] = {
        "yprov4wfs:status": None if lost else attempt.status.value,
        "yprov4wfs:execution_time_sec": seconds(began, finished),
        "yprov4wms:task": task.id,
        "yprov4wms:step": task.step or None,
        "yprov4wms:attempt": attempt.number,
        "yprov4wms:external_id": attempt.external_id,
    }
    if task.attributes:
        values |= attrs.keyed("engine", task.attributes)
    if start is not None:
        _add_start(values, start)
    usage: dict[str, Figure] = {}
    if end is not None:
        _add_end(values, end)
        usage = end.usage or usage
    if usage:
        _add_ecosystem_figures(values, usage, intensity)
    return f"{text},{attributes(values)}{attrs.figures(usage)}"


def _add_start(values: dict[str, Any], start: TaskStarted) -> None:
    values["yprov4wms:command"] = start.command
    if start.script:
        values["yprov4wms:script"] = start.script.path
        values["yprov4wms:script_sha256"] = start.script.sha256
    values["yprov4wms:threads"] = start.threads
    values["yprov4wms:reason"] = start.reason
    values["yprov4wms:host"] = start.host
    for kind, found in (
        ("param", start.parameters),
        ("wildcard", start.wildcards),
        ("resource", start.resources),
        ("engine", start.attributes),
    ):
        if found:
            values |= attrs.keyed(kind, found, null="null" if kind == "param" else None)


def _add_end(values: dict[str, Any], end: TaskEnded) -> None:
    values["yprov4wms:exit_code"] = end.exit_code
    values["yprov4wms:signal"] = end.signal
    values["yprov4wms:error"] = end.error
    if end.host:
        values["yprov4wms:host"] = end.host
    if end.processes:
        values["yprov4wms:pid"] = end.processes[0].pid
        values["yprov4wms:started_processes"] = len(end.processes)
    if end.results:
        values |= attrs.keyed("output", end.results, null="null")
    if end.attributes:
        values |= attrs.keyed("engine", end.attributes)


def _add_ecosystem_figures(
    values: dict[str, Any], usage: dict[str, Figure], intensity: float | None
) -> None:
    """Figures under the names by which yProv4WFs' tools know them, too."""
    memory = usage.get(MEMORY_PEAK)
    if memory is not None and memory.value is not None:
        values["yprov4wfs:ram_usage_mb"] = memory.value / 1e6
    if intensity is not None:
        found = carbon(usage.get(ENERGY), usage.get(GPU_ENERGY), intensity)
        if found is not None:
            usage[CARBON] = found
            values["yprov4wfs:carbon_footprint_kg"] = found.value
