"""Crates by others' readers: roc-validator, runcrate, ro-crate-py; of journals and real runs."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from tests import crates
from tests.documents import environment
from tests.yprov4wms.export import nested_runs
from tests.yprov4wms.export.rocrate.journals import crate_of
from tests.yprov4wms.export.rocrate.test_run import file, ran, started, two
from tests.yprov4wms.validator import validated

from yprov4wms import events as e
from yprov4wms.events import Status

PROVENANCE = "provenance-run-crate-0.5"
DOCS = Path(__file__).parents[4] / "docs" / "ro-crate.md"


def missed() -> set[str]:
    """The checks of which the docs say why crates may miss them."""
    rows = [line for line in DOCS.read_text().splitlines() if line.startswith("| `")]
    return {check for line in rows for check in re.findall(r"`([a-z-]+-[\d.]+_[\d.]+)`", line)}


def failed(folder: Path) -> list[e.Event]:
    """The first task fails, the second never starts."""
    return [
        started(folder),
        e.StepDeclared(step="a"),
        e.StepDeclared(step="b", depends_on=["a"]),
        *ran("a", status=Status.FAILED, error="boom", inputs=[file("x", "x", role="in")]),
        e.TaskPlanned(task="b", step="b", depends_on=["a"]),
        e.RunEnded(status=Status.FAILED, error="a failed"),
    ]


@pytest.mark.parametrize("kind", ["two", "failed", "running"])
def test_a_run_is_a_provenance_run_crate(tmp_path: Path, contexts: Path, kind: str) -> None:
    told = {"two": two, "failed": failed, "running": lambda f: two(f)[:8]}[kind](tmp_path)
    path = crate_of(tmp_path, told, name="crate.zip")
    assert validated(path, contexts, PROVENANCE) == []


def test_a_run_in_which_nothing_ran_is_a_workflow_run_crate(tmp_path: Path, contexts: Path) -> None:
    told = [started(tmp_path), e.StepDeclared(step="a"), e.RunEnded(status=Status.COMPLETED)]
    path = crate_of(tmp_path, told, name="crate.zip")
    assert validated(path, contexts, "workflow-run-crate-0.5") == []


def test_runs_inside_runs_are_in_one_crate(tmp_path: Path, contexts: Path) -> None:
    folder = nested_runs.three_deep(tmp_path)
    path = crate_of(tmp_path, folder)
    assert validated(path, contexts, PROVENANCE) == []
    assert crates.faults(path) == []
    found = crates.graph(path)
    runs = [crates.by_name(found, "CreateAction", f"Run of {name}") for name in "abc"]
    assert "isPartOf" not in runs[0]
    for inner, task in ((runs[1], "train"), (runs[2], "fit")):
        (around,) = crates.ends(found, inner, "isPartOf")
        assert around["name"] == task
    assert {run["instrument"]["@id"] for run in runs} == {
        entity["@id"] for entity in crates.of_type(found, "ComputationalWorkflow")
    }


def test_what_the_profiles_only_recommend_is_named_in_the_docs(
    tmp_path: Path, contexts: Path
) -> None:
    path = crate_of(tmp_path, two(tmp_path), name="crate.zip")
    issues = {i.partition(":")[0] for i in validated(path, contexts, PROVENANCE, "RECOMMENDED")}
    assert issues
    assert issues - missed() == set()


def test_the_validator_and_our_own_checks_find_what_is_wrong(
    tmp_path: Path, contexts: Path
) -> None:
    path = crate_of(tmp_path, two(tmp_path))
    metadata = path / crates.METADATA
    whole = json.loads(metadata.read_text())
    found = {entity["@id"]: entity for entity in whole["@graph"]}
    main = found[found["./"]["mainEntity"]["@id"]]
    tool = next(i for i in found if i.endswith("/tool/c"))
    main["hasPart"] = [{"@id": tool}]  # what never ran
    metadata.write_text(json.dumps(whole))
    assert any("provenance" in issue for issue in validated(path, contexts, PROVENANCE))
    assert any("nothing ran it" in fault for fault in crates.faults(path))


def test_runcrate_reports_every_action(tmp_path: Path) -> None:
    runcrate = shutil.which("runcrate", path=str(Path(sys.executable).parent))
    if runcrate is None:
        pytest.skip("runcrate reads crates")
    path = crate_of(tmp_path, two(tmp_path), name="crate.zip")
    done = subprocess.run(
        [runcrate, "report", str(path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.count("action: urn:uuid:") == 4
    assert done.stdout.count("  step: #") == 3
    assert "<- #" in done.stdout


def test_ro_crate_py_reads_it(tmp_path: Path) -> None:
    rocrate = pytest.importorskip("rocrate.rocrate")
    path = crate_of(tmp_path, two(tmp_path), name="crate.zip")
    found = rocrate.ROCrate(path)
    assert found.mainEntity.id == "workflow/Snakefile"
    assert len(found.get_by_type("CreateAction")) == 4


# -- real runs -----------------------------------------------------------------------------

SNAKEFILE = """
rule all:
    input: "c.txt"
