"""How those processes of an ML run ended that could not tell of it themselves."""

from __future__ import annotations

import signal
from datetime import UTC, datetime
from pathlib import Path

from yprov4wms import events, journal
from yprov4wms.ml import _fate
from yprov4wms.run import MLRank, MLRun
from yprov4wms.store import RunFolder

#: What asks a process to end. Of the other signals that kill, a fault is the reason.
_ASKED = ("SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2")


def take_in(run: MLRun, folder: RunFolder) -> None:
    """Give an end to those that a signal killed, and mark those that are gone without a word."""
    for rank in run.ranks:
        if rank.end is None and not folder.remote:
            rank.end = _killed(rank, folder)
            rank.lost = rank.end is None and _is_gone(rank, folder)


def _killed(rank: MLRank, folder: RunFolder) -> events.MLRunEnded | None:
    path = Path(folder.location, _fate.FOLDER, rank.start.writer)
    try:
        with path.open("rb") as file:
            fate = _fate.read(file.read(_fate.SLOT * len(_fate.SLOTS)))
        moment = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except OSError:
        return None
    if fate is None:
        return None
    asked = fate.signal in _ASKED and hasattr(signal, fate.signal)
    start = rank.start
    return events.MLRunEnded(
        v=start.v,
        time=max(moment.isoformat(timespec="microseconds"), start.time),
        writer=start.writer,
        seq=start.seq,
        run=start.run,
        status=events.Status.CANCELLED if asked else events.Status.FAILED,
        error=fate.text,
    )


def _is_gone(rank: MLRank, folder: RunFolder) -> bool:
    """Whether a process of a distributed run lives no more; in doubt it does."""
    if rank.start.rank is None:
        return False  # it holds no lock
    path = Path(folder.events, rank.start.writer + journal.SUFFIX)
    try:
        with path.open("rb") as file:
            return journal.is_dead(path, file)
    except OSError:
        return False
