"""Child documents put into a workflow's document, against prov: CPU and peak memory.

    python benchmarks/nesting.py [--children 100] [--size 160000] [--rounds 7] [--no-peer]
        [--like prov_digits_mlp_GR0_0.json]

The children are runs of yProv4ML and of this project's recorder, one per task, made larger
until the document that is nested has ``--size`` bytes; they are collected as a task's end
collects them. ``--like`` takes another document of yProv4ML for the one that is made up.
Each measurement is a process of its own. Ours reads the journal and writes the document in
one mode. The peer reads the same children into prov, adds each to a document by its
``add_bundle`` or ``update``, and serialises it. Imports are not counted, for neither.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path
from statistics import median
from typing import Any

RUN = "01939f3e-0000-7000-8000-0000000000ff"
KINDS = ("yprov4ml", "own")
MODES = ("flatten", "bundle", "link")
PEERS = {"flatten": "update", "bundle": "add_bundle"}


# -- children ------------------------------------------------------------------------------


def yprov4ml(folder: Path, count: int, like: Path | None) -> bytes:
    """What is kept of a yProv4ML run, made larger ``count`` times."""
    from yprov4wms.ml import readers

    template = json.loads(like.read_text()) if like else _digits()
    place = folder / "prov" / "digits_0"
    series = place / "metrics_GR0"
    series.mkdir(parents=True)
    larger: dict[str, Any] = {
        section: dict(found) if section in ("prefix", "agent", "activity") else {}
        for section, found in template.items()
    }
    for number in range(count):
        _enlarge(larger, template, number, series)
    document = place / "prov_digits_GR0_0.json"
    document.write_text(json.dumps(larger))
    (child,) = readers.read(document, str(folder))
    return child.content


def _enlarge(larger: dict[str, Any], template: dict[str, Any], number: int, series: Path) -> None:
    """Add the template's entities, with their relations, under names of their own."""
    known = template["entity"]

    def renamed(text: Any) -> Any:
        return f"{number}_{text}" if number and text in known else text

    for name, found in known.items():
        record = dict(found) if isinstance(found, dict) else dict(found[0])
        path = record.get("dcterms:identifier")
        if path:
            path = f"{os.path.dirname(path)}/{number}_{os.path.basename(path)}"  # noqa: PTH119, PTH120
            record["dcterms:identifier"] = path.lstrip("/")
            if record.get("prov:type") == "provml:Metric":
                rows = "".join(f"{i},{1 / (i + 1)},{1791000000000 + i}\n" for i in range(10))
                target = series / os.path.basename(path)  # noqa: PTH119
                target.write_text(f"epoch,value,timestep\n{rows}")
        larger["entity"][renamed(name)] = record
    for section, relations in template.items():
        if section in ("prefix", "agent", "activity", "entity"):
            continue
        for name, record in relations.items():
            if number == 0 or any(value in known for value in record.values()):
                record = {end: renamed(value) for end, value in record.items()}
                larger[section][f"{name}_{number}"] = record


