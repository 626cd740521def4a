"""Runs of the real scheduler, on SQLite: what it leaves is what Airflow's database holds."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.airflow.deployment import Deployment
from tests.airflow.record import document, nested, place, ran, tries
from tests.airflow.services import until
from tests.documents import Document, sha256, value

from airflow_provider_yprov.ids import run_uuid

DAGS = Path(__file__).with_name("dags")

#: Of Airflow's own example DAGs those that need no network and no person, and how they end.
EXAMPLES = {
    "example_bash_operator": "success",
    "example_branch_datetime_operator": "success",
    "example_branch_labels": "success",
    "example_complex": "success",
    "example_dynamic_task_mapping": "success",
    "example_dynamic_task_mapping_with_no_taskflow_operators": "success",
    "example_failed_dag": "failed",
    "example_nested_branch_dag": "success",
    "example_params_trigger_ui": "success",
    "example_sensor_decorator": "success",
    "example_setup_teardown": "success",
    "example_setup_teardown_taskflow": "success",
    "example_short_circuit_decorator": "success",
    "example_short_circuit_operator": "success",
    "example_simplest_dag": "success",
    "example_skip_dag": "success",
    "example_task_group": "success",
    "example_task_group_decorator": "success",
    "example_task_group_mapping": "success",
    "example_task_mapping_second_order": "success",
    "example_weekday_branch_operator": "success",
    "example_xcom": "success",
    "example_xcom_args": "success",
    "latest_only_with_trigger": "success",
    "tutorial_dag": "success",
    "tutorial_taskflow_api": "success",
}


def copy_examples(dags: Path) -> None:
    """The files of `EXAMPLES`, as Airflow's packages ship them."""
    import airflow.example_dags
    import airflow.providers.standard.example_dags

    for package in (airflow.example_dags, airflow.providers.standard.example_dags):
        for path in Path(package.__path__[0]).glob("*.py"):
            text = path.read_text()
            if path.stem in EXAMPLES or any(f'"{dag_id}"' in text for dag_id in EXAMPLES):
                shutil.copy(path, dags)


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    home = tmp_path_factory.mktemp("airflow")
    scratch = home / "scratch"
    settings = {"KINDS_SCRATCH": str(scratch), "AIRFLOW__YPROV__XCOM_LIMIT": "100"}
    made = Deployment(home, triggerer=True, public_api=True, settings=settings)
    scratch.mkdir()
    with made as deployment:
        copy_examples(deployment.dags)
        deployment.sync(DAGS)
        yield deployment


@pytest.fixture(scope="module")
def runs(deployment: Deployment) -> dict[str, str]:
    """Of DAGs that nothing is done to: all at once, for each takes seconds of waiting."""
    found = {dag_id: deployment.trigger(dag_id) for dag_id in ("kinds", "waits", "produces")}
    found["killed"] = deployment.trigger("killed")
    found["times_out"] = deployment.trigger("times_out")
    return found | {dag_id: deployment.trigger(dag_id) for dag_id in EXAMPLES}


@pytest.fixture(scope="module")
def kinds(deployment: Deployment, runs: dict[str, str]) -> Document:
    return ran(deployment, "kinds", runs["kinds"], "failed")


@pytest.mark.parametrize("dag_id", EXAMPLES)
def test_an_example_dag_of_airflows(
    deployment: Deployment, runs: dict[str, str], dag_id: str
) -> None:
    found = ran(deployment, dag_id, runs[dag_id], EXAMPLES[dag_id])
    assert dependencies(found) == deployment.relatives(dag_id, runs[dag_id])


def dependencies(found: Document) -> dict[str, list[str]]:
    """By task of a document the tasks that it depends on; of several tries the last's."""
    names = {
        identifier: element["yprov4wms:task"]
        for section in ("activity", "entity")
        for identifier, element in found.section(section).items()
        if "yprov4wms:task" in element and "yprov4wms:engine_state" in element
    }
    before: dict[str, set[str]] = {name: set() for name in names.values()}
    for section, ends in (
        ("wasInformedBy", ("prov:informed", "prov:informant")),
        ("wasInfluencedBy", ("prov:influencee", "prov:influencer")),
    ):
        for link in found.section(section).values():
            one, two = (names.get(link[end]) for end in ends)
            if one and two and link.get("yprov4wms:link") == "depends-on":
                before[one].add(two)
    return {name: sorted(others) for name, others in before.items()}


