"""Runs that Snakemake made without us, from what it keeps in ``.snakemake``.

It keeps one record per output file, in files or in a SQLite database: what it ran to make
it, and when. Of other jobs, of attempts, costs and what failed it keeps nothing, and some of
what it keeps is wrong: a failed job leaves the same record as one that went well, and on
clusters a start can lie after its end.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import re
import sqlite3
from binascii import Error as Base64Error
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from snakemake_executor_plugin_yprov import facts
from snakemake_executor_plugin_yprov.jobs import Describer, named, wildcards_of
from snakemake_executor_plugin_yprov.plan import label_of, name_of, task_id
from yprov4wms import environment, events
from yprov4wms.events import File, FileType, Software, Status
from yprov4wms.plain import plain, text
from yprov4wms.recorder import Recorder
from yprov4wms.settings import Settings, load

_METADATA = "metadata"
_DATABASE = "metadata.db"
#: Snakemake takes a job's end from its outputs' times, which file systems round.
_TOLERANCE_S = 3.0
_HEADER = re.compile(r"  (Host|Snakemake version|Snakefile|Workflow ID|Command): (.+)")
_HEADER_LINES = 40


class _Job(NamedTuple):
    """Records of one job's outputs, which say the same of it."""

    outputs: list[str]
    record: dict[str, Any]


def import_run(
    directory: str,
    store: str,
    warn: Callable[[str], None],
    dag: Any = None,
    settings: Settings | None = None,
) -> str:
    """Record what ``directory`` holds of finished runs as one run; returns its id.

    dag: Snakemake's own, where it is at hand: it knows names of parameters, wildcards, the
        rules as they are written, and what is still to be done.
    Raises ValueError where there is no record of Snakemake's, or the store cannot be written.
    """
    folder = Path(directory).absolute()
    kept = folder / ".snakemake"
    if not kept.is_dir():
        raise ValueError(f"{kept} is no folder: Snakemake never ran in {folder}, or by --directory")
    records = [*_from_files(kept / _METADATA, warn), *_from_database(kept, warn)]
    if not records:
        raise ValueError(f"{kept} has no record of any job (--drop-metadata leaves none)")
    settings = (settings or load())._replace(store=store, strict=True)
    problems: list[str] = []
    recorder = Recorder(settings, str(folder), problems.append, ignore=[".snakemake_timestamp"])
    if recorder.recording:
        _Import(folder, kept, recorder, _jobs(records), dag).write()
    recorder.close()
    if recorder.failures:
        raise ValueError(problems[0] if problems else "the record could not be written")
    return recorder.run_id


