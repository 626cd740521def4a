"""Small runs as yProv4ML leaves them, written by the tests; and documents around child runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.yprov4wms.prov.runs import Document, content_of, folded, started

from yprov4wms import events as e
from yprov4wms.events import File, Status
from yprov4wms.ml.readers import ChildRun
from yprov4wms.prov.rules import check

FIXTURES = Path(__file__).parents[4].parent / "shared" / "fixtures" / "child_runs"
NESTS = ("flatten", "bundle", "link")

PIDS = [f"5a108631-527f-4a39-98f3-891ae9bf15{n:02}" for n in range(64)]


def document(name: str, rank: int, run: int, begin: int, end: int, pid: str) -> dict[str, Any]:
    """As 3.2.8 writes it: a parameter, a series, a model in the working directory."""
    root = f"{name}_GR{rank}_{run}"
    base = f"prov/{name}_{run}"
    day = "2026-11-21T10:{:02}:{:02}.000001"
    began, ended = (day.format(*divmod(second, 60)) for second in (begin, end))
    return {
        "prefix": {
            "yprov": "https://github.com/HPCI-Lab/yProv4ML",
            "xsd_1": "http://www.w3.org/2000/10/XMLSchema#",
            "provml": "prov-ml",
            "dcterms": "http://purl.org/dc/terms/",
            "default": root,
        },
        "agent": {"ada": {}},
        "activity": {
            root: {
                "yprov:provenance_path": "prov",
                "yprov:experiment_dir": base,
                "yprov:experiment_name": root,
                "yprov:run_id": str(run),
                "yprov:PID": pid,
                "yprov:time_zone": "UTC+0100",
                "yprov:global_rank": str(rank),
                "prov:startedAtTime": began,
                "prov:endedAtTime": ended,
            },
            "training": {"prov:startedAtTime": began},
        },
        "entity": {
            f"lr//{root}": {
                "prov:type": "provml:HyperParameter",
                "prov:label": "lr",
                "prov:value": "0.1",
                "prov:role": "input",
            },
            "Loss//training": {
                "prov:type": "provml:Metric",
                "prov:label": "Loss",
                "yprov:context": "training",
                "yprov:source": "None",
                "prov:generatedAtTime": began,
                "dcterms:identifier": f"{base}/metrics_GR{rank}/Loss_training_None_GR{rank}.csv",
            },
            "model.pt//training": {
                "prov:type": "provml:Model",
                "prov:label": "model.pt",
                "dcterms:identifier": "model.pt",
                "prov:generatedAtTime": ended,
                "prov:role": "output",
            },
            "data.csv//training": {
                "prov:label": "data.csv",
                "dcterms:identifier": "data.csv",
                "prov:role": "input",
            },
        },
        "wasAssociatedWith": {"_:id1": {"prov:activity": root, "prov:agent": "ada"}},
        "wasInformedBy": {"_:id2": {"prov:informed": "training", "prov:informant": root}},
        "used": {
            "_:id3": {"prov:activity": root, "prov:entity": f"lr//{root}"},
            "_:id4": {"prov:activity": "training", "prov:entity": "data.csv//training"},
        },
        "wasGeneratedBy": {
            "_:id5": {"prov:entity": "Loss//training", "prov:activity": "training"},
            "_:id6": {"prov:entity": "model.pt//training", "prov:activity": "training"},
        },
    }


def series(folder: Path, rank: int, name: str = "Loss_training_None", begin: int = 0) -> Path:
    metrics = folder / f"metrics_GR{rank}"
    metrics.mkdir(parents=True, exist_ok=True)
    start = 1795251600000 + begin * 1000  # 2026-11-21T09:00:00Z
    rows = [
        (0, "0.5", start),
        (1, "None", start + 1),
        (2, "0.25", start + 2),
        (3, "1.5", start + 3),
    ]
    path = metrics / f"{name}_GR{rank}.csv"
    text = "".join(f"{step},{value},{moment}\n" for step, value, moment in rows)
    path.write_text("epoch,value,timestep\n" + text)
    return path


def write(
    work: Path,
    name: str = "exp",
    run: int = 0,
    rank: int = 0,
    begin: int = 0,
    end: int = 60,
    pid: int | None = None,
    crashed: bool = False,
) -> Path:
    """A rank's part of a run in ``work``/prov; returns the run's folder. Times: seconds after
    2026-11-21T09:00Z, which it calls 10:00 in UTC+0100."""
    folder = work / "prov" / f"{name}_{run}"
    series(folder, rank, begin=begin)
    if not crashed:
        found = document(name, rank, run, begin, end, PIDS[10 * run + rank if pid is None else pid])
        (folder / f"prov_{name}_GR{rank}_{run}.json").write_text(json.dumps(found))
    return folder


def nested(
    child: ChildRun,
    nest: str = "flatten",
    directory: str = "/w",
    inputs: list[File] | None = None,
    outputs: list[File] | None = None,
    doubt: str | None = None,
) -> Document:
    """The document of a run of one task with this child; it keeps the rules."""
    start = started(person=e.Person(login="ada"))
    start.directory = directory
    attached = e.ChildAttached(
        task="train",
        attempt=1,
        child=child.id,
        type=child.dialect,
        version=child.version,
        complete=child.complete,
        repaired=list(child.repaired) or None,
        document=File(path="children/c.json"),
        doubt=doubt,
    )
    told = [
        start,
        e.TaskStarted(task="train", attempt=1, inputs=inputs),
        attached,
        e.TaskEnded(task="train", attempt=1, status=Status.COMPLETED, outputs=outputs),
        e.RunEnded(status=Status.COMPLETED),
    ]
    written = content_of(folded(told), {child.id: child.content}, nest)
    assert [f"{p.rule}: {p.where}: {p.message}" for p in check(written)] == []
    found: Document = json.loads(written)
    return found
