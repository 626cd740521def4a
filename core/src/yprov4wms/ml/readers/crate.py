"""Runs of yProv4ML inside the RO-Crate that it packs: ``<experiment>_<run id>.zip`` beside the
run's folder, of which nothing else may be left.

Only documents and series are unpacked, into a folder of ours, and never more than `_MOST_BYTES`:
what a zip says of itself is not believed.
"""

from __future__ import annotations

import os
import re
import stat
import tempfile
import zipfile
from pathlib import Path, PurePosixPath

from yprov4wms.ml.readers import ChildRun, ReadError, layout, yprov4ml

#: The end of a zip, a comment of any length included, and what it begins with.
_TAIL, _END = 22 + 65535, b"PK\x05\x06"
#: Stands before the end of one that is too large for what the end can say (ZIP64).
_LARGE = b"PK\x06\x07"
_MOST_DIRECTORY = 16 << 20
_MOST_MEMBER = 64 << 20
_MOST_BYTES = 512 << 20
_MOST_RUNS = 64
_SERIES = re.compile(r"(?:metrics_GR\d+|tmp|artifacts/metrics)/[^/]+\.(?:csv|nc|zarr/.+)")


class CrateReader:
    def takes(self, path: Path) -> bool:
        if path.suffix != ".zip" or not stat.S_ISREG(path.stat().st_mode):
            return False
        try:
            with _opened(path) as packed:
                return bool(_folders(packed))
        except ReadError:
            return False

    def read(self, path: Path, directory: Path | None = None) -> list[ChildRun]:
        found: list[ChildRun] = []
        with _opened(path) as packed, tempfile.TemporaryDirectory(prefix="yprov4wms-") as place:
            left = _MOST_BYTES
            for number, folder in enumerate(_folders(packed)[:_MOST_RUNS]):
                target = Path(place, str(number), folder.name)
                left = _unpack(packed, folder, target, left)
                work = _work(path, folder) or directory
                found += yprov4ml.unpacked(target, f"{path}!/{folder}", path, work)
        return found


def _opened(path: Path) -> zipfile.ZipFile:
    """Raises ReadError where it is no zip, or one with more in it than a run has."""
    with path.open("rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL))
        tail = file.read(_TAIL)
    # As zipfile finds it: without a comment it is the last that there is.
    bare = tail[-22:-18] == _END and tail[-2:] == b"\0\0"
    before, end, rest = (tail[:-22], _END, tail[-18:]) if bare else tail.rpartition(_END)
    large = before[-20:-16] == _LARGE
    count, size = (int.from_bytes(rest[at : at + n], "little") for at, n in ((6, 2), (8, 4)))
    if not end or large or count == 0xFFFF or size > _MOST_DIRECTORY:
        raise ReadError("no zip, or one with more in it than a run has")
    try:
        return zipfile.ZipFile(path)
    except Exception as error:  # anybody's bytes
        raise ReadError(f"no zip that can be read: {error}") from error


def _folders(packed: zipfile.ZipFile) -> list[PurePosixPath]:
    """Folders in it that documents of runs lie in."""
    found: dict[PurePosixPath, None] = {}
    for name in packed.namelist():
        path = PurePosixPath(name)
        if layout.is_document(path.name) and _is_safe(name) and path.parent.name:
            found[path.parent] = None
    return sorted(found)


def _is_safe(name: str) -> bool:
    parts = name.split("/")
    return not ({"", ".", ".."} & set(parts) or "\\" in name or "\0" in name or ":" in parts[0])


def _work(path: Path, folder: PurePosixPath) -> Path | None:
    """Where the run's process worked, if the zip lies where that left it."""
    save = str(folder.parent)
    if save == ".":
        return path.parent
    here = str(path.parent)
    return Path(here[: -len(save) - 1] or "/") if here.endswith(f"/{save}") else None


def _unpack(packed: zipfile.ZipFile, folder: PurePosixPath, target: Path, left: int) -> int:
    """Put a run's documents and series under ``target``; returns how many bytes may follow.

    Raises ReadError where a document cannot be had; a series that cannot is left out.
    """
    inside = f"{folder}/"
    for member in packed.infolist():
        name = member.filename.removeprefix(inside)
        document = layout.is_document(name)
        if not member.filename.startswith(inside) or not _is_safe(member.filename):
            continue
        if not document and not _SERIES.fullmatch(name):
            continue
        if stat.S_ISLNK(member.external_attr >> 16):
            continue
        try:
            with packed.open(member) as stream:
                most = min(_MOST_MEMBER, left)
                content = stream.read(most + 1)
        except Exception as error:  # anybody's bytes
            if document:
                raise ReadError(f"{name} in it cannot be read: {error}") from error
            continue
        if len(content) > most:
            if document:
                raise ReadError(f"{name} in it has more than {most} bytes")
            continue
        left -= len(content)
        file = target / name
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("xb") as out:
                out.write(content)
        except (FileExistsError, NotADirectoryError) as error:
            raise ReadError(f"{name} is in it more than once") from error
    return left


READER = CrateReader()
