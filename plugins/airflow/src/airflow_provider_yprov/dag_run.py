"""What the scheduler (or whoever changes a DAG run's state) tells of the run."""

from __future__ import annotations

import logging
import os
import threading
import time
from functools import cache
from typing import Any

from airflow_provider_yprov import config, facts, ids, snapshot
from airflow_provider_yprov.detached import start_detached
from airflow_provider_yprov.patience import Patience
from yprov4wms import environment, events, journal
from yprov4wms.events import Figure, Software
from yprov4wms.recorder import Recorder

log = logging.getLogger(__name__)

#: Marks by hand within so many seconds of the first are of one document.
SOON = 5.0


class DagRuns:
    """Records DAG runs from the hooks of one process; keeps nothing between them."""

    def __init__(self) -> None:
        self._patience: Patience | None = None
        # The API server calls hooks on many threads.
        self._lock = threading.Lock()
        #: By run when this process last had its document built for a mark by hand.
        self._built: dict[str, float] = {}
        #: Of this process's environment, once it was looked at.
        self.packages: list[Software] = []

    def look_around(self) -> None:
        """Find out what is installed; takes too long for a hook of the scheduler's loop."""
        own = (facts.PACKAGE, "yprov4wms")
        self.packages = [
            Software(name=name, kind="package", version=version)
            for name, version in sorted(environment.packages().items())
            if name not in own
        ]

    def started(self, dag_run: Any) -> None:
        """The run is under way: its plan, and the task instances that there are by now."""
        found = config.load()
        dag, tries = snapshot.dag(dag_run, _redact()), _masked(snapshot.planned(dag_run))
        start = self._start(dag_run, dag, found)
        self._record(dag_run, found, [start, *facts.plan(dag, tries)])

    def ended(self, dag_run: Any, message: str) -> None:
        """The run is over: what became of every try, and then the document."""
        found = config.load()
        dag, tries = snapshot.dag(dag_run, _redact()), _masked(snapshot.tries(dag_run))
        run = snapshot.run(dag_run, _redact())
        end = facts.run_ended(run, message)
        batch = [
            self._start(dag_run, dag, found),
            *facts.plan(dag, tries),
            *facts.outcomes(tries),
            *([end] if end is not None else []),
        ]
        self._record(dag_run, found, batch)
        if found.core.export == "end":
            run_id = ids.run_uuid(found.deployment, dag_run.dag_id, dag_run.run_id)
            start_detached("export", found.core.store, run_id, **_options(found))

    def noted(self, ti: Any, state: str, error: object, by_hand: bool) -> None:
        """A task instance's state was set from outside its process."""
        found = config.load()
        task, attempt = ids.task_key(ti.task_id, ti.map_index), max(1, ti.try_number)
        told = list(facts.outcomes(snapshot.instance(ti))) if by_hand else []
        if told and isinstance(told[-1], events.TaskEnded):
            attempt = told[-1].attempt
        note = events.TaskNoted(
            task=task,
            attempt=attempt,
            error=_redact()(str(error)) if error else None,
            attributes={"marked_by_hand": state} if by_hand else {"set_by_scheduler": state},
        )
        self._record(ti, found, [*told, note])
        if by_hand:
            self._build_soon(ti, found)

    def _build_soon(self, ti: Any, found: config.Config) -> None:
        """No hook of the run's own follows: have a document built that knows of this, too.

        Who marks many task instances calls for many: one waits for them all.
        """
        run_id = ids.run_uuid(found.deployment, ti.dag_id, ti.run_id)
        now = time.monotonic()
        if now - self._built.get(run_id, -SOON) < SOON:
            return
        if len(self._built) > 1000:
            self._built.clear()
        self._built[run_id] = now
        run = ti.__dict__.get("dag_run")
        ended = run is None or getattr(run.state, "value", run.state) in ("success", "failed")
        if ended and found.core.export == "end":
            start_detached("export", found.core.store, run_id, **_options(found, SOON + 2))
        elif "://" in found.core.store:
            start_detached("sweep", found.core.store, run_id, **_options(found, SOON + 2))

    def _start(self, dag_run: Any, dag: Any, found: config.Config) -> events.RunStarted:
        from airflow import __version__

        intensity = found.core.carbon_intensity
        return facts.run_started(
            snapshot.run(dag_run, _redact()),
            dag,
            __version__,
            orcid=found.core.orcid,
            person=found.core.person,
            software=[*facts.software(), *self.packages],
            executor=_executor(),
            parent=environment.parent(),
            carbon_intensity=Figure(unit="gCO2e/kWh", method="given", value=intensity)
            if intensity is not None
            else None,
        )

    def _record(self, run: Any, found: config.Config, batch: list[events.Event]) -> None:
        """run: what has the ids of a DAG run."""
        run_id = ids.run_uuid(found.deployment, run.dag_id, run.run_id)

        def write() -> None:
            recorder = Recorder(
                found.core, os.devnull, log.warning, run_id=run_id, remote=journal.SPOOL
            )
            try:
                recorder.emit(*batch)
                for event in batch:
                    if isinstance(event, events.RunStarted):
                        recorder.announce(event)
            finally:
                recorder.close()

        with self._lock:
            if self._patience is None:
                self._patience = Patience(found.patience)
            self._patience.renew()
            try:
                self._patience.run(write)
            finally:
                self._patience.rest()


def _options(found: config.Config, delay: float = 0.0) -> dict[str, str]:
    return {"nest": found.core.nest, "hash": found.core.hash, "export_delay": str(delay)}


@cache
def _executor() -> str | None:
    from airflow.configuration import conf

    return conf.get("core", "executor", fallback=None)


def _masked(tries: list[facts.Try]) -> list[facts.Try]:
    """Names that templates gave to mapped task instances may hold anything."""
    redact = _redact()
    return [
        row._replace(rendered_map_index=redact(row.rendered_map_index))
        if row.rendered_map_index
        else row
        for row in tries
    ]


def _redact() -> Any:
    try:
        from airflow._shared.secrets_masker import redact
    except ImportError:
        from airflow.sdk._shared.secrets_masker import redact
    return redact
