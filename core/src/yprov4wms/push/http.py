"""HTTP to one service: retries within a bound, no redirects, no secret in any error."""

from __future__ import annotations

import email.utils
import io
import random
import ssl
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import msgspec

from yprov4wms.push.credentials import Secrets, is_loopback
from yprov4wms.push.service import PushError

#: What may be well a moment later: too many requests, and a server or gateway in trouble.
_AGAIN = frozenset({429, 500, 502, 503, 504})
_TRIES = 6
#: Seconds before the first repetition, doubled with each, up to the longest.
_WAIT, _LONGEST_WAIT = 0.5, 30.0
#: Bytes of an answer that are read.
_LARGEST = 4_000_000
_CONNECT = 10.0
_SHOWN = 300
_FAILURES = (httpx.TransportError, httpx.StreamError, httpx.InvalidURL, OSError, UnicodeError)
_NO_JSON = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class RefusedError(PushError):
    """The service says no; ``status`` is HTTP's."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Body(NamedTuple):
    """A file to send. field: as a part of a form with this name; else as the whole body."""

    path: Path
    field: str | None = None
    name: str = "document.json"


class Answer(NamedTuple):
    """data: the JSON of the answer. date: the service's time."""

    data: Any
    date: datetime


Recover = Callable[[], "Answer | None"]


class _Response(NamedTuple):
    """An answer as it came: nothing in it is unpacked."""

    status: int
    headers: httpx.Headers
    content: bytes


