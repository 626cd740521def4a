from __future__ import annotations

import copy
import gzip
import io
import json
import random
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from yprov4wms import events as e
from yprov4wms.ml import document as ml_document
from yprov4wms.prov.document import WorkflowDocument
from yprov4wms.prov.rules import RULES, Problem, check, load
from yprov4wms.prov.writer import ProvJsonWriter
from yprov4wms.replay import fold
from yprov4wms.run import MLRun, Run
from yprov4wms.store import RunFolder

Document = dict[str, Any]

RUN_ID = "0198f3a0-0000-7000-8000-000000000001"
ML_ID = "0198f3a0-0000-7000-8000-000000000002"
TRAIN = "run:task_train.1"


def at(seconds: float) -> str:
    return f"2026-03-01T10:{int(seconds) // 60:02}:{seconds % 60:09.6f}+00:00"


def lines_of(run_id: str, told: Iterable[e.Event]) -> list[bytes]:
    """A journal of these events, one second apart."""
    lines = []
    for number, event in enumerate(told, 1):
        event.v, event.time, event.writer, event.seq, event.run = 1, at(number), "w", number, run_id
        lines.append(msgspec.json.encode(event) + b"\n")
    return lines


def text_of(writer: ProvJsonWriter) -> bytes:
    out = io.BytesIO()
    writer.write_to(out)
    return out.getvalue()


def file(path: str, sha: str = "a", **more: Any) -> e.File:
    return e.File(path=path, size=10, mtime_ns=7, sha256=sha * 64, **more)


def ml_child(folder: Path) -> bytes:
    """A child document by our own recorder: contexts, metric, model, data set, artifacts."""
    (folder / "metrics").mkdir(parents=True)
    person = e.Person(login="ada", name="Ada")
    journal = lines_of(
        ML_ID,
        [
            e.MLRunStarted(experiment="digits", directory="/data", person=person, python="3.11"),
            e.MLContextStarted(context="training"),
            e.MLParam(name="lr", value=0.1),
            e.MLParam(name="layers", value=[1, 2], context="training"),
            e.MLMetricDeclared(name="loss", path="metrics/loss.ymet", series=0, context="training"),
            e.MLDataset(name="digits", file=file("/data/data.csv"), context="training"),
            e.MLModel(name="net", file=file("/data/model.pt", "b"), context="training"),
            e.MLArtifact(name="plot", file=file("/elsewhere/plot.png", "c")),
            e.MLRunEnded(status=e.Status.COMPLETED),
        ],
    )
    run = fold([("ml.jsonl", journal)])
    assert isinstance(run, MLRun)
    return text_of(ml_document.build(run, RunFolder(str(folder))))


def workflow() -> list[bytes]:
    """A journal with every kind of thing that a run can hold."""
    usage = {
        "cpu_time": e.Figure("s", "wait4", 1.5),
        "memory_peak": e.Figure("B", "sampling", 2e6),
        "energy": e.Figure("J", "CPU time x watts", None, 3.0, 9.0),
    }
    parts = file(
        "parts", "d", type=e.FileType.DIRECTORY, members=[file("a", "e"), file("b.txt", "f")]
    )
    attached = e.ChildAttached(
        task="train", attempt=1, child=ML_ID, type="yprov4wms-ml", document=file("c.json", "9")
    )
    engine = e.Software(name="snakemake", kind="engine", version="9.0")
    return lines_of(
        RUN_ID,
        [
            e.RunStarted(
                engine=engine,
                workflow="Snakefile",
                directory="/data",
                command=["snakemake", "--cores", "1"],
                main_file=file("Snakefile"),
                files=[file("config.yaml", role="config")],
                config={"depth": {"of net": 3}, "method": "adam", "unit": 1},
                git=e.Git(commit="c0ffee", dirty=True, changed=["a", "b"]),
                person=e.Person(login="ada", name="Ada"),
                software=[
                    e.Software(name="yprov", kind="plugin", version="1"),
                    e.Software(name="numpy", kind="package", version="2"),
                ],
                carbon_intensity=e.Figure("g/kWh", "given by the user", 300.0),
            ),
            e.StepDeclared(step="split", code="split", script=file("split.py")),
            e.StepDeclared(step="train", depends_on=["split"], software=[engine]),
            e.StepDeclared(step="report", depends_on=["train"]),
            e.TaskPlanned(task="split", step="split"),
            e.TaskPlanned(task="train", step="train", depends_on=["split"]),
            e.TaskPlanned(task="report", step="report", depends_on=["failing"]),
            e.TaskPlanned(task="failing", step="train", depends_on=["train"]),
            e.TaskPlanned(task="inner", step="train", parent="train"),
            e.TaskPlanned(task="skipped", step="report"),
            e.TaskNotRun(task="skipped", status=e.Status.SKIPPED, reason="branch"),
            e.TaskStarted(
                task="split",
                attempt=1,
                inputs=[file("data.csv"), file("lib", type=e.FileType.DIRECTORY, members=[])],
                parameters={"learning": 1, "learning_method": "x", "deep": {"a": [1]}},
                wildcards={"sample": "A 1"},
                resources={"mem_mb": 2**40, "tmpdir": "/tmp"},
                threads=1,
            ),
            e.TaskEnded(
                task="split",
                attempt=1,
                status=e.Status.FAILED,
                exit_code=1,
                error='"a":1',
                outputs=[parts],
            ),
            e.TaskStarted(task="split", attempt=2, inputs=[file("data.csv", role="data")]),
            e.TaskSubmitted(task="split", attempt=2, external_id="77"),
            e.TaskEnded(
                task="split",
                attempt=2,
                status=e.Status.COMPLETED,
                exit_code=0,
                outputs=[parts],
                usage=usage,
            ),
            e.TaskStarted(task="train", attempt=1, inputs=[file("parts/a", "e"), file("data.csv")]),
            e.TaskStarted(task="inner", attempt=1),
            e.TaskEnded(task="inner", attempt=1, status=e.Status.CACHED),
            attached,
            e.TaskEnded(
                task="train",
                attempt=1,
                status=e.Status.COMPLETED,
                outputs=[file("model.pt", "b", role="model"), file("log", "8")],
            ),
            e.TaskStarted(task="failing", attempt=1, inputs=[file("model.pt", "b")]),
            e.TaskEnded(task="failing", attempt=1, status=e.Status.FAILED, signal=9),
            e.RunEnded(status=e.Status.FAILED, error="a task failed"),
        ],
    )


