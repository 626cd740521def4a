"""What a path held at one moment: kind, size, time, and a checksum of its content."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
import threading
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import msgspec

from yprov4wms.events import File, FileType
from yprov4wms.masking import without_userinfo

MODES = ("sha256", "none")

PathLike = str | os.PathLike[str]
Stop = Callable[[], bool]


class Identity:
    """Describes files as seen from the run's ``directory``, and computes their checksums.

    mode: ``sha256`` or ``none``, which leaves out checksums and members.
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
        self._cache = _Cache(None if cache_path is None else os.fspath(cache_path))

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

    def checksum(self, file: File, stop: Stop = lambda: False) -> File:
        """A new `File`: what the path of ``file`` holds now, with its checksum or a note.

        A directory has its members listed, and a checksum where the list is complete and
        each of them has one: that of the lines ``<sha256>  <path>``, each ended by NUL and
        sorted by path, as ``sha256sum -z`` writes them. A link to a file counts as that
        file; one to a directory is not followed.

        stop: asked now and then; once it is true there is a note in place of the rest.
        """
        place = self._places.locate(file.path)
        if place is None or file.type is _URL or self.mode == "none":
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
                if sha256 is None or _key(os.stat(place)) != _key(status):  # noqa: PTH116
                    return None
            except FileNotFoundError:
                return None
            except _Stopped:
                note = _ENDED
            except OSError as error:
                note = f"cannot be read: {_reason(error)}"
            if sha256 and _is_settled(status, began):
                self._cache.put(status, sha256)
        return _Content(size, status.st_mtime_ns, sha256, note)

    def _add_members(self, file: File, place: str, stop: Stop) -> None:
        walk = _Walk(place, self.member_limit, self._ignore, stop)
        file.members = members = []
        for name, path in walk.members():
            member, status = _look(name, path, None)
            if member.type is _FILE:
                member = self._with_content(member, path, status, stop)
            if member.type is _FILE:
                members.append(member)
            else:
                walk.trouble = walk.trouble or "changed while it was listed"
        file.note = walk.trouble
        if walk.count > self.member_limit:
            file.member_count = walk.count
            file.note = file.note or f"more than {self.member_limit} members"
        elif any(member.sha256 is None for member in members):
            file.note = file.note or "not every member has a checksum"
        if not file.note:
            lines = "".join(f"{member.sha256}  {member.path}\0" for member in members)
            file.sha256 = hashlib.sha256(lines.encode()).hexdigest()


class Hasher:
    """Computes checksums in a thread of its own, in the order in which they were asked for.

    ``done`` gets a new `File` for what was submitted: of the same version, so with the same
    size and time. Where something else stands there by now, or nothing, there is a note in
    place of the checksum. ``done`` is called in the thread; what it or a checksum raises
    goes to ``on_error``.
    """

    _thread: threading.Thread | None

    def __init__(
        self, identity: Identity, on_error: Callable[[BaseException], None] | None = None
    ) -> None:
        self._identity = identity
        self._on_error = on_error
        self._reset()

    def submit(self, file: File, done: Callable[[File], None]) -> None:
        """Queue a checksum; after `close`, ``done`` is called at once, with a note."""
        self._check_process()
        with self._changed:
            closed = self._closed
            if not closed:
                self._queue.append((file, done))
                self._pending += 1
                self._changed.notify_all()
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name="yprov-hash")
                    self._thread.daemon = True
                    self._thread.start()
        if closed:
            self._give_up(file, done)

    def drain(self, timeout: float | None = None) -> bool:
        """Wait until all that was submitted is done, at most ``timeout`` seconds; True if so."""
        self._check_process()
        with self._changed:
            return self._changed.wait_for(lambda: not self._pending, timeout)

    def close(self) -> None:
        """Stop, in the middle of a file if need be; what is left gets a note."""
        self._check_process()
        with self._changed:
            self._closed = True
            left = list(self._queue)
            self._queue.clear()
            self._changed.notify_all()
        for file, done in left:
            self._give_up(file, done)
            self._finished()
        if self._thread and self._thread is not threading.current_thread():
            # Not for ever: a read from a file server that is gone does not end.
            self._thread.join(5)

    def _reset(self) -> None:
        self._process = os.getpid()
        self._changed = threading.Condition()
        self._queue: deque[tuple[File, Callable[[File], None]]] = deque()
        self._pending = 0
        self._closed = False
        self._thread = None

    def _check_process(self) -> None:
        # A forked child has not got the thread, and its copy of the lock may be held for ever.
        if self._process != os.getpid():
            self._reset()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._queue) or self._closed)
                if not self._queue:
                    return
                file, done = self._queue.popleft()
            try:
                done(_as_submitted(file, self._identity.checksum(file, lambda: self._closed)))
            except BaseException as error:
                self._report(error)
            self._finished()

    def _give_up(self, file: File, done: Callable[[File], None]) -> None:
        try:
            done(msgspec.structs.replace(file, note=_ENDED))
        except BaseException as error:
            self._report(error)

    def _report(self, error: BaseException) -> None:
        if self._on_error is not None:
            try:
                self._on_error(error)
            except BaseException:
                return  # There is nobody left to tell.

    def _finished(self) -> None:
        with self._changed:
            self._pending -= 1
            self._changed.notify_all()


