"""Arbitrary small runs, as events, and their documents."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from hypothesis import strategies as st

from yprov4wms import events as e
from yprov4wms.events import File, FileType, Status
from yprov4wms.ml import document as ml_document
from yprov4wms.prov.document import WorkflowDocument
from yprov4wms.prov.writer import ProvJsonWriter
from yprov4wms.replay import fold
from yprov4wms.run import MLRun, Run
from yprov4wms.store import RunFolder

Document = dict[str, Any]

RUN_ID = "0198f3a0-0000-7000-8000-000000000001"


def at(second: int) -> str:
    return (
        f"2026-03-01T{10 + second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}.000000+00:00"
    )


def lines_of(told: Iterable[e.Event], run: str = RUN_ID) -> list[bytes]:
    """A journal of these events, a second apart."""
    lines = []
    for number, event in enumerate(told, 1):
        event.v, event.time, event.writer, event.seq = 1, at(number), "w", number
        event.run = run
        lines.append(msgspec.json.encode(event) + b"\n")
    return lines


def folded(told: Iterable[e.Event], run: str = RUN_ID) -> Run:
    found = fold([("j", lines_of(told, run))])
    assert isinstance(found, Run)
    return found


def text_of(writer: ProvJsonWriter) -> bytes:
    out = io.BytesIO()
    writer.write_to(out)
    return out.getvalue()


def document_of(
    run: Run, children: dict[str, bytes] | None = None, nest: str = "flatten"
) -> Document:
    found: Document = json.loads(content_of(run, children, nest))
    return found


def content_of(run: Run, children: dict[str, bytes] | None = None, nest: str = "flatten") -> bytes:
    def read(child: e.ChildAttached) -> bytes | None:
        return (children or {}).get(child.child)

    return text_of(WorkflowDocument(run, read, nest).build())


def started(**more: Any) -> e.RunStarted:
    engine = e.Software(name="snakemake", kind="engine", version="9.0")
    return e.RunStarted(engine=engine, workflow="Snakefile", directory="/w", **more)


def sha(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()


# -- reading a document --------------------------------------------------------------------


def related(document: Document, section: str, link: str | None = None) -> list[tuple[str, str]]:
    """The two ends of each relation of a section, with a link if one is given."""
    return [
        tuple(record.values())[:2]
        for record in document.get(section, {}).values()
        if link is None or record.get("yprov4wms:link") == link
    ]


def by_label(document: Document, label: str, section: str = "entity") -> str:
    """The only element with this label."""
    (found,) = [
        identifier
        for identifier, record in document[section].items()
        if record["prov:label"] == label
    ]
    return str(found)


def all_by_label(document: Document, label: str) -> list[str]:
    return [i for i, record in document["entity"].items() if record["prov:label"] == label]


def uris(document: Document) -> set[str]:
    """The full identifiers of all elements."""
    prefixes = document["prefix"]
    return {
        prefixes[prefix] + local
        for section in ("entity", "activity", "agent")
        for prefix, _, local in (name.partition(":") for name in document.get(section, {}))
    }


# -- ML runs -------------------------------------------------------------------------------


def ml_run(
    child: str, inputs: Sequence[File] = (), outputs: Sequence[File] = (), complete: bool = True
) -> bytes:
    """The document of an ML run by our own recorder."""
    told: list[e.Event] = [
        e.MLRunStarted(experiment="digits", directory="/w", person=e.Person(login="ada")),
        e.MLContextStarted(context="training"),
        e.MLParam(name="lr", value=0.1),
        e.MLParam(name="layers", value=[1, 2], context="training"),
        e.MLMetricDeclared(name="loss", path="metrics/none.ymet", series=0, context="training"),
        *(e.MLArtifact(name="in", file=file, input=True) for file in inputs),
        *(e.MLModel(name="net", file=file, context="training") for file in outputs[:1]),
        *(e.MLArtifact(name="out", file=file) for file in outputs),
    ]
    if complete:
        told.append(e.MLRunEnded(status=Status.COMPLETED))
    run = fold([("ml", lines_of(told, child))])
    assert isinstance(run, MLRun)
    return text_of(ml_document.build(run, RunFolder(str(Path("/nowhere")))))


# -- arbitrary runs ------------------------------------------------------------------------


class Told(NamedTuple):
    """A run's events, and the documents of its children by their ids."""

    events: list[e.Event]
    children: dict[str, bytes]


_words = st.sampled_from(
    ["a", "b", "a.1", "a_1", "1", "x.", "", "é", "a b", "a/b", '"', "\\", "run", "task_a", "\n"]
)
_names = _words | st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | _names,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(_names, inner, max_size=2),
    max_leaves=4,
)
_mappings = st.none() | st.dictionaries(_names, _values, max_size=3)
_paths = st.sampled_from(["a", "b", "d", "d/x", "d/y", "d/e/z", "/abs/f", "s3://bucket/g", "é \n"])
_contents = st.sampled_from(["1", "2"])


