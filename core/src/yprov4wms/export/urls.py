"""URLs of code, as other formats take them."""

from __future__ import annotations

import re

#: What a URI cannot hold as it is (RFC 3986).
_NO_URI = re.compile(r"[^!-~]|[<>\"{}|\\^`]")
#: Git's short form of an SSH URL.
_SCP = re.compile(r"([^/:\s]+@)?([^/:\s@]{2,}):(?!//)(\S+)")


def repository(remote: str) -> str | None:
    """A git remote as a URL without user and password; None where it is something else."""
    if _NO_URI.search(remote):
        return None
    scp = _SCP.fullmatch(remote)
    if scp is not None and "://" not in remote:
        return f"ssh://{scp[1] or ''}{scp[2]}/{scp[3].lstrip('/')}"
    scheme, found, rest = remote.partition("://")
    if not found:
        return f"file://{remote}" if remote.startswith("/") else None
    authority, slash, path = rest.partition("/")
    user, at, host = authority.rpartition("@")
    if at and scheme == "ssh" and ":" not in user:
        host = f"{user}@{host}"
    return f"{scheme}://{host}{slash}{path}"
