"""The yProv service (REST, over Neo4j): a document is a database, and its id the name of it.

What it does that a client must know (its code of June 2025): whoever puts a document becomes
its owner, even of another's, and the permissions given before are gone; a document that is there
is merged with, nothing is taken away; bundles are dropped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import partial

from yprov4wms.push.credentials import Credentials
from yprov4wms.push.http import Body, Client
from yprov4wms.push.memory import Begun, Memory
from yprov4wms.push.parcels import MAIN, Parcel
from yprov4wms.push.service import PushError, Step, Tell, Wishes

_API = "/api/v0"
#: Neo4j's names of databases, in all its versions (operations manual, naming rules).
_DOCUMENT_ID = re.compile(r"(?!system)[a-z][a-z0-9.-]{1,61}[a-z0-9]")
_RESERVED = "neo4j"


def base(url: str) -> str:
    """The address of the API; the path that all its routes have may be left out."""
    return url if url.endswith(_API) else url + _API


class YProv:
    """See `yprov4wms.push.service.Service`. run: the run's id."""

    def __init__(
        self, client: Client, credentials: Credentials, memory: Memory, tell: Tell, run: str
    ) -> None:
        self._client = client
        self._credentials = credentials
        self._memory = memory
        self._tell = tell
        self._run = run
        self._there: set[str] = set()

    def refuse(self, wishes: Wishes) -> None:
        for unused in ("parent", "title", "description", "keywords"):
            if getattr(wishes, unused):
                name = unused.removesuffix("s")
                raise PushError(f"--{name}: the yProv service has no such thing")
        if wishes.nest == "bundle":
            raise PushError(
                "the yProv service drops bundles, and the child runs with them: --nest flatten "
                "or link"
            )
        self._id(wishes, MAIN)

    def steps(self, parcels: Sequence[Parcel], wishes: Wishes) -> Iterator[Step]:
        where = self._client.base
        if self._credentials.user is not None:
            yield Step(f"POST {where}/auth/login as {self._credentials.told}", self._log_in)
        else:
            told = f"send {self._credentials.told} along"
            yield Step(told, partial(setattr, self._client, "token", self._credentials.token))
        yield Step(f"GET {where}/documents: which ids are taken", self._look)
        for parcel in parcels:
            name = self._id(wishes, parcel.key)
            told = f"PUT {where}/documents/{name}: {parcel.name}, {parcel.size} bytes"
            if self._is_same(name, parcel):
                told = f"nothing for {name}, as it was pushed before: {parcel.name}"
            yield Step(told, partial(self._put, name, parcel, wishes.update))
            # Those that a put took away are given again.
            wanted = {**self._memory.entry(name).permissions, **wishes.permissions}
            for user, level in wanted.items():
                told = f"PUT {where}/documents/{name}/permissions: {level} for {user}"
                yield Step(told, partial(self._permit, name, user, level))

    def _id(self, wishes: Wishes, key: str) -> str:
        """That of the run's document, which begins those of the others."""
        found = f"run-{self._run.lower()}" if wishes.document_id is None else wishes.document_id
        if key != MAIN:
            found += f"-{key[:12]}"
        if not _DOCUMENT_ID.fullmatch(found) or found == _RESERVED:
            raise PushError(
                f"document id {found!r}: 3 to 63 of a-z 0-9 . - that begin with a letter, end "
                "with none of . -, and are not system... or neo4j; give another with "
                "--document-id"
            )
        return found

    def _log_in(self) -> None:
        who = {"user": self._credentials.user, "password": self._credentials.password}
        token = _result(self._client.send("POST", "/auth/login", json=who).data)
        if not isinstance(token, str) or not token.isascii() or not token.isprintable():
            raise PushError(f"{self._client.base}/auth/login: the answer has no token")
        self._client.secrets.add(token)
        self._client.token = token

    def _look(self) -> None:
        found = _result(self._client.send("GET", "/documents").data)
        if not isinstance(found, list):
            raise PushError(
                f"{self._client.base}/documents: the answer is no list of documents: is --url "
                "the address of a yProv service?"
            )
        self._there = {name for name in found if isinstance(name, str)}

    def _is_same(self, name: str, parcel: Parcel) -> bool:
        entry = self._memory.entry(name)
        return entry.begun is None and entry.sent is not None and entry.sent.sha256 == parcel.sha256

    def _put(self, name: str, parcel: Parcel, update: bool) -> None:
        entry, path = self._memory.entry(name), f"/documents/{name}"
        if name in self._there:
            if entry.sent is None and entry.begun is None and not update:
                raise PushError(
                    f"{self._client.base}{path}: there is a document of this id, and none was "
                    "pushed from here: give another with --document-id; or, where it is yours, "
                    "say --update"
                )
            if self._is_same(name, parcel):
                self._tell.sent(name, self._client.base + path, f"{parcel.name}, as before")
                return
            self._tell.note(
                f"{name} is there already: the service merges the new document into it, what "
                "the old one alone has stays"
            )
        self._memory.begin(name, Begun(parcel.sha256))
        self._client.send("PUT", path, body=Body(parcel.path))
        self._memory.done(name, name, parcel.sha256)
        self._tell.sent(name, self._client.base + path, parcel.name)

    def _permit(self, name: str, user: str, level: str) -> None:
        asked = {"user": user, "level": level}
        self._client.send("PUT", f"/documents/{name}/permissions", json=asked)
        self._memory.permitted(name, user, level)


def _result(data: object) -> object:
    return data.get("result") if isinstance(data, dict) else None