@st.composite
def _files(draw: st.DrawFn, missing: bool = True) -> File:
    path = draw(_paths)
    content = draw(_contents)
    sizes = {"size": int(content), "mtime_ns": int(content)}
    digest = sha(content) if draw(st.booleans()) else None
    role = draw(st.none() | _words)
    kind = draw(st.integers(0, 9))
    if path.startswith("s3:"):
        return File(path=path, type=FileType.URL, role=role)
    if kind == 0 and missing:
        return File(path=path, type=FileType.MISSING, role=role)
    if kind == 1:
        return File(path=path, type=FileType.FIFO, role=role)
    if path == "d":
        members = draw(st.lists(st.sampled_from(["x", "y", "e/z"]), unique=True))
        return File(
            path=path,
            type=FileType.DIRECTORY,
            role=role,
            mtime_ns=sizes["mtime_ns"],
            sha256=digest,
            members=[File(path=name, sha256=digest, **sizes) for name in sorted(members)] or None,
            member_count=draw(st.none() | st.integers(0, 9)),
            name=draw(st.none() | _names),
            listing=draw(st.none() | st.lists(_paths, max_size=2)),
        )
    target = "elsewhere" if kind == 2 else None
    note = "why not" if digest is None and kind == 3 else None
    return File(
        path=path,
        role=role,
        sha256=digest,
        target=target,
        note=note,
        sha1="0" * 40 if kind == 4 else None,
        format="http://edamontology.org/format_3752" if kind == 5 else None,
        secondary_of=draw(_paths) if kind == 6 else None,
        **sizes,
    )


_software = st.builds(
    e.Software,
    name=_words,
    kind=st.sampled_from(["package", "plugin", "conda", "container"]),
    version=st.none() | st.just("1"),
    path=st.none() | _words,
)
_figures = st.builds(
    e.Figure,
    unit=st.just("J"),
    method=st.just("rapl"),
    value=st.none() | st.floats(0, 1e9),
    low=st.none() | st.floats(0, 1e9),
    high=st.none() | st.floats(0, 1e9),
    scope=st.none() | st.just("node"),
)
_ports = st.lists(
    st.builds(
        e.Port,
        name=_words,
        type=st.none() | st.just("File"),
        sources=st.none() | st.lists(_words | st.just("a/b"), max_size=2),
        default=_values,
        value_from=st.none() | _names,
        doc=st.none() | _names,
    ),
    max_size=2,
    unique_by=lambda port: port.name,
)
_usage = st.dictionaries(
    st.sampled_from(["cpu_time", "memory_peak", "energy", "gpu_energy"]), _figures, max_size=3
)
_times = st.none() | st.integers(0, 40).map(at)
_RAN = [Status.COMPLETED, Status.FAILED, Status.CANCELLED, Status.CACHED]
_NOT_RUN = [Status.NOT_STARTED, Status.UPSTREAM_FAILED, Status.SKIPPED, Status.UP_TO_DATE]


@st.composite
def _attempt(
    draw: st.DrawFn, task: str, number: int, last: bool, children: dict[str, bytes]
) -> list[e.Event]:
    told: list[e.Event] = []
    inputs = draw(st.none() | st.lists(_files(), max_size=3))
    outputs = draw(st.none() | st.lists(_files(), max_size=3))
    if draw(st.integers(0, 9)):
        told.append(
            e.TaskStarted(
                task=task,
                attempt=number,
                inputs=inputs,
                command=draw(st.none() | _names),
                script=draw(st.none() | _files(missing=False)),
                parameters=draw(_mappings),
                wildcards=draw(st.none() | st.dictionaries(_words, _names, max_size=2)),
                threads=draw(st.none() | st.integers(1, 9)),
                resources=draw(_mappings),
                software=draw(st.none() | st.lists(_software, max_size=2)),
                reason=draw(st.none() | _names),
                host=draw(st.none() | st.just("h")),
                attributes=draw(_mappings),
            )
        )
    if draw(st.booleans()):
        told.append(e.TaskSubmitted(task=task, attempt=number, external_id=draw(_words)))
    for kind in draw(
        st.lists(st.sampled_from(["own", "open", "gone", "junk", "other"]), max_size=2)
    ):
        child = f"0198f3a1-0000-7000-8000-{len(children):012}"
        shared = [f for f in (inputs or []) if f.type is FileType.FILE]
        shared_out = [f for f in (outputs or []) if f.type is FileType.FILE]
        content = ml_run(child, shared, shared_out, kind != "open")
        if kind == "junk":
            content = b'{"entity": [1]}'
        elif kind == "other":
            content = b'{"prefix":{"x":"http://x/"},"activity":{"x:a b":{"k":[1,null]}}}'
        children[child] = b"" if kind == "gone" else content
        document = File(path=f"children/{child}.json", size=len(content), sha256=sha(child))
        own = kind in ("own", "open")
        told.append(
            e.ChildAttached(
                task=task,
                attempt=number,
                child=child,
                type="yprov4wms-ml" if own else "prov",
                document=document,
                complete=kind != "open",
            )
        )
    if not last or draw(st.integers(0, 4)) or not told:
        end = e.TaskEnded(
            task=task,
            attempt=number,
            status=draw(st.sampled_from(_RAN)),
            began=draw(_times),
            finished=draw(_times),
            exit_code=draw(st.none() | st.integers(-9, 2)),
            error=draw(st.none() | _names),
            outputs=outputs,
            results=draw(_mappings),
            usage=draw(st.none() | _usage),
            processes=draw(st.none() | st.just([e.Process(pid=1, started=at(1))])),
            attributes=draw(_mappings),
        )
        if last or draw(st.integers(0, 9)):
            told.append(end)
        elif not told:
            told.append(e.TaskStarted(task=task, attempt=number))
    for file in [*(inputs or []), *(outputs or [])]:
        if file.sha256 is None and draw(st.booleans()):
            late = msgspec.structs.replace(file, sha256=sha(str(file.size)))
            told.append(e.FilesHashed(task=task, attempt=number, files=[late]))
    return told


