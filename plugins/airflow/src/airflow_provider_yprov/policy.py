"""What Airflow exports to every process of a task, also where it exports nothing else.

A BashOperator with an ``env`` of its own gets ``AIRFLOW_CTX_*`` alone; so our variables are
there, too, as ``AIRFLOW_CTX_YPROV_*``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from typing import Any

from airflow.policies import hookimpl

from airflow_provider_yprov import config, ids


@hookimpl(wrapper=True)
def get_airflow_context_vars(context: Any) -> Generator[None, dict[str, str], dict[str, str]]:
    """With what the deployment's own policy exports (``airflow_local_settings``)."""
    found = yield
    with contextlib.suppress(Exception):
        ti = context.get("task_instance") or context.get("ti")
        if ti is not None and not config.load().disabled:
            return {**ids.variables(ti), **(found or {})}
    return found
