"""An ML run as a PROV-JSON document of its own."""

from __future__ import annotations

import shlex
from typing import Any, BinaryIO

import msgspec

from yprov4wms.events import (
    Event,
    File,
    MLArtifact,
    MLCode,
    MLContextEnded,
    MLContextStarted,
    MLDataset,
    MLEnvironment,
    MLMetricDeclared,
    MLModel,
    MLParam,
)
from yprov4wms.integrity import manifest
from yprov4wms.ml import metrics
from yprov4wms.prov import attributes as attrs
from yprov4wms.prov.attempts import seconds
from yprov4wms.prov.files import file_attributes
from yprov4wms.prov.values import attributes, hashed_name, literal, local_name
from yprov4wms.prov.vocabulary import ML, Level, Link, Type, run_namespace
from yprov4wms.prov.writer import ProvJsonWriter
from yprov4wms.replay import replay
from yprov4wms.run import MLRank, MLRun
from yprov4wms.store import RunFolder, StoreError, write_atomically

ROOT = f"{ML}:run"


def write(folder: RunFolder) -> None:
    """Build the document of the ML run in ``folder`` and put it there as ``prov.json``.

    Raises StoreError where the folder holds no ML run, OSError where it cannot be written.
    """
    run = replay(folder)
    if not isinstance(run, MLRun):
        raise StoreError(f"{folder.location}: not an ML run")
    document = build(run, folder)

    def fill(file: BinaryIO) -> None:
        document.write_to(file)

    write_atomically(folder.document, fill)
    manifest.write(folder)


def build(run: MLRun, folder: RunFolder, place: str = "") -> ProvJsonWriter:
    """The run's records; metric series are summarised from their files in ``folder``.

    place: of that folder, from where the document's paths of series are to start.
    """
    return _Document(run, folder, place).build()


