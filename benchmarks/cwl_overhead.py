"""What recording costs a CWL run: cwltool alone, with its --provenance, and with us.

    python benchmarks/cwl_overhead.py [--elements 200 1000] [--rounds 5] [--start] [--parallel]

A scatter of N ``echo`` and one ``cat`` of what they print. Ways take turns; CPU is that of the
runner and of all that it starts, memory the runner's peak. Ratios are medians over the rounds
of what was measured in one round.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

BIN = Path(sys.executable).parent
WAYS = {
    "cwltool": ["cwltool"],
    "yprov-cwl-runner": ["yprov-cwl-runner"],
    "cwltool --provenance": ["cwltool", "--provenance", "ro"],
}
WORKFLOW = """\
cwlVersion: v1.2
class: Workflow
requirements: {ScatterFeatureRequirement: {}}
inputs: {names: 'string[]'}
steps:
  say:
    scatter: name
    in: {name: names}
    out: [said]
    run:
      class: CommandLineTool
      baseCommand: echo
      inputs: {name: {type: string, inputBinding: {}}}
      stdout: said.txt
      outputs: {said: stdout}
  cat:
    in: {files: say/said}
    out: [all]
    run:
      class: CommandLineTool
      baseCommand: cat
      inputs: {files: {type: 'File[]', inputBinding: {}}}
      stdout: all.txt
      outputs: {all: stdout}
outputs: {all: {type: File, outputSource: cat/all}}
"""
_MEASURE = """\
import json, os, resource, subprocess, sys
code = subprocess.call(sys.argv[2:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
use = resource.getrusage(resource.RUSAGE_CHILDREN)
told = {"cpu": use.ru_utime + use.ru_stime, "memory": use.ru_maxrss / 1024, "code": code}
json.dump(told, open(sys.argv[1], "w"))
"""


def measure(way: str, arguments: list[str], folder: Path, bytecode: str) -> dict[str, float]:
    """CPU seconds and peak memory (MiB) of one run."""
    folder.mkdir()
    command, *more = WAYS[way]
    told = folder / "told.json"
    environment = {k: v for k, v in os.environ.items() if not k.startswith("YPROV_")}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    environment["PYTHONPYCACHEPREFIX"] = bytecode
    subprocess.run(
        [sys.executable, "-c", _MEASURE, told, str(BIN / command), *more, *arguments],
        cwd=folder,
        env=environment,
        check=True,
    )
    found: dict[str, float] = json.loads(told.read_text())
    if found["code"]:
        sys.exit(f"{way} ended with {found['code']}")
    return found


def rounds(ways: list[str], count: int, arguments: list[str], bytecode: str) -> list[list[float]]:
    """By round and way the CPU; prints a table."""
    cpu: dict[str, list[float]] = {way: [] for way in ways}
    memory: dict[str, list[float]] = {way: [] for way in ways}
    with tempfile.TemporaryDirectory() as scratch:
        for number in range(count + 1):  # the first warms caches up
            for way in ways:
                found = measure(way, arguments, Path(scratch, f"{way}-{number}"), bytecode)
                if number:
                    cpu[way].append(found["cpu"])
                    memory[way].append(found["memory"])
    plain = ways[0]
    for way in ways:
        ratios = [mine / other for mine, other in zip(cpu[way], cpu[plain], strict=True)]
        more = [mine - other for mine, other in zip(memory[way], memory[plain], strict=True)]
        extra = [mine - other for mine, other in zip(cpu[way], cpu[plain], strict=True)]
        print(
            f"  {way:<22}{statistics.median(cpu[way]):>9.2f} s{statistics.median(extra):>+9.3f} s"
            f"{statistics.median(ratios):>9.3f}{statistics.median(memory[way]):>9.0f} MiB"
            f"{statistics.median(more):>+8.0f}",
            flush=True,
        )
    return [cpu[way] for way in ways]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--elements", type=int, nargs="*", default=[200, 1000])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--start", action="store_true", help="the start of the command alone")
    parser.add_argument("--parallel", action="store_true")
    parser.add_argument("--no-peer", action="store_true", help="leave --provenance out")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        workflow = Path(folder, "workflow.cwl")
        workflow.write_text(WORKFLOW)
        ways = list(WAYS)[:2] if given.no_peer else list(WAYS)
        print(f"  {'':<22}{'CPU':>11}{'more':>11}{'ratio':>9}{'memory':>13}{'more':>8}")
        if given.start:
            print("start: --version")
            rounds(list(WAYS)[:2], given.rounds, ["--version"], f"{folder}/pyc")
            print("start: a tool")
            tool = Path(folder, "tool.cwl")
            tool.write_text(
                "cwlVersion: v1.2\nclass: CommandLineTool\nbaseCommand: 'true'\n"
                "inputs: {}\noutputs: {}\n"
            )
            rounds(ways, given.rounds, [str(tool)], f"{folder}/pyc")
            return
        for count in given.elements:
            job = Path(folder, f"job-{count}.json")
            job.write_text(json.dumps({"names": [f"name {number}" for number in range(count)]}))
            print(f"{count} elements")
            arguments = [str(workflow), str(job)]
            if given.parallel:
                arguments = ["--parallel", *arguments]
            rounds(ways, given.rounds, arguments, f"{folder}/pyc")


if __name__ == "__main__":
    main()