def combined(journal: list[bytes], child: bytes, nest: str = "flatten") -> bytes:
    run = fold([("w.jsonl", journal)])
    assert isinstance(run, Run)
    return text_of(WorkflowDocument(run, lambda attached: child, nest).build())


NESTS = ("flatten", "bundle", "link")


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A valid document of each kind."""
    child = ml_child(tmp_path_factory.mktemp("ml"))
    return {"child": child} | {nest: combined(workflow(), child, nest) for nest in NESTS}


# -- edits -----------------------------------------------------------------------


Edit = Callable[[Document], object]


def edited(content: bytes, edit: Edit) -> bytes:
    document = json.loads(content)
    edit(document)
    return json.dumps(document).encode()


def put(value: Any, *path: str) -> Edit:
    def edit(document: Document) -> None:
        for key in path[:-1]:
            document = document.setdefault(key, {})
        document[path[-1]] = value

    return edit


def drop(*path: str) -> Edit:
    def edit(document: Document) -> None:
        for key in path[:-1]:
            document = document[key]
        del document[path[-1]]

    return edit


def both(*edits: Edit) -> Edit:
    return lambda document: [edit(document) for edit in edits]


def inside(edit: Edit) -> Edit:
    """An edit of the document's bundle."""
    return lambda document: edit(document["bundle"][bundle(document)])


def bundle(document: Document) -> str:
    return str(next(iter(document["bundle"])))


def typed(text: object, kind: object = "xsd:int") -> dict[str, object]:
    return {"$": text, "type": kind}


def element(**more: object) -> dict[str, object]:
    return {"prov:label": "x", "prov:type": "yprov4wms:File", **more}


def used(identifier: str, **more: object) -> Edit:
    """A new entity that the workflow run used."""
    ends = {"prov:activity": "run:workflow_run", "prov:entity": identifier}
    return both(
        put(element(**more), "entity", identifier),
        put(ends, "used", f"_:of_{identifier.encode().hex()}"),
    )


def value(content: object) -> Edit:
    """A new entity with an attribute of this value."""
    return used("run:new", **{"run:value": content})


def file_of(document: Document, label: str) -> str:
    """The last entity with this label."""
    return str([i for i, r in document["entity"].items() if r["prov:label"] == label][-1])


def on_file(label: str, name: str, content: object) -> Edit:
    return lambda document: put(content, "entity", file_of(document, label), name)(document)


def generation(label: str, activity: str, **more: object) -> Edit:
    def edit(document: Document) -> None:
        ends = {"prov:entity": file_of(document, label), "prov:activity": activity}
        document["wasGeneratedBy"]["_:new"] = ends | more

    return edit


def generations(label: str, change: Callable[[Document, str], object]) -> Edit:
    """What becomes of each generation of the file, given the section and its identifier."""

    def edit(document: Document) -> None:
        section, entity = document["wasGeneratedBy"], file_of(document, label)
        for identifier in [i for i, r in section.items() if r["prov:entity"] == entity]:
            change(section, identifier)

    return edit


def relation(section: str, **ends: object) -> Edit:
    return put({f"prov:{name}": end for name, end in ends.items()}, section, "_:new")


# -- valid documents -------------------------------------------------------------


@pytest.mark.parametrize("kind", [*NESTS, "child"])
def test_a_valid_document_has_no_problem(documents: dict[str, bytes], kind: str) -> None:
    assert check(documents[kind]) == []


@pytest.mark.parametrize("nest", NESTS)
def test_the_document_of_a_run_killed_after_any_event_has_no_problem(
    documents: dict[str, bytes], nest: str
) -> None:
    journal = workflow()
    for told in range(1, len(journal)):
        assert check(combined(journal[:told], documents["child"], nest)) == [], told


