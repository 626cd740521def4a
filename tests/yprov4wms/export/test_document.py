"""Documents from a store: child documents as they were collected, files whole or not at all."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
import zstandard
from tests.yprov4wms.prov.runs import ml_run, started

from yprov4wms import events as e
from yprov4wms.events import File, Status
from yprov4wms.export import document
from yprov4wms.prov.rules import check
from yprov4wms.store import RunFolder, StoreError

RUN = "0198f3a0-0000-7000-8000-000000000000"
CHILD = "0198f3a1-0000-7000-8000-000000000000"


def journal(folder: Path, *told: e.Event, run: str = RUN) -> None:
    (folder / "events").mkdir(parents=True)
    with (folder / "events" / "h-1-1.jsonl").open("wb") as file:
        for seq, event in enumerate(told, 1):
            event.v, event.writer, event.seq, event.run = e.VERSION, "h-1-1", seq, run
            event.time = f"2026-03-01T10:00:00.{seq:06d}+00:00"
            file.write(msgspec.json.encode(event) + b"\n")


def run_with_child(store: Path, path: str | None = None, **kept: Any) -> RunFolder:
    """A run of one task with one child run, whose document is in the store."""
    content = ml_run(CHILD)
    sha256 = hashlib.sha256(content).hexdigest()
    child = File(path=path or f"children/{sha256}.json", size=len(content), sha256=sha256)
    told: list[e.Event] = [
        started(),
        e.TaskStarted(task="train", attempt=1),
        e.ChildAttached(task="train", attempt=1, child=CHILD, type="yprov4wms-ml", document=child),
        e.TaskEnded(task="train", attempt=1, status=Status.COMPLETED),
        e.RunEnded(status=Status.COMPLETED),
    ]
    folder = store / RUN
    journal(folder, *told)
    (folder / "children").mkdir()
    (folder / "children" / f"{sha256}.json").write_bytes(content)
    return RunFolder(str(folder))


def exported(folder: RunFolder, nest: str = "flatten") -> dict[str, Any]:
    document.export(folder, nest=nest)
    content = Path(folder.document).read_bytes()
    assert check(content) == []
    found: dict[str, Any] = json.loads(content)
    return found


def note(found: dict[str, Any]) -> str | None:
    (entity,) = [v for v in found["entity"].values() if v["prov:type"] == "prov:Bundle"]
    said: str | None = entity.get("yprov4wms:note")
    return said


def test_ml_runs_where_a_container_left_them_are_taken_in(tmp_path: Path) -> None:
    """Of a task that nobody saw the end of; links there may lead anywhere and are left out."""
    spool = tmp_path / "spool"
    start = e.TaskStarted(task="train", attempt=1, spool=str(spool))
    journal(tmp_path / "store" / RUN, started(), start)
    left = spool / RUN / "ml" / "train-1" / CHILD
    journal(left, e.MLRunStarted(experiment="digits"), run=CHILD)
    (tmp_path / "secret").write_text("x")
    (left / "link").symlink_to(tmp_path / "secret")
    (left / "folder").symlink_to(tmp_path)
    for _ in range(2):  # the second finds it taken in
        found = exported(RunFolder(str(tmp_path / "store" / RUN)))
        assert len([a for a in found["activity"].values() if a["yprov4wfs:level"] == "2"]) == 1
    taken = tmp_path / "store" / RUN / "ml" / "train-1" / CHILD
    assert (taken / "events").is_dir()
    assert not (taken / "link").exists()
    assert not (taken / "folder").exists()


def test_a_spool_that_is_gone_is_nothing(tmp_path: Path) -> None:
    start = e.TaskStarted(task="train", attempt=1, spool=str(tmp_path / "gone"))
    journal(tmp_path / RUN, started(), start)
    assert "run:task_train.1" in exported(RunFolder(str(tmp_path / RUN)))["activity"]


@pytest.mark.parametrize("nest", ["flatten", "bundle", "link"])
def test_a_collected_child_document_is_nested(tmp_path: Path, nest: str) -> None:
    found = exported(run_with_child(tmp_path), nest)
    assert note(found) is None
    assert len([a for a in found["activity"].values() if a["yprov4wfs:level"] == "2"]) == 1


def test_a_child_document_that_was_changed_is_linked_with_the_reason(tmp_path: Path) -> None:
    folder = run_with_child(tmp_path)
    (kept,) = (tmp_path / RUN / "children").iterdir()
    kept.write_bytes(kept.read_bytes().replace(b"digits", b"letters"))
    assert "not the one that was collected" in str(note(exported(folder)))
    assert [content for _, content in document.children(document.replay(folder), folder)] == [None]


def test_a_child_document_that_is_gone_is_linked_with_the_reason(tmp_path: Path) -> None:
    folder = run_with_child(tmp_path)
    (kept,) = (tmp_path / RUN / "children").iterdir()
    kept.unlink()
    assert "gone from the store" in str(note(exported(folder)))


@pytest.mark.parametrize("path", ["/etc/hostname", "../../outside.json", "children/../../x"])
def test_a_journal_cannot_lead_out_of_its_run(tmp_path: Path, path: str) -> None:
    (tmp_path / "outside.json").write_bytes(ml_run(CHILD))
    folder = run_with_child(tmp_path, path)
    assert "leads out of the run" in str(note(exported(folder)))


def test_a_suffix_compresses_and_each_form_holds_the_same(tmp_path: Path) -> None:
    folder = run_with_child(tmp_path)
    for name in ("a.json", "a.json.gz", "a.json.zst", "again.json.gz", "again.json.zst"):
        document.export(folder, str(tmp_path / name))
    plain, packed, frozen, packed_again, frozen_again = (
        (tmp_path / name).read_bytes()
        for name in ("a.json", "a.json.gz", "a.json.zst", "again.json.gz", "again.json.zst")
    )
    assert gzip.decompress(packed) == plain
    assert zstandard.ZstdDecompressor().decompressobj().decompress(frozen) == plain
    assert (packed, frozen) == (packed_again, frozen_again)


def test_an_export_that_is_stopped_midway_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = run_with_child(tmp_path)
    document.export(folder)
    before = Path(folder.document).read_bytes()

    def stopped(writer: object, file: Any, name: str) -> None:
        file.write(b"{")
        raise KeyboardInterrupt

    monkeypatch.setattr(document, "write_document", stopped)
    with pytest.raises(KeyboardInterrupt):
        document.export(folder)
    assert Path(folder.document).read_bytes() == before
    assert sorted(p.name for p in (tmp_path / RUN).iterdir()) == [
        *("children", "events", "manifest.json", "prov.json"),
    ]


def test_a_folder_without_a_run_is_an_error(tmp_path: Path) -> None:
    (tmp_path / RUN / "events").mkdir(parents=True)
    with pytest.raises(StoreError, match="not a run"):
        document.export(RunFolder(str(tmp_path / RUN)))
    assert not (tmp_path / RUN / "prov.json").exists()
