"""From the workflow's raw data through the training to the report, whoever tells of the files."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import msgspec
import networkx
import pytest
from prov.model import ProvDocument
from tests.yprov4wms.prov.runs import Document, by_label, content_of, folded, related, sha, started
from tests.yprov4wms.prov.test_nesting import NESTS

from yprov4wms import events as e
from yprov4wms.events import File, FileType, Status
from yprov4wms.prov.rules import check

#: Data flows against these relations, from their second end to their first.
FLOW = ("used", "wasGeneratedBy", "wasDerivedFrom", "wasInformedBy")
FIRST, SECOND = "0198f3a1-0000-7000-8000-000000000001", "0198f3a1-0000-7000-8000-000000000002"


def file(path: str, content: str | None = "1", **more: Any) -> File:
    return File(path=path, size=9, mtime_ns=7, sha256=content and sha(content), **more)


def child(
    inputs: dict[str, str | None], outputs: dict[str, str | None], directory: str = "/w"
) -> bytes:
    """A run that used and made files; by path, what is in them."""
    entities, used, made = {}, {}, {}
    for number, (path, content) in enumerate([*inputs.items(), *outputs.items()]):
        name = f"c:file{number}"
        entities[name] = {
            "prov:label": f"the child's {path}",
            "prov:type": "yprov4wms:File",
            "yprov4wms:path": path,
        }
        if content is not None:
            entities[name]["yprov4wms:sha256"] = sha(content)
        ends = {"prov:activity": "c:training", "prov:entity": name}
        (used if number < len(inputs) else made)[f"_:{number}"] = ends
    training = {
        "prov:label": "training",
        "prov:type": "yprov4wms:MLRun",
        "yprov4wfs:level": "2",
        "yprov4wms:directory": directory,
    }
    return msgspec.json.encode(
        {
            "prefix": {
                "prov": "http://www.w3.org/ns/prov#",
                "yprov4wms": "urn:yprov4wms:terms#",
                "yprov4wfs": "https://github.com/HPCI-Lab/yProv4WFs#",
                "c": "http://c/",
            },
            "activity": {"c:training": training},
            "entity": entities,
            "used": used,
            "wasGeneratedBy": made,
        }
    )


def task(
    name: str,
    inputs: list[File] | None = None,
    outputs: list[File] | None = None,
    after: str | None = None,
    children: tuple[str, ...] = (),
) -> list[e.Event]:
    attached = [
        e.ChildAttached(
            task=name, attempt=1, child=one, type="prov", document=File(path=f"children/{one}")
        )
        for one in children
    ]
    depends_on = [after] if after else None
    return [
        e.TaskPlanned(task=name, step=name, label=name, depends_on=depends_on),
        e.TaskStarted(task=name, attempt=1, inputs=inputs),
        *attached,
        e.TaskEnded(task=name, attempt=1, status=Status.COMPLETED, outputs=outputs),
    ]


def document(told: list[list[e.Event]], children: dict[str, bytes], nest: str) -> Document:
    """Of a run of these tasks, one after the other; it keeps the rules, and prov reads it."""
    flat = [event for part in told for event in part]
    events = [started(), *flat, e.RunEnded(status=Status.COMPLETED)]
    content = content_of(folded(events), children, nest)
    assert [f"{p.rule}: {p.where}: {p.message}" for p in check(content)] == []
    ProvDocument.deserialize(content=content.decode(), format="json")
    found: Document = json.loads(content)
    return found


def flow(found: Document, sections: tuple[str, ...] = FLOW) -> Any:
    graph = networkx.DiGraph()
    for section in sections:
        graph.add_edges_from((two, one) for one, two in related(found, section))
    return graph


def leads(found: Document, *labels: str) -> bool:
    """Whether a path of data, not of order alone, leads from each to the next."""
    graph = flow(found, FLOW[:3])
    elements = {**found["entity"], **found["activity"]}
    places = [[k for k, v in elements.items() if v["prov:label"] == label] for label in labels]
    assert all(places), labels
    return all(
        any(networkx.has_path(graph, a, b) for a in ones if a in graph for b in twos if b in graph)
        for ones, twos in pairwise(places)
    )


PREPARE = task("prepare", [file("raw.csv", "raw")], [file("data.csv", "data")])
DATA, MODEL = file("data.csv", "data"), file("model.pt", "model")
REPORT = task("report", [MODEL], [file("report.html", "report")], "train")
SHAPES = {
    "by path": ({"/w/data.csv": "data"}, {"/w/model.pt": "model"}, "/w"),
    "by path alone": ({"/w/data.csv": None}, {"/w/model.pt": None}, "/w"),
    "by a roundabout path": ({"/w/x/../data.csv": "data"}, {"/w/./model.pt": "model"}, "/w"),
    "by path from the task's directory": ({"data.csv": "data"}, {"model.pt": "model"}, "/w"),
    "by path from another directory": ({"../data.csv": "data"}, {"../model.pt": "model"}, "/w/sub"),
    "by content": ({"/tmp/cache/d": "data"}, {"/scratch/best.pt": "model"}, "/w"),
    "by content of what it made": ({"/w/data.csv": "data"}, {"/scratch/best.pt": "model"}, "/w"),
}


@pytest.mark.parametrize("nest", NESTS)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_path_leads_from_raw_data_through_the_training_to_the_report(
    shape: str, nest: str
) -> None:
    train = task("train", [DATA], [MODEL], "prepare", (FIRST,))
    children = {FIRST: child(*SHAPES[shape])}
    found = document([PREPARE, train, REPORT], children, nest)
    assert leads(found, "raw.csv", "prepare", "data.csv", "training", "model.pt", "report")
    assert leads(found, "training", "report.html")
    if "content" not in shape and nest == "flatten":
        assert not [label for label in labels(found) if label.startswith("the child's")]


def labels(found: Document) -> list[str]:
    return [v["prov:label"] for v in found["entity"].values()]


@pytest.mark.parametrize("nest", NESTS)
def test_a_copy_is_another_file_that_says_by_what_it_is_known(nest: str) -> None:
    train = task("train", [DATA], [MODEL], "prepare", (FIRST,))
    children = {FIRST: child(*SHAPES["by content"])}
    found = document([PREPARE, train, REPORT], children, nest)
    graph = flow(found, ("wasDerivedFrom",))
    best = by_label(found, "the child's /scratch/best.pt")
    assert list(graph.successors(best)) == [by_label(found, "model.pt")]
    if nest == "flatten":
        told = [r for r in found["wasDerivedFrom"].values() if "yprov4wms:sha256" in r]
        assert [r["yprov4wms:sha256"] for r in told] == [sha("model"), sha("data")]


@pytest.mark.parametrize("nest", NESTS)
@pytest.mark.parametrize("content", [None, "data"])
def test_an_input_of_the_child_that_its_task_does_not_declare(
    nest: str, content: str | None
) -> None:
    train = task("train", [], [MODEL], "prepare", (FIRST,))
    children = {FIRST: child({"/w/data.csv": content}, {"/w/model.pt": "model"})}
    found = document([PREPARE, train, REPORT], children, nest)
    assert leads(found, "raw.csv", "prepare", "data.csv", "training", "model.pt", "report")


@pytest.mark.parametrize("nest", NESTS)
def test_a_member_of_a_directory_that_another_task_made(nest: str) -> None:
    folder = File(path="out", type=FileType.DIRECTORY, members=[file("data.csv", "data")])
    prepare = task("prepare", [file("raw.csv", "raw")], [folder])
    train = task("train", [], [MODEL], "prepare", (FIRST,))
    children = {FIRST: child({"/w/out/data.csv": "data"}, {"/w/model.pt": "model"})}
    found = document([prepare, train, REPORT], children, nest)
    assert leads(found, "raw.csv", "prepare", "out/data.csv", "training", "model.pt")


@pytest.mark.parametrize("nest", NESTS)
def test_a_model_that_no_task_declares_and_the_next_one_uses(nest: str) -> None:
    train = task("train", [DATA], [], "prepare", (FIRST,))
    children = {FIRST: child({"/w/data.csv": "data"}, {"/w/model.pt": "model"})}
    found = document([PREPARE, train, REPORT], children, nest)
    assert leads(found, "raw.csv", "prepare", "data.csv", "training", "model.pt", "report.html")


@pytest.mark.parametrize("nest", NESTS)
@pytest.mark.parametrize("content", [None, "model"])
def test_a_model_that_goes_from_child_to_child_and_no_task_knows_of(
    nest: str, content: str | None
) -> None:
    """As under Airflow, whose tasks declare no files."""
    train, test = task("train", children=(FIRST,)), task("test", after="train", children=(SECOND,))
    children = {
        FIRST: child({"/w/data.csv": "data"}, {"/w/model.pt": content}),
        SECOND: child({"/w/model.pt": content}, {"/w/report.html": "report"}),
    }
    found = document([train, test], children, nest)
    trainings = [k for k, v in found["activity"].items() if v["prov:label"] == "training"]
    assert networkx.has_path(flow(found, FLOW[:3]), *trainings)


def tied(found: Document) -> list[tuple[str, str]]:
    return related(found, "wasDerivedFrom")


@pytest.mark.parametrize("nest", NESTS)
@pytest.mark.parametrize(
    ("told", "made", "used"),
    [
        ("other content", "model", "another model"),
        ("known of one alone, and no order", "model", None),
        ("known of none, and no order", None, None),
    ],
)
def test_what_is_not_known_to_be_one_file_is_not_tied(
    told: str, made: str | None, used: str | None, nest: str
) -> None:
    train, test = task("train", children=(FIRST,)), task("test", children=(SECOND,))
    children = {
        FIRST: child({}, {"/w/model.pt": made}),
        SECOND: child({"/w/model.pt": used}, {}),
    }
    assert tied(document([train, test], children, nest)) == []


@pytest.mark.parametrize("nest", NESTS)
def test_what_was_used_before_it_was_made_is_not_tied(nest: str) -> None:
    use = task("use", [MODEL], [])
    train = task("train", [], [], None, (FIRST,))
    children = {FIRST: child({}, {"/w/model.pt": "model"})}
    assert tied(document([use, train], children, nest)) == []
    # Nor is what a task was given and its child wrote again.
    train = task("train", [MODEL], [], None, (FIRST,))
    assert tied(document([train], children, nest)) == []


@pytest.mark.parametrize("nest", NESTS)
def test_empty_files_are_no_copies_of_each_other(nest: str) -> None:
    train = task("train", [file("log", "")], [file("done", "")], None, (FIRST,))
    children = {FIRST: child({"/tmp/a": ""}, {"/tmp/b": ""})}
    assert tied(document([train], children, nest)) == []


def test_what_a_child_says_of_a_shared_file_stands_with_its_use_of_it() -> None:
    content = json.loads(child({"/w/data.csv": "data"}, {"/w/model.pt": "model"}))
    content["entity"]["c:file1"]["yprov4wms:artifact"] = "the net"
    content["entity"]["c:file1"]["prov:type"] = "provml:Model"
    train = task("train", [DATA], [file("model.pt", None)], "prepare", (FIRST,))
    children = {FIRST: msgspec.json.encode(content)}
    found = document([PREPARE, train, REPORT], children, "flatten")
    model, training = by_label(found, "model.pt"), by_label(found, "training", "activity")
    (made,) = [
        record
        for record in found["wasGeneratedBy"].values()
        if (record["prov:entity"], record["prov:activity"]) == (model, training)
    ]
    assert made["yprov4wms:artifact"] == "the net"
    assert made["yprov4wms:prov_type"] == "provml:Model"
    assert made["yprov4wms:sha256"] == sha("model")
