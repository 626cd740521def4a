"""What one plain run leaves: every job, file, parameter, and the links between them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from tests.documents import Document, value
from tests.snakemake.project import Project

SNAKEFILE = """
configfile: "config.yaml"

rule all:
    input: "out/report.txt", "out/merged.txt"

rule make:
    "Makes a table."
    input: raw="raw data.txt"
    output: table="out/{sample}.csv"
    params: factor=lambda wc: 3 if wc.sample == "a" else 4, name="x"
    log: "logs/make-{sample}.log"
    benchmark: "bench/{sample}.tsv"
    threads: 2
    resources: mem_mb=50
    shell:
        "echo {wildcards.sample} > {output}; echo $YPROV_TASK_ID $YPROV_ATTEMPT > {log}; "
        "cat '{input.raw}' >> {output}"

rule split:
    input: "out/a.csv"
    output: directory("out/parts")
    shell: "mkdir -p {output}/deep; echo 1 > {output}/one; echo 2 > {output}/deep/two"

rule merge:
    input: "out/a.csv", "out/b.csv", "out/parts"
    output: "out/merged.txt"
    run:
        import os
        with open(output[0], "w") as file:
            file.write(os.environ["YPROV_TASK_ID"])

rule report:
    input: "out/parts/deep/two"
    output: "out/report.txt"
    script: "report.py"
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, Document]:
    project = Project(tmp_path_factory.mktemp("plain"))
    project.snakefile(SNAKEFILE.replace('input: "out/parts/deep/two"', 'input: "out/parts"'))
    project.write("config.yaml", "depth: 3\napi_token: abcdef123456\n")
    project.write("raw data.txt", "raw\n")
    project.write(
        "report.py", "open(snakemake.output[0], 'w').write(open('out/parts/deep/two').read())\n"
    )
    done = project.snakemake()
    assert done.returncode == 0, done.stderr
    assert "yprov: provenance is in" in done.stderr
    return project, project.document()


def test_every_job_is_an_attempt_with_its_figures(run: tuple[Project, Document]) -> None:
    _, document = run
    assert document.statuses() == {
        "all": ["completed"],
        "make": ["completed", "completed"],
        "split": ["completed"],
        "merge": ["completed"],
        "report": ["completed"],
    }
    assert document.run["yprov4wfs:status"] == "completed"
    for attempt in document.attempts("make"):
        assert value(attempt["yprov4wms:exit_code"]) == 0
        assert value(attempt["yprov4wms:threads"]) == 2
        assert value(attempt["yprov4wms:resource_mem_mb"]) == 50
        assert attempt["yprov4wms:param_name"] == "x"
        assert attempt["yprov4wms:wildcard_sample"] in "ab"
        assert value(attempt["yprov4wms:param_factor"]) in (3, 4)
        assert attempt["yprov4wms:cpu_time_method"] == "wait4"
        assert "echo" in attempt["yprov4wms:command"]
        assert attempt["prov:startTime"] <= attempt["prov:endTime"]


def test_files_have_the_checksum_of_their_content(run: tuple[Project, Document]) -> None:
    project, document = run
    for path in ("out/a.csv", "out/merged.txt", "raw data.txt", "logs/make-a.log", "bench/b.tsv"):
        (entity,) = document.files(path).values()
        content = (project.folder / path).read_bytes()
        assert entity["yprov4wms:sha256"] == hashlib.sha256(content).hexdigest()
        assert value(entity["yprov4wms:size"]) == len(content)


def test_each_process_knows_its_task(run: tuple[Project, Document]) -> None:
    project, document = run
    for attempt in document.attempts("make"):
        told = (
            project.folder / f"logs/make-{attempt['yprov4wms:wildcard_sample']}.log"
        ).read_text()
        assert told.split() == [attempt["yprov4wms:task"], "1"]
    (merge,) = document.attempts("merge")
    assert (project.folder / "out/merged.txt").read_text() == merge["yprov4wms:task"]


