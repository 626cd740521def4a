"""The whole command line is cwltool's: same output, same status; our options are few."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from cwltool.argparser import arg_parser
from tests.cwl.project import OURS, PLAIN, Project, statuses
from tests.documents import environment

from yprov_cwl_runner.options import NAMES, UsageError, split

TOOL = """
cwlVersion: v1.2
class: CommandLineTool
id: echo
baseCommand: echo
inputs:
  word: {type: string, default: hello, inputBinding: {}}
  yprov-store: {type: 'string?', inputBinding: {}}
outputs: {out: stdout}
stdout: out.txt
"""
WORKFLOW = """
cwlVersion: v1.2
class: Workflow
inputs: {word: string}
steps:
  one: {in: {word: word}, out: [out], run: tool.cwl}
outputs: {out: {type: File, outputSource: one/out}}
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    made = Project(tmp_path_factory.mktemp("command_line"))
    made.write("tool.cwl", TOOL)
    made.write("wf.cwl", WORKFLOW)
    made.write("bad.cwl", "cwlVersion: v1.2\nclass: CommandLineTool\nbaseCommand: echo\n")
    made.job(word="hi")
    return made


@pytest.mark.parametrize(
    "arguments",
    [
        ["--version"],
        ["--help"],
        ["--print-supported-versions"],
        ["--validate", "wf.cwl"],
        ["--validate", "wf.cwl", "job.json"],
        ["--validate", "bad.cwl"],
        ["--print-deps", "wf.cwl"],
        ["--print-input-deps", "wf.cwl", "job.json"],
        ["--pack", "wf.cwl"],
        ["--print-dot", "wf.cwl"],
        ["--print-rdf", "tool.cwl"],
        ["--print-pre", "wf.cwl"],
        ["--print-targets", "wf.cwl"],
        ["--print-subgraph", "--target", "out", "wf.cwl"],
        ["--make-template", "wf.cwl"],
        ["wf.cwl", "--help"],
        ["bad.cwl"],
        ["absent.cwl"],
        ["wf.cwl", "absent.json"],
        ["--no-such-option"],
        [],
    ],
    ids=" ".join,
)
def test_what_runs_nothing_prints_the_same_and_leaves_nothing(
    project: Project, arguments: list[str]
) -> None:
    before = project.runs()
    plain = project.run(*arguments, runner=PLAIN)
    ours = project.run(*arguments, runner=OURS)
    assert (ours.returncode, ours.stdout) == (plain.returncode, plain.stdout)
    assert project.runs() == before
    assert not (project.folder / "cwltool").exists()


@pytest.mark.parametrize(
    ("arguments", "stdin", "env"),
    [
        (["tool.cwl"], "", {}),
        (["tool.cwl", "--word", "given"], "", {}),
        (["tool.cwl", "--yprov-store", "an input of the tool's"], "", {}),
        (["wf.cwl", "-"], '{"word": "from stdin"}', {}),
        (["wf.cwl", "job.json"], "", {}),
        (["--parallel", "wf.cwl", "job.json"], "", {}),
        (["wf.cwl", "job.json"], "", {"CWLTOOL_OPTIONS": "--parallel --parallel-max 2"}),
        (["--outdir", "o", "--tmpdir-prefix", "t/x", "wf.cwl", "job.json"], "", {}),
        (["--single-step", "one", "wf.cwl", "job.json"], "", {}),
        (["--target", "out", "wf.cwl", "job.json"], "", {}),
        (["--write-summary", "summary.json", "wf.cwl", "job.json"], "", {}),
        (["--timestamps", "--debug", "wf.cwl", "job.json"], "", {}),
    ],
)
def test_what_runs_prints_the_same_and_leaves_a_run(
    project: Project, arguments: list[str], stdin: str, env: dict[str, str]
) -> None:
    before = len(project.runs())
    plain = project.run(*arguments, runner=PLAIN, stdin=stdin, **env)
    ours = project.run(*arguments, runner=OURS, stdin=stdin, **env)
    assert (ours.returncode, ours.stdout) == (0, plain.stdout), ours.stderr
    assert len(project.runs()) == before + 1
    document = project.document()
    assert set(statuses(document).values()) == {"completed"}
    parallel = "--parallel" in arguments or "CWLTOOL_OPTIONS" in env
    expected = "MultithreadedJobExecutor" if parallel else "SingleJobExecutor"
    assert document.run["yprov4wms:executor"] == expected


