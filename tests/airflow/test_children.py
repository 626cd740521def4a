"""Runs by yProv4ML's layout under task instances: where each operator worked."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest
from tests.airflow.deployment import Deployment
from tests.airflow.record import ran
from tests.documents import Document, Record
from tests.runs_by_yprov4ml import SCRIPT

DAG = """
    import os, signal, subprocess, sys, time
    from airflow.providers.standard.operators.bash import BashOperator
    from airflow.sdk import Asset, dag, task

    HERE = os.path.dirname(__file__)
    TRAIN = f"{sys.executable} {HERE}/train.py"
    LATER = {"trigger_rule": "all_done"}

    def train(*arguments):
        subprocess.run([*TRAIN.split(), *arguments], check=True)

    @dag
    def leaves():
        @task
        def first():
            train("prov", "first")

        @task(outlets=[Asset(f"file://{HERE}/declared")], **LATER)
        def declares():
            train(f"{HERE}/declared", "declared")

        @task(**LATER)
        def together(name, other):
            def meet(when):
                open(f"{HERE}/{name}.{when}", "w").close()
                until = time.monotonic() + 60
                while not os.path.exists(f"{HERE}/{other}.{when}") and time.monotonic() < until:
                    time.sleep(0.1)

            meet("began")
            train("prov", name)
            meet("trained")  # else one may be looked for while it is half written

        @task(**LATER)
        def killed():
            train("prov", "killed")
            os.kill(os.getpid(), signal.SIGKILL)

        own = BashOperator(task_id="own", bash_command=f"{TRAIN} prov own 0", **LATER)
        script = BashOperator(task_id="script", bash_command="script.sh", **LATER)
        crash = BashOperator(task_id="crash", bash_command=f"{TRAIN} prov crash 0", **LATER)
        there = BashOperator(
            task_id="there", bash_command=f"{TRAIN} runs there", cwd=HERE, **LATER
        )
        both = together.expand_kwargs(
            [{"name": "one", "other": "two"}, {"name": "two", "other": "one"}]
        )
        first() >> declares() >> own >> script >> crash >> there >> both >> killed()

    leaves()
"""


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Document]:
    with Deployment(tmp_path_factory.mktemp("airflow")) as deployment:
        (deployment.dags / "leaves.py").write_text(dedent(DAG))
        (deployment.dags / "train.py").write_text(SCRIPT)
        (deployment.dags / ".airflowignore").write_text("train.py\n")
        line = f"{sys.executable} {deployment.dags}/train.py prov script 0\n"
        (deployment.dags / "script.sh").write_text(line)
        deployment.sync(deployment.dags)
        yield ran(deployment, "leaves", deployment.trigger("leaves"), "failed")


def found(document: Document, step: str) -> list[Record]:
    """The documents of child runs of a task's instances."""
    children = document.section("entity")
    attempts = {
        i for i, a in document.section("activity").items() if a.get("yprov4wms:step") == step
    }
    return [
        children[r["prov:entity"]]
        for r in document.section("wasGeneratedBy").values()
        if r["prov:activity"] in attempts and "yprov4wms:dialect" in children[r["prov:entity"]]
    ]


def names(children: list[Record]) -> list[str]:
    return sorted(Path(child["yprov4wms:origin"]).parts[-2] for child in children)


@pytest.mark.parametrize("step", ["first", "own", "script", "there"])
def test_a_run_where_an_operator_worked_is_its(document: Document, step: str) -> None:
    (child,) = found(document, step)
    assert names([child]) == [f"{step}_0"]
    assert "yprov4wms:doubt" not in child


def test_a_run_among_the_outlets_is_the_tasks(document: Document) -> None:
    (child,) = found(document, "declares")
    assert "yprov4wms:doubt" not in child


def test_what_a_failed_operator_left_in_its_temporary_folder_is_kept(document: Document) -> None:
    (child,) = found(document, "crash")
    assert (child["yprov4wms:complete"], child.get("yprov4wms:doubt")) == (False, None)


def test_runs_of_tasks_at_one_time_in_one_directory_are_in_doubt(document: Document) -> None:
    children = found(document, "together")
    assert set(names(children)) == {"one_0", "two_0"}
    doubt = "other tasks ran in the same directory at the time"
    assert {child.get("yprov4wms:doubt") for child in children} == {doubt}


def test_what_a_killed_process_left_is_found_in_doubt(document: Document) -> None:
    (child,) = found(document, "killed")
    assert names([child]) == ["killed_0"]
    assert child["yprov4wms:doubt"].startswith("its task was killed")
