"""OpenLineage events of a real run: scatter, subworkflow, condition, and where files end up."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.cwl.project import Project
from tests.documents import environment
from tests.yprov4wms.export.openlineage.spec import SPEC, faults

TOOL = "class: CommandLineTool, baseCommand: [sh, -c], inputs: {x: 'Any?'}, outputs: {o: stdout}"
WORKFLOW = f"""
cwlVersion: v1.2
class: Workflow
requirements: {{ScatterFeatureRequirement: {{}}, SubworkflowFeatureRequirement: {{}}}}
inputs: {{ns: 'int[]', off: boolean}}
steps:
  many:
    scatter: x
    in: {{x: ns}}
    out: [o]
    run: {{{TOOL}, arguments: ["echo many"], stdout: o.txt}}
  sub:
    in: {{x: many/o}}
    out: [o]
    run:
      class: Workflow
      inputs: {{x: Any}}
      outputs: {{o: {{type: File, outputSource: in/o}}}}
      steps:
        in:
          in: {{x: x}}
          out: [o]
          run: {{{TOOL}, arguments: ["echo in"], stdout: o.txt}}
  never:
    when: $(inputs.off)
    in: {{off: off}}
    out: [o]
    run: {{{TOOL}, arguments: ["echo never"], stdout: o.txt}}
outputs:
  o: {{type: File, outputSource: sub/o}}
"""


def test_a_run_is_told_with_scatter_subworkflow_and_condition(project: Project) -> None:
    project.write("main.cwl", WORKFLOW)
    job = project.job(ns=[1, 2], off=False)
    project.recorded("--outdir", "results", "main.cwl", str(job))
    command = [sys.executable, "-m", "yprov4wms", "export", "--format", "openlineage"]
    done = subprocess.run(
        command, cwd=project.folder, env=environment(), capture_output=True, check=True
    )
    events = [json.loads(line) for line in done.stdout.splitlines()]
    if SPEC.is_dir():
        assert [fault for event in events for fault in faults(event)] == []
    ends = {event["job"]["name"]: event for event in events if event.get("eventType") == "COMPLETE"}
    tasks = ("many[0]", "many[1]", "sub", "sub/in")
    assert set(ends) == {"main.cwl", *(f"main.cwl.{task}" for task in tasks)}
    parent = ends["main.cwl.sub/in"]["run"]["facets"]["parent"]
    assert parent["run"]["runId"] == ends["main.cwl.sub"]["run"]["runId"]
    assert parent["root"]["run"]["runId"] == ends["main.cwl"]["run"]["runId"]
    (never,) = [event for event in events if event["job"]["name"] == "main.cwl.never"]
    assert never["job"]["facets"]["yprov4wms_notRun"]["status"] == "skipped"
    # What the engine moved to its place comes from where its task had left it.
    (result,) = ends["main.cwl"]["outputs"]
    assert result["name"] == str(project.folder / "results" / "o.txt")
    (left,) = ends["main.cwl.sub/in"]["outputs"]
    (source,) = result["facets"]["lineage"]["inputs"]
    assert (source["namespace"], source["name"]) == (left["namespace"], left["name"])
