"""ML runs and engines that jobs start: each is tied to the very attempt around it."""

from __future__ import annotations

import signal
import time
from functools import partial
from typing import Any

import pytest
from tests.documents import Document, at_once, kill_group, sha256, value
from tests.snakemake.project import Project

SNAKEFILE = """
rule all:
    input: "model.bin", "two/a.bin", "block.txt", "quiet.txt", "folder.txt"
rule scripted:
    input: data="data.csv"
    output: model="model.bin"
    retries: 1
    resources: try_no=lambda wildcards, attempt: attempt
    script: "scripted.py"
rule two:
    input: "data.csv"
    output: "two/a.bin", "two/b.bin"
    params: python=sys.executable
    shell: "{params.python} two.py {input} {output}"
rule block:
    input: "data.csv"
    output: "block.txt"
    run:
        from yprov4wms import ml
        with ml.start_run("block", name="in a block"):
            ml.log_metric("size", len(open(input[0]).read()))
            ml.log_artifact("the text", write_to(output[0]))
rule folder:
    input: "data.csv"
    output: folder=directory("saved"), done="folder.txt"
    params: python=sys.executable
    shell: "{params.python} folder.py {output.folder}; touch {output.done}"
rule quiet:
    output: "quiet.txt"
    shell: "touch {output}"
rule killed:
    input: "data.csv"
    output: "killed.bin"
    params: python=sys.executable
    shell: "exec {params.python} killed.py {input}"
def write_to(path):
    open(path, "w").write("block")
    return path
"""

SCRIPTS = {
    "scripted.py": """
        from pathlib import Path
        from yprov4wms import ml

        with ml.start_run("digits", name=f"try {snakemake.resources.try_no}"):
            ml.log_param("rate", 0.5)
            ml.log_param("layers", [4, 2])
            ml.log_dataset("table", snakemake.input.data, context="training")
            for epoch, loss in enumerate([3.0, 1.0, 2.0]):
                ml.log_metric("loss", loss, context="training", step=epoch)
            Path(snakemake.output.model).write_bytes(b"weights")
            ml.log_model("net", Path(snakemake.output.model), context="training")
            Path("extra.txt").write_text("not declared")
            ml.log_artifact("extra", "extra.txt")
            if snakemake.resources.try_no == 1:
                raise ValueError("the first try fails")
        """,
    "two.py": """
        import sys
        from pathlib import Path
        from yprov4wms import ml

        _, data, *outputs = sys.argv
        for number, path in enumerate(outputs):
            with ml.start_run("two", name=Path(path).stem):
                # An absolute path is the same file.
                ml.log_dataset("table", Path(data).absolute())
                ml.log_metric("accuracy", 0.5 + number / 4)
                Path(path).write_text(path)
                ml.log_model("model", path)
        """,
    "folder.py": """
        import sys
        from pathlib import Path
        from yprov4wms import ml

        folder = Path(sys.argv[1])
        with ml.start_run("folder", name="saved"):
            folder.mkdir()
            for part in ("config.json", "weights.bin"):
                (folder / part).write_text(part)
            ml.log_model("network", str(folder))
            ml.log_artifact("one part", folder / "weights.bin")
        """,
    "killed.py": """
        import os, sys, time
        from yprov4wms import ml

        ml.start_run("killed", name="cut short")
        ml.log_param("rate", 0.25)
        ml.log_dataset("table", sys.argv[1])
        ml.log_metric("loss", 7.0, step=0)
        ml.log_metric("loss", 5.0, step=1)
        time.sleep(1)
        os.kill(os.getpid(), 9)
        """,
}


def prepare(project: Project) -> Project:
    project.snakefile("import sys\n" + SNAKEFILE)
    project.write("data.csv", "x,y\n1,2\n")
    for name, content in SCRIPTS.items():
        project.write(name, content)
    return project


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = prepare(Project(tmp_path_factory.mktemp("children")))
    done = project.snakemake("--keep-going", "--", "all", "killed.bin")
    assert done.returncode == 1, done.stderr
    assert "provenance is incomplete" not in done.stderr
    return project


@pytest.fixture(scope="module")
def document(project: Project) -> Document:
    return project.document()


def ml_runs(document: Document, attempt: str) -> dict[str, dict[str, Any]]:
    """The ML runs nested under an attempt, by name."""
    return {
        document.label(r["prov:informed"]): document.section("activity")[r["prov:informed"]]
        for r in document.links("wasInformedBy", informant=attempt)
        if r["yprov4wms:link"] == "nested"
    }


