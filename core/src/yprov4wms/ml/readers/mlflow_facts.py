"""What is asked of an MLflow store, and what its client answers: plain data.

MLflow is only imported by the process that answers (`mlflow_client`).
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

#: Tags that name the task attempt around an MLflow run, as `yprov4wms.mlflow_context` sets them.
RUN_TAG = "yprov4wms.run"
TASK_TAG = "yprov4wms.task"
ATTEMPT_TAG = "yprov4wms.attempt"

PARENT_TAG = "mlflow.parentRunId"

#: Run, task and attempt around an MLflow run.
Owner = tuple[str, str, str]


def owner_of(tags: Mapping[str, str]) -> Owner | None:
    """The task attempt that tags name."""
    run, task, attempt = (tags.get(name) for name in (RUN_TAG, TASK_TAG, ATTEMPT_TAG))
    return (run, task, attempt) if run and task and attempt else None


class Request(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Which runs of a store to tell of; without any choice, all.

    uri: a tracking URI, or the absolute path of an SQLite database. root: the folder of a file
    store. experiment: of this id only. run: this one, with what is nested in it. owner: those
    that carry its tags. since_ms: those that were not over before, in ms since the epoch. only:
    none whose tags name another attempt. known: not these, nor what is nested in them.
    """

    uri: str
    root: str | None = None
    experiment: str | None = None
    run: str | None = None
    owner: Owner | None = None
    since_ms: int | None = None
    only: Owner | None = None
    known: list[str] = []


class Series(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One metric's history without its values; numbers are Python's texts, ``nan`` included.

    low, high: of the values that are numbers. models: ids of logged models that values measure,
    datasets: names and digests of what they were measured on. path: of a file store's file.
    """

    key: str
    count: int
    first: str
    last: str
    low: str | None = None
    high: str | None = None
    first_ms: int
    last_ms: int
    first_step: int
    last_step: int
    models: list[str] = []
    datasets: list[tuple[str, str]] = []
    path: str | None = None


class Artifact(msgspec.Struct, kw_only=True, omit_defaults=True):
    """path: inside the artifacts. file: where it lies on this host; uri: where, if elsewhere."""

    path: str
    size: int | None = None
    sha256: str | None = None
    file: str | None = None
    uri: str | None = None


class Dataset(msgspec.Struct, kw_only=True, omit_defaults=True):
    name: str
    digest: str | None = None
    source_type: str | None = None
    source: str | None = None
    schema: str | None = None
    profile: str | None = None
    tags: dict[str, str] = {}


class Model(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A LoggedModel of MLflow 3. used: it is an input of the run."""

    id: str
    name: str | None = None
    type: str | None = None
    status: str | None = None
    message: str | None = None
    created_ms: int | None = None
    location: str | None = None
    step: int | None = None
    used: bool = False
    params: dict[str, str] = {}
    tags: dict[str, str] = {}
    metrics: dict[str, str] = {}
    artifacts: list[Artifact] = []


class Version(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A version of a registered model that was made of the run."""

    name: str
    version: str
    model: str | None = None
    source: str | None = None


class Run(msgspec.Struct, kw_only=True, omit_defaults=True):
    """notes: what could not be read of it, and how often."""

    id: str
    name: str | None = None
    experiment_id: str
    experiment: str | None = None
    status: str
    start_ms: int | None = None
    end_ms: int | None = None
    user: str | None = None
    lifecycle: str | None = None
    artifact_uri: str | None = None
    params: dict[str, str] = {}
    tags: dict[str, str] = {}
    series: list[Series] = []
    datasets: list[Dataset] = []
    models: list[Model] = []
    versions: list[Version] = []
    artifacts: list[Artifact] = []
    notes: dict[str, int] = {}

    @property
    def parent(self) -> str | None:
        return self.tags.get(PARENT_TAG)

    @property
    def owner(self) -> Owner | None:
        return owner_of(self.tags)


class Answer(msgspec.Struct, kw_only=True, omit_defaults=True):
    """error: why there are no runs. missing: because a library is not installed there."""

    error: str | None = None
    missing: bool = False
    version: str | None = None
    runs: list[Run] = []
