"""What the callbacks of all frameworks share: the run they log to, and their failures."""

from __future__ import annotations

import functools
import glob
import os
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, TypeVar

from yprov4wms import ml
from yprov4wms.ml._log import warn
from yprov4wms.ml.recorder import ActiveRun, RecordingError

TRAINING = "training"
VALIDATION = "validation"
TESTING = "testing"

_Hook = TypeVar("_Hook", bound=Callable[..., Any])


class Session:
    """The run that is active in the process; where none is, one of its own.

    experiment, name: of that run; else the experiment is named after the model.
    source: the framework.
    """

    #: Whose run was not ended: its framework tells no callback of an exception.
    _left: Session | None = None

    def __init__(self, source: str, experiment: str | None, name: str | None) -> None:
        self.source = source
        self._experiment = experiment
        self._name = name
        self.run: ActiveRun | None = None
        self.own = False
        self._known: dict[str, tuple[int, int]] = {}
        self.has_files = False

    @property
    def open(self) -> bool:
        return self.run is not None and self.run.active

    def begin(self, experiment: str) -> bool:
        """False where it is open already."""
        if self.open:
            return False
        left = Session._left
        if left is not None and left.open:
            left.end("failed")
        self.run, self.own, self.has_files = ml.active_run(), False, False
        if self.run is None:
            self.run, self.own = ml.start_run(self._experiment or experiment, name=self._name), True
            Session._left = self
        return True

    def end(self, status: str | None = None) -> None:
        """End the run, if it is our own; without a status, by the exception being handled."""
        run, own = self.run, self.own
        self.run, self.own = None, False
        if own and run is not None and run.active:
            run.end(status)

    def failed(self, error: BaseException) -> None:
        """The framework tells of an exception; it is being handled."""
        if self.own:
            self.end()
        elif self.run is not None and self.run.active:
            text = ": ".join(part for part in (type(error).__qualname__, str(error)) if part)
            self.run.log_param("error", text, source=self.source, is_input=False)
            self.run = None

    # -- logging -----------------------------------------------------------------

    def params(self, values: Mapping[str, Any], prefix: str = "", *, made: bool = False) -> None:
        """Those that have a value."""
        if self.run is not None:
            for key, value in values.items():
                if value is not None:
                    name = f"{prefix}{key}"
                    self.run.log_param(name, value, source=self.source, is_input=not made)

    def metrics(self, values: Mapping[str, Any], context: str | None, step: int | None) -> None:
        """Those that are one number."""
        if self.run is not None:
            for name, value in values.items():
                if _is_number(value):
                    self.run.log_metric(name, value, context, step, self.source)

    def dataset(self, name: str, data: Any, context: str) -> None:
        """A data set or loader, or several in a list or mapping."""
        if self.run is None or data is None:
            return
        for suffix, each in _each(data):
            self.dataset_of(f"{name}{suffix}", each, context)

    def dataset_of(self, name: str, data: Any, context: str) -> None:
        if self.run is not None:
            self.run.log_dataset(name, data, context, source=self.source)

    def model(self, name: str, model: Any, *, given: bool) -> None:
        """What it tells of itself, before the training (given) or after it."""
        if self.run is not None:
            self.run.log_model(
                name, model, TRAINING, source=self.source, layers=given, is_input=given
            )

    def files(
        self, paths: Iterable[str], step: int | None, model: Any, attributes: Mapping[str, Any]
    ) -> None:
        """Checkpoints: those that are new, or were written again."""
        for path in paths:
            version = _version(path)
            if version and self.run is not None and self._known.get(path) != version:
                self._known[path] = version
                self.has_files = True
                self.run.log_model(
                    os.path.basename(path),  # noqa: PTH119
                    model,
                    TRAINING,
                    path=path,
                    source=self.source,
                    step=step,
                    attributes=attributes,
                )

    def known(self, path: str) -> None:
        """A file that was there before."""
        self._known[path] = _version(path) or (0, 0)

    def guarded(self, where: str) -> AbstractContextManager[Any]:
        return _Guard(self, where)


class _Guard:
    """A failure of ours is a failure of recording; ``YPROV_STRICT`` may make the end raise."""

    def __init__(self, session: Session, where: str) -> None:
        self._session = session
        self._where = f"{session.source}: {where}"

    def __enter__(self) -> None:
        return None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        if not isinstance(error, Exception) or isinstance(error, RecordingError):
            return False
        run = self._session.run
        if run is None:
            warn(f"not recorded: {self._where}: {type(error).__name__}: {error}")
        elif run.active:
            with run.guarded(self._where):
                raise error
        return True


def hook(method: _Hook) -> _Hook:
    """A callback's method, whose failures never reach the framework."""

    @functools.wraps(method)
    def call(self: Any, *args: Any, **kwargs: Any) -> None:
        with self._session.guarded(method.__name__):
            method(self, *args, **kwargs)

    return call  # type: ignore[return-value]


class Ending:
    """``with callback:`` ends its own run, by what leaves the block, where the framework tells
    its callbacks of no exception."""

    _session: Session

    def __enter__(self) -> Any:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._session.guarded("end"):
            if error is not None:
                self._session.failed(error)
            self._session.end()


def matching(template: str) -> list[str]:
    """The files that a path with fields (``{epoch:02d}``) stands for, oldest first."""
    parts = re.split(r"\{[^}]*\}", template)
    found = glob.glob("*".join(glob.escape(part) for part in parts))  # noqa: PTH207
    return sorted(found, key=os.path.getmtime)


def _version(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116
    except (OSError, ValueError):
        return None
    return found.st_mtime_ns, found.st_size


def label(model: Any) -> str:
    return type(model).__name__


def settings(optimizer: Any) -> dict[str, Any]:
    """Of an optimizer of PyTorch: its class, and the settings of each group of parameters."""
    found: dict[str, Any] = {"": type(optimizer).__name__}
    groups = optimizer.param_groups
    for number, group in enumerate(groups):
        prefix = f".group{number}." if len(groups) > 1 else "."
        known = {key: value for key, value in group.items() if key != "params"}
        found |= {f"{prefix}{key}": value for key, value in known.items()}
    return found


def _each(data: Any) -> list[tuple[str, Any]]:
    if isinstance(data, Mapping):
        return [(f".{key}", value) for key, value in data.items()]
    if isinstance(data, list | tuple) and data and not hasattr(data[0], "shape"):
        several = len(data) > 1
        return [(f".{number}" if several else "", each) for number, each in enumerate(data)]
    return [("", data)]


def _is_number(value: Any) -> bool:
    if isinstance(value, str | bytes) or value is None:
        return False
    size = getattr(value, "size", 1)
    if callable(size):  # a tensor's
        size = value.numel() if hasattr(value, "numel") else 1
    return bool(size == 1) and (hasattr(value, "item") or hasattr(value, "__float__"))