def inside(document: Document, attempt: str, name: str) -> list[str]:
    """The ML run of this name and its contexts."""
    (run,) = (
        r["prov:informed"]
        for r in document.links("wasInformedBy", informant=attempt)
        if r["yprov4wms:link"] == "nested" and document.label(r["prov:informed"]) == name
    )
    parts = [r["prov:informed"] for r in document.links("wasInformedBy", informant=run)]
    return [run, *parts]


def involved(document: Document, relation: str, activities: list[str]) -> dict[str, str]:
    """Label and identifier of what activities used, or made."""
    return {
        document.label(r["prov:entity"]): r["prov:entity"]
        for activity in activities
        for r in document.links(relation, activity=activity)
    }


def test_each_attempt_has_its_own_child(document: Document) -> None:
    statuses = {}
    for number in (1, 2):
        for name, run in ml_runs(document, document.attempt_id("scripted", number)).items():
            statuses[number, name] = run["yprov4wfs:status"]
    assert statuses == {(1, "try 1"): "failed", (2, "try 2"): "completed"}
    first = ml_runs(document, document.attempt_id("scripted", 1))["try 1"]
    assert "the first try fails" in first["yprov4wms:error"]


def test_only_jobs_that_start_one_have_children(document: Document) -> None:
    counts = {
        document.section("activity")[i]["yprov4wms:step"]: len(ml_runs(document, i))
        for i, a in document.section("activity").items()
        if "yprov4wms:step" in a and value(a["yprov4wms:attempt"]) == 1
    }
    assert counts.pop("all") == 0
    assert counts == {"scripted": 1, "two": 2, "block": 1, "folder": 1, "quiet": 0, "killed": 1}
    assert document.statuses()["all"] == ["completed"]


def test_the_model_of_the_child_is_the_output_of_its_attempt(
    document: Document, project: Project
) -> None:
    ((model, entity),) = document.files("model.bin").items()
    attempt = document.attempt_id("scripted", 2)
    within = inside(document, attempt, "try 2")
    makers = {r["prov:activity"]: r for r in document.links("wasGeneratedBy", entity=model)}
    assert set(makers) == {attempt, within[1]}
    assert "prov:time" not in makers[attempt], "the innermost carries the time"
    assert "prov:time" in makers[within[1]]
    assert entity["yprov4wms:sha256"] == sha256(project.folder / "model.bin")


def test_a_failed_attempts_model_is_another_entity_for_its_file_is_gone(
    document: Document,
) -> None:
    within = inside(document, document.attempt_id("scripted", 1), "try 1")
    made = involved(document, "wasGeneratedBy", within)
    assert (
        made["net"]
        not in involved(
            document,
            "wasGeneratedBy",
            inside(document, document.attempt_id("scripted", 2), "try 2"),
        ).values()
    )
    assert not document.made(document.attempt_id("scripted", 1)) & {"model.bin"}


def test_the_data_set_of_each_child_is_the_input_of_its_job(document: Document) -> None:
    ((data, _),) = document.files("data.csv").items()
    for step, number, names in (
        ("scripted", 1, ["try 1"]),
        ("scripted", 2, ["try 2"]),
        ("two", 1, ["a", "b"]),
        ("killed", 1, ["cut short"]),
    ):
        attempt = document.attempt_id(step, number)
        assert document.links("used", entity=data, activity=attempt)
        for name in names:
            assert data in involved(document, "used", inside(document, attempt, name)).values()


def test_two_children_of_one_job_are_apart(document: Document) -> None:
    attempt = document.attempt_id("two")
    accuracy = {}
    for name in ("a", "b"):
        within = inside(document, attempt, name)
        made = involved(document, "wasGeneratedBy", within)
        assert f"two/{name}.bin" in made
        assert document.links("wasGeneratedBy", entity=made[f"two/{name}.bin"], activity=attempt)
        metric = document.section("entity")[made["accuracy"]]
        accuracy[name] = value(metric["yprov4wms:last"])
    assert accuracy == {"a": 0.5, "b": 0.75}


def test_parameters_and_metrics_have_their_values(document: Document) -> None:
    within = inside(document, document.attempt_id("scripted", 2), "try 2")
    entities = document.section("entity")
    used = involved(document, "used", within)
    assert value(entities[used["rate"]]["prov:value"]) == 0.5
    assert entities[used["layers"]]["prov:value"] == "[4,2]"
    loss = entities[involved(document, "wasGeneratedBy", within)["loss"]]
    summary = {
        name: value(loss[f"yprov4wms:{name}"]) for name in ("count", "first", "last", "min", "max")
    }
    assert summary == {"count": 3, "first": 3.0, "last": 2.0, "min": 1.0, "max": 3.0}


def test_a_child_in_a_run_directive_is_nested_like_any_other(document: Document) -> None:
    attempt = document.attempt_id("block")
    within = inside(document, attempt, "in a block")
    made = involved(document, "wasGeneratedBy", within)
    assert document.links("wasGeneratedBy", entity=made["block.txt"], activity=attempt)
    assert value(document.section("entity")[made["size"]]["yprov4wms:last"]) == 8


