"""A document as a graph: what is in it, and what Graphviz says of it."""

from __future__ import annotations

import shutil
import subprocess
from xml.etree import ElementTree

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from yprov4wms.export import prov_dot
from yprov4wms.export.prov_dot import dot

needs_graphviz = pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz draws it")

DOCUMENT = {
    "entity": {
        "ml:lr": {
            "prov:label": "lr",
            "prov:type": "provml:HyperParameter",
            "prov:value": {"$": "0.1", "type": "xsd:double"},
        },
        "ml:loss": {
            "prov:label": "loss",
            "prov:type": "provml:Metric",
            "yprov4wms:last": {"$": "INF", "type": "xsd:double"},
        },
        "ml:cpu": {"prov:label": "cpu", "prov:type": "provml:Metric", "yprov4wms:unit": "%"},
        "ml:file": {"prov:label": "/a/" + "very/" * 20 + "long/path.csv"},
    },
    "activity": {"ml:run": {"prov:label": "digits", "yprov4wfs:status": "completed"}},
    "agent": {"ml:person": {"prov:label": "ada"}},
    "used": {"_:used1": {"prov:activity": "ml:run", "prov:entity": "ml:lr"}},
    "wasGeneratedBy": {"_:g1": {"prov:entity": "ml:loss", "prov:activity": "ml:run"}},
    "wasAssociatedWith": {"_:a1": {"prov:activity": "ml:run", "prov:agent": "ml:person"}},
}


def drawn(graph: str) -> ElementTree.Element:
    return ElementTree.fromstring(prov_dot.svg(graph.encode("utf-8", "replace")))


def texts(picture: ElementTree.Element) -> list[str]:
    return [e.text or "" for e in picture.iter("{http://www.w3.org/2000/svg}text")]


def classes(picture: ElementTree.Element) -> list[str]:
    return [g.get("class", "") for g in picture.iter("{http://www.w3.org/2000/svg}g")]


def test_elements_have_provs_shapes_and_relations_their_names():
    graph = dot(DOCUMENT)
    for shape in ("ellipse", "box", "house"):
        assert f"shape={shape}" in graph
    assert 'label="lr = 0.1"' in graph
    assert 'label="loss\\ninf"' in graph
    assert 'label="digits\\ncompleted"' in graph
    assert "long/path.csv" in graph
    assert graph.count("->") == 3
    assert "not drawn:\\n1 metrics of the system" in graph


@needs_graphviz
def test_graphviz_draws_it():
    picture = drawn(dot(DOCUMENT))
    assert classes(picture).count("node") == 6  # of them one says what is left out
    assert classes(picture).count("edge") == 3
    assert "lr = 0.1" in texts(picture)


def test_a_big_document_is_bounded_and_says_so():
    entities = {
        f"ml:p{n}": {"prov:label": f"p{n}", "prov:type": "provml:HyperParameter"}
        for n in range(5000)
    }
    entities["ml:model"] = {"prov:label": "net", "prov:type": "provml:Model"}
    used = {f"_:u{n}": {"prov:activity": "ml:run", "prov:entity": f"ml:p{n}"} for n in range(5000)}
    many = {
        f"_:d{n}": {"prov:generatedEntity": "ml:p1", "prov:usedEntity": "ml:p2"}
        for n in range(3000)
    }
    activity = {"ml:run": {"prov:label": "x"}}
    document = {"entity": entities, "activity": activity, "used": used, "wasDerivedFrom": many}
    graph = dot(document)
    assert graph.count("tooltip=") == prov_dot.MOST
    assert graph.count("->") == prov_dot.MOST_EDGES
    assert '"net"' in graph
    assert f"{5002 - prov_dot.MOST} HyperParameter" in graph
    assert "relations" in graph


names = st.text(st.characters(codec="utf-8"), max_size=30)
odd = st.text('"\\<>&;{}|\n\r\x00\x07-N', max_size=12)


@needs_graphviz
@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(names | odd, names | odd), min_size=1, max_size=5))
def test_hostile_names_stay_names(found):
    document = {
        "entity": {f"ml:{n}{identifier}": {"prov:label": label} for n, (identifier, label) in
                   enumerate(found)},
        "activity": {"ml:run": {"prov:label": found[0][1]}},
    }  # fmt: skip
    picture = drawn(dot(document))
    assert classes(picture).count("node") == len(document["entity"]) + 1
    assert classes(picture).count("edge") == 0
    shown = "".join(" ".join(texts(picture)).split())
    for _, label in found:
        letters = "".join(c for c in label if c.isascii() and c.isalnum())
        assert letters in "".join(c for c in shown if c.isascii() and c.isalnum())


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"entity": {"a": [{"prov:label": "x"}]}},
        {"entity": {"a": {}}, "used": {"_:1": [{"prov:entity": "a"}], "_:2": "x"}},
        {"activity": {"a": {"prov:label": {"$": "x", "lang": "en"}, "prov:type": ["p", "q"]}}},
        {"wasStartedBy": {"_:1": {"prov:activity": "a", "prov:starter": "b"}},
         "activity": {"a": {}, "b": {}}},
    ],
)  # fmt: skip
def test_any_shape_of_a_document_is_drawn(document):
    graph = dot(document)
    assert graph.startswith("digraph {")
    assert graph.count("->") == ("wasStartedBy" in document)


def test_what_goes_wrong_is_told(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(OSError, match="Graphviz is not installed"):
        prov_dot.svg(b"digraph {}")
    program = tmp_path / "dot"
    program.write_text("#!/bin/sh\necho no memory >&2\nexit 3\n")
    program.chmod(0o755)
    with pytest.raises(OSError, match="ended with 3: no memory"):
        prov_dot.svg(b"digraph {}")

    def slow(*args, **kwargs):
        raise subprocess.TimeoutExpired("dot", 1)

    monkeypatch.setattr(prov_dot.subprocess, "run", slow)
    with pytest.raises(OSError, match="more than 60 s"):
        prov_dot.svg(b"digraph {}")
