"""A workflow run as an RO-Crate: Provenance Run Crate 0.5, and so all that it builds on."""

from __future__ import annotations

import json
import shlex
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast
from urllib.parse import quote

from msgspec.structs import replace

from yprov4wms.events import File, FileType
from yprov4wms.export import document
from yprov4wms.export.rocrate import values
from yprov4wms.export.rocrate.code import Code
from yprov4wms.export.rocrate.crate import (
    PROCESS_RUN,
    PROVENANCE_RUN,
    WORKFLOW,
    WORKFLOW_RUN,
    Crate,
    Reference,
    reference,
)
from yprov4wms.export.rocrate.data import Copies, Data, Version
from yprov4wms.export.rocrate.ml_runs import MLRuns
from yprov4wms.export.rocrate.plan import INPUT, OUTPUT, Plan
from yprov4wms.export.rocrate.sinks import Sink
from yprov4wms.export.rocrate.software import Programs
from yprov4wms.export.rocrate.tasks import (
    Parts,
    Tasks,
    attempt_action,
    joined,
    once,
    prefix_of,
    run_action,
)
from yprov4wms.export.urls import repository
from yprov4wms.prov.inner import Nested
from yprov4wms.run import Run
from yprov4wms.store import RunFolder

NO_LICENSE = "No license is stated."
_README = """# A workflow run as an RO-Crate

A run of the workflow {workflow}, by the profile [Provenance Run Crate](https://w3id.org/ro/wfrun/provenance/0.5).

- `ro-crate-metadata.json`: what ran, by what, from what to what, in JSON-LD
- `prov.json`: the same and more as one W3C PROV document (PROV-JSON)
- `workflow/`: the workflow's files and scripts
- `environments/`: the Python packages that were installed
- `data/`: files of the run, where they were copied; others are named by where they lie
"""
_PROV = "http://www.w3.org/ns/prov#"
_PROV_JSON = "https://www.w3.org/submissions/prov-json/"


@dataclass
class Options:
    """license_: text or URL, of the crate. nest: as `yprov4wms.export.document` has it."""

    license_: str | None = None
    nest: str = "flatten"
    copies: Copies = field(default_factory=Copies)


def write(run: Run, folder: RunFolder, sink: Sink, options: Options) -> list[str]:
    """Put the crate of a run into a sink; returns what to warn of. Raises OSError."""
    workflow = run.start.workflow
    crate = Crate(
        sink,
        name=f"Run of {workflow}",
        description=f"A run of the workflow {workflow} by {run.start.engine.name}, recorded by "
        f"yprov4wms: {run.status.value}.",
        date=date(run),
        license_=options.license_ or NO_LICENSE,
    )
    whole = document.whole(run, folder)
    builder = RunCrate(crate, whole, options)
    crate.main(builder.add())
    builder.add_document()
    warnings = builder.warnings()
    for outer in whole.every():
        for inner in outer.nested:
            nested = RunCrate(crate, inner, options)
            nested.add(part_of=around_action(outer, inner))
            warnings += nested.warnings_of_code()
    provenance = [PROVENANCE_RUN] if builder.plan.ran else []
    crate.conform(PROCESS_RUN, WORKFLOW_RUN, *provenance, WORKFLOW)
    if builder.agent is not None:
        crate.author(builder.agent)
    crate.store(
        "README.md",
        _README.format(workflow=json.dumps(workflow)).encode("utf-8", "replace"),
        name="What this is",
        encodingFormat="text/markdown",
        about=reference("./"),
    )
    crate.close()
    return warnings


def around_action(outer: Nested, inner: Nested) -> Reference:
    """The action in which a run was started."""
    if inner.around is None:
        return reference(run_action(outer.run))
    return reference(attempt_action(outer.run, inner.around))


def date(run: Run) -> str:
    """Of the crate: when the run ended, or what is known next to that."""
    began, finished = run.times()
    return values.time(finished or began or run.start.time) or "1970-01-01T00:00:00+00:00"