def _digits() -> dict[str, Any]:
    """As yProv4ML 3.2.8 writes a small training."""
    root, began = "digits_GR0_0", "2026-11-21T03:13:35.813736"
    contexts = ("training", "validation")
    activities: dict[str, Any] = {
        root: {
            "yprov:provenance_path": "prov",
            "yprov:artifact_uri": "prov/digits_0/artifacts_GR0",
            "yprov:experiment_dir": "prov/digits_0",
            "yprov:experiment_name": root,
            "yprov:run_id": "0",
            "yprov:PID": str(uuid.UUID(int=1)),
            "yprov:time_zone": "UTC+0000",
            "yprov:global_rank": "0",
            "prov:startedAtTime": began,
            "prov:endedAtTime": "2026-11-21T03:14:06.409266",
        },
        **{name: {"prov:startedAtTime": "2026-11-21T03:13:36.840423"} for name in contexts},
    }
    entities: dict[str, Any] = {}
    used: list[str] = []
    made: list[tuple[str, str]] = []
    derived: list[tuple[str, str]] = []
    for name, value in (("lr", "0.001"), ("hidden", "[128, 64]"), ("note", 'a, b; c="d"')):
        entities[f"{name}//{root}"] = {
            "prov:type": "provml:HyperParameter",
            "prov:label": name,
            "yprov:fullLabel": f"{name}//{root}",
            "prov:value": value,
            "prov:role": "input",
        }
        used.append(f"{name}//{root}")
    for name in ("Loss", "cpu_usage_pct", "ram_usage_gb", "gpu_power", "gpu_usage_pct"):
        full = f"psutil//{name}//training"
        entities[full] = {
            "prov:type": "provml:Metric",
            "yprov:context": "training",
            "yprov:source": "psutil",
            "prov:generatedAtTime": "2026-11-21T03:13:54.403449",
            "prov:label": name,
            "dcterms:identifier": f"prov/digits_0/metrics_GR0/{name}_training_psutil_GR0.csv",
            "yprov:fullLabel": full,
            "yprov:file_size": "87",
            "prov:role": "output",
        }
        made.append((full, "training"))
    for name in ("mlp_0.pt", "confusion matrix (v1).csv"):
        copy, original = f"{name}//validation", f"Original_{name}//validation"
        for full, path in ((original, name), (copy, f"prov/digits_0/artifacts_GR0/{name}")):
            entities[full] = {
                "prov:label": name,
                "dcterms:identifier": path,
                "prov:generatedAtTime": "2026-11-21T03:14:05.415300",
                "yprov:fullLabel": full,
                "yprov:file_size": "71549",
                "prov:role": "output",
            }
            made.append((full, "validation"))
        derived.append((copy, original))
    pairs = {
        "used": [{"prov:activity": root, "prov:entity": e} for e in used],
        "wasGeneratedBy": [{"prov:entity": e, "prov:activity": a} for e, a in made],
        "wasDerivedFrom": [
            {"prov:generatedEntity": e, "prov:usedEntity": other} for e, other in derived
        ],
        "wasInformedBy": [{"prov:informed": c, "prov:informant": root} for c in contexts],
        "wasAssociatedWith": [{"prov:activity": root, "prov:agent": "ada"}],
    }
    return {
        "prefix": {
            "yprov": "https://github.com/HPCI-Lab/yProv4ML",
            "provml": "prov-ml",
            "dcterms": "http://purl.org/dc/terms/",
            "default": root,
        },
        "agent": {"ada": {}},
        "activity": activities,
        "entity": entities,
        **{
            section: {f"_:id{n}{section}": record for n, record in enumerate(records)}
            for section, records in pairs.items()
        },
    }


def own(folder: Path, count: int, like: Path | None) -> bytes:
    """What our recorder writes of a run with ``count`` parameters, series and files each."""
    from yprov4wms import ml
    from yprov4wms.ml import readers

    with ml.start_run("digits", store=folder / "store"):
        for number in range(count):
            ml.log_param(f"layer_{number}.width", 64 + number, context="training")
            for step in range(3):
                ml.log_metric(f"loss_{number}", 1 / (step + 1), context="training", step=step)
            model = folder / f"checkpoint_{number}.pt"
            model.write_bytes(b"weights %d" % number)
            ml.log_artifact(f"checkpoint {number}", model, context="training")
    (run,) = (folder / "store").iterdir()
    (child,) = readers.read(run)
    return child.content


def sized(kind: str, size: int, like: Path | None) -> bytes:
    """A child's document of about ``size`` bytes: it grows evenly."""
    make = yprov4ml if kind == "yprov4ml" else own
    lengths: list[int] = []
    for count in (2, 4):
        with tempfile.TemporaryDirectory() as scratch:
            lengths.append(len(make(Path(scratch), count, like)))
    count = max(1, 2 + round(2 * (size - lengths[0]) / (lengths[1] - lengths[0])))
    with tempfile.TemporaryDirectory() as scratch:
        return make(Path(scratch), count, like)


def make_store(folder: Path, child: bytes, kind: str, count: int, told: bool) -> None:
    """A run of ``count`` tasks with a child each. told: the events say that each was checked."""
    import msgspec

    from yprov4wms import events
    from yprov4wms.ml import discover
    from yprov4wms.ml.readers import ChildRun
    from yprov4wms.store import RunFolder

    path = folder / "events"
    path.mkdir(parents=True)
    prefix = json.loads(child)["prefix"]["ml"]
    old = prefix.removeprefix("urn:uuid:").removesuffix("#").encode()
    store = RunFolder(str(folder))
    told_of: list[events.Event] = []
    engine = events.Software(name="snakemake", kind="engine", version="9.27.1")
    told_of.append(events.RunStarted(engine=engine, workflow="bench", directory="/data/bench"))
    for index in range(count):
        task, new = f"train-{index:012x}", str(uuid.UUID(int=index + 1))
        run = ChildRun(
            dialect=kind,
            id=new,
            content=child.replace(old, new.encode()),
            sources=(f"/data/bench/{index}",),
        )
        attached = discover.attached(store, run, task, 1, "/data/bench", None)
        if not told:
            attached.checked = None
        ended = events.TaskEnded(task=task, attempt=1, status=events.Status.COMPLETED)
        told_of += [events.TaskStarted(task=task, attempt=1), attached, ended]
    told_of.append(events.RunEnded(status=events.Status.COMPLETED))
    with (path / "host-1-1.jsonl").open("wb") as file:
        for seq, event in enumerate(told_of, 1):
            event.v, event.writer, event.seq, event.run = 1, "host-1-1", seq, RUN
            event.time = f"2026-11-21T00:00:{seq // 1000:02}.{seq % 1000:03}000+00:00"
            file.write(msgspec.json.encode(event) + b"\n")


