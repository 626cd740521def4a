"""What `append` returned for is never lost: killed writers, full disks, stores that are down."""

from __future__ import annotations

import contextlib
import json
import os
import random
import resource
import signal
import socket
import struct
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from yprov4wms import journal
from yprov4wms.journal import LocalJournal, RemoteJournal, open_journal
from yprov4wms.store import RunFolder

LINE = struct.Struct("<q")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own for the spools of this test."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder


def line(seq: int, size: int = 0) -> bytes:
    return json.dumps({"seq": seq, "pad": "x" * size}).encode()


def read(path: Path) -> list[int]:
    """The numbers of the whole lines; fails on a line that is none."""
    whole, _, _ = path.read_bytes().rpartition(b"\n")
    return [json.loads(text)["seq"] for text in whole.split(b"\n") if text]


def stored(events: str) -> list[int]:
    """The numbers of the lines that a reader of a store finds."""
    folder = RunFolder(events.removesuffix("/events"))
    return [json.loads(text)["seq"] for _, file in folder.journals() for text in file if text]


def wait(condition: Callable[[], object]) -> None:
    """Until it holds; fails after a time that no machine needs."""
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


#: Appends for ever, and tells each number that is stored through standard output.
WRITER = """
    import json, os, struct, sys, threading
    from pathlib import Path
    from yprov4wms.journal import open_journal

    journal = open_journal(sys.argv[1])
    sizes = [0, 10, 300, 5000, int(sys.argv[2])]
    for seq in range(1, 1 << 40):
        line = json.dumps({"seq": seq, "pad": "x" * sizes[seq % 5]}).encode()
        journal.append(line)
        os.write(1, struct.pack("<q", seq))
"""


@contextlib.contextmanager
def writer(events: str, longest: int = 100_000) -> Iterator[subprocess.Popen[bytes]]:
    """A process that appends until it is killed, or 8,192 lines ahead of who listens."""
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(WRITER), events, str(longest)],
        stdout=subprocess.PIPE,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def told(process: subprocess.Popen[bytes], count: int) -> None:
    """Wait until the writer told of ``count`` lines."""
    assert process.stdout is not None
    assert len(process.stdout.read(count * LINE.size)) == count * LINE.size


def last_told(process: subprocess.Popen[bytes]) -> int:
    """The last number that a killed writer told, from what is left in its pipe."""
    assert process.stdout is not None
    rest = process.stdout.read()
    whole = len(rest) // LINE.size * LINE.size
    return int(LINE.unpack(rest[whole - LINE.size : whole])[0]) if whole else 0


@pytest.mark.parametrize("lines", [1, 2, 5, 23, 77, 150, 301, 444])
def test_what_append_returned_for_survives_kill_9(tmp_path: Path, lines: int) -> None:
    with writer(str(tmp_path)) as process:
        told(process, lines)
        # No fixed place in the loop: the pipe holds back a writer that is far ahead.
        time.sleep(random.random() / 50)
        process.send_signal(signal.SIGKILL)
        process.wait()
        acknowledged = max(lines, last_told(process))
    (path,) = tmp_path.glob("*.jsonl")
    found = read(path)
    assert found == list(range(1, len(found) + 1))
    assert acknowledged <= len(found) <= acknowledged + 1


def test_a_writer_has_a_file_of_its_own_and_what_it_appends_is_in_order(tmp_path: Path) -> None:
    journals = [open_journal(str(tmp_path)) for _ in range(20)]
    for number, one in enumerate(journals):
        one.append(line(number))
    assert len({one.writer for one in journals}) == 20
    assert {path.stem for path in tmp_path.iterdir()} == {one.writer for one in journals}
    for one in journals:
        one.close()


def test_a_name_that_is_taken_is_never_opened_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moments = iter([1_000_000, 1_000_000, 1_000_999, 1_001_000])
    monkeypatch.setattr(journal.time, "time_ns", lambda: next(moments))
    first = LocalJournal(tmp_path)
    first.append(line(1))
    second = LocalJournal(tmp_path)  # met the same microsecond twice before it had a name
    second.append(line(2))
    assert read(first.path) == [1]
    assert read(second.path) == [2]


def test_the_name_of_a_file_is_safe_whatever_the_host_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "../a b-1\n*?")
    one = LocalJournal(tmp_path / "events")
    assert [path.name for path in (tmp_path / "events").iterdir()] == [one.writer + ".jsonl"]
    assert set(one.writer) <= set("abcdefghijklmnopqrstuvwxyz0123456789._-")


