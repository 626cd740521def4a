"""OpenLineage events of a real run: retries, failures, jobs that never ran, lineage by files."""

from __future__ import annotations

import json

from tests.snakemake.project import Project
from tests.yprov4wms.export.openlineage.spec import SPEC, faults

SNAKEFILE = """
rule all:
    input: "c.txt", "d.txt"
rule a:
    output: "a.txt"
    retries: 1
    shell: "test -e tried || {{ touch tried; exit 3; }}; echo a > {output}"
rule b:
    input: "a.txt"
    output: "b é.txt"
    params: lr=0.1
    shell: "cp {input} '{output}'"
rule c:
    input: "b é.txt"
    output: "c.txt"
    shell: "exit 4"
rule d:
    input: "c.txt"
    output: "d.txt"
    shell: "cp {input} {output}"
"""


def test_a_run_is_told_as_runs_and_jobs_that_files_tie(project: Project) -> None:
    project.snakefile(SNAKEFILE)
    done = project.snakemake("--keep-going")
    assert done.returncode == 1, done.stderr
    exported = project.yprov4wms("export", "--format", "openlineage")
    assert exported.returncode == 0, exported.stderr.decode()
    assert exported.stderr == b""
    events = [json.loads(line) for line in exported.stdout.splitlines()]
    if SPEC.is_dir():
        assert [fault for event in events for fault in faults(event)] == []

    def of(step: str) -> list[str | None]:
        return [
            event.get("eventType")
            for event in events
            if event["job"]["name"].split(".", 1)[-1].split()[0] == step
        ]

    assert of("a") == ["START", "FAIL", "START", "COMPLETE"]
    assert of("b") == ["START", "COMPLETE"]
    assert of("c") == ["START", "FAIL"]
    assert of("d") == of("all") == [None]
    assert (events[0]["eventType"], events[-1]["eventType"]) == ("START", "FAIL")
    ends = {e["job"]["name"]: e for e in events if e.get("eventType") == "COMPLETE"}
    (made,) = ends[f"{project.folder.name}.a"]["outputs"]
    (used,) = ends[f"{project.folder.name}.b"]["inputs"]
    assert made["name"] == used["name"] == str(project.folder / "a.txt")
    assert used["namespace"] == "file"
    assert made["facets"]["version"]["datasetVersion"].startswith("sha256:")
    figures = ends[f"{project.folder.name}.b"]["run"]["facets"]["yprov4wms_resources"]["figures"]
    assert figures["cpu_time"]["method"] == "wait4"
    lost = next(e for e in events if e["job"]["name"] == f"{project.folder.name}.d")
    assert lost["job"]["facets"]["yprov4wms_notRun"]["status"] == "upstream-failed"
    starts = [e for e in events if e.get("eventType") == "START"]
    b = next(e for e in starts if e["job"]["name"] == f"{project.folder.name}.b")
    (upstream,) = b["run"]["facets"]["jobDependencies"]["upstream"]
    assert upstream["run"]["runId"] == ends[f"{project.folder.name}.a"]["run"]["runId"]