ALLOWED: dict[str, tuple[str, Edit]] = {
    "an agent that is also an entity": ("flatten", used("run:engine")),
    "an agent that is also an activity": ("flatten", put(element(), "activity", "run:engine")),
    "a default namespace": ("flatten", both(put("urn:x:", "prefix", "default"), used("plain"))),
    "several values of an attribute": ("flatten", value(["a", True, typed("1")])),
    "text with a language": ("flatten", value({"$": "eau", "lang": "fr-CH"})),
    "an infinity": ("flatten", value(typed("-INF", "xsd:double"))),
    "an exponent": ("flatten", value(typed("1e-07", "xsd:double"))),
    "the smallest long": ("flatten", value(typed(str(-(2**63)), "xsd:long"))),
    "a qualified name": ("flatten", value(typed("prov:Plan", "prov:QUALIFIED_NAME"))),
    "a date": ("flatten", value(typed("2026-01-31", "xsd:date"))),
    "a duration": ("flatten", value(typed("P1DT2.5S", "xsd:duration"))),
    "a URI": ("flatten", value(typed("https://x.org/a?b=c", "xsd:anyURI"))),
    "a type of one's own": ("flatten", value(typed("anything", "run:type"))),
    "text with a colon": ("flatten", used("run:new", **{"prov:type": "Note: a b"})),
    "a derivation that names its events": (
        "flatten",
        both(
            put("ml1:context_training", "wasDerivedFrom", "_:wasDerivedFrom1", "prov:activity"),
            put("_:used1", "wasDerivedFrom", "_:wasDerivedFrom1", "prov:usage"),
            put("_:wasGeneratedBy1", "wasDerivedFrom", "_:wasDerivedFrom1", "prov:generation"),
        ),
    ),
    "a parameter whose name ends like a figure's": (
        "flatten",
        both(
            put(typed("1"), "activity", TRAIN, "yprov4wms:param_lr"),
            put("adam", "activity", TRAIN, "yprov4wms:param_lr_method"),
        ),
    ),
    "a bundle's relation to an element of the document": (
        "bundle",
        inside(relation("wasInformedBy", informed="ml:run", informant=TRAIN)),
    ),
    "a bundle's prefix bound to what it stands for anyway": (
        "bundle",
        inside(put(f"urn:uuid:{RUN_ID}#", "prefix", "run")),
    ),
    "identifiers of relations that bundle and document have in common": (
        "bundle",
        inside(
            put({"prov:activity": "ml:run", "prov:entity": "ml:param_lr"}, "used", "_:hadMember1")
        ),
    ),
}


@pytest.mark.parametrize("case", ALLOWED)
def test_what_prov_allows_is_no_problem(documents: dict[str, bytes], case: str) -> None:
    kind, edit = ALLOWED[case]
    assert check(edited(documents[kind], edit)) == []


# -- one broken rule each --------------------------------------------------------

SPLIT = "run:task_split.2"
LATER = "2026-03-01T11:00:00.000000+00:00"

