"""Several runs as one document, tied by equal data."""

from __future__ import annotations

import hashlib
import itertools
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
    file,
    started,
    task,
    within,
    write,
)
from tests.yprov4wms.prov.runs import ml_run

from yprov4wms import events as e
from yprov4wms.events import File
from yprov4wms.prov.rules import check


def run(*arguments: str, store: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "yprov4wms", "export", *arguments, "--store", str(store)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def joined(store: Path, *arguments: str) -> Document:
    target = store / "out.json"
    done = run(*arguments, "--output", str(target), store=store)
    assert done.returncode == 0, done.stderr
    content = target.read_bytes()
    assert check(content) == []
    return Document(content)


def ties(found: Document) -> set[tuple[str, str]]:
    """By runs: who used what whom had made."""
    uris = found.data["prefix"]
    return {
        (
            str(uris[r["prov:generatedEntity"].partition(":")[0]])[9:-1],
            str(uris[r["prov:usedEntity"].partition(":")[0]])[9:-1],
        )
        for r in found.section("wasDerivedFrom").values()
        if "yprov4wms:sha256" in r
    }


def chain(store: Path) -> None:
    """INNER uses what OUTER made, OTHER what INNER made; INMOST has to do with nothing."""
    write(store, OUTER, 0, started("/a"), *task("t", [file("raw", "r")], [file("x", "x")]))
    write(store, INNER, 1, started("/b"), *task("t", [file("/c/x", "x")], [file("y", "y")]))
    write(store, INMOST, 2, started("/d"), *task("t", [file("raw", "r")], [file("z", "z")]))
    write(store, OTHER, 3, started("/e"), *task("t", [file("/f/y", "y")], [file("end", "e")]))


def test_runs_are_tied_where_one_used_what_another_had_made(tmp_path: Path) -> None:
    chain(tmp_path)
    found = joined(tmp_path, OUTER, INNER, OTHER)
    assert ties(found) == {(INNER, OUTER), (OTHER, INNER)}


def test_the_order_of_the_runs_changes_nothing(tmp_path: Path) -> None:
    chain(tmp_path)
    orders = itertools.permutations([OUTER, INNER, INMOST])
    assert len({joined(tmp_path, *order).content for order in orders}) == 1


@pytest.mark.parametrize("nest", ["flatten", "bundle", "link"])
def test_runs_upstream_are_found_at_any_distance_and_no_others(tmp_path: Path, nest: str) -> None:
    chain(tmp_path)
    found = joined(tmp_path, OTHER, "--upstream", "--nest", nest)
    assert ties(found) == {(INNER, OUTER), (OTHER, INNER)}
    assert INMOST not in found.content.decode()


def test_of_runs_that_made_the_same_the_last_one_before_counts(tmp_path: Path) -> None:
    for second, name in ((0, OUTER), (1, INNER), (5, INMOST)):
        write(tmp_path, name, second, started(f"/{second}"), *task("t", None, [file("x", "x")]))
    write(tmp_path, OTHER, 3, started("/e"), *task("t", [file("/f/x", "x")]))
    assert ties(joined(tmp_path, OTHER, "--upstream")) == {(OTHER, INNER)}


def test_of_runs_that_made_the_same_the_one_at_the_same_path_counts(tmp_path: Path) -> None:
    for second, name in ((0, OUTER), (1, INNER)):
        write(tmp_path, name, second, started(f"/{second}"), *task("t", None, [file("x", "x")]))
    write(tmp_path, OTHER, 3, started("/e"), *task("t", [file("/0/x", "x")]))
    assert ties(joined(tmp_path, OTHER, "--upstream")) == {(OTHER, OUTER)}


def test_what_is_empty_unknown_or_made_later_ties_nothing(tmp_path: Path) -> None:
    made = [file("empty", ""), file("unknown"), file("late", "l")]
    used = [file("/a/empty", ""), file("/a/unknown"), file("/a/late", "l")]
    write(tmp_path, OTHER, 0, started("/b"), *task("t", used))
    write(tmp_path, OUTER, 5, started("/a"), *task("t", None, made))
    assert ties(joined(tmp_path, OTHER, OUTER)) == set()
    found = joined(tmp_path, OTHER, "--upstream")
    assert OUTER not in found.content.decode()


def test_a_run_inside_another_brings_that_one_with_it(tmp_path: Path) -> None:
    write(tmp_path, OUTER, 0, started("/a"), *task("t"))
    inner = started("/a", within(tmp_path, OUTER, "t"))
    write(tmp_path, INNER, 1, inner, *task("u", None, [file("x", "x")]))
    write(tmp_path, OTHER, 3, started("/e"), *task("t", [file("/a/x", "x")]))
    found = joined(tmp_path, OTHER, "--upstream")
    assert ties(found) == {(OTHER, INNER)}
    uris = {uri: prefix for prefix, uri in found.data["prefix"].items()}
    activity = f"{uris[f'urn:uuid:{INNER}#']}:workflow_run"
    (outer,) = found.informants(activity, "nested")
    assert outer.startswith(str(uris[f"urn:uuid:{OUTER}#"]) + ":")


def test_a_run_that_is_named_beside_the_one_around_it_is_in_it(tmp_path: Path) -> None:
    write(tmp_path, OUTER, 0, started("/a"), *task("t"))
    write(tmp_path, INNER, 1, started("/a", within(tmp_path, OUTER, "t")), *task("u"))
    (tmp_path / OUTER / "runs" / f"{INNER}.json").unlink()
    for order in ((OUTER, INNER), (INNER, OUTER)):
        found = joined(tmp_path, *order)
        assert found.informants("run2:workflow_run", "nested") == {"run:task_t.1"}


def test_a_run_that_is_named_twice_is_there_once(tmp_path: Path) -> None:
    chain(tmp_path)
    found = joined(tmp_path, OUTER, OUTER)
    assert [p for p in found.data["prefix"] if p.startswith("run")] == ["run"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((OUTER, INNER), "--output"),
        ((OUTER, "--upstream"), "--output"),
        ((OUTER, INNER, "--format", "mermaid", "-o", "x"), "of one run"),
        ((OUTER, "nothing", "-o", "x"), "no run 'nothing'"),
    ],
)
def test_what_cannot_be_joined_is_said_and_nothing_is_written(
    tmp_path: Path, arguments: tuple[str, ...], told: str
) -> None:
    chain(tmp_path)
    before = sorted(path for path in tmp_path.rglob("*"))
    done = run(*arguments, store=tmp_path)
    assert done.returncode in (1, 2)
    assert told in done.stderr
    assert sorted(path for path in tmp_path.rglob("*")) == before