def test_processes_and_threads_at_once_lose_and_mix_nothing(tmp_path: Path) -> None:
    code = """
        import json, sys, threading
        from yprov4wms.journal import open_journal
        journal = open_journal(sys.argv[1])
        def work(name):
            for n in range(100):
                pad = name * (7 * n)
                journal.append(json.dumps({"who": name, "n": n, "pad": pad}).encode())
        threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        journal.close()
    """
    command = [sys.executable, "-c", textwrap.dedent(code), str(tmp_path)]
    processes = [subprocess.Popen(command) for _ in range(8)]
    assert [process.wait() for process in processes] == [0] * 8
    files = sorted(tmp_path.iterdir())
    assert len(files) == 8
    for path in files:
        found: dict[str, list[int]] = {}
        for text in path.read_bytes().splitlines():
            entry = json.loads(text)
            assert entry["pad"] == entry["who"] * (7 * entry["n"])
            found.setdefault(entry["who"], []).append(entry["n"])
        assert found == {name: list(range(100)) for name in "abcd"}


def writes() -> int:
    """``write`` system calls of this process so far."""
    text = Path("/proc/self/io").read_text()
    return int(text.split("syscw: ")[1].split()[0])


@pytest.mark.skipif(not os.access("/proc/self/io", os.R_OK), reason="needs /proc/self/io")
def test_an_append_is_one_write(tmp_path: Path) -> None:
    one = LocalJournal(tmp_path)
    before = writes()
    for seq in range(50):
        one.append(line(seq, 100))
    assert writes() - before == 50


