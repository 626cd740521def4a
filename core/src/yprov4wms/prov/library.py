"""The prov library, which only some formats need; nothing else imports it."""

from __future__ import annotations

import re
import warnings
from importlib.metadata import PackageNotFoundError, version
from typing import Any, BinaryIO

#: The formats, by the names that a user gives: what prov calls each, and what it needs for it.
FORMATS = {"prov-xml": ("xml", ("prov", "lxml")), "prov-jsonld": ("jsonld", ("prov",))}

#: The first version that writes both so that they are valid and read back equal: before it an
#: infinite number is `inf`, and before 3.1 there is no JSON-LD.
OLDEST = (3, 2, 3)


class LibraryError(Exception):
    """The library, or what it needs for a format, is not there; the text is for the user."""


def write(content: bytes, form: str, file: BinaryIO) -> None:
    """Write PROV-JSON in one of `FORMATS`.

    Raises LibraryError, and ValueError for what the format cannot hold.
    """
    name, needs = FORMATS[form]
    _require(form, needs)
    from prov import Error
    from prov.model import ProvDocument

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        document: Any = ProvDocument.deserialize(content=content.decode(), format="json")
        try:
            document.serialize(file, format=name)
        except Error as error:
            raise ValueError(f"{form} cannot hold it: {error}") from error


def _require(form: str, needs: tuple[str, ...]) -> None:
    advice = "pip install 'yprov4wms[formats]'"
    for package in needs:
        try:
            found = version(package)
        except PackageNotFoundError:
            raise LibraryError(f"{form} needs {' and '.join(needs)}: {advice}") from None
        if package == "prov" and _numbers(found) < OLDEST:
            oldest = ".".join(map(str, OLDEST))
            raise LibraryError(
                f"{form} needs prov {oldest} or newer, and here is {found}: {advice}, in an "
                "environment of its own where cwltool holds prov back"
            )


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", text)[:3])
