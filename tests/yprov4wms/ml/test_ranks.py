"""Distributed runs: real processes, as launchers start them, which know of each other by
the store alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from yprov4wms.events import Status
from yprov4wms.ml import _ranks, metrics
from yprov4wms.replay import replay
from yprov4wms.store import RunFolder

RANK = """
run = ml.start_run("digits", sample_interval=0.3)
ml.log_param("lr", 0.1)
with ml.log_context("training"):
    for step in range(5):
        ml.log_metric("loss", float(run.rank) + step / 10, step=step)
print(run.rank, flush=True)
if "WAIT" in os.environ:
    time.sleep(120)
ml.end_run()
"""


def plain(rank, size):
    return {"RANK": str(rank), "WORLD_SIZE": str(size), "MASTER_PORT": "29511"}


def torchrun(rank, size):
    return {
        **plain(rank, size),
        "LOCAL_RANK": str(rank),
        "TORCHELASTIC_RUN_ID": "none",
        "TORCHELASTIC_RESTART_COUNT": "0",
    }


def slurm(rank, size):
    return {
        "SLURM_JOB_ID": "4711",
        "SLURM_STEP_ID": "0",
        "SLURM_PROCID": str(rank),
        "SLURM_LOCALID": str(rank),
        "SLURM_STEP_NUM_TASKS": str(size),
        "SLURM_NTASKS": str(size),
    }


def mpi(rank, size):
    return {
        "PMIX_NAMESPACE": "prterun-1",
        "OMPI_COMM_WORLD_RANK": str(rank),
        "OMPI_COMM_WORLD_SIZE": str(size),
        "OMPI_COMM_WORLD_LOCAL_RANK": str(rank),
    }


@pytest.fixture(autouse=True)
def no_launcher(monkeypatch):
    for name in (*slurm(0, 1), *mpi(0, 1), *torchrun(0, 1), "PMI_RANK", "PMI_SIZE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def launch(command):
    """Start one rank of a script."""
    started, lines = [], {}

    def start(environment, code=RANK, **more):
        if code not in lines:  # others read it
            lines[code] = command(code)
        process = subprocess.Popen(
            lines[code],
            env={**os.environ, "YPROV_EXPORT": "end", **environment, **more},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def runs(tmp_path):
    found = [path for path in (tmp_path / ".yprov").iterdir() if (path / "events").is_dir()]
    return sorted(found)


def activities(folder):
    document = json.loads((folder / "prov.json").read_bytes())
    return {
        record["prov:label"]: record
        for record in document["activity"].values()
        if "yprov:global_rank" in record
    }


@pytest.mark.parametrize("launcher", [plain, torchrun, slurm, mpi])
def test_ranks_of_any_launcher_are_one_run(launcher, launch, tmp_path):
    processes = [launch(launcher(rank, 4)) for rank in range(4)]
    for process in processes:
        out, err = process.communicate(timeout=60)
        assert (process.returncode, err) == (0, ""), out
    (folder,) = runs(tmp_path)
    run = replay(RunFolder(str(folder)))
    assert [rank.start.rank for rank in run.ranks] == [0, 1, 2, 3]
    assert {rank.start.world_size for rank in run.ranks} == {4}
    assert run.status is Status.COMPLETED
    assert len(run.environments) == 1
    series = metrics.read(folder, "loss", context="training")
    assert {s.rank: list(s.column.values)[-1] for s in series} == {
        rank: rank + 0.4 for rank in range(4)
    }
    assert sorted(activities(folder)) == ["rank 0", "rank 1", "rank 2", "rank 3"]
    assert not list(folder.rglob("fates"))


@pytest.mark.parametrize(("size", "skew"), [(4, 8.0), (16, 4.0), (64, 6.0)])
def test_ranks_that_come_late_join_and_a_dead_one_is_marked(size, skew, launch, tmp_path):
    dead = size // 2
    processes = []
    for rank in reversed(range(size)):
        more = {"WAIT": "1"} if rank == dead else {}
        processes.append((rank, launch(plain(rank, size), **more)))
        time.sleep(skew / size)
    for rank, process in processes:
        if rank == dead:
            assert process.stdout.readline().strip() == str(dead)
            process.send_signal(signal.SIGKILL)
    for rank, process in processes:
        _, err = process.communicate(timeout=120)
        assert process.returncode == (-signal.SIGKILL if rank == dead else 0), err
        assert rank == dead or err == ""
    (folder,) = runs(tmp_path)
    run = replay(RunFolder(str(folder)))
    assert [rank.start.rank for rank in run.ranks] == list(range(size))
    assert [rank.start.rank for rank in run.ranks if rank.lost] == [dead]
    assert (run.status, run.end.error) == (Status.FAILED, f"rank {dead} ended without a word")
    assert len({rank.start.writer for rank in run.ranks}) == size
    assert len(metrics.read(folder, "loss")) == size
    document = activities(folder)
    # Killed before the others had ended or after: who ended last has told of it, or an export.
    subprocess.run(
        [sys.executable, "-m", "yprov4wms", "export", folder.name, "--store", folder.parent],
        check=True,
        capture_output=True,
    )
    document = activities(folder)
    assert len(document) == size
    marked = [label for label, record in document.items() if "yprov4wms:lost" in record]
    assert marked == [f"rank {dead}"]


def test_a_second_launch_is_a_second_run(launch, tmp_path):
    for _ in range(2):
        processes = [launch(plain(rank, 3)) for rank in range(3)]
        for process in processes:
            assert process.wait(60) == 0
    assert len(runs(tmp_path)) == 2
    for folder in runs(tmp_path):
        assert [r.start.rank for r in replay(RunFolder(str(folder))).ranks] == [0, 1, 2]


def test_runs_that_follow_each_other_are_apart(launch, tmp_path):
    code = """
        for trial in range(3):
            with ml.start_run("search"):
                ml.log_param("trial", trial)
    """
    processes = [launch(plain(rank, 2), code) for rank in range(2)]
    for process in processes:
        assert process.wait(60) == 0
    found = [replay(RunFolder(str(folder))) for folder in runs(tmp_path)]
    assert len(found) == 3
    for run in found:
        assert len(run.ranks) == 2
        assert len({param.value for param in run.params}) == 1


def test_the_ranks_of_a_launch_that_lost_some_before_their_start_are_not_joined(tmp_path):
    code = f"""
