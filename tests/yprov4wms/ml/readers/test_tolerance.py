"""What yProv4ML's documents hold that PROV does not allow, and what becomes of each."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from tests.yprov4wms.ml.readers.runs import NESTS, nested, write

from yprov4wms.ml import readers
from yprov4wms.ml.readers import ChildRun

Edit = Callable[[dict[str, Any]], object]


def read(tmp_path: Path, edit: Edit) -> tuple[ChildRun, dict[str, Any]]:
    """A run whose document was changed so; it nests in each mode."""
    folder = write(tmp_path)
    (path,) = folder.glob("*.json")
    found = json.loads(path.read_text())
    edit(found)
    path.write_text(json.dumps(found))
    (child,) = readers.read(folder)
    for nest in NESTS:
        nested(child, nest)
    return child, json.loads(child.content)


def entity(found: dict[str, Any], label: str) -> dict[str, Any]:
    (record,) = [e for e in found["entity"].values() if e.get("prov:label") == label]
    return record


def told(child: ChildRun, what: str) -> bool:
    return any(what in text for text in child.repaired)


def test_namespaces_that_are_no_uris(tmp_path: Path) -> None:
    _, found = read(tmp_path, lambda document: document["prefix"].update(x="relative/", y=""))
    for uri in found["prefix"].values():
        assert uri.startswith(("http://", "https://", "urn:"))
        assert uri.endswith(("/", "#"))


@pytest.mark.parametrize("name", ["a//b", "a b (v1).csv//c", "50%//d", "é//e", "x:y:z", "a.", "-"])
def test_identifiers_that_are_no_names(tmp_path: Path, name: str) -> None:
    _, found = read(tmp_path, lambda document: document["entity"].update({name: {}}))
    names = {e.get("yprov4wms:original_id") for e in found["entity"].values()}
    assert name in names or f"ml:{name}" in found["entity"]


def test_literals_that_are_pythons_text(tmp_path: Path) -> None:
    value = "{'$': 16, 'type': 'xsd:int'}"
    _, found = read(tmp_path, lambda d: d["entity"]["lr//exp_GR0_0"].update({"prov:value": value}))
    assert entity(found, "lr")["prov:value"] == {"$": "16", "type": "xsd:int"}


def test_literals_of_another_xsd(tmp_path: Path) -> None:
    value = {"$": "16", "type": "xsd_1:int"}
    _, found = read(tmp_path, lambda d: d["entity"]["lr//exp_GR0_0"].update({"prov:value": value}))
    assert "16" in json.dumps(entity(found, "lr")["prov:value"])


@pytest.mark.parametrize("value", ["None", "", None, float("nan"), float("inf"), [], {}, [None]])
def test_values_that_say_nothing(tmp_path: Path, value: object) -> None:
    edit = {"yprov:file_size": value, "yprov:source": value}
    _, found = read(tmp_path, lambda d: d["entity"]["model.pt//training"].update(edit))
    (model,) = [e for e in found["entity"].values() if e.get("prov:type") == "provml:Model"]
    assert model.get("yprov:source") not in ("None", "", None) or "yprov:source" not in model


def test_times_without_a_zone_are_this_hosts_where_the_run_names_none(tmp_path: Path) -> None:
    child, _ = read(tmp_path, lambda d: d["activity"]["exp_GR0_0"].pop("yprov:time_zone"))
    local = datetime.fromisoformat("2026-11-21T10:00:00.000001").astimezone()
    assert datetime.fromisoformat(child.began or "") == local
    assert told(child, "time without a zone: taken for this host's zone")


def test_a_time_that_is_none_is_kept_as_a_text(tmp_path: Path) -> None:
    edit = {"prov:startedAtTime": "yesterday"}
    child, found = read(tmp_path, lambda d: d["activity"]["training"].update(edit))
    assert "yesterday" in json.dumps(found["activity"])
    assert told(child, "time that is none")


def test_a_series_that_is_not_there(tmp_path: Path) -> None:
    edit = {"dcterms:identifier": "prov/exp_0/metrics_GR0/gone.csv"}
    child, found = read(tmp_path, lambda d: d["entity"]["Loss//training"].update(edit))
    assert told(child, "series of a metric that is not there")
    metrics = [e for e in found["entity"].values() if e.get("prov:type") == "provml:Metric"]
    assert sum("yprov4wms:count" in metric for metric in metrics) == 1  # the file's own


def test_what_is_a_member_of_itself(tmp_path: Path) -> None:
    itself = {"prov:collection": "data.csv//training", "prov:entity": "data.csv//training"}
    child, found = read(tmp_path, lambda d: d.update(hadMember={"_:m": itself}))
    assert not found.get("hadMember")
    assert told(child, "hadMember of itself")


def test_relations_of_one_name_in_two_ranks_are_two(tmp_path: Path) -> None:
    one = json.loads(readers.read(write(tmp_path / "one"))[0].content)
    write(tmp_path / "two", rank=0)
    (child,) = readers.read(write(tmp_path / "two", rank=1))
    both = json.loads(child.content)
    assert len(both["used"]) == 2 * len(one["used"])
    assert len(both["wasGeneratedBy"]) == 2 * len(one["wasGeneratedBy"])


def test_relations_of_one_name_in_two_sections_are_two(tmp_path: Path) -> None:
    _, before = read(tmp_path / "before", lambda d: None)

    def clash(document: dict[str, Any]) -> None:
        document["used"] = {"_:id5": document["used"].pop("_:id3"), **document["used"]}

    _, after = read(tmp_path / "after", clash)
    assert len(after["used"]) == len(before["used"])
    assert len(after["wasGeneratedBy"]) == len(before["wasGeneratedBy"])
