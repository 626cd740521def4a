"""Snakemake's rules, jobs and files as the core's events describe them."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from snakemake.common.tbdstring import TBDString
from snakemake.settings.types import DeploymentMethod
from snakemake.utils import QuotedFormatter, SequenceFormatter
from snakemake.utils import format as format_wildcards

from yprov4wms import events
from yprov4wms.events import UPDATE, File, FileType, Software, Status
from yprov4wms.plain import plain, text
from yprov4wms.recorder import INLINE_BYTES, Recorder

#: The directive that says what a rule executes, and the rule's attribute that holds it.
_ATTRIBUTE = {
    "script": "script",
    "notebook": "notebook",
    "wrapper": "wrapper",
    "template_engine": "template_engine",
    "cwl": "cwl",
    "shell": "shellcmd",
    # Rules with a script have that attribute, too: the line that names it.
    "run": "run_func_src",
}


class Describer:
    """Describes rules and jobs of one run, and identifies the files that they name."""

    def __init__(self, recorder: Recorder, directory: str, workflow: Any) -> None:
        self._recorder = recorder
        self._directory = directory
        self._workflow = workflow
        self._made: set[str] = set()
        self._left_before: dict[str, dict[str, os.stat_result]] = {}
        self._scripts: dict[str, File | None] = {}
        self._kinds: dict[str, str | None] = {}
        self._methods = workflow.deployment_settings.deployment_method

    def step(self, rule: Any, depends_on: list[str]) -> events.StepDeclared:
        kind = rule_type(rule)
        code = getattr(rule, _ATTRIBUTE[kind], None) if kind else None
        return events.StepDeclared(
            step=rule.name,
            type=kind,
            source=source_path(rule.snakefile),
            line=self._line(rule),
            code=text(str(code)) if code else None,
            script=self._script(rule, kind),
            doc=text(rule.docstring) if rule.docstring else None,
            depends_on=depends_on or None,
            attributes={"checkpoint": True} if rule.is_checkpoint else None,
        )

    def started(self, job: Any, task: str) -> events.TaskStarted:
        """The attempt that is about to run. Inputs from outside the run are identified."""
        attempt = job.attempt
        if job.rule.name not in self._kinds:
            self._kinds[job.rule.name] = rule_type(job.rule)
        kind = self._kinds[job.rule.name]
        self._note_leftovers(job, task)
        return events.TaskStarted(
            task=task,
            attempt=attempt,
            inputs=self._inputs(job, task, attempt),
            command=text(_command(job)) if job.rule.shellcmd else None,
            script=self._script(job.rule, kind, job),
            parameters=named(job.params) or None,
            wildcards=wildcards_of(job),
            threads=job.threads if isinstance(job.threads, int) else None,
            resources=_resources(job),
            software=self._software(job),
            reason=text(str(job.dag.reason(job))) or None,
            directory=".",
            attributes={"jobid": plain(job.jobid), "process": None if kind else False},
        )

    def outputs(self, job: Any, task: str, attempt: int, status: Status) -> list[File] | None:
        """What the attempt left: outputs, log and benchmark files. Of a failed one, what
        Snakemake did not remove."""
        roles = _roles(job.output)
        named = [
            (file, roles.get(index))
            for index, file in enumerate(job.output)
            # Snakemake puts back what a failed job was to update.
            if status is not Status.FAILED or not _flagged(file, "update")
        ]
        before = self._left_before.pop(task, {})
        named += [(f, role) for f, role in _side_files(job) if not _unchanged(f, before)]
        found = [self._output(file, role, task, attempt, status) for file, role in named]
        present = [file for file in found if file.type is not FileType.MISSING]
        self._made.update(file.path for file in present)
        return present or None

    def _note_leftovers(self, job: Any, task: str) -> None:
        """An earlier run's log and benchmark files: Snakemake does not remove them all, and
        a job that fails may not have touched them."""
        before: dict[str, os.stat_result] = {}
        for file, _ in _side_files(job):
            with suppress(OSError):
                before[str(file)] = os.lstat(file)
        if before:
            self._left_before[task] = before

    def kept(self, file: Any) -> File | None:
        """An output of a job that need not run, as it lies there from an earlier run."""
        described = self._recorder.describe(_local_path(file))
        if described.type is FileType.MISSING:
            return None
        if described.type is FileType.FILE and (described.size or 0) <= INLINE_BYTES:
            described = self._recorder.identify(described, "", 0)
        elif described.type is FileType.FILE:
            described.note = "not read: the job that made it need not run"
        return _as_stored(file, described)

    def _line(self, rule: Any) -> int | None:
        """The line in the Snakefile: a rule's own number counts in its compiled form."""
        lines = self._workflow.linemaps.get(str(rule.snakefile)) or {}
        line = lines.get(rule.lineno, None)
        return line if isinstance(line, int) else None

    def _inputs(self, job: Any, task: str, attempt: int) -> list[File] | None:
        roles = _roles(job.input)
        found: list[File] = []
        for index, file in enumerate(job.input):
            path = _local_path(file)
            role = roles.get(index)
            if path in self._made:
                found.append(File(path=path, role=role))
            elif (passing := _passing(file)) is not None:
                found.append(File(path=path, role=role, type=passing))
            else:
                found.append(self._identified(file, role, task, attempt))
        for file in job.output:
            if _flagged(file, "update"):
                before = self._identified(file, UPDATE, task, attempt)
                if before.type is not FileType.MISSING:
                    found.append(before)
        return found or None

    def _output(self, file: Any, role: str | None, task: str, attempt: int, status: Status) -> File:
        passing = _passing(file)
        if passing is not None and (status is not Status.FAILED or os.path.lexists(file)):
            return File(path=_local_path(file), role=role, type=passing)
        found = self._identified(file, role, task, attempt)
        if found.type is FileType.MISSING and status is Status.COMPLETED and _flagged(file, "temp"):
            # In a group on a node, where Snakemake removes it as soon as the group is done.
            found.type = FileType.DIRECTORY if _flagged(file, "directory") else FileType.FILE
            found.note = "temporary: removed before it was looked at"
        found.temporary = _flagged(file, "temp") and not self._workflow.storage_settings.notemp
        return found

    def _identified(self, file: Any, role: str | None, task: str, attempt: int) -> File:
        if getattr(file, "storage_object", None) is None:
            return self._recorder.identified(_local_path(file), role, task, attempt)
        described = self._recorder.describe(_local_path(file), role)
        if described.type is FileType.FILE and (described.size or 0) <= INLINE_BYTES:
            described = self._recorder.identify(described, task, attempt)
        elif self._recorder.settings.hash != "none":
            # A checksum that comes later would be told under the local copy's name.
            described.note = "of a storage provider's files only small ones are hashed"
        return _as_stored(file, described)

    def _script(self, rule: Any, kind: str | None, job: Any = None) -> File | None:
        """The script, notebook or CWL tool of a rule; where its name has wildcards, that of a job.
        Of a wrapper on this machine, the script in it."""
        name = self._wrapper(rule) if kind == "wrapper" else getattr(rule, kind or "", None)
        if name is None or kind not in ("script", "notebook", "wrapper", "cwl"):
            return None
        if "{" in str(name):
            if job is None:
                return None
            name = format_wildcards(str(name), wildcards=job.wildcards, params=job.params)
        key = f"{rule.basedir} {name}"
        if key not in self._scripts:
            path = str(name)
            if not os.path.isabs(path) and rule.basedir is not None:  # noqa: PTH117
                path = rule.basedir.join(path).get_path_or_uri(secret_free=True)
            self._scripts[key] = self._recorder.identified(path, kind, "", 0)
        return self._scripts[key]

    def _wrapper(self, rule: Any) -> str | None:
        address = str(rule.wrapper)
        if "://" not in address:
            address = f"{self._workflow.workflow_settings.wrapper_prefix or ''}{address}"
        if not address.startswith("file://"):
            return None
        place = Path(unquote(urlsplit(address).path))
        return (
            str(place) if place.is_file() else next(map(str, sorted(place.glob("wrapper.*"))), None)
        )

    def _environment_file(self, path: str | None) -> str | None:
        """The checksum of an environment's definition, where that is a file."""
        if path is None or not os.path.isfile(path):  # noqa: PTH113
            return None
        if path not in self._scripts:
            self._scripts[path] = self._recorder.identified(path, None, "", 0)
        file = self._scripts[path]
        return file.sha256 if file else None

    def _software(self, job: Any) -> list[Software] | None:
        methods = self._methods
        if not methods:
            return None
        found: list[Software] = []
        if DeploymentMethod.CONDA in methods and job.conda_env is not None:
            environment = job.conda_env
            file = source_path(getattr(environment, "file", None))
            found.append(
                Software(
                    name=text(file or str(environment)),
                    kind="conda",
                    version=getattr(environment, "hash", None),
                    path=text(str(environment.address)) if environment.address else None,
                    sha256=self._environment_file(file),
                )
            )
        if DeploymentMethod.APPTAINER in methods and job.container_img_url:
            found.append(Software(name=text(str(job.container_img_url)), kind="container"))
        if DeploymentMethod.ENV_MODULES in methods and job.env_modules is not None:
            found.extend(Software(name=name, kind="module") for name in job.env_modules.names)
        return found or None


