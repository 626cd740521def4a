"""``--logger yprov``: the same record with any executor, whose options stay its own."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.documents import Document, at_once, environment
from tests.snakemake.project import Project

SNAKEFILE = """
rule all:
    input: "a.txt", "b.txt", "block.txt", "flaky.txt"
rule a:
    output: "a.txt"
    params: number=3
    shell: "echo {params.number} > {output}"
rule b:
    input: "a.txt"
    output: "b.txt"
    log: "b.log"
    shell: "cat {input} > {output} 2> {log}"
rule block:
    input: "b.txt"
    output: "block.txt"
    run:
        open(output[0], "w").write("x")
rule flaky:
    output: "flaky.txt"
    retries: 1
    shell: "test -e tried || {{ touch tried; exit 3; }}; touch {output}"
rule fails:
    output: "never.txt"
    shell: "exit 4"
rule after:
    input: "never.txt"
    output: "after.txt"
    shell: "touch {output}"
"""

#: By name the options of a run; the first is what the others are held against.
WAYS: dict[str, tuple[str | None, tuple[str, ...]]] = {
    "executor": ("yprov", ()),
    "logger": (None, ("--logger", "yprov")),
    "both": ("yprov", ("--logger", "yprov", "--logger-yprov-nest", "link")),
    "quiet": (None, ("--logger", "yprov", "--quiet", "all")),
    "progress": (None, ("--logger", "yprov", "--quiet", "progress")),
}


@pytest.fixture(scope="module")
def ways(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Project, Any]]:
    projects = {name: Project(tmp_path_factory.mktemp(name) / "wf") for name in WAYS}

    def run(name: str) -> tuple[str, tuple[Project, Any]]:
        executor, options = WAYS[name]
        project = projects[name]
        project.snakefile(SNAKEFILE)
        done = project.snakemake("-k", *options, "--", "all", "after", executor=executor)
        return name, (project, done)

    return dict(at_once(*(partial(run, name) for name in WAYS)))


def same(value: object, folder: Path) -> str:
    """Without what differs from one run to the next."""
    text = re.sub("-[0-9a-f]{12}", "", str(value)).replace(str(folder), "")
    return ", ".join(sorted(text.replace(": ", ", ").split(", ")))


def said(document: Document, folder: Path) -> dict[str, set[tuple[Any, ...]]]:
    found: dict[str, set[tuple[Any, ...]]] = {}
    for section in ("entity", "activity"):
        kept = ("prov:label", "prov:type", "yprov4wfs:status", "yprov4wms:sha256")
        kept += ("yprov4wms:command", "yprov4wms:reason", "yprov4wms:error")
        found[section] = {
            tuple(same(element.get(name), folder) for name in kept)
            for element in document.section(section).values()
            if element["prov:type"] not in ("yprov4wms:WorkflowRun", "yprov4wms:Package")
            and "wms" not in str(element["prov:label"])
        }
    for relation, ends in (("used", ("activity", "entity")), ("wasInformedBy", ())):
        found[relation] = {
            tuple(document.label(record[f"prov:{end}"]) for end in ends)
            for record in document.section(relation).values()
        }
    return found


@pytest.mark.parametrize("way", [name for name in WAYS if name != "executor"])
def test_the_record_is_that_of_the_executor_plugin(
    ways: dict[str, tuple[Project, Any]], way: str
) -> None:
    project, done = ways[way]
    assert done.returncode == ways["executor"][1].returncode == 1
    assert len(project.runs()) == 1
    document, other = project.document(), ways["executor"][0]
    assert document.statuses() == other.document().statuses()
    found = said(document, project.folder)
    expected = said(other.document(), other.folder)
    for section, records in expected.items():
        assert found[section] == records


def test_a_run_without_the_executor_plugin_prints_what_plain_snakemake_does(
    ways: dict[str, tuple[Project, Any]],
) -> None:
    _, done = ways["logger"]
    assert done.stdout == ""
    assert "provenance is in" in done.stderr
    assert "Finished jobid" in done.stderr


def test_a_workflow_that_changes_directory_is_recorded_where_it_went(project: Project) -> None:
    project.snakefile("""
        import os
        os.makedirs("else where", exist_ok=True)
        os.chdir("else where")
        rule all:
            input: "b.txt"
        rule a:
            output: "a.txt"
            run:
                open(output[0], "w").write("x")
        rule b:
            input: "a.txt"
            output: "b.txt"
            shell: "cp {input} {output}; exit 2"
        onerror:
            raise ValueError("thrown")
    """)
    done = project.snakemake("--logger", "yprov", executor=None)
    assert done.returncode == 1
    assert "thrown" in done.stderr
    store = project.folder / "else where" / ".yprov"
    (run,) = store.iterdir()
    assert f"--store {shlex.quote(str(store))} {run.name}" in done.stderr
    document = project.document(run)
    assert document.statuses() == {"a": ["completed"], "b": ["failed"], "all": ["upstream-failed"]}
    assert document.used(document.attempt_id("b")) == {"a.txt"}
    assert document.made(document.attempt_id("a")) == {"a.txt"}


@pytest.mark.parametrize("options", [("-n",), ("--touch",), ("--report",), ("--unlock",)], ids=str)
def test_what_runs_nothing_leaves_no_run(
    ways: dict[str, tuple[Project, Any]], options: tuple[str, ...]
) -> None:
    project, _ = ways["logger"]
    before = project.runs()
    project.snakemake("--logger", "yprov", *options, "--", "all", executor=None)
    assert project.runs() == before
    done = project.snakemake("--logger", "yprov", "--", "all", executor=None)
    assert "Nothing to be done" in done.stderr
    assert project.runs() == before


def test_remote_jobs_and_local_rules_are_recorded(project: Project) -> None:
    pytest.importorskip("snakemake_executor_plugin_cluster_generic")
    project.snakefile("""
        localrules: all, near
        rule all:
            input: "near.txt", "far.txt"
        rule near:
            output: "near.txt"
            shell: "echo ${{YPROV_TASK_ID}} > {output}"
        rule far:
            input: "near.txt"
            output: "far.txt"
            shell: "echo ${{YPROV_TASK_ID}} > {output}"
    """)
    submit = ("--cluster-generic-submit-cmd", "sh", "--jobs", "2")
    done = project.snakemake("--logger", "yprov", *submit, executor="cluster-generic")
    assert done.returncode == 0, done.stderr
    document = project.document()
    assert document.run["yprov4wms:executor"] == "cluster-generic"
    assert document.statuses() == {
        "all": ["completed"],
        "near": ["completed"],
        "far": ["completed"],
    }
    for name in ("near", "far"):
        task = (project.folder / f"{name}.txt").read_text().strip()
        assert document.attempt_id(name) == f"run:task_{task}.1"


def test_settings_are_those_of_the_executor_plugin(project: Project) -> None:
    project.snakefile(SNAKEFILE)
    options = ("--logger", "yprov", "--logger-yprov-store", "kept", "--logger-yprov-hash", "none")
    done = project.snakemake(*options, "--", "a.txt", executor=None, YPROV_EXPORT="never")
    assert done.returncode == 0, done.stderr
    (run,) = (project.folder / "kept").iterdir()
    assert not (run / "prov.json").exists()
    # The executor plugin's own come first.
    more = ("--yprov-store", "other", "-F")
    done = project.snakemake(*options, *more, "--", "a.txt")
    assert done.returncode == 0, done.stderr
    (run,) = (project.folder / "other").iterdir()
    assert b"sha256" not in (run / "prov.json").read_bytes()


def test_a_bad_setting_is_one_clear_error_before_any_job(project: Project) -> None:
    project.snakefile(SNAKEFILE)
    options = ("--logger", "yprov", "--logger-yprov-cpu-watts", "many")
    done = project.snakemake(*options, "--", "a.txt", executor=None)
    assert done.returncode == 1
    assert "setting cpu-watts" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (project.folder / "a.txt").exists()
    assert project.runs() == []


API = """
import sys
from pathlib import Path
from snakemake.api import OutputSettings, ResourceSettings, SnakemakeApi
from snakemake_logger_plugin_yprov import LogHandlerSettings

def run(folder, handlers):
    Path(folder).mkdir()
    (Path(folder) / "Snakefile").write_text("rule a:\\n  output: 'a'\\n  shell: 'touch a'\\n")
    with SnakemakeApi(OutputSettings(log_handler_settings=handlers)) as api:
        flow = api.workflow(ResourceSettings(cores=1), workdir=Path(folder),
                            snakefile=Path(folder) / "Snakefile")
        flow.dag().execute_workflow()

run("first", {"yprov": LogHandlerSettings()})
run("second", {})
run("third", {"yprov": LogHandlerSettings(store="kept")})
"""


def test_with_the_api_each_workflow_that_asks_for_it_is_recorded(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", API],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    stores = sorted(str(p.parent.relative_to(tmp_path)) for p in tmp_path.glob("*/*/*/prov.json"))
    assert [Path(store).parent.as_posix() for store in stores] == [
        "first/.yprov",
        "third/kept",
    ]


def test_doctor_says_which_options_find_a_plugin(project: Project) -> None:
    done = project.yprov4wms("doctor")
    assert done.returncode == 0, done.stdout
    assert b"Snakemake finds --executor yprov, --logger yprov, --reporter yprov" in b" ".join(
        done.stdout.split()
    )
