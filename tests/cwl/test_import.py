"""``yprov4wms import cwlprov``: research objects that cwltool made without us."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from tests.cwl.project import PLAIN, Project, statuses, task
from tests.documents import Document, Record, at_once, checked, environment, kill_group, value

ORCID = "0000-0002-1825-0097"

SAY = """
cwlVersion: v1.2
class: CommandLineTool
baseCommand: echo
inputs: {word: {type: string, inputBinding: {}}}
outputs: {out: stdout}
stdout: said.txt
"""

WORKFLOW = """
cwlVersion: v1.2
class: Workflow
doc: What was said
requirements:
  - {class: ScatterFeatureRequirement}
  - {class: SubworkflowFeatureRequirement}
  - {class: MultipleInputFeatureRequirement}
  - {class: InlineJavascriptRequirement}
inputs: {words: "string[]", data: File, folder: Directory, really: boolean}
outputs:
  out: {type: File, outputSource: join/out}
  length: {type: int, outputSource: count/n}
  made: {type: Directory, outputSource: make/out}
steps:
  say:
    scatter: word
    in: {word: words}
    out: [out]
    run: say.cwl
  sub:
    in: {data: data}
    out: [out]
    run:
      class: Workflow
      inputs: {data: File}
      outputs: {out: {type: File, outputSource: reverse/out}}
      steps:
        reverse:
          in: {f: data}
          out: [out]
          run:
            class: CommandLineTool
            baseCommand: rev
            inputs: {f: {type: File, inputBinding: {}}}
            outputs: {out: stdout}
            stdout: rev.txt
  join:
    in: {files: {source: [say/out, sub/out], linkMerge: merge_flattened}}
    out: [out]
    run:
      class: CommandLineTool
      baseCommand: cat
      inputs: {files: {type: "File[]", inputBinding: {}}}
      outputs: {out: stdout}
      stdout: joined.txt
  count:
    in: {f: {source: join/out, loadContents: true}}
    out: [n]
    run:
      class: ExpressionTool
      inputs: {f: File}
      outputs: {n: int}
      expression: "${return {n: inputs.f.contents.length};}"
  make:
    in: {folder: folder}
    out: [out]
    run:
      class: CommandLineTool
      baseCommand: [sh, -c, "mkdir -p res/deep; echo b > res/deep/b.txt; cp $0/* res/"]
      inputs: {folder: {type: Directory, inputBinding: {}}}
      outputs: {out: {type: Directory, outputBinding: {glob: res}}}
  maybe:
    when: $(inputs.really)
    in: {really: really, word: {default: never}}
    out: [out]
    run: say.cwl
"""

SCATTERED = """
cwlVersion: v1.2
class: Workflow
requirements: [{class: ScatterFeatureRequirement}, {class: SubworkflowFeatureRequirement}]
inputs: {words: "string[]"}
outputs: {out: {type: "File[]", outputSource: sub/out}}
steps:
  sub:
    scatter: word
    in: {word: words}
    out: [out]
    run:
      class: Workflow
      inputs: {word: string}
      outputs: {out: {type: File, outputSource: say/out}}
      steps: {say: {in: {word: word}, out: [out], run: say.cwl}}
"""

EXPRESSIONS = """
cwlVersion: v1.2
class: Workflow
requirements: [{class: InlineJavascriptRequirement}]
inputs: {number: int}
outputs: {n: {type: int, outputSource: twice/n}}
steps:
  once:
    in: {n: number}
    out: [n]
    run:
      class: ExpressionTool
      inputs: {n: int}
      outputs: {n: int}
      expression: "${return {n: inputs.n + 1};}"
  twice:
    in: {n: once/n}
    out: [n]
    run:
      class: ExpressionTool
      inputs: {n: int}
      outputs: {n: int}
      expression: "${return {n: inputs.n * 2};}"
