"""The crate of a workflow run: what it says is what the record says."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from tests import crates
from tests.crates import by_name, ends, graph, many, of_type
from tests.yprov4wms.export.rocrate.journals import crate_of, stored
from tests.yprov4wms.ml.readers.runs import FIXTURES
from tests.yprov4wms.prov.runs import RUN_ID, ml_run, sha

from yprov4wms import events as e
from yprov4wms.events import File, FileType, Port, Status
from yprov4wms.export.rocrate.run import Options
from yprov4wms.ml import readers
from yprov4wms.prov.rules import check

FAILED = "http://schema.org/FailedActionStatus"
COMPLETED = "http://schema.org/CompletedActionStatus"
CPU = e.Figure(unit="s", method="wait4", value=1.5)
ENERGY = e.Figure(unit="J", method="cpu-time*2-12W", low=3.0, high=18.0)


def started(folder: Path, engine: str = "snakemake", **more: Any) -> e.RunStarted:
    """A run of a workflow that lies there."""
    main = folder / "Snakefile"
    main.write_text("rule all: input: 'a'\n")
    digest = hashlib.sha256(main.read_bytes()).hexdigest()
    more.setdefault("main_file", File("Snakefile", size=main.stat().st_size, sha256=digest))
    return e.RunStarted(
        engine=e.Software(name=engine, kind="engine", version="9.0"),
        workflow="Snakefile",
        directory=str(folder),
        **more,
    )


def file(path: str, content: str = "", **more: Any) -> File:
    return File(path, size=len(content.encode()), sha256=sha(content), mtime_ns=10**18, **more)


def ran(task: str, number: int = 1, **end: Any) -> list[e.Event]:
    given = {"inputs": end.pop("inputs", None), "parameters": end.pop("parameters", None)}
    given["software"] = end.pop("software", None)
    given["attributes"] = end.pop("about", None)
    return [
        e.TaskPlanned(task=task, step=task),
        e.TaskStarted(task=task, attempt=number, command=f"do {task}", **given),
        e.TaskEnded(task=task, attempt=number, **{"status": Status.COMPLETED, **end}),
    ]


def two(folder: Path) -> list[e.Event]:
    """``a`` makes what ``b`` takes; ``b`` fails once. ``c`` is skipped."""
    return [
        started(folder, config={"n": 3, "net": {"lr": 0.1}}, person=e.Person(name="Ada")),
        e.StepDeclared(step="a", type="shell", code="do {output}", doc="Make it."),
        e.StepDeclared(step="b", depends_on=["a"]),
        e.StepDeclared(step="c", depends_on=["b"]),
        *ran(
            "a",
            inputs=[file("raw.csv", "raw", role="data")],
            outputs=[file("x.bin", "x", role="out")],
            parameters={"n": 3, "list": [1]},
            usage={"cpu_time": CPU, "energy": ENERGY},
        ),
        *ran(
            "b",
            inputs=[File("x.bin", role="in")],
            status=Status.FAILED,
            exit_code=3,
            outputs=[file("y.txt", "half", role="out")],
        ),
        *ran("b", 2, inputs=[File("x.bin", role="in")], outputs=[file("y.txt", "y", role="out")]),
        e.TaskPlanned(task="c", step="c", depends_on=["b"]),
        e.TaskNotRun(task="c", status=Status.SKIPPED),
        e.RunEnded(status=Status.COMPLETED),
    ]


def test_each_attempt_is_an_action_of_its_steps_tool(tmp_path: Path) -> None:
    path = crate_of(tmp_path, two(tmp_path))
    assert crates.faults(path) == []
    found = graph(path)
    first, second = (
        by_name(found, "CreateAction", "b"),
        by_name(found, "CreateAction", "b (attempt 2)"),
    )
    assert (first["actionStatus"], first["error"]) == (FAILED, "exit code 3")
    assert second["actionStatus"] == COMPLETED
    assert "error" not in second
    assert first["instrument"] == second["instrument"] == {"@id": f"#{RUN_ID}/tool/b"}
    assert first["startTime"] < first["endTime"] < second["startTime"]
    assert first["description"] == "do b"
    assert found[first["agent"]["@id"]]["name"] == "Ada"
    (control,) = [c for c in of_type(found, "ControlAction") if c["instrument"]["@id"][-1] == "b"]
    assert ends(found, control, "object") == [first, second]
    (organize,) = of_type(found, "OrganizeAction")
    assert found[organize["instrument"]["@id"]]["softwareVersion"] == "9.0"
    assert organize["result"] == {"@id": f"urn:uuid:{RUN_ID}"}
    # From run to run no id is the same.
    other = RUN_ID[:-1] + "2"
    again = graph(crate_of(tmp_path, stored(tmp_path, two(tmp_path), other), name="other"))
    shared = {i for i in found.keys() & again.keys() if RUN_ID in i or i.startswith("urn:uuid:")}
    assert shared == set()


def test_data_are_referred_to_with_what_is_known_of_them(tmp_path: Path) -> None:
    found = graph(crate_of(tmp_path, two(tmp_path)))
    made, used = by_name(found, "CreateAction", "a"), by_name(found, "CreateAction", "b")
    (result,) = ends(found, made, "result")
    assert result in ends(found, used, "object")
    assert result["@id"] == f"file://{tmp_path}/x.bin"
    assert (result["contentSize"], result["sha256"]) == ("1", sha("x"))
    assert result["dateModified"] == "2001-09-09T01:46:40+00:00"
    # What the failed attempt left is another version of what lies there now.
    (half,) = ends(found, used, "result")
    (whole,) = ends(found, by_name(found, "CreateAction", "b (attempt 2)"), "result")
    assert half["@id"].startswith(whole["@id"] + "#")
    assert (half["sha256"], whole["sha256"]) == (sha("half"), sha("y"))
    workflow = found[f"urn:uuid:{RUN_ID}"]
    assert f"file://{tmp_path}/raw.csv" in [end["@id"] for end in workflow["object"]]
    assert ends(found, workflow, "result") == [whole]


def test_parameters_are_formal_ones_and_their_values(tmp_path: Path) -> None:
    found = graph(crate_of(tmp_path, two(tmp_path)))
    tool = found[f"#{RUN_ID}/tool/a"]
    formal = {p["name"]: p for p in [*ends(found, tool, "input"), *ends(found, tool, "output")]}
    assert {name: p["additionalType"] for name, p in formal.items()} == {
        "data": "File", "n": "Integer", "list": "PropertyValue", "out": "File",
    }  # fmt: skip
    assert formal["n"]["conformsTo"]["@id"].startswith("https://bioschemas.org/")
    action = by_name(found, "CreateAction", "a")
    values = {v["name"]: v for v in ends(found, action, "object") if "value" in v}
    assert (values["n"]["value"], values["list"]["value"]) == (3, "[1]")
    assert values["n"]["exampleOfWork"] == {"@id": formal["n"]["@id"]}
    workflow = found[f"urn:uuid:{RUN_ID}"]
    given = {v["name"]: v["value"] for v in ends(found, workflow, "object") if "value" in v}
    assert given == {"n": 3, "net.lr": 0.1}
    main = found[found["./"]["mainEntity"]["@id"]]
    assert {p["name"] for p in ends(found, main, "input")} == {"n", "net.lr"}


def test_data_that_went_from_one_step_to_another_connect_their_parameters(tmp_path: Path) -> None:
    found = graph(crate_of(tmp_path, two(tmp_path)))
    (connection,) = of_type(found, "ParameterConnection")
    assert connection["sourceParameter"] == {"@id": f"#{RUN_ID}/tool/a/output/out"}
    assert connection["targetParameter"] == {"@id": f"#{RUN_ID}/tool/b/input/in"}
    step = found[f"#{RUN_ID}/step/b"]
    assert step["connection"] == {"@id": connection["@id"]}


def test_what_it_cost_has_units_and_methods(tmp_path: Path) -> None:
    found = graph(crate_of(tmp_path, two(tmp_path)))
    figures = {
        figure["name"]: figure
        for figure in ends(found, by_name(found, "CreateAction", "a"), "resourceUsage")
    }
    cpu, energy = figures["cpu_time"], figures["energy"]
    assert (cpu["value"], cpu["unitText"], cpu["measurementTechnique"]) == (1.5, "s", "wait4")
    assert cpu["unitCode"] == "https://qudt.org/vocab/unit/SEC"
    assert cpu["propertyID"] == "urn:yprov4wms:terms#cpu_time"
    assert (energy["minValue"], energy["maxValue"]) == (3, 18)
    assert "value" not in energy


def test_a_step_that_never_ran_has_a_tool_that_is_not_listed(tmp_path: Path) -> None:
    found = graph(crate_of(tmp_path, two(tmp_path)))
    main = found[found["./"]["mainEntity"]["@id"]]
    assert [s["name"] for s in ends(found, main, "step")] == ["a", "b", "c"]
    assert [s["position"] for s in ends(found, main, "step")] == [0, 1, 2]
    assert [t["name"] for t in ends(found, main, "hasPart")] == ["a", "b"]
    assert found[f"#{RUN_ID}/step/c"]["workExample"] == {"@id": f"#{RUN_ID}/tool/c"}
    assert not [c for c in of_type(found, "ControlAction") if "step/c" in c["instrument"]["@id"]]


@pytest.mark.parametrize("ended", [True, False])
def test_a_run_in_which_nothing_ran_is_a_workflow_run_crate(tmp_path: Path, ended: bool) -> None:
    told = [started(tmp_path), e.StepDeclared(step="a"), e.TaskPlanned(task="a", step="a")]
    told += [e.RunEnded(status=Status.CANCELLED, error="no")] if ended else []
    path = crate_of(tmp_path, told)
    assert crates.faults(path, provenance=False) == []
    action = graph(path)[f"urn:uuid:{RUN_ID}"]
    assert (action["actionStatus"], action.get("error")) == (
        (FAILED, "no") if ended else ("http://schema.org/ActiveActionStatus", None)
    )


def test_what_was_killed_did_not_complete(tmp_path: Path) -> None:
    body = [e.TaskPlanned(task="a", step="a"), e.TaskStarted(task="a", attempt=1)]
    killed = graph(crate_of(tmp_path, [started(tmp_path), *body], name="running"))
    assert by_name(killed, "CreateAction", "a")["actionStatus"].endswith("/ActiveActionStatus")
    told = stored(tmp_path / "2", [started(tmp_path), *body, e.RunEnded(status=Status.FAILED)])
    action = by_name(graph(crate_of(tmp_path, told)), "CreateAction", "a")
    assert (action["actionStatus"], action["error"]) == (FAILED, "its end was not recorded")


def test_a_subworkflow_is_a_workflow_of_its_own(tmp_path: Path) -> None:
    """Ports as CWL declares them: connections are what the plan says."""
    port, made = Port, file("o", "o", role="o")
    ways = ("sourceParameter", "targetParameter")
    told = [
        started(tmp_path, "cwltool", inputs=[port("i", "File")],
                outputs=[port("o", "File?", ["sub/o"])], config={"i": {"class": "File"}}),
        e.StepDeclared(step="sub", type="Workflow", inputs=[port("i", "File", ["i"])],
                       outputs=[port("o", "File", ["sub/in/o"])]),
        e.StepDeclared(step="sub/in", parent="sub", inputs=[port("x", "File[]", ["sub/i"])],
                       outputs=[port("o", "stdout")]),
        e.StepDeclared(step="off", type="Workflow", outputs=[port("o", "int", ["off/in/o"])]),
        e.StepDeclared(step="off/in", parent="off", outputs=[port("o", "int")]),
        e.TaskPlanned(task="t", step="sub"),
        e.TaskStarted(task="t", attempt=1, inputs=[file("i", "i", role="i")]),
        e.TaskPlanned(task="u", step="sub/in", parent="t"),
        e.TaskStarted(task="u", attempt=1, inputs=[file("i", "i", role="x")]),
        e.TaskEnded(task="u", attempt=1, status=Status.COMPLETED, outputs=[made]),
        e.TaskEnded(task="t", attempt=1, status=Status.COMPLETED, outputs=[made]),
        e.TaskPlanned(task="v", step="off"),
        e.TaskNotRun(task="v", status=Status.SKIPPED),
        e.RunEnded(
            status=Status.COMPLETED,
            outputs=[file("results/o", "o", role="o", origin="o")],
        ),
    ]  # fmt: skip
    path = crate_of(tmp_path, told)
    assert crates.faults(path) == []
    found = graph(path)
    main, sub = found[found["./"]["mainEntity"]["@id"]], found[f"#{RUN_ID}/tool/sub"]
    assert crates.types(sub) == {"SoftwareSourceCode", "ComputationalWorkflow", "HowTo"}
    assert [t["name"] for t in ends(found, main, "hasPart")] == ["sub"]
    assert [t["name"] for t in ends(found, sub, "hasPart")] == ["sub/in"]
    # What is in a workflow that never ran is a step of the workflow around it.
    assert {s["name"] for s in ends(found, main, "step")} == {"sub", "off", "off/in"}
    inner, outer = (found[by_name(found, "CreateAction", n)["@id"]] for n in ("u", "t"))
    assert inner["isPartOf"] == {"@id": outer["@id"]}
    assert inner["result"] == outer["result"]
    pairs = {
        tuple(c[way]["@id"].removeprefix(f"#{RUN_ID}/") for way in ways)
        for c in of_type(found, "ParameterConnection")
    }
    assert pairs == {
        ("workflow/input/i", "tool/sub/input/i"),
        ("tool/sub/input/i", "tool/sub%2Fin/input/x"),
        ("tool/sub%2Fin/output/o", "tool/sub/output/o"),
        ("tool/sub/output/o", "workflow/output/o"),
        ("tool/off%2Fin/output/o", "tool/off/output/o"),
    }
    assert len(many(main, "connection")) == len(many(sub, "connection")) == 1
    (result,) = ends(found, found[f"urn:uuid:{RUN_ID}"], "result")
    assert result["wasDerivedFrom"] == inner["result"]
    formal = found[f"#{RUN_ID}/tool/sub%2Fin/input/x"]
    assert (formal["additionalType"], formal["multipleValues"]) == ("File", True)
    assert found[f"#{RUN_ID}/workflow/output/o"]["valueRequired"] is False


def test_groups_that_only_hold_tasks_together_are_no_steps(tmp_path: Path) -> None:
    told = [
        started(tmp_path, "airflow"),
        e.StepDeclared(step="group", type="TaskGroup"),
        e.StepDeclared(step="deep", type="TaskGroup", parent="group"),
        e.StepDeclared(step="a", parent="deep"),
        *ran("a"),
        e.RunEnded(status=Status.COMPLETED),
    ]
    path = crate_of(tmp_path, told)
    assert crates.faults(path) == []
    found = graph(path)
    assert [step["name"] for step in of_type(found, "HowToStep")] == ["a"]
    language = found[found[found["./"]["mainEntity"]["@id"]]["programmingLanguage"]["@id"]]
    assert language["name"] == "Python"


def test_containers_environments_and_software(tmp_path: Path) -> None:
    image = e.Software(name="quay.io/lab/tool:1.2", kind="container", sha256="a" * 64)
    sif = e.Software(name="/images/tool.sif", kind="container")
    conda = e.Software(name="env.yaml", kind="conda", version="abc")
    told = [
        started(tmp_path),
        e.StepDeclared(step="a", software=[conda, image]),
        *ran("a", software=[image, sif], about={"env": {"OMP_NUM_THREADS": "4"}}),
        e.RunEnded(status=Status.COMPLETED),
    ]
    found = graph(crate_of(tmp_path, told))
    action = by_name(found, "CreateAction", "a")
    docker, other = ends(found, action, "containerImage")
    assert (docker["registry"], docker["name"], docker["tag"]) == ("quay.io", "lab/tool", "1.2")
    assert docker["sha256"] == "a" * 64
    kinds = [one["additionalType"]["@id"].partition("#")[2] for one in (docker, other)]
    assert kinds == ["DockerImage", "SIFImage"]
    (variable,) = ends(found, action, "environment")
    assert (variable["name"], variable["value"]) == ("OMP_NUM_THREADS", "4")
    (needed,) = ends(found, found[f"#{RUN_ID}/tool/a"], "softwareRequirements")
    assert (needed["name"], needed["softwareVersion"]) == ("env.yaml", "abc")


def test_directories_hold_their_files(tmp_path: Path) -> None:
    members = [file("x", "x"), file("y/z", "z")]
    made = File("d", FileType.DIRECTORY, sha256="0" * 64, members=members, role="out")
    told = [
        started(tmp_path),
        *ran("a", outputs=[made]),
        *ran("b", inputs=[File("d/x", role="one"), File("d", role="all")], outputs=[file("e")]),
        e.RunEnded(status=Status.COMPLETED),
    ]
    path = crate_of(tmp_path, told)
    assert crates.faults(path) == []
    found = graph(path)
    folder = found[f"file://{tmp_path}/d/"]
    assert folder["@type"] == "Dataset"
    parts = ends(found, folder, "hasPart")
    assert {part["sha256"] for part in parts} == {sha("x"), sha("z")}
    used = ends(found, by_name(found, "CreateAction", "b"), "object")
    assert folder in used
    assert parts[0] in used


# -- machine-learning runs -----------------------------------------------------------------


def with_child(folder: Path, child: str, content: bytes, kind: str, **more: Any) -> Path:
    """A crate of a run in whose task ``a`` that child ran."""
    digest = hashlib.sha256(content).hexdigest()
    told = [
        started(folder),
        e.TaskPlanned(task="a", step="a"),
        e.TaskStarted(task="a", attempt=1, inputs=[file("in.csv", "in", role="data")]),
        e.ChildAttached(
            task="a",
            attempt=1,
            child=child,
            type=kind,
            document=File(f"children/{digest}.json", sha256=digest),
            **more,
        ),
        e.TaskEnded(
            task="a",
            attempt=1,
            status=Status.COMPLETED,
            outputs=[file("net.pt", "net", role="model")],
        ),
        e.RunEnded(status=Status.COMPLETED),
    ]
    found = stored(folder, told)
    found.keep(content, ".json")
    return crate_of(folder, found)


def test_an_ml_run_is_an_action_in_its_task(tmp_path: Path) -> None:
    child = "0198f3a1-0000-7000-8000-000000000001"
    inputs = [file(f"{tmp_path}/in.csv", "in")]
    outputs = [file(f"{tmp_path}/net.pt", "net"), file(f"{tmp_path}/log", "log")]
    content = ml_run(child, inputs, outputs)
    path = with_child(tmp_path, child, content, "yprov4wms-ml")
    assert crates.faults(path) == []
    found = graph(path)
    action, task = found[f"urn:uuid:{child}"], by_name(found, "CreateAction", "a")
    assert action["isPartOf"] == {"@id": task["@id"]}
    assert action["actionStatus"] == COMPLETED
    used = {end["name"]: end for end in ends(found, action, "object")}
    made = {end["name"]: end for end in ends(found, action, "result")}
    assert used["lr"]["value"] == 0.1
    assert used["training/layers"]["value"] == "[1,2]"
    # Its files are those of its task.
    assert used["in.csv"] == ends(found, task, "object")[0]
    assert made["net.pt"] in ends(found, task, "result")
    assert made["log"]["sha256"] == sha("log")
    assert made["training/net"]["additionalType"] == "Model"


@pytest.mark.parametrize("name", ["yprov4ml-1.0.0", "yprov4ml-3.2.8"])
def test_a_run_of_yprov4ml_is_one_with_metrics_parameters_and_files(
    tmp_path: Path, name: str
) -> None:
    folders = sorted(FIXTURES.glob(f"{name}/*"))
    if not folders:
        pytest.skip(f"no {FIXTURES}")
    (child,) = readers.read(folders[0], None)
    path = with_child(tmp_path, child.id, child.content, child.dialect)
    assert crates.faults(path) == []
    found = graph(path)
    (action,) = [a for a in of_type(found, "CreateAction") if a["name"].startswith("ML run ")]
    told = [*ends(found, action, "object"), *ends(found, action, "result")]
    (lr,) = [one for one in told if one.get("name", "").rpartition("/")[2] == "lr"]
    assert str(lr["value"]) == "0.001"
    (loss,) = [
        one for one in told if one["name"].endswith("Loss") and "train" in one["name"].lower()
    ]
    assert loss["minValue"] <= loss["value"] <= loss["maxValue"]
    assert [one for one in told if "File" in crates.types(one)]


def test_a_child_that_cannot_be_read_is_left_to_the_document(tmp_path: Path) -> None:
    path = with_child(tmp_path, "x", b'{"entity": [1]}', "prov", complete=False)
    assert crates.faults(path) == []
    assert len(of_type(graph(path), "CreateAction")) == 2


# -- the files in it -----------------------------------------------------------------------


def test_the_document_is_inside_and_says_what_it_is(tmp_path: Path) -> None:
    path = crate_of(tmp_path, two(tmp_path), name="crate.zip")
    content = crates.files(path)
    assert check(content["prov.json"]) == []
    told = graph(path)["prov.json"]
    assert told["encodingFormat"] == "application/json"
    assert {end["@id"] for end in told["conformsTo"]} == {
        "http://www.w3.org/ns/prov#",
        "https://www.w3.org/submissions/prov-json/",
    }
    assert told["about"] == {"@id": f"urn:uuid:{RUN_ID}"}


def test_the_same_record_gives_the_same_bytes(tmp_path: Path) -> None:
    found = stored(tmp_path, two(tmp_path))
    one, other = (crate_of(tmp_path, found, name=name) for name in ("1.zip", "2.zip"))
    assert one.read_bytes() == other.read_bytes()
    assert crates.files(crate_of(tmp_path, found)) == crates.files(one)


def test_the_workflows_files_are_inside(tmp_path: Path) -> None:
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts/train.py").write_text("print(1)\n")
    script = File("scripts/train.py", size=9, sha256=sha("print(1)\n"))
    told = [
        started(tmp_path, git=e.Git(commit="c0ffee", dirty=True, remote="git@host.org:me/x.git")),
        e.StepDeclared(step="a", script=script),
        *ran("a"),
        e.RunEnded(status=Status.COMPLETED),
    ]
    told[3].script = script
    path = crate_of(tmp_path, told)
    assert crates.faults(path) == []
    content, found = crates.files(path), graph(path)
    assert content["workflow/Snakefile"] == (tmp_path / "Snakefile").read_bytes()
    assert content["workflow/scripts/train.py"] == b"print(1)\n"
    main = found["workflow/Snakefile"]
    assert (main["version"], main["url"]) == (
        "c0ffee with changes",
        "ssh://git@host.org/me/x.git",
    )
    assert found[f"#{RUN_ID}/tool/a"]["mainEntity"] == {"@id": "workflow/scripts/train.py"}


def test_a_workflow_that_has_changed_is_told_as_it_was_recorded(tmp_path: Path) -> None:
    told = two(tmp_path)
    found = stored(tmp_path, told)
    (tmp_path / "Snakefile").write_text("rule other:\n")
    path = crate_of(tmp_path, found)
    assert crates.faults(path) == []
    content = crates.files(path)
    assert "workflow/Snakefile" not in content
    assert b"do {output}" in content["workflow/recorded.txt"]
    assert graph(path)["./"]["mainEntity"] == {"@id": "workflow/recorded.txt"}


def test_a_packed_document_stands_in_for_a_workflow_that_is_gone(tmp_path: Path) -> None:
    content = b'{"cwlVersion": "v1.2"}'
    digest = hashlib.sha256(content).hexdigest()
    packed = File(f"children/{digest}.cwl", sha256=digest)
    told = [
        started(tmp_path, "cwltool", packed=packed, attributes={"cwl_version": "v1.2"}),
        *ran("a"),
    ]
    found = stored(tmp_path, told)
    found.keep(content, ".cwl")
    both = graph(crate_of(tmp_path, found, name="both"))
    assert both["./"]["mainEntity"] == {"@id": "workflow/Snakefile"}
    assert both["workflow/packed.cwl"]["wasDerivedFrom"] == {"@id": "workflow/Snakefile"}
    (tmp_path / "Snakefile").unlink()
    path = crate_of(tmp_path, found)
    assert crates.faults(path) == []
    assert graph(path)["./"]["mainEntity"] == {"@id": "workflow/packed.cwl"}
    language = graph(path)["https://w3id.org/workflowhub/workflow-ro-crate#cwl"]
    assert language["version"] == "v1.2"


def test_secrets_in_the_workflow_are_masked(tmp_path: Path) -> None:
    start = started(tmp_path)
    text = "KEY = 'AKIAIOSFODNN7EXAMPLE'\nURL = 'https://me:hunter22@host.org/x'\n"
    (tmp_path / "Snakefile").write_text(text)
    start.main_file = File("Snakefile", size=len(text), sha256=sha(text))
    path = crate_of(tmp_path, [start, *ran("a")])
    assert crates.faults(path) == []
    for content in crates.files(path).values():
        assert b"AKIAIOSFODNN7EXAMPLE" not in content
        assert b"hunter22" not in content
    main = graph(path)["workflow/Snakefile"]
    assert main["sha256"] == hashlib.sha256(crates.files(path)["workflow/Snakefile"]).hexdigest()
    assert "masked" in main["description"]


def test_a_license_is_said(tmp_path: Path) -> None:
    options = Options(license_="https://spdx.org/licenses/MIT")
    found = graph(crate_of(tmp_path, two(tmp_path), options))
    assert found["./"]["license"] == {"@id": "https://spdx.org/licenses/MIT"}
    plain = graph(crate_of(tmp_path, stored(tmp_path / "2", two(tmp_path)), name="plain"))
    assert found["./"]["name"] == "Run of Snakefile"
    assert plain[plain["./"]["license"]["@id"]]["name"] == "No license is stated."


def test_an_imported_run_has_no_times_that_it_does_not_know(tmp_path: Path) -> None:
    told = [
        started(tmp_path, imported=True),
        *ran("a", finished="2026-03-01T10:00:09.000000+00:00"),
        e.TaskPlanned(task="b", step="b"),
        e.TaskStarted(task="b", attempt=1),
    ]
    path = crate_of(tmp_path, told)
    assert crates.faults(path) == []
    found = graph(path)
    action, run = by_name(found, "CreateAction", "a"), found[f"urn:uuid:{RUN_ID}"]
    assert action["endTime"] == "2026-03-01T10:00:09.000+00:00"
    assert not {"startTime", "endTime", "actionStatus"} & run.keys()
    assert by_name(found, "CreateAction", "b")["actionStatus"] == FAILED


def test_numbers_that_json_has_not(tmp_path: Path) -> None:
    given = {"big": 10**30, "inf": 1e308, "deep": json.loads("[" * 90 + "]" * 90)}
    usage = {"cpu_time": e.Figure(unit="s", method="x", value=1e300)}
    path = crate_of(tmp_path, [started(tmp_path), *ran("a", parameters=given, usage=usage)])
    assert crates.faults(path) == []
    found = graph(path)
    values = {v["name"]: v for v in ends(found, by_name(found, "CreateAction", "a"), "object")}
    assert values["big"]["value"] == str(10**30)
    assert values["deep"]["value"] == "[" * 90 + "]" * 90
