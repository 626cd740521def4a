"""Every kind of rule, file and place that Snakemake has, with what the document says of it."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from tests.documents import Document, at_once, sha256, value
from tests.snakemake.project import Project

ODD = "a name with 'quotes' \"double\" $x é ü.txt"

SNAKEFILE = r"""
scattergather:
    split=3

module other:
    snakefile: "mod/Snakefile"
    prefix: "other"

rule all:
    default_target: True
    input:
        "piped.txt", "served.txt", "shadowed.txt", "kept.txt", "touched", "multi.done", "tags.txt",
        "gathered.txt", "other/count.txt", "counted.txt", config["odd"], "linked.txt",
        "from outside.txt", "benched.txt", "aggregated.txt", "empty dir", "updated.txt", "big.txt",
        "one.scripted"

use rule * from other as other_*

use rule count from other as longer with:
    input: "gathered.txt"
    output: "counted.txt"

rule producer:
    output: pipe("stream")
    shell: "printf '3\n1\n2\n' > {output}"
rule consumer:
    input: "stream"
    output: "piped.txt"
    shell: "sort {input} > {output}"

rule service:
    output: service("socket")
    shell: "echo served > {output}; exec sleep 60"
rule client:
    input: server="socket"
    output: "served.txt"
    shell: "cat {input} > {output}"

rule shadowed:
    input: "link.txt"
    output: "shadowed.txt"
    log: "logs/shadow.log"
    shadow: "minimal"
    shell: "touch junk; cat {input} > {output}; echo ${{YPROV_TASK_ID:-none}} > {log}"

rule temporary:
    output: small=temp("tmp/small.txt"), big=temp("tmp/big.bin")
    shell: "echo t > {output.small}; head -c 3000000 /dev/zero > {output.big}"
rule keep:
    input: "tmp/small.txt", "tmp/big.bin"
    output: protected("kept.txt")
    shell: "cat {input[0]} > {output}; wc -c < {input[1]} >> {output}"
rule big:
    output: "big.txt"
    shell: "head -c 200000 /dev/zero > {output}"

rule nothing_inside:
    output: directory("empty dir")
    shell: "mkdir {output:q}"
rule touched:
    output: touch("touched")
    shell: "true"
rule multi:
    output: multiext("multi", ".a", ".b", ".done")
    shell: "for file in {output}; do basename $file > $file; done"
rule tags:
    input: a="multi.a", rest=["multi.b", "touched"]
    output: ensure("tags.txt", non_empty=True)
    params: 5, text="a 'b' \"c\" $d \\ é", several=["x", "y"], nested={"deep": {"er": 1}}
    shell: "cat {input} > {output}"

rule scripted:
    output: "{kind}.scripted"
    script: "scripts/{wildcards.kind}.py"

rule scatter:
    output: scatter.split("parts/{scatteritem}.txt")
    shell: "for file in {output}; do echo part > $file; done"
rule work:
    input: "parts/{scatteritem}.txt"
    output: "worked/{scatteritem}.txt"
    shell: "cat {input} > {output}"
rule gather:
    input: gather.split("worked/{scatteritem}.txt")
    output: "gathered.txt"
    shell: "cat {input} > {output}"

rule odd_names:
    input: "input " + config["odd"]
    output: config["odd"]
    shell: "cat {input:q} > {output:q}"
rule linked:
    input: "link.txt"
    output: "linked.txt"
    shell: "ln -s target.txt {output}"
rule from_outside:
    input: "outside"
    output: "from outside.txt"
    shell: "cat {input}/one {input}/deep/two > {output:q}"
rule benched:
    output: "benched.txt"
    benchmark: repeat("bench.tsv", 3)
    shell: "echo x >> {output}"
rule updated:
    output: update("updated.txt")
    shell: "echo new >> {output}"

checkpoint found:
    input: "touched"
    output: directory("found")
    shell: "mkdir -p {output}/deep; for i in p q; do echo $i > {output}/deep/$i.txt; done"
rule treat:
    input: "found/deep/{i}.txt"
    output: "treated/{i}.txt"
    shell: "cp {input} {output}"
def treated(wildcards):
    folder = checkpoints.found.get().output[0]
    return expand("treated/{i}.txt", i=glob_wildcards(folder + "/deep/{i}.txt").i)