class Client:
    """What sends requests to paths under ``base``, all within ``timeout`` seconds of the first.

    secrets: are masked in what the service says. ``token`` goes along once it is set, and to
    this service alone: redirects are errors.
    """

    def __init__(self, base: str, timeout: float, secrets: Secrets) -> None:
        self.base = base
        self.token: str | None = None
        self._timeout = timeout
        self._deadline = 0.0
        self.secrets = secrets
        # A proxy of the environment is none for this machine.
        self._http = httpx.Client(
            verify=httpx.create_ssl_context(),
            trust_env=not is_loopback(base),
            follow_redirects=False,
            headers={"Accept-Encoding": "identity", "User-Agent": "yprov4wms"},
        )

    def close(self) -> None:
        self._http.close()

    def send(
        self,
        method: str,
        path: str,
        *,
        json: object = None,
        body: Body | None = None,
        params: Mapping[str, str | int] | None = None,
        headers: Mapping[str, str] | None = None,
        recover: Recover | None = None,
    ) -> Answer:
        """The answer to a request that is repeated while that may help.

        recover: of a request that must not be done twice, finds out whether it was, before it
        is repeated. Raises RefusedError for an answer that stays, PushError for none.
        """
        what = f"{method} {self.base}{path}"
        self._deadline = self._deadline or time.monotonic() + self._timeout
        for count in range(1, _TRIES + 1):
            wait = min(_LONGEST_WAIT, _WAIT * 2 ** (count - 1)) * random.uniform(0.8, 1.2)
            try:
                response = self._once(method, path, json, body, params, headers)
            except _FAILURES as error:
                failure: PushError = PushError(f"{what}: {self._reason(error)}")
                if _is_final(error):
                    raise failure from error
            else:
                refused = self._refusal(what, response)
                if refused is None:
                    return Answer(self._json(what, response), _date(response))
                if refused.status not in _AGAIN:
                    raise refused
                failure, wait = refused, max(wait, _retry_after(response))
            if count == _TRIES or time.monotonic() + wait > self._deadline:
                raise PushError(f"{failure} (tries: {count})")
            time.sleep(wait)
            if recover is not None and (found := recover()) is not None:
                return found
        raise AssertionError("unreachable")

    def _once(
        self,
        method: str,
        path: str,
        json: object,
        body: Body | None,
        params: Mapping[str, str | int] | None,
        headers: Mapping[str, str] | None,
    ) -> _Response:
        left = max(0.1, self._deadline - time.monotonic())
        sent = dict(headers or {})
        if self.token is not None:
            sent["Authorization"] = f"Bearer {self.token}"
        given: dict[str, Any] = {"params": params, "headers": sent}
        with ExitStack() as stack:
            if body is not None:
                file = stack.enter_context(_Bounded(body.path, self._deadline))
                if body.field is not None:
                    given["files"] = {body.field: (body.name, file, "application/json")}
                else:
                    sent["Content-Type"] = "application/json"
                    given["content"] = file
            elif json is not None:
                # Exactly this type, without a charset.
                sent["Content-Type"] = "application/json"
                given["content"] = msgspec.json.encode(json)
            timeout = httpx.Timeout(left, connect=min(left, _CONNECT))
            response = stack.enter_context(
                self._http.stream(method, self.base + path, timeout=timeout, **given)
            )
            content = bytearray()
            for chunk in response.iter_raw():
                content += chunk
                if len(content) > _LARGEST:
                    raise PushError(f"{method} {self.base}{path}: the answer is too large")
                if time.monotonic() > self._deadline:
                    raise httpx.ReadTimeout("the answer takes too long")
            return _Response(response.status_code, response.headers, bytes(content))

    def _refusal(self, what: str, response: _Response) -> RefusedError | None:
        status = response.status
        if 200 <= status < 300:
            return None
        if 300 <= status < 400:
            where = self._shown(response.headers.get("Location", "elsewhere"))
            text = f"it redirects to {where}, which is not followed: give the right --url"
        else:
            text = self._said(response) or httpx.codes.get_reason_phrase(status)
            if status == 401 and self.token is not None:
                text += " (get a new token, or log in with --user)"
        return RefusedError(status, f"{what}: {status}: {text}")

    def _said(self, response: _Response) -> str:
        """The service's own words, each service's in its own field."""
        try:
            data = msgspec.json.decode(response.content)
        except _NO_JSON:
            return ""
        if isinstance(data, dict):
            for field in ("error", "description", "detail", "message"):
                if data.get(field):
                    return self._shown(str(data[field]))
        return ""

    def _json(self, what: str, response: _Response) -> Any:
        try:
            return msgspec.json.decode(response.content)
        except _NO_JSON as error:
            kind = self._shown(response.headers.get("Content-Type", "of no type"))
            raise PushError(
                f"{what}: the answer ({kind}) is no JSON: is --url the service's address?"
            ) from error

    def _reason(self, error: Exception) -> str:
        text = self._shown(str(error)) or type(error).__name__
        if isinstance(error, httpx.TimeoutException) and self._deadline <= time.monotonic():
            return f"no answer within {self._timeout:g} s (--timeout)"
        return text

    def _shown(self, text: str) -> str:
        text = self.secrets.hidden(" ".join(text.split()))
        return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


class _Bounded(io.BufferedReader):
    """A file that is sent until ``deadline`` (of `time.monotonic`): each part may take long."""

    def __init__(self, path: Path, deadline: float) -> None:
        super().__init__(io.FileIO(path))
        self._deadline = deadline

    def read(self, size: int | None = -1, /) -> bytes:
        if time.monotonic() > self._deadline:
            raise httpx.WriteTimeout("the upload takes too long")
        return super().read(size)


def _is_final(error: BaseException) -> bool:
    """Whether it would be the same the next time: a certificate, a request that cannot be."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ssl.SSLCertVerificationError):
            return True
        seen = seen.__cause__ or seen.__context__
    return isinstance(
        error,
        httpx.UnsupportedProtocol | httpx.LocalProtocolError | httpx.InvalidURL | UnicodeError,
    )


def _date(response: _Response) -> datetime:
    return _when(response.headers.get("Date", "")) or datetime.now(UTC)


def _retry_after(response: _Response) -> float:
    """Seconds that the service asks to wait (RFC 9110 section 10.2.3)."""
    asked = response.headers.get("Retry-After", "").strip()
    if asked.isdecimal():
        return float(asked)
    until = _when(asked)
    return max(0.0, (until - _date(response)).total_seconds()) if until else 0.0


def _when(text: str) -> datetime | None:
    try:
        found = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
