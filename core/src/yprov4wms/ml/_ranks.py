"""Distributed runs: which rank this process is, and which run all ranks write to.

Nothing talks between the ranks but the store: the first that comes names the run, and
each claims its number in it. Ranks that come late, by whatever time, join; a rank whose
number is taken belongs to the next launch.

Standard library only.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from yprov4wms import journal
from yprov4wms.store import new_run_id

FOLDER = ".ranks"


class Place(NamedTuple):
    """rank: of this process, from 0; world_size: of all, None where that is not known.

    launcher: whose variables say so. job: what its ranks have in common, and no other launch.
    """

    rank: int
    world_size: int | None
    local_rank: int | None
    launcher: str
    job: tuple[str, ...]


#: By launcher: its variables for rank, number of ranks, local rank; and those of its job.
_LAUNCHERS = (
    (
        "torchrun",
        ("RANK", "WORLD_SIZE", "LOCAL_RANK"),
        ("TORCHELASTIC_RUN_ID", "TORCHELASTIC_RESTART_COUNT", "MASTER_ADDR", "MASTER_PORT"),
        "TORCHELASTIC_RUN_ID",
    ),
    (
        "environment",
        ("RANK", "WORLD_SIZE", "LOCAL_RANK"),
        ("MASTER_ADDR", "MASTER_PORT", "SLURM_JOB_ID", "SLURM_STEP_ID"),
        "RANK",
    ),
    (
        "mpi",
        ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"),
        ("PMIX_NAMESPACE", "OMPI_MCA_ess_base_jobid"),
        "OMPI_COMM_WORLD_SIZE",
    ),
    (
        "mpi",
        ("MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE", "MV2_COMM_WORLD_LOCAL_RANK"),
        ("PMI_JOBID", "SLURM_JOB_ID", "SLURM_STEP_ID"),
        "MV2_COMM_WORLD_SIZE",
    ),
    (
        "slurm",
        ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID"),
        ("SLURM_JOB_ID", "SLURM_STEP_ID"),
        "SLURM_STEP_ID",
    ),
    (
        "mpi",
        ("PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID"),
        ("PMI_JOBID", "PMI_ID", "HYDRA_BSTRAP"),
        "PMI_SIZE",
    ),
    (
        "slurm",
        ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID"),
        ("SLURM_JOB_ID",),
        "SLURM_NTASKS",
    ),
    (
        # Lightning starts the other processes of a host so; the first one it is itself.
        "lightning",
        ("LOCAL_RANK", "WORLD_SIZE", "LOCAL_RANK"),
        ("MASTER_ADDR", "MASTER_PORT"),
        "NODE_RANK",
    ),
)


def place(environment: Mapping[str, str] | None = None, rank: int | None = None) -> Place | None:
    """Where this process stands in a distributed run; None where it is alone.

    rank: what the script says of it, which goes before all variables.
    """
    found = os.environ if environment is None else environment
    told = _told(found) or _of_torch()
    if rank is None:
        return told if told is not None and (told.world_size or 2) > 1 else None
    if told is None:
        return Place(rank, None, None, "script", ())
    return told._replace(rank=rank)


def _told(environment: Mapping[str, str]) -> Place | None:
    for launcher, (rank, size, local), job, needed in _LAUNCHERS:
        number, count = _number(environment, rank), _number(environment, size)
        if number is None or needed not in environment or (count is not None and number >= count):
            continue
        if count is None and launcher != "environment":
            continue
        if size == "SLURM_NTASKS" and environment.get("ENVIRONMENT") == "BATCH":
            continue  # the batch script itself, which is one process for all of the job's tasks
        if launcher == "lightning" and environment["NODE_RANK"] != "0":
            continue  # how many run on each node is not told
        shared = tuple(f"{name}={environment[name]}" for name in job if name in environment)
        return Place(number, count, _number(environment, local), launcher, shared)
    return None


def _of_torch() -> Place | None:
    """By torch.distributed, where the script has set that up without variables."""
    distributed = sys.modules.get("torch.distributed")
    try:
        if distributed is None or not distributed.is_initialized():
            return None
        return Place(distributed.get_rank(), distributed.get_world_size(), None, "torch", ())
    except Exception:  # another thing by the name
        return None


def _number(environment: Mapping[str, str], name: str) -> int | None:
    text = environment.get(name, "")
    return int(text) if text.isascii() and text.isdecimal() else None


def run_id(base: str, place: Place, more: tuple[str, ...]) -> str:
    """The run that this rank writes to.

    base: folder or URL in which the run's folder is. more: what tells the run apart from
    others of the same job, the same in all ranks. Raises what the store raises.
    """
    key = "\0".join((*place.job, str(place.world_size), *more))
    import hashlib

    name = hashlib.sha256(key.encode()).hexdigest()[:24]
    if "://" in base:
        return _remote(f"{base}/{FOLDER}/{name}", place.rank)
    return _local(Path(base, FOLDER, name), place.rank)


def _local(folder: Path, rank: int) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    names = {int(entry.name[4:]) for entry in folder.glob("run-*")}
    launch = max(names, default=0)
    while True:
        run = once(folder / f"run-{launch}", new_run_id)
        claims = folder / f"claims-{launch}"
        if not _is_over(claims):
            claims.mkdir(exist_ok=True)
            try:
                fd = os.open(claims / str(rank), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
            except FileExistsError:
                pass
            else:
                with os.fdopen(fd, "w") as file:
                    json.dump(_myself(), file)
                return run
        launch += 1


def once(path: Path, make: Callable[[], str]) -> str:
    """The content of a file, which appears whole, and once."""
    with contextlib.suppress(FileNotFoundError):
        return path.read_text()
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{os.urandom(4).hex()}")
    temporary.write_text(make())
    try:
        with contextlib.suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        temporary.unlink()
    return path.read_text()


def _myself() -> dict[str, Any]:
    parent = os.getppid()
    return {"host": socket.gethostname(), "launcher": parent, "since": _since(parent)}


def _is_over(claims: Path) -> bool:
    """Whether these are the ranks of an earlier launch, of which some never came.

    So where two or more of this host had one launcher, and that is gone.
    """
    me, gone = _myself(), []
    for claim in claims.glob("*"):
        try:
            other = json.loads(claim.read_text())
            same_host = other["host"] == me["host"]
            launcher = other["launcher"], other["since"]
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if not same_host or _since(launcher[0]) == launcher[1]:
            return False
        gone.append(launcher)
    return len(gone) > 1 and len(set(gone)) == 1


def _since(pid: int) -> str | None:
    """When a process began, in clock ticks since the system did (proc(5)); None for none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
        return stat[stat.rindex(b")") :].split()[20].decode()
    except (OSError, ValueError, IndexError):
        return None


def _remote(folder: str, rank: int) -> str:
    """An object store has no file that appears once: the id follows from the place."""
    import uuid

    fs = journal.filesystem(folder)
    launch = 0
    while fs.exists(f"{folder}/{launch}/{rank}"):
        launch += 1
    journal.put(fs, f"{folder}/{launch}/{rank}", json.dumps(_myself()).encode())
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{folder}/{launch}"))
