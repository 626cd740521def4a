"""What surrounds a run: git, person, the run around it, packages."""

from __future__ import annotations

import getpass
import os
import subprocess
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest

from yprov4wms import environment
from yprov4wms.events import Git, Parent

Run = Callable[..., str]


@pytest.fixture
def git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """``git`` in an empty repository, out of reach of the user's settings."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", "/dev/null")

    def run(*arguments: str, fails: bool = False) -> str:
        identity = ["-c", "user.name=n", "-c", "user.email=e@x", "-c", "commit.gpgsign=false"]
        done = subprocess.run(
            ["git", "-C", str(tmp_path / "repo"), *identity, *arguments],
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode != 0) is fails, done.stderr
        return done.stdout.strip()

    (tmp_path / "repo").mkdir()
    run("init", "-q", "-b", "main")
    return run


def commit(git: Run, folder: Path, **files: str) -> str:
    for name, content in files.items():
        (folder / name.replace("_", ".")).write_text(content)
    git("add", "-A")
    git("commit", "-q", "-m", "m")
    return git("rev-parse", "HEAD")


def test_a_clean_repository(tmp_path: Path, git: Run) -> None:
    repo = tmp_path / "repo"
    head = commit(git, repo, a_txt="1")
    (repo / "sub").mkdir()
    (repo / "untracked").write_text("is not a change of the code")
    assert environment.git_state(str(repo / "sub")) == Git(commit=head, branch="main", dirty=False)


def test_each_kind_of_change_is_named_by_its_path_alone(tmp_path: Path, git: Run) -> None:
    repo = tmp_path / "repo"
    text = "some lines\n" * 20
    commit(git, repo, edited_txt="1", gone_txt="1", old_txt=text, staged_txt="1")
    (repo / "with space é.txt").write_text("1")
    commit(git, repo)
    (repo / "edited.txt").write_text("2")
    (repo / "with space é.txt").write_text("2")
    (repo / "staged.txt").write_text("2")
    git("add", "staged.txt")
    git("rm", "-q", "gone.txt")
    git("mv", "old.txt", "new name.txt")
    found = environment.git_state(str(repo))
    assert found is not None
    assert found.dirty is True
    assert sorted(found.changed or []) == [
        "edited.txt",
        "gone.txt",
        "new name.txt",
        "staged.txt",
        "with space é.txt",
    ]


def test_an_unmerged_file_is_named_by_its_path_alone(tmp_path: Path, git: Run) -> None:
    repo = tmp_path / "repo"
    commit(git, repo, a_txt="1")
    git("checkout", "-q", "-b", "other")
    commit(git, repo, a_txt="2")
    git("checkout", "-q", "main")
    commit(git, repo, a_txt="3")
    git("merge", "-q", "other", fails=True)
    found = environment.git_state(str(repo))
    assert found is not None
    assert found.changed == ["a.txt"]


def test_a_detached_head_and_a_repository_without_commit(tmp_path: Path, git: Run) -> None:
    repo = tmp_path / "repo"
    assert environment.git_state(str(repo)) == Git(branch="main", dirty=False)
    head = commit(git, repo, a_txt="1")
    git("checkout", "-q", "--detach")
    assert environment.git_state(str(repo)) == Git(commit=head, dirty=False)


def test_the_remote_is_named(tmp_path: Path, git: Run) -> None:
    git("remote", "add", "origin", "https://example.org/r.git")
    found = environment.git_state(str(tmp_path / "repo"))
    assert found is not None
    assert found.remote == "https://example.org/r.git"


def test_no_repository_no_folder_no_git(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, git: Run
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert environment.git_state(str(tmp_path)) is None
    assert environment.git_state(str(tmp_path / "none")) is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert environment.git_state(str(tmp_path / "repo")) is None


def test_a_repository_is_not_written_to(tmp_path: Path, git: Run) -> None:
    """A status without ``--no-optional-locks`` refreshes the index: other gits then fail."""
    repo = tmp_path / "repo"
    commit(git, repo, a_txt="1")
    os.utime(repo / "a.txt", (1, 1))
    before = (repo / ".git" / "index").stat()
    environment.git_state(str(repo))
    after = (repo / ".git" / "index").stat()
    assert (before.st_mtime_ns, before.st_ino) == (after.st_mtime_ns, after.st_ino)


def test_a_person_without_an_account_is_still_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown() -> str:
        raise KeyError("getpwuid(): uid not found: 12345")

    monkeypatch.setattr(getpass, "getuser", unknown)
    found = environment.person("Ada", "0000-0002-1825-0097")
    assert (found.login, found.name, found.orcid) == (None, "Ada", "0000-0002-1825-0097")


@pytest.mark.parametrize(
    ("attempt", "expected"), [("2", 2), ("", None), ("-1", None), ("x", None), ("²", None)]
)
def test_the_run_around_this_one(
    monkeypatch: pytest.MonkeyPatch, attempt: str, expected: int | None
) -> None:
    monkeypatch.setenv("YPROV_RUN_ID", "r")
    monkeypatch.setenv("YPROV_TASK_ID", "t")
    monkeypatch.setenv("YPROV_ATTEMPT", attempt)
    monkeypatch.setenv("YPROV_STORE", "/s")
    assert environment.parent() == Parent(run="r", task="t", attempt=expected, store="/s")
    monkeypatch.setenv("YPROV_RUN_ID", "")
    assert environment.parent() is None


def test_packages_are_those_that_are_installed() -> None:
    found = environment.packages()
    for distribution in ("msgspec", "pytest", "networkx"):
        assert found[distribution] == metadata.version(distribution)
    assert environment.version("msgspec") == found["msgspec"]
    assert environment.version("no-such-distribution") is None
