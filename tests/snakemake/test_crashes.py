"""``kill -9`` at any moment, a store that fails, a recorder that raises."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.documents import kill_group
from tests.snakemake.project import Project

MANY = """
rule all:
    input: expand("out/{i}", i=range(16))
rule job:
    output: "out/{i}"
    shell: "sleep 0.3; echo {wildcards.i} > {output}"
"""


def children(pid: int) -> list[int]:
    found: list[int] = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        found += [int(child) for child in path.read_text().split()]
    return found


@pytest.mark.parametrize("victim", ["snakemake", "job", "both"])
@pytest.mark.parametrize("seed", range(3))
def test_a_kill_at_a_random_moment_leaves_a_valid_document(
    project: Project, victim: str, seed: int
) -> None:
    """What finished, what was running, what never started: all jobs are accounted for."""
    project.snakefile(MANY)
    process = project.start("--keep-going")
    rng = random.Random(f"{victim}{seed}")
    deadline = time.monotonic() + 60
    while not list(project.store.glob("*/events/*")) and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(rng.uniform(0, 1.8))
    jobs = children(process.pid)
    if victim in ("job", "both"):
        for job in jobs:
            with contextlib.suppress(ProcessLookupError):
                os.kill(job, signal.SIGKILL)
    if victim in ("snakemake", "both"):
        os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=120)
    document = project.exported()
    found = [*document.statuses().get("job", []), *document.statuses().get("all", [])]
    assert len(found) == 17
    finished = {p.name for p in (project.folder / "out").glob("*")}
    completed = [a for a in document.attempts("job") if a["yprov4wfs:status"] == "completed"]
    assert {a["yprov4wms:wildcard_i"] for a in completed} <= finished
    if victim == "job":
        expected = "failed" if "failed" in found else "completed"
        assert document.run["yprov4wfs:status"] == expected
    elif process.returncode == -signal.SIGKILL:
        ended = "prov:endTime" in document.run  # killed between its last event and its end
        assert document.run["yprov4wfs:status"] == ("completed" if ended else "running")
        assert set(found) <= {"completed", "running", "not-started", "failed", "upstream-failed"}
    kill_group(process)
    assert project.exported().content == document.content
    shown = project.yprov4wms("show")
    assert shown.returncode == 0
    if document.run["yprov4wfs:status"] == "running":
        assert b"its process is gone" in shown.stdout


def test_a_journal_cut_in_the_middle_of_a_line_still_exports(project: Project) -> None:
    project.snakefile(MANY)
    assert project.snakemake(cores=8).returncode == 0
    (journal,) = project.store.glob("*/events/*.jsonl")
    whole = journal.read_bytes()
    journal.write_bytes(whole[: len(whole) * 2 // 3])
    document = project.exported()
    assert document.run["yprov4wfs:status"] == "running"


ONE = "rule a:\n    output: 'x'\n    shell: 'echo y > {output}'\n"


def warnings(done: subprocess.CompletedProcess[str]) -> list[str]:
    return [line for line in done.stderr.splitlines() if "provenance is incomplete" in line]


def test_a_store_that_cannot_be_made_is_one_warning(project: Project) -> None:
    project.snakefile(ONE)
    project.write("file", "not a folder")
    done = project.snakemake("--yprov-store", "file/store")
    assert done.returncode == 0
    assert len(warnings(done)) == 1
    assert (project.folder / "x").read_text() == "y\n"


def test_strict_turns_it_into_a_failure(project: Project) -> None:
    project.snakefile(ONE)
    project.write("file", "not a folder")
    done = project.snakemake("--yprov-store", "file/store", "--yprov-strict")
    assert done.returncode == 1
    assert "strict" in done.stderr


def test_a_store_that_goes_away_is_one_warning(project: Project) -> None:
    project.snakefile(
        """
        rule all:
            input: "b"
        rule a:
            output: "a"
            shell: "rm -rf .yprov; touch .yprov; touch {output}"
        rule b:
            input: "a"
            output: "b"
            shell: "touch {output}"
        """
    )
    done = project.snakemake()
    assert done.returncode == 0, done.stderr
    assert (project.folder / "b").exists()
    assert len(warnings(done)) <= 1
    assert "Traceback" not in done.stderr
    assert "look at it" not in done.stderr
    assert "was removed while it was written" in done.stderr
    strict = project.snakemake("-F", "--yprov-strict", YPROV_STORE=str(project.folder / ".yprov"))
    assert strict.returncode == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system takes root")
def test_a_full_store_is_one_warning(project: Project) -> None:
    store = project.folder / "small"
    store.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(store)], check=False
    )
    if mounted.returncode:
        pytest.skip("no tmpfs can be mounted here")
    try:
        project.snakefile(MANY.replace("range(16)", "range(150)").replace("sleep 0.3; ", ""))
        done = project.snakemake("--yprov-store", "small")
        assert done.returncode == 0, done.stderr
        assert len(warnings(done)) == 1
        assert len(list((project.folder / "out").iterdir())) == 150
        exported = project.yprov4wms("export", "--store", "small", "-o", "document.json")
        assert exported.returncode == 0, exported.stderr
        again = project.snakemake(
            "-F", "--yprov-store", "small", "--yprov-strict", "--quiet", "all"
        )
        assert again.returncode == 1
        assert len(warnings(again)) == 1
    finally:
        subprocess.run(["umount", str(store)], check=True)


def test_a_recorder_that_raises_everywhere_harms_nothing(project: Project) -> None:
    """Every method of the describer, the planner and the recorder fails in turn."""
    project.snakefile(
        """
        rule all:
            input: "a", "b"
        rule a:
            output: "a"
            shell: "echo $(cat in) > {output}"
        rule b:
            output: "b"
            retries: 1
            shell: "exit 0; touch {output}"
        """
    )
    project.write("in", "x")
    project.write(
        "broken.py",
        """
        import sys
        from snakemake_executor_plugin_yprov import jobs, plan
        from yprov4wms import recorder
        name = sys.argv.pop(1)
        holder, method = name.split(".")
        cls = {"Describer": jobs.Describer, "Planner": plan.Planner,
               "Recorder": recorder.Recorder}[holder]
        def broken(*args, **kwargs):
            raise RuntimeError("broken on purpose")
        setattr(cls, method, broken)
        from snakemake.cli import main
        main(sys.argv[1:])
        """,
    )
    methods = [
        "Describer.started",
        "Describer.outputs",
        "Planner.refresh",
        "Planner.task",
        "Recorder.identified",
        "Recorder.collect_children",
    ]
    for name in methods:
        shutil.rmtree(project.store, ignore_errors=True)
        for output in ("a", "b"):
            (project.folder / output).unlink(missing_ok=True)
        done = subprocess.run(
            [
                sys.executable,
                "broken.py",
                name,
                "--executor",
                "yprov",
                "--cores",
                "2",
                "--latency-wait",
                "1",
                "--keep-going",
                "--scheduler",
                "greedy",
            ],
            cwd=project.folder,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 1, (name, done.stderr)  # rule b makes no output
        assert (project.folder / "a").exists(), name
        assert len(warnings(done)) == 1, (name, done.stderr)
        assert "broken on purpose" in done.stderr
        assert project.yprov4wms("export", "-o", "d.json").returncode == 0, name
