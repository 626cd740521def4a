"""Records and documents that anybody may have written do no harm: no command fails but in one
line, nothing is written but what was asked for, and no format takes a name for more than that."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.yprov4wms.prov.anything import patient
from tests.yprov4wms.prov.runs import RUN_ID, Told, lines_of, ml_run, runs, sha
from tests.yprov4wms.written import READABLE, READS, WRITES, loaded, named, read

from yprov4wms import cli
from yprov4wms import events as e
from yprov4wms.events import File, FileType, Software, Status
from yprov4wms.prov import library
from yprov4wms.prov.rules import check

CHILD = "0198f3a1-0000-7000-8000-000000000000"
PROVS = ("prov-n", "prov-jsonld")
GRAPHS = ("node-link", "graphml", "dot", "mermaid")
#: Those that can be written here, and read back.
FORMATS = tuple(
    form
    for form in READABLE
    if (WRITES or form not in library.FORMATS)
    and find_spec("lxml" if form == "prov-xml" else "prov" if form in PROVS else "rdflib")
)


class Done(NamedTuple):
    status: int
    output: bytes
    errors: str


def command(*arguments: str) -> Done:
    """``yprov4wms`` in this process, which is quick enough for many."""
    output, errors = io.BytesIO(), io.BytesIO()
    before, status = sys.argv, 0
    sys.argv = ["yprov4wms", *arguments]
    with (
        contextlib.redirect_stdout(io.TextIOWrapper(output, "utf-8", write_through=True)) as out,
        contextlib.redirect_stderr(io.TextIOWrapper(errors, "utf-8", write_through=True)) as err,
    ):
        try:
            cli.main()
        except SystemExit as stop:
            status = int(stop.code or 0)
        finally:
            sys.argv = before
        out.flush()
        err.flush()
        return Done(status, output.getvalue(), errors.getvalue().decode())


def assert_told(done: Done) -> None:
    """That it did what was asked, or said in one line why not."""
    assert done.status in (0, 1, 2), done.errors
    assert "\x1b" not in done.errors
    assert "Traceback" not in done.errors
    if done.status == 2:
        wrong = [line for line in done.errors.splitlines() if " error: " in line]
        assert len(wrong) == 1, done.errors


@contextlib.contextmanager
def kept_in(lines: list[bytes], children: dict[str, bytes] | None = None) -> Iterator[Path]:
    """A folder with a store that holds this journal."""
    folder = Path(tempfile.mkdtemp())
    try:
        journal = folder / "store" / RUN_ID / "events" / "h-1-1.jsonl"
        journal.parent.mkdir(parents=True)
        journal.write_bytes(b"".join(lines))
        for child, content in (children or {}).items():
            path = journal.parents[1] / "children" / f"{child}.json"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)
        yield folder
    finally:
        shutil.rmtree(folder)


def assert_harmless(folder: Path, *forms: str) -> None:
    """That every command can be given the store."""
    store = ("--store", str(folder / "store"))
    before = _files(folder)
    assert_told(command("runs", *store))
    assert_told(command("show", *store))
    for form in ("prov-json", *forms):
        for coarse in ([], ["--coarse"]):
            target = folder / f"out.{form}"
            done = command("export", *store, "--format", form, *coarse, "-o", str(target))
            assert_told(done)
            assert (done.status == 0) == target.exists()
            if done.status == 0 and form == "prov-json":
                assert check(target.read_bytes()) == []
                assert command("validate", "--rules", "dialect", str(target)).status == 0
            target.unlink(missing_ok=True)
            assert _files(folder) - before <= {f"store/{RUN_ID}/prov.json"}


def _files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


# -- journals ------------------------------------------------------------------------------

junk = st.recursive(
    st.none()
    | st.booleans()
    | st.sampled_from([0, -1, 2**31, 2**63, 2**64, -(2**70), 10**400, 1e308, 5e-324, 1.5])
    | st.sampled_from(
        [
            *("", "\x00", "\x1b[31m", "../../x", "/etc/passwd", "=1+1", "<x>&", "NaN", "a", "é"),
            *("completed", "2026-03-01T10:00:00Z", "0001-01-01T00:00:00"),
            "9999-12-31T23:59:59.999999+00:00",
        ]
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.just("path"), inner, max_size=1),
    max_leaves=4,
)


@st.composite
def journals(draw: st.DrawFn) -> tuple[list[bytes], dict[str, bytes]]:
    """A run's journal in which some values are others, some lines others or none."""
    told: Told = draw(runs())
    lines = lines_of(told.events)
    for _ in range(draw(st.integers(1, 4))):
        index = draw(st.integers(0, len(lines) - 1))
        event = None
        with contextlib.suppress(ValueError):  # it was cut before
            event = json.loads(lines[index])
        if isinstance(event, dict) and draw(st.integers(0, 3)):
            name = draw(st.sampled_from([*event, "inputs", "outputs", "parent", "usage", "status"]))
            event[name] = draw(junk)
            lines[index] = json.dumps(event).encode() + b"\n"
        else:
            cut = draw(st.integers(0, len(lines[index])))
            lines[index] = lines[index][:cut] + draw(st.binary(max_size=5)) + b"\n"
    return lines, told.children