# -- measurements --------------------------------------------------------------------------


def ours(folder: str, output: str, mode: str) -> float:
    from yprov4wms.export.document import export
    from yprov4wms.prov import rules  # noqa: F401 - imported where it is needed
    from yprov4wms.store import RunFolder

    before = time.process_time()
    export(RunFolder(folder), output, mode)
    return time.process_time() - before


def peer(folder: str, output: str, mode: str) -> float:
    from prov.model import ProvDocument

    before = time.process_time()
    target = ProvDocument()
    target.add_namespace("doc", "urn:bench#")
    for number, path in enumerate(sorted(Path(folder, "children").iterdir())):
        child = ProvDocument.deserialize(str(path), format="json")
        if mode == "bundle":
            target.add_bundle(child, target.valid_qualified_name(f"doc:child{number}"))
        else:
            target.update(child)
    target.serialize(output, format="json")
    return time.process_time() - before


def measure(*arguments: str) -> tuple[float, float]:
    """CPU seconds and peak megabytes of one process that runs this script's ``arguments``."""
    command = [sys.executable, __file__, "--child", *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found = json.loads(done.stdout.strip().splitlines()[-1])
    return found["cpu"], found["rss"]


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
    parser.add_argument("--children", type=int, default=100)
    parser.add_argument("--size", type=int, default=160_000, help="of each, in bytes")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--peer-rounds", type=int, default=2)
    parser.add_argument("--no-peer", action="store_true")
    parser.add_argument("--like", type=Path, help="a document of yProv4ML 3.2.8")
    arguments = parser.parse_args()
    print(
        f"{'children':<22} {'mode':<8} {'CPU':>8} {'MB':>5} {'written':>9}"
        f" {'prov':>10} {'CPU':>8} {'MB':>5} {'CPU x':>6} {'MB x':>6}"
    )
    for kind in KINDS:
        with tempfile.TemporaryDirectory() as scratch:
            rows_of(kind, Path(scratch), arguments)


def rows_of(kind: str, scratch: Path, arguments: argparse.Namespace) -> None:
    """Print the rows of one kind of children."""
    child = sized(kind, arguments.size, arguments.like)
    output = scratch / "out.json"
    theirs: dict[str, tuple[float, float]] = {}
    for told in (True, False):
        folder = scratch / str(told) / RUN
        make_store(folder, child, kind, arguments.children, told)
        name = f"{arguments.children} x {len(child) / 1000:.0f} kB {kind}"
        for mode in MODES if told else PEERS:
            cpu, rss = repeated(arguments.rounds, "ours", str(folder), str(output), mode)
            written = output.stat().st_size / 1e6
            row = f"{name if told else '  not checked before':<22} {mode:<8}"
            row += f" {cpu:>6.3f} s {rss:>5.0f} {written:>6.1f} MB"
            if mode in PEERS and not arguments.no_peer:
                if mode not in theirs:
                    rounds = arguments.peer_rounds
                    theirs[mode] = repeated(rounds, "peer", str(folder), str(output), mode)
                their_cpu, their_rss = theirs[mode]
                row += f" {PEERS[mode]:>10} {their_cpu:>6.2f} s {their_rss:>5.0f}"
                row += f" {their_cpu / cpu:>6.0f} {their_rss / rss:>6.1f}"
            print(row, flush=True)


def repeated(rounds: int, *arguments: str) -> tuple[float, float]:
    """Medians of several measurements."""
    found = [measure(*arguments) for _ in range(rounds)]
    return median(cpu for cpu, _ in found), median(rss for _, rss in found)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        job, *rest = sys.argv[2:]
        spent = (ours if job == "ours" else peer)(*rest)
        print(json.dumps({"cpu": spent, "rss": peak_megabytes()}))
    else:
        main()
