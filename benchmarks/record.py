"""What a task process and an engine's main thread pay: one event, and the imports.

    python benchmarks/record.py [--events 20000] [--rounds 5]

An event counts as recorded when ``write(2)`` has returned: it then survives ``kill -9``. The
peers do the same with the standard library: a line through ``json`` to a file kept open and
flushed, and to a file opened for each event.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

HEAVY = ("prov", "networkx", "numpy", "msgspec", "fsspec", "psutil", "pynvml")


def recorder(folder: Path, count: int) -> float:
    """Microseconds of CPU per event through the recorder, masking included."""
    from yprov4wms.events import Figure, File, Status, TaskEnded
    from yprov4wms.recorder import Recorder
    from yprov4wms.settings import Settings

    found = Recorder(Settings(store=str(folder / "store")), str(folder), print)
    usage = {"cpu_time": Figure("s", "wait4", 0.25), "wall_time": Figure("s", "monotonic", 0.5)}
    outputs = [File(path="results/1.csv", size=1, sha256="0" * 64)]
    start = time.process_time()
    for number in range(count):
        found.emit(
            TaskEnded(
                task=f"process-{number:012x}",
                attempt=1,
                status=Status.COMPLETED,
                exit_code=0,
                outputs=outputs,
                usage=usage,
            )
        )
    spent = time.process_time() - start
    found.close()
    return spent / count * 1e6


def _line(number: int) -> dict[str, object]:
    return {
        "kind": "task-ended",
        "time": time.time(),
        "task": f"process-{number:012x}",
        "attempt": 1,
        "status": "completed",
        "exit_code": 0,
        "outputs": [{"path": "results/1.csv", "size": 1, "sha256": "0" * 64}],
        "usage": {
            "cpu_time": {"unit": "s", "method": "wait4", "value": 0.25},
            "wall_time": {"unit": "s", "method": "monotonic", "value": 0.5},
        },
    }


def json_flush(folder: Path, count: int) -> float:
    with (folder / "flushed.jsonl").open("a") as file:
        start = time.process_time()
        for number in range(count):
            json.dump(_line(number), file)
            file.write("\n")
            file.flush()
        return (time.process_time() - start) / count * 1e6


def json_open(folder: Path, count: int) -> float:
    start = time.process_time()
    for number in range(count):
        with (folder / "opened.jsonl").open("a") as file:
            file.write(json.dumps(_line(number)) + "\n")
    return (time.process_time() - start) / count * 1e6


def imports(statement: str) -> tuple[float, str]:
    """Milliseconds of CPU of an import, and which heavy packages it brought in."""
    code = (
        "import sys, time; start = time.process_time()\n"
        f"{statement}\n"
        "spent = time.process_time() - start\n"
        f"print(spent * 1e3, *[m for m in {HEAVY!r} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    spent, *heavy = done.stdout.split()
    return float(spent), ", ".join(heavy) or "none"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    rows: dict[str, Callable[[Path, int], float]] = {
        "ours: Recorder.emit": recorder,
        "json, file kept open, flush": json_flush,
        "json, file opened per event": json_open,
    }
    found: dict[str, list[float]] = {name: [] for name in rows}
    for _ in range(arguments.rounds):
        for name, run in rows.items():
            with tempfile.TemporaryDirectory() as scratch:
                found[name].append(run(Path(scratch), arguments.events))
    print(f"{'one event, durable against kill -9':<40} {'us CPU':>8} {'x ours':>7}")
    ours = median(found["ours: Recorder.emit"])
    for name, values in found.items():
        print(f"{name:<40} {median(values):>8.2f} {median(values) / ours:>7.2f}")
    print(f"\n{'import':<40} {'ms CPU':>8}  heavy packages")
    for statement in ("import yprov4wms.ml", "import json, logging", "import prov.model"):
        try:
            measured = [imports(statement) for _ in range(arguments.rounds)]
        except subprocess.CalledProcessError:
            continue
        print(f"{statement:<40} {median(m[0] for m in measured):>8.1f}  {measured[0][1]}")


if __name__ == "__main__":
    main()