@st.composite
def runs(draw: st.DrawFn) -> Told:
    """Any run that adapters could tell of, with odd names and lost events."""
    children: dict[str, bytes] = {}
    steps = draw(st.lists(_names, max_size=3, unique=True)) or ["s"]
    names = draw(st.lists(_names, max_size=5, unique=True))
    told: list[e.Event] = [
        started(
            command=draw(st.none() | st.lists(_names, max_size=2)),
            main_file=draw(st.none() | _files(missing=False)),
            files=draw(st.none() | st.lists(_files(), max_size=2)),
            config=draw(_mappings),
            git=draw(st.none() | st.just(e.Git(commit="c0ffee", dirty=True, changed=["a", "b"]))),
            person=draw(
                st.none()
                | st.builds(
                    e.Person,
                    login=st.none() | st.just("ada"),
                    name=st.none() | _names,
                    orcid=st.none() | st.just("0000-0002-1825-0097"),
                )
            ),
            software=draw(st.none() | st.lists(_software, max_size=3)),
            parent=draw(st.none() | st.just(e.Parent(run="r", task="t", attempt=1))),
            carbon_intensity=draw(st.none() | st.just(e.Figure("g/kWh", "given", 300.0))),
            inputs=draw(st.none() | _ports),
            outputs=draw(st.none() | _ports),
            packed=draw(st.none() | _files(missing=False)),
            attributes=draw(_mappings),
        )
    ]
    told += [
        e.StepDeclared(
            step=step,
            code=draw(st.none() | _names),
            script=draw(st.none() | _files(missing=False)),
            software=draw(st.none() | st.lists(_software, max_size=2)),
            depends_on=draw(st.none() | st.lists(st.sampled_from(steps), max_size=2)),
            label=draw(st.none() | _names),
            parent=draw(st.none() | st.sampled_from(steps)),
            inputs=draw(st.none() | _ports),
            outputs=draw(st.none() | _ports),
            attributes=draw(_mappings),
        )
        for step in steps
        if draw(st.booleans())
    ]
    for index, task in enumerate(names):
        if draw(st.integers(0, 9)):
            told.append(
                e.TaskPlanned(
                    task=task,
                    step=draw(st.sampled_from(steps)),
                    label=draw(st.none() | _names),
                    depends_on=draw(st.none() | st.lists(st.sampled_from(names), max_size=3)),
                    parent=draw(st.none() | st.none() | st.sampled_from(names)),
                    unexpanded=draw(st.integers(0, 4)) == 0,
                    attributes=draw(_mappings),
                )
            )
        fate = draw(st.integers(0, 5)) if index else 5
        if fate == 0:
            told.append(
                e.TaskNotRun(
                    task=task,
                    status=draw(st.sampled_from(_NOT_RUN)),
                    reason=draw(st.none() | _names),
                    outputs=draw(st.none() | st.lists(_files(), max_size=2)),
                )
            )
        elif fate > 1:
            tries = draw(st.integers(1, 3))
            for number in range(1, tries + 1):
                told += draw(_attempt(task, number, number == tries, children))
    if draw(st.integers(0, 3)) == 0:
        told.append(e.RecorderFailed(where="w", error="x", task="t", attempt=1))
    if draw(st.integers(0, 3)):
        outputs = draw(st.none() | st.lists(_files(), max_size=2))
        for file in outputs or ():
            file.origin = draw(st.none() | _paths)
        told.append(
            e.RunEnded(
                status=draw(st.sampled_from(_RAN[:3])),
                error=draw(st.none() | _names),
                outputs=outputs,
                results=draw(_mappings),
            )
        )
    return Told(told, {child: content for child, content in children.items() if content})
