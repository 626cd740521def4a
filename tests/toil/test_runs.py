"""One run of all kinds of steps: what Toil's workers tell is what cwltool's one process tells."""

from __future__ import annotations

import json
import sys

import pytest
from tests.cwl.project import OURS as CWLTOOL
from tests.cwl.project import task
from tests.documents import Document, at_once, sha256, value
from tests.toil.project import Toil, facts

TRAIN = """
import sys
from yprov4wms import ml

with ml.start_run("digits", name=sys.argv[1]):
    ml.log_metric("loss", 0.5, context="training", step=0)
    with open("model.txt", "w") as file:
        file.write(sys.argv[1])
    ml.log_model("net", "model.txt")
"""
SAY = """
      class: CommandLineTool
      baseCommand: [sh, -c, 'cat "$2"; echo "$0 $1"', -]
      inputs:
        word: {type: Any, inputBinding: {position: 1}}
        file: {type: File, inputBinding: {position: 2}}
      arguments: [{position: 0, valueFrom: says}]
      stdout: said.txt
      outputs: {out: stdout}
"""
WORKFLOW = f"""
cwlVersion: v1.2
class: Workflow
requirements:
  ScatterFeatureRequirement: {{}}
  SubworkflowFeatureRequirement: {{}}
  InlineJavascriptRequirement: {{}}
  MultipleInputFeatureRequirement: {{}}
inputs:
  words: string[]
  numbers: int[]
  file: File
  folder: Directory
  go: boolean
  script: File
  python: string
steps:
  count:
    in: {{words: words}}
    out: [n]
    run:
      class: ExpressionTool
      inputs: {{words: 'string[]'}}
      outputs: {{n: int}}
      expression: '${{return {{"n": inputs.words.length}};}}'
  say:
    scatter: word
    in: {{word: words, file: file}}
    out: [out]
    run:{SAY}
  again:
    scatter: file
    when: $(inputs.word != 0)
    in: {{word: count/n, file: say/out}}
    out: [out]
    run:{SAY}
  sub:
    scatter: file
    in: {{file: say/out, words: words, numbers: numbers}}
    out: [out]
    run:
      class: Workflow
      inputs: {{file: File, words: 'string[]', numbers: 'int[]'}}
      outputs: {{out: {{type: Any, outputSource: cross/out}}}}
      steps:
        cross:
          scatter: [a, b]
          scatterMethod: nested_crossproduct
          in: {{a: words, b: numbers, file: file}}
          out: [out]
          run:
            class: CommandLineTool
            baseCommand: echo
            inputs: {{a: {{type: string, inputBinding: {{}}}}, b: {{type: int, inputBinding: {{}}}},
              file: File}}
            stdout: pair.txt
            outputs: {{out: stdout}}
  maybe:
    when: $(inputs.go)
    in: {{go: go, word: {{default: never}}, file: file}}
    out: [out]
    run:{SAY}
  gather:
    in: {{files: say/out}}
    out: [folder]
    run:
      class: CommandLineTool
      baseCommand: [sh, -c, 'mkdir -p d/e; cat "$@" > d/e/all.txt', -]
      inputs: {{files: {{type: 'File[]', inputBinding: {{}}}}}}
      outputs: {{folder: {{type: Directory, outputBinding: {{glob: d}}}}}}
  look:
    in: {{one: gather/folder, two: folder}}
    out: [out]
    run:
      class: CommandLineTool
      baseCommand: [sh, -c, 'cat "$0"/e/all.txt "$1"/given.txt']
      inputs:
        one: {{type: Directory, inputBinding: {{position: 1}}}}
        two: {{type: Directory, inputBinding: {{position: 2}}}}
      stdout: seen.txt
      outputs: {{out: stdout}}
  train:
    in: {{script: script, python: python}}
    out: [model]
    run:
      class: CommandLineTool
      arguments: [$(inputs.python), $(inputs.script), '0.1']
      inputs: {{script: File, python: string}}
      outputs: {{model: {{type: File, outputBinding: {{glob: model.txt}}}}}}
outputs:
  n: {{type: int, outputSource: count/n}}
  pairs: {{type: Any, outputSource: sub/out}}
  folder: {{type: Directory, outputSource: gather/folder}}
  seen: {{type: File, outputSource: look/out}}
  model: {{type: File, outputSource: train/model}}
"""


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory) -> tuple[Toil, Toil]:
    """The workflow as run by Toil and by cwltool, both recorded."""
    toil, cwl = Toil(tmp_path_factory.mktemp("toil")), Toil(tmp_path_factory.mktemp("cwltool"))
    for made in (toil, cwl):
        made.write("wf.cwl", WORKFLOW)
        made.write("given/given.txt", "given\n")
        made.job(
            words=["a", "b"],
            numbers=[1, 2],
            file=made.write("in.txt", "read\n"),
            folder={"class": "Directory", "location": "given"},
            go=False,
            script=made.write("train.py", TRAIN),
            python=sys.executable,
        )
    arguments = ("--outdir", "out", "wf.cwl", "job.json")
    ran = at_once(
        lambda: toil.run("--retryCount", "0", *arguments),
        lambda: cwl.run(*arguments, runner=CWLTOOL),
    )
    for done in ran:
        assert done.returncode == 0, done.stderr
        assert "incomplete" not in done.stderr, done.stderr
        assert "provenance is in" in done.stderr
    assert json.loads(ran[0].stdout)["n"] == 2
    return toil, cwl


