"""Artifacts that are copies of an attempt's files: by name and checksum, where but one fits."""

from __future__ import annotations

from typing import Any

from yprov4wms.events import File
from yprov4wms.prov.copies import artifacts

MODEL = {"yprov4wms:artifact_path": "deep/model.pt", "yprov4wms:sha256": "a"}


def versions(*files: tuple[str, str | None]) -> dict[str, tuple[str, File]]:
    return {path: (f"run:{path}", File(path=path, sha256=sha256)) for path, sha256 in files}


def found(made: dict[str, Any], used: dict[str, Any], **more: Any) -> dict[str, tuple[str, bool]]:
    return artifacts({"x": {**MODEL, **more}}, (), made, used)


def test_a_file_that_was_made_comes_before_one_that_was_used() -> None:
    made, used = versions(("out/model.pt", "a")), versions(("in/model.pt", "a"))
    assert found(made, used) == {"x": ("run:out/model.pt", True)}
    assert found({}, used) == {"x": ("run:in/model.pt", False)}


def test_another_name_or_another_content_is_another_file() -> None:
    assert found(versions(("model.pkl", "a")), versions(("model.pt", "b"))) == {}
    assert found(versions(("model.pt", None)), {}) == {}
    assert found(versions(("model.pt", None)), {}, **{"yprov4wms:sha256": None}) == {}


def test_of_two_that_fit_none_is_taken() -> None:
    assert found(versions(("1/model.pt", "a"), ("2/model.pt", "a")), {}) == {}


def test_what_is_a_version_itself_is_no_copy() -> None:
    assert artifacts({"x": MODEL}, ("x",), versions(("model.pt", "a")), {}) == {}
    assert artifacts({"x": {"yprov4wms:sha256": "a"}}, (), versions(("model.pt", "a")), {}) == {}
