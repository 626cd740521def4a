"""Each setting, by option, by environment variable and by profile, does what the docs say."""

from __future__ import annotations

import re
import shlex
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.documents import Document, at_once, sha256, value
from tests.snakemake.project import Project

from yprov4wms.metering import power_sources
from yprov4wms.settings import OPTIONS

SECRET = "correct-horse-battery"

SNAKEFILE = """
import os, sys
envvars: "PASS_PHRASE"
rule all:
    input: "small.txt", "large.bin", "model.txt"
rule small:
    input: "in.txt"
    output: "small.txt"
    params: text=os.environ["MY_CODE"], phrase=os.environ["PASS_PHRASE"]
    shell: "cp {input} {output}; echo {params.text} {params.phrase} > /dev/null"
rule large:
    output: "large.bin"
    shell: "head -c 5000 /dev/zero > {output}"
rule model:
    input: "in.txt"
    output: "model.txt"
    params: python=sys.executable
    shell: "{params.python} train.py {input} {output}"
"""

TRAIN = """
import sys, time
from pathlib import Path
from yprov4wms import ml
end = time.process_time() + 0.2
while time.process_time() < end: pass
with ml.start_run("settings", name="child"):
    ml.log_param("data", sys.argv[1])
    ml.log_metric("loss", 0.5, step=0)
    Path(sys.argv[2]).write_text("weights")
    ml.log_model("model", sys.argv[2])
"""

#: What is set, by the name of the setting.
SET = {
    "store": "the störe/of runs",
    "export": "never",
    "nest": "bundle",
    "hash": "none",
    "sample_interval": "0",
    "person": "Ada Lovelace",
    "orcid": "https://orcid.org/0000-0002-1825-0097",
    "cpu_watts": "10",
    "carbon_intensity": "360",
    "secrets": "MY_CODE",
}
#: Other values, over which options win.
OTHERWISE = {
    "store": "not here",
    "export": "end",
    "nest": "link",
    "hash": "sha256",
    "sample_interval": "0.1",
    "person": "Somebody Else",
    "orcid": "0000-0001-5109-3700",
    "cpu_watts": "1-2",
    "carbon_intensity": "1",
    "secrets": "HOME",
}
ENVIRONMENT = {"MY_CODE": SECRET, "PASS_PHRASE": f"{SECRET}-declared"}


def prepare(project: Project) -> Project:
    project.snakefile(SNAKEFILE)
    project.write("in.txt", "input\n")
    project.write("train.py", TRAIN)
    return project


def variables(values: dict[str, str]) -> dict[str, str]:
    return {f"YPROV_{name.upper()}": given for name, given in values.items()}


def options(values: dict[str, str]) -> list[str]:
    return [f"--yprov-{name.replace('_', '-')}={given}" for name, given in values.items()]


def children(document: Document) -> list[str]:
    """The ML runs nested under the job that trains."""
    links = document.links("wasInformedBy", informant=document.attempt_id("model"))
    return [r["prov:informed"] for r in links if r["yprov4wms:link"] == "nested"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Project, Any]]:
    """The same settings by option, over other variables; by variable; and by profile."""
    names = ("option", "variable", "profile", "limit", "url")
    projects = {name: prepare(Project(tmp_path_factory.mktemp(name))) for name in names}
    profile = "".join(f"yprov-{k.replace('_', '-')}: {v!r}\n" for k, v in SET.items())
    projects["profile"].write("prof/config.yaml", f"executor: yprov\n{profile}")
    # Settings that cannot stand beside the others: a limit, and when the document is built.
    limited = {"hash_limit": "1k", "nest": "link", "strict": "yes", "export": "end"}
    url = f"local://{projects['url'].folder}/objects"
    calls = {
        "option": partial(
            projects["option"].snakemake, *options(SET), **variables(OTHERWISE), **ENVIRONMENT
        ),
        "variable": partial(projects["variable"].snakemake, **variables(SET), **ENVIRONMENT),
        "profile": partial(
            projects["profile"].snakemake, "--profile", "prof", executor=None, **ENVIRONMENT
        ),
        "limit": partial(projects["limit"].snakemake, **variables(limited), **ENVIRONMENT),
        "url": partial(projects["url"].snakemake, "--yprov-store", url, **ENVIRONMENT),
    }
    done = dict(zip(calls, at_once(*calls.values()), strict=True))
    for one in done.values():
        assert one.returncode == 0, one.stderr
        assert "provenance is incomplete" not in one.stderr, one.stderr
    for name in ("option", "variable", "profile"):
        projects[name].store = projects[name].folder / SET["store"]
    projects["url"].store = projects["url"].folder / "objects"
    return {name: (projects[name], done[name]) for name in names}