class _Document:
    def __init__(self, run: MLRun, folder: RunFolder, place: str) -> None:
        self._place = f"{place}/" if place else ""
        self._run = run
        self._folder = folder
        self._writer = ProvJsonWriter({ML: run_namespace(run.id)})
        self._several = len(run.ranks) > 1 or run.start.rank is not None
        self._ranks = {rank.start.writer: rank for rank in run.ranks}
        #: By writer and name.
        self._contexts: dict[tuple[str, str], str] = {}
        self._times = _times(run)
        self._written: set[str] = set()
        self._generated: set[str] = set()
        self._versions: dict[str, dict[tuple[str, str | None], str]] = {}

    def build(self) -> ProvJsonWriter:
        self._root()
        for rank in self._run.ranks if self._several else ():
            self._rank(rank)
        for event in self._run.contexts:
            self._context(event, event.context)
        for environment in self._run.environments:
            self._environment(environment)
        for code in self._run.codes:
            self._code(code)
        self._params()
        self._metrics()
        for dataset in self._run.datasets:
            self._dataset(dataset)
        for model in self._run.models:
            self._model(model)
        for artifact in self._run.artifacts:
            self._artifact(artifact)
        return self._writer

    # -- activities --------------------------------------------------------------

    def _root(self) -> None:
        start, end = self._run.start, self._run.end
        values = {
            "prov:startTime": start.time,
            "prov:endTime": end.time if end else None,
            "prov:label": start.name or start.experiment,
            "prov:type": Type.ML_RUN,
            "yprov4wfs:level": Level.ML_RUN,
            "yprov4wfs:status": self._run.status,
            "yprov4wfs:execution_time_sec": seconds(start.time, end.time if end else None),
            "yprov:experiment_name": start.experiment,
            "yprov:run_id": self._run.id,
            "yprov4wms:error": end.error if end else None,
            "yprov4wms:recorder_failures": len(self._run.failures) or None,
            "yprov4wms:unreadable_events": len(self._run.problems) or None,
        }
        if self._several:
            values["yprov4wms:ranks"] = len(self._run.ranks)
            values["yprov4wms:world_size"] = start.world_size
            values["yprov4wms:launcher"] = start.launcher
        else:
            values |= self._process(self._run.ranks[0])
        values |= attrs.keyed("attribute", start.attributes)
        self._writer.element("activity", ROOT, attributes(values))
        if start.person is not None:
            person = f"{ML}:person"
            who = {
                "prov:label": start.person.name
                or start.person.login
                or start.person.orcid
                or "unknown person",
                "prov:type": Type.PERSON,
                "yprov4wms:login": start.person.login,
                "yprov4wms:name": start.person.name,
                "yprov4wms:orcid": attrs.orcid(start.person),
            }
            self._writer.element("agent", person, attributes(who))
            self._writer.relation("wasAssociatedWith", ROOT, person)

    def _process(self, rank: MLRank) -> dict[str, Any]:
        start = rank.start
        return {
            "yprov:python_version": start.python,
            "yprov:host_name": start.host,
            "yprov4wms:pid": start.pid,
            "yprov4wms:command": shlex.join(start.command) if start.command else None,
            "yprov4wms:directory": start.directory,
        }

    def _rank(self, rank: MLRank) -> None:
        """One process of several: an activity inside of the run."""
        start, end = rank.start, rank.end
        ended = end.time if end else None
        values = {
            "prov:startTime": start.time,
            "prov:endTime": ended,
            "prov:label": f"rank {start.rank or 0}",
            "prov:type": Type.ML_CONTEXT,
            "yprov4wfs:level": Level.ML_CONTEXT,
            "yprov4wfs:status": rank.status,
            "yprov4wfs:execution_time_sec": seconds(start.time, ended),
            "yprov:global_rank": str(start.rank or 0),
            "yprov:local_rank": None if start.local_rank is None else str(start.local_rank),
            "yprov4wms:error": end.error if end else None,
            "yprov4wms:lost": True if rank.lost else None,
            **self._process(rank),
        }
        self._part(self._activity(start), ROOT, values)

    def _activity(self, event: Event) -> str:
        """Of the process that tells of an event."""
        rank = self._ranks.get(event.writer)
        if not self._several or rank is None:
            return ROOT
        return f"{ML}:{local_name(f'rank_{rank.start.rank or 0}')}" + (
            "" if self._only(rank) else f"-{hashed_name('', event.writer)[-8:]}"
        )

    def _only(self, rank: MLRank) -> bool:
        """Whether no other process says that it is the same rank."""
        number = rank.start.rank or 0
        return sum((other.start.rank or 0) == number for other in self._run.ranks) == 1

    def _context(self, event: Event, name: str | None) -> str:
        """The activity of a context, which is written when it is first named."""
        if name is None:
            return self._activity(event)
        key = (event.writer, name)
        identifier = self._contexts.get(key)
        if identifier is None:
            began, ended, parent = self._times.get(key, (None, None, None))
            outer = self._context(event, parent if parent != name else None)
            within = "" if self._activity(event) == ROOT else f"{outer.partition(':')[2]}-"
            identifier = f"{ML}:{local_name(f'{within}context_{name}')}"
            self._contexts[key] = identifier
            label = name.removeprefix(f"{parent}/") if parent else name
            values = {
                "prov:startTime": began,
                "prov:endTime": ended,
                "prov:label": label,
                "prov:type": Type.ML_CONTEXT,
                "yprov4wfs:level": Level.ML_CONTEXT,
                "yprov:context": name if label != name else None,
            }
            self._part(identifier, outer, values)
        return identifier

    def _part(self, identifier: str, whole: str, values: dict[str, Any]) -> None:
        self._writer.element("activity", identifier, attributes(values))
        more = f'"yprov4wms:link":"{Link.PART_OF}"'
        self._writer.relation("wasInformedBy", identifier, whole, more)

    # -- what the run was given --------------------------------------------------

    def _environment(self, environment: MLEnvironment) -> None:
        values = {
            "prov:label": "environment",
            "prov:type": Type.ENVIRONMENT,
            "yprov4wms:platform": environment.platform,
            "yprov4wms:machine": environment.machine,
            "yprov4wms:cpus": environment.cpus,
            "yprov4wms:packages": [f"{n}=={v}" for n, v in environment.packages.items()] or None,
        }
        entity = self._logged("environment", attributes(values))[0]
        self._writer.relation("used", self._activity(environment), entity)

    def _code(self, code: MLCode) -> None:
        git, activity = code.git, self._activity(code)
        for file in code.files or ():
            self._involve(self._file(file), activity, True, code.time)
        if git is None:
            return
        values = {
            "prov:label": f"{git.commit or 'uncommitted'}{' with changes' if git.dirty else ''}",
            "prov:type": Type.SOURCE_CODE,
            "yprov4wms:commit": git.commit,
            "yprov4wms:branch": git.branch,
            "yprov4wms:remote": git.remote,
            "yprov4wms:dirty": git.dirty,
            "yprov4wms:changed": git.changed or None,
        }
        entity = self._logged("code", attributes(values))[0]
        self._involve(entity, activity, True, code.time)
        if code.diff is not None:
            kept = msgspec.structs.replace(code.diff, path=self._place + code.diff.path)
            diff = self._file(kept)
            self._involve(diff, activity, True, code.time)
            self._writer.relation("wasDerivedFrom", entity, diff)

    def _params(self) -> None:
        """One entity per parameter and context; the last value stands, others are kept beside.

        Ranks that were given the same have one.
        """
        values: dict[tuple[str, str | None, str | None, str], list[MLParam]] = {}
        for param in self._run.params:
            key = (param.writer, param.context, param.source, param.name)
            seen = values.setdefault(key, [])
            if not seen or seen[-1].value != param.value:
                seen.append(param)
        for (_, context, source, name), seen in values.items():
            last = seen[-1]
            found = {
                "prov:label": name,
                "prov:type": Type.HYPERPARAMETER,
                "prov:value": "null" if last.value is None else last.value,
                "yprov:context": context,
                "yprov:source": source,
                "yprov4wms:earlier_values": [param.value for param in seen[:-1]] or None,
            }
            entity, _ = self._logged(_named("param", context, name, source), attributes(found))
            self._involve(entity, self._context(last, context), last.input, last.time)

    def _dataset(self, dataset: MLDataset) -> None:
        values = {
            "prov:label": dataset.name,
            "prov:type": Type.DATASET,
            "yprov:context": dataset.context,
            "yprov:source": dataset.source,
            "yprov4wms:samples": dataset.samples,
            "yprov4wms:shape": dataset.shape,
            "yprov4wms:content_sha256": dataset.sha256,
            **attrs.keyed("attribute", dataset.attributes),
        }
        file = self._file(dataset.file) if dataset.file is not None else None
        name = _named("dataset", dataset.context, dataset.name)
        identifier, new = self._logged(name, attributes(values), file)
        activity = self._context(dataset, dataset.context)
        self._involve(identifier, activity, dataset.input, dataset.time)
        if file is not None:
            self._involve(file, activity, dataset.input, dataset.time)
            if new:
                ends = (identifier, file) if dataset.input else (file, identifier)
                self._writer.relation("wasDerivedFrom", *ends)

    # -- what it made ------------------------------------------------------------

    def _metrics(self) -> None:
        for metric, summary in metrics.summaries(self._run, self._folder):
            self._metric(metric, summary)

    def _metric(self, metric: MLMetricDeclared, summary: metrics.Summary | None) -> None:
        rank = self._ranks.get(metric.writer)
        several = self._several and rank is not None
        end = rank.end if rank is not None else None
        file = end.metrics if end is not None else None
        values: dict[str, Any] = {
            "prov:label": metric.name,
            "prov:type": Type.METRIC,
            "yprov:context": metric.context,
            "yprov:source": metric.source,
            "yprov:global_rank": str(rank.start.rank or 0) if rank and several else None,
            "yprov4wms:unit": metric.unit,
            "dcterms:identifier": self._place + metric.path,
            "yprov4wms:series": metric.series,
            "yprov4wms:sha256": file.sha256 if file is not None else None,
        }
        if summary is not None:
            values |= {
                "yprov4wms:count": summary.count,
                "yprov4wms:first": summary.first,
                "yprov4wms:last": summary.last,
                "yprov4wms:min": summary.min,
                "yprov4wms:max": summary.max,
            }
        name = _named("metric", metric.context, metric.name, metric.source)
        if several:
            name = f"{self._activity(metric).partition(':')[2]}-{name}"
        identifier, _ = self._logged(name, attributes(values))
        activity = self._context(metric, metric.context)
        self._writer.relation("wasGeneratedBy", identifier, activity)

    def _model(self, model: MLModel) -> None:
        values = {
            "prov:label": model.name,
            "prov:type": Type.MODEL,
            "yprov:context": model.context,
            "yprov:source": model.source,
            "yprov4wms:step": model.step,
            "yprov4wms:model_class": model.model_class,
            "yprov4wms:parameters": model.parameters,
            "yprov4wms:layers": model.layers,
            **attrs.keyed("attribute", model.attributes),
        }
        file = self._file(model.file) if model.file is not None else None
        name = _named("model", model.context, model.name)
        identifier, new = self._logged(name, attributes(values), file)
        activity = self._context(model, model.context)
        self._involve(identifier, activity, model.input, model.time)
        if file is not None:
            self._involve(file, activity, model.input, model.time)
            if new:
                ends = (identifier, file) if model.input else (file, identifier)
                self._writer.relation("wasDerivedFrom", *ends)
            self._copy(model, file, activity)

    def _artifact(self, artifact: MLArtifact) -> None:
        more = {
            "yprov:source": artifact.source,
            "yprov4wms:step": artifact.step,
            **attrs.keyed("attribute", artifact.attributes),
        }
        file = self._file(artifact.file, artifact.name, more)
        activity = self._context(artifact, artifact.context)
        self._involve(file, activity, artifact.input, artifact.time)
        self._copy(artifact, file, activity)

    def _copy(self, logged: MLArtifact | MLModel, file: str, activity: str) -> None:
        if logged.copy is not None:
            copy = self._file(logged.copy)
            if copy != file:
                self._involve(copy, activity, False, logged.time)
                self._once_related(copy, file)

    def _once_related(self, one: str, other: str) -> None:
        if (key := f"{one} {other}") not in self._written:
            self._written.add(key)
            self._writer.relation("wasDerivedFrom", one, other)

    def _involve(self, entity: str, activity: str, used: bool, time: str) -> None:
        """Say that an activity used an entity, or made it; it is made but once."""
        if used:
            key = f"{activity} used {entity}"
            if key not in self._written:
                self._written.add(key)
                self._writer.relation("used", activity, entity)
        elif entity not in self._generated:
            self._generated.add(entity)
            self._writer.relation("wasGeneratedBy", entity, activity, f'"prov:time":"{time}"')

    def _file(
        self, file: File, name: str | None = None, attributes_: dict[str, Any] | None = None
    ) -> str:
        """One entity per path and content, written once."""
        version = file.sha256 or f"{file.size} {file.mtime_ns}"
        identifier = f"{ML}:{hashed_name('file', version, file.path)}"
        if identifier not in self._written:
            self._written.add(identifier)
            more = f',"yprov4wms:artifact":{literal(name)}' if name else ""
            others = attributes(attributes_) if attributes_ else ""
            body = file_attributes(file, file.path) + more + (f",{others}" if others else "")
            self._writer.element("entity", identifier, body)
        return identifier

    def _logged(self, name: str, body: str, file: str | None = None) -> tuple[str, bool]:
        """The entity of what was logged under a name, and whether it is written only now.

        What is logged again and differs, as a model is at each checkpoint, is another entity.
        """
        known = self._versions.setdefault(name, {})
        if (body, file) in known:
            return known[body, file], False
        if known:
            name += "-" + hashed_name("", str(len(known) + 1), name)[-8:]
        identifier = known[body, file] = f"{ML}:{name}"
        self._writer.element("entity", identifier, body)
        return identifier, True


_Times = dict[tuple[str, str], tuple[str | None, str | None, str | None]]


def _times(run: MLRun) -> _Times:
    """By writer and name of a context: when it began, when it ended, and of what it is a part.

    One that was not ended by itself ended with its process.
    """
    found: _Times = {}
    ends = {rank.start.writer: rank.end.time for rank in run.ranks if rank.end is not None}
    for event in run.contexts:
        key = (event.writer, event.context)
        began, ended, parent = found.get(key, (None, ends.get(event.writer), None))
        if isinstance(event, MLContextStarted) and began is None:
            began, parent = event.time, event.parent
        elif isinstance(event, MLContextEnded):
            ended = event.time
        found[key] = (began, ended, parent)
    return found


def _named(kind: str, context: str | None, name: str, source: str | None = None) -> str:
    """A readable name that no other triple of context, name and source has."""
    plain = ".".join(part for part in (context, source, name) if part is not None)
    if source is None and "." not in name and (context is None or "." not in context):
        return local_name(f"{kind}_{plain}")
    digest = hashed_name("", *(part or "" for part in (context, source, name)))[-8:]
    return local_name(f"{kind}_{plain}") + f"-{digest}"
