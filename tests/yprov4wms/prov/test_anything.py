"""Whatever a child's document holds: the workflow's keeps the rules, nothing goes in silence."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prov.model import ProvDocument
from tests.yprov4wms.prov.anything import documents, likely, patient, scalars, tidy
from tests.yprov4wms.prov.test_nesting import NESTS, file, nested, note

from yprov4wms.events import File, FileType
from yprov4wms.prov.vocabulary import ELEMENTS, RELATIONS

INPUTS = [file("a"), File(path="d", type=FileType.DIRECTORY, members=[file("x")])]
OUTPUTS = [file("5")]


def reads(found: dict[str, Any]) -> None:
    """The document is one that prov reads, all of it, and writes again."""
    document = ProvDocument.deserialize(content=json.dumps(found), format="json")
    again = ProvDocument.deserialize(content=document.serialize(format="json"), format="json")
    assert again == document
    records = sum(len(found.get(section, {})) for section in (*ELEMENTS, *RELATIONS))
    assert len(document.get_records()) == records
    ends = sum(
        value is not None
        for record in document.get_records()
        for _, value in record.formal_attributes
    )
    assert ends == sum(
        sum(name in _ENDS[section] for name in record)
        for section in (*ELEMENTS, *RELATIONS)
        for record in found.get(section, {}).values()
    )


_ENDS = {
    "activity": ("prov:startTime", "prov:endTime"),
    "entity": (),
    "agent": (),
    **{
        section: (one, two, "prov:time", "prov:plan", "prov:starter", "prov:ender", "prov:bundle")
        + (("prov:activity",) if section in ("wasDerivedFrom", "actedOnBehalfOf") else ())
        for section, (one, _, two, _) in RELATIONS.items()
    },
}


@patient
@given(documents | likely, st.sampled_from(NESTS))
def test_anything_like_prov_json_can_be_nested_and_the_document_keeps_the_rules(
    child: dict[str, Any], nest: str
) -> None:
    reads(nested(child, nest, inputs=INPUTS, outputs=OUTPUTS, dialect="prov"))


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


# -- what no strategy comes upon -----------------------------------------------------------

HEAD = '"prefix":{"x":"http://x/"},"activity":{"x:run":{}}'


def around(more: str) -> bytes:
    return f"{{{HEAD},{more}}}".encode()


ODD = {
    "lone surrogate": around(r'"entity":{"x:e":{"x:k":"\ud800"}}'),
    "lone surrogate in an identifier": around(r'"entity":{"x:\udfff":{}}'),
    "NaN": around('"entity":{"x:e":{"x:k":NaN}}'),
    "number beyond doubles": around('"entity":{"x:e":{"x:k":1e999}}'),
    "long number": around('"entity":{"x:e":{"x:k":%s}}' % ("7" * 4000)),
    "longer number": around('"entity":{"x:e":{"x:k":%s}}' % ("7" * 6000)),
    "keys twice": around('"entity":{"x:e":{"x:k":"1","x:k":"2"},"x:e":{"x:k":"3"}}'),
    "sections twice": around('"entity":{"x:e":{}},"entity":{"x:f":{}}'),
    "bundles in bundles": around('"bundle":{"x:b":{"bundle":{"x:c":{}}}}'),
    "bundle of itself": around('"bundle":{"x:run":{"entity":{"x:e":{}}}}'),
    "long string": around('"entity":{"x:e":{"x:k":"%s"}}' % ("a" * 10_000_000)),
    "long identifier": around('"entity":{"%s":{}}' % ("x:" + "é" * 1_000_000)),
    "long name": around('"entity":{"x:e":{"x:%s":"1"}}' % ("a" * 1_000_000)),
    "byte order mark": b"\xef\xbb\xbf" + around('"entity":{}'),
    "UTF-16": around('"entity":{}').decode().encode("utf-16"),
    "nothing after a null": around('"entity":{}') + b"\0",
    "two documents": around('"entity":{}') * 2,
    "a text": b'"text"',
    "a number": b"1e5",
    "deep lists": around('"entity":{"x:e":{"x:k":' + "[" * 900 + "]" * 900 + "}}"),
    "deep literals": around('"entity":{"x:e":{"x:k":' + '{"$":' * 300 + "1" + "}" * 302),
    "circle of starts": around(
        '"wasStartedBy":{"_:1":{"prov:activity":"x:run","prov:starter":"x:run"}}'
    ),
    "circle of parts": around(
        '"activity":{"x:a":{},"x:b":{}},"wasInformedBy":{'
        '"_:1":{"prov:informed":"x:a","prov:informant":"x:b","yprov4wms:link":"part-of"},'
        '"_:2":{"prov:informed":"x:b","prov:informant":"x:a","yprov4wms:link":"part-of"}}'
    ),
    "relations of one identifier": around(
        '"entity":{"x:e":{}},"used":{"x:u":{"prov:activity":"x:run","prov:entity":"x:e"}},'
        '"wasGeneratedBy":{"x:u":{"prov:activity":"x:run","prov:entity":"x:e"}}'
    ),
    "prov for something else": b'{"prefix":{"prov":"http://x/"},"activity":{"prov:run":{}}}',
    "another name for prov": around('"entity":{"x:e":{"p:type":"p:Plan","p:label":"e"}}').replace(
        b'"http://x/"', b'"http://x/","p":"http://www.w3.org/ns/prov#"'
    ),
    "the workflow's own namespace": around('"entity":{"y:workflow_run":{"y:k":"1"}}').replace(
        b'"http://x/"', b'"http://x/","y":"urn:uuid:0198f3a0-0000-7000-8000-000000000001#"'
    ),
}


@pytest.mark.parametrize("nest", NESTS)
@pytest.mark.parametrize("name", ODD)
def test_odd_documents_can_be_nested_and_are_told_of(name: str, nest: str) -> None:
    found = nested(ODD[name], nest, inputs=INPUTS, outputs=OUTPUTS, dialect="prov")
    reads(found)
    if nest == "flatten" and note(found) is None:
        assert any(key.startswith("ml1:") for key in found["activity"])


# -- nothing goes in silence ---------------------------------------------------------------

#: What a token may stand in: of an element or a relation.
_FORMS = [
    lambda token: {"x:token": token},
    lambda token: {"x:token": [None, token]},
    lambda token: {"x:token": [{"$": token}, 1]},
    lambda token: {"x:token": {"$": token, "type": "xsd:int"}},
    lambda token: {"x:token": {"$": "1", "type": "xsd:int", "more": token}},
    lambda token: {"x:token": {"$": token, "lang": "not a language"}},
    lambda token: {"x:token": {"a": [{"b": token}]}},
    lambda token: {"prov:label": {"$": token, "lang": "en"}},
    lambda token: {"prov:label": [["a"], token]},
    lambda token: {"prov:type": ["x:T", token]},
    lambda token: {"prov:type": {"more": token}},
    lambda token: {"prov:startTime": token},
    lambda token: {"prov:startTime": ["2026-03-01T10:00:00Z", token]},
    lambda token: {"prov:time": ["2026-03-01T10:00:00Z", token]},
    lambda token: {"prov:endTime": "2000-01-01T00:00:00Z", "yprov4wms:prov_endTime": token},
    lambda token: {"p:label": token},
    lambda token: {"prov:entity": ["x:a", token]},
    lambda token: {"prov:activity": {"$": "x:run", "more": token}},
    lambda token: {"prov:starter": token},
    lambda token: {"prov:plan": token},
    lambda token: {"prov:usage": token},
    lambda token: {"yprov4wms:path": "/w/5", "yprov4wms:artifact": token},
    lambda token: {"yprov4wms:path": "/w/a", "prov:type": token},
    lambda token: {"yprov4wms:login": "ada", "x:token": token},
    lambda token: {"yprov4wms:login": "ada", "prov:label": token},
]


def marked(document: dict[str, Any], choose: Any) -> tuple[dict[str, Any], list[str]]:
    """The document with a token in each of its records, and the tokens."""
    tokens: list[str] = []

    def token() -> str:
        tokens.append(f"<token{len(tokens)}>")
        return tokens[-1]

    def mark(record: Any) -> Any:
        if isinstance(record, list):
            return [mark(one) for one in record]
        if isinstance(record, dict):
            return {**record, **choose(_FORMS)(token())}
        return token()

    found = dict(document)
    for section in (*ELEMENTS, *RELATIONS):
        if isinstance(found.get(section), dict):
            found[section] = {name: mark(record) for name, record in found[section].items()}
    if "@context" in found:
        found["@context"] = token()
    return found, tokens


@patient
@given(tidy | tidy | likely, st.data())
def test_what_is_not_kept_is_told_of(child: dict[str, Any], data: st.DataObject) -> None:
    """Each record carries a token: where one is missing, something is told of."""
    child, tokens = marked(child, lambda forms: data.draw(st.sampled_from(forms)))
    found = nested(child, inputs=INPUTS, outputs=OUTPUTS, dialect="prov")
    if note(found) not in (None, "its bundles are left out"):
        return
    written = json.dumps(found)
    missing = [token for token in tokens if token not in written]
    told = sum(int(match[1]) for text in repaired(found) if (match := re.match(r"(\d+) x ", text)))
    assert len(missing) <= told, (missing, repaired(found))


def repaired(found: dict[str, Any]) -> list[str]:
    (document,) = [
        v for k, v in found["entity"].items() if "yprov4wms:dialect" in v and k.startswith("run:")
    ]
    said = document.get("yprov4wms:repaired", [])
    return [said] if isinstance(said, str) else list(said)


@patient
@given(likely)
def test_every_record_is_kept_or_told_of(child: dict[str, Any]) -> None:
    found = nested(child, dialect="prov", login=None)
    if note(found) not in (None, "its bundles are left out"):
        return
    for section in ELEMENTS:
        mine = [name for name in found.get(section, {}) if name.startswith("ml1:")]
        said = child.get(section, {})
        assert len(mine) == len(said)
    relations = [
        one
        for section in RELATIONS
        for record in child.get(section, {}).values()
        for one in (record if isinstance(record, list) else [record])
        for one in _members(section, one)
    ]
    left_out = sum(
        int(text.split(" x ")[0])
        for text in repaired(found)
        if "without both its ends" in text or "stands for a record" in text
    )
    here = sum(_is_childs(record) for s in RELATIONS for record in found.get(s, {}).values())
    assert here + left_out >= len(relations)


def _members(section: str, record: Any) -> list[Any]:
    members = record.get("prov:entity") if isinstance(record, dict) else None
    if section == "hadMember" and isinstance(members, list) and members:
        return members
    return [record]


def _is_childs(record: dict[str, Any]) -> bool:
    ends = [end for end in record.values() if isinstance(end, str)]
    return sum(end.startswith("ml1:") for end in ends[:2]) == 2
