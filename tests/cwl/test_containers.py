"""Steps in containers of a real podman: what is recorded of them, and what they are told."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import pytest
from tests.cwl.podman import IMAGE, ContainerProject, Podman, podman
from tests.cwl.project import OURS, PLAIN, statuses, task
from tests.documents import Document, Record, at_once, environment, value

from yprov_cwl_runner.containers import ContainerWatch

MISSING = "localhost/missing:1"

SAY = f"""
cwlVersion: v1.2
class: CommandLineTool
requirements: {{DockerRequirement: {{dockerPull: "{IMAGE}"}}}}
baseCommand: echo
inputs: {{text: {{type: string, inputBinding: {{}}}}}}
outputs: {{said: stdout}}
stdout: said.txt
"""

TRAIN = f"""
cwlVersion: v1.2
class: CommandLineTool
requirements: {{DockerRequirement: {{dockerPull: "{IMAGE}"}}}}
baseCommand: sh
inputs:
  script: {{type: File, inputBinding: {{position: 1}}}}
  recorded: {{type: Directory, inputBinding: {{position: 2}}}}
  data: {{type: File, inputBinding: {{position: 3}}}}
outputs: {{model: stdout}}
stdout: model.txt
"""

#: The image has no Python: what a script would record now was recorded before.
SCRIPT = """
if test "$YPROV_STORE"; then
    runs=$YPROV_STORE/$YPROV_RUN_ID/ml/$YPROV_TASK_ID-$YPROV_ATTEMPT
    mkdir -p "$runs"
    cp -r "$1" "$runs"
fi
cat "$2"
"""

#: Leaves a run of another recorder where it works.
TRAINS = f"""
cwlVersion: v1.2
class: CommandLineTool
requirements: {{DockerRequirement: {{dockerPull: "{IMAGE}"}}}}
baseCommand: [sh, -c]
arguments: ['mkdir -p prov/digits_0 && cp "$0" prov/digits_0/prov_digits_GR0_0.json']
inputs: {{document: {{type: File, inputBinding: {{position: 1}}}}}}
outputs: []
"""
CHILD = """
{"prefix": {"yprov": "https://github.com/HPCI-Lab/yProv4ML", "default": "digits_GR0_0"},
 "activity": {"digits_GR0_0": {"yprov:experiment_name": "digits_GR0_0"}}}
"""

#: Prints where the run is.
RECORD = """
from yprov4wms import ml

with ml.start_run("digits", name="in a container", store="host") as run:
    ml.log_param("learning_rate", 0.25)
    ml.log_metric("loss", 0.5, context="training", step=0)
print(run.folder.location)
"""

WORKFLOW = """
cwlVersion: v1.2
class: Workflow
inputs: {text: string, script: File, recorded: Directory}
outputs: {model: {type: File, outputSource: train/model}}
steps:
  say: {run: say.cwl, in: {text: text}, out: [said]}
  train:
    run: train.cwl
    in: {script: script, recorded: recorded, data: say/said}
    out: [model]
"""

FAILING = """
cwlVersion: v1.2
class: Workflow
inputs: {text: string}
outputs: {none: {type: File, outputSource: fails/said}}
steps:
  say: {run: say.cwl, in: {text: text}, out: [said]}
  fails: {run: fails.cwl, in: {text: text, after: say/said}, out: [said]}
