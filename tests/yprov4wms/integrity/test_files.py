"""Files on disk are compared with the last version that the run knew of each."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.yprov4wms.integrity.records import Tasks

from yprov4wms.export import document
from yprov4wms.integrity.files import By, Result
from yprov4wms.integrity.verify import Files, verify_document, verify_run
from yprov4wms.store import CHECKSUMS


def files_of(tasks: Tasks, directory: Path | None = None) -> Files:
    """By the run and, without the record, by its document: both say the same."""
    moved = None if directory is None else str(directory)
    found = verify_run(tasks.run, moved).files
    alone = verify_document(tasks.run.document, moved).files
    assert found is not None
    assert alone is not None
    assert named(found) == named(alone)
    return found


def named(files: Files) -> dict[str, list[str]]:
    kinds = ("changed", "gone", "removed", "skipped")
    return {kind: [one.path for one in getattr(files, kind)] for kind in kinds}


def one(results: list[Result]) -> Result:
    (found,) = results
    return found


@pytest.fixture
def tasks(tmp_path: Path) -> Tasks:
    (tmp_path / "in.txt").write_text("given\n")
    tasks = Tasks(tmp_path)
    tasks.make("first", "out/a.txt", "one\n", inputs=("in.txt",))
    tasks.make("second", "out/b.txt", "two\n", inputs=("out/a.txt",))
    return tasks


def test_nothing_has_changed(tasks: Tasks) -> None:
    tasks.end()
    assert files_of(tasks) == Files(same=3)


def rewritten(path: Path) -> None:
    """Other content of the same size and time."""
    status = path.stat()
    path.write_bytes(path.read_bytes().swapcase())
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (rewritten, "sha256"),
        (lambda path: path.write_text("longer than that\n"), "17 bytes, and not 4"),
        (lambda path: (path.unlink(), path.mkdir()), "is a directory"),
        (lambda path: (path.unlink(), path.symlink_to("a.txt")), "is a link to a.txt"),
        (lambda path: (path.unlink(), os.mkfifo(path)), "is a fifo"),
    ],
)
def test_a_changed_file_is_named_with_who_made_it(
    tasks: Tasks, change: Callable[[Path], object], message: str
) -> None:
    tasks.end()
    change(tasks.folder / "out/b.txt")
    found = files_of(tasks)
    assert (found.same, found.gone) == (2, [])
    changed = one(found.changed)
    assert (changed.path, changed.maker) == ("out/b.txt", "second")
    assert changed.message is not None
    assert message in changed.message


def test_an_input_that_is_gone_is_named(tasks: Tasks) -> None:
    tasks.end()
    (tasks.folder / "in.txt").unlink()
    assert [result.path for result in files_of(tasks).gone] == ["in.txt"]


def test_what_was_overwritten_within_the_run_is_no_change(tasks: Tasks) -> None:
    tasks.make("third", "out/a.txt", "another\n")
    tasks.make("fourth", "in.txt", "replaced\n")
    tasks.end()
    assert files_of(tasks) == Files(same=3)
    (tasks.folder / "out/a.txt").write_text("one\n")  # as it was once, and not at last
    assert [result.path for result in files_of(tasks).changed] == ["out/a.txt"]


def test_what_somebody_changed_between_two_uses_is_expected_as_it_was_used_last(
    tasks: Tasks,
) -> None:
    (tasks.folder / "in.txt").write_text("given anew\n")
    tasks.task("third", inputs=("in.txt",))
    tasks.end()
    assert files_of(tasks) == Files(same=3)


def test_links_are_compared_by_what_they_name_and_by_their_content(tasks: Tasks) -> None:
    link = tasks.folder / "link"
    tasks.task("third", "link", work=lambda: link.symlink_to("out/a.txt"))
    tasks.end()
    assert files_of(tasks) == Files(same=4)
    (tasks.folder / "copy.txt").write_text("one\n")
    link.unlink()
    link.symlink_to("copy.txt")
    told = one(files_of(tasks).changed).message
    assert told == "it was a link to out/a.txt, and is a link to copy.txt"
    link.unlink()
    link.symlink_to("nowhere")
    assert one(files_of(tasks).gone).path == "link"


def in_folder(tasks: Tasks, count: int = 3) -> Callable[[], object]:
    def work() -> None:
        for number in range(count):
            tasks.write(f"dir/sub/{number}.txt", f"{number}\n")()
        (tasks.folder / "dir" / ".snakemake_timestamp").touch()

    return work


def test_a_directory_is_compared_member_by_member(tasks: Tasks) -> None:
    tasks.task("third", "dir", work=in_folder(tasks))
    tasks.end()
    assert files_of(tasks) == Files(same=7, by={By.PRESENCE: 1})
    (tasks.folder / "dir/sub/1.txt").write_text("x\n")
    (tasks.folder / "dir/sub/2.txt").unlink()
    (tasks.folder / "dir/more.txt").write_text("x\n")
    found = files_of(tasks)
    assert named(found)["changed"] == ["dir", "dir/sub/1.txt"]
    assert found.changed[0].message == "files in it that nothing tells of: more.txt"
    assert named(found)["gone"] == ["dir/sub/2.txt"]
    shutil.rmtree(tasks.folder / "dir")
    found = files_of(tasks)
    assert {r.message for r in found.gone if r.path != "dir"} == {"with its directory"}
    assert len(found.gone) == 4


def test_what_a_later_task_put_in_a_directory_is_known(tasks: Tasks) -> None:
    tasks.task("third", "dir", work=in_folder(tasks))
    tasks.make("fourth", "dir/later.txt", "later\n")
    tasks.end()
    assert named(files_of(tasks))["changed"] == []


def test_a_directory_with_more_members_than_are_listed_is_compared_by_their_number(
    tasks: Tasks,
) -> None:
    tasks.task("third", "dir", work=in_folder(tasks, 1010))
    tasks.end()
    assert files_of(tasks).changed == []
    tasks.write("dir/one_more.txt", "")()
    assert one(files_of(tasks).changed).message == "1011 files in it, and not 1010"


def test_what_the_engine_removes_is_not_missed(tasks: Tasks) -> None:
    tasks.make("third", "passing.txt", "x\n", temporary=True)
    tasks.end()
    assert files_of(tasks).removed == []
    (tasks.folder / "passing.txt").unlink()
    found = files_of(tasks)
    assert found.gone == []
    assert one(found.removed).message == "temporary: the engine removes it"
    tasks.write("passing.txt", "other\n")()
    assert one(files_of(tasks).changed).path == "passing.txt"


def test_without_checksums_size_and_time_count_and_that_is_said(tmp_path: Path) -> None:
    tasks = Tasks(tmp_path, hash="none")
    tasks.make("first", "a.txt", "one\n")
    tasks.end()
    assert verify_run(tasks.run).files == Files(same=1, by={By.SIZE_AND_TIME: 1})
    # The document has no times.
    assert verify_document(tasks.run.document).files == Files(same=1, by={By.SIZE: 1})
    (tmp_path / "a.txt").write_text("two\n")
    os.utime(tmp_path / "a.txt", ns=(1, 1))
    found = verify_run(tasks.run).files
    assert found is not None
    assert one(found.changed).message == "no checksum is known, and its time is another"


def test_a_tree_that_has_moved_is_found_by_its_new_place(tasks: Tasks, tmp_path: Path) -> None:
    away = tmp_path / "away" / "data.txt"
    away.parent.mkdir()
    tasks.task("third", inputs=(str(away.parent / "data.txt"),))
    tasks.end()
    there = tmp_path.with_name(f"{tmp_path.name}-moved")
    shutil.copytree(tmp_path, there)
    store = there / ".yprov" / tasks.run.run_id
    for path in (tmp_path / "out").iterdir():
        path.unlink()
    assert len(files_of(tasks).gone) == 2
    moved = verify_document(str(store / "prov.json"), str(there))
    assert moved.same


@pytest.mark.parametrize("nest", ["flatten", "bundle"])
def test_files_of_runs_inside_start_from_their_own_directory(tmp_path: Path, nest: str) -> None:
    outer = Tasks(tmp_path / "outer", str(tmp_path / "store"))

    def work() -> None:
        inner = Tasks(tmp_path / "inner", str(tmp_path / "store"), around=outer)
        inner.make("first", "a.txt", "inside\n")
        inner.end()

    outer.task("outer", work=work)
    outer.make("second", "a.txt", "outside\n")
    outer.end(export=False)
    document.export(outer.run, nest=nest)
    found = verify_run(outer.run)
    assert found.same, found
    assert found.record is not None
    assert found.record.nest == nest
    assert verify_document(outer.run.document).files == Files(same=2)
    (tmp_path / "inner" / "a.txt").unlink()
    assert one(files_of(outer).gone).path == "a.txt"


def test_the_cache_of_checksums_is_trusted_only_if_asked_to(tmp_path: Path) -> None:
    tasks = Tasks(tmp_path)
    path = tmp_path / "big.bin"
    tasks.task("first", "big.bin", work=lambda: path.write_bytes(b"a" * 2_000_000))
    tasks.end()
    # As if somebody had told the cache of another content.
    status = path.stat()
    cache = tmp_path / ".yprov" / CHECKSUMS
    from yprov4wms.checksum_cache import ChecksumCache

    ChecksumCache(str(cache)).put(status, "0" * 64)
    assert verify_run(tasks.run).same
    assert not verify_run(tasks.run, cache=str(cache)).same


def test_names_that_are_no_utf8_and_urls(tmp_path: Path) -> None:
    tasks = Tasks(tmp_path)
    odd = os.fsencode(tmp_path) + b"/odd-\xff.txt"
    with open(odd, "w") as file:  # noqa: PTH123
        file.write("x\n")
    percent = tmp_path / "50%FF.txt"
    percent.write_text("y\n")
    tasks.task("first", os.fsdecode(odd), "50%FF.txt", inputs=("https://example.org/x",))
    tasks.end()
    found = files_of(tasks)
    assert found.same == 2
    assert one(found.skipped).message == "lies at a URL"
    os.unlink(odd)  # noqa: PTH108
    assert len(files_of(tasks).gone) == 1


def test_what_cannot_be_read_is_not_called_the_same(tasks: Tasks) -> None:
    if os.geteuid() == 0:
        pytest.skip("root reads everything")
    tasks.end()
    (tasks.folder / "out/b.txt").chmod(0)
    found = files_of(tasks)
    assert [result.path for result in found.skipped] == ["out/b.txt"]


@pytest.mark.parametrize("level", ["2", "1"], ids=["ml-run", "task"])
def test_what_was_staged_for_an_ml_run_is_not_missed(tmp_path: Path, level: str) -> None:
    sha256 = hashlib.sha256(b"data").hexdigest()
    (tmp_path / "data").write_bytes(b"data")

    def entity(path: Path) -> dict[str, str]:
        return {"yprov4wms:path": str(path), "yprov4wms:sha256": sha256}

    content = {
        "entity": {"run:a": entity(tmp_path / "data"), "ml1:b": entity(tmp_path / "stg" / "data")},
        "activity": {"ml1:run": {"yprov4wfs:level": level}},
        "used": {"_:u": {"prov:activity": "ml1:run", "prov:entity": "ml1:b"}},
        "wasDerivedFrom": {"_:d": {"prov:generatedEntity": "ml1:b", "prov:usedEntity": "run:a"}},
    }
    place = tmp_path / "prov.json"
    place.write_text(json.dumps(content))
    found = verify_document(str(place)).files
    assert found is not None
    assert (len(found.removed), len(found.gone)) == ((1, 0) if level == "2" else (0, 1))
