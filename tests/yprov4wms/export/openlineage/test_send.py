"""OpenLineage events on their way: to a file, through the library's own transports, or not."""

from __future__ import annotations

import gzip
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from tests.yprov4wms.export.openlineage.spec import SPEC, Event, faults, needs_spec
from tests.yprov4wms.prov.runs import RUN_ID, lines_of, started

from yprov4wms import events as e
from yprov4wms.events import File, Status

TASKS = 3
EVENTS = 2 + 2 * TASKS + 1


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with a store of one run: some tasks, and one that was skipped."""
    told: list[e.Event] = [started()]
    for number in range(TASKS):
        task = f"fit é\n{number}"
        told += [
            e.TaskPlanned(task=task, step="s"),
            e.TaskStarted(task=task, attempt=1, inputs=[File("in.csv", size=1)]),
            e.TaskEnded(
                task=task, attempt=1, status=Status.COMPLETED, outputs=[File(f"{number}", size=1)]
            ),
        ]
    told.append(e.TaskNotRun(task="later", status=Status.SKIPPED))
    told.append(e.RunEnded(status=Status.COMPLETED))
    folder = tmp_path / ".yprov" / RUN_ID / "events"
    folder.mkdir(parents=True)
    (folder / "w.jsonl").write_bytes(b"".join(lines_of(told)))
    return tmp_path


def export(project: Path, *options: str, **env: str) -> subprocess.CompletedProcess[bytes]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("YPROV_", "OPENLINEAGE"))
    }
    return subprocess.run(
        [sys.executable, "-m", "yprov4wms", "export", "--format", "openlineage", *options],
        cwd=project,
        env=kept | {"HOME": str(project)} | env,
        capture_output=True,
        timeout=100,
        check=False,
    )


def sent_by(done: subprocess.CompletedProcess[bytes]) -> list[Event]:
    assert done.returncode == 0, done.stderr.decode()
    return [json.loads(line) for line in done.stdout.splitlines()]


def refused(done: subprocess.CompletedProcess[bytes]) -> str:
    """The one line of an error."""
    assert done.returncode == 2, done
    (line,) = done.stderr.decode().splitlines()
    assert line.startswith("yprov4wms: error: ")
    return line


def config(project: Path, **transport: Any) -> str:
    """A configuration file of the library's, which is YAML, as JSON is."""
    path = project / "lineage.yml"
    path.write_text(json.dumps({"transport": transport}))
    return str(path)


class Sink:
    """A server that takes events in, and answers each as ``answer`` says of its number."""

    def __init__(self, answer: Callable[[int], int]) -> None:
        self.events: list[Event] = []
        self.headers: list[dict[str, str]] = []
        sink = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                content = self.rfile.read(int(self.headers["Content-Length"]))
                code = answer(len(sink.events) + 1)
                if code < 300:
                    sink.events.append(json.loads(content))
                    sink.headers.append(dict(self.headers))
                self.send_response(code)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *arguments: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@contextmanager
