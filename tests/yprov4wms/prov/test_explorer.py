"""yProv's explorer shows every document whole."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.explorer import ExplorerError, assert_shown, parse
from tests.yprov4wms.ml.readers.runs import FIXTURES
from tests.yprov4wms.ml.readers.runs import nested as nested_run
from tests.yprov4wms.prov.anything import likely, patient
from tests.yprov4wms.prov.runs import Told, document_of, folded, runs
from tests.yprov4wms.prov.test_anything import INPUTS, ODD, OUTPUTS
from tests.yprov4wms.prov.test_nesting import NESTS, nested

from yprov4wms.ml import readers

nests = st.sampled_from(NESTS)


@patient
@given(runs(), nests)
def test_it_shows_any_run(told: Told, nest: str) -> None:
    document = document_of(folded(told.events), told.children, nest)
    shown = assert_shown(document)
    tied = {end for source, target, _ in shown.links for end in (source, target)}
    assert tied == shown.labels.keys()


@patient
@given(likely, nests)
def test_it_shows_a_run_with_any_child(child: dict[str, Any], nest: str) -> None:
    assert_shown(nested(child, nest, inputs=INPUTS, outputs=OUTPUTS, dialect="prov"))


@pytest.mark.parametrize("nest", NESTS)
def test_it_shows_runs_with_odd_children(nest: str) -> None:
    for child in ODD.values():
        assert_shown(nested(child, nest, inputs=INPUTS, outputs=OUTPUTS, dialect="prov"))


@pytest.mark.parametrize("nest", NESTS)
def test_it_shows_runs_with_children_of_yprov4ml(nest: str) -> None:
    if not FIXTURES.exists():
        pytest.skip(f"no {FIXTURES}")
    for place in sorted(FIXTURES.iterdir()):
        (folder,) = (f for f in place.iterdir() if f.is_dir())
        for one in readers.read(folder):
            assert_shown(nested_run(one, nest))


@pytest.mark.parametrize(
    "label", [5, True, {"$": "x", "lang": "en"}, ["a"], {"$": "1", "type": "xsd:int"}]
)
def test_a_label_that_is_no_text_fails_there(label: Any) -> None:
    with pytest.raises(ExplorerError, match="trim is not a function"):
        parse({"entity": {"x:e": {"prov:label": label}}})


def test_what_it_loses_is_seen() -> None:
    document: dict[str, Any] = {
        "entity": {"x:e": [{"prov:label": " a "}, {"prov:label": "b"}], "x:f": {}},
        "activity": {"x:a": {"prov:label": " "}},
        "bundle": {"x:b": {"entity": {"x:g": {}}}},
        "used": {"_:1": {"prov:activity": "x:a", "prov:entity": "x:g"}},
        "hadMember": {"_:2": {"prov:collection": "x:e", "prov:entity": ["x:f"]}},
        "wasGeneratedBy": {"_:3": [{"prov:entity": "x:e", "prov:activity": "x:a"}]},
        "wasDerivedFrom": {
            "_:4": {
                "prov:generatedEntity": "x:e", "prov:usedEntity": "x:f", "prov:activity": "x:a"
            }
        },
    }  # fmt: skip
    shown = parse(document)
    assert shown.labels == {"x:e": "a", "x:f": "x:f", "x:a": "x:a"}
    assert shown.links == [
        ("x:e", "x:f", "wasDerivedFrom"),
        ("x:e", "x:a", "wasGeneratedBy"),
        ("x:a", "x:f", "used"),
    ]
    assert [section for section, _ in shown.dropped] == ["wasGeneratedBy", "used", "hadMember"]
    with pytest.raises(AssertionError):
        assert_shown(document)
    with pytest.raises(ExplorerError, match="null"):
        parse({"used": {"_:1": None}})
    with pytest.raises(ExplorerError, match="React"):
        parse({"entity": {"x:e": {"prov:type": {"$": "x:T", "type": "prov:QUALIFIED_NAME"}}}})
