"""Documents that break one constraint each: it is told, with the statements concerned."""

from __future__ import annotations

import pytest

from yprov4wms.prov.constraints import CONSTRAINTS, Verdict, check

DECLARED = "entity(ex:e1) entity(ex:e2) entity(ex:e3) activity(ex:a1) activity(ex:a2) agent(ex:ag) "


def verdict(statements: str) -> Verdict:
    text = f"document\nprefix ex <http://example.org/>\n{DECLARED}\n{statements}\nendDocument\n"
    return check(text.encode())


#: Of each document the constraint, and what its message names.
BROKEN = [
    # -- order
    (
        "42",
        "wasDerivedFrom(ex:e2, ex:e1) wasDerivedFrom(ex:e3, ex:e2) wasDerivedFrom(ex:e1, ex:e3)",
        ["the generation of ex:e1", "of ex:e2", "of ex:e3", "comes before itself"],
    ),
    ("42", "wasDerivedFrom(ex:d; ex:e1, ex:e1)", ["wasDerivedFrom(ex:d; ex:e1, ex:e1, -, -, -)"]),
    (  # What starts an activity is derived from what the activity made.
        "42",
        "wasGeneratedBy(ex:g; ex:e1, ex:a1, -) wasDerivedFrom(ex:e2, ex:e1) "
        "wasStartedBy(ex:s; ex:a1, ex:e2, -, -)",
        ["wasStartedBy(ex:s; ex:a1, ex:e2, -, -), constraint 43", "the start of ex:a1", "34"],
    ),
    (  # Started by an activity whose trigger is not told: the trigger was the starter's.
        "42",
        "wasStartedBy(ex:s; ex:a2, -, ex:a1, -) wasGeneratedBy(ex:e1, ex:a2, -) "
        "wasDerivedFrom(ex:e2, ex:e1) wasStartedBy(ex:t; ex:a1, ex:e2, -, -)",
        ["the start of ex:a1", "the start of ex:a2"],
    ),
    ("42", "specializationOf(ex:e2, ex:e1) wasDerivedFrom(ex:e1, ex:e2)", ["constraint 45"]),
    (
        "42",
        "entity(ex:ag) wasAttributedTo(ex:e1, ex:ag) wasDerivedFrom(ex:ag, ex:e1)",
        ["wasAttributedTo(ex:e1, ex:ag), constraint 48"],
    ),
    (  # Two activities generate an entity at once: what one made after the other's output is odd.
        "42",
        "wasGeneratedBy(ex:e1, ex:a1, -) wasGeneratedBy(ex:e1, ex:a2, -) "
        "wasStartedBy(ex:s; ex:a2, ex:e2, -, -) wasDerivedFrom(ex:e2, ex:e1)",
        ["the start of ex:a2"],
    ),
    # -- uniqueness
    (
        "22",
        "activity(ex:a, 2026-01-01T00:00:00, -) activity(ex:a, 2026-01-02T00:00:00, -)",
        ["ex:a,"],
    ),
    (
        "23",
        "used(ex:u; ex:a1, ex:e1, -) used(ex:u; ex:a1, ex:e2, -)",
        ["ex:e1", "ex:e2", "prov:entity"],
    ),
    (
        "23",
        "wasAssociatedWith(ex:s; ex:a1, ex:ag, -) wasAssociatedWith(ex:s; ex:a1, ex:ag, ex:e1)",
        ["prov:plan"],
    ),
    (  # The derivation says which generation and usage it had.
        "23",
        "used(ex:u; ex:a1, ex:e3, -) wasDerivedFrom(ex:d; ex:e2, ex:e1, ex:a1, ex:g, ex:u)",
        ["follows from wasDerivedFrom(ex:d;", "prov:entity"],
    ),
    (
        "24",
        "wasGeneratedBy(ex:g1; ex:e1, ex:a1, -) wasGeneratedBy(ex:g2; ex:e1, ex:a1, -)",
        ["ex:g1", "ex:g2", "the identifier"],
    ),
    (
        "24",
        "wasGeneratedBy(ex:e1, ex:a1, 2026-01-01T00:00:00) "
        "wasGeneratedBy(ex:e1, ex:a1, 2026-01-01T00:00:01)",
        ["2026-01-01T00:00:00", "2026-01-01T00:00:01", "prov:time"],
    ),
    (
        "24",
        "wasGeneratedBy(ex:g1; ex:e2, ex:a1, -) "
        "wasDerivedFrom(ex:d; ex:e2, ex:e1, ex:a1, ex:g2, -)",
        ["ex:g1", "ex:g2", "follows from wasDerivedFrom(ex:d;"],
    ),
    (
        "25",
        "wasInvalidatedBy(ex:i; ex:e1, ex:a1, -) wasInvalidatedBy(ex:j; ex:e1, ex:a1, -)",
        ["ex:i"],
    ),
    (
        "26",
        "wasStartedBy(ex:s; ex:a1, ex:e1, ex:a2, -) wasStartedBy(ex:t; ex:a1, ex:e2, ex:a2, -)",
        ["ex:s", "ex:t", "prov:trigger"],
    ),
    ("27", "wasEndedBy(ex:s; ex:a1, -, ex:a2, -) wasEndedBy(ex:t; ex:a1, -, ex:a2, -)", ["ex:s"]),
    (
        "28",
        "activity(ex:a, 2026-01-01T00:00:00, -) wasStartedBy(ex:a, ex:e1, -, 2026-01-01T00:00:01)",
        ["activity(ex:a, 2026-01-01T00:00:00, -)"],
    ),
    (
        "29",
        "activity(ex:a, -, 2026-01-01T00:00:00) wasEndedBy(ex:a, -, -, 2026-01-02T00:00:00)",
        ["ex:a"],
    ),
    # -- types and impossibility
    ("51", "wasDerivedFrom(ex:d; ex:e2, ex:e1, -, ex:g, -)", ["wasDerivedFrom(ex:d;"]),
    ("52", "specializationOf(ex:e1, ex:e1)", ["ex:e1"]),
    (
        "52",
        "specializationOf(ex:e1, ex:e2) specializationOf(ex:e2, ex:e3) "
        "specializationOf(ex:e3, ex:e1)",
        ["ex:e1", "ex:e2", "ex:e3"],
    ),
    ("53", "used(ex:x; ex:a1, ex:e1, -) wasInformedBy(ex:x; ex:a1, ex:a2)", ["ex:x", "used"]),
    ("54", "used(ex:e3; ex:a1, ex:e1, -)", ["ex:e3", "entity", "used"]),
    ("54", "wasDerivedFrom(ex:d; ex:e2, ex:e1, ex:a1, ex:e3, -)", ["ex:e3", "wasGeneratedBy"]),
    ("55", "activity(ex:e1)", ["ex:e1", "entity(ex:e1)", "activity(ex:e1, -, -)"]),
    ("55", "used(ex:u; ex:a1, ex:a2, -)", ["used(ex:u; ex:a1, ex:a2, -)", "activity(ex:a2, -, -)"]),
    ("55", "wasAssociatedWith(ex:a1, ex:ag, ex:a2)", ["ex:a2"]),
    (
        "56",
        "entity(ex:c, [prov:type='prov:EmptyCollection']) hadMember(ex:c, ex:e1)",
        ["ex:c", "ex:e1"],
    ),
    (  # What specializes an empty collection is empty, too.
        "56",
        "entity(ex:c, [prov:type='prov:EmptyCollection']) entity(ex:d) "
        "specializationOf(ex:d, ex:c) hadMember(ex:d, ex:e1)",
        ["ex:d", "ex:e1"],
    ),
]


