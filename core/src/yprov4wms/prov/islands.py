"""Which elements of a document hang together."""

from __future__ import annotations

_ROUNDS = 4


class Islands:
    """Which elements hang together."""

    def __init__(self) -> None:
        self._sections: dict[str, str] = {}
        self._ties: list[tuple[str, str]] = []
        #: What is not in here is at the top.
        self._above: dict[str, str] = {}

    def add(self, section: str, identifier: str) -> None:
        self._sections.setdefault(identifier, section)

    def join(self, one: str, two: str) -> None:
        self._ties.append((one, two))

    def apart(self, known: tuple[str, ...]) -> list[tuple[str, str]]:
        """One element of each island that ``known`` is not on, activities first."""
        reached = self._spread(set(known))
        if reached >= self._sections.keys():
            return []
        top = "\0"  # of all that is reached
        self._above = dict.fromkeys(reached, top)
        for one, two in self._ties:
            first, second = self._top(one), self._top(two)
            if first != second:
                if first == top:
                    first, second = second, first
                self._above[first] = second
        tops = {top}
        found: list[tuple[str, str]] = []
        for wanted in ("activity", "entity", "agent"):
            for identifier, section in self._sections.items():
                if section == wanted and (island := self._top(identifier)) not in tops:
                    tops.add(island)
                    found.append((section, identifier))
        return found

    def _spread(self, reached: set[str]) -> set[str]:
        """What is soon reached from there: of most documents, everything."""
        left = self._ties
        for _ in range(_ROUNDS):
            ties, left = left, []
            for tie in ties:
                one, two = tie
                if one in reached:
                    reached.add(two)
                elif two in reached:
                    reached.add(one)
                else:
                    left.append(tie)
            if not left or len(left) == len(ties):
                break
        return reached

    def _top(self, identifier: str) -> str:
        above = self._above
        while (one := above.get(identifier)) is not None:
            two = above.get(one)
            if two is None:
                return one
            above[identifier] = identifier = two  # the next way up is shorter
        return identifier
