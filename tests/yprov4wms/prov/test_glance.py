"""A document that was checked when it was kept is put into the workflow's without another look."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from tests.yprov4wms.prov.anything import CHILD, documents, likely, patient
from tests.yprov4wms.prov.runs import folded, lines_of, ml_run, started
from tests.yprov4wms.prov.test_nesting import BARE, FIXTURES, NESTS, file

from yprov4wms import events as e
from yprov4wms.events import File, Status
from yprov4wms.export.document import export
from yprov4wms.ml import discover, readers
from yprov4wms.prov import foreign, glance, rules
from yprov4wms.prov.document import WorkflowDocument
from yprov4wms.store import RunFolder


def written(content: bytes, nest: str, checked: int | None, **document: Any) -> bytes:
    """A run of one task with one child, whose event says that it was checked, or not."""
    told = e.ChildAttached(
        task="train",
        attempt=1,
        child=CHILD,
        type="prov",
        document=File(
            path="children/1.json", **{"sha256": hashlib.sha256(content).hexdigest(), **document}
        ),
        checked=checked,
    )
    run = folded(
        [
            started(),
            e.TaskStarted(task="train", attempt=1, inputs=[file("data.csv")]),
            told,
            e.TaskEnded(
                task="train",
                attempt=1,
                status=Status.COMPLETED,
                outputs=[file("model.pt", "2")],
            ),
            e.RunEnded(status=Status.COMPLETED),
        ]
    )
    spool = io.BytesIO()
    WorkflowDocument(run, lambda child: content, nest).build().write_to(spool)
    return spool.getvalue()


def legal() -> list[bytes]:
    found = [ml_run(CHILD), ml_run(CHILD, [file("/w/data.csv")], [file("/w/model.pt", "2")])]
    for path in sorted(FIXTURES.glob("yprov4ml-*")):
        found += [child.content for child in readers.read(path)]
    return found


@pytest.mark.parametrize("nest", NESTS)
def test_with_and_without_the_check_the_document_is_the_same(nest: str) -> None:
    for content in legal():
        assert rules.kept(content) == rules.VERSION
        assert written(content, nest, rules.VERSION) == written(content, nest, None)


@patient
@given(documents | likely)
def test_of_what_keeps_the_rules_the_glance_sees_what_it_is_for(child: dict[str, Any]) -> None:
    content = msgspec.json.encode(child)
    if rules.kept(content) is None:
        return
    whole, seen = foreign.read(content), glance.read(content)
    assert seen.prefixes == whole.prefixes
    assert seen.bundles == whole.bundles
    assert seen.elements["activity"] == whole.elements["activity"]
    assert list(seen.elements["entity"]) == [
        name for name, v in whole.elements["entity"].items() if "yprov4wms:path" in v
    ]


@pytest.mark.parametrize("nest", NESTS)
@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{", b'{"entity":[]}', b'{"activity":{"a":1}}', b"\xff"]
)
def test_an_event_that_is_wrong_about_the_check_breaks_nothing(nest: str, content: bytes) -> None:
    found = written(content, nest, rules.VERSION)
    assert rules.check(found) == []
    assert "bundle" not in json.loads(found)


@pytest.mark.parametrize(
    ("checked", "sha256"), [(None, "0"), (rules.VERSION - 1, "0"), (rules.VERSION, None)]
)
def test_a_check_by_other_rules_or_of_other_bytes_does_not_count(
    checked: int | None, sha256: str | None
) -> None:
    broken = msgspec.json.encode(BARE)  # no label, no type
    found = json.loads(written(broken, "bundle", checked, sha256=sha256))
    assert "bundle" not in found
    (document,) = [v for v in found["entity"].values() if v["prov:type"] == "prov:Bundle"]
    assert "not put in a bundle" in document["yprov4wms:note"]


def kept(folder: Path, content: bytes) -> tuple[RunFolder, e.ChildAttached]:
    run = RunFolder(str(folder / "run"))
    (folder / "run/events").mkdir(parents=True)
    child = readers.ChildRun(dialect="prov", id=CHILD, content=content, sources=("/w/x.json",))
    return run, discover.attached(run, child, "train", 1, "/w", None)


def test_a_document_is_checked_when_it_is_collected(tmp_path: Path) -> None:
    assert kept(tmp_path / "a", ml_run(CHILD))[1].checked == rules.VERSION
    assert kept(tmp_path / "b", msgspec.json.encode(BARE))[1].checked is None


@pytest.mark.parametrize("nest", NESTS)
def test_a_document_that_somebody_changed_in_the_store_is_not_taken(
    nest: str, tmp_path: Path
) -> None:
    folder, told = kept(tmp_path, ml_run(CHILD))
    place = Path(folder.location, told.document.path)
    place.write_bytes(place.read_bytes().replace(b"digits", b"figits"))
    lines = lines_of([started(), told, e.RunEnded(status=Status.COMPLETED)])
    Path(folder.events, "h-1-1.jsonl").write_bytes(b"".join(lines))
    export(folder, nest=nest)
    content = Path(folder.document).read_bytes()
    assert rules.check(content) == []
    assert b"is not the one that was collected" in content
    assert b"figits" not in content
