"""What a path held at one moment: kind, size, time, and a checksum of its content."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from yprov4wms.checksum_cache import ChecksumCache, is_settled, version_key
from yprov4wms.events import File, FileType
from yprov4wms.masking import without_userinfo

MODES = ("sha256", "none")

PathLike = str | os.PathLike[str]
Stop = Callable[[], bool]


def _go_on() -> bool:
    return False


class Identity:
    """Describes files as seen from the run's ``directory``, and computes their checksums.

    mode: ``sha256`` or ``none``, which leaves out checksums.
    threshold: bytes; a larger file gets a note in place of a checksum.
    member_limit: how many members of a directory are listed; entries a hundred times as
        many are counted.
    cache_path: a file that keeps the checksums of large files from one run to the next.
    ignore: names of files that are no members of the directory that holds them, such as
        an engine's own marks.

    A name that is not UTF-8 is recorded with the odd bytes as ``%XX``.

    Raises ValueError for an unknown mode; nothing in here raises for what it finds in the
    file system.
    """

    def __init__(
        self,
        directory: PathLike,
        mode: str = "sha256",
        threshold: int | None = None,
        member_limit: int = 1000,
        *,
        cache_path: PathLike | None = None,
        ignore: Iterable[str] = (),
    ) -> None:
        if mode not in MODES:
            raise ValueError(f"hash mode {mode!r} is not one of {', '.join(MODES)}")
        self.mode = mode
        self.threshold = threshold
        self.member_limit = member_limit
        self._ignore = frozenset(ignore)
        self._places = _Places(os.fspath(directory))
        self._cache = ChecksumCache(None if cache_path is None else os.fspath(cache_path))

    def canonical(self, path: PathLike) -> str:
        """The path as it is recorded.

        Relative to the directory where it lies inside, else absolute; a URL as it is, but
        for ``user:password@``. A relative ``path`` starts from the directory, wherever the
        process works.
        """
        return self._places.find(path)[0]

    def describe(self, path: PathLike, role: str | None = None) -> File:
        """What lies at ``path`` now, by one ``lstat``, and a ``stat`` if that is a link."""
        name, place = self._places.find(path)
        if place is None:
            return File(name, _URL, role)
        try:
            status = os.lstat(place)
        except (OSError, ValueError) as error:
            return _absent(name, role, None, error)
        if status.st_mode & _FORMAT == _REGULAR:
            return File(name, _FILE, role, status.st_size, status.st_mtime_ns)
        return _look(name, place, role)[0]

    def identify(self, path: PathLike, role: str | None, most: int) -> File:
        """`describe`, and in the same look the checksum of a file of at most ``most`` bytes."""
        name, place = self._places.find(path)
        if place is None:
            return File(name, _URL, role)
        file, status = _look(name, place, role)
        if status is None or file.type is not _FILE or status.st_size > most:
            return file
        return file if self.mode == "none" else self._with_content(file, place, status, _go_on)

    def checksum(self, file: File, stop: Stop = _go_on) -> File:
        """A new `File`: what the path of ``file`` holds now, with its checksum or a note.

        A directory has its members listed, and a checksum where the list is complete and
        each of them has one: that of the lines ``<sha256>  <path>``, each ended by NUL and
        sorted by path, as ``sha256sum -z`` writes them. A link to a file counts as that
        file; one to a directory is not followed.

        stop: asked now and then; once it is true there is a note in place of the rest.
        """
        place = self._places.locate(file.path)
        hashed = self.mode != "none"
        if place is None or file.type is _URL or not (hashed or file.type is _DIRECTORY):
            return file
        now, status = _look(file.path, place, file.role)
        if now.type is _MISSING and file.type is not _MISSING:
            now.note = now.note or "vanished before it could be read"
        if status is not None and now.type is _FILE:
            return self._with_content(now, place, status, stop)
        if now.type is _DIRECTORY:
            self._add_members(now, place, stop)
        return now

    def _with_content(
        self, file: File, place: str, status: os.stat_result | None, stop: Stop
    ) -> File:
        for _ in range(2):
            content = self._content(place, status, stop) if status else None
            if content:
                file.size, file.mtime_ns, file.sha256, file.note = content
                return file
            file, status = _look(file.path, place, file.role)
            if file.type is not _FILE:
                break
        file.note = file.note or "changed while it was read"
        return file

    def _content(self, place: str, status: os.stat_result, stop: Stop) -> _Content | None:
        """Of the file with this status; None if that has changed at the end."""
        size, sha256, note = status.st_size, self._cache.get(status), None
        if not sha256 and self.threshold is not None and size > self.threshold:
            note = f"larger than the hash limit of {self.threshold} bytes"
        elif not sha256:
            began = time.time_ns()
            try:
                sha256 = _read(place, status, stop)
                if sha256 is None or version_key(os.stat(place)) != version_key(status):  # noqa: PTH116
                    return None
            except FileNotFoundError:
                return None
            except _Stopped:
                note = ENDED
            except OSError as error:
                note = f"cannot be read: {_reason(error)}"
            if sha256 and is_settled(status, began):
                self._cache.put(status, sha256)
        return _Content(size, status.st_mtime_ns, sha256, note)

    def _add_members(self, file: File, place: str, stop: Stop) -> None:
        walk = _Walk(place, self.member_limit, self._ignore, stop)
        file.members = members = []
        for name, path in walk.members():
            member, status = _look(name, path, None)
            if member.type is _FILE and self.mode != "none":
                member = self._with_content(member, path, status, stop)
            if member.type is _FILE:
                members.append(member)
            else:
                walk.trouble = walk.trouble or "changed while it was listed"
        file.note = walk.trouble
        if walk.count > self.member_limit:
            file.member_count = walk.count
            file.note = file.note or f"more than {self.member_limit} members"
        elif self.mode == "none":
            return
        elif any(member.sha256 is None for member in members):
            file.note = file.note or "not every member has a checksum"
        if not file.note:
            lines = "".join(f"{member.sha256}  {member.path}\0" for member in members)
            file.sha256 = hashlib.sha256(lines.encode()).hexdigest()


# To look a member of an enumeration up costs as much as the whole of a `File`.
_FILE, _DIRECTORY, _FIFO = FileType.FILE, FileType.DIRECTORY, FileType.FIFO
_URL, _MISSING, _OTHER = FileType.URL, FileType.MISSING, FileType.OTHER

_KINDS = {stat.S_IFREG: _FILE, stat.S_IFDIR: _DIRECTORY, stat.S_IFIFO: _FIFO}
_FORMAT = 0o170000
_REGULAR = stat.S_IFREG
_BLOCK = 256 * 1024
ENDED = "the run ended before it was read"


class _Content(NamedTuple):
    size: int
    mtime_ns: int
    sha256: str | None
    note: str | None


class _Stopped(Exception):  # noqa: N818
    pass


def _look(name: str, place: str, role: str | None) -> tuple[File, os.stat_result | None]:
    """What lies at ``place``, links followed; no status if nothing does."""
    target = None
    try:
        status = os.lstat(place)
        if status.st_mode & _FORMAT == stat.S_IFLNK:
            target = _escaped(os.readlink(place))  # noqa: PTH115
            status = os.stat(place)  # noqa: PTH116
    except (OSError, ValueError) as error:
        return _absent(name, role, target, error), None
    kind = _KINDS.get(status.st_mode & _FORMAT, _OTHER)
    size = status.st_size if kind is _FILE else None
    return File(name, kind, role, size, status.st_mtime_ns, None, target), status


def _absent(name: str, role: str | None, target: str | None, error: Exception) -> File:
    number = error.errno if isinstance(error, OSError) else errno.EINVAL
    if number in (errno.ENOENT, errno.ENOTDIR):
        return File(name, _MISSING, role, target=target)
    # Behind a closed folder there may well be something.
    nothing = number in (errno.ELOOP, errno.ENAMETOOLONG, errno.EINVAL)
    note = f"cannot be looked at: {_reason(error)}"
    return File(name, _MISSING if nothing else _OTHER, role, target=target, note=note)


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _read(place: str, status: os.stat_result, stop: Stop) -> str | None:
    """The sha256 of what a file of this status holds; None if there is another there.

    Never waits for anything but a disk: what became a FIFO meanwhile opens at once, and
    what grows is not followed.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)
    descriptor = os.open(place, flags)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or version_key(found) != version_key(status):
            return None
        sha256, left = hashlib.sha256(), status.st_size + 1
        while left > 0 and (block := os.read(descriptor, min(left, _BLOCK))):
            sha256.update(block)
            left -= len(block)
            if stop():
                raise _Stopped
        return sha256.hexdigest() if left == 1 else None
    finally:
        os.close(descriptor)


