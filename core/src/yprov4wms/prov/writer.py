"""Streaming PROV-JSON writer: records go to a spool per section, memory stays flat."""

from __future__ import annotations

from typing import BinaryIO

from yprov4wms.prov.values import string
from yprov4wms.prov.vocabulary import ELEMENTS, PREFIXES, RELATIONS
from yprov4wms.store import scratch

_BUFFER = 1 << 18
_SECTIONS = (*ELEMENTS, *RELATIONS)


class _Section:
    """The records of one section as JSON text, each with a comma in front."""

    __slots__ = ("_file", "_length", "_pieces", "count", "ends", "head")

    def __init__(self, name: str) -> None:
        self.count = 0
        self._pieces: list[str] = []
        self._length = 0
        self._file: BinaryIO | None = None
        if name in RELATIONS:
            one, _, two, _ = RELATIONS[name]
            #: What stands around a relation's number and its two ends.
            self.head = f',\n"_:{name}'
            self.ends = (f'":{{"{one}":"', f'","{two}":"')

    def add(self, text: str) -> None:
        self.count += 1
        self._pieces.append(text)
        self._length += len(text)
        if self._length > _BUFFER:
            self._spill()

    def _spill(self) -> None:
        if self._file is None:
            self._file = scratch()
        self._file.write("".join(self._pieces).encode())
        self._pieces.clear()
        self._length = 0

    def write_to(self, target: BinaryIO) -> None:
        """All records, without the first one's comma."""
        skip = 1
        if self._file is not None:
            self._file.seek(skip)
            skip = 0
            while chunk := self._file.read(1 << 20):
                target.write(chunk)
            self._file.close()
        target.write("".join(self._pieces).encode()[skip:])


class ProvJsonWriter:
    """Takes records in any order and writes one PROV-JSON document (W3C submission, 2013).

    Identifiers are ``prefix:local`` with a prefix that was declared; ``attributes`` are
    JSON text as `yprov4wms.prov.values.attributes` makes it. One call per element: the
    caller sees to it that no identifier is given twice.
    """

    def __init__(self, prefixes: dict[str, str]) -> None:
        self.prefixes = {**PREFIXES, **prefixes}
        self._sections = {name: _Section(name) for name in _SECTIONS}
        self._bundles = _Section("bundle")

    def element(self, section: str, identifier: str, attributes: str) -> None:
        """An ``entity``, ``activity`` or ``agent``."""
        self._sections[section].add(f',\n"{identifier}":{{{attributes}}}')

    def relation(self, section: str, first: str, second: str, more: str = "") -> None:
        """A relation between the two ends that `RELATIONS` names for it."""
        spool = self._sections[section]
        one, two = spool.ends
        end = f",{more}}}" if more else "}"
        spool.add(f'{spool.head}{spool.count + 1}{one}{first}{two}{second}"{end}')

    def started(self, section: str, activity: str, name: str, starter: str, more: str = "") -> None:
        """A start or end by an activity, and no entity that is known; ``name``: of that end."""
        spool = self._sections[section]
        end = f",{more}}}" if more else "}"
        place = f"{spool.head}{spool.count + 1}{spool.ends[0]}{activity}"
        spool.add(f'{place}","{name}":"{starter}"{end}')

    def bundle(self, identifier: str, content: bytes) -> None:
        """A bundle; ``content`` is a JSON object of sections."""
        self._bundles.add(f',\n"{identifier}":{content.decode()}')

    def write_to(self, target: BinaryIO) -> None:
        """Write the document; the writer is spent afterwards."""
        pairs = ",\n".join(f'"{prefix}":{string(uri)}' for prefix, uri in self.prefixes.items())
        target.write(f'{{"prefix":{{\n{pairs}}}'.encode())
        for name, section in [*self._sections.items(), ("bundle", self._bundles)]:
            if section.count:
                target.write(f',\n"{name}":{{'.encode())
                section.write_to(target)
                target.write(b"}")
        target.write(b"}\n")