@pytest.mark.parametrize(("constraint", "statements", "named"), BROKEN)
def test_a_broken_constraint_is_told_with_the_statements(
    constraint: str, statements: str, named: list[str]
) -> None:
    (problem,) = verdict(statements).problems
    assert problem.rule == f"constraint-{constraint}"
    assert problem.rule in CONSTRAINTS
    assert problem.where == "line 4"
    for text in named:
        assert text in problem.message


def test_every_constraint_that_can_be_broken_is_among_these() -> None:
    numbers = {rule.removeprefix("constraint-") for rule in CONSTRAINTS if rule[0:4] == "cons"}
    assert {constraint for constraint, _, _ in BROKEN} == numbers


VALID = [
    "wasGeneratedBy(ex:e1, ex:a1, -) wasGeneratedBy(ex:e1, ex:a2, -)",
    "used(ex:u; ex:a1, ex:e1, -) used(ex:v; ex:a1, ex:e1, -)",
    "entity(ex:ag) activity(ex:other) agent(ex:other)",
    "wasInfluencedBy(ex:d; ex:e2, ex:e1) wasDerivedFrom(ex:d; ex:e2, ex:e1)",
    "wasStartedBy(ex:a1, ex:e1, -, -) wasStartedBy(ex:a1, ex:e2, -, -)",
    "wasInformedBy(ex:a1, ex:a2) wasInformedBy(ex:a2, ex:a1)",
    "wasGeneratedBy(ex:g; ex:e2, ex:a1, 2026-01-01T01:00:00+01:00) "
    "wasGeneratedBy(ex:g; ex:e2, -, 2026-01-01T00:00:00Z)",
    # Without a declaration there is no generation that could come before another.
    "wasDerivedFrom(ex:x, ex:y) wasDerivedFrom(ex:y, ex:x)",
    "alternateOf(ex:e1, ex:e2) alternateOf(ex:e2, ex:e1)",
    "wasAssociatedWith(ex:a1, ex:ag, ex:e1) wasAssociatedWith(ex:a1, ex:ag, ex:e2)",
]


