"""What stands in a run's folder when it has ended: its document, and what else was asked for.

Where the script gives a folder for it (``provenance_save_dir``), it stands there, under the
names that yProv4ML gives; the document is in the run's folder in the store, too.

Of several ranks the last one to end makes it all; rank 0 makes it at its own end, too, for
the others may never come to theirs.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import msgspec

from yprov4wms.ml import _turns, document, metrics
from yprov4wms.ml._checks import one_line
from yprov4wms.ml.formats import Options, file_name
from yprov4wms.replay import replay
from yprov4wms.run import MLRun
from yprov4wms.store import RunFolder, StoreError, write_atomically

if TYPE_CHECKING:
    from yprov4wms.ml.recorder import ActiveRun

CARD = "card.md"
CRATE = "ro-crate.zip"


class ProductError(RuntimeError):
    """Some of what should stand there could not be made; the text says what, and why."""


class Wish(msgspec.Struct, frozen=True):
    """What one rank asks for.

    target: folder or URL in which it is to stand. metrics: formats, each with whether it is
    compressed, and the separator of CSV.
    """

    target: str
    document: bool = False
    graph: bool = False
    svg: bool = False
    card: bool = False
    crate: bool = False
    metrics: tuple[tuple[str, bool, str], ...] = ()

    def and_also(self, other: Wish) -> Wish:
        """What both ask for, in this one's folder."""
        flags = {
            name: getattr(self, name) or getattr(other, name)
            for name in ("document", "graph", "svg", "card", "crate")
        }
        formats = dict.fromkeys(self.metrics + other.metrics)
        return Wish(target=self.target, metrics=tuple(formats), **flags)


def make(run: ActiveRun, wants_document: bool, **products: bool) -> None:
    """products: by the fields of `Wish`, what this rank asks for.

    Raises ProductError in the end where something could not be made, `StoreError` or OSError
    where the record cannot be read.
    """
    wanted, folder, errors = run.wanted, run.folder, []
    target = folder.location
    try:
        target = run.artifacts.products
    except Exception as error:
        errors.append(f"provenance_save_dir: {one_line(error)}")
    form = wanted.metrics_format
    formats = ((form, wanted.compress, wanted.csv_separator),) if form else ()
    wish = Wish(target=target, document=wants_document, metrics=formats, **products)
    if run.rank is None:
        errors += _make_all(folder, [wish])
    else:
        errors += _in_turn(folder, run.writer, run.rank, wish)
    if errors:
        more = f"; and {len(errors) - 3} more" if len(errors) > 3 else ""
        raise ProductError("; ".join(errors[:3]) + more)


def _in_turn(folder: RunFolder, writer: str, rank: int, wish: Wish) -> list[str]:
    errors = []
    try:
        _turns.ask(folder, writer, msgspec.to_builtins(wish))
    except Exception as error:
        errors.append(f"telling other ranks: {one_line(error)}")
    if rank and _turns.others_live(folder, writer):
        return errors
    with _turns.held(folder):
        now, wishes, before = _turns.state(folder), _turns.asked(folder), _turns.made_from(folder)
        if _turns.is_older(now, before) or {"state": now, "asked": wishes} == before:
            return errors
        found = _merged([*(msgspec.convert(told, Wish) for told in wishes), wish])
        made = _make_all(folder, found)
        if not made:
            _turns.note(folder, now, wishes)
        return errors + made


def _merged(wishes: list[Wish]) -> list[Wish]:
    by_target: dict[str, Wish] = {}
    for wish in wishes:
        known = by_target.get(wish.target)
        by_target[wish.target] = wish if known is None else known.and_also(wish)
    return list(by_target.values())


def _make_all(folder: RunFolder, wishes: list[Wish]) -> list[str]:
    """Returns what could not be made, and why."""
    found = replay(folder)
    if not isinstance(found, MLRun):
        raise StoreError(f"{folder.location}: not an ML run")
    places = [_Place(found, folder, wish) for wish in wishes]
    here = any(wish.document for wish in wishes if wish.target == folder.location)
    if any(wish.document for wish in wishes) and not here:
        places.insert(0, _Place(found, folder, Wish(target=folder.location, document=True)))
    errors = []
    for place in places:
        for name, fill in place.products():
            try:
                fill()
            except Exception as error:
                errors.append(f"{name}: {one_line(error)}")
    return errors


class _Place:
    """Makes what is wished for in one folder."""

    def __init__(self, run: MLRun, folder: RunFolder, wish: Wish) -> None:
        self._run, self._folder, self._wish = run, folder, wish
        self.elsewhere = wish.target != folder.location
        self._stem = "prov"
        if self.elsewhere:
            experiment, _, number = wish.target.rpartition("/")[2].rpartition("_")
            self._stem = f"prov_{experiment}_GR0_{number}"
        self._content: bytes | None = None

    def products(self) -> Iterator[tuple[str, Callable[[], object]]]:
        """Name of each, and what makes it."""
        wish = self._wish
        if wish.document and not self.elsewhere:
            yield f"{self._stem}.json", lambda: document.write(self._folder)
        elif wish.document:
            yield self._text(f"{self._stem}.json", self._document)
        for form, compress, separator in wish.metrics:
            yield self._metrics(form, compress, separator)
        if wish.card:
            yield self._text(CARD, self._card)
        if wish.graph:
            yield self._text(f"{self._stem}.dot", self._graph)
        if wish.svg:
            yield self._text(f"{self._stem}.svg", self._svg)
        if wish.crate:
            yield CRATE, self._crate

    def _text(self, name: str, make: Callable[[], bytes]) -> tuple[str, Callable[[], object]]:
        def fill() -> None:
            content = make()
            write_atomically(f"{self._wish.target}/{name}", lambda file: file.write(content))

        return name, fill

    def _metrics(
        self, form: str, compress: bool, separator: str
    ) -> tuple[str, Callable[[], object]]:
        name = file_name(form, Options(compress))

        def fill() -> None:
            path = f"{self._wish.target}/{name}"
            metrics.export(self._folder, form, path, compress=compress, csv_separator=separator)

        return name, fill

    def _document(self) -> bytes:
        if self._content is None:
            spool = io.BytesIO()
            place = self._folder.location if self.elsewhere else ""
            document.build(self._run, self._folder, place).write_to(spool)
            self._content = spool.getvalue()
        return self._content

    def _card(self) -> bytes:
        from yprov4wms.ml import card

        return card.card(self._run, self._folder).encode("utf-8", "replace")

    def _graph(self) -> bytes:
        from yprov4wms.export import prov_dot

        return prov_dot.dot(json.loads(self._document())).encode("utf-8", "replace")

    def _svg(self) -> bytes:
        from yprov4wms.export import prov_dot

        return prov_dot.svg(self._graph())

    def _crate(self) -> None:
        from yprov4wms.ml import crate

        target = f"{self._wish.target}/{CRATE}"
        write_atomically(target, lambda file: crate.write(self._run, self._folder, file))
