"""Which elements of a document hang together."""

from __future__ import annotations


class Islands:
    """Which elements hang together."""

    def __init__(self) -> None:
        self._above: dict[str, str] = {}
        self._sections: dict[str, str] = {}

    def add(self, section: str, identifier: str) -> None:
        self._sections.setdefault(identifier, section)

    def join(self, one: str, two: str) -> None:
        self._above[self._top(one)] = self._top(two)

    def apart(self, known: tuple[str, ...]) -> list[tuple[str, str]]:
        """One element of each island that ``known`` is not on, activities first."""
        reached = {self._top(identifier) for identifier in known}
        found: list[tuple[str, str]] = []
        for wanted in ("activity", "entity", "agent"):
            for identifier, section in self._sections.items():
                top = self._top(identifier)
                if section == wanted and top not in reached:
                    reached.add(top)
                    found.append((section, identifier))
        return found

    def _top(self, identifier: str) -> str:
        while (above := self._above.get(identifier, identifier)) != identifier:
            identifier = above
        return identifier