class _Import:
    def __init__(
        self, folder: Path, kept: Path, recorder: Recorder, jobs: list[_Job], dag: Any
    ) -> None:
        self._folder = folder
        self._recorder = recorder
        self._jobs = jobs
        self._logs = _logs(kept / "log")
        self._makers = {output: job for job in jobs for output in job.outputs}
        self._dag = dag
        #: By output, the jobs of Snakemake's present DAG.
        self._live = {
            str(o): job for job in (dag.jobs if dag is not None else ()) for o in job.output
        }
        #: Jobs of that DAG without a record.
        self._to_do = [
            job
            for job in (dag.jobs if dag is not None else ())
            if job.output and not any(str(output) in self._makers for output in job.output)
        ]
        self._consumed = {id(maker) for job in jobs for maker in self._upstream(job)}

    def write(self) -> None:
        told = {name: _only(log.get(name) for log in self._logs) for name in _NAMES}
        recorder, command = self._recorder, told["Command"]
        snakefile = self._snakefile(told["Snakefile"])
        if self._dag is not None:
            recorder.emit(facts.run_found(self._dag.workflow, recorder, str(self._folder)))
            self._plan()
            self._run()
            return
        recorder.emit(
            events.RunStarted(
                engine=Software(name="snakemake", kind="engine", version=told["Snakemake version"]),
                workflow=text(self._folder.name),
                directory=str(self._folder),
                main_file=snakefile,
                git=environment.git_state(str(self._folder)),
                host=told["Host"],
                engine_run_id=told["Workflow ID"],
                imported=True,
                # As it was printed, its quotes lost.
                attributes={"logs": len(self._logs), "command_line": command},
            )
        )
        self._plan()
        self._run()

    def _run(self) -> None:
        recorder = self._recorder
        complete = [self._job(job) for job in self._jobs]
        complete += [self._interrupted(job) for job in self._to_do]
        if all(complete):
            recorder.finish(Status.COMPLETED)
        else:
            recorder.drain()

    def _snakefile(self, path: str | None) -> File | None:
        if path is None:
            return None
        return self._recorder.identified(path, "snakefile", "", 0)

    def _plan(self) -> None:
        steps: dict[str, _Job] = {}
        for job in self._jobs:
            steps.setdefault(_rule(job), job)
        self._recorder.emit(
            *(self._step(rule, job) for rule, job in steps.items()),
            *(
                self._live_step(rule)
                for rule in {job.rule: None for job in self._to_do}
                if rule.name not in steps
            ),
            *(self._planned(job) for job in self._jobs),
            *(self._still_to_do(job) for job in self._to_do),
        )

    def _step(self, rule: str, job: _Job) -> events.StepDeclared:
        live = self._live_job(job)
        if live is not None:
            return self._live_step(live.rule)
        return events.StepDeclared(
            step=rule,
            type="shell" if job.record.get("shellcmd") else None,
            code=text(str(job.record["code"])) if job.record.get("code") else None,
        )

    def _live_step(self, rule: Any) -> events.StepDeclared:
        return Describer(self._recorder, str(self._folder), rule.workflow).step(rule, [])

    def _planned(self, job: _Job) -> events.TaskPlanned:
        live = self._live_job(job)
        depends = {self._task(maker) for maker in self._upstream(job) if maker is not job}
        depends |= self._dependencies(live) if live is not None else set()
        return events.TaskPlanned(
            task=self._task(job),
            step=_rule(job),
            label=label_of(live) if live else text(f"{_rule(job)} {job.outputs[0]}"),
            depends_on=sorted(depends) or None,
        )

    def _dependencies(self, live: Any) -> set[str]:
        """Tasks that the present DAG has before this job."""
        return {self._live_task(job) for job in self._dag.dependencies[live] if job.output}

    def _live_task(self, live: Any) -> str:
        maker = self._makers.get(str(live.output[0]))
        return self._task(maker) if maker is not None else task_id(self._recorder.run_id, live)

    def _still_to_do(self, job: Any) -> events.TaskPlanned:
        return events.TaskPlanned(
            task=self._live_task(job),
            step=job.rule.name,
            label=label_of(job),
            depends_on=sorted(self._dependencies(job)) or None,
        )

    def _interrupted(self, job: Any) -> bool:
        """Record that a job began, of which Snakemake knows no more; false."""
        # Snakemake asks for a report from within its own event loop.
        with ThreadPoolExecutor(1) as thread:
            marked = self._dag.workflow.persistence.incomplete(job)
            incomplete = thread.submit(asyncio.run, marked).result()
        if incomplete:
            note = {"note": "Snakemake marks its outputs as incomplete"}
            task = self._live_task(job)
            self._recorder.emit(
                events.TaskStarted(
                    task=task, attempt=1, wildcards=wildcards_of(job), attributes=note
                )
            )
        return False

    def _live_job(self, job: _Job) -> Any:
        live = self._live.get(job.outputs[0])
        return live if live is not None and live.rule.name == job.record["rule"] else None

    def _task(self, job: _Job) -> str:
        return name_of(self._recorder.run_id, _rule(job), job.outputs)

    def _upstream(self, job: _Job) -> Iterator[_Job]:
        for path in _strings(job.record.get("input")):
            maker = self._maker(path)
            if maker is not None:
                yield maker

    def _maker(self, path: str) -> _Job | None:
        """Who made the file, or a directory that it lies in: for that there is no record."""
        while path:
            if path in self._makers:
                return self._makers[path]
            path = os.path.dirname(path)  # noqa: PTH120
            if path == os.sep:
                break
        return None

    def _job(self, job: _Job) -> bool:
        """Record a job; whether it is known to have completed."""
        record, recorder, task = job.record, self._recorder, self._task(job)
        began, finished = _moment(record.get("starttime")), _moment(record.get("endtime"))
        outputs = [self._output(path, finished) for path in job.outputs]
        there = [file for file in outputs if file.type is not FileType.MISSING]
        note = None
        if record.get("incomplete"):
            note = "Snakemake marks it as incomplete"
        elif not there and id(job) not in self._consumed:
            # Snakemake removes the outputs of a failed job, and keeps the same record.
            note = "none of its outputs is there: it failed, or they were removed"
        live = self._live_job(job)
        parameters = {str(n): plain(p) for n, p in enumerate(record.get("params") or ())}
        recorder.emit(
            events.TaskStarted(
                task=task,
                attempt=1,
                inputs=[self._input(path, job, began) for path in self._inputs(job)] or None,
                command=text(record["shellcmd"]) if record.get("shellcmd") else None,
                parameters=(named(live.params) if live else parameters) or None,
                wildcards=wildcards_of(live) if live else None,
                software=_software(record),
                attributes={"note": note} if note else None,
            )
        )
        if record.get("external_jobid"):
            recorder.emit(
                events.TaskSubmitted(
                    task=task, attempt=1, external_id=str(record["external_jobid"])
                )
            )
        if note is not None:
            return False
        logs = [recorder.describe(path, "log") for path in _strings(record.get("log"))]
        there += [file for file in logs if file.type is not FileType.MISSING]
        recorder.emit(
            events.TaskEnded(
                task=task,
                attempt=1,
                status=Status.COMPLETED,
                # On clusters a record's start can be that of its last change.
                began=_iso(began) if began and finished and began <= finished else None,
                finished=_iso(finished) if finished else None,
                outputs=there or None,
            )
        )
        return True

    def _inputs(self, job: _Job) -> list[str]:
        return list(dict.fromkeys(_strings(job.record.get("input"))))

    def _input(self, path: str, job: _Job, began: datetime | None) -> File:
        if self._maker(path) is not None:
            return File(path=self._recorder.describe(path).path)
        found = self._recorder.describe(path)
        then = (job.record.get("input_checksums") or {}).get(path)
        if isinstance(then, str) and re.fullmatch("[0-9a-f]{64}", then):
            return File(path=found.path, sha256=then)
        if found.mtime_ns is not None and began is not None and _later(found.mtime_ns, began):
            return File(path=found.path, note="changed since the job started")
        return self._recorder.identify(found, self._task(job), 1)

    def _output(self, path: str, finished: datetime | None) -> File:
        found = self._recorder.describe(path)
        if found.type is FileType.MISSING:
            return found
        if found.mtime_ns is not None and finished is not None and _later(found.mtime_ns, finished):
            if found.type is FileType.FILE:
                return File(path=found.path, note="changed since the job ended")
            return found
        return self._recorder.identify(found, self._task(self._makers[path]), 1)


