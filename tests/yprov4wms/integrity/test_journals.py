"""A journal that is not as its writer left it is told of; one that its writer left so is not."""

from __future__ import annotations

import re
import resource
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.yprov4wms.integrity.records import Tasks

from yprov4wms import journal
from yprov4wms.export import document
from yprov4wms.integrity import journals, manifest
from yprov4wms.integrity.findings import Findings
from yprov4wms.replay import replay
from yprov4wms.store import RunFolder

MEMORY = "memory://integrity/store"


def found(folder: RunFolder) -> Findings:
    findings = Findings()
    journals.check(folder, findings)
    return findings


def problems(folder: RunFolder) -> list[str]:
    return [problem.message for problem in found(folder).problems]


@pytest.fixture
def tasks(tmp_path: Path) -> Tasks:
    tasks = Tasks(tmp_path)
    for number in range(4):
        tasks.make(f"t{number}", f"out/{number}.txt", f"{number}\n")
    tasks.end()
    return tasks


def change(path: Path, *lines: bytes) -> None:
    path.write_bytes(b"".join(lines))


def lines_of(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


def test_a_journal_is_whole_as_its_writer_left_it(tasks: Tasks) -> None:
    assert found(tasks.run) == Findings()
    lines = lines_of(tasks.journal)
    assert all(re.search(rb',"h":"[0-9a-f]{8}"}\n$', line) for line in lines)
    assert journals.check(tasks.run, Findings()) == journals.Count(1, len(lines), 0)


def test_replay_reads_the_same_with_and_without_the_chain(tasks: Tasks) -> None:
    chained = document.build(replay(tasks.run), tasks.run, "flatten")
    plain = [re.sub(rb',"h":"[0-9a-f]{8}"}\n$', b"}\n", line) for line in lines_of(tasks.journal)]
    change(tasks.journal, *plain)
    again = document.build(replay(tasks.run), tasks.run, "flatten")
    out = [tasks.folder / name for name in ("one", "two")]
    for path, writer in zip(out, (chained, again), strict=True):
        with path.open("wb") as file:
            writer.write_to(file)
    assert out[0].read_bytes() == out[1].read_bytes()


def test_a_changed_line_is_named(tasks: Tasks) -> None:
    lines = lines_of(tasks.journal)
    place = next(n for n, line in enumerate(lines) if b'"completed"' in line)
    lines[place] = lines[place].replace(b'"completed"', b'"failed"')
    change(tasks.journal, *lines)
    (problem,) = found(tasks.run).problems
    assert problem.where == f"events/{tasks.journal.name}, line {place + 1}"
    assert "changed" in problem.message


def test_a_line_that_is_cut_out_is_named(tasks: Tasks) -> None:
    lines = lines_of(tasks.journal)
    change(tasks.journal, *lines[:3], *lines[4:])
    assert problems(tasks.run) == ["event 4 before it was cut out"]


def test_swapped_and_doubled_lines_are_seen(tasks: Tasks) -> None:
    lines = lines_of(tasks.journal)
    change(tasks.journal, *lines[:3], lines[4], lines[3], *lines[5:])
    assert any("not in its place" in problem for problem in problems(tasks.run))
    change(tasks.journal, *lines[:4], lines[3], *lines[4:])
    assert problems(tasks.run) == ["event 4 stands twice, or not in its place"]


def test_a_line_of_another_run_is_seen(tasks: Tasks, tmp_path: Path) -> None:
    other = Tasks(tmp_path / "other")
    other.end(export=False)
    lines = lines_of(tasks.journal)
    change(tasks.journal, *lines[:3], lines_of(other.journal)[0], *lines[3:])
    told = problems(tasks.run)
    assert any("of another writer" in problem for problem in told)
    assert any("of another run" in problem for problem in told)


def test_a_copy_of_a_journal_changes_nothing_and_another_name_does(tasks: Tasks) -> None:
    copy = tasks.journal.with_name("elsewhere-1-ab.jsonl")
    original = tasks.journal
    shutil.copy(original, copy)
    findings = found(tasks.run)
    assert findings.problems == []
    assert len(findings.notes) == 1
    assert "a copy of" in findings.notes[0]
    original.unlink()
    (message,) = problems(tasks.run)
    assert message.startswith("is not the file of its writer")


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Tasks:
    tasks = Tasks(tmp_path_factory.mktemp("sound"))
    for number in range(2):
        tasks.make(f"t{number}", f"out/{number}.txt", "é\n")
    tasks.end()
    return tasks


def altered(sound: Tasks, content: bytes) -> tuple[Findings, Findings]:
    """What journals alone tell, and what their manifest does."""
    original = sound.journal.read_bytes()
    try:
        sound.journal.write_bytes(content)
        by_manifest = Findings()
        manifest.check(sound.run, by_manifest)
        return found(sound.run), by_manifest
    finally:
        sound.journal.write_bytes(original)


@given(data=st.data())
@settings(max_examples=300)
def test_any_changed_byte_is_seen(sound: Tasks, data: st.DataObject) -> None:
    """But for the last newline: without it a line is one that a killed writer did not end."""
    content = sound.journal.read_bytes()
    place = data.draw(st.integers(0, len(content) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda byte: byte != content[place]))
    changed = content[:place] + bytes([byte]) + content[place + 1 :]
    by_journal, by_manifest = altered(sound, changed)
    if place < len(content) - 1:
        assert by_journal.problems
    else:
        assert "not complete" in by_journal.notes[0]
    assert by_manifest.problems


@given(data=st.data())
@settings(max_examples=200)
def test_any_line_that_is_gone_is_seen(sound: Tasks, data: st.DataObject) -> None:
    """But for the last ones: of these the manifest tells, if it was written."""
    lines = lines_of(sound.journal)
    first = data.draw(st.integers(0, len(lines) - 1))
    count = data.draw(st.integers(1, len(lines) - first))
    by_journal, by_manifest = altered(sound, b"".join(lines[:first] + lines[first + count :]))
    if first + count < len(lines):
        assert by_journal.problems
    assert by_manifest.problems


@given(order=st.permutations(range(6)))
def test_any_other_order_is_seen(sound: Tasks, order: list[int]) -> None:
    lines = lines_of(sound.journal)
    mixed = [lines[place] for place in order] + lines[6:]
    by_journal, _ = altered(sound, b"".join(mixed))
    assert bool(by_journal.problems) is (mixed != lines)


# -- what its writer left so ---------------------------------------------------------


def test_a_killed_writer_has_changed_nothing(tmp_path: Path) -> None:
    code = """
        import sys
        from pathlib import Path
        sys.path.insert(0, sys.argv[2])
        from tests.yprov4wms.integrity.records import Tasks
        tasks = Tasks(Path(sys.argv[1]))
        for number in range(1 << 30):
            tasks.make(f"t{number}", "out.txt", "x" * number)
    """
    root = Path(__file__).parents[3]
    command = [sys.executable, "-c", textwrap.dedent(code), str(tmp_path), str(root)]
    process = subprocess.Popen(command)
    try:
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob(".yprov/*/events/*")) and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.3)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    (path,) = tmp_path.glob(".yprov/*/events/*")
    folder = RunFolder(str(path.parents[1]))
    assert journals.check(folder, Findings()).events > 3
    assert problems(folder) == []
    # As a write that was cut in its middle.
    path.write_bytes(path.read_bytes()[:-5])
    findings = found(folder)
    assert findings.problems == []
    assert "not complete" in findings.notes[0]


