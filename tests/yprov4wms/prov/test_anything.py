"""Whatever a child's document holds: the workflow's keeps the rules, nothing goes in silence."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from prov.model import ProvDocument
from tests.yprov4wms.prov.anything import documents, patient, scalars
from tests.yprov4wms.prov.runs import related
from tests.yprov4wms.prov.test_nesting import NESTS, file, nested, note

from yprov4wms.events import File, FileType
from yprov4wms.prov import foreign
from yprov4wms.prov.vocabulary import ELEMENTS, RELATIONS


@patient
@given(documents, st.sampled_from(NESTS))
def test_anything_like_prov_json_can_be_nested_and_the_document_keeps_the_rules(
    child: dict[str, Any], nest: str
) -> None:
    found = nested(
        child,
        nest,
        inputs=[file("a"), File(path="d", type=FileType.DIRECTORY, members=[file("x")])],
        outputs=[file("5")],
        dialect="prov",
    )
    content = json.dumps(found)
    document = ProvDocument.deserialize(content=content, format="json")
    again = ProvDocument.deserialize(content=document.serialize(format="json"), format="json")
    assert again == document


@patient
@given(
    st.recursive(
        scalars | st.text(st.characters(exclude_categories=["Cs"])),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    ),
    st.sampled_from(NESTS),
)
def test_any_json_can_be_nested(child: Any, nest: str) -> None:
    nested(json.dumps(child).encode("utf-8", "replace"), nest, dialect="prov")


@patient
@given(st.binary(), st.sampled_from(NESTS))
def test_any_bytes_can_be_nested(child: bytes, nest: str) -> None:
    nested(child, nest, dialect="prov")


@patient
@given(documents)
def test_nothing_of_a_document_that_is_flattened_is_lost(child: dict[str, Any]) -> None:
    found = nested(child, dialect="prov", login=None)
    if note(found) not in (None, "its bundles are left out"):
        return
    records = foreign.read(msgspec.json.encode(child))
    mine = {
        section: [k for k in found.get(section, {}) if k.startswith("ml1:")] for section in ELEMENTS
    }
    for section, elements in records.elements.items():
        assert len(mine[section]) == len(elements)
    known = {name for elements in records.elements.values() for name in elements}
    whole = [
        record
        for section, record in records.relations
        for first, _, second, _ in [RELATIONS[section]]
        if {records.end(record, first), records.end(record, second)} <= known
    ]
    kept = sum(
        1
        for section in RELATIONS
        for one, two in related(found, section)
        if one.startswith("ml1:") and two.startswith("ml1:")
    )
    assert kept == len(whole)