@settings(parent=patient, max_examples=60)
@given(journals(), st.sampled_from((*FORMATS, *GRAPHS, "prov-dot")))
def test_any_journal_is_shown_and_exported_or_told_of(
    found: tuple[list[bytes], dict[str, bytes]], form: str
) -> None:
    with kept_in(*found) as folder:
        assert_harmless(folder, form)


DEEP = 100_000


@pytest.mark.parametrize(
    "line",
    [
        b'{"v":1,"parameters":' + b"[" * DEEP + b"]" * DEEP + b"}",
        b"[" * DEEP,
        b'{"threads":' + b"9" * DEEP + b"}",
        b'{"type":"TaskStarted","threads":1e999999999}',
        b"\xff\xfe\x00",
        b'"' + b"\\u0000" * DEEP + b'"',
        b"",
    ],
    ids=["deep", "open", "long number", "big number", "no UTF-8", "nulls", "empty"],
)
def test_a_line_that_is_no_event_is_told_of(line: bytes) -> None:
    engine = Software(name="snakemake", kind="engine")
    lines = lines_of([e.RunStarted(engine=engine, workflow="w", directory="/w")])
    with kept_in([*lines, line + b"\n"]) as folder:
        assert_harmless(folder, *GRAPHS)
        done = command("export", "--store", str(folder / "store"), "-o", str(folder / "x"))
        assert done.status == 0
        assert ("not an event" in done.errors) == bool(line)


# -- names ---------------------------------------------------------------------------------

NAMES = [
    "=cmd|' /C calc'!A0",
    "+1+1",
    "@SUM(1)",
    "../../../etc/passwd",
    "/etc/passwd",
    "..\\..\\x",
    "<!DOCTYPE x [<!ENTITY a SYSTEM 'file:///etc/passwd'>]>&a;",
    "]]></prov:document><script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "javascript:alert(1)",
    "'; DROP TABLE runs; --",
    "${HOME} $(id) `id` %HOME% {{7*7}}",
    "endDocument\nprefix x <http://x/>",
    '" . <urn:a> <urn:b> <urn:c> . #',
    "%00%2e%2e%2f",
    "\u202egpj.exe",
    "\ufeff\u2028\u0085",
    "a" * 5000,
]


