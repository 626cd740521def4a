"""What is told of files, directories, links and what is none of them."""

from __future__ import annotations

import hashlib
import os
import socket

import msgspec
import pytest

from yprov4wms.events import File, FileType
from yprov4wms.identity import Identity
from yprov4wms.ml import _files
from yprov4wms.settings import Settings

HASHED = Settings()


def test_a_file_has_size_time_and_sha256(tmp_path):
    path = tmp_path / "a b.txt"
    path.write_bytes(b"x" * 3_000_000)
    os.utime(path, ns=(1, 2))
    assert _files.describe(path, "input", HASHED) == {
        "path": str(path),
        "role": "input",
        "size": 3_000_000,
        "mtime_ns": 2,
        "sha256": hashlib.sha256(b"x" * 3_000_000).hexdigest(),
    }


def test_a_path_is_made_absolute_and_links_stay(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "f").write_bytes(b"")
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "f").symlink_to("link/f")
    assert _files.describe("link/../link/f", None, HASHED)["path"] == str(tmp_path / "link/f")
    found = _files.describe("f", None, HASHED)
    assert (found["path"], found["target"], found["size"]) == (str(tmp_path / "f"), "link/f", 0)


def test_nothing_there_is_an_error(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "dangling").symlink_to("nowhere")
    for path in ("absent", "file/below", "dangling"):
        with pytest.raises(FileNotFoundError, match=path):
            _files.describe(path, None, HASHED)


def test_what_is_no_file_is_not_read(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    assert _files.describe("fifo", None, HASHED)["type"] == "fifo"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        assert _files.describe("socket", None, HASHED)["type"] == "other"
    assert _files.describe("/dev/zero", None, HASHED)["type"] == "other"


def test_a_url_is_left_as_it_is():
    url = "https://example.org/a/../b"
    assert _files.describe(url, None, HASHED) == {"path": url, "type": "url"}


def test_a_limit_leaves_large_files_unread(tmp_path):
    (tmp_path / "small").write_bytes(b"12345")
    (tmp_path / "large").write_bytes(b"123456")
    limited = Settings(hash_limit=5)
    assert "sha256" in _files.describe("small", None, limited)
    found = _files.describe("large", None, limited)
    assert "sha256" not in found
    assert "5" in found["note"]


def test_a_file_that_changes_while_it_is_read_has_no_checksum(tmp_path, monkeypatch):
    path = tmp_path / "growing"
    path.write_bytes(b"abc")
    checksum = _files._sha256
    reads = []

    def slow(name):
        reads.append(digest := checksum(name))
        if len(reads) <= changes:
            path.write_bytes(b"abc" * (len(reads) + 1))
        return digest

    changes = 1
    monkeypatch.setattr(_files, "_sha256", slow)
    assert _files.describe(path, None, HASHED)["sha256"] == reads[1]
    reads.clear()
    changes = 2
    found = _files.describe(path, None, HASHED)
    assert (found["size"], found["note"]) == (9, "changed while it was read")
    assert "sha256" not in found


def plant(root):
    """A directory of all kinds of things."""
    (root / "sub" / "deeper").mkdir(parents=True)
    (root / "empty").mkdir()
    (root / "sub.txt").write_bytes(b"1")
    (root / "sub" / "b").write_bytes(b"2")
    (root / "sub" / "deeper" / "caf\u00e9").write_bytes(b"3")
    (root / os.fsdecode(b"odd\xff")).write_bytes(b"4")
    (root / "link").symlink_to("sub/b")
    (root / "loop").symlink_to("loop")
    (root / "dangling").symlink_to("nowhere")
    (root / "up").symlink_to("..")
    os.mkfifo(root / "fifo")


def test_a_directory_has_the_checksum_of_its_members(tmp_path):
    plant(tmp_path / "d")
    names = ["link", "odd%FF", "sub.txt", "sub/b", "sub/deeper/caf\u00e9"]
    digests = [hashlib.sha256(content).hexdigest() for content in (b"2", b"4", b"1", b"2", b"3")]
    lines = "".join(f"{d}  {n}\0" for d, n in zip(digests, names, strict=True))
    found = _files.describe("d", "output", HASHED)
    assert found["sha256"] == hashlib.sha256(lines.encode()).hexdigest()
    assert (found["type"], found["member_count"]) == ("directory", 5)


def test_a_directory_is_told_incomplete_where_it_is(tmp_path, monkeypatch):
    plant(tmp_path / "d")
    found = _files.describe("d", None, Settings(hash_limit=0))
    assert ("sha256" in found, found["note"]) == (False, "not every member has a checksum")
    monkeypatch.setattr(_files, "MEMBER_LIMIT", 4)
    found = _files.describe("d", None, HASHED)
    assert ("sha256" in found, found["note"]) == (False, "more than 4 members")
    assert found["member_count"] == 5
    monkeypatch.setattr(_files, "MEMBER_LIMIT", 0)
    assert "not counted" in _files.describe("d", None, HASHED)["note"]


@pytest.mark.parametrize("settings", [HASHED, Settings(hash="none"), Settings(hash_limit=1)])
def test_everything_is_told_as_the_engine_side_tells_it(tmp_path, settings):
    plant(tmp_path / "d")
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "file").write_bytes(b"abc")
    (tmp_path / "file link").symlink_to("file")
    (tmp_path / "d link").symlink_to("d/sub")
    (tmp_path / os.fsdecode(b"odd\xfe")).write_bytes(b"")
    paths = [*sorted(path.name for path in tmp_path.iterdir()), "d link/../sub.txt", "d/../file"]
    paths += ["https://user:secret@example.org/x", "d/up/file", "d/", "/dev/null", "/proc/self/mem"]
    engine = Identity("/nowhere", settings.hash, settings.hash_limit)
    for path in paths:
        url = "://" in path
        expected = engine.describe(path if url else str(tmp_path / path), "input")
        if expected.type is FileType.DIRECTORY or expected.type is FileType.FILE:
            expected = engine.checksum(expected)
        told = msgspec.convert(_files.describe(path, "input", settings), File)
        count = expected.member_count or (expected.members and len(expected.members))
        expected.members, expected.member_count = None, count
        assert told == expected, path
