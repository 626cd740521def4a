"""RO-Crates: reading one, and what the Provenance Run Crate profile 0.5 requires of it."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from tests.documents import environment

METADATA = "ro-crate-metadata.json"
Entity = dict[str, Any]
Graph = dict[str, Entity]

_ACTIONS = {"CreateAction", "ActivateAction", "UpdateAction"}
_TOOLS = {"SoftwareApplication", "SoftwareSourceCode", "ComputationalWorkflow"}
_PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5",
    "https://w3id.org/ro/wfrun/workflow/0.5",
    "https://w3id.org/ro/wfrun/provenance/0.5",
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0",
}


def files(path: Path) -> dict[str, bytes]:
    """By path what is in a crate, a zip file or a folder."""
    if path.is_dir():
        found = [one for one in path.rglob("*") if one.is_file()]
        return {str(one.relative_to(path)): one.read_bytes() for one in found}
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        assert len(set(names)) == len(names)
        return {name: archive.read(name) for name in names}


def graph(path: Path) -> Graph:
    """The entities of a crate by their ids."""
    document = json.loads(files(path)[METADATA])
    found = {entity["@id"]: entity for entity in document["@graph"]}
    assert len(found) == len(document["@graph"]), "an id stands twice"
    return found


def many(entity: Entity, name: str) -> list[Any]:
    """The values of a property: one of a kind is no list in the file."""
    found = entity.get(name, [])
    return found if isinstance(found, list) else [found]


def types(entity: Entity) -> set[str]:
    return set(many(entity, "@type"))


def of_type(found: Graph, kind: str) -> list[Entity]:
    return [entity for entity in found.values() if kind in types(entity)]


def ends(found: Graph, entity: Entity, name: str) -> list[Entity]:
    """The entities that a property names."""
    return [found[end["@id"]] for end in many(entity, name)]


def by_name(found: Graph, kind: str, name: str) -> Entity:
    (one,) = [entity for entity in of_type(found, kind) if entity.get("name") == name]
    return one


def references(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for item in value:
            yield from references(item)
    elif isinstance(value, dict):
        yield value["@id"]


def faults(path: Path, provenance: bool = True) -> list[str]:
    """What a crate breaks of the MUSTs; own words for the checks of roc-validator that matter.

    provenance: it says that it is a Provenance Run Crate.
    """
    content, found = files(path), graph(path)
    return [*_base(found, content), *_workflow(found, provenance), *_actions(found)]


def _base(found: Graph, content: dict[str, bytes]) -> Iterator[str]:
    root = found["./"]
    for name in ("name", "description", "license", "datePublished", "mainEntity"):
        if not root.get(name):
            yield f"the root has no {name}"
    parts = [part["@id"] for part in many(root, "hasPart")]
    if len(set(parts)) < len(parts):
        yield "a part is named twice"
    local = {unquote(part) for part in parts if "://" not in part and not part.startswith("#")}
    there = {part for part in local if not part.endswith("/")}
    if there != set(content) - {METADATA}:
        yield f"parts and files differ: {sorted(there ^ (set(content) - {METADATA}))}"
    for entity in found.values():
        for key, value in entity.items():
            if key in ("@id", "@type"):
                continue
            for end in references(value):
                if end not in found and not end.startswith("http"):
                    yield f"{entity['@id']}: {key} names {end}, which is not there"
        if types(entity) & {"File", "Dataset"} and entity["@id"] not in {"./", *parts}:
            yield f"{entity['@id']} is data and no part"
        if "\n" in entity["@id"] or " " in entity["@id"]:
            yield f"{entity['@id']!r} is no URI"


def _workflow(found: Graph, provenance: bool) -> Iterator[str]:
    root = found["./"]
    said = {profile["@id"] for profile in many(root, "conformsTo")}
    wanted = _PROFILES if provenance else {p for p in _PROFILES if "provenance" not in p}
    if said != wanted:
        yield f"it conforms to {sorted(said)}"
    main = found[root["mainEntity"]["@id"]]
    if not types(main) >= {"File", "SoftwareSourceCode", "ComputationalWorkflow"}:
        yield f"the main entity is {types(main)}"
    instruments = {end for one in _all(found, _ACTIONS) for end in references(one["instrument"])}
    if main["@id"] not in instruments:
        yield "no action has the workflow as its instrument"
    steps = {end for one in of_type(found, "ComputationalWorkflow") for end in _ids(one, "step")}
    for workflow in of_type(found, "ComputationalWorkflow"):
        if "programmingLanguage" not in workflow:
            yield f"{workflow['@id']} has no language"
        if workflow.get("step") and "HowTo" not in types(workflow):
            yield f"{workflow['@id']} has steps and is no HowTo"
        tools = ends(found, workflow, "hasPart")
        if provenance and not tools:
            yield f"{workflow['@id']} has no tools"
        for tool in tools:
            if not types(tool) & _TOOLS or tool["@id"] not in instruments:
                yield f"{tool['@id']} is listed as a tool and nothing ran it"
        for end in [*ends(found, workflow, "input"), *ends(found, workflow, "output")]:
            if "FormalParameter" not in types(end):
                yield f"{end['@id']} is no formal parameter"
    for step in of_type(found, "HowToStep"):
        if step["@id"] not in steps:
            yield f"no workflow has the step {step['@id']}"
        if not any(types(tool) & _TOOLS for tool in ends(found, step, "workExample")):
            yield f"{step['@id']} has no tool"
    for parameter in of_type(found, "FormalParameter"):
        if not parameter.get("additionalType"):
            yield f"{parameter['@id']} has no type"
    for connection in of_type(found, "ParameterConnection"):
        for name in ("sourceParameter", "targetParameter"):
            if not all("FormalParameter" in types(end) for end in ends(found, connection, name)):
                yield f"{connection['@id']} connects no parameters"


def _actions(found: Graph) -> Iterator[str]:
    mentioned = set(_ids(found["./"], "mentions"))
    for action in _all(found, _ACTIONS):
        if not all(types(tool) & _TOOLS for tool in ends(found, action, "instrument")):
            yield f"{action['@id']} has no tool"
        if action["@id"] not in mentioned:
            yield f"{action['@id']} is not mentioned"
        if "error" in action and not action.get("actionStatus", "").endswith("/FailedActionStatus"):
            yield f"{action['@id']} has an error and did not fail"
        for usage in ends(found, action, "resourceUsage"):
            if "PropertyValue" not in types(usage) or not usage.get("propertyID"):
                yield f"{usage['@id']} is no figure"
    for control in of_type(found, "ControlAction"):
        if not all("HowToStep" in types(end) for end in ends(found, control, "instrument")):
            yield f"{control['@id']} is of no step"
        done = ends(found, control, "object")
        if not done or not all(types(end) & _ACTIONS for end in done):
            yield f"{control['@id']} controls nothing"
    for organize in of_type(found, "OrganizeAction"):
        if not ends(found, organize, "instrument") or not ends(found, organize, "result"):
            yield f"{organize['@id']} is of no engine or has no result"
        done = ends(found, organize, "object")
        if not done or not all("ControlAction" in types(end) for end in done):
            yield f"{organize['@id']} organizes nothing"


def _all(found: Graph, kinds: set[str]) -> list[Entity]:
    return [entity for entity in found.values() if types(entity) & kinds]


def _ids(entity: Entity, name: str) -> list[str]:
    return [end["@id"] for end in many(entity, name)]


def of_run(store: Path, run: str, target: Path, *options: str) -> Path:
    """The crate of a recorded run, by the command; it keeps what the profile requires."""
    command = [sys.executable, "-m", "yprov4wms", "export", run, "--store", str(store)]
    subprocess.run(
        [*command, "--format", "ro-crate", "-o", str(target), *options],
        env=environment(),
        capture_output=True,
        check=True,
    )
    assert faults(target) == []
    return target


def ml_runs(found: Graph) -> dict[str, list[Entity]]:
    """The actions of ML runs by the tool whose execution each was part of."""
    by_tool: dict[str, list[Entity]] = {}
    for action in of_type(found, "CreateAction"):
        if action["name"].startswith("ML run "):
            (around,) = ends(found, action, "isPartOf")
            (tool,) = ends(found, around, "instrument")
            by_tool.setdefault(tool["name"], []).append(action)
    return by_tool