#: Rule, kind of document, part of where it is told, and what breaks it.
BROKEN: list[tuple[str, str, str, Edit]] = [
    ("not-an-object", "flatten", "section mentionOf", put([], "mentionOf")),
    ("not-an-object", "flatten", "section mentionOf", put(None, "mentionOf")),
    ("not-an-object", "flatten", "mentionOf _:a", put("text", "mentionOf", "_:a")),
    ("unknown-section", "flatten", "section @context", put({}, "@context")),
    ("unknown-section", "flatten", "section wasEndedby", put({}, "wasEndedby")),
    ("unknown-section", "bundle", "bundle run:", inside(put({}, "id"))),
    ("nested-bundle", "bundle", "section bundle", inside(put({}, "bundle"))),
    (
        "several-objects",
        "flatten",
        "used _:used1",
        lambda d: put([d["used"]["_:used1"]] * 2, "used", "_:used1")(d),
    ),
    # prefixes
    ("bad-prefix", "flatten", "prefix 1x", put("urn:x:", "prefix", "1x")),
    ("bad-prefix", "flatten", "prefix _", put("urn:x:", "prefix", "_")),
    ("undeclared-prefix", "flatten", "prov:type", used("run:a", **{"prov:type": "no:Type"})),
    ("undeclared-prefix", "flatten", "entity no:a", used("no:a")),
    ("undeclared-prefix", "flatten", "entity plain", used("plain")),
    ("undeclared-prefix", "flatten", "entity _:blank", used("_:blank")),
    ("undeclared-prefix", "flatten", "run:a, no:name", used("run:a", **{"no:name": "x"})),
    ("undeclared-prefix", "flatten", "run:a, name", used("run:a", name="x")),
    ("undeclared-prefix", "flatten", "run:value", value(typed("x", "no:type"))),
    ("undeclared-prefix", "flatten", "run:value", value([typed("x", "no:type")])),
    ("undeclared-prefix", "flatten", "run:value", value(typed("no:x", "prov:QUALIFIED_NAME"))),
    ("undeclared-prefix", "flatten", "entity ml1:", drop("prefix", "ml1")),
    ("undeclared-prefix", "child", "entity ml:", drop("prefix", "xsd")),
    ("bad-namespace", "flatten", "prefix x", put("relative#", "prefix", "x")),
    ("bad-namespace", "flatten", "prefix x", put("https://x.org/terms", "prefix", "x")),
    ("bad-namespace", "flatten", "prefix x", put("https://x.org/a b#", "prefix", "x")),
    ("bad-namespace", "flatten", "prefix x", put(5, "prefix", "x")),
    ("reserved-prefix", "flatten", "prefix xsd", put("http://x.org/#", "prefix", "xsd")),
    ("reserved-prefix", "bundle", "prefix prov", inside(put("http://x/", "prefix", "prov"))),
    *(
        ("ecosystem-prefix", "flatten", f"prefix {name}", put("https://x.org/#", "prefix", name))
        for name in ("yprov4wfs", "yprov", "provml", "dcterms", "yprov4wms")
    ),
    ("bundle-prefix", "bundle", "prefix run", inside(put("urn:x:", "prefix", "run"))),
    ("run-namespace", "flatten", "run:workflow_run", put("urn:uuid:1#", "prefix", "run")),
    (
        "run-namespace",
        "flatten",
        "run:workflow_run",
        both(
            put("https://x.org/", "prefix", "run"),
            drop("activity", "run:workflow_run", "yprov4wms:run_id"),
        ),
    ),
    # identifiers
    ("bad-identifier", "flatten", "run:a/b", used("run:a/b")),
    ("bad-identifier", "flatten", "run:1a", used("run:1a")),
    ("bad-identifier", "flatten", "run:a.", used("run:a.")),
    ("bad-identifier", "flatten", "run:", used("run:")),
    ("bad-identifier", "flatten", "run:\u00e9", used("run:\u00e9")),
    (
        "bad-identifier",
        "flatten",
        "hadMember _:a b",
        lambda d: d["hadMember"].update({"_:a b": d["hadMember"].pop("_:hadMember1")}),
    ),
    ("bad-attribute-name", "flatten", "yprov4wms:a b", used("run:a", **{"yprov4wms:a b": "x"})),
    ("entity-and-activity", "flatten", f"activity {TRAIN}", used(TRAIN)),
    (
        "duplicate-relation",
        "flatten",
        "used _:hadMember1",
        lambda d: d["used"].update({"_:hadMember1": d["used"].pop("_:used1")}),
    ),
    (
        "duplicate-relation",
        "flatten",
        "used run:engine",
        lambda d: d["used"].update({"run:engine": d["used"].pop("_:used1")}),
    ),
    (
        "bundle-entity",
        "bundle",
        "bundle run:other",
        lambda d: d["bundle"].update({"run:other": d["bundle"].pop(bundle(d))}),
    ),
    # relations
    ("missing-end", "flatten", "used _:new", relation("used", activity=TRAIN)),
    (
        "missing-end",
        "flatten",
        "hadMember _:new",
        relation("hadMember", collection="run:workflow", entity=["run:step_split"]),
    ),
    (
        "missing-end",
        "flatten",
        "used _:new",
        relation("used", activity=TRAIN, entity=typed("run:workflow", "prov:QUALIFIED_NAME")),
    ),
    (
        "undeclared-end",
        "flatten",
        "used _:new, prov:entity",
        relation("used", activity=TRAIN, entity="run:nothing"),
    ),
    (
        "undeclared-end",
        "flatten",
        "wasAssociatedWith _:new, prov:plan",
        relation("wasAssociatedWith", activity=TRAIN, agent="run:engine", plan="run:nothing"),
    ),
    (
        "undeclared-end",
        "flatten",
        "wasDerivedFrom _:wasDerivedFrom3, prov:usage",
        put("_:nothing", "wasDerivedFrom", "_:wasDerivedFrom3", "prov:usage"),
    ),
    (
        "undeclared-end",
        "bundle",
        "used _:new, prov:entity",
        relation("used", activity=TRAIN, entity="run:nothing"),
    ),
    (
        "undeclared-end",
        "bundle",
        "bundle run:",
        inside(
            both(
                put("urn:other:", "prefix", "ml1"),
                relation("used", activity="ml:run", entity="ml1:x"),
            )
        ),
    ),
    (
        "wrong-end",
        "flatten",
        "used _:new, prov:entity",
        relation("used", activity=TRAIN, entity="run:engine"),
    ),
    (
        "wrong-end",
        "flatten",
        "wasInformedBy _:wasInformedBy3, prov:informant",
        put("run:workflow", "wasInformedBy", "_:wasInformedBy3", "prov:informant"),
    ),
    (
        "wrong-end",
        "flatten",
        "wasAssociatedWith _:new, prov:plan",
        relation("wasAssociatedWith", activity=TRAIN, agent="run:engine", plan="run:person"),
    ),
    (
        "plan-type",
        "flatten",
        "wasAssociatedWith _:new, prov:plan",
        relation("wasAssociatedWith", activity=TRAIN, agent="run:engine", plan="run:environment"),
    ),
    # values
    ("bad-label", "flatten", SPLIT, drop("activity", SPLIT, "prov:label")),
    ("bad-label", "flatten", SPLIT, put(["a"], "activity", SPLIT, "prov:label")),
    ("bad-label", "flatten", SPLIT, put(typed("1"), "activity", SPLIT, "prov:label")),
    ("bad-label", "flatten", SPLIT, put(None, "activity", SPLIT, "prov:label")),
    ("bad-label", "bundle", "activity ml:run", inside(put(1, "activity", "ml:run", "prov:label"))),
    ("bad-type", "flatten", "agent run:engine", drop("agent", "run:engine", "prov:type")),
    ("bad-type", "flatten", "run:engine", put(["prov:Person"], "agent", "run:engine", "prov:type")),
    (
        "bad-type",
        "flatten",
        "_:used1",
        put(typed("prov:Plan", "prov:QUALIFIED_NAME"), "used", "_:used1", "prov:type"),
    ),
    (
        "bare-relation",
        "flatten",
        "hadMember _:hadMember1, run:k",
        put("x", "hadMember", "_:hadMember1", "run:k"),
    ),
    (
        "bare-relation",
        "flatten",
        "hadMember _:hadMember1, prov:label",
        put("x", "hadMember", "_:hadMember1", "prov:label"),
    ),
    (
        "bare-relation",
        "flatten",
        "hadMember run:member",
        lambda d: d["hadMember"].update({"run:member": d["hadMember"].pop("_:hadMember1")}),
    ),
    (
        "several-values",
        "flatten",
        "run:new, prov:value",
        used("run:new", **{"prov:value": ["a", "b"]}),
    ),
    ("null-value", "flatten", "run:new, run:value", value(None)),
    ("null-value", "flatten", "_:used1, prov:role", put(None, "used", "_:used1", "prov:role")),
    ("bare-number", "flatten", "run:new, run:value", value(5)),
    ("bare-number", "flatten", "run:new, run:value", value(0.5)),
    ("bare-number", "flatten", "run:new, run:value", value(10**30)),
    ("bare-number", "flatten", "run:new, run:value", value([10**300])),
    ("nested-value", "flatten", "run:new, run:value", value({})),
    ("nested-value", "flatten", "run:new, run:value", value({"a": "b"})),
    ("nested-value", "flatten", "run:new, run:value", value([["a"]])),
    ("bad-literal", "flatten", "run:new, run:value", value(typed(5))),
    ("bad-literal", "flatten", "run:new, run:value", value(typed(None, "xsd:string"))),
    ("bad-literal", "flatten", "run:new, run:value", value({"$": "5"})),
    ("bad-literal", "flatten", "run:new, run:value", value(typed("5", ["xsd:int"]))),
    ("bad-literal", "flatten", "run:new, run:value", value(typed("5") | {"unit": "s"})),
    ("bad-literal", "flatten", "run:new, run:value", value(typed("5") | {"lang": "en"})),
    ("bad-literal", "flatten", "run:new, run:value", value({"$": "5", "lang": "no language"})),
    ("bad-literal", "flatten", "run:new, run:value", value(typed(str(2**31)))),
    ("bad-literal", "flatten", "run:new, run:value", value(typed("five"))),
    ("bad-literal", "flatten", "run:new, run:value", value(typed("9" * 10_000))),
    ("bad-literal", "flatten", "run:new, run:value", value(typed(str(2**63), "xsd:long"))),
    ("bad-literal", "flatten", "run:new, run:value", value(typed("\u0665", "xsd:long"))),
    ("bad-literal", "flatten", "run:new, run:value", value(typed("1e999", "xsd:double"))),
    ("bad-literal", "flatten", "run:new, run:value", value(typed("inf", "xsd:double"))),
    ("bad-literal", "flatten", "run:new, run:value", value(typed("x y", "xsd:anyURI"))),
    ("bad-literal", "flatten", "run:new, run:value", value(typed("2026", "xsd:dateTime"))),
    ("bad-literal", "flatten", "run:new, run:value", value(typed("x", "xsd:nothing"))),
    ("bad-literal", "flatten", "run:new, run:value", value(typed("x", "prov:QUALIFIED_NAME"))),
    ("bad-literal", "flatten", "run:value", value(typed("run:a b", "prov:QUALIFIED_NAME"))),
    ("bad-literal", "flatten", "run:value", value(typed("run:a/b", "prov:QUALIFIED_NAME"))),
    ("number-type", "flatten", "run:new, run:value", value(typed("5", "xsd:integer"))),
    ("number-type", "flatten", "run:new, run:value", value(typed("5", "xsd:float"))),
    ("typed-boolean", "flatten", "run:new, run:value", value(typed("true", "xsd:boolean"))),
    ("qname-type", "flatten", "run:new, run:value", value(typed("prov:Plan", "xsd:QName"))),
    *(
        (
            "bad-time",
            "flatten",
            f"{SPLIT}, prov:endTime",
            put(time, "activity", SPLIT, "prov:endTime"),
        )
        for time in (
            "2026-03-01T11:00:00.000000Z",
            "2026-03-01T11:00:00+00:00",
            "2026-03-01T11:00:00.000000",
            "2026-02-30T11:00:00.000000+00:00",
            "2026-03-01T11:00:60.000000+00:00",
            "2026-03-01T11:00:00.000000+00:00\n",
            "None",
            None,
            5,
            typed(LATER, "xsd:dateTime"),
        )
    ),
    (
        "bad-time",
        "flatten",
        "wasGeneratedBy _:wasGeneratedBy1, prov:time",
        put("Nov 7, 2011", "wasGeneratedBy", "_:wasGeneratedBy1", "prov:time"),
    ),
    (
        "unknown-prov-attribute",
        "flatten",
        "prov:startedAtTime",
        put(LATER, "activity", SPLIT, "prov:startedAtTime"),
    ),
    (
        "unknown-prov-attribute",
        "flatten",
        "prov:startTime",
        used("run:a", **{"prov:startTime": LATER}),
    ),
    (
        "unknown-prov-attribute",
        "flatten",
        "prov:time",
        put(LATER, "hadMember", "_:hadMember1", "prov:time"),
    ),
    (
        "unknown-prov-attribute",
        "flatten",
        "prov:role",
        put("x", "wasInformedBy", "_:wasInformedBy1", "prov:role"),
    ),
    (
        "unknown-prov-attribute",
        "flatten",
        "prov:value",
        put("x", "activity", SPLIT, "prov:value"),
    ),
    (
        "unknown-prov-attribute",
        "flatten",
        "prov:plan",
        put("run:workflow", "used", "_:used1", "prov:plan"),
    ),
    ("end-before-start", "flatten", SPLIT, put(LATER, "activity", SPLIT, "prov:startTime")),
    # runs
    ("bad-level", "flatten", SPLIT, put("4", "activity", SPLIT, "yprov4wfs:level")),
    ("bad-level", "flatten", SPLIT, put(typed("1"), "activity", SPLIT, "yprov4wfs:level")),
    ("bad-level", "flatten", SPLIT, put("2", "activity", SPLIT, "yprov4wfs:level")),
    ("bad-level", "flatten", SPLIT, drop("activity", SPLIT, "yprov4wfs:level")),
    ("bad-level", "flatten", "run:a", used("run:a", **{"yprov4wfs:level": "1"})),
    (
        "no-root",
        "flatten",
        "section activity",
        both(
            put("run:Other", "activity", "run:workflow_run", "prov:type"),
            drop("activity", "run:workflow_run", "yprov4wfs:level"),
        ),
    ),
    (
        "no-root",
        "bundle",
        "bundle run:",
        inside(
            both(
                put("ml:Other", "activity", "ml:run", "prov:type"),
                drop("activity", "ml:run", "yprov4wfs:level"),
            )
        ),
    ),
    ("bad-status", "flatten", SPLIT, put("done", "activity", SPLIT, "yprov4wfs:status")),
    ("bad-status", "flatten", SPLIT, put(True, "activity", SPLIT, "yprov4wfs:status")),
    ("never-ran", "flatten", SPLIT, put("not-started", "activity", SPLIT, "yprov4wfs:status")),
    (
        "never-ran",
        "flatten",
        "run:plan_skipped",
        put("completed", "entity", "run:plan_skipped", "yprov4wfs:status"),
    ),
    (
        "task-plan",
        "flatten",
        "run:plan_skipped",
        put("run:environment", "wasDerivedFrom", "_:wasDerivedFrom4", "prov:usedEntity"),
    ),
    (
        "attempt-plan",
        "flatten",
        "run:task_split.1",
        drop("wasAssociatedWith", "_:wasAssociatedWith4", "prov:plan"),
    ),
    (
        "unfinished",
        "flatten",
        SPLIT,
        both(
            put("completed", "activity", "run:workflow_run", "yprov4wfs:status"),
            drop("activity", SPLIT, "prov:endTime"),
        ),
    ),
    (
        "unfinished",
        "flatten",
        SPLIT,
        both(
            put("completed", "activity", "run:workflow_run", "yprov4wfs:status"),
            put("running", "activity", SPLIT, "yprov4wfs:status"),
        ),
    ),
    (
        "bad-link",
        "flatten",
        "_:wasInformedBy3, yprov4wms:link",
        put("because", "wasInformedBy", "_:wasInformedBy3", "yprov4wms:link"),
    ),
    (
        "bad-link",
        "flatten",
        "used _:used1, yprov4wms:link",
        put("depends-on", "used", "_:used1", "yprov4wms:link"),
    ),
    (
        "missing-link",
        "flatten",
        "_:wasInformedBy3",
        drop("wasInformedBy", "_:wasInformedBy3", "yprov4wms:link"),
    ),
    (
        "nested-agent",
        "flatten",
        "activity ml1:run",
        both(
            put(element(), "agent", "run:other"),
            put("run:other", "wasAssociatedWith", "_:wasAssociatedWith7", "prov:agent"),
        ),
    ),
    ("nested-document", "link", "activity run:", on_file("c.json", "prov:type", "run:Other")),
    (
        "outside",
        "flatten",
        "activity run:task_split.1",
        put("depends-on", "wasInformedBy", "_:wasInformedBy1", "yprov4wms:link"),
    ),
    (
        "outside",
        "flatten",
        "activity run:task_split.1",
        put("run:task_split.1", "wasInformedBy", "_:wasInformedBy1", "prov:informant"),
    ),
    (
        "outside",
        "bundle",
        "activity run:child",
        put("depends-on", "wasInformedBy", "_:wasInformedBy6", "yprov4wms:link"),
    ),
    ("figure", "flatten", "cpu_time_method", drop("activity", SPLIT, "yprov4wms:cpu_time_unit")),
    ("figure", "flatten", "cpu_time_unit", drop("activity", SPLIT, "yprov4wms:cpu_time_method")),
    ("figure", "flatten", "energy_unit", drop("activity", SPLIT, "yprov4wms:energy_method")),
    # versions and connectivity
    ("generated-twice", "flatten", "entity run:file_", generation("parts", TRAIN)),
    ("generated-twice", "flatten", "entity run:file_", generation("log", TRAIN)),
    ("generated-twice", "flatten", "entity run:file_", generation("model.pt", SPLIT)),
    (
        "outer-time",
        "flatten",
        "entity run:file_",
        generations("model.pt", lambda section, i: section[i].update({"prov:time": LATER})),
    ),
    (
        "member-generation",
        "flatten",
        "entity run:file_",
        generations("parts/a", lambda section, i: section.pop(i)),
    ),
    ("unconnected", "flatten", "entity run:alone", put(element(), "entity", "run:alone")),
    ("unconnected", "bundle", "agent ml:alone", inside(put(element(), "agent", "ml:alone"))),
    (
        "unconnected",
        "flatten",
        "entity run:a",
        both(
            put(element(), "entity", "run:a"),
            relation("specializationOf", specificEntity="run:a", generalEntity="run:environment"),
        ),
    ),
    (
        "unconnected",
        "flatten",
        "entity run:a",
        both(
            put(element(), "entity", "run:a"),
            put(element(), "entity", "run:b"),
            relation("wasDerivedFrom", generatedEntity="run:a", usedEntity="run:b"),
        ),
    ),
]


