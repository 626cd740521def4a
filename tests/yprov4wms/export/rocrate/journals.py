"""Crates of runs that tests tell of."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tests.yprov4wms.prov.runs import RUN_ID, lines_of

from yprov4wms import events as e
from yprov4wms.export import document
from yprov4wms.export.rocrate import run as rocrate
from yprov4wms.export.rocrate.sinks import write_folder, zipped
from yprov4wms.run import Run
from yprov4wms.store import RunFolder


def stored(folder: Path, told: Iterable[e.Event], run: str = RUN_ID) -> RunFolder:
    """A run in a store under ``folder``."""
    found = RunFolder(str(folder / "store" / run))
    events = Path(found.events)
    events.mkdir(parents=True)
    (events / "host-1-1.jsonl").write_bytes(b"".join(lines_of(told, run)))
    return found


def crate_of(
    folder: Path,
    told: Iterable[e.Event] | RunFolder,
    options: rocrate.Options | None = None,
    name: str = "crate",
) -> Path:
    """The crate of a run: a folder, or with ``.zip`` a file."""
    found = told if isinstance(told, RunFolder) else stored(folder, told)
    run = document.read(found)
    assert isinstance(run, Run)
    target = folder / name
    options = options or rocrate.Options()
    if name.endswith(".zip"):
        with target.open("wb") as file, zipped(file, rocrate.date(run)) as sink:
            rocrate.write(run, found, sink, options)
    else:
        write_folder(str(target), lambda sink: rocrate.write(run, found, sink, options))
    return target