def test_lines_that_a_full_disk_cut_are_part_of_the_chain(tmp_path: Path) -> None:
    code = """
        import resource, signal, sys
        from pathlib import Path
        from yprov4wms.journal import LocalJournal
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        journal = LocalJournal(Path(sys.argv[1]))

        def event(seq):
            head = f'"kind":"x","writer":"{journal.writer}","run":"r"'
            return ('{%s,"seq":%d}' % (head, seq)).encode()

        journal.append(event(1))
        for seq in range(2, 200):
            room = journal.path.stat().st_size + seq % 60
            resource.setrlimit(resource.RLIMIT_FSIZE, (room if seq % 3 else hard, hard))
            try:
                journal.append(event(seq), event(1000 + seq))
            except OSError:
                pass
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        journal.append(event(2000))
        journal.append(event(2001))
    """
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    place = tmp_path / "r" / "events"
    command = [sys.executable, "-c", textwrap.dedent(code), str(place)]
    subprocess.run(command, check=True)
    (path,) = place.iterdir()
    torn = [n for n, line in enumerate(lines_of(path)) if not line.endswith(b'"}\n')]
    assert len(torn) > 50
    folder = RunFolder(str(tmp_path / "r"))
    # Its numbers are not in order here: only the chain is looked at.
    assert [p for p in problems(folder) if "changed" in p] == []
    lines = lines_of(path)
    lines[torn[7]] = lines[torn[7]].replace(b"k", b"K") if b"k" in lines[torn[7]] else b"x\n"
    change(path, *lines)
    assert problems(folder)


