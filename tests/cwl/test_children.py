"""ML runs of steps, nested in the workflow's document; other engines under a step."""

from __future__ import annotations

import sys

import pytest
from tests.cwl.project import Project, task
from tests.documents import value

TRAIN = """
import sys
from yprov4wms import ml

with ml.start_run("digits", name=sys.argv[1]):
    ml.log_param("learning_rate", float(sys.argv[1]))
    ml.log_metric("loss", 0.5, context="training", step=0)
    with open("model.txt", "w") as file:
        file.write(sys.argv[1])
    ml.log_model("net", "model.txt")
"""

WORKFLOW = """
cwlVersion: v1.2
class: Workflow
requirements: {ScatterFeatureRequirement: {}}
inputs: {rates: 'float[]', script: File, python: string}
steps:
  train:
    scatter: rate
    in: {rate: rates, script: script, python: python}
    out: [model]
    run:
      class: CommandLineTool
      arguments: [$(inputs.python), $(inputs.script), $(inputs.rate)]
      inputs: {rate: float, script: File, python: string}
      outputs: {model: {type: File, outputBinding: {glob: model.txt}}}
outputs: {models: {type: 'File[]', outputSource: train/model}}
"""


@pytest.mark.parametrize("options", [(), ("--parallel",)])
def test_each_elements_training_is_nested_in_it(project: Project, options: tuple[str, ...]) -> None:
    project.write("wf.cwl", WORKFLOW)
    script = project.write("train.py", TRAIN)
    project.job(rates=[0.1, 0.2], script=script, python=sys.executable)
    document = project.recorded(*options, "--outdir", "o", "wf.cwl", "job.json")
    for index, rate in enumerate(("0.1", "0.2")):
        element = task(document, f"train[{index}]")
        (nested,) = [
            identifier
            for identifier, activity in document.section("activity").items()
            if activity.get("yprov4wfs:level") == "2"
            and document.informants(identifier, "nested") == {element}
        ]
        made = document.links("wasGeneratedBy", activity=element)
        (model,) = [r for r in made if r.get("prov:role") == "model"]
        makers = {
            r["prov:activity"]
            for r in document.links("wasGeneratedBy", entity=model["prov:entity"])
        }
        assert {element, nested} <= makers
        assert rate in document.section("activity")[nested]["prov:label"]
        assert document.links("used", activity=element)


def test_a_run_inside_a_step_names_the_step_as_its_parent(project: Project) -> None:
    """The runner under a step of the runner."""
    project.write(
        "inner.cwl",
        "{cwlVersion: v1.2, class: CommandLineTool, baseCommand: 'true', inputs: {}, outputs: {}}",
    )
    runner = project.command()[0]
    project.write(
        "outer.cwl",
        f"""
        cwlVersion: v1.2
        class: CommandLineTool
        baseCommand: [{runner}, --quiet, {project.folder / "inner.cwl"}]
        requirements: {{EnvVarRequirement: {{envDef: {{HOME: /tmp}}}}}}
        inputs: {{}}
        outputs: {{}}
        """,
    )
    project.recorded("outer.cwl")
    runs = {run.name: run for run in project.runs()}
    assert len(runs) == 2
    from tests.documents import checked

    documents = {name: checked((run / "prov.json").read_bytes()) for name, run in runs.items()}
    (outer,) = [n for n, d in documents.items() if d.run["prov:label"] == "outer.cwl"]
    (inner,) = [n for n, d in documents.items() if d.run["prov:label"] == "inner.cwl"]
    parent = documents[inner].run
    assert parent["yprov4wms:parent_run"] == outer
    (only,) = [a for a in documents[outer].section("activity").values() if "yprov4wms:task" in a]
    assert parent["yprov4wms:parent_task"] == only["yprov4wms:task"]
    assert value(parent["yprov4wms:parent_attempt"]) == 1


def test_beside_provenance_of_cwltools_own_both_are_whole(project: Project) -> None:
    project.write("wf.cwl", WORKFLOW)
    script = project.write("train.py", TRAIN)
    project.job(rates=[0.1], script=script, python=sys.executable)
    plain = project.run("--quiet", "--provenance", "a", "wf.cwl", "job.json", runner="cwltool")
    ours = project.run("--quiet", "--provenance", "b", "wf.cwl", "job.json")
    assert (ours.returncode, ours.stdout) == (plain.returncode, plain.stdout), ours.stderr
    names = [
        {str(p.relative_to(folder)) for p in folder.rglob("*.json")}
        for folder in (project.folder / "a", project.folder / "b")
    ]
    assert names[0] == names[1]
    document = project.document()
    assert (
        document.section("activity")[task(document, "train[0]")]["yprov4wfs:status"] == "completed"
    )


YPROV4ML = """
import json, os

os.makedirs("prov/digits_0/metrics_GR0")
with open("prov/digits_0/prov_digits_GR0_0.json", "w") as file:
    json.dump({
        "prefix": {"yprov": "https://github.com/HPCI-Lab/yProv4ML", "default": "digits_GR0_0"},
        "activity": {"digits_GR0_0": {"yprov:experiment_name": "digits_GR0_0"}},
    }, file)
"""


def test_a_run_by_yprov4ml_among_the_outputs_is_nested(project: Project) -> None:
    project.write(
        "train.cwl",
        """
        cwlVersion: v1.2
        class: CommandLineTool
        arguments: [$(inputs.python), $(inputs.script)]
        inputs: {script: File, python: string}
        outputs: {runs: {type: Directory, outputBinding: {glob: prov}}}
        """,
    )
    script = project.write("yprov4ml.py", YPROV4ML)
    project.job(script=script, python=sys.executable)
    document = project.recorded("--outdir", "o", "train.cwl", "job.json")
    (entity,) = [e for e in document.section("entity").values() if "yprov4wms:dialect" in e]
    assert (entity["yprov4wms:dialect"], entity["yprov4wms:dialect_version"]) == (
        "yprov4ml",
        "3.2.5+",
    )
