from __future__ import annotations

import errno
import hashlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yprov4wms import checksum_cache, identity
from yprov4wms.events import File, FileType
from yprov4wms.hasher import Hasher
from yprov4wms.identity import Identity

T = TypeVar("T")


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def within(seconds: float, call: Callable[[], T]) -> T:
    """What ``call`` returns; fails where it hangs."""
    results: list[T] = []
    thread = threading.Thread(target=lambda: results.append(call()), daemon=True)
    thread.start()
    thread.join(seconds)
    assert results, "did not return"
    return results[0]


def waits(gate: threading.Event) -> None:
    gate.wait(30)


def closes(hasher: Hasher) -> bool:
    hasher.close()
    return True


def settle() -> None:
    """Wait until what was written so far may be cached."""
    time.sleep(0.15)


@contextmanager
def as_nobody() -> Iterator[None]:
    """Without the rights of root, from whom nothing can be closed."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder to which anybody has a way, which pytest's own are not."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def test_unknown_mode_is_refused_with_what_is_allowed() -> None:
    with pytest.raises(ValueError, match=r"'md5' is not one of sha256, none"):
        Identity("/", mode="md5")


class TestCanonical:
    @pytest.mark.parametrize(
        ("path", "expected"),
        [
            ("a/b", "a/b"),
            ("./a//b/", "a/b"),
            ("a/./b/../c", "a/c"),
            ("{dir}/a", "a"),
            ("{dir}", "."),
            (".", "."),
            ("..", "{parent}"),
            ("../x", "{parent}/x"),
            ("{dir}x/a", "{dir}x/a"),
            ("/etc/../etc/hosts", "/etc/hosts"),
            ("//etc/hosts", "/etc/hosts"),
            ("a b\n'\"", "a b\n'\""),
            ("é", "é"),
            ("", ""),
        ],
    )
    def test_path(self, tmp_path: Path, path: str, expected: str) -> None:
        names = {"dir": str(tmp_path), "parent": str(tmp_path.parent)}
        assert Identity(tmp_path).canonical(path.format(**names)) == expected.format(**names)

    @pytest.mark.parametrize(
        ("url", "expected"),
        [
            ("s3://bucket/a/../b", "s3://bucket/a/../b"),
            ("https://host:8080/x@y?z#w", "https://host:8080/x@y?z#w"),
            ("https://me:secret@host/x", "https://host/x"),
            ("https://token@host/x", "https://host/x"),
            ("s3://KEY:sec/ret@bucket/x", "s3://bucket/x"),
            ("sftp://me:p@ss@host:22/x", "sftp://host:22/x"),
            ("abfs://container@account.dfs.core.windows.net/x",) * 2,
            ("docker://ubuntu:22.04@sha256:45b23dee",) * 2,
        ],
    )
    def test_url_stays_but_for_who_uses_it(self, url: str, expected: str) -> None:
        file = Identity("/tmp").describe(url)
        assert (file.path, file.type) == (expected, FileType.URL)

    def test_directory_reached_by_a_link_is_the_directory(self, tmp_path: Path) -> None:
        (tmp_path / "real").mkdir()
        (tmp_path / "link").symlink_to("real")
        found = Identity(tmp_path / "link")
        assert found.canonical(tmp_path / "link" / "a") == "a"
        assert found.canonical(tmp_path / "real" / "a") == "a"

    def test_parent_of_a_linked_folder_is_where_the_link_leads(self, tmp_path: Path) -> None:
        (tmp_path / "run").mkdir()
        (tmp_path / "far" / "data").mkdir(parents=True)
        (tmp_path / "far" / "x").write_text("far")
        (tmp_path / "run" / "data").symlink_to(tmp_path / "far" / "data")
        file = Identity(tmp_path / "run").describe("data/../x")
        assert (file.path, file.size) == (str(tmp_path / "far" / "x"), 3)

    def test_relative_paths_start_from_the_directory(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "a").write_text("abc")
        monkeypatch.chdir("/")
        assert Identity(tmp_path).describe("a").size == 3

    def test_string_of_an_engine_is_taken_as_its_text(self, tmp_path: Path) -> None:
        class Annotated(str):
            def __str__(self) -> str:
                return "something else"

        file = Identity(tmp_path).describe(Annotated("a"))
        assert file.path == "a"
        assert type(file.path) is str

    odd = st.text(st.sampled_from("ab./:~%-é\n\0\udc80\ud800"), max_size=30) | st.text()

    @given(odd)
    def test_is_stable_and_idempotent_and_can_be_encoded(self, path: str) -> None:
        found = Identity("/tmp/somewhere")
        once = found.canonical(path)
        msgspec.json.encode(once)
        assert found.canonical(path) == once
        assert found.canonical(once) == once
        assert Identity("/tmp/somewhere").canonical(once) == once

    def test_forgets_rather_than_grows_without_bound(self, tmp_path: Path) -> None:
        found = Identity(tmp_path)
        for number in range(100_050):
            found.canonical(str(number))
        assert len(found._places._known) <= 100_000
        assert found.canonical("7") == "7"


class TestDescribe:
    def test_regular_file(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_bytes(b"abc")
        os.utime(tmp_path / "a", ns=(1, 1_700_000_000_123_456_789))
        file = Identity(tmp_path).describe("a", "input")
        assert file == File("a", FileType.FILE, "input", 3, 1_700_000_000_123_456_789)

    @pytest.mark.parametrize("path", ["gone", "a/under-a-file"])
    def test_missing(self, tmp_path: Path, path: str) -> None:
        (tmp_path / "a").touch()
        assert Identity(tmp_path).describe(path) == File(path, FileType.MISSING)

    @pytest.mark.parametrize("path", ["a\0b", "x" * 5000, "\ud800"])
    def test_what_no_file_can_be_called_is_missing(self, tmp_path: Path, path: str) -> None:
        file = Identity(tmp_path).describe(path)
        assert file.type is FileType.MISSING
        assert file.note

    def test_behind_a_closed_folder_nothing_is_known(self, open_folder: Path) -> None:
        (open_folder / "closed").mkdir()
        (open_folder / "closed" / "a").write_text("x")
        (open_folder / "closed").chmod(0)
        with as_nobody():
            file = Identity(open_folder).describe("closed/a")
        (open_folder / "closed").chmod(0o700)
        assert file.type is FileType.OTHER
        assert file.note == f"cannot be looked at: {os.strerror(errno.EACCES)}"

    def test_link_tells_its_target_and_what_is_there(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_bytes(b"abc")
        (tmp_path / "link").symlink_to("a")
        file = Identity(tmp_path).describe("link")
        assert (file.type, file.size, file.target) == (FileType.FILE, 3, "a")

    def test_dangling_link_is_missing(self, tmp_path: Path) -> None:
        (tmp_path / "link").symlink_to("gone")
        assert Identity(tmp_path).describe("link") == File("link", FileType.MISSING, target="gone")

    def test_loop_of_links_is_missing(self, tmp_path: Path) -> None:
        (tmp_path / "a").symlink_to("b")
        (tmp_path / "b").symlink_to("a")
        file = Identity(tmp_path).describe("a")
        assert (file.type, file.target) == (FileType.MISSING, "b")
        assert file.note == f"cannot be looked at: {os.strerror(errno.ELOOP)}"


class TestChecksum:
    @given(content=st.binary(max_size=3000))
    @settings(max_examples=50)
    def test_is_that_of_the_bytes(self, content: bytes) -> None:
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "a").write_bytes(content)
            found = Identity(folder)
            file = found.checksum(found.describe("a", "output"))
            assert file == msgspec.structs.replace(
                found.describe("a", "output"), sha256=file.sha256
            )
            assert file.sha256 == sha256(content)

    @pytest.mark.parametrize("size", [256 * 1024 - 1, 256 * 1024, 256 * 1024 + 1, 3_000_000])
    def test_is_that_of_the_bytes_across_blocks(self, tmp_path: Path, size: int) -> None:
        content = os.urandom(size)
        (tmp_path / "a").write_bytes(content)
        assert Identity(tmp_path).checksum(File("a")).sha256 == sha256(content)

    def test_leaves_the_given_file_as_it_is(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_text("x")
        found = Identity(tmp_path)
        described = found.describe("a")
        found.checksum(described)
        assert described.sha256 is None

    def test_mode_none_reads_nothing(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_text("x")
        found = Identity(tmp_path, mode="none")
        described = found.describe("a")
        assert found.checksum(described) is described

    def test_mode_none_lists_the_members_of_a_directory(self, tmp_path: Path) -> None:
        (tmp_path / "d").mkdir()
        (tmp_path / "d" / "a").write_text("x")
        found = Identity(tmp_path, mode="none")
        described = found.checksum(found.describe("d"))
        (member,) = described.members or []
        assert (member.path, member.size, member.sha256) == ("a", 1, None)
        assert (described.sha256, described.note) == (None, None)

    def test_url_is_not_looked_for(self) -> None:
        found = Identity("/tmp")
        url = found.describe("s3://bucket/x")
        assert found.checksum(url) is url

    def test_larger_than_the_threshold_gets_a_note(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_bytes(b"12345")
        assert Identity(tmp_path, threshold=5).checksum(File("a")).sha256 == sha256(b"12345")
        file = Identity(tmp_path, threshold=4).checksum(File("a"))
        assert (file.sha256, file.size) == (None, 5)
        assert file.note == "larger than the hash limit of 4 bytes"

    @pytest.mark.parametrize("name", ["a b", "a\nb", "'\"\\", "-rf", "%FF", "é", "💥"])
    def test_any_name(self, tmp_path: Path, name: str) -> None:
        (tmp_path / name).write_text("x")
        found = Identity(tmp_path)
        file = found.checksum(found.describe(name))
        assert (file.path, file.sha256) == (name, sha256(b"x"))

    def test_name_that_is_not_utf8(self, tmp_path: Path) -> None:
        name = os.fsdecode(b"caf\xe9 \xff")
        try:
            (tmp_path / name).write_bytes(b"x")
        except OSError:
            pytest.skip("this file system takes UTF-8 only")
        (tmp_path / "link").symlink_to(name)
        found = Identity(tmp_path)
        described = found.describe(tmp_path / name)
        assert described.path == "caf%E9 %FF"
        assert found.checksum(described).sha256 == sha256(b"x")
        assert found.describe("link").target == "caf%E9 %FF"
        members = found.checksum(found.describe(tmp_path)).members
        assert members is not None
        assert [member.path for member in members] == ["caf%E9 %FF", "link"]
        msgspec.json.encode([described, *members])

    def test_link_has_the_checksum_of_what_is_there(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_bytes(b"abc")
        (tmp_path / "link").symlink_to("a")
        found = Identity(tmp_path)
        file = found.checksum(found.describe("link"))
        assert (file.sha256, file.target) == (sha256(b"abc"), "a")

    @pytest.mark.parametrize("target", ["gone", "link"])
    def test_link_to_nothing(self, tmp_path: Path, target: str) -> None:
        (tmp_path / "link").symlink_to(target)
        file = Identity(tmp_path).checksum(File("link"))
        assert (file.type, file.target, file.sha256) == (FileType.MISSING, target, None)

    def test_vanished(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_text("x")
        found = Identity(tmp_path)
        described = found.describe("a")
        (tmp_path / "a").unlink()
        file = found.checksum(described)
        assert (file.type, file.size) == (FileType.MISSING, None)
        assert file.note == "vanished before it could be read"

    def test_missing_all_along_needs_no_note(self, tmp_path: Path) -> None:
        found = Identity(tmp_path)
        assert found.checksum(found.describe("a")) == File("a", FileType.MISSING)

    def test_unreadable(self, open_folder: Path) -> None:
        (open_folder / "a").write_text("x")
        (open_folder / "a").chmod(0)
        with as_nobody():
            file = Identity(open_folder).checksum(File("a"))
        assert (file.type, file.size, file.sha256) == (FileType.FILE, 1, None)
        assert file.note == f"cannot be read: {os.strerror(errno.EACCES)}"

    def test_proc_file_that_tells_no_size_gets_no_checksum(self) -> None:
        if not Path("/proc/self/status").exists():
            pytest.skip("no /proc")
        file = Identity("/tmp").checksum(File("/proc/self/status"))
        assert (file.sha256, file.note) == (None, "changed while it was read")


class TestWhatIsNeverOpened:
    @pytest.fixture(autouse=True)
    def _no_open(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*args: object) -> int:
            raise AssertionError("opened")

        monkeypatch.setattr(os, "open", refuse)

    def test_fifo(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "a")
        file = within(10, lambda: Identity(tmp_path).checksum(File("a")))
        assert (file.type, file.size, file.sha256, file.note) == (FileType.FIFO, None, None, None)

    def test_socket(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.chdir(tmp_path)
        with socket.socket(socket.AF_UNIX) as server:
            server.bind("a")
            file = Identity(tmp_path).checksum(File("a"))
        assert (file.type, file.sha256) == (FileType.OTHER, None)

    def test_device(self) -> None:
        assert Identity("/tmp").checksum(File("/dev/zero")).type is FileType.OTHER


class TestChangesMeanwhile:
    def test_fifo_in_the_place_of_the_file_does_not_block(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "a"
        path.write_text("x")
        read = identity._read

        def swapped(*args: object) -> str | None:
            path.unlink()
            os.mkfifo(path)
            return read(*args)  # type: ignore[arg-type]

        monkeypatch.setattr(identity, "_read", swapped)
        file = within(10, lambda: Identity(tmp_path).checksum(File("a")))
        assert (file.type, file.sha256) == (FileType.FIFO, None)
        assert file.note == "changed while it was read"

    def test_rewritten_once_it_is_read_again(self, tmp_path: Path) -> None:
        path = tmp_path / "a"
        path.write_bytes(b"old")
        contents = [b"newer"]

        def rewrite() -> bool:
            if contents:
                path.write_bytes(contents.pop())
            return False

        file = Identity(tmp_path).checksum(File("a"), stop=rewrite)
        assert (file.sha256, file.size, file.note) == (sha256(b"newer"), 5, None)
        assert file.mtime_ns == path.stat().st_mtime_ns

    def test_replaced_while_read(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_bytes(b"old")
        (tmp_path / "b").write_bytes(b"new")

        def replace() -> bool:
            if (tmp_path / "b").exists():
                (tmp_path / "b").replace(tmp_path / "a")
            return False

        assert Identity(tmp_path).checksum(File("a"), stop=replace).sha256 == sha256(b"new")

    def test_never_at_rest_it_gets_a_note(self, tmp_path: Path) -> None:
        path = tmp_path / "a"
        path.write_bytes(b"x")

        def append() -> bool:
            with path.open("ab") as file:
                file.write(b"x")
            return False

        file = within(10, lambda: Identity(tmp_path).checksum(File("a"), stop=append))
        assert (file.sha256, file.note) == (None, "changed while it was read")

    def test_removed_while_read(self, tmp_path: Path) -> None:
        path = tmp_path / "a"
        path.write_bytes(b"x")

        def remove() -> bool:
            path.unlink(missing_ok=True)
            return False

        file = Identity(tmp_path).checksum(File("a"), stop=remove)
        assert (file.type, file.note) == (FileType.MISSING, "changed while it was read")


class TestDirectory:
    def test_members_are_sorted_and_relative(self, tmp_path: Path) -> None:
        for name in ("a/x", "a.b", "a-b/y", "z", "a/0/deep"):
            (tmp_path / "d" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "d" / name).write_text(name)
        (tmp_path / "d" / "empty").mkdir()
        found = Identity(tmp_path)
        file = found.checksum(found.describe("d"))
        assert file.type is FileType.DIRECTORY
        assert file.members is not None
        names = [member.path for member in file.members]
        assert names == sorted(names) == ["a-b/y", "a.b", "a/0/deep", "a/x", "z"]
        assert [member.sha256 for member in file.members] == [sha256(n.encode()) for n in names]
        assert file.member_count is None

    def test_checksum_can_be_had_with_common_tools(self, tmp_path: Path) -> None:
        for name in ("a/x y", "a.b", "é/\n", "a-b/'"):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(name)
        tools = (
            "find . -type f -printf '%P\\0' | LC_ALL=C sort -z"
            " | xargs -0r sha256sum -z -- | sha256sum"
        )
        try:
            run = subprocess.run(
                tools, shell=True, cwd=tmp_path, capture_output=True, text=True, check=True
            )
        except subprocess.CalledProcessError:
            pytest.skip("no GNU tools")
        assert Identity("/").checksum(File(str(tmp_path))).sha256 == run.stdout.split()[0]

    def test_checksum_tells_names_and_contents_apart(self, tmp_path: Path) -> None:
        sums: set[str | None] = set()
        for name, content in (("a", "1"), ("a", "2"), ("b", "1"), ("c/a", "1")):
            folder = tmp_path / f"{len(sums)}"
            (folder / name).parent.mkdir(parents=True)
            (folder / name).write_text(content)
            sums.add(Identity(tmp_path).checksum(File(str(folder))).sha256)
        assert len(sums) == 4
        assert None not in sums

    def test_empty(self, tmp_path: Path) -> None:
        file = Identity("/").checksum(File(str(tmp_path)))
        assert (file.members, file.sha256) == ([], sha256(b""))

    def test_what_is_no_file_is_no_member(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "fifo")
        (tmp_path / "dangling").symlink_to("gone")
        (tmp_path / "loop").symlink_to("loop")
        (tmp_path / ".mark").touch()
        (tmp_path / "a").write_text("x")
        found = Identity("/", ignore=[".mark"])
        file = within(10, lambda: found.checksum(File(str(tmp_path))))
        assert [member.path for member in file.members or ()] == ["a"]
        assert file.sha256

    def test_links(self, tmp_path: Path) -> None:
        outside = tmp_path / "outside"
        outside.mkdir()
        (outside / "far").write_text("far")
        inside = tmp_path / "inside"
        (inside / "sub").mkdir(parents=True)
        (inside / "sub" / "a").write_text("x")
        (inside / "sub" / "cycle").symlink_to(inside)
        (inside / "away").symlink_to(outside)
        (inside / "again").symlink_to("sub/a")
        file = within(10, lambda: Identity(tmp_path).checksum(File("inside")))
        assert file.members is not None
        assert [(m.path, m.target, m.sha256) for m in file.members] == [
            ("again", "sub/a", sha256(b"x")),
            ("sub/a", None, sha256(b"x")),
        ]

    def test_linked_directory(self, tmp_path: Path) -> None:
        (tmp_path / "d").mkdir()
        (tmp_path / "d" / "a").write_text("x")
        (tmp_path / "link").symlink_to("d")
        found = Identity(tmp_path)
        file = found.checksum(found.describe("link"))
        assert (file.target, file.sha256) == ("d", found.checksum(File("d")).sha256)

    def test_more_members_than_are_listed_are_counted(self, tmp_path: Path) -> None:
        for number in range(12):
            (tmp_path / f"{number:02}").touch()
        file = Identity("/", member_limit=5).checksum(File(str(tmp_path)))
        assert [member.path for member in file.members or ()] == ["00", "01", "02", "03", "04"]
        assert (file.member_count, file.sha256) == (12, None)
        assert file.note == "more than 5 members"

    def test_counting_ends_somewhere(self, tmp_path: Path) -> None:
        for number in range(120):
            (tmp_path / f"{number:03}").touch()
        file = Identity("/", member_limit=1).checksum(File(str(tmp_path)))
        assert (len(file.members or ()), file.member_count) == (1, 100)
        assert file.note == "not counted beyond 100 entries"

    def test_deeper_than_python_recurses(self, tmp_path: Path) -> None:
        folder = tmp_path / "top"
        folder.mkdir()
        deep = "d/" * 1200
        subprocess.run(["mkdir", "-p", deep], cwd=folder, check=True)
        (folder / deep / "a").touch()
        file = Identity("/").checksum(File(str(folder)))
        # Too deep for pytest to clear away.
        subprocess.run(["rm", "-r", str(folder)], check=True)
        assert [member.path for member in file.members or ()] == [deep + "a"]

    def test_member_without_checksum_leaves_the_directory_without(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_text("1")
        (tmp_path / "b").write_text("12")
        file = Identity("/", threshold=1).checksum(File(str(tmp_path)))
        assert [bool(member.sha256) for member in file.members or ()] == [True, False]
        assert (file.sha256, file.note) == (None, "not every member has a checksum")

    def test_closed_folder_inside(self, open_folder: Path) -> None:
        (open_folder / "a").write_text("x")
        (open_folder / "closed").mkdir(mode=0)
        with as_nobody():
            file = Identity("/").checksum(File(str(open_folder)))
        assert [member.path for member in file.members or ()] == ["a"]
        assert file.sha256 is None
        assert file.note == f"closed/ cannot be listed: {os.strerror(errno.EACCES)}"


class TestCache:
    def test_second_time_nothing_is_read(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "a").write_bytes(b"x")
        settle()
        found = Identity(tmp_path)
        found.checksum(File("a"))
        monkeypatch.setattr(identity, "_read", None)
        assert found.checksum(File("a")).sha256 == sha256(b"x")

    def test_touched_file_is_read_again(self, tmp_path: Path) -> None:
        path = tmp_path / "a"
        path.write_bytes(b"old")
        settle()
        found = Identity(tmp_path)
        before = path.stat()
        found.checksum(File("a"))
        path.write_bytes(b"new")
        # Who sets the time back does not set the change time back.
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert found.checksum(File("a")).sha256 == sha256(b"new")

    @pytest.mark.parametrize("settled", [False, True])
    def test_rewrite_within_one_tick_is_not_missed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settled: bool
    ) -> None:
        second = 1_000_000_000

        def key(status: os.stat_result) -> tuple[int, ...]:
            """As of a file system that counts in pairs of seconds."""
            tick = 2 * second
            modified, changed = status.st_mtime_ns // tick, status.st_ctime_ns // tick
            return status.st_dev, status.st_ino, status.st_size, modified * tick, changed * tick

        monkeypatch.setattr(identity, "version_key", key)
        monkeypatch.setattr(checksum_cache, "version_key", key)
        if settled:
            monkeypatch.setattr(identity, "is_settled", lambda status, now: True)
        while time.time() % 2 > 1:  # so that both fall into one tick
            time.sleep(0.05)
        found = Identity(tmp_path)
        (tmp_path / "a").write_bytes(b"old")
        found.checksum(File("a"))
        (tmp_path / "a").write_bytes(b"new")
        # Without the rule, this very file is where a stale checksum comes from.
        expected = b"old" if settled else b"new"
        assert found.checksum(File("a")).sha256 == sha256(expected)

    def test_rewrites_in_a_row_are_not_missed(self, tmp_path: Path) -> None:
        found = Identity(tmp_path)
        for number in range(300):
            content = f"{number:05}".encode()
            (tmp_path / "a").write_bytes(content)
            assert found.checksum(File("a")).sha256 == sha256(content)

    def test_settled(self, tmp_path: Path) -> None:
        second = 1_000_000_000

        def status(mtime: int, ctime: int) -> os.stat_result:
            fields = {"st_mtime_ns": mtime, "st_ctime_ns": ctime}
            return os.stat_result([0] * 10, fields)

        fine, coarse = 100 * second + 1, 100 * second
        assert not checksum_cache.is_settled(status(fine, fine), fine + second // 20)
        assert checksum_cache.is_settled(status(fine, fine), fine + second)
        assert not checksum_cache.is_settled(status(coarse, coarse), coarse + 2 * second)
        assert checksum_cache.is_settled(status(coarse, coarse), coarse + 3 * second)
        # Times of an archive, unpacked just now.
        assert not checksum_cache.is_settled(status(coarse, 500 * second + 1), 500 * second + 2)
        # The clock of a file server is ahead; a time was set into the future by hand.
        assert not checksum_cache.is_settled(status(fine + second, fine + second), fine)
        assert checksum_cache.is_settled(status(fine + 50 * second, fine), fine + second)

    @pytest.fixture
    def large(self, tmp_path: Path) -> bytes:
        content = os.urandom(1024 * 1024)
        (tmp_path / "large").write_bytes(content)
        (tmp_path / "small").write_bytes(b"x")
        settle()
        return content

    def test_file_of_it_serves_the_next_run(
        self, tmp_path: Path, large: bytes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        cache = tmp_path / "new" / "folder" / "cache"
        first = Identity(tmp_path, cache_path=cache)
        first.checksum(File("large"))
        first.checksum(File("small"))
        assert len(cache.read_text().splitlines()) == 1
        second = Identity(tmp_path, cache_path=cache)
        monkeypatch.setattr(identity, "_read", None)
        assert second.checksum(File("large")).sha256 == sha256(large)

    @pytest.mark.parametrize("damage", ["torn", "flipped", "noise", "empty"])
    def test_damaged_file_is_as_if_empty(self, tmp_path: Path, large: bytes, damage: str) -> None:
        cache = tmp_path / "cache"
        Identity(tmp_path, cache_path=cache).checksum(File("large"))
        line = cache.read_bytes()
        wrong = line.replace(sha256(large).encode(), sha256(b"other").encode())
        noise = bytes(range(256)) * 10
        cache.write_bytes({"torn": line[:-9], "flipped": wrong, "noise": noise}.get(damage, b""))
        file = Identity(tmp_path, cache_path=cache).checksum(File("large"))
        assert (file.sha256, file.note) == (sha256(large), None)

    def test_line_after_a_torn_one_is_lost_and_the_next_is_not(
        self, tmp_path: Path, large: bytes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        cache = tmp_path / "cache"
        Identity(tmp_path, cache_path=cache).checksum(File("large"))
        line = cache.read_bytes()
        cache.write_bytes(line[:20] + line + line)
        monkeypatch.setattr(identity, "_read", None)
        file = Identity(tmp_path, cache_path=cache).checksum(File("large"))
        assert file.sha256 == sha256(large)

    @pytest.mark.parametrize("place", ["/proc/none/cache", "folder", "fifo", "small/x", "a\0b"])
    def test_where_none_can_be_kept_all_goes_on(
        self, tmp_path: Path, large: bytes, place: str
    ) -> None:
        (tmp_path / "folder").mkdir()
        os.mkfifo(tmp_path / "fifo")
        found = Identity(tmp_path, cache_path=tmp_path / place)
        for _ in range(2):
            file = within(10, lambda: found.checksum(File("large")))
            assert (file.sha256, file.note) == (sha256(large), None)

    def test_two_runs_at_once_share_it(self, tmp_path: Path) -> None:
        for number in range(20):
            (tmp_path / f"{number}").write_bytes(bytes([number]) * 1024 * 1024)
        settle()
        script = (
            "import sys\n"
            "from yprov4wms.identity import File, Identity\n"
            "found = Identity(sys.argv[1], cache_path=sys.argv[1] + '/cache')\n"
            "for name in sys.argv[2:]: assert found.checksum(File(name)).sha256\n"
        )
        names = [f"{number}" for number in range(20)]
        runs = [
            subprocess.Popen([sys.executable, "-c", script, str(tmp_path), *part])
            for part in (names[:12], names[8:])
        ]
        assert [run.wait() for run in runs] == [0, 0]
        lines = (tmp_path / "cache").read_bytes().splitlines()
        assert all(checksum_cache._entry(line) for line in lines)
        assert len({line.split()[1] for line in lines}) == 20

    def test_file_of_it_does_not_grow_without_bound(
        self, tmp_path: Path, large: bytes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(checksum_cache.ChecksumCache, "_MOST_BYTES", 1000)
        cache = tmp_path / "cache"
        Identity(tmp_path, cache_path=cache).checksum(File("large"))
        line = cache.read_bytes()
        cache.write_bytes(line * 20)
        Identity(tmp_path, cache_path=cache).checksum(File("large"))
        assert cache.read_bytes() == line

    def test_memory_does_not_grow_without_bound(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(checksum_cache.ChecksumCache, "_MOST_FILES", 3)
        for number in range(5):
            (tmp_path / f"{number}").touch()
        settle()
        found = Identity(tmp_path)
        for number in range(5):
            found.checksum(File(f"{number}"))
        assert len(found._cache._known) == 3


class TestHasher:
    @pytest.fixture
    def errors(self) -> list[BaseException]:
        return []

    @pytest.fixture
    def hasher(self, tmp_path: Path, errors: list[BaseException]) -> Iterator[Hasher]:
        hasher = Hasher(Identity(tmp_path), errors.append)
        yield hasher
        hasher.close()

    def test_hands_checksums_over_in_order(self, tmp_path: Path, hasher: Hasher) -> None:
        names = [f"{number}" for number in range(50)]
        for name in names:
            (tmp_path / name).write_text(name)
        done: list[File] = []
        found = Identity(tmp_path)
        for name in names:
            hasher.submit(found.describe(name), done.append)
        assert hasher.drain(30)
        assert [(file.path, file.sha256) for file in done] == [
            (name, sha256(name.encode())) for name in names
        ]

    def test_starts_no_thread_before_it_has_work(self, hasher: Hasher) -> None:
        before = threading.active_count()
        assert hasher.drain(0)
        assert threading.active_count() == before

    def test_caller_is_not_held_up(self, tmp_path: Path, hasher: Hasher) -> None:
        gate = threading.Event()
        (tmp_path / "a").touch()
        hasher.submit(File("a"), lambda file: waits(gate))
        assert not hasher.drain(0.05)
        gate.set()
        assert hasher.drain(30)

    def test_errors_are_reported_and_work_goes_on(
        self, tmp_path: Path, hasher: Hasher, errors: list[BaseException]
    ) -> None:
        (tmp_path / "a").write_text("x")
        done: list[File] = []
        error = RuntimeError("from done")

        def fail(file: File) -> None:
            raise error

        hasher.submit(File("a"), fail)
        hasher.submit(File("a"), done.append)
        assert hasher.drain(30)
        assert errors == [error]
        assert [file.sha256 for file in done] == [sha256(b"x")]

    def test_failing_report_of_an_error_is_survived(self, tmp_path: Path) -> None:
        def fail(*args: object) -> None:
            raise RuntimeError

        hasher = Hasher(Identity(tmp_path), fail)
        hasher.submit(File("a"), fail)
        hasher.submit(File("a"), fail)
        assert hasher.drain(30)
        hasher.close()

    @pytest.mark.parametrize("late", ["rewritten", "removed", "folder"])
    def test_checksum_is_of_the_version_that_was_submitted(
        self, tmp_path: Path, hasher: Hasher, late: str
    ) -> None:
        path = tmp_path / "a"
        path.write_text("old")
        described = Identity(tmp_path).describe("a")
        path.unlink()
        if late == "rewritten":
            path.write_text("newer")
        elif late == "folder":
            path.mkdir()
        done: list[File] = []
        hasher.submit(described, done.append)
        assert hasher.drain(30)
        what = "gone" if late == "removed" else "changed"
        expected = msgspec.structs.replace(described, note=f"{what} before it could be read")
        assert done == [expected]

    def test_close_stops_within_a_file_and_tells(self, tmp_path: Path) -> None:
        with (tmp_path / "huge").open("wb") as file:
            file.truncate(2**40)
        (tmp_path / "a").touch()
        hasher = Hasher(Identity(tmp_path))
        done: list[File] = []
        for name in ("huge", "a"):
            hasher.submit(Identity(tmp_path).describe(name), done.append)
        assert not hasher.drain(0.05)
        within(10, lambda: closes(hasher))
        assert hasher.drain(5)
        hasher.submit(File("a"), done.append)
        assert sorted((file.path, file.note) for file in done) == [
            ("a", "the run ended before it was read"),
            ("a", "the run ended before it was read"),
            ("huge", "the run ended before it was read"),
        ]

    def test_thread_does_not_keep_the_process_alive(self, tmp_path: Path) -> None:
        with (tmp_path / "huge").open("wb") as file:
            file.truncate(2**40)
        script = (
            "import sys\nfrom yprov4wms.hasher import Hasher\n"
            "from yprov4wms.identity import Identity\n"
            "found = Identity(sys.argv[1])\n"
            "Hasher(found).submit(found.describe('huge'), print)\n"
        )
        run = subprocess.run(
            [sys.executable, "-c", script, str(tmp_path)], timeout=60, capture_output=True
        )
        assert (run.returncode, run.stdout) == (0, b"")

    def test_forked_child_has_a_queue_of_its_own(self, tmp_path: Path, hasher: Hasher) -> None:
        (tmp_path / "a").write_text("x")
        gate = threading.Event()
        hasher.submit(File("a"), lambda file: waits(gate))
        child = os.fork()
        if child == 0:
            done: list[File] = []
            hasher.submit(File("a"), done.append)
            finished = hasher.drain(20)
            os._exit(0 if finished and [f.sha256 for f in done] == [sha256(b"x")] else 1)
        _, status = os.waitpid(child, 0)
        gate.set()
        assert os.waitstatus_to_exitcode(status) == 0
        assert hasher.drain(30)


def test_import_is_light() -> None:
    script = (
        "import sys, yprov4wms.identity\n"
        "print(*{'networkx', 'numpy', 'prov', 'fsspec', 'sqlite3'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == ""