def test_a_nested_run_whose_outer_run_made_its_data_is_there_once(tmp_path: Path) -> None:
    before = task("a", None, [file("x", "x")])
    write(tmp_path, OUTER, 0, started("/a"), *before, *task("t"))
    inner = started("/b", within(tmp_path, OUTER, "t"))
    write(tmp_path, INNER, 1, inner, *task("u", [file("/a/x", "x")]))
    found = joined(tmp_path, INNER, "--upstream")
    assert found.informants("run2:workflow_run", "nested") == {"run:task_t.1"}


def test_runs_that_are_noted_inside_one_another_are_joined(tmp_path: Path) -> None:
    write(tmp_path, OUTER, 0, started("/a", within(tmp_path, INNER, "u")), *task("t"))
    write(tmp_path, INNER, 1, started("/a", within(tmp_path, OUTER, "t")), *task("u"))
    found = joined(tmp_path, INNER, OUTER)
    assert {p for p in found.data["prefix"] if p.startswith("run")} == {"run", "run2"}


@pytest.mark.parametrize("named", [True, False])
def test_what_a_nested_run_made_counts_by_its_own_time(tmp_path: Path, named: bool) -> None:
    write(tmp_path, OUTER, 0, started("/x"), task("t")[0], ended=False)
    inner = started("/a", within(tmp_path, OUTER, "t"))
    write(tmp_path, INNER, 1, inner, *task("u", None, [file("x", "x")]))
    write(tmp_path, OTHER, 3, started("/e"), *task("t", [file("/f/x", "x")]))
    found = joined(tmp_path, OTHER, *([OUTER] if named else ["--upstream"]))
    assert ties(found) == {(OTHER, INNER)}


def test_a_nested_run_that_left_no_note_is_found_upstream(tmp_path: Path) -> None:
    write(tmp_path, OUTER, 0, started("/x"), *task("t"))
    inner = started("/a", within(tmp_path, OUTER, "t"))
    write(tmp_path, INNER, 1, inner, *task("u", None, [file("x", "x")]))
    (tmp_path / OUTER / "runs" / f"{INNER}.json").unlink()
    write(tmp_path, OTHER, 3, started("/e"), *task("t", [file("/f/x", "x")]))
    assert ties(joined(tmp_path, OTHER, "--upstream")) == {(OTHER, INNER)}


def test_what_only_an_ml_run_tells_of_is_found_upstream(tmp_path: Path) -> None:
    content = ml_run("child", outputs=[file("/a/model", "m")])
    digest = hashlib.sha256(content).hexdigest()
    kept = File(path=f"children/{digest}.json", size=len(content), sha256=digest)
    child = e.ChildAttached(task="t", attempt=1, child="child", type="x", document=kept)
    write(tmp_path, OUTER, 0, started("/a"), task("t")[0], child, task("t")[1])
    (tmp_path / OUTER / "children").mkdir()
    (tmp_path / OUTER / "children" / f"{digest}.json").write_bytes(content)
    write(tmp_path, OTHER, 3, started("/e"), *task("t", [file("/f/m", "m")]))
    found = joined(tmp_path, OTHER, "--upstream")
    assert [r for r in found.section("wasDerivedFrom").values() if "yprov4wms:sha256" in r]
