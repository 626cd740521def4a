"""Data that are copied into a crate: what is copied, what is not, and what is said of it."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests import crates
from tests.crates import by_name, ends, graph
from tests.yprov4wms.export.rocrate.journals import crate_of, stored
from tests.yprov4wms.export.rocrate.test_run import file, ran, started
from tests.yprov4wms.prov.runs import sha

from yprov4wms import events as e
from yprov4wms.events import File, FileType, Status
from yprov4wms.export.rocrate.copying import inside, unchanged
from yprov4wms.export.rocrate.data import Copies
from yprov4wms.export.rocrate.run import Options


def with_data(folder: Path, *told: e.Event, most: int = 1 << 30) -> tuple[Path, Copies]:
    """A crate with the data of a run that is told of."""
    options = Options(copies=Copies(wanted=True, most=most))
    ended = e.RunEnded(status=Status.COMPLETED)
    path = crate_of(folder, stored(folder, [started(folder), *told, ended]), options)
    assert crates.faults(path) == []
    return path, options.copies


def put(folder: Path, *names: str) -> list[File]:
    """Files that hold their own names, as a task left them."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return [file(name, name) for name in names]


def test_what_is_still_the_same_is_in_the_crate(tmp_path: Path) -> None:
    made = put(tmp_path, "results/a.txt", "é &.txt")
    path, copies = with_data(tmp_path, *ran("a", outputs=made))
    content = crates.files(path)
    assert content["data/results/a.txt"] == b"results/a.txt"
    assert content["data/é &.txt"] == "é &.txt".encode()
    told = graph(path)["data/results/a.txt"]
    assert (told["alternateName"], told["sha256"]) == ("results/a.txt", sha("results/a.txt"))
    assert told in ends(graph(path), by_name(graph(path), "CreateAction", "a"), "result")
    assert copies.changed == copies.gone == copies.unknown == copies.too_large == 0


def test_what_has_changed_or_gone_is_only_named(tmp_path: Path) -> None:
    made = [*put(tmp_path, "same", "size", "bytes", "gone", "pipe"), File("unknown", size=1)]
    (tmp_path / "size").write_text("longer than it was")
    (tmp_path / "bytes").write_text("BYTES")
    (tmp_path / "gone").unlink()
    (tmp_path / "pipe").unlink()
    os.mkfifo(tmp_path / "pipe")
    path, copies = with_data(tmp_path, *ran("a", outputs=made))
    there = {name for name in crates.files(path) if name.startswith("data/")}
    assert there == {"data/same"}
    assert (copies.changed, copies.gone, copies.unknown) == (3, 1, 1)
    assert graph(path)[f"file://{tmp_path}/bytes"]["sha256"] == sha("bytes")


def test_what_an_earlier_attempt_left_is_not_what_lies_there_now(tmp_path: Path) -> None:
    (now,) = put(tmp_path, "x")
    before = file("x", "before")
    told = [*ran("a", status=Status.FAILED, outputs=[before]), *ran("a", 2, outputs=[now])]
    path, copies = with_data(tmp_path, *told)
    found = graph(path)
    (first,) = ends(found, by_name(found, "CreateAction", "a"), "result")
    assert first["@id"] == f"file://{tmp_path}/x#{sha('before')[:16]}"
    assert found["data/x"]["sha256"] == sha("x")
    assert copies.changed == 0


def test_no_more_is_copied_than_is_wanted(tmp_path: Path) -> None:
    made = put(tmp_path, "aaaaaa", "bbbbbbbb", "cc")
    path, copies = with_data(tmp_path, *ran("a", outputs=made), most=9)
    there = {name for name in crates.files(path) if name.startswith("data/")}
    assert there == {"data/aaaaaa", "data/cc"}
    assert (copies.copied, copies.too_large) == (8, 1)


