"""ML runs of steps, nested in the workflow's document; other engines under a step."""

from __future__ import annotations

import os
import sys
import time

import pytest
from tests.cwl.project import Project, task
from tests.documents import Document, checked, kill_group, value
from tests.runs_by_yprov4ml import SCRIPT
from tests.yprov4wms.ml.readers.runs import write

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
    documents = {name: checked((run / "prov.json").read_bytes()) for name, run in runs.items()}
    (outer,) = [n for n, d in documents.items() if d.run["prov:label"] == "outer.cwl"]
    (inner,) = [n for n, d in documents.items() if d.run["prov:label"] == "inner.cwl"]
    parent = documents[inner].run
    assert parent["yprov4wms:parent_run"] == outer
    outer_task = documents[outer].section("activity")[task(documents[outer], "outer.cwl")]
    assert parent["yprov4wms:parent_task"] == outer_task["yprov4wms:task"]
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


TOOL = """
cwlVersion: v1.2
class: CommandLineTool
arguments: [$(inputs.python), $(inputs.script), prov, $(inputs.called), '0']
inputs: {script: File, python: string, called: string}
outputs: {model: {type: File, outputBinding: {glob: model.pt}}}
"""

SCATTER = """
cwlVersion: v1.2
class: Workflow
requirements: {ScatterFeatureRequirement: {}}
inputs: {names: 'string[]', script: File, python: string}
steps:
  train:
    scatter: called
    in: {called: names, script: script, python: python}
    out: [model]
    run: tool.cwl
outputs: {models: {type: 'File[]', outputSource: train/model}}
"""

#: Works where an old run was put, which it does not touch.
STAGED = """
cwlVersion: v1.2
class: CommandLineTool
requirements:
  InitialWorkDirRequirement: {listing: [{entry: $(inputs.old), entryname: prov, writable: true}]}
arguments: [$(inputs.python), $(inputs.script), more, new, '0']
inputs: {script: File, python: string, old: Directory}
outputs: []
"""


def nested(document: Document, label: str) -> list[str]:
    """ML runs that are nested in a task."""
    links = document.links("wasInformedBy", informant=task(document, label))
    return [r["prov:informed"] for r in links if r["yprov4wms:link"] == "nested"]


def children(document: Document) -> list[dict[str, object]]:
    """What is told of the documents of child runs."""
    return [e for e in document.section("entity").values() if "yprov4wms:dialect" in e]


@pytest.mark.parametrize("options", [(), ("--parallel",)])
def test_a_run_where_a_job_worked_is_nested(project: Project, options: tuple[str, ...]) -> None:
    project.write("tool.cwl", TOOL)
    project.write("wf.cwl", SCATTER)
    script = project.write("train.py", SCRIPT)
    project.job(names=["a", "b"], script=script, python=sys.executable)
    document = project.recorded(*options, "--outdir", "o", "wf.cwl", "job.json")
    assert [child.get("yprov4wms:doubt") for child in children(document)] == [None, None]
    for index, name in enumerate("ab"):
        element = task(document, f"train[{index}]")
        (run,) = nested(document, f"train[{index}]")
        assert document.label(run) == name
        (model,) = (
            r["prov:entity"]
            for r in document.links("wasGeneratedBy", activity=element)
            if r.get("prov:role") == "model"
        )
        makers = {r["prov:activity"] for r in document.links("wasGeneratedBy", entity=model)}
        assert makers == {element, run}


def test_what_a_failed_job_left_is_nested(project: Project) -> None:
    project.write("tool.cwl", TOOL)
    script = project.write("train.py", SCRIPT)
    project.job(called="crash", script=script, python=sys.executable)
    document = project.recorded("tool.cwl", "job.json", status=1)
    (child,) = children(document)
    assert (child["yprov4wms:complete"], child.get("yprov4wms:doubt")) == (False, None)
    assert len(nested(document, "tool.cwl")) == 1


def test_an_old_run_that_was_put_where_a_job_works_is_not_the_jobs(project: Project) -> None:
    write(project.folder)
    for path in (project.folder / "prov").rglob("*"):
        os.utime(path, (1e9, 1e9))
    project.write("tool.cwl", STAGED)
    script = project.write("train.py", SCRIPT)
    old = {"class": "Directory", "path": "prov"}
    project.job(script=script, python=sys.executable, old=old)
    document = project.recorded("tool.cwl", "job.json")
    (run,) = nested(document, "tool.cwl")
    assert document.label(run) == "new"