rule aggregate:
    input: treated
    output: "aggregated.txt"
    shell: "cat {input} > {output}"
"""

MODULE = """
rule count:
    input: "words.txt"
    output: "count.txt"
    shell: "wc -w < {input} > {output}"
rule words:
    output: "words.txt"
    shell: "echo a b c > {output}"
"""

OPTIONS = ("--quiet", "all", "--forcerun", "updated")


def prepare(project: Project) -> Project:
    project.snakefile(SNAKEFILE)
    project.write("mod/Snakefile", MODULE)
    project.write("config.yaml", f"odd: {ODD!r}\n".replace("\\'", "''"))
    project.write("target.txt", "real\n")
    (project.folder / "link.txt").symlink_to("target.txt")
    project.write("outside/one", "1\n")
    project.write("outside/deep/two", "2\n")
    project.write(f"input {ODD}", "odd\n")
    project.write("updated.txt", "old\n")
    project.write("scripts/one.py", "open(snakemake.output[0], 'w').write('scripted')\n")
    return project


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, Project]:
    """The same workflow under us and under plain Snakemake."""
    ours, plain = (prepare(Project(tmp_path_factory.mktemp(n))) for n in ("ours", "plain"))
    options = [*OPTIONS, "--configfile", "config.yaml"]
    done = at_once(
        partial(ours.snakemake, *options),
        partial(plain.snakemake, *options, executor=None),
    )
    for one in done:
        assert one.returncode == 0, one.stderr
    assert done[0].stdout == done[1].stdout
    told = [line for line in done[0].stderr.splitlines() if line not in done[1].stderr]
    assert len(told) == 1, told
    assert told[0].startswith("yprov: provenance is in")
    return ours, plain


@pytest.fixture(scope="module")
def document(both: tuple[Project, Project]) -> Document:
    return both[0].document()


def contents(folder: Path) -> dict[str, tuple[str, int]]:
    """Every file that a workflow left, with checksum and mode."""
    return {
        str(path.relative_to(folder)): (sha256(path), path.lstat().st_mode)
        for path in folder.rglob("*")
        if path.is_file()
        and path.relative_to(folder).parts[0] not in (".snakemake", ".yprov")
        and path.name != ".snakemake_timestamp"
    }


def test_the_files_are_those_of_plain_snakemake(both: tuple[Project, Project]) -> None:
    ours, plain = (contents(project.folder) for project in both)
    for differing in ("bench.tsv", "logs/shadow.log"):  # times; the task's id
        del ours[differing], plain[differing]
    assert ours == plain


def test_every_job_is_there_once(document: Document) -> None:
    statuses = document.statuses()
    assert {status for found in statuses.values() for status in found} == {"completed"}
    counts = {step: len(found) for step, found in statuses.items()}
    assert {step: n for step, n in counts.items() if n > 1} == {"work": 3, "treat": 2}
    assert {"other_count", "other_words", "longer", "all"} < set(counts)
    assert document.run["yprov4wfs:status"] == "completed"


def test_a_pipe_ties_its_writer_to_its_reader(document: Document) -> None:
    writer, reader = document.attempt_id("producer"), document.attempt_id("consumer")
    ((identifier, stream),) = document.files("stream").items()
    assert stream["yprov4wms:file_type"] == "fifo"
    assert "yprov4wms:sha256" not in stream
    assert document.links("wasGeneratedBy", entity=identifier, activity=writer)
    assert document.links("used", entity=identifier, activity=reader)
    assert writer in document.informants(reader, "depends-on")


def test_a_service_is_completed_though_it_was_ended_by_a_signal(document: Document) -> None:
    (service,) = document.attempts("service")
    assert service["yprov4wfs:status"] == "completed"
    # Its group may be through before its end was seen.
    assert value(service.get("yprov4wms:signal")) in (None, 15)
    ((identifier, _),) = document.files("socket").items()
    client = document.attempt_id("client")
    (use,) = document.links("used", entity=identifier, activity=client)
    assert use["prov:role"] == "server"
    assert document.made(document.attempt_id("service")) == {"socket"}


def test_a_shadow_rule_has_its_files_as_if_there_was_no_shadow(
    document: Document, both: tuple[Project, Project]
) -> None:
    shadowed = document.attempt_id("shadowed")
    assert document.made(shadowed) == {"shadowed.txt", "logs/shadow.log"}
    assert document.used(shadowed) == {"link.txt"}
    (attempt,) = document.attempts("shadowed")
    told = (both[0].folder / "logs/shadow.log").read_text().strip()
    assert told == attempt["yprov4wms:task"]


def test_a_temporary_file_is_known_after_it_is_gone(
    document: Document, both: tuple[Project, Project]
) -> None:
    for path, size in (("tmp/small.txt", 2), ("tmp/big.bin", 3_000_000)):
        assert not (both[0].folder / path).exists()
        ((identifier, file),) = document.files(path).items()
        assert value(file["yprov4wms:size"]) == size
        assert document.links("used", entity=identifier, activity=document.attempt_id("keep"))
    (small,) = document.files("tmp/small.txt").values()
    assert small["yprov4wms:sha256"].startswith("fe8edeeb98cc6d3b")
    (big,) = document.files("tmp/big.bin").values()
    # It is read in the background, and may be gone before that.
    assert "yprov4wms:sha256" in big or "yprov4wms:note" in big


def test_each_output_on_disk_has_its_checksum(
    document: Document, both: tuple[Project, Project]
) -> None:
    made = {r["prov:entity"] for r in document.section("wasGeneratedBy").values()}
    present = set()
    for identifier in made:
        entity = document.section("entity")[identifier]
        path = both[0].folder / entity["yprov4wms:path"]
        if path.is_file():
            present.add(entity["yprov4wms:path"])
            assert entity["yprov4wms:sha256"] == sha256(path), path
            assert value(entity["yprov4wms:size"]) == path.stat().st_size
    given = {"Snakefile", "mod/Snakefile", "config.yaml", "scripts/one.py", f"input {ODD}"}
    given |= {"target.txt", "link.txt", "outside/one", "outside/deep/two"}
    assert present == set(contents(both[0].folder)) - given


def test_members_of_a_directory_are_used_alone(document: Document) -> None:
    found = document.attempt_id("found")
    assert document.made(found) == {"found", "found/deep/p.txt", "found/deep/q.txt"}
    for attempt in document.attempts("treat"):
        i = attempt["yprov4wms:wildcard_i"]
        ((member, _),) = document.files(f"found/deep/{i}.txt").items()
        (use,) = document.links("used", entity=member)
        assert document.made(use["prov:activity"]) == {f"treated/{i}.txt"}
        assert found in document.informants(use["prov:activity"], "depends-on")


def test_what_asks_a_checkpoint_depends_on_it(document: Document) -> None:
    aggregate = document.attempt_id("aggregate")
    assert document.used(aggregate) == {"treated/p.txt", "treated/q.txt"}
    assert document.attempt_id("found") in document.informants(aggregate, "depends-on")
    assert document.section("entity")["run:step_found"]["yprov4wms:engine_checkpoint"] is True


def test_a_checkpoint_depends_on_what_it_used(document: Document) -> None:
    found = document.attempt_id("found")
    assert document.used(found) == {"touched"}
    assert document.informants(found, "depends-on") == {document.attempt_id("touched")}


def test_an_empty_directory_is_a_collection_without_members(document: Document) -> None:
    ((identifier, folder),) = document.files("empty dir").items()
    assert folder["yprov4wms:file_type"] == "directory"
    assert not document.links("hadMember", collection=identifier)


def test_a_directory_from_outside_is_known_with_its_members(document: Document) -> None:
    ((folder, entity),) = document.files("outside").items()
    assert document.links("used", entity=folder, activity=document.attempt_id("from_outside"))
    members = {
        document.label(r["prov:entity"]) for r in document.links("hadMember", collection=folder)
    }
    assert members == {"outside/one", "outside/deep/two"}
    assert len(entity["yprov4wms:sha256"]) == 64


def test_symbolic_links_tell_what_they_name(document: Document) -> None:
    for path in ("link.txt", "linked.txt"):
        (entity,) = document.files(path).values()
        assert entity["yprov4wms:link_target"] == "target.txt"
        assert value(entity["yprov4wms:size"]) == 5


def test_odd_names_stand_as_they_are(document: Document) -> None:
    attempt = document.attempt_id("odd_names")
    assert document.used(attempt) == {f"input {ODD}"}
    assert document.made(attempt) == {ODD}


def test_parameters_and_roles_keep_their_names(document: Document) -> None:
    (tags,) = document.attempts("tags")
    assert value(tags["yprov4wms:param_0"]) == 5
    assert tags["yprov4wms:param_text"] == "a 'b' \"c\" $d \\ é"
    assert tags["yprov4wms:param_several"] == '["x","y"]'
    assert value(tags["yprov4wms:param_nested.deep.er"]) == 1
    identifier = document.attempt_id("tags")
    roles = {
        document.label(r["prov:entity"]): r["prov:role"]
        for r in document.links("used", activity=identifier)
    }
    assert roles == {"multi.a": "a", "multi.b": "rest", "touched": "rest"}


def test_rules_of_a_module_tell_their_own_file(
    document: Document, both: tuple[Project, Project]
) -> None:
    for rule in ("other_count", "longer"):
        step = document.section("entity")[f"run:step_{rule}"]
        assert step["yprov4wms:source"] == str(both[0].folder / "mod/Snakefile")
    assert document.used(document.attempt_id("longer")) == {"gathered.txt"}
    assert {"Snakefile", "mod/Snakefile", "config.yaml"} < document.used("run:workflow_run")


def test_a_script_with_wildcards_in_its_name_is_told_by_each_job(
    document: Document, both: tuple[Project, Project]
) -> None:
    (scripted,) = document.attempts("scripted")
    assert scripted["yprov4wms:script"] == "scripts/one.py"
    assert scripted["yprov4wms:script_sha256"] == sha256(both[0].folder / "scripts/one.py")
    assert "yprov4wms:script" not in document.section("entity")["run:step_scripted"]


def test_each_repeat_of_a_benchmark_is_metered(document: Document) -> None:
    (benched,) = document.attempts("benched")
    assert value(benched["yprov4wms:started_processes"]) == 3
    assert document.made(document.attempt_id("benched")) == {"benched.txt", "bench.tsv"}


def test_an_updated_file_has_two_versions(document: Document) -> None:
    updated = document.attempt_id("updated")
    versions = document.files("updated.txt")
    assert len(versions) == 2
    (old,) = (r["prov:entity"] for r in document.links("used", activity=updated))
    (new,) = (r["prov:entity"] for r in document.links("wasGeneratedBy", activity=updated))
    assert {old, new} == set(versions)
    assert value(versions[new]["yprov4wms:size"]) == 8
    assert document.links("wasDerivedFrom", generatedEntity=new, usedEntity=old)


def test_scatter_and_gather_are_one_to_many_to_one(document: Document) -> None:
    scatter, gather = document.attempt_id("scatter"), document.attempt_id("gather")
    middle = document.informants(gather, "depends-on")
    assert len(middle) == 3
    assert all(document.informants(one, "depends-on") == {scatter} for one in middle)


FAILING = """
onstart:
    shell("echo start >> hooks")
