"""Who else works in a directory at the time, by marks; and Airflow's temporary folders."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from airflow_provider_yprov import workplace
from airflow_provider_yprov.workplace import Company, directory_of, watch_temporary

OTHER = """
import sys
from airflow_provider_yprov.workplace import Company
other = Company(*sys.argv[1:])
other.enter()
print("in", flush=True)
if input() == "leave":
    other.leave()
    print("out", flush=True)
    input()
"""


@pytest.fixture
def other(tmp_path: Path) -> subprocess.Popen[str]:
    """A process that is about to work in the same directory, by another name of it."""
    (tmp_path / "work").mkdir()
    (tmp_path / "link").symlink_to("work")
    command = [sys.executable, "-c", OTHER, str(tmp_path / "marks"), str(tmp_path / "link")]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def company(tmp_path: Path) -> Company:
    return Company(str(tmp_path / "marks"), str(tmp_path / "work"))


def say(process: subprocess.Popen[str], word: str = "") -> None:
    """Have it go on, and wait for what it says."""
    assert process.stdin is not None
    assert process.stdout is not None
    if word:
        process.stdin.write(word + "\n")
        process.stdin.flush()
    assert process.stdout.readline()


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def test_nobody_else_is_there(tmp_path: Path) -> None:
    mine = company(tmp_path)
    for _ in range(2):
        mine.enter()
        assert mine.leave()


def test_one_who_was_there_before(tmp_path: Path, other: subprocess.Popen[str]) -> None:
    say(other)
    mine = company(tmp_path)
    mine.enter()
    say(other, "leave")
    assert not mine.leave()
    end(other)


def test_one_who_came_and_is_still_there(tmp_path: Path, other: subprocess.Popen[str]) -> None:
    mine = company(tmp_path)
    mine.enter()
    say(other)
    assert not mine.leave()
    end(other)


def test_one_who_came_and_went(tmp_path: Path, other: subprocess.Popen[str]) -> None:
    mine = company(tmp_path)
    mine.enter()
    say(other)
    say(other, "leave")
    end(other)
    assert not mine.leave()


def test_one_who_was_killed_is_not_there(tmp_path: Path, other: subprocess.Popen[str]) -> None:
    say(other)
    end(other)
    mine = company(tmp_path)
    mine.enter()
    assert mine.leave()


def test_one_in_another_directory_is_no_company(tmp_path: Path) -> None:
    mine = company(tmp_path)
    mine.enter()
    other = Company(str(tmp_path / "marks"), str(tmp_path))
    other.enter()
    assert other.leave()
    assert mine.leave()


def test_what_is_not_known_is_no_solitude(tmp_path: Path) -> None:
    (tmp_path / "marks").touch()
    mine = company(tmp_path)
    with pytest.raises(OSError, match="marks"):
        mine.enter()
    assert not mine.leave()


def test_an_operators_own_directory(tmp_path: Path) -> None:
    from airflow.providers.standard.operators.bash import BashOperator

    bash = {"task_id": "t", "bash_command": "true"}
    assert directory_of(BashOperator(**bash)) is None
    assert directory_of(BashOperator(**bash, cwd=str(tmp_path))) == str(tmp_path)
    assert directory_of(SimpleNamespace()) == os.getcwd()  # noqa: PTH109


def test_a_temporary_folder_is_shown_before_it_is_deleted(monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.providers.standard.hooks import subprocess as hooks

    seen: list[list[str]] = []
    end = watch_temporary(lambda folder: seen.append(os.listdir(folder)))  # noqa: PTH208
    hooks.SubprocessHook().run_command(["touch", "left"])
    end()
    assert seen == [["left"]]
    hooks.SubprocessHook().run_command(["touch", "left"])
    assert seen == [["left"]]


def test_what_shows_a_temporary_folder_does_not_keep_it() -> None:
    from airflow.providers.standard.hooks import subprocess as hooks

    folders: list[str] = []

    def fails(folder: str) -> None:
        folders.append(folder)
        raise KeyboardInterrupt  # such as a timeout, at the wrong moment

    end = watch_temporary(fails)
    try:
        with pytest.raises(KeyboardInterrupt):
            hooks.SubprocessHook().run_command(["true"])
    finally:
        end()
    assert [Path(folder).exists() for folder in folders] == [False]


def test_where_airflow_has_another_hook_nothing_is_watched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(workplace, "_HOOK", "no.such.module")
    watch_temporary(lambda folder: None)()
