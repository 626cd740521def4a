"""Airflow's stable REST API (``/api/v2``), as far as reading goes, and its tokens."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Any, NoReturn
from urllib.parse import quote

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError
from urllib3.util import Retry

from yprov4wms.masking import without_userinfo

#: Seconds to wait for a connection, and for an answer to go on.
CONNECT, READ = 10, 60
#: Of all lists; a server that gives fewer at a time is asked more often.
PAGE = 100
#: So many DAGs or runs are looked through for ids that are near an unknown one.
NEARBY = 500


class ApiError(ValueError):
    """One line for the user. status: of the answer, if there was one."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class Api:
    """Asks one Airflow; its methods raise ApiError. url: as ``[api] base_url`` has it."""

    def __init__(self, url: str) -> None:
        self.url = without_userinfo(url).rstrip("/").removesuffix("/api/v2")
        self._session = requests.Session()
        # Nothing of what requests would find itself, in ~/.netrc or in the URL.
        self._session.auth = lambda request: request
        again = Retry(
            total=3,
            connect=0,
            # After an error of its own the server may cut the connection.
            read=1,
            status=3,
            backoff_factor=0.5,
            status_forcelist=(429, 502, 503, 504),
            raise_on_status=False,
            respect_retry_after_header=False,
        )
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(max_retries=again))

    def use(self, token: str) -> None:
        """Send this token from now on."""

        def authorize(request: requests.PreparedRequest) -> requests.PreparedRequest:
            request.headers["Authorization"] = f"Bearer {token}"
            return request

        if not token.isascii() or not token.isprintable() or " " in token:
            raise ApiError("the token has characters that no token of Airflow's has")
        self._session.auth = authorize

    def log_in(self, username: str, password: str) -> str:
        """Have the auth manager give a token for a user, and use it; returns it."""
        known = {"username": username, "password": password}
        answer = self._send("POST", "/auth/token", json=known)
        if answer.status_code in (400, 401, 403, 422):
            raise ApiError(f"{self.url} does not let {username!r} in: {_detail(answer)}")
        token = _object(answer).get("access_token") if answer.ok else None
        if not isinstance(token, str):
            raise ApiError(f"{self.url} gives no token for a user name: use --token")
        self.use(token)
        return token

    def log_in_as_anyone(self) -> None:
        """Use the token that a deployment gives to everybody, if it does."""
        answer = self._send("GET", "/auth/token")
        token = _object(answer).get("access_token") if answer.ok else None
        if isinstance(token, str):
            self.use(token)

    def get(self, *path: str, **query: Any) -> dict[str, Any]:
        """The JSON object at a path, whose parts are quoted."""
        place = "/".join(path)
        quoted = "/".join(quote(part, safe="") for part in path)
        answer = self._send("GET", f"/api/v2/{quoted}", params=query)
        if answer.ok:
            found = _object(answer)
            if not found:
                kind = answer.headers.get("Content-Type", "nothing")
                raise ApiError(f"{self.url} is no Airflow 3: {place} is answered with {kind}")
            return found
        status, detail = answer.status_code, _detail(answer)
        if status == 401:
            raise ApiError(f"{self.url} wants --token or --username ({detail})", status)
        if status == 403:
            raise ApiError(f"{self.url} forbids reading {place}: {detail}", status)
        if status == 404 and not _object(answer):
            raise ApiError(f"{self.url} is no Airflow 3: it has no /api/v2/{path[0]}")
        raise ApiError(f"{self.url} answers {place} with status {status}: {detail}", status)

    def pages(self, *path: str, key: str, most: int | None = None, **query: Any) -> list[Any]:
        """All entries of a list; raises ApiError where it breaks off."""
        found: list[Any] = []
        while True:
            page = self.get(*path, limit=PAGE, offset=len(found), **query)
            rows, total = page.get(key), page.get("total_entries")
            if not isinstance(rows, list) or not isinstance(total, int):
                raise ApiError(f"{self.url} is no Airflow 3: {path[-1]} has no list of {key}")
            found += rows
            if len(found) >= (total if most is None else min(total, most)):
                return found
            if not rows:
                raise ApiError(f"{self.url} gave {len(found)} of {total} {key}: try again")

    def run(self, dag_id: str, run_id: str) -> dict[str, Any]:
        """A DAG run; where there is none, the error names the nearest."""
        try:
            found = self.get("dags", dag_id, "dagRuns", run_id)
        except ApiError as error:
            if error.status != 404:
                raise
            self._unknown(dag_id, run_id)
        if found.get("dag_run_id") != run_id or found.get("dag_id") != dag_id:
            raise ApiError(f"{self.url} is no Airflow 3: it answers with something else than a run")
        return found

    def _unknown(self, dag_id: str, run_id: str) -> NoReturn:
        try:
            self.get("dags", dag_id)
        except ApiError as error:
            if error.status != 404:
                raise
            rows = self.pages("dags", key="dags", most=NEARBY, exclude_stale=False)
            near = _near(dag_id, [str(row.get("dag_id")) for row in rows])
            raise ApiError(f"{self.url} has no DAG {dag_id!r} ({near})") from None
        rows = self.pages(
            "dags", dag_id, "dagRuns", key="dag_runs", most=NEARBY, order_by="-run_after"
        )
        near = _near(run_id, [str(row.get("dag_run_id")) for row in rows])
        raise ApiError(f"DAG {dag_id!r} has no run {run_id!r} ({near})")

    def _send(self, method: str, path: str, **more: Any) -> requests.Response:
        """No redirect is followed: credentials go to the address that was given alone."""
        try:
            answer = self._session.request(
                method,
                self.url + path,
                timeout=(CONNECT, READ),
                allow_redirects=False,
                **more,
            )
        except (requests.exceptions.InvalidSchema, requests.exceptions.MissingSchema):
            raise ApiError(f"{self.url!r} is no address with http:// or https://") from None
        except (requests.RequestException, HTTPError, UnicodeError) as error:
            if any(isinstance(cause, requests.Timeout | TimeoutError) for cause in _causes(error)):
                raise ApiError(f"{self.url} does not answer in time") from None
            raise ApiError(f"cannot read from {self.url}: {_reason(error)}") from None
        if answer.is_redirect:
            place = without_userinfo(answer.headers["Location"]).partition("?")[0]
            raise ApiError(f"{self.url} sends on to {place}: give --url as it is there")
        return answer


def _object(answer: requests.Response) -> dict[str, Any]:
    """The JSON object of an answer; empty where it has none."""
    try:
        found = answer.json()
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _detail(answer: requests.Response) -> str:
    """What Airflow says of an error."""
    detail = _object(answer).get("detail")
    if isinstance(detail, dict):
        detail = detail.get("message") or detail
    return str(detail)[:300] if detail else answer.reason or "no reason is given"


def _reason(error: BaseException) -> str:
    """The innermost cause that the system names."""
    told = [cause.strerror for cause in _causes(error) if isinstance(cause, OSError)]
    named = [text for text in told if text]
    return named[-1] if named else f"{type(error).__name__}: {error}"[:300]


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def _near(name: str, known: list[str]) -> str:
    found = difflib.get_close_matches(name, known, 3, 0.5) or known[:3]
    return f"there is: {', '.join(found)}" if found else "there is none"
