"""What the scheduler (or whoever changes a DAG run's state) tells of the run."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

from airflow_provider_yprov import config, facts, ids, snapshot
from airflow_provider_yprov.patience import Patience
from yprov4wms import environment, events, journal
from yprov4wms.events import Figure, Software
from yprov4wms.recorder import Recorder

log = logging.getLogger(__name__)


class DagRuns:
    """Records DAG runs from the hooks of one process; keeps nothing between them."""

    def __init__(self) -> None:
        self._patience: Patience | None = None
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
        dag, tries = snapshot.dag(dag_run), snapshot.planned(dag_run)
        start = self._start(dag_run, dag, found)
        self._record(dag_run, found, [start, *facts.plan(dag, tries)])

    def ended(self, dag_run: Any, message: str) -> None:
        """The run is over: what became of every try, and then the document."""
        found = config.load()
        dag, tries = snapshot.dag(dag_run), snapshot.tries(dag_run)
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
            start_export(found, run_id)

    def noted(self, ti: Any, state: str, error: object, by_hand: bool) -> None:
        """A task instance's state was set from outside its process."""
        found = config.load()
        text = str(error) if error else None
        note = events.TaskNoted(
            task=ids.task_key(ti.task_id, ti.map_index),
            attempt=max(1, ti.try_number),
            error=text,
            attributes={"marked_by_hand": state} if by_hand else {"set_by_scheduler": state},
        )
        self._record(ti, found, [note])

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
        if self._patience is None:
            self._patience = Patience(found.patience)
        self._patience.renew()
        run_id = ids.run_uuid(found.deployment, run.dag_id, run.run_id)

        def write() -> None:
            recorder = Recorder(
                found.core, os.devnull, log.warning, run_id=run_id, remote=journal.SPOOL
            )
            try:
                recorder.emit(*batch)
            finally:
                recorder.close()

        try:
            self._patience.run(write)
        finally:
            self._patience.rest()


def start_export(found: config.Config, run_id: str) -> None:
    """Have a process of its own build the document; it is nobody's child when this returns."""
    core = found.core
    chosen = {
        option: getattr(core, option)
        for option in ("nest", "hash", "secrets")
        if getattr(core, option) is not None
    }
    variables = {f"YPROV_{name.upper()}": str(value) for name, value in chosen.items()}
    command = [sys.executable, "-m", "airflow_provider_yprov.build", core.store, run_id]
    subprocess.run(
        ["/bin/sh", "-c", '"$@" </dev/null >/dev/null 2>>"$YPROV_EXPORT_LOG" &', "sh", *command],
        env={**os.environ, **variables, "YPROV_EXPORT_LOG": export_log()},
        start_new_session=True,
        timeout=1,
        check=False,
    )


def export_log() -> str:
    """Where export processes tell of their failures."""
    from airflow.configuration import conf

    folder = conf.get("logging", "base_log_folder", fallback="")
    return str(Path(folder, "yprov-export.log")) if folder and Path(folder).is_dir() else os.devnull


@cache
def _executor() -> str | None:
    from airflow.configuration import conf

    return conf.get("core", "executor", fallback=None)


def _redact() -> Any:
    try:
        from airflow._shared.secrets_masker import redact
    except ImportError:
        from airflow.sdk._shared.secrets_masker import redact
    return redact
