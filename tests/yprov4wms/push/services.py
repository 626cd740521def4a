"""Servers on loopback after the published API of yProv's two services, and after what their code
enforces (yProv of June 2025, yProvStore of early 2026); each can be told to misbehave."""

from __future__ import annotations

import hashlib
import io
import json
import re
import socket
import ssl
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from email.parser import BytesParser
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

import zstandard
from prov.model import ProvDocument

PASSWORDS = {"ada@example.org": "correct horse", "bob@example.org": "battery staple"}
EXPIRED = "expired.token.x"
ADA = "token.of.ada"
TOKENS = {ADA: "ada@example.org", "token.of.bob": "bob@example.org"}
#: Neo4j's rules of names.
DATABASE = re.compile(r"(?!system)[a-z][a-z0-9.-]{1,61}[a-z0-9]")


class Fault(NamedTuple):
    """What becomes of a request instead.

    how: an HTTP status, or ``drop`` (no answer), ``lose`` (done, no answer), ``hang``, ``html``
    (with status 200), ``elsewhere`` (a redirect), ``truncate`` (half an answer).
    """

    how: int | str
    headers: Mapping[str, str] = MappingProxyType({})
    body: bytes = b""


class Request(NamedTuple):
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def route(self) -> str:
        return f"{self.method} {self.path}"


class RefusedError(Exception):
    def __init__(self, status: int, said: Any) -> None:
        self.status = status
        self.said = said


class Service:
    """faults: by a beginning of method and path, what becomes of the next such requests."""

    largest = 50_000_000

    def __init__(self) -> None:
        self.url = ""
        self.requests: list[Request] = []
        self.faults: dict[str, list[Fault]] = {}
        self.lock = threading.Lock()

    def fault(self, route: str, *faults: Fault | int | str) -> None:
        self.faults[route] = [f if isinstance(f, Fault) else Fault(f) for f in faults]

    def routes(self) -> list[str]:
        return [request.route for request in self.requests]

    def count(self, route: str) -> int:
        return sum(found.startswith(route) for found in self.routes())

    def next_fault(self, request: Request) -> Fault | None:
        for route, faults in self.faults.items():
            if request.route.startswith(route) and faults:
                return faults.pop(0)
        return None

    def answer(self, request: Request) -> tuple[int, Any]:
        raise NotImplementedError

    def error(self, said: Any) -> Any:
        raise NotImplementedError


class YProv(Service):
    """documents: what was put under each id, in order. graphs: who may what."""

    def __init__(self) -> None:
        super().__init__()
        self.documents: dict[str, list[bytes]] = {}
        self.graphs: dict[str, dict[str, str]] = {}

    def error(self, said: Any) -> Any:
        return {"error": said}

    def answer(self, request: Request) -> tuple[int, Any]:
        path = request.path.removeprefix("/api/v0")
        if path == request.path:
            raise RefusedError(404, "no such page")
        if request.route == "POST /api/v0/auth/login":
            return self.login(request)
        if request.route == "GET /api/v0/documents":
            return 200, {"result": [*self.documents]}
        user = self.user(request)
        _, _, name, *rest = path.split("/")
        if request.method == "PUT" and not rest:
            return self.put(request, user, name)
        if request.method == "PUT" and rest == ["permissions"]:
            return self.permit(request, user, name)
        raise RefusedError(404, "no such page")

    def json(self, request: Request) -> Any:
        if request.headers.get("content-type") != "application/json":
            raise RefusedError(400, "Content-Type not supported!")
        try:
            return json.loads(request.body)
        except ValueError:
            raise RefusedError(400, "Data not valid") from None

    def login(self, request: Request) -> tuple[int, Any]:
        who = self.json(request)
        if not who.get("user") or PASSWORDS.get(who["user"]) != who.get("password"):
            raise RefusedError(401, f"Please register! (you sent {json.dumps(who)})")
        return 200, {"result": next(t for t, user in TOKENS.items() if user == who["user"])}

    def user(self, request: Request) -> str:
        token = request.headers.get("authorization", " ").split(" ")[1]
        if token == EXPIRED:
            raise RefusedError(401, "Signature expired. Please log in again!")
        if token not in TOKENS:
            raise RefusedError(401, f"Invalid token {token}. Please log in again!")
        return TOKENS[token]

    def put(self, request: Request, user: str, name: str) -> tuple[int, Any]:
        if request.headers.get("content-type") != "application/json":
            raise RefusedError(400, "Content-Type not supported!")
        try:
            ProvDocument.deserialize(content=request.body.decode())
        except Exception:
            raise RefusedError(400, "Document not valid") from None
        if not DATABASE.fullmatch(name):
            raise RefusedError(500, "database names")
        self.documents.setdefault(name, []).append(request.body)
        self.graphs[name] = {user: "o"}  # whoever had it
        return 201, {"message": "Document uploaded"}

    def permit(self, request: Request, user: str, name: str) -> tuple[int, Any]:
        asked = self.json(request)
        if self.graphs.get(name, {}).get(user) != "o":
            raise RefusedError(403, "User does not have permission to execute this operation")
        if asked["user"] == user:
            raise RefusedError(403, "Cannot modify owner permission. Graph must have a owner!")
        if asked["user"] not in PASSWORDS:
            raise RefusedError(403, "User not present in the system. Registration is needed!")
        if asked["level"] not in ("r", "w"):
            raise RefusedError(403, "Level requested does not exists!")
        self.graphs[name][asked["user"]] = asked["level"]
        return 201, {"message": "Successfully added access to the db!"}