@pytest.mark.parametrize(("rule", "kind", "where", "edit"), BROKEN)
def test_one_broken_rule_is_told_with_where(
    documents: dict[str, bytes], rule: str, kind: str, where: str, edit: Edit
) -> None:
    problems = check(edited(documents[kind], edit))
    assert [problem.rule for problem in problems] == [rule], problems
    assert where in problems[0].where
    assert problems[0].message


#: Rules that are broken below JSON's objects.
OF_TEXT = {"not-json", "duplicate-key"}


def test_every_rule_is_broken_in_a_test() -> None:
    assert {rule for rule, *_ in BROKEN} | OF_TEXT == set(RULES)


@pytest.mark.parametrize(
    ("content", "where"),
    [
        (b"", "line 1, byte 0"),
        (b" \n", "line 1, byte 0"),
        (b"{", "line 1, byte 1"),
        (b'{"entity":\n{"a"}}', "line 2, byte 15"),
        ('{"\u00e9":\n,}'.encode(), "line 2, byte 7"),
        (b'{"a":\n"\xff"}', "line 2, byte 7"),
        (b"\xef\xbb\xbf{}", "line 1, byte 0"),
        (b'{"entity": {"a:b": {"c:d": NaN}}}', "document"),
        (b'{"entity": {"a:b": {"c:d": "\\ud800"}}}', "line 1, byte 28"),
        (b'{"a":\n"\\\\ud800\\ud83d\\ude00\\udc00"}', "line 2, byte 26"),
        (b'{"entity": {"\\udc00": {}}}', "line 1, byte 13"),
        (b'{"\\udc00": {}}', "line 1, byte 2"),
        (b"[" * 100_000, "document"),
        (b'{"a":' * 100_000, "document"),
        (b"[" * 500 + b"]" * 500 + b"x", "line 1, byte 1000"),
    ],
)
def test_what_is_not_json_is_one_problem(content: bytes, where: str) -> None:
    (problem,) = check(content)
    assert (problem.rule, problem.where) == ("not-json", where)


