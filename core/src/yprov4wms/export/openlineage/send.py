"""Events sent through the transports of openlineage-python, as that library is configured.

The library is an extra (``yprov4wms[openlineage]``) and imported here alone. What its client
would add to events from the process that sends (code location, environment variables) is left
out: that is not the process that ran.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from yprov4wms.export.openlineage.events import Event
from yprov4wms.masking import Masker

#: Instead of a file's name: the configuration that the library finds by itself.
ENVIRONMENT = "env"

_CONFIG = "OPENLINEAGE_CONFIG"
_TRANSPORT = "openlineage.client.transport"
_COMPOSITE = f"{_TRANSPORT}.composite"


class SendError(Exception):
    """Events could not be sent; the text, one line, is for the user."""


def send(events: Iterable[Event], config: str = ENVIRONMENT) -> int:
    """Send events in their order; returns their number.

    config: a YAML file of openlineage-python's, or `ENVIRONMENT`. Stops at the first event that
    a transport refuses, with SendError.
    """
    with _configured(config), _heard() as log:
        client = _client(log)
        sent = 0
        try:
            for event in events:
                typed = _typed(event)
                if client.filter_event(typed) is None:
                    continue
                client.emit(typed)
                if log.failure:
                    _fail(sent, log.failure)
                sent += 1
        except SendError:
            _close(client)
            raise
        except Exception as error:
            _close(client)
            _fail(sent, f"{type(error).__name__}: {error}")
        try:
            complete = client.close()
        except Exception as error:
            _fail(sent, f"{type(error).__name__}: {error}", sure=False)
        if log.failure or not complete:
            _fail(sent, log.failure or "the transport has not sent all events", sure=False)
    return sent


def _fail(sent: int, reason: str, sure: bool = True) -> NoReturn:
    done = f"{sent} were sent before" if sure else f"of {sent}, not all have arrived"
    reason = Masker().text(" ".join(reason.split()))
    reason = reason if len(reason) <= 400 else f"{reason[:400]}..."
    raise SendError(
        f"cannot send OpenLineage events ({done}): {reason}; the record of the run is as it was: "
        "send it again, events that arrive twice are the same"
    )


def _client(log: _Log) -> Any:
    """A client with a transport that was asked for."""
    try:
        from openlineage.client import OpenLineageClient
        from openlineage.client.facets import FacetsConfig, SourceCodeLocationConfig
    except ImportError as error:
        raise SendError(
            f"sending needs openlineage-python: pip install 'yprov4wms[openlineage]' ({error})"
        ) from error
    try:
        client = OpenLineageClient()
        client.config.facets = FacetsConfig(
            environment_variables=[],
            source_code_location=SourceCodeLocationConfig(disabled=True),
        )
    except Exception as error:
        raise SendError(
            "openlineage-python cannot be configured: "
            + Masker().text(f"{type(error).__name__}: {error}")
        ) from error
    kind = client.transport.kind
    if kind == "noop":
        raise SendError("OpenLineage is disabled, by its configuration or OPENLINEAGE_DISABLED")
    if kind == "console" and (client.config.transport or {}).get("type") == "console":
        raise SendError("the console transport only logs: leave --to out to see the events")
    if kind == "console":
        detail = f" ({log.first})" if log.first else ""
        raise SendError(
            "openlineage-python has no transport: give --to its configuration file, or set "
            f"OPENLINEAGE_URL or OPENLINEAGE_CONFIG{detail}"
        )
    return client


def _close(client: Any) -> None:
    try:
        client.close(1.0)
    except Exception:
        logging.getLogger(__name__).debug("closing the transport", exc_info=True)


@contextmanager
def _configured(config: str) -> Iterator[None]:
    """Have the library read that file; raises SendError where it is none."""
    if config == ENVIRONMENT:
        yield
        return
    try:
        with Path(config).open("rb"):
            pass
    except OSError as error:
        raise SendError(f"cannot read {config}: {error.strerror or error}") from error
    before = os.environ.get(_CONFIG)
    os.environ[_CONFIG] = config
    try:
        yield
    finally:
        if before is None:
            del os.environ[_CONFIG]
        else:
            os.environ[_CONFIG] = before


class _Log(logging.Handler):
    """Hears what the library logs: some of its transports tell of failures nowhere else.

    first: of its words, the first that is worth telling. failure: that events did not arrive.
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.first = ""
        self.failure = ""

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if record.exc_info and record.exc_info[1] is not None:
            text += f" {record.exc_info[1]}"
        self.first = self.first or text
        failed = record.name == _COMPOSITE or (
            record.name.startswith(_TRANSPORT) and record.levelno >= logging.ERROR
        )
        if failed and not self.failure:
            self.failure = text


@contextmanager
def _heard() -> Iterator[_Log]:
    """While it lasts, nothing of the library's own words reaches stderr."""
    log = _Log()
    loggers = [logging.getLogger(name) for name in ("openlineage", "urllib3")]
    before = [logger.propagate for logger in loggers]
    for logger in loggers:
        logger.addHandler(log)
        logger.propagate = False
    try:
        yield log
    finally:
        for logger, propagate in zip(loggers, before, strict=True):
            logger.removeHandler(log)
            logger.propagate = propagate


def _typed(event: Event) -> Any:
    """As the library's own class: transports ask events for their jobs, runs and parents."""
    from openlineage.client import event_v2 as v2
    from openlineage.client.generated import parent_run

    more: dict[str, Any] = {
        "eventTime": event["eventTime"],
        "producer": event["producer"],
        "job": v2.Job(**event["job"]),
        "inputs": [v2.InputDataset(**one) for one in event.get("inputs", ())],
        "outputs": [v2.OutputDataset(**one) for one in event.get("outputs", ())],
    }
    if "run" not in event:
        return v2.JobEvent(**more)
    run = event["run"]
    about = dict(run["facets"])
    if "parent" in about:
        found = about["parent"]
        root = found["root"]
        about["parent"] = parent_run.ParentRunFacet(
            run=parent_run.Run(**found["run"]),
            job=parent_run.Job(**found["job"]),
            root=parent_run.Root(
                run=parent_run.RootRun(**root["run"]), job=parent_run.RootJob(**root["job"])
            ),
            producer=found["_producer"],
        )
    return v2.RunEvent(
        eventType=v2.RunState(event["eventType"]), run=v2.Run(run["runId"], about), **more
    )
