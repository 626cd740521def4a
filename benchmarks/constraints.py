"""PROV-CONSTRAINTS of a whole document against prov: CPU and peak memory, and how both grow.

    python benchmarks/constraints.py [--sizes 1000 10000 100000] [--rounds 5] [--peer-limit 10000]

Each measurement is a process of its own, with the document's reading in it. The documents are
those of runs as `export.py` makes them, some 9 records per task; ``--derivations`` adds to each
task that its first output is derived from its second input, so that there is an order to check.
The peer is prov's `deserialize` and `unified`, which checks constraints 22, 23 and 53 to 55.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from export import make_journal, ours, peak_megabytes


def derive(document: Path) -> None:
    """Let the first output of each task be derived from its last input."""
    import msgspec

    sections = msgspec.json.decode(document.read_bytes(), type=dict[str, msgspec.Raw])
    decode = msgspec.json.Decoder(dict[str, dict[str, str]]).decode
    inputs = {r["prov:activity"]: r["prov:entity"] for r in decode(sections["used"]).values()}
    outputs: dict[str, str] = {}
    for record in decode(sections["wasGeneratedBy"]).values():
        outputs.setdefault(record["prov:activity"], record["prov:entity"])
    derivations = {
        f"_:d{number}": {"prov:generatedEntity": made, "prov:usedEntity": inputs[activity]}
        for number, (activity, made) in enumerate(outputs.items())
        if activity in inputs
    }
    sections["wasDerivedFrom"] = msgspec.Raw(msgspec.json.encode(derivations))
    document.write_bytes(msgspec.json.encode(sections))


def child(kind: str, document: str) -> None:
    if kind == "ours":
        from yprov4wms.prov.constraints import check
        from yprov4wms.prov.rules import load

        verdict = check(load(document))
        found = len(verdict.problems)
    else:
        from prov.model import ProvDocument

        with Path(document).open() as file:
            read = ProvDocument.deserialize(file, format="json")
        read.unified()
        found = 0
    print(json.dumps([time.process_time(), peak_megabytes(), found]))


def measure(kind: str, document: Path) -> tuple[float, float]:
    """CPU seconds and peak megabytes of a process that finds the document valid."""
    command = [sys.executable, __file__, "--child", kind, str(document)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    cpu, megabytes, problems = json.loads(done.stdout.strip().splitlines()[-1])
    if problems:
        raise SystemExit(f"{document}: {problems} problems in a valid document")
    return cpu, megabytes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--derivations", action="store_true")
    parser.add_argument("--peer-limit", type=int, default=10_000, help="largest size for prov")
    parser.add_argument("--peer-rounds", type=int, default=3)
    arguments = parser.parse_args()
    print(
        f"{'tasks':>8} {'document':>10} {'ours CPU':>9} {'us/task':>8} {'ours MB':>8}"
        f" {'prov CPU':>9} {'prov MB':>8} {'CPU x':>6} {'MB x':>6}"
    )
    with tempfile.TemporaryDirectory() as scratch:
        for size in arguments.sizes:
            folder = Path(scratch) / f"run{size}"
            document = folder / "prov.json"
            make_journal(folder, size)
            ours(str(folder), str(document))
            if arguments.derivations:
                derive(document)
            rounds, peers = [], []
            for number in range(arguments.rounds):
                rounds.append(measure("ours", document))
                if size <= arguments.peer_limit and number < arguments.peer_rounds:
                    peers.append(measure("prov", document))
            cpu, rss = (median(values) for values in zip(*rounds, strict=True))
            row = (
                f"{size:>8} {document.stat().st_size / 1e6:>7.1f} MB {cpu:>7.2f} s"
                f" {cpu / size * 1e6:>8.1f} {rss:>8.0f}"
            )
            if peers:
                theirs, their_rss = (median(values) for values in zip(*peers, strict=True))
                row += f" {theirs:>7.2f} s {their_rss:>8.0f}"
                row += f" {theirs / cpu:>6.1f} {their_rss / rss:>6.1f}"
            print(row, flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(*sys.argv[2:])
    else:
        main()
