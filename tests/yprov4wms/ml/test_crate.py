"""The RO-Crate of a run: what is in it, by other readers, and the profile's own validator."""

from __future__ import annotations

import hashlib
import io
import json
import math
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.yprov4wms.validator import validated

from yprov4wms import ml
from yprov4wms.ml import crate
from yprov4wms.prov.rules import check
from yprov4wms.replay import replay

PROCESS = "process-run-crate-0.5"
#: One of a kind is no list in the file.
LISTS = {"hasPart", "mentions", "object", "result"}


def made(run) -> zipfile.ZipFile:
    file = io.BytesIO()
    crate.write(replay(run.folder), run.folder, file)
    return zipfile.ZipFile(file)


def graph(archive: zipfile.ZipFile) -> dict[str, dict[str, Any]]:
    document = json.loads(archive.read("ro-crate-metadata.json"))
    for entity in document["@graph"]:
        for key in LISTS & set(entity):
            entity[key] = entity[key] if isinstance(entity[key], list) else [entity[key]]
    found = {entity["@id"]: entity for entity in document["@graph"]}
    assert len(found) == len(document["@graph"])
    return found


def action(found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    (one,) = (entity for entity in found.values() if entity["@type"] == "CreateAction")
    return one


def references(value: Any) -> list[str]:
    if isinstance(value, list):
        return [one for item in value for one in references(item)]
    if isinstance(value, dict):
        return [value["@id"]] if set(value) == {"@id"} else references(list(value.values()))
    return []


def assert_whole(archive: zipfile.ZipFile) -> None:
    """Each file is a data entity of the crate, and the other way round; no end hangs loose."""
    from urllib.parse import unquote

    found = graph(archive)
    assert archive.testzip() is None
    parts = [part["@id"] for part in found["./"]["hasPart"]]
    assert len(set(parts)) == len(parts)
    local = {unquote(part) for part in parts if "://" not in part}
    assert local == set(archive.namelist()) - {"ro-crate-metadata.json"}
    for entity in found.values():
        body = {key: value for key, value in entity.items() if key not in ("@id", "@type")}
        for identifier in references(body):
            assert identifier in found or identifier.startswith("https://w3id.org/ro/crate")


@pytest.fixture
def full(tmp_path: Path) -> Any:
    """A failed run with something of each kind."""
    (tmp_path / "train.csv").write_bytes(b"abc")
    (tmp_path / "model é&.pt").write_bytes(b"m" * 2048)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/a").write_text("a")
    run = ml.start_run("digits", name="mlp", seed=7)
    try:
        ml.log_source_code(use_git=False)
        ml.log_param("lr", 0.1)
        ml.log_param("layers", [64, 32], context="training")
        ml.log_param("best", 3, is_input=False)
        ml.log_dataset("train", "train.csv", context="training")
        ml.log_dataset("array", [1, 2, 3])
        ml.log_metric("loss", 0.5, "training", 0)
        ml.log_metric("loss", math.nan, "training", 1)
        ml.log_metric("up", math.inf)
        ml.log_model("net", object(), path="model é&.pt")
        ml.log_model("another", object())
        ml.log_artifact("folder", "folder")
        ml.log_artifact("url", "https://example.org/data.csv", is_input=True)
        raise RuntimeError("boom")
    except RuntimeError:
        ml.end_run()
    return run


def test_the_action_says_what_ran_from_what_to_what(full):
    archive = made(full)
    assert_whole(archive)
    found = graph(archive)
    one = action(found)
    assert one["@id"] == f"urn:uuid:{full.id}"
    assert (one["name"], one["error"]) == ("digits: mlp", "RuntimeError: boom")
    assert one["actionStatus"] == "http://schema.org/FailedActionStatus"
    assert one["startTime"] < one["endTime"]
    assert found[one["agent"]["@id"]]["@type"] == "Person"
    assert found[one["instrument"]["@id"]]["@type"] == "SoftwareApplication"
    used = {found[end["@id"]]["name"]: found[end["@id"]] for end in one["object"]}
    results = {found[end["@id"]]["name"]: found[end["@id"]] for end in one["result"]}
    assert set(used) == {"lr", "training/layers", "train", "array", "url"}
    assert set(results) == {
        *("best", "training/loss", "up", "net", "another", "folder"),
        "Values of all metrics",
    }
    assert used["lr"]["value"] == 0.1
    assert used["training/layers"]["value"] == "[64,32]"
    assert (results["training/loss"]["value"], results["training/loss"]["minValue"]) == ("NaN", 0.5)
    assert results["up"]["value"] == "INF"
    assert used["url"]["@id"] == "https://example.org/data.csv"
    assert results["folder"]["@id"].startswith("file:///")
    assert found[found["./"]["license"]["@id"]]["name"] == "No license is stated."


def test_files_are_copied_and_named_by_checksum(full, tmp_path):
    archive = made(full)
    found = graph(archive)
    model = found["files/model%20%C3%A9%26.pt"]
    content = archive.read("files/model é&.pt")
    assert content == b"m" * 2048
    assert model["sha256"] == hashlib.sha256(content).hexdigest()
    assert (model["contentSize"], model["alternateName"]) == (
        "2048", str(tmp_path / "model é&.pt")
    )  # fmt: skip
    assert check(archive.read("prov.json")) == []
    assert archive.read("card.md").startswith(b"# digits: mlp")
    assert archive.read("metrics.csv").splitlines()[1].startswith(b"loss,training,,,,0,0.5,")
    document = json.loads(archive.read("prov.json"))
    places = {
        entity["dcterms:identifier"]
        for entity in document["entity"].values()
        if entity["prov:type"] == "provml:Metric"
    }
    assert places <= set(archive.namelist())


def test_a_file_that_changed_since_is_only_named(full, tmp_path):
    (tmp_path / "train.csv").write_bytes(b"xyz")
    (tmp_path / "model é&.pt").unlink()
    archive = made(full)
    assert_whole(archive)
    assert "files/train.csv" not in archive.namelist()
    train = graph(archive)[f"file://{tmp_path}/train.csv"]
    assert train["sha256"] == hashlib.sha256(b"abc").hexdigest()


def test_a_copy_stands_in_for_a_file_that_is_gone(tmp_path):
    (tmp_path / "a.txt").write_text("a")
    with ml.start_run("x") as run:
        ml.log_artifact("a", "a.txt", log_copy_in_prov_directory=True)
    (tmp_path / "a.txt").unlink()
    assert made(run).read("files/a.txt") == b"a"


@pytest.mark.parametrize(("each", "whole", "copied"), [(2, 100, 0), (100, 4, 1), (100, 100, 2)])
def test_what_is_large_is_named_by_where_it_is(tmp_path, monkeypatch, each, whole, copied):
    monkeypatch.setattr(crate, "MOST_BYTES", each)
    monkeypatch.setattr(crate, "MOST_IN_ALL", whole)
    for name in "ab":
        (tmp_path / name).write_text(3 * name)
    with ml.start_run("x") as run:
        ml.log_artifact("a", "a")
        ml.log_artifact("b", "b")
    archive = made(run)
    assert_whole(archive)
    assert sum(name.startswith("files/") for name in archive.namelist()) == copied


def test_two_files_of_one_name_have_two_places(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.tar.gz").write_text(name)
    with ml.start_run("x") as run:
        ml.log_artifact("1", "a/x.tar.gz")
        ml.log_artifact("2", "b/x.tar.gz")
        (tmp_path / "a/x.tar.gz").write_text("new")
        ml.log_artifact("3", "a/x.tar.gz")
    archive = made(run)
    assert_whole(archive)
    named = [name for name in archive.namelist() if name.startswith("files/")]
    assert [archive.read(name) for name in named] == [b"b", b"new"]


def test_a_license_and_a_person_are_said(monkeypatch):
    monkeypatch.setenv("YPROV_PERSON", "Ada")
    monkeypatch.setenv("YPROV_ORCID", "0000-0002-1825-0097")
    with ml.start_run("x", license="https://spdx.org/licenses/MIT") as run:
        pass
    found = graph(made(run))
    assert found["./"]["license"] == {"@id": "https://spdx.org/licenses/MIT"}
    assert found["https://orcid.org/0000-0002-1825-0097"]["name"] == "Ada"
    assert action(found)["actionStatus"].endswith("CompletedActionStatus")


def test_a_run_that_goes_on_has_no_end():
    run = ml.start_run("x")
    one = action(graph(made(run)))
    assert "endTime" not in one
    assert one["actionStatus"].endswith("ActiveActionStatus")
    ml.end_run()


names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)
values = st.none() | st.booleans() | st.integers() | st.floats() | names | st.lists(st.integers())


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names, st.lists(st.tuples(names, values, st.none() | names), max_size=5))
def test_any_names_and_values_make_a_crate(tmp_path_factory, name, found):
    with ml.start_run(name, store=tmp_path_factory.mktemp("s")) as run:
        for key, value, context in found:
            ml.log_param(key, value, context)
            ml.log_metric(key, 1.0, context)
    assert_whole(made(run))


