"""The process that reads MLflow stores: started when it is first needed, kept while it is."""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from typing import cast

import msgspec

from yprov4wms.masking import Masker, declared_from_environment, without_userinfo
from yprov4wms.ml.readers import UnreadableError
from yprov4wms.ml.readers.mlflow_facts import Answer, Request

#: Seconds that an answer may take, the import of MLflow included.
PATIENCE = 60.0
INSTALL = "to read it here: pip install 'yprov4wms[mlflow]'"

_MODULE = "yprov4wms.ml.readers.mlflow_client"
#: What would make the process a part of somebody's run, or lead it to another store.
_UNSET = (
    *("MLFLOW_RUN_ID", "MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "MLFLOW_TRACKING_DIR"),
    *("MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME", "PYTHONSTARTUP", "PYTHONINSPECT"),
)
_CREDENTIALS = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
_SET = {
    # A file store is only opened with this; it is not written to.
    "MLFLOW_ALLOW_FILE_STORE": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
}

_lock = threading.Lock()
_running: dict[tuple[int, str, bool], subprocess.Popen[bytes]] = {}


def ask(request: Request, python: str | None = None, trusted: bool = True) -> Answer:
    """What the store has, with secrets masked.

    python: an interpreter that has MLflow, where this one has not. trusted: whether the
    place of the store was told by the task itself just now; else it gets no credentials of
    the environment but for the server that the environment names. Raises
    UnreadableError where MLflow is not installed, or the store cannot be read or does not
    answer in time.
    """
    configured = os.environ.get("MLFLOW_TRACKING_URI", "")
    if "@" in configured and without_userinfo(configured) == request.uri:
        request.uri, trusted = configured, True
    trusted = trusted or configured == request.uri or "://" not in request.uri
    line = msgspec.json.encode(request) + b"\n"
    with _lock:
        answered = _exchange(sys.executable, trusted, line)
        if python and python != sys.executable and _decoded(answered).missing:
            with suppress(UnreadableError, OSError):
                answered = _exchange(python, trusted, line)
    answer = _decoded(answered)
    if answer.missing:
        raise UnreadableError(f"{answer.error}; {INSTALL}")
    if answer.error is not None:
        told = f"MLflow {answer.version} cannot read it: {answer.error}"
        raise UnreadableError(Masker(declared_from_environment([])).text(told))
    return answer


def _decoded(answered: bytes) -> Answer:
    masked = Masker(declared_from_environment([])).mask_line(answered)
    return msgspec.json.decode(masked, type=Answer)


def _exchange(python: str, trusted: bool, line: bytes) -> bytes:
    key = (os.getpid(), python, trusted)
    until = time.monotonic() + PATIENCE
    while True:
        process, new = _running.get(key), False
        if process is None:
            process, new = _running.setdefault(key, _started(python, trusted)), True
        try:
            return _answered(process, line, until)
        except BaseException as error:
            del _running[key]
            _stop(process)
            if new or not isinstance(error, EOFError):
                raise _lost(error) from None
            # It had waited for long enough, and ended.


def _lost(error: BaseException) -> BaseException:
    if isinstance(error, EOFError):
        return UnreadableError("the process that reads MLflow stores ended without an answer")
    return error


def _started(python: str, trusted: bool) -> subprocess.Popen[bytes]:
    """In a session of its own: an interrupt of the engine is not its affair, and it goes with
    its stdin."""
    left_out = {*_UNSET, *(() if trusted else _CREDENTIALS)}
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in left_out and not name.startswith(("YPROV_", "AIRFLOW_CTX_YPROV_"))
    }
    folder = tempfile.mkdtemp(prefix="yprov-mlflow-")
    return subprocess.Popen(
        [python, "-m", _MODULE, folder],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**kept, **_SET},
        cwd="/",
        start_new_session=True,
        bufsize=0,
    )


def _answered(process: subprocess.Popen[bytes], line: bytes, until: float) -> bytes:
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(line)
    except BrokenPipeError:
        raise EOFError from None
    ready = select.poll()  # an engine may have more files open than select knows of
    ready.register(process.stdout, select.POLLIN | select.POLLHUP)
    found: list[bytes] = []
    while not (found and found[-1].endswith(b"\n")):
        left = until - time.monotonic()
        if left <= 0 or not ready.poll(left * 1000):
            raise UnreadableError(f"no answer within {PATIENCE:.0f} s")
        chunk = os.read(process.stdout.fileno(), 1 << 20)
        if not chunk:
            raise EOFError
        found.append(chunk)
    return b"".join(found)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
    process.wait()
    shutil.rmtree(cast("list[str]", process.args)[-1], ignore_errors=True)


def close() -> None:
    """End the processes of this one; they end by themselves as well."""
    with _lock:
        for key in [key for key in _running if key[0] == os.getpid()]:
            _stop(_running.pop(key))
