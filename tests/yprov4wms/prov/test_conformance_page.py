"""The page of what is used of PROV-DM says what the code writes."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.yprov4wms.prov.runs import Told, document_of, folded, runs
from tests.yprov4wms.prov.test_nesting import NESTS

import yprov4wms
from yprov4wms.prov.vocabulary import ELEMENTS, RELATIONS, Type

PAGE = (Path(__file__).parents[3] / "docs" / "conformance.md").read_text("utf-8")
CODE = Path(yprov4wms.__file__).parent
SECTIONS = {*ELEMENTS, *RELATIONS, "bundle"}
#: PROV-DM's types and relations by their sections (W3C Recommendation of 30 April 2013).
PROV_DM = """
5.1.1 Entity, 5.1.2 Activity, 5.1.3 Generation, 5.1.4 Usage, 5.1.5 Communication, 5.1.6 Start,
5.1.7 End, 5.1.8 Invalidation, 5.2.1 Derivation, 5.2.2 Revision, 5.2.3 Quotation,
5.2.4 Primary Source, 5.3.1 Agent, 5.3.2 Attribution, 5.3.3 Association, 5.3.4 Delegation,
5.3.5 Influence, 5.4.1 Bundle constructor, 5.4.2 Bundle type, 5.5.1 Specialization,
5.5.2 Alternate, 5.6.1 Collection, 5.6.2 Membership
"""
ATTRIBUTES = """
5.7.1 Identifier, 5.7.2.1 `prov:label`, 5.7.2.2 `prov:location`, 5.7.2.3 `prov:role`,
5.7.2.4 `prov:type`, 5.7.2.5 `prov:value`, 5.7.3 Value, 5.7.4 Namespace Declaration,
5.7.5 Qualified Name
"""


def rows() -> list[list[str]]:
    found = re.findall(r"^\| (.+) \|$", PAGE, re.M)
    return [re.split(r"\s*\|\s*", row) for row in found]


#: By section of PROV-JSON, whose the relation or type is.
WHOSE = {row[1].strip("`"): row[2] for row in rows() if len(row) == 4 and row[1].startswith("`")}


def written() -> set[str]:
    """The relations that the code names where it writes one."""
    found: set[str] = set()
    for path in CODE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            values: list[ast.expr] = []
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                if node.func.attr in ("relation", "_relate"):
                    values = node.args[:1]
            elif isinstance(node, ast.Assign):
                names = [one.id for one in node.targets if isinstance(one, ast.Name)]
                values = [node.value] if "section" in names else []
            for value in values:
                for part in ast.walk(value):
                    if isinstance(part, ast.Constant) and part.value in RELATIONS:
                        found.add(str(part.value))
    return found


def test_every_type_and_relation_of_prov_dm_is_on_the_page_once() -> None:
    first = [row[0] for row in rows()]
    for name in (*PROV_DM.split(","), *ATTRIBUTES.split(",")):
        assert first.count(" ".join(name.split())) == 1, name
    assert set(WHOSE) == SECTIONS


def test_what_the_code_writes_is_said_to_be_ours_and_nothing_else() -> None:
    ours = {section for section in RELATIONS if WHOSE[section] == "ours"}
    assert ours == written()
    assert {WHOSE[section] for section in RELATIONS} == {"ours", "children's"}
    assert all(WHOSE[section] == "ours" for section in (*ELEMENTS, "bundle"))


def test_the_types_of_prov_that_we_use_are_on_the_page() -> None:
    for kind in Type:
        if kind.startswith("prov:"):
            assert f"`{kind}`" in PAGE, kind


@given(told=runs(), nest=st.sampled_from(NESTS))
@settings(max_examples=30)
def test_documents_have_what_is_said_to_be_ours(told: Told, nest: str) -> None:
    document = document_of(folded(told.events), {}, nest)
    assert relations(document) <= {section for section in SECTIONS if WHOSE[section] == "ours"}


def relations(document: dict[str, Any]) -> set[str]:
    return set(document) - {"prefix"}
