"""What every service is to ``push``, and the errors of all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Protocol

from yprov4wms.push.parcels import Parcel


class PushError(Exception):
    """Nothing, or not all, could be sent; the text is for the user and holds no secret."""


class Wishes(NamedTuple):
    """What the user asks for besides the documents themselves.

    nest: how child runs are in the document. permissions: ``r`` or ``w`` by user. document_id,
    update: of the yProv service. parent, title, description, keywords: of yProvStore.
    """

    nest: str
    permissions: dict[str, str]
    document_id: str | None = None
    update: bool = False
    parent: str | None = None
    title: str | None = None
    description: str | None = None
    keywords: tuple[str, ...] = ()


class Step(NamedTuple):
    """One thing to do at the service: how it is told in a dry run, and the doing."""

    told: str
    do: Callable[[], None]


class Tell(Protocol):
    """How a service tells what becomes of the documents."""

    def sent(self, identifier: str, url: str, what: str) -> None:
        """A document is up there: now, or since an earlier push."""

    def note(self, text: str) -> None: ...


class Service(Protocol):
    """A service that takes documents. Making one sends nothing."""

    def refuse(self, wishes: Wishes) -> None:
        """Raise PushError for what cannot be asked of this service."""

    def steps(self, parcels: Sequence[Parcel], wishes: Wishes) -> Iterator[Step]:
        """All there is to do, in order. Doing it may raise PushError."""
