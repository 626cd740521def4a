"""The document in the formats beside PROV-JSON, by the names that a user gives them."""

from __future__ import annotations

from typing import BinaryIO

import msgspec

from yprov4wms.export import provn, rdf
from yprov4wms.export.quoting import ILLEGAL
from yprov4wms.export.records import Text, named_document, scopes, values
from yprov4wms.prov import library
from yprov4wms.prov.vocabulary import ELEMENTS, RELATIONS

PROV_N = "prov-n"
#: Drawings, of a document that is small enough to be seen.
DRAWN = ("prov-dot", "prov-svg")
FORMATS = (PROV_N, *library.FORMATS, *rdf.FORMATS, *DRAWN)


def write(content: bytes, form: str, file: BinaryIO) -> None:
    """Write a document of ours, PROV-JSON, in one of `FORMATS`.

    Raises LibraryError where what that needs is not installed, ValueError for what the format
    cannot hold, DrawingError where Graphviz cannot draw.
    """
    if form == PROV_N:
        provn.write(content, file)
    elif form in rdf.FORMATS:
        rdf.write(content, form, file)
    elif form in DRAWN:
        _draw(content, form, file)
    else:
        xml = form == "prov-xml"
        if xml:
            _check_characters(content)
        library.write(named_document(content, prefixed=xml), form, file)


def _draw(content: bytes, form: str, file: BinaryIO) -> None:
    from yprov4wms.export import prov_dot

    text = prov_dot.dot(msgspec.json.decode(content)).encode()
    file.write(prov_dot.svg(text) if form == "prov-svg" else text)


def _check_characters(content: bytes) -> None:
    """Raises ValueError for a character that XML 1.0 has no form for."""
    for scope in scopes(content):
        for section, identifier, record in scope.records((*ELEMENTS, *RELATIONS)):
            for attribute, found in record.items():
                for value in values(found):
                    text = value.text if isinstance(value, Text) else value.name
                    if illegal := ILLEGAL.search(text):
                        code = f"U+{ord(illegal.group()):04X}"
                        place = f"{section} {identifier}, {attribute}"
                        raise ValueError(
                            f"XML cannot hold {code} ({place}): other formats can, as {PROV_N}"
                        )