@pytest.fixture(scope="module", params=["option", "variable", "profile"])
def way(
    request: pytest.FixtureRequest, runs: dict[str, tuple[Project, Any]]
) -> tuple[Project, Any, Document]:
    project, done = runs[request.param]
    assert not (project.folder / OTHERWISE["store"]).exists()
    return project, done, project.exported("--store", SET["store"])


def test_every_setting_is_an_option_with_its_variable_in_the_help(project: Project) -> None:
    text = " ".join(project.snakemake("--help", executor=None).stdout.split())
    for option in OPTIONS:
        assert f"--yprov-{option.name.replace('_', '-')}" in text
        assert f"(environment: {option.env})" in text
    documented = (Path(__file__).parents[2] / "docs" / "snakemake.md").read_text()
    named = set(re.findall(r"`--yprov-([a-z-]+)`", documented))
    assert named == {o.name.replace("_", "-") for o in OPTIONS} | {"inner-executor"}


def test_store_and_export_never_leave_the_journal_alone(
    way: tuple[Project, Any, Document],
) -> None:
    project, done, _ = way
    (run,) = project.runs()
    assert not (run / "prov.json").exists()
    lines = [line for line in done.stderr.splitlines() if line.startswith("yprov:")]
    assert len(lines) == 1, done.stderr
    (line,) = lines
    assert line.startswith(f"yprov: recorded run {run.name}; look at it: yprov4wms show")
    command = shlex.split(line.partition("look at it: ")[2])
    shown = project.yprov4wms(*command[1:])
    assert shown.returncode == 0, shown.stderr
    assert b"4 completed" in shown.stdout


def test_hash_none_means_no_checksum_of_files(way: tuple[Project, Any, Document]) -> None:
    _, _, document = way
    for path, size in (("in.txt", 6), ("small.txt", 6), ("large.bin", 5000)):
        versions = document.files(path).values()
        assert versions
        for file in versions:
            assert "yprov4wms:sha256" not in file
            assert value(file["yprov4wms:size"]) == size


def test_sample_interval_0_means_no_samples(way: tuple[Project, Any, Document]) -> None:
    _, _, document = way
    (model,) = document.attempts("model")
    assert not [v for k, v in model.items() if k.endswith("_method") and "sampled" in str(v)]
    assert model["yprov4wms:cpu_time_method"] == "wait4"


def test_person_and_orcid_name_the_person(way: tuple[Project, Any, Document]) -> None:
    _, _, document = way
    (person,) = (a for a in document.section("agent").values() if a["prov:type"] == "prov:Person")
    assert person["prov:label"] == person["yprov4wms:name"] == "Ada Lovelace"
    assert person["yprov4wms:orcid"] == "https://orcid.org/0000-0002-1825-0097"


def test_watts_and_intensity_make_energy_and_carbon(way: tuple[Project, Any, Document]) -> None:
    _, _, document = way
    (model,) = document.attempts("model")
    if any(source.readable for source in power_sources()):
        pytest.skip("this machine measures energy: nothing is modelled")
    assert model["yprov4wms:energy_method"] == "cpu-time*10W"
    joules = value(model["yprov4wms:cpu_time"]) * 10
    for bound in ("low", "high"):
        found = model.get(f"yprov4wms:energy_{bound}", model.get("yprov4wms:energy"))
        assert value(found) == pytest.approx(joules, rel=1e-3)
    grams = joules / 3.6e6 * 360
    assert model["yprov4wms:carbon_unit"] == "kg"
    found = model.get("yprov4wms:carbon_low", model.get("yprov4wms:carbon"))
    assert value(found) == pytest.approx(grams / 1000, rel=1e-2, abs=1e-9)


def test_secrets_reach_neither_journal_nor_document(way: tuple[Project, Any, Document]) -> None:
    """Those named by the setting, and those that the workflow declares by a telling name."""
    project, _, document = way
    (small,) = document.attempts("small")
    assert small["yprov4wms:param_text"] != SECRET
    paths = [path for path in project.store.rglob("*") if path.is_file()]
    assert paths
    for content in (document.content, *(path.read_bytes() for path in paths)):
        assert SECRET.encode() not in content