_formatter = SequenceFormatter(element_formatter=QuotedFormatter())


def _command(job: Any) -> str:
    """``job.shellcmd`` for a tenth of the price: that copies all globals five times."""
    values = {
        **job.rule.workflow.globals,
        "input": job.input,
        "output": job.output,
        "params": job.params,
        "wildcards": job._format_wildcards,
        "threads": job.threads,
        "resources": job.resources,
        "log": job.log,
        "jobid": job.jobid,
        "name": job.name,
        "rule": job.rule.name,
        "rulename": job.rule.name,
        "bench_iteration": None,
    }
    try:
        return str(_formatter.vformat(job.rule.shellcmd, (), values))
    except Exception:
        return str(job.shellcmd)


def describe_try(event: events.TaskExecuting, job: Any) -> None:
    """Fill in what may be another in each try of a job."""
    event.command = text(_command(job)) if job.rule.shellcmd else None
    event.parameters = named(job.params) or None
    event.threads = job.threads if isinstance(job.threads, int) else None
    event.resources = _resources(job)


def rule_type(rule: Any) -> str | None:
    """What the rule executes: ``shell``, ``run``, ``script``, ``notebook``... or None."""
    for kind, attribute in _ATTRIBUTE.items():
        if kind != "run" and getattr(rule, attribute, None):
            return kind
    return None if rule.norun else "run"


