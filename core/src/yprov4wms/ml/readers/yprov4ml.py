"""Runs of yProv4ML of any version: its folders, one document per rank, or what a crash left.

The versions' own forms are in ``yprov4ml_1``, ``yprov4ml_2`` and ``yprov4ml_3``. This is
written from its runs; none of its code is used.
"""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import Any

import msgspec

from yprov4wms.ml.readers import (
    ChildRun,
    ReadError,
    dress,
    layout,
    moments,
    yprov4ml_1,
    yprov4ml_2,
    yprov4ml_3,
)
from yprov4wms.ml.readers.draft import Draft, decoded, is_context, is_run
from yprov4wms.ml.readers.generic import content_id
from yprov4wms.ml.readers.layout import Rank
from yprov4wms.prov import foreign
from yprov4wms.prov.vocabulary import Link

DIALECT = "yprov4ml"


class _Part(msgspec.Struct):
    """One rank, read."""

    rank: Rank
    draft: Draft
    root: str
    version: str | None
    complete: bool
    began: str | None
    ended: str | None
    id: str


class YProv4MLReader:
    def takes(self, path: Path) -> bool:
        if path.is_dir():
            return layout.is_run_folder(path) or bool(layout.run_folders(path))
        return layout.is_document(path.name)

    def read(self, path: Path, directory: Path | None = None) -> list[ChildRun]:
        if path.is_dir() and not layout.is_run_folder(path):
            folders = layout.run_folders(path)
            groups = _grouped([r for folder in folders for r in layout.ranks(folder)], directory)
        else:
            folder = path if path.is_dir() else path.parent
            own = list(layout.ranks(folder))
            if path != folder:
                own = [ranks for ranks in own if any(rank.document == path for rank in ranks)]
            groups = _grouped([*own, *_beside(folder, own)], directory)
            mine = {rank.document or rank.folder for ranks in own for rank in ranks}
            groups = [
                group
                for group in groups
                if mine & {p.rank.document or p.rank.folder for p in group}
            ]
        return [_run(group) for group in groups]


def unpacked(folder: Path, known_as: str, source: Path, directory: Path | None) -> list[ChildRun]:
    """The runs in a folder that was unpacked from ``source``, where it is known by a name."""
    found = list(layout.ranks(folder))
    for rank in (rank for ranks in found for rank in ranks):
        rank.known_as = known_as
    runs = [_run(group) for group in _grouped(found, directory)]
    return [msgspec.structs.replace(run, sources=(str(source),)) for run in runs]


def _beside(folder: Path, own: list[list[Rank]]) -> list[list[Rank]]:
    """What may be other ranks of the same run: skewed by a second, each makes a folder."""
    numbers = {rank.rank for ranks in own for rank in ranks}
    found = [ranks for other in layout.siblings(folder) for ranks in layout.ranks(other)]
    return [ranks for ranks in found if not numbers & {rank.rank for rank in ranks}]


def _grouped(found: list[list[Rank]], directory: Path | None) -> list[list[_Part]]:
    """Runs: of one name, of ranks that differ, and at one time."""
    groups: list[list[_Part]] = []
    parts = [[_part(rank, directory) for rank in ranks] for ranks in found]
    for new in sorted(parts, key=lambda some: min((p.began or "" for p in some), default="")):
        fitting = [group for group in groups if _is_one(group, new)]
        if len(fitting) == 1:
            fitting[0] += new
            continue
        groups.append(new)
        if fitting:
            new[0].draft.notes["rank that may be of several runs: a run of its own"] += 1
    return [sorted(group, key=lambda part: part.rank.rank) for group in groups if group]


def _is_one(group: list[_Part], new: list[_Part]) -> bool:
    if not new or group[0].rank.name != new[0].rank.name:
        return False
    if group[0].rank.folder.parent != new[0].rank.folder.parent:
        return False
    if {part.rank.rank for part in group} & {part.rank.rank for part in new}:
        return False
    ends = [part.ended for part in group if part.ended]
    began = [part.began for part in new if part.began]
    return bool(ends and began) and min(began) <= max(ends)


