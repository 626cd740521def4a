"""The three formats: the same document in each, and hostile ones."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from yprov4wms.prov.constraints import Form, check, form_of
from yprov4wms.prov.rules import load

PROV = "http://www.w3.org/ns/prov#"
EX = "http://example.org/"

#: One document: a derivation by an activity whose generation contradicts, and a bundle.
PROVN = f"""// a comment
document
  prefix ex <{EX}>
  default <{EX}>
  entity(ex:e1, [prov:label="a \\"quoted\\" [label], ok"@en, ex:n=3, prov:type='prov:Plan'])
  entity(e2, [prov:label=\"\"\"on "two"
lines\"\"\", prov:value="1" %% xsd:int])
  activity(ex:a, 2026-01-01T00:00:00Z, -) /* and
  another */
  wasGeneratedBy(ex:g1; ex:e2, ex:a, -, [prov:role="out"])
  wasDerivedFrom(ex:e2, e1, ex:a, ex:g2, -)
  hadMember(ex:c, ex:e1)
  hadMember(ex:c, ex:e2)
  bundle ex:b
    prefix ex <urn:other:>
    specializationOf(ex:x, ex:x)
  endBundle
endDocument
"""
XML = f"""<?xml version="1.0" encoding="UTF-8"?>
<prov:document xmlns:prov="{PROV}" xmlns:ex="{EX}" xmlns="{EX}"
    xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
  <prov:plan prov:id="ex:e1"><prov:label xml:lang="en">a label</prov:label></prov:plan>
  <prov:entity prov:id="e2"><ex:time>no time of ours</ex:time></prov:entity>
  <prov:activity prov:id="ex:a">
    <prov:startTime>2026-01-01T00:00:00Z</prov:startTime></prov:activity>
  <prov:wasGeneratedBy prov:id="ex:g1">
    <prov:entity prov:ref="ex:e2"/><prov:activity prov:ref="ex:a"/></prov:wasGeneratedBy>
  <prov:wasRevisionOf><prov:generatedEntity prov:ref="ex:e2"/><prov:usedEntity prov:ref="e1"/>
    <prov:activity prov:ref="ex:a"/><prov:generation prov:ref="ex:g2"/></prov:wasRevisionOf>
  <prov:hadMember><prov:collection prov:ref="ex:c"/><prov:entity prov:ref="ex:e1"/>
    <prov:entity prov:ref="ex:e2"/></prov:hadMember>
  <prov:bundle prov:id="ex:b2"><prov:type>an entity</prov:type></prov:bundle>
  <prov:bundleContent prov:id="ex:b" xmlns:ex="urn:other:">
    <prov:specializationOf><prov:specificEntity prov:ref="ex:x"/>
      <prov:generalEntity prov:ref="ex:x"/></prov:specializationOf>
  </prov:bundleContent>
</prov:document>
"""
JSON = json.dumps(
    {
        "prefix": {"ex": EX, "default": EX},
        "entity": {"ex:e1": {"prov:type": "prov:Plan"}, "e2": [{}, {"prov:value": 1}]},
        "activity": {"ex:a": {"prov:startTime": "2026-01-01T00:00:00Z"}},
        "wasGeneratedBy": {
            "ex:g1": {"prov:entity": {"$": "ex:e2", "type": "xsd:QName"}, "prov:activity": "ex:a"}
        },
        "wasDerivedFrom": {
            "_:d": {
                "prov:generatedEntity": "ex:e2",
                "prov:usedEntity": "e1",
                "prov:activity": "ex:a",
                "prov:generation": "ex:g2",
            }
        },
        "hadMember": {"_:m": {"prov:collection": "ex:c", "prov:entity": ["ex:e1", "ex:e2"]}},
        "bundle": {
            "ex:b": {
                "prefix": {"ex": "urn:other:"},
                "specializationOf": {
                    "_:s": {"prov:specificEntity": "ex:x", "prov:generalEntity": "ex:x"}
                },
            }
        },
    }
)


@pytest.mark.parametrize(
    ("text", "form"), [(PROVN, Form.PROVN), (XML, Form.XML), (JSON, Form.JSON)]
)
def test_a_document_is_judged_alike_in_each_format(text: str, form: Form, tmp_path: Path) -> None:
    assert form_of(text.encode()) == form
    packed = tmp_path / "document.gz"
    packed.write_bytes(gzip.compress(text.encode()))
    found = check(load(packed))
    first, second = found.problems
    assert (first.rule, second.rule) == ("constraint-24", "constraint-52")
    assert "ex:g1" in first.message
    assert "ex:g2" in first.message
    assert second.where.startswith("bundle ex:b, ")
    (told,) = [advice for advice in found.advice if advice.where == "1 elements"]
    assert told.message.startswith("ex:c:")


def test_blank_identifiers_are_no_identifiers_and_tie_derivations_to_their_generation() -> None:
    document = {
        "prefix": {"ex": EX},
        "wasGeneratedBy": {
            "_:g": {
                "prov:entity": "ex:e2",
                "prov:activity": "ex:a",
                "prov:time": "2026-01-01T00:00:00",
            },
            "_:h": {"prov:entity": "ex:e1", "prov:activity": "ex:a"},
        },
        "used": {"_:h": {"prov:activity": "ex:a", "prov:entity": "ex:e0"}},
        "wasDerivedFrom": {
            "_:d": {
                "prov:generatedEntity": "ex:e2",
                "prov:usedEntity": "ex:e0",
                "prov:activity": "ex:a",
                "prov:generation": "_:g",
            }
        },
    }
    assert check(json.dumps(document).encode()).problems == []
    document["wasDerivedFrom"]["_:d"]["prov:generation"] = "_:h"
    rules = [problem.rule for problem in check(json.dumps(document).encode()).problems]
    assert rules == ["constraint-23"]


LAUGHS = (
    '<?xml version="1.0"?><!DOCTYPE d [<!ENTITY a "ha">'
    + "".join(f'<!ENTITY {chr(98 + n)} "{("&" + chr(97 + n) + ";") * 10}">' for n in range(12))
    + f']><prov:document xmlns:prov="{PROV}"><prov:entity prov:id="x">&m;</prov:entity>'
    + "</prov:document>"
)
OUTSIDE = (
    '<!DOCTYPE d [<!ENTITY a SYSTEM "file:///etc/passwd">]>'
    f'<prov:document xmlns:prov="{PROV}"><prov:entity prov:id="&a;"/></prov:document>'
)


class TestHostile:
    @pytest.mark.parametrize("text", [LAUGHS, OUTSIDE, LAUGHS.replace("ENTITY a", "ENTITY % a")])
    def test_entities_of_xml_are_refused(self, text: str) -> None:
        (problem,) = check(text.encode()).problems
        assert problem.rule == "malformed"
        assert "document type declaration" in problem.message
        assert "root:" not in problem.message

    @pytest.mark.parametrize(
        "text",
        [
            f'<prov:document xmlns:prov="{PROV}">' + "<a>" * 200_000 + "</a>" * 200_000,
            "document x:y(" + "(" * 200_000,
            "document x:y(" + "([{" * 100_000 + "}])" * 100_000 + ") endDocument extra",
            "document entity(ex:e, [" + "a=1," * 100_000,
            "document entity(" + "\\" * 100_001,
            "document entity(ex:e, [a=" + '"' * 100_001,
            "document " + "/*" * 100_000,
            "document " + "/" * 100_001,
            "document " + "'" + "\\'" * 100_000,
            "document used(" + "ex:a," * 100_000,
            '{"entity": ' + "[" * 200_000,
            '{"entity": {"x": ' + '{"a":' * 200_000,
            "<" * 200_000,
        ],
    )
    def test_deep_and_long_input_is_read_in_one_pass(self, text: str) -> None:
        # With any backtracking or recursion this would not end, or end in an error.
        assert check(text.encode()).problems

    @pytest.mark.parametrize(
        ("text", "where", "told"),
        [
            ("document\nentity(ex:e\n", "line 3", "the document's end"),
            ("document\n\nnothing(ex:e)\nendDocument", "line 3", "no statement of PROV-N"),
            ("document\nused(a, b, -, d, e) endDocument", "line 2", "3 arguments at most"),
            ("document\nentity(-) endDocument", "line 2", "without an identifier"),
            ("document\nentity(ex:a; ex:b) endDocument", "line 2", "';'"),
            ("document entity(a, [b]) endDocument", "line 1", "']'"),
            ("document bundle b entity(a) endDocument", "line 1", "has no endBundle"),
            ("document \u0001 endDocument", "line 1", "no PROV-N"),
            ("<a/>", "line 1", "the root is a"),
            ('<?xml version="1.0" encoding="no"?><a/>', "line 1", "encoding"),
            ('<?xml version="1.0" encoding="cp932"?><a/>', "line 1", "encoding"),
            (
                f'<d:document xmlns:d="{PROV}">\n<d:entity/></d:document>',
                "line 2",
                "without prov:id",
            ),
            (f'<d:document xmlns:d="{PROV}">\n', "line 2", "not XML"),
        ],
    )
    def test_what_cannot_be_read_is_told_with_its_line(
        self, text: str, where: str, told: str
    ) -> None:
        (problem,) = check(text.encode()).problems
        assert (problem.rule, problem.where) == ("malformed", where)
        assert told in problem.message

    def test_what_stands_before_the_error_is_checked(self) -> None:
        text = b"document\nentity(x) activity(x)\nused(\n"
        assert [p.rule for p in check(text).problems] == ["malformed", "constraint-55"]

    @pytest.mark.parametrize(
        ("document", "rule"),
        [
            ({"entity": []}, "not-an-object"),
            ({"entity": {"e": 1}}, "not-an-object"),
            ({"used": {"u": [1]}}, "not-an-object"),
            ({"used": {"u": {"prov:activity": ["a", "b"]}}}, "malformed"),
            ({"used": {"u": {"prov:activity": 7}}}, "malformed"),
            ({"used": {"u": {"prov:activity": None}}}, "incomplete"),
            ({"bundle": {"b": {"bundle": {"c": {}}}}}, "nested-bundle"),
            ({"bundle": {"b": 1}}, "not-an-object"),
        ],
    )
    def test_what_is_no_prov_json_is_told_and_left_out(self, document: object, rule: str) -> None:
        assert rule in {problem.rule for problem in check(json.dumps(document).encode()).problems}

    def test_a_key_that_stands_twice_is_told(self) -> None:
        text = b'{"activity": {"a": {}, "a": {"prov:startTime": "2026-01-01T00:00:00"}}}'
        assert [problem.rule for problem in check(text).problems] == ["duplicate-key"]
