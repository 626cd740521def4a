"""Bad input to each command: one line that says what and where, and nothing half-written."""

from __future__ import annotations

import gzip
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
import zstandard

from yprov4wms import events
from yprov4wms.events import File, Software, Status


def yprov4wms(folder: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[bytes]:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("YPROV_")}
    return subprocess.run(
        [sys.executable, "-m", "yprov4wms", *arguments],
        cwd=folder,
        env=inherited | env,
        capture_output=True,
        timeout=60,
        check=False,
    )


def error(done: subprocess.CompletedProcess[bytes]) -> str:
    """The one line that a failed command leaves."""
    assert done.returncode == 2, done
    lines = done.stderr.decode().splitlines()
    assert len(lines) == 1, done.stderr.decode()
    assert lines[0].startswith("yprov4wms: error: ")
    assert done.stdout == b""
    return lines[0]


def make_run(store: Path, run: str, *more: events.Event, ended: bool = True) -> Path:
    found: list[events.Event] = [
        events.RunStarted(
            engine=Software(name="snakemake", kind="engine", version="9"),
            workflow="[red]hostile[/red]\x1b[31m\nname",
            directory="/w",
            pid=2**22 + 1,
            host="elsewhere",
        ),
        events.StepDeclared(step="a"),
        events.TaskPlanned(task="a-1", step="a", label="[bold]a[/bold]"),
        events.TaskStarted(task="a-1", attempt=1, inputs=[File(path="in", sha256="0" * 64)]),
        *more,
    ]
    if ended:
        found.append(
            events.TaskEnded(
                task="a-1", attempt=1, status=Status.FAILED, exit_code=3, error="no [link] luck"
            )
        )
        found.append(events.RunEnded(status=Status.FAILED))
    folder = store / run / "events"
    folder.mkdir(parents=True)
    with (folder / "h-1-1.jsonl").open("wb") as file:
        for seq, event in enumerate(found, 1):
            event.v, event.writer, event.seq, event.run = events.VERSION, "h-1-1", seq, run
            event.time = f"2026-11-21T10:00:00.{seq:06d}+00:00"
            file.write(msgspec.json.encode(event) + b"\n")
    return store / run


