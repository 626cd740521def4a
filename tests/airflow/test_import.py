"""``yprov4wms import airflow``: DAG runs that were made without us, from a real API server."""

from __future__ import annotations

import contextlib
import http.server
import json
import secrets
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest
from tests.airflow.services import Process, free_port, stop, until
from tests.documents import Document, checked, environment, value

DAGS = '''
import datetime

from airflow.providers.standard.operators.bash import BashOperator
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, Asset, get_current_context, task, task_group

MODEL = Asset(name="model", uri="file:///no/such/model.bin")
TABLE = Asset(name="table", uri="x-db://host/table")
START = {"schedule": None, "start_date": datetime.datetime(2024, 1, 1)}

PARAMS = {"size": 3, "word": "default"}

with DAG("past", **START, params=PARAMS, tags=["b", "a"], doc_md="What was"):

    @task
    def count(params=None):
        """Numbers"""
        return list(range(params["size"]))

    @task(map_index_template="{{ name }}")
    def square(number):
        get_current_context()["name"] = f"n{number}"
        return number * number

    @task(outlets=[MODEL, TABLE])
    def total(numbers, outlet_events=None):
        outlet_events[TABLE].extra = {"rows": 3}
        return sum(numbers)

    @task.branch
    def choose():
        return "left"

    @task(retries=2, retry_delay=datetime.timedelta(0))
    def flaky(ti=None):
        if ti.try_number < 2:
            raise ValueError("not yet")

    @task(inlets=[TABLE], trigger_rule="none_failed", doc_md="Tells")
    def report():
        pass

    @task_group
    def each(number):
        @task
        def first(n):
            return n

        @task
        def second(n):
            return n

        @task_group
        def deep(n):
            @task
            def third(n):
                return n

            third(n)

        deep(second(first(number)))

    shout = BashOperator(task_id="shout", bash_command="echo {{ params.word }}")
    numbers = count()
    summed = total(square.expand(number=numbers))
    each.expand(number=numbers)
    told = report()
    choose() >> [EmptyOperator(task_id="left"), EmptyOperator(task_id="right")] >> told
    summed >> flaky() >> told >> shout

with DAG("bad", **START):

    @task
    def breaks():
        raise ValueError("broken")

    @task(task_id="dotted.never")
    def never():
        pass

    breaks() >> never()

with DAG("eater", **START):
    EmptyOperator(task_id="eat")

with DAG("cleared", **START):
    EmptyOperator(task_id="eat")

with DAG("changed", **START):
    old = EmptyOperator(task_id="old")
    old >> EmptyOperator(task_id="after")
    # newer
'''

#: Prints a line of JSON: run ids by DAG. Arguments: folder, DAGs and their conf.
DRIVE = """
import json, sys
from pathlib import Path
from airflow.dag_processing.bundles.manager import DagBundlesManager
from airflow.dag_processing.dagbag import BundleDagBag, sync_bag_to_db
from airflow.models.asset import AssetEvent
from airflow.models.dagrun import DagRun
from airflow.utils.db import initdb
from airflow.utils.session import create_session
from sqlalchemy import select

folder = Path(sys.argv[1])

def dags():
    bag = BundleDagBag(str(folder), bundle_path=folder, bundle_name="dags-folder")
    assert not bag.import_errors, bag.import_errors
    sync_bag_to_db(bag, "dags-folder", None)
    return bag.dags

initdb()
DagBundlesManager().sync_bundles_to_db()
known, runs = dags(), {}
for dag_id, conf in json.loads(sys.argv[2]).items():
    runs[dag_id] = known[dag_id].test(run_conf=conf).run_id
if "eater" in runs:
    # Without a scheduler no run is triggered by an asset.
    with create_session() as session:
        run = session.scalar(select(DagRun).where(DagRun.dag_id == "eater"))
        made = select(AssetEvent).where(AssetEvent.source_run_id == runs["past"])
        event = session.scalars(made).first()
        run.consumed_asset_events.append(event)
if "changed" in runs:
    file = folder / "dags.py"
    file.write_text(file.read_text().replace("# newer", "old >> EmptyOperator(task_id='new')"))
    dags()
print(json.dumps(runs), file=sys.stderr)
"""

