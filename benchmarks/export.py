"""Journal to PROV-JSON against prov: CPU, peak memory, and how both grow.

    python benchmarks/export.py [--sizes 10000 100000 1000000] [--rounds 3] [--processes]

Each measurement is a process of its own. Ours reads the journal, folds it and writes the
document. The peer builds the same records through the prov library's own calls and
serialises them, up to --peer-sizes; reading the records off our document is not counted.
With --processes a process per attempt has a journal of its own, as under Airflow and a
cluster's scheduler. The last column is the cost per task by that of the size before.

1,000,000 tasks take some 10 GB of disk (where TMPDIR says), and with --processes as many
journals, 12 GB more. What is that large is measured once.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any

START = datetime(2026, 11, 21, tzinfo=UTC)
#: Tasks from which on there is one round.
LARGE = 1_000_000
ROOT = "01939f3e-0000-7000-8000-0000000000ff"


class Journals:
    """Journals of one run; each event a millisecond after the one before, on one clock."""

    def __init__(self, folder: Path) -> None:
        import msgspec

        self._folder = folder / "events"
        self._folder.mkdir(parents=True)
        self._encode = msgspec.json.Encoder().encode
        self._clock = 0

    def moment(self) -> str:
        self._clock += 1
        seconds, milli = divmod(self._clock, 1000)
        when = START + timedelta(seconds=seconds, milliseconds=milli)
        return when.isoformat(timespec="microseconds")

    @contextmanager
    def writer(self, name: str) -> Iterator[Callable[[Any], None]]:
        """What takes the events of one writer."""
        numbers = count(1)
        with (self._folder / f"{name}.jsonl").open("wb") as file:

            def emit(event: Any) -> None:
                event.v, event.writer, event.seq, event.run = 1, name, next(numbers), ROOT
                event.time = self.moment()
                file.write(self._encode(event) + b"\n")

            yield emit


def make_journal(folder: Path, tasks: int, processes: bool = False) -> None:
    """A run of ``tasks`` completed tasks with two inputs and two outputs each, all hashed.

    processes: a process executes each attempt and has a journal of its own; one task in twenty
    is retried, and one in fifty makes a directory, too.
    """
    from yprov4wms import events
    from yprov4wms.events import File, Software, Status

    journals = Journals(folder)
    with journals.writer("host-1-1") as emit:
        engine = Software(name="snakemake", kind="engine", version="9.27.1")
        emit(events.RunStarted(engine=engine, workflow="bench", directory="/data/bench"))
        emit(events.StepDeclared(step="process", type="shell", code="process {input} {output}"))
        ids = [f"process-{index:012x}" for index in range(tasks)]
        for index, task in enumerate(ids):
            depends = [ids[index - 1]] if index % 10 else None
            label = f"process sample={index}"
            emit(events.TaskPlanned(task=task, step="process", label=label, depends_on=depends))
        for index, task in enumerate(ids):
            outputs = [
                File(path=f"results/{index}/table.csv", size=4321, sha256=f"{index:063x}a"),
                File(path=f"results/{index}/log.txt", size=123, sha256=f"{index:063x}b"),
            ]
            if processes:
                if index % 20 == 7:
                    attempt_by_process(journals, emit, task, index, 1, None)
                if index % 50 == 3:
                    outputs.append(directory(index))
                attempt_by_process(journals, emit, task, index, 1 + (index % 20 == 7), outputs)
            else:
                emit(task_started(task, index, 1))
                found = task_figures(index)
                emit(
                    events.TaskEnded(
                        task=task, attempt=1, status=Status.COMPLETED, outputs=outputs, **found
                    )
                )
        emit(events.RunEnded(status=Status.COMPLETED))


def attempt_by_process(
    journals: Journals,
    emit: Callable[[Any], None],
    task: str,
    index: int,
    attempt: int,
    outputs: list[Any] | None,
) -> None:
    """What the engine, and the process, tell of an attempt, which failed without outputs."""
    from yprov4wms import events
    from yprov4wms.events import Status

    status = Status.COMPLETED if outputs else Status.FAILED
    emit(task_started(task, index, attempt))
    with journals.writer(f"node{index % 40}-{1000 + index}-{attempt}") as tell:
        tell(events.TaskExecuting(task=task, attempt=attempt, pid=1000 + index))
        began, finished = journals.moment(), journals.moment()
        tell(
            events.TaskExecuted(
                task=task,
                attempt=attempt,
                status=status,
                began=began,
                finished=finished,
                **task_figures(index),
            )
        )
    emit(events.TaskEnded(task=task, attempt=attempt, status=status, outputs=outputs))


def task_started(task: str, index: int, attempt: int) -> Any:
    from yprov4wms import events
    from yprov4wms.events import File

    reference = index % 100
    inputs = [File(path=f"reference/{reference}.idx", size=2048, sha256=f"{reference:064x}")]
    if index % 10:
        inputs.append(File(path=f"results/{index - 1}/table.csv"))
    else:
        inputs.append(File(path=f"raw/{index}.fq", size=9_000, sha256=f"{index:064x}"))
    return events.TaskStarted(
        task=task,
        attempt=attempt,
        inputs=inputs,
        command=f"process --sample {index} reference/{reference}.idx > out",
        parameters={"alpha": 0.1, "mode": "fast"},
        wildcards={"sample": str(index)},
        threads=1,
        resources={"mem_mb": 1000},
    )


def task_figures(index: int) -> dict[str, Any]:
    """How an attempt's process ended, and what it cost."""
    from yprov4wms.events import Figure, Process

    return {
        "exit_code": 0,
        "processes": [Process(pid=1000 + index, started="2026-11-21T00:00:00.000000+00:00")],
        "usage": {
            "cpu_time": Figure("s", "wait4", 0.25),
            "memory_peak": Figure("B", "rss-sum-sampled", 52_428_800.0),
            "wall_time": Figure("s", "monotonic-clock", 0.5),
        },
        "host": "node1",
    }


