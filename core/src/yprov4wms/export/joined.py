"""Several runs as one document: those that are named, or those whose data a run has used."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from yprov4wms import nested
from yprov4wms.export import document
from yprov4wms.prov.document import told
from yprov4wms.prov.inner import Nested
from yprov4wms.prov.stitch import Stitch
from yprov4wms.run import Run
from yprov4wms.store import RunFolder, Store, StoreError

_SHA256 = re.compile(rb'"sha256":"([0-9a-f]{64})"')


def runs(folders: Iterable[RunFolder]) -> list[Nested]:
    """The workflow runs in these folders, by when they began: the same for any order of folders.

    One that is inside another one of them is that one's. Raises StoreError where a folder
    holds no workflow run.
    """
    found: dict[str, Nested] = {}
    for folder in folders:
        run = document.read(folder)
        if not isinstance(run, Run):
            raise StoreError(f"{folder.location}: this is an ML run, not a workflow run")
        if run.id not in found:
            found[run.id] = document.whole(run, folder)
    inner = (inner for root in found.values() for inner in root.nested)
    inside = {one.run.id for outer in inner for one in outer.every()}
    roots: list[Nested] = []
    for root in (root for id_, root in found.items() if id_ not in inside):
        around = _around(root, found.values())
        if around is None:
            roots.append(root)
        else:
            outer, parent = around, root.run.start.parent
            assert parent is not None
            attempt = nested.attempt(outer.run, parent)
            place = nested.place(root.folder, outer.folder)
            outer.nested.append(root._replace(around=attempt, place=place))
    return _in_order(roots)


def _around(root: Nested, others: Iterable[Nested]) -> Nested | None:
    """The run in which one was started, if it is among these and left no word of it there."""
    parent = root.run.start.parent
    if parent is None:
        return None
    within = {one.run.id for one in root.every()}
    for other in others:
        for one in other.every():
            if one.run.id == parent.run and one.run.id not in within:
                return one
    return None


def _in_order(roots: list[Nested]) -> list[Nested]:
    return sorted(roots, key=lambda root: (root.run.times()[0] or "", root.run.id))


def upstream(roots: list[Nested], store: Store) -> list[Nested]:
    """These runs, and those in the store that made what they used, at any distance.

    It is the same data where the checksums are equal; of several runs that made it before
    it was used, the one that left it at the same path counts, else the last.
    """
    stitch, found = Stitch(), {root.run.id: root for root in roots}
    for root in roots:
        told(root, stitch)
    looked = {one.run.id for root in roots for one in root.every()}
    tried: dict[str, Nested] = {}
    content: dict[str, set[str]] = {}
    while True:
        wanted = stitch.used()
        for name in [name for name in store.runs() if name not in looked]:
            if name not in content:
                content[name] = set(_checksums(store.run(name)))
            if wanted.isdisjoint(content[name]):
                continue
            looked.add(name)
            outermost = _outermost(store.run(name), store)
            if outermost is not None and outermost.run.id not in {*found, *tried}:
                looked.update(one.run.id for one in outermost.every())
                tried[outermost.run.id] = outermost
                told(outermost, stitch)
        made = {made.run for _, used, made in stitch.ties() if used.run in found}
        new = made.intersection(tried)
        if not new:
            return _in_order(list(found.values()))
        found |= {id_: tried.pop(id_) for id_ in new}


def _outermost(folder: RunFolder, store: Store) -> Nested | None:
    """The workflow run in a folder, or the one that it is inside, as far as the store has it."""
    met: set[str] = set()
    while True:
        try:
            run = document.read(folder)
        except StoreError:
            return None
        if not isinstance(run, Run):
            return None
        met.add(run.id)
        parent = run.start.parent
        known = parent is not None and nested.is_id(parent.run)
        outer = store.run(parent.run) if parent is not None and known else None
        if outer is None or outer.run_id in met or not outer.names("events"):
            return document.whole(run, folder)
        folder = outer


def _checksums(folder: RunFolder) -> Iterator[str]:
    """All that stand in a run's journals and in the documents of its child runs."""
    for _, lines in folder.journals():
        for found in _SHA256.finditer(lines.read()):
            yield found[1].decode()
    for name in folder.names("children"):
        for found in _SHA256.finditer(folder.read(f"children/{name}")):
            yield found[1].decode()