def test_nest_decides_how_the_document_of_the_runs_end_holds_children(
    runs: dict[str, tuple[Project, Any]],
) -> None:
    document = runs["limit"][0].document()
    assert not document.section("bundle")
    kinds = {e["prov:type"] for e in document.section("entity").values()}
    assert "prov:Bundle" in kinds, "the child's document"
    (child,) = children(document)
    assert child.startswith("run:"), "it stands for the document"
    (child,) = children(runs["url"][0].document())
    assert child.startswith("ml1:"), "flattened by default"


def test_hash_limit_leaves_out_larger_files_and_says_so(
    runs: dict[str, tuple[Project, Any]],
) -> None:
    project, _ = runs["limit"]
    document = project.document()
    (small,) = document.files("small.txt").values()
    (large,) = document.files("large.bin").values()
    assert small["yprov4wms:sha256"] == sha256(project.folder / "small.txt")
    assert "yprov4wms:sha256" not in large
    assert large["yprov4wms:note"]


def test_a_store_may_be_a_url(runs: dict[str, tuple[Project, Any]]) -> None:
    project, done = runs["url"]
    url = f"local://{project.folder}/objects"
    assert f"look at it: yprov4wms show --store {url} " in done.stderr
    (run,) = project.runs()
    assert list((run / "events").glob("*@*.jsonl")), "the journal's batches were uploaded"
    document = project.document()
    assert {s for found in document.statuses().values() for s in found} == {"completed"}
    assert len(children(document)) == 1
    shown = project.yprov4wms("show", "--store", url)
    assert shown.returncode == 0, shown.stderr
    assert b"4 completed" in shown.stdout
    assert b"child" in shown.stdout
    assert project.exported("--store", url).content == document.content
    assert not (project.folder / ".yprov").exists()


def test_metrics_of_a_child_reach_a_store_that_is_a_url(
    runs: dict[str, tuple[Project, Any]],
) -> None:
    document = runs["url"][0].document()
    (child,) = children(document)
    loss = document.section("entity")[f"{child.partition(':')[0]}:metric_loss"]
    assert value(loss["yprov4wms:last"]) == 0.5


BAD = {
    "a limit": (["--yprov-hash-limit=much"], {}, "hash-limit (or YPROV_HASH_LIMIT): 'much'"),
    "an iD with a wrong digit": (
        ["--yprov-orcid=0000-0002-1825-0098"],
        {},
        "orcid (or YPROV_ORCID)",
    ),
    "a negative interval": ([], {"YPROV_SAMPLE_INTERVAL": "-1"}, "sample-interval"),
    "watts": ([], {"YPROV_CPU_WATTS": "a lot"}, "cpu-watts"),
    "a way of nesting": (["--yprov-nest=deep"], {}, "invalid choice: 'deep'"),
    "a moment of export": ([], {"YPROV_EXPORT": "later"}, "'later' is not one of end, never"),
}


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Project, Any]]:
    projects = {name: prepare(Project(tmp_path_factory.mktemp("bad"))) for name in BAD}
    calls = [
        partial(projects[name].snakemake, *given, **env, **ENVIRONMENT)
        for name, (given, env, _) in BAD.items()
    ]
    return {name: (projects[name], done) for name, done in zip(BAD, at_once(*calls), strict=True)}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_value_is_one_clear_error_before_any_job(
    bad: dict[str, tuple[Project, Any]], name: str
) -> None:
    project, done = bad[name]
    assert done.returncode in (1, 2)
    (line,) = (line for line in done.stderr.splitlines() if BAD[name][2] in line)
    assert "rror: " in line
    assert "Traceback" not in done.stderr
    assert not (project.folder / "small.txt").exists()
    assert not project.store.exists()


def test_strict_by_variable_fails_before_any_job(project: Project) -> None:
    prepare(project)
    project.write("file", "not a folder")
    done = project.snakemake(YPROV_STRICT="1", YPROV_STORE="file/store", **ENVIRONMENT)
    assert done.returncode == 1
    assert "strict" in done.stderr
    assert not (project.folder / "small.txt").exists()
