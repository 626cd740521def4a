"""A real podman from Debian's packages, in namespaces of each command's own.

Nothing is installed: the packages are unpacked into a folder that lies over /usr for one
command and what it starts, and for nobody else. What podman keeps lies in memory there, and
is gone with the command, as is every process.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from tests import debian
from tests.cwl.project import OURS, Project

#: What DockerRequirement names: busybox, and nothing else.
IMAGE = "localhost/busybox:1"

APPLETS = ("cat", "cp", "echo", "env", "mkdir", "sh", "sleep")

START = """\
set -e
mount -t overlay overlay -o lowerdir={root}/usr:/usr /usr
mount -t overlay overlay -o lowerdir={root}/etc:/etc /etc
# crun refuses a machine that has both versions of cgroups.
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t tmpfs tmpfs {home}/state
# Where podman and its runtime leave files that no setting moves.
for folder in run var/lib; do
    mkdir -p {home}/state/upper/$folder {home}/state/work/$folder
    options=lowerdir=/$folder,upperdir={home}/state/upper/$folder
    mount -t overlay overlay -o $options,workdir={home}/state/work/$folder /$folder
done
mkdir {home}/state/shm
mount --bind {home}/state/shm /dev/shm
export PATH={home}/bin:$PATH
export CONTAINERS_CONF={home}/containers.conf CONTAINERS_STORAGE_CONF={home}/storage.conf
test ! -e {home}/image.tar || podman load --quiet --input {home}/image.tar > {home}/state/loaded
set +e
"$@"
exit $?
"""

#: What a machine may lack that is a container itself: cgroups to write, limits to raise.
CONTAINERS = """\
[containers]
cgroups = "disabled"
netns = "host"
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]

[engine]
cgroup_manager = "cgroupfs"
events_logger = "none"
runtime = "crun"
tmp_dir = "{home}/state/libpod"
"""

STORAGE = """\
[storage]
driver = "vfs"
graphroot = "{home}/state/storage"
runroot = "{home}/state/run"
"""

#: cwltool asks for the user's own id inside, which podman refuses root, who has it anyway.
WRAPPER = """\
#!/bin/sh
for argument do
    shift
    test "$argument" = --userns=keep-id || set -- "$@" "$argument"
done
exec /usr/bin/podman "$@"
"""


class Podman:
    """Commands run beside it as they would beside an installed podman, which has IMAGE."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def command(self, *arguments: str) -> list[str]:
        """To run this in namespaces of its own, with podman on its PATH."""
        namespaces = ["unshare", "-m", "-p", "-f", "--mount-proc", "--kill-child"]
        return [*namespaces, "sh", str(self.home / "start.sh"), *arguments]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = self.command(*arguments)
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


class ContainerProject(Project):
    """Its runs have podman."""

    def __init__(self, folder: Path, podman: Podman) -> None:
        super().__init__(folder)
        self._podman = podman

    def command(self, *arguments: str, runner: str = OURS) -> list[str]:
        return self._podman.command(*super().command(*arguments, runner=runner))


def podman(home: Path) -> Podman:
    """Skips where a machine does not allow it or the packages cannot be had."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("podman needs root on Linux for namespaces of its own")
    root = debian.unpacked(home, "podman", "crun", "conmon", "busybox-static")
    for name in ("bin", "sbin", "lib"):  # links into /usr, where the packages are for
        if (root / name).is_dir():
            shutil.copytree(root / name, root / "usr" / name, symlinks=True, dirs_exist_ok=True)
    (home / "state").mkdir()
    (home / "bin").mkdir()
    wrapper = home / "bin" / "podman"
    wrapper.write_text(WRAPPER)
    wrapper.chmod(0o755)
    (home / "start.sh").write_text(START.format(root=root, home=home))
    (home / "containers.conf").write_text(CONTAINERS.format(home=home))
    (home / "storage.conf").write_text(STORAGE.format(home=home))
    found = Podman(home)
    tried = found.run("podman", "version")
    if tried.returncode:
        pytest.skip(f"podman needs namespaces and mounts of its own: {tried.stderr.strip()[-300:]}")
    busybox = shutil.which("busybox", path=f"{root}/usr/bin{os.pathsep}{os.environ['PATH']}")
    assert busybox is not None
    (home / "root.tar").write_bytes(_root_file_system(Path(busybox).read_bytes()))
    made = f"podman import {home}/root.tar {IMAGE} && podman save --output {home}/image.tar {IMAGE}"
    done = found.run("sh", "-c", made)
    assert done.returncode == 0, done.stderr
    tried = found.run("podman", "run", "--rm", IMAGE, "echo", "it runs")
    if tried.stdout != "it runs\n":
        pytest.skip(f"podman runs no container here: {tried.stderr.strip()[-300:]}")
    return found


def _root_file_system(busybox: bytes) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name in ("bin", "dev", "etc", "proc", "sys", "tmp", "var"):
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(folder)
        program = tarfile.TarInfo("bin/busybox")
        program.size, program.mode = len(busybox), 0o755
        tar.addfile(program, io.BytesIO(busybox))
        for name in APPLETS:
            applet = tarfile.TarInfo(f"bin/{name}")
            applet.type, applet.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(applet)
    return packed.getvalue()