@pytest.mark.parametrize("content", [b"[]", b"null", b'"text"', b"5"])
def test_what_is_no_object_is_one_problem(content: bytes) -> None:
    assert [problem.rule for problem in check(content)] == ["not-an-object"]


@pytest.mark.parametrize(
    ("kind", "old", "new", "where"),
    [
        ("flatten", '"prov:label":"split"', '"prov:label":"x",{}', "split, key prov:label"),
        ("flatten", '"used":{', '"used":{{"_:used1":{{}},', "used, key _:used1"),
        ("flatten", '"entity":{', '"entity":{{}},{}', "key entity"),
        ("flatten", '"xsd:int"', '"xsd:long","type":{}', ", key type"),
        ("bundle", '"ml:run":', '"ml:run":{{}},{}', "activity, key ml:run"),
        ("bundle", '"prov:label":"lr"', '"prov:label":"x","prov:\\u006cabel":"y"', "prov:label"),
    ],
)
def test_a_duplicate_key_is_told_with_where(
    documents: dict[str, bytes], kind: str, old: str, new: str, where: str
) -> None:
    text = documents[kind].decode()
    assert old in text
    content = text.replace(old, new.format(old), 1).encode()
    found = [problem for problem in check(content) if problem.rule == "duplicate-key"]
    assert [problem.where for problem in found if problem.where.endswith(where)], found


