"""The document in Turtle and TriG: ML-Schema's classes in it, and what reads back."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from tests.documents import environment
from tests.yprov4wms.ml.readers.runs import FIXTURES, nested, write
from tests.yprov4wms.rdf import READS_RDF

from yprov4wms.events import RunStarted, Software
from yprov4wms.export.rdf import convert, with_classes
from yprov4wms.ml import readers
from yprov4wms.ml.readers import ChildRun
from yprov4wms.recorder import Recorder
from yprov4wms.settings import Settings

rdflib = pytest.importorskip("rdflib")

PREFIXES = """
PREFIX mls: <http://www.w3.org/ns/mls#> PREFIX prov: <http://www.w3.org/ns/prov#>
PREFIX provml: <https://github.com/HPCI-Lab/yProv4ML/provml#>
PREFIX yprov4wms: <urn:yprov4wms:terms#> PREFIX rdfs: <http://www.w3.org/2000/01/rdf-schema#>
"""


def asked(text: bytes, form: str, query: str) -> set[tuple[str, ...]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        graph = rdflib.Dataset(default_union=True)
        graph.parse(data=text, format=form)
        return {tuple(str(value) for value in row) for row in graph.query(PREFIXES + query)}


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
    text = convert(json.dumps(nested(child, nest)).encode(), form)
    labels = "SELECT ?l { ?e a mls:%s, %s ; rdfs:label ?l }"
    assert asked(text, form, labels % ("Run", "yprov4wms:MLRun, prov:Activity")) == {("exp",)}
    assert asked(text, form, labels % ("Model", "provml:Model")) == {("model.pt",)}
    # How busy the machine was evaluates no model.
    assert asked(text, form, labels % ("ModelEvaluation", "provml:Metric")) == {("Loss",)}
    values = """SELECT ?l ?v { ?e a mls:HyperParameterSetting, provml:HyperParameter ;
                rdfs:label ?l ; mls:hasValue ?v ; prov:value ?v }"""
    assert asked(text, form, values) == {("lr", "0.1")}
    assert not asked(text, form, "SELECT ?t { ?e a ?t FILTER isLiteral(?t) }")


@pytest.mark.skipif(not READS_RDF, reason="this prov does not read back relations from RDF")
@pytest.mark.parametrize(("nest", "form"), [("flatten", "turtle"), ("bundle", "trig")])
def test_it_reads_back_equal(nest: str, form: str) -> None:
    from prov.model import ProvDocument

    if not FIXTURES.exists():
        pytest.skip(f"no {FIXTURES}")
    for place in sorted(FIXTURES.iterdir()):
        (folder,) = (f for f in place.iterdir() if f.is_dir())
        (one,) = readers.read(folder)
        found = nested(one, nest)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            text = convert(json.dumps(found).encode(), form).decode()
            again = ProvDocument.deserialize(content=text, format="rdf", rdf_format=form)
            expected = ProvDocument.deserialize(content=json.dumps(with_classes(found)))
        assert again == expected


def test_a_data_set_and_a_name_that_is_none() -> None:
    document = {
        "prefix": {"x": "http://x/"},
        "entity": {
            "x:d": {"prov:type": "provml:Dataset"},
            "x:f": {"prov:type": "prov:Entity"},
            "x:e": {"prov:type": ["none:such", "just text", {"$": "x:T", "type": "xsd:string"}]},
        },
    }
    text = convert(json.dumps(document).encode(), "turtle")
    assert asked(text, "turtle", "SELECT ?e { ?e a mls:Dataset }") == {("http://x/d",)}
    kinds = asked(text, "turtle", "SELECT ?t { <http://x/e> a ?t }")
    assert {("none:such",), ("just text",), ("x:T",)} <= kinds


def exported(store: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "yprov4wms", "export", "--store", str(store), *arguments]
    return subprocess.run(
        command, env=environment(**variables), capture_output=True, text=True, check=False
    )


def test_the_command_writes_it(tmp_path: Path) -> None:
    recorder = Recorder(Settings(store=str(tmp_path)), "/w", print)
    engine = Software(name="snakemake", kind="engine")
    recorder.emit(RunStarted(engine=engine, workflow="w", directory="/w"))
    done = exported(tmp_path, "--format", "turtle")
    assert done.returncode == 0, done.stderr
    runs = "SELECT ?r { ?r a yprov4wms:WorkflowRun }"
    assert len(asked(done.stdout.encode(), "turtle", runs)) == 1
    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden" / "rdflib.py").write_text("raise ImportError")
    lacking = exported(
        tmp_path, "--format", "turtle", PYTHONPATH=str(tmp_path / "hidden"), PYTHONSAFEPATH=""
    )
    assert lacking.returncode == 2
    assert "turtle needs prov and rdflib" in lacking.stderr


def test_bundles_have_no_place_in_turtle(child: ChildRun) -> None:
    with pytest.raises(ValueError, match="use trig"):
        convert(json.dumps(nested(child, "bundle")).encode(), "turtle")