def _as_submitted(file: File, now: File) -> File:
    known = file.mtime_ns is not None
    if now.type is _MISSING and file.type is not _MISSING:
        return msgspec.structs.replace(file, note="gone before it could be read")
    if now.type is not file.type or (known and (now.size, now.mtime_ns) != _version(file)):
        return msgspec.structs.replace(file, note="changed before it could be read")
    return now


def _version(file: File) -> tuple[int | None, int | None]:
    return file.size, file.mtime_ns


# To look a member of an enumeration up costs as much as the whole of a `File`.
_FILE, _DIRECTORY, _FIFO = FileType.FILE, FileType.DIRECTORY, FileType.FIFO
_URL, _MISSING, _OTHER = FileType.URL, FileType.MISSING, FileType.OTHER

_FORMAT = 0o170000
_REGULAR = stat.S_IFREG
_BLOCK = 256 * 1024
_ENDED = "the run ended before it was read"


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
        if stat.S_ISLNK(status.st_mode):
            target = _escaped(os.readlink(place))  # noqa: PTH115
            status = os.stat(place)  # noqa: PTH116
    except (OSError, ValueError) as error:
        return _absent(name, role, target, error), None
    kinds = {stat.S_IFREG: _FILE, stat.S_IFDIR: _DIRECTORY, stat.S_IFIFO: _FIFO}
    kind = kinds.get(stat.S_IFMT(status.st_mode), _OTHER)
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
        if not stat.S_ISREG(found.st_mode) or _key(found) != _key(status):
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
                        self.trouble = _ENDED
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


_Key = tuple[int, int, int, int, int]


def _key(status: os.stat_result) -> _Key:
    return (
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )


def _is_settled(status: os.stat_result, now: int) -> bool:
    """Whether a change from ``now`` on must show in the file's times.

    A file system that counts in seconds, or in ticks of a few milliseconds, gives two
    changes within one the same time (git: "racily clean"). What was set by hand (`utime`)
    shows in the change time.
    """
    _, _, _, modified, changed = _key(status)
    coarse = not (modified % 1_000_000_000 or changed % 1_000_000_000)
    tick = 2_500_000_000 if coarse else 100_000_000
    return now - changed >= tick and abs(now - modified) >= tick


class _Cache:
    """Checksums by what `os.stat` told of the file when it was read.

    The file of the cache has a line per file of at least a megabyte: fields, and their
    CRC-32. Each is appended by one ``write``, so that runs can share it without locks,
    which file servers and parallel file systems have in name only; a torn line fails its
    CRC and is lost. Where it cannot be read or written, it is as if it was empty.
    """

    _LINES_FROM = 1024 * 1024
    _MOST_BYTES = 16 * 1024 * 1024
    _MOST_FILES = 200_000

    def __init__(self, path: str | None) -> None:
        self._path = path
        self._known: dict[tuple[int, int], tuple[_Key, str]] = {}
        self._loaded = path is None
        self._descriptor = -1

    def get(self, status: os.stat_result) -> str | None:
        if status.st_size >= self._LINES_FROM and not self._loaded:
            self._load()
        key, sha256 = self._known.get((status.st_dev, status.st_ino), (None, ""))
        return sha256 if key == _key(status) else None

    def put(self, status: os.stat_result, sha256: str) -> None:
        key = _key(status)
        self._remember(key, sha256)
        if status.st_size >= self._LINES_FROM and self._path is not None:
            try:
                if self._descriptor < 0:
                    folder = os.path.dirname(self._path) or "."  # noqa: PTH120
                    os.makedirs(folder, exist_ok=True)  # noqa: PTH103
                    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NONBLOCK", 0)
                    self._descriptor = os.open(self._path, flags, 0o644)
                os.write(self._descriptor, _line(key, sha256))
            except (OSError, ValueError):
                self._path = None

    def _remember(self, key: _Key, sha256: str) -> None:
        while len(self._known) >= self._MOST_FILES:
            # Another thread may have taken it already.
            self._known.pop(next(iter(self._known)), None)
        self._known[key[:2]] = key, sha256

    def _load(self) -> None:
        try:
            if self._path and stat.S_ISREG(os.stat(self._path).st_mode):  # noqa: PTH116
                with open(self._path, "rb") as file:  # noqa: PTH123
                    self._take(file.read(4 * self._MOST_BYTES))
        except FileNotFoundError:
            pass
        except (OSError, ValueError):
            self._path = None
        self._loaded = True

    def _take(self, data: bytes) -> None:
        for line in data.splitlines():
            entry = _entry(line)
            if entry:
                self._remember(*entry)
        if len(data) > self._MOST_BYTES:
            self._shrink()

    def _shrink(self) -> None:
        newest = list(self._known.values())[-50_000:]
        temporary = f"{self._path}.{os.getpid()}"
        with open(temporary, "xb") as file:  # noqa: PTH123
            file.writelines(_line(key, sha256) for key, sha256 in newest)
        os.replace(temporary, str(self._path))  # noqa: PTH105


def _line(key: _Key, sha256: str) -> bytes:
    fields = f"{' '.join(map(str, key))} {sha256}".encode()
    return b"%b %08x\n" % (fields, zlib.crc32(fields))


def _entry(line: bytes) -> tuple[_Key, str] | None:
    fields, _, crc = line.rpartition(b" ")
    parts = fields.split(b" ")
    try:
        if len(parts) != 6 or int(crc, 16) != zlib.crc32(fields):
            return None
        device, inode, size, modified, changed = map(int, parts[:5])
        return (device, inode, size, modified, changed), parts[5].decode("ascii")
    except ValueError:
        return None
