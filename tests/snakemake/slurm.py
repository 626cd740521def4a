"""A real SLURM of one node from Debian's packages, in namespaces of its own.

Nothing is installed: the packages are unpacked into a folder that lies over /usr for the
daemons and for what is run beside them, and for nobody else.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil
import pytest
from tests import debian

#: Seconds after which a cluster that nobody stopped ends.
LIFETIME = 900

START = """\
set -e
mount -t overlay overlay -o lowerdir={root}/usr:/usr /usr
mount -t overlay overlay -o lowerdir={root}/etc:/etc /etc
munged --force --key-file={home}/munge/key --socket={home}/munge/socket \\
    --pid-file={home}/munge/pid --log-file={home}/munge/log --seed-file={home}/munge/seed
slurmctld
slurmd -N localhost
exec sleep {lifetime}
"""

CONFIGURATION = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={home}/munge/socket
CryptoType=crypto/munge
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmctldPidFile={home}/slurmctld.pid
SlurmdPidFile={home}/slurmd.pid
SlurmctldLogFile={home}/slurmctld.log
SlurmdLogFile={home}/slurmd.log
StateSaveLocation={home}/state
SlurmdSpoolDir={home}/spool
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
JobAcctGatherType=jobacct_gather/linux
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
ReturnToService=2
SchedulerParameters=sched_min_interval=0,bf_interval=1
NodeName=localhost NodeAddr=127.0.0.1 CPUs=8 RealMemory=8000
PartitionName=main Nodes=localhost Default=YES MaxTime=60 State=UP
"""


class Cluster:
    """Commands run in it as they would beside an installed SLURM."""

    def __init__(self, home: Path, init: int) -> None:
        self.home = home
        self._init = init

    def popen(
        self, command: list[str], folder: Path, env: Mapping[str, str]
    ) -> subprocess.Popen[str]:
        """Started in a session of its own; its output is one text."""
        return subprocess.Popen(
            ["nsenter", "-m", "-p", "-t", str(self._init), f"--wd={folder}", *command],
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *command: str) -> str:
        process = self.popen(list(command), self.home, os.environ)
        out, _ = process.communicate(timeout=60)
        return out

    def kill_node(self) -> None:
        """Its daemon, the daemons of its jobs, and the jobs."""
        for process in psutil.Process(self._init).children():
            if process.name().startswith(("slurmd", "slurmstepd")):
                for child in process.children(recursive=True):
                    child.kill()
                process.kill()


@contextlib.contextmanager
def cluster(home: Path) -> Iterator[Cluster]:
    """Skips where a machine does not allow it or the packages cannot be had."""
    root = _unpacked(home)
    for name in ("munge", "state", "spool"):
        (home / name).mkdir(mode=0o711)
    (home / "munge" / "key").write_bytes(os.urandom(128))
    (home / "munge" / "key").chmod(0o600)
    configuration = root / "etc" / "slurm" / "slurm.conf"
    configuration.parent.mkdir(parents=True, exist_ok=True)
    host = socket.gethostname()
    configuration.write_text(CONFIGURATION.format(home=home, host=host, ports=_free_ports(2)))
    script = home / "start.sh"
    script.write_text(START.format(root=root, home=home, lifetime=LIFETIME))
    namespaces = ["unshare", "-m", "-p", "-f", "--mount-proc", "--kill-child"]
    with (home / "start.log").open("wb") as log:
        process = subprocess.Popen(
            [*namespaces, "sh", script], stdout=log, stderr=log, start_new_session=True
        )
    try:
        yield _ready(home, process)
    finally:
        process.kill()  # and all that is in the namespace of process ids
        process.wait(60)


def _ready(home: Path, process: subprocess.Popen[bytes]) -> Cluster:
    deadline = time.monotonic() + 60
    state = ""
    while time.monotonic() < deadline and process.poll() is None:
        children = psutil.Process(process.pid).children()
        if children:
            found = Cluster(home, children[0].pid)
            state = found.run("sinfo", "-h", "-o", "%T")
            if state.strip() == "idle":
                return found
        time.sleep(0.2)
    logs = "\n".join(path.read_text()[-2000:] for path in sorted(home.glob("*.log")))
    raise AssertionError(f"SLURM did not come up: {state}\n{logs}")


def _unpacked(home: Path) -> Path:
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("SLURM needs root on Linux for namespaces of its own")
    root = debian.unpacked(home, "slurmctld", "slurmd", "slurm-client", "munge")
    mount = f"mount -t overlay overlay -o lowerdir={root}/usr:/usr /usr"
    tried = subprocess.run(
        ["unshare", "-m", "-p", "-f", "--mount-proc", "sh", "-c", mount],
        capture_output=True,
        text=True,
    )
    if tried.returncode:
        pytest.skip(f"SLURM needs a mount namespace with an overlay: {tried.stderr.strip()}")
    for path in (root / "usr" / "sbin").glob("*-wlm"):  # dpkg's alternatives, in its place
        path.with_name(path.name.removesuffix("-wlm")).symlink_to(path.name)
    return root


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]
    finally:
        for one in sockets:
            one.close()
