"""What stands in a document for a nested run whose records are elsewhere."""

from __future__ import annotations

from yprov4wms.prov.values import string
from yprov4wms.prov.vocabulary import Type
from yprov4wms.prov.writer import ProvJsonWriter


class Summary:
    """The activity that stands for a child, and its files, as far as they tie it to others.

    namespaces: of the files, by prefix.
    """

    def __init__(self, writer: ProvJsonWriter, activity: str, namespaces: dict[str, str]) -> None:
        self._writer = writer
        self._activity = activity
        self._namespaces = namespaces
        self._written: set[str] = set()

    def file(self, stub: str, label: str, made: bool) -> None:
        """Write what stands for a file that the child used or made, once."""
        if stub in self._written:
            return
        self._written.add(stub)
        prefix = stub.partition(":")[0]
        self._writer.prefixes[prefix] = self._namespaces[prefix]
        about = f'"prov:label":{string(label)},"prov:type":"{Type.FILE}"'
        self._writer.element("entity", stub, about)
        if made:
            self._writer.relation("wasGeneratedBy", stub, self._activity)
        else:
            self._writer.relation("used", self._activity, stub)
