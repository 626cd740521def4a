"""Lines of journals beside memory: what was put in is what comes out."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.yprov4wms.prov.runs import Told, content_of, folded, runs

from yprov4wms import lines, store
from yprov4wms.lines import Lines


@given(
    held=st.integers(0, 60),
    steps=st.lists(st.tuples(st.binary(min_size=1, max_size=30), st.integers(0, 99)), min_size=1),
)
def test_a_line_is_read_as_it_was_added_at_any_time(
    held: int, steps: list[tuple[bytes, int]]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "_HELD", held)
        kept, numbers = Lines(), []
        for line, choice in steps:
            numbers.append(kept.add(line))
            again = choice % len(numbers)
            assert kept.read(numbers[again]) == steps[again][0]
        assert [kept.read(number) for number in numbers] == [line for line, _ in steps]
        assert numbers == sorted(numbers)


@settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=40)
@given(runs(), st.integers(0, 4000))
def test_the_document_is_the_same_whatever_lies_beside_memory(told: Told, held: int) -> None:
    expected = content_of(folded(told.events), told.children)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "_HELD", held)
        assert content_of(folded(told.events), told.children) == expected


def test_a_line_too_long_for_one_read_stays_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "_HELD", 0)
    monkeypatch.setattr(lines, "_LENGTH", 4)
    kept = Lines()
    found = [b"short", b"as long as sixteen bytes and more", b"again"]
    assert [kept.read(number) for number in [kept.add(line) for line in found]] == found


def test_scratch_files_lie_where_tmpdir_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.setenv("TMPDIR", str(gone))
    monkeypatch.setattr("tempfile.tempdir", None)
    with store.scratch() as file:
        assert Path(f"/proc/self/fd/{file.fileno()}").readlink().is_relative_to(gone)
    assert list(gone.iterdir()) == []


def test_scratch_files_lie_on_the_disk_where_nothing_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("TMPDIR", raising=False)
    monkeypatch.setattr(store, "_LARGE", str(tmp_path))
    with store.scratch() as file:
        assert Path(f"/proc/self/fd/{file.fileno()}").readlink().is_relative_to(tmp_path)
    monkeypatch.setattr(store, "_LARGE", str(tmp_path / "not there"))
    with store.scratch() as file:
        assert file.write(b"x") == 1