@pytest.mark.parametrize("statements", VALID)
def test_what_only_looks_like_a_contradiction_is_valid(statements: str) -> None:
    assert verdict(statements).problems == []


def test_each_bundle_is_checked_by_itself() -> None:
    text = (
        "document prefix ex <http://example.org/> entity(ex:x) "
        "bundle ex:b activity(ex:x) endBundle bundle ex:c entity(ex:e)\n activity(ex:e) endBundle "
        "endDocument"
    )
    (problem,) = check(text.encode()).problems
    assert (problem.rule, problem.where) == ("constraint-55", "bundle ex:c, line 2")


def test_a_long_cycle_is_told_in_part_and_found_in_time() -> None:
    count = 20_000
    lines = [
        f"entity(ex:e{n}) wasDerivedFrom(ex:e{(n + 1) % count}, ex:e{n})" for n in range(count)
    ]
    (problem,) = verdict("\n".join(lines)).problems
    assert f"{count - 10} steps more" in problem.message
    assert len(problem.message) < 3000


class TestAdvice:
    TIMES = (
        "activity(ex:a3, 2026-01-01T00:00:00, 2026-01-01T00:01:00) "
        "activity(ex:a4, 2026-01-01T00:02:00, 2026-01-01T00:03:00) "
    )

    @pytest.mark.parametrize(
        ("constraint", "statements"),
        [
            (30, "activity(ex:x, 2026-01-01T00:00:10, 2026-01-01T00:00:00)"),
            (33, "used(ex:a3, ex:e1, 2026-01-01T00:01:10)"),
            (34, "wasGeneratedBy(ex:e1, ex:a3, 2026-01-01T00:01:10)"),
            (35, "wasInformedBy(ex:a3, ex:a4)"),
            (36, "wasGeneratedBy(ex:e1, -, 2026-01-01T00:00:10) "
                 "wasInvalidatedBy(ex:e1, -, 2026-01-01T00:00:00)"),
            (37, "wasGeneratedBy(ex:e1, ex:a4, 2026-01-01T00:02:30) used(ex:a3, ex:e1, -)"),
            (37, "wasGeneratedBy(ex:e1, ex:a4, 2026-01-01T00:02:30) "
                 "used(ex:a2, ex:e1, 2026-01-01T00:01:00)"),
            (38, "used(ex:a4, ex:e1, -) wasInvalidatedBy(ex:e1, -, 2026-01-01T00:01:00)"),
            (42, "wasGeneratedBy(ex:e1, -, 2026-01-01T00:00:10) "
                 "wasGeneratedBy(ex:e2, -, 2026-01-01T00:00:00) wasDerivedFrom(ex:e2, ex:e1)"),
            (43, "wasStartedBy(ex:a3, -, ex:a4, -)"),
        ],
    )  # fmt: skip
    def test_clocks_against_the_order_of_events_leave_it_valid(
        self, constraint: int, statements: str
    ) -> None:
        found = verdict(self.TIMES + statements)
        assert found.problems == []
        (told,) = found.advice
        assert told.rule == "clock-order"
        assert f"constraint {constraint}:" in told.message

    def test_the_tolerance_is_in_seconds(self) -> None:
        text = (
            "document prefix ex <http://example.org/> "
            "activity(ex:a, 2026-01-01T00:00:02.5Z, 2026-01-01T00:00:00+00:00) endDocument"
        )
        assert [len(check(text.encode(), t).advice) for t in (0, 2.4, 2.6, 60)] == [1, 1, 0, 0]

    def test_files_names_units_and_extensions(self) -> None:
        found = verdict(
            "entity(ex:f, [ex:path='x', ex:size_unit='B']) entity(ex:g, [ex:size_unit='MB']) "
            "used(ex:a1, ex:nowhere, -) other:relation(ex:e1, [ex:deep=(1)], {(1, 2)})"
        )
        assert found.problems == []
        told = {advice.rule: f"{advice.where}: {advice.message}" for advice in found.advice}
        assert told.keys() == {"dangling-file", "mixed-units", "undeclared", "not-checked"}
        assert "entity ex:f" in told["dangling-file"]
        assert "B in ex:f, MB in ex:g" in told["mixed-units"]
        assert "ex:nowhere" in told["undeclared"]
        assert "other:relation" in told["not-checked"]

    def test_an_undeclared_prefix(self) -> None:
        (told,) = verdict("entity(no:e)").advice
        assert (told.rule, told.where) == ("undeclared-prefix", "prefix no")