def test_all_kinds_of_task_instances(
    deployment: Deployment, runs: dict[str, str], kinds: Document
) -> None:
    states = {(task, index, number): state for task, index, number, state in tries(kinds)}
    assert states["square", 1, 1] == "failed"
    assert states["square", 1, 2] == "success"
    assert states["no", -1, 0] == "skipped"
    assert states["skipped_by_itself", -1, 1] == "skipped"
    assert states["never", -1, 0] == "upstream_failed"
    assert states["none", -1, 0] == "skipped"
    assert dependencies(kinds) == deployment.relatives("kinds", runs["kinds"])


def test_who_did_not_run_is_no_activity(kinds: Document) -> None:
    statuses = kinds.statuses()
    assert statuses["no"] == ["skipped"]
    assert not kinds.attempts("no")
    assert not kinds.attempts("never")
    (never,) = kinds.plans("never")
    assert never["yprov4wfs:status"] == "upstream-failed"
    assert "fails" in never["yprov4wms:reason"]
    (attempt,) = kinds.attempts("skipped_by_itself")  # a process ran, and said so
    assert attempt["yprov4wfs:status"] == "skipped"
    assert "yprov4wms:pid" in attempt
    (empty,) = kinds.attempts("yes")
    assert empty["yprov4wfs:status"] == "completed"
    assert empty["yprov4wms:engine_no_process"] is True


def test_errors_of_tries_with_secrets_masked(kinds: Document) -> None:
    first, second = [a for a in kinds.attempts("square") if a["yprov4wms:task"] == "square[1]"]
    assert first["yprov4wms:error"] == "ValueError: the second fails once"
    assert "yprov4wms:error" not in second
    (failed,) = kinds.attempts("fails")
    assert failed["yprov4wms:error"].startswith("RuntimeError: ")
    for secret in (b"hunter2hunter2", b"abcdef0123456789", b"knownonlytoairflow"):
        assert secret not in kinds.content


def test_the_run_and_its_dag(kinds: Document, runs: dict[str, str]) -> None:
    run, plan = kinds.run, kinds.section("entity")["run:workflow"]
    assert run["prov:label"] == "kinds"
    assert run["yprov4wms:engine_run_id"] == runs["kinds"]
    assert run["yprov4wms:engine_run_type"] == "manual"
    assert run["yprov4wms:engine_triggered_by"] == "cli"
    assert run["yprov4wms:engine_tags"] == "a, b"
    assert run["yprov4wms:error"] == "task_failure"
    assert plan["yprov4wms:sha256"] == sha256(DAGS / "kinds.py")
    assert plan["yprov4wms:config_params.rate"] == {"$": "0.5", "type": "xsd:double"}
    (bash,) = kinds.attempts("bash")
    assert "echo 0.5" in bash["yprov4wms:param_bash_command"]  # as rendered
    assert bash["yprov4wms:engine_pool"] == "default_pool"
    assert bash["yprov4wms:engine_bundle_name"] == "dags-folder"
    assert value(bash["yprov4wms:engine_dag_version"]) == 1
    assert bash["yprov4wms:engine_operator_class"].endswith("BashOperator")
    steps = {e["prov:label"]: e for e in kinds.section("entity").values()}
    assert steps["square"]["yprov4wms:engine_mapped"] is True
    assert steps["begin"]["yprov4wms:engine_setup"] is True
    assert steps["finish"]["yprov4wms:engine_teardown"] is True
    assert steps["after_skip"]["yprov4wms:engine_trigger_rule"] == "none_failed"
    assert steps["pair"]["yprov4wfs:type"] == "MappedTaskGroup"
    assert steps["inside"]["yprov4wfs:description"] == "between setup and teardown"
    assert steps["numbers"]["yprov4wfs:description"] == "Gives numbers."
    labels = {a["prov:label"] for a in kinds.attempts("square")}
    assert "square[2: n=3]" in labels


