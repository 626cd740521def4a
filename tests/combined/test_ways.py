"""Workflows that tasks of a real Airflow start, in every way that there is."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import NamedTuple

import pytest
from tests.airflow.deployment import Deployment
from tests.airflow.record import document, place
from tests.airflow.services import until
from tests.documents import Document, Record, checked

from yprov4wms.export.document import export
from yprov4wms.store import RunFolder

SNAKEFILE = """
    rule all:
        output: "written"
        params:
            fails=config.get("fails", 0),
            waits=config.get("waits", 0),
        shell:
            "touch began; echo $PWD > {output}; [ {params.fails} != 1 ] || exit 3;"
            " until [ {params.waits} != 1 ] || [ -e ../go ]; do sleep 0.1; done"
"""
TOOL = """
    cwlVersion: v1.2
    class: CommandLineTool
    baseCommand: echo
    inputs:
      text: {type: string, inputBinding: {}}
    stdout: $(inputs.text)
    outputs:
      written: stdout
"""


class Ran(NamedTuple):
    """The documents at the end of the DAG run; when those that it triggered had ended; and
    exported when all that outlived it had."""

    at_end: Document
    later: Document
    last: Document


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ran]:
    with Deployment(tmp_path_factory.mktemp("airflow")) as airflow:
        shutil.copy(Path(__file__).with_name("ways.py"), airflow.dags)
        (airflow.dags / "Snakefile").write_text(dedent(SNAKEFILE))
        (airflow.dags / "write.cwl").write_text(dedent(TOOL))
        airflow.sync(airflow.dags)
        run_id = airflow.trigger("ways")
        assert airflow.wait("ways", run_id) == "success", airflow.tails()
        first = document(airflow, "ways", run_id)
        folder = place(airflow, "ways", run_id)
        built = (folder / "prov.json").stat().st_mtime_ns
        (airflow.dags / "go").touch()
        until(lambda: len(ended(airflow)) == 2, "the end of what was triggered", 120)
        later = document(airflow, "ways", run_id, newer=built)
        (outlived,) = (run["yprov4wms:run_id"] for run in inside(first, "outlived"))
        until((folder.parent / outlived / "prov.json").exists, "the end of what outlived it", 60)
        export(RunFolder(str(folder)), str(airflow.home / "last.json"))
        yield Ran(first, later, checked((airflow.home / "last.json").read_bytes()))


def ended(airflow: Deployment) -> list[tuple[object, ...]]:
    return airflow.query(
        "SELECT run_id FROM dag_run WHERE dag_id = 'triggered' AND state = 'success'"
    )


def inside(found: Document, step: str, number: int = 1) -> list[Record]:
    """The workflow runs that a try of a task started."""
    attempt = found.attempt_id(step, number)
    return [
        found.section("activity")[link["prov:informed"]]
        for link in found.links("wasInformedBy", informant=attempt)
        if link["yprov4wms:link"] == "nested"
    ]


@pytest.mark.parametrize(
    ("step", "engine"),
    [
        ("inherits", "snakemake"),
        ("own_env", "snakemake"),
        ("appends", "cwltool"),
        ("python", "cwltool"),
        ("external", "cwltool"),
    ],
)
def test_a_workflow_that_a_task_starts_is_nested_in_it(ran: Ran, step: str, engine: str) -> None:
    (run,) = inside(ran.at_end, step)
    assert run["yprov4wfs:engine"] == engine
    assert run["yprov4wfs:status"] == "completed"


def test_a_nested_run_that_failed_and_its_retry_are_each_in_their_own_try(ran: Ran) -> None:
    (first,), (second,) = (inside(ran.at_end, "retried", number) for number in (1, 2))
    assert [first["yprov4wfs:status"], second["yprov4wfs:status"]] == ["failed", "completed"]
    assert first["yprov4wms:run_id"] != second["yprov4wms:run_id"]
    retry = ran.at_end.attempt_id("retried", 2)
    assert ran.at_end.informants(retry, "retry-of") == {ran.at_end.attempt_id("retried", 1)}


def test_of_a_nested_run_that_was_killed_is_told_what_ran(ran: Ran) -> None:
    (run,) = inside(ran.at_end, "killed")
    assert run["yprov4wfs:status"] == "running"
    jobs = of(ran.at_end, run)
    assert [job["yprov4wfs:status"] for job in jobs] == ["running"]
    attempt = ran.at_end.section("activity")[ran.at_end.attempt_id("killed")]
    assert attempt["yprov4wfs:status"] == "completed"


def test_a_nested_run_that_outlives_its_task_is_running_until_it_ends(ran: Ran) -> None:
    (before,), (after,) = (inside(found, "outlived") for found in (ran.at_end, ran.last))
    assert [before["yprov4wfs:status"], after["yprov4wfs:status"]] == ["running", "completed"]
    assert [job["yprov4wfs:status"] for job in of(ran.last, after)] == ["completed"]


def test_a_dag_run_is_nested_in_the_task_that_triggered_it(ran: Ran) -> None:
    for step, status in (("triggers", "running"), ("waits", "completed")):
        (run,) = inside(ran.at_end, step)
        assert (run["prov:label"], run["yprov4wfs:engine"]) == ("triggered", "airflow")
        assert run["yprov4wfs:status"] == status


def test_what_a_triggered_dag_run_starts_is_inside_it(ran: Ran) -> None:
    (run,) = inside(ran.at_end, "waits")
    (task,) = of(ran.at_end, run)
    attempt = identifier(ran.at_end, task)
    (cwl,) = (
        ran.at_end.section("activity")[link["prov:informed"]]
        for link in ran.at_end.links("wasInformedBy", informant=attempt)
        if link["yprov4wms:link"] == "nested"
    )
    assert cwl["yprov4wfs:engine"] == "cwltool"


def test_a_dag_run_that_outlives_the_one_around_it_has_that_ones_document_built_again(
    ran: Ran,
) -> None:
    (run,) = inside(ran.later, "triggers")
    assert run["yprov4wfs:status"] == "completed"


def identifier(found: Document, record: Record) -> str:
    (name,) = (name for name, known in found.section("activity").items() if known is record)
    return name


def of(found: Document, run: Record) -> list[Record]:
    """The attempts of a nested run."""
    prefix = identifier(found, run).partition(":")[0]
    return [
        activity
        for name, activity in found.section("activity").items()
        if name.startswith(f"{prefix}:") and "yprov4wms:attempt" in activity
    ]
