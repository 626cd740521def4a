"""What is not looked at a second time keeps the rules all the same."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from tests.yprov4wms.prov.anything import CHILD, documents, likely, patient
from tests.yprov4wms.prov.runs import ml_run
from tests.yprov4wms.prov.test_nesting import FIXTURES, TRAIN, file

from yprov4wms.events import ChildAttached, File
from yprov4wms.prov import foreign
from yprov4wms.prov.child import Child
from yprov4wms.prov.flatten import Flattened
from yprov4wms.prov.nesting import _refusal
from yprov4wms.prov.vocabulary import RUN, run_namespace

DOCUMENT, AGENT = f"{RUN}:document", f"{RUN}:person"
USES = {"a": (f"{RUN}:used", file("a")), "5": (f"{RUN}:old", file("5"))}
MAKES = {"5": (f"{RUN}:made", file("5")), "x:a": (f"{RUN}:other", file("x:a"))}


def flattened(content: bytes) -> Flattened | None:
    records = foreign.read(content)
    told = ChildAttached(task="train", attempt=1, child=CHILD, type="x", document=File(path="d"))
    child = Child(records, told, "ml1", run_namespace(CHILD), "/w", "ada")
    if not child.roots:
        return None
    return Flattened(child, DOCUMENT, TRAIN, AGENT, child.shared(USES, MAKES))


def refusal(flat: Flattened) -> str | None:
    return _refusal(flat, DOCUMENT, TRAIN, AGENT, USES, MAKES)


@patient
@given(documents | likely)
def test_where_no_hazard_is_seen_no_rule_is_broken(child: dict[str, Any]) -> None:
    try:
        flat = flattened(msgspec.json.encode(child))
    except ValueError:
        return
    if flat is not None and not flat.hazards.found():
        assert refusal(flat) is None


def test_children_of_recorders_are_not_looked_at_a_second_time() -> None:
    contents = [path.read_bytes() for path in sorted(FIXTURES.glob("*/*/prov*.json"))]
    contents.append(ml_run(CHILD, [file("/w/a")], [file("/w/5")]))
    for content in contents:
        flat = flattened(content)
        assert flat is not None
        assert not flat.hazards.found()
        assert refusal(flat) is None


RUN_INSIDE = {"prov:type": "yprov4wms:MLRun", "yprov4wfs:level": "2"}
ENDS = {"prov:informed": "b", "prov:informant": "a"}
FIGURE = {"yprov4wms:cpu_unit": "s", "yprov4wms:cpu": 1}
FINISHED = {"prov:type": "prov:Plan", "yprov4wfs:status": "completed"}


@pytest.mark.parametrize(
    "child",
    [
        {"activity": {"a": {"yprov4wfs:level": "1"}}},
        {"activity": {"a": {"prov:type": "yprov4wms:TaskAttempt"}}},
        {"activity": {"a": {"prov:type": "yprov4wms:MLContext"}}},
        {"activity": {"a": {}, "b": RUN_INSIDE}, "wasInformedBy": {"_:1": ENDS}},
        {"activity": {"a": {}}, "entity": {"p": FINISHED}},
        {"activity": {"a": FIGURE}},
        {
            "activity": {"a": {}, "b": {}},
            "wasInformedBy": {"_:1": {**ENDS, "yprov4wms:link": "nested"}},
        },
        {
            "activity": {"a": {}, "b": {}},
            "entity": {"m": {"yprov4wms:path": "5"}},
            "wasInformedBy": {"_:1": ENDS},
            "wasGeneratedBy": {"_:2": {"prov:entity": "m", "prov:activity": "b"}},
        },
        {
            "activity": {"a": {}},
            "entity": {"whole": {}, "part": {}},
            "hadMember": {"_:1": {"prov:collection": "whole", "prov:entity": "part"}},
            "wasGeneratedBy": {"_:2": {"prov:entity": "whole", "prov:activity": "a"}},
            "used": {"_:3": {"prov:activity": "a", "prov:entity": "part"}},
        },
        {"prefix": {"me": run_namespace(CHILD)}, "activity": {"me:a": {}, "a": {}}},
    ],
    ids=str,
)
def test_what_may_break_a_rule_is_looked_at(child: dict[str, Any]) -> None:
    flat = flattened(msgspec.json.encode(child))
    assert flat is not None
    assert flat.hazards.found()
    assert refusal(flat) is not None