def test_task_groups_hold_their_tasks(kinds: Document) -> None:
    members = {(r["prov:collection"], r["prov:entity"]) for r in kinds.links("hadMember")}
    steps = {e["prov:label"]: i for i, e in kinds.section("entity").items()}
    assert (steps["pair"], steps["pair.first"]) in members
    assert (steps["inside"], steps["inside.work"]) in members


def test_results_are_kept_where_that_was_asked_for(kinds: Document) -> None:
    (total,) = kinds.attempts("total")
    assert value(total["yprov4wms:output_return_value"]) == 14


def test_every_process_of_a_task_learns_who_it_is(
    deployment: Deployment, runs: dict[str, str], kinds: Document
) -> None:
    scratch, run_id = deployment.home / "scratch", run_uuid("airflow", "kinds", runs["kinds"])
    told = json.loads((scratch / "square-2-2.json").read_text())
    assert told["YPROV_RUN_ID"] == run_id
    assert told["YPROV_TASK_ID"] == "square[1]"
    assert told["YPROV_ATTEMPT"] == "2"
    assert told["YPROV_MAP_INDEX"] == "1"
    assert told["YPROV_STORE"] == str(deployment.home / "yprov")
    retried = [a for a in kinds.attempts("square") if a["yprov4wms:task"] == "square[1]"][1]
    assert told["YPROV_TASK_INSTANCE_ID"] == retried["yprov4wms:engine_task_instance_id"]
    assert json.loads((scratch / "external.json").read_text())["YPROV_TASK_ID"] == "external"
    assert f"YPROV_RUN_ID={run_id}\n" in (scratch / "bash.txt").read_text()
    # What a template hands to work that runs elsewhere.
    elsewhere = json.loads((scratch / "elsewhere.txt").read_text())
    assert elsewhere["YPROV_RUN_ID"] == run_id
    assert elsewhere["YPROV_TASK_ID"] == "bash"
    assert elsewhere["YPROV_ATTEMPT"] == "1"
    # With an environment of its own it gets what Airflow exports to each task alone.
    alone = (scratch / "bash_alone.txt").read_text()
    assert f"AIRFLOW_CTX_YPROV_RUN_ID={run_id}\n" in alone
    assert "AIRFLOW_CTX_YPROV_TASK_ID=bash_alone\n" in alone


def test_an_ml_run_is_nested_in_its_task(kinds: Document) -> None:
    assert list(nested(kinds)) == ["total"]


def test_what_a_task_cost(kinds: Document) -> None:
    (bash,) = kinds.attempts("bash")
    assert value(bash["yprov4wms:cpu_time"]) > 0
    assert value(bash["yprov4wms:memory_peak"]) > 1e6
    assert bash["yprov4wms:cpu_time_method"] == "getrusage"


def test_an_attempt_in_several_processes(deployment: Deployment, runs: dict[str, str]) -> None:
    run_id = runs["waits"]
    for _ in range(3):
        if deployment.wait("waits", run_id) == "success":
            break
        # A scheduler that is late takes a sensor that gave its process up for one that was lost.
        (deployment.home / "scratch" / "poked").unlink(missing_ok=True)
        run_id = deployment.trigger("waits")
    found = ran(deployment, "waits", run_id, "success")
    for task in ("deferred", "rescheduled"):
        (attempt,) = found.attempts(task)
        assert value(attempt["yprov4wms:started_processes"]) >= 2
        assert value(attempt["yprov4wms:attempt"]) == 1
        assert value(attempt["yprov4wfs:execution_time_sec"]) > 1


