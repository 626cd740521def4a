"""Runs inside runs: one document over all of them."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.documents import Document
from tests.yprov4wms.export.nested_runs import (
    INMOST,
    INNER,
    OTHER,
    OUTER,
    exported,
    file,
    started,
    task,
    within,
    write,
)
from tests.yprov4wms.prov.runs import ml_run

from yprov4wms import environment, nested
from yprov4wms import events as e
from yprov4wms.events import File, Parent
from yprov4wms.export import document, openlineage
from yprov4wms.prov import constraints
from yprov4wms.prov.rules import check
from yprov4wms.recorder import Recorder
from yprov4wms.run import Run
from yprov4wms.settings import load
from yprov4wms.store import Store

MODES = ("flatten", "bundle", "link")


def prefixes(found: Document) -> dict[str, str]:
    """By run, the prefix of its namespace."""
    return {uri[9:-1]: prefix for prefix, uri in found.data["prefix"].items() if "uuid" in uri}


def derived(found: Document) -> set[tuple[str, str]]:
    """By paths, with the prefix of each."""
    return {
        (
            f"{r['prov:generatedEntity'].partition(':')[0]}:{found.label(r['prov:generatedEntity'])}",
            f"{r['prov:usedEntity'].partition(':')[0]}:{found.label(r['prov:usedEntity'])}",
        )
        for r in found.section("wasDerivedFrom").values()
    }


def pair(store: Path, declared: bool = True) -> None:
    """A task that reads data and leaves a model; the run inside it, whose task did that.

    declared: the outer task tells of its files.
    """
    data, model = file("data.csv", "data"), file("model.bin", "model")
    write(
        store,
        OUTER,
        0,
        started(),
        *task("train", [data] if declared else None, [model] if declared else None),
    )
    write(
        store,
        INNER,
        1,
        started("/w", within(store, OUTER, "train")),
        *task("fit", [file("data.csv", "data")], [file("model.bin", "model")]),
    )


@pytest.mark.parametrize("nest", MODES)
def test_a_nested_run_is_informed_by_the_attempt_that_started_it(tmp_path: Path, nest: str) -> None:
    pair(tmp_path)
    found = exported(Store(str(tmp_path)).run(OUTER), nest)
    attempt = "run:task_train.1"
    (inner,) = [
        r["prov:informed"]
        for r in found.links("wasInformedBy", informant=attempt)
        if r["yprov4wms:link"] == "nested"
    ]
    activity = found.section("activity")[inner]
    assert activity["yprov4wfs:level"] == "0"
    assert activity["prov:type"] == "yprov4wms:WorkflowRun"
    agents = {r["prov:agent"] for r in found.links("wasAssociatedWith", activity=inner)}
    assert "run:person" in agents
    (kept,) = [
        entity
        for entity in found.section("entity").values()
        if entity.get("yprov4wms:child_run") == INNER
    ]
    assert kept["yprov4wms:path"] == f"../{INNER}/prov.json"
    assert kept["prov:type"] == "prov:Bundle"


def test_records_of_a_nested_run_have_the_names_that_they_have_in_its_own_document(
    tmp_path: Path,
) -> None:
    pair(tmp_path, declared=False)
    store = Store(str(tmp_path))
    both = exported(store.run(OUTER)).ids()
    assert exported(store.run(INNER)).ids() < both
    assert len(set(prefixes(exported(store.run(OUTER))).values())) == 2


def test_a_file_that_both_runs_tell_of_is_one_entity(tmp_path: Path) -> None:
    pair(tmp_path)
    found = exported(Store(str(tmp_path)).run(OUTER))
    (model,) = found.files("model.bin")
    (data,) = found.files("data.csv")
    makers = found.links("wasGeneratedBy", entity=model)
    assert {r["prov:activity"]: "prov:time" in r for r in makers} == {
        "run:task_train.1": False,
        "run2:task_fit.1": True,
    }
    users = {r["prov:activity"] for r in found.links("used", entity=data)}
    assert users == {"run:task_train.1", "run2:task_fit.1"}


@pytest.mark.parametrize("nest", ["bundle", "link"])
def test_files_of_a_run_that_stands_apart_are_tied_to_the_attempts(
    tmp_path: Path, nest: str
) -> None:
    pair(tmp_path)
    found = exported(Store(str(tmp_path)).run(OUTER), nest)
    assert derived(found) == {
        ("run:model.bin", "run2:model.bin"),
        ("run2:data.csv", "run:data.csv"),
    }


def test_a_file_with_other_content_is_another_entity(tmp_path: Path) -> None:
    write(tmp_path, OUTER, 0, started(), *task("t", None, [file("out", "as it was left")]))
    parent = within(tmp_path, OUTER, "t")
    write(tmp_path, INNER, 1, started("/w", parent), *task("u", None, [file("out", "before")]))
    found = exported(Store(str(tmp_path)).run(OUTER))
    assert len(found.files("out")) == 2
    assert derived(found) == set()


def test_a_copy_of_what_the_nested_run_left_comes_from_it(tmp_path: Path) -> None:
    write(tmp_path, OUTER, 0, started(), *task("t", [file("in", "i")], [file("out", "o")]))
    parent = within(tmp_path, OUTER, "t")
    inner = task("u", [file("/s/staged", "i")], [file("/s/made", "o"), file("/s/empty", "")])
    write(tmp_path, INNER, 1, started("/s", parent), *inner)
    found = exported(Store(str(tmp_path)).run(OUTER))
    assert derived(found) == {("run:out", "run2:/s/made"), ("run2:/s/staged", "run:in")}


def test_members_of_a_directory_that_both_tell_of_are_one_each(tmp_path: Path) -> None:
    folder = File(
        path="results",
        type=e.FileType.DIRECTORY,
        sha256="d" * 64,
        members=[file("a.txt", "a"), file("b.txt", "b")],
    )
    write(tmp_path, OUTER, 0, started(), *task("t", None, [folder]))
    parent = within(tmp_path, OUTER, "t")
    inner = task("u", None, [file("a.txt", "a"), file("b.txt", "changed since")])
    write(tmp_path, INNER, 1, started("/w/results", parent), *inner)
    found = exported(Store(str(tmp_path)).run(OUTER))
    assert len(found.files("a.txt")) == 0
    assert len(found.files("b.txt")) == 1
    (member,) = found.files("results/a.txt")
    makers = {r["prov:activity"] for r in found.links("wasGeneratedBy", entity=member)}
    assert makers == {"run:task_t.1", "run2:task_u.1"}


@pytest.mark.parametrize("nest", MODES)
def test_runs_in_tasks_that_tell_of_no_files_are_tied_by_what_goes_from_one_to_the_other(
    tmp_path: Path, nest: str
) -> None:
    write(tmp_path, OUTER, 0, started("/elsewhere"), *task("first"), *task("second"))
    made = [file("model.bin", "model"), file("log", "first")]
    inner = started("/w", within(tmp_path, OUTER, "first"))
    write(tmp_path, INNER, 1, inner, *task("fit", None, made))
    other = started("/x", within(tmp_path, OUTER, "second"))
    used = [file("/w/model.bin", "model"), file("/w/log", "rotated")]
    write(tmp_path, OTHER, 2, other, *task("test", used))
    found = exported(Store(str(tmp_path)).run(OUTER), nest)
    (link,) = [r for r in found.section("wasDerivedFrom").values() if "yprov4wms:sha256" in r]
    assert found.label(link["prov:usedEntity"]).endswith("model.bin")
    assert link["prov:usedEntity"].startswith(prefixes(found)[INNER] + ":")
    assert link["prov:generatedEntity"].startswith(prefixes(found)[OTHER] + ":")


def three(store: Path) -> None:
    write(store, OUTER, 0, started(), *task("a", [file("config", "c")], [file("out", "o")]))
    inner = started("/w/deep", within(store, OUTER, "a"))
    write(store, INNER, 1, inner, *task("b", None, [file("/w/out", "o")]))
    inmost = started("/", within(store, INNER, "b"))
    last = task("c", [file("w/config", "c")], [file("w/out", "o")])
    write(store, INMOST, 2, inmost, *last)


def test_what_is_three_deep_knows_the_outermost_tasks_files(tmp_path: Path) -> None:
    three(tmp_path)
    found = exported(Store(str(tmp_path)).run(OUTER))
    (config,) = found.files("config")
    users = {r["prov:activity"] for r in found.links("used", entity=config)}
    assert users == {"run:task_a.1", f"{prefixes(found)[INMOST]}:task_c.1"}
    (out,) = found.files("out")
    makers = found.links("wasGeneratedBy", entity=out)
    assert [("prov:time" in r) for r in makers].count(True) == 1
    assert len(makers) == 3


@pytest.mark.parametrize("nest", ["bundle", "link"])
def test_what_is_three_deep_is_in_the_document_beside(tmp_path: Path, nest: str) -> None:
    three(tmp_path)
    store = Store(str(tmp_path))
    found = exported(store.run(OUTER), nest)
    (identifier, entity) = next(
        (name, entity)
        for name, entity in found.section("entity").items()
        if entity.get("yprov4wms:child_run") == INNER
    )
    if nest == "link":
        content = exported(store.run(INNER), nest).content
        assert entity["yprov4wms:sha256"] == hashlib.sha256(content).hexdigest()
        assert entity["yprov4wms:size"]["$"] == str(len(content))
    else:
        bundle = found.section("bundle")[identifier]
        runs = [a for a in bundle["activity"].values() if a["prov:type"] == "yprov4wms:WorkflowRun"]
        assert {a["yprov4wms:run_id"] for a in runs} == {INNER, INMOST}


def test_a_run_that_was_killed_is_told_of_as_far_as_it_went(tmp_path: Path) -> None:
    write(tmp_path, OUTER, 0, started(), *task("t"))
    parent = within(tmp_path, OUTER, "t")
    write(tmp_path, INNER, 1, started("/w", parent), task("u")[0], ended=False)
    found = exported(Store(str(tmp_path)).run(OUTER))
    assert found.section("activity")["run2:workflow_run"]["yprov4wfs:status"] == "running"
    assert found.section("activity")["run2:task_u.1"]["yprov4wfs:status"] == "running"


def test_a_run_of_an_attempt_that_is_not_known_is_the_runs(tmp_path: Path) -> None:
    write(tmp_path, OUTER, 0, started(), *task("t"))
    write(tmp_path, INNER, 1, started("/w", within(tmp_path, OUTER, "lost")), *task("u"))
    found = exported(Store(str(tmp_path)).run(OUTER))
    assert found.informants("run2:workflow_run", "nested") == {"run:workflow_run"}


def test_a_retry_has_the_runs_that_it_started_itself(tmp_path: Path) -> None:
    retried = [
        e.TaskStarted(task="t", attempt=1),
        e.TaskEnded(task="t", attempt=1, status=e.Status.FAILED),
        e.TaskStarted(task="t", attempt=2),
        e.TaskEnded(task="t", attempt=2, status=e.Status.COMPLETED),
    ]
    write(tmp_path, OUTER, 0, started(), *retried)
    for run, attempt in ((INNER, 1), (OTHER, 2)):
        parent = Parent(run=OUTER, task="t", attempt=attempt, store=str(tmp_path))
        write(tmp_path, run, attempt, started("/w", parent), *task("u"))
    found = exported(Store(str(tmp_path)).run(OUTER))
    for run, attempt in ((INNER, 1), (OTHER, 2)):
        activity = f"{prefixes(found)[run]}:workflow_run"
        assert found.informants(activity, "nested") == {f"run:task_t.{attempt}"}


def test_a_child_run_that_both_attempts_found_is_the_inner_ones(tmp_path: Path) -> None:
    content = ml_run("child")
    sha256 = hashlib.sha256(content).hexdigest()

    def child(of: str) -> e.Event:
        kept = File(path=f"children/{sha256}.json", size=len(content), sha256=sha256)
        return e.ChildAttached(task=of, attempt=1, child="child", type="x", document=kept)

    write(tmp_path, OUTER, 0, started(), task("t")[0], child("t"), task("t")[1])
    parent = within(tmp_path, OUTER, "t")
    write(tmp_path, INNER, 1, started("/w", parent), task("u")[0], child("u"), task("u")[1])
    for run in (OUTER, INNER):
        (tmp_path / run / "children").mkdir()
        (tmp_path / run / "children" / f"{sha256}.json").write_bytes(content)
    found = exported(Store(str(tmp_path)).run(OUTER))
    (document_entity,) = [
        name
        for name, entity in found.section("entity").items()
        if entity.get("yprov4wms:child_run") == "child"
    ]
    makers = {r["prov:activity"] for r in found.links("wasGeneratedBy", entity=document_entity)}
    assert makers == {"run2:task_u.1"}


def test_a_store_that_was_moved_still_has_the_nested_run(tmp_path: Path) -> None:
    pair(tmp_path / "before")
    shutil.move(tmp_path / "before", tmp_path / "after")
    found = exported(Store(str(tmp_path / "after")).run(OUTER))
    assert INNER in prefixes(found)


def test_a_nested_run_may_be_in_another_store(tmp_path: Path) -> None:
    write(tmp_path / "a", OUTER, 0, started(), *task("t"))
    parent = within(tmp_path / "a", OUTER, "t")
    write(tmp_path / "b", INNER, 1, started("/w", parent), *task("u"))
    found = exported(Store(str(tmp_path / "a")).run(OUTER))
    (entity,) = [e for e in found.section("entity").values() if "yprov4wms:child_run" in e]
    assert entity["yprov4wms:path"] == str(tmp_path / "b" / INNER / "prov.json")


def test_a_nested_run_that_is_gone_is_a_problem_and_the_document_is_valid(tmp_path: Path) -> None:
    pair(tmp_path)
    shutil.rmtree(tmp_path / INNER)
    folder = Store(str(tmp_path)).run(OUTER)
    run = document.export(folder)
    assert [problem for problem in run.problems if INNER in problem]
    assert check(Path(folder.document).read_bytes()) == []


@pytest.mark.parametrize(
    "note",
    [
        b"",
        b"[]",
        b'{"run":"../../etc","store":"/"}',
        b'{"run":7,"store":"/"}',
        json.dumps({"run": OTHER, "store": "/nowhere"}).encode(),
    ],
)
def test_a_note_that_leads_nowhere_does_no_harm(tmp_path: Path, note: bytes) -> None:
    pair(tmp_path)
    for name in ("x.json", f"{OTHER}.json", "..json"):
        (tmp_path / OUTER / "runs" / name).write_bytes(note)
    folder = Store(str(tmp_path)).run(OUTER)
    document.export(folder)
    content = Path(folder.document).read_bytes()
    assert check(content) == []
    assert INNER in prefixes(Document(content))


def test_a_run_that_another_ones_note_names_is_not_taken_for_its_own(tmp_path: Path) -> None:
    write(tmp_path, OUTER, 0, started(), *task("t"))
    write(tmp_path, OTHER, 1, started(), *task("u"))
    stranger = Store(str(tmp_path)).run(OTHER)
    nested.announce(within(tmp_path, OUTER, "t"), stranger)
    folder = Store(str(tmp_path)).run(OUTER)
    run = document.export(folder)
    assert [problem for problem in run.problems if "does not say so" in problem]
    assert OTHER not in prefixes(Document(Path(folder.document).read_bytes()))


def test_runs_that_are_noted_inside_one_another_end(tmp_path: Path) -> None:
    first = started("/w", within(tmp_path, INNER, "u"))
    write(tmp_path, OUTER, 0, first, *task("t"))
    write(tmp_path, INNER, 1, started("/w", within(tmp_path, OUTER, "t")), *task("u"))
    found = exported(Store(str(tmp_path)).run(OUTER))
    assert set(prefixes(found)) == {OUTER, INNER}


def test_the_same_journals_give_the_same_bytes(tmp_path: Path) -> None:
    three(tmp_path)
    folder = Store(str(tmp_path)).run(OUTER)
    assert exported(folder).content == exported(folder).content


def test_openlineage_events_of_nested_runs_name_the_attempt_as_parent(tmp_path: Path) -> None:
    three(tmp_path)
    folder = Store(str(tmp_path)).run(OUTER)
    run = document.read(folder)
    assert isinstance(run, Run)
    told = list(openlineage.lineage(run, folder))
    assert [event["eventTime"] for event in told] == sorted(e["eventTime"] for e in told)
    ids = {event["run"]["runId"] for event in told}
    parents = {
        event["run"]["facets"]["parent"]["run"]["runId"]
        for event in told
        if "parent" in event["run"]["facets"]
    }
    assert parents < ids
    roots = {
        event["run"]["facets"]["parent"]["root"]["run"]["runId"]
        for event in told
        if "parent" in event["run"]["facets"]
    }
    assert roots == {OUTER}


def test_show_names_the_runs_inside(tmp_path: Path) -> None:
    three(tmp_path)
    command = [sys.executable, "-m", "yprov4wms", "show", OUTER, "--store", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.index(INNER) < done.stdout.index(INMOST)


def test_runs_in_an_object_store_find_one_another_by_their_variables(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = "memory://nested/prov"

    def begun() -> Recorder:
        recorder = Recorder(load({"store": store}), "/w", pytest.fail)
        event = started("/w", environment.parent())
        recorder.emit(event)
        recorder.announce(event)
        recorder.emit(task("t")[0])
        return recorder

    outer = begun()
    for name, value in (
        *(("YPROV_RUN_ID", outer.run_id), ("YPROV_TASK_ID", "t")),
        *(("YPROV_ATTEMPT", "1"), ("YPROV_STORE", store)),
    ):
        monkeypatch.setenv(name, value)
    inner = begun()
    for recorder in (inner, outer):
        recorder.emit(task("t")[1])
        recorder.finish(e.Status.COMPLETED)
        recorder.close()
    document.export(outer.folder)
    found = Document(outer.folder.read("prov.json"))
    assert check(found.content) == []
    assert found.informants(f"{prefixes(found)[inner.run_id]}:workflow_run", "nested") == {
        "run:task_t.1"
    }


@pytest.mark.parametrize("nest", MODES)
def test_a_file_that_is_updated_in_its_place_does_not_come_from_itself(
    tmp_path: Path, nest: str
) -> None:
    write(tmp_path, OUTER, 0, started(), *task("t", None, [file("db")]))
    parent = within(tmp_path, OUTER, "t")
    update = task("u", [file("db", role=e.UPDATE)], [file("db", role=e.UPDATE)])
    write(tmp_path, INNER, 1, started("/w", parent), *update)
    folder = Store(str(tmp_path)).run(OUTER)
    exported(folder, nest)
    assert constraints.check(Path(folder.document).read_bytes()).problems == []


def test_a_linked_runs_checksum_is_its_documents_where_both_read_the_same_file(
    tmp_path: Path,
) -> None:
    pair(tmp_path)
    store = Store(str(tmp_path))
    found = exported(store.run(OUTER), "link")
    (entity,) = [
        entity
        for entity in found.section("entity").values()
        if entity.get("yprov4wms:child_run") == INNER
    ]
    content = exported(store.run(INNER), "link").content
    assert entity["yprov4wms:sha256"] == hashlib.sha256(content).hexdigest()


def test_what_stands_for_a_file_three_deep_is_named_as_in_the_bundle(tmp_path: Path) -> None:
    three(tmp_path)
    found = exported(Store(str(tmp_path)).run(OUTER), "bundle")
    (bundle,) = found.section("bundle").values()
    inside = Document(json.dumps(bundle).encode()).ids()
    stubs = {
        (str(found.data["prefix"][name.partition(":")[0]]) + name.partition(":")[2])
        for name in found.section("entity")
        if not name.startswith("run:")
    }
    assert stubs
    assert stubs <= inside


@pytest.mark.parametrize("nest", MODES)
def test_nothing_comes_from_what_is_made_later_in_the_same_attempt(
    tmp_path: Path, nest: str
) -> None:
    write(tmp_path, OUTER, 0, started("/x"), *task("t"))
    parent = within(tmp_path, OUTER, "t")
    write(tmp_path, INNER, 1, started("/w", parent), *task("u", [file("raw", "r")]))
    write(tmp_path, OTHER, 5, started("/w", parent), *task("v", None, [file("raw", "r")]))
    assert derived(exported(Store(str(tmp_path)).run(OUTER), nest)) == set()


def test_what_a_task_before_left_is_what_the_nested_run_used(tmp_path: Path) -> None:
    before = [e.TaskPlanned(task="a", step="a"), *task("a", None, [file("x", "x")])]
    after = [e.TaskPlanned(task="b", step="b", depends_on=["a"]), *task("b")]
    write(tmp_path, OUTER, 0, started(), *before, *after)
    parent = within(tmp_path, OUTER, "b")
    write(tmp_path, INNER, 1, started("/w", parent), *task("u", [file("x", "x")]))
    found = exported(Store(str(tmp_path)).run(OUTER))
    (entity,) = found.files("x")
    assert {r["prov:activity"] for r in found.links("used", entity=entity)} == {"run2:task_u.1"}


@pytest.mark.parametrize(
    ("outer", "inner"),
    [
        (file("out"), File(path="out", size=9)),
        (File(path="/a/out", size=7), File(path="out", size=7)),
    ],
    ids=["size", "place"],
)
def test_files_of_which_too_little_is_known_are_not_one(
    tmp_path: Path, outer: File, inner: File
) -> None:
    directory = "/w" if outer.path == "out" else ""
    write(tmp_path, OUTER, 0, started(directory), *task("t", None, [outer]))
    parent = within(tmp_path, OUTER, "t")
    write(tmp_path, INNER, 1, started(directory, parent), *task("u", None, [inner]))
    found = exported(Store(str(tmp_path)).run(OUTER))
    assert len(found.files(outer.path)) + len(found.files(inner.path)) >= 2


def test_of_two_runs_in_one_attempt_the_last_one_left_what_is_there(tmp_path: Path) -> None:
    write(tmp_path, OUTER, 0, started(), *task("t", None, [file("o")]))
    parent = within(tmp_path, OUTER, "t")
    for run, second in ((INNER, 1), (OTHER, 2)):
        write(tmp_path, run, second, started("/w", parent), *task("u", None, [file("o")]))
    found = exported(Store(str(tmp_path)).run(OUTER))
    version = next(name for name in found.files("o") if name.startswith("run:"))
    makers = {r["prov:activity"] for r in found.links("wasGeneratedBy", entity=version)}
    assert makers == {"run:task_t.1", f"{prefixes(found)[OTHER]}:task_u.1"}
