"""What tests of Airflow ask of a deployment's records."""

from __future__ import annotations

from pathlib import Path

from tests.airflow.deployment import Deployment
from tests.airflow.services import until
from tests.documents import Document, Record, checked, value

from airflow_provider_yprov.ids import run_uuid

Try = tuple[str, int, int, str | None]


def place(deployment: Deployment, dag_id: str, run_id: str) -> Path:
    """The folder of a DAG run's record."""
    return deployment.home / "yprov" / run_uuid("airflow", dag_id, run_id)


def document(deployment: Deployment, dag_id: str, run_id: str, newer: int = 0) -> Document:
    """The document of a run that has ended; newer: than this time in nanoseconds."""
    path = place(deployment, dag_id, run_id) / "prov.json"

    def there() -> bool:
        return path.exists() and path.stat().st_mtime_ns > newer

    until(there, f"the document of {dag_id} {run_id}", 90, [], deployment.tails)
    return checked(path.read_bytes())


def tries(found: Document) -> set[Try]:
    """(task id, map index, try number, state) of all that the document tells of."""
    return {
        (
            element["yprov4wms:step"],
            value(element["yprov4wms:engine_map_index"]),
            value(element["yprov4wms:engine_try_number"]),
            element["yprov4wms:engine_state"],
        )
        for element in elements(found)
    }


def elements(found: Document) -> list[Record]:
    """The attempts, and the plans of what never ran."""
    return [
        element
        for section in ("activity", "entity")
        for element in found.section(section).values()
        if "yprov4wms:engine_state" in element and "yprov4wms:task" in element
    ]


def nested(found: Document) -> dict[str, str]:
    """ML runs by the task that each ran in."""
    return {
        found.section("activity")[around]["yprov4wms:task"]: identifier
        for identifier, one in found.section("activity").items()
        if one.get("yprov4wfs:level") == "2"
        for around in found.informants(identifier, "nested")
    }


def ran(deployment: Deployment, dag_id: str, run_id: str, state: str) -> Document:
    """The document of a run that ended as it should, and holds what the database holds."""
    assert deployment.wait(dag_id, run_id) == state
    found = document(deployment, dag_id, run_id)
    assert tries(found) == deployment.task_instances(dag_id, run_id)
    expected = {"success": "completed", "failed": "failed"}[state]
    assert found.run["yprov4wfs:status"] == expected
    return found
