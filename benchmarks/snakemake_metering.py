"""How near to the truth are a job's figures, beside Snakemake's own ``benchmark:``?

    python benchmarks/snakemake_metering.py [--rounds 5]

Three jobs that know what they cost: one that starts 200 processes of some 20 ms and reads its
own and its children's CPU time (its own end and the shell around it are left out), one that
writes 100 MiB with dd, and a tree of four processes that hold 100 MiB each at once and read
their own peaks. The errors are medians of the absolute errors of several runs; "missing": no
figure in that many of the runs.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

SNAKEFILE = """
rule all:
    input: "forks.truth", "dd.truth", "tree.truth"
rule forks:
    output: "forks.truth"
    benchmark: "forks.tsv"
    shell: "{python} forks.py {{output}}"
rule dd:
    output: "dd.truth", "blob"
    benchmark: "dd.tsv"
    shell: "dd if=/dev/zero of={{output[1]}} bs=1M count=100 conv=fsync 2> dd.log;"
        " echo $((100 * 1048576)) > {{output[0]}}"
rule tree:
    output: "tree.truth"
    benchmark: "tree.tsv"
    shell: "{python} tree.py {{output}}"
"""

FORKS = """
import os, subprocess, sys
for _ in range(200):
    subprocess.run([sys.executable, "-S", "-c", "sum(range(200000))"])
used = os.times()
open(sys.argv[1], "w").write(str(sum(used[:4])))
"""

TREE = """
import subprocess, sys
CHILD = '''
import sys
block = bytearray(100 * 1048576)
block[::4096] = b"x" * len(block[::4096])
sys.stdin.readline()
for line in open("/proc/self/status"):
    if line.startswith("VmHWM"):
        print(int(line.split()[1]) * 1024)
'''
children = [
    subprocess.Popen(
        [sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    for _ in range(4)
]
import time
time.sleep(2)
peaks = [int(child.communicate("go")[0]) for child in children]
for line in open("/proc/self/status"):
    if line.startswith("VmHWM"):
        peaks.append(int(line.split()[1]) * 1024)
open(sys.argv[1], "w").write(str(sum(peaks)))
"""

#: Job, our figure, the column of Snakemake's benchmark with its unit's size, the unit.
FIGURES = (
    ("forks", "cpu_time", "cpu_time", 1, "s CPU"),
    ("dd", "io_write_bytes", "io_out", 1 << 20, "bytes written"),
    ("tree", "memory_peak", "max_rss", 1 << 20, "bytes of memory"),
)


def measure(folder: Path) -> dict[str, tuple[float, float | None, float | None]]:
    """By job: the truth, our figure, Snakemake's figure."""
    (folder / "Snakefile").write_text(SNAKEFILE.format(python=sys.executable))
    (folder / "forks.py").write_text(FORKS)
    (folder / "tree.py").write_text(TREE)
    command = [sys.executable, "-m", "snakemake", "--executor", "yprov", "--cores", "1"]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("YPROV_")}
    subprocess.run(
        [*command, "--quiet", "all"], check=True, cwd=folder, env=environment, capture_output=True
    )
    (path,) = folder.glob(".yprov/*/prov.json")
    attempts = json.loads(path.read_text())["activity"].values()
    ours = {a["yprov4wms:step"]: a for a in attempts if "yprov4wms:step" in a}
    found = {}
    for job, name, column, size, _ in FIGURES:
        truth = float((folder / f"{job}.truth").read_text())
        literal = ours[job].get(f"yprov4wms:{name}")
        (row,) = csv.DictReader((folder / f"{job}.tsv").open(), delimiter="\t")
        given = row[column]
        theirs = None if given in ("NA", "-") else float(given) * size
        found[job] = (truth, None if literal is None else float(literal["$"]), theirs)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    rounds = []
    for _ in range(arguments.rounds):
        with tempfile.TemporaryDirectory() as scratch:
            rounds.append(measure(Path(scratch)))
    print(f"{'':<24}{'truth':>14}{'ours':>14}{'error':>9}{'benchmark:':>14}{'error':>9}")
    for job, _, _, _, unit in FIGURES:
        cells = [f"{job}, {unit}".ljust(24), _number(median(r[job][0] for r in rounds))]
        for which in (1, 2):
            known = [(r[job][0], r[job][which]) for r in rounds if r[job][which] is not None]
            if not known:
                cells += ["missing".rjust(14), "".rjust(9)]
                continue
            error = median(abs(got - truth) / truth for truth, got in known if got is not None)
            cells += [_number(median(got for _, got in known if got is not None))]
            cells += [f"{error * 100:.1f} %".rjust(9)]
            if len(known) < len(rounds):
                cells.append(f" ({len(rounds) - len(known)} missing)")
        print("".join(cells))


def _number(value: float) -> str:
    return (f"{value:.3f}" if value < 1000 else f"{value:.0f}").rjust(14)


if __name__ == "__main__":
    main()
