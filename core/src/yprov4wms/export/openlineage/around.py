"""The run around a run: an attempt of another workflow, under which its engine was started."""

from __future__ import annotations

from typing import NamedTuple

from yprov4wms.events import Parent
from yprov4wms.export.openlineage.names import Jobs, Name, attempt_run_id, workflow_run_id
from yprov4wms.replay import replay_workflow
from yprov4wms.run import Run
from yprov4wms.store import RunFolder, Store, StoreError

#: Deeper ones are a circle.
_DEPTH = 8


class Around(NamedTuple):
    """A run around a run, and the outermost one: their ids and jobs."""

    run_id: str
    job: Name
    root_id: str
    root: Name


def parent_run_id(parent: Parent) -> str:
    """The id that the attempt, or the run, has as an OpenLineage run."""
    if parent.task is None or parent.attempt is None:
        return workflow_run_id(parent.run)
    return attempt_run_id(parent.run, parent.task, parent.attempt)


def around(run: Run, folder: RunFolder, namespace: str | None) -> Around | None:
    """What is around the run in ``folder``; None where that run's record is not to be had, for
    then its job has no name that is known."""
    found: Around | None = None
    for _ in range(_DEPTH):
        parent = run.start.parent
        outer = _recorded(parent, folder) if parent is not None else None
        if parent is None or outer is None:
            return found
        run, folder = outer
        jobs = Jobs(run, namespace)
        root_id = workflow_run_id(run.id)
        if found is not None:
            found = found._replace(root_id=root_id, root=jobs.workflow)
            continue
        task = run.tasks.get(parent.task) if parent.task is not None else None
        if task is None:
            found = Around(root_id, jobs.workflow, root_id, jobs.workflow)
        else:
            found = Around(parent_run_id(parent), jobs.task(task), root_id, jobs.workflow)
    return found


def _recorded(parent: Parent, folder: RunFolder) -> tuple[Run, RunFolder] | None:
    store = Store(parent.store or folder.location.rstrip("/").rpartition("/")[0])
    try:
        outer = store.run(parent.run)
        return replay_workflow(outer), outer
    except (StoreError, OSError, ImportError, ValueError):
        return None
