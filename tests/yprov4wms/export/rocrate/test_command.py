"""``yprov4wms export --format ro-crate``: what it writes, refuses and warns of."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests import crates
from tests.yprov4wms.export.rocrate.journals import stored
from tests.yprov4wms.export.rocrate.test_run import two
from tests.yprov4wms.export.rocrate.test_with_data import put

from yprov4wms import ml
from yprov4wms.cli import cli


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """With a run in ``store``, and two of its files as they were."""
    stored(tmp_path, two(tmp_path))
    (tmp_path / "x.bin").write_text("x")
    (tmp_path / "y.txt").write_text("changed")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def export(*arguments: str) -> Result:
    command = ["export", "latest", "--store", "store", "--format", "ro-crate", *arguments]
    return CliRunner().invoke(cli, command)


def test_a_zip_file_a_folder_and_standard_output_hold_the_same(folder: Path) -> None:
    for name in ("crate.zip", "crate"):
        done = export("-o", name)
        assert (done.exit_code, done.stdout.strip()) == (0, name), done.output
        assert crates.faults(folder / name) == []
    done = export("-o", "-")
    with zipfile.ZipFile(io.BytesIO(done.stdout_bytes)) as archive:
        names = archive.namelist()
    assert set(names) == set(crates.files(folder / "crate"))
    assert crates.files(folder / "crate") == crates.files(folder / "crate.zip")


def test_one_line_tells_what_data_are_not_in_it(folder: Path) -> None:
    done = export("-o", "crate.zip", "--with-data")
    (line,) = done.stderr.splitlines()
    assert "2 files are not copied: 1 changed since the run, 1 gone, 0 without checksum" in line
    assert "data/x.bin" in crates.files(folder / "crate.zip")
    done = export("-o", "small.zip", "--with-data", "--max-data-size", "0")
    assert "too large" in done.stderr
    assert "data/x.bin" not in crates.files(folder / "small.zip")


def test_a_folder_that_is_not_empty_is_left_as_it_is(folder: Path) -> None:
    put(folder, "there/file")
    (folder / "empty").mkdir()
    done = export("-o", "there")
    assert done.exit_code == 1
    assert "cannot write there: the folder is not empty" in done.stderr
    assert "--output" in done.stderr
    assert [p.name for p in (folder / "there").iterdir()] == ["file"]
    done = export("-o", "there/file")
    assert "this is a file, not a folder" in done.stderr
    assert export("-o", "empty").exit_code == 0
    assert crates.faults(folder / "empty") == []


@pytest.mark.parametrize("name", ["crate", "crate.zip"])
def test_what_fails_half_way_leaves_nothing(
    folder: Path, name: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("yprov4wms.export.rocrate.crate.Crate.close", full)
    before = {path.name for path in folder.iterdir()}
    done = export("-o", name)
    assert done.exit_code == 1
    assert f"cannot write {name}: No space left on device" in done.stderr
    assert {path.name for path in folder.iterdir()} == before
    assert "ignored" not in capfd.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "name it with --output"),
        (["-o", "memory://x/crate"], "end its name with .zip"),
        (["-o", "c.zip", "--max-data-size", "1G"], "add --with-data"),
        (["-o", "c.zip", "--with-data", "--max-data-size", "lots"], "a number of bytes"),
        (["-o", "c.zip", "--format", "prov-json", "--with-data"], "add --format ro-crate"),
        (["-o", " "], "--output is empty"),
    ],
)
def test_bad_arguments_are_one_error(folder: Path, arguments: list[str], told: str) -> None:
    done = export(*arguments)
    assert done.exit_code == 2
    assert told in done.stderr
    assert not (folder / "c.zip").exists()


def test_an_ml_run_has_a_crate_of_its_own(folder: Path) -> None:
    with ml.start_run("digits", store=folder / "ml") as run:
        pass
    done = CliRunner().invoke(
        cli, ["export", run.id, "--store", "ml", "--format", "ro-crate", "-o", "c.zip"]
    )
    assert "this is an ML run, not a workflow run" in str(done.exception)
    assert not (folder / "c.zip").exists()


def test_the_license_is_said(folder: Path) -> None:
    export("-o", "c.zip", "--license", "CC-BY-4.0")
    found = crates.graph(folder / "c.zip")
    assert found[found["./"]["license"]["@id"]]["name"] == "CC-BY-4.0"
