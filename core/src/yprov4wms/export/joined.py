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

#: As journals, and as documents of children have them.
_SHA256 = re.compile(rb'sha256"\s*:\s*"([0-9a-f]{64})"')


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
    return _apart(found.values())


def upstream(roots: list[Nested], store: Store) -> list[Nested]:
    """These runs, and those in the store that made what they used, at any distance.

    It is the same data where the checksums are equal; of several runs that made it before
    it was used, the one that left it at the same path counts, else the last.
    """
    stitch, found = Stitch(), {root.run.id: root for root in roots}
    for root in roots:
        told(root, stitch)
    looked = set(found)
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
                looked.update(_ids(outermost))
                tried[outermost.run.id] = outermost
                told(outermost, stitch)
        made = {made.run for _, used, made in stitch.ties() if used.run in found}
        new = made.intersection(tried)
        if not new:
            return _apart(found.values())
        found |= {id_: tried.pop(id_) for id_ in new}


def _ids(root: Nested) -> set[str]:
    return {one.run.id for one in root.every()}


def _apart(runs: Iterable[Nested]) -> list[Nested]:
    """In the order of their begin, each run once: what is inside another one is that one's."""
    ordered = sorted(runs, key=lambda root: (root.run.times()[0] or "", root.run.id))
    kept: list[Nested] = []
    for root in ordered:
        if not any(root.run.id in _ids(other) for other in kept):
            kept = [other for other in kept if other.run.id not in _ids(root)]
            kept.append(root)
    for root in list(kept):
        others = [other for other in kept if other is not root]
        if _attach(root, others):
            kept = others
    return kept


def _attach(root: Nested, others: Iterable[Nested]) -> bool:
    """Put a run that left no note where it was started, if that is in one of the others."""
    parent = root.run.start.parent
    within = _ids(root)
    for other in others:
        for outer in other.every():
            if parent is None or outer.run.id != parent.run or outer.run.id in within:
                continue
            attempt = nested.attempt(outer.run, parent)
            place = nested.place(root.folder, outer.folder)
            outer.nested.append(root._replace(around=attempt, place=place))
            outer.nested.sort(key=lambda one: one.run.id)
            return True
    return False


def _outermost(folder: RunFolder, store: Store) -> Nested | None:
    """The workflow run in a folder, or the one that it is inside, as far as the store has it."""
    root: Nested | None = None
    while True:
        try:
            run = document.read(folder)
        except StoreError:
            return root
        if not isinstance(run, Run):
            return root
        whole = document.whole(run, folder)
        if root is not None and root.run.id not in _ids(whole) and not _attach(root, [whole]):
            return root
        root = whole
        parent = run.start.parent
        if parent is None or not nested.is_id(parent.run) or parent.run in _ids(root):
            return root
        folder = store.run(parent.run)
        if not folder.names("events"):
            return root


def _checksums(folder: RunFolder) -> Iterator[str]:
    """All that stand in a run's journals, those of its ML runs, and documents of its children."""
    for one in (
        folder,
        *(ml for place in folder.with_ml_runs() for ml in folder.subfolders(place)),
    ):
        for _, lines in one.journals():
            for found in _SHA256.finditer(lines.read()):
                yield found[1].decode()
    for name in folder.names("children"):
        for found in _SHA256.finditer(folder.read(f"children/{name}")):
            yield found[1].decode()
