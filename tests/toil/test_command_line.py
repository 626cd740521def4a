"""The command line is toil-cwl-runner's; our options stand before the workflow."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.documents import environment
from tests.toil.project import PLAIN, Toil

from yprov_cwl_runner.options import split
from yprov_toil_cwl_runner.command import _parser


@pytest.mark.parametrize(
    ("arguments", "status"), [(("--version",), 0), (("absent.cwl",), 1)], ids=str
)
def test_what_runs_nothing_prints_the_same_and_leaves_nothing(
    tmp_path: Path, arguments: tuple[str, ...], status: int
) -> None:
    project = Toil(tmp_path)
    plain, ours = project.run(*arguments, runner=PLAIN), project.run(*arguments)
    assert (ours.returncode, ours.stdout) == (plain.returncode, plain.stdout)
    assert ours.returncode == status
    assert project.runs() == []


def test_our_options_are_told_from_toils_and_from_the_workflows_inputs() -> None:
    arguments = ["--clusterStats", "here", "--yprov-nest=link", "--stats", "w.cwl", "--yprov-x"]
    own, rest = split(arguments, _parser())
    assert own == {"nest": "link"}
    assert rest == ["--clusterStats", "here", "--stats", "w.cwl", "--yprov-x"]
    several = ["--preserve-environment", "A", "B", "--yprov-store", "s", "--jobStore", "j", "w"]
    own, rest = split(several, _parser())
    assert own == {"store": "s"}
    assert rest == ["--preserve-environment", "A", "B", "--jobStore", "j", "w"]


def test_a_wrong_option_is_one_clear_error_and_help_tells_of_ours(tmp_path: Path) -> None:
    project = Toil(tmp_path)
    done = project.run("--yprov-nonsense", "wf.cwl")
    assert done.returncode == 2
    assert "--yprov-nonsense is no option" in done.stderr
    done = project.run("--yprov-help")
    assert done.returncode == 0
    assert "--yprov-store" in done.stdout
    assert "yprov-toil-cwl-runner" in done.stdout


def test_without_toil_it_says_what_to_install(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['toil'] = None\n"
        "from yprov_toil_cwl_runner.command import run\n"
        "sys.exit(run(['wf.cwl']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "pip install 'yprov-cwl-runner[toil]'" in done.stderr
