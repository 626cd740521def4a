"""Every kind of task instance, in DAGs that end by themselves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

from airflow.providers.standard.operators.bash import BashOperator
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.providers.standard.triggers.temporal import TimeDeltaTrigger
from airflow.sdk import (
    Asset,
    AssetAlias,
    BaseOperator,
    BaseSensorOperator,
    Metadata,
    Param,
    TaskGroup,
    dag,
    get_current_context,
    setup,
    task,
    task_group,
    teardown,
)
from airflow.sdk.exceptions import AirflowSkipException
from airflow.sdk.log import mask_secret

from airflow_provider_yprov.macros import environment
from yprov4wms import ml

SCRATCH = Path(os.environ.get("KINDS_SCRATCH", "/nonexistent"))
NOW = timedelta(seconds=0)


def told() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if k.startswith("YPROV_")}


@dag(params={"rate": Param(0.5, type="number"), "password": "hunter2hunter2"}, tags=["a", "b"])
def kinds():
    """All that a small DAG may hold."""

    @task(doc_md="Gives numbers.")
    def numbers() -> list[int]:
        return [1, 2, 3]

    @task(map_index_template="{{ n_name }}", retries=1, retry_delay=NOW)
    def square(n: int, ti=None) -> int:
        context = get_current_context()
        context["n_name"] = f"n={n}"
        Path(SCRATCH, f"square-{n}-{ti.try_number}.json").write_text(json.dumps(told()))
        if n == 2 and ti.try_number == 1:
            raise ValueError("the second fails once")
        return n * n

    @task
    def total(values: list[int]) -> int:
        with ml.start_run("summing"):
            ml.log_param("count", len(values))
        return sum(values)

    @task.branch
    def choose(value: int) -> str:
        return "yes" if value else "no"

    @task
    def skipped_by_itself() -> None:
        raise AirflowSkipException("nothing to do")

    @task(trigger_rule="all_done")
    def fails() -> None:
        mask_secret("knownonlytoairflow")
        raise RuntimeError("token=abcdef0123456789abcdef knownonlytoairflow")

    @task
    def never() -> None:
        """Its upstream fails."""

    @task_group
    def pair(n: int):
        @task
        def first(n: int) -> int:
            return n

        @task
        def second(n: int) -> int:
            return n

        return second(first(n))

    @task
    def begin() -> int:
        return 1

    @task
    def finish(_: int) -> None:
        """Releases it."""

    squares = square.expand(n=numbers())
    sum_ = total(squares)
    yes, no = EmptyOperator(task_id="yes"), EmptyOperator(task_id="no")
    choose(sum_) >> [yes, no]
    no >> BashOperator(task_id="after_no", bash_command="true")
    yes >> skipped_by_itself() >> EmptyOperator(task_id="after_skip", trigger_rule="none_failed")
    yes >> fails() >> never()
    pair.expand(n=[10, 20])
    BashOperator(
        task_id="bash",
        bash_command=f"env > {SCRATCH}/bash.txt; echo {{{{ params.rate }}}} {{{{ run_id }}}};"
        f"echo '{json.dumps(environment())}' > {SCRATCH}/elsewhere.txt",
    )
    BashOperator(
        task_id="bash_alone", bash_command=f"env > {SCRATCH}/bash_alone.txt", env={"A": "1"}
    )

    @task.external_python(python=sys.executable, expect_airflow=False)
    def external() -> dict:
        import os

        return {k: v for k, v in os.environ.items() if k.startswith("YPROV_")}

    @task
    def show(found: dict) -> None:
        Path(SCRATCH, "external.json").write_text(json.dumps(found))

    show(external())
    started = setup(begin)()
    with TaskGroup("inside", tooltip="between setup and teardown"):
        inner = EmptyOperator(task_id="work")
    started >> inner >> teardown(finish)(started).as_teardown(setups=started)
    EmptyOperator(task_id="to_map_nothing") >> square.override(task_id="none").expand(n=[])


class Deferred(BaseOperator):
    """Waits in the triggerer, and is resumed in another process."""

    def execute(self, context) -> None:
        self.defer(trigger=TimeDeltaTrigger(timedelta(seconds=1)), method_name="resumed")

    def resumed(self, context, event=None) -> None:
        """It is time."""


class Twice(BaseSensorOperator):
    """In mode reschedule it is poked twice, in two processes."""

    def poke(self, context) -> bool:
        mark = Path(SCRATCH, "poked")
        there = mark.exists()
        mark.touch()
        return there


@dag
def waits():
    """Deferred and rescheduled: one attempt in several processes."""
    Deferred(task_id="deferred")
    Twice(task_id="rescheduled", mode="reschedule", poke_interval=20)


DATA = Asset(name="data", uri="s3://bucket/data.csv", extra={"owner": "us"})
LOCAL = Asset(name="local", uri=f"file://{SCRATCH}/local.txt")


@dag
def produces():
    @task(outlets=[DATA, LOCAL])
    def make():
        Path(SCRATCH, "local.txt").write_text("content")
        yield Metadata(DATA, {"rows": 3})

    @task(outlets=[AssetAlias("any")])
    def by_alias(outlet_events=None):
        outlet_events[AssetAlias("any")].add(Asset("s3://bucket/found.csv"), extra={"by": "alias"})

    @task(inlets=[LOCAL])
    def reads() -> None:
        """In the same run."""

    make() >> [by_alias(), reads()]


@dag(schedule=[DATA])
def consumes():
    @task(inlets=[DATA])
    def use() -> None:
        """What the other DAG has made."""

    use()


@dag
def killed():
    """Tasks that do not come to an end of their own."""

    @task
    def by_signal() -> None:
        ml.start_run("unfinished")
        ml.log_param("rate", 0.5)
        os.kill(os.getpid(), signal.SIGKILL)

    @task
    def by_exit() -> None:
        os._exit(3)

    @task(execution_timeout=timedelta(seconds=1))
    def too_long() -> None:
        time.sleep(60)

    @task
    def child() -> None:
        subprocess.run(["sh", "-c", "kill -9 $$"], check=True)

    by_signal(), by_exit(), too_long(), child()


@dag(dagrun_timeout=timedelta(seconds=5))
def times_out():
    @task
    def long() -> None:
        time.sleep(300)

    long() >> EmptyOperator(task_id="after")


@dag(max_active_tasks=2)
def steady():
    """Runs long enough for something to happen to the scheduler meanwhile."""

    @task
    def step(n: int) -> int:
        time.sleep(1)
        return n

    @task
    def last(values: list[int]) -> int:
        return len(values)

    last(step.expand(n=list(range(8))))


@dag
def flips():
    """Fails until a file is there."""

    @task
    def first() -> None:
        """Has nothing to do."""

    @task
    def needs() -> None:
        if not Path(SCRATCH, "needed").exists():
            raise FileNotFoundError("needed")

    first() >> needs() >> EmptyOperator(task_id="done")


@dag
def unheard():
    @task(queue="nobody")
    def nobody() -> None:
        """No worker listens to its queue."""

    nobody() >> EmptyOperator(task_id="after")


@dag
def plain():
    @task
    def one() -> dict:
        return {"answer": 42}

    one()


for make in (kinds, waits, produces, consumes, killed, times_out, steady, flips, unheard, plain):
    make()
