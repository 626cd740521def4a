"""yProvStore: documents under persistent identifiers (PIDs), in versions."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from yprov4wms.push.credentials import Credentials
from yprov4wms.push.http import Answer, Body, Client, RefusedError
from yprov4wms.push.memory import Begun, Memory
from yprov4wms.push.parcels import MAIN, Parcel
from yprov4wms.push.service import PushError, Step, Tell, Wishes

#: A Handle, with its prefix where it has one: what may stand in a path as it is.
_PID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)?", re.ASCII)
#: Documents above this size (bytes) are sent compressed, where the service takes that.
_LARGE = 1_000_000
#: Of a list of documents: how many at a time, and how many times.
_PAGE, _PAGES = 100, 50
#: The service's times and those of its answers may differ by so much.
_SLACK = timedelta(minutes=5)


class YProvStore:
    """See `yprov4wms.push.service.Service`."""

    def __init__(
        self, client: Client, credentials: Credentials, memory: Memory, tell: Tell, run: str
    ) -> None:
        self._client = client
        self._credentials = credentials
        self._memory = memory
        self._tell = tell
        self._run = run
        self._user = credentials.user
        self._since = ""
        self._pids: dict[str, str] = {}
        self._compresses: bool | None = None

    def refuse(self, wishes: Wishes) -> None:
        if wishes.document_id is not None or wishes.update:
            name = "update" if wishes.update else "document-id"
            raise PushError(f"--{name}: yProvStore gives the identifiers itself; see --parent")
        if wishes.parent is not None:
            _checked(wishes.parent, "--parent")

    def steps(self, parcels: Sequence[Parcel], wishes: Wishes) -> Iterator[Step]:
        where = self._client.base
        if self._credentials.user is not None:
            yield Step(f"POST {where}/auth/login as {self._credentials.told}", self._log_in)
        else:
            told = f"POST {where}/auth/verify with {self._credentials.told}"
            yield Step(told, self._verify)
        for parcel in parcels:
            parent = wishes.parent if parcel.key == MAIN else None
            yield Step(self._told(parcel, parent), partial(self._upload, parcel, parent))
            for user, level in wishes.permissions.items():
                if level == "r":
                    told = f"no permission for {user} to read: everybody may, there"
                    yield Step(told, partial(self._tell.note, told))
                else:
                    told = f"POST {where}/documents/permissions: w for {user}"
                    yield Step(told, partial(self._permit, parcel.key, user))
        if about := _about(wishes):
            told = f"PATCH {where}/documents/<PID>/metadata: {', '.join(about)}"
            yield Step(told, partial(self._describe, about))
        for parcel in parcels:
            if parcel.parts:
                told = f"PATCH {where}/documents/<PID>/related: {len(parcel.parts)} documents"
                yield Step(told, partial(self._relate, parcel))

    def _told(self, parcel: Parcel, parent: str | None) -> str:
        sent = self._memory.entry(parcel.key).sent
        if sent is not None and sent.sha256 == parcel.sha256:
            return f"nothing for {sent.id}, as it was pushed before: {parcel.name}"
        before = sent.id if sent is not None else parent
        version = f" as the version after {before}" if before else ""
        told = f"POST {self._client.base}/documents{version}: {parcel.name}, {parcel.size} bytes"
        return told + (", compressed if it takes that" if parcel.size > _LARGE else "")

    # -- who ---------------------------------------------------------------------------------

    def _log_in(self) -> None:
        who = {"email": self._credentials.user, "password": self._credentials.password}
        answer = self._client.send("POST", "/auth/login", json=who)
        token = _text(answer.data, "access_token")
        if not token or not token.isprintable():
            raise PushError(f"{self._client.base}/auth/login: the answer has no token")
        self._client.secrets.add(token)
        self._client.token = token
        self._note_time(answer)

    def _verify(self) -> None:
        self._client.token = self._credentials.token
        answer = self._client.send("POST", "/auth/verify")
        self._user = _text(answer.data, "email")
        if not self._user:
            raise PushError(
                f"{self._client.base}/auth/verify: the answer names no user: is --url the "
                "address of a yProvStore?"
            )
        self._note_time(answer)

    def _note_time(self, answer: Answer) -> None:
        self._since = (answer.date - _SLACK).isoformat(timespec="seconds")

    # -- the document ------------------------------------------------------------------------

    def _upload(self, parcel: Parcel, parent: str | None) -> None:
        key, where = parcel.key, self._client.base
        entry = self._memory.entry(key)
        before = entry.sent
        if before is not None and not self._is_there(before.id):
            before = None
        if before is not None and before.sha256 == parcel.sha256:
            self._pids[key] = before.id
            self._tell.sent(
                before.id, f"{where}/documents/{before.id}", f"{parcel.name}, as before"
            )
            return
        begun = Begun(parcel.sha256, self._since, before.id if before is not None else parent)
        unsure, found = entry.begun, None
        if unsure is not None and (unsure.sha256, unsure.parent) == (begun.sha256, begun.parent):
            found = self._landed(unsure)
        if found is None:
            self._memory.begin(key, begun)
            found = self._create(parcel, begun)
        pid = _checked(_text(found.data, "pid"), "the PID in the answer")
        said = _text(found.data, "hash")
        if said and said != parcel.sha256:
            raise PushError(
                f"{where}/documents/{pid}: what the service has is not what was sent: its "
                f"sha256 is {said}, not {parcel.sha256}"
            )
        version = found.data.get("version")
        self._memory.done(key, pid, parcel.sha256, version if isinstance(version, int) else None)
        self._pids[key] = pid
        self._tell.sent(pid, f"{where}/documents/{pid}", parcel.name)

    def _create(self, parcel: Parcel, begun: Begun) -> Answer:
        path, headers = parcel.path, {}
        if parcel.size > _LARGE and self._takes_zstd():
            path, headers = _compressed(parcel), {"Content-Encoding": "zstd"}
        return self._client.send(
            "POST",
            "/documents",
            body=Body(path, "document_file", f"{parcel.path.stem}.json"),
            params={"parent_document_pid": begun.parent} if begun.parent else None,
            headers=headers,
            recover=partial(self._landed, begun),
        )

    def _takes_zstd(self) -> bool:
        """Whether the service says so itself: one of before that would keep what it cannot
        read."""
        if self._compresses is None:
            try:
                described = self._client.send("GET", "/openapi.json").data
                told = described["paths"]["/documents"]["post"]["parameters"]
                self._compresses = any(p["name"].lower() == "content-encoding" for p in told)
            except (RefusedError, LookupError, TypeError, AttributeError):
                self._compresses = False
        return self._compresses

    def _is_there(self, pid: str) -> bool:
        try:
            self._client.send("GET", f"/documents/{_checked(pid, 'the PID kept of it')}")
        except RefusedError as error:
            if error.status == 404:
                return False
            raise
        return True

    def _landed(self, begun: Begun) -> Answer | None:
        """The document, if an upload did arrive of which the answer did not."""
        for page in range(_PAGES):
            # Services of before one may look for what was created know the other.
            params: dict[str, str | int] = {"page": page, "page_size": _PAGE}
            params |= {"created_after": begun.since, "updated_after": begun.since}
            found = self._client.send("GET", "/documents", params=params).data
            if not isinstance(found, list):
                raise PushError(f"{self._client.base}/documents: the answer is no list")
            for record in found:
                if _text(record, "owner_email") != self._user:
                    continue
                if (_text(record, "parent_document_pid") or None) != begun.parent:
                    continue
                pid = _checked(_text(record, "pid"), "a PID in the list of documents")
                answer = self._client.send("GET", f"/documents/{pid}")
                if _text(answer.data, "hash") == begun.sha256:
                    return answer
            if len(found) < _PAGE:
                break
        return None

    # -- about it ----------------------------------------------------------------------------

    def _permit(self, key: str, user: str) -> None:
        asked = {"user_email": user, "permission_level": "write"}
        try:
            params = {"pid": self._pids[key]}
            self._client.send("POST", "/documents/permissions", json=asked, params=params)
        except RefusedError as error:
            if error.status != 409:  # it has it already: a version's are those of the first
                raise

    def _describe(self, about: dict[str, Any]) -> None:
        self._client.send("PATCH", f"/documents/{self._pids[MAIN]}/metadata", json=about)

    def _relate(self, parcel: Parcel) -> None:
        related = {"related_pids": [self._pids[key] for key in parcel.parts]}
        self._client.send("PATCH", f"/documents/{self._pids[parcel.key]}/related", json=related)


def _about(wishes: Wishes) -> dict[str, Any]:
    given = {
        "title": wishes.title,
        "description": wishes.description,
        "keywords": list(wishes.keywords),
    }
    return {name: value for name, value in given.items() if value}


def _compressed(parcel: Parcel) -> Path:
    import zstandard

    path = parcel.path.with_suffix(".zst")
    if not path.exists():
        with parcel.path.open("rb") as source, path.open("wb") as target:
            zstandard.ZstdCompressor(level=3).copy_stream(source, target, size=parcel.size)
    return path


def _checked(pid: str, what: str) -> str:
    if not _PID.fullmatch(pid):
        raise PushError(f"{what} is no PID (PREFIX/NAME): {pid[:100]!r}")
    return pid


def _text(data: object, name: str) -> str:
    found = data.get(name) if isinstance(data, dict) else None
    return found if isinstance(found, str) else ""
