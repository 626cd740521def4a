"""Whatever is missing or breaks on workers, Toil's result is Toil's."""

from __future__ import annotations

import subprocess
from types import SimpleNamespace

import pytest
from tests.documents import at_once
from tests.toil.project import OURS, PLAIN, Toil, on_workers

from yprov_toil_cwl_runner.hooks import wrap

WORKFLOW = """
cwlVersion: v1.2
class: Workflow
requirements: {ScatterFeatureRequirement: {}}
inputs: {words: 'string[]'}
steps:
  say:
    scatter: word
    in: {word: words}
    out: [out]
    run:
      class: CommandLineTool
      baseCommand: echo
      inputs: {word: {type: string, inputBinding: {}}}
      stdout: said.txt
      outputs: {out: stdout}
outputs: {said: {type: 'File[]', outputSource: say/out}}
"""
MISSING = "sys.modules['yprov_toil_cwl_runner'] = None"
BROKEN = """
from yprov_cwl_runner import steps, tools, values
from yprov_toil_cwl_runner import jobs

def broken(*arguments, **named):
    raise RuntimeError("broken")

steps.Step.planned = steps.Step.element = broken
tools.under = values.files = jobs.child = broken
"""
Done = subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Toil, Done]]:
    """By what is done to the workers: a run of the same workflow."""

    def run(name: str, code: str, runner: str) -> tuple[Toil, Done]:
        project = Toil(tmp_path_factory.mktemp(name))
        project.write("wf.cwl", WORKFLOW)
        project.job(words=["a"])
        env = on_workers(project.folder / "site", code)
        arguments = ("--retryCount", "0", "--outdir", "out", "wf.cwl", "job.json")
        return project, project.run(*arguments, runner=runner, **env)

    kinds = {"plain": ("pass", PLAIN), "missing": (MISSING, OURS), "broken": (BROKEN, OURS)}
    calls = [lambda n=n, c=c, r=r: run(n, c, r) for n, (c, r) in kinds.items()]
    return dict(zip(kinds, at_once(*calls), strict=True))


@pytest.mark.parametrize("kind", ["missing", "broken"])
def test_the_result_is_that_of_toil(ran: dict[str, tuple[Toil, Done]], kind: str) -> None:
    (plain, expected), (ours, done) = ran["plain"], ran[kind]
    assert (done.returncode, expected.returncode) == (0, 0), done.stderr
    assert done.stdout == expected.stdout.replace(str(plain.folder), str(ours.folder))
    ours.document()


def test_what_broke_on_workers_is_told_once_at_the_end(
    ran: dict[str, tuple[Toil, Done]],
) -> None:
    project, done = ran["broken"]
    assert "incomplete provenance is in" in done.stderr
    assert project.folded().failures


def test_a_name_that_toil_has_not_got_is_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    module = SimpleNamespace()
    wrap(module, "makeJob", print)
    assert "no toil.cwl.cwltoil.makeJob" in capsys.readouterr().err
    assert vars(module) == {}
