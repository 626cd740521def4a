"""``yprov4wms import snakemake``: runs that were made without us."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.documents import Document, at_once, environment, sha256, value
from tests.snakemake.project import Project

LONG = "n" * 230 + ".txt"

SNAKEFILE = f"""
rule all:
    input: "joined.txt", "two.txt", "{LONG}", "used.txt"
checkpoint split:
    input: "in.txt"
    output: directory("parts")
    shell: "mkdir parts; echo 1 > parts/a.txt; echo 2 > parts/b.txt"
rule part:
    input: "parts/{{name}}.txt"
    output: "done/{{name}}.txt"
    params: factor=3, words=["a", "b"]
    log: "logs/{{name}}.log"
    shell: "cat {{input}} > {{output}} 2> {{log}}"
def parts(wildcards):
    folder = checkpoints.split.get().output[0]
    return expand("done/{{n}}.txt", n=sorted(glob_wildcards(folder + "/{{n}}.txt").n))
rule join:
    input: parts
    output: "joined.txt"
    shell: "cat {{input}} > {{output}}"
rule two:
    output: "one.txt", "two.txt"
    shell: "echo 'é' > {{output[0]}}; echo 2 > {{output[1]}}"
rule long:
    output: "{LONG}"
    run:
        open(output[0], "w").write("x")
rule passing:
    output: temp("passing.txt")
    shell: "echo x > {{output}}"
rule used:
    input: "passing.txt"
    output: "used.txt"
    shell: "cp {{input}} {{output}}"
rule fails:
    output: "never.txt"
    shell: "touch {{output}}; exit 3"
