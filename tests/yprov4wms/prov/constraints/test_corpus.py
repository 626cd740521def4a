"""The cases of the W3C's working group and of ProvToolbox that ship in the prov library.

Their folder or name says whether a case is valid.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import pytest

from yprov4wms.prov.constraints import check

#: Cases named invalid that the Recommendation makes valid; ProvToolbox's own tests of them expect
#: no contradiction either.
VALID_BY_THE_RECOMMENDATION = {
    "delegation-fail4.xml": "the activity of a delegation is expandable (table 3)",
    "delegation-fail5.xml": "so are both the activity and, as in delegation-success3, the agent",
    "usage-fail1.xml": "usages have no uniqueness constraint: two of one entity may differ",
    "usage-fail5.xml": "usages have no uniqueness constraint: two of one entity may differ",
    "usage-fail6.xml": "usages have no uniqueness constraint: two of one entity may differ",
    "usage-fail7.xml": "usages have no uniqueness constraint: two of one entity may differ",
}


def cases() -> list[Path]:
    found = Path(str(resources.files("prov"))) / "tests" / "unification"
    if not (found / "constraints").is_dir():
        return []
    paths = [*found.glob("*.json"), *found.glob("constraints/*.xml"), *found.glob("*/*.provx")]
    return sorted(paths)


CASES = cases()


def named_invalid(path: Path) -> bool:
    return "-fail" in path.name.lower()


def is_valid(path: Path) -> bool:
    return not check(path.read_bytes()).problems


@pytest.mark.skipif(not CASES, reason="this version of prov brings no cases of constraints")
class TestCorpus:
    def test_it_is_whole(self) -> None:
        names = [path.name for path in CASES]
        assert len([name for name in names if name.endswith(".xml")]) >= 153
        assert len([name for name in names if name.endswith(".provx")]) >= 7
        assert len([name for name in names if name.endswith(".json")]) >= 14

    def test_exactly_these_cases_are_not_as_they_are_named(self) -> None:
        others = {path.name for path in CASES if is_valid(path) == named_invalid(path)}
        assert others == set(VALID_BY_THE_RECOMMENDATION)

    @pytest.mark.parametrize(
        "path", [p for p in CASES if not named_invalid(p)], ids=lambda p: str(p.name)
    )
    def test_a_valid_case_is_accepted(self, path: Path) -> None:
        assert check(path.read_bytes()).problems == []

    @pytest.mark.parametrize(
        "path",
        [p for p in CASES if named_invalid(p) and p.name not in VALID_BY_THE_RECOMMENDATION],
        ids=lambda p: str(p.name),
    )
    def test_an_invalid_case_is_rejected_by_what_its_name_says(self, path: Path) -> None:
        problems = check(path.read_bytes()).problems
        assert problems
        rules = {problem.rule for problem in problems}
        wanted = [part for part in path.stem.split("-") if part[0] == "c" and part[1:].isdigit()]
        if wanted:
            assert rules & {f"constraint-{part[1:]}" for part in wanted}
        assert "malformed" not in rules