def test_edges_say_who_made_what_from_what(run: tuple[Project, Document]) -> None:
    _, document = run
    merge, split = document.attempt_id("merge"), document.attempt_id("split")
    parts = set(document.files("out/parts"))
    assert {
        r["prov:activity"]
        for r in document.section("wasGeneratedBy").values()
        if r["prov:entity"] in parts
    } == {split}
    used = {r["prov:entity"] for r in document.links("used", activity=merge)}
    assert parts < used
    assert split in document.informants(merge, "depends-on")
    assert document.informants(merge, "part-of") == {"run:workflow_run"}
    members = {
        r["prov:entity"]
        for r in document.section("hadMember").values()
        if r["prov:collection"] in parts
    }
    assert members == set(document.files("out/parts/one")) | set(
        document.files("out/parts/deep/two")
    )


def test_the_plan_stands_with_code_and_order(run: tuple[Project, Document]) -> None:
    _, document = run
    make = document.section("entity")["run:step_make"]
    assert make["prov:type"] == "prov:Plan"
    assert make["yprov4wfs:description"] == "Makes a table."
    assert "{wildcards.sample}" in make["yprov4wms:code"]
    assert value(make["yprov4wms:line"]) == 7
    assert document.section("entity")["run:step_report"]["yprov4wms:script_sha256"]
    influenced = {
        (r["prov:influencee"], r["prov:influencer"])
        for r in document.section("wasInfluencedBy").values()
    }
    assert ("run:step_merge", "run:step_make") in influenced
    plan = {
        r.get("prov:plan")
        for r in document.links("wasAssociatedWith", activity=document.attempt_id("merge"))
    }
    assert plan == {"run:step_merge"}


def test_the_run_says_what_it_was(run: tuple[Project, Document]) -> None:
    project, document = run
    assert document.run["yprov4wfs:engine"] == "snakemake"
    assert "--executor yprov" in document.run["yprov4wms:command"]
    workflow = document.section("entity")["run:workflow"]
    snakefile = (project.folder / "Snakefile").read_bytes()
    assert workflow["yprov4wms:sha256"] == hashlib.sha256(snakefile).hexdigest()
    assert value(workflow["yprov4wms:config_depth"]) == 3
    environment = document.section("entity")["run:environment"]
    assert environment["yprov4wms:version_snakemake"]
    assert {a["prov:type"] for a in document.section("agent").values()} == {
        "prov:SoftwareAgent",
        "prov:Person",
    }


def test_a_secret_in_the_configuration_stays_out(run: tuple[Project, Document]) -> None:
    project, _ = run
    for path in project.store.rglob("*"):
        if path.is_file():
            assert b"abcdef123456" not in path.read_bytes(), path


def test_a_second_export_is_byte_identical(run: tuple[Project, Document]) -> None:
    project, document = run
    assert project.exported().content == document.content


def test_show_and_runs_tell_of_it(run: tuple[Project, Document]) -> None:
    project, document = run
    shown = project.yprov4wms("show").stdout.decode()
    assert "make sample=a" in shown
    assert "6 completed" in shown
    listed = project.yprov4wms("runs").stdout.decode()
    assert document.run["yprov4wms:run_id"] in listed


def test_graph_exports_hold_the_edges(run: tuple[Project, Document]) -> None:
    project, _ = run
    done = project.yprov4wms("export", "--format", "node-link")
    graph = json.loads(done.stdout)
    steps = {n["id"]: n["step"] for n in graph["nodes"] if "step" in n}
    edges = {
        (steps[e["source"]], steps[e["target"]])
        for e in graph["edges"]
        if e["link"] == "depends-on"
    }
    assert {("make", "merge"), ("split", "report"), ("merge", "all")} <= edges


def test_nothing_to_do_leaves_no_run(run: tuple[Project, Document]) -> None:
    project, _ = run
    before = project.runs()
    done = project.snakemake()
    assert "Nothing to be done" in done.stderr
    assert project.runs() == before


