"""The streaming writer: what goes in comes out, in flat memory, whatever its size."""

from __future__ import annotations

import io
import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yprov4wms.prov.values import attributes
from yprov4wms.prov.vocabulary import ELEMENTS, PREFIXES, RELATIONS
from yprov4wms.prov.writer import ProvJsonWriter


def written(writer: ProvJsonWriter) -> bytes:
    out = io.BytesIO()
    writer.write_to(out)
    return out.getvalue()


_element = st.tuples(st.sampled_from(ELEMENTS), st.text(max_size=30))
_relation = st.tuples(st.sampled_from(list(RELATIONS)), st.booleans())


@settings(deadline=None)
@given(st.lists(_element | _relation, max_size=30))
def test_what_goes_in_comes_out_in_order(records: list[tuple[str, Any]]) -> None:
    writer = ProvJsonWriter({"run": "urn:uuid:x#"})
    expected: dict[str, list[Any]] = {}
    for number, (section, more) in enumerate(records):
        if section in ELEMENTS:
            label = more.encode("utf-8", "replace").decode()
            writer.element(section, f"run:e{number}", attributes({"prov:label": label}))
            expected.setdefault(section, []).append((f"run:e{number}", {"prov:label": label}))
        else:
            first, _, second, _ = RELATIONS[section]
            writer.relation(section, "run:a", "run:b", '"prov:role":"r"' if more else "")
            record = {first: "run:a", second: "run:b", **({"prov:role": "r"} if more else {})}
            expected.setdefault(section, []).append((None, record))
    found = json.loads(written(writer))
    assert found.pop("prefix") == {**PREFIXES, "run": "urn:uuid:x#"}
    assert set(found) == set(expected)
    for section, pairs in expected.items():
        assert list(found[section].values()) == [record for _, record in pairs]
        for name, (identifier, _) in zip(found[section], pairs, strict=True):
            assert identifier is None or name == identifier
    relations = [name for section in RELATIONS for name in found.get(section, {})]
    assert len(set(relations)) == len(relations)


def test_sections_that_are_larger_than_their_buffers_are_whole() -> None:
    writer = ProvJsonWriter({"run": "urn:uuid:x#"})
    for number in range(20_000):
        writer.element("entity", f"run:e{number}", attributes({"prov:label": "é" * 50}))
        writer.relation("used", "run:a", f"run:e{number}")
    writer.bundle("run:b", b'{"entity": {}}')
    found = json.loads(written(writer))
    assert list(found["entity"]) == [f"run:e{number}" for number in range(20_000)]
    assert {record["prov:label"] for record in found["entity"].values()} == {"é" * 50}
    assert len(found["used"]) == 20_000
    assert found["bundle"] == {"run:b": {"entity": {}}}


def test_memory_does_not_grow_with_the_document() -> None:
    writer = ProvJsonWriter({"run": "urn:uuid:x#"})
    body = attributes({"prov:label": "x" * 1000})
    tracemalloc.start()
    try:
        for number in range(30_000):
            writer.element("entity", f"run:e{number}", body)
        with open("/dev/null", "wb") as nowhere:  # noqa: PTH123
            writer.write_to(nowhere)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8_000_000  # of 30 MB


def test_an_empty_document_is_its_prefixes() -> None:
    assert json.loads(written(ProvJsonWriter({}))) == {"prefix": PREFIXES}


@pytest.mark.parametrize("section", ["nodes", ""])
def test_a_section_that_prov_has_not_got_is_refused(section: str) -> None:
    with pytest.raises(KeyError):
        ProvJsonWriter({}).element(section, "run:x", "")
