"""Other executor plugins inside ours, with their own settings, and Snakemake's API."""

from __future__ import annotations

import json
import platform
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.documents import Document, at_once, environment, sha256, value
from tests.snakemake.project import Project

pytest.importorskip("snakemake_executor_plugin_cluster_generic")

SUBMIT = """\
#!/bin/sh
# Runs the job in the background with nothing of our environment, and prints its id.
cd "{folder}" || exit 1
id="job-$$"
mkdir -p queue
setsid env -i PATH="$PATH" HOME="$HOME" sh -c '
    if sh "$1" > "queue/$2.out" 2>&1; then echo success; else echo failed; fi > "queue/$2.part"
    mv "queue/$2.part" "queue/$2.status"
' job "$1" "$id" > /dev/null 2>&1 < /dev/null &
echo "$id"
"""

STATUS = """\
#!/bin/sh
cat "{folder}/queue/$1.status" 2> /dev/null || echo running
"""

INNER = ("--yprov-inner-executor", "cluster-generic")

SNAKEFILE = """
localrules: all, local, threaded

rule all:
    input:
        "seen.txt", "block.txt", "local.txt", "second.txt", "flaky.txt", "fails.txt", "threaded.txt"
rule seen:
    output: "seen.txt"
    shell: "env | grep ^YPROV_ | sort > {output}"
rule block:
    input: "seen.txt"
    output: "block.txt"
    run:
        import os
        open(output[0], "w").write(os.environ["YPROV_TASK_ID"])
rule local:
    input: "seen.txt"
    output: "local.txt"
    shell: "env | grep ^YPROV_ | sort > {output}"
rule threaded:
    output: "threaded.txt"
    run:
        from yprov4wms import ml
        with ml.start_run("threaded", name="in a thread"):
            ml.log_artifact("text", shell("echo x > {output[0]}") or output[0])
rule first:
    output: "first.txt"
    group: "pair"
    shell: "env | grep ^YPROV_ | sort > {output}"
rule second:
    input: "first.txt"
    output: "second.txt"
    group: "pair"
    shell: "cp {input} {output}"
rule flaky:
    output: "flaky.txt"
    shell: "echo $YPROV_ATTEMPT >> tries; test $YPROV_ATTEMPT -gt 1; touch {output}"
rule fails:
    output: "fails.txt"
    log: "fails.log"
    shell: "echo trouble > {log}; exit 3"
"""

#: Two jobs that cannot go on at once, and a local one.
SMALL = """
localrules: all
rule all:
    input: "a.txt", "b.txt"
rule one:
    output: "{name}.txt"
    wildcard_constraints: name="[ab]"
    shell: "date +%s.%N > {wildcards.name}.start; echo {wildcards.name} > {output};"
        " date +%s.%N > {wildcards.name}.end"
"""


def cluster(project: Project) -> list[str]:
    """A scheduler in the project's folder; returns the inner plugin's own options."""
    for name, content in (("submit.sh", SUBMIT), ("status.sh", STATUS)):
        path = project.folder / name
        path.write_text(content.format(folder=project.folder))
        path.chmod(0o755)
    return [
        f"--cluster-generic-submit-cmd={project.folder}/submit.sh",
        f"--cluster-generic-status-cmd={project.folder}/status.sh",
        "--seconds-between-status-checks=1",
    ]


