"""Runs inside the RO-Crate that yProv4ML packs; and zips that mean ill."""

from __future__ import annotations

import json
import shutil
import stat
import struct
import tempfile
import time
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.yprov4wms.ml.readers.runs import FIXTURES, NESTS, PIDS, nested, write

from yprov4wms import candidates
from yprov4wms.events import File
from yprov4wms.ml import readers
from yprov4wms.ml.readers import ChildRun, ReadError, crate

DOCUMENT = "prov/exp_0/prov_exp_GR0_0.json"


def packed(folder: Path, inside: str = "prov", keep: bool = False) -> Path:
    """The crate beside a run's folder, which goes; as yProv4ML names what is in it."""
    path = folder.with_suffix(".zip")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        target.writestr("ro-crate-metadata.json", "{}")
        for file in sorted(folder.rglob("*")):
            name = f"{folder.name}/{file.relative_to(folder)}"
            target.write(file, f"{inside}/{name}" if inside else name)
    if not keep:
        shutil.rmtree(folder)
    return path


def entities(child: ChildRun, kind: str) -> list[dict[str, object]]:
    found = json.loads(child.content)["entity"].values()
    return [entity for entity in found if entity.get("prov:type") == kind]


@pytest.mark.parametrize("inside", ["prov", "", "a/b/prov"])
def test_a_run_is_read_from_its_crate(tmp_path: Path, inside: str) -> None:
    folder = write(tmp_path)
    (tmp_path / "model.pt").write_text("weights")
    (before,) = readers.read(folder)
    path = packed(folder, inside)
    (child,) = readers.read(path)
    assert readers.read(path) == [child]
    assert (child.id, child.complete, child.sources) == (before.id, True, (str(path),))
    assert (child.began, child.ended, child.version) == (before.began, before.ended, "3.2.5+")
    (metric,) = entities(child, "provml:Metric")
    name = f"{inside}/exp_0" if inside else "exp_0"
    series = f"{path}!/{name}/metrics_GR0/Loss_training_None_GR0.csv"
    assert metric["yprov4wms:series"] == series
    assert metric["yprov4wms:count"] == {"$": "4", "type": "xsd:int"}
    assert tempfile.gettempdir() + "/yprov4wms-" not in child.content.decode()
    for nest in NESTS:
        nested(child, nest)
    paths = [file["yprov4wms:path"] for file in entities(child, "yprov4wms:File")]
    if inside == "prov":  # it lies where the run left it, and tells where that worked
        assert str(tmp_path / "model.pt") in paths


@pytest.mark.parametrize("name", ["yprov4ml-3.2.8-4ranks", "yprov4ml-3.2.8", "yprov4ml-1.0.0"])
def test_a_real_run_in_a_crate_is_the_run_in_its_folder(tmp_path: Path, name: str) -> None:
    if not FIXTURES.exists():
        pytest.skip(f"no {FIXTURES}")
    (folder,) = (f for f in (FIXTURES / name).iterdir() if f.is_dir())
    path = tmp_path / f"{folder.name}.zip"
    with zipfile.ZipFile(path, "w") as target:
        for file in sorted(folder.rglob("*")):
            target.write(file, f"prov/{folder.name}/{file.relative_to(folder)}")
    (before,), (child,) = readers.read(folder), readers.read(path)
    assert (child.id, child.ranks, child.complete) == (before.id, before.ranks, before.complete)
    kinds = ("provml:Metric", "provml:Model", "provml:HyperParameter")
    counts = [[len(entities(one, kind)) for kind in kinds] for one in (child, before)]
    assert counts[0] == counts[1]
    nested(child)


def test_a_run_in_a_folder_and_a_crate_is_one(tmp_path: Path) -> None:
    path = packed(write(tmp_path), keep=True)
    began = time.time_ns() - 10**9
    assert candidates.under(str(tmp_path), began) == [str(tmp_path / "prov" / "exp_0")]
    found = {run.id for place in (path, path.with_suffix("")) for run in readers.read(place)}
    assert found == {PIDS[0]}


def test_a_crate_alone_is_found(tmp_path: Path) -> None:
    path = packed(write(tmp_path))
    began = time.time_ns() - 10**9
    assert candidates.under(str(tmp_path), began) == [str(path)]
    assert candidates.under(str(path.parent), began) == [str(path)]
    assert candidates.under(str(tmp_path), began + 10**11) == []
    outputs = [File(path="prov/exp_0.zip"), File(path="plain.zip")]
    assert candidates.among(outputs, str(tmp_path)) == [str(path)]


