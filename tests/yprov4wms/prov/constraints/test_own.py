"""Documents of ours are valid by PROV-CONSTRAINTS too, however children are nested."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prov.model import ProvDocument
from tests.yprov4wms.prov.anything import patient
from tests.yprov4wms.prov.runs import Told, content_of, folded, ml_run, runs
from tests.yprov4wms.prov.test_nesting import CHILD, NESTS, file, fixtures, nested

from yprov4wms.prov.constraints import check
from yprov4wms.prov.rules import Problem


def problems(content: bytes) -> list[Problem]:
    return check(content).problems


@patient
@given(runs(), st.sampled_from(NESTS))
def test_the_document_of_any_run_is_valid(told: Told, nest: str) -> None:
    assert problems(content_of(folded(told.events), told.children, nest)) == []


@pytest.mark.parametrize("nest", NESTS)
@pytest.mark.parametrize("path", fixtures())
def test_documents_with_yprov4mls_inside_are_valid(path: Path, nest: str) -> None:
    found = nested(path.read_bytes(), nest, dialect="yprov4ml")
    assert problems(json.dumps(found).encode()) == []


@pytest.mark.parametrize("nest", NESTS)
def test_a_file_that_a_task_and_its_ml_run_both_made_is_generated_twice_and_valid(
    nest: str,
) -> None:
    made = [file("model.pt", "7")]
    found = nested(ml_run(CHILD, outputs=made), nest, outputs=made)
    makers = [r["prov:entity"] for r in found["wasGeneratedBy"].values()]
    assert (len(makers) > len(set(makers))) is (nest == "flatten")
    assert problems(json.dumps(found).encode()) == []


@pytest.mark.parametrize("form", ["json", "xml", "provn"])
def test_other_formats_of_a_document_of_ours_are_read_to_the_same_verdict(form: str) -> None:
    made = [file("model.pt", "7")]
    found = nested(ml_run(CHILD, outputs=made), "bundle", outputs=made)
    for broken in (False, True):
        if broken:
            one, two = list(found["entity"])[:2]
            ends = ("prov:generatedEntity", "prov:usedEntity")
            found.setdefault("wasDerivedFrom", {}).update(
                {"_:x": dict(zip(ends, (one, two), strict=True)),
                 "_:y": dict(zip(ends, (two, one), strict=True))}
            )  # fmt: skip
        document = ProvDocument.deserialize(content=json.dumps(found), format="json")
        if form == "xml":
            pytest.importorskip("lxml")
        text = document.serialize(format=form)
        told = [problem.rule for problem in problems(text.encode())]
        assert told == (["constraint-42"] if broken else [])