class _Walk:
    """The regular files of a directory, sorted by the path in it that is recorded."""

    def __init__(self, root: str, limit: int, ignore: frozenset[str], stop: Stop) -> None:
        self.count = 0
        #: Why the list is not complete, or the count.
        self.trouble: str | None = None
        self._root = root
        self._limit = limit
        self._bound = self._left = 100 * limit
        self._ignore = ignore
        self._stop = stop

    def members(self) -> Iterator[tuple[str, str]]:
        """Recorded path and place of as many as are listed; the others are counted."""
        stack = [self._entries(self._root, "")]
        while stack:
            name, place = next(stack[-1], ("", ""))
            if not name:
                stack.pop()
            elif name.endswith("/"):
                stack.append(self._entries(place, name))
            else:
                self.count += 1
                if self.count <= self._limit:
                    yield name, place

    def _entries(self, folder: str, prefix: str) -> Iterator[tuple[str, str]]:
        found: list[tuple[str, str]] = []
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if self._left <= 0:
                        self.trouble = f"not counted beyond {self._bound} entries"
                        break
                    if self._stop():
                        self.trouble = ENDED
                        break
                    self._left -= 1
                    if entry.is_dir(follow_symlinks=False):
                        # The slash now, so that names sort as the paths below them do.
                        found.append((f"{prefix}{_escaped(entry.name)}/", entry.path))
                    elif entry.name not in self._ignore and _is_file(entry):
                        found.append((prefix + _escaped(entry.name), entry.path))
        except OSError as error:
            self.trouble = f"{prefix or './'} cannot be listed: {_reason(error)}"
        return iter(sorted(found))


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:  # A loop of links, a link into a closed folder.
        return False