def made(tmp_path: Path, *members: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    path = tmp_path / "exp_0.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for name, content in members:
            target.writestr(name, content)
    return path


def content(tmp_path: Path) -> bytes:
    return next((write(tmp_path / "made")).glob("*.json")).read_bytes()


@pytest.mark.parametrize(
    "name",
    [
        "../exp_0/prov_exp_GR0_0.json",
        "/tmp/exp_0/prov_exp_GR0_0.json",
        "prov/../../exp_0/prov_exp_GR0_0.json",
        "prov\\..\\exp_0/prov_exp_GR0_0.json",
        "C:/exp_0/prov_exp_GR0_0.json",
        "prov//exp_0/prov_exp_GR0_0.json",
        "prov_exp_GR0_0.json",
    ],
)
def test_a_name_that_leads_out_is_none(tmp_path: Path, name: str) -> None:
    path = made(tmp_path, (name, content(tmp_path)))
    with pytest.raises(ReadError, match="no child run"):
        readers.read(path)


def test_a_series_whose_name_leads_out_is_left_out(tmp_path: Path) -> None:
    other = "prov/exp_0/metrics_GR0/../../../../../out.csv"
    path = made(tmp_path, (DOCUMENT, content(tmp_path)), (other, b"0,1,2\n"))
    assert len(readers.read(path)) == 1
    assert not list(tmp_path.parent.rglob("out.csv"))


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret.csv").write_text("epoch,value,timestep\n0,42.5,1795251600000\n")
    link = zipfile.ZipInfo("prov/exp_0/metrics_GR0/Loss_training_None_GR0.csv")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    target = str(tmp_path / "secret.csv").encode()
    path = made(tmp_path, (DOCUMENT, content(tmp_path)), (link, target))
    (child,) = readers.read(path)
    assert b"42.5" not in child.content


def test_what_unpacks_to_too_much_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crate, "_MOST_MEMBER", 100_000)
    bomb = ("prov/exp_0/metrics_GR0/Loss_training_None_GR0.csv", bytes(10_000_000))
    path = made(tmp_path, (DOCUMENT, content(tmp_path)), bomb)
    assert path.stat().st_size < 100_000
    (child,) = readers.read(path)
    assert any("series of a metric that is not there" in text for text in child.repaired)
    with pytest.raises(ReadError, match="more than 100000 bytes"):
        readers.read(made(tmp_path, (DOCUMENT, bytes(10_000_000))))


def test_what_is_too_much_in_all_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = content(tmp_path)
    monkeypatch.setattr(crate, "_MOST_BYTES", len(document) + 25_000)
    row = b"0,1,1795251600000\n" * 600
    many = [(f"prov/exp_0/metrics_GR0/m{n}_training_None_GR0.csv", row) for n in range(9)]
    (child,) = readers.read(made(tmp_path, (DOCUMENT, document), *many))
    assert sum("yprov4wms:count" in one for one in entities(child, "provml:Metric")) == 2


def test_a_size_that_the_zip_lies_about_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crate, "_MOST_MEMBER", 100_000)
    path = made(tmp_path, (DOCUMENT, bytes(10_000_000)))
    raw = path.read_bytes().replace(struct.pack("<I", 10_000_000), struct.pack("<I", 50))
    path.write_bytes(raw)
    with pytest.raises(ReadError):
        readers.read(path)


@pytest.mark.parametrize("field", ["count", "size", "large"])
def test_a_directory_without_end_is_not_read(tmp_path: Path, field: str) -> None:
    path = made(tmp_path, (DOCUMENT, content(tmp_path)))
    raw = bytearray(path.read_bytes())
    if field == "count":
        raw[-14:-10] = b"\xff\xff\xff\xff"
    elif field == "size":
        raw[-10:-6] = struct.pack("<I", 1 << 30)
    else:
        raw[-22:-22] = b"PK\x06\x07" + bytes(16)
    path.write_bytes(raw)
    with pytest.raises(ReadError, match="no child run"):
        readers.read(path)


def test_one_that_is_locked_or_twice_the_same_is_refused(tmp_path: Path) -> None:
    path = made(tmp_path, (DOCUMENT, content(tmp_path)))
    raw = bytearray(path.read_bytes())
    at = raw.index(b"PK\x01\x02")
    for place in (6, at + 8):  # the flag: encrypted
        raw[place] |= 1
    path.write_bytes(raw)
    with pytest.raises(ReadError, match="cannot be read"):
        readers.read(path)
    with pytest.warns(UserWarning, match="Duplicate"):
        path = made(tmp_path, (DOCUMENT, content(tmp_path)), (DOCUMENT, b"{}"))
    with pytest.raises(ReadError, match="more than once"):
        readers.read(path)


@given(cut=st.integers(0, 3000), noise=st.binary(max_size=60))
def test_no_bytes_break_the_reader(cut: int, noise: bytes) -> None:
    with tempfile.TemporaryDirectory() as work:
        path = packed(write(Path(work)))
        raw = path.read_bytes()
        path.write_bytes(raw[:cut] + noise + raw[cut + len(noise) :])
        try:
            found = readers.read(path)
        except ReadError:
            return
        for child in found:
            nested(child)
