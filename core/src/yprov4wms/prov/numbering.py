"""Prefixes and namespaces of what is in a document."""

from __future__ import annotations

import re
from collections import Counter

from yprov4wms.prov.values import hashed_name
from yprov4wms.prov.vocabulary import RUN, run_namespace

_RUN_ID = re.compile(r"[A-Za-z0-9._-]+")


class Numbering:
    """Hands out the prefixes of one document: ``run``, ``run2``...; ``ml1``, ``ml2``..."""

    def __init__(self) -> None:
        self._namespaces: Counter[str] = Counter()
        self._children = 0
        self._runs: dict[str, str] = {}

    def child(self, child: str) -> tuple[str, str]:
        """Prefix and namespace of a child run; one that two attempts name is there twice."""
        self._children += 1
        name = child if _RUN_ID.fullmatch(child) else hashed_name("child", child)
        self._namespaces[name] += 1
        count = self._namespaces[name]
        name = name if count == 1 else f"{name}.{count}"
        return f"ml{self._children}", run_namespace(name)

    def run(self, run: str) -> tuple[str, str]:
        """Prefix and namespace of a workflow run."""
        count = len(self._runs) + 1
        prefix = self._runs.setdefault(run, RUN if count == 1 else f"{RUN}{count}")
        return prefix, run_namespace(run)

    def declare(self, run: str, prefixes: dict[str, str]) -> str:
        """The prefix of a workflow run, which is put among ``prefixes``."""
        prefix, prefixes[prefix] = self.run(run)
        return prefix