class _Places:
    """Where a path is recorded to be, and where it is."""

    def __init__(self, directory: str) -> None:
        # Who asks the system where it works is told the path without links.
        roots = (os.path.abspath(directory), os.path.realpath(directory))  # noqa: PTH100
        self._roots = [root.rstrip("/") + "/" for root in roots]
        self._known: dict[str, tuple[str, str | None]] = {}
        self._odd: dict[str, str] = {}

    def find(self, path: PathLike) -> tuple[str, str | None]:
        """Its canonical form, and its absolute path, which a URL has not."""
        if path.__class__ is not str:
            # Of an engine's own class of strings only the text counts.
            path = str.__str__(os.fsdecode(path))
        found = self._known.get(path)
        if found is None:
            if len(self._known) >= 100_000:
                self._known.clear()
            found = self._known[path] = self._find(path)
        return found

    def locate(self, name: str) -> str | None:
        """The absolute path of what is recorded under ``name``."""
        return self._odd.get(name) or self.find(name)[1]

    def _find(self, path: str) -> tuple[str, str | None]:
        if _PLAIN.fullmatch(path):
            return path, self._roots[0] + path
        if _SCHEME.match(path):
            return _escaped(without_userinfo(path)), None
        if not path:
            return "", ""
        place = self._normal(path if path.startswith("/") else self._roots[0] + path)
        inside = (place[len(root) :] for root in self._roots if f"{place}/".startswith(root))
        name = next(inside, place) or "."
        escaped = _escaped(name)
        if escaped != name:
            self._odd[escaped] = place
        return escaped, place

    def _normal(self, path: str) -> str:
        plain = os.path.normpath(path)
        if "/.." in path:
            # ``link/..`` is not where it looks to be.
            try:
                if _resolved(path) != _resolved(plain):
                    plain = _resolved(path)
            except (OSError, ValueError):
                pass
        return "/" + plain.lstrip("/")


#: Relative, in normal form whatever the system, and free of what has to be escaped.
_PLAIN = re.compile(r"\w[\w.-]*(?:/\w[\w.-]*)*", re.ASCII)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def _resolved(path: str) -> str:
    """Without links, but for the last name."""
    head, _, tail = path.rstrip("/").rpartition("/")
    if tail in ("", ".", ".."):
        return os.path.realpath(path)
    return os.path.realpath(head or "/").rstrip("/") + "/" + tail


def _escaped(text: str) -> str:
    """With the bytes that are not UTF-8 as ``%XX``: no encoder takes lone surrogates."""
    if text.isascii():
        return text
    return re.sub("[\ud800-\udfff]", _percent, text)


def _percent(match: re.Match[str]) -> str:
    code = ord(match[0])
    if 0xDC80 <= code <= 0xDCFF:
        return f"%{code - 0xDC00:02X}"
    return "".join(f"%{byte:02X}" for byte in match[0].encode("utf-8", "surrogatepass"))
