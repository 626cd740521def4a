"""What the tests with real frameworks share: a clean process, digits, what a run left."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.documents import Document, checked, value

from yprov4wms.ml import metrics, recorder

os.environ["KERAS_BACKEND"] = "torch"
os.environ["CUDA_VISIBLE_DEVICES"] = ""
for _name in ("HF_HUB_OFFLINE", "DO_NOT_TRACK", "HF_HUB_DISABLE_TELEMETRY"):
    os.environ[_name] = "1"
for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"


@pytest.fixture(autouse=True)
def clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty working directory, no settings, and no run left open."""
    for name in [name for name in os.environ if name.startswith("YPROV_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    yield
    run = recorder.current_run()
    if run is not None and run.active:
        run.end()


class Left:
    """What lies in the folder of one ended run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.document: Document = checked((folder / "prov.json").read_bytes())

    @property
    def run(self) -> dict[str, Any]:
        return self.document.section("activity")["ml:run"]

    @property
    def status(self) -> str:
        return str(self.run["yprov4wfs:status"])

    def entities(self, kind: str) -> list[dict[str, Any]]:
        found = self.document.section("entity").values()
        return [
            {key.rpartition(":")[2]: value(each) for key, each in entity.items()}
            for entity in found
            if entity.get("prov:type") == kind
        ]

    def params(self, context: str | None = None) -> dict[str, Any]:
        return {
            entity["label"]: entity["value"]
            for entity in self.entities("provml:HyperParameter")
            if entity.get("context") == context
        }

    def models(self) -> list[dict[str, Any]]:
        return self.entities("provml:Model")

    def datasets(self) -> dict[tuple[str, str | None], dict[str, Any]]:
        return {
            (found["label"], found.get("context")): found
            for found in self.entities("provml:Dataset")
        }

    def files(self) -> list[dict[str, Any]]:
        return [
            {key.rpartition(":")[2]: value(each) for key, each in entity.items()}
            for entity in self.document.section("entity").values()
            if "yprov4wms:path" in entity
        ]

    def series(self, name: str, context: str | None = None, **wanted: Any) -> metrics.Series:
        (found,) = [
            series
            for series in metrics.read(self.folder, name, **wanted)
            if series.context == context
        ]
        return found

    def values(self, name: str, context: str | None = None, **wanted: Any) -> list[float]:
        return list(self.series(name, context, **wanted).column.values)

    def steps(self, name: str, context: str | None = None, **wanted: Any) -> list[int]:
        return list(self.series(name, context, **wanted).column.steps)

    def names(self, context: str | None = None) -> set[str]:
        return {each.name for each in metrics.read(self.folder) if each.context == context}


@pytest.fixture
def left(tmp_path: Path) -> Callable[..., Left]:
    """The only run of a store."""

    def read(store: Path | None = None) -> Left:
        place = store or tmp_path / ".yprov"
        (found,) = [path for path in place.iterdir() if (path / "events").is_dir()]
        return Left(found)

    return read


@pytest.fixture(scope="session")
def digits() -> tuple[Any, Any]:
    """Images as float32 of 0 to 1, shape (400, 64), and labels, int64."""
    from sklearn.datasets import load_digits

    data, labels = load_digits(return_X_y=True)
    return (data[:400] / 16).astype("float32"), labels[:400].astype("int64")
