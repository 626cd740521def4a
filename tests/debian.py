"""Programs of Debian's packages, for a test alone: nothing is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest


def unpacked(home: Path, *packages: str) -> Path:
    """A folder with the files of these packages and of those that they need and that are
    not installed. Skips where they cannot be had."""
    for tool in ("apt-get", "dpkg"):
        if shutil.which(tool) is None:
            pytest.skip(f"{packages[0]} comes from Debian's packages, and there is no {tool}")
    root, archives = home / "root", home / "archives"
    for folder in (root / "usr", root / "etc", archives / "partial"):
        folder.mkdir(parents=True)
    options = ["-q", "-o", f"Dir::Cache::archives={archives}", "-o", "Debug::NoLocking=1"]
    install = ["install", "--download-only", "--yes", "--no-install-recommends"]
    got = _apt(*options, *install, *packages)
    if got.returncode:
        # Without lists of packages, as in a container image; ours are gone with the test.
        lists = home / "lists"
        (lists / "partial").mkdir(parents=True)
        options += ["-o", f"Dir::State::lists={lists}"]
        _apt(*options, "update")
        got = _apt(*options, *install, *packages)
    if got.returncode:
        pytest.skip(f"the package {packages[0]} cannot be had: {got.stderr.strip()[-300:]}")
    for archive in sorted(archives.glob("*.deb")):
        subprocess.run(["dpkg", "-x", archive, root], check=True)
    return root


def _apt(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
    command = ["timeout", "120", "apt-get", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment)