def test_duplicate_keys_are_found_in_arrays() -> None:
    content = b'{"entity": {"a:b": [{"c:d": "e", "c:d": "f"}]}}'
    where = [problem.where for problem in check(content) if problem.rule == "duplicate-key"]
    assert where == ["entity, a:b, key c:d"]


def test_an_undeclared_prefix_is_told_once(documents: dict[str, bytes]) -> None:
    content = edited(documents["flatten"], both(used("no:a"), used("no:ab"), drop("prefix", "ml1")))
    assert [problem.rule for problem in check(content)] == ["undeclared-prefix"] * 2


def test_all_broken_rules_are_told(documents: dict[str, bytes]) -> None:
    edits = both(used("run:a/b"), value(None), put({}, "@context"))
    rules = {problem.rule for problem in check(edited(documents["flatten"], edits))}
    assert rules == {"bad-identifier", "null-value", "unknown-section"}


# -- anything at all -------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)


def paths(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    items = node.items() if isinstance(node, dict) else ()
    return found + [inner for key, child in items for inner in paths(child, (*path, key))]


def mutated(document: Document, data: st.DataObject) -> Document:
    """The document with something dropped, replaced, renamed or doubled."""
    document = copy.deepcopy(document)
    path = data.draw(st.sampled_from(paths(document)))
    parent: Any = document
    for key in path[:-1]:
        parent = parent[key]
    last, old = path[-1], parent.pop(path[-1])
    match data.draw(st.sampled_from(["drop", "replace", "rename", "double", "move"])):
        case "replace":
            parent[last] = data.draw(JSON)
        case "rename":
            parent[data.draw(st.text(max_size=8))] = old
        case "double":
            parent[last] = [old, old]
        case "move":
            other: Any = document
            for key in data.draw(st.sampled_from([(), *paths(document)])):
                if isinstance(other[key], dict):
                    other = other[key]
            other[last] = old
    return document


@settings(deadline=None)
@given(st.data())
def test_no_change_of_a_document_makes_check_raise(
    documents: dict[str, bytes], data: st.DataObject
) -> None:
    document = json.loads(documents[data.draw(st.sampled_from(sorted(documents)))])
    for _ in range(data.draw(st.integers(1, 4))):
        document = mutated(document, data)
    for problem in check(json.dumps(document).encode()):
        assert problem.rule in RULES
        assert problem.where
        assert problem.message


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(["prefix", "entity", "activity", "used", "bundle"]), JSON))
def test_no_json_makes_check_raise(document: Any) -> None:
    assert all(isinstance(problem, Problem) for problem in check(json.dumps(document).encode()))


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_make_check_raise(content: bytes) -> None:
    assert check(content)


