"""Run the DAG `digits` through Airflow's scheduler, and `digits_report`, which follows from it.

    python workflows/airflow/run.py [--conf '{"epochs": 3}']

Uses the ``airflow`` beside the Python that runs it, with settings of its own and ``.airflow``
beside this file as its home. What is started here ends here.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from local_airflow import LocalAirflow, guarded

HERE = Path(__file__).resolve().parent

#: DAG runs that an asset of this run led to.
FOLLOWING = """
    SELECT following.dag_id, following.run_id FROM dag_run AS following
    JOIN dagrun_asset_event AS link ON link.dag_run_id = following.id
    JOIN asset_event ON asset_event.id = link.event_id
    WHERE asset_event.source_dag_id = ? AND asset_event.source_run_id = ?
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--conf", default="{}", help="parameters of the run, as JSON")
    arguments = parser.parse_args()
    return guarded(lambda: run(arguments.conf))


def run(conf: str) -> None:
    with LocalAirflow(HERE / ".airflow", HERE / "dags") as airflow:
        run_id = airflow.trigger("digits", conf)
        airflow.finish("digits", run_id)
        ((dag_id, following),) = airflow.wait(
            lambda: airflow.query(FOLLOWING, "digits", run_id),
            "the DAG run that the scores lead to",
        )
        airflow.finish(dag_id, following)


if __name__ == "__main__":
    sys.exit(main())
