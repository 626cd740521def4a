"""Train small networks on scikit-learn's handwritten digits, over a grid of hyperparameters;
test the best of them; report. See README.md."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from airflow.providers.standard.operators.bash import BashOperator
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import Asset, AssetAlias, dag, task, task_group

WORKFLOWS = Path(__file__).resolve().parents[2]
RESULTS = Path(os.environ.get("DIGITS_RESULTS", WORKFLOWS / "airflow" / "results"))
DATA, MODELS = RESULTS / "data", RESULTS / "models"
BEST, EVALUATION = RESULTS / "best", RESULTS / "evaluation"

#: Everything that a run of this workflow can be varied by.
PARAMS = {
    "seed": 7,
    # Shares of the data; what is left is for training.
    "validation": 0.2,
    "test": 0.2,
    "epochs": 15,
    "batch_size": 64,
    "alpha": 0.0001,
    # One model is trained for each combination. Layers are joined by "-".
    "hidden": ["16", "64", "64-32"],
    "learning_rate": [0.001, 0.01],
    # How many models, the best on the validation data, go on to the test; and whether they do.
    "select": 2,
    "evaluate": True,
}


def file_asset(path: Path) -> Asset:
    return Asset(name=path.name, uri=path.as_uri())


DIGITS = file_asset(DATA / "digits.npz")
TRAIN = file_asset(DATA / "train.npz")
VALIDATION = file_asset(DATA / "validation.npz")
TEST = file_asset(DATA / "test.npz")
RANKING = file_asset(RESULTS / "ranking.txt")
PAGE = file_asset(RESULTS / "report.md")
#: Which files these are is known when the training of each is over.
NETWORKS = AssetAlias("networks")
#: All that a report tells of.
SCORES = Asset(name="digits scores", uri=EVALUATION.as_uri())


def script(name: str) -> str:
    """A command that runs a script which the sibling workflows use too."""
    return f'"{sys.executable}" "{WORKFLOWS / name}"'


@dag(schedule=None, params=PARAMS, max_active_runs=1, tags=["yprov4wms"])
def digits() -> None:
    @task_group
    def data() -> None:
        """Load and part the data."""
        prepare = BashOperator(
            task_id="prepare",
            bash_command=f'mkdir -p "{DATA}"'
            f' && {script("cwl/scripts/prepare.py")} "{DATA}/digits.npz"',
            outlets=[DIGITS],
        )
        split = BashOperator(
            task_id="split",
            bash_command=f"{script('snakemake/scripts/split.py')} digits.npz"
            " --seed {{ params.seed }} --shares {{ params.validation }} {{ params.test }}"
            " --train train.npz --validation validation.npz --test test.npz",
            cwd=str(DATA),
            inlets=[DIGITS],
            outlets=[TRAIN, VALIDATION, TEST],
        )
        prepare >> split

    @task
    def grid(params: dict[str, Any]) -> list[dict[str, Any]]:
        """The combinations of hyperparameters that are tried."""
        combinations = itertools.product(params["hidden"], params["learning_rate"])
        return [{"hidden": hidden, "learning_rate": rate} for hidden, rate in combinations]

    @task(inlets=[TRAIN, VALIDATION], outlets=[NETWORKS], map_index_template="{{ network }}")
    def train(
        hidden: str, learning_rate: float, params: dict[str, Any], outlet_events: Any
    ) -> dict[str, Any]:
        """Train one network: an ML run with metrics for each epoch."""
        from airflow.sdk import get_current_context
        from training import train as train_network

        MODELS.mkdir(exist_ok=True)
        chosen = {name: params[name] for name in ("alpha", "epochs", "batch_size", "seed")}
        scores = train_network(DATA, MODELS, hidden, learning_rate, **chosen)
        get_current_context()["network"] = scores["model"]
        outlet_events[NETWORKS].add(file_asset(MODELS / f"{scores['model']}.joblib"))
        return scores

    @task(outlets=[RANKING])
    def choose(trained: Iterable[dict[str, Any]], params: dict[str, Any]) -> list[dict[str, str]]:
        """Copy the best by validation accuracy; the lower loss decides between equals."""

        def rank(scores: dict[str, Any]) -> tuple[float, float, str]:
            return -scores["validation"]["accuracy"], scores["validation"]["loss"], scores["model"]

        best = [scores["model"] for scores in sorted(trained, key=rank)[: params["select"]]]
        for folder in (BEST, EVALUATION):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
        for model in best:
            shutil.copy2(MODELS / f"{model}.joblib", BEST)
        (RESULTS / "ranking.txt").write_text("".join(f"{model}\n" for model in best))
        return [{"MODEL": model} for model in best]

    @task.branch
    def whether_to_test(params: dict[str, Any]) -> str:
        """The test data are for those who are sure."""
        return "evaluate" if params["evaluate"] else "untested"

    @task(outlets=[SCORES], trigger_rule="none_failed_min_one_success")
    def publish(
        trained: Iterable[dict[str, Any]], params: dict[str, Any], outlet_events: Any
    ) -> None:
        """Say which networks there are, and which of them were tested."""
        tested = (RESULTS / "ranking.txt").read_text().split() if params["evaluate"] else []
        networks = [scores["model"] for scores in trained]
        outlet_events[SCORES].extra = {"trained": networks, "tested": tested}

    trained = train.expand_kwargs(grid())
    chosen = choose(trained)
    evaluate = BashOperator.partial(
        task_id="evaluate",
        bash_command=f"{script('snakemake/scripts/evaluate.py')}"
        f' --model "{BEST}/$MODEL.joblib" --test "{DATA}/test.npz"'
        f' --scores "{EVALUATION}/$MODEL.json" --confusion "{EVALUATION}/${{MODEL}}_confusion.csv"',
        append_env=True,
        inlets=[TEST],
    ).expand(env=chosen)
    data() >> trained
    branch = whether_to_test()
    chosen >> branch >> [evaluate, EmptyOperator(task_id="untested")] >> publish(trained)


@dag(schedule=[SCORES], max_active_runs=1, tags=["yprov4wms"])
def digits_report() -> None:
    @task(inlets=[SCORES], outlets=[PAGE])
    def report(triggering_asset_events: Any) -> None:
        """Tell of all networks, and of the tested ones in detail, on one page."""
        found = triggering_asset_events[SCORES][-1].extra
        command = [sys.executable, str(WORKFLOWS / "cwl" / "scripts" / "report.py")]
        command += ["--trained", *(f"{MODELS}/{name}.json" for name in found["trained"])]
        command += ["--tested", *(f"{EVALUATION}/{name}.json" for name in found["tested"])]
        command += ["--confusion"]
        command += [f"{EVALUATION}/{name}_confusion.csv" for name in found["tested"]]
        with (RESULTS / "report.md").open("w") as page:
            subprocess.run(command, stdout=page, check=True)

    report()


digits()
digits_report()
