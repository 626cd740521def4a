"""The recorder: all is on disk when `emit` returns, and nothing it meets reaches the engine."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import textwrap
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from yprov4wms import events, journal, recorder
from yprov4wms.events import File, FileType, Software, Status
from yprov4wms.identity import Identity
from yprov4wms.recorder import INLINE_BYTES, Recorder
from yprov4wms.replay import replay_workflow
from yprov4wms.run import Run, decode
from yprov4wms.settings import Settings
from yprov4wms.store import RunFolder


@pytest.fixture(autouse=True)
def clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("YPROV_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


class Recording:
    """A recorder, what it warned of, and what it left."""

    def __init__(self, folder: Path, store: str = "", **options: Any) -> None:
        self.warnings: list[str] = []
        names = Settings._fields
        settings = {name: options.pop(name) for name in names if name in options}
        settings["store"] = store or str(folder / "store")
        options.setdefault("warn", self.warnings.append)
        self.recorder = Recorder(Settings(**settings), str(folder), **options)

    @property
    def path(self) -> Path:
        (path,) = Path(self.recorder.folder.events).iterdir()
        return path

    @property
    def content(self) -> bytes:
        return self.path.read_bytes()

    @property
    def events(self) -> list[Any]:
        """Every line of the file, decoded strictly."""
        assert self.content.endswith(b"\n")
        return [decode(line) for line in self.content.splitlines()]

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def run(self) -> Run:
        return replay_workflow(self.recorder.folder)


@pytest.fixture
def made() -> Iterator[list[Recorder]]:
    found: list[Recorder] = []
    yield found
    for one in found:
        one.close()


@pytest.fixture
def record(tmp_path: Path, made: list[Recorder]) -> Callable[..., Recording]:
    def start(**options: Any) -> Recording:
        found = Recording(tmp_path, **options)
        made.append(found.recorder)
        return found

    return start


def started() -> events.RunStarted:
    return events.RunStarted(
        engine=Software(name="snakemake", kind="engine"), workflow="w", directory="/w"
    )


def task(number: int, **fields: Any) -> events.TaskStarted:
    return events.TaskStarted(task=f"t{number}", attempt=1, **fields)


# -- what is written -----------------------------------------------------------------------


def writes() -> int:
    """``write`` system calls of this process so far."""
    text = Path("/proc/self/io").read_text()
    return int(text.split("syscw: ")[1].split()[0])


@pytest.mark.skipif(not os.access("/proc/self/io", os.R_OK), reason="needs /proc/self/io")
def test_one_event_and_one_batch_cost_one_write_each(record: Callable[..., Recording]) -> None:
    one = record()
    before = writes()
    for number in range(20):
        one.recorder.emit(task(number, command="x" * 5000))
    one.recorder.emit(*(task(number) for number in range(500)))
    assert writes() - before == 21
    assert len(one.events) == 520


def test_events_carry_version_time_writer_sequence_and_run(
    record: Callable[..., Recording],
) -> None:
    one = record(run_id="a-run")
    one.recorder.emit(started(), task(1))
    one.recorder.emit(task(2))
    found = one.events
    assert [event.seq for event in found] == [1, 2, 3]
    assert {event.writer for event in found} == {one.path.stem}
    assert {event.run for event in found} == {"a-run"}
    assert {event.v for event in found} == {events.VERSION}
    assert all(len(event.time) == 32 and event.time.endswith("+00:00") for event in found)


def test_time_never_goes_back_whatever_the_clock_does(
    record: Callable[..., Recording], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([30, 10, 50, 20, 60])
    monkeypatch.setattr(recorder, "now", lambda: f"2026-03-01T10:00:{next(clock)}.000000+00:00")
    one = record()
    for number in range(5):
        one.recorder.emit(task(number))
    assert [event.time[17:19] for event in one.events] == ["30", "30", "50", "50", "60"]


def test_threads_at_once_lose_nothing_and_the_file_is_in_order(
    record: Callable[..., Recording],
) -> None:
    one = record()

    def work(first: int) -> None:
        for number in range(first, first + 200):
            one.recorder.emit(
                task(number), events.TaskSubmitted(task="t", attempt=1, external_id="")
            )

    threads = [threading.Thread(target=work, args=(first,)) for first in range(0, 1600, 200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = one.events
    assert [event.seq for event in found] == list(range(1, 3201))
    assert [event.time for event in found] == sorted(event.time for event in found)
    assert {event.task for event in one.of(events.TaskStarted)} == {f"t{n}" for n in range(1600)}
    assert one.recorder.failures == 0


def test_what_emit_returned_for_survives_kill_9(tmp_path: Path) -> None:
    code = """
        import os, struct, sys
        from yprov4wms import events
        from yprov4wms.recorder import Recorder
        from yprov4wms.settings import Settings
        one = Recorder(Settings(store=sys.argv[1]), "/", print, run_id="r")
        one.emit(events.RunStarted(
            engine=events.Software(name="e", kind="engine"), workflow="w", directory="/"))
        for n in range(1 << 40):
            one.emit(events.TaskStarted(task=str(n), attempt=1, command="x" * (n % 3000)))
            os.write(1, struct.pack("<q", n))
    """
    command = [sys.executable, "-c", textwrap.dedent(code), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        told = process.stdout.read(8 * 150)
        process.send_signal(signal.SIGKILL)
        told += process.stdout.read()
    acknowledged = len(told) // 8
    run = replay_workflow(RunFolder(str(tmp_path / "r")))
    assert run.problems == []
    assert run.status is Status.RUNNING
    assert list(run.tasks) == [str(n) for n in range(len(run.tasks))]
    assert acknowledged <= len(run.tasks) <= acknowledged + 1
    assert struct.unpack("<q", told[-8:])[0] == acknowledged - 1


def test_a_forked_child_is_a_writer_of_its_own(record: Callable[..., Recording]) -> None:
    one = record()
    one.recorder.emit(started())
    held = threading.Event()
    go_on = threading.Event()

    def hold() -> None:
        with one.recorder._lock:
            held.set()
            go_on.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of a fork with threads
        child = os.fork()
    if child == 0:
        # The lock is held for ever here, and the sequence goes on in both processes.
        one.recorder.emit(task(1))
        one.recorder.close()
        os._exit(0 if not one.recorder.failures else 1)
    go_on.set()
    thread.join()
    assert os.waitpid(child, 0)[1] == 0
    one.recorder.emit(task(2))
    assert len(list(Path(one.recorder.folder.events).iterdir())) == 2
    assert set(one.run.tasks) == {"t1", "t2"}
    assert one.run.problems == []


# -- values that are hard to write ---------------------------------------------------------


def test_lone_surrogates_are_recorded_as_escapes(record: Callable[..., Recording]) -> None:
    one = record()
    odd = "caf\udce9"
    one.recorder.emit(
        started(),
        task(1, command=f"cat {odd}", wildcards={odd: odd}, parameters={"a": [{odd: odd}]}),
    )
    found = one.of(events.TaskStarted)[0]
    assert found.command == "cat caf\\udce9"
    assert found.wildcards == {"caf\\udce9": "caf\\udce9"}
    assert found.parameters == {"a": [{"caf\\udce9": "caf\\udce9"}]}
    assert one.recorder.failures == 0


def test_one_odd_name_among_many_files_costs_no_other_anything(
    record: Callable[..., Recording],
) -> None:
    one = record()
    inputs = [File(path=f"in/{n}", size=n) for n in range(2500)]
    one.recorder.emit(
        started(),
        events.TaskStarted(
            task="t",
            attempt=1,
            inputs=[*inputs, File(path="caf\udce9")],
            command="é" * 30_000,
            parameters={"a": {"b": {"c": {"d": {"e": {"f": {"g": [1]}}}}}}},
        ),
    )
    found = one.of(events.TaskStarted)[0]
    assert found.inputs[:-1] == inputs
    assert found.inputs[-1].path == "caf\\udce9"
    assert found.command == "é" * 30_000
    assert found.parameters == {"a": {"b": {"c": {"d": {"e": {"f": {"g": [1]}}}}}}}
    assert one.run.problems == []


def test_a_value_that_json_has_not_got_is_recorded_as_what_it_reads_as(
    record: Callable[..., Recording], tmp_path: Path
) -> None:
    one = record()
    one.recorder.emit(started(), task(1, parameters={"path": tmp_path, "odd\udc80": {"p": print}}))
    (found,) = one.of(events.TaskStarted)
    assert found.parameters["path"] == str(tmp_path)
    assert "built-in function print" in found.parameters["odd\\udc80"]["p"]
    assert one.recorder.failures == 0


def test_an_event_that_cannot_be_written_costs_only_itself_and_is_told(
    record: Callable[..., Recording],
) -> None:
    one = record()
    one.recorder.emit(started(), task(1, parameters={"n": 10**5000}), task(2))
    assert [event.task for event in one.of(events.TaskStarted)] == ["t2"]
    (failure,) = one.of(events.RecorderFailed)
    assert failure.where == "encoding a TaskStarted"
    assert (one.recorder.failures, len(one.warnings)) == (1, 1)


# -- secrets -------------------------------------------------------------------------------


def test_secrets_reach_no_file_and_no_warning(
    record: Callable[..., Recording], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    secrets = {
        "DECLARED_BY_ENGINE": "engine-s3cret",
        "DECLARED_BY_SETTING": "setting/s3cret+",
        "DECLARED_BY_VARIABLE": 'quoted"s3cret\\é',
    }
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("YPROV_SECRETS", "DECLARED_BY_VARIABLE")
    one = record(secret_names=["DECLARED_BY_ENGINE"], secrets="DECLARED_BY_SETTING, NOT_THERE")
    values = [*secrets.values(), "hunter2hunter2"]
    text = " and ".join(secrets.values())
    with one.recorder.guard("a step of ours"):
        raise RuntimeError(f"cannot log in: {text} --password=hunter2hunter2")
    one.recorder.emit(
        started(),
        events.StepDeclared(step="s", code=text),
        task(
            1,
            command=f"curl -u me:{text} --password hunter2hunter2",
            parameters={"deep": [{"password": "hunter2hunter2", "note": text}]},
            wildcards={"w": text},
            inputs=[File(path=f"data/{text}.csv")],
            reason="lone \udc80 " + text,
        ),
        events.TaskEnded(task="t1", attempt=1, status=Status.FAILED, error=text * 3),
    )
    one.recorder.failed("another step", ValueError(text))
    one.recorder.finish(Status.FAILED, text)
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    for value in values:
        for form in (value, json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]):
            assert form.encode() not in kept
            assert form not in one.warnings[0]
    assert b"***" in kept
    assert len(one.run.tasks) == 1
    assert one.run.problems == []


# -- failures ------------------------------------------------------------------------------


def test_a_failure_is_one_warning_of_one_line_and_each_is_in_the_record(
    record: Callable[..., Recording],
) -> None:
    one = record(strict=True)  # which is the adapter's to act on
    one.recorder.emit(started())
    for number in range(3):
        with one.recorder.guard("doing this", "t", number):
            raise ValueError(f"{number}\nsecond line")
    assert one.recorder.failures == 3
    assert one.warnings == [
        "yprov: provenance is incomplete (doing this: ValueError: 0 second line)"
    ]
    assert [(f.where, f.task, f.attempt, f.error) for f in one.run.failures] == [
        ("doing this", "t", number, f"ValueError: {number}\nsecond line") for number in range(3)
    ]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_what_is_no_failure_of_ours_goes_through(
    record: Callable[..., Recording], error: type[BaseException]
) -> None:
    one = record()
    with pytest.raises(error), one.recorder.guard("doing this"):
        raise error
    assert one.recorder.failures == 0


class UnprintableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


def test_an_error_that_cannot_be_told_is_named(record: Callable[..., Recording]) -> None:
    one = record()
    one.recorder.emit(started())
    with one.recorder.guard("doing this"):
        raise UnprintableError
    assert one.run.failures[0].error == "UnprintableError"


def test_a_warning_that_cannot_be_given_is_no_failure_of_the_workflow(
    record: Callable[..., Recording],
) -> None:
    def warn(line: str) -> None:
        raise BrokenPipeError(line)

    one = record(warn=warn)
    one.recorder.emit(started())
    one.recorder.failed("doing this", ValueError("x"))
    assert [f.where for f in one.run.failures] == ["doing this"]


def every_call(one: Recorder, folder: Path) -> None:
    """All that an adapter calls, in the order of a run."""
    small, large = folder / "small", folder / "large"
    small.write_bytes(b"x")
    large.write_bytes(b"x" * (INLINE_BYTES + 1))
    one.emit(started(), events.TaskPlanned(task="t", step="s"))
    one.emit(task(1))
    for path in (small, large, folder, folder / "none"):
        file = one.identify(one.describe(str(path), "role"), "t1", 1)
        assert file.role == "role"
    one.collect_children("t1", 1)
    one.emit(events.TaskEnded(task="t1", attempt=1, status=Status.COMPLETED))
    one.flush()
    with one.guard("doing this"):
        raise ValueError("x")
    one.finish(Status.COMPLETED)
    one.close()
    one.close()
    one.emit(task(2))
    one.flush()
    one.finish(Status.COMPLETED)


def test_a_store_that_cannot_be_made_costs_one_warning(
    record: Callable[..., Recording], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("kept")
    work = tmp_path / "work"
    work.mkdir()
    one = record(store=str(tmp_path / "file" / "store"))
    assert not one.recorder.recording
    every_call(one.recorder, work)
    assert len(one.warnings) == 1
    assert "opening the store" in one.warnings[0]
    assert (tmp_path / "file").read_text() == "kept"


@pytest.mark.parametrize("store", ["unknown://x/y", "unknown://\0/x", "/dev/null/x", "\0"])
def test_a_store_that_is_nonsense_costs_one_warning(
    record: Callable[..., Recording], tmp_path: Path, store: str
) -> None:
    one = record(store=store)
    assert not one.recorder.recording
    every_call(one.recorder, tmp_path)
    assert len(one.warnings) == 1


def test_a_working_directory_that_is_gone_costs_one_warning(
    record: Callable[..., Recording], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    one = record(store=".yprov")
    monkeypatch.chdir(tmp_path)
    assert not one.recorder.recording
    assert len(one.warnings) == 1


def test_a_store_that_is_removed_costs_one_warning(
    record: Callable[..., Recording], tmp_path: Path
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    one = record()
    one.recorder.emit(started())
    shutil.rmtree(tmp_path / "store")
    every_call(one.recorder, work)
    assert len(one.warnings) == 1


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Lets a test say that the disk is full: nothing of a journal can be written."""
    state = {"full": False}
    write = os.write

    def limited(descriptor: int, data: bytes) -> int:
        if state["full"]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(descriptor, data)

    monkeypatch.setattr(journal.os, "write", limited)

    def fill(full: bool) -> None:
        state["full"] = full

    return fill


