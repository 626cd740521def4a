"""Which reader takes what, and what any child's JSON may do to a workflow's document: nothing."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.yprov4wms.ml.readers.runs import NESTS, document, nested, write
from tests.yprov4wms.prov.runs import ml_run

from yprov4wms import ml
from yprov4wms.ml import readers
from yprov4wms.ml.readers import ReadError
from yprov4wms.prov.vocabulary import ELEMENTS, RELATIONS

CHILD = "0198f3a1-0000-7000-8000-000000000000"


def test_our_own_run_is_read_from_its_folder_and_its_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("YPROV_EXPORT")
    with ml.start_run("digits", store=tmp_path) as run:
        ml.log_param("lr", 0.1)
    folder = tmp_path / run.id
    for path in (folder, folder / "prov.json"):
        (child,) = readers.read(path)
        assert (child.dialect, child.id, child.complete) == ("yprov4wms-ml", run.id, True)
    (tmp_path / "elsewhere.json").write_bytes((folder / "prov.json").read_bytes())
    (child,) = readers.read(tmp_path / "elsewhere.json")
    assert (child.dialect, child.id) == ("yprov4wms-ml", run.id)


def test_our_own_document_without_an_end_is_incomplete(tmp_path: Path) -> None:
    path = tmp_path / "child.json"
    path.write_bytes(ml_run(CHILD, complete=False))
    (child,) = readers.read(path)
    assert not child.complete


def test_any_other_prov_json_is_taken_as_it_is(tmp_path: Path) -> None:
    content = b'{"prefix": {"x": "http://x/"}, "activity": {"x:a": {}}}'
    path = tmp_path / "some.json"
    path.write_bytes(content)
    (child,) = readers.read(path)
    assert (child.dialect, child.content, child.complete) == ("prov", content, True)
    assert readers.read(path) == [child]
    for nest in NESTS:
        nested(child, nest)


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", "null", '{"entity": {}}', '{"entity": {}, "model": 3}', "x", "{"]
)
def test_what_is_no_child_run_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "metrics.json"
    path.write_text(text)
    with pytest.raises(ReadError, match="no child run"):
        readers.read(path)


def test_an_empty_folder_is_no_child_run(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="no child run"):
        readers.read(tmp_path)


def test_what_is_not_there_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        readers.read(tmp_path / "none")


def test_a_reader_of_others_is_asked_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = readers.ChildRun(dialect="theirs", id="1", content=b"{}", sources=("x",))

    class Theirs:
        def takes(self, path: Path) -> bool:
            return path.suffix == ".theirs"

        def read(self, path: Path, directory: Path | None = None) -> list[readers.ChildRun]:
            return [theirs, theirs]

    class Entry:
        name = "theirs"

        def load(self) -> Theirs:
            return Theirs()

    monkeypatch.setattr(readers.metadata, "entry_points", lambda group: [Entry()])
    path = tmp_path / "a.theirs"
    path.touch()
    assert readers.read(path) == [theirs]


# -- whatever is in a document ----------------------------------------------------------------

_scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(
        [
            *(
                "training",
                "exp_GR0_0",
                "None",
                "2026-11-21T10:00:00",
                "prov/exp_0/metrics_GR0/x.csv",
            ),
            *("{'$': 1, 'type': 'xsd:int'}", "{'$': [", "../../etc", "a\x00b", "\ud800"),
        ]
    ),
)
_values = st.recursive(
    _scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["$", "type", "lang", "x"]), inner, max_size=3),
    ),
    max_leaves=6,
)
_names = st.one_of(
    st.sampled_from(
        [
            *(
                "training",
                "exp_GR0_0",
                "Loss//training",
                "model.pt//training",
                "x:y",
                "",
                ":",
                "ada",
            ),
            *("prov:type", "prov:label", "prov:startedAtTime", "dcterms:identifier", "yprov:PID"),
            *("prov:generatedAtTime", "yprov4wfs:level", "yprov4wms:link", "prov:trigger"),
            *("prov:activity", "prov:entity", "prov:starter", "yprov4wms:original_id"),
        ]
    ),
    st.text(max_size=6),
)
_records = st.one_of(
    st.dictionaries(_names, _values, max_size=4),
    st.lists(st.dictionaries(_names, _values, max_size=3), max_size=3),
    _values,
)
_sections = st.sampled_from(["prefix", "bundle", *ELEMENTS, *RELATIONS])
_edits = st.lists(st.tuples(_sections, _names, _names, _records), max_size=6)
_whole = st.dictionaries(_sections, st.dictionaries(_names, _records, max_size=3), max_size=5)


def edited(edits: list[tuple[str, str, str, Any]]) -> dict[str, Any]:
    found = document("exp", 0, 0, 0, 60, CHILD)
    for section, name, attribute, value in edits:
        records = found.setdefault(section, {})
        record = records.get(name)
        if isinstance(record, dict) and attribute:
            record[attribute] = value
        else:
            records[name] = value
    return found


@given(content=st.one_of(_edits.map(edited), _whole), nest=st.sampled_from(NESTS))
def test_no_document_of_yprov4ml_breaks_the_workflows(content: dict[str, Any], nest: str) -> None:
    with tempfile.TemporaryDirectory() as work:
        folder = write(Path(work))
        (folder / "prov_exp_GR0_0.json").write_text(json.dumps(content))
        (child,) = readers.read(folder)
        nested(child, nest)


@given(content=_whole, nest=st.sampled_from(NESTS))
def test_no_other_document_breaks_the_workflows(content: dict[str, Any], nest: str) -> None:
    with tempfile.TemporaryDirectory() as work:
        path = Path(work, "some.json")
        path.write_text(json.dumps(content))
        try:
            (child,) = readers.read(path)
        except ReadError:
            return
        nested(child, nest)


@pytest.mark.parametrize("depth", [100, 480, 700, 900, 100_000])
@pytest.mark.parametrize("around", ["[]", '{"a":}'])
def test_no_depth_breaks_the_workflows(tmp_path: Path, depth: int, around: str) -> None:
    folder = write(tmp_path)
    path = folder / "prov_exp_GR0_0.json"
    deep = around[:-1] * depth + "1" + around[-1] * depth
    path.write_text(path.read_text().replace('"0.1"', f'"0.1", "x": {deep}'))
    (child,) = readers.read(folder)
    for nest in NESTS:
        nested(child, nest)


@given(text=st.binary(max_size=200), cut=st.integers(0, 3000))
def test_no_bytes_break_the_workflows(text: bytes, cut: int) -> None:
    with tempfile.TemporaryDirectory() as work:
        folder = write(Path(work))
        path = folder / "prov_exp_GR0_0.json"
        path.write_bytes(path.read_bytes()[:cut] + text)
        (child,) = readers.read(folder)
        nested(child)