import os, subprocess, sys
for rank in (0, 1):
    script = "from yprov4wms import ml; ml.start_run('x'); ml.end_run()"
    env = {{**os.environ, "RANK": str(rank), "WORLD_SIZE": "3"}}
    subprocess.run([{sys.executable!r}, "-c", script], env=env, check=True)
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    script = "from yprov4wms import ml; ml.start_run('x'); ml.end_run()"
    environment = {**os.environ, "RANK": "2", "WORLD_SIZE": "3"}
    subprocess.run([sys.executable, "-c", script], env=environment, check=True, timeout=60)
    assert sorted(len(replay(RunFolder(str(f))).ranks) for f in runs(tmp_path)) == [1, 2]


def test_only_the_first_rank_where_that_is_asked_for(launch, tmp_path):
    code = """
        run = ml.start_run("x", collect_all_processes=False)
        ml.log_metric("loss", 1.0)
        ml.log_param("p", 1)
        ml.log_system_metrics()
        ml.log_artifact("a", __file__)
        with ml.log_context("c"):
            pass
        ml.end_run(create_card=True)
    """
    processes = [launch(plain(rank, 2), code) for rank in range(2)]
    for process in processes:
        _, err = process.communicate(timeout=60)
        assert (process.returncode, err) == (0, "")
    (folder,) = runs(tmp_path)
    assert len(replay(RunFolder(str(folder))).ranks) == 1


def test_a_store_that_cannot_be_had_is_one_warning_in_each_rank(launch):
    processes = [launch(plain(rank, 2), YPROV_STORE="/proc/none") for rank in range(2)]
    for process in processes:
        _, err = process.communicate(timeout=60)
        assert process.returncode == 0
        assert err.count("RecordingWarning") == 1


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, None),
        ({"RANK": "0", "WORLD_SIZE": "1"}, None),
        ({"RANK": "3"}, (3, None, "environment")),
        ({"RANK": "x", "WORLD_SIZE": "4"}, None),
        ({"RANK": "4", "WORLD_SIZE": "4"}, None),
        (torchrun(2, 4), (2, 4, "torchrun")),
        (slurm(2, 4), (2, 4, "slurm")),
        ({**slurm(1, 2), **torchrun(5, 8)}, (5, 8, "torchrun")),
        (
            {"SLURM_JOB_ID": "1", "SLURM_PROCID": "0", "SLURM_NTASKS": "4", "ENVIRONMENT": "BATCH"},
            None,
        ),
        ({"SLURM_JOB_ID": "1", "SLURM_PROCID": "1", "SLURM_NTASKS": "4"}, (1, 4, "slurm")),
        (mpi(1, 2), (1, 2, "mpi")),
        ({"PMI_RANK": "1", "PMI_SIZE": "2"}, (1, 2, "mpi")),
        ({"LOCAL_RANK": "1", "WORLD_SIZE": "2", "NODE_RANK": "0"}, (1, 2, "lightning")),
        ({"LOCAL_RANK": "1", "WORLD_SIZE": "4", "NODE_RANK": "1"}, None),
    ],
)
def test_variables_tell_the_rank(environment, expected):
    place = _ranks.place(environment)
    assert (place and (place.rank, place.world_size, place.launcher)) == expected


def test_the_script_may_tell_the_rank():
    assert _ranks.place({}, rank=2) == (2, None, None, "script", ())
    assert _ranks.place(torchrun(0, 4), rank=3)[:2] == (3, 4)


def test_on_an_object_store_ranks_join_too(monkeypatch):
    place = _ranks.Place(0, 2, None, "environment", ())
    base = "memory://ranks"
    first = [_ranks.run_id(base, place._replace(rank=rank), ("x",)) for rank in (1, 0)]
    second = [_ranks.run_id(base, place._replace(rank=rank), ("x",)) for rank in (0, 1)]
    other = _ranks.run_id("memory://others", place, ("x",))
    assert len(set(first)) == len(set(second)) == 1
    assert len({*first, *second, other}) == 3