def test_our_options_are_taken_out_and_can_be_given_by_environment(project: Project) -> None:
    done = project.run("--yprov-store=s1", "--yprov-export", "never", "--quiet", "tool.cwl")
    assert done.returncode == 0, done.stderr
    (run,) = (project.folder / "s1").iterdir()
    assert not (run / "prov.json").exists()
    assert f"recorded run {run.name}" in done.stderr
    done = project.run("--quiet", "tool.cwl", YPROV_STORE="s2")
    assert done.returncode == 0, done.stderr
    (run,) = (project.folder / "s2").iterdir()
    assert (run / "prov.json").is_file()
    assert "yprov4wms show --store" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--yprov-nonsense", "tool.cwl"], "--yprov-nonsense is no option"),
        (["--yprov-store"], "--yprov-store needs a value"),
        (["--yprov-hash", "md5", "tool.cwl"], "'md5' is not one of sha256, none"),
    ],
)
def test_a_wrong_option_of_ours_is_one_clear_error(
    project: Project, arguments: list[str], told: str
) -> None:
    before = project.runs()
    done = project.run(*arguments)
    assert done.returncode == 2
    assert told in done.stderr
    assert done.stdout == ""
    assert project.runs() == before


def test_our_help_tells_of_every_option(project: Project) -> None:
    done = project.run("--yprov-help")
    assert done.returncode == 0
    for name in NAMES:
        assert "--yprov-" + name.replace("_", "-") in done.stdout
    assert "--yprov-help" in project.run("--help").stderr


def test_options_of_ours_are_told_from_values_and_from_the_workflows_inputs() -> None:
    parser = arg_parser()
    own, rest = split(
        [
            "--yprov-nest",
            "link",
            "--outdir",
            "--yprov-x",
            "--quiet",
            "--yprov-strict",
            "w.cwl",
            "--yprov-store",
            "i",
        ],
        parser,
    )
    assert own == {"nest": "link", "strict": "yes"}
    assert rest == ["--outdir", "--yprov-x", "--quiet", "w.cwl", "--yprov-store", "i"]
    assert split(["--yprov-store=a", "-", "--yprov-b"], parser) == (
        {"store": "a"},
        ["-", "--yprov-b"],
    )
    # argparse takes an option that is cut short.
    assert split(["--outd", "--yprov-store", "w"], parser) == ({}, ["--outd", "--yprov-store", "w"])
    with pytest.raises(UsageError):
        split(["--yprov-secrets", "x"], parser)


def test_cwltest_can_run_it(project: Project) -> None:
    pytest.importorskip("cwltest")
    project.write(
        "tests.yml",
        json.dumps(
            [
                {
                    "id": "echo",
                    "doc": "prints a word",
                    "tool": "wf.cwl",
                    "job": "job.json",
                    "output": {"out": {"class": "File", "location": "out.txt", "size": 3}},
                },
                {"id": "bad", "doc": "is wrong", "tool": "bad.cwl", "should_fail": True},
            ]
        ),
    )
    runner = str(Path(sys.executable).with_name(OURS))
    done = subprocess.run(
        [sys.executable, "-m", "cwltest", "--test", "tests.yml", "--tool", runner],
        cwd=project.folder,
        env=environment(YPROV_STORE=str(project.folder / "cwltest")),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(list((project.folder / "cwltest").iterdir())) == 1
