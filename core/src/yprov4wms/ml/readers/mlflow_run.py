"""One MLflow run through MLflow's client; imported by the process that reads a store."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from yprov4wms.ml.readers.mlflow_facts import Artifact, Dataset, Model, Run, Series, Version

#: Of one run or model; the others are counted.
MOST_ARTIFACTS = 1000
#: Bytes of one file that are read for its checksum, and of all files of a run.
LARGEST_HASHED = 256 << 20
MOST_HASHED = 1 << 30


def told(client: Any, run: Any, experiment: Any, root: str | None) -> Run:
    """All that a store has of a run. What cannot be read of it is in its notes.

    root: the folder of a file store, which may have been moved since.
    """
    info, data = run.info, run.data
    found = Run(
        id=info.run_id,
        name=info.run_name or data.tags.get("mlflow.runName"),
        experiment_id=str(info.experiment_id),
        experiment=experiment.name if experiment is not None else None,
        status=str(info.status),
        start_ms=info.start_time,
        end_ms=info.end_time,
        user=data.tags.get("mlflow.user") or info.user_id or None,
        lifecycle=info.lifecycle_stage,
        artifact_uri=info.artifact_uri,
        params=dict(data.params),
        tags=dict(data.tags),
    )
    files = _Files(client, found)
    home = Path(root, found.experiment_id) if root is not None else None
    missing: set[tuple[str, int, int]] = set()
    with _Noted(found, "metrics"):
        for key in sorted(data.metrics):
            found.series.append(_series(client, found.id, key, home, missing))
    with _Noted(found, "inputs"):
        found.datasets = [_dataset(one) for one in _inputs(run, "dataset_inputs")]
    with _Noted(found, "logged models"):
        _models(client, run, found, files, home, missing)
    with _Noted(found, "artifacts"):
        own = home / found.id / "artifacts" if home is not None else None
        remote = lambda path: client.list_artifacts(found.id, path)  # noqa: E731
        found.artifacts = files.under(found.artifact_uri, own, remote)
    if root is None or any((Path(root) / "models").glob("*")):
        with _Noted(found, "registered models"):
            versions = client.search_model_versions(f"run_id='{found.id}'")
            found.versions = [_version(one) for one in versions]
    return found


class _Noted:
    """What cannot be read is said, and the rest is told of."""

    def __init__(self, run: Run, what: str) -> None:
        self._run, self._what = run, what

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> bool:
        if not isinstance(error, Exception):
            return False
        reason = " ".join(str(error).split())[:200]
        self._run.notes[f"{self._what} that could not be read ({reason})"] = 1
        return True


def _series(
    client: Any, run: str, key: str, home: Path | None, missing: set[tuple[str, int, int]]
) -> Series:
    """In MLflow's own order, by which it knows the last value: step, then time, then value.

    A file store has a value again for each model that it is linked to. missing: gets the
    places of values that are no numbers.
    """
    values: dict[tuple[int, int, str], float] = {}
    for one in client.get_metric_history(run, key):
        values[one.step, one.timestamp, repr(one.value)] = one.value
        if math.isnan(one.value):
            missing.add((key, one.step, one.timestamp))
    ordered = sorted(values, key=lambda place: (place[0], place[1], _comparable(values[place])))
    numbers = [value for value in values.values() if not math.isnan(value)]
    path = home / run / "metrics" / key if home is not None else None
    first, last = ordered[0], ordered[-1]
    return Series(
        key=key,
        count=len(ordered),
        first=first[2],
        last=last[2],
        low=repr(min(numbers)) if numbers else None,
        high=repr(max(numbers)) if numbers else None,
        first_ms=min(moment for _, moment, _ in ordered),
        last_ms=max(moment for _, moment, _ in ordered),
        first_step=first[0],
        last_step=last[0],
        path=str(path) if path is not None and path.is_file() else None,
    )


def _comparable(value: float) -> float:
    return -math.inf if math.isnan(value) else value


def _inputs(run: Any, kind: str) -> Iterable[Any]:
    return getattr(getattr(run, "inputs", None), kind, None) or ()


def _dataset(one: Any) -> Dataset:
    data = one.dataset
    return Dataset(
        name=data.name,
        digest=data.digest,
        source_type=data.source_type,
        source=data.source,
        schema=data.schema,
        profile=data.profile,
        tags={tag.key: tag.value for tag in one.tags},
    )


def _models(
    client: Any,
    run: Any,
    found: Run,
    files: _Files,
    home: Path | None,
    missing: set[tuple[str, int, int]],
) -> None:
    """The models that it used and made, those included that it did not live to link."""
    outputs = getattr(getattr(run, "outputs", None), "model_outputs", None) or ()
    steps: dict[str, int | None] = {one.model_id: one.step for one in outputs}
    search = getattr(client, "search_logged_models", None)
    if search is not None:  # MLflow 3
        made = f"source_run_id = '{found.id}'"
        for one in search(experiment_ids=[found.experiment_id], filter_string=made):
            steps.setdefault(one.model_id, None)
    used = {one.model_id for one in _inputs(run, "model_inputs")} - steps.keys()
    for name in (*steps, *sorted(used)):
        with _Noted(found, f"logged model {name}"):
            model = client.get_logged_model(name)
            metrics: dict[str, tuple[int, int, str]] = {}
            for one in model.metrics or ():
                # SQL stores give a value that is no number as 0 here.
                lost = one.run_id == found.id and (one.key, one.step, one.timestamp) in missing
                value = (one.step, one.timestamp, "nan" if lost else repr(one.value))
                metrics[one.key] = max(metrics.get(one.key, value), value)
                if one.run_id == found.id and one.timestamp >= (model.creation_timestamp or 0):
                    _measured(found, one, name)
            told = Model(
                id=name,
                name=model.name,
                type=model.model_type,
                status=getattr(model.status, "name", None) or str(model.status),
                message=model.status_message,
                created_ms=model.creation_timestamp,
                location=model.artifact_location,
                step=steps.get(name),
                used=name in used,
                params=dict(model.params or {}),
                tags=dict(model.tags or {}),
                metrics={key: value for key, (_, _, value) in metrics.items()},
            )
            found.models.append(told)
            own = home / "models" / name / "artifacts" if home is not None else None
            told.artifacts = files.under(
                model.artifact_location,
                own,
                lambda path, name=name: client.list_logged_model_artifacts(name, path),
            )


def _measured(found: Run, one: Any, model: str) -> None:
    """A metric is of a model. What was logged before the model was there MLflow links as well:
    that does not come from it."""
    for series in found.series:
        if series.key == one.key:
            dataset = (one.dataset_name or "", one.dataset_digest or "")
            series.models += [model] if model not in series.models else []
            series.datasets += [dataset] if dataset not in series.datasets else []


def _version(one: Any) -> Version:
    return Version(
        name=one.name,
        version=str(one.version),
        model=getattr(one, "model_id", None),
        source=one.source,
    )


class _Files:
    """Artifacts: of this host's as they lie there, of others what the client tells."""

    def __init__(self, client: Any, run: Run) -> None:
        self._run = run
        self._hashed = 0

    def under(self, uri: str | None, own: Path | None, remote: Any) -> list[Artifact]:
        """own: where they lie in a file store that was moved."""
        folder = _local(uri)
        if own is not None and own.is_dir() and not (folder is not None and folder.is_dir()):
            folder = own
        if folder is not None:
            return self._walked(folder) if folder.is_dir() else []
        return self._listed(uri or "", remote)

    def _walked(self, folder: Path) -> list[Artifact]:
        found: list[Artifact] = []
        for place, folders, names in os.walk(folder):
            folders.sort()
            for name in sorted(names):
                path = Path(place, name)
                if not path.is_file():
                    continue
                if len(found) >= MOST_ARTIFACTS:
                    self._note("artifact beyond those that are listed")
                    continue
                size = path.stat().st_size
                relative = str(path.relative_to(folder))
                sha256 = self._sha256(path, size)
                found.append(Artifact(path=relative, size=size, sha256=sha256, file=str(path)))
        return found

    def _listed(self, uri: str, remote: Any) -> list[Artifact]:
        found: list[Artifact] = []
        waiting: list[str | None] = [None]
        while waiting:
            for one in remote(waiting.pop()):
                if one.is_dir:
                    waiting.append(one.path)
                elif len(found) >= MOST_ARTIFACTS:
                    self._note("artifact beyond those that are listed")
                else:
                    place = f"{uri.rstrip('/')}/{one.path}"
                    found.append(Artifact(path=one.path, size=one.file_size, uri=place))
        return sorted(found, key=lambda one: one.path)

    def _sha256(self, path: Path, size: int) -> str | None:
        if size > LARGEST_HASHED or self._hashed + size > MOST_HASHED:
            self._note("artifact too large to compute its checksum here")
            return None
        self._hashed += size
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def _note(self, note: str) -> None:
        self._run.notes[note] = self._run.notes.get(note, 0) + 1


def _local(uri: str | None) -> Path | None:
    """The folder that a URI names on this host, where it names one."""
    if not uri:
        return None
    if "://" not in uri and not uri.startswith("file:"):
        return Path(uri) if uri.startswith("/") else None
    parts = urlsplit(uri)
    if parts.scheme != "file" or parts.netloc not in ("", "localhost"):
        return None
    return Path(unquote(parts.path))
