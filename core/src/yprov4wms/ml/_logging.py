"""What a script logs of its ML run, as events and values on their way to disk."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from yprov4wms.ml import _checks
from yprov4wms.ml._contexts import Context, current
from yprov4wms.ml._log import warn

if TYPE_CHECKING:
    from yprov4wms.ml._artifacts import Artifacts
    from yprov4wms.ml._buffer import Buffer
    from yprov4wms.ml._lifetime import Guard
    from yprov4wms.ml._log import EventLog
    from yprov4wms.ml.collectors import Sample
    from yprov4wms.ml.collectors.collecting import Collecting
    from yprov4wms.ml.recorder import Wanted
    from yprov4wms.settings import Settings
    from yprov4wms.store import RunFolder

_now = time.time_ns


class Logging:
    """The part of `yprov4wms.ml.recorder.ActiveRun` that scripts call while it goes on."""

    id: str
    wanted: Wanted
    folder: RunFolder
    artifacts: Artifacts
    buffer: Buffer
    recording: bool
    _closed: str | None
    _collectors: Collecting | None
    _guard: Guard
    _lock: threading.RLock
    _log: EventLog
    _numbers: dict[tuple[str, str | None, str | None], int]
    _settings: Settings
    _title: str

    def log_param(
        self,
        key: str,
        value: Any,
        context: str | None = None,
        source: str | None = None,
        is_input: bool = True,
    ) -> None:
        """See `yprov4wms.ml.log_param`."""
        event = {"kind": "ml-param", "name": _checks.name("parameter", key), "value": value}
        event |= known(source=_checks.optional_name("source", source))
        self._write(context, event if is_input else {**event, "input": False})

    def log_metric(
        self,
        key: str,
        value: Any,
        context: str | None = None,
        step: int | None = None,
        source: str | None = None,
        timestamp: float | None = None,
    ) -> None:
        """See `yprov4wms.ml.log_metric`."""
        number = value if type(value) is float else _checks.number(key, value)
        whole = step if step is None or type(step) is int else _checks.step(step)
        moment = _now() if timestamp is None else _checks.moment(timestamp)
        key = _checks.name("metric", key)
        context = _checks.optional_name("context", context)
        source = _checks.optional_name("source", source)
        self._value((key, current() if context is None else context, source), number, whole, moment)

    def log_metrics(
        self,
        metrics: Mapping[str, Any],
        context: str | None = None,
        step: int | None = None,
        source: str | None = None,
        timestamp: float | None = None,
    ) -> None:
        """See `yprov4wms.ml.log_metrics`."""
        moment = _now() if timestamp is None else _checks.moment(timestamp)
        whole = step if step is None else _checks.step(step)
        context = _checks.optional_name("context", context)
        context = current() if context is None else context
        source = _checks.optional_name("source", source)
        for name, value in [
            (_checks.name("metric", name), _checks.number(name, value))
            for name, value in metrics.items()
        ]:
            self._value((name, context, source), value, whole, moment)

    def log_artifact(
        self,
        name: str,
        path: str | os.PathLike[str],
        context: str | None = None,
        *,
        source: str | None = None,
        step: int | None = None,
        copy: bool = False,
        subfolder: str | None = None,
        is_model: bool = False,
        is_input: bool = False,
        attributes: Mapping[str, Any] | None = None,
    ) -> None:
        """See `yprov4wms.ml.log_artifact`."""
        what = "model" if is_model else "artifact"
        event: dict[str, Any] = {"kind": f"ml-{what}", "name": _checks.name(what, name)}
        if not self._takes():
            return
        event["file"] = self._describe(f"{what} {name!r}", path, is_input)
        if copy:
            event |= self._copied(path, subfolder)
        event |= known(source=source, step=step, attributes=dict(attributes or {}) or None)
        self._write(context, event | {"input": bool(is_input)})

    def log_model(
        self,
        name: str,
        model: Any,
        context: str | None = None,
        *,
        path: str | os.PathLike[str] | None = None,
        source: str | None = None,
        step: int | None = None,
        describe: bool = True,
        layers: bool = False,
        save: bool = False,
        version: bool = False,
        is_input: bool = False,
        attributes: Mapping[str, Any] | None = None,
    ) -> None:
        """See `yprov4wms.ml.log_model` and `yprov4wms.ml.save_model_version`."""
        event: dict[str, Any] = {"kind": "ml-model", "name": _checks.name("model", name)}
        if model is None:
            raise TypeError(f"model {name!r} is None: give a model or the path of its file")
        if isinstance(model, str | os.PathLike):
            if path is not None:
                raise TypeError(f"model {name!r}: give a path once, or a model and its path")
            path, model = model, None
        if not self._takes():
            return
        if model is not None and (describe or layers):
            from yprov4wms.ml import _objects

            found = _objects.model(model) if describe else {}
            event |= found | ({"layers": _objects.layers(model) or None} if layers else {})
        if path is not None:
            event["file"] = self._describe(f"model {name!r}", path, is_input)
        elif save:
            saved = None
            with self._log.guarded(f"saving model {name!r}"):
                saved = self.artifacts.save_model(name, model, version=version)
            if saved is not None:
                event["file"] = self._describe(f"model {name!r}", saved, is_input)
        own = {**event.get("attributes", {}), **(attributes or {})}
        event |= {"attributes": own or None, "source": source, "step": step}
        self._write(context, known(**event) | {"input": bool(is_input)})

    def log_dataset(
        self,
        name: str,
        dataset: Any,
        context: str | None = None,
        *,
        source: str | None = None,
        describe: bool = True,
        is_input: bool = True,
        attributes: Mapping[str, Any] | None = None,
    ) -> None:
        """See `yprov4wms.ml.log_dataset`."""
        event: dict[str, Any] = {"kind": "ml-dataset", "name": _checks.name("dataset", name)}
        if dataset is None:
            raise TypeError(f"dataset {name!r} is None: give a dataset or the path of its file")
        if not self._takes():
            return
        if isinstance(dataset, str | os.PathLike):
            event["file"] = self._describe(f"dataset {name!r}", dataset, is_input)
        elif describe:
            from yprov4wms.ml import _objects

            event |= _objects.dataset(dataset, hashed=self._settings.hash != "none")
        own = {**event.get("attributes", {}), **(attributes or {})}
        event |= {"attributes": own or None, "source": source}
        self._write(context, known(**event) | {"input": bool(is_input)})

    def log_code(self, path: str | os.PathLike[str] | None, git: bool | None) -> None:
        """See `yprov4wms.ml.log_source_code`."""
        if not self._takes():
            return
        from yprov4wms.ml import _code

        event: dict[str, Any] = {"kind": "ml-code"}
        found = None
        if path is None and git is not False:
            with self._log.guarded("asking git"):
                found = _code.git()
        if found is not None:
            event["git"], diff = found
            if diff is not None:
                event["diff"] = self._kept(diff, ".diff")
        else:
            paths = _code.files() if path is None else [os.fspath(path)]
            files = [self._describe("source code", each, True) for each in paths]
            event["files"] = files
            with self._log.guarded("copying source code"):
                for each, file in zip(paths, files, strict=True):
                    if file.get("type", "file") == "file":
                        self.artifacts.copy(each, "src")
        self._write(None, event)

    def log_context(self, context: str, parent: str | None = None) -> Context:
        """See `yprov4wms.ml.log_context`."""
        name = _checks.name("context", context)
        parent = _checks.optional_name("context", parent)
        if self._takes():
            self._log.begin_context(name, parent)
        return Context(self, name, parent)

    def begin_context(self, name: str, parent: str | None) -> None:
        """A ``with`` block of a context begins."""
        if self._takes():
            self._log.begin_context(name, parent)

    def end_context(self, name: str) -> None:
        """A ``with`` block of a context ends; not an error where the run has ended before."""
        if self._closed is None:
            self.buffer.flush(wait=True)
            self._log.write(None, {"kind": "ml-context-ended", "context": name})

    def log_system_metrics(self, context: str | None = None, step: int | None = None) -> None:
        """See `yprov4wms.ml.log_system_metrics`."""
        self._sample(context, step, lambda: self._collecting().sample())

    def log_carbon_metrics(self, context: str | None = None, step: int | None = None) -> None:
        """See `yprov4wms.ml.log_carbon_metrics`."""

        def samples() -> Iterator[Sample]:
            collecting = self._collecting()
            yield from collecting.sample("energy")
            yield from collecting.carbon(self._settings.carbon_intensity)

        self._sample(context, step, samples)

    def _collecting(self) -> Collecting:
        with self._lock:
            if self._collectors is None:
                from yprov4wms.ml.collectors.collecting import Collecting

                self._collectors = Collecting(self.wanted.collectors, self._log.failed)
            return self._collectors

    def _sample(
        self, context: str | None, step: int | None, samples: Callable[[], Iterable[Sample]]
    ) -> None:
        context = _checks.optional_name("context", context)
        context = current() if context is None else context
        step = None if step is None else _checks.step(step)
        # Without the lock: a collector may take its time, while others log.
        if self._takes():
            for sample in samples():
                key = sample.name, context, sample.source
                self._value(key, sample.value, step, _now(), sample.unit)

    # -- below -------------------------------------------------------------------

    def _takes(self) -> bool:
        """Whether to log; raises RuntimeError after the end.

        To be asked before the lock is taken: in a forked child it may be held for ever, by
        a thread that the child has not got.
        """
        if self._closed is None:
            if self._guard.dying is not None:
                self._guard.alive()
            return True
        if self._closed == "ended":
            raise RuntimeError(f"ML run {self._title} ({self.id}) has ended")
        if self._closed == "forked":
            self._closed = "forked, and told"
            warn(
                f"ML run {self._title} belongs to the parent process: "
                "what a forked child logs is not recorded"
            )
        return False

    def _write(self, context: str | None, event: dict[str, Any]) -> None:
        context = _checks.optional_name("context", context)
        context = current() if context is None else context
        if self._takes():
            with self._lock:
                self._takes()
                if context is not None:
                    event["context"] = context
                # What was logged before it is on disk before it.
                self.buffer.flush()
                self._log.write(context, event)

    def _value(
        self,
        key: tuple[str, str | None, str | None],
        value: float,
        step: int | None,
        moment: int,
        unit: str | None = None,
    ) -> None:
        if not self._takes():
            return
        number = self.buffer.known.get(key)
        if number is None:
            with self._lock:
                if self._closed is not None:
                    self._takes()
                number = self._declare(key, unit)
        if number is not None:
            self.buffer.add(number, step, value, moment)

    def _declare(self, key: tuple[str, str | None, str | None], unit: str | None) -> int | None:
        """The number of a series, told to the journal when it is new; None where it cannot be."""
        number = self._numbers.get(key)
        if number is None and self.recording:
            name, context, source = key
            event: dict[str, Any] = {"kind": "ml-metric-declared", "name": name}
            event |= {"path": self.buffer.path, "series": len(self._numbers)}
            event |= known(context=context, source=source, unit=unit)
            if self._log.write(context, event):
                number = self._numbers[key] = len(self._numbers)
        if number is not None and self._guard.dying is None:
            self.buffer.known[key] = number
        return number

    def _copied(self, path: str | os.PathLike[str], subfolder: str | None) -> dict[str, Any]:
        found: dict[str, Any] = {}
        with self._log.guarded("copying an artifact"):
            place = self.artifacts.copy(path, subfolder)
            found["copy"] = self._describe("copy", place, False)
        return found

    def _kept(self, content: bytes, suffix: str) -> dict[str, Any]:
        content = self._log.masked(content.decode("utf-8", "surrogateescape")).encode(
            "utf-8", "surrogateescape"
        )
        digest = self.folder.keep(content, suffix)
        return {"path": f"children/{digest}{suffix}", "size": len(content), "sha256": digest}

    def _describe(
        self, what: str, path: str | os.PathLike[str], is_input: object
    ) -> dict[str, Any]:
        from yprov4wms.ml import _files

        role = "input" if is_input else "output"
        try:
            return _files.describe(path, role, self._settings)
        except FileNotFoundError as error:
            raise FileNotFoundError(f"{what}: {error}") from None


def known(**fields: Any) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if value is not None}