def run(project: Project, *options: str, executor: str | None = "yprov", **env: str) -> Any:
    """Snakemake without ``--cores``, which local executors need and others do not."""
    command = project.command(*options, executor=executor)
    at = command.index("--cores")
    del command[at : at + 2]
    return subprocess.run(
        command,
        cwd=project.folder,
        env=environment(**env),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture(scope="module")
def remote(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, Document]:
    project = Project(tmp_path_factory.mktemp("remote"))
    project.snakefile(SNAKEFILE)
    options = cluster(project)
    store = "a störe"
    done = run(
        project, *INNER, *options, "--jobs=4", "--retries=1", "--keep-going", "--yprov-store", store
    )
    project.store = project.folder / store
    assert done.returncode == 1, done.stderr
    assert "Provided remote nodes: 4" in done.stderr
    assert "provenance is incomplete" not in done.stderr
    (document,) = project.store.glob("*/prov.json")
    return project, project.document(document.parent)


def told(project: Project, name: str) -> dict[str, str]:
    lines = (project.folder / name).read_text().splitlines()
    return dict(line.split("=", 1) for line in lines)


def test_remote_jobs_and_local_rules_are_all_recorded(remote: tuple[Project, Document]) -> None:
    _, document = remote
    assert document.statuses() == {
        "all": ["upstream-failed"],
        "seen": ["completed"],
        "block": ["completed"],
        "local": ["completed"],
        "threaded": ["completed"],
        "first": ["completed"],
        "second": ["completed"],
        "flaky": ["failed", "completed"],
        "fails": ["failed", "failed"],
    }
    assert document.run["yprov4wfs:status"] == "failed"
    assert document.run["yprov4wms:executor"] == "cluster-generic"


def test_the_scheduler_and_its_job_ids_are_told(remote: tuple[Project, Document]) -> None:
    project, document = remote
    submitted = {path.stem for path in (project.folder / "queue").glob("*.status")}
    found = {
        a["yprov4wms:external_id"]
        for a in document.section("activity").values()
        if "yprov4wms:external_id" in a
    }
    assert found == submitted
    assert len(found) == 7
    (local,) = document.attempts("local")
    assert "yprov4wms:external_id" not in local
    first, second = document.attempts("first")[0], document.attempts("second")[0]
    assert first["yprov4wms:external_id"] == second["yprov4wms:external_id"]
    assert any(
        a["prov:label"].startswith("snakemake-executor-plugin-cluster-generic")
        for a in document.section("agent").values()
    )


def test_each_remote_process_knows_its_task(remote: tuple[Project, Document]) -> None:
    project, document = remote
    store = str(project.store)
    for step in ("seen", "local"):
        (attempt,) = document.attempts(step)
        assert told(project, f"{step}.txt") == {
            "YPROV_RUN_ID": document.run["yprov4wms:run_id"],
            "YPROV_TASK_ID": attempt["yprov4wms:task"],
            "YPROV_ATTEMPT": "1",
            "YPROV_STORE": store,
        }
    (block,) = document.attempts("block")
    assert (project.folder / "block.txt").read_text() == block["yprov4wms:task"]
    assert (project.folder / "tries").read_text() == "1\n2\n"


def test_each_member_of_a_group_knows_its_task(remote: tuple[Project, Document]) -> None:
    project, document = remote
    (first,) = document.attempts("first")
    assert told(project, "first.txt") == {
        "YPROV_RUN_ID": document.run["yprov4wms:run_id"],
        "YPROV_TASK_ID": first["yprov4wms:task"],
        "YPROV_ATTEMPT": "1",
        "YPROV_STORE": str(project.store),
    }


def test_files_of_remote_jobs_are_linked_and_checked(remote: tuple[Project, Document]) -> None:
    project, document = remote
    seen, block = document.attempt_id("seen"), document.attempt_id("block")
    ((identifier, file),) = document.files("seen.txt").items()
    assert file["yprov4wms:sha256"] == sha256(project.folder / "seen.txt")
    assert document.links("wasGeneratedBy", entity=identifier, activity=seen)
    for user in (block, document.attempt_id("local")):
        assert document.links("used", entity=identifier, activity=user)
        assert seen in document.informants(user, "depends-on")
    assert document.informants(document.attempt_id("second"), "depends-on") == {
        document.attempt_id("first")
    }


def test_a_remote_failure_and_its_retry_are_attempts(remote: tuple[Project, Document]) -> None:
    _, document = remote
    for step in ("flaky", "fails"):
        first, second = document.attempt_id(step, 1), document.attempt_id(step, 2)
        assert document.informants(second, "retry-of") == {first}
    ((identifier, _),) = document.files("flaky.txt").items()
    (made,) = document.links("wasGeneratedBy", entity=identifier)
    assert made["prov:activity"] == document.attempt_id("flaky", 2)
    for number in (1, 2):
        assert document.made(document.attempt_id("fails", number)) == {"fails.log"}
    ids = {a["yprov4wms:external_id"] for a in document.attempts("flaky")}
    assert len(ids) == 2


def test_the_process_on_the_node_tells_what_it_saw(remote: tuple[Project, Document]) -> None:
    _, document = remote
    for step in ("seen", "first", "second"):
        (attempt,) = document.attempts(step)
        assert value(attempt["yprov4wms:exit_code"]) == 0
        assert attempt["yprov4wms:cpu_time_method"] == "wait4"
        assert attempt["yprov4wms:host"] == platform.node()
        # Its own time, without Snakemake's start.
        assert value(attempt["yprov4wfs:execution_time_sec"]) < 1
    (block,) = document.attempts("block")
    assert block["yprov4wms:cpu_time_method"] == "getrusage"
    for attempt in document.attempts("fails"):
        assert value(attempt["yprov4wms:exit_code"]) == 3
        assert "exit status 3" in attempt["yprov4wms:error"]
    assert "<TBD>" not in document.content.decode()
    (local,) = document.attempts("local")
    assert value(local["yprov4wms:exit_code"]) == 0
    assert local["yprov4wms:cpu_time_method"] == "wait4"


def test_an_ml_run_in_a_thread_of_snakemakes_is_nested(remote: tuple[Project, Document]) -> None:
    """Beside a remote executor Snakemake runs ``run:`` of local rules in its own process."""
    project, document = remote
    links = document.links("wasInformedBy", informant=document.attempt_id("threaded"))
    assert [r for r in links if r["yprov4wms:link"] == "nested"]
    assert not (project.folder / ".yprov").exists()


# -- from a profile, beside the plain plugin -----------------------------------------------


@pytest.fixture(scope="module")
def profiles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The same workflow by a profile under us, and by one of the plain inner plugin."""
    found: dict[str, Any] = {}
    calls = []
    for name in ("ours", "plain"):
        project = Project(tmp_path_factory.mktemp(name))
        project.snakefile(SMALL)
        options = [option.removeprefix("--").split("=", 1) for option in cluster(project)]
        keys = dict(options) | {"jobs": "1", "default-resources": "[mem_mb=77]"}
        keys["executor"] = "cluster-generic"
        if name == "ours":
            keys |= {"executor": "yprov", "yprov-inner-executor": "cluster-generic"}
            keys |= {"yprov-person": '"Ada Lovelace"', "yprov-strict": "true"}
        lines = "".join(f"{key}: {text}\n" for key, text in keys.items())
        project.write("profiles/mine/config.yaml", lines)
        (project.folder / "work").mkdir()
        # The profile is not to be found from where Snakemake then works.
        place = ("--directory", "work", "--profile", "profiles/mine")
        calls.append(partial(run, project, *place, executor=None))
        found[name] = project
    for name, done in zip(("ours", "plain"), at_once(*calls), strict=True):
        assert done.returncode == 0, done.stderr
        found[f"{name} done"] = done
    return found


def test_the_inner_plugins_settings_come_from_a_profile(profiles: dict[str, Any]) -> None:
    inside = Project(profiles["ours"].folder / "work")
    document = inside.document()
    assert document.run["yprov4wms:executor"] == "cluster-generic"
    assert document.statuses() == {"one": ["completed"] * 2, "all": ["completed"]}
    for attempt in document.attempts("one"):
        assert attempt["yprov4wms:external_id"].startswith("job-")
        assert value(attempt["yprov4wms:resource_mem_mb"]) == 77
    (person,) = (a for a in document.section("agent").values() if a["prov:type"] == "prov:Person")
    assert person["yprov4wms:name"] == "Ada Lovelace"


def test_jobs_means_what_it_means_to_the_inner_plugin(profiles: dict[str, Any]) -> None:
    for name in ("ours", "plain"):
        assert "Provided remote nodes: 1" in profiles[f"{name} done"].stderr
        work = profiles[name].folder / "work"
        spans = sorted(
            (float((work / f"{n}.start").read_text()), float((work / f"{n}.end").read_text()))
            for n in "ab"
        )
        assert spans[0][1] < spans[1][0], "one node at a time"


def test_a_profile_run_says_and_leaves_what_the_plain_plugin_does(
    profiles: dict[str, Any],
) -> None:
    ours, plain = profiles["ours done"], profiles["plain done"]
    assert ours.stdout == plain.stdout
    assert ours.stderr.count("Using profile") == plain.stderr.count("Using profile") == 1
    for name in ("a.txt", "b.txt"):
        left = [(profiles[n].folder / "work" / name).read_text() for n in ("ours", "plain")]
        assert left[0] == left[1] == name[0] + "\n"


# -- what cannot be -----------------------------------------------------------------------

ERRORS = {
    "unknown": (["--yprov-inner-executor", "nothere", "--jobs=1"], "-nothere is not installed"),
    "ourselves": (["--yprov-inner-executor", "yprov", "--cores=1"], "cannot be yprov"),
    "a dry run": (["--yprov-inner-executor", "dryrun", "--cores=1"], "use --dry-run"),
    "touching": (["--yprov-inner-executor", "touch", "--cores=1"], "use --touch"),
    "no settings": ([*INNER, "--jobs=1"], "--cluster-generic-submit-cmd"),
    "no jobs": ([*INNER, "--cluster-generic-submit-cmd=x", "--cores=1"], "use --jobs N"),
}  # fmt: skip


@pytest.fixture(scope="module")
def errors(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Project, Any]]:
    projects = {name: Project(tmp_path_factory.mktemp("error")) for name in ERRORS}
    for project in projects.values():
        project.snakefile(SMALL)
    done = at_once(*(partial(run, projects[name], *ERRORS[name][0]) for name in ERRORS))
    return {name: (projects[name], one) for name, one in zip(ERRORS, done, strict=True)}


@pytest.mark.parametrize("name", ERRORS)
def test_what_cannot_run_is_one_clear_error(
    errors: dict[str, tuple[Project, Any]], name: str
) -> None:
    project, done = errors[name]
    assert done.returncode == 1
    assert ERRORS[name][1] in done.stderr
    assert done.stderr.count("Error") <= 2, done.stderr  # its kind, perhaps, and its text
    assert "Traceback" not in done.stderr
    assert not project.runs()
    assert not (project.folder / "a.txt").exists()


# -- kill -9, and jobs that Snakemake does not wait for -----------------------------------

LONG = """
import sys
rule long:
    output: "long.txt"
    params: python=sys.executable
    shell: "{params.python} long.py; touch {output}"
"""

LONG_SCRIPT = """
import time
from pathlib import Path
from yprov4wms import ml

with ml.start_run("long", name="outlives Snakemake"):
    ml.log_metric("loss", 1.0, step=0)
    Path("logged").touch()
    while not Path("go").exists():
        time.sleep(0.05)
    ml.log_metric("loss", 0.5, step=1)
"""


def wait_for(condition: Any, what: str) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come about"
        time.sleep(0.05)


def kill_while_remote(project: Project) -> list[Document]:
    """Snakemake dies, its remote job does not; what an export says then, and at the end."""
    project.snakefile(LONG)
    project.write("long.py", LONG_SCRIPT)
    process = project.start(*INNER, *cluster(project), "--jobs=1")
    wait_for((project.folder / "logged").exists, "the job's start")
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    meanwhile = project.exported()
    (project.folder / "go").touch()
    wait_for(lambda: list((project.folder / "queue").glob("*.status")), "the job's end")
    return [meanwhile, project.exported()]


def interrupt_while_remote(project: Project) -> list[Document]:
    project.snakefile(LONG)
    project.write("long.py", LONG_SCRIPT)
    process = project.start(*INNER, *cluster(project), "--jobs=1")
    wait_for((project.folder / "logged").exists, "the job's start")
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 1, out
    (project.folder / "go").touch()
    return [project.document()]


GATED = """
rule one:
    output: "a.txt"
    shell: "until test -e go; do sleep 0.05; done; echo a > {output}"
"""


def submit_only(project: Project) -> list[Document]:
    """Snakemake goes before its job; what it says then, and an export after the job."""
    project.snakefile(GATED)
    options = [*INNER, *cluster(project), "--jobs=2", "--immediate-submit", "--notemp"]
    done = run(project, *options, "a.txt")
    assert done.returncode == 0, done.stderr
    meanwhile = project.document()
    (project.folder / "go").touch()
    wait_for(lambda: list((project.folder / "queue").glob("*.status")), "the job's end")
    return [meanwhile, project.exported()]


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Project, list[Document]]]:
    scenarios = (kill_while_remote, interrupt_while_remote, submit_only)
    projects = [Project(tmp_path_factory.mktemp(s.__name__)) for s in scenarios]
    found = at_once(*(partial(s, p) for s, p in zip(scenarios, projects, strict=True)))
    names = (s.__name__ for s in scenarios)
    return dict(zip(names, zip(projects, found, strict=True), strict=True))


def test_killed_while_a_remote_job_runs_its_submission_is_known(
    left: dict[str, tuple[Project, list[Document]]],
) -> None:
    project, (meanwhile, _) = left["kill_while_remote"]
    assert meanwhile.run["yprov4wfs:status"] == "running"
    assert meanwhile.statuses() == {"long": ["running"]}
    (attempt,) = meanwhile.attempts("long")
    (status,) = (project.folder / "queue").glob("*.status")
    assert attempt["yprov4wms:external_id"] == status.stem
    assert "prov:endTime" not in attempt


def test_interrupted_while_a_remote_job_runs_it_is_cancelled(
    left: dict[str, tuple[Project, list[Document]]],
) -> None:
    _, (document,) = left["interrupt_while_remote"]
    assert document.run["yprov4wfs:status"] == "cancelled"
    assert document.statuses() == {"long": ["cancelled"]}
    (attempt,) = document.attempts("long")
    assert attempt["yprov4wms:external_id"].startswith("job-")


def test_a_training_that_outlives_snakemake_is_in_a_later_export(
    left: dict[str, tuple[Project, list[Document]]],
) -> None:
    _, documents = left["kill_while_remote"]
    found = []
    for document in documents:
        (training,) = (
            a for a in document.section("activity").values() if a["yprov4wfs:level"] == "2"
        )
        (loss,) = (e for e in document.section("entity").values() if e["prov:label"] == "loss")
        found.append((training["yprov4wfs:status"], value(loss["yprov4wms:count"])))
    assert found == [("running", 1), ("completed", 2)]


def test_a_job_that_was_only_submitted_is_not_called_completed(
    left: dict[str, tuple[Project, list[Document]]],
) -> None:
    _, (meanwhile, document) = left["submit_only"]
    (attempt,) = meanwhile.attempts("one")
    assert attempt["yprov4wms:external_id"].startswith("job-")
    for unknown in ("yprov4wfs:status", "prov:endTime"):
        assert unknown not in attempt
    assert not meanwhile.made(meanwhile.attempt_id("one"))
    (attempt,) = document.attempts("one")
    assert attempt["yprov4wfs:status"] == "completed"
    assert attempt["prov:endTime"] > attempt["prov:startTime"]


# -- Snakemake's API ----------------------------------------------------------------------

DRIVER = """
import json
import sys
from pathlib import Path

import snakemake_executor_plugin_cluster_generic as cluster_generic
from snakemake.api import OutputSettings, RemoteExecutionSettings, ResourceSettings
from snakemake.api import SchedulingSettings, SnakemakeApi
from snakemake.scheduling.greedy import SchedulerSettings
from snakemake_executor_plugin_yprov import ExecutorSettings
from snakemake_interface_executor_plugins.registry import ExecutorPluginRegistry

here = Path.cwd()
original = ExecutorPluginRegistry().get_plugin("local").executor
found = {}


def run(name, executor, settings=None, cores=2, nodes=None):
    folder = here / name
    folder.mkdir()
    error = None
    try:
        with SnakemakeApi(OutputSettings()) as api:
            workflow = api.workflow(
                resource_settings=ResourceSettings(cores=cores, nodes=nodes),
                snakefile=here / "Snakefile",
                workdir=folder,
            )
            workflow.dag().execute_workflow(
                executor=executor,
                executor_settings=settings,
                scheduling_settings=SchedulingSettings(scheduler="greedy"),
                scheduler_settings=SchedulerSettings(),
                greedy_scheduler_settings=SchedulerSettings(),
                remote_execution_settings=RemoteExecutionSettings(seconds_between_status_checks=1),
            )
    except Exception as raised:
        error = f"{type(raised).__name__}: {raised}"
    found[name] = error
    assert issubclass(ExecutorPluginRegistry().get_plugin("local").executor, original), name


remote = cluster_generic.ExecutorSettings(
    submit_cmd=f"{here}/submit.sh", status_cmd=f"{here}/status.sh"
)
early = ExecutorSettings(inner_executor="cluster-generic", inner_settings=remote)
run("plain 1", "local")
run("ours 1", "yprov")
run("plain 2", "local")
run("missing", "yprov", ExecutorSettings(inner_executor="cluster-generic"), nodes=2)
run("plain 3", "local")
run("remote 1", "yprov", early, cores=None, nodes=2)
run("ours 2", "yprov", ExecutorSettings(store="elsewhere", nest="link", hash_limit=1))
run("plain remote", "cluster-generic", remote, cores=None, nodes=2)
run("wrong", "yprov", remote)
run("bad", "yprov", ExecutorSettings(hash_limit="much"))
run("remote 2", "yprov", early, cores=None, nodes=2)
run("ours 3", "yprov")
run("plain 4", "local")
try:
    ExecutorSettings(inner_executor="yprov")
except Exception as raised:
    found["itself"] = f"{type(raised).__name__}: {raised}"
run("ours 4", "yprov")
json.dump(found, open("found.json", "w"))
"""

API_SNAKEFILE = """
localrules: all
rule all:
    input: "x.txt"
rule x:
    output: "x.txt"
    shell: "env | grep ^YPROV_ > {output} || true"
"""


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str | None]]:
    """Workflows one after the other in one process, that of a package run with -m."""
    project = Project(tmp_path_factory.mktemp("api"))
    project.snakefile(API_SNAKEFILE)
    cluster(project)
    project.write("driver/__init__.py", "")
    project.write("driver/__main__.py", DRIVER)
    done = subprocess.run(
        [sys.executable, "-m", "driver", "--unknown-to-snakemake"],
        cwd=project.folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return project.folder, json.loads((project.folder / "found.json").read_text())


def test_with_the_api_good_settings_run_and_bad_ones_are_one_error(
    api: tuple[Path, dict[str, str | None]],
) -> None:
    _, found = api
    errors = {name: error for name, error in found.items() if error}
    assert set(errors) == {"missing", "wrong", "bad", "itself"}, errors
    assert "--cluster-generic-submit-cmd" in str(errors["missing"])
    assert "of another executor (snakemake_executor_plugin_cluster_generic" in str(errors["wrong"])
    assert "'much' is not" in str(errors["bad"])
    assert "cannot be yprov" in str(errors["itself"])


def test_with_the_api_each_run_of_ours_is_recorded(
    api: tuple[Path, dict[str, str | None]],
) -> None:
    folder, _ = api
    ids: set[str] = set()
    for name, store, executor in (
        ("ours 1", ".yprov", "local"),
        ("ours 2", "elsewhere", "local"),
        ("ours 3", ".yprov", "local"),
        ("ours 4", ".yprov", "local"),
        ("remote 1", ".yprov", "cluster-generic"),
        ("remote 2", ".yprov", "cluster-generic"),
    ):
        project = Project(folder / name)
        project.store = project.folder / store
        (run,) = project.runs()
        document = project.document(run)
        assert document.statuses() == {"x": ["completed"], "all": ["completed"]}, name
        assert document.run["yprov4wms:executor"] == executor
        (job,) = document.attempts("x")
        assert ("yprov4wms:external_id" in job) == (executor != "local")
        assert job["yprov4wms:cpu_time_method"] == "wait4"
        seen = told(project, "x.txt")
        assert seen["YPROV_RUN_ID"] == document.run["yprov4wms:run_id"]
        assert seen["YPROV_TASK_ID"] == job["yprov4wms:task"]
        assert seen["YPROV_STORE"] == str(project.store)
        assert not ids & document.ids()
        ids |= document.ids()


def test_with_the_api_nothing_leaks_into_plain_runs(
    api: tuple[Path, dict[str, str | None]],
) -> None:
    folder, found = api
    plain = [name for name in found if name.startswith("plain")]
    assert len(plain) == 5
    for name in plain:
        assert (folder / name / "x.txt").read_text() == "", name
        assert not (folder / name / ".yprov").exists(), name
    for name in ("missing", "wrong", "bad"):
        assert not list((folder / name).glob("**/events")), name
        assert not (folder / name / "x.txt").exists()
