"""Tells MLflow, in a user's process, which task attempt is around its runs.

MLflow loads this as a plugin (``mlflow.run_context_provider``) whenever it is imported: standard
library only, and nothing that it does may be felt by the training. Outside of a task it does
nothing.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
import uuid
from typing import Any

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
            _note(around)
            return {
                "yprov4wms.run": around["run"],
                "yprov4wms.task": around["task"],
                "yprov4wms.attempt": str(around["attempt"]),
            }
        except Exception:
            return {}


def _parent() -> dict[str, Any] | None:
    # In a thread of an engine's process the variables are not in the environment.
    known = any(name in os.environ for name in _NAMES)
    if not known and "yprov4wms.metering.task" not in sys.modules:
        return None
    from yprov4wms.ml import _surroundings

    return _surroundings.parent()


def _note(around: dict[str, Any]) -> None:
    """Once for each store that this process writes to under an attempt."""
    import mlflow

    uri = mlflow.get_tracking_uri()
    key = (os.getpid(), *around.values(), uri)
    if key in _noted:
        return
    _noted.add(key)
    from yprov4wms.masking import without_userinfo

    note = {
        "tracking_uri": without_userinfo(uri),
        "directory": os.getcwd(),  # noqa: PTH109
        "python": sys.executable,
        "time": time.time(),
    }
    name = f"mlflow-{uuid.uuid4().hex}.json"
    store = str(around["store"]).rstrip("/")
    path = f"{store}/{around['run']}/ml/{around['task']}-{around['attempt']}/{name}"
    content = json.dumps(note).encode()
    if "://" not in path:
        _write(path, content)
        return
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