class YProvStore(Service):
    """records: by PID, with the content of each document."""

    def __init__(self) -> None:
        super().__init__()
        self.records: dict[str, dict[str, Any]] = {}
        self.takes_zstd = True
        self.gives_hash = True

    def error(self, said: Any) -> Any:
        return {"detail": said} if isinstance(said, list) else {"description": said}

    def answer(self, request: Request) -> tuple[int, Any]:
        if request.route == "POST /auth/login":
            return self.login(json.loads(request.body))
        if request.route == "GET /openapi.json":
            header = [{"name": "content-encoding", "in": "header"}] if self.takes_zstd else []
            return 200, {"paths": {"/documents": {"post": {"parameters": header}}}}
        if request.route == "GET /documents":
            return 200, self.listed(request)
        found = re.fullmatch(r"GET /documents/([^/]+/[^/]+)", request.route)
        if found:
            return 200, self.told(self.record(found[1]))
        user = self.user(request)
        if request.route == "POST /auth/verify":
            return 200, {"email": user}
        if request.route == "POST /documents":
            return 200, self.create(request, user)
        if request.route == "POST /documents/permissions":
            return 201, self.permit(request.query["pid"], user, json.loads(request.body))
        found = re.fullmatch(r"PATCH /documents/(.+)/(related|metadata)", request.route)
        if found:
            record, given = self.record(found[1]), json.loads(request.body)
            self.may_write(record, user)
            if found[2] == "metadata":
                record["metadata"].update(given)
                return 200, record["metadata"]
            for pid in given["related_pids"]:
                if pid not in self.records or pid == found[1]:
                    raise RefusedError(400, f"Related PID '{pid}' record does not exist.")
            record["related"] |= set(given["related_pids"])
            return 200, {"pid": found[1], "related_pids": sorted(record["related"])}
        raise RefusedError(404, "Not Found")

    def login(self, who: Any) -> tuple[int, Any]:
        if len(who["password"]) < 8:  # FastAPI tells the input, too
            where = {"type": "string_too_short", "loc": ["body", "password"]}
            raise RefusedError(422, [where | {"input": who["password"]}])
        if who["email"] not in PASSWORDS:
            raise RefusedError(404, "User not found.")
        if PASSWORDS[who["email"]] != who["password"]:
            raise RefusedError(400, "Invalid credentials provided.")
        token = next(t for t, user in TOKENS.items() if user == who["email"])
        return 200, {"access_token": token, "token_type": "bearer"}

    def user(self, request: Request) -> str:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or token not in TOKENS:
            raise RefusedError(401, "Token has expired" if token == EXPIRED else "Invalid token")
        return TOKENS[token]

    def record(self, pid: str) -> dict[str, Any]:
        if pid not in self.records:
            raise RefusedError(404, f"Document with PID '{pid}' not found.")
        return self.records[pid]

    def may_write(self, record: dict[str, Any], user: str) -> None:
        if user != record["owner_email"] and user not in self.first(record)["writers"]:
            raise RefusedError(403, f"User '{user}' does not have write permissions")

    def first(self, record: dict[str, Any]) -> dict[str, Any]:
        while record["parent_document_pid"]:
            record = self.records[record["parent_document_pid"]]
        return record

    def told(self, record: dict[str, Any], listed: bool = False) -> dict[str, Any]:
        names = ["pid", "version", "storage_url", "owner_email", "parent_document_pid"]
        if self.gives_hash and not listed:
            names.append("hash")
        return {name: record[name] for name in names}

    def listed(self, request: Request) -> list[Any]:
        after = request.query.get("created_after", "")
        found = [r for r in self.records.values() if r["created"] >= after]
        start = int(request.query["page"]) * int(request.query["page_size"])
        return [self.told(r, True) for r in found[start : start + int(request.query["page_size"])]]

    def create(self, request: Request, user: str) -> dict[str, Any]:
        kind = request.headers["content-type"]
        assert kind.startswith("multipart/form-data"), kind
        head = f"Content-Type: {kind}\r\n\r\n".encode()
        message = BytesParser(policy=HTTP).parsebytes(head + request.body)
        (part,) = message.iter_parts()
        assert part.get_param("name", header="content-disposition") == "document_file"
        if part.get_content_type() not in ("application/json", "text/plain"):
            raise RefusedError(400, f"Unsupported file type: {part.get_content_type()}.")
        content = part.get_payload(decode=True)
        encoding = request.headers.get("content-encoding")
        if encoding and self.takes_zstd:
            if encoding != "zstd":
                raise RefusedError(
                    400, f"Unsupported Content-Encoding: {encoding}. Supported: zstd"
                )
            content = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(content)).read()
        parent, version = request.query.get("parent_document_pid"), 1
        if parent:
            before = self.record(parent)
            self.may_write(before, user)
            version = before["version"] + 1
            if any(r["parent_document_pid"] == parent for r in self.records.values()):
                raise RefusedError(
                    400, "the latest version is higher than the parent document version."
                )
        pid = f"21.T11961/{uuid.uuid4()}"
        self.records[pid] = {
            "pid": pid,
            "version": version,
            "storage_url": f"{self.url}/documents/{pid}/download",
            "owner_email": user,
            "hash": hashlib.sha256(content).hexdigest(),
            "parent_document_pid": parent,
            "created": time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime()),
            "content": content,
            "related": set(),
            "metadata": {},
            "writers": set(),
        }
        return self.told(self.records[pid])

    def permit(self, pid: str, user: str, asked: Any) -> dict[str, Any]:
        record = self.first(self.record(pid))
        if asked["permission_level"] != "write":
            raise RefusedError(400, "Currently, only WRITE permissions can be created.")
        if record["owner_email"] != user:
            raise RefusedError(403, "You do not have permission to manage this document.")
        if asked["user_email"] not in PASSWORDS:
            raise RefusedError(404, f"User with email '{asked['user_email']}' not found.")
        if asked["user_email"] in record["writers"]:
            raise RefusedError(409, "Permission already exists.")
        record["writers"].add(asked["user_email"])
        return {"pid": record["pid"], **asked}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 20
    service: Service

    def do(self) -> None:
        service = self.service
        length = int(self.headers.get("Content-Length") or 0)  # chunks are not read, as in Flask
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        headers = {name.lower(): value for name, value in self.headers.items()}
        if length > service.largest:
            self.respond(413, b"<html>413 Request Entity Too Large</html>", "text/html")
            self.close_connection = True
            return
        body = self.rfile.read(length)
        request = Request(self.command, unquote(url.path), query, headers, body)
        with service.lock:
            service.requests.append(request)
            fault = service.next_fault(request)
            if fault is None or fault.how in ("lose", "truncate"):
                try:
                    status, said = service.answer(request)
                except RefusedError as error:
                    status, said = error.status, service.error(error.said)
        if fault is None:
            self.respond(status, json.dumps(said).encode(), "application/json")
        elif fault.how in ("drop", "lose"):
            self.cut()
        elif fault.how == "truncate":
            self.respond(status, json.dumps(said).encode(), "application/json", half=True)
            self.cut()
        elif fault.how == "hang":
            self.connection.settimeout(20)
            self.rfile.read(1)  # until the client goes
            self.close_connection = True
        elif fault.how == "html":
            self.respond(200, b"<html>Welcome to nginx!</html>", "text/html")
        elif fault.how == "elsewhere":
            self.respond(307, b"", "text/plain", fault.headers)
        else:
            assert isinstance(fault.how, int)
            self.respond(fault.how, fault.body, "text/html", fault.headers)

    def respond(
        self,
        status: int,
        body: bytes,
        kind: str,
        headers: Mapping[str, str] | None = None,
        half: bool = False,
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if half else body)
        self.wfile.flush()

    def cut(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    do_GET = do_POST = do_PUT = do_PATCH = do  # noqa: N815 - the standard library's names

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def serving(service: Service, tls: ssl.SSLContext | None = None) -> Iterator[None]:
    handler = type("Handler", (_Handler,), {"service": service})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        scheme = "https" if tls is not None else "http"
        service.url = f"{scheme}://localhost:{server.server_port}"
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}).start()
        try:
            yield
        finally:
            server.shutdown()