rule make:
    output: part="{n}.part"
    params: size=3
    retries: 1
    run:
        import yprov4wms.ml as ml
        with ml.start_run("parts") as run:
            ml.log_param("size", params.size)
            ml.log_metric("loss", 0.5)
        with open(output.part, "w") as file:
            file.write(wildcards.n)
rule join:
    input: parts=["a.part", "b.part"]
    output: whole="c.txt"
    shell: "cat {input.parts} > {output.whole} && {config[then]}"
"""

TOOL = "class: CommandLineTool, baseCommand: [sh, -c], inputs: {x: 'Any?'}, outputs: {o: stdout}"
CWL = f"""
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
SINGLE = "{cwlVersion: v1.2, " + TOOL + ', arguments: ["echo one"], stdout: o.txt}\n'


def real(folder: Path, *command: str, status: int = 0) -> Path:
    """The crate, with data, of a run of an engine."""
    program = Path(sys.executable).with_name(command[0])
    if not program.exists():
        pytest.skip(f"no {command[0]} here")
    arguments = [str(program), *command[1:]]
    done = subprocess.run(
        arguments, cwd=folder, env=environment(), capture_output=True, text=True, check=False
    )
    assert (done.returncode != 0) == bool(status), done.stderr
    path = folder / "crate.zip"
    subprocess.run(
        [
            *(sys.executable, "-m", "yprov4wms", "export"),
            *("--format", "ro-crate", "--with-data", "-o", str(path)),
        ],
        cwd=folder,
        env=environment(),
        check=True,
        capture_output=True,
    )
    assert crates.faults(path) == []
    return path


@pytest.mark.parametrize("status", [0, 1])
def test_a_run_of_snakemake(tmp_path: Path, contexts: Path, status: int) -> None:
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    then = "false" if status else "true"
    path = real(
        tmp_path,
        *("snakemake", "--executor", "yprov", "--cores", "2", "--config", f"then={then}"),
        status=status,
    )
    assert validated(path, contexts, PROVENANCE) == []
    found = crates.graph(path)
    actions = [action["name"] for action in crates.of_type(found, "CreateAction")]
    assert sum(name.startswith("ML run") for name in actions) == 2
    assert {"data/a.part", "data/b.part"} <= set(crates.files(path))
    connected = {
        tuple(c[way]["@id"].partition("/")[2] for way in ("sourceParameter", "targetParameter"))
        for c in crates.of_type(found, "ParameterConnection")
    }
    assert connected == {("tool/make/output/part", "tool/join/input/parts")}


@pytest.mark.parametrize("document", [CWL, SINGLE])
def test_a_run_of_cwltool(tmp_path: Path, contexts: Path, document: str) -> None:
    (tmp_path / "main.cwl").write_text(document)
    inputs = {"ns": [1, 2], "off": False} if document is CWL else {}
    (tmp_path / "job.json").write_text(json.dumps(inputs))
    path = real(tmp_path, "yprov-cwl-runner", "--outdir", "results", "main.cwl", "job.json")
    assert validated(path, contexts, PROVENANCE) == []
    with zipfile.ZipFile(path) as archive:
        assert archive.read("workflow/main.cwl").decode() == document
        assert any(name.startswith("data/results/") for name in archive.namelist())