# -- other readers -----------------------------------------------------------------


def test_ro_crate_py_reads_it(full, tmp_path):
    rocrate = pytest.importorskip("rocrate.rocrate")
    (tmp_path / "crate.zip").write_bytes(_bytes(full))
    found = rocrate.ROCrate(tmp_path / "crate.zip")
    assert found.root_dataset["conformsTo"].id == "https://w3id.org/ro/wfrun/process/0.5"
    (one,) = found.get_by_type("CreateAction")
    assert one["instrument"]["name"]
    assert found.get("metrics.csv")["encodingFormat"] == "text/csv"


def _bytes(run) -> bytes:
    file = io.BytesIO()
    crate.write(replay(run.folder), run.folder, file)
    return file.getvalue()


def test_it_is_a_process_run_crate(full, tmp_path, contexts):
    (tmp_path / "crate.zip").write_bytes(_bytes(full))
    assert validated(tmp_path / "crate.zip", contexts, PROCESS) == []


def test_what_the_profiles_only_recommend_is_known(full, tmp_path, contexts):
    (tmp_path / "crate.zip").write_bytes(_bytes(full))
    issues = validated(tmp_path / "crate.zip", contexts, PROCESS, "RECOMMENDED")
    # Where no git repository says so; and an id that anybody could look up is not known.
    unknown = ("have a url", "have a version", "be an absolute URI")
    own = [issue for issue in issues if issue.startswith("process-run-crate")]
    assert [issue for issue in own if not any(words in issue for words in unknown)] == []


def test_the_validator_finds_what_is_wrong(full, tmp_path, contexts):
    source = zipfile.ZipFile(io.BytesIO(_bytes(full)))
    broken = tmp_path / "broken.zip"
    with zipfile.ZipFile(broken, "w") as archive:
        for name in source.namelist():
            content = source.read(name)
            if name == "ro-crate-metadata.json":
                document = json.loads(content)
                for entity in document["@graph"]:
                    entity.pop("instrument", None)
                content = json.dumps(document).encode()
            archive.writestr(name, content)
    assert any("process-run-crate" in issue for issue in validated(broken, contexts, PROCESS))
