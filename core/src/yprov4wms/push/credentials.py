"""Who pushes: a token or a password, never from the command line, never shown again."""

from __future__ import annotations

import ipaddress
import json
import os
import stat
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import quote, urlsplit

from yprov4wms.push.service import PushError

TOKEN = "YPROV_TOKEN"
PASSWORD = "YPROV_PASSWORD"

_WAYS = (
    f"give a token ({TOKEN}, or --token-file), or --user with a password ({PASSWORD}, or asked "
    "for on a terminal)"
)
_LONGEST = 1 << 16

Ask = Callable[[str], str]


class Credentials(NamedTuple):
    """A token, or a user and the password. told: where they come from, without them."""

    told: str
    token: str | None = None
    user: str | None = None
    password: str | None = None


def find(user: str | None, token_file: str | None, ask: Ask | None) -> Credentials:
    """The credentials; what stands on the command line goes before the environment.

    ask: for a password, by the user's name; None where nobody can be asked. Raises PushError
    where there are none, or they cannot be used.
    """
    if token_file is not None:
        return Credentials(f"the token in {token_file}", token=_usable(_private(token_file)))
    if user is not None:
        if not user.strip():
            raise PushError("--user is empty")
        if password := os.environ.get(PASSWORD):
            told = f"{user}, with the password in ${PASSWORD}"
            return Credentials(told, user=user, password=password)
        if ask is None:
            raise PushError(f"no password for {user}: set {PASSWORD}, or run it on a terminal")
        told = f"{user}, with the password that is asked for"
        return Credentials(told, user=user, password=ask(user))
    if token := os.environ.get(TOKEN):
        return Credentials(f"the token in ${TOKEN}", token=_usable(token))
    raise PushError(f"nobody to push as: {_WAYS}")


def _private(name: str) -> str:
    """Content of a file that its owner alone can read."""
    try:
        # A pipe that nobody writes to is not waited for.
        with os.fdopen(os.open(name, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise PushError(f"{name}: not a file")
            if status.st_uid != os.geteuid() or status.st_mode & 0o077:
                raise PushError(f"{name}: others may read this token: chmod 600, and own it")
            content = file.read(_LONGEST)
    except OSError as error:
        raise PushError(f"{name}: {error.strerror}") from error
    return content.decode(errors="replace")


def _usable(token: str) -> str:
    token = token.strip()
    if not token or not all("!" <= character <= "~" for character in token):
        raise PushError("the token is empty, or has characters that no token has")
    return token


class Secrets:
    """What must not be shown: services tell in their errors what was sent to them."""

    def __init__(self, *secrets: str | None) -> None:
        self._secrets: set[str] = set()
        for secret in secrets:
            self.add(secret)

    def add(self, secret: str | None) -> None:
        """Also as JSON, Python and URLs write it."""
        if secret:
            quoted = (json.dumps(secret), json.dumps(secret, ensure_ascii=False), repr(secret))
            self._secrets.update((secret, quote(secret), *(text[1:-1] for text in quoted)))

    def hidden(self, text: str) -> str:
        for secret in sorted(self._secrets, key=len, reverse=True):
            text = text.replace(secret, "***")
        return text


def address(url: str, allow_http: bool) -> str:
    """The URL of a service without a final slash; raises PushError for one that cannot be used,
    or that credentials would go to unencrypted over a network."""
    try:
        parts = urlsplit(url.strip())
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise PushError(f"--url is no URL: {error}") from error
    if parts.username is not None or parts.password is not None:
        raise PushError(f"--url: no user and password in it, others see them; {_WAYS}")
    shown = url.strip()
    if parts.scheme not in ("http", "https") or not host or parts.query or parts.fragment:
        raise PushError(f"--url {shown!r}: give the service's address, such as https://host/path")
    if port == 0 or not shown.isascii() or not shown.isprintable() or " " in shown:
        raise PushError(f"--url {shown!r}: not an address")
    if parts.scheme == "http" and not is_loopback(url) and not allow_http:
        raise PushError(
            f"{shown}: over http everybody on the way can read the credentials: use https, or "
            "say --allow-http"
        )
    return shown.rstrip("/")


def is_loopback(url: str) -> bool:
    """Whether the host is this machine, by its name alone."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
