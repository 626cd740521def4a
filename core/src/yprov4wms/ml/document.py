"""An ML run as a PROV-JSON document of its own."""

from __future__ import annotations

import hashlib
import shlex
from typing import Any, BinaryIO

from yprov4wms.events import File, MLArtifact, MLDataset, MLMetricDeclared, MLModel
from yprov4wms.journal import spool_folder
from yprov4wms.ml.metrics import summarise
from yprov4wms.prov import attributes as attrs
from yprov4wms.prov.attempts import seconds
from yprov4wms.prov.files import file_attributes
from yprov4wms.prov.values import attributes, hashed_name, literal, local_name
from yprov4wms.prov.vocabulary import ML, Level, Link, Type, run_namespace
from yprov4wms.prov.writer import ProvJsonWriter
from yprov4wms.replay import replay
from yprov4wms.run import MLRun
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
        self._contexts: dict[str, str] = {}
        self._written: set[str] = set()
        self._generated: set[str] = set()
        self._versions: dict[str, set[tuple[str, str | None]]] = {}

    def build(self) -> ProvJsonWriter:
        self._root()
        for context in self._run.contexts:
            self._context(context.context, context.time)
        self._params()
        for metric in self._run.metrics:
            self._metric(metric)
        for dataset in self._run.datasets:
            self._dataset(dataset)
        for model in self._run.models:
            self._model(model)
        for artifact in self._run.artifacts:
            self._artifact(artifact)
        return self._writer

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
            "yprov:python_version": start.python,
            "yprov:host_name": start.host,
            "yprov4wms:pid": start.pid,
            "yprov4wms:command": shlex.join(start.command) if start.command else None,
            "yprov4wms:directory": start.directory,
            "yprov4wms:error": end.error if end else None,
            "yprov4wms:recorder_failures": len(self._run.failures) or None,
            "yprov4wms:unreadable_events": len(self._run.problems) or None,
            **attrs.keyed("attribute", start.attributes),
        }
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

    def _context(self, name: str | None, time: str | None = None) -> str:
        """The activity of a context, which is written when it is first named."""
        if name is None:
            return ROOT
        identifier = self._contexts.get(name)
        if identifier is None:
            identifier = self._contexts[name] = f"{ML}:{local_name('context_' + name)}"
            values = {
                "prov:startTime": time,
                "prov:label": name,
                "prov:type": Type.ML_CONTEXT,
                "yprov4wfs:level": Level.ML_CONTEXT,
            }
            self._writer.element("activity", identifier, attributes(values))
            self._writer.relation(
                "wasInformedBy", identifier, ROOT, f'"yprov4wms:link":"{Link.PART_OF}"'
            )
        return identifier

    def _params(self) -> None:
        """One entity per parameter and context; the last value stands, others are kept beside."""
        values: dict[tuple[str | None, str], list[Any]] = {}
        for param in self._run.params:
            seen = values.setdefault((param.context, param.name), [])
            if param.value not in seen[-1:]:
                seen.append(param.value)
        for (context, name), seen in values.items():
            identifier = f"{ML}:{_named('param', context, name)}"
            self._writer.element(
                "entity",
                identifier,
                attributes(
                    {
                        "prov:label": name,
                        "prov:type": Type.HYPERPARAMETER,
                        "prov:value": "null" if seen[-1] is None else seen[-1],
                        "yprov:context": context,
                        "yprov4wms:earlier_values": seen[:-1] or None,
                    }
                ),
            )
            self._writer.relation("used", self._context(context), identifier)

    def _metric(self, metric: MLMetricDeclared) -> None:
        name = _named("metric", metric.context, metric.name, metric.source)
        values: dict[str, Any] = {
            "prov:label": metric.name,
            "prov:type": Type.METRIC,
            "yprov:context": metric.context,
            "yprov:source": metric.source,
            "yprov4wms:unit": metric.unit,
            "dcterms:identifier": self._place + metric.path,
        }
        series = self._series(metric.path)
        if series is not None:
            summary = summarise(series.splitlines(keepends=True))
            values |= {
                "yprov4wms:sha256": hashlib.sha256(series).hexdigest() if self._run.end else None,
                "yprov4wms:count": summary.count,
                "yprov4wms:first": summary.first,
                "yprov4wms:last": summary.last,
                "yprov4wms:min": summary.min,
                "yprov4wms:max": summary.max,
            }
        identifier = self._logged(name, attributes(values))
        if identifier is not None:
            self._writer.relation("wasGeneratedBy", identifier, self._context(metric.context))

    def _series(self, path: str) -> bytes | None:
        try:
            return self._folder.read(path)
        except (OSError, ValueError):
            return self._spooled(path)

    def _spooled(self, path: str) -> bytes | None:
        """A series that its writer, killed or still alive, has not sent to a remote store."""
        if not self._folder.remote:
            return None
        folder, _, name = f"{self._folder.location}/{path}".rpartition("/")
        try:
            return (spool_folder(folder) / name).read_bytes()
        except OSError:
            return None

    def _dataset(self, dataset: MLDataset) -> None:
        values = {
            "prov:label": dataset.name,
            "prov:type": Type.DATASET,
            "yprov:context": dataset.context,
            "yprov4wms:samples": dataset.samples,
            "yprov4wms:shape": dataset.shape,
            "yprov4wms:content_sha256": dataset.sha256,
            **attrs.keyed("attribute", dataset.attributes),
        }
        file = self._file(dataset.file) if dataset.file is not None else None
        name = _named("dataset", dataset.context, dataset.name)
        identifier = self._logged(name, attributes(values), file)
        if identifier is None:
            return
        self._involve(identifier, dataset.context, dataset.input, dataset.time)
        if file is not None:
            self._involve(file, dataset.context, dataset.input, dataset.time)
            if dataset.input:
                self._writer.relation("wasDerivedFrom", identifier, file)
            else:
                self._writer.relation("wasDerivedFrom", file, identifier)

    def _model(self, model: MLModel) -> None:
        values = {
            "prov:label": model.name,
            "prov:type": Type.MODEL,
            "yprov:context": model.context,
            "yprov4wms:model_class": model.model_class,
            "yprov4wms:parameters": model.parameters,
            **attrs.keyed("attribute", model.attributes),
        }
        file = self._file(model.file) if model.file is not None else None
        name = _named("model", model.context, model.name)
        identifier = self._logged(name, attributes(values), file)
        if identifier is None:
            return
        self._involve(identifier, model.context, False, model.time)
        if file is not None:
            self._involve(file, model.context, False, model.time)
            self._writer.relation("wasDerivedFrom", file, identifier)

    def _artifact(self, artifact: MLArtifact) -> None:
        file = self._file(artifact.file, artifact.name)
        self._involve(file, artifact.context, artifact.input, artifact.time)

    def _involve(self, entity: str, context: str | None, used: bool, time: str) -> None:
        """Say that the run used an entity, or made it; it is made but once."""
        activity = self._context(context)
        if used:
            self._writer.relation("used", activity, entity)
        elif entity not in self._generated:
            self._generated.add(entity)
            self._writer.relation("wasGeneratedBy", entity, activity, f'"prov:time":"{time}"')

    def _file(self, file: File, name: str | None = None) -> str:
        """One entity per path and content, written once."""
        version = file.sha256 or f"{file.size} {file.mtime_ns}"
        identifier = f"{ML}:{hashed_name('file', version, file.path)}"
        more = f',"yprov4wms:artifact":{literal(name)}' if name else ""
        self._once(identifier, file_attributes(file, file.path) + more)
        return identifier

    def _logged(self, name: str, body: str, file: str | None = None) -> str | None:
        """Write what was logged under a name; None if the same was before.

        What is logged again and differs, as a model is at each checkpoint, is another entity.
        """
        known = self._versions.setdefault(name, set())
        if (body, file) in known:
            return None
        known.add((body, file))
        if len(known) > 1:
            name += "-" + hashed_name("", str(len(known)), name)[-8:]
        self._writer.element("entity", f"{ML}:{name}", body)
        return f"{ML}:{name}"

    def _once(self, identifier: str, body: str) -> bool:
        if identifier in self._written:
            return False
        self._written.add(identifier)
        self._writer.element("entity", identifier, body)
        return True


def _named(kind: str, context: str | None, name: str, source: str | None = None) -> str:
    """A readable name that no other triple of context, name and source has."""
    plain = ".".join(part for part in (context, source, name) if part is not None)
    if source is None and "." not in name and (context is None or "." not in context):
        return local_name(f"{kind}_{plain}")
    digest = hashed_name("", *(part or "" for part in (context, source, name)))[-8:]
    return local_name(f"{kind}_{plain}") + f"-{digest}"
