"""What `yprov4wms verify` costs: the journal's chain, and files by their checksums.

    python benchmarks/verify.py [--tasks 20000] [--files 400] [--size 4000000]

The peer of the second is ``sha256sum`` over the same files, which are in the page cache.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import tempfile
import time
from pathlib import Path

from yprov4wms import events
from yprov4wms.events import File, Software, Status
from yprov4wms.export import document
from yprov4wms.integrity import journals
from yprov4wms.integrity.expected import expected
from yprov4wms.integrity.files import State, compare
from yprov4wms.integrity.findings import Findings
from yprov4wms.integrity.verify import verify_run
from yprov4wms.recorder import Recorder
from yprov4wms.settings import Settings


def recorded(folder: Path, tasks: int, outputs: dict[int, File]) -> Recorder:
    recorder = Recorder(Settings(store=str(folder / ".yprov")), str(folder), print)
    engine = Software(name="none", kind="engine")
    recorder.emit(events.RunStarted(engine=engine, workflow="w", directory=str(folder)))
    for number in range(tasks):
        task = f"process-{number:012x}"
        found = [outputs[number]] if number in outputs else None
        recorder.emit(
            events.TaskPlanned(task=task, step="process"),
            events.TaskStarted(task=task, attempt=1, command=f"make {number}"),
        )
        ended = events.TaskEnded(task=task, attempt=1, status=Status.COMPLETED, outputs=found)
        recorder.emit(ended)
    recorder.finish(Status.COMPLETED)
    recorder.close()
    return recorder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=20_000)
    parser.add_argument("--files", type=int, default=400)
    parser.add_argument("--size", type=int, default=4_000_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        names = [f"{number}.bin" for number in range(arguments.files)]
        for name in names:
            (folder / name).write_bytes(os.urandom(arguments.size))
        looker = Recorder(Settings(store=str(folder / "looker")), str(folder), print)
        outputs = {n: looker.checksum(name) for n, name in enumerate(names)}
        looker.close()
        run = recorded(folder, max(arguments.tasks, arguments.files), outputs).folder
        start = time.process_time()
        document.export(run)
        built = time.process_time() - start
        start = time.process_time()
        count = journals.check(run, Findings())
        chain = time.process_time() - start
        print(f"chain of {count.events} events: {chain:.2f} s CPU")
        known = expected(Path(run.document).read_bytes())
        total = arguments.files * arguments.size / 1e6
        for threads in (1, None):
            start = time.monotonic()
            states = [result.state for result in compare(known, threads=threads)]
            spent = time.monotonic() - start
            assert set(states) == {State.SAME}
            told = threads or f"{min(8, os.cpu_count() or 1)} (default)"
            print(f"{total:.0f} MB in {len(states)} files, threads {told}: {spent:.2f} s")
        start = time.monotonic()
        subprocess.run(["sha256sum", *names], cwd=folder, stdout=subprocess.DEVNULL, check=True)
        print(f"sha256sum: {time.monotonic() - start:.2f} s")
        start = time.process_time()
        assert verify_run(run, files=False).same
        record = time.process_time() - start
        print(f"the whole record: {record:.2f} s CPU; to build its document took {built:.2f} s")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory: {peak:.0f} MiB")


if __name__ == "__main__":
    main()
