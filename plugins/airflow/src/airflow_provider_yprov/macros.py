"""For operators whose work runs elsewhere: in a pod, a container, on another host.

In a template: ``{{ macros.yprov.variable(ti, "YPROV_RUN_ID") }}``. In a DAG file
`environment` gives a mapping of such templates, for ``env_vars`` and the like.
"""

from __future__ import annotations

import json
from typing import Any

from airflow_provider_yprov import ids


def variable(ti: Any, name: str, default: str = "") -> str:
    """The value of one of the variables that tell a task's processes who they are."""
    return ids.variables(ti).get(name, default)


def variables(ti: Any) -> str:
    """All of them as one JSON object."""
    return json.dumps(ids.variables(ti))


def environment(store: str | None = None) -> dict[str, str]:
    """Templates of the variables, by name: ``env_vars={**environment(), ...}``.

    store: the store as it is seen from there, if it is seen under another name.
    """
    found = {
        name: f"{{{{ macros.yprov.variable(ti, '{name}') }}}}"
        for name in (
            *("YPROV_RUN_ID", "YPROV_TASK_ID", "YPROV_ATTEMPT", "YPROV_STORE"),
            *("YPROV_MAP_INDEX", "YPROV_TASK_INSTANCE_ID"),
        )
    }
    return found | ({"YPROV_STORE": store} if store else {})