def source_path(source: Any) -> str | None:
    """The path or URL of one of Snakemake's source files, without secrets."""
    if source is None:
        return None
    get = getattr(source, "get_path_or_uri", None)
    return text(str(get(secret_free=True) if get else source))


def _side_files(job: Any) -> list[tuple[Any, str]]:
    """Log and benchmark files with their roles."""
    found: list[tuple[Any, str]] = [(file, "log") for file in job.log or ()]
    if job.benchmark:
        found.append((job.benchmark, "benchmark"))
    return found


def _unchanged(file: Any, before: dict[str, os.stat_result]) -> bool:
    old = before.get(str(file))
    if old is None:
        return False
    try:
        new = os.lstat(file)
    except OSError:
        return False
    return (old.st_ino, old.st_size, old.st_mtime_ns) == (new.st_ino, new.st_size, new.st_mtime_ns)


def _local_path(file: Any) -> str:
    return os.path.normpath(str(file))


def _flagged(file: Any, flag: str) -> bool:
    return flag in (getattr(file, "flags", None) or ())


def _as_stored(file: Any, described: File) -> File:
    """A file of a storage provider is known by its query; size and checksum are those of
    the local copy."""
    storage = getattr(file, "storage_object", None)
    if storage is not None and described.type is not FileType.MISSING:
        described.path = text(str(storage.query))
        described.type = FileType.URL
    return described


def _passing(file: Any) -> FileType | None:
    """What Snakemake removes as soon as its readers are done: a pipe, or a service's socket."""
    if _flagged(file, "pipe"):
        return FileType.FIFO
    return FileType.OTHER if _flagged(file, "service") else None


def _roles(files: Any) -> dict[int, str]:
    """The name of each named file by its position."""
    roles: dict[int, str] = {}
    for name, (start, end) in files._get_names():
        for index in range(start, start + 1 if end is None else end):
            roles[index] = name
    return roles


def named(values: Any) -> dict[str, Any]:
    """Parameters by name; those without one by position."""
    found: dict[str, Any] = {}
    named: set[int] = set()
    for name, (start, end) in values._get_names():
        found[name] = plain(values[start] if end is None else list(values[start:end]))
        named.update(range(start, start + 1 if end is None else end))
    for index, value in enumerate(values):
        if index not in named:
            found[str(index)] = plain(value)
    return found


def wildcards_of(job: Any) -> dict[str, str] | None:
    return {k: text(str(v)) for k, v in (job.wildcards_dict or {}).items()} or None


def _resources(job: Any) -> dict[str, Any] | None:
    found = {
        name: plain(value)
        for name, value in job.resources.items()
        # What is to be decided on the node is not known here.
        if not name.startswith("_") and not isinstance(value, TBDString)
    }
    return found or None