"""

FAILING = """
cwlVersion: v1.2
class: Workflow
inputs: []
outputs: {out: {type: File, outputSource: after/out}}
steps:
  first:
    in: []
    out: [out]
    run:
      class: CommandLineTool
      baseCommand: [sh, -c, "echo begun; exit 3"]
      inputs: []
      outputs: {out: stdout}
      stdout: first.txt
  after:
    in: {f: first/out}
    out: [out]
    run:
      class: CommandLineTool
      baseCommand: cat
      inputs: {f: {type: File, inputBinding: {}}}
      outputs: {out: stdout}
      stdout: after.txt
"""

SLEEPING = """
cwlVersion: v1.2
class: CommandLineTool
baseCommand: [sh, -c, "touch $0; sleep 60"]
inputs: {mark: {type: string, inputBinding: {}}}
outputs: []
"""

SECRET = """
cwlVersion: v1.2
class: CommandLineTool
$namespaces: {cwltool: "http://commonwl.org/cwltool#"}
hints: {"cwltool:Secrets": {secrets: [pw]}}
baseCommand: [sh, -c, "test -n \\"$0\\""]
inputs: {pw: {type: string, inputBinding: {}}}
outputs: []
"""


def research_object(project: Project, *arguments: str, status: int = 0, **env: str) -> Path:
    """What a run of cwltool alone leaves."""
    folder = project.folder / "ro"
    done = project.run("--no-container", "--provenance", "ro", *arguments, runner=PLAIN, **env)
    assert done.returncode == status, done.stderr
    assert folder.is_dir()
    return folder


def imported(folder: Path | str, store: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "yprov4wms", "import", "cwlprov", str(folder)]
    return subprocess.run(
        [*command, "--store", str(store)],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )


def document_of(folder: Path, store: Path) -> tuple[Document, list[str]]:
    """The document of a research object, and the warnings."""
    done = imported(folder, store)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    run = sorted(store.iterdir())[-1]
    return checked((run / "prov.json").read_bytes()), done.stderr.splitlines()


def prepared(folder: Path) -> Project:
    project = Project(folder)
    project.write("say.cwl", SAY)
    project.write("main.cwl", WORKFLOW)
    project.write("folder/x.txt", "x\n")
    project.write("data.txt", "hello\n")
    project.write("data.txt.idx", "index\n")
    data = {"class": "File", "path": "data.txt"}
    data |= {"secondaryFiles": [{"class": "File", "path": "data.txt.idx"}]}
    directory = {"class": "Directory", "path": "folder"}
    project.job(words=["a", "b", "b"], data=data, folder=directory, really=False)
    return project


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Research objects of one workflow by how it was run."""

    def plain(project: Project) -> Path:
        who = ("--enable-user-provenance", "--enable-host-provenance", "--orcid", ORCID)
        name = ("--full-name", "Ann Other")
        # Its PROV documents have local times.
        return research_object(project, *who, *name, "main.cwl", "job.json", TZ="Asia/Kolkata")

    def parallel(project: Project) -> Path:
        return research_object(project, "--parallel", "main.cwl", "job.json")

    def cached(project: Project) -> Path:
        research_object(project, "--cachedir", "cache", "main.cwl", "job.json")
        return research_object(project, "--cachedir", "cache", "main.cwl", "job.json")

    runs = {"plain": plain, "parallel": parallel, "cached": cached}
    projects = [prepared(tmp_path_factory.mktemp(name)) for name in runs]
    found = at_once(*map(partial, runs.values(), projects))
    return dict(zip(runs, found, strict=True))