def test_a_journal_of_an_older_version_is_told_so(tasks: Tasks) -> None:
    plain = [re.sub(rb',"h":"[0-9a-f]{8}"}\n$', b"}\n", line) for line in lines_of(tasks.journal)]
    change(tasks.journal, *plain)
    findings = Findings()
    assert journals.check(tasks.run, findings).unchained == 1
    assert findings == Findings()
    change(tasks.journal, *plain[:3], *plain[4:])
    assert problems(tasks.run) == ["event 4 before it was cut out, or never stored"]
    change(tasks.journal, *plain[:4], plain[3], *plain[4:])
    assert problems(tasks.run) == ["event 4 stands twice, or not in its place"]


# -- object stores -------------------------------------------------------------------


@pytest.fixture
def remote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tasks]:
    monkeypatch.setattr(journal, "UPLOAD_INTERVAL", 60.0)
    tasks = Tasks(tmp_path, MEMORY)
    for number in range(4):
        tasks.make(f"t{number}", f"out/{number}.txt", f"{number}\n")
        tasks.recorder.flush()
    yield tasks
    tasks.recorder.close()
    journal.filesystem(MEMORY).rm("/integrity", recursive=True)


def batches(tasks: Tasks) -> list[str]:
    fs = journal.filesystem(MEMORY)
    return [
        f"{tasks.run.events}/{name}" for name, _ in sorted(journal.objects(fs, tasks.run.events))
    ]


def test_the_chain_goes_on_over_batches_of_an_object_store(remote: Tasks) -> None:
    remote.recorder.close()  # else a reader sends again what is gone
    assert found(remote.run) == Findings()
    fs = journal.filesystem(MEMORY)
    first, second, *_ = batches(remote)
    content = fs.cat_file(second)
    fs.pipe_file(second, content.replace(b"t1", b"t9"))
    assert problems(remote.run)
    fs.pipe_file(second, content)
    assert problems(remote.run) == []
    fs.rm_file(second)
    assert any("bytes before it are gone" in message for message in problems(remote.run))
    fs.pipe_file(second, content)
    # A sweep may send again what its writer has sent.
    both = fs.cat_file(first) + content
    fs.pipe_file(first, both)
    assert problems(remote.run) == []


def test_a_run_on_an_object_store_verifies(remote: Tasks) -> None:
    remote.end()
    findings = Findings()
    assert manifest.check(remote.run, findings) is True
    assert findings == Findings()
    journal.filesystem(MEMORY).rm_file(batches(remote)[-1])
    manifest.check(remote.run, findings)
    assert [problem.message for problem in findings.problems] == ["is gone"]
