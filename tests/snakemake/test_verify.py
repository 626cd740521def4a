"""`yprov4wms verify` of real runs: what Snakemake removes, overwrites, or was killed over."""

from __future__ import annotations

import json
import os
import signal
import time
from typing import Any

import pytest
from tests.documents import kill_group
from tests.snakemake.project import Project


def verified(project: Project, *arguments: str) -> tuple[int, dict[str, Any]]:
    done = project.yprov4wms("verify", *arguments, "--json")
    assert done.returncode in (0, 1), done.stderr.decode()
    return done.returncode, json.loads(done.stdout)


RULES = """
rule all:
    input: "out/c.txt", "dir"
rule a:
    output: temp("out/a.txt")
    shell: "echo a > {output}"
rule b:
    input: "out/a.txt"
    output: "out/b.txt"
    shell: "cp {input} {output}"
rule c:
    input: "out/b.txt"
    output: "out/c.txt"
    retries: 1
    shell: "cp {input} {output}; test -e flag || (touch flag; false)"
rule directory:
    output: directory("dir")
    shell: "mkdir {output}; touch {output}/one {output}/two"
"""


def test_temporary_files_are_told_apart_from_those_that_are_gone(project: Project) -> None:
    project.snakefile(RULES)
    done = project.snakemake()
    assert done.returncode == 0, done.stderr
    assert not (project.folder / "out" / "a.txt").exists()
    code, found = verified(project)
    assert (code, found["problems"], found["notes"]) == (0, [], [])
    assert [one["path"] for one in found["files"]["removed"]] == ["out/a.txt"]
    (project.folder / "out" / "b.txt").unlink()
    (project.folder / "dir" / "three").touch()
    code, found = verified(project)
    assert code == 1
    assert [one["path"] for one in found["files"]["gone"]] == ["out/b.txt"]
    assert [one["path"] for one in found["files"]["changed"]] == ["dir"]


def test_temporary_files_that_are_kept_are_missed(project: Project) -> None:
    project.snakefile(RULES)
    assert project.snakemake("--notemp").returncode == 0
    assert verified(project)[0] == 0
    (project.folder / "out" / "a.txt").unlink()
    code, found = verified(project)
    assert code == 1
    assert [one["path"] for one in found["files"]["gone"]] == ["out/a.txt"]


@pytest.mark.parametrize("moment", [0.2, 0.5, 0.9])
def test_a_run_that_was_killed_was_not_tampered_with(project: Project, moment: float) -> None:
    project.snakefile("""
rule all:
    input: expand("out/{i}", i=range(8))
rule job:
    output: "out/{i}"
    shell: "sleep 0.2; echo {wildcards.i} > {output}"
""")
    process = project.start()
    deadline = time.monotonic() + 60
    while not list(project.store.glob("*/events/*")) and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(moment)
    os.kill(process.pid, signal.SIGKILL)
    process.wait(timeout=60)
    kill_group(process)
    process.communicate(timeout=60)
    code, found = verified(project)
    assert (code, found["problems"]) == (0, [])
    assert project.yprov4wms("export").returncode == 0
    code, found = verified(project)
    assert (code, found["problems"]) == (0, [])


def test_a_document_alone_is_compared_where_the_tree_is_now(project: Project) -> None:
    project.snakefile(RULES)
    assert project.snakemake().returncode == 0
    assert project.yprov4wms("export", "-o", "run.json.zst").returncode == 0
    there = project.folder.rename(project.folder.with_name("moved"))
    project.folder = there
    code, found = verified(project, "run.json.zst")
    assert code == 1
    code, found = verified(project, "run.json.zst", "--directory", ".")
    assert (code, found["files"]["changed"], found["files"]["gone"]) == (0, [], [])