@pytest.fixture
def copied(objects: dict[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(objects["plain"], tmp_path / "copy"))


@pytest.fixture(scope="module")
def document(objects: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Document:
    found, warnings = document_of(objects["plain"], tmp_path_factory.mktemp("store"))
    assert warnings == []
    return found


ALL = {"say", "say_2", "say_3", "sub", "sub/reverse", "join", "count", "make"}


def roles(document: Document, relation: str, activity: str) -> set[tuple[str, str]]:
    found = document.links(relation, activity=activity)
    return {
        (document.label(link["prov:entity"]), link["prov:role"])
        for link in found
        if "prov:role" in link
    }


def file(document: Document, path: str) -> Record:
    ((_, found),) = document.files(path).items()
    return found


def test_every_step_is_there_with_its_status_and_place(document: Document) -> None:
    assert statuses(document) == dict.fromkeys(ALL, "completed") | {"maybe": "skipped"}
    assert document.run["yprov4wfs:status"] == "completed"
    steps = {a["prov:label"]: a["yprov4wms:step"] for a in document.attempts("say")}
    assert steps == dict.fromkeys(("say", "say_2", "say_3"), "say")
    sub, reverse = task(document, "sub"), task(document, "sub/reverse")
    assert document.informants(reverse, "part-of") == {sub}
    assert document.informants(sub, "part-of") == {"run:workflow_run"}
    depends = document.informants(task(document, "join"), "depends-on")
    assert depends == {sub, *(task(document, name) for name in ("say", "say_2", "say_3"))}
    assert document.informants(task(document, "count"), "depends-on") == {task(document, "join")}


def test_times_are_those_of_the_log_in_utc(document: Document) -> None:
    now = datetime.now(UTC)
    for label in ALL:
        attempt = document.section("activity")[task(document, label)]
        began, ended = (
            datetime.fromisoformat(attempt[f"prov:{name}"]) for name in ("startTime", "endTime")
        )
        assert timedelta(0) <= ended - began
        assert timedelta(0) < now - began < timedelta(minutes=20)
        assert not any("local" in name for name in attempt)
    assert "prov:startTime" not in document.run


def test_commands_and_values_are_told(document: Document) -> None:
    attempt = document.section("activity")[task(document, "say_3")]
    assert re.fullmatch("echo b > /.*/said.txt", attempt["yprov4wms:command"])
    assert attempt["yprov4wms:param_word"] == "b"
    assert value(document.run["yprov4wms:output_length"]) == len("a\nb\nb\nolleh\n")
    plan = document.section("entity")["run:workflow"]
    assert plan["yprov4wms:config_words"] == '["a","b","b"]'
    assert plan["yprov4wms:config_really"] is False


def test_equal_files_of_several_elements_are_several(document: Document) -> None:
    join = task(document, "join")
    names = {"say/said.txt", "say_2/said.txt", "say_3/said.txt", "sub/reverse/rev.txt"}
    assert roles(document, "used", join) == {(name, "files") for name in names}
    for name in ("say", "say_2", "say_3"):
        assert roles(document, "wasGeneratedBy", task(document, name)) == {
            (f"{name}/said.txt", "out")
        }
    assert (
        file(document, "say_2/said.txt")["yprov4wms:sha1"]
        == (file(document, "say_3/said.txt")["yprov4wms:sha1"])
    )


def test_files_have_the_checksums_of_their_copies(document: Document) -> None:
    found = file(document, "data.txt")
    content = b"hello\n"
    assert found["yprov4wms:sha256"] == hashlib.sha256(content).hexdigest()
    assert found["yprov4wms:sha1"] == hashlib.sha1(content).hexdigest()
    assert value(found["yprov4wms:size"]) == len(content)
    for activity in ("run:workflow_run", task(document, "sub")):
        used = roles(document, "used", activity)
        assert {("data.txt", "data"), ("data.txt.idx", "data")} <= used
    links = document.section("wasInfluencedBy").values()
    assert [
        (document.label(link["prov:influencee"]), document.label(link["prov:influencer"]))
        for link in links
        if link.get("yprov4wms:link") == "secondary-file"
    ] == [("data.txt.idx", "data.txt")]


def test_directories_have_their_members(document: Document) -> None:
    make = task(document, "make")
    assert ("folder", "folder") in roles(document, "used", make)
    assert document.made(make) == {"make/res", "make/res/deep/b.txt", "make/res/x.txt"}
    (identifier,) = document.files("folder")
    members = document.links("hadMember", collection=identifier)
    (member,) = (document.section("entity")[link["prov:entity"]] for link in members)
    assert member["yprov4wms:sha256"] == hashlib.sha256(b"x\n").hexdigest()


def test_the_outputs_of_the_run_are_what_its_steps_made(document: Document) -> None:
    found = roles(document, "wasGeneratedBy", "run:workflow_run")
    assert found == {("join/joined.txt", "out"), ("make/res", "made")}
    (joined,) = document.files("join/joined.txt")
    makers = {link["prov:activity"] for link in document.links("wasGeneratedBy", entity=joined)}
    assert makers == {"run:workflow_run", task(document, "join")}


def test_the_plan_is_that_of_the_packed_workflow(
    document: Document, objects: dict[str, Path]
) -> None:
    entities = document.section("entity")
    packed = (objects["plain"] / "workflow/packed.cwl").read_bytes()
    assert entities["run:workflow"]["yprov4wms:packed_sha256"] == hashlib.sha256(packed).hexdigest()
    assert document.run["prov:label"] == "main.cwl"
    assert document.run["yprov4wms:engine_doc"] == "What was said"
    ports = {
        entity["prov:label"]: identifier
        for identifier, entity in entities.items()
        if "yprov4wms:port" in entity
    }
    links = {
        (link["prov:influencee"], link["prov:influencer"])
        for link in document.section("wasInfluencedBy").values()
    }
    for port, source in (("say/word", "words"), ("join/files", "sub/out"), ("out", "join/out")):
        assert (ports[port], ports[source]) in links
    assert entities["run:step_count"]["yprov4wfs:type"] == "ExpressionTool"


def test_who_and_what_ran_it(document: Document) -> None:
    agents = document.section("agent")
    version = subprocess.run(
        Project.command("--version", runner=PLAIN), capture_output=True, text=True, check=True
    ).stdout.split()[-1]
    assert agents["run:engine"]["prov:label"] == f"cwltool {version}"
    person = agents["run:person"]
    assert person["yprov4wms:name"] == "Ann Other"
    assert person["yprov4wms:orcid"] == f"https://orcid.org/{ORCID}"
    assert person["yprov4wms:login"]
    assert document.run["yprov4wms:host"]
    assert document.run["yprov4wms:engine_profile"].startswith("https://w3id.org/cwl/prov/")


def test_a_parallel_run_has_its_jobs_and_no_files_of_theirs(
    objects: dict[str, Path], tmp_path: Path
) -> None:
    document, (warning,) = document_of(objects["parallel"], tmp_path)
    assert "nothing of 6 jobs' files" in warning
    assert statuses(document) == dict.fromkeys(ALL, "completed") | {"maybe": "skipped"}
    for label in ALL - {"sub"}:
        activity = task(document, label)
        assert document.links("used", activity=activity) == []
        assert document.links("wasGeneratedBy", activity=activity) == []
    found = roles(document, "wasGeneratedBy", "run:workflow_run")
    assert found == {("joined.txt", "out"), ("res", "made")}
    assert "run:person" not in document.section("agent")
    assert "yprov4wms:host" not in document.run


def test_what_came_from_a_cache_is_called_cached(objects: dict[str, Path], tmp_path: Path) -> None:
    document, warnings = document_of(objects["cached"], tmp_path)
    assert warnings == []
    ran = {"sub": "completed", "count": "completed", "maybe": "skipped"}
    assert statuses(document) == dict.fromkeys(ALL, "cached") | ran


def test_a_scattered_workflow_is_one_task_that_says_so(project: Project, tmp_path: Path) -> None:
    project.write("say.cwl", SAY)
    project.write("main.cwl", SCATTERED)
    folder = research_object(project, "main.cwl", str(project.job(words=["a", "b"])))
    document, _ = document_of(folder, tmp_path / "store")
    assert statuses(document) == dict.fromkeys(("sub", "sub/say", "sub/say_2"), "completed")
    sub = task(document, "sub")
    assert value(document.section("activity")[sub]["yprov4wms:engine_runs_in_one_activity"]) == 2
    assert "yprov4wms:param_word" not in document.section("activity")[sub]
    assert document.made(sub) == {"sub/say/said.txt", "sub/say_2/said.txt"}


def test_expression_tools_are_told_apart_by_the_log(project: Project, tmp_path: Path) -> None:
    project.write("main.cwl", EXPRESSIONS)
    folder = research_object(project, "main.cwl", "--number", "3")
    document, _ = document_of(folder, tmp_path / "one")
    assert statuses(document) == {"once": "completed", "twice": "completed"}
    assert document.informants(task(document, "twice"), "depends-on") == {task(document, "once")}
    shutil.rmtree(folder / "metadata/logs")
    document, _ = document_of(folder, tmp_path / "two")
    labels = {a["prov:label"] for a in document.attempts("") if "yprov4wms:task" in a}
    assert not document.attempts("once")
    assert labels == set()
    assert len([a for a in document.section("activity").values() if "yprov4wms:task" in a]) == 2


def test_a_failed_run_says_what_failed(project: Project, tmp_path: Path) -> None:
    project.write("main.cwl", FAILING)
    document, _ = document_of(research_object(project, "main.cwl", status=1), tmp_path / "store")
    assert document.run["yprov4wfs:status"] == "failed"
    assert "permanentFail" in document.run["yprov4wms:error"]
    assert statuses(document) == {"first": "failed", "after": "upstream-failed"}
    attempt = document.section("activity")[task(document, "first")]
    assert value(attempt["yprov4wms:exit_code"]) == 3
    assert document.made(task(document, "first")) == {"first/first.txt"}


def test_a_tool_alone_is_its_own_step(project: Project, tmp_path: Path) -> None:
    project.write("say.cwl", SAY)
    folder = research_object(project, "say.cwl", "--word", "hello")
    document, _ = document_of(folder, tmp_path / "store")
    assert statuses(document) == {"say.cwl": "completed"}
    activity = task(document, "say.cwl")
    assert document.section("activity")[activity]["yprov4wms:param_word"] == "hello"
    assert roles(document, "wasGeneratedBy", activity) == {("say.cwl/said.txt", "out")}
    assert roles(document, "wasGeneratedBy", "run:workflow_run") == {("say.cwl/said.txt", "out")}


def test_a_secret_on_the_command_line_stays_out(project: Project, tmp_path: Path) -> None:
    project.write("main.cwl", SECRET)
    folder = research_object(project, "main.cwl", "--pw", "hunter2secret")
    assert any("hunter2secret" in p.read_text() for p in (folder / "metadata/logs").iterdir())
    document_of(folder, tmp_path / "store")
    for path in (tmp_path / "store").rglob("*"):
        assert not path.is_file() or b"hunter2secret" not in path.read_bytes()


def test_a_killed_run_has_no_status(project: Project, tmp_path: Path) -> None:
    project.write("main.cwl", SLEEPING)
    mark, scratch = tmp_path / "mark", tmp_path / "scratch"
    scratch.mkdir()
    options = ("--no-container", "--provenance", "ro", "--tmpdir-prefix", f"{scratch}/")
    process = subprocess.Popen(
        project.command(*options, "main.cwl", "--mark", str(mark), runner=PLAIN),
        cwd=project.folder,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while not mark.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    kill_group(process, signal.SIGKILL)
    process.wait(60)
    assert not (project.folder / "ro").exists()
    (folder,) = (path.parent for path in scratch.glob("*/bagit.txt"))
    document, warnings = document_of(folder, tmp_path / "store")
    assert any("did not finish" in line for line in warnings)
    assert "yprov4wfs:status" not in document.run
    assert "completed" not in statuses_if_any(document).values()


def statuses_if_any(document: Document) -> dict[str, str]:
    return {
        record["prov:label"]: record.get("yprov4wfs:status", "")
        for record in document.section("activity").values()
        if "yprov4wms:task" in record
    }


# -- research objects that are not whole ------------------------------------------------------


def test_a_changed_file_is_one_warning_and_has_no_checksum(copied: Path, tmp_path: Path) -> None:
    sha1 = hashlib.sha1(b"hello\n").hexdigest()
    (copied / "data" / sha1[:2] / sha1).write_bytes(b"HELLO\n")
    (copied / "snapshot/say.cwl").unlink()
    document, (warning,) = document_of(copied, tmp_path / "store")
    assert "2 files are not as the manifests have them" in warning
    assert sha1 in warning
    found = file(document, "data.txt")
    assert "yprov4wms:sha256" not in found
    assert value(found["yprov4wms:size"]) == 6  # as the job order has it
    assert "no copy of it as it was" in found["yprov4wms:note"]
    assert "snapshot/say.cwl" in document.run["yprov4wms:engine_changed_files"]


def test_without_the_log_there_is_no_status_and_no_time(copied: Path, tmp_path: Path) -> None:
    shutil.rmtree(copied / "metadata/logs")
    document, _ = document_of(copied, tmp_path / "store")
    assert "yprov4wfs:status" not in document.run
    found = statuses_if_any(document)
    assert found.keys() == ALL
    # cwltool started a step with what they left, which it does after a success alone.
    assert {name for name, status in found.items() if status} == {
        "say",
        "say_2",
        "say_3",
        "sub/reverse",
    }
    for attempt in document.section("activity").values():
        assert "prov:startTime" not in attempt
        assert "prov:endTime" not in attempt
    attempt = document.section("activity")[task(document, "make")]
    assert datetime.fromisoformat(attempt["yprov4wms:engine_local_start"]).tzinfo is None


def test_a_broken_document_costs_only_itself(copied: Path, tmp_path: Path) -> None:
    (nested,) = (copied / "metadata/provenance").glob("workflow_*.json")
    nested.write_text('{"activity": [')
    document, warnings = document_of(copied, tmp_path / "store")
    assert any(f"{nested} is passed over" in line for line in warnings)
    assert statuses(document) == dict.fromkeys(ALL, "completed") | {"maybe": "skipped"}
    assert document.links("used", activity=task(document, "sub/reverse")) == []


@pytest.mark.parametrize(
    "lost",
    [
        "metadata/provenance",
        "metadata/provenance/primary.cwlprov.json",
        "workflow",
        "workflow/packed.cwl",
        "workflow/primary-job.json",
        "workflow/primary-output.json",
        "data",
        "snapshot",
        "metadata/manifest.json",
    ],
)
def test_whatever_is_lost_the_rest_is_valid(copied: Path, tmp_path: Path, lost: str) -> None:
    place = copied / lost
    shutil.rmtree(place) if place.is_dir() else place.unlink()
    document, warnings = document_of(copied, tmp_path / "store")
    assert any("not as the manifests" in line for line in warnings)
    found = statuses_if_any(document)
    assert {label.rpartition("/")[2] for label in found} >= {"say", "join", "reverse"}


def test_an_older_profile_and_log_are_read_alike(copied: Path, tmp_path: Path) -> None:
    before, _ = document_of(copied, tmp_path / "one")
    for place in (copied / "metadata/logs").iterdir():
        text = re.sub(r",(\d+)\.000000Z\]", lambda m: f",{int(m[1]):03}Z]", place.read_text())
        place.write_text(text)
    manifest = copied / "metadata/manifest.json"
    manifest.write_text(manifest.read_text().replace("prov/0.6.0", "prov/0.5.0"))
    after, _ = document_of(copied, tmp_path / "two")
    assert after.run["yprov4wms:engine_profile"].endswith("0.5.0")
    for label in ALL:
        one, two = (d.section("activity")[task(d, label)] for d in (before, after))
        assert one == two


@pytest.mark.parametrize("kind", ["no folder", "empty", "nothing in it", "no store"])
def test_what_is_no_research_object_is_one_error(copied: Path, tmp_path: Path, kind: str) -> None:
    folder, store = tmp_path / "other", tmp_path / "store"
    if kind == "no store":
        folder = copied
        store = copied / "bagit.txt" / "store"
    elif kind != "no folder":
        folder.mkdir()
    if kind == "nothing in it":
        (folder / "bagit.txt").touch()
        (folder / "metadata").mkdir()
    done = imported(folder, store)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("yprov4wms: error: ")
    assert "Traceback" not in done.stderr
    assert not store.exists()


def test_a_second_import_is_another_run(objects: dict[str, Path], tmp_path: Path) -> None:
    first, _ = document_of(objects["plain"], tmp_path)
    second, _ = document_of(objects["plain"], tmp_path)
    assert not first.ids() & second.ids()
    assert len(first.ids()) == len(second.ids())
    assert json.loads(first.content)["prefix"] != json.loads(second.content)["prefix"]
