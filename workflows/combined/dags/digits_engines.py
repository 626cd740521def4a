"""Two workflow engines, one after the other, search for a network that reads handwritten digits.

Snakemake searches a coarse grid of hyperparameters, CWL a finer one around what it found, and
the better of both is chosen. See README.md.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import Asset, dag, task

WORKFLOWS = Path(__file__).resolve().parents[2]
RESULTS = Path(os.environ.get("DIGITS_RESULTS", WORKFLOWS / "combined" / "results"))
COARSE, FINE = RESULTS / "snakemake", RESULTS / "cwl"
#: Where Snakemake is told to work.
DATA, BEST = COARSE / "results" / "data", COARSE / "results" / "best"

#: Everything that a run of this workflow can be varied by.
PARAMS = {
    "cores": 2,
    "seed": 7,
    "epochs": 15,
    "batch_size": 64,
    "alpha": 0.0001,
    # The networks that Snakemake trains: one for each combination. Layers are joined by "-".
    "hidden": ["16", "64"],
    "learning_rate": [0.001, 0.01],
    # Those that CWL trains have the layers of the best, and its learning rate times these.
    "factors": [0.5, 2.0],
}


def file_asset(path: Path) -> Asset:
    return Asset(name=f"{path.parent.name}/{path.name}", uri=path.as_uri())


CONFIG = file_asset(RESULTS / "coarse.json")
TRAIN = file_asset(DATA / "train.npz")
VALIDATION = file_asset(DATA / "validation.npz")
TEST = file_asset(DATA / "test.npz")
COARSE_RANKING = file_asset(COARSE / "results" / "ranking.txt")
JOB = file_asset(RESULTS / "finer.json")
FINE_RANKING = file_asset(FINE / "ranking.txt")
WINNER = file_asset(RESULTS / "winner.joblib")
PAGE = file_asset(RESULTS / "comparison.md")

#: Both engines start programs of this environment.
IN_ENVIRONMENT = f'export PATH="{Path(sys.executable).parent}:$PATH"'

#: The settings are the workflow's own, but for those of this run.
SNAKEMAKE = f"""
{IN_ENVIRONMENT}
exec snakemake --executor yprov --cores {{{{ params.cores }}}} --forceall --nocolor \
    --snakefile "{WORKFLOWS}/snakemake/Snakefile" --directory "{COARSE}" \
    --configfile "{WORKFLOWS}/snakemake/config.yaml" "{RESULTS}/coarse.json"
"""

CWL = f"""
{IN_ENVIRONMENT}
rm -rf "{FINE}"
exec yprov-cwl-runner --quiet --parallel --outdir "{FINE}" \
    "{WORKFLOWS}/combined/finer.cwl" "{RESULTS}/finer.json"
"""


@dag(schedule=None, params=PARAMS, max_active_runs=1, tags=["yprov4wms"])
def digits_engines() -> None:
    @task(outlets=[CONFIG])
    def widen(params: dict[str, Any]) -> None:
        """The coarse grid, as settings of the Snakemake workflow."""
        config = {
            "seed": params["seed"],
            "training": {name: params[name] for name in ("epochs", "batch_size", "alpha")},
            "grid": {name: params[name] for name in ("hidden", "learning_rate")},
            "select": 1,
        }
        COARSE.mkdir(parents=True, exist_ok=True)
        (RESULTS / "coarse.json").write_text(json.dumps(config, indent=1) + "\n")

    coarse = BashOperator(
        task_id="coarse",
        bash_command=SNAKEMAKE,
        inlets=[CONFIG],
        outlets=[TRAIN, VALIDATION, TEST, COARSE_RANKING],
        doc_md="Snakemake prepares the data, and trains and tests networks on a coarse grid.",
    )

    @task(inlets=[COARSE_RANKING], outlets=[JOB])
    def narrow(params: dict[str, Any]) -> None:
        """The grid around the best that Snakemake found, as the CWL workflow's job."""
        best = (COARSE / "results" / "ranking.txt").read_text().split()[0]
        found = json.loads((COARSE / "results" / "models" / f"{best}.json").read_text())
        job = {
            f"{part}_data": {"class": "File", "path": str(DATA / f"{part}.npz")}
            for part in ("train", "validation", "test")
        }
        job |= {
            "hidden": [found["hidden"]],
            "learning_rate": [found["learning_rate"] * factor for factor in params["factors"]],
            **{name: params[name] for name in ("epochs", "batch_size", "alpha", "seed")},
            "top": 1,
        }
        (RESULTS / "finer.json").write_text(json.dumps(job, indent=1) + "\n")

    fine = BashOperator(
        task_id="fine",
        bash_command=CWL,
        # A process of the task's that has nothing of Airflow's environment but what it is given.
        env={"PATH": os.environ.get("PATH", os.defpath), "HOME": str(Path.home())},
        inlets=[JOB, TRAIN, VALIDATION, TEST],
        outlets=[FINE_RANKING],
        doc_md="CWL trains and tests networks on a finer grid, on the same data.",
    )

    @task(inlets=[COARSE_RANKING, FINE_RANKING, VALIDATION, TEST], outlets=[WINNER, PAGE])
    def compare() -> dict[str, Any]:
        """Choose the better of both engines' best by validation, and test it."""
        from comparing import compare as compare_models

        models = {"snakemake": next(BEST.glob("*.joblib")), "cwl": next(FINE.glob("*.joblib"))}
        return compare_models(models, DATA, RESULTS)

    widen() >> coarse >> narrow() >> fine >> compare()


digits_engines()
