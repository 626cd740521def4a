"""Scripts, wrappers and templates, and the software that jobs run in.

Conda, Apptainer and the modules of a cluster are programs of a few lines here that do what
Snakemake asks of them: what is tested is what Snakemake knows and what reaches the job.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.documents import Document, sha256, value
from tests.snakemake.project import Project

SNAKEFILE = """
rule all:
    default_target: True
    input:
        "bash.txt", "r.txt" if config["with_r"] else [], "wrapped.txt", "jinja.txt", "yte.txt",
        "moduled.txt", "contained.txt", "conda.txt", "new\\nline.txt"
rule bash:
    input: "in.txt"
    output: "bash.txt"
    params: word="hello"
    log: "logs/bash.log"
    script: "scripts/run.sh"
rule r:
    output: "r.txt"
    script: "scripts/run.R"
rule wrapped:
    input: "in.txt"
    output: "wrapped.txt"
    wrapper: f"file://{workflow.basedir}/wrappers/copy it"
rule jinja:
    input: "templates/jinja"
    output: "jinja.txt"
    params: who="world"
    template_engine: "jinja2"
rule yte:
    input: "templates/yte"
    output: "yte.txt"
    params: n=3
    template_engine: "yte"
rule moduled:
    output: "moduled.txt"
    envmodules: "tool/1.2", "other/3"
    shell: "echo $LOADED > {output}"
rule contained:
    output: "contained.txt"
    container: "docker://busybox:1.36"
    shell: "echo $INSIDE ${{YPROV_TASK_ID:-none}} > {output}"
rule conda:
    output: "conda.txt"
    conda: "envs/tool.yaml"
    shell: "echo $CONDA_PREFIX ${{YPROV_TASK_ID:-none}} > {output}"
rule newline:
    input: ancient("in.txt")
    output: "new\\nline.txt"
    shell: "cat {input} > {output:q}"
"""

SCRIPT = """
echo "${snakemake_params[word]} $(cat "${snakemake_input[0]}")" > "${snakemake_output[0]}"
echo done > "${snakemake_log[0]}"
"""

WRAPPER = """
from snakemake.shell import shell
shell("cp {snakemake.input} {snakemake.output}")
"""

APPTAINER = """\
#!/bin/bash
case "$1" in
    --version) echo "apptainer version 1.3.4" ;;
    pull) touch "${@: -2:1}" ;;
    exec) INSIDE=container exec bash -c "${@: -1}" ;;
esac
"""

CONDA = """\
#!/bin/bash
case "$1" in
    --version) echo "conda 24.9.2" ;;
    info) echo '{"conda_version": "24.9.2", "platform": "linux-64", "active_prefix": null,
        "conda_prefix": "'"${0%/bin/conda}"'", "envs": []}' ;;
    config) echo '{"get": {"channel_priority": "strict"}, "channel_priority": "strict"}' ;;
    env | create) for a; do
        [ "$previous" = --prefix ] && mkdir -p "$a/conda-meta"; previous=$a
    done ;;
esac
exit 0
"""

MODULE = '() { if [ "$1" = load ]; then shift; export LOADED="$*"; fi; }'


def program(path: Path, content: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(content)
    path.chmod(0o755)


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, Document]:
    project = Project(tmp_path_factory.mktemp("deployed"))
    project.snakefile(SNAKEFILE)
    project.write("in.txt", "content\n")
    project.write("scripts/run.sh", SCRIPT)
    project.write("scripts/run.R", 'cat("R", file = snakemake@output[[1]])\n')
    project.write("wrappers/copy it/wrapper.py", WRAPPER)
    environment = "channels: [conda-forge]\ndependencies: [zlib]\n"
    project.write("wrappers/copy it/environment.yaml", environment)
    project.write("envs/tool.yaml", environment)
    project.write("templates/jinja", "Hello {{ params.who }}")
    project.write("templates/yte", "?for i in range(params.n):\n  - ?i\n")
    programs = project.folder / "bin"
    program(programs / "apptainer", APPTAINER)
    program(programs / "conda", CONDA)
    program(programs / "activate", "export CONDA_PREFIX=$1\n")
    done = project.snakemake(
        *("--sdm", "conda", "apptainer", "env-modules", "--keep-going"),
        *("--config", f"with_r={'true' if shutil.which('Rscript') else ''}"),
        **{"BASH_FUNC_module%%": MODULE},
        PATH=f"{programs}{os.pathsep}{os.environ['PATH']}",
    )
    assert done.returncode == 0, done.stderr
    return project, project.document()


def software(document: Document, step: str) -> list[dict[str, Any]]:
    """What the step's one attempt ran in."""
    links = document.links("used", activity=document.attempt_id(step))
    names = [link["prov:entity"] for link in links if link.get("prov:role") == "environment"]
    return [document.section("entity")[name] for name in names]


def test_every_kind_of_rule_says_what_it_is(deployed: tuple[Project, Document]) -> None:
    _, document = deployed
    for step, kind, code in (
        ("bash", "script", "scripts/run.sh"),
        ("wrapped", "wrapper", "wrappers/copy it"),
        ("jinja", "template_engine", "jinja2"),
        ("yte", "template_engine", "yte"),
        ("newline", "shell", "cat {input} > {output:q}"),
    ):
        plan = document.section("entity")[f"run:step_{step}"]
        assert plan["yprov4wfs:type"] == kind
        assert plan["yprov4wms:code"].endswith(code), step
    assert document.used(document.attempt_id("jinja")) == {"templates/jinja"}
    (yte,) = document.attempts("yte")
    assert value(yte["yprov4wms:param_n"]) == 3


def test_scripts_and_local_wrappers_have_checksums(deployed: tuple[Project, Document]) -> None:
    project, document = deployed
    scripts = {"bash": "scripts/run.sh", "wrapped": "wrappers/copy it/wrapper.py"}
    if shutil.which("Rscript"):
        scripts["r"] = "scripts/run.R"
    for step, path in scripts.items():
        (attempt,) = document.attempts(step)
        assert attempt["yprov4wms:script"] == path
        assert attempt["yprov4wms:script_sha256"] == sha256(project.folder / path)


def test_modules_containers_and_environments_are_told(deployed: tuple[Project, Document]) -> None:
    project, document = deployed
    modules = software(document, "moduled")
    assert {m["yprov4wms:name"] for m in modules} == {"tool/1.2", "other/3"}
    assert (project.folder / "moduled.txt").read_text() == "tool/1.2 other/3\n"
    (container,) = software(document, "contained")
    assert container["yprov4wms:name"] == "docker://busybox:1.36"
    assert container["yprov4wms:software_kind"] == "container"
    (conda,) = software(document, "conda")
    definition = project.folder / "envs/tool.yaml"
    assert conda["yprov4wms:name"] == str(definition)
    assert conda["yprov4wms:sha256"] == sha256(definition)
    assert conda["yprov4wms:version"] in conda["yprov4wms:path"]
    assert not software(document, "bash")


def test_a_job_knows_its_task_inside_of_them(deployed: tuple[Project, Document]) -> None:
    project, document = deployed
    for step, place in (("contained", "container"), ("conda", ".snakemake/conda")):
        where, task = (project.folder / f"{step}.txt").read_text().split()
        assert place in where
        assert task == document.attempts(step)[0]["yprov4wms:task"]


def test_a_name_with_a_newline_is_one_file(deployed: tuple[Project, Document]) -> None:
    project, document = deployed
    (file,) = document.files("new\nline.txt").values()
    assert file["yprov4wms:sha256"] == sha256(project.folder / "in.txt")
    assert document.used(document.attempt_id("newline")) == {"in.txt"}