def directory(index: int) -> Any:
    from yprov4wms.events import File, FileType

    return File(
        path=f"results/{index}/parts",
        type=FileType.DIRECTORY,
        sha256=f"{index:063x}c",
        members=[File(path=f"{n}.csv", size=n, sha256=f"{index:062x}{n:02x}") for n in range(5)],
    )


def ours(folder: str, output: str) -> None:
    from yprov4wms.export.document import export
    from yprov4wms.store import RunFolder

    export(RunFolder(folder), output)


def peer(document: str, output: str) -> None:
    """Build the records of our document through prov's own calls, and serialise them.

    Records are handed over as plain Python values, section by section, so that nothing but
    prov's document is held. Decoding them is left off the CPU time that `child` reports.
    """
    import msgspec
    from prov.model import ProvDocument

    content = msgspec.json.decode(Path(document).read_bytes(), type=dict[str, msgspec.Raw])
    target = ProvDocument()
    for prefix, uri in msgspec.json.decode(content.pop("prefix"), type=dict[str, str]).items():
        if prefix not in ("prov", "xsd"):
            target.add_namespace(prefix, uri)
    calls = {
        "used": target.used,
        "wasGeneratedBy": target.wasGeneratedBy,
        "wasInformedBy": target.wasInformedBy,
        "wasAssociatedWith": target.wasAssociatedWith,
        "wasDerivedFrom": target.wasDerivedFrom,
        "actedOnBehalfOf": target.actedOnBehalfOf,
        "hadMember": target.hadMember,
        "wasInfluencedBy": target.wasInfluencedBy,
    }
    formal = {"prov:time": "time", "prov:plan": "plan"}
    global spared
    for section in list(content):
        before = time.process_time()
        records = msgspec.json.decode(content.pop(section), type=dict[str, dict[str, object]])
        for values in records.values():
            for name, value in values.items():
                if isinstance(value, dict):
                    kind = float if value["type"] == "xsd:double" else int
                    values[name] = kind(value["$"])
        spared += time.process_time() - before
        while records:
            identifier, values = records.popitem()
            if section == "activity":
                start, end = values.pop("prov:startTime", None), values.pop("prov:endTime", None)
                target.activity(identifier, start, end, values)
            elif section in ("entity", "agent"):
                getattr(target, section)(identifier, values)
            else:
                ends = list(values.items())
                named = {formal[k]: values.pop(k) for k, _ in ends if k in formal}
                one, two = (values.pop(k) for k, _ in ends[:2])
                if section == "hadMember":
                    calls[section](one, two)
                else:
                    calls[section](one, two, **named, other_attributes=values)
    target.serialize(output, format="json")