def _part(rank: Rank, directory: Path | None) -> _Part:
    draft, note, content = Draft(), "no document: made up from the files that lie there", b""
    if rank.document is not None:
        try:
            content = rank.document.read_bytes()
            draft = Draft.of(decoded(content))
        except ReadError as error:
            note, content = f"{error}: made up from the files that lie there", b""
    if not content:
        return _made_up(rank, draft, note, directory)
    dress.attributes(draft)
    dress.people(draft)
    dialect = _dialect(draft)
    root = dialect.root_of(draft, rank)
    if root is None:
        root = f"{rank.name}_GR{rank.rank}"
        draft.elements["activity"][root] = {}
        draft.notes["document without an activity: one stands for the run"] += 1
    version, metrics = dialect.say(draft, rank, root, directory)
    record = draft.elements["activity"][root]
    began, ended = (foreign.time(record.get(f"prov:{edge}Time")) for edge in ("start", "end"))
    told = foreign.text(record.get("yprov:global_rank"))
    if told is not None and told != str(rank.rank):
        draft.notes[f"rank {told}, which the name of its document says is {rank.rank}"] += 1
    record["yprov:global_rank"] = str(rank.rank)
    return _Part(
        rank=rank,
        draft=draft,
        root=root,
        version=version,
        complete=ended is not None,
        began=began or _of_ms(metrics.began),
        ended=ended or _of_ms(metrics.ended),
        id=_uuid(foreign.text(record.get("yprov:PID"))) or content_id(content),
    )


def _made_up(rank: Rank, draft: Draft, note: str, directory: Path | None) -> _Part:
    root = f"{rank.name}_GR{rank.rank}"
    draft.notes[note] += 1
    draft.elements["activity"][root] = {"yprov:global_rank": str(rank.rank)}
    metrics = dress.Metrics(draft, rank, dress.Places(rank, None, directory))
    metrics.rest(root)
    dress.artifacts(draft, rank, root)
    first = metrics.began or int(os.stat(rank.folder).st_mtime_ns // 1_000_000)  # noqa: PTH116
    key = f"{os.path.realpath(rank.folder)}\0{rank.rank}\0{metrics.began}"
    return _Part(
        rank=rank,
        draft=draft,
        root=root,
        version=None,
        complete=False,
        began=_of_ms(first),
        ended=_of_ms(metrics.ended or first),
        id=content_id(key.encode("utf-8", "surrogateescape")),
    )


def _dialect(draft: Draft) -> Any:
    if "yProv4ML" in draft.prefixes or "context" in draft.prefixes:
        return yprov4ml_2
    if "prov-ml" in draft.prefixes and "yprov" not in draft.prefixes:
        return yprov4ml_1
    return yprov4ml_3


def _run(parts: list[_Part]) -> ChildRun:
    """One run of all its ranks."""
    first = parts[0]
    name, complete = first.rank.name, all(part.complete for part in parts)
    times = [part.began for part in parts if part.began], [p.ended for p in parts if p.ended]
    draft, root = first.draft, first.root
    if len(parts) > 1:
        draft, root = Draft(), name
        for part in parts:
            part.draft.renamed(f"GR{part.rank.rank}")
            own = f"GR{part.rank.rank}.{part.root}"
            record = part.draft.elements["activity"][own]
            record["prov:label"] = f"rank {part.rank.rank}"
            is_context(record)
            draft.take(part.draft)
            draft.relate("wasInformedBy", own, root, **{"yprov4wms:link": Link.PART_OF.value})
        starts = [_time(part, "start") for part in parts]
        ends = [_time(part, "end") for part in parts]
        values: dict[str, Any] = {"yprov4wms:ranks": len(parts)}
        if None not in starts:
            values["prov:startTime"] = min(start for start in starts if start)
        if None not in ends:
            values["prov:endTime"] = max(end for end in ends if end)
        draft.elements["activity"][root] = values
        for agent in draft.elements["agent"]:
            draft.relate("wasAssociatedWith", root, agent)
    is_run(draft.elements["activity"][root], name)
    place = first.rank.document or first.rank.folder
    # A rank without a document has no id that others would find again.
    run = next((part.id for part in parts if part.version), first.id)
    content, repaired = draft.written(run, root, first.rank.told(place))
    return ChildRun(
        dialect=DIALECT,
        version=next((part.version for part in parts if part.version), None),
        id=run,
        content=content,
        complete=complete,
        began=min(times[0], default=None),
        ended=max(times[1], default=None),
        ranks=tuple(part.rank.rank for part in parts),
        repaired=repaired,
        sources=tuple(str(part.rank.document or part.rank.folder) for part in parts),
    )


def _time(part: _Part, edge: str) -> str | None:
    record = part.draft.elements["activity"][f"GR{part.rank.rank}.{part.root}"]
    return foreign.time(record.get(f"prov:{edge}Time"))


def _of_ms(moment: int | None) -> str | None:
    return moments.of_seconds(moment / 1000) if moment is not None else None


def _uuid(text: str | None) -> str | None:
    try:
        return str(uuid.UUID(text or ""))
    except ValueError:
        return None


READER = YProv4MLReader()
