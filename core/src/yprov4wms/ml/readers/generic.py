"""Any other PROV-JSON document, which is nested as it is."""

from __future__ import annotations

import re
import uuid
from pathlib import Path
from typing import Any

import msgspec

from yprov4wms.ml.readers import ChildRun, ReadError
from yprov4wms.ml.readers.peek import HEAD, beginning
from yprov4wms.prov import foreign
from yprov4wms.prov.vocabulary import ELEMENTS, RELATIONS

DIALECT = "prov"

#: One of PROV-JSON's sections, as a member that is an object.
_SECTION = re.compile(
    rb'"(prefix|bundle|%s)"\s*:\s*\{' % "|".join((*ELEMENTS, *RELATIONS)).encode()
)
_NAMES = {"prefix", "bundle", *ELEMENTS, *RELATIONS}
#: Of a document without an id of its own: by its content.
_NAMESPACE = uuid.UUID("6f1ad1c5-2c54-5d0c-9d6c-6a3b7b1b54a1")


class GenericReader:
    def takes(self, path: Path) -> bool:
        if not path.is_file():
            return False
        head = beginning(path).removeprefix(b"\xef\xbb\xbf")
        if not head.lstrip().startswith(b"{") or not _SECTION.search(head):
            return False
        return len(head) == HEAD or _is_prov(head)

    def read(self, path: Path, directory: Path | None = None) -> list[ChildRun]:
        content = path.read_bytes().removeprefix(b"\xef\xbb\xbf")
        try:
            records = foreign.read(content)
        except ValueError as error:
            raise ReadError(f"not a PROV-JSON document: {error}") from error
        if not _is_prov(content):
            raise ReadError("not a PROV-JSON document: it has other sections than those")
        times = [
            [m for a in activities if (m := foreign.time(a.get(f"prov:{name}Time")))]
            for activities in [records.elements["activity"].values()]
            for name in ("start", "end")
        ]
        return [
            ChildRun(
                dialect=DIALECT,
                id=content_id(content),
                content=content,
                began=min(times[0], default=None),
                ended=max(times[1], default=None),
                sources=(str(path),),
            )
        ]


def content_id(content: bytes) -> str:
    """An id that the same bytes always have."""
    import hashlib

    return str(uuid.uuid5(_NAMESPACE, hashlib.sha256(content).hexdigest()))


def _is_prov(content: bytes) -> bool:
    """Whether it is an object of PROV-JSON's sections, with an element in it."""
    try:
        document = msgspec.json.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    if not isinstance(document, dict) or not document.keys() <= _NAMES:
        return False
    parts: list[Any] = [document.get(section) for section in (*ELEMENTS, "bundle")]
    return any(isinstance(part, dict) and part for part in parts)


READER = GenericReader()
