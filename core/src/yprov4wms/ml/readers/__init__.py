"""Readers of child runs: one per dialect, behind one interface.

A reader takes what lies at a path and gives the runs in it as documents that can be nested.
Others may add readers under the entry-point group ``yprov4wms.readers``: an object with what
`Reader` has. It is asked before ours.
"""

from __future__ import annotations

import os
from importlib import import_module, metadata
from pathlib import Path
from typing import Protocol

import msgspec

GROUP = "yprov4wms.readers"

#: The first that takes a path reads it.
BUILT_IN = ("own", "yprov4ml", "crate", "generic")


class ReadError(ValueError):
    """What lies there is no child run, or cannot be read; the text is for the user."""


class ChildRun(msgspec.Struct, frozen=True, kw_only=True):
    """One run as a reader found it.

    dialect, version: what wrote it, as far as that is known.
    id: the same whenever the same run is read.
    content: its document, PROV-JSON.
    complete: false where its own end was not recorded.
    began, ended: its time window, in the form that events have.
    ranks: of the processes that it ran in.
    repaired: what the document says in another form now, or could not keep.
    sources: absolute paths of the documents that it was made of, of its folder where it has
        none.
    """

    dialect: str
    version: str | None = None
    id: str
    content: bytes
    complete: bool = True
    began: str | None = None
    ended: str | None = None
    ranks: tuple[int, ...] = ()
    repaired: tuple[str, ...] = ()
    sources: tuple[str, ...]


class Reader(Protocol):
    """Reads one dialect, or several of one family."""

    def takes(self, path: Path) -> bool:
        """Whether a run of this dialect, or runs, lie at a path: a document or a folder.

        Costs little: it goes by names, and by a file's beginning. Raises OSError.
        """

    def read(self, path: Path, directory: Path | None = None) -> list[ChildRun]:
        """The runs there. Raises ReadError, or OSError.

        directory: where the run's process worked; its relative paths start there.
        """


def readers() -> list[Reader]:
    """Those of others in order of name, then ours. Raises what a broken one raises."""
    entries = sorted(metadata.entry_points(group=GROUP), key=lambda entry: entry.name)
    found: list[Reader] = [entry.load() for entry in entries]
    return found + [import_module(f"{__name__}.{name}").READER for name in BUILT_IN]


def read(path: str | os.PathLike[str], directory: str | None = None) -> list[ChildRun]:
    """The child runs at a path, each once.

    Raises ReadError where no reader takes what lies there, OSError where nothing does.
    """
    place = Path(path).absolute()
    place.lstat()
    work = Path(directory) if directory else None
    for reader in readers():
        if reader.takes(place):
            return list({run.id: run for run in reader.read(place, work)}.values())
    raise ReadError("no child run of any known kind lies there")