def test_assets_tie_runs_of_different_dags(deployment: Deployment, runs: dict[str, str]) -> None:
    made = ran(deployment, "produces", runs["produces"], "success")
    until(
        lambda: deployment.query("SELECT 1 FROM dag_run WHERE dag_id = 'consumes'"),
        "a run of the DAG that waits for the asset",
        60,
    )
    ((consumer,),) = deployment.query("SELECT run_id FROM dag_run WHERE dag_id = 'consumes'")
    used = ran(deployment, "consumes", consumer, "success")

    (make,) = [i for i, a in made.section("activity").items() if a.get("yprov4wms:step") == "make"]
    assert made.made(make) == {"s3://bucket/data.csv", f"{deployment.home}/scratch/local.txt"}
    data = next(
        e for i, e in made.files("s3://bucket/data.csv").items() if "yprov4wms:asset_uri" in e
    )
    assert value(data["yprov4wms:asset_extra.rows"]) == 3
    assert data["yprov4wms:asset_extra.owner"] == "us"
    local = made.files(f"{deployment.home}/scratch/local.txt").values()
    assert sha256(deployment.home / "scratch" / "local.txt") in {
        e.get("yprov4wms:sha256") for e in local
    }
    by_alias = made.files("s3://bucket/found.csv").values()
    assert {e.get("yprov4wms:asset_aliases") for e in by_alias} >= {"any"}
    # Who reads what another task of the run left uses that version.
    (reads,) = [
        i for i, a in made.section("activity").items() if a.get("yprov4wms:step") == "reads"
    ]
    (version,) = [r["prov:entity"] for r in made.links("used", activity=reads) if "role" in str(r)]
    assert made.links("wasGeneratedBy", entity=version, activity=make)

    assert used.run["yprov4wms:engine_run_type"] == "asset_triggered"
    (event,) = [
        r["prov:entity"]
        for r in used.links("used", activity="run:workflow_run")
        if r.get("prov:role") == "asset event"
    ]
    record = used.section("entity")[event]
    assert record["yprov4wms:asset_source_run_id"] == runs["produces"]
    assert value(record["yprov4wms:asset_extra.rows"]) == 3
    (tie,) = used.links("wasDerivedFrom", generatedEntity=event)
    source = uri(used, tie["prov:usedEntity"])
    assert source in {uri(made, r["prov:generatedEntity"]) for r in made.links("wasDerivedFrom")}
    (use,) = [i for i, a in used.section("activity").items() if a.get("yprov4wms:step") == "use"]
    assert [r["prov:entity"] for r in used.links("used", activity=use)] == [event]


def uri(found: Document, identifier: str) -> str:
    prefix, _, local = identifier.partition(":")
    return str(found.data["prefix"][prefix]) + local


def test_tasks_that_are_killed(deployment: Deployment, runs: dict[str, str]) -> None:
    found = ran(deployment, "killed", runs["killed"], "failed")
    for task in ("by_signal", "by_exit"):
        (attempt,) = found.attempts(task)
        assert attempt["yprov4wfs:status"] == "failed"
        assert attempt["yprov4wms:host"]
        assert "yprov4wms:cpu_time" not in attempt  # nobody was left to tell
    unfinished = found.section("activity")[nested(found)["by_signal"]]
    assert unfinished["prov:label"] == "unfinished"
    assert unfinished["yprov4wfs:status"] != "completed"
    (attempt,) = found.attempts("too_long")
    assert "Timeout" in attempt["yprov4wms:error"]
    (attempt,) = found.attempts("child")
    assert "CalledProcessError" in attempt["yprov4wms:error"]


def test_a_run_that_takes_too_long(deployment: Deployment, runs: dict[str, str]) -> None:
    found = ran(deployment, "times_out", runs["times_out"], "failed")
    assert found.run["yprov4wms:error"] == "timed_out"