#: Seconds for a server to come up, and for a process of Airflow's. Much for a busy machine.
START, RUN = 180, 300


class Airflow(NamedTuple):
    """runs: run ids by DAG. recorded: that of another run of ``past``, recorded in ``live``."""

    home: Path
    url: str
    password: str
    environment: dict[str, str]
    runs: dict[str, str]
    recorded: str

    @property
    def live(self) -> Path:
        return self.home / "live"

    def token(self) -> str:
        known = {"username": "admin", "password": self.password}
        return str(self.ask("/auth/token", known, authorized=False)["access_token"])

    def ask(self, path: str, body: Any = None, *, authorized: bool = True) -> Any:
        headers = {"Content-Type": "application/json"}
        if authorized:
            headers["Authorization"] = f"Bearer {self.token()}"
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(self.url + path, data, headers)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def tries(self, dag_id: str, run_id: str) -> set[tuple[str, int, int, str | None]]:
        """(task, map index, try number, state) of every try, as the database has them."""
        sql = "SELECT task_id, map_index, try_number, state FROM {} WHERE dag_id = ? AND run_id = ?"
        with contextlib.closing(sqlite3.connect(self.home / "airflow.db")) as database:
            return {
                row
                for table in ("task_instance", "task_instance_history")
                for row in database.execute(sql.format(table), (dag_id, run_id))
            }

    def imported(
        self, store: Path, dag_id: str, run_id: str, *more: str, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        variables = {"AIRFLOW_TOKEN": self.token()} if not more and not variables else variables
        return self.command(
            "import",
            "airflow",
            *("--dag", dag_id, "--run", run_id, "--store", str(store), *more),
            **variables,
        )

    def command(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "yprov4wms", *arguments],
            env={**self.environment, **variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=RUN,
            check=False,
        )

    def document(self, store: Path, dag_id: str, run_id: str | None = None) -> Document:
        done = self.imported(store, dag_id, run_id or self.runs[dag_id])
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        return read(store, done.stdout)


def read(store: Path, told: str) -> Document:
    """The document of a run of which ``import`` told."""
    assert told.startswith("imported as run ")
    return checked((store / told.split()[3].rstrip(":") / "prov.json").read_bytes())


@pytest.fixture(scope="module")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Airflow]:
    home = tmp_path_factory.mktemp("airflow")
    port, password = free_port(), secrets.token_hex(16)
    (home / "dags").mkdir()
    (home / "dags/dags.py").write_text(DAGS)
    (home / "passwords.json").write_text(json.dumps({"admin": password}))
    url = f"http://127.0.0.1:{port}"
    settings = {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__API__BASE_URL": url,
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        # Lists have several pages.
        "AIRFLOW__API__MAXIMUM_PAGE_LIMIT": "5",
        "AIRFLOW__API__SECRET_KEY": secrets.token_hex(16),
        "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(32),
        "AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home / "passwords.json"),
        "AIRFLOW__CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL": "0",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin",
        "AIRFLOW__DATABASE__LOAD_DEFAULT_CONNECTIONS": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        "AIRFLOW__YPROV__DISABLED": "True",
        "AIRFLOW__YPROV__EXPORT": "never",
        "AIRFLOW__YPROV__PATIENCE": "60",
        "AIRFLOW__YPROV__STORE": str(home / "live"),
    }
    inherited = {k: v for k, v in environment().items() if not k.startswith("AIRFLOW")}
    env = {**inherited, **settings}

    def drive(conf: dict[str, Any], **variables: str) -> dict[str, str]:
        done = subprocess.run(
            [sys.executable, "-c", DRIVE, str(home / "dags"), json.dumps(conf)],
            env={**env, **variables},
            capture_output=True,
            text=True,
            timeout=RUN,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        return dict(json.loads(done.stderr.splitlines()[-1]))

    told = {"word": "hello", "note": f"it is {password}"}
    recorded = drive({"past": {"word": "hello"}}, AIRFLOW__YPROV__DISABLED="False")["past"]
    runs = drive({"past": told, "bad": None, "eater": None, "cleared": None, "changed": None})
    program = str(Path(sys.executable).with_name("airflow"))
    server = Process("api-server", [program, "api-server"], home / "api-server.log", env)
    found = Airflow(home, url, password, env, runs, recorded)

    def up() -> bool:
        with contextlib.suppress(OSError):
            return bool(found.ask("/api/v2/version", authorized=False))
        return False

    try:
        until(up, "the API server", START, [server], server.log.read_text)
        yield found
    finally:
        stop([server], 15)


@pytest.fixture(scope="module")
def past(airflow: Airflow, tmp_path_factory: pytest.TempPathFactory) -> Document:
    return airflow.document(tmp_path_factory.mktemp("store"), "past")


def tries(document: Document) -> set[tuple[str, int, int, str | None]]:
    """(task, map index, try number, state) of what ran, and of what did not."""
    elements = [*document.section("activity").values(), *document.section("entity").values()]
    return {
        (
            element["yprov4wms:step"],
            value(element["yprov4wms:engine_map_index"]),
            value(element["yprov4wms:engine_try_number"]),
            element["yprov4wms:engine_state"],
        )
        for element in elements
        if "yprov4wms:engine_try_number" in element
    }


def depends(document: Document) -> set[tuple[str, str]]:
    return {
        (document.label(link["prov:informed"]), document.label(link["prov:informant"]))
        for link in document.section("wasInformedBy").values()
        if link.get("yprov4wms:link") == "depends-on"
    }


def test_every_try_of_every_task_instance_is_there(airflow: Airflow, past: Document) -> None:
    expected = airflow.tries("past", airflow.runs["past"])
    assert {("flaky", -1, 1, "failed"), ("flaky", -1, 2, "success")} <= expected
    assert {("square", 2, 1, "success"), ("right", -1, 0, "skipped")} <= expected
    assert tries(past) == expected
    assert past.statuses()["flaky"] == ["failed", "completed"]
    assert past.statuses()["right"] == ["skipped"]
    assert past.run["yprov4wfs:status"] == "completed"
    assert past.run["yprov4wms:imported"] is True


def test_dependencies_are_those_of_the_dag(past: Document) -> None:
    found = depends(past)
    assert {b for a, b in found if a == "total"} == {f"square[{i}: n{i}]" for i in range(3)}
    assert {b for a, b in found if a == "each.second[1]"} == {"each.first[1]"}
    assert {b for a, b in found if a == "each.deep.third[2]"} == {"each.second[2]"}
    assert {b for a, b in found if a == "each.first[0]"} == {"count"}
    assert {b for a, b in found if a == "report"} == {"flaky (attempt 2)", "left"}
    groups = {
        e["prov:label"]: e["yprov4wfs:type"]
        for e in past.section("entity").values()
        if "TaskGroup" in str(e.get("yprov4wfs:type"))
    }
    assert groups == {"each": "MappedTaskGroup", "each.deep": "TaskGroup"}


def test_times_parameters_and_who_are_told(airflow: Airflow, past: Document) -> None:
    plan = past.section("entity")["run:workflow"]
    assert value(plan["yprov4wms:config_params.size"]) == 3
    assert plan["yprov4wms:config_params.word"] == plan["yprov4wms:config_conf.word"] == "hello"
    assert past.attempts("shout")[0]["yprov4wms:param_bash_command"] == "echo hello"
    place = f"/api/v2/dags/past/dagRuns/{quote(airflow.runs['past'], safe='')}"
    run = airflow.ask(place)
    began = past.run["prov:startTime"]
    assert began == run["start_date"].replace("Z", "+00:00")
    assert past.run["prov:endTime"] == run["end_date"].replace("Z", "+00:00")
    task = airflow.ask(f"{place}/taskInstances/total")
    (attempt,) = past.attempts("total")
    assert attempt["prov:startTime"] == task["start_date"].replace("Z", "+00:00")
    assert attempt["yprov4wms:engine_task_instance_id"] == task["id"]
    assert past.run["yprov4wms:engine_dag_source_sha256"]
    assert any(a["prov:label"] == "dag_test" for a in past.section("agent").values())
    # Which it was when the run was made is not known.
    assert past.section("agent")["run:engine"]["prov:label"] == "airflow"
    assert past.run["yprov4wms:engine_airflow_version_at_import"].startswith("3.")


def test_a_recorded_run_has_the_same_id_and_the_same_parts(
    airflow: Airflow, tmp_path: Path
) -> None:
    done = airflow.command("export", "--store", str(airflow.live))
    assert done.returncode == 0, done.stderr
    (folder,) = [p for p in airflow.live.iterdir() if (p / "prov.json").is_file()]
    recorded = checked((folder / "prov.json").read_bytes())
    document = airflow.document(tmp_path, "past", airflow.recorded)
    assert [p.name for p in tmp_path.iterdir()] == [folder.name]
    assert document.ids() == recorded.ids()
    assert depends(document) == depends(recorded)
    for relation in ("used", "wasGeneratedBy", "wasDerivedFrom", "wasAssociatedWith", "hadMember"):
        ends = [
            sorted(
                json.dumps({k: v for k, v in link.items() if k != "prov:time"}, sort_keys=True)
                for link in each.section(relation).values()
            )
            for each in (document, recorded)
        ]
        assert ends[0] == ends[1], relation
    for one in document.section("activity").keys() - {"run:workflow_run"}:
        mine, other = (each.section("activity")[one] for each in (document, recorded))
        known = {key for key in mine if key != "yprov4wms:engine_pid"}
        assert {key: mine[key] for key in known} == {key: other.get(key) for key in known}


def test_assets_are_what_tasks_left_and_tie_runs(
    airflow: Airflow, past: Document, tmp_path: Path
) -> None:
    total = past.attempt_id("total")
    assert past.made(total) == {"/no/such/model.bin", "x-db://host/table"}
    versions = past.files("x-db://host/table").values()
    (table,) = [e for e in versions if "yprov4wms:asset_extra.rows" in e]
    assert value(table["yprov4wms:asset_extra.rows"]) == 3
    used = {r["prov:entity"] for r in past.links("used", activity=past.attempt_id("report"))}
    made = {link["prov:entity"] for link in past.links("wasGeneratedBy", activity=total)}
    assert len(used & made) == 1
    eater = airflow.document(tmp_path, "eater")
    assert eater.used("run:workflow_run")
    # The one that it took is, under the same identifier, what the other run published.
    assert {uri for uri in eater.ids() & past.ids() if "published" in uri}


def test_a_failed_run_says_what_failed_and_what_never_ran(airflow: Airflow, tmp_path: Path) -> None:
    document = airflow.document(tmp_path, "bad")
    assert document.run["yprov4wfs:status"] == "failed"
    assert document.statuses() == {"breaks": ["failed"], "dotted.never": ["upstream-failed"]}
    assert tries(document) == airflow.tries("bad", airflow.runs["bad"])
    # A dot in a name makes no group.
    assert "TaskGroup" not in document.content.decode()


def test_of_an_older_version_dependencies_are_left_out(airflow: Airflow, tmp_path: Path) -> None:
    done = airflow.imported(tmp_path, "changed", airflow.runs["changed"])
    assert done.returncode == 0, done.stderr
    (line,) = done.stderr.splitlines()
    assert "version 2" in line
    assert "this run had 1" in line
    document = read(tmp_path, done.stdout)
    assert tries(document) == airflow.tries("changed", airflow.runs["changed"])
    assert depends(document) == set()
    assert "'new'" not in document.content.decode()


def test_a_run_under_way_is_taken_in_as_far_as_it_got(airflow: Airflow, tmp_path: Path) -> None:
    body = {"dag_run_id": "under-way", "logical_date": None}
    airflow.ask("/api/v2/dags/past/dagRuns", body)
    done = airflow.imported(tmp_path, "past", "under-way")
    assert done.returncode == 0, done.stderr
    assert "still queued" in done.stderr
    document = read(tmp_path, done.stdout)
    assert "yprov4wfs:status" not in document.run
    assert document.run["yprov4wms:engine_state_at_import"] == "queued"
    assert set(map(tuple, document.statuses().values())) == {("not-started",)}


def test_tries_of_what_was_cleared_stay(airflow: Airflow, tmp_path: Path) -> None:
    body = {"dry_run": False, "dag_run_id": airflow.runs["cleared"], "only_failed": False}
    airflow.ask("/api/v2/dags/cleared/clearTaskInstances", body)
    assert airflow.tries("cleared", airflow.runs["cleared"]) == {
        ("eat", -1, 1, "success"),
        ("eat", -1, 1, None),
    }
    done = airflow.imported(tmp_path, "cleared", airflow.runs["cleared"])
    assert done.returncode == 0, done.stderr
    assert "still queued" in done.stderr
    assert read(tmp_path, done.stdout).statuses() == {"eat": ["completed"]}


def test_nothing_of_the_credentials_is_kept_or_said(airflow: Airflow, tmp_path: Path) -> None:
    run = airflow.runs["past"]
    user = ("--username", "admin", "--url", airflow.url.replace("//", "//me:hidden-in-url@"))
    done = airflow.imported(tmp_path, "past", run, *user, AIRFLOW_PASSWORD=airflow.password)
    assert done.returncode == 0, done.stderr
    kept = b"".join(p.read_bytes() for p in tmp_path.rglob("*") if p.is_file())
    assert b'"it is ***"' in kept.replace(b"\\", b"")
    for text in (kept, done.stdout.encode(), done.stderr.encode()):
        assert airflow.password.encode() not in text
        assert b"hidden-in-url" not in text


def test_what_is_in_the_store_already_is_refused(airflow: Airflow, tmp_path: Path) -> None:
    airflow.document(tmp_path, "bad")
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    done = airflow.imported(tmp_path, "bad", airflow.runs["bad"])
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "yprov4wms show" in line
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")} == before
    # Of another deployment it is another run.
    token = {"AIRFLOW_TOKEN": airflow.token()}
    done = airflow.imported(tmp_path, "bad", airflow.runs["bad"], "--deployment", "b", **token)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("dag_id", "run_id", "more", "said"),
    [
        ("past", "R", ("--token", "x"), "Invalid JWT token"),
        ("past", "R", ("--token", "x\ny"), "characters"),
        ("past", "R", ("--username", "nobody"), "does not let 'nobody' in: Invalid credentials"),
        ("past", "R", ("--url", "http://127.0.0.1:1"), "Connection refused"),
        ("past", "R", ("--url", "127.0.0.1:1"), "is no address"),
        ("past", "R", ("--url", "http://[bad"), "cannot read"),
        ("pst", "R", (), "has no DAG 'pst' (there is: past)"),
        ("past", "nope", (), "has no run 'nope' (there is: "),
        ("", "R", (), "not empty"),
    ],
)
def test_a_failure_is_one_line_and_leaves_nothing(
    airflow: Airflow, tmp_path: Path, dag_id: str, run_id: str, more: tuple[str, ...], said: str
) -> None:
    known = {} if "--token" in more else {"AIRFLOW_TOKEN": airflow.token()}
    known["AIRFLOW_PASSWORD"] = "wrong"
    run_id = airflow.runs["past"] if run_id == "R" else run_id
    done = airflow.imported(tmp_path, dag_id, run_id, *more, **known)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("yprov4wms: error: ")
    assert said in line
    assert list(tmp_path.iterdir()) == []


