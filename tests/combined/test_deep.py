"""Snakemake in CWL in Snakemake, with an ML run in the inmost."""

from __future__ import annotations

import time
from pathlib import Path

from tests.documents import Document, kill_group
from tests.snakemake.project import Project

OUTER = """
rule outer:
    input: "data.csv"
    output: "out/model.txt"
    shell: "yprov-cwl-runner --quiet --parallel --outdir out middle.cwl --data {input}"
"""

MIDDLE = """
    cwlVersion: v1.2
    class: Workflow
    inputs: {data: File}
    steps:
      middle:
        in: {data: data}
        out: [model]
        run:
          class: CommandLineTool
          baseCommand: [snakemake, --executor, yprov, --cores, "1", --scheduler, greedy]
          arguments: [--quiet, all, --snakefile, $(inputs.rules.path), --config,
            "data=$(inputs.data.path)", "script=$(inputs.script.path)"]
          inputs:
            data: File
            rules: {type: File, default: {class: File, location: inner.smk}}
            script: {type: File, default: {class: File, location: train.py}}
          outputs: {model: {type: File, outputBinding: {glob: model.txt}}}
    outputs: {model: {type: File, outputSource: middle/model}}
"""

INNER = """
rule inner:
    input: config["data"]
    output: "model.txt"
    params: python=sys.executable, script=config["script"]
    shell: "{params.python} {params.script} {input} {output}"
"""

TRAIN = """
import sys, time
from pathlib import Path
from yprov4wms import ml

_, data, model = sys.argv
with ml.start_run("training"):
    ml.log_dataset("data", data)
    Path(model).write_text(f"trained on {Path(data).read_text()}")
    ml.log_model("net", model)
    while WAITS:
        Path(HERE, "began").touch()
        time.sleep(0.1)
"""


def write(project: Project, waits: bool) -> None:
    project.snakefile(OUTER)
    project.write("middle.cwl", MIDDLE)
    project.write("inner.smk", INNER)
    train = TRAIN.replace("WAITS", str(waits)).replace("HERE", repr(str(project.folder)))
    project.write("train.py", train)
    project.write("data.csv", "the data")


def outermost(project: Project) -> Path:
    """The run that no other is around."""
    inside = {note.stem for run in project.runs() for note in run.glob("runs/*.json")}
    (found,) = (run for run in project.runs() if run.name not in inside)
    return found


def chain(document: Document) -> list[str]:
    """The engines of the runs around the ML run, from the inmost outwards."""
    activities = document.section("activity")
    (here,) = (name for name, found in activities.items() if found.get("yprov4wfs:level") == "2")
    found = []
    while around := document.informants(here, "nested"):
        (attempt,) = around
        here = f"{attempt.partition(':')[0]}:workflow_run"
        found.append(activities[here]["yprov4wfs:engine"])
    return found


def test_three_engines_deep_all_is_in_one_document(tmp_path: Path) -> None:
    project = Project(tmp_path)
    write(project, waits=False)
    done = project.snakemake()
    assert done.returncode == 0, done.stderr
    document = project.document(outermost(project))
    assert chain(document) == ["snakemake", "cwltool", "snakemake"]
    (data,) = document.files("data.csv")
    users = {
        link["prov:activity"].partition(":")[0] for link in document.links("used", entity=data)
    }
    # The inmost Snakemake sees a copy that cwltool staged.
    copies = document.links("wasDerivedFrom", usedEntity=data)
    users |= {link["prov:generatedEntity"].partition(":")[0] for link in copies}
    runs = {
        name.partition(":")[0] for name in document.section("activity") if "workflow_run" in name
    }
    assert len(runs) == 3
    assert runs <= users


def test_three_engines_deep_all_killed_at_once_are_told_of(tmp_path: Path) -> None:
    project = Project(tmp_path)
    write(project, waits=True)
    process = project.start()
    try:
        until = time.monotonic() + 120
        while not (tmp_path / "began").exists():
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < until
            time.sleep(0.1)
    finally:
        kill_group(process)
        process.wait(30)
    run = outermost(project).name
    for nest in ("bundle", "link"):
        assert project.exported("--nest", nest, run=run).run["yprov4wfs:status"] == "running"
    document = project.exported(run=run)
    assert chain(document) == ["snakemake", "cwltool", "snakemake"]
    assert {
        activity["yprov4wfs:status"]
        for activity in document.section("activity").values()
        if "yprov4wfs:status" in activity
    } == {"running"}