def test_cleared_and_run_again(deployment: Deployment) -> None:
    run_id = deployment.trigger("flips")
    before = ran(deployment, "flips", run_id, "failed")
    assert before.plans("done")[0]["yprov4wfs:status"] == "upstream-failed"
    (deployment.home / "scratch" / "needed").touch()
    since = time.time_ns()
    deployment.clear("flips", run_id)
    until(lambda: deployment.state("flips", run_id) == "success", "the second end", 120)
    after = document(deployment, "flips", run_id, newer=since)
    assert tries(after) == deployment.task_instances("flips", run_id)
    assert after.run["yprov4wfs:status"] == "completed"
    failed, completed = after.attempts("needs")
    assert (failed["yprov4wfs:status"], completed["yprov4wfs:status"]) == ("failed", "completed")
    assert "needed" in failed["yprov4wms:error"]
    assert [a["yprov4wfs:status"] for a in after.attempts("done")] == ["completed"]
    (plan,) = after.plans("done")  # of the first time
    assert plan["yprov4wms:engine_try_number"] == {"$": "0", "type": "xsd:int"}


def test_set_by_hand_after_the_end(deployment: Deployment) -> None:
    run_id = deployment.trigger("plain")
    ran(deployment, "plain", run_id, "success")
    since = time.time_ns()
    path = f"dags/plain/dagRuns/{run_id}/taskInstances/one"
    deployment.request("PATCH", path, new_state="failed")
    after = document(deployment, "plain", run_id, newer=since)
    assert tries(after) == deployment.task_instances("plain", run_id)
    (attempt,) = after.attempts("one")
    assert attempt["yprov4wfs:status"] == "failed"
    assert attempt["yprov4wms:engine_marked_by_hand"] == "failed"
    assert "yprov4wms:cpu_time" in attempt


def test_deleted_and_made_again(deployment: Deployment) -> None:
    deployment.trigger("plain", {"who": "first"}, "twice")
    ran(deployment, "plain", "twice", "success")
    since = time.time_ns()
    deployment.request("DELETE", "dags/plain/dagRuns/twice")
    deployment.trigger("plain", {"who": "second"}, "twice")
    deployment.wait("plain", "twice")
    after = document(deployment, "plain", "twice", newer=since)
    assert tries(after) == deployment.task_instances("plain", "twice")
    plan = after.section("entity")["run:workflow"]
    assert plan["yprov4wms:config_conf.who"] == "second"


def test_the_document_is_the_same_when_it_is_built_again(
    deployment: Deployment, runs: dict[str, str], kinds: Document
) -> None:
    from yprov4wms.export.document import export
    from yprov4wms.store import RunFolder

    again = deployment.home / "again.json"
    export(RunFolder(str(place(deployment, "kinds", runs["kinds"]))), str(again))
    assert again.read_bytes() == kinds.content


def test_the_scheduler_goes_and_another_comes(deployment: Deployment) -> None:
    run_id = deployment.trigger("steady")
    done = lambda: sum(t[3] == "success" for t in deployment.task_instances("steady", run_id))  # noqa: E731
    until(lambda: done() >= 2, "the first tasks", 60)
    (scheduler,) = deployment.schedulers
    deployment.kill(scheduler)
    deployment.start_scheduler()
    ran(deployment, "steady", run_id, "success")


def test_hooks_left_nothing_behind(deployment: Deployment) -> None:
    """No warning of ours or of the database's, no process, no thread."""
    for log in deployment.home.glob("scheduler*.log"):
        text = log.read_text()
        assert "provenance is incomplete" not in text
        assert "UNEXPECTED COMMIT" not in text
        assert "error calling listener" not in text.lower()
    for scheduler in deployment.schedulers:
        tasks = Path(f"/proc/{scheduler.popen.pid}/task").iterdir()
        names = [(task / "comm").read_text().strip() for task in tasks]
        assert not [name for name in names if name.startswith("yprov")]
    until(lambda: not exporting(deployment.home), "the end of export processes", 90)
    assert (deployment.home / "logs" / "yprov-export.log").read_text() == ""


def exporting(home: Path) -> list[str]:
    """Processes of ours that build documents in the deployment's store."""
    found: list[Any] = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes()
        except OSError:
            continue
        if b"airflow_provider_yprov.build" in line and f"{home}/".encode() in line:
            found.append(path.parent.name)
    return found