"""


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Project, Document]]:
    """By backend a run, and the document that was made of what it left."""
    projects = {name: Project(tmp_path_factory.mktemp(name) / "wf") for name in ("file", "db")}

    def run(backend: str) -> tuple[str, tuple[Project, Document]]:
        project = projects[backend]
        project.snakefile(SNAKEFILE)
        project.write("in.txt", "before")
        options = ("--keep-going", "--persistence-backend", backend)
        done = project.snakemake(*options, "--", "all", "never.txt", executor=None)
        assert done.returncode == 1
        done = project.yprov4wms("import", "snakemake")
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(b"imported as run ")
        return backend, (project, project.document())

    return dict(at_once(*(partial(run, name) for name in projects)))


BACKENDS = pytest.mark.parametrize("backend", ["file", "db"])


@BACKENDS
def test_each_job_with_outputs_is_there_and_completed(
    imported: dict[str, tuple[Project, Document]], backend: str
) -> None:
    _, document = imported[backend]
    found = {
        step: [a.get("yprov4wfs:status") for a in document.attempts(step)]
        for step in ("split", "part", "join", "two", "long", "passing", "used")
    }
    assert found.pop("part") == ["completed"] * 2
    assert set(map(tuple, found.values())) == {("completed",)}
    assert document.attempts("all") == []


@BACKENDS
def test_a_failed_job_is_not_called_completed(
    imported: dict[str, tuple[Project, Document]], backend: str
) -> None:
    project, document = imported[backend]
    for attempt in document.attempts("fails"):
        assert "yprov4wfs:status" not in attempt
        assert "prov:endTime" not in attempt
        assert "none of its outputs is there" in attempt["yprov4wms:engine_note"]
    assert "yprov4wfs:status" not in document.run
    shown = project.yprov4wms("show").stdout.decode()
    assert "imported" in shown
    assert "running" not in shown


@BACKENDS
def test_files_and_dependencies_are_linked(
    imported: dict[str, tuple[Project, Document]], backend: str
) -> None:
    project, document = imported[backend]
    join = document.attempt_id("join")
    assert document.used(join) == {"done/a.txt", "done/b.txt"}
    split = document.attempt_id("split")
    assert document.used(split) == {"in.txt"}
    for identifier, attempt in document.section("activity").items():
        if attempt.get("yprov4wms:step") == "part":
            # The DAG has no edge for a file inside a checkpoint's directory.
            assert document.informants(identifier, "depends-on") == {split}
            assert identifier in document.informants(join, "depends-on")
    ((identifier, file),) = document.files("joined.txt").items()
    assert file["yprov4wms:sha256"] == sha256(project.folder / "joined.txt")
    assert document.links("wasGeneratedBy", entity=identifier, activity=join)
    assert document.made(document.attempt_id("two")) == {"one.txt", "two.txt"}
    assert document.made(document.attempt_id("long")) == {LONG}


@BACKENDS
def test_what_was_run_is_told_and_what_is_unknown_is_not(
    imported: dict[str, tuple[Project, Document]], backend: str
) -> None:
    _, document = imported[backend]
    for attempt in document.attempts("part"):
        assert attempt["yprov4wms:command"].startswith("cat parts/")
        assert value(attempt["yprov4wfs:execution_time_sec"]) >= 0
        for unknown in ("exit_code", "host", "threads", "cpu_time", "wildcard_name", "reason"):
            assert f"yprov4wms:{unknown}" not in attempt
    for name in ("prov:startTime", "prov:endTime", "yprov4wfs:execution_time_sec"):
        assert name not in document.run
    assert document.run["yprov4wms:imported"] is True
    assert document.section("agent").keys() == {"run:engine"}


def test_a_second_export_is_byte_identical_and_a_second_import_another_run(
    imported: dict[str, tuple[Project, Document]],
) -> None:
    project, document = imported["file"]
    assert project.exported().content == document.content
    done = project.yprov4wms("import", "snakemake", str(project.folder), "--store", "other")
    assert done.returncode == 0, done.stderr
    (run,) = (project.folder / "other").iterdir()
    assert not document.ids() & project.document(run).ids()


def test_what_was_changed_since_is_told_and_has_no_checksum(project: Project) -> None:
    project.snakefile("""
        rule a:
            input: "in.txt"
            output: "a.txt"
            shell: "cp {input} {output}"
    """)
    project.write("in.txt", "x" * 200_000)  # too large for a checksum in Snakemake's record
    assert project.snakemake("--", "a.txt", executor=None).returncode == 0
    later = time.time() + 60
    for name in ("in.txt", "a.txt"):
        (project.folder / name).write_text("changed")
        os.utime(project.folder / name, (later, later))
    assert project.yprov4wms("import", "snakemake").returncode == 0
    document = project.document()
    for name, told in (("in.txt", "since the job started"), ("a.txt", "since the job ended")):
        ((_, file),) = document.files(name).items()
        assert "yprov4wms:sha256" not in file
        assert told in file["yprov4wms:note"]


def records(project: Project) -> Path:
    return project.folder / ".snakemake" / "metadata"


@pytest.fixture
def small(project: Project) -> Project:
    project.snakefile("rule a:\n    output: 'a.txt'\n    shell: 'touch {output}'\n")
    assert project.snakemake("--", "a.txt", executor=None).returncode == 0
    return project


def change(project: Project, **values: Any) -> None:
    (path,) = [p for p in records(project).iterdir() if p.is_file()]
    path.write_text(json.dumps({**json.loads(path.read_bytes()), **values}))


def test_a_start_after_the_end_is_left_out(small: Project) -> None:
    change(small, starttime=time.time() + 100)
    assert small.yprov4wms("import", "snakemake").returncode == 0
    (attempt,) = small.document().attempts("a")
    assert "prov:startTime" not in attempt
    assert "prov:endTime" in attempt


def test_an_incomplete_job_is_not_called_completed(small: Project) -> None:
    change(small, incomplete=True)
    assert small.yprov4wms("import", "snakemake").returncode == 0
    (attempt,) = small.document().attempts("a")
    assert "yprov4wfs:status" not in attempt
    assert "incomplete" in attempt["yprov4wms:engine_note"]


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"null", b'{"rule": 5}', b'{"rule": "b", "input": 7}', b"\xff"]
)
def test_a_damaged_record_costs_only_itself(small: Project, content: bytes) -> None:
    name = base64.urlsafe_b64encode(b"b.txt").decode()
    (records(small) / name).write_bytes(content)
    (records(small) / "no base64!").write_bytes(b"{}")
    done = small.yprov4wms("import", "snakemake")
    assert done.returncode == 0, done.stderr
    assert b"passed over" in done.stderr
    assert b"Traceback" not in done.stderr
    (attempt,) = small.document().attempts("a")
    assert attempt["yprov4wfs:status"] == "completed"


@pytest.mark.parametrize("kind", ["no folder", "never ran", "empty", "database"])
def test_where_there_is_nothing_to_import_is_one_error(project: Project, kind: str) -> None:
    if kind in ("empty", "database"):
        records(project).mkdir(parents=True)
    if kind == "database":
        (project.folder / ".snakemake" / "metadata.db").write_bytes(b"no database")
    where = "none" if kind == "no folder" else "."
    done = project.yprov4wms("import", "snakemake", where)
    assert done.returncode == 2
    assert done.stderr.decode().splitlines()[-1].startswith("yprov4wms: error: ")
    assert b"Traceback" not in done.stderr
    assert project.runs() == []


def test_an_unknown_engine_and_a_store_that_cannot_be_written(small: Project) -> None:
    done = small.yprov4wms("import", "make")
    assert done.returncode == 2
    assert b"snakemake" in done.stderr
    done = small.yprov4wms("import", "snakemake", "--store", "Snakefile/store")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1


# -- snakemake --reporter yprov --------------------------------------------------------------


def test_the_reporter_joins_the_record_with_the_present_dag(
    imported: dict[str, tuple[Project, Document]],
) -> None:
    project, _ = imported["file"]
    options = ("--reporter", "yprov", "--report-yprov-store", "reported", "--", "all", "never.txt")
    done = project.snakemake(*options, executor=None)
    assert done.returncode == 0, done.stderr
    (run,) = (project.folder / "reported").iterdir()
    assert str(run / "prov.json") in done.stderr
    document = project.document(run)
    split = document.attempt_id("split")
    for identifier, attempt in document.section("activity").items():
        if attempt.get("yprov4wms:step") == "part":
            assert value(attempt["yprov4wms:param_factor"]) == 3
            assert attempt["yprov4wms:wildcard_name"] in ("a", "b")
            assert document.informants(identifier, "depends-on") == {split}
    assert document.section("entity")["run:step_part"]["yprov4wms:line"]
    assert document.section("entity")["run:workflow"]["yprov4wms:path"] == "Snakefile"


def test_the_reporter_tells_what_is_still_to_do(small: Project) -> None:
    with (small.folder / "Snakefile").open("a") as file:
        file.write("rule b:\n    input: 'a.txt'\n    output: 'b.txt'\n    shell: 'exit 1'\n")
    done = small.snakemake("--reporter", "yprov", "--", "b.txt", executor=None)
    assert done.returncode == 0, done.stderr
    document = small.document()
    assert document.statuses() == {"a": ["completed"], "b": ["not-started"]}
    assert document.section("entity")["run:step_b"]["yprov4wms:code"] == "exit 1"
    (plan,) = (i for i, e in document.section("entity").items() if e in document.plans("b"))
    assert document.links(
        "wasInfluencedBy", influencee=plan, influencer=document.attempt_id("a")
    ) or document.links("wasInformedBy", informed=plan)


def test_the_reporter_tells_what_was_interrupted(small: Project) -> None:
    with (small.folder / "Snakefile").open("a") as file:
        file.write("rule c:\n    output: 'c.txt'\n    shell: 'touch {output}; sleep 60'\n")
    process = subprocess.Popen(
        small.command("--", "c.txt", executor=None),
        cwd=small.folder,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while not (small.folder / "c.txt").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(60)
    assert small.snakemake("--unlock", executor=None).returncode == 0
    options = ("--reporter", "yprov", "--rerun-incomplete", "--", "a.txt", "c.txt")
    done = small.snakemake(*options, executor=None)
    assert done.returncode == 0, done.stderr
    document = small.document()
    (attempt,) = document.attempts("c")
    assert attempt["yprov4wms:engine_note"] == "Snakemake marks its outputs as incomplete"
    assert "yprov4wfs:status" not in attempt
    assert "yprov4wfs:status" not in document.run


def test_the_reporter_without_any_record_is_one_error(project: Project) -> None:
    project.snakefile("rule a:\n    output: 'a.txt'\n    shell: 'touch {output}'\n")
    done = project.snakemake("--reporter", "yprov", executor=None)
    assert done.returncode == 1
    assert "has no record of any job" in done.stderr
    assert project.runs() == []
