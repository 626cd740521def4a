"""The document in RDF: ML-Schema's classes in it, and whether it is the graph that prov makes."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest
from tests.yprov4wms.ml.readers.runs import FIXTURES, nested, write
from tests.yprov4wms.written import READS, assert_same_graphs, graphs, written

from yprov4wms.ml import readers
from yprov4wms.ml.readers import ChildRun
from yprov4wms.prov.vocabulary import PREFIXES

rdflib = pytest.importorskip("rdflib")

NAMES = """
PREFIX mls: <http://www.w3.org/ns/mls#> PREFIX prov: <http://www.w3.org/ns/prov#>
PREFIX provml: <https://github.com/HPCI-Lab/yProv4ML/provml#>
PREFIX yprov4wms: <urn:yprov4wms:terms#> PREFIX rdfs: <http://www.w3.org/2000/01/rdf-schema#>
"""


def asked(text: bytes, form: str, query: str) -> set[tuple[str, ...]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        graph = rdflib.Dataset(default_union=True)
        graph.parse(data=text, format=form)
        return {tuple(str(value) for value in row) for row in graph.query(NAMES + query)}


@pytest.fixture
def child(tmp_path: Path) -> ChildRun:
    folder = write(tmp_path)
    (csv,) = folder.rglob("*.csv")
    csv.with_name("cpu_usage_pct_training_psutil_GR0.csv").write_text(csv.read_text())
    (found,) = readers.read(folder)
    return found


@pytest.mark.parametrize(("nest", "form"), [("flatten", "turtle"), ("bundle", "trig")])
def test_classes_of_ml_schema_stand_beside_those_of_provml(
    child: ChildRun, nest: str, form: str
) -> None:
    text = written(json.dumps(nested(child, nest)).encode(), form)
    labels = "SELECT ?l { ?e a mls:%s, %s ; rdfs:label ?l }"
    assert asked(text, form, labels % ("Run", "yprov4wms:MLRun, prov:Activity")) == {("exp",)}
    assert asked(text, form, labels % ("Model", "provml:Model")) == {("model.pt",)}
    # How busy the machine was evaluates no model.
    assert asked(text, form, labels % ("ModelEvaluation", "provml:Metric")) == {("Loss",)}
    values = """SELECT ?l ?v { ?e a mls:HyperParameterSetting, provml:HyperParameter ;
                rdfs:label ?l ; mls:hasValue ?v ; prov:value ?v }"""
    assert asked(text, form, values) == {("lr", "0.1")}
    assert not asked(text, form, "SELECT ?t { ?e a ?t FILTER isLiteral(?t) }")


@pytest.mark.skipif(not READS, reason="prov of old writes RDF with a loss")
@pytest.mark.parametrize("nest", ["flatten", "bundle"])
def test_it_is_the_graph_that_prov_makes(nest: str) -> None:
    if not FIXTURES.exists():
        pytest.skip(f"no {FIXTURES}")
    for place in sorted(FIXTURES.iterdir()):
        (folder,) = (f for f in place.iterdir() if f.is_dir())
        (one, *_) = readers.read(folder)
        content = json.dumps(nested(one, nest)).encode()
        for form in ("n-quads", "trig"):
            assert_same_graphs(content, form, written(content, form))


def test_a_data_set_and_a_name_that_is_none() -> None:
    document = {
        "prefix": {"x": "http://x/", "provml": PREFIXES["provml"]},
        "entity": {
            "x:d": {"prov:type": "provml:Dataset"},
            "x:f": {"prov:type": "prov:Entity"},
            "x:e": {"prov:type": ["none:such", "just text", {"$": "x:T", "type": "xsd:string"}]},
        },
    }
    text = written(json.dumps(document).encode(), "turtle")
    assert asked(text, "turtle", "SELECT ?e { ?e a mls:Dataset }") == {("http://x/d",)}
    kinds = asked(text, "turtle", "SELECT ?t { <http://x/e> a ?t }")
    assert {("none:such",), ("just text",), ("x:T",)} <= kinds


@pytest.mark.parametrize(("form", "other"), [("turtle", "trig"), ("n-triples", "n-quads")])
def test_bundles_have_no_place_in_some(child: ChildRun, form: str, other: str) -> None:
    with pytest.raises(ValueError, match=f"no place in {form}: use {other}"):
        written(json.dumps(nested(child, "bundle")).encode(), form)


def test_a_documents_own_meaning_of_a_prefix_is_kept() -> None:
    document = {
        "prefix": {
            "rdfs": "http://not.rdfs/",
            "mls": "urn:x#",
            "_u": "http://u/",
            "default": "http://d/",
        },
        "entity": {
            "e": {"rdfs:label": "1", "_u:k": "2", "prov:label": "3", "prov:type": "provml:Model"}
        },
    }
    document["prefix"]["provml"] = PREFIXES["provml"]
    (graph,) = graphs(written(json.dumps(document).encode(), "turtle"), "turtle").values()
    said = {(str(p), str(o)) for _, p, o in graph}
    assert ("http://not.rdfs/label", "1") in said
    assert ("http://u/k", "2") in said
    assert ("http://www.w3.org/2000/01/rdf-schema#label", "3") in said
    assert "http://www.w3.org/ns/mls#Model" in {o for _, o in said}
    assert {str(s) for s, _, _ in graph} == {"http://d/e"}