@pytest.fixture(scope="module")
def document(projects: tuple[Toil, Toil]) -> Document:
    return projects[0].document()


def test_the_record_is_that_of_cwltool(projects: tuple[Toil, Toil]) -> None:
    ours, theirs = facts(projects[0].folded()), facts(projects[1].folded())
    assert ours.keys() == theirs.keys()
    for label, expected in theirs.items():
        told = ours[label]
        for found in (told, expected):
            # Where the interpreter and the folders lie.
            found["parameters"] = {**(found.get("parameters") or {}), "python": None}
        assert told == expected, label
    assert ours["again[1]"]["depends_on"] == ["count", "say[1]"]
    assert ours["sub[1]/cross[0,1]"]["attributes"] == {"scatter_index": [0, 1]}
    assert ours["maybe"]["status"] == "skipped"


def test_the_run_tells_of_toil(document: Document) -> None:
    assert document.run["yprov4wms:executor"] == "single_machine"
    assert document.run["yprov4wfs:status"] == "completed"
    assert any(
        a.get("prov:label", "").startswith("toil") for a in document.section("agent").values()
    )


def test_files_are_followed_from_the_input_to_where_the_output_ends_up(
    projects: tuple[Toil, Toil], document: Document
) -> None:
    folder = projects[0].folder
    (given,) = document.files("in.txt").values()
    assert given["yprov4wms:sha256"] == sha256(folder / "in.txt")
    assert "in.txt" in document.used(task(document, "say[0]"))
    assert "given" in document.used(task(document, "look"))
    ((seen, entity),) = document.files("out/seen.txt").items()
    assert entity["yprov4wms:sha256"] == sha256(folder / "out/seen.txt")
    (derived,) = document.links("wasDerivedFrom", generatedEntity=seen)
    (made,) = document.links("wasGeneratedBy", entity=derived["prov:usedEntity"])
    assert made["prov:activity"] == task(document, "look")
    left = document.section("entity")[derived["prov:usedEntity"]]
    assert left["yprov4wms:sha256"] == entity["yprov4wms:sha256"]


def test_a_training_in_a_step_is_nested_in_it(document: Document) -> None:
    train = task(document, "train")
    (nested,) = [
        identifier
        for identifier, activity in document.section("activity").items()
        if activity.get("yprov4wfs:level") == "2"
        and document.informants(identifier, "nested") == {train}
    ]
    (model,) = [
        r for r in document.links("wasGeneratedBy", activity=train) if r.get("prov:role") == "model"
    ]
    makers = document.links("wasGeneratedBy", entity=model["prov:entity"])
    assert nested in {r["prov:activity"] for r in makers}


def test_a_task_tells_its_process_and_its_job(document: Document) -> None:
    said = document.section("activity")[task(document, "say[0]")]
    assert value(said["yprov4wms:exit_code"]) == 0
    assert "cpu_time" in str(said)
    assert said["yprov4wms:engine_toil_job"]
    assert "says a" in said["yprov4wms:command"]
