"""What lies at a path, as the fields of ``events.File``.

As `yprov4wms.identity` tells it, and tested against that: the module itself brings the
events, which cost too much to import in a training process.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from typing import TYPE_CHECKING, Any

from yprov4wms.masking import without_userinfo

if TYPE_CHECKING:
    from collections.abc import Iterator

    from yprov4wms.settings import Settings

#: A directory of more has no checksum; a hundred times as many are counted.
MEMBER_LIMIT = 1000
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def describe(path: str | os.PathLike[str], role: str | None, settings: Settings) -> dict[str, Any]:
    """The file or directory at ``path``, made absolute, with its checksum; or a URL as it is.

    Raises FileNotFoundError where there is nothing.
    """
    name = os.fsdecode(path)
    fields: dict[str, Any] = {} if role is None else {"role": role}
    if _SCHEME.match(name):
        return {"path": _escaped(without_userinfo(name)), "type": "url", **fields}
    place = _absolute(name)
    fields = {"path": _escaped(place), **fields}
    try:
        if stat.S_ISLNK(os.lstat(place).st_mode):
            fields["target"] = _escaped(os.readlink(place))  # noqa: PTH115
        found = os.stat(place)  # noqa: PTH116
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(f"there is no file or directory {place}") from None
    except OSError as error:
        return {**fields, "type": "other", "note": f"cannot be looked at: {error.strerror}"}
    if stat.S_ISREG(found.st_mode):
        return fields | _file(place, found, settings)
    fields["mtime_ns"] = found.st_mtime_ns
    if stat.S_ISDIR(found.st_mode):
        return fields | {"type": "directory"} | _directory(place, settings)
    return fields | {"type": "fifo" if stat.S_ISFIFO(found.st_mode) else "other"}


def _file(place: str, found: os.stat_result, settings: Settings) -> dict[str, Any]:
    for _ in range(2):
        fields: dict[str, Any] = {"size": found.st_size, "mtime_ns": found.st_mtime_ns}
        if settings.hash == "none":
            return fields
        if settings.hash_limit is not None and found.st_size > settings.hash_limit:
            note = f"larger than the hash limit of {settings.hash_limit} bytes"
            return {**fields, "note": note}
        before = found
        try:
            digest, found = _sha256(place), os.stat(place)  # noqa: PTH116
        except OSError as error:
            return {**fields, "note": f"cannot be read: {error.strerror}"}
        if _version(found) == _version(before):
            return {**fields, "sha256": digest}
    fields = {"size": found.st_size, "mtime_ns": found.st_mtime_ns}
    return {**fields, "note": "changed while it was read"}


def _sha256(place: str) -> str:
    with open(place, "rb") as file:  # noqa: PTH123
        return hashlib.file_digest(file, "sha256").hexdigest()


def _version(found: os.stat_result) -> tuple[int, ...]:
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _directory(place: str, settings: Settings) -> dict[str, Any]:
    """A checksum over the members' paths and checksums, where each of them has one."""
    try:
        members = sorted(_members(place, ""))
    except _TooManyError:
        return {"note": f"not counted beyond {100 * MEMBER_LIMIT} entries"}
    except OSError as error:
        return {"note": f"cannot be listed: {error.strerror}"}
    fields: dict[str, Any] = {"member_count": len(members)}
    if len(members) > MEMBER_LIMIT:
        return {**fields, "note": f"more than {MEMBER_LIMIT} members"}
    if settings.hash == "none":
        return fields
    digest = hashlib.sha256()
    for name, path in members:
        try:
            sha256 = _file(path, os.stat(path), settings).get("sha256")  # noqa: PTH116
        except OSError:
            sha256 = None
        if sha256 is None:
            return {**fields, "note": "not every member has a checksum"}
        digest.update(f"{sha256}  {name}\0".encode())
    return {**fields, "sha256": digest.hexdigest()}


class _TooManyError(Exception):
    pass


def _members(folder: str, prefix: str, left: list[int] | None = None) -> Iterator[tuple[str, str]]:
    """Recorded path and place of regular files; links to directories are not followed."""
    left = [100 * MEMBER_LIMIT] if left is None else left
    with os.scandir(folder) as entries:
        for entry in entries:
            left[0] -= 1
            if left[0] < 0:
                raise _TooManyError
            name = prefix + _escaped(entry.name)
            if entry.is_dir(follow_symlinks=False):
                yield from _members(entry.path, f"{name}/", left)
            elif _is_file(entry):
                yield name, entry.path


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:  # A loop of links, a link into a closed folder.
        return False


def _absolute(path: str) -> str:
    """Without ``.`` and ``..``; links stay, but for those that a ``..`` climbs out of."""
    plain = os.path.abspath(path)  # noqa: PTH100
    if ".." in path.split("/"):
        head, tail = os.path.split(path.rstrip("/"))
        if tail in ("", ".", ".."):
            head, tail = path, ""
        climbed = os.path.join(os.path.realpath(head), tail).rstrip("/") or "/"  # noqa: PTH118
        if not _same(climbed, plain):
            return climbed
    return plain


def _same(one: str, other: str) -> bool:
    try:
        return os.path.samestat(os.lstat(one), os.lstat(other))
    except OSError:
        return False


def _escaped(text: str) -> str:
    """With the bytes that are not UTF-8 as ``%XX``: no encoder takes lone surrogates."""
    if text.isascii():
        return text
    return re.sub("[\udc80-\udcff]", lambda byte: f"%{ord(byte[0]) - 0xDC00:02X}", text)