def test_a_full_disk_costs_one_warning(
    record: Callable[..., Recording], tmp_path: Path, disk: Callable[[bool], None]
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    one = record()
    disk(True)
    every_call(one.recorder, work)
    assert len(one.warnings) == 1
    assert "No space left" in one.warnings[0]
    assert one.recorder.failures > 3


def test_what_a_full_disk_lost_is_told_in_the_record_once_there_is_space(
    record: Callable[..., Recording], disk: Callable[[bool], None]
) -> None:
    one = record()
    one.recorder.emit(started())
    disk(True)
    one.recorder.emit(task(1))
    one.recorder.failed("doing this", ValueError("x"), "t1", 1)
    for number in range(100):
        one.recorder.emit(task(number))
    disk(False)
    one.recorder.emit(task(2))
    one.recorder.emit(task(3))
    assert set(one.run.tasks) == {"t2", "t3"}
    told = [failure.where for failure in one.run.failures]
    assert told[:2] == ["writing an event", "doing this"]
    assert len(told) == 10  # the first of them, and no more of the rest than memory can take
    assert len(one.warnings) == 1
    assert one.recorder.failures > 100


def test_a_real_full_disk(record: Callable[..., Recording], tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    store = tmp_path / "store"
    store.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(store)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"cannot mount a small disk here: {done.stderr.strip()}")
    try:
        one = record()
        one.recorder.emit(started())
        filler = store / "filler"
        filler.write_bytes(b"x" * 60_000)
        for number in range(40):
            one.recorder.emit(task(number, command="x" * 5000))
        assert one.recorder.failures
        filler.unlink()
        one.recorder.emit(task(100))
        one.recorder.finish(Status.COMPLETED)
        run = one.run
        one.recorder.close()
    finally:
        subprocess.run(["umount", "-l", str(store)], check=True)
    assert "t100" in run.tasks
    assert run.status is Status.COMPLETED
    assert len(run.problems) <= 1  # the line that the disk cut
    assert run.failures[0].where == "writing an event"
    assert len(one.warnings) == 1


def test_a_checksum_that_raises_is_told_and_the_run_ends(
    record: Callable[..., Recording], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: object) -> File:
        raise MemoryError("no more")

    one = record()
    one.recorder.emit(started())
    path = tmp_path / "large"
    path.write_bytes(b"x" * (INLINE_BYTES + 1))
    described = one.recorder.describe(str(path))
    monkeypatch.setattr(Identity, "checksum", broken)
    one.recorder.identify(described, "t", 1)
    one.recorder.finish(Status.COMPLETED)
    assert [f.where for f in one.run.failures] == ["computing a checksum"]
    assert one.run.status is Status.COMPLETED


# -- files ---------------------------------------------------------------------------------


def test_a_small_file_is_hashed_at_once_and_a_large_one_by_a_later_event(
    record: Callable[..., Recording], tmp_path: Path
) -> None:
    one = record()
    one.recorder.emit(started())
    sizes = {"empty": 0, "limit": INLINE_BYTES, "large": INLINE_BYTES + 1, "huge": 5_000_000}
    files = {}
    for name, size in sizes.items():
        (tmp_path / name).write_bytes(b"x" * size)
        files[name] = one.recorder.identify(one.recorder.describe(name), "t", 2)
    one.recorder.finish(Status.COMPLETED)
    hashed = {e.files[0].path: e for e in one.of(events.FilesHashed)}
    for name, file in files.items():
        content = (tmp_path / name).read_bytes()
        late = hashed.get(name)
        assert (file.sha256 is None) is (late is not None) is (len(content) > INLINE_BYTES)
        sha256 = late.files[0].sha256 if late else file.sha256
        assert sha256 == __import__("hashlib").sha256(content).hexdigest()
        if late:
            assert (late.task, late.attempt) == ("t", 2)
            assert (late.files[0].size, late.files[0].mtime_ns) == (file.size, file.mtime_ns)


def test_a_directory_is_hashed_by_a_later_event(
    record: Callable[..., Recording], tmp_path: Path
) -> None:
    one = record(ignore=[".mark"])
    one.recorder.emit(started())
    folder = tmp_path / "d"
    (folder / "sub").mkdir(parents=True)
    for name in ("b", "sub/a", ".mark"):
        (folder / name).write_text(name)
    file = one.recorder.identify(one.recorder.describe("d"), "t", 1)
    assert (file.type, file.sha256, file.members) == (FileType.DIRECTORY, None, None)
    one.recorder.finish(Status.COMPLETED)
    (event,) = one.of(events.FilesHashed)
    assert [member.path for member in event.files[0].members] == ["b", "sub/a"]
    assert event.files[0].sha256


def test_without_checksums_nothing_is_read(
    record: Callable[..., Recording], tmp_path: Path
) -> None:
    one = record(hash="none")
    one.recorder.emit(started())
    (tmp_path / "f").write_text("x")
    assert one.recorder.identify(one.recorder.describe("f"), "t", 1).sha256 is None
    one.recorder.finish(Status.COMPLETED)
    assert one.of(events.FilesHashed) == []


def test_finish_waits_for_checksums_under_way(
    record: Callable[..., Recording], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = record()
    one.recorder.emit(started())
    checksum, order = Identity.checksum, []

    def slow(self: Identity, file: File, *stop: Any) -> File:
        while not one.of(events.RunEnded):  # the end is on disk before the wait
            pass
        order.append(file.path)
        return checksum(self, file, *stop)

    monkeypatch.setattr(Identity, "checksum", slow)
    for name in ("a", "b", "c"):
        (tmp_path / name).write_bytes(b"x" * (INLINE_BYTES + 1))
        one.recorder.identify(one.recorder.describe(name), "t", 1)
    one.recorder.finish(Status.COMPLETED)
    assert order == ["a", "b", "c"]
    assert [event.files[0].path for event in one.of(events.FilesHashed)] == order
    assert one.run.status is Status.COMPLETED


def test_close_without_finish_leaves_a_note_for_what_was_not_hashed(
    record: Callable[..., Recording], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = record()
    one.recorder.emit(started())
    begun = threading.Event()

    def endless(self: Identity, file: File, stop: Callable[[], bool]) -> File:
        begun.set()
        while not stop():
            pass
        return msgspec.structs.replace(file, note="stopped")

    monkeypatch.setattr(Identity, "checksum", endless)
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(b"x" * (INLINE_BYTES + 1))
        one.recorder.identify(one.recorder.describe(name), "t", 1)
    begun.wait()
    one.recorder.close()
    found = {event.files[0].path: event.files[0] for event in one.of(events.FilesHashed)}
    assert set(found) == {"a", "b"}
    assert all(file.sha256 is None and file.note for file in found.values())


# -- remote stores -------------------------------------------------------------------------


@pytest.fixture
def memory() -> Iterator[str]:
    from fsspec.implementations.memory import MemoryFileSystem

    yield "memory://prov"
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]


def test_a_remote_run_is_complete_after_close_and_leaves_no_spool(
    record: Callable[..., Recording], memory: str, tmp_path: Path
) -> None:
    one = record(store=memory)
    one.recorder.emit(started(), task(1))
    one.recorder.flush()
    assert len(one.run.tasks) == 1
    one.recorder.finish(Status.COMPLETED)
    one.recorder.close()
    assert one.run.status is Status.COMPLETED
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []
    assert one.warnings == []


def test_a_remote_store_that_is_down_costs_one_warning_and_loses_nothing(
    record: Callable[..., Recording],
    memory: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from fsspec.implementations.memory import MemoryFileSystem

    work = tmp_path / "work"
    work.mkdir()
    one = record(store=memory)

    def down(*arguments: object, **options: object) -> None:
        raise ConnectionError("no route to host")

    with contextlib.ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setattr(MemoryFileSystem, "pipe_file", down)
        patch.setattr(MemoryFileSystem, "ls", down)
        every_call(one.recorder, work)
    assert len(one.warnings) == 1
    assert "no route to host" in one.warnings[0]
    assert one.run.status is Status.COMPLETED
    assert set(one.run.tasks) == {"t", "t1"}
    assert one.run.failures
