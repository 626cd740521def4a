"""What an RO-Crate of a run costs: CPU, memory, size; beside ro-crate-py writing the same one.

    python benchmarks/rocrate.py [--tasks 1000 10000] [--peer]

A run of N tasks, each with two inputs, two outputs with checksums, four parameters and eleven
figures, becomes a crate of metadata and data by reference, the PROV document inside. With
``--peer`` ro-crate-py (an environment that has ``rocrate``) gets the crate's own entities and
files one by one and writes them, without any run to read.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from yprov4wms import events as e
from yprov4wms.events import Figure, File, Status

RUN = "0198f3a0-0000-7000-8000-000000000001"
FIGURES = (
    *("cpu_user", "cpu_system", "cpu_time", "wall_time", "io_read_chars", "io_write_chars"),
    *("io_read_bytes", "io_write_bytes", "memory_peak", "gpu_utilization_mean", "energy"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", type=int, nargs="+", default=[1000, 10_000])
    parser.add_argument("--peer", action="store_true")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        one(*arguments.one)
        return
    print("| tasks | who | CPU s | peak MB | zip MB | metadata MB | entities |")
    print("|--:|---|--:|--:|--:|--:|--:|")
    for tasks in arguments.tasks:
        with tempfile.TemporaryDirectory() as folder:
            journal = Path(folder, RUN, "events", "host-1-1.jsonl")
            journal.parent.mkdir(parents=True)
            journal.write_bytes(b"".join(lines(tasks, folder)))
            Path(folder, "Snakefile").write_text("rule all:\n")
            for who in ("yprov4wms", "ro-crate-py") if arguments.peer else ("yprov4wms",):
                command = [sys.executable, __file__, "--one", who, folder, f"{folder}/crate.zip"]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                print(f"| {tasks} | {who} | {done.stdout.strip()} |", flush=True)


def one(who: str, folder: str, target: str) -> None:
    """In a process of its own, what ``who`` takes."""
    if who == "yprov4wms":
        write(folder, target)
    else:
        rewrite(target, f"{folder}/peer.zip")
    used = resource.getrusage(resource.RUSAGE_SELF)
    cpu, peak = used.ru_utime + used.ru_stime, used.ru_maxrss / 1024
    import zipfile

    with zipfile.ZipFile(target) as archive:
        metadata = archive.read("ro-crate-metadata.json")
    entities = len(json.loads(metadata)["@graph"])
    size = Path(target).stat().st_size / 1e6
    print(f"{cpu:.2f} | {peak:.0f} | {size:.1f} | {len(metadata) / 1e6:.1f} | {entities}")


def write(folder: str, target: str) -> None:
    from yprov4wms.export import document
    from yprov4wms.export.rocrate import run as rocrate
    from yprov4wms.export.rocrate.sinks import zipped
    from yprov4wms.store import RunFolder

    found = RunFolder(f"{folder}/{RUN}")
    run = document.read(found)
    with Path(target).open("wb") as file, zipped(file, rocrate.date(run)) as sink:
        rocrate.write(run, found, sink, rocrate.Options())


def rewrite(source: str, target: str) -> None:
    """The same entities and files, by ro-crate-py."""
    import zipfile

    # This script has the library's name.
    sys.path[:] = [place for place in sys.path if Path(place) != Path(__file__).parent]
    from rocrate.model.contextentity import ContextEntity
    from rocrate.rocrate import ROCrate

    crate = ROCrate()
    with zipfile.ZipFile(source) as archive, tempfile.TemporaryDirectory() as files:
        archive.extractall(files)
        metadata = json.loads(Path(files, "ro-crate-metadata.json").read_text())
        for entity in metadata["@graph"]:
            identifier, kinds = entity["@id"], entity["@type"]
            properties = {key: value for key, value in entity.items() if key != "@id"}
            if identifier in ("./", "ro-crate-metadata.json"):
                continue
            if "File" in kinds:
                local = "://" not in identifier
                crate.add_file(
                    Path(files, identifier) if local else identifier,
                    identifier if local else None,
                    properties=properties,
                )
            else:
                crate.add(ContextEntity(crate, identifier, properties=properties))
        crate.write_zip(target)


def lines(tasks: int, directory: str) -> Iterator[bytes]:
    told: Iterator[e.Event] = events(tasks, directory)
    began = time.time()
    for number, event in enumerate(told, 1):
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(began + number / 10))
        event.v, event.time, event.writer = 1, f"{moment}.{number % 10**6:06}+00:00", "w"
        event.seq, event.run = number, RUN
        yield msgspec.json.encode(event) + b"\n"


def events(tasks: int, directory: str) -> Iterator[e.Event]:
    engine = e.Software(name="snakemake", kind="engine", version="9")
    main_file = File("Snakefile", size=10)
    yield e.RunStarted(
        engine=engine, workflow="big", directory=directory, main_file=main_file, config={"n": 1}
    )
    for step in ("make", "use"):
        yield e.StepDeclared(step=step, type="shell", code="do {input} {output}")
    for index in range(tasks):
        step = "make" if index % 2 == 0 else "use"
        before = f"data/{index - 1}.a" if step == "use" else f"raw/{index}.csv"
        inputs = [
            File(before, role="input", size=1000, mtime_ns=10**18, sha256=f"{index:064x}"),
            File("common.json", role="common", size=10, mtime_ns=10**18, sha256="a" * 64),
        ]
        outputs = [
            File(f"data/{index}.{kind}", role=kind, size=index, mtime_ns=10**18 + index,
                 sha256=f"{index:063x}{kind}")
            for kind in ("a", "b")
        ]  # fmt: skip
        yield e.TaskPlanned(
            task=f"t{index}", step=step, depends_on=[f"t{index - 1}"] if step == "use" else None
        )
        yield e.TaskStarted(
            task=f"t{index}",
            attempt=1,
            inputs=inputs,
            command=f"do {index}",
            parameters={"seed": 7, "rate": 0.1, "mode": "fast", "index": index},
            threads=1,
        )
        yield e.TaskEnded(
            task=f"t{index}",
            attempt=1,
            status=Status.COMPLETED,
            outputs=outputs,
            exit_code=0,
            usage={name: Figure("s", "wait4", value=index / 7) for name in FIGURES},
        )
    yield e.RunEnded(status=Status.COMPLETED)


if __name__ == "__main__":
    main()
