"""Jobs that train with MLflow and know nothing of us, under a real Snakemake."""

from __future__ import annotations

from pathlib import Path

from tests.documents import checked
from tests.mlflow_stores import QUIET, needed
from tests.snakemake.project import Project

needed()

#: No store is named: it is MLflow's default, a database where the job works.
TRAIN = """
    import sys
    import joblib, mlflow, pandas
    from sklearn.linear_model import LogisticRegression

    data, target, regularisation = sys.argv[1:4]
    table = pandas.read_csv(data)
    mlflow.set_experiment("digits")
    with mlflow.start_run(run_name=target):
        mlflow.log_input(mlflow.data.from_pandas(table, source=data), context="training")
        mlflow.log_param("C", regularisation)
        model = LogisticRegression(C=float(regularisation), max_iter=5)
        model.fit(table.drop(columns="target"), table["target"])
        mlflow.log_metric("accuracy", model.score(table.drop(columns="target"), table["target"]))
        joblib.dump(model, target)
        mlflow.log_artifact(target)
        if float(regularisation) > 100:
            raise SystemExit("too weak")
"""

SNAKEFILE = """
import sys
rule all:
    input: "weak.joblib", "strong.joblib"
rule data:
    output: "digits.csv"
    run:
        from sklearn.datasets import load_digits
        load_digits(as_frame=True).frame.iloc[:100].to_csv(output[0], index=False)
rule train:
    input: "digits.csv", script="train.py"
    output: "{name}.joblib"
    params: python=sys.executable, c=lambda w: {"weak": 10, "strong": 0.1, "bad": 1000}[w.name]
    shell: "{params.python} {input.script} {input[0]} {output} {params.c}"
"""


def project(folder: Path) -> Project:
    found = Project(folder)
    found.snakefile(SNAKEFILE)
    found.write("train.py", TRAIN)
    return found


def test_the_lineage_goes_from_the_data_through_the_run_to_the_model(tmp_path: Path) -> None:
    work = project(tmp_path)
    # Two that make MLflow's database at once fail, without us as well.
    done = work.snakemake(cores=1, **QUIET)
    assert done.returncode == 0, done.stderr
    assert "provenance is incomplete" not in done.stderr
    document = work.document()
    activities = document.section("activity")
    ((data, _),) = document.files("digits.csv").items()
    ((code, _),) = document.files("train.py").items()
    for name in ("weak.joblib", "strong.joblib"):
        ((model, _),) = document.files(name).items()
        makers = {r["prov:activity"] for r in document.links("wasGeneratedBy", entity=model)}
        (run,) = [maker for maker in makers if activities[maker]["yprov4wfs:level"] == "2"]
        (attempt,) = makers - {run}
        assert document.informants(run, "nested") == {attempt}
        assert activities[run]["prov:label"] == name
        used = {r["prov:entity"] for r in document.links("used", activity=run)}
        assert {data, code} <= used
        assert "C" in document.used(run)
        assert "accuracy" in document.made(run)
    ((_, attempt),) = [
        (r["prov:entity"], r["prov:activity"])
        for r in document.links("wasGeneratedBy", entity=data)
    ]
    assert activities[attempt]["yprov4wms:step"] == "data"
    for nest in ("bundle", "link"):
        other = work.exported("--nest", nest)
        ((model, _),) = other.files("weak.joblib").items()
        assert len(other.links("wasDerivedFrom", generatedEntity=model)) == 1
    valid = work.yprov4wms("validate", str(work.runs()[-1] / "prov.json"))
    assert valid.returncode == 0
    # What a task's tags name is no other task's, not even by hand.
    refused = work.yprov4wms("attach", "latest", "data", "mlflow.db")
    assert refused.returncode == 2
    assert b"every child run there is another task's" in refused.stderr


def test_a_training_that_fails_is_told_of_as_failed(tmp_path: Path) -> None:
    work = project(tmp_path)
    done = work.snakemake("--", "bad.joblib", **QUIET, MLFLOW_TRACKING_URI="mlruns")
    assert done.returncode == 1
    assert "provenance is incomplete" not in done.stderr
    document = work.document()
    (run,) = [a for a in document.section("activity").values() if a["yprov4wfs:level"] == "2"]
    assert (run["prov:label"], run["yprov4wfs:status"]) == ("bad.joblib", "failed")


def test_untagged_runs_are_found_where_the_job_worked(tmp_path: Path) -> None:
    work = Project(tmp_path)
    work.snakefile(
        """
        import sys
        rule train:
            output: "done.txt"
            params: python=sys.executable
            shell: "env -u YPROV_TASK_ID {params.python} train.py && touch {output}"
        """
    )
    work.write("train.py", "import mlflow\nwith mlflow.start_run(run_name='plain'):\n    pass\n")
    done = work.snakemake(**QUIET, MLFLOW_TRACKING_URI="mlruns")
    assert done.returncode == 0, done.stderr
    document = checked((work.runs()[-1] / "prov.json").read_bytes())
    labels = [
        a["prov:label"]
        for a in document.section("activity").values()
        if a["yprov4wfs:level"] == "2"
    ]
    assert labels == ["plain"]
