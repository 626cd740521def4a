"""An ML run as an RO-Crate: Process Run Crate 0.5, one action that the script did.

In it are the run's document, its card, its metrics (as CSV, and as they were recorded) and
the files that it used and made, up to `MOST_BYTES` each; larger ones, directories, and what
has changed since are named by where they were, with what is known of them.
"""

from __future__ import annotations

import hashlib
import io
import math
import mimetypes
import shlex
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import quote

import msgspec

from yprov4wms.events import FileType, Status
from yprov4wms.export.rocrate.crate import PROCESS_RUN, Crate, Reference
from yprov4wms.export.rocrate.sinks import Sink, zipped
from yprov4wms.ml import document, formats, metrics
from yprov4wms.ml.card import card
from yprov4wms.prov.values import local_name

if TYPE_CHECKING:
    from yprov4wms.events import File, MLParam
    from yprov4wms.run import MLRun
    from yprov4wms.store import RunFolder

#: Of one file, and of all, that are copied into a crate.
MOST_BYTES = 100 << 20
MOST_IN_ALL = 1 << 30

#: Schema.org has no status for what was stopped: it did not complete.
_STATUS = {
    Status.COMPLETED: "http://schema.org/CompletedActionStatus",
    Status.RUNNING: "http://schema.org/ActiveActionStatus",
}
_FAILED = "http://schema.org/FailedActionStatus"

_encode = msgspec.json.Encoder().encode


def write(run: MLRun, folder: RunFolder, file: BinaryIO) -> None:
    """Put the run, whose record is in ``folder``, into an open file. Raises OSError."""
    with zipped(file, _date(run)) as sink:
        _MLCrate(run, folder, sink).write()


def _date(run: MLRun) -> str:
    """When it ended, or what is known next to that."""
    end = run.end
    return end.time if end else run.start.time


