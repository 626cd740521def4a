"""MLflow runs in the words of our own ML runs: one document of a run and what is nested in it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from yprov4wms.events import Status
from yprov4wms.ml.readers import moments
from yprov4wms.ml.readers.draft import Draft, is_run
from yprov4wms.ml.readers.mlflow_facts import (
    ATTEMPT_TAG,
    PARENT_TAG,
    RUN_TAG,
    TASK_TAG,
    Artifact,
    Dataset,
    Model,
    Run,
    Series,
)
from yprov4wms.prov.attempts import seconds
from yprov4wms.prov.attributes import keyed
from yprov4wms.prov.copies import ARTIFACT
from yprov4wms.prov.foreign import Record
from yprov4wms.prov.vocabulary import ML, Link, Type, run_namespace

ROOT = f"{ML}:run"

STATUS = {
    "FINISHED": Status.COMPLETED,
    "FAILED": Status.FAILED,
    "KILLED": Status.CANCELLED,
    "RUNNING": Status.RUNNING,
    "SCHEDULED": Status.RUNNING,
}
#: What is told of under names that all ML runs have.
_SAID = {
    *("mlflow.runName", "mlflow.user", PARENT_TAG, RUN_TAG, TASK_TAG, ATTEMPT_TAG),
    *("mlflow.source.name", "mlflow.source.type", "mlflow.note.content"),
    *("mlflow.source.git.commit", "mlflow.source.git.branch", "mlflow.source.git.repoURL"),
}
_MODELS = "mlflow.log-model.history"
_CONTEXT = "mlflow.data.context"
_TARGETS = ("uri", "url", "path")


class Runs:
    """The records of a run and of those inside it.

    identifier: of the document's run. store: what people call it. directory: where relative
    paths of the runs start.
    """

    def __init__(self, identifier: str, store: str, directory: Path | None) -> None:
        self.draft = Draft()
        self.draft.prefixes[ML] = run_namespace(identifier)
        self._store = store
        self._directory = directory
        self._files: dict[str, str] = {}
        self._used: set[tuple[str, str]] = set()

    def add(self, run: Run, parent: str | None = None) -> str:
        """One run, as a part of that one; returns its name."""
        name = ROOT if parent is None else f"{ML}:run_{run.id}"
        prefix = f"{ML}:" if parent is None else f"{name}."
        record = self.draft.elements["activity"][name] = self._activity(run)
        is_run(record, run.name or run.id)
        if parent is not None:
            part = {"yprov4wms:link": Link.PART_OF.value}
            self.draft.relate("wasInformedBy", name, parent, **part)
        self._person(name, run.user)
        self._code(name, run.tags.get("mlflow.source.name"))
        for key, value in run.params.items():
            parameter = {"prov:type": Type.HYPERPARAMETER.value, "prov:value": value}
            self._entity(f"{prefix}param_{key}", key, parameter)
            self.draft.relate("used", name, f"{prefix}param_{key}")
        datasets = [self._dataset(name, prefix, n, one) for n, one in enumerate(run.datasets)]
        models = {one.id: self._model(name, prefix, one) for one in run.models}
        models |= self._older_models(name, prefix, run)
        for one in run.series:
            metric = self._metric(name, prefix, run, one)
            for model in one.models:
                if model in models:
                    self.draft.relate("wasDerivedFrom", metric, models[model])
            for entity, dataset in zip(datasets, run.datasets, strict=True):
                if (dataset.name, dataset.digest or "") in one.datasets:
                    self.draft.relate("wasDerivedFrom", metric, entity)
        for artifact in run.artifacts:
            self._made(name, artifact)
        for note, count in run.notes.items():
            self.draft.notes[note] += count
        return name

    def _entity(self, name: str, label: str, record: Record) -> None:
        self.draft.elements["entity"][name] = {"prov:label": label, **record}

    def _activity(self, run: Run) -> Record:
        tags = run.tags
        start, end = of_ms(run.start_ms), of_ms(run.end_ms)
        versions = [f"{one.name}/{one.version}" for one in run.versions]
        values: dict[str, Any] = {
            "prov:startTime": start,
            "prov:endTime": end,
            "prov:label": run.name or run.id,
            "yprov4wfs:status": STATUS.get(run.status, Status.RUNNING).value,
            "yprov4wfs:execution_time_sec": seconds(start, end),
            "yprov:experiment_name": run.experiment,
            "yprov:run_id": run.id,
            "yprov4wms:mlflow_status": run.status,
            "yprov4wms:experiment_id": run.experiment_id,
            "yprov4wms:tracking_store": self._store,
            "yprov4wms:artifacts": run.artifact_uri,
            "yprov4wms:parent_run": run.parent,
            "yprov4wms:deleted": True if run.lifecycle == "deleted" else None,
            "yprov4wms:source_name": tags.get("mlflow.source.name"),
            "yprov4wms:source_type": tags.get("mlflow.source.type"),
            "yprov4wms:description": tags.get("mlflow.note.content"),
            "yprov4wms:git_commit": tags.get("mlflow.source.git.commit"),
            "yprov4wms:git_branch": tags.get("mlflow.source.git.branch"),
            "yprov4wms:git_remote": tags.get("mlflow.source.git.repoURL"),
            "yprov4wms:registered_models": versions or None,
            **keyed("tag", {key: value for key, value in tags.items() if key not in _SAID}),
        }
        return {name: value for name, value in values.items() if value is not None}

    def _person(self, activity: str, login: str | None) -> None:
        if not login:
            return
        agent = {"prov:label": login, "prov:type": Type.PERSON.value, "yprov4wms:login": login}
        self.draft.elements["agent"].setdefault(f"{ML}:user_{login}", agent)
        self.draft.relate("wasAssociatedWith", activity, f"{ML}:user_{login}")

    def _code(self, activity: str, source: str | None) -> None:
        """The script, where it is a file here."""
        path = self._path(source)
        if path is not None and os.path.isfile(path):  # noqa: PTH113
            self._use(activity, self._file(path, {"yprov4wms:size": os.path.getsize(path)}))  # noqa: PTH202

    def _metric(self, activity: str, prefix: str, run: Run, one: Series) -> str:
        name = f"{prefix}metric_{one.key}"
        values: dict[str, Any] = {
            "prov:type": Type.METRIC.value,
            "yprov:source": "system" if one.key.startswith("system/") else None,
            "yprov4wms:count": one.count,
            "yprov4wms:first": float(one.first),
            "yprov4wms:last": float(one.last),
            "yprov4wms:min": float(one.low) if one.low else None,
            "yprov4wms:max": float(one.high) if one.high else None,
            "yprov4wms:first_step": one.first_step,
            "yprov4wms:last_step": one.last_step,
            "yprov4wms:series": one.path or f"{self._store}, run {run.id}, metric {one.key}",
        }
        self._entity(name, one.key, {k: v for k, v in values.items() if v is not None})
        when = of_ms(one.last_ms)
        self.draft.relate("wasGeneratedBy", name, activity, **({"prov:time": when} if when else {}))
        return name

    def _dataset(self, activity: str, prefix: str, number: int, one: Dataset) -> str:
        name = f"{prefix}dataset_{number}_{one.name}"
        tags = {key: value for key, value in one.tags.items() if key != _CONTEXT}
        source, profile = _object(one.source), _object(one.profile)
        values: dict[str, Any] = {
            "prov:type": Type.DATASET.value,
            "yprov:context": one.tags.get(_CONTEXT),
            "yprov4wms:digest": one.digest,
            "yprov4wms:samples": rows if isinstance(rows := profile.get("num_rows"), int) else None,
            "yprov4wms:source_type": one.source_type,
            "yprov4wms:source": one.source,
            "yprov4wms:schema": one.schema,
            "yprov4wms:profile": one.profile,
            **keyed("tag", tags),
        }
        self._entity(name, one.name, {k: v for k, v in values.items() if v is not None})
        self._use(activity, name)
        target = next((v for key in _TARGETS if isinstance(v := source.get(key), str)), None)
        path = self._path(target)
        if path is not None:
            file = self._file(path, {})
            self._use(activity, file)
            self.draft.relate("wasDerivedFrom", name, file)
        elif target:
            self.draft.notes["path that leads nowhere from here: no file stands for it"] += 1
        return name

    def _model(self, activity: str, prefix: str, one: Model) -> str:
        name = f"{prefix}model_{one.id}"
        values: dict[str, Any] = {
            "prov:type": Type.MODEL.value,
            "yprov4wms:model_id": one.id,
            "yprov4wms:model_type": one.type,
            "yprov4wms:model_status": one.status,
            "yprov4wms:note": one.message or None,
            "yprov4wms:step": one.step,
            "yprov4wms:location": one.location,
            **keyed("parameter", one.params),
            **keyed("metric", {key: _number(value) for key, value in one.metrics.items()}),
            **keyed("tag", one.tags),
        }
        record = {k: v for k, v in values.items() if v is not None}
        self._entity(name, one.name or one.id, record)
        if one.used:
            self._use(activity, name)
        else:
            when = of_ms(one.created_ms)
            more = {"prov:time": when} if when else {}
            self.draft.relate("wasGeneratedBy", name, activity, **more)
        for artifact in one.artifacts:
            if one.used:
                self._use(activity, file := self._artifact(artifact))
                self.draft.relate("wasDerivedFrom", name, file)
            else:
                self.draft.relate("wasDerivedFrom", self._made(activity, artifact), name)
        return name

    def _older_models(self, activity: str, prefix: str, run: Run) -> dict[str, str]:
        """Models as MLflow told of them up to 2.x: in a tag, with the files among the run's."""
        try:
            told = [one for one in json.loads(run.tags.get(_MODELS, "[]")) if isinstance(one, dict)]
        except (ValueError, TypeError):
            self.draft.notes[f"tag {_MODELS} that is not readable: no models of it"] += 1
            return {}
        known, found = {one.id for one in run.models}, {}
        for number, one in enumerate(told):
            path, model = str(one.get("artifact_path") or "").strip("/"), one.get("model_uuid")
            if one.get("model_id") in known or model in known:
                continue
            name = f"{prefix}model_{number}_{path}"
            flavors = one.get("flavors")
            values = {
                "prov:type": Type.MODEL.value,
                "yprov4wms:model_id": model,
                "yprov4wms:flavors": list(flavors) if isinstance(flavors, dict) else None,
                "yprov4wms:location": f"{run.artifact_uri}/{path}" if run.artifact_uri else None,
            }
            self._entity(name, path or run.id, {k: v for k, v in values.items() if v is not None})
            when = moments.moment(str(one.get("utc_time_created")), moments.zone("UTC+0000"))
            more = {"prov:time": when} if when else {}
            self.draft.relate("wasGeneratedBy", name, activity, **more)
            for artifact in run.artifacts:
                if artifact.path == path or artifact.path.startswith(f"{path}/" if path else ""):
                    self.draft.relate("wasDerivedFrom", self._made(activity, artifact), name)
            found[str(model)] = name
        return found

    def _artifact(self, one: Artifact) -> str:
        record: Record = {ARTIFACT: one.path}
        record |= {"yprov4wms:size": one.size} if one.size is not None else {}
        record |= {"yprov4wms:sha256": one.sha256} if one.sha256 else {}
        return self._file(one.file or one.uri or one.path, record)

    def _made(self, activity: str, one: Artifact) -> str:
        """A file that the run made; of its own and of a model inside, it is one."""
        name = self._artifact(one)
        if ("", name) not in self._used:
            self._used.add(("", name))
            self.draft.relate("wasGeneratedBy", name, activity)
        return name

    def _file(self, path: str, record: Record) -> str:
        name = self._files.setdefault(path, f"{ML}:file_{len(self._files)}")
        known = self.draft.elements["entity"].setdefault(
            name,
            {
                "prov:label": path.rstrip("/").rpartition("/")[2] or path,
                "prov:type": Type.FILE.value,
                "yprov4wms:path": path,
            },
        )
        known.update(record)
        return name

    def _use(self, activity: str, entity: str) -> None:
        if (activity, entity) not in self._used:
            self._used.add((activity, entity))
            self.draft.relate("used", activity, entity)

    def _path(self, told: str | None) -> str | None:
        """A path or URI that a run names, from the root; None where that cannot be told."""
        if not told or "\0" in told:
            return None
        told = told.removeprefix("file://")
        if "://" in told or told.startswith("/"):
            return told if "://" in told else os.path.normpath(told)
        return os.path.normpath(self._directory / told) if self._directory is not None else None


def of_ms(moment: int | None) -> str | None:
    return moments.of_seconds(moment / 1000) if moment else None


def _number(text: str) -> float | str:
    """A mask stays what it is."""
    try:
        return float(text)
    except ValueError:
        return text


def _object(text: str | None) -> dict[str, Any]:
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
