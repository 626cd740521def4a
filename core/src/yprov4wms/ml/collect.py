"""Takes the ML runs that a task attempt left in the store into its workflow's run."""

from __future__ import annotations

import io
from collections.abc import Collection, Iterator

from yprov4wms.events import ChildAttached, File
from yprov4wms.ml.document import build
from yprov4wms.ml.readers import ReadError
from yprov4wms.prov.nesting import OWN_DIALECT
from yprov4wms.prov.rules import kept
from yprov4wms.replay import replay
from yprov4wms.run import MLRun, Run
from yprov4wms.store import RunFolder, StoreError

SUFFIX = ".json"
#: What names of notes begin with.
NOTE = "mlflow-"


def children(
    folder: RunFolder, task: str, attempt: int, elsewhere: bool = True
) -> Iterator[ChildAttached]:
    """Keep the documents of this attempt's ML runs in the store, and tell of each.

    elsewhere: also of those that lie in stores that are not ours, which takes seconds. Raises,
    in the end, OSError or ReadError where one cannot be read.
    """
    for child, content in _found(folder, task, attempt):
        digest = folder.keep(content, SUFFIX)
        child.document.path = f"children/{digest}{SUFFIX}"
        child.document.sha256 = digest
        child.checked = kept(content)
        yield child
    if elsewhere and _are_noted(folder, task, attempt):
        from yprov4wms.ml import noted

        yield from noted.children(folder, task, attempt)


def late_children(
    folder: RunFolder, run: Run
) -> dict[tuple[str, int], list[tuple[ChildAttached, bytes]]]:
    """ML runs that nobody collected, with their documents: their attempts did not live to see
    to it, or leave that to the export."""
    import hashlib

    late: dict[tuple[str, int], list[tuple[ChildAttached, bytes]]] = {}
    there = folder.with_ml_runs()
    for task in run.tasks.values() if there else ():
        for attempt in task.attempts:
            if folder.ml_runs(attempt.task, attempt.key) not in there:
                continue
            known = {child.child for child in attempt.child_runs}
            try:
                for child, content in _found(folder, attempt.task, attempt.key, known):
                    digest = hashlib.sha256(content).hexdigest()
                    child.document.sha256 = digest
                    found = late.setdefault((attempt.task, attempt.key), [])
                    found.append((child, content))
                if _are_noted(folder, attempt.task, attempt.key):
                    from yprov4wms.ml import noted

                    found = late.setdefault((attempt.task, attempt.key), [])
                    found += noted.late_children(folder, attempt.task, attempt.key, known)
            except (OSError, ReadError) as error:
                run.problems.append(f"an ML run of task {attempt.task}: {error}")
    return late


def _are_noted(folder: RunFolder, task: str, attempt: int) -> bool:
    """Whether an attempt had runs of MLflow, as `yprov4wms.mlflow_context` notes them."""
    return any(name.startswith(NOTE) for name in folder.names(folder.ml_runs(task, attempt)))


def _found(
    folder: RunFolder, task: str, attempt: int, known: Collection[str] = ()
) -> Iterator[tuple[ChildAttached, bytes]]:
    """But for the known ones. Raises OSError, in the end, where one cannot be read."""
    failure: OSError | None = None
    for sub in folder.subfolders(folder.ml_runs(task, attempt)):
        if sub.run_id in known:
            continue
        try:
            run = replay(sub)
        except StoreError:
            continue  # a folder made by a process that was killed before its first event
        except OSError as error:
            failure = error
            continue
        if not isinstance(run, MLRun):
            continue
        spool = io.BytesIO()
        place = f"{folder.ml_runs(task, attempt)}/{sub.run_id}"
        build(run, sub, place).write_to(spool)
        content = spool.getvalue()
        document = File(path=f"{place}/prov.json", size=len(content))
        yield (
            ChildAttached(
                task=task,
                attempt=attempt,
                child=run.id,
                type=OWN_DIALECT,
                document=document,
                complete=run.end is not None,
            ),
            content,
        )
    if failure is not None:
        raise failure
