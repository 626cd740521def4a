"""What a container uses under docker or podman, whose client does not start its processes."""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cwltool.context import RuntimeContext
from cwltool.job import ContainerCommandLineJob
from cwltool.singularity import SingularityCommandLineJob
from cwltool.udocker import UDockerCommandLineJob

from yprov4wms.events import Figure, Software
from yprov4wms.metering import names, procfs
from yprov4wms.plain import text

#: Engines that start a container's processes below themselves, as a program does.
IN_TREE = ("singularity", "udocker")

_TICKS = os.sysconf("SC_CLK_TCK")
_FIRST = 0.05


def engine_of(job: ContainerCommandLineJob, context: RuntimeContext) -> str:
    """The name of the program that runs a job's container."""
    if isinstance(job, SingularityCommandLineJob):
        return "singularity"
    if isinstance(job, UDockerCommandLineJob):
        return os.path.basename(str(context.user_space_docker_cmd or "udocker"))  # noqa: PTH119
    return "podman" if context.podman else "docker"


def image(engine: str, name: str) -> Software:
    """An image, with its id (a sha256) and where it came from, as docker and podman know it."""
    found = Software(name=text(name), kind="container")
    if name.startswith("/"):
        found.path = text(name)
    if engine in IN_TREE:
        return found
    wanted = "{{.Id}} {{range .RepoDigests}}{{.}} {{end}}"
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run(
            [engine, "image", "inspect", "--format", wanted, name],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
        if done.returncode == 0:
            identifier, *digests = done.stdout.split()
            found.sha256 = identifier.removeprefix("sha256:")
            found.url = digests[0] if digests else None
    return found


class ContainerWatch:
    """Reaps a container's client as soon as it has ended (cwltool looks once a second), and
    samples the container's processes meanwhile.

    interval: seconds between samples; 0: none.
    """

    def __init__(self, runtime: list[str], interval: float) -> None:
        self._cidfile = next(
            (part.partition("=")[2] for part in runtime if part.startswith("--cidfile=")), None
        )
        self._interval = interval
        self._memory = 0
        self._cpu: dict[tuple[int, str], float] = {}

    def start(self, client: subprocess.Popen[Any]) -> None:
        """Begin, when the client runs."""
        self._thread(self._reap, client)
        if self._cidfile and self._interval > 0:
            self._thread(self._sample, client)

    def figures(self) -> dict[str, Figure]:
        """What was seen; of CPU time that is a lower bound."""
        found = {}
        if self._memory:
            found[names.MEMORY_PEAK] = Figure(
                names.BYTES, "rss-sum-sampled", float(self._memory), scope="container"
            )
        cpu = sum(self._cpu.values())
        if cpu:
            found[names.CPU_TIME] = Figure(
                names.SECONDS, "proc-stat-sampled", low=round(cpu, 2), scope="container"
            )
        return found

    @staticmethod
    def _thread(target: Any, client: subprocess.Popen[Any]) -> None:
        threading.Thread(target=target, args=(client,), name="yprov-container", daemon=True).start()

    @staticmethod
    def _reap(client: subprocess.Popen[Any]) -> None:
        with contextlib.suppress(OSError, AttributeError):
            os.waitid(os.P_PID, client.pid, os.WEXITED | os.WNOWAIT)
            client.poll()

    def _sample(self, client: subprocess.Popen[Any]) -> None:
        delay, roots = min(_FIRST, self._interval), set[int]()
        while client.returncode is None:
            time.sleep(delay)
            with contextlib.suppress(OSError, ValueError):
                roots = {pid for pid in roots if Path(f"/proc/{pid}").exists()}
                roots = roots or self._processes()
                self._look(roots)
            delay = min(2 * delay, self._interval)

    def _processes(self) -> set[int]:
        """Processes of the container: those of its control group, else the children of its
        monitor."""
        container = Path(self._cidfile or "").read_text().strip()
        found, monitors = set(), set()
        for name in filter(str.isdecimal, os.listdir("/proc")) if container else ():  # noqa: PTH208
            with contextlib.suppress(OSError):
                if b"conmon" in (command := Path(f"/proc/{name}/cmdline").read_bytes()):
                    if container.encode() in command:
                        monitors.add(int(name))
                elif container in Path(f"/proc/{name}/cgroup").read_text():
                    found.add(int(name))
        if not found:
            for monitor in monitors:
                found |= procfs.tree([monitor]).pids - {monitor}
        return found

    def _look(self, roots: Iterable[int]) -> None:
        tree = procfs.tree(roots)
        self._memory = max(self._memory, tree.rss)
        for pid in tree.pids:
            with contextlib.suppress(OSError, IndexError):
                # After the name, which may hold anything, in parentheses (proc_pid_stat(5)).
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                self._cpu[pid, fields[19]] = sum(map(int, fields[11:13])) / _TICKS
