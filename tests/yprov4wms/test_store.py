"""Runs by name, and files that appear whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from yprov4wms.store import RunFolder, Store, StoreError, new_run_id, write_atomically

IDS = [
    "0198f3a0-0000-7000-8000-000000000001",
    "0198f3a0-0000-7000-8000-000000000002",
    "0198f3a1-aaaa-7000-8000-000000000003",
]


@pytest.fixture
def memory() -> Iterator[str]:
    from fsspec.implementations.memory import MemoryFileSystem

    yield "memory://prov"
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]


@pytest.fixture(params=["local", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """A store with the runs `IDS`, and things beside them that are no runs."""
    if request.param == "memory":
        found = Store(request.getfixturevalue("memory"))
        base = found.location
    else:
        found = Store(str(tmp_path / "store"))
        base = f"local://{found.location}"
    for name in [*IDS, "junk"]:
        folder = "other" if name == "junk" else "events"
        write_atomically(f"{base}/{name}/{folder}/w-1-a.jsonl", lambda file: file.write(b"{}\n"))
    write_atomically(f"{base}/checksums", lambda file: file.write(b""))
    return found


# -- ids -----------------------------------------------------------------------------------


def test_a_run_id_is_a_uuid_of_version_7() -> None:
    before = time.time_ns() // 1_000_000
    found = uuid.UUID(new_run_id())
    after = time.time_ns() // 1_000_000
    assert found.version == 7
    assert found.variant == uuid.RFC_4122
    assert before <= found.int >> 80 <= after


def test_run_ids_are_ordered_by_time_and_unique(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(10**15, 10**18, 1_000_000))
    monkeypatch.setattr(time, "time_ns", lambda: next(clock))
    found = [new_run_id() for _ in range(1000)]
    assert found == sorted(found)
    monkeypatch.setattr(time, "time_ns", lambda: 10**18)
    assert len({new_run_id() for _ in range(1000)}) == 1000


def test_each_random_bit_of_a_run_id_is_used() -> None:
    ones = zeros = 0
    for _ in range(2000):
        value = uuid.UUID(new_run_id()).int
        ones |= value
        zeros |= ~value
    random_bits = ((1 << 76) - 1) & ~(0b11 << 62)
    assert ones & zeros & random_bits == random_bits & ~(0xF << 76)


# -- finding runs --------------------------------------------------------------------------


def test_runs_are_listed_oldest_first(store: Store) -> None:
    assert store.runs() == IDS


def test_runs_whose_ids_tell_no_time_are_listed_by_their_journals(tmp_path: Path) -> None:
    ids = {"ffffffff-0000-5000-8000-000000000000": 1, "00000000-0000-5000-8000-000000000000": 2}
    for run_id, second in ids.items():
        folder = tmp_path / run_id / "events"
        folder.mkdir(parents=True)
        for late in (0, 1):
            (folder / f"some-host-12-{(second + late) * 1_000_000:x}.jsonl").touch()
    assert Store(str(tmp_path)).runs() == list(ids)
    assert Store(str(tmp_path)).find("latest").run_id == list(ids)[-1]


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("latest", 2),
        (IDS[0], 0),
        ("0198f3a1", 2),
        ("0000-7000-8000-000000000001", 0),
        ("002", 1),
    ],
)
def test_a_run_is_found_by_id_beginning_end_or_as_the_latest(
    store: Store, name: str, index: int
) -> None:
    assert store.find(name).run_id == IDS[index]


def test_a_run_is_found_by_path_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "store" / IDS[0]
    (run / "events").mkdir(parents=True)
    elsewhere = Store(str(tmp_path / "elsewhere"))
    assert elsewhere.find(str(run)).location == str(run)
    assert elsewhere.find(f"{run}/").run_id == IDS[0]
    monkeypatch.chdir(tmp_path / "store")
    assert elsewhere.find(f"./{IDS[0]}").location == str(run)


def test_a_run_is_found_by_url(memory: str) -> None:
    write_atomically(f"{memory}/{IDS[0]}/events/a.jsonl", lambda file: file.write(b"{}\n"))
    found = Store("nowhere").find(f"{memory}/{IDS[0]}")
    assert (found.location, found.remote) == (f"{memory}/{IDS[0]}", True)
    with pytest.raises(StoreError, match="no run 'none'"):
        Store("nowhere").find(f"{memory}/none")


def test_an_exact_id_is_that_run_also_where_it_begins_another(tmp_path: Path) -> None:
    for name in ("run", "run-2"):
        (tmp_path / name / "events").mkdir(parents=True)
    assert Store(str(tmp_path)).find("run").run_id == "run"


def test_an_ambiguous_name_is_one_error_that_lists_the_runs(store: Store) -> None:
    with pytest.raises(StoreError) as raised:
        store.find("0198f3a0")
    assert IDS[0] in str(raised.value)
    assert IDS[1] in str(raised.value)
    assert IDS[2] not in str(raised.value)


@pytest.mark.parametrize("name", ["", "none", "junk", "checksums", "./no/such", "*", "../x"])
def test_a_missing_run_is_one_error_that_says_where_it_looked(store: Store, name: str) -> None:
    with pytest.raises(StoreError) as raised:
        store.find(name)
    assert store.location in str(raised.value)
    assert repr(name) in str(raised.value)


@pytest.mark.parametrize("place", ["not there", "empty"])
def test_a_store_without_runs_is_one_error_that_says_where(tmp_path: Path, place: str) -> None:
    if place == "empty":
        (tmp_path / place).mkdir()
    found = Store(str(tmp_path / place))
    assert found.runs() == []
    for name in ("latest", "0198"):
        with pytest.raises(StoreError, match=r"no runs in .*--store"):
            found.find(name)


def test_a_file_in_place_of_a_store_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for look in (Store.runs, lambda store: store.find("latest")):
        with pytest.raises(StoreError, match=r"file is no folder .*--store"):
            look(Store(str(tmp_path / "file")))


def test_an_empty_remote_store_has_no_runs(memory: str) -> None:
    assert Store(f"{memory}/none").runs() == []


def test_a_local_store_is_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = Store("a/../b")
    assert Path(found.location).is_absolute()
    monkeypatch.chdir("/")
    assert Store(found.location).location == found.location


def test_a_file_url_is_the_folder(tmp_path: Path) -> None:
    found = Store(f"file://{tmp_path}")
    assert (found.remote, found.location) == (False, str(tmp_path))


# -- what lies in a run --------------------------------------------------------------------


def test_journals_are_read_in_order_of_name_and_nothing_else_is(tmp_path: Path) -> None:
    events = tmp_path / "events"
    events.mkdir()
    for name in ("b.jsonl", "a.jsonl", "a.jsonl.swp", ".a.json", "c.txt"):
        (events / name).write_bytes(name.encode())
    folder = RunFolder(str(tmp_path))
    assert [(name, file.read()) for name, file in folder.journals()] == [
        ("a.jsonl", b"a.jsonl"),
        ("b.jsonl", b"b.jsonl"),
    ]


def test_a_run_in_a_folder_with_odd_characters_is_read(tmp_path: Path) -> None:
    folder = RunFolder(str(tmp_path / "a[0-9]*?" / "run"))
    path = Path(folder.events, "w.jsonl")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"x\n")
    assert [name for name, _ in folder.journals()] == ["w.jsonl"]


def test_a_remote_run_in_a_folder_with_odd_characters_is_read(memory: str) -> None:
    folder = RunFolder(f"{memory}/a[0-9]*/run")
    write_atomically(f"{folder.events}/w.jsonl", lambda file: file.write(b"x\n"))
    assert [(name, file.read()) for name, file in folder.journals()] == [("w.jsonl", b"x\n")]


def test_content_is_kept_once_under_its_checksum(store: Store) -> None:
    folder = store.run(IDS[0])
    first, second = folder.keep(b"one", ".json"), folder.keep(b"two", ".json")
    assert folder.keep(b"one", ".json") == first
    assert folder.read(f"children/{first}.json") == b"one"
    assert folder.read(f"children/{second}.json") == b"two"
    with pytest.raises(FileNotFoundError):
        folder.read("children/none.json")


def test_folders_below_are_those_with_a_journal(store: Store) -> None:
    folder = store.run(IDS[0])
    base = folder.location if store.remote else f"local://{folder.location}"
    for name in ("b", "a"):
        write_atomically(f"{base}/ml/t-1/{name}/events/x.jsonl", lambda file: file.write(b"x"))
    write_atomically(f"{base}/ml/t-1/c/other", lambda file: file.write(b"x"))
    assert [sub.run_id for sub in folder.subfolders("ml/t-1")] == ["a", "b"]
    assert folder.subfolders("ml/t-2") == []


# -- writing -------------------------------------------------------------------------------


def fails(error: BaseException) -> Callable[[BinaryIO], None]:
    def write(file: BinaryIO) -> None:
        file.write(b"half")
        file.flush()
        raise error

    return write


def whole(content: bytes = b"whole") -> Callable[[BinaryIO], None]:
    def write(file: BinaryIO) -> None:
        file.write(content)

    return write


@pytest.mark.parametrize("error", [RuntimeError("no"), OSError("no"), KeyboardInterrupt()])
def test_a_failure_leaves_what_was_there_and_nothing_else(
    tmp_path: Path, error: BaseException
) -> None:
    target = tmp_path / "x.json"
    for _ in range(2):
        with pytest.raises(type(error)):
            write_atomically(str(target), fails(error))
        assert [path.name for path in tmp_path.iterdir()] == (["x.json"] if target.exists() else [])
        target.write_bytes(b"old")
    assert target.read_bytes() == b"old"


def test_nobody_ever_sees_a_part(tmp_path: Path) -> None:
    target = tmp_path / "x.json"
    contents = {bytes([65 + n]) * 100_000 for n in range(8)}
    target.write_bytes(b"A" * 100_000)
    seen: set[bytes] = set()
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            seen.add(target.read_bytes())

    reader = threading.Thread(target=look)
    reader.start()
    writers = [
        threading.Thread(target=lambda c=content: write_atomically(str(target), whole(c)))
        for content in sorted(contents) * 5
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    done.set()
    reader.join()
    assert seen <= contents
    assert target.read_bytes() in contents
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_the_umask_is_honoured(tmp_path: Path, mask: int) -> None:
    old = os.umask(mask)
    try:
        write_atomically(str(tmp_path / "x"), whole())
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o666 & ~mask


def test_it_is_a_rename_after_the_content_is_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    fsync, replace = os.fsync, os.replace

    def noted_fsync(descriptor: int) -> None:
        steps.append(f"fsync {os.fstat(descriptor).st_size}")
        fsync(descriptor)

    def noted_replace(*arguments: object) -> None:
        steps.append("rename")
        replace(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "replace", noted_replace)
    write_atomically(str(tmp_path / "x"), whole(b"12345"))
    assert steps == ["fsync 5", "rename"]


def test_folders_are_made(tmp_path: Path) -> None:
    write_atomically(str(tmp_path / "a" / "b" / "x"), whole())
    assert (tmp_path / "a" / "b" / "x").read_bytes() == b"whole"


@pytest.mark.parametrize("name", ["é" * 120, "🙂" * 62, "x" * 255])
def test_a_long_name_is_no_obstacle(tmp_path: Path, name: str) -> None:
    write_atomically(str(tmp_path / name), whole())
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_path_under_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("kept")
    for below in ("x.json", "a/b/x.json"):
        with pytest.raises(NotADirectoryError) as raised:
            write_atomically(str(tmp_path / "file" / below), whole())
        assert str(tmp_path / "file") in str(raised.value.filename)
    assert (tmp_path / "file").read_text() == "kept"


def test_a_folder_as_target_is_told_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError) as raised:
        write_atomically(str(tmp_path / "folder"), whole())
    assert raised.value.filename == str(tmp_path / "folder")
    assert list((tmp_path / "folder").iterdir()) == []


def test_a_folder_that_cannot_be_written_is_told() -> None:
    user = os.geteuid()
    # Where others than root come to; pytest's folders are closed to them.
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o555)
        try:
            if user == 0:  # who may write anywhere
                os.seteuid(65534)
            with pytest.raises(PermissionError) as raised:
                write_atomically(f"{folder}/x.json", whole())
        finally:
            os.seteuid(user)
        assert raised.value.filename == f"{folder}/x.json"


def test_a_folder_of_the_system_that_takes_no_files_is_told() -> None:
    with pytest.raises(OSError) as raised:  # noqa: PT011 - its kind differs between systems
        write_atomically("/proc/x.json", whole())
    assert raised.value.filename == "/proc/x.json"


def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(tmp_path)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"cannot mount a small disk here: {done.stderr.strip()}")
    try:
        (tmp_path / "x").write_bytes(b"old")
        with pytest.raises(OSError) as raised:  # noqa: PT011 - the code is looked at
            write_atomically(str(tmp_path / "x"), whole(b"n" * 200_000))
        assert raised.value.errno == errno.ENOSPC
        assert [path.name for path in tmp_path.iterdir()] == ["x"]
        assert (tmp_path / "x").read_bytes() == b"old"
    finally:
        subprocess.run(["umount", "-l", str(tmp_path)], check=True)


def test_a_device_is_written_to_and_stays_a_device(tmp_path: Path) -> None:
    """A rename would put a file in its place: of /dev/null, for the whole system."""
    before = os.lstat("/dev/null")
    write_atomically("/dev/null", whole())
    after = os.lstat("/dev/null")
    assert stat.S_ISCHR(after.st_mode)
    assert (before.st_dev, before.st_ino) == (after.st_dev, after.st_ino)


def test_a_pipe_is_written_to(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    found: list[bytes] = []
    reader = threading.Thread(target=lambda: found.append(pipe.read_bytes()))
    reader.start()
    write_atomically(str(pipe), whole())
    reader.join()
    assert found == [b"whole"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_link_stays_and_what_it_names_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to("sub/real")
    (tmp_path / "dangling").symlink_to("sub/new")
    for name in ("link", "dangling"):
        write_atomically(str(tmp_path / name), whole())
        assert (tmp_path / name).is_symlink()
        assert (tmp_path / name).read_bytes() == b"whole"
    assert sorted(path.name for path in (tmp_path / "sub").iterdir()) == ["new", "real"]


def test_a_remote_object_is_sent_when_it_is_complete(memory: str) -> None:
    import fsspec

    fs = fsspec.filesystem("memory")
    with pytest.raises(RuntimeError):
        write_atomically(f"{memory}/x", fails(RuntimeError()))
    assert not fs.exists(f"{memory}/x")
    write_atomically(f"{memory}/x", whole(b"w" * 3_000_000))
    assert fs.cat_file(f"{memory}/x") == b"w" * 3_000_000
    with pytest.raises(RuntimeError):
        write_atomically(f"{memory}/x", fails(RuntimeError()))
    assert fs.cat_file(f"{memory}/x") == b"w" * 3_000_000
