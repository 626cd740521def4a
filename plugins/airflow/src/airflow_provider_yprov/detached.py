"""Processes that nobody waits for: one builds a run's document, one sends what was spooled."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def start_detached(what: str, store: str, run_id: str, **options: str) -> None:
    """Start `airflow_provider_yprov.build`; the process is nobody's child when this returns.

    what: ``export`` or ``sweep``. options: of every engine, by name. Raises OSError or
    subprocess.SubprocessError.
    """
    variables = {f"YPROV_{name.upper()}": value for name, value in options.items()}
    module = "airflow_provider_yprov.build"
    command = [sys.executable, "-m", module, what, store, run_id]
    subprocess.run(
        ["/bin/sh", "-c", '"$@" </dev/null >/dev/null 2>>"$YPROV_EXPORT_LOG" &', "sh", *command],
        env={**os.environ, **variables, "YPROV_EXPORT_LOG": export_log()},
        start_new_session=True,
        timeout=1,
        check=False,
    )


def export_log() -> str:
    """Where these processes tell of their failures."""
    from airflow.configuration import conf

    folder = conf.get("logging", "base_log_folder", fallback="")
    return str(Path(folder, "yprov-export.log")) if folder and Path(folder).is_dir() else os.devnull
