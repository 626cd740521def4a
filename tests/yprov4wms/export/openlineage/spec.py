"""The OpenLineage spec's own schemas, and ours, as a validator of events."""

from __future__ import annotations

import importlib.resources
import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

jsonschema = pytest.importorskip("jsonschema")
referencing = pytest.importorskip("referencing")

SPEC = Path(__file__).parents[4].parent / "shared" / "data" / "openlineage"
needs_spec = pytest.mark.skipif(not SPEC.is_dir(), reason=f"the spec's schemas are not at {SPEC}")
OURS = importlib.resources.files("yprov4wms.export.openlineage") / "schemas"

Event = dict[str, Any]


def own_schemas() -> dict[str, Any]:
    """By file name."""
    return {file.name: json.loads(file.read_text()) for file in OURS.iterdir()}


@cache
def _schemas() -> dict[str, Any]:
    found = [json.loads(path.read_text()) for path in SPEC.rglob("*.json")]
    return {schema["$id"]: schema for schema in [*found, *own_schemas().values()]}


@cache
def _validator(url: str) -> Any:
    resources = [
        (identifier, referencing.Resource.from_contents(schema))
        for identifier, schema in _schemas().items()
    ]
    return jsonschema.Draft202012Validator(
        {"$ref": url},
        registry=referencing.Registry().with_resources(resources),
        format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER,
    )


def faults(event: Event) -> list[str]:
    """What of an event, and of each facet in it, the schemas that it names do not allow."""
    core = next(identifier for identifier in _schemas() if identifier.endswith("/OpenLineage.json"))
    found = [f"event: {error.message}" for error in _validator(core).iter_errors(event)]
    found += [f"event: {e.message}" for e in _validator(event["schemaURL"]).iter_errors(event)]
    for name, facet in _facets(event):
        url = facet["_schemaURL"]
        schema = _schemas()[url.partition("#")[0]]
        if name not in schema["properties"]:
            found.append(f"{name}: it is not the facet of {url}")
        found += [f"{name}: {error.message}" for error in _validator(url).iter_errors(facet)]
    return found


def _facets(event: Event) -> list[tuple[str, Event]]:
    holders = [event["job"].get("facets", {})]
    if "run" in event:
        holders.append(event["run"].get("facets", {}))
    for direction in ("input", "output"):
        for dataset in event.get(f"{direction}s", ()):
            holders += [dataset.get("facets", {}), dataset.get(f"{direction}Facets", {})]
    return [item for holder in holders for item in holder.items()]
