"""MLflow stores for tests: made by the real MLflow, and one as MLflow 2 left it."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from tests.documents import environment

MISSING = "MLflow is not installed here (tox -e mlflow-py311 has it)"

#: What MLflow must not do while tests run: ask the network, warn of the file store.
QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ALLOW_FILE_STORE": "true",
    "MLFLOW_DISABLE_AGENT_HINT": "true",
    "GIT_PYTHON_REFRESH": "quiet",
}

#: The revision of MLflow 2.22's databases.
OLD_REVISION = "0584bdc529eb"


def needed() -> None:
    """Skip where MLflow is not there."""
    pytest.importorskip("mlflow", reason=MISSING)
    pytest.importorskip("sklearn", reason="scikit-learn is not installed here")


def script(
    folder: Path, code: str, *arguments: str, **env: str
) -> subprocess.CompletedProcess[str]:
    """Run code in a process of its own, in a folder."""
    path = folder / "script.py"
    path.write_text(textwrap.dedent(code))
    return subprocess.run(
        [sys.executable, str(path), *arguments],
        cwd=folder,
        env=environment(**QUIET, **env),
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )


def old_store(folder: Path) -> Path:
    """A file store of MLflow 2.22's, which lay elsewhere when it was written; returns the run.

    A model of the kind that was no entity of its own, and one metric with two values.
    """
    run = folder / "mlruns" / "7" / ("ab" * 16)
    then = 1_700_000_000_000
    model = {
        "artifact_path": "model",
        "utc_time_created": "2023-11-14 22:13:25.5",
        "model_uuid": "cd" * 16,
        "flavors": {"sklearn": {"pickled_model": "model.pkl"}, "python_function": {}},
    }
    tags = {
        "mlflow.user": "ada",
        "mlflow.runName": "old",
        "mlflow.source.name": "train.py",
        "mlflow.source.git.commit": "1234abcd",
        "mlflow.log-model.history": json.dumps([model]),
    }
    files = {
        "meta.yaml": "artifact_uri: file:///gone/mlruns/7/abab/artifacts\n"
        f"end_time: {then + 9000}\nentry_point_name: ''\nexperiment_id: '7'\n"
        f"lifecycle_stage: active\nrun_id: {run.name}\nrun_name: old\nrun_uuid: {run.name}\n"
        f"source_name: ''\nsource_type: 4\nsource_version: ''\nstart_time: {then}\nstatus: 3\n"
        "tags: []\nuser_id: ada\n",
        "params/lr": "0.1",
        "metrics/loss": f"{then + 1} 2.0 0\n{then + 2} 0.5 1\n",
        "artifacts/model/model.pkl": "weights",
        "artifacts/plot.txt": "a plot",
        **{f"tags/{name}": value for name, value in tags.items()},
    }
    for name, content in files.items():
        path = run / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    (run.parent / "meta.yaml").write_text(
        "artifact_location: file:///gone/mlruns/7\nexperiment_id: '7'\n"
        f"creation_time: {then}\nlast_update_time: {then}\nlifecycle_stage: active\nname: exp\n"
    )
    return run


#: Fills the stores that it is told of: all that a run can have, in several experiments.
FILL = """
    import sys
    import joblib, mlflow, pandas
    from mlflow.entities import Metric
    from sklearn.datasets import load_digits
    from sklearn.linear_model import LogisticRegression

    digits = load_digits(as_frame=True).frame.iloc[:200]
    digits.to_csv("digits.csv", index=False)
    features, target = digits.drop(columns="target"), digits["target"]

    for uri in sys.argv[1:]:
        mlflow.set_tracking_uri(uri)
        client = mlflow.MlflowClient()
        mlflow.set_experiment("digits")
        with mlflow.start_run(run_name="the \\u00fcber run", description="a *test*") as run:
            data = mlflow.data.from_pandas(digits, source="digits.csv", name="digits")
            mlflow.log_input(data, context="training", tags={"who": "ada"})
            odd = {"name \\u00e9 1/a:b": "\\u4e16\\u754c \\U0001f600", "none": None}
            mlflow.log_params({"C": 0.5, **odd})
            mlflow.log_params({"db_password": "hunter22", "uri": "postgresql://ada:s3cret9@h/db"})
            mlflow.set_tag("a tag", "x\\ny")
            when = run.info.start_time
            points = [Metric("loss", 1 / (n + 1), when + n, n) for n in range(4000)]
            client.log_batch(run.info.run_id, metrics=points[:1000])
            for start in range(1000, 4000, 1000):
                client.log_batch(run.info.run_id, metrics=points[start:start + 1000])
            for number, value in enumerate([float("nan"), 3.0, float("nan")]):
                mlflow.log_metric("odd", value, step=number)
            mlflow.log_metric("system/cpu_utilization_percentage", 42.0)
            mlflow.log_metric("password", 1.0)
            model = LogisticRegression(C=0.5, max_iter=5).fit(features, target)
            joblib.dump(model, "model.joblib")
            mlflow.log_artifact("model.joblib", "files/deep")
            logged = mlflow.sklearn.log_model(
                model, name="classifier", pip_requirements=["scikit-learn"],
                registered_model_name="digits-classifier")
            mlflow.log_metric("accuracy", 0.75, model_id=logged.model_id, dataset=data)
            for depth in (1, 2):
                with mlflow.start_run(run_name=f"inner {depth}", nested=True):
                    mlflow.log_param("depth", depth)
                    if depth == 2:
                        with mlflow.start_run(run_name="innermost", nested=True):
                            mlflow.log_metric("m", 1)
        mlflow.set_experiment("others")
        try:
            with mlflow.start_run(run_name="fails"):
                raise ValueError("no")
        except ValueError:
            pass
        others = mlflow.get_experiment_by_name("others").experiment_id
        killed = client.create_run(others, run_name="killed")
        client.set_terminated(killed.info.run_id, "KILLED")
        client.delete_run(killed.info.run_id)
"""
