"""Runs by yProv4ML's layout on Toil's workers: among the outputs, and where the job worked."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from tests.cwl.project import task
from tests.documents import Document
from tests.runs_by_yprov4ml import SCRIPT
from tests.toil.project import Toil

WORKFLOW = """
cwlVersion: v1.2
class: Workflow
requirements: {SubworkflowFeatureRequirement: {}}
inputs: {script: File, python: string}
steps:
  declares:
    in: {script: script, python: python}
    out: [runs]
    run:
      class: CommandLineTool
      arguments: [$(inputs.python), $(inputs.script), a/b/runs, declared, '0']
      inputs: {script: File, python: string}
      outputs:
        runs: {type: Directory, outputBinding: {glob: a/b/runs}}
        model: {type: File, outputBinding: {glob: model.pt}}
  leaves:
    in: {script: script, python: python}
    out: [model]
    run:
      class: CommandLineTool
      arguments: [$(inputs.python), $(inputs.script), prov, left, '0']
      inputs: {script: File, python: string}
      outputs: {model: {type: File, outputBinding: {glob: model.pt}}}
outputs:
  runs: {type: Directory, outputSource: declares/runs}
  model: {type: File, outputSource: leaves/model}
"""


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> Document:
    project = Toil(tmp_path_factory.mktemp("toil"))
    project.write("wf.cwl", WORKFLOW)
    project.job(script=project.write("train.py", SCRIPT), python=sys.executable)
    return project.recorded("--outdir", "out", "wf.cwl", "job.json")


@pytest.mark.parametrize(("step", "name"), [("declares", "declared"), ("leaves", "left")])
def test_a_run_is_nested_in_its_task(document: Document, step: str, name: str) -> None:
    links = document.links("wasInformedBy", informant=task(document, step))
    (run,) = [r["prov:informed"] for r in links if r["yprov4wms:link"] == "nested"]
    assert document.label(run) == name
    assert "model.pt" in {Path(label).name for label in document.made(run)}


def test_no_run_is_in_doubt(document: Document) -> None:
    children = [e for e in document.section("entity").values() if "yprov4wms:dialect" in e]
    assert [child.get("yprov4wms:doubt") for child in children] == [None, None]