def test_a_dry_run_leaves_no_run(project: Project) -> None:
    project.snakefile("rule a:\n    output: 'x'\n    shell: 'touch {output}'\n")
    assert project.snakemake("-n").returncode == 0
    assert not project.store.exists()


def test_the_same_workflow_twice_gives_two_documents_without_a_shared_id(project: Project) -> None:
    project.snakefile("rule a:\n    output: 'x'\n    shell: 'touch {output}'\n")
    for _ in range(2):
        assert project.snakemake("-F").returncode == 0
    first, second = (project.document(run) for run in project.runs())
    assert not first.ids() & second.ids()


def test_a_rerun_tells_what_was_up_to_date(project: Project) -> None:
    project.snakefile(
        """
        rule all:
            input: "b"
        rule a:
            output: "a"
            shell: "echo a > {output}"
        rule b:
            input: "a"
            output: "b"
            shell: "cat {input} > {output}"
        """
    )
    assert project.snakemake().returncode == 0
    assert project.snakemake("--forcerun", "b").returncode == 0
    document = project.document()
    assert document.statuses() == {"all": ["completed"], "a": ["up-to-date"], "b": ["completed"]}
    (version,) = document.files("a").values()
    assert version["yprov4wms:sha256"] == hashlib.sha256(b"a\n").hexdigest()


def test_outputs_and_exit_status_are_those_of_plain_snakemake(
    project: Project, tmp_path_factory: pytest.TempPathFactory
) -> None:
    plain = Project(tmp_path_factory.mktemp("plain"))
    for one, executor in ((project, "yprov"), (plain, None)):
        one.snakefile(
            """
            rule all:
                input: "x.txt", "y.txt"
            rule x:
                output: "x.txt"
                shell: "echo out; echo err >&2; echo $0 > {output}"
            rule y:
                output: "y.txt"
                shell: "echo only-stdout; echo y > {output}"
            """
        )
        done = one.snakemake(executor=executor, cores=1)
        assert done.returncode == 0
        (one.folder / "stdout").write_text(done.stdout)
    for name in ("x.txt", "y.txt", "stdout"):
        assert (project.folder / name).read_text() == (plain.folder / name).read_text()


def test_without_the_plugin_a_script_sees_no_variables(project: Project) -> None:
    project.snakefile(
        "rule a:\n    output: 'x'\n    shell: 'env | grep -c YPROV > {output} || true'\n"
    )
    assert project.snakemake(executor=None).returncode == 0
    assert Path(project.folder / "x").read_text() == "0\n"


def test_a_command_is_recorded_as_snakemake_formats_it(project: Project) -> None:
    project.write("in 'a'.txt", "x")
    project.snakefile(r"""
        input_list = ["a", "b"]
        rule all:
            input: "x.y.txt", "many.txt"
        rule one:
            input: first="in 'a'.txt", rest=["in 'a'.txt", "Snakefile"]
            output: "{a}.{b}.txt"
            params: number=3, words=["u v", "w"], empty=""
            log: "{a}.{b}.log"
            resources: mem_mb=7
            threads: 2
            shell:
                '''
                echo {input.first:q} {input.rest:q} {input[0]:q} {params.number} {params.words} \
                  {params.words:q} {params.empty} {wildcards} {wildcards.a} {threads} {input_list} \
                  {resources.mem_mb} {rule} {jobid} {{literal}} ${{HOME:-}} > {log}
                awk 'BEGIN {{ print 1 }}' > {output:q}
                '''
        rule many:
            output: "many.txt"
            shell: "echo %s %d%% {output:>12} {output:u} > {output}"
    """)
    done = project.snakemake()
    assert done.returncode == 0, done.stderr
    recorded = {a["yprov4wms:command"] for a in project.document().attempts("one")}
    recorded |= {a["yprov4wms:command"] for a in project.document().attempts("many")}
    metadata = (project.folder / ".snakemake" / "metadata").iterdir()
    formatted = {json.loads(path.read_bytes())["shellcmd"] for path in metadata}
    assert recorded == formatted
