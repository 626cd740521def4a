"""What the CWL documents say: steps, their ports and how these are connected."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from cwltool.process import Process, shortname
from cwltool.update import ORIGINAL_CWLVERSION
from cwltool.utils import aslist
from cwltool.workflow import Workflow, WorkflowStep
from schema_salad.ref_resolver import uri_file_path

from yprov4wms.events import Port, Software, StepDeclared
from yprov4wms.plain import plain, text

#: Of a tool's document, what it runs.
_CODE = ("baseCommand", "arguments", "expression", "stdin", "stdout", "stderr")
#: Of a step's, what decides how often it runs.
_STEP = ("scatterMethod", "when", "outputMethod")


def joined(path: str, name: str) -> str:
    """A step's path: the names of the steps around it and its own."""
    return f"{path}/{name}" if path else name


def process_name(process: Process) -> str:
    """What people call a tool or workflow: its fragment, unless that says nothing; its file."""
    identifier = str(process.tool.get("id", ""))
    document, _, fragment = identifier.partition("#")
    if fragment and fragment != "main":
        return text(fragment.rsplit("/", 1)[-1])
    if identifier.startswith("_:"):
        return "tool"
    return text(document.rstrip("/").rsplit("/", 1)[-1] or "tool")


def steps(process: Process) -> Iterator[StepDeclared]:
    """Every step of a workflow, those of its subworkflows included; a tool is its own step."""
    if isinstance(process, Workflow):
        yield from _steps(process, "")
    else:
        inputs = [_port(port) for port in process.tool["inputs"]]
        outputs = [_port(port) for port in process.tool["outputs"]]
        yield _declared(process_name(process), None, process, {}, inputs, outputs)


def _steps(workflow: Workflow, path: str) -> Iterator[StepDeclared]:
    for step in in_order(workflow):
        name = joined(path, shortname(step.id))
        embedded = step.embedded_tool
        inputs = [_port(port, path, workflow) for port in step.tool["inputs"]]
        outputs = [_port(port) for port in step.tool["outputs"]]
        inner = embedded.tool["outputs"] if isinstance(embedded, Workflow) else ()
        sources = {shortname(port["id"]): port.get("outputSource") for port in inner}
        for port in outputs:
            if sources.get(port.name):
                assert isinstance(embedded, Workflow)
                port.sources = _sources(sources[port.name], name, embedded)
        before = dict.fromkeys(
            source.rpartition("/")[0] for port in inputs for source in port.sources or ()
        )
        declared = _declared(name, path or None, embedded, step.tool, inputs, outputs)
        declared.depends_on = [other for other in before if other and other != path] or None
        yield declared
        if isinstance(embedded, Workflow):
            yield from _steps(embedded, name)


def in_order(workflow: Workflow) -> list[WorkflowStep]:
    """Each after those that it takes something from; else as they are written. cwltool
    shuffles them."""
    place = {step.get("id"): number for number, step in enumerate(workflow.tool["steps"])}
    owner = owners(workflow)
    before = {
        step.id: {
            owner[source]
            for port in step.tool["inputs"]
            for source in aslist(port.get("source") or [])
            if source in owner
        }
        for step in workflow.steps
    }
    after: dict[str, list[str]] = {}
    for step, others in before.items():
        for other in others:
            after.setdefault(other, []).append(step)
    depth = dict.fromkeys(before, 0)
    ready = [step for step, others in before.items() if not others]
    for step in ready:
        for other in after.get(step, ()):
            depth[other] = max(depth[other], depth[step] + 1)
            before[other].discard(step)
            if not before[other]:
                ready.append(other)
    return sorted(workflow.steps, key=lambda step: (depth[step.id], place.get(step.id, 0)))


def workflow_ports(process: Process) -> tuple[list[Port] | None, list[Port] | None]:
    """The inputs and outputs of the workflow itself; a tool's are those of its step."""
    if not isinstance(process, Workflow):
        return None, None
    inputs = [_port(port) for port in process.tool["inputs"]]
    outputs = [_port(port) for port in process.tool["outputs"]]
    for port, declared in zip(outputs, process.tool["outputs"], strict=True):
        if declared.get("outputSource"):
            port.sources = _sources(declared["outputSource"], "", process)
    return inputs or None, outputs or None


def owners(workflow: Workflow) -> dict[str, str]:
    """By a step's output port the step, both by their ids."""
    return {port["id"]: step.id for step in workflow.steps for port in step.tool["outputs"]}


def _sources(found: object, path: str, workflow: Workflow) -> list[str]:
    """Ids of ports as paths: one of a step's, else the workflow's own input."""
    owner = owners(workflow)
    return [
        f"{joined(path, shortname(owner[source]))}/{shortname(source)}"
        if source in owner
        else joined(path, shortname(source))
        for source in map(str, aslist(found))
    ]