def test_without_credentials_it_says_what_is_missing(airflow: Airflow, tmp_path: Path) -> None:
    run = airflow.runs["past"]
    done = airflow.imported(tmp_path, "past", run, AIRFLOW_TOKEN="")
    assert done.returncode == 2
    assert "wants --token or --username" in done.stderr
    done = airflow.imported(tmp_path, "past", run, "--username", "admin")
    assert done.returncode == 2
    assert "AIRFLOW_PASSWORD" in done.stderr
    assert list(tmp_path.iterdir()) == []


# -- servers that are none, or break off -------------------------------------------------------

RUN_ANSWER = {"dag_id": "d", "dag_run_id": "r", "state": "success", "dag_versions": []}


@contextlib.contextmanager
def serving(answers: dict[str, tuple[int, dict[str, str], bytes]]) -> Iterator[str]:
    """The URL of a server that gives these by path: status, headers, body."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, headers, body = answers.get(self.path.partition("?")[0], (404, {}, b""))
            self.send_response(status)
            for name, text in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, text)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def answer(found: object, status: int = 200, **headers: str) -> tuple[int, dict[str, str], bytes]:
    return status, headers, json.dumps(found).encode()


PLACE = "/api/v2/dags/d/dagRuns/r"
HALF = {"task_instances": [], "total_entries": 2}


def imported_from(url: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """In a folder where Airflow is not configured."""
    run = ("--dag", "d", "--run", "r", "--url", url, "--store", str(folder / "store"))
    return subprocess.run(
        [sys.executable, "-m", "yprov4wms", "import", "airflow", *run],
        env=environment(AIRFLOW_HOME=str(folder / "home"), AIRFLOW_TOKEN="x"),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ({}, "is no Airflow 3"),
        ({PLACE: (200, {"Content-Type": "text/html"}, b"<html>")}, "answered with text/html"),
        ({PLACE: answer({"some": "thing"})}, "something else than a run"),
        ({PLACE: answer({}, 302, Location="https://x.example/login?a=b")}, "x.example/login: give"),
        ({PLACE: answer({}, 500)}, "status 500"),
        ({PLACE: answer({"detail": "Forbidden"}, 403)}, "forbids reading"),
        ({PLACE: (200, {"Content-Length": "999"}, b'{"dag_id":')}, "cannot read"),
        ({PLACE: answer(RUN_ANSWER), f"{PLACE}/taskInstances": answer(HALF)}, "gave 0 of 2"),
        ({PLACE: answer(RUN_ANSWER), f"{PLACE}/taskInstances": answer([1])}, "is no Airflow 3"),
        (
            {
                PLACE: answer(RUN_ANSWER),
                f"{PLACE}/taskInstances": answer({"task_instances": [{}], "total_entries": 1}),
            },
            "answers otherwise than Airflow 3 does",
        ),
    ],
)
def test_an_answer_that_is_not_airflows_is_one_error(
    tmp_path: Path, answers: dict[str, tuple[int, dict[str, str], bytes]], said: str
) -> None:
    with serving(answers) as url:
        done = imported_from(url, tmp_path)
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    assert said in line
    # Neither a store, nor a configuration of Airflow's.
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_read_beside_the_run_is_a_warning(tmp_path: Path) -> None:
    forbidden, failing = answer({"detail": "Forbidden"}, 403), answer({}, 500)
    answers = {
        PLACE: answer(RUN_ANSWER),
        f"{PLACE}/taskInstances": answer({"task_instances": [], "total_entries": 0}),
        f"{PLACE}/upstreamAssetEvents": failing,
        "/api/v2/dags/d/details": forbidden,
        "/api/v2/assets/events": forbidden,
        "/api/v2/version": answer({"version": "3.9"}),
    }
    with serving(answers) as url:
        done = imported_from(url, tmp_path)
    assert done.returncode == 0, done.stderr
    lines = done.stderr.splitlines()
    assert [line.split(":")[2] for line in lines] == [
        " without the DAG",
        " without the assets that it was given",
        " without the assets that it left",
    ]
    assert read(tmp_path / "store", done.stdout).run["yprov4wfs:status"] == "completed"


def test_a_server_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    from airflow_provider_yprov import rest

    monkeypatch.setattr(rest, "READ", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        with pytest.raises(rest.ApiError, match="does not answer"):
            rest.Api(f"http://127.0.0.1:{silent.getsockname()[1]}").get("version")
        assert time.monotonic() - began < 30


def test_a_password_in_netrc_is_not_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow_provider_yprov import rest

    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password mine\n")
    (tmp_path / ".netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    with serving({"/api/v2/version": answer({"version": "3"})}) as url:
        api = rest.Api(url)
        sent = api._send("GET", "/api/v2/version").request.headers
        assert "Authorization" not in sent
        api.use("token")
        sent = api._send("GET", "/api/v2/version").request.headers
        assert sent["Authorization"] == "Bearer token"


def test_help_names_the_importer_and_its_options(tmp_path: Path) -> None:
    def helped(*arguments: str) -> str:
        command = [sys.executable, "-m", "yprov4wms", "import", *arguments, "--help"]
        env = environment(AIRFLOW_HOME=str(tmp_path / "home"))
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
        return done.stdout

    assert "airflow-provider-yprov" in helped()
    assert "--deployment" in helped("airflow")
    assert list(tmp_path.iterdir()) == []