spared = 0.0


def measure(*arguments: str) -> tuple[float, float]:
    """CPU seconds and peak megabytes of one process that runs this script's ``arguments``."""
    command = [sys.executable, __file__, "--child", *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found = json.loads(done.stdout.strip().splitlines()[-1])
    return found["cpu"], found["rss"]


def child(kind: str, *arguments: str) -> None:
    if kind == "start":
        import yprov4wms.export.document  # noqa: F401
    elif kind == "ours":
        ours(*arguments)
    else:
        peer(*arguments)
    print(json.dumps({"cpu": time.process_time() - spared, "rss": peak_megabytes()}))


def peak_megabytes() -> float:
    """VmHWM: ru_maxrss may be inherited from the parent."""
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--processes", action="store_true", help="a journal per attempt")
    parser.add_argument("--peer-sizes", type=int, default=100_000, help="0: without the peer")
    parser.add_argument("--peer-rounds", type=int, default=1, help="at the largest of its sizes")
    arguments = parser.parse_args()
    start = median(measure("start")[0] for _ in range(arguments.rounds))
    print(f"start-up of our process: {start:.2f} s CPU (taken off the cost per task)")
    print(
        f"{'tasks':>8} {'document':>9} {'ours CPU':>9} {'us/task':>8} {'ours MB':>8}"
        f" {'prov CPU':>9} {'prov MB':>8} {'CPU x':>6} {'MB x':>6} {'growth':>7}"
    )
    before = 0.0
    for size in arguments.sizes:
        with tempfile.TemporaryDirectory() as scratch:
            each = row(arguments, size, start, before, Path(scratch) / "run")
        before = each


def row(
    arguments: argparse.Namespace, size: int, start: float, before: float, folder: Path
) -> float:
    """Measure one size and print it; returns our cost per task, in microseconds."""
    make_journal(folder, size, arguments.processes)
    document, output = str(folder / "prov.json"), str(folder / "peer.json")
    compared = [known for known in arguments.sizes if known <= arguments.peer_sizes]
    times = arguments.rounds if size < LARGE else 1
    peer_times = arguments.peer_rounds if compared and size == max(compared) else times
    rounds, peers = [], []
    for number in range(times):
        rounds.append(measure("ours", str(folder), document))
        if size in compared and number < peer_times:
            peers.append(measure("peer", document, output))
    cpu, rss = (median(values) for values in zip(*rounds, strict=True))
    each = (cpu - start) / size * 1e6
    text = (
        f"{size:>8} {Path(document).stat().st_size / 1e6:>6.1f} MB {cpu:>7.2f} s"
        f" {each:>8.1f} {rss:>8.0f}"
    )
    if peers:
        theirs, their_rss = (median(values) for values in zip(*peers, strict=True))
        text += f" {theirs:>7.2f} s {their_rss:>8.0f} {theirs / cpu:>6.1f} {their_rss / rss:>6.1f}"
    else:
        text += " " * 33
    print(text + (f" {each / before:>7.2f}" if before else ""), flush=True)
    return each


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(*sys.argv[2:])
    else:
        main()
