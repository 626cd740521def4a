"""Where yProv4ML leaves its runs: which folders and documents are which rank of which run."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

from yprov4wms.ml.readers.peek import is_own_folder

_DOCUMENT = re.compile(r"prov(?:graph)?_(?P<name>.+?)_GR(?P<rank>\d+)(?:_(?P<run>\d+))?\.json")
_PART = re.compile(r"(?:metrics|artifacts)_GR(?P<rank>\d+)")
#: Up to 1.0 the metrics of all ranks lie in one folder.
_OLD_METRIC = re.compile(r".+_GR(?P<rank>\d+)\.(?:csv|nc|zarr)")
_OLD_METRICS = ("tmp", "artifacts/metrics")
_FOLDER = re.compile(r"(?P<name>.+)_(?P<run>\d+)")


class Rank(msgspec.Struct):
    """What one process of a run left.

    folder: the run's. document: None where there is none. metrics: folders of its series.
    known_as: of a folder that was unpacked, what it is in the packet.
    """

    rank: int
    name: str
    folder: Path
    document: Path | None = None
    metrics: list[Path] = msgspec.field(default_factory=list)
    artifacts: Path | None = None
    known_as: str | None = None

    def told(self, place: Path) -> str:
        """The name under which a file is known that lies here."""
        if self.known_as is None or not place.is_relative_to(self.folder):
            return str(place)
        return f"{self.known_as}/{place.relative_to(self.folder).as_posix()}"

    def series(self) -> list[Path]:
        """The files of its metrics."""
        found = []
        for folder in self.metrics:
            for entry in _entries(folder):
                match = _OLD_METRIC.fullmatch(entry.name)
                kind = entry.is_dir() if entry.name.endswith(".zarr") else entry.is_file()
                if match is not None and int(match["rank"]) == self.rank and kind:
                    found.append(Path(entry.path))
        return sorted(found)


def is_document(name: str) -> bool:
    return _DOCUMENT.fullmatch(name) is not None


def is_run_folder(path: Path) -> bool:
    """Whether a run, or what a crash left of one, lies in it."""
    named = _FOLDER.fullmatch(path.name) is not None
    for entry in _entries(path):
        if _DOCUMENT.fullmatch(entry.name):
            return True
        if named and _PART.fullmatch(entry.name):
            return True
        if named and entry.name in ("tmp", "artifacts"):
            old = path / ("tmp" if entry.name == "tmp" else "artifacts/metrics")
            if any(_OLD_METRIC.fullmatch(inner.name) for inner in _entries(old)):
                return True
    return False


def run_folders(path: Path) -> list[Path]:
    """Folders of runs right under a folder."""
    found = [Path(entry.path) for entry in _entries(path) if _FOLDER.fullmatch(entry.name)]
    return sorted(f for f in found if is_run_folder(f) and not is_own_folder(f))


def siblings(folder: Path) -> list[Path]:
    """Folders of runs of the same name beside this one."""
    match = _FOLDER.fullmatch(folder.name)
    if match is None:
        return []
    found = []
    for entry in _entries(folder.parent):
        other = _FOLDER.fullmatch(entry.name)
        if other is not None and other["name"] == match["name"] and entry.name != folder.name:
            found.append(Path(entry.path))
    return sorted(folder for folder in found if not is_own_folder(folder))


def ranks(folder: Path) -> Iterator[list[Rank]]:
    """The runs in one folder, each as its ranks in their order.

    A folder that is no run's own may have documents of several.
    """
    runs: dict[tuple[str, str | None], dict[int, Rank]] = {}
    parts: dict[int, list[Path]] = {}
    for entry in sorted(_entries(folder), key=lambda entry: entry.name):
        if (match := _DOCUMENT.fullmatch(entry.name)) is not None:
            # A pipe would wait for ever, and a link may lead nowhere.
            document = Path(entry.path) if entry.is_file() else None
            rank = Rank(int(match["rank"]), match["name"], folder, document)
            runs.setdefault((match["name"], match["run"]), {})[rank.rank] = rank
        elif (match := _PART.fullmatch(entry.name)) is not None:
            parts.setdefault(int(match["rank"]), []).append(Path(entry.path))
    old = [folder / name for name in _OLD_METRICS]
    for place in old:
        for entry in _entries(place):
            if (match := _OLD_METRIC.fullmatch(entry.name)) is not None:
                found = parts.setdefault(int(match["rank"]), [])
                if place not in found:
                    found.append(place)
    named = _FOLDER.fullmatch(folder.name)
    if not runs and named is not None and parts:
        runs[named["name"], named["run"]] = {}
    for found_ranks in runs.values():
        for number, places in parts.items() if len(runs) == 1 else ():
            name = named["name"] if named else folder.name
            rank = found_ranks.setdefault(number, Rank(number, name, folder))
            for place in places:
                if place.name.startswith("artifacts_"):
                    rank.artifacts = place
                else:
                    rank.metrics.append(place)
        yield [found_ranks[number] for number in sorted(found_ranks)]


def _entries(path: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(path) as found:
            return list(found)
    except (NotADirectoryError, FileNotFoundError):
        return []
