"""Networks and servers that fail, and where credentials go."""

from __future__ import annotations

import datetime
import gzip
import socket
import ssl
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.yprov4wms.export.test_document import RUN
from tests.yprov4wms.push.conftest import Push
from tests.yprov4wms.push.services import ADA, Fault, YProv, YProvStore, serving

from yprov4wms.push.credentials import Secrets
from yprov4wms.push.service import PushError

httpx = pytest.importorskip("httpx")
trustme = pytest.importorskip("trustme")

ID = f"run-{RUN}"


@contextmanager
def closed_port() -> Iterator[str]:
    """Where nobody listens, and nobody else will."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}"


@pytest.mark.parametrize("to", ["yprov", "yprovstore"])
def test_a_server_that_is_down_is_told_after_some_tries(push: Push, to: str) -> None:
    with closed_port() as url:
        done = push("--to", to, "--url", url, "--timeout", "1")
    assert done.code == 2
    assert url in done.err
    assert "refused" in done.err
    assert "tries: " in done.err


@pytest.mark.parametrize("faults", [[500], [502, 503, 504], ["drop"], [Fault(429, {})]])
def test_what_passes_is_waited_for(
    yprov: YProv, push: Push, faults: list[Fault | int | str]
) -> None:
    yprov.fault("PUT /api/v0/documents", *faults)
    done = push("--to", "yprov", "--url", yprov.url)
    assert done.code == 0, done.err
    assert yprov.count("PUT") == len(faults) + 1


@pytest.mark.parametrize("status", [400, 403, 404, 405, 409, 413, 422, 501])
def test_what_stays_is_asked_once(yprov: YProv, push: Push, status: int) -> None:
    yprov.fault("PUT /api/v0/documents", status, 200)
    done = push("--to", "yprov", "--url", yprov.url)
    assert done.code == 2
    assert f"{status}: " in done.err
    assert yprov.count("PUT") == 1


def test_a_server_in_trouble_for_ever_is_given_up(yprov: YProv, push: Push) -> None:
    yprov.fault("PUT /api/v0/documents", *[500] * 50)
    done = push("--to", "yprov", "--url", yprov.url)
    assert done.code == 2
    assert "tries: 6" in done.err
    assert yprov.count("PUT") == 6


def test_a_wait_beyond_the_bound_is_not_waited(yprov: YProv, push: Push) -> None:
    yprov.fault("PUT /api/v0/documents", Fault(429, {"Retry-After": "3600"}))
    done = push("--to", "yprov", "--url", yprov.url)
    assert done.code == 2
    assert "429" in done.err
    assert yprov.count("PUT") == 1


def test_a_date_to_come_back_at_is_kept() -> None:
    from yprov4wms.push import http

    now = datetime.datetime(2026, 3, 1, 10, tzinfo=datetime.UTC)
    said = {"Date": "Sun, 01 Mar 2026 10:00:00 GMT", "Retry-After": "Sun, 01 Mar 2026 10:00:07 GMT"}
    response = http._Response(503, httpx.Headers(said), b"")
    assert http._date(response) == now
    assert http._retry_after(response) == 7


def test_a_server_that_never_answers_is_left(yprov: YProv, push: Push) -> None:
    yprov.fault("PUT /api/v0/documents", "hang", "hang")
    done = push("--to", "yprov", "--url", yprov.url, "--timeout", "1")
    assert done.code == 2
    assert "no answer within 1 s (--timeout)" in done.err


def test_a_server_that_reads_too_slowly_is_left(tmp_path: Path) -> None:
    from yprov4wms.push.http import Body, Client

    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(30_000_000)
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor() as pool:
        reading = pool.submit(sip, server)
        client = Client(f"http://127.0.0.1:{server.getsockname()[1]}", 1, Secrets())
        with closing(client), pytest.raises(PushError, match=r"no answer within 1 s"):
            client.send("PUT", "/documents/x", body=Body(path))
        assert reading.result(20) < 30_000_000


def sip(server: socket.socket) -> int:
    """Read what comes a little at a time; returns how much that is."""
    taken = 0
    connection, _ = server.accept()
    with connection:
        while got := connection.recv(1 << 14):
            taken += len(got)
            time.sleep(0.01)
    return taken


@pytest.mark.parametrize("url", ["http://a..localhost", "http://127.0.0.1:1/\x7f", "http://*"])
def test_an_address_that_cannot_be_is_told(push: Push, url: str) -> None:
    done = push("--to", "yprov", "--url", url, "--allow-http", "--timeout", "1")
    assert done.code == 2
    assert done.err.startswith("yprov4wms: error: ")


@pytest.mark.parametrize(("to", "route"), [("yprov", "GET /api"), ("yprovstore", "POST /auth")])
def test_a_page_instead_of_an_answer_is_told(
    yprov: YProv, store: YProvStore, push: Push, to: str, route: str
) -> None:
    service = yprov if to == "yprov" else store
    service.fault(route, "html")
    done = push("--to", to, "--url", service.url)
    assert done.code == 2
    assert "(text/html) is no JSON" in done.err
    assert len(service.requests) == 1


@pytest.mark.parametrize("answer", [b"[]", b"null", b'{"result": 3}', b"[" * 5000, b"\xff", b""])
@pytest.mark.parametrize("to", ["yprov", "yprovstore"])
def test_answers_of_another_form_are_told(
    yprov: YProv, store: YProvStore, push: Push, to: str, answer: bytes
) -> None:
    service = yprov if to == "yprov" else store
    service.fault("GET /api" if to == "yprov" else "POST /", Fault(200, {}, answer))
    done = push("--to", to, "--url", service.url)
    assert done.code == 2, done.err
    assert "answer" in done.err


@pytest.mark.parametrize("content", [gzip.compress(b" " * 50_000_000), b"no gzip"])
def test_an_answer_is_not_unpacked(yprov: YProv, push: Push, content: bytes) -> None:
    yprov.fault("GET /api", Fault(200, {"Content-Encoding": "gzip"}, content))
    done = push("--to", "yprov", "--url", yprov.url)
    assert done.code == 2
    assert "is no JSON" in done.err


def test_an_answer_without_end_is_left(yprov: YProv, push: Push) -> None:
    yprov.fault("GET /api", Fault(200, {}, b" " * 5_000_000))
    done = push("--to", "yprov", "--url", yprov.url)
    assert done.code == 2
    assert "too large" in done.err


def test_a_document_that_is_too_large_for_the_server_is_told_once(yprov: YProv, push: Push) -> None:
    yprov.largest = 500
    done = push("--to", "yprov", "--url", yprov.url)
    assert done.code == 2
    assert "413" in done.err
    assert yprov.documents == {}


def test_no_redirect_is_followed_nor_gets_the_token(yprov: YProv, push: Push) -> None:
    other = YProv()
    with serving(other):
        yprov.fault("PUT /api/v0", Fault("elsewhere", {"Location": f"{other.url}/api/v0/x"}))
        done = push("--to", "yprov", "--url", yprov.url)
    assert done.code == 2
    assert f"redirects to {other.url}" in done.err
    assert other.requests == []


@pytest.fixture
def authority() -> Any:
    return trustme.CA()


def context(authority: Any, name: str) -> ssl.SSLContext:
    found = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(found)
    return found


def test_over_tls_a_document_arrives(
    push: Push, authority: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    service = YProv()
    with serving(service, context(authority, "localhost")):
        done = push("--to", "yprov", "--url", service.url)
    assert done.code == 0, done.err
    assert ID in service.documents


@pytest.mark.parametrize("name", ["localhost", "example.org"])
def test_a_certificate_that_does_not_hold_is_told_at_once(
    push: Push, authority: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Of nobody we know; of somebody else."""
    if name != "localhost":
        authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    service = YProv()
    with serving(service, context(authority, name)):
        done = push("--to", "yprov", "--url", service.url)
    assert done.code == 2
    assert "certificate" in done.err.lower()
    assert "tries" not in done.err
    assert service.requests == []


def test_a_proxy_does_not_see_what_goes_to_this_machine(
    yprov: YProv, push: Push, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    with closed_port() as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy)
        assert push("--to", "yprov", "--url", yprov.url).code == 0


def test_an_error_shows_no_secret_in_any_form() -> None:
    secrets = Secrets('a"b\\é', ADA)
    for shown in ('x a"b\\é', r'"a\"b\\é"', r'"a\"b\\\u00e9"', r"'a\"b\\é'", "a%22b%5C%C3%A9", ADA):
        text = secrets.hidden(f"you sent {shown}, no")
        assert "b" not in text.replace("***", ""), text
