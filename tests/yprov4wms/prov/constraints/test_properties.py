"""What holds of every instance: it is judged as by the letter, whatever its order and names."""

from __future__ import annotations

import random

from hypothesis import assume, event, given, settings
from hypothesis import strategies as st
from tests.yprov4wms.prov.constraints.instances import crowded, instances
from tests.yprov4wms.prov.constraints.reference import Statement, is_ordered, is_unique, provn

from yprov4wms.prov.constraints import check

_UNIQUENESS = {f"constraint-{number}" for number in range(22, 30)}


def rules(statements: list[Statement]) -> set[str]:
    return {problem.rule for problem in check(provn(statements)).problems}


@settings(max_examples=300)
@given(instances)
def test_order_is_judged_as_by_the_letter(statements: list[Statement]) -> None:
    assume(is_unique(statements))  # else which statements are one depends on who is asked
    ordered = is_ordered(statements)
    event(f"ordered: {ordered}")
    assert ("constraint-42" not in rules(statements)) == ordered


@settings(max_examples=300)
@given(st.one_of(instances, crowded))
def test_uniqueness_is_judged_as_by_the_letter(statements: list[Statement]) -> None:
    unique = is_unique(statements)
    event(f"unique: {unique}")
    assert (not rules(statements) & _UNIQUENESS) == unique


@given(st.one_of(instances, crowded), st.randoms(use_true_random=False))
def test_order_of_statements_and_repeating_them_change_nothing(
    statements: list[Statement], chance: random.Random
) -> None:
    more = [*statements, *chance.choices(statements, k=3)] if statements else []
    chance.shuffle(more)
    assert bool(rules(more)) == bool(rules(statements))
    if is_unique(statements):
        assert rules(more) == rules(statements)


@given(st.one_of(instances, crowded))
def test_other_names_and_prefixes_change_nothing(statements: list[Statement]) -> None:
    plain = provn(statements)
    named = plain.replace(b"ex:", b"other:x_").replace(b"prefix ex <", b"prefix other <")
    aliased = plain.replace(b"prefix ex", b"prefix al <http://example.org/>\nprefix ex")
    aliased = aliased.replace(b"ex:e1", b"al:e1").replace(b"al:e1", b"ex:e1", 1)
    told = [[problem.rule for problem in check(text).problems] for text in (plain, named, aliased)]
    assert told[0] == told[1] == told[2]


@st.composite
def workflows(draw: st.DrawFn) -> list[Statement]:
    """Each file is derived from one before it, made by a task that used that one."""
    statements = [Statement("entity", "ex:f0", ())]
    for number in range(1, draw(st.integers(2, 12))):
        file, task = f"ex:f{number}", f"ex:t{number}"
        source = f"ex:f{draw(st.integers(0, number - 1))}"
        start, end = (f"2026-01-01T00:{number:02}:{second}" for second in ("00", "30"))
        statements += [
            Statement("entity", file, ()),
            Statement("activity", task, (start, end)),
            Statement("used", None, (task, source, None)),
            Statement("wasGeneratedBy", None, (file, task, end)),
            Statement("wasDerivedFrom", None, (file, source, None, None, None)),
        ]
    return statements


@given(workflows(), st.data())
def test_a_workflow_is_valid_until_one_derivation_goes_back(
    statements: list[Statement], data: st.DataObject
) -> None:
    verdict = check(provn(statements))
    assert (verdict.problems, verdict.advice) == ([], [])
    derivations = [s for s in statements if s.kind == "wasDerivedFrom"]
    file, source = data.draw(st.sampled_from(derivations)).args[:2]
    back = Statement("wasDerivedFrom", None, (source, file, None, None, None))
    (problem,) = check(provn([*statements, back])).problems
    assert problem.rule == "constraint-42"
    assert f"the generation of {file}" in problem.message
    assert f"the generation of {source}" in problem.message


@given(st.binary(max_size=80) | st.text(max_size=80).map(str.encode))
def test_nothing_raises(content: bytes) -> None:
    for start in (
        b"",
        b"document\n",
        b"<",
        b"<prov:document xmlns:prov='http://www.w3.org/ns/prov#'>",
        b"{",
    ):
        check(start + content)
