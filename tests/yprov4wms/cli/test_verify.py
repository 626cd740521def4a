"""``yprov4wms verify`` as a person calls it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.documents import environment
from tests.yprov4wms.integrity.records import Tasks


def verify(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "yprov4wms", "verify", *arguments],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def tasks(tmp_path: Path) -> Tasks:
    tasks = Tasks(tmp_path)
    for number in range(30):
        tasks.make(f"t{number}", f"out/{number:02}.txt", f"{number}\n")
    tasks.end()
    return tasks


def test_all_is_the_same(tasks: Tasks) -> None:
    done = verify(tasks.folder)
    assert done.returncode == 0, done.stderr
    name, journals, document, seal, files, verdict = done.stdout.splitlines()
    assert tasks.run.run_id in name
    assert journals.endswith(": whole")
    assert document == "document: what the record gives (--nest flatten)"
    assert files == "files: 30 same, 0 changed, 0 gone"
    assert verdict == "all is the same"
    again = verify(tasks.folder, "--seal", seal.removeprefix("seal: "), "--no-files")
    assert again.returncode == 0
    assert verify(tasks.folder, "--seal", "0" * 64).returncode == 1


def test_what_differs_is_listed_and_counted(tasks: Tasks) -> None:
    for path in (tasks.folder / "out").iterdir():
        path.unlink()
    done = verify(tasks.folder)
    assert done.returncode == 1
    assert "gone: out/00.txt (made by t0)" in done.stdout.splitlines()
    assert "... and 10 more (--all)" in done.stdout
    assert done.stdout.endswith("something differs\n")
    assert verify(tasks.folder, "--all").stdout.count("gone: ") == 30
    assert verify(tasks.folder, "--no-files").returncode == 0
    found = json.loads(verify(tasks.folder, "--json").stdout)
    assert (found["same"], len(found["files"]["gone"])) == (False, 30)


def test_a_name_cannot_steer_the_terminal(tmp_path: Path) -> None:
    tasks = Tasks(tmp_path)
    tasks.make("first", "a\x1b[31m.txt", "x\n")
    tasks.end()
    (tmp_path / "a\x1b[31m.txt").unlink()
    assert "\x1b" not in verify(tmp_path).stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing"], "no run 'nothing'"),
        (["--directory", "nowhere"], "there is no such folder"),
        (["text.txt"], "text.txt: not a PROV-JSON document"),
        (["list.json"], "list.json: not a PROV-JSON document"),
        (["broken.json.gz"], "damaged or cut short"),
        (["list.json", "--fast"], "are for runs"),
    ],
)
def test_bad_input_is_one_clear_error(tasks: Tasks, arguments: list[str], message: str) -> None:
    (tasks.folder / "text.txt").write_text("no JSON")
    (tasks.folder / "list.json").write_text('{"entity": [[[]]]}')
    (tasks.folder / "broken.json.gz").write_bytes(b"\x1f\x8b\x08\x00broken")
    done = verify(tasks.folder, *arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("yprov4wms: error: ")
    assert message in line
