"""Every way in which a task of Airflow's starts another recorded workflow."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

from airflow.providers.standard.operators.bash import BashOperator
from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import dag, task

HERE = Path(__file__).resolve().parent
PATH = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
CWL = ["yprov-cwl-runner", "--quiet", "--parallel"]


def snakemake(task_id: str, *options: str) -> str:
    """A command that runs a workflow of one rule in a folder of the task's own."""
    return (
        f'export PATH="{PATH}"; mkdir -p "{HERE}/{task_id}";'
        f" snakemake --executor yprov --cores 1 --scheduler greedy --quiet all"
        f' --snakefile "{HERE}/Snakefile" --directory "{HERE}/{task_id}" ' + " ".join(options)
    )


def cwl(task_id: str) -> list[str]:
    return [*CWL, "--outdir", f"{HERE}/{task_id}", f"{HERE}/write.cwl", "--text", task_id]


@dag
def ways() -> None:
    BashOperator(task_id="inherits", bash_command=snakemake("inherits"))
    BashOperator(task_id="own_env", bash_command=snakemake("own_env"), env={"HOME": str(HERE)})
    BashOperator(
        task_id="appends",
        bash_command=" ".join(cwl("appends")),
        env={"PATH": PATH},
        append_env=True,
    )

    @task
    def python() -> None:
        subprocess.run(cwl("python"), env={**os.environ, "PATH": PATH}, check=True)

    @task.external_python(python=sys.executable, expect_airflow=False)
    def external(command: list[str], path: str) -> None:
        import os
        import subprocess

        subprocess.run(command, env={**os.environ, "PATH": path}, check=True)

    python()
    external(cwl("external"), PATH)

    BashOperator(
        task_id="retried",
        bash_command=snakemake("retried", "--config", "fails={{ 2 - ti.try_number }}"),
        retries=1,
        retry_delay=timedelta(seconds=0),
    )
    # Killed while its job runs, which goes on; hence the background, and no part in the output.
    BashOperator(
        task_id="killed",
        bash_command=snakemake("killed", "--config", "waits=1", "> /dev/null 2>&1 &")
        + f'until [ -e "{HERE}/killed/began" ]; do sleep 0.1; done; kill -9 $!; wait || true',
    )
    # Its job waits until this DAG run has ended.
    BashOperator(
        task_id="outlived",
        bash_command=f"setsid nohup bash -c '{snakemake('outlived', '--config', 'waits=1')}'"
        " > /dev/null 2>&1 &"
        f'until [ -e "{HERE}/outlived/began" ]; do sleep 0.1; done',
    )
    TriggerDagRunOperator(task_id="triggers", trigger_dag_id="triggered", conf={"slow": True})
    TriggerDagRunOperator(
        task_id="waits",
        trigger_dag_id="triggered",
        conf={"slow": False},
        wait_for_completion=True,
        poke_interval=1,
    )


@dag
def triggered() -> None:
    @task
    def works(dag_run=None) -> None:
        """If it is to be slow, it ends after the one that triggered it: when it is told to."""
        import time

        command = [*CWL, "--outdir", f"{HERE}/works", f"{HERE}/write.cwl", "--text", "works"]
        subprocess.run(command, env={**os.environ, "PATH": PATH}, check=True)
        until = time.monotonic() + 120
        while dag_run.conf["slow"] and not Path(HERE, "go").exists():
            assert time.monotonic() < until
            time.sleep(0.1)

    works()


ways()
triggered()
