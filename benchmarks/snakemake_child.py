"""What a job that Snakemake spawns in a process of its own costs more with us.

    python benchmarks/snakemake_child.py [--jobs 10] [--rounds 5] [--plain PYTHON]

A rule with ``run:`` starts a Snakemake per job, as a cluster job does. CPU seconds of these
processes and of what they start, as their parent reaps them; plain and recorded runs alternate.
--plain: the interpreter of an environment with the same Snakemake and without our packages.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

SNAKEFILE = """
rule all:
    input: expand("out/{{i}}", i=range({jobs}))
rule one:
    output: "out/{{i}}"
    run:
        open(output[0], "w").close()
"""

#: Runs in place of ``snakemake``, whose children it then tells of.
DRIVER = """
import atexit, json, os, resource, sys
def tell():
    use = resource.getrusage(resource.RUSAGE_CHILDREN)
    json.dump(use.ru_utime + use.ru_stime, open(sys.argv[0] + ".json", "w"))
atexit.register(tell)
from snakemake.cli import main
sys.exit(main(sys.argv[1:]))
"""


def run(python: str, jobs: int, recorded: bool, bytecode: str) -> float:
    """CPU seconds of the spawned processes, per job."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "Snakefile").write_text(SNAKEFILE.format(jobs=jobs))
        driver = folder / "driver.py"
        driver.write_text(DRIVER)
        command = [python, str(driver), *(["--logger", "yprov"] if recorded else [])]
        command += ["--cores", "2", "--scheduler", "greedy", "--quiet", "all"]
        environment = {k: v for k, v in os.environ.items() if not k.startswith("YPROV_")}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        environment["PYTHONPYCACHEPREFIX"] = bytecode
        subprocess.run(command, check=True, cwd=folder, env=environment, capture_output=True)
        total: float = json.loads(Path(f"{driver}.json").read_text())
        return total / jobs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--plain", default=sys.executable)
    arguments = parser.parse_args()
    plain, recorded = [], []
    with tempfile.TemporaryDirectory() as bytecode:
        for number in range(arguments.rounds + 1):
            found = (
                run(arguments.plain, arguments.jobs, False, bytecode),
                run(sys.executable, arguments.jobs, True, bytecode),
            )
            if number > 0:  # the first has no bytecode
                plain.append(found[0])
                recorded.append(found[1])
    print(f"{arguments.jobs} spawned jobs, medians of {arguments.rounds} rounds, CPU per job")
    print(f"plain Snakemake {median(plain) * 1000:>8.0f} ms")
    print(f"recorded        {median(recorded) * 1000:>8.0f} ms")
    more = sorted(r - p for r, p in zip(recorded, plain, strict=True))
    low, middle, high = more[0] * 1000, median(more) * 1000, more[-1] * 1000
    print(f"more            {middle:>8.0f} ms   ({low:.0f} to {high:.0f})")


if __name__ == "__main__":
    main()
