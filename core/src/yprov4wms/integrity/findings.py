"""What a check found."""

from __future__ import annotations

import msgspec


class Problem(msgspec.Struct, frozen=True):
    """Something is not as it was recorded. where: a file of the run's folder, and the line."""

    where: str
    message: str


class Findings(msgspec.Struct):
    """problems: what is not as it was. notes: what cannot be said, and what has a known reason."""

    problems: list[Problem] = []
    notes: list[str] = []

    def problem(self, where: str, message: str) -> None:
        self.problems.append(Problem(where, message))
