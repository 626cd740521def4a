"""What a Toil job carries, as ``runtime_context.yprov``, of who it is in the run.

Toil pickles it with the job. Where it is unpickled on a worker the hooks are put in place; where
that cannot be, None is unpickled instead, and the job runs unrecorded.
"""

from __future__ import annotations

import json
from typing import Any

#: Of a workflow's step what decides how many tasks it has, as in CWL.
MANY = ("scatter", "scatterMethod", "loop")

#: Names nothing of ours that a worker would have to have.
_ARRIVE = """
try:
    import json
    from yprov_toil_cwl_runner.hooks import arrived
    scope = arrived(json.loads(state))
except Exception:
    scope = None
"""
_UNPICKLE = "(lambda names: (exec({code!r}, names), names['scope'])[1])({{'state': {state!r}}})"


class Scope:
    """A task, or (with an empty path) the run itself.

    run: what all jobs share, as plain values: ``id``, ``settings``, ``directory``. path, step: as
    those of `yprov_cwl_runner.tasks.Node`. alone: no workflow is around it.
    """

    def __init__(
        self,
        run: dict[str, Any],
        path: str = "",
        step: str = "",
        alone: bool = False,
        steps: dict[str, dict[str, Any]] | None = None,
        owners: dict[str, str] | None = None,
    ) -> None:
        self.run = run
        self.path = path
        self.step = step
        self.alone = alone
        #: Of a workflow that was unfolded: by id `MANY` of each step, and `plan.owners`.
        self.steps = steps
        self.owners = owners

    def __reduce__(self) -> tuple[Any, ...]:
        return eval, (_UNPICKLE.format(code=_ARRIVE, state=json.dumps(vars(self), default=str)),)