"""

#: Takes a multiple of the CPU time that the client takes, and little memory.
WORK = "i=0; while [ $i -lt 600000 ]; do i=$((i+1)); done; exit 3"

FILES = {
    "say.cwl": SAY,
    "environment.cwl": SAY.replace("baseCommand: echo", "baseCommand: [sh, -c, env]"),
    "fails.cwl": SAY.replace("baseCommand: echo", f'baseCommand: [sh, -c, "{WORK}"]'),
    "lacks.cwl": SAY.replace(IMAGE, MISSING),
    "train.cwl": TRAIN,
    "train.sh": SCRIPT,
    "trains.cwl": TRAINS,
    "child.json": CHILD,
    "workflow.cwl": WORKFLOW,
    "failing.cwl": FAILING,
}

PODMAN = ("--podman", "--disable-pull")
COMMAND = ("--user-space-docker-cmd=podman",)

#: By name the options and the document, which are run in either way.
SETTINGS = {
    "podman": (*PODMAN, "workflow.cwl"),
    "command": (*COMMAND, "workflow.cwl"),
    "failing": (*PODMAN, "failing.cwl"),
}
#: And those that only the recorded runner is for.
RECORDED = {
    "lacking": (*PODMAN, "lacks.cwl"),
    "environment": (*PODMAN, "environment.cwl"),
    "leaving": (*PODMAN, "trains.cwl"),
}


class Ran:
    """A run that is over, in a folder of its own."""

    def __init__(self, project: ContainerProject, done: subprocess.CompletedProcess[str]) -> None:
        self._project = project
        self.status, self.stderr = done.returncode, done.stderr
        #: As it is whatever the folder.
        self.stdout = done.stdout.replace(str(project.folder), "")

    @property
    def document(self) -> Document:
        return self._project.document()

    @property
    def run_id(self) -> str:
        (folder,) = self._project.runs()
        return folder.name

    def read(self, name: str) -> str:
        return (self._project.folder / name).read_text()


Runs = Mapping[tuple[str, str], Ran]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Podman:
    return podman(tmp_path_factory.mktemp("podman"))


@pytest.fixture(scope="module")
def runs(engine: Podman, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """All of them, by the name of the setting and the runner."""
    home = tmp_path_factory.mktemp("containers")
    recorded = subprocess.run(
        [sys.executable, "-c", RECORD],
        cwd=home,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    order = {"recorded": {"class": "Directory", "path": recorded.stdout.strip()}, "text": "hello"}

    def run(name: str, runner: str, arguments: tuple[str, ...]) -> Ran:
        project = ContainerProject(home / f"{name}-{runner}", engine)
        for file, content in FILES.items():
            project.write(file, content)
        files = {"script": project.folder / "train.sh", "document": project.folder / "child.json"}
        project.job(**files, **order)
        return Ran(project, project.run("--quiet", *arguments, "job.json", runner=runner))

    wanted = {(name, runner): given for name, given in SETTINGS.items() for runner in (PLAIN, OURS)}
    wanted |= {(name, OURS): given for name, given in RECORDED.items()}
    ran = at_once(*[partial(run, *key, given) for key, given in wanted.items()])
    return dict(zip(wanted, ran, strict=True))


def attempt(document: Document, label: str) -> Record:
    return document.section("activity")[task(document, label)]


def images(document: Document, label: str) -> set[str]:
    """What a task used of containers."""
    used = document.links("used", activity=task(document, label))
    entities = [document.section("entity")[link["prov:entity"]] for link in used]
    return {
        e["yprov4wms:name"] for e in entities if e.get("yprov4wms:software_kind") == "container"
    }


@pytest.mark.parametrize(("setting", "status"), [("podman", 0), ("command", 0), ("failing", 1)])
def test_stdout_and_exit_status_are_those_of_plain_cwltool(
    runs: Runs, setting: str, status: int
) -> None:
    plain, ours = runs[setting, PLAIN], runs[setting, OURS]
    assert plain.status == status, plain.stderr
    assert (ours.status, ours.stdout) == (status, plain.stdout)
    assert "incomplete" not in ours.stderr
    if status == 0:
        assert ours.read("model.txt") == plain.read("model.txt") == "hello\n"


@pytest.mark.parametrize("setting", ["podman", "command"])
def test_each_step_has_its_exit_code_its_engine_and_its_image(runs: Runs, setting: str) -> None:
    document = runs[setting, OURS].document
    assert statuses(document) == {"say": "completed", "train": "completed"}
    for label in ("say", "train"):
        ran = attempt(document, label)
        assert value(ran["yprov4wms:exit_code"]) == 0
        assert ran["yprov4wms:engine_container_engine"] == "podman"
        assert images(document, label) == {IMAGE}
    assert attempt(document, "say")["yprov4wms:command"] == "echo hello"


def test_a_step_that_fails_in_its_container_has_its_exit_code(runs: Runs) -> None:
    document = runs["failing", OURS].document
    assert document.run["yprov4wfs:status"] == "failed"
    assert statuses(document) == {"say": "completed", "fails": "failed"}
    failed = attempt(document, "fails")
    assert value(failed["yprov4wms:exit_code"]) == 3
    assert failed["yprov4wms:engine_container_engine"] == "podman"
    assert images(document, "fails") == {IMAGE}


def test_costs_are_those_of_the_container_and_not_of_the_client(runs: Runs) -> None:
    failed = attempt(runs["failing", OURS].document, "fails")
    assert value(failed["yprov4wms:wall_time"]) > 0.2
    assert "yprov4wms:cpu_time" not in failed  # exact it cannot be
    assert value(failed["yprov4wms:cpu_time_low"]) > 0
    assert failed["yprov4wms:cpu_time_scope"] == "container"
    assert 0 < value(failed["yprov4wms:memory_peak"]) < 30_000_000  # the client's: 40 MB


def test_what_watches_a_container_is_no_process_of_the_task(runs: Runs) -> None:
    """cwltool starts ``podman stats`` beside it."""
    for label in ("say", "train"):
        ran = attempt(runs["podman", OURS].document, label)
        assert value(ran["yprov4wms:started_processes"]) == 1


def test_a_client_is_reaped_when_it_ends() -> None:
    """cwltool looks once a second."""
    client = subprocess.Popen(["sleep", "0.1"])
    ContainerWatch([], 0.5).start(client)
    deadline = time.monotonic() + 30
    while client.returncode is None and time.monotonic() < deadline:
        time.sleep(0.01)  # and never a poll
    assert client.returncode == 0


def test_an_image_is_told_by_its_id(runs: Runs) -> None:
    entities = runs["podman", OURS].document.section("entity").values()
    (image,) = [e for e in entities if e.get("yprov4wms:name") == IMAGE and "yprov4wms:sha256" in e]
    assert len(image["yprov4wms:sha256"]) == 64
    assert "@sha256:" in image["yprov4wms:url"]


def test_an_image_that_is_not_there_is_the_tasks_error(runs: Runs) -> None:
    assert runs["lacking", OURS].status == 33  # cwltool's for what it does not support
    document = runs["lacking", OURS].document
    assert statuses(document) == {"lacks.cwl": "failed"}
    lacking = attempt(document, "lacks.cwl")
    assert MISSING in lacking["yprov4wms:error"]
    assert "yprov4wms:exit_code" not in lacking


def test_a_process_in_a_container_is_told_its_place(runs: Runs) -> None:
    ran = runs["environment", OURS]
    document = ran.document
    told = dict(line.split("=", 1) for line in ran.read("said.txt").splitlines())
    record = attempt(document, "environment.cwl")
    assert told["container"] == "podman"
    assert told["YPROV_RUN_ID"] == ran.run_id == document.run["yprov4wms:run_id"]
    assert told["YPROV_TASK_ID"] == record["yprov4wms:task"]
    assert told["YPROV_ATTEMPT"] == "1"
    assert Path(told["YPROV_STORE"]).is_relative_to(told["TMPDIR"])


@pytest.mark.parametrize("setting", ["podman", "command"])
def test_an_ml_run_of_a_container_is_nested(runs: Runs, setting: str) -> None:
    document = runs[setting, OURS].document
    (child,) = (i for i in document.section("activity") if document.label(i) == "in a container")
    record = document.section("activity")[child]
    assert record["yprov4wfs:level"] == "2"
    assert record["yprov4wfs:status"] == "completed"
    assert document.informants(child, "nested") == {task(document, "train")}
    assert "learning_rate" in document.used(child)
    (context,) = (i for i in document.section("activity") if document.label(i) == "training")
    assert document.informants(context, "part-of") == {child}


def test_a_run_where_a_container_worked_is_nested(runs: Runs) -> None:
    document = runs["leaving", OURS].document
    (entity,) = [e for e in document.section("entity").values() if "yprov4wms:dialect" in e]
    assert "yprov4wms:doubt" not in entity
    (child,) = (i for i in document.section("activity") if document.label(i) == "digits")
    assert document.informants(child, "nested") == {task(document, "trains.cwl")}
