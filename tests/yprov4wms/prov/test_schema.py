"""The JSON Schema takes every document that keeps the rules, and refuses what breaks its form."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from tests.yprov4wms.prov.anything import documents, likely, patient
from tests.yprov4wms.prov.runs import Told, document_of, folded, runs
from tests.yprov4wms.prov.test_nesting import NESTS, file, nested
from tests.yprov4wms.prov.test_rules import combined, ml_child, workflow

from yprov4wms.prov import schema
from yprov4wms.prov.rules import check
from yprov4wms.prov.vocabulary import Link

CHILD_RUNS = Path(__file__).parents[4] / "shared" / "fixtures" / "child_runs"
VALIDATOR = Draft202012Validator(schema.schema())
Document = dict[str, Any]


def full_document(nest: str, folder: Path) -> Document:
    """One with every kind of thing that a run can hold."""
    found: Document = json.loads(combined(workflow(), ml_child(folder / "ml"), nest))
    return found


def errors(document: Any) -> list[str]:
    return [f"{e.json_path}: {e.message}" for e in VALIDATOR.iter_errors(document)]


def test_it_is_a_schema_and_the_one_in_the_package() -> None:
    Draft202012Validator.check_schema(schema.schema())
    content = files("yprov4wms.prov").joinpath(schema.NAME).read_text("utf-8")
    assert content == schema.text(), "run docs/generate.py"
    assert json.loads(content) == schema.schema()


@pytest.mark.parametrize("nest", NESTS)
def test_a_document_with_everything_is_valid(nest: str, tmp_path: Path) -> None:
    document = full_document(nest, tmp_path)
    assert errors(document) == []
    assert "bundle" in document or nest != "bundle"


@given(told=runs(), nest=st.sampled_from(NESTS))
@settings(max_examples=60)
def test_documents_of_any_run_are_valid(told: Told, nest: str) -> None:
    assert errors(document_of(folded(told.events), told.children, nest)) == []


@patient
@given(documents | likely, st.sampled_from(NESTS))
def test_documents_with_any_child_are_valid(child: Document, nest: str) -> None:
    assert errors(nested(child, nest, outputs=[file("5")], dialect="prov")) == []


@patient
@given(documents | likely)
def test_what_keeps_the_rules_is_valid(document: Document) -> None:
    """So that nobody is told of a defect by one that the other does not see."""
    if errors(document):
        assert check(json.dumps(document).encode())


@pytest.mark.skipif(not CHILD_RUNS.is_dir(), reason="the child runs of other recorders are absent")
def test_documents_with_child_runs_of_other_recorders_are_valid() -> None:
    found = 0
    for path in sorted(CHILD_RUNS.rglob("*.json")):
        try:
            child = json.loads(path.read_bytes())
        except ValueError:
            continue
        if isinstance(child, dict) and "activity" in child:
            for nest in NESTS:
                assert errors(nested(child, nest, outputs=[file("5")], dialect="prov")) == [], path
            found += 1
    assert found > 5


RUN, TRAIN = "run:workflow_run", "run:task_train.1"


def at(*path: str) -> Callable[[Document], Any]:
    def find(document: Document) -> Any:
        for key in path:
            document = document[key]
        return document

    return find


def put(value: Any, *path: str) -> Callable[[Document], object]:
    """A change: this value at this place."""

    def change(document: Document) -> None:
        at(*path[:-1])(document)[path[-1]] = value

    return change


def drop(*path: str) -> Callable[[Document], object]:
    return lambda document: at(*path[:-1])(document).pop(path[-1])


def first(section: str, change: Callable[[Document], object]) -> Callable[[Document], object]:
    """A change of the first record of a section."""
    return lambda document: change(next(iter(document[section].values())))


INT = {"$": "1", "type": "xsd:int"}
BROKEN: dict[str, Callable[[Document], object]] = {
    "no prefixes": drop("prefix"),
    "no activity": drop("activity"),
    "unknown section": put({}, "@context"),
    "relation of none": put({}, "wasLost"),
    "bad prefix": put("http://x/", "prefix", "1x"),
    "blank prefix": put("http://x/", "prefix", "_"),
    "namespace without an end": put("http://x", "prefix", "x"),
    "another prov": put("http://x/", "prefix", "prov"),
    "another yprov4wfs": put("http://x/", "prefix", "yprov4wfs"),
    "bad identifier": put({"prov:label": "", "prov:type": ""}, "entity", "run:a b"),
    "identifier with a final dot": put({"prov:label": "", "prov:type": ""}, "entity", "run:a."),
    "blank element": put({"prov:label": "", "prov:type": ""}, "entity", "_:a"),
    "no label": drop("activity", RUN, "prov:label"),
    "label that is no string": put(INT, "activity", RUN, "prov:label"),
    "several labels": put(["a", "b"], "activity", RUN, "prov:label"),
    "type that is no string": put({"$": "a:b", "type": "prov:QUALIFIED_NAME"}, "activity", RUN,
                                  "prov:type"),
    "array of records": lambda d: put([d["activity"][RUN]], "activity", RUN)(d),
    "record that is none": put("x", "activity", RUN),
    "bare number": put(1, "activity", RUN, "yprov4wms:pid"),
    "bare number elsewhere": put(1.5, "entity", "run:workflow", "yprov4wms:x"),
    "null": put(None, "activity", RUN, "yprov4wms:x"),
    "number in another type": put({"$": "1", "type": "xsd:integer"}, "activity", RUN, "run:x"),
    "number that is none": put({"$": "one", "type": "xsd:int"}, "activity", RUN, "run:x"),
    "number that is not a string": put({"$": 1, "type": "xsd:int"}, "activity", RUN, "run:x"),
    "typed boolean": put({"$": "true", "type": "xsd:boolean"}, "activity", RUN, "run:x"),
    "XML's QName": put({"$": "a:b", "type": "xsd:QName"}, "activity", RUN, "run:x"),
    "literal without a type": put({"$": "1"}, "activity", RUN, "run:x"),
    "literal with more": put({**INT, "x": "1"}, "activity", RUN, "run:x"),
    "bad language": put({"$": "a", "lang": "?"}, "activity", RUN, "run:x"),
    "object": put({"a": "b"}, "activity", RUN, "run:x"),
    "array of arrays": put([["a"]], "activity", RUN, "run:x"),
    "bad attribute name": put("a", "activity", RUN, "run:a b"),
    "unknown prov attribute": put("a", "activity", RUN, "prov:startedAtTime"),
    "start of an entity": put("2026-03-01T10:00:00.000000+00:00", "entity", "run:workflow",
                              "prov:startTime"),
    "another form of time": put("2026-03-01T10:00:00Z", "activity", RUN, "prov:startTime"),
    "no level": drop("activity", RUN, "yprov4wfs:level"),
    "wrong level": put("1", "activity", RUN, "yprov4wfs:level"),
    "level that is none": put("4", "activity", RUN, "yprov4wfs:level"),
    "level of an entity": put("0", "entity", "run:workflow", "yprov4wfs:level"),
    "status that is none": put("done", "activity", RUN, "yprov4wfs:status"),
    "pid that is text": put("17", "activity", RUN, "yprov4wms:pid"),
    "attempt that is text": put("1", "activity", TRAIN, "yprov4wms:attempt"),
    "time that is text": put("1.5", "activity", RUN, "yprov4wfs:execution_time_sec"),
    "missing end": first("used", drop("prov:entity")),
    "end that is no name": first("used", put(INT, "prov:entity")),
    "several ends": first("used", put(["run:a", "run:b"], "prov:entity")),
    "end of another relation": first("used", put("run:workflow", "prov:plan")),
    "role in PROV-O": first("used", put("x", "prov:hadRole")),
    "time of a relation without": first("wasInformedBy", put("2026-03-01T10:00:00.000000+00:00",
                                                             "prov:time")),
    "link that is none": first("wasInformedBy", put("because", "yprov4wms:link")),
    "link elsewhere": first("used", put(Link.NESTED.value, "yprov4wms:link")),
    "start by nobody": put({"prov:activity": RUN}, "wasStartedBy", "_:s1"),
    "bundle in a bundle": put({"bundle": {}}, "bundle", "run:b"),
    "bundle that is none": put([], "bundle", "run:b"),
    "unknown section of a bundle": put({"x": {}}, "bundle", "run:b"),
}  # fmt: skip


@pytest.mark.parametrize("broken", BROKEN)
def test_what_breaks_the_form_is_refused_by_the_schema_and_by_the_rules(
    broken: str, tmp_path: Path
) -> None:
    document = copy.deepcopy(full_document("flatten", tmp_path))
    document.setdefault("bundle", {})
    document.setdefault("wasStartedBy", {})
    assert errors(document) == []
    BROKEN[broken](document)
    assert errors(document)
    if not broken.endswith("is text"):  # our own terms' types are the schema's alone
        assert check(json.dumps(document).encode())


def test_attributes_of_users_under_their_own_prefixes_are_taken(tmp_path: Path) -> None:
    document = full_document("flatten", tmp_path)
    document["prefix"]["mine"] = "https://example.org/terms/"
    for section in ("activity", "entity", "agent", "used"):
        for record in document[section].values():
            record["mine:text"] = "x"
            record["mine:several"] = ["x", INT, True, {"$": "x", "lang": "en"}]
            record["mine:typed"] = {"$": "5", "type": "mine:metre"}
    assert errors(document) == []


def test_the_command_prints_it(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "yprov4wms", "schema"]
    done = subprocess.run(command, capture_output=True, check=True)
    assert done.stdout.decode() == schema.text()
    target = tmp_path / "s.json"
    done = subprocess.run([*command, "-o", str(target)], capture_output=True, check=True)
    assert target.read_text("utf-8") == schema.text()
    done = subprocess.run([*command, "-o", str(tmp_path)], capture_output=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith(b"yprov4wms: error: ")
