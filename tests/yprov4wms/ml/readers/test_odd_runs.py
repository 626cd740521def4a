"""What lies there when processes start late, die, or leave things of other kinds."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.yprov4wms.ml.readers.runs import NESTS, PIDS, document, nested, write

from yprov4wms.ml import readers
from yprov4wms.ml.readers import ChildRun


def read(path: Path) -> list[ChildRun]:
    """The runs there; each can be nested in each way."""
    found = readers.read(path)
    for child in found:
        for nest in NESTS:
            nested(child, nest)
    return found


def ranks(found: list[ChildRun]) -> list[tuple[str, tuple[int, ...]]]:
    return sorted((child.id, child.ranks) for child in found)


def test_ranks_that_each_made_a_folder_are_one_run_whichever_is_given(tmp_path: Path) -> None:
    for rank in range(4):
        write(tmp_path, run=rank, rank=rank, begin=2 * rank, end=60 + rank)
    whole = [(PIDS[0], (0, 1, 2, 3))]
    assert ranks(read(tmp_path / "prov")) == whole
    for rank in range(4):
        folder = tmp_path / "prov" / f"exp_{rank}"
        assert ranks(read(folder)) == whole
        assert ranks(read(folder / f"prov_exp_GR{rank}_{rank}.json")) == whole


def test_a_rank_that_may_be_of_either_run_is_put_to_none(tmp_path: Path) -> None:
    """Two runs of one name at one time, of two ranks each, in four folders."""
    write(tmp_path, run=0, rank=0, begin=0, end=60)
    write(tmp_path, run=1, rank=0, begin=1, end=61)
    write(tmp_path, run=2, rank=1, begin=2, end=60)
    write(tmp_path, run=3, rank=1, begin=3, end=61)
    found = read(tmp_path / "prov")
    assert sorted(child.ranks for child in found) == [(0,), (0,), (1,), (1,)]
    told = [text for child in found for text in child.repaired]
    assert told.count("1 x rank that may be of several runs: a run of its own") == 2


def test_runs_of_one_name_one_after_the_other_keep_their_ranks(tmp_path: Path) -> None:
    for run, begin in ((0, 0), (2, 100)):
        write(tmp_path, run=run, rank=0, begin=begin, end=begin + 60)
        write(tmp_path, run=run + 1, rank=1, begin=begin + 1, end=begin + 61)
    assert ranks(read(tmp_path / "prov")) == [(PIDS[0], (0, 1)), (PIDS[20], (0, 1))]


def test_a_stale_folder_beside_a_run_is_none_of_its_ranks(tmp_path: Path) -> None:
    write(tmp_path, run=0, rank=1, begin=0, end=10)
    folder = write(tmp_path, run=1, rank=0, begin=1000, end=1060)
    assert ranks(read(folder)) == [(PIDS[10], (0,))]


def test_two_runs_in_one_folder_are_two(tmp_path: Path) -> None:
    folder = write(tmp_path)
    again = document("exp", 0, 1, 100, 160, PIDS[5])
    (folder / "prov_exp_GR0_1.json").write_text(json.dumps(again))
    assert ranks(read(folder)) == [(PIDS[0], (0,)), (PIDS[5], (0,))]


def test_a_copy_of_a_run_is_the_run(tmp_path: Path) -> None:
    write(tmp_path, run=0, pid=1)
    write(tmp_path, run=1, pid=1)
    assert ranks(read(tmp_path / "prov")) == [(PIDS[1], (0,))]


@pytest.mark.parametrize("name", ["a_GR1_2", "é x (v1)", "x.zip", "prov", "1"])
def test_any_name_of_an_experiment(tmp_path: Path, name: str) -> None:
    assert ranks(read(write(tmp_path, name=name, run=3))) == [(PIDS[30], (0,))]


def a_folder(path: Path) -> None:
    path.mkdir()


def a_pipe(path: Path) -> None:
    os.mkfifo(path)


def a_link_to_nowhere(path: Path) -> None:
    path.symlink_to("nowhere")


ODD = [a_folder, a_pipe, a_link_to_nowhere]


@pytest.mark.parametrize("made", ODD)
def test_a_document_that_is_no_file_is_none(tmp_path: Path, made: Callable[[Path], None]) -> None:
    folder = write(tmp_path)
    (path,) = folder.glob("*.json")
    path.unlink()
    made(path)
    (child,) = read(folder)
    assert not child.complete
    assert child.began == "2026-11-21T09:00:00.000000+00:00"  # its series'


@pytest.mark.parametrize("crashed", [True, False])
@pytest.mark.parametrize("made", ODD)
def test_a_series_that_is_no_file_is_none(
    tmp_path: Path, made: Callable[[Path], None], crashed: bool
) -> None:
    folder = write(tmp_path, crashed=crashed)
    (path,) = folder.rglob("*.csv")
    path.unlink()
    made(path)
    (child,) = read(folder)
    assert child.complete is not crashed
    assert b"yprov4wms:count" not in child.content


def test_artifacts_with_a_link_around_them(tmp_path: Path) -> None:
    folder = write(tmp_path, crashed=True)
    (folder / "artifacts_GR0").mkdir()
    (folder / "artifacts_GR0" / "loop").symlink_to("..")
    (folder / "artifacts_GR0" / "kept").write_text("x")
    (child,) = read(folder)
    assert child.content.count(b'"yprov4wms:path"') == 1


def test_rows_of_any_length_and_bytes(tmp_path: Path) -> None:
    folder = write(tmp_path)
    (path,) = folder.rglob("*.csv")
    row = b"0,0.5,1795251600000\n"
    odd = [b"\xff\xfe,1,2\n", b"\0\n", b"1," + b"9" * 10**6 + b",3\n", b"2,nan,4\n", b"3,1e999,5\n"]
    path.write_bytes(b"epoch,value,timestep\n" + row + b"".join(odd) + row)
    (child,) = read(folder)
    (metric,) = (e for e in json.loads(child.content)["entity"].values() if "yprov4wms:count" in e)
    assert metric["yprov4wms:last"] == {"$": "0.5", "type": "xsd:double"}
    assert any("row of a series that is none" in text for text in child.repaired)
