"""What notes the signals of a process, where others of its run begin and end beside it."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

from yprov4wms.ml._fate import Watch


def watched(folder: str, writer: str) -> int:
    """How many of many watches could not be installed."""
    failures = 0
    for _ in range(300):
        watch = Watch(folder, writer)
        try:
            watch.install()
        except OSError:
            failures += 1
        watch.remove()
    return failures


def test_a_folder_that_others_take_away_when_it_is_empty_is_made_again(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        tasks = [(str(tmp_path), f"h-{number}") for number in range(4)]
        assert pool.starmap(watched, tasks) == [0] * 4
    assert list(tmp_path.iterdir()) == []