class _MLCrate:
    def __init__(self, run: MLRun, folder: RunFolder, sink: Sink) -> None:
        start = run.start
        self._run, self._folder = run, folder
        self._title = f"{start.experiment}: {start.name}" if start.name else start.experiment
        given = (start.attributes or {}).get("license")
        self._crate = Crate(
            sink,
            name=self._title,
            description=f"A machine-learning run of the experiment {start.experiment}, "
            f"recorded by yprov4wms: {run.status.value}.",
            date=_date(run),
            license_=given if isinstance(given, str) and given else "No license is stated.",
        )
        self._crate.conform(PROCESS_RUN)
        self._room = MOST_IN_ALL
        self._known: dict[tuple[str, str | None], Reference] = {}
        self._used: list[Reference] = []
        self._made: list[Reference] = []

    def write(self) -> None:
        self._record()
        self._parameters()
        for dataset in self._run.datasets:
            about = {"additionalType": "Dataset", "name": dataset.name}
            self._involve(dataset.file, dataset.input, about, self._dataset(dataset))
        for model in self._run.models:
            known = {
                "name": model.name,
                "additionalType": "Model",
                "description": _joined(
                    model.model_class,
                    None if model.parameters is None else f"{model.parameters} parameters",
                ),
            }
            named = ("model", model.name, model.step)
            self._involve(model.file, model.input, known, named, model.copy)
        for artifact in self._run.artifacts:
            about = {"name": artifact.name}
            key = ("artifact", artifact.name)
            self._involve(artifact.file, artifact.input, about, key, artifact.copy)
        self._metrics()
        self._crate.mention(self._action())
        self._crate.close()

    # -- the action ----------------------------------------------------------------

    def _action(self) -> Reference:
        start, end, status = self._run.start, self._run.end, self._run.status
        ranks = f"in {len(self._run.ranks)} processes" if len(self._run.ranks) > 1 else None
        return self._crate.add(
            f"urn:uuid:{self._run.id}",
            "CreateAction",
            name=self._title,
            description=_joined(
                "Machine-learning run",
                ranks,
                "cancelled" if status is Status.CANCELLED else None,
                shlex.join(start.command) if start.command else None,
            ),
            startTime=_time(start.time),
            endTime=_time(end.time) if end else None,
            actionStatus=_STATUS.get(status, _FAILED),
            error=end.error if end and status not in _STATUS else None,
            instrument=self._instrument(),
            agent=self._person(),
            object=_once(self._used),
            result=_once(self._made),
        )

    def _instrument(self) -> Reference:
        """What the command starts; its code, as far as that is known."""
        start = self._run.start
        words = [word for word in (start.command or ())[1:] if not word.startswith("-")]
        name = words[0] if words else (start.command or [start.experiment])[0]
        git = next((code.git for code in self._run.codes if code.git is not None), None)
        files = [file for code in self._run.codes for file in code.files or ()]
        parts = [self._file(file, {"additionalType": "SoftwareSourceCode"}) for file in files]
        for code in self._run.codes:
            if code.diff is not None:
                with suppress(OSError, ValueError):
                    content = self._folder.read(code.diff.path)
                    name_ = "Changes since the commit"
                    parts.append(self._crate.store(code.diff.path, content, name=name_))
        version = None
        if git is not None and git.commit:
            version = git.commit + (" with changes" if git.dirty else "")
        return self._crate.add(
            f"urn:uuid:{self._run.id}#script",
            "SoftwareApplication",
            name=name.rpartition("/")[2] or name,
            description=shlex.join(start.command) if start.command else None,
            url=git.remote if git is not None and "://" in (git.remote or "") else None,
            softwareVersion=version,
            runtimePlatform=f"Python {start.python}" if start.python else None,
            hasPart=parts,
        )

    def _person(self) -> Reference | None:
        person = self._run.start.person
        if person is None:
            return None
        identifier = f"https://orcid.org/{person.orcid}" if person.orcid else "#person"
        name = person.name or person.login
        found = self._crate.add(identifier, "Person", name=name)
        self._crate.author(found)
        return found

    # -- the record ----------------------------------------------------------------

    def _record(self) -> None:
        spool = io.BytesIO()
        document.build(self._run, self._folder).write_to(spool)
        kind = "application/json"
        prov = "http://www.w3.org/ns/prov#"
        self._crate.store(
            "prov.json",
            spool.getvalue(),
            name="W3C PROV document of the run (PROV-JSON)",
            encodingFormat=kind,
            conformsTo=self._crate.add(prov, "CreativeWork", name="W3C PROV"),
            about={"@id": f"urn:uuid:{self._run.id}"},
        )
        page = card(self._run, self._folder).encode("utf-8", "replace")
        self._crate.store(
            "card.md", page, name="Summary of the run", encodingFormat="text/markdown"
        )
        for environment in self._run.environments[:1]:
            lines = [f"{name}=={version}\n" for name, version in environment.packages.items()]
            self._crate.store(
                "requirements.txt",
                "".join(lines).encode("utf-8", "replace"),
                name="Installed Python packages",
                encodingFormat="text/plain",
            )

    def _parameters(self) -> None:
        last: dict[tuple[Any, ...], MLParam] = {}
        for param in self._run.params:
            last[param.context, param.source, param.name] = param
        for key, param in last.items():
            value = param.value
            plain = isinstance(value, str | int) or (
                isinstance(value, float) and math.isfinite(value)
            )
            self._listed(param.input).append(
                self._crate.add(
                    f"#param-{_slug(*key)}",
                    "PropertyValue",
                    name=f"{param.context}/{param.name}" if param.context else param.name,
                    value=value if plain else _encode(value).decode(),
                )
            )

    def _metrics(self) -> None:
        series = list(metrics.all_series(self._run, self._folder))
        for one in series:
            found = one.summary()
            names = (one.context, one.source, one.name, one.rank)
            told = [one.context, one.name, None if one.rank is None else f"rank {one.rank}"]
            reference = self._crate.add(
                f"#metric-{_slug(*names)}",
                "PropertyValue",
                name="/".join(part for part in told if part),
                description=f"The last of {found.count} values",
                value=_number(found.last),
                minValue=_number(found.min),
                maxValue=_number(found.max),
                unitText=one.unit,
            )
            if found.count:
                self._made.append(reference)
        if not series:
            return
        with tempfile.TemporaryDirectory() as temporary:
            target = f"{temporary}/metrics.csv"
            formats.write(self._run, series, "csv", target, formats.Options(compress=False))
            with Path(target).open("rb") as table:
                name = "Values of all metrics"
                self._made.append(
                    self._crate.store("metrics.csv", table, name=name, encodingFormat="text/csv")
                )
        for path in dict.fromkeys(metric.path for metric in self._run.metrics):
            content = metrics.content(self._folder, path)
            if content is not None:
                name = "Values of metrics as they were recorded"
                self._crate.store(path, content, name=name, encodingFormat=_BINARY)

    # -- files ---------------------------------------------------------------------

    def _dataset(self, dataset: Any) -> tuple[Any, ...]:
        return ("dataset", dataset.name, dataset.sha256, dataset.samples, dataset.shape)

    def _listed(self, used: bool) -> list[Reference]:
        return self._used if used else self._made

    def _involve(
        self,
        file: File | None,
        used: bool,
        about: dict[str, Any],
        key: tuple[Any, ...],
        copy: File | None = None,
    ) -> None:
        """What was logged: its file, or where it has none an entity of its own."""
        if file is not None:
            self._listed(used).append(self._file(file, about, copy))
            return
        kind, _, *more = key
        told = [str(part) for part in more if part is not None]
        self._listed(used).append(
            self._crate.add(
                f"#{kind}-{_slug(*map(str, key))}",
                "CreativeWork" if kind == "model" else "Dataset",
                **{"description": _joined(*told) or None, **about},
            )
        )

    def _file(self, file: File, about: dict[str, Any], copy: File | None = None) -> Reference:
        """Copied, or where it cannot be by its place."""
        key = (file.path, file.sha256)
        if key not in self._known:
            told = {**self._facts(file), **about}
            found = self._copied(file.path, file, told)
            if found is None and copy is not None and "://" not in copy.path:
                found = self._copied(copy.path, file, told)
            self._known[key] = found or self._named(file, told)
        return self._known[key]

    def _copied(self, path: str, file: File, about: dict[str, Any]) -> Reference | None:
        """From ``path``, where that still is this version of the file."""
        if file.type is not FileType.FILE or file.sha256 is None:
            return None
        size = file.size or 0
        if size > min(MOST_BYTES, self._room):
            return None
        place = Path(self._run.start.directory or "", path)
        try:
            with place.open("rb") as content:
                if content.seek(0, 2) != size or _digest(content) != file.sha256:
                    return None
                content.seek(0)
                name = f"files/{file.path.rpartition('/')[2]}"
                self._room -= size
                return self._crate.store(name, content, **about)
        except OSError:
            return None

    def _named(self, file: File, about: dict[str, Any]) -> Reference:
        is_url = file.type is FileType.URL
        whole = Path(self._run.start.directory or "/", file.path)
        uri = file.path if is_url else f"file://{quote(str(whole))}"
        size = None if file.size is None else str(file.size)
        kind = "File"
        if file.type is FileType.DIRECTORY:
            kind, uri = "Dataset", uri.rstrip("/") + "/"
        if file.sha256 and any(path == file.path for path, _ in self._known):
            uri += f"#{file.sha256[:12]}"  # another version of it
        return self._crate.refer(uri, kind, **{"contentSize": size, **about})

    def _facts(self, file: File) -> dict[str, Any]:
        kind, _ = mimetypes.guess_type(file.path)
        return {
            "name": file.path.rpartition("/")[2] or file.path,
            "alternateName": file.path,
            "encodingFormat": None if file.type is FileType.DIRECTORY else kind,
            "sha256": file.sha256,
        }


_BINARY = "application/octet-stream"


def _digest(content: BinaryIO) -> str:
    content.seek(0)
    digest = hashlib.sha256()
    while piece := content.read(1 << 20):
        digest.update(piece)
    return digest.hexdigest()


def _time(moment: str) -> str:
    """In ms, as the profile's checks take it; the PROV document has all of it."""
    head, dot, rest = moment.partition(".")
    return f"{head}.{rest[:3]}{rest[6:]}" if dot else moment


def _joined(*parts: str | None) -> str:
    return ", ".join(part for part in parts if part)


def _slug(*parts: object) -> str:
    return local_name(".".join("" if part is None else str(part) for part in parts))


def _once(references: list[Reference]) -> list[Reference]:
    return list({found["@id"]: found for found in references}.values())


def _number(value: float | None) -> float | str | None:
    """What JSON has no number for, as XML Schema writes it."""
    if value is None or math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "INF" if value > 0 else "-INF"