def serving(answer: Callable[[int], int] = lambda number: 201) -> Iterator[Sink]:
    sink = Sink(answer)
    thread = threading.Thread(target=sink.server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield sink
    finally:
        sink.server.shutdown()
        sink.server.server_close()
        thread.join(10)


def test_events_are_lines_on_standard_output_or_in_a_file(project: Path) -> None:
    told = sent_by(export(project))
    assert len(told) == EVENTS
    done = export(project, "-o", "out/events.jsonl.gz")
    assert (done.returncode, done.stdout) == (0, b"out/events.jsonl.gz\n")
    content = gzip.decompress((project / "out" / "events.jsonl.gz").read_bytes())
    assert [json.loads(line) for line in content.splitlines()] == told
    assert [path.name for path in (project / "out").iterdir()] == ["events.jsonl.gz"]


def test_the_namespace_of_jobs_can_be_given(project: Path) -> None:
    assert {x["job"]["namespace"] for x in sent_by(export(project))} == {"snakemake"}
    for done in (
        export(project, "--namespace", "lab"),
        export(project, OPENLINEAGE_NAMESPACE="lab"),
    ):
        assert {x["job"]["namespace"] for x in sent_by(done)} == {"lab"}


def test_to_without_the_format_is_wrong_usage(project: Path) -> None:
    done = export(project, "--format", "dot", "--to", "env")
    assert "--format openlineage" in refused(done)


def test_without_the_library_an_error_says_what_to_install(project: Path) -> None:
    hidden = project / "hidden" / "openlineage"
    hidden.mkdir(parents=True)
    (hidden / "__init__.py").write_text("raise ImportError('hidden')")
    done = export(project, "--to", "env", PYTHONPATH=str(hidden.parent))
    assert "yprov4wms[openlineage]" in refused(done)


class TestWithTheLibrary:
    """What openlineage-python itself does with the events."""

    @pytest.fixture(autouse=True)
    def _library(self) -> None:
        pytest.importorskip("openlineage.client")

    def test_a_server_gets_every_event_once_as_the_file_has_it(self, project: Path) -> None:
        with serving() as sink:
            done = export(project, "--to", config(project, type="http", url=sink.url))
        assert done.returncode == 0, done.stderr.decode()
        assert done.stderr.decode() == f"yprov4wms: {EVENTS} events were sent\n"
        assert done.stdout == b""
        written = sent_by(export(project))
        assert [strip(event) for event in sink.events] == [strip(event) for event in written]
        if SPEC.is_dir():
            assert [fault for event in sink.events for fault in faults(event)] == []

    def test_the_environment_alone_can_say_where(self, project: Path) -> None:
        with serving() as sink:
            done = export(
                project, "--to", "env", OPENLINEAGE_URL=sink.url, OPENLINEAGE_API_KEY="geheim"
            )
        assert done.returncode == 0, done.stderr.decode()
        assert len(sink.events) == EVENTS
        assert {header["Authorization"] for header in sink.headers} == {"Bearer geheim"}

    def test_nothing_of_the_process_that_sends_is_in_an_event(self, project: Path) -> None:
        subprocess.run(["git", "init", "-q", project], check=True)
        remote = ["remote", "add", "origin", "https://host.org/other.git"]
        subprocess.run(["git", "-C", project, *remote], check=True)
        with serving() as sink:
            done = export(project, "--to", config(project, type="http", url=sink.url))
        assert done.returncode == 0, done.stderr.decode()
        assert all("sourceCodeLocation" not in x["job"]["facets"] for x in sink.events)

    def test_a_file_transport_gets_every_event(self, project: Path) -> None:
        where = str(project / "got.jsonl")
        done = export(
            project, "--to", config(project, type="file", log_file_path=where, append=True)
        )
        assert done.returncode == 0, done.stderr.decode()
        assert len(Path(where).read_text().splitlines()) == EVENTS

    @pytest.mark.parametrize("kind", ["http", "async_http", "composite"])
    def test_a_server_that_fails_is_one_error_and_nothing_is_lost(
        self, project: Path, kind: str
    ) -> None:
        with serving(lambda number: 500 if number > 2 else 201) as sink:
            one = {"type": "http", "url": sink.url, "retry": {"total": 0}}
            made = {
                "http": one,
                "async_http": {**one, "type": "async_http"},
                "composite": {
                    "type": "composite",
                    "transports": [one, {"type": "file", "log_file_path": str(project / "f")}],
                },
            }[kind]
            done = export(project, "--to", config(project, **made), "-o", "kept.jsonl")
        assert done.returncode == 2, done
        assert done.stdout == b"kept.jsonl\n"
        (line,) = done.stderr.decode().splitlines()
        assert "cannot send OpenLineage events" in line
        assert "send it again" in line
        assert len((project / "kept.jsonl").read_bytes().splitlines()) == EVENTS
        with serving() as sink:  # the record is as it was
            again = export(project, "--to", config(project, type="http", url=sink.url))
        assert again.returncode == 0
        assert len(sink.events) == EVENTS

    def test_how_many_were_sent_before_a_failure_is_told(self, project: Path) -> None:
        with serving(lambda number: 400 if number > 2 else 201) as sink:
            done = export(project, "--to", config(project, type="http", url=sink.url))
        assert "(2 were sent before)" in refused(done)
        assert "400" in refused(done)
        assert len(sink.events) == 2

    def test_a_server_that_does_not_answer_is_one_error(self, project: Path) -> None:
        with socket.socket() as listening:
            listening.bind(("127.0.0.1", 0))
            listening.listen(1)  # and nobody accepts
            url = f"http://127.0.0.1:{listening.getsockname()[1]}"
            made = config(project, type="http", url=url, timeout=0.3, retry={"total": 0})
            line = refused(export(project, "--to", made))
        assert "(0 were sent before)" in line

    def test_a_port_that_nobody_listens_on_is_one_error(self, project: Path) -> None:
        made = config(project, type="http", url="http://127.0.0.1:1", retry={"total": 0})
        assert "cannot send" in refused(export(project, "--to", made))

    def test_a_secret_of_the_configuration_is_in_no_error(self, project: Path) -> None:
        made = config(
            project,
            type="http",
            url="http://127.0.0.1:1",
            auth={"type": "api_key", "apiKey": "geheim"},
            retry={"total": 0},
        )
        assert "geheim" not in refused(export(project, "--to", made))

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (None, "cannot read"),
            ("", "no transport"),
            ("transport: [", "no transport"),
            ("transport: {type: http}", "url"),
            ("transport: {type: none.such}", "cannot be configured"),
            ("transport: {type: noop}", "disabled"),
            ("transport: {type: console}", "leave --to out"),
            ("- a", "no transport"),
        ],
    )
    def test_a_configuration_of_no_use_is_one_error(
        self, project: Path, content: str | None, said: str
    ) -> None:
        path = project / "odd.yml"
        if content is not None:
            path.write_text(content)
        assert said in refused(export(project, "--to", str(path)))

    def test_a_disabled_library_is_an_error(self, project: Path) -> None:
        done = export(project, "--to", "env", OPENLINEAGE_DISABLED="true", OPENLINEAGE_URL="x")
        assert "disabled" in refused(done)

    def test_without_any_transport_nothing_is_sent(self, project: Path) -> None:
        assert "no transport" in refused(export(project, "--to", "env"))

    def test_a_filter_of_the_configuration_holds(self, project: Path) -> None:
        with serving() as sink:
            path = project / "filtered.yml"
            transport = {"type": "http", "url": sink.url}
            filters = [{"type": "exact", "match": "Snakefile"}]
            path.write_text(json.dumps({"transport": transport, "filters": filters}))
            done = export(project, "--to", str(path))
        assert done.returncode == 0, done.stderr.decode()
        assert "Snakefile" not in {x["job"]["name"] for x in sink.events}
        assert len(sink.events) == EVENTS - 2
        assert done.stderr.decode() == f"yprov4wms: {EVENTS - 2} events were sent\n"


def strip(event: Event) -> Event:
    """Without what the library says of itself, and the version of its classes."""
    found = json.loads(json.dumps(event))
    facets = found.get("run", {}).get("facets", {})
    facets.pop("tags", None)
    parent = facets.get("parent", {})
    parent.pop("_schemaURL", None)
    root = parent.get("root", {})
    for one in (parent, root):
        for part in ("run", "job"):
            one.get(part, {}).pop("facets", None)
    for direction in ("input", "output"):
        if not found.get(f"{direction}s"):
            found.pop(f"{direction}s", None)
        for dataset in found.get(f"{direction}s", ()):
            dataset.setdefault(f"{direction}Facets", {})
    return found


@needs_spec
def test_what_is_written_is_what_the_spec_allows(project: Path) -> None:
    assert [fault for event in sent_by(export(project)) for fault in faults(event)] == []