onsuccess:
    shell("echo success >> hooks")
onerror:
    shell("echo error >> hooks")
    raise ValueError("from onerror")

rule all:
    input: "piped.txt", "benched.txt", "updated.txt", "ensured.txt", "run.txt"
rule producer:
    output: pipe("stream")
    shell: "echo 1 > {output}"
rule consumer:
    input: "stream"
    output: "piped.txt"
    shell: "cat {input} > {output}; exit 7"
rule benched:
    output: "benched.txt"
    benchmark: "old.tsv"
    log: "old.log"
    shell: "exit 4"
rule updated:
    output: update("updated.txt")
    shell: "echo half >> {output}; exit 5"
rule ensured:
    output: ensure("ensured.txt", sha256="ab")
    shell: "echo e > {output}"
rule run:
    output: "run.txt"
    run:
        raise ValueError("from run")
"""

SMALL = """
rule all:
    input: expand("out/{i}", i=range(3))
rule one:
    input: "in"
    output: "out/{i}"
    params: i="{i}"
    shell: "sleep 0.3; cat {input} > {output}; echo {params.i} >> {output}"
"""


@pytest.fixture(scope="module")
def failing(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, Document]:
    """Failures of every kind, and hooks that fail."""
    ours, plain = (Project(tmp_path_factory.mktemp(name)) for name in ("failing", "plain"))
    for project in (ours, plain):
        project.snakefile(FAILING)
        for name in ("old.tsv", "old.log", "updated.txt"):
            project.write(name, "old\n")
    options = ["--keep-going", "--forceall"]
    done = at_once(
        partial(ours.snakemake, *options), partial(plain.snakemake, *options, executor=None)
    )
    assert [one.returncode for one in done] == [1, 1]
    for one in done:
        assert "from onerror" in one.stderr
    left = [contents(project.folder) for project in (ours, plain)]
    assert left[0] == left[1]
    assert (ours.folder / "hooks").read_text() == "start\nerror\n"
    return ours, ours.document()


def test_hooks_that_fail_come_after_the_record(failing: tuple[Project, Document]) -> None:
    _, document = failing
    assert document.run["yprov4wfs:status"] == "failed"
    assert document.statuses()["all"] == ["upstream-failed"]


def test_a_group_fails_as_a_whole_and_says_by_which_member(
    failing: tuple[Project, Document],
) -> None:
    _, document = failing
    (consumer,) = document.attempts("consumer")
    (producer,) = document.attempts("producer")
    assert [a["yprov4wfs:status"] for a in (consumer, producer)] == ["failed", "failed"]
    assert [value(a["yprov4wms:exit_code"]) for a in (consumer, producer)] == [7, 0]
    assert "exit status 7" in consumer["yprov4wms:error"]
    assert producer["yprov4wms:error"].startswith("in its group: CalledProcessError")


def test_what_lay_there_before_was_not_made_by_a_job_that_failed(
    failing: tuple[Project, Document],
) -> None:
    _, document = failing
    assert document.made(document.attempt_id("benched")) <= {"old.log"}
    assert not document.files("old.tsv")
    updated = document.attempt_id("updated")
    assert document.used(updated) == {"updated.txt"}
    assert not document.made(updated)


def test_each_failure_says_why(failing: tuple[Project, Document]) -> None:
    _, document = failing
    errors = {
        step: document.attempts(step)[0]["yprov4wms:error"]
        for step in ("benched", "updated", "ensured", "run")
    }
    assert "exit status 4" in errors["benched"]
    assert "exit status 5" in errors["updated"]
    assert "checksums that differ" in errors["ensured"]
    assert "ValueError" in errors["run"]
    assert "from run" in errors["run"]
    (ensured,) = document.attempts("ensured")
    assert value(ensured["yprov4wms:exit_code"]) == 0
    assert not document.files("ensured.txt")


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Project]:
    """Small runs of other kinds, several at a time."""
    root = tmp_path_factory.mktemp("places")
    names = ("twice", "cached", "directory", "workdir", "onsuccess")
    found = {name: Project(root / name) for name in names}
    for name, project in found.items():
        project.folder.mkdir()
        project.write("in", f"{name}\n")
        project.snakefile(SMALL)
    found["cached"].snakefile(SMALL.replace("    params:", "    cache: True\n    params:"))
    (found["cached"].folder / "cache").mkdir()
    cached = partial(
        found["cached"].snakemake,
        "--cache",
        SNAKEMAKE_OUTPUT_CACHE=str(found["cached"].folder / "cache"),
    )
    elsewhere = found["directory"].folder / "wörk dir"
    elsewhere.mkdir()
    (elsewhere / "in").write_text("there\n")
    (elsewhere / "config.yaml").write_text("deep: 3\n")
    found["directory"].snakefile('configfile: "config.yaml"\n' + SMALL)
    found["directory"].write("more.yaml", "more: 4\n")
    found["workdir"].snakefile('workdir: "sub"\n' + SMALL)
    found["workdir"].write("sub/in", "sub\n")
    found["onsuccess"].snakefile("onsuccess:\n    raise ValueError('no')\n" + SMALL)
    done = at_once(
        partial(found["twice"].snakemake, "--nolock", "--forceall"),
        partial(found["twice"].snakemake, "--nolock", "--forceall"),
        cached,
        partial(
            found["directory"].snakemake, "--directory", "wörk dir", "--configfile", "more.yaml"
        ),
        found["workdir"].snakemake,
        found["onsuccess"].snakemake,
    )
    codes = [one.returncode for one in done]
    assert codes == [0, 0, 0, 0, 0, 1], [one.stderr for one in done]
    for path in (found["cached"].folder / "out").iterdir():
        path.unlink()
    assert cached().returncode == 0
    for project, one in zip(("directory", "workdir"), done[3:5], strict=True):
        found[project].write("stderr", one.stderr)
    return found


def test_two_runs_at_once_in_one_directory_share_no_id(places: dict[str, Project]) -> None:
    project = places["twice"]
    first, second = (project.document(run) for run in project.runs())
    assert not first.ids() & second.ids()
    for document in (first, second):
        assert document.statuses() == {"one": ["completed"] * 3, "all": ["completed"]}


def test_what_comes_from_a_cache_is_an_attempt_that_says_so(places: dict[str, Project]) -> None:
    project = places["cached"]
    first, second = (project.document(run) for run in project.runs())
    assert first.statuses()["one"] == ["completed"] * 3
    assert second.statuses()["one"] == ["cached"] * 3
    for attempt in second.attempts("one"):
        assert not [name for name in attempt if "cpu_time" in name or "exit_code" in name]
    for document in (first, second):
        for i in range(3):
            (file,) = document.files(f"out/{i}").values()
            assert file["yprov4wms:sha256"] == sha256(project.folder / f"out/{i}")


@pytest.mark.parametrize(("name", "folder"), [("directory", "wörk dir"), ("workdir", "sub")])
def test_the_store_lies_in_the_working_directory_and_is_told_so_that_it_is_found(
    places: dict[str, Project], name: str, folder: str
) -> None:
    project = places[name]
    assert not project.runs()
    inside = Project(project.folder / folder)
    document = inside.document()
    assert document.run["yprov4wms:directory"] == str(inside.folder)
    assert document.files("out/1")
    (line,) = (
        line
        for line in (project.folder / "stderr").read_text().splitlines()
        if line.startswith("yprov:")
    )
    command = line.partition("look at it: ")[2].replace(
        "yprov4wms", f"{sys.executable} -m yprov4wms", 1
    )
    shown = subprocess.run(
        command, shell=True, cwd=project.folder, capture_output=True, text=True, check=False
    )
    assert shown.returncode == 0, shown.stderr
    assert "4 completed" in shown.stdout


def test_configuration_files_of_another_place_are_told(places: dict[str, Project]) -> None:
    project = places["directory"]
    document = Project(project.folder / "wörk dir").document()
    used = document.used("run:workflow_run")
    assert {"config.yaml", str(project.folder / "more.yaml")} < used
    assert value(document.section("entity")["run:workflow"]["yprov4wms:config_deep"]) == 3
    assert value(document.section("entity")["run:workflow"]["yprov4wms:config_more"]) == 4


def test_jobs_are_completed_also_where_onsuccess_fails(places: dict[str, Project]) -> None:
    document = places["onsuccess"].document()
    assert document.statuses()["one"] == ["completed"] * 3


@pytest.mark.skipif(
    not (importlib.util.find_spec("ipykernel") and importlib.util.find_spec("nbconvert")),
    reason="notebooks need ipykernel and nbconvert",
)
def test_a_notebook_is_a_job_whose_kernel_knows_its_task(project: Project) -> None:
    source = "import os\nopen(snakemake.output[0], 'w').write(os.environ['YPROV_TASK_ID'])"
    cell = {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": []}
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook = {
        "cells": [{**cell, "id": "one", "source": source}],
        "metadata": {"kernelspec": kernel, "language_info": {"name": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    project.write("n.py.ipynb", json.dumps(notebook))
    project.snakefile(
        "rule a:\n    output: 'x'\n    log: notebook='done.ipynb'\n    notebook: 'n.py.ipynb'\n"
    )
    done = project.snakemake()
    assert done.returncode == 0, done.stderr
    document = project.document()
    (attempt,) = document.attempts("a")
    assert attempt["yprov4wms:script"] == "n.py.ipynb"
    assert attempt["yprov4wms:script_sha256"] == sha256(project.folder / "n.py.ipynb")
    assert (project.folder / "x").read_text() == attempt["yprov4wms:task"]
    assert document.made(document.attempt_id("a")) == {"x", "done.ipynb"}


STORAGE = '''
"""Objects are files in the folder that TOY_STORE names."""

import os
import shutil
from pathlib import Path

from snakemake_interface_storage_plugins.io import IOCacheStorageInterface
from snakemake_interface_storage_plugins.storage_object import StorageObjectRead, StorageObjectWrite
from snakemake_interface_storage_plugins.storage_provider import (
    StorageProviderBase,
    StorageQueryValidationResult,
)


class StorageProvider(StorageProviderBase):
    @classmethod
    def example_queries(cls):
        return []

    @classmethod
    def is_valid_query(cls, query):
        return StorageQueryValidationResult(query=query, valid=query.startswith("toy://"))

    def rate_limiter_key(self, query, operation): ...
    def default_max_requests_per_second(self): ...

    def use_rate_limiter(self):
        return False

    def list_objects(self, query):
        return ()


class StorageObject(StorageObjectRead, StorageObjectWrite):
    @property
    def path(self):
        return Path(os.environ["TOY_STORE"], self.query.removeprefix("toy://"))

    async def inventory(self, cache: IOCacheStorageInterface): ...

    def get_inventory_parent(self):
        return None

    def local_suffix(self):
        return self.query.removeprefix("toy://")

    def cleanup(self): ...

    def exists(self):
        return self.path.exists()

    def mtime(self):
        return self.path.stat().st_mtime

    def size(self):
        return self.path.stat().st_size

    def retrieve_object(self):
        self.local_path().parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(self.path, self.local_path())

    def store_object(self):
        self.path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(self.local_path(), self.path)

    def remove(self):
        self.path.unlink()
'''


def local_copies(document: Document) -> list[str]:
    paths = [e.get("yprov4wms:path", "") for e in document.section("entity").values()]
    return [path for path in paths if path.startswith(".snakemake")]


def test_files_of_a_storage_provider_are_known_by_their_address(project: Project) -> None:
    project.write("snakemake_storage_plugin_toy/__init__.py", STORAGE)
    project.write("bucket/in.txt", "input\n")
    project.write("bucket/large.txt", "x" * 100_000)
    project.snakefile(
        """
        rule all:
            input: storage("toy://out/last.txt")
        rule first:
            input: storage("toy://in.txt"), storage("toy://large.txt")
            output: storage("toy://out/first.txt")
            shell: "cp {input[0]} {output}"
        rule last:
            input: storage("toy://out/first.txt")
            output: storage("toy://out/last.txt"), "local.txt"
            shell: "cat {input} | tee {output}"
        """
    )
    bucket = project.folder / "bucket"
    run = partial(project.snakemake, PYTHONPATH=str(project.folder), TOY_STORE=str(bucket))
    done = run()
    assert done.returncode == 0, done.stderr
    document = project.document()
    first, last = document.attempt_id("first"), document.attempt_id("last")
    assert document.used(first) == {"toy://in.txt", "toy://large.txt"}
    assert document.made(last) == {"toy://out/last.txt", "local.txt"}
    ((middle, entity),) = document.files("toy://out/first.txt").items()
    assert document.links("wasGeneratedBy", entity=middle, activity=first)
    assert document.links("used", entity=middle, activity=last)
    assert entity["yprov4wms:sha256"] == sha256(bucket / "out/first.txt")
    (large,) = document.files("toy://large.txt").values()
    assert value(large["yprov4wms:size"]) == 100_000
    assert large.get("yprov4wms:sha256", sha256(bucket / "large.txt")) == sha256(
        bucket / "large.txt"
    )
    assert "yprov4wms:sha256" in large or large["yprov4wms:note"]
    assert not local_copies(document)

    assert run("--forcerun", "last").returncode == 0
    document = project.document()
    assert document.statuses()["first"] == ["up-to-date"]
    assert not local_copies(document)
    (plan,) = (i for i, e in document.section("entity").items() if e in document.plans("first"))
    kept = {document.label(r["prov:entity"]) for r in document.links("hadMember", collection=plan)}
    assert kept == {"toy://out/first.txt"}