FIRST = "01939f3e-0000-7000-8000-000000000001"
SECOND = "01939f3e-1111-7000-8000-000000000002"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A folder with a store of two runs."""
    make_run(tmp_path / ".yprov", FIRST)
    make_run(tmp_path / ".yprov", SECOND, ended=False)
    return tmp_path


@pytest.mark.parametrize("command", ["show", "export"])
class TestWhichRun:
    def test_none_of_that_name(self, store: Path, command: str) -> None:
        line = error(yprov4wms(store, command, "nonesuch"))
        assert "nonesuch" in line
        assert "yprov4wms runs" in line

    def test_several_of_that_name(self, store: Path, command: str) -> None:
        line = error(yprov4wms(store, command, "01939f3e"))
        assert FIRST in line
        assert SECOND in line

    def test_no_store(self, tmp_path: Path, command: str) -> None:
        assert "no runs in" in error(yprov4wms(tmp_path, command))

    def test_a_folder_that_is_no_run(self, tmp_path: Path, command: str) -> None:
        (tmp_path / ".yprov" / FIRST / "events").mkdir(parents=True)
        assert "not a run" in error(yprov4wms(tmp_path, command))

    def test_a_file_in_place_of_the_store(self, tmp_path: Path, command: str) -> None:
        (tmp_path / "file").touch()
        assert "is no folder" in error(yprov4wms(tmp_path, command, "--store", "file"))
        assert "is no folder" in error(yprov4wms(tmp_path, "runs", "--store", "file"))
        assert b"is no folder" in yprov4wms(tmp_path, "doctor", "--store", "file").stdout

    def test_an_unknown_kind_of_store(self, store: Path, command: str) -> None:
        line = error(yprov4wms(store, command, "--store", "nonesuch://x/y"))
        assert "nonesuch" in line


@pytest.mark.parametrize(
    "arguments", [("--format", "nonesuch"), ("--nest", "nonesuch"), ("--output",), ("--nonesuch",)]
)
def test_wrong_usage_of_export(store: Path, arguments: tuple[str, ...]) -> None:
    line = error(yprov4wms(store, "export", FIRST, *arguments))
    assert "--help" in line
    assert arguments[-1].lstrip("-") in line


def test_a_wrong_setting_in_the_environment(store: Path) -> None:
    line = error(yprov4wms(store, "export", FIRST, YPROV_NEST="nonesuch"))
    assert "YPROV_NEST" in line
    assert "flatten, bundle, link" in line


@pytest.mark.parametrize("form", ["prov-json", "graphml", "dot"])
def test_an_output_that_cannot_be_written_leaves_nothing(store: Path, form: str) -> None:
    (store / "file").write_text("kept")
    before = sorted(str(path) for path in store.rglob("*"))
    line = error(yprov4wms(store, "export", FIRST, "--format", form, "-o", "file/x.json"))
    assert "cannot write file/x.json: Not a directory; give another place with --output" in line
    assert sorted(str(path) for path in store.rglob("*")) == before
    assert (store / "file").read_text() == "kept"


def test_an_empty_output_is_wrong_usage(store: Path) -> None:
    assert "--output is empty" in error(yprov4wms(store, "export", FIRST, "--output", ""))
    assert not (store / ".yprov" / FIRST / "prov.json").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("form", ["prov-json", "mermaid"])
def test_a_full_disk_is_told(store: Path, form: str) -> None:
    line = error(yprov4wms(store, "export", FIRST, "--format", form, "-o", "/dev/full"))
    assert "cannot write /dev/full: No space left on device" in line


def test_what_cannot_be_read_is_not_called_unwritable(store: Path) -> None:
    folder = store / ".yprov" / FIRST / "events"
    (folder / "h-2-1.jsonl").mkdir()
    done = yprov4wms(store, "export", FIRST, "-o", "out.json")
    assert b"cannot write" not in done.stderr
    assert done.returncode in (0, 2)


def test_a_defect_of_ours_is_one_line_and_a_traceback_on_demand(store: Path) -> None:
    code = (
        "import sys; from yprov4wms import cli; from yprov4wms.store import Store\n"
        "def broken(*arguments): raise RuntimeError('a \\x1b[31m\\ndefect')\n"
        "Store.find = broken; sys.argv = ['yprov4wms', 'show']; cli.main()"
    )

    def run(**env: str) -> subprocess.CompletedProcess[bytes]:
        command = [sys.executable, "-c", code]
        environment = {**os.environ, **env}
        return subprocess.run(
            command, cwd=store, env=environment, capture_output=True, timeout=60, check=False
        )

    done = run()
    assert done.returncode == 3
    (line,) = done.stderr.decode().splitlines()
    assert "unexpected RuntimeError: a \N{REPLACEMENT CHARACTER}[31m defect" in line
    assert b"Traceback" in run(YPROV_DEBUG="1").stderr


def test_an_output_that_is_a_folder_is_left_alone(store: Path) -> None:
    (store / "folder").mkdir()
    line = error(yprov4wms(store, "export", FIRST, "-o", "folder"))
    assert "cannot write folder: Is a directory" in line
    assert list((store / "folder").iterdir()) == []
    assert [path for path in store.iterdir() if path.name.startswith(".folder")] == []


def test_a_damaged_journal_exports_what_is_sound_and_says_what_is_not(store: Path) -> None:
    journal = store / ".yprov" / FIRST / "events" / "h-1-1.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([*lines[:2], b"\x00\xffjunk\n", *lines[2:]]))
    done = yprov4wms(store, "export", FIRST, "-o", "out.json")
    assert done.returncode == 0
    assert b"line 3: not an event" in done.stderr
    document = json.loads((store / "out.json").read_bytes())
    assert document["activity"]["run:task_a-1.1"]["yprov4wfs:status"] == "failed"


def test_a_journal_of_junk_alone_is_not_a_run(store: Path) -> None:
    journal = store / ".yprov" / FIRST / "events" / "h-1-1.jsonl"
    journal.write_bytes(b"junk\n" * 3)
    assert "not a run" in error(yprov4wms(store, "export", FIRST))


class TestOutput:
    def test_compressed_documents_hold_the_plain_one(self, store: Path) -> None:
        for name in ("x.json", "x.json.gz", "x.json.zst"):
            assert yprov4wms(store, "export", FIRST, "-o", name).returncode == 0
        plain = (store / "x.json").read_bytes()
        assert gzip.decompress((store / "x.json.gz").read_bytes()) == plain
        reader = zstandard.ZstdDecompressor().stream_reader(
            io.BytesIO((store / "x.json.zst").read_bytes())
        )
        assert reader.read() == plain
        assert yprov4wms(store, "export", FIRST, "-o", "-").stdout == plain
        done = yprov4wms(store, "validate", "x.json", "x.json.gz", "x.json.zst")
        assert (done.returncode, done.stdout.count(b"valid")) == (0, 3)

    def test_a_second_export_is_byte_identical(self, store: Path) -> None:
        for name in ("a.json.gz", "b.json.gz", "a.json.zst", "b.json.zst"):
            yprov4wms(store, "export", FIRST, "-o", name)
        for suffix in ("gz", "zst"):
            one, two = (store / f"{name}.json.{suffix}" for name in "ab")
            assert one.read_bytes() == two.read_bytes()

    @pytest.mark.parametrize("form", ["node-link", "graphml", "dot", "mermaid"])
    def test_a_graph_to_a_file_and_to_standard_output(self, store: Path, form: str) -> None:
        assert yprov4wms(store, "export", FIRST, "--format", form, "-o", "g").returncode == 0
        assert (
            yprov4wms(store, "export", FIRST, "--format", form).stdout == (store / "g").read_bytes()
        )

    def test_a_graph_is_compressed_as_its_suffix_says(self, store: Path) -> None:
        plain = yprov4wms(store, "export", FIRST, "--format", "dot").stdout
        for name in ("g.dot.gz", "g.dot.zst"):
            done = yprov4wms(store, "export", FIRST, "--format", "dot", "-o", name)
            assert done.returncode == 0
        assert gzip.decompress((store / "g.dot.gz").read_bytes()) == plain
        packed = (store / "g.dot.zst").read_bytes()
        assert zstandard.ZstdDecompressor().decompressobj().decompress(packed) == plain

    def test_a_closed_pipe_is_no_error(self, store: Path) -> None:
        command = f"{sys.executable} -m yprov4wms export {FIRST} -o - | head -c 10"
        done = subprocess.run(
            ["bash", "-c", command], cwd=store, capture_output=True, timeout=60, check=False
        )
        assert (done.stdout, done.stderr) == (b'{"prefix":', b"")


class TestValidate:
    @pytest.mark.parametrize(
        ("name", "content", "told"),
        [
            ("no.json", b"{junk", b"not-json"),
            ("list.json", b"[]", b"not-an-object"),
            ("cut.json", b'{"entity": {"run:a": {"prov:label"', b"not-json"),
        ],
    )
    def test_what_is_no_document_is_told(
        self, tmp_path: Path, name: str, content: bytes, told: bytes
    ) -> None:
        (tmp_path / name).write_bytes(content)
        done = yprov4wms(tmp_path, "validate", name)
        assert done.returncode == 1
        assert told in done.stdout
        assert b"Traceback" not in done.stderr

    def test_each_broken_rule_is_told_with_its_place(self, store: Path) -> None:
        yprov4wms(store, "export", FIRST, "-o", "x.json")
        text = (store / "x.json").read_text()
        (store / "x.json").write_text(text.replace('"yprov4wfs:level":"1"', '"yprov4wfs:level":1'))
        done = yprov4wms(store, "validate", "x.json")
        assert done.returncode == 1
        assert b"run:task_a-1.1" in done.stdout
        assert b"[bad-level]" in done.stdout or b"[bare-number]" in done.stdout

    def test_a_missing_file_and_a_truncated_one(self, store: Path) -> None:
        assert "nonesuch.json" in error(yprov4wms(store, "validate", "nonesuch.json"))
        yprov4wms(store, "export", FIRST, "-o", "x.json.gz")
        whole = (store / "x.json.gz").read_bytes()
        (store / "x.json.gz").write_bytes(whole[: len(whole) // 2])
        assert "x.json.gz" in error(yprov4wms(store, "validate", "x.json.gz"))


class TestShow:
    def test_a_failed_run_and_hostile_names(self, store: Path) -> None:
        done = yprov4wms(store, "show", FIRST)
        text = done.stdout.decode()
        assert done.returncode == 0, done.stderr
        assert "[red]hostile[/red]" in text
        assert "[bold]a[/bold]" in text
        assert "no [link] luck" in text
        assert "\x1b" not in text
        assert "1 failed" in text

    def test_a_run_that_goes_on(self, store: Path) -> None:
        assert "running" in yprov4wms(store, "show", SECOND).stdout.decode()

    def test_runs_lists_a_damaged_one_among_the_others(self, store: Path) -> None:
        (store / ".yprov" / FIRST / "events" / "h-1-1.jsonl").write_bytes(b"junk\n")
        done = yprov4wms(store, "runs")
        assert done.returncode == 0
        assert b"damaged" in done.stdout
        assert SECOND.encode() in done.stdout


class TestDoctor:
    def test_a_store_that_cannot_be_written_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        done = yprov4wms(tmp_path, "doctor", "--store", "file/store")
        assert done.returncode == 1
        assert b"BAD" in done.stdout

    def test_a_sound_place(self, tmp_path: Path) -> None:
        done = yprov4wms(tmp_path, "doctor")
        assert b"can be written" in done.stdout
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["runs", "show", "export", "validate", "doctor"])
def test_help_has_examples(tmp_path: Path, command: str) -> None:
    done = yprov4wms(tmp_path, command, "--help")
    assert done.returncode == 0
    assert b"Examples:" in done.stdout
