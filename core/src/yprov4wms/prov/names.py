"""Identifiers of one run's records."""

from __future__ import annotations

from yprov4wms.prov.values import hashed_name, local_name
from yprov4wms.prov.vocabulary import RUN
from yprov4wms.run import Attempt, Task


class Names:
    """Identifiers under one prefix, which stands for the run's own namespace.

    The URIs do not depend on the prefix: a run has the same ones in its own document and in
    that of the run around it.
    """

    def __init__(self, prefix: str = RUN) -> None:
        self.prefix = prefix
        self.workflow_run = f"{prefix}:workflow_run"
        self.workflow = f"{prefix}:workflow"
        self.engine = f"{prefix}:engine"
        self.person = f"{prefix}:person"

    def attempt(self, attempt: Attempt) -> str:
        """An attempt's activity."""
        return f"{self.prefix}:{local_name('task_' + attempt.task)}.{attempt.number}"

    def task_plan(self, task: Task) -> str:
        """The plan that stands for a task that never ran."""
        return f"{self.prefix}:{local_name('plan_' + task.id)}"

    def step(self, step: str) -> str:
        """A step's plan."""
        return f"{self.prefix}:{local_name('step_' + step)}"

    def local(self, name: str) -> str:
        return f"{self.prefix}:{local_name(name)}"

    def hashed(self, kind: str, owner: str, *parts: str) -> str:
        """What belongs to ``owner``, an identifier or a word, and is told apart by ``parts``."""
        if self.prefix != RUN and owner.startswith(self.prefix + ":"):
            owner = RUN + owner[len(self.prefix) :]
        return f"{self.prefix}:{hashed_name(kind, owner, *parts)}"