# -- files -----------------------------------------------------------------------


def test_load_reads_plain_gzip_and_zstd_by_their_first_bytes(tmp_path: Path) -> None:
    content = b'{"prefix": {}}' * 1000
    twice = gzip.compress(content[:100]) + gzip.compress(content[100:])
    frames = zstandard.compress(content[:100]) + zstandard.compress(content[100:])
    for packed in (content, gzip.compress(content), twice, zstandard.compress(content), frames):
        path = tmp_path / "any.name"
        path.write_bytes(packed)
        assert load(path) == content
        assert load(str(path)) == content


def test_load_reads_a_url(tmp_path: Path) -> None:
    (tmp_path / "prov.json.gz").write_bytes(gzip.compress(b"{}"))
    assert load(f"file://{tmp_path}/prov.json.gz") == b"{}"


def test_load_tells_of_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "none.json")
    with pytest.raises(IsADirectoryError):
        load(tmp_path)


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress])
def test_load_tells_of_a_damaged_file(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    packed = pack(random.Random(1).randbytes(10_000))
    path = tmp_path / "x"
    for broken in (packed[:-20], packed[:30], packed[:4], packed[:-1] + b"xyz"):
        path.write_bytes(broken)
        with pytest.raises(ValueError, match="damaged or cut short"):
            load(path)


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress])
def test_load_refuses_a_decompression_bomb(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "bomb"
    path.write_bytes(pack(bytes(100 << 20)))
    with pytest.raises(ValueError, match="unpacks to more than 67108864 bytes"):
        load(path)


def test_load_refuses_what_is_over_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "large"
    for content in (bytes(2000), gzip.compress(bytes(2000))):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="than 1000 bytes"):
            load(path, limit=1000)
