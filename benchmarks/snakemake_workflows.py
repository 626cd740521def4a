"""Runs other people's workflows with and without us: same outputs, same status, a valid document.

    python benchmarks/snakemake_workflows.py FOLDER... [--options "--cores 2"] [--ways logger]

FOLDER: each holds a Snakefile, such as those in the folder ``tests`` of Snakemake's own
repository. Each is copied to a scratch folder, run plain and with our plugins there, and
compared: exit status, names and contents of all files. Prints a line per workflow and exits
with 1 if one differs.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from yprov4wms.prov.rules import check

#: Snakemake chooses among ready jobs by where they lie in memory: what differs between plain
#: runs with two allocators is none of our doing.
WAYS = {
    "plain": [],
    "plain, malloc": [],
    "executor": ["--executor", "yprov"],
    "logger": ["--logger", "yprov"],
}
#: What differs from one plain run to the next.
IGNORED = (".snakemake", ".yprov", "__pycache__", ".cache")


def run(source: Path, way: str, options: list[str], scratch: Path, seconds: int) -> tuple[str, str]:
    """What became of a run, as text to compare; and what is wrong with its document."""
    folder = scratch / source.name / "wf"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(source, folder, symlinks=True)
    command = [sys.executable, "-m", "snakemake", *WAYS[way], *options]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("YPROV_")}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    allocator = "malloc" if way == "plain, malloc" else "default"
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment | {"HOME": str(scratch), "PYTHONMALLOC": allocator},
            capture_output=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"longer than {seconds} s", ""
    lines = [f"status {done.returncode}"]
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if path.is_file() and not any(part in IGNORED for part in relative.parts):
            digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
            lines.append(f"{relative} {digest}")
    problems = []
    if not way.startswith("plain"):
        if b"provenance is incomplete" in done.stderr or b"Traceback" in done.stdout:
            problems.append("the recorder failed")
        for document in folder.glob(".yprov/*/prov.json"):
            problems += [f"{p.where}: {p.message}" for p in check(document.read_bytes())]
        started = b"rule " in done.stderr and b"Select jobs to execute" in done.stderr
        if started and not list(folder.glob(".yprov/*/prov.json")):
            problems.append("no document")
    return "\n".join(lines), "; ".join(problems[:3])


def compare(source: Path, ways: list[str], options: list[str], scratch: Path, seconds: int) -> str:
    plain, _ = run(source, "plain", options, scratch, seconds)
    again, _ = run(source, "plain, malloc", options, scratch, seconds)
    status = plain.partition("\n")[0]
    told = []
    for way in ways:
        found, problem = run(source, way, options, scratch, seconds)
        if problem:
            told.append(f"{way}: {problem}")
        if plain != again:  # not even two plain runs agree
            if found.partition("\n")[0] not in (status, again.partition("\n")[0]):
                told.append(f"{way}: {found.partition(chr(10))[0]}, plain {status}")
        elif found != plain:
            different = set(found.splitlines()) ^ set(plain.splitlines())
            told.append(f"{way}: differs in {sorted(different)[:4]}")
    return f"{'DIFFERS' if told else 'same'}  {source.name}  ({status})  {'; '.join(told)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--options", default="--cores 2 --scheduler greedy")
    parser.add_argument("--ways", nargs="+", default=["logger"], choices=["executor", "logger"])
    parser.add_argument("--parallel", type=int, default=1)
    parser.add_argument("--seconds", type=int, default=120)
    arguments = parser.parse_args()
    options = shlex.split(arguments.options)
    count = different = 0
    with (
        tempfile.TemporaryDirectory() as scratch,
        ThreadPoolExecutor(arguments.parallel) as pool,
    ):
        for line in pool.map(
            lambda folder: compare(
                folder.absolute(), arguments.ways, options, Path(scratch), arguments.seconds
            ),
            arguments.folders,
        ):
            print(line, flush=True)
            count += 1
            different += line.startswith("DIFFERS")
    print(f"{count} workflows, {different} differ")
    sys.exit(1 if different else 0)


if __name__ == "__main__":
    main()
