"""Journal to PROV-JSON against prov: CPU, peak memory, and how both grow.

    python benchmarks/export.py [--sizes 1000 10000 100000] [--rounds 3] [--no-peer]

Each measurement is a process of its own. Ours reads the journal, folds it and writes the
document. The peer builds the same records through the prov library's own calls and
serialises them; reading the records off our document is not counted.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

ROOT = "01939f3e-0000-7000-8000-0000000000ff"


def make_journal(folder: Path, tasks: int) -> None:
    """A run of ``tasks`` completed tasks with two inputs and two outputs each, all hashed."""
    import msgspec

    from yprov4wms import events
    from yprov4wms.events import Figure, File, Process, Software, Status

    path = folder / "events"
    path.mkdir(parents=True)
    encode = msgspec.json.Encoder().encode
    with (path / "host-1-1.jsonl").open("wb") as file:
        seq = 0

        def emit(event: events.Event) -> None:
            nonlocal seq
            seq += 1
            event.v, event.writer, event.seq, event.run = 1, "host-1-1", seq, ROOT
            seconds, micro = divmod(seq * 1000, 1_000_000)
            hours, rest = divmod(seconds, 3600)
            event.time = f"2026-11-21T{hours:02}:{rest // 60:02}:{rest % 60:02}.{micro:06}+00:00"
            file.write(encode(event) + b"\n")

        engine = Software(name="snakemake", kind="engine", version="9.27.1")
        emit(events.RunStarted(engine=engine, workflow="bench", directory="/data/bench"))
        emit(events.StepDeclared(step="process", type="shell", code="process {input} {output}"))
        ids = [f"process-{index:012x}" for index in range(tasks)]
        for index, task in enumerate(ids):
            depends = [ids[index - 1]] if index % 10 else None
            label = f"process sample={index}"
            emit(events.TaskPlanned(task=task, step="process", label=label, depends_on=depends))
        for index, task in enumerate(ids):
            inputs = [
                File(path=f"reference/{index % 100}.idx", size=2048, sha256=f"{index % 100:064x}")
            ]
            if index % 10:
                inputs.append(File(path=f"results/{index - 1}/table.csv"))
            else:
                inputs.append(File(path=f"raw/{index}.fq", size=9_000, sha256=f"{index:064x}"))
            emit(
                events.TaskStarted(
                    task=task,
                    attempt=1,
                    inputs=inputs,
                    command=f"process --sample {index} reference/{index % 100}.idx > out",
                    parameters={"alpha": 0.1, "mode": "fast"},
                    wildcards={"sample": str(index)},
                    threads=1,
                    resources={"mem_mb": 1000},
                )
            )
            emit(
                events.TaskEnded(
                    task=task,
                    attempt=1,
                    status=Status.COMPLETED,
                    exit_code=0,
                    outputs=[
                        File(path=f"results/{index}/table.csv", size=4321, sha256=f"{index:063x}a"),
                        File(path=f"results/{index}/log.txt", size=123, sha256=f"{index:063x}b"),
                    ],
                    processes=[
                        Process(pid=1000 + index, started="2026-11-21T00:00:00.000000+00:00")
                    ],
                    usage={
                        "cpu_time": Figure("s", "wait4", 0.25),
                        "memory_peak": Figure("B", "rss-sum-sampled", 52_428_800.0),
                        "wall_time": Figure("s", "monotonic-clock", 0.5),
                    },
                    host="node1",
                )
            )
        emit(events.RunEnded(status=Status.COMPLETED))


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
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--no-peer", action="store_true")
    parser.add_argument("--peer-rounds", type=int, default=1, help="at the largest size")
    arguments = parser.parse_args()
    start = median(measure("start")[0] for _ in range(arguments.rounds))
    print(f"start-up of our process: {start:.2f} s CPU (taken off the cost per task)")
    print(
        f"{'tasks':>8} {'document':>9} {'ours CPU':>9} {'us/task':>8} {'ours MB':>8}"
        f" {'prov CPU':>9} {'prov MB':>8} {'CPU x':>6} {'MB x':>6}"
    )
    with tempfile.TemporaryDirectory() as scratch:
        for size in arguments.sizes:
            folder = Path(scratch) / f"run{size}"
            make_journal(folder, size)
            document, output = str(folder / "prov.json"), str(folder / "peer.json")
            rounds, peers = [], []
            for number in range(arguments.rounds):
                rounds.append(measure("ours", str(folder), document))
                largest = size == max(arguments.sizes)
                if not arguments.no_peer and (not largest or number < arguments.peer_rounds):
                    peers.append(measure("peer", document, output))
            cpu = median(r[0] for r in rounds)
            rss = median(r[1] for r in rounds)
            row = (
                f"{size:>8} {Path(document).stat().st_size / 1e6:>6.1f} MB {cpu:>7.2f} s"
                f" {(cpu - start) / size * 1e6:>8.1f} {rss:>8.0f}"
            )
            if peers:
                theirs, their_rss = median(p[0] for p in peers), median(p[1] for p in peers)
                row += f" {theirs:>7.2f} s {their_rss:>8.0f}"
                row += f" {theirs / cpu:>6.1f} {their_rss / rss:>6.1f}"
            print(row, flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(*sys.argv[2:])
    else:
        main()
