"""The prov library, which only formats other than PROV-JSON need; nothing else imports it."""

from __future__ import annotations

import warnings
from typing import Any


class LibraryError(Exception):
    """The library, or what it needs for a format, is not there; the text is for the user."""


def written_rdf(content: bytes, form: str) -> bytes:
    """PROV-JSON as PROV-O, in one of rdflib's formats. Raises LibraryError."""
    try:
        import rdflib  # noqa: F401
        from prov.model import ProvDocument
    except ImportError as error:
        raise LibraryError(f"{form} needs prov and rdflib: pip install 'prov[rdf]'") from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        document: Any = ProvDocument.deserialize(content=content.decode(), format="json")
        text: str = document.serialize(format="rdf", rdf_format=form)
    return text.encode()
