"""Runs of yProv4ML: its own, and small ones with each thing that goes wrong."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
from prov.model import ProvDocument
from tests.yprov4wms.ml.readers.runs import FIXTURES, NESTS, PIDS, nested, series, write
from tests.yprov4wms.prov.runs import all_by_label, by_label, related
from tests.yprov4wms.written import READABLE, assert_written

from yprov4wms.events import File
from yprov4wms.ml import readers
from yprov4wms.prov.rules import check

VERSIONS = {
    "yprov4ml-1.0.0": "0.1/1.0",
    "yprov4ml-2.0.10": "2.0",
    "yprov4ml-3.2.2": "3.2.0-3.2.4",
    "yprov4ml-3.2.8": "3.2.5+",
    "yprov4ml-3.2.8-4ranks": "3.2.5+",
}
TRAIN = "run:task_train.1"


def fixtures() -> list[Any]:
    found = sorted(FIXTURES.glob("*/*"))
    if not found:
        mark = pytest.mark.skip(reason=f"no {FIXTURES}")
        return [pytest.param(FIXTURES, marks=mark, id="none")]
    return [pytest.param(path, id=path.parent.name) for path in found]


def one(path: Path, directory: str | None = None) -> readers.ChildRun:
    (found,) = readers.read(path, directory)
    return found


def told(child: readers.ChildRun, text: str) -> bool:
    return any(text in line for line in child.repaired)


# -- the library's own runs -----------------------------------------------------------------


@pytest.mark.parametrize("path", fixtures())
def test_a_run_of_each_version_becomes_a_legal_document(path: Path) -> None:
    child = one(path)
    assert (child.dialect, child.version) == ("yprov4ml", VERSIONS[path.parent.name])
    assert child.complete
    assert check(child.content) == []
    assert "2026-11-21T03:13" < str(child.began) < str(child.ended) < "2026-11-21T03:29"
    assert child.ranks == ((0, 1, 2, 3) if "ranks" in path.parent.name else (0,))
    metrics = [
        v for v in json.loads(child.content)["entity"].values() if v["prov:type"] == "provml:Metric"
    ]
    assert len(metrics) >= 9
    assert all(v["yprov4wms:count"]["$"] != "0" for v in metrics)


@pytest.mark.parametrize("path", fixtures())
def test_nothing_that_a_document_names_is_lost(path: Path) -> None:
    found = json.loads(one(path).content)
    for source in path.glob("prov*.json"):
        for section in ("entity", "activity"):
            kept = {v.get("yprov4wms:original_id") for v in found[section].values()}
            kept |= {name.partition(":")[2] for name in found[section]}
            assert set(json.loads(source.read_bytes())[section]) <= kept


@pytest.mark.parametrize("nest", NESTS)
@pytest.mark.parametrize("path", fixtures())
def test_each_nests_in_each_mode_and_reads_back_equal(path: Path, nest: str) -> None:
    found = nested(one(path), nest)
    (entity,) = [v for v in found["entity"].values() if v["prov:type"] == "prov:Bundle"]
    assert "yprov4wms:note" not in entity
    assert entity["yprov4wms:dialect_version"] == VERSIONS[path.parent.name]
    assert entity["yprov4wms:repaired"]
    if nest == "bundle":
        assert len(found["bundle"]) == 1
    assert len(related(found, "wasInformedBy", "nested")) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        document = ProvDocument.deserialize(content=json.dumps(found), format="json")
        assert document.serialize(format="provn")
        again = ProvDocument.deserialize(content=document.serialize(format="json"), format="json")
        assert again == document


@pytest.mark.parametrize("nest", NESTS)
@pytest.mark.parametrize("path", fixtures())
def test_each_is_written_in_other_formats_and_reads_back_equal(path: Path, nest: str) -> None:
    pytest.importorskip("lxml")
    pytest.importorskip("rdflib")
    content = json.dumps(nested(one(path), nest)).encode()
    for form in READABLE:
        assert_written(content, form)


def test_a_trigger_that_is_an_activity_becomes_the_starter() -> None:
    path = FIXTURES / "yprov4ml-1.0.0" / "digits_old_1"
    if not path.exists():
        pytest.skip(f"no {FIXTURES}")
    child = one(path)
    assert told(child, "4 x wasStartedBy whose trigger is an activity: prov:starter")
    starts = json.loads(child.content)["wasStartedBy"].values()
    assert {s["prov:starter"] for s in starts} == {"ml:digits_old_GR0_execution"}
    assert not any("prov:trigger" in s for s in starts)


def test_parameters_of_2_0_are_entities_as_well() -> None:
    path = FIXTURES / "yprov4ml-2.0.10" / "digits_old_0"
    if not path.exists():
        pytest.skip(f"no {FIXTURES}")
    entities = json.loads(one(path).content)["entity"].values()
    params = {
        v["prov:label"]: v["prov:value"]
        for v in entities
        if v["prov:type"] == "provml:HyperParameter"
    }
    assert params == {"lr": {"$": "0.001", "type": "xsd:double"}, "hidden": "[1, 2]"}


# -- small runs -----------------------------------------------------------------------------


def test_times_are_in_the_zone_that_the_run_names(tmp_path: Path) -> None:
    child = one(write(tmp_path))
    assert child.began == "2026-11-21T09:00:00.000001+00:00"
    assert child.ended == "2026-11-21T09:01:00.000001+00:00"
    assert told(child, "time without a zone: taken for the zone that the run names")


def test_a_series_is_summarised_and_stays_where_it_is(tmp_path: Path) -> None:
    folder = write(tmp_path)
    found = json.loads(one(folder).content)
    loss = found["entity"][by_label(found, "Loss")]
    values = {k: loss[f"yprov4wms:{k}"]["$"] for k in ("count", "first", "last", "min", "max")}
    assert values == {"count": "4", "first": "0.5", "last": "1.5", "min": "0.25", "max": "1.5"}
    assert loss["yprov4wms:missing_values"]["$"] == "1"
    assert loss["yprov4wms:series"] == str(folder / "metrics_GR0" / "Loss_training_None_GR0.csv")


def test_a_folder_a_document_and_the_folder_above_are_the_same_run(tmp_path: Path) -> None:
    folder = write(tmp_path)
    ids = {one(p).id for p in (folder, folder / "prov_exp_GR0_0.json", folder.parent)}
    assert ids == {PIDS[0]}


@pytest.mark.parametrize("nest", NESTS)
def test_files_of_the_workflow_are_joined_with_the_childs(tmp_path: Path, nest: str) -> None:
    (tmp_path / "model.pt").write_text("weights")
    child = one(write(tmp_path))
    found = nested(
        child,
        nest,
        directory=str(tmp_path),
        inputs=[File(path="data.csv", size=1)],
        outputs=[File(path="model.pt", size=7)],
    )
    (workflows,) = [v for v in all_by_label(found, "model.pt") if v.startswith("run:")]
    makers = {a for m, a in related(found, "wasGeneratedBy") if m == workflows}
    if nest == "flatten":
        assert makers == {TRAIN, "ml1:training"}
        (model,) = [v for v in all_by_label(found, "model.pt") if v != workflows]
        assert found["entity"][model]["prov:type"] == "provml:Model"
        assert (workflows, model) in related(found, "wasDerivedFrom")
        assert ("ml1:training", by_label_of_run(found, "data.csv")) in related(found, "used")
    else:
        assert makers == {TRAIN}
        assert workflows in {one for one, _ in related(found, "wasDerivedFrom")}


def by_label_of_run(found: dict[str, Any], label: str) -> str:
    (entity,) = [v for v in all_by_label(found, label) if v.startswith("run:")]
    return entity


def test_ranks_in_one_folder_are_one_run(tmp_path: Path) -> None:
    for rank in range(3):
        folder = write(tmp_path, rank=rank, begin=rank, pid=rank)
    child = one(folder)
    assert (child.ranks, child.id) == ((0, 1, 2), PIDS[0])
    found = nested(child)
    runs = [v for v in found["activity"].values() if v["prov:type"] == "yprov4wms:MLRun"]
    assert [v["yprov4wms:ranks"]["$"] for v in runs] == ["3"]
    assert len([v for v in found["entity"].values() if v["prov:label"] == "Loss"]) == 3


def test_ranks_in_several_folders_are_one_run(tmp_path: Path) -> None:
    folders = [write(tmp_path, run=n, rank=n, begin=n * 2, pid=n) for n in range(4)]
    for path in (*folders, folders[0].parent):
        child = one(path)
        assert (child.ranks, child.id) == ((0, 1, 2, 3), PIDS[0])
        assert len(child.sources) == 4


def test_ranks_one_after_another_are_runs_of_their_own(tmp_path: Path) -> None:
    first = write(tmp_path, run=0, rank=0, begin=0, end=60, pid=0)
    second = write(tmp_path, run=1, rank=1, begin=100, end=160, pid=1)
    assert (one(first).ranks, one(second).ranks) == ((0,), (1,))


def test_two_runs_of_one_name_are_two(tmp_path: Path) -> None:
    folders = [write(tmp_path, run=n, begin=n, pid=n) for n in range(2)]
    assert [one(folder).id for folder in folders] == PIDS[:2]
    assert {child.id for child in readers.read(folders[0].parent)} == set(PIDS[:2])


def test_a_run_without_its_document_is_made_up_and_incomplete(tmp_path: Path) -> None:
    folder = write(tmp_path, crashed=True)
    (folder / "artifacts_GR0").mkdir()
    (folder / "artifacts_GR0" / "net.pt").write_text("weights")
    child = one(folder)
    assert not child.complete
    assert child.began == "2026-11-21T09:00:00.000000+00:00"
    assert child.id == one(folder).id
    assert told(child, "no document: made up from the files that lie there")
    for nest in NESTS:
        found = nested(child, nest)
        (entity,) = [v for v in found["entity"].values() if v["prov:type"] == "prov:Bundle"]
        assert entity["yprov4wms:complete"] is False
        if nest == "flatten":
            loss = found["entity"][by_label(found, "Loss")]
            assert loss["yprov4wms:last"]["$"] == "1.5"
            assert by_label(found, "net.pt")


def test_a_rank_that_crashed_makes_the_run_incomplete(tmp_path: Path) -> None:
    write(tmp_path, rank=0, pid=0)
    child = one(write(tmp_path, rank=1, crashed=True))
    assert (child.ranks, child.complete, child.id) == ((0, 1), False, PIDS[0])


def test_a_run_is_the_same_when_its_first_rank_crashed(tmp_path: Path) -> None:
    write(tmp_path, rank=1, pid=1)
    child = one(write(tmp_path, rank=0, crashed=True))
    assert (child.ranks, child.complete, child.id) == ((0, 1), False, PIDS[1])


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"entity": [', '{"entity": 3}', "\x00"])
def test_a_document_that_cannot_be_read_is_made_up(tmp_path: Path, text: str) -> None:
    folder = write(tmp_path)
    (folder / "prov_exp_GR0_0.json").write_text(text)
    child = one(folder)
    assert not child.complete
    assert told(child, "made up from the files")
    assert check(child.content) == []


def test_what_is_named_and_not_described_is_declared(tmp_path: Path) -> None:
    folder = write(tmp_path)
    path = folder / "prov_exp_GR0_0.json"
    document = json.loads(path.read_bytes())
    document["wasInformedBy"]["_:id9"] = {"prov:informed": "fold1", "prov:informant": "folds"}
    document["activity"]["fold1"] = {}
    path.write_text(json.dumps(document))
    child = one(folder)
    assert told(child, "1 x activity that is named and not described")
    assert ("ml1:fold1", "ml1:folds") in related(nested(child), "wasInformedBy")


def test_a_value_that_is_logged_twice_keeps_both(tmp_path: Path) -> None:
    folder = write(tmp_path)
    path = folder / "prov_exp_GR0_0.json"
    document = json.loads(path.read_bytes())
    lr = document["entity"].pop("lr//exp_GR0_0")
    document["entity"]["lr//exp_GR0_0"] = [lr, {**lr, "prov:value": "0.2"}]
    path.write_text(json.dumps(document))
    found = nested(one(folder))
    entity = found["entity"][by_label(found, "lr")]
    assert (entity["prov:value"], entity["yprov4wms:further_value"]) == ("0.1", ["0.2"])


def test_a_series_that_no_metric_names_is_told(tmp_path: Path) -> None:
    folder = write(tmp_path)
    series(folder, 0, "my_acc_validation_sklearn")
    found = nested(one(folder))
    acc = found["entity"][by_label(found, "my_acc")]
    assert (acc["yprov:context"], acc["yprov:source"]) == ("validation", "sklearn")


@pytest.mark.parametrize("name", ["x.nc", "x.zarr", "x.parquet"])
def test_a_series_that_cannot_be_read_here_is_said_to_be(tmp_path: Path, name: str) -> None:
    folder = write(tmp_path)
    path = folder / "prov_exp_GR0_0.json"
    document = json.loads(path.read_bytes())
    place = f"prov/exp_0/metrics_GR0/{name}"
    document["entity"]["Loss//training"]["dcterms:identifier"] = place
    path.write_text(json.dumps(document))
    (folder / "metrics_GR0" / name).write_bytes(b"none")
    child = one(folder)
    assert told(child, "series that cannot be read")
    assert check(child.content) == []


def test_the_last_row_of_a_killed_writer_is_none(tmp_path: Path) -> None:
    folder = write(tmp_path, crashed=True)
    path = folder / "metrics_GR0" / "Loss_training_None_GR0.csv"
    path.write_text(path.read_text() + "4,9")
    found = json.loads(one(folder).content)
    assert found["entity"][by_label(found, "Loss")]["yprov4wms:last"]["$"] == "1.5"
