"""The coarse view: what went in and came out of each run, in the form of yProv's tools."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from tests.documents import environment
from tests.explorer import Vertex, assert_shown, vertices
from tests.yprov4wms.export.test_document import run_with_child
from tests.yprov4wms.prov.anything import CHILD, likely, patient
from tests.yprov4wms.prov.runs import (
    RUN_ID,
    Told,
    content_of,
    folded,
    ml_run,
    related,
    runs,
    sha,
    started,
)
from tests.yprov4wms.prov.test_anything import INPUTS, OUTPUTS
from tests.yprov4wms.prov.test_nesting import NESTS, nested
from tests.yprov4wms.written import READABLE, assert_written

from yprov4wms import events as e
from yprov4wms.events import File, FileType, Status
from yprov4wms.export import coarse
from yprov4wms.prov.rules import check
from yprov4wms.prov.schema import schema

SCHEMA = Draft202012Validator(schema())
SOURCE = f"{RUN_ID}/prov.json"
RUN = "run:workflow_run"


def viewed(content: bytes) -> dict[str, Any]:
    """The view; it keeps the rules and the schema, and the explorer shows it whole."""
    view = coarse.view(content, SOURCE)
    assert [f"{p.rule}: {p.where}: {p.message}" for p in check(view)] == []
    assert view == coarse.view(content, SOURCE)
    found: dict[str, Any] = json.loads(view)
    assert [f"{e.json_path}: {e.message}" for e in SCHEMA.iter_errors(found)] == []
    shown = assert_shown(found)
    tied = {end for source, target, _ in shown.links for end in (source, target)}
    assert tied | {RUN, "ml:run"} >= shown.labels.keys()
    return found


def file(path: str, content: str = "1", **more: Any) -> File:
    return File(path=path, size=len(content), mtime_ns=7, sha256=sha(content), **more)


def task(name: str, inputs: list[File], outputs: list[File], attempt: int = 1) -> list[e.Event]:
    status = Status.COMPLETED if outputs else Status.FAILED
    return [
        e.TaskStarted(task=name, attempt=attempt, inputs=inputs),
        e.TaskEnded(task=name, attempt=attempt, status=status, outputs=outputs),
    ]


PIPELINE: list[e.Event] = [
    started(person=e.Person(login="ada"), main_file=file("Snakefile")),
    *task("split", [file("raw.csv")], [file("train.csv"), file("test.csv")]),
    *task("train", [file("train.csv"), file("lib", type=FileType.DIRECTORY, members=[])], []),
    *task("train", [file("train.csv")], [file("model.pt")], attempt=2),
    *task("test", [file("model.pt"), file("test.csv")], [file("report.html", role="report")]),
    *task("all", [file("report.html")], []),
    e.RunEnded(status=Status.COMPLETED),
]


def labels(document: dict[str, Any], section: str) -> set[str]:
    entities = document["entity"]
    ends = (end for pair in related(document, section) for end in pair)
    return {entities[end]["prov:label"] for end in ends if end in entities}


def test_a_run_stands_for_its_tasks_with_what_went_in_and_came_out() -> None:
    content = content_of(folded(PIPELINE))
    found = viewed(content)
    assert list(found["activity"]) == [RUN]
    run = found["activity"][RUN]
    whole = json.loads(content)["activity"]
    assert run["prov:type"] == "reduced_pipeline"
    assert run["analytics4yprov:level"] == 1
    assert run["analytics4yprov:source"] == SOURCE
    assert run["analytics4yprov:aggregates"] == [name for name in whole if name != RUN]
    kept = {name: value for name, value in run.items() if not name.startswith("analytics4yprov")}
    assert kept.pop("yprov4wms:further_type") == "yprov4wms:WorkflowRun"
    assert kept | {"prov:type": "yprov4wms:WorkflowRun"} == whole[RUN]
    assert labels(found, "used") == {"raw.csv", "lib"}
    # `all` made nothing of the report, so that it is a result.
    assert labels(found, "wasGeneratedBy") == {"report.html"}
    (made,) = found["wasGeneratedBy"].values()
    assert made["prov:role"] == "report"
    assert "prov:time" in made
    assert found["agent"].keys() >= {"run:person", "run:engine"}
    assert vertices(found)[RUN] == Vertex(
        "reduced_pipeline", 1, SOURCE, run["analytics4yprov:aggregates"]
    )


def test_a_file_that_several_tasks_used_is_used_once() -> None:
    told = [
        started(),
        *task("a", [file("raw.csv", role="x")], [file("a")]),
        *task("b", [file("raw.csv", role="y")], [file("b")]),
    ]
    found = viewed(content_of(folded(told)))
    (used,) = [
        r
        for r in found["used"].values()
        if "raw.csv" in labels({**found, "used": {"_:1": r}}, "used")
    ]
    assert used.keys() <= {"prov:activity", "prov:entity", "prov:time"}


def test_what_only_an_ml_run_in_a_task_used_is_not_the_runs() -> None:
    child = ml_run(CHILD, [file("/w/in"), file("/elsewhere/in", "2")], [file("/w/model.pt", "3")])
    found = nested(child, inputs=[file("in")], outputs=[file("model.pt", "3")])
    view = viewed(json.dumps(found).encode())
    assert labels(view, "used") >= {"in"}
    assert labels(view, "wasGeneratedBy") == {"model.pt"}
    paths = {entity.get("yprov4wms:path") for entity in view["entity"].values()}
    assert "/elsewhere/in" not in paths
    assert "ml1:run" in view["activity"][RUN]["analytics4yprov:aggregates"]


def test_of_an_ml_runs_own_document_the_run_is_left() -> None:
    found = viewed(ml_run(CHILD, [file("/w/in")], [file("/w/model.pt", "2")]))
    (run,) = found["activity"].values()
    assert run["analytics4yprov:aggregates"] == ["ml:context_training"]
    assert labels(found, "wasGeneratedBy") == {"/w/model.pt", "net"}


def test_runs_in_a_run_are_kept_apart() -> None:
    """Each stands for its own tasks; what passes between them is kept."""
    attempt = {"prov:label": "t", "prov:type": "yprov4wms:TaskAttempt", "yprov4wfs:level": "1"}
    run = {"prov:label": "r", "prov:type": "yprov4wms:WorkflowRun", "yprov4wfs:level": "0"}
    data = {"prov:label": "d", "prov:type": "yprov4wms:File"}
    document = {
        "prefix": {"a": "urn:uuid:1#", "b": "urn:uuid:2#"},
        "activity": {"a:r": run, "a:t": attempt, "a:u": attempt, "b:r": run, "b:t": attempt},
        "entity": {"a:given": data, "a:inner": data, "a:result": data, "b:inner": data},
        "wasInformedBy": {
            f"_:{n}": {"prov:informed": one, "prov:informant": two, "yprov4wms:link": link}
            for n, (one, two, link) in enumerate(
                [
                    ("a:t", "a:r", "part-of"),
                    ("a:u", "a:r", "part-of"),
                    ("a:u", "a:t", "depends-on"),
                    ("b:r", "a:u", "nested"),
                    ("b:t", "b:r", "part-of"),
                ]
            )
        },
        "used": {
            f"_:u{n}": {"prov:activity": one, "prov:entity": two}
            for n, (one, two) in enumerate(
                [("a:t", "a:given"), ("a:u", "a:inner"), ("b:t", "a:inner"), ("b:t", "b:inner")]
            )
        },
        "wasGeneratedBy": {
            f"_:g{n}": {"prov:entity": one, "prov:activity": two}
            for n, (one, two) in enumerate(
                [("a:inner", "a:t"), ("b:inner", "b:t"), ("a:result", "a:u")]
            )
        },
    }
    found = json.loads(coarse.view(json.dumps(document).encode(), "x"))
    assert_shown(found)
    assert found["activity"]["a:r"]["analytics4yprov:aggregates"] == ["a:t", "a:u"]
    assert found["activity"]["b:r"]["analytics4yprov:aggregates"] == ["b:t"]
    assert related(found, "wasInformedBy", "nested") == [("b:r", "a:r")]
    assert related(found, "used") == [("a:r", "a:given"), ("b:r", "a:inner")]
    made = set(related(found, "wasGeneratedBy"))
    assert {("a:inner", "a:r"), ("a:result", "a:r")} <= made
    assert ("b:inner", "a:r") not in made


def test_a_run_of_nothing_is_left_as_it_is() -> None:
    content = content_of(folded([started()]))
    found = viewed(content)
    assert found["activity"] == json.loads(content)["activity"]


@patient
@given(runs(), st.sampled_from(NESTS))
def test_the_view_of_any_run_keeps_the_rules(told: Told, nest: str) -> None:
    content = content_of(folded(told.events), told.children, nest)
    found = viewed(content)
    whole = json.loads(content)
    for section in ("entity", "agent"):
        for identifier, record in found.get(section, {}).items():
            assert record == whole[section][identifier]
    levels = {a["yprov4wfs:level"] for a in found["activity"].values()}
    assert levels == {"0"}
    stands_for = [
        name
        for run in found["activity"].values()
        for name in run.get("analytics4yprov:aggregates", [])
    ]
    assert sorted([*stands_for, *found["activity"]]) == sorted(whole["activity"])


@patient
@given(likely, st.sampled_from(NESTS))
def test_the_view_of_a_run_with_any_child_keeps_the_rules(child: Any, nest: str) -> None:
    whole = nested(child, nest, inputs=INPUTS, outputs=OUTPUTS, dialect="prov")
    viewed(json.dumps(whole).encode())


@settings(parent=patient, max_examples=30)
@given(runs(), st.sampled_from(READABLE))
def test_the_view_reads_back_equal_from_every_format(told: Told, form: str) -> None:
    pytest.importorskip("rdflib")
    view = coarse.view(content_of(folded(told.events), told.children), SOURCE)
    assert_written(view, form)


# -- the command ---------------------------------------------------------------------------


def exported(folder: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    if not (folder / "store").exists():
        run_with_child(folder / "store")
    command = [sys.executable, "-m", "yprov4wms", "export", "--store", "store", *arguments]
    return subprocess.run(command, cwd=folder, env=environment(), capture_output=True, check=False)


def test_the_command_writes_it_in_every_format(tmp_path: Path) -> None:
    done = exported(tmp_path, "--coarse")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    (run,) = found["activity"].values()
    (folder,) = (tmp_path / "store").iterdir()
    assert run["analytics4yprov:source"] == f"{folder.name}/prov.json"
    assert not (folder / "prov.json").exists()
    exported(tmp_path, "--coarse", "-o", "view.json.gz")
    assert exported(tmp_path, "--coarse", "-o", "view.json").returncode == 0
    assert (tmp_path / "view.json").read_bytes() == done.stdout
    turtle = exported(tmp_path, "--coarse", "--format", "turtle").stdout.decode()
    assert "a prov:Activity, analytics4yprov:reduced_pipeline ;" in turtle
    graph = exported(tmp_path, "--coarse", "--format", "node-link").stdout
    assert {node["kind"] for node in json.loads(graph)["nodes"]} <= {"step"}
    wrong = exported(tmp_path, "--coarse", "--format", "openlineage")
    assert wrong.returncode == 2
    assert b"--coarse is of the document and the step graph" in wrong.stderr
