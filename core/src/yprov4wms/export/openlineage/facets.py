"""Facets that the OpenLineage spec defines, as far as the record knows what they ask for."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from yprov4wms import __version__
from yprov4wms.events import Git, Software, StepDeclared, TaskEnded, TaskStarted
from yprov4wms.export.openlineage.names import Name
from yprov4wms.export.urls import repository

Facet = dict[str, Any]
Facets = dict[str, Facet]

PRODUCER = f"urn:yprov4wms:producer:{__version__}"
_SPEC = "https://openlineage.io/spec"
CORE = f"{_SPEC}/2-0-2/OpenLineage.json#/$defs/"

#: The languages of engines, and of what their steps say as their code.
_ENGINES = {
    "snakemake": "PYTHON",
    "cwltool": "PYTHON",
    "toil": "PYTHON",
    "airflow": "PYTHON",
}
_CODE = {
    "shell": "shell",
    "run": "python",
    "CommandLineTool": "CWL",
    "ExpressionTool": "CWL",
    "Operation": "CWL",
    "Workflow": "CWL",
}
#: What engines call the times for which a run was meant, the first one known counts.
_NOMINAL_START = ("data_interval_start", "logical_date")
_NOMINAL_END = ("data_interval_end",)


def standard(kind: str, release: str, name: str, /, **content: Any) -> Facet:
    """A facet of the spec; kind: of its file, e.g. ``JobTypeJobFacet``."""
    url = f"{_SPEC}/facets/{release}/{kind}.json#/$defs/{name}"
    return {"_producer": PRODUCER, "_schemaURL": url, **content}


def _own_file(kind: str, release: str, /, **content: Any) -> Facet:
    return standard(kind, release, kind, **content)


def parent(run_id: str, job: Name, root_id: str, root: Name) -> Facet:
    """The run around a run, and the outermost one."""
    return _own_file(
        "ParentRunFacet",
        "1-2-0",
        run={"runId": run_id},
        job=job.as_json(),
        root={"run": {"runId": root_id}, "job": root.as_json()},
    )


def dependencies(upstream: Iterable[tuple[Name, str | None]], trigger_rule: str | None) -> Facet:
    """What had to be over before: jobs, with their runs where they ran."""
    found = []
    for job, run_id in upstream:
        one: dict[str, Any] = {"job": job.as_json(), "sequence_trigger_rule": "FINISH_TO_START"}
        if run_id is not None:
            one["run"] = {"runId": run_id}
        found.append(one)
    more = {"trigger_rule": trigger_rule} if trigger_rule else {}
    return _own_file("JobDependenciesRunFacet", "1-0-1", upstream=found, **more)


def processing_engine(engine: Software) -> Facet | None:
    if not engine.version:
        return None
    return _own_file(
        "ProcessingEngineRunFacet",
        "1-1-1",
        version=engine.version,
        name=engine.name,
        openlineageAdapterVersion=__version__,
    )


def job_type(engine: str, kind: str) -> Facet:
    """kind: ``WORKFLOW`` (``DAG``) or ``TASK``."""
    return _own_file(
        "JobTypeJobFacet",
        "2-0-4",
        processingType="BATCH",
        integration=engine.upper(),
        jobType=kind,
        emissionPattern={"eventTrigger": "EVENT_BASED", "eventContentMode": "ACCUMULATIVE"},
    )


def workflow_kind(engine: str) -> str:
    """What a workflow is called as a job."""
    return "DAG" if engine == "airflow" else "WORKFLOW"


def source_code(step: StepDeclared | None) -> Facet | None:
    """The code of a step, where its kind tells the language."""
    language = _CODE.get(step.type or "") if step is not None else None
    if step is None or not step.code or language is None:
        return None
    return _own_file("SourceCodeJobFacet", "1-0-1", language=language, sourceCode=step.code)


def source_code_location(git: Git | None) -> Facet | None:
    """The repository and commit, where it has a remote: without one there is no URL to give."""
    url = repository(git.remote) if git is not None and git.remote else None
    if git is None or url is None:
        return None
    content = {"type": "git", "url": url, "repoUrl": url}
    if git.commit:
        content["version"] = git.commit
    if git.branch:
        content["branch"] = git.branch
    return _own_file("SourceCodeLocationJobFacet", "1-1-0", **content)


def documentation(text: object) -> Facet | None:
    if not isinstance(text, str) or not text:
        return None
    return _own_file("DocumentationJobFacet", "1-1-0", description=text)


def error_message(engine: str, error: str | None, end: TaskEnded | None = None) -> Facet | None:
    """What is known of a failure: the engine's words, else how the process ended."""
    if not error and end is not None:
        if end.signal is not None:
            error = f"killed by signal {end.signal}"
        elif end.exit_code:
            error = f"exit code {end.exit_code}"
    if not error:
        return None
    language = _ENGINES.get(engine, "UNKNOWN")
    return _own_file("ErrorMessageRunFacet", "1-0-1", message=error, programmingLanguage=language)


def nominal_time(attributes: Mapping[str, Any] | None) -> Facet | None:
    """For when the engine says that the run was meant."""
    start = _first_time(attributes or {}, _NOMINAL_START)
    if start is None:
        return None
    end = _first_time(attributes or {}, _NOMINAL_END)
    more = {"nominalEndTime": end} if end else {}
    return _own_file("NominalTimeRunFacet", "1-0-1", nominalStartTime=start, **more)


def _first_time(attributes: Mapping[str, Any], names: tuple[str, ...]) -> str | None:
    for name in names:
        try:
            moment = datetime.fromisoformat(str(attributes.get(name)))
        except ValueError:
            continue
        if moment.tzinfo is not None:
            return moment.isoformat()
    return None


def parameters(groups: Iterable[tuple[str, Mapping[str, Any] | None]]) -> Facet | None:
    """Values by group and name, as text; what is no text is JSON."""
    found = [
        {"key": f"{group}.{name}", "name": name, "value": _text(value)}
        for group, values in groups
        for name, value in (values or {}).items()
    ]
    if not found:
        return None
    return _own_file("ExecutionParametersRunFacet", "1-0-0", parameters=found)


def started_with(start: TaskStarted | None) -> Facet | None:
    """What an attempt was given beside files."""
    if start is None:
        return None
    threads = {"threads": start.threads} if start.threads is not None else None
    return parameters(
        (
            ("parameters", start.parameters),
            ("wildcards", start.wildcards),
            ("resources", start.resources),
            ("engine", threads),
        )
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def dataset_version(version: str) -> Facet:
    return _own_file("DatasetVersionDatasetFacet", "1-0-1", datasetVersion=version)


def dataset_type(subtype: str | None) -> Facet:
    more = {"subType": subtype} if subtype else {}
    return _own_file("DatasetTypeDatasetFacet", "1-0-1", datasetType="FILE", **more)


def lineage(sources: Iterable[Name]) -> Facet:
    """The datasets that a dataset is stated to come from."""
    inputs = [{**source.as_json(), "type": "DATASET"} for source in sources]
    return standard("LineageFacet", "1-0-0", "LineageDatasetFacet", inputs=inputs)


def statistics(direction: str, size: int | None, count: int | None) -> Facet | None:
    """direction: ``Input`` or ``Output``; sizes in bytes."""
    content: dict[str, int] = {}
    if size is not None:
        content["size"] = size
    if count is not None:
        content["fileCount"] = count
    if not content:
        return None
    version = {"Input": "1-0-0", "Output": "1-0-2"}[direction]
    return _own_file(f"{direction}Statistics{direction}DatasetFacet", version, **content)
