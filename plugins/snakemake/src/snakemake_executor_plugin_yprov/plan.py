"""Snakemake's DAG as planned tasks: identifiers, dependencies, and what need not run."""

from __future__ import annotations

import hashlib
import os
from typing import Any

from snakemake_executor_plugin_yprov.jobs import Describer
from yprov4wms import events
from yprov4wms.events import Status
from yprov4wms.plain import text
from yprov4wms.recorder import Recorder


def task_id(run_id: str, job: Any) -> str:
    """The id of a job's task, the same in every process that has a part in the run."""
    products = list(map(str, job.output)) or list(map(str, job.wildcards))
    return name_of(run_id, job.rule.name, products)


def name_of(run_id: str, rule: str, products: list[str]) -> str:
    """products: the task's outputs, or where it has none what else tells it from others."""
    key = "\0".join([run_id, rule, *sorted(products)]).encode("utf-8", "surrogateescape")
    digest = hashlib.blake2b(key, digest_size=6).hexdigest()
    name = "".join(c if (c.isascii() and c.isalnum()) or c == "_" else "_" for c in rule)
    return f"{name[:60]}-{digest}"


class Planner:
    """Knows the task of each job, and tells the recorder what is new in the DAG.

    ``stale`` is set where the DAG may have changed: at the start, after a checkpoint.
    """

    def __init__(self, workflow: Any, run_id: str, describer: Describer) -> None:
        self.stale = False
        self._workflow = workflow
        self._run_id = run_id
        self._describer = describer
        self._ids: dict[Any, str] = {}
        self._planned: dict[str, tuple[tuple[str, ...], bool]] = {}
        self._steps: dict[str, set[str]] = {}
        self._checkpoints: set[str] = set()
        self._directories: dict[str, str] = {}
        self._started: set[str] = set()

    def started(self, task: str) -> None:
        """From now on the DAG's word on the task counts no more: once a checkpoint has
        run, it has no dependencies there, and need not run."""
        self._started.add(task)

    def task(self, job: Any) -> str:
        """The task's id, the same in every process: Snakemake renumbers jobs in children."""
        found = self._ids.get(job)
        if found is None:
            found = self._ids[job] = task_id(self._run_id, job)
        return found

    def refresh(self, recorder: Recorder, job: Any = None) -> None:
        """Record what the DAG holds that was not recorded yet."""
        if not self.stale and (job is None or self.task(job) in self._planned):
            return
        self.stale = False
        dag = self._workflow.dag
        jobs = list(dag.jobs)
        for one in jobs:
            self._note(one)
        batch: list[events.Event] = []
        changed: set[str] = set()
        for one in jobs:
            batch += self._tasks(one, dag, changed)
        steps = [self._step(one, changed) for one in jobs if one.rule.name in changed]
        recorder.emit(*[step for step in steps if step is not None], *batch)

    def _note(self, job: Any) -> None:
        if job.rule.is_checkpoint:
            self._checkpoints.add(self.task(job))
        for file in job.output:
            if getattr(file, "is_directory", False):
                self._directories[os.path.normpath(file)] = self.task(job)

    def _tasks(self, job: Any, dag: Any, changed: set[str]) -> list[events.Event]:
        task, rule = self.task(job), job.rule.name
        upstream = {self.task(one): one.rule.name for one in dag.dependencies[job]}
        needed = bool(dag.needrun(job))
        names = self._steps.get(rule)
        if names is None:
            names = self._steps[rule] = set()
            changed.add(rule)
        if not names.issuperset(upstream.values()):
            names.update(upstream.values())
            changed.add(rule)
        depends = set(upstream) | self._by_directory(job, task)
        before = self._planned.get(task)
        if before is not None:
            # An input function that asks a checkpoint depends on it only until it is done.
            depends |= self._checkpoints.intersection(before[0])
        if before is not None and task in self._started:
            depends, needed = depends | set(before[0]), before[1]
        state = (tuple(sorted(depends)), needed)
        if state == before:
            return []
        self._planned[task] = state
        planned = events.TaskPlanned(
            task=task, step=rule, label=label_of(job), depends_on=list(state[0]) or None
        )
        if needed:
            return [planned]
        outputs = [recorded for f in job.output if (recorded := self._describer.kept(f))]
        not_run = events.TaskNotRun(
            task=task, status=Status.UP_TO_DATE, reason="its outputs are current", outputs=outputs
        )
        return [planned, not_run]

    def _by_directory(self, job: Any, task: str) -> set[str]:
        """Tasks in whose output directory an input lies: the DAG has no edge for these."""
        found: set[str] = set()
        if self._directories:
            for file in job.input:
                path = os.path.dirname(os.path.normpath(file))  # noqa: PTH120 - hot
                while path and path != os.sep:
                    owner = self._directories.get(path)
                    if owner is not None and owner != task:
                        found.add(owner)
                        break
                    path = os.path.dirname(path)  # noqa: PTH120
        return found

    def _step(self, job: Any, changed: set[str]) -> events.StepDeclared | None:
        rule = job.rule.name
        if rule not in changed:
            return None
        changed.discard(rule)
        return self._describer.step(job.rule, sorted(self._steps[rule] - {rule}))


def label_of(job: Any) -> str:
    wildcards = ",".join(f"{k}={v}" for k, v in (job.wildcards_dict or {}).items())
    return text(f"{job.rule.name} {wildcards}" if wildcards else job.rule.name)