def test_a_directory_is_the_same_collection_inside_and_outside(document: Document) -> None:
    attempt = document.attempt_id("folder")
    made = involved(document, "wasGeneratedBy", inside(document, attempt, "saved"))
    ((folder, _),) = document.files("saved").items()
    assert made["saved"] == folder
    assert document.links("wasGeneratedBy", entity=folder, activity=attempt)


def test_what_a_job_does_not_declare_is_the_childs_alone(
    document: Document, project: Project
) -> None:
    extras = document.files(str(project.folder / "extra.txt"))
    assert len(extras) == 2, "one of each try"
    for extra in extras:
        (record,) = document.links("wasGeneratedBy", entity=extra)
        assert document.section("activity")[record["prov:activity"]]["yprov4wfs:level"] == "2"


def test_a_child_killed_with_its_job_keeps_what_was_logged(document: Document) -> None:
    (attempt,) = document.attempts("killed")
    assert attempt["yprov4wfs:status"] == "failed"
    assert value(attempt["yprov4wms:signal"]) == 9
    identifier = document.attempt_id("killed")
    run = ml_runs(document, identifier)["cut short"]
    assert run["yprov4wfs:status"] == "running", "its end was not recorded"
    assert "prov:endTime" not in run
    made = involved(document, "wasGeneratedBy", inside(document, identifier, "cut short"))
    loss = document.section("entity")[made["loss"]]
    assert value(loss["yprov4wms:count"]) == 2
    assert value(loss["yprov4wms:last"]) == 5.0


def test_the_same_person_did_both(document: Document) -> None:
    (person,) = (i for i, a in document.section("agent").items() if a["prov:type"] == "prov:Person")
    for run in ("scripted", "two"):
        for record in document.links("wasInformedBy", informant=document.attempt_id(run, 1)):
            if record["yprov4wms:link"] == "nested":
                assert document.links(
                    "wasAssociatedWith", activity=record["prov:informed"], agent=person
                )


@pytest.mark.parametrize("mode", ["bundle", "link"])
def test_other_modes_stand_for_each_child_and_its_share_in_files(
    project: Project, mode: str
) -> None:
    nested = project.exported("--nest", mode)
    bundles = nested.section("bundle")
    assert len(bundles) == (7 if mode == "bundle" else 0)
    assert set(ml_runs(nested, nested.attempt_id("two"))) == {"a", "b"}
    attempt = nested.attempt_id("scripted", 2)
    (run,) = inside(nested, attempt, "try 2")
    ((model, _),) = nested.files("model.bin").items()
    (stub,) = (r["prov:usedEntity"] for r in nested.links("wasDerivedFrom", generatedEntity=model))
    assert nested.links("wasGeneratedBy", entity=stub, activity=run)
    documents = [
        r["prov:entity"]
        for r in nested.links("wasGeneratedBy", activity=attempt)
        if nested.section("entity")[r["prov:entity"]]["prov:type"] == "prov:Bundle"
    ]
    assert len(documents) == 1
    if mode == "bundle":
        assert set(documents) < set(bundles)
    kept = nested.section("entity")[documents[0]]
    run_folder = project.runs()[0]
    assert kept["yprov4wms:sha256"] == sha256(run_folder / kept["yprov4wms:path"])


def test_show_tells_of_each_child(project: Project) -> None:
    shown = project.yprov4wms("show").stdout.decode()
    for name in ("try 1", "try 2", "in a block", "cut short", "saved"):
        assert name in shown


# -- killed together, an engine in a job, no workflow around -----------------------------

SLOW = """
rule slow:
    input: "data.csv"
    output: "slow.bin"
    params: python=sys.executable
    shell: "{params.python} slow.py {input}"
"""

SLOW_SCRIPT = """
import sys, time
from pathlib import Path
from yprov4wms import ml

ml.start_run("slow", name="both killed")
ml.log_param("rate", 0.125)
ml.log_dataset("table", sys.argv[1])
for step in range(3):
    ml.log_metric("loss", 4.0 - step, step=step)
Path("weights").write_text("w")
ml.log_model("net", "weights")
Path("logged").touch()
time.sleep(60)
"""

OUTER = """
rule outer:
    output: "outer.txt"
    params: python=sys.executable
    shell:
        "cd inner && {params.python} -m snakemake --executor yprov --cores 1 --scheduler greedy"
        " --quiet all && cp inner.txt ../{output}"
"""

INNER = """
rule inner:
    output: "inner.txt"
    params: python=sys.executable
    shell:
        "{params.python} one.py; echo $YPROV_RUN_ID $YPROV_TASK_ID $YPROV_ATTEMPT $YPROV_STORE"
        " > {output}"
"""