def test_a_short_write_costs_one_line_and_leaves_later_ones_whole(tmp_path: Path) -> None:
    """A limit on the size of files cuts a write short as a full disk does."""
    code = """
        import resource, signal, sys
        from pathlib import Path
        from yprov4wms.journal import LocalJournal
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        journal = LocalJournal(Path(sys.argv[1]))
        journal.append(b'{"seq": 1}')
        for seq in (2, 3):
            resource.setrlimit(resource.RLIMIT_FSIZE, (31 if seq == 2 else 38, hard))
            try:
                journal.append(b'{"seq": %d}' % seq)
            except OSError:
                pass
            else:
                sys.exit("the short write was taken for a whole one")
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        for seq in (4, 5):
            journal.append(b'{"seq": %d}' % seq)
    """
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    command = [sys.executable, "-c", textwrap.dedent(code), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (path,) = tmp_path.iterdir()
    lines = path.read_bytes().split(b"\n")
    whole = [text for text in lines if text.startswith(b'{"seq": ') and text.endswith(b"}")]
    assert [json.loads(text)["seq"] for text in whole] == [1, 4, 5]
    assert lines[-1] == b""


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"cannot mount a small disk here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_that_is_cleared_takes_lines_again(small_disk: Path) -> None:
    filler = small_disk / "filler"
    filler.write_bytes(b"x" * 30_000)
    one = LocalJournal(small_disk / "events")
    kept, lost = [], []
    for seq in range(1, 30):
        if seq == 20:
            filler.unlink()
        try:
            one.append(line(seq, 3000))
            kept.append(seq)
        except OSError:
            lost.append(seq)
    assert lost
    assert set(range(20, 29)) <= set(kept)
    broken, whole = 0, []
    for text in one.path.read_bytes().splitlines():
        try:
            whole.append(json.loads(text)["seq"])
        except ValueError:
            broken += bool(text)
    assert whole == kept
    assert broken <= 1 + (29 in lost)


def test_sync_tells_that_the_file_was_removed(tmp_path: Path) -> None:
    one = LocalJournal(tmp_path)
    one.append(line(1))
    one.sync()
    one.path.unlink()
    one.append(line(2))  # nothing in the system tells a writer
    with pytest.raises(FileNotFoundError, match="removed"):
        one.sync()


def test_a_closed_journal_refuses_lines(tmp_path: Path) -> None:
    one = LocalJournal(tmp_path)
    one.close()
    one.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        one.append(line(1))


def test_a_folder_that_cannot_be_made_is_an_oserror(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        open_journal(str(tmp_path / "file" / "events"))


# -- remote stores -------------------------------------------------------------------------


@pytest.fixture
def memory() -> Iterator[str]:
    """The events of a run in fsspec's store in memory, emptied afterwards."""
    from fsspec.implementations.memory import MemoryFileSystem

    yield "memory://store/run/events"
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of an S3 server with the bucket ``bucket``."""
    pytest.importorskip("s3fs", reason="s3fs is not installed")
    threaded = pytest.importorskip("moto.server", reason="moto[server] is not installed")
    one = threaded.ThreadedMotoServer(port=0, verbose=False)
    one.start()
    host, port = one.get_host_and_port()
    yield f"http://127.0.0.1:{port}" if host == "0.0.0.0" else f"http://{host}:{port}"
    one.stop()


@pytest.fixture
def s3(server: str, monkeypatch: pytest.MonkeyPatch, request: Any) -> Iterator[str]:
    """The events of a run in a bucket of its own; child processes find the server, too."""
    import s3fs

    for name, value in {
        "AWS_ENDPOINT_URL": server,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    bucket = f"b{abs(hash(request.node.name)):x}"
    fs = s3fs.S3FileSystem()
    fs.mkdir(bucket)
    yield f"s3://{bucket}/prov/run/events"
    fs.rm(bucket, recursive=True)
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture(params=["memory", "s3"])
def events(request: pytest.FixtureRequest) -> str:
    found: str = request.getfixturevalue(request.param)
    return found


def batches(events: str) -> list[str]:
    fs = journal.filesystem(events)
    return sorted(name for name, _ in journal.objects(fs, events))


def spools(events: str) -> list[Path]:
    folder = journal.spool_folder(events)
    return sorted(folder.iterdir()) if folder.is_dir() else []


def no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is uploaded but when a test says so."""
    monkeypatch.setattr(journal, "UPLOAD_INTERVAL", 10_000)


def test_a_line_is_in_the_store_within_about_a_second(events: str) -> None:
    one = RemoteJournal(events)
    began = time.monotonic()
    one.append(line(1))
    wait(lambda: batches(events))
    # Two seconds of grace for a busy machine: the point is that nobody has to flush.
    assert time.monotonic() - began < journal.UPLOAD_INTERVAL + 2
    one.append(line(2))
    wait(lambda: stored(events) == [1, 2])
    one.close()


def test_a_batch_is_one_object_named_by_its_offset(
    events: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_thread(monkeypatch)
    one = RemoteJournal(events)
    one.append(line(1))
    one.append(line(2))
    assert batches(events) == []
    one.flush()
    one.flush()
    one.append(line(3))
    one.close()
    offset = len(line(1) + line(2)) + 2 * len(',"h":"01234567"\n')
    assert batches(events) == [f"{one.writer}@{at:015d}.jsonl" for at in (0, offset)]
    assert stored(events) == [1, 2, 3]


def test_close_removes_the_spool(events: str) -> None:
    one = RemoteJournal(events)
    one.append(line(1))
    assert len(spools(events)) == 1
    one.sync()
    one.close()
    assert spools(events) == []
    assert stored(events) == [1]


def test_many_threads_lose_nothing(events: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "UPLOAD_INTERVAL", 0.01)
    one = RemoteJournal(events)

    def work(first: int) -> None:
        for seq in range(first, first + 50):
            one.append(line(seq, seq % 7 * 100))
            if seq % 17 == 0:
                one.flush()

    threads = [threading.Thread(target=work, args=(first,)) for first in range(0, 400, 50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    one.close()
    assert sorted(stored(events)) == list(range(400))


class DownError(Exception):
    """As backends have them: not an OSError."""


class Down:
    """The store behind a journal, while it cannot be reached."""

    def __init__(self, fs: Any) -> None:
        self.fs = fs
        self.down = True

    def pipe_file(self, *arguments: Any) -> None:
        if self.down:
            raise DownError("connection refused")
        self.fs.pipe_file(*arguments)


def test_a_store_that_is_down_does_not_lose_the_spool(
    memory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_thread(monkeypatch)
    one = RemoteJournal(memory)
    one._fs = Down(one._fs)
    one.append(line(1))
    with pytest.raises(DownError):
        one.flush()
    one.append(line(2))
    with pytest.raises(DownError):
        one.close()
    assert [read(path) for path in spools(memory)] == [[1, 2]]
    assert stored(memory) == [1, 2]  # swept up by the reader, for the store is back
    assert spools(memory) == []


def test_a_descriptor_that_somebody_closed_and_has_for_a_file_of_his_own(tmp_path: Path) -> None:
    one = LocalJournal(tmp_path / "events")
    one.append(line(1))
    os.close(one._fd)
    theirs = (tmp_path / "theirs").open("wb", buffering=0)
    assert theirs.fileno() == one._fd
    one.append(line(2))
    theirs.write(b"mine")
    one.close()
    theirs.close()
    assert read(one.path) == [1, 2]
    assert (tmp_path / "theirs").read_bytes() == b"mine"


def test_a_writer_that_leaves_the_upload_to_a_sweep(memory: str) -> None:
    one = journal.open_journal(memory, journal.SPOOL)
    one.append(line(1))
    one.append(line(2))
    one.close()
    assert batches(memory) == []
    assert stored(memory) == [1, 2]  # swept up by the reader
    assert spools(memory) == []


def test_a_writer_that_connects_later_does_not_wait_for_the_store(
    memory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, there = journal.filesystem, threading.Event()

    def slow(url: str) -> Any:
        assert there.wait(60)
        return found(url)

    monkeypatch.setattr(journal, "filesystem", slow)
    one = journal.open_journal(memory, journal.LATER)
    one.append(line(1))  # and nobody was waited for
    there.set()
    one.close()
    assert stored(memory) == [1]


def test_a_store_that_comes_back_gets_everything_once(
    memory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "UPLOAD_INTERVAL", 0.01)
    one = RemoteJournal(memory)
    down = one._fs = Down(one._fs)
    one.append(line(1))
    time.sleep(0.1)
    one.append(line(2))
    assert batches(memory) == []
    down.down = False
    wait(lambda: stored(memory) == [1, 2])
    one.close()
    assert stored(memory) == [1, 2]


def test_a_dead_server_does_not_lose_the_spool(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import s3fs

    no_thread(monkeypatch)
    server = os.environ["AWS_ENDPOINT_URL"]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free.getsockname()[1]}")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    s3fs.S3FileSystem.clear_instance_cache()
    one = RemoteJournal(s3)
    one._fs.retries = 1
    one.append(line(1))
    with pytest.raises(Exception, match="connect"):
        one.close()
    assert len(spools(s3)) == 1
    monkeypatch.setenv("AWS_ENDPOINT_URL", server)
    s3fs.S3FileSystem.clear_instance_cache()
    assert stored(s3) == [1]


def test_a_missing_bucket_is_an_error_and_is_not_made(s3: str) -> None:
    import s3fs

    one = RemoteJournal("s3://mistyped/run/events")
    one.append(line(1))
    with pytest.raises(OSError, match="bucket"):
        one.close()
    assert not s3fs.S3FileSystem().exists("mistyped")
    assert len(spools("s3://mistyped/run/events")) == 1


def test_the_spool_of_a_killed_writer_is_swept_up_by_a_reader(events: str) -> None:
    """Of a process that no store could be reached from: all that it told of is in the spool."""
    with writer("memory://elsewhere/run/events") as process:
        told(process, 40)
        process.send_signal(signal.SIGKILL)
        process.wait()
        acknowledged = max(40, last_told(process))
    folder = journal.spool_folder(events)
    journal.spool_folder("memory://elsewhere/run/events").rename(folder)
    found = stored(events)
    assert found == list(range(1, len(found) + 1))
    assert acknowledged <= len(found) <= acknowledged + 1
    assert spools(events) == []
    assert stored(events) == found


def test_a_writer_to_s3_that_is_killed_between_uploads_loses_nothing(s3: str) -> None:
    with writer(s3, longest=100) as process:
        wait(lambda: batches(s3))
        told(process, 8000)  # which lets it go on
        wait(lambda: len(batches(s3)) >= 2)
        process.send_signal(signal.SIGKILL)
        process.wait()
        acknowledged = max(8000, last_told(process))
    found = stored(s3)
    assert found == list(range(1, len(found) + 1))
    assert acknowledged <= len(found) <= acknowledged + 1
    assert spools(s3) == []


def test_a_sweep_leaves_the_spool_of_a_writer_that_lives(
    events: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_thread(monkeypatch)
    one = RemoteJournal(events)
    one.append(line(1))
    assert stored(events) == [1]  # a reader sees what was not uploaded yet
    assert len(spools(events)) == 1
    one.append(line(2))
    one.close()
    assert stored(events) in ([1, 2], [1, 1, 2])


@pytest.mark.parametrize("seed", range(5))
def test_sweeps_beside_a_living_writer_lose_nothing_of_it(
    memory: str, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Writer and sweeper upload overlapping batches; then the writer is killed."""
    no_thread(monkeypatch)
    rng = random.Random(seed)
    one = RemoteJournal(memory)
    for seq in range(1, 60):
        one.append(line(seq, rng.randrange(50)))
        if rng.random() < 0.2:
            journal.sweep(memory)
        if rng.random() < 0.2:
            one.flush()
    one._spool.close()  # no upload of the rest, no lock any more
    found = stored(memory)
    assert sorted(set(found)) == list(range(1, 60))
    assert spools(memory) == []


def test_a_writer_whose_name_begins_as_anothers_is_not_taken_for_it(memory: str) -> None:
    folder = journal.spool_folder(memory)
    folder.mkdir(parents=True)
    host = socket.gethostname()
    (folder / f"{host}-1-ab.jsonl").write_bytes(line(1) + b"\n")
    journal.put(
        journal.filesystem(memory), f"{memory}/{host}-1-abc@{0:015d}.jsonl", line(2, 50) + b"\n"
    )
    assert sorted(stored(memory)) == [1, 2]


def test_a_spool_of_another_host_is_uploaded_and_stays(memory: str) -> None:
    """Homes are shared between hosts, and a lock may not be."""
    folder = journal.spool_folder(memory)
    folder.mkdir(parents=True)
    (folder / "another.host-1-ab.jsonl").write_bytes(line(1) + b"\n")
    assert stored(memory) == [1]
    assert stored(memory) == [1]
    assert len(spools(memory)) == 1


def test_a_torn_last_line_of_a_spool_is_not_uploaded(memory: str) -> None:
    folder = journal.spool_folder(memory)
    folder.mkdir(parents=True)
    (folder / f"{socket.gethostname()}-1-ab.jsonl").write_bytes(line(1) + b'\n{"seq": 2')
    assert stored(memory) == [1]


def test_another_process_writes_and_this_one_sees_it(s3: str) -> None:
    """Listings that fsspec keeps are not believed."""
    assert batches(s3) == []
    assert RunFolder(s3.removesuffix("/events")).subfolders("ml/t-1") == []
    code = """
        import sys
        from yprov4wms.journal import open_journal
        for events in sys.argv[1:]:
            journal = open_journal(events)
            journal.append(b'{"seq": 1}')
            journal.close()
    """
    sub = s3.removesuffix("events") + "ml/t-1/child/events"
    subprocess.run([sys.executable, "-c", textwrap.dedent(code), s3, sub], check=True)
    assert stored(s3) == [1]
    folders = RunFolder(s3.removesuffix("/events")).subfolders("ml/t-1")
    assert [folder.run_id for folder in folders] == ["child"]


@pytest.mark.parametrize("cache_home", ["no folder", "read-only", "relative", "none"])
def test_a_process_without_a_cache_of_its_own_spools_to_the_temporary_folder(
    memory: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache_home: str
) -> None:
    """Containers run under users that have no home, or one that is read-only."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    monkeypatch.delenv("XDG_CACHE_HOME")
    if cache_home == "no folder":
        monkeypatch.setenv("HOME", "/dev/null")
    elif cache_home == "read-only":
        monkeypatch.setattr(os, "access", lambda path, mode: "tmp" in str(path))
        monkeypatch.setenv("HOME", "/")
    elif cache_home == "relative":
        monkeypatch.setenv("XDG_CACHE_HOME", "cache")
    else:
        monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # as without a home
    one = RemoteJournal(memory)
    one.append(line(1))
    assert (tmp_path / "tmp").resolve() in one._spool.path.resolve().parents
    one._spool.close()
    assert stored(memory) == [1]


def test_a_url_of_a_folder_is_a_store_too(tmp_path: Path) -> None:
    """`file://` is local; other backends with folders have them made."""
    import fsspec

    events = f"local://{tmp_path}/store/run/events"
    one = open_journal(events)
    assert isinstance(one, RemoteJournal)
    assert isinstance(one._fs, fsspec.implementations.local.LocalFileSystem)
    one.append(line(1))
    one.close()
    assert stored(events) == [1]


@pytest.mark.parametrize(("url", "said"), [("nope://x/y", "nope"), ("gcs://b/x", "gcsfs")])
def test_a_backend_that_is_not_there_is_told_with_the_url(url: str, said: str) -> None:
    if said == "gcsfs":
        with contextlib.suppress(ImportError):
            __import__("gcsfs")
            pytest.skip("gcsfs is installed")
    with pytest.raises(ValueError, match=said) as raised:
        open_journal(url)
    assert url in str(raised.value)
