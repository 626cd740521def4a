"""Readers of child runs: one per dialect, behind one interface.

A reader takes what lies at a path and gives the runs in it as documents that can be nested.
Others may add readers under the entry-point group ``yprov4wms.readers``: an object with what
`Reader` has. It is asked before ours.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from importlib import import_module, metadata
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

import msgspec

GROUP = "yprov4wms.readers"

#: The first that takes a path reads it.
BUILT_IN = ("own", "yprov4ml", "crate", "mlflow", "generic")


class ReadError(ValueError):
    """What lies there is no child run, or cannot be read; the text is for the user."""


class UnreadableError(ReadError):
    """Runs may lie there, and something stands in the way: what reads them is not installed,
    a server does not answer. The text says what."""


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
    owner: the run, task and attempt around it, where its own record names them.
    among_others: it lies where runs of all times do.
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
    owner: tuple[str, str, str] | None = None
    among_others: bool = False


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


class Search(NamedTuple):
    """What is asked of a place that keeps runs of all times and tasks.

    since: not what was over then, in the form that events have. owner: not what names another
    task attempt. known: ids of runs that are read already.
    """

    since: str | None
    owner: tuple[str, str, str]
    known: Collection[str]


@runtime_checkable
class StoreReader(Protocol):
    """A reader of such places."""

    def search(self, path: Path, directory: Path | None, search: Search) -> list[ChildRun]:
        """As `Reader.read`, of some runs only."""


def readers() -> list[Reader]:
    """Those of others in order of name, then ours. Raises what a broken one raises."""
    entries = sorted(metadata.entry_points(group=GROUP), key=lambda entry: entry.name)
    found: list[Reader] = [entry.load() for entry in entries]
    return found + [import_module(f"{__name__}.{name}").READER for name in BUILT_IN]


def read(
    path: str | os.PathLike[str], directory: str | None = None, search: Search | None = None
) -> list[ChildRun]:
    """The child runs at a path, each once.

    search: which runs are asked for where there are those of all times. Raises ReadError where
    no reader takes what lies there, OSError where nothing does.
    """
    place = Path(path).absolute()
    place.lstat()
    work = Path(directory) if directory else None
    for reader in readers():
        if reader.takes(place):
            if search is not None and isinstance(reader, StoreReader):
                runs = reader.search(place, work, search)
            else:
                runs = reader.read(place, work)
            return list({run.id: run for run in runs}.values())
    raise ReadError("no child run of any known kind lies there")
