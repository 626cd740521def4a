"""Other executors and databases: PostgreSQL, Celery with two workers, a store in S3."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.airflow.deployment import Deployment
from tests.airflow.record import elements, nested, ran, tries
from tests.airflow.services import until
from tests.documents import Document, checked, environment

from airflow_provider_yprov.ids import run_uuid

DAGS = Path(__file__).with_name("dags")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "scratch").mkdir()
    return tmp_path


def scratch(home: Path, **more: str) -> dict[str, str]:
    return {"KINDS_SCRATCH": str(home / "scratch"), **more}


def test_postgresql_with_two_schedulers(home: Path) -> None:
    """Not with SQLite: it has no locks of rows, so that both take the same task instances."""
    deployment = Deployment(home, database="postgresql", settings=scratch(home))
    with deployment:
        deployment.start_scheduler()
        deployment.sync(DAGS)
        steady = [deployment.trigger("steady", run_id=f"steady-{n}") for n in range(2)]
        plain = [deployment.trigger("plain", run_id=f"plain-{n}") for n in range(6)]
        kinds = deployment.trigger("kinds")
        found = ran(deployment, "kinds", kinds, "failed")
        assert found.attempts("square")[0]["yprov4wms:engine_pool"] == "default_pool"
        for run_id in steady:
            ran(deployment, "steady", run_id, "success")
        for run_id in plain:
            assert len(elements(ran(deployment, "plain", run_id, "success"))) == 1
        for scheduler in deployment.schedulers:
            assert "UNEXPECTED COMMIT" not in scheduler.log.read_text()
            assert "provenance is incomplete" not in scheduler.log.read_text()


def test_celery_with_two_workers_and_a_shared_folder(home: Path) -> None:
    settings = scratch(
        home,
        AIRFLOW__YPROV__STORE=str(home / "yprov"),
        AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT="30",
        AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL="2",
        AIRFLOW__SCHEDULER__NUM_STUCK_IN_QUEUED_RETRIES="0",
    )
    with Deployment(home, executor="CeleryExecutor", settings=settings) as deployment:
        deployment.sync(DAGS)
        steady = deployment.trigger("steady")
        kinds = deployment.trigger("kinds")
        unheard = deployment.trigger("unheard")
        found = ran(deployment, "steady", steady, "success")
        ids = {a.get("yprov4wms:engine_external_executor_id") for a in found.attempts("step")}
        assert len(ids) == 8  # Celery's task ids
        assert None not in ids
        ran(deployment, "kinds", kinds, "failed")
        # No worker ever takes it: the executor's patience ends, and no process has run.
        found = ran(deployment, "unheard", unheard, "failed")
        (attempt,) = found.attempts("nobody")
        assert attempt["yprov4wfs:status"] == "failed"
        assert "yprov4wms:pid" not in attempt


@pytest.fixture
def s3(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Variables that lead to a bucket of a server on loopback."""
    pytest.importorskip("s3fs", reason="s3fs is not installed")
    server = pytest.importorskip("moto.server", reason="moto is not installed")
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    variables = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }
    try:
        make = "import s3fs; s3fs.S3FileSystem().mkdir('runs')"
        subprocess.run([sys.executable, "-c", make], env=environment(**variables), check=True)
        yield variables
    finally:
        running.stop()


def test_celery_with_two_workers_and_a_store_in_s3(home: Path, s3: dict[str, str]) -> None:
    settings = scratch(home, AIRFLOW__YPROV__STORE="s3://runs/yprov", **s3)
    with Deployment(home, executor="CeleryExecutor", settings=settings) as deployment:
        deployment.sync(DAGS)
        runs = {dag_id: deployment.trigger(dag_id) for dag_id in ("steady", "kinds")}
        for dag_id, run_id in runs.items():
            state = deployment.wait(dag_id, run_id)
            assert state == {"steady": "success", "kinds": "failed"}[dag_id]
            found = fetched(deployment, dag_id, run_id, home, s3)
            assert tries(found) == deployment.task_instances(dag_id, run_id)
        assert len(found.attempts("square")) == 4
        assert list(nested(found)) == ["total"]


def fetched(
    deployment: Deployment, dag_id: str, run_id: str, home: Path, s3: dict[str, str]
) -> Document:
    """The document that the deployment's own export process has left in the bucket."""
    path = f"runs/yprov/{run_uuid('airflow', dag_id, run_id)}/prov.json"
    target = home / f"{dag_id}.json"
    get = f"import s3fs; s3fs.S3FileSystem(use_listings_cache=False).get({path!r}, {str(target)!r})"

    def there() -> bool:
        command = [sys.executable, "-c", get]
        done = subprocess.run(command, env=environment(**s3), capture_output=True, check=False)
        return done.returncode == 0 and target.exists()

    until(there, f"the document of {dag_id}", 90, [], deployment.tails)
    return checked(target.read_bytes())
