"""Run the DAG `digits_engines`, whose tasks run Snakemake and CWL, and look at its one document.

    python workflows/combined/run.py [--conf '{"epochs": 3}']

Uses the ``airflow`` beside the Python that runs it, with settings of its own and ``.airflow``
beside this file as its home. What is started here ends here.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "airflow"))

from local_airflow import FailedRunError, LocalAirflow, guarded  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--conf", default="{}", help="parameters of the run, as JSON")
    arguments = parser.parse_args()
    return guarded(lambda: run(arguments.conf))


def run(conf: str) -> None:
    with LocalAirflow(HERE / ".airflow", HERE / "dags") as airflow:
        folder = airflow.finish("digits_engines", airflow.trigger("digits_engines", conf))
    if folder is None:
        return
    for command in (["validate", str(folder / "prov.json")], ["show", str(folder)]):
        print(f"\n$ yprov4wms {' '.join(command)}", flush=True)
        if subprocess.run([sys.executable, "-m", "yprov4wms", *command], check=False).returncode:
            raise FailedRunError(f"yprov4wms {command[0]} failed")


if __name__ == "__main__":
    sys.exit(main())