class RunCrate:
    """Adds one run to a crate, without those inside it.

    All ids of what is the run's alone begin with its own id, so that several runs have room
    in one crate.
    """

    def __init__(self, crate: Crate, whole: Nested, options: Options) -> None:
        run, folder = whole.run, whole.folder
        self._crate, self._run, self._folder, self._options = crate, run, folder, options
        self._prefix, self._action = prefix_of(run), run_action(run)
        self._data = Data(crate, run, self._prefix, options.copies)
        self._programs = Programs(crate, run.start, self._prefix)
        self._code = Code(run, folder, self._data)
        self._main = self._code.main()
        self.plan = Plan(crate, run, self._prefix, self._programs, self._about_code())
        self.agent = self._person()
        self._read_child = whole.read_child
        self._inner = {child for nested in whole.nested for child in nested.children()}
        parts = Parts(crate, self._data, self.plan, self._programs, self._code, self._main)
        self._tasks = Tasks(run, parts, self.agent, whole.extra_children)

    def add(self, part_of: Reference | None = None) -> Reference:
        """Add all but the document; returns the workflow.

        part_of: of a run inside another one, the action in which it was started.
        """
        for task in self._run.tasks.values():
            if task.attempts:
                self._tasks.add(task)
        self._add_ml_runs()
        packages = self._packages()
        self._workflow_action(part_of)
        self._organize(packages)
        self._connect()
        types, told = self.plan.close()
        self._main.types = types
        doc = (self._run.start.attributes or {}).get("doc")
        told["description"] = doc if isinstance(doc, str) else None
        self._main.about = {**self._about_code(), **told, **self._main.about}
        self._data.close()
        return self._main.reference

    def warnings_of_code(self) -> list[str]:
        """What of the workflow's own files is not as it was."""
        found = []
        if self._code.recorded is not None:
            found.append(
                f"the workflow is in the crate as far as it was recorded: {self._code.recorded}"
            )
        found += [f"{path}: what looks like a secret is masked" for path in self._code.masked]
        return found

    def warnings(self) -> list[str]:
        """What there is to warn of, once everything is added."""
        copies, found = self._options.copies, self.warnings_of_code()
        if copies.too_large:
            found.append(
                f"{_files(copies.too_large)} too large for what is left of --max-data-size: "
                "the crate only refers to them"
            )
        lost = copies.changed + copies.gone + copies.unknown
        if lost:
            found.append(
                f"{_files(lost)} not copied: {copies.changed} changed since the run, "
                f"{copies.gone} gone, {copies.unknown} without checksum"
            )
        return found

    # -- who and what --------------------------------------------------------------

    def _about_code(self) -> dict[str, Any]:
        git = self._run.start.git
        if git is None:
            return {}
        url = repository(git.remote) if git.remote else None
        version = git.commit + (" with changes" if git.dirty else "") if git.commit else None
        return {"version": version, "url": url}

    def _person(self) -> Reference | None:
        person = self._run.start.person
        if person is None:
            return None
        identifier = (
            f"https://orcid.org/{quote(person.orcid)}" if person.orcid else f"{self._prefix}/person"
        )
        name = person.name or person.login or person.orcid
        return self._crate.add(identifier, "Person", name=name)

    def _packages(self) -> Reference | None:
        """What is installed beside the engine, as a file."""
        lines = [
            f"{one.name}=={one.version}" if one.version else one.name
            for one in self._run.start.software or ()
            if one.kind == "package"
        ]
        if not lines:
            return None
        content = "".join(f"{line}\n" for line in lines).encode("utf-8", "replace")
        return self._crate.store(
            "environments/engine.txt",
            content,
            name="Python packages installed beside the engine",
            encodingFormat="text/plain",
        )

    def add_document(self) -> None:
        """The run's PROV document, which tells of the runs inside it, too."""
        writer = document.build(self._run, self._folder, self._options.nest)
        with tempfile.TemporaryFile() as spool:
            writer.write_to(spool)
            spool.seek(0)
            self._crate.store(
                "prov.json",
                cast("Any", spool),
                name="W3C PROV document of the run (PROV-JSON)",
                encodingFormat="application/json",
                conformsTo=[
                    self._crate.add(_PROV, "CreativeWork", name="W3C PROV"),
                    self._crate.add(_PROV_JSON, "CreativeWork", name="PROV-JSON"),
                ],
                about=reference(self._action),
            )

    # -- the workflow --------------------------------------------------------------

    def _workflow_action(self, part_of: Reference | None) -> None:
        run, start, end = self._run, self._run.start, self._run.end
        began, finished = run.times()
        if began and finished and finished < began:
            began = None  # by another host's clock
        status = None if start.imported and end is None else values.status(run.status)
        failed = status == values.FAILED
        command = shlex.join(start.command) if start.command else None
        self._crate.add(
            self._action,
            "CreateAction",
            name=f"Run of {start.workflow}",
            description=joined(command, None if command else f"by {start.engine.name}"),
            startTime=values.time(began),
            endTime=values.time(finished),
            actionStatus=status,
            error=(end.error if end else None) if failed else None,
            identifier=start.engine_run_id,
            instrument=self._main.reference,
            agent=self.agent,
            object=once(self._inputs()),
            result=once(self._results()),
            isPartOf=part_of,
        )
        self._crate.mention(reference(self._action))

    def _inputs(self) -> Iterator[Reference]:
        """What the workflow was given, and what its tasks found."""
        start = self._run.start
        declared = {port.name for port in start.inputs or ()}
        for file in start.files or ():
            if file.type is FileType.MISSING:
                continue
            version = self._data.outside(file)
            if file.role in declared and file.role is not None:
                version.used_as[self.plan.parameter(None, INPUT, file.role)] = None
            if not version.is_code:
                yield version.reference
        for name, value in values.flat(start.config, declared).items():
            yield self.plan.value(None, INPUT, name, value)
        for version in self._data.from_outside():
            yield version.reference

    def _results(self) -> Iterator[Reference]:
        end = self._run.end
        outputs = end.outputs if end else None
        for file in outputs or ():
            version = self._output(file)
            if version is not None:
                if file.role:
                    version.made_as[self.plan.parameter(None, OUTPUT, file.role)] = None
                yield version.reference
        for name, value in ((end.results if end else None) or {}).items():
            if value is not None:
                yield self.plan.value(None, OUTPUT, name, value)
        if not outputs:
            for version in self._data.left():
                yield version.reference

    def _output(self, file: File) -> Version | None:
        """An output of the workflow: what a task made, or where the engine has put it."""
        place = file.origin or file.path
        maker = self._run.made.get(place)
        if file.type is FileType.MISSING and (file.origin or maker is None):
            return None
        origin = None
        if maker is not None:
            origin = self._data.of(replace(file, path=place, origin=None), maker)
            if file.origin is None:
                return origin
        elif file.origin is None:
            return self._data.outside(file)  # it gives back what it was given
        return self._data.moved(file, origin)

    def _organize(self, packages: Reference | None) -> None:
        """The engine's own action; there is none by the profile where no step was executed."""
        run, start = self._run, self._run.start
        engine = self._programs.engine(packages)
        if not self._tasks.controls:
            return
        began, finished = (values.time(moment) for moment in run.times())
        self._crate.add(
            f"{self._prefix}/organize",
            "OrganizeAction",
            name=joined(f"Run of {start.engine.name}", start.engine.version),
            startTime=began,
            endTime=finished,
            actionStatus=values.status(run.status) if run.end else None,
            agent=self.agent,
            instrument=engine,
            object=self._tasks.controls,
            result=reference(self._action),
        )

    # -- what ties it together -------------------------------------------------------

    def _connect(self) -> None:
        """Connect parameters as data went from one to another, where no plan says how."""
        for source, target in self._data.connections():
            self.plan.connect(source, target)
        for parameter, kind in self._data.realizations():
            self.plan.realized(parameter, kind)

    def _add_ml_runs(self) -> None:
        found = MLRuns(self._crate, self._prefix, self._run.start.directory, self._read_child)
        for child, action, places in self._tasks.children:
            if child.child in self._inner:
                continue  # a run inside tells of it
            found.add(child, action, self.agent, partial(self._data.told, places))


def _files(count: int) -> str:
    return "1 file is" if count == 1 else f"{count} files are"