def test_a_directory_that_is_whole_is_one_in_the_crate(tmp_path: Path) -> None:
    put(tmp_path, "d/x", "d/deep/y", "half/x", "half/y")
    whole = File("d", FileType.DIRECTORY, members=[file("deep/y", "d/deep/y"), file("x", "d/x")])
    half = File("half", FileType.DIRECTORY, members=[file("x", "half/x"), file("y", "other")])
    path, _ = with_data(tmp_path, *ran("a", outputs=[whole, half]))
    found = graph(path)
    assert {p["@id"] for p in ends(found, found["data/d/"], "hasPart")} == {
        "data/d/x", "data/d/deep/y",
    }  # fmt: skip
    assert {p["@id"] for p in ends(found, found[f"file://{tmp_path}/half/"], "hasPart")} == {
        "data/half/x", f"file://{tmp_path}/half/y",
    }  # fmt: skip


def test_a_link_leads_to_what_the_run_recorded_or_nowhere(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    (tmp_path / "target").write_text("link")
    (tmp_path / "link").symlink_to("target")
    (tmp_path / "swapped").symlink_to(secret)
    made = [file("link", "link", target="target"), file("swapped", "mine")]
    path, copies = with_data(tmp_path, *ran("a", outputs=made))
    content = crates.files(path)
    assert content["data/link"] == b"link"
    assert b"secret" not in content.values()
    assert copies.changed == 1


def test_what_the_run_did_not_name_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the record's own paths are opened, and nothing that has no checksum there."""
    folder = tmp_path / "run"
    folder.mkdir()
    (tmp_path / "outside").write_text("outside")
    named = [file("../outside", "not this"), file("/etc/passwd", "x"), File("../outside/../x")]
    opened: list[str] = []
    real = os.open

    def noted(path, *arguments, **more):  # type: ignore[no-untyped-def]
        opened.append(os.fspath(path))
        return real(path, *arguments, **more)

    monkeypatch.setattr("yprov4wms.export.rocrate.copying.os.open", noted)
    path, copies = with_data(folder, *ran("a", outputs=named))
    read = {path for path in opened if path != tempfile.gettempdir()}
    assert read == {str(tmp_path / "outside"), "/etc/passwd", str(folder / "Snakefile")}
    assert not [name for name in crates.files(path) if name.startswith("data")]
    assert (copies.changed, copies.unknown) == (2, 1)


def test_data_from_elsewhere_lie_in_the_crate_all_the_same(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    for place in (tmp_path / "x.csv", tmp_path / "other" / "x.csv"):
        place.parent.mkdir(exist_ok=True)
        place.write_text(str(place))
    named = [file(str(p), str(p)) for p in (tmp_path / "x.csv", tmp_path / "other/x.csv")]
    path, _ = with_data(folder, *ran("a", inputs=named))
    there = {name for name in crates.files(path) if name.startswith("data/")}
    assert there == {"data/elsewhere/x.csv", "data/elsewhere/x-2.csv"}
    assert {p.name for p in tmp_path.iterdir()} == {"run", "x.csv", "other"}


def test_a_file_that_is_written_to_meanwhile_ends_the_export(tmp_path: Path) -> None:
    (found,) = put(tmp_path, "x")
    with unchanged(str(tmp_path / "x"), found) as content:
        (tmp_path / "x").write_text("y")
        assert content.read(1 << 20) == b"y"
        with pytest.raises(OSError, match="changed while it was copied"):
            content.read(1 << 20)


@given(st.text(max_size=30), st.sampled_from(["/w", "/w/deep", ""]))
def test_no_path_leads_out_of_a_crate(path: str, directory: str) -> None:
    found = inside("data", path if path.startswith("/") else f"/{path}", directory)
    assert found == "data" or found.startswith("data/")
    assert not {"", ".", ".."} & set(found.split("/"))
    assert not set(found) & set('\0\n\r\\:*?"<>|')


def test_a_crate_can_be_read_by_others(tmp_path: Path) -> None:
    path, _ = with_data(tmp_path, *ran("a", outputs=put(tmp_path, "x")))
    assert stat.S_IMODE((path / "data/x").stat().st_mode) & 0o444