def _port(port: Mapping[str, Any], path: str = "", workflow: Workflow | None = None) -> Port:
    found = Port(
        name=shortname(port["id"]),
        type=_type(port.get("type")),
        default=plain(port["default"]) if port.get("default") is not None else None,
        value_from=_text(port.get("valueFrom")),
        format=_text(port.get("format")),
        label=_text(port.get("label")),
        doc=_doc(port.get("doc")),
    )
    if workflow is not None and port.get("source"):
        found.sources = _sources(port["source"], path, workflow)
    return found


def _type(found: object) -> str | None:
    """As CWL's short form writes it: ``File``, ``int?``, ``string[]``."""
    if found is None or isinstance(found, str):
        return shortname(found) if found and "#" in found else found
    if isinstance(found, Mapping):
        if found.get("type") == "array":
            return f"{_type(found.get('items'))}[]"
        name = str(found.get("name") or "")
        return str(found.get("type")) + (f" {shortname(name)}" if "#" in name else "")
    kinds = [_type(kind) or "" for kind in aslist(found)]
    others = [kind for kind in kinds if kind != "null"]
    if len(others) == 1 and len(kinds) == 2:
        return f"{others[0]}?"
    return " | ".join(kinds)


def _declared(
    name: str,
    parent: str | None,
    process: Process,
    step: Mapping[str, Any],
    inputs: list[Port],
    outputs: list[Port],
) -> StepDeclared:
    tool = process.tool
    source, line = _where(process, step)
    attributes: dict[str, Any] = {key: _text(step.get(key)) for key in _STEP}
    attributes["scatter"] = [shortname(port) for port in aslist(step.get("scatter") or [])] or None
    attributes["loop"] = [shortname(port["id"]) for port in step.get("loop") or ()] or None
    attributes["cwl_version"] = cwl_version(process)
    attributes["requirements"] = _classes(process.requirements)
    attributes["hints"] = _classes(process.hints)
    return StepDeclared(
        step=name,
        type=str(tool.get("class", "")) or None,
        label=_text(step.get("label")) or _text(tool.get("label")),
        parent=parent,
        source=source,
        line=line,
        code=_code(tool),
        doc=_doc(step.get("doc")) or _doc(tool.get("doc")),
        software=software(process) or None,
        inputs=inputs or None,
        outputs=outputs or None,
        attributes={key: value for key, value in attributes.items() if value} or None,
    )


def cwl_version(process: Process) -> str | None:
    """As the document has it: cwltool brings it up to its own."""
    return _text(process.metadata.get(ORIGINAL_CWLVERSION) or process.metadata.get("cwlVersion"))


def _classes(requirements: object) -> list[str] | None:
    found = [shortname(str(item["class"])) for item in aslist(requirements or [])]
    return list(dict.fromkeys(found)) or None


def _code(tool: Mapping[str, Any]) -> str | None:
    found = {key: plain(tool[key]) for key in _CODE if tool.get(key)}
    return text(json.dumps(found, ensure_ascii=False)) if found else None


def _where(process: Process, step: Mapping[str, Any]) -> tuple[str | None, int | None]:
    """The file in which a tool stands, and the line on which it begins (or its step does)."""
    for document in (process.tool, step):
        place = getattr(document, "lc", None)
        name = getattr(place, "filename", None)
        if name:
            path = uri_file_path(name) if str(name).startswith("file://") else str(name)
            return text(path), (getattr(place, "line", None) or 0) + 1
    return None, None


def variables(process: Process) -> list[tuple[str, object]]:
    """Names and values that EnvVarRequirement gives, of the process and of all in it."""
    required: Any = process.get_requirement("EnvVarRequirement")[0] or {}
    found = [(str(item["envName"]), item.get("envValue")) for item in required.get("envDef") or ()]
    for step in process.steps if isinstance(process, Workflow) else ():
        found += variables(step.embedded_tool)
    return found


def software(process: Process) -> list[Software]:
    """What SoftwareRequirement asks for, and the image that DockerRequirement names."""
    found = packages(process)
    docker = process.get_requirement("DockerRequirement")[0] or {}
    image = docker.get("dockerImageId") or docker.get("dockerPull") or docker.get("dockerImport")
    if image or docker.get("dockerFile"):
        found.append(Software(name=text(str(image or "dockerFile")), kind="container"))
    return found


def packages(process: Process) -> list[Software]:
    """What SoftwareRequirement asks for."""
    found = []
    required = process.get_requirement("SoftwareRequirement")[0] or {}
    for package in aslist(required.get("packages") or []):
        versions, specs = aslist(package.get("version") or []), aslist(package.get("specs") or [])
        found.append(
            Software(
                name=text(str(package.get("package"))),
                kind="package",
                version=", ".join(map(str, versions)) or None,
                url=", ".join(map(str, specs)) or None,
            )
        )
    return found


def _text(value: object) -> str | None:
    return text(str(value)) if value is not None and value != "" else None


def _doc(value: object) -> str | None:
    return _text("\n".join(map(str, value)) if isinstance(value, list) else value)