def run_of(name: str) -> tuple[list[bytes], dict[str, bytes]]:
    """A run in which everything that has a name has this one."""
    file = File(path=name, size=1, mtime_ns=1, sha256=sha(name), role=name)
    folder = File(path=f"{name}/d", type=FileType.DIRECTORY, members=[file], mtime_ns=1)
    child = ml_run(CHILD, [file], [File(path=f"/w/{name}", size=2, mtime_ns=2)])
    attached = e.ChildAttached(
        task=name,
        attempt=1,
        child=CHILD,
        type="yprov4wms-ml",
        document=File(path=f"children/{CHILD}.json"),
    )
    made = File(path=f"{name}.out", size=2, mtime_ns=2, role=name)
    told: list[e.Event] = [
        e.RunStarted(
            engine=Software(name=name, kind="engine", version=name),
            workflow=name,
            directory="/w",
            command=[name],
            config={name: {name: name}},
            person=e.Person(login=name, name=name),
            software=[Software(name=name, kind="package", path=name)],
        ),
        e.StepDeclared(step=name, code=name, label=name, attributes={name: name}),
        e.TaskPlanned(task=name, step=name, label=name),
        e.TaskStarted(
            task=name, attempt=1, inputs=[file, folder], command=name, wildcards={name: name}
        ),
        attached,
        e.TaskEnded(
            task=name, attempt=1, status=Status.FAILED, error=name, outputs=[made], host=name
        ),
        e.RunEnded(status=Status.FAILED, error=name),
    ]
    return lines_of(told), {CHILD: child}


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_a_name_is_a_name_in_every_format(name: str) -> None:
    with kept_in(*run_of(name)) as folder:
        assert_harmless(folder, *FORMATS, *GRAPHS, "prov-dot")
        store = ("--store", str(folder / "store"))
        content = command("export", *store, "-o", "-").output
        task = {
            record["yprov4wms:task"]
            for record in msgspec.json.decode(content)["activity"].values()
            if "yprov4wms:task" in record
        }
        assert task == {name}
        if READS:
            for form in {"prov-n", "prov-xml", "prov-jsonld", "turtle"}.intersection(FORMATS):
                text = command("export", *store, "--format", form).output
                assert read(text, form) == loaded(named(content, form)), form


@pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz draws it")
@pytest.mark.parametrize("form", ["svg", "prov-svg"])
def test_a_picture_has_nothing_that_runs(form: str) -> None:
    for name in NAMES[:-1]:
        with kept_in(*run_of(name)) as folder:
            done = command("export", "--store", str(folder / "store"), "--format", form)
            assert done.status == 0, done.errors
            for element in ElementTree.fromstring(done.output).iter():
                assert element.tag.removeprefix("{http://www.w3.org/2000/svg}") in _DRAWN
                for attribute, value in element.attrib.items():
                    assert not attribute.startswith("on")
                    assert not attribute.endswith("href") or "script" not in value


_DRAWN = ("svg", "g", "title", "polygon", "text", "path", "polyline", "ellipse", "a")


# -- documents -----------------------------------------------------------------------------


def nested_text(depth: int) -> Any:
    return b'{"entity":{"x:e":{"x:k":' + b"[" * depth + b"]" * depth + b"}}}"


@pytest.mark.parametrize(
    "content",
    [
        nested_text(900),
        nested_text(DEEP),
        b'{"a":' * DEEP,
        b'{"prefix":{"x":"http://x/"},"entity":{"x:e":{"x:k":' + b"9" * DEEP + b"}}}",
        b'{"prefix":{"x":"http://x/"},"entity":{"x:e":{"x:k":1e999999}}}',
        b'{"entity":{"../../etc/passwd":{"prov:label":"=cmd|x"}}}',
        b'{"entity":{"\\ud800":{}}}',
        b"<?xml version='1.0'?><!DOCTYPE l [<!ENTITY a 'aaaaaaaaaa'>"
        + b"".join(b"<!ENTITY %c '%s'>" % (98 + n, b"&%c;" % (97 + n) * 10) for n in range(9))
        + b"]><l>&j;</l>",
        b"<!DOCTYPE x [<!ENTITY a SYSTEM 'file:///etc/passwd'>]><x>&a;</x>",
        b"document\n" + b"bundle x:a\n" * 5000,
        b"document\nentity(x:" + b"a" * DEEP + b"\nendDocument",
        b"document\nentity(x, [x='" + b"\\" * DEEP,
        b"",
        b"\x00" * 100,
        b"\x1f\x8b\x08\x00junk",
        b"(\xb5/\xfdjunk",
    ],
    ids=range(16),
)
def test_validate_tells_of_any_document(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(content)
    done = command("validate", str(tmp_path / "x"))
    assert done.status in (1, 2), done
    assert_told(done)
    assert b"root:" not in done.output
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


@settings(parent=patient, max_examples=100)
@given(
    st.binary(max_size=200)
    | st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace"))
)
def test_validate_tells_of_any_bytes(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x"
        path.write_bytes(content)
        assert_told(command("validate", str(path)))
