"""How OpenLineage names what a run is made of: run ids, jobs, datasets.

Dataset names follow the spec's naming conventions: a local file is its absolute path in the
namespace ``file``, an object its key in that of its bucket.
"""

from __future__ import annotations

import json
import uuid
from collections import Counter
from posixpath import join, normpath
from typing import Any, NamedTuple

from yprov4wms.events import File, FileType
from yprov4wms.run import Run, Task

_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "urn:yprov4wms:openlineage")
#: Schemes that the spec has one namespace for.
_SAME = {"s3a": "s3", "s3n": "s3", "gcs": "gs"}
#: Where a name is an object's key, without the slash in front of it.
_OBJECTS = frozenset(("s3", "gs", "abfs", "abfss", "wasb", "wasbs"))
#: Where what stands before an ``@`` is a container, and no user.
_CONTAINERS = frozenset(("abfs", "abfss", "wasb", "wasbs"))


class Name(NamedTuple):
    """Of a job or a dataset."""

    namespace: str
    name: str

    def as_json(self) -> dict[str, Any]:
        return {"namespace": self.namespace, "name": self.name}


def workflow_run_id(run_id: str) -> str:
    """The run's own id where it is a UUID, else a UUIDv5 of it."""
    try:
        if str(uuid.UUID(run_id)) == run_id:
            return run_id
    except ValueError:
        pass
    return str(uuid.uuid5(_NAMESPACE, json.dumps([run_id])))


def attempt_run_id(run_id: str, task: str, attempt: int) -> str:
    """A UUIDv5 of the run's id, the task and the attempt's number in the journal."""
    return str(uuid.uuid5(_NAMESPACE, json.dumps([run_id, task, attempt])))


class Jobs:
    """The jobs of one run: the workflow, and in it one for each task.

    A task of which another bears the name, too, has its id behind it.
    """

    def __init__(self, run: Run, namespace: str | None = None) -> None:
        self.workflow = Name(namespace or run.start.engine.name, run.start.workflow)
        names = Counter(task.name for task in run.tasks.values())
        self._shared = {name for name, count in names.items() if count > 1}

    def task(self, task: Task) -> Name:
        name = f"{task.name} ({task.id})" if task.name in self._shared else task.name
        return Name(self.workflow.namespace, f"{self.workflow.name}.{name}")


class Places:
    """Names the datasets of a run.

    directory: of the run, from where relative paths start. assets: the namespace of data that
    its engine knows by a name alone.
    """

    def __init__(self, directory: str, assets: str) -> None:
        self._directory = directory
        self._assets = assets

    def name(self, file: File) -> Name:
        if file.type is FileType.ASSET and "://" not in file.path:
            return Name(self._assets, file.path)
        return self.at(file.path)

    def at(self, path: str) -> Name:
        """Of what lies at a path, or has a URL. Passwords in a URL are no part of its name."""
        scheme, found, rest = path.partition("://")
        scheme = scheme.lower()
        if not found or "/" in scheme or scheme == "file":
            path = rest.removeprefix("localhost") if found and scheme == "file" else path
            return Name("file", normpath(join(self._directory, path)) if path else path)
        scheme = _SAME.get(scheme, scheme)
        authority, slash, tail = rest.partition("/")
        user, at, host = authority.rpartition("@")
        if at and scheme not in _CONTAINERS:
            authority = host
        elif ":" in user:
            authority = f"{user.partition(':')[0]}@{host}"
        return Name(f"{scheme}://{authority}", tail if scheme in _OBJECTS else slash + tail)