ONE = """
from yprov4wms import ml
with ml.start_run("inner", name="innermost"):
    ml.log_param("a", 1)
"""


def kill_together(project: Project) -> None:
    """Snakemake and its job are killed in the middle of the training."""
    project.snakefile("import sys\n" + SLOW)
    project.write("data.csv", "x,y\n1,2\n")
    project.write("slow.py", SLOW_SCRIPT)
    process = project.start("--cores", "1")
    deadline = time.monotonic() + 60
    while not (project.folder / "logged").exists():
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    kill_group(process)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL


def nest(project: Project) -> None:
    project.snakefile("import sys\n" + OUTER)
    project.write("inner/Snakefile", "import sys\n" + INNER)
    project.write("inner/one.py", ONE)
    done = project.snakemake("--yprov-store", "the störe")
    assert done.returncode == 0, done.stderr


def alone(project: Project) -> None:
    prepare(project)
    done = project.snakemake("--", "two/a.bin", executor=None)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Project]:
    scenarios = (kill_together, nest, alone)
    found = {s.__name__: Project(tmp_path_factory.mktemp(s.__name__)) for s in scenarios}
    at_once(*(partial(scenario, found[scenario.__name__]) for scenario in scenarios))
    found["nest"].store = found["nest"].folder / "the störe"
    return found


@pytest.mark.parametrize("mode", ["flatten", "bundle", "link"])
def test_killed_together_what_was_logged_is_nested_all_the_same(
    others: dict[str, Project], mode: str
) -> None:
    project = others["kill_together"]
    document = project.exported("--nest", mode)
    assert document.run["yprov4wfs:status"] == "running"
    assert document.statuses() == {"slow": ["running"]}
    attempt = document.attempt_id("slow")
    run = ml_runs(document, attempt)["both killed"]
    assert run["yprov4wfs:status"] == "running"
    if mode == "flatten":
        within = inside(document, attempt, "both killed")
        ((data, _),) = document.files("data.csv").items()
        assert data in involved(document, "used", within).values()
        made = involved(document, "wasGeneratedBy", within)
        loss = document.section("entity")[made["loss"]]
        assert value(loss["yprov4wms:count"]) == 3
        assert value(loss["yprov4wms:min"]) == 2.0
        assert {"net", str(project.folder / "weights")} < set(made)
    if mode == "bundle":
        (content,) = document.section("bundle").values()
        labels = {e["prov:label"] for e in content["entity"].values()}
        assert {"loss", "net", "rate", str(project.folder / "weights")} < labels
    assert project.exported("--nest", mode).content == document.content


def test_an_engine_in_a_job_is_a_run_of_its_own_with_that_parent(
    others: dict[str, Project],
) -> None:
    project = others["nest"]
    outer, inner = (project.document(run) for run in project.runs())
    if "yprov4wms:parent_run" not in inner.run:
        outer, inner = inner, outer
    (job,) = outer.attempts("outer")
    assert inner.run["yprov4wms:parent_run"] == outer.run["yprov4wms:run_id"]
    assert inner.run["yprov4wms:parent_task"] == job["yprov4wms:task"]
    assert value(inner.run["yprov4wms:parent_attempt"]) == 1
    assert "yprov4wms:parent_run" not in outer.run
    inside = f"urn:uuid:{inner.run['yprov4wms:run_id']}#workflow_run"
    assert inside in outer.ids()
    assert f"urn:uuid:{outer.run['yprov4wms:run_id']}#workflow_run" not in inner.ids()


def test_its_jobs_have_ids_of_their_own_in_the_same_store(others: dict[str, Project]) -> None:
    project = others["nest"]
    inner = next(
        document
        for document in map(project.document, project.runs())
        if "yprov4wms:parent_run" in document.run
    )
    (job,) = inner.attempts("inner")
    run, task, attempt, store = (project.folder / "outer.txt").read_text().split(maxsplit=3)
    assert (run, task, attempt) == (inner.run["yprov4wms:run_id"], job["yprov4wms:task"], "1")
    assert store.strip() == str(project.store)
    assert set(ml_runs(inner, inner.attempt_id("inner"))) == {"innermost"}
    assert not (project.folder / "inner" / ".yprov").exists()


def test_under_plain_snakemake_the_ml_runs_lie_alone(others: dict[str, Project]) -> None:
    project = others["alone"]
    assert len(project.runs()) == 2
    names = set()
    for run in project.runs():
        document = project.document(run)
        names |= {a["prov:label"] for a in document.section("activity").values()}
        assert document.files(str(project.folder / "data.csv")) or document.files("data.csv")
    assert names == {"a", "b"}
