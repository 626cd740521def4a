"""Documents in RDF, by prov's own writer and reader."""

from __future__ import annotations

import warnings

import pytest
from hypothesis import given, settings
from tests.yprov4wms.prov.runs import Told, content_of, folded, runs
from tests.yprov4wms.rdf import assert_in_rdf

pytest.importorskip("rdflib")


@given(told=runs())
@settings(max_examples=40)
def test_any_run_is_whole_in_turtle(told: Told) -> None:
    from prov.model import ProvDocument

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        events, children = told
        content = content_of(folded(events), children)
        assert_in_rdf(ProvDocument.deserialize(content=content.decode()), "turtle")
