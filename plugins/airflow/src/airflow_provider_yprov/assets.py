"""Assets as files: what a task instance or a run was given, and what a task instance left."""

from __future__ import annotations

import urllib.parse
from collections.abc import Iterator
from typing import Any

from airflow_provider_yprov.ids import run_uuid, task_key
from yprov4wms.events import File, FileType, Parent
from yprov4wms.identity import Identity
from yprov4wms.plain import plain


def consumed(ti: Any, deployment: str) -> list[File]:
    """The asset events that triggered the run, each with the task of the run that made it."""
    context = getattr(ti, "_ti_context_from_server", None)
    dag_run = getattr(context, "dag_run", None)
    events = getattr(dag_run, "consumed_asset_events", None) or ()
    return [from_event(event, deployment) for event in events]


def from_event(event: Any, deployment: str) -> File:
    """What an asset event tells of, with the task that made it."""
    source = None
    if event.source_dag_id and event.source_run_id and event.source_task_id:
        source = Parent(
            run=run_uuid(deployment, event.source_dag_id, event.source_run_id),
            task=task_key(event.source_task_id, event.source_map_index),
        )
    file = named(event.asset.name, event.asset.uri, "asset event")
    file.origin_task = source
    file.attributes = _attributes(
        file,
        extra=event.extra,
        aliases=", ".join(alias.name for alias in event.source_aliases or ()),
        event_time=event.timestamp.isoformat() if event.timestamp else None,
        source_dag_id=event.source_dag_id,
        source_run_id=event.source_run_id,
        source_task_id=event.source_task_id,
        source_map_index=event.source_map_index,
        partition_key=getattr(event, "partition_key", None),
    )
    return file


def inlets(ti: Any, triggered_by: list[File], identity: Identity) -> list[File]:
    """What the task declares to read; a version that triggered the run is named as such."""
    events = {file.path: file for file in triggered_by}
    found = []
    for asset in ti.task.inlets or ():
        if getattr(asset, "uri", None):
            file = _looked_at(asset, "inlet", identity)
            event = events.get(file.path)
            if event is not None:
                file.origin_task, file.attributes = event.origin_task, event.attributes
            found.append(file)
    return found


def outlets(ti: Any, identity: Identity) -> list[File]:
    """What the task declares to have left, its aliases resolved, each with its event's extra."""
    if not ti.task.outlets:
        return []
    accessors = getattr(ti.get_template_context().get("outlet_events"), "_dict", {})
    return list(_left(ti.task.outlets, accessors, identity))


def _left(declared: Any, accessors: Any, identity: Identity) -> Iterator[File]:
    by_name = {getattr(key, "name", None): value for key, value in accessors.items()}
    for outlet in declared:
        if getattr(outlet, "uri", None):
            file = _looked_at(outlet, "outlet", identity)
            accessor = by_name.get(outlet.name)
            extra = {**(outlet.extra or {}), **(accessor.extra if accessor else {})}
            file.attributes = _attributes(file, extra=extra, group=outlet.group)
            file.published = True
            yield file
    for accessor in accessors.values():
        for event in accessor.asset_alias_events:
            key = event.dest_asset_key
            file = _seen(named(key.name, key.uri, "outlet"), identity)
            extra = {**(event.dest_asset_extra or {}), **(event.extra or {})}
            file.attributes = _attributes(file, extra=extra, aliases=event.source_alias_name)
            file.published = True
            yield file


def left(event: Any) -> File:
    """What a task instance left, by the asset event that Airflow made of it."""
    file = named(event.asset.name, event.asset.uri, "outlet")
    group, key = event.asset.group, event.partition_key
    file.attributes = _attributes(file, extra=event.extra, group=group, partition_key=key)
    file.published = True
    return file


def _looked_at(asset: Any, role: str, identity: Identity) -> File:
    return _seen(named(asset.name, asset.uri, role), identity)


def _seen(file: File, identity: Identity) -> File:
    """With what lies there now, if it is a file of this machine."""
    if file.type is FileType.ASSET:
        return file
    found = identity.describe(file.path, file.role)
    if found.type is FileType.FILE:  # a folder may hold any number
        found = identity.checksum(found)
    if found.type is FileType.MISSING:
        file.note = "not there when the task's process looked"
        return file
    found.path, found.name, found.attributes = file.path, file.name, file.attributes
    return found


def named(name: str, uri: str, role: str) -> File:
    """A local file by its path, so that what lies there is one thing under any engine."""
    path, kind = uri, FileType.ASSET
    if uri.startswith("file:///"):
        path, kind = urllib.parse.unquote(urllib.parse.urlsplit(uri).path), FileType.FILE
    file = File(path, kind, role=role, name=name)
    file.attributes = {"uri": uri}
    return file


def _attributes(file: File, **more: Any) -> dict[str, Any]:
    """extra may be any JSON, in which secrets are masked as Airflow does; what is empty is left
    out."""
    from airflow.sdk._shared.secrets_masker import redact

    if more.get("extra"):
        more["extra"] = redact(plain(more["extra"]), "extra")
    found = {**(file.attributes or {}), **more}
    return {name: plain(value) for name, value in found.items() if value not in (None, "", {})}
