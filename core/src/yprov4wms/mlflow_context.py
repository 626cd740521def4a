"""Tells MLflow, in a user's process, which task attempt is around its runs.

MLflow loads this as a plugin (``mlflow.run_context_provider``) whenever it is imported: standard
library only, and nothing that it does may be felt by the training. Outside of a task it does
nothing.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress

_NAMES = ("YPROV_RUN_ID", "AIRFLOW_CTX_YPROV_RUN_ID")
#: Seconds that a training waits at most for a store that is not local.
_PATIENCE = 5.0
#: What is noted already, by this process.
_noted: set[tuple[object, ...]] = set()


class TaskContext:
    """A run context provider, as MLflow calls them by their form."""

    def in_context(self) -> bool:
        try:
            return _parent() is not None
        except Exception:
            return False

    def tags(self) -> dict[str, str]:
        """Tags that name the attempt. Where the store is that has its runs, is noted in ours."""
        try:
            around = _parent()
            if around is None:
                return {}
            with suppress(Exception):  # the tags are there to be found by other ways
                _note(around)
            return {
                "yprov4wms.run": around["run"],
                "yprov4wms.task": around["task"],
                "yprov4wms.attempt": around["attempt"],
            }
        except Exception:
            return {}


def _parent() -> dict[str, str] | None:
    """The task attempt around this process, as `yprov4wms.ml` finds it, without its imports."""
    # In a thread of an engine's own process the variables are those of the thread's task.
    metering = sys.modules.get("yprov4wms.metering.task")
    meter = metering.current() if metering is not None else None
    found = os.environ if meter is None else {**os.environ, **meter.env}
    if not any(name in found for name in _NAMES):
        return None
    from yprov4wms.settings import told

    names = {"run": "RUN_ID", "task": "TASK_ID", "attempt": "ATTEMPT", "store": "STORE"}
    values = {key: told(f"YPROV_{name}", found) or "" for key, name in names.items()}
    return values if all(values.values()) and values["attempt"].isdecimal() else None


def _note(around: dict[str, str]) -> None:
    """Once for each store that this process writes to under an attempt."""
    import mlflow

    uri = mlflow.get_tracking_uri()
    key = (os.getpid(), *around.values(), uri)
    if key in _noted:
        return
    _noted.add(key)
    import json

    from yprov4wms.masking import without_userinfo

    note = {
        "tracking_uri": without_userinfo(uri),
        "directory": os.getcwd(),  # noqa: PTH109
        "python": sys.executable,
    }
    name = f"mlflow-{os.urandom(12).hex()}.json"
    store = around["store"].rstrip("/")
    path = f"{store}/{around['run']}/ml/{around['task']}-{around['attempt']}/{name}"
    content = json.dumps(note).encode()
    if "://" not in path:
        _write(path, content)
        return
    import threading

    thread = threading.Thread(target=_send, args=(path, content), daemon=True)
    thread.start()
    thread.join(_PATIENCE)


def _write(path: str, content: bytes) -> None:
    """Whole or not at all."""
    os.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH103, PTH120
    temporary = f"{path}.part"
    with open(temporary, "xb") as file:  # noqa: PTH123
        file.write(content)
    os.replace(temporary, path)  # noqa: PTH105


def _send(url: str, content: bytes) -> None:
    try:
        from yprov4wms import journal

        journal.put(journal.filesystem(url), url, content)
    except Exception:
        return