_NAMES = ("Host", "Snakemake version", "Snakefile", "Workflow ID", "Command")


def _from_files(folder: Path, warn: Callable[[str], None]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Output and record of each file of Snakemake's default backend."""
    for place in sorted(folder.rglob("*")) if folder.is_dir() else ():
        if not place.is_file():
            continue
        # Long names are cut into folders, whose names begin with ``@``.
        name = "".join(part.removeprefix("@") for part in place.relative_to(folder).parts)
        try:
            output = base64.urlsafe_b64decode(name).decode()
            record = json.loads(place.read_bytes())
        except (Base64Error, ValueError, OSError) as error:
            warn(f"{place} is passed over: {error}")
            continue
        if isinstance(record, dict):
            yield output, record
        else:
            warn(f"{place} is passed over: no JSON object")


def _from_database(kept: Path, warn: Callable[[str], None]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The same of its database backend."""
    place = kept / _DATABASE
    if not place.is_file():
        return
    try:
        with closing(sqlite3.connect(f"{place.as_uri()}?mode=ro", uri=True)) as database:
            database.row_factory = sqlite3.Row
            query = "SELECT * FROM snakemake_metadata WHERE namespace = ? ORDER BY target"
            rows = [dict(row) for row in database.execute(query, (str(kept),))]
    except sqlite3.Error as error:
        warn(f"{place} is passed over: {error}")
        return
    for row in rows:
        for name in ("input", "log", "params", "input_checksums"):
            try:
                row[name] = json.loads(row.get(name) or "null")
            except ValueError:
                row[name] = None
        yield row["target"], row


def _jobs(records: list[tuple[str, dict[str, Any]]]) -> list[_Job]:
    """Records of one job are alike but for their output; by time, as far as it is known."""
    found: dict[str, _Job] = {}
    for output, record in records:
        if not isinstance(record.get("rule"), str):
            continue
        alike = [record.get(n) for n in ("rule", "job_hash", "input", "shellcmd", "params", "log")]
        key = json.dumps(alike, sort_keys=True, default=str)
        found.setdefault(key, _Job([], record)).outputs.append(output)
    return sorted(found.values(), key=lambda job: (job.record.get("endtime") or 0.0, job.outputs))


def _logs(folder: Path) -> list[dict[str, str]]:
    """What the heads of Snakemake's own log files say, one by run."""
    found = []
    for place in sorted(folder.glob("*.snakemake.log")) if folder.is_dir() else ():
        try:
            with place.open(errors="replace") as file:
                head = [line for _, line in zip(range(_HEADER_LINES), file, strict=False)]
        except OSError:
            continue
        matches = [match for line in head if (match := _HEADER.fullmatch(line.rstrip("\n")))]
        found.append({match[1]: match[2] for match in matches})
    return found


def _only(values: Iterator[str | None]) -> str | None:
    """The one value that all have; records of several runs lie in one folder."""
    different = set(values)
    return text(found) if len(different) == 1 and (found := different.pop()) else None


def _rule(job: _Job) -> str:
    return text(str(job.record["rule"]))


def _strings(found: Any) -> list[str]:
    return [item for item in found if isinstance(item, str)] if isinstance(found, list) else []


def _software(record: dict[str, Any]) -> list[Software] | None:
    found = []
    if isinstance(record.get("conda_env"), str):
        try:
            content = base64.b64decode(record["conda_env"])
            digest = hashlib.sha256(content).hexdigest()
            found.append(Software(name="conda environment", kind="conda", sha256=digest))
        except (Base64Error, ValueError):
            pass
    if record.get("container_img_url"):
        found.append(Software(name=text(str(record["container_img_url"])), kind="container"))
    return found or None


def _moment(seconds: Any) -> datetime | None:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        return None


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds")


def _later(mtime_ns: int, moment: datetime) -> bool:
    return mtime_ns / 1e9 > moment.timestamp() + _TOLERANCE_S
