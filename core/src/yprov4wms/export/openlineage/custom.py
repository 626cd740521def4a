"""Facets of our own, for what the spec has no facet for.

Their names have the prefix ``yprov4wms_``, as the spec asks of custom facets; the JSON Schema of
each lies in ``schemas/`` under the name that its ``_schemaURL`` ends with.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from msgspec import structs

from yprov4wms.events import Figure, File, Person, Software, Status, TaskEnded, TaskStarted
from yprov4wms.export.openlineage.facets import PRODUCER, Facets
from yprov4wms.metering.energy import carbon
from yprov4wms.metering.names import CARBON, ENERGY, GPU_ENERGY
from yprov4wms.run import Attempt, Run, Task

PREFIX = "yprov4wms_"
RUN = f"{PREFIX}run"
ATTEMPT = f"{PREFIX}attempt"
RESOURCES = f"{PREFIX}resources"
ML_RUNS = f"{PREFIX}mlRuns"
NOT_RUN = f"{PREFIX}notRun"
FILE = f"{PREFIX}file"
ROLE = f"{PREFIX}role"

#: By facet the definition in its schema.
SCHEMAS = {
    RUN: "Yprov4wmsRunRunFacet",
    ATTEMPT: "Yprov4wmsAttemptRunFacet",
    RESOURCES: "Yprov4wmsResourcesRunFacet",
    ML_RUNS: "Yprov4wmsMlRunsRunFacet",
    NOT_RUN: "Yprov4wmsNotRunJobFacet",
    FILE: "Yprov4wmsFileDatasetFacet",
    ROLE: "Yprov4wmsRoleDatasetFacet",
}
_VERSION = "1-0-0"


def schema_id(definition: str) -> str:
    """The identifier of the schema in which a facet is defined."""
    return f"urn:yprov4wms:openlineage:{_VERSION}:{definition}.json"


def facet(name: str, content: Mapping[str, Any]) -> Facets:
    """By its name, with what is known; none where nothing is."""
    known = {key: value for key, value in content.items() if value is not None}
    if not known:
        return {}
    definition = SCHEMAS[name]
    url = f"{schema_id(definition)}#/$defs/{definition}"
    return {name: {"_producer": PRODUCER, "_schemaURL": url, **known}}


def workflow(run: Run, parent_run_id: str | None) -> Facets:
    """The workflow run as the record has it."""
    start, git = run.start, run.start.git
    around = start.parent
    parent: dict[str, Any] | None = None
    if around is not None:
        parent = _known(
            {
                "run": around.run,
                "task": around.task,
                "attempt": around.attempt,
                "runId": parent_run_id,
            }
        )
    code: dict[str, Any] | None = None
    if git is not None:
        code = _known(
            {
                "commit": git.commit,
                "branch": git.branch,
                "dirty": git.dirty,
                "changed": git.changed,
            }
        )
    return facet(
        RUN,
        {
            "status": None if start.imported and run.end is None else run.status.value,
            "imported": start.imported or None,
            "engineRunId": start.engine_run_id,
            "executor": start.executor,
            "command": shlex.join(start.command) if start.command else None,
            "directory": start.directory or None,
            "host": start.host,
            "mainFile": _script(start.main_file),
            "git": code or None,
            "person": _plain(start.person) if start.person is not None else None,
            "software": _software(start.software),
            "results": (run.end.results if run.end else None) or None,
            "engine": start.attributes or None,
            "parent": parent,
            "recorderFailures": len(run.failures) or None,
            "unreadableEvents": len(run.problems) or None,
        },
    )


def attempt(
    task: Task,
    tried: Attempt,
    start: TaskStarted | None,
    end: TaskEnded | None,
    status: Status | None,
    retry_of: str | None,
) -> Facets:
    """One attempt of a task. status: None where it is not known."""
    host = (end.host if end else None) or (start.host if start else None)
    processes = end.processes if end else None
    engine: dict[str, Any] = {}
    for told in (task, start, end):
        engine |= (told.attributes if told is not None else None) or {}
    return facet(
        ATTEMPT,
        {
            "task": task.id,
            "step": task.step or None,
            "attempt": tried.number,
            "status": status.value if status is not None else None,
            "retryOf": {"runId": retry_of} if retry_of else None,
            "command": start.command if start else None,
            "script": _script(start.script) if start else None,
            "reason": start.reason if start else None,
            "host": host,
            "externalId": tried.external_id,
            "pid": processes[0].pid if processes else None,
            "exitCode": end.exit_code if end else None,
            "signal": end.signal if end else None,
            "software": _software(start.software) if start else None,
            "results": (end.results if end else None) or None,
            "engine": engine or None,
        },
    )


def _software(found: list[Software] | None) -> list[dict[str, Any]] | None:
    return [_plain(one) for one in found] if found else None


def _plain(found: Software | Person) -> dict[str, Any]:
    """What is known of it, by the names that it has in the journal."""
    return _known(structs.asdict(found))


def _script(file: File | None) -> dict[str, Any] | None:
    return _known({"path": file.path, "sha256": file.sha256}) if file is not None else None


def resources(usage: Mapping[str, Figure] | None, intensity: float | None) -> Facets:
    """Figures with their units and methods. intensity: of the grid, gCO2e/kWh."""
    if not usage:
        return {}
    figures = dict(usage)
    footprint = carbon(usage.get(ENERGY), usage.get(GPU_ENERGY), intensity)
    if footprint is not None:
        figures[CARBON] = footprint
    found = {
        name: _known(
            {
                "unit": figure.unit,
                "method": figure.method,
                "value": figure.value,
                "low": figure.low,
                "high": figure.high,
                "scope": figure.scope,
            }
        )
        for name, figure in figures.items()
    }
    return facet(RESOURCES, {"figures": found})


def not_run(run_id: str, task: Task, status: Status, reason: str | None) -> Facets:
    """That a task of a run never ran, or did not then."""
    return facet(
        NOT_RUN,
        {
            "run": {"runId": run_id},
            "task": task.id,
            "step": task.step or None,
            "status": status.value,
            "reason": reason,
        },
    )


def file(found: File, origin: str | None) -> Facets:
    """What the spec's facets do not say of a file."""
    return facet(
        FILE,
        {
            "name": found.name,
            "format": found.format,
            "sha1": found.sha1,
            "target": found.target,
            "secondaryOf": found.secondary_of,
            "origin": origin,
            "note": found.note,
        },
    )


def _known(content: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in content.items() if value is not None}
