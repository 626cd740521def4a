"""``yprov4wms validate``: which rules for which format, what is told, and the exit status."""

from __future__ import annotations

import gzip
import json
import subprocess
from pathlib import Path

import pytest
import zstandard
from tests.yprov4wms.cli.test_bad_input import yprov4wms
from tests.yprov4wms.prov.runs import content_of, folded, ml_run, started
from tests.yprov4wms.prov.test_nesting import CHILD, file, nested

from yprov4wms.events import RunEnded, Status

VALID = "document\nprefix ex <http://example.org/>\nentity(ex:e)\nendDocument\n"
CYCLE = VALID.replace("entity(ex:e)", "entity(ex:e)\nwasDerivedFrom(ex:d; ex:e, ex:e)")
ODD = VALID.replace(
    "entity(ex:e)",
    "activity(ex:a, 2026-01-01T00:00:30Z, 2026-01-01T00:00:00Z)\nused(ex:a, ex:x, -)",
)
FOREIGN = json.dumps({"prefix": {"ex": "http://example.org/"}, "entity": {"ex:e": {}}})


def validate(folder: Path, content: str | bytes, *options: str, name: str = "x") -> str:
    """What is printed, with the exit status in front."""
    raw = content.encode() if isinstance(content, str) else content
    (folder / name).write_bytes(raw)
    done: subprocess.CompletedProcess[bytes] = yprov4wms(folder, "validate", name, *options)
    assert done.stderr == b"" or done.returncode == 2
    return f"{done.returncode} {(done.stdout or done.stderr).decode()}"


def test_a_document_of_ours_is_checked_by_both(tmp_path: Path) -> None:
    ours = content_of(folded([started(), RunEnded(status=Status.COMPLETED)]))
    assert validate(tmp_path, ours) == "0 x: valid\n"
    made = [file("model.pt", "7")]
    found = nested(ml_run(CHILD, outputs=made), "flatten", outputs=made)
    assert validate(tmp_path, json.dumps(found)) == "0 x: valid\n"
    model = next(iter(found["wasGeneratedBy"].values()))["prov:entity"]
    other = next(e for e in found["entity"] if e != model)
    ends = [(model, other), (other, model)]
    found.setdefault("wasDerivedFrom", {}).update(
        {
            f"_:x{n}": {"prov:generatedEntity": a, "prov:usedEntity": b}
            for n, (a, b) in enumerate(ends)
        }
    )
    assert validate(tmp_path, json.dumps(found), "--rules", "dialect") == "0 x: valid\n"
    told = validate(tmp_path, json.dumps(found))
    assert told.startswith("1 x: wasDerivedFrom: the generation of ")
    assert "[constraint-42]" in told
    assert told.endswith("x: 1 problems\n")


def test_somebody_elses_document_is_checked_against_the_constraints_alone(tmp_path: Path) -> None:
    assert validate(tmp_path, FOREIGN, "--rules", "constraints") == "0 x: valid\n"
    told = validate(tmp_path, FOREIGN)
    assert told.startswith("1 ")
    assert told.endswith("problems, none of them of PROV-CONSTRAINTS\n")
    assert validate(tmp_path, VALID, name="x.provn") == "0 x.provn: valid\n"


@pytest.mark.parametrize("options", [(), ("--rules", "all"), ("--rules", "constraints")])
def test_prov_n_has_no_rules_but_the_constraints(tmp_path: Path, options: tuple[str, ...]) -> None:
    told = validate(tmp_path, CYCLE, *options)
    assert told == (
        "1 x: line 4: the generation of ex:e comes before the generation of ex:e "
        "(wasDerivedFrom(ex:d; ex:e, ex:e, -, -, -), constraint 42): it comes before itself "
        "[constraint-42]\nx: 1 problems\n"
    )


def test_the_dialect_is_of_prov_json_alone(tmp_path: Path) -> None:
    told = validate(tmp_path, VALID, "--rules", "dialect")
    assert told.startswith("2 yprov4wms: error: x is PROV-N; ")


def test_documents_may_be_packed(tmp_path: Path) -> None:
    assert validate(tmp_path, gzip.compress(CYCLE.encode())).startswith("1 x: line 4: ")
    assert validate(tmp_path, zstandard.compress(VALID.encode())) == "0 x: valid\n"


def test_advice_leaves_a_document_valid(tmp_path: Path) -> None:
    told = validate(tmp_path, ODD)
    assert told.startswith("0 x: line 3: 2026-01-01T00:00:30Z is 30 s after ")
    assert "[advice: clock-order]" in told
    assert "ex:x: named by statements and not declared" in told
    assert told.endswith("x: valid\n")
    assert "clock-order" not in validate(tmp_path, ODD, "--clock-tolerance", "30")
    assert validate(tmp_path, ODD, "--clock-tolerance", "-1").startswith("2 ")


def test_of_a_rule_twenty_places_are_shown_and_the_others_counted(tmp_path: Path) -> None:
    many = "\n".join(f"activity(ex:a{n})\nentity(ex:a{n})" for n in range(25))
    text = VALID.replace("entity(ex:e)", many)
    told = validate(tmp_path, text)
    assert told.count("is an entity by") == 20
    assert "x: [constraint-55] in 5 more places: entity-activity-disjoint: " in told
    assert validate(tmp_path, text, "--all").count("is an entity by") == 25


def test_names_do_not_steer_the_terminal(tmp_path: Path) -> None:
    text = json.dumps({"entity": {"\x1b[31mred": {}}, "activity": {"\x1b[31mred": {}}})
    told = validate(tmp_path, text, "--rules", "constraints")
    assert told.startswith("1 ")
    assert "\x1b" not in told
