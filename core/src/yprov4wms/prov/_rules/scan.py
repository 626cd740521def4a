"""Bytes of a PROV-JSON file: reading them, and what parsers pass over in silence."""

from __future__ import annotations

import gzip
import io
import json
import re
import zlib
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import msgspec

from yprov4wms import journal

#: Largest document that is read, in bytes: some two million tasks.
MAX_SIZE = 4 << 30
#: Real documents compress 5 to 40 times; gzip's limit is 1,032, zstd's far beyond that.
MAX_RATIO = 200
_SMALL = 64 << 20

_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"

Members = dict[str, msgspec.Raw]
_decode_members = msgspec.json.Decoder(Members).decode
_decode_value = msgspec.json.Decoder().decode


class MalformedError(ValueError):
    """Not JSON; ``where`` is a line and byte, or a record."""

    def __init__(self, message: str, where: str = "document") -> None:
        super().__init__(message)
        self.where = where


class NotAnObjectError(ValueError):
    """JSON, but something else stands where an object belongs."""


def load(path: str | Path, limit: int = MAX_SIZE) -> bytes:
    """The content of a file (or fsspec URL), unpacked where its first bytes are gzip's or zstd's.

    Raises OSError where it cannot be read; ValueError where it is larger than ``limit``
    bytes, damaged, or unpacks to more than `MAX_RATIO` times its size.
    """
    name = str(path)
    if "://" in name:
        with journal.filesystem(name).open(name, "rb") as remote:
            content = _read(remote, limit, f"{name}: larger than {limit} bytes")
    else:
        with Path(path).open("rb") as file:
            content = _read(file, limit, f"{name}: larger than {limit} bytes")
    if not content.startswith((_GZIP, _ZSTD)):
        return content
    bound = min(limit, max(_SMALL, MAX_RATIO * len(content)))
    refusal = f"{name}: unpacks to more than {bound} bytes from {len(content)}: refused"
    try:
        if content.startswith(_GZIP):
            with gzip.GzipFile(fileobj=io.BytesIO(content)) as packed:
                return _read(packed, bound, refusal)
        return _unpack_zstd(content, bound, refusal)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{name}: damaged or cut short: {error}") from error


def _read(file: BinaryIO | gzip.GzipFile, limit: int, refusal: str) -> bytes:
    found = io.BytesIO()
    while chunk := file.read(1 << 20):
        found.write(chunk)
        if found.tell() > limit:
            raise ValueError(refusal)
    return found.getvalue()


def _unpack_zstd(content: bytes, limit: int, refusal: str) -> bytes:
    import zstandard

    found = io.BytesIO()
    position = 0
    try:
        while position < len(content):
            frame = zstandard.ZstdDecompressor().decompressobj()
            while not frame.eof:
                # A few bytes can stand for 128 KiB, so few are given at a time.
                chunk = content[position : position + 1024]
                if not chunk:
                    raise EOFError("the last frame has no end")
                found.write(frame.decompress(chunk))
                if found.tell() > limit:
                    raise ValueError(refusal)
                position += len(chunk)
            position -= len(frame.unused_data)
    except zstandard.ZstdError as error:
        raise EOFError(str(error)) from error
    return found.getvalue()


def duplicate_keys(content: bytes) -> list[str]:
    """Where a key stands twice in one object: msgspec and json keep the last one silently.

    Raises MalformedError where ``content`` is not JSON (RFC 8259) in UTF-8.
    """
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        where = _line_and_byte(content, error.start)
        raise MalformedError(f"not UTF-8 text: {error.reason}", where) from error
    if not text or text.isspace():
        raise MalformedError("the document is empty", "line 1, byte 0")
    try:
        _parse(text, _without_duplicates)
    except _DuplicateError:
        found = _parse(text, _paths)
        return [", ".join(path) for path in found] if isinstance(found, _Paths) else []
    return []


def members(raw: bytes | msgspec.Raw) -> Members:
    """An object's members, still encoded. Raises NotAnObjectError, MalformedError."""
    try:
        return _decode_members(raw)
    except msgspec.ValidationError as error:
        raise NotAnObjectError(str(error)) from error
    except (msgspec.DecodeError, RecursionError) as error:
        raise MalformedError(_REFUSED, _lone_surrogate(bytes(raw))) from error


def value(raw: msgspec.Raw) -> Any:
    """A decoded value; a number beyond 64 bits becomes a float. Raises MalformedError."""
    try:
        return _decode_value(raw)
    except (msgspec.DecodeError, RecursionError) as refusal:
        try:
            found = json.loads(bytes(raw), parse_int=float)
            json.dumps(found, ensure_ascii=False).encode()
        except (ValueError, RecursionError):
            raise MalformedError(_REFUSED, _lone_surrogate(bytes(raw))) from refusal
        return found


_REFUSED = "holds an escape that is no character (half a surrogate pair) or is nested too deeply"
_ESCAPES = re.compile(
    rb"\\(?:u[dD][89abAB]..\\u[dD][c-fC-F]..|(?P<lone>u[dD][89a-fA-F]..)|.)", re.DOTALL
)


def _lone_surrogate(content: bytes) -> str:
    for escape in _ESCAPES.finditer(content):
        if escape["lone"]:
            return _line_and_byte(content, escape.start())
    return "document"


def _line_and_byte(content: bytes, byte: int) -> str:
    line = content.count(b"\n", 0, byte) + 1
    return f"line {line}, byte {byte}"


class _DuplicateError(Exception):
    pass


class _Paths(list[tuple[str, ...]]):
    """What `_paths` leaves in the place of an object with duplicate keys inside."""


def _parse(text: str, hook: Any) -> Any:
    try:
        return json.loads(
            text, object_pairs_hook=hook, parse_int=float, parse_constant=_no_constant
        )
    except json.JSONDecodeError as error:
        byte = len(text[: error.pos].encode())
        where = f"line {error.lineno}, byte {byte}"
        raise MalformedError(f"not JSON: {error.msg}", where) from error
    except RecursionError as error:
        raise MalformedError("nested too deeply: PROV-JSON has six levels") from error


def _no_constant(text: str) -> NoReturn:
    name = text.replace("Infinity", "INF")
    hint = f'write {{"$": "{name}", "type": "xsd:double"}}'
    raise MalformedError(f"not JSON: {text} is no value; {hint}")


def _without_duplicates(pairs: list[tuple[str, Any]]) -> None:
    if len(pairs) != len(dict(pairs)):
        raise _DuplicateError


def _paths(pairs: list[tuple[str, Any]]) -> _Paths | None:
    found = _Paths()
    seen = set()
    for key, inner in pairs:
        if key in seen:
            found.append((f"key {key}",))
        seen.add(key)
        for paths in inner if isinstance(inner, list) and type(inner) is not _Paths else [inner]:
            if type(paths) is _Paths:
                found.extend((key, *path) for path in paths)
    return found or None
