"""Contexts: the phases of a run, which nest."""

from __future__ import annotations

from contextvars import ContextVar, Token
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from yprov4wms.ml._logging import Logging

_current: ContextVar[str | None] = ContextVar("yprov4wms.ml.context", default=None)

#: The context of the ``with`` block around this code, of this thread or asyncio task.
current = _current.get


class Context:
    """What `yprov4wms.ml.log_context` gives: a ``with`` block in which it is the context.

    Inside another one it is a part of that, named ``outer/inner``, where it was not told
    of what it is a part.
    """

    def __init__(self, run: Logging, name: str, parent: str | None) -> None:
        self._run = run
        self.name = name
        self._parent = parent
        self._entered: list[tuple[str, Token[str | None]]] = []

    def __enter__(self) -> Context:
        outer, name, parent = current(), self.name, self._parent
        if parent is None and outer is not None and outer != name:
            name, parent = f"{outer}/{name}", outer
        self._run.begin_context(name, parent)
        self._entered.append((name, _current.set(name)))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        name, token = self._entered.pop()
        _current.reset(token)
        self._run.end_context(name)