def test_a_run_from_the_cache_is_in_doubt(project: Project) -> None:
    """Of a job that did not run: it only gives back what an earlier one made."""
    outputs = "{runs: {type: Directory, outputBinding: {glob: prov}}}"
    project.write("tool.cwl", TOOL.replace(TOOL.splitlines()[-1], f"outputs: {outputs}"))
    script = project.write("train.py", SCRIPT)
    project.job(called="digits", script=script, python=sys.executable)
    options = ("--cachedir", "cache", "--outdir", "o", "tool.cwl", "job.json")
    (first,) = children(project.recorded(*options))
    time.sleep(2.5)  # more than clocks may be apart
    (second,) = children(project.recorded(*options))
    assert "yprov4wms:doubt" not in first
    assert second["yprov4wms:doubt"] == "by its times it ended before the task began"


def test_what_a_job_left_that_was_killed_with_cwltool_is_the_jobs(project: Project) -> None:
    """Where it worked nothing else did."""
    mark = project.folder / "trained"
    script = project.write("train.py", f"{SCRIPT}open({str(mark)!r}, 'w').close(); time.sleep(60)")
    project.write("tool.cwl", TOOL)
    project.job(called="digits", script=script, python=sys.executable)
    process = project.start("--tmp-outdir-prefix", f"{project.folder}/tmp/", "tool.cwl", "job.json")
    deadline = time.monotonic() + 60
    while not mark.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    kill_group(process)
    process.communicate()
    document = project.exported()
    assert len(nested(document, "tool.cwl")) == 1
    (child,) = children(document)
    assert "yprov4wms:doubt" not in child


INNER = """
cwlVersion: v1.2
class: CommandLineTool
arguments: [$(inputs.python), $(inputs.script), $(inputs.rate)]
inputs: {rate: float, script: File, python: string}
outputs: {model: {type: File, outputBinding: {glob: model.txt}}}
"""

OUTER = """
cwlVersion: v1.2
class: Workflow
requirements: {ScatterFeatureRequirement: {}}
inputs: {rates: 'float[]', script: File, python: string, inner: File}
steps:
  run:
    scatter: rate
    in: {rate: rates, script: script, python: python, inner: inner}
    out: [model]
    run:
      class: CommandLineTool
      baseCommand: [yprov-cwl-runner, --quiet, --parallel]
      arguments: [$(inputs.inner), --rate, $(inputs.rate), --script, $(inputs.script),
        --python, $(inputs.python)]
      inputs: {rate: float, script: File, python: string, inner: File}
      outputs: {model: {type: File, outputBinding: {glob: model.txt}}}
outputs: {models: {type: 'File[]', outputSource: run/model}}
"""


def test_a_workflow_that_a_tool_starts_is_nested_in_its_element(project: Project) -> None:
    project.write("outer.cwl", OUTER)
    inner = project.write("inner.cwl", INNER)
    script = project.write("train.py", TRAIN)
    project.job(rates=[0.1, 0.2], script=script, python=sys.executable, inner=inner)
    done = project.run("--quiet", "--parallel", "--outdir", "o", "outer.cwl", "job.json")
    assert done.returncode == 0, done.stderr
    (outer,) = (run for run in project.runs() if (run / "runs").is_dir())
    document = checked((outer / "prov.json").read_bytes())
    for index, rate in enumerate(("0.1", "0.2")):
        (run,) = nested(document, f"run[{index}]")
        (trained,) = (
            name
            for name, activity in document.section("activity").items()
            if activity.get("yprov4wfs:level") == "2" and activity["prov:label"] == rate
        )
        (around,) = document.informants(trained, "nested")
        assert around.partition(":")[0] == run.partition(":")[0]
        (made,) = (
            link["prov:entity"]
            for link in document.links("wasGeneratedBy", activity=task(document, f"run[{index}]"))
            if document.label(link["prov:entity"]).endswith("model.txt")
        )
        assert document.links("wasDerivedFrom", generatedEntity=made) or document.links(
            "wasGeneratedBy", entity=made, activity=around
        )
