"""Records a machine-learning run from inside its script, alone or as part of a workflow.

::

    from yprov4wms import ml

    with ml.start_run("digits", name="mlp-64"):
        ml.log_param("learning_rate", 1e-3)
        for epoch in range(epochs):
            ml.log_metric("loss", loss, context="training", step=epoch)
        ml.log_model("classifier", model, path="model.pkl")

What is logged is on disk when the call returns, and survives ``kill -9``. Under a task
that yprov4wms started, the run is nested in it; elsewhere it lies in a store of its own.

The functions act on the one run that is active in this process, and may be called from
any of its threads. They raise for wrong use: TypeError or ValueError for a value that
cannot be what it is given as, RuntimeError where no run is active. A failure to record
is one `RecordingWarning`, and the script goes on. What a forked child process logs is
ignored with a warning.
"""

from __future__ import annotations

import os
from typing import Any

from yprov4wms.ml import recorder
from yprov4wms.ml.recorder import ActiveRun, RecordingError, RecordingWarning

__all__ = [
    "ActiveRun",
    "RecordingError",
    "RecordingWarning",
    "end_run",
    "log_artifact",
    "log_dataset",
    "log_metric",
    "log_model",
    "log_param",
    "log_system_metrics",
    "start_run",
]


def start_run(
    experiment_name: str,
    *,
    name: str | None = None,
    store: str | os.PathLike[str] | None = None,
    **attributes: Any,
) -> ActiveRun:
    """Begin an ML run; use it in ``with``, or end it with `end_run`.

    An exception that leaves the ``with`` block makes the run ``failed``, with its text,
    and so does ``SystemExit`` with a non-zero status; ``KeyboardInterrupt`` makes it
    ``cancelled``. A run that the script leaves open is ended when the interpreter exits,
    by what it exits with: an uncaught exception, ``sys.exit``. (``raise SystemExit`` is
    seen in ``with`` alone.)

    Args:
        experiment_name: What the run belongs to.
        name: Of this one run.
        store: Folder or fsspec URL for a run that no task surrounds; else ``YPROV_STORE``,
            else ``.yprov`` in the working directory. A task's own store goes before it.
        attributes: Anything else worth knowing of the run.

    Raises RuntimeError while another run is active in this process.
    """
    return recorder.start(experiment_name, name, store, attributes)


def end_run(status: str | None = None) -> None:
    """End the active run and build its document, ``prov.json``, in its folder.

    Args:
        status: ``completed``, ``failed`` or ``cancelled``. Without it, what the exception
            says that is being handled at this point (in a ``finally``, say); ``completed``
            where there is none.

    Raises ValueError for another status, and `RecordingError` where something could not be
    recorded and ``YPROV_STRICT`` is on.
    """
    recorder.active().end(status)


def log_param(name: str, value: Any, context: str | None = None) -> None:
    """Log a parameter of the run, or of one context (phase) of it.

    value: kept as it is where JSON has its like, arrays of up to 1,000 elements, mappings
    and dataclasses included; ``repr`` of it elsewhere.
    """
    recorder.active().log_param(name, value, context)


def log_metric(
    name: str,
    value: Any,
    context: str | None = None,
    step: int | None = None,
    source: str | None = None,
) -> None:
    """Add a value to the series that name, context and source tell apart.

    Args:
        value: A real number, kept as float64; NaN and infinities are numbers. NumPy scalars,
            and arrays and tensors of one element, are taken through their ``item()``.
        step: Epoch, batch or the like: a whole number.
        source: What measured it, where that needs telling.

    Raises TypeError for any other value or step.
    """
    recorder.active().log_metric(name, value, context, step, source)


def log_artifact(
    name: str,
    path: str | os.PathLike[str],
    context: str | None = None,
    is_input: bool = False,
) -> None:
    """Log a file or directory that the run made, or with ``is_input`` used.

    Its size (bytes), time and sha256 are those of this moment; it is not copied. A path
    with ``://`` is a URL, and is not looked at.

    Raises FileNotFoundError where there is nothing.
    """
    recorder.active().log_artifact(name, path, context, is_input)


def log_model(
    name: str,
    model_or_path: Any,
    context: str | None = None,
    *,
    path: str | os.PathLike[str] | None = None,
) -> None:
    """Log a model that the run made: its file, or the object with what it tells of itself.

    Of an object the class is recorded, and the number of parameters where the model (of
    PyTorch, Keras, scikit-learn or alike) lists them all. The object is not written
    anywhere: ``path`` names the file or directory that holds it, if there is one.

    Raises FileNotFoundError where nothing is at the path.
    """
    recorder.active().log_model(name, model_or_path, context, path=path)


def log_dataset(
    name: str,
    dataset_or_path: Any,
    context: str | None = None,
    is_input: bool = True,
) -> None:
    """Log a data set that the run used, or with ``is_input=False`` made.

    Of a file or directory its size and sha256 are recorded; of an array, table, data set
    or loader the number of samples, shape and types as far as it tells them; of NumPy
    arrays a sha256 too, over data type, shape and the elements in C order.

    Raises FileNotFoundError where nothing is at the path.
    """
    recorder.active().log_dataset(name, dataset_or_path, context, is_input)


def log_system_metrics(context: str | None = None, step: int | None = None) -> None:
    """Log what machine and process use now, one series per metric.

    ``cpu_usage_pct`` (of all cores), ``ram_usage_gb`` (GiB), ``ram_usage_pct``,
    ``disk_usage_gb`` (GiB, root file system), ``disk_usage_pct``; of this process
    ``process_cpu_usage_pct`` (100 per busy core) and ``process_ram_usage_gb`` (GiB,
    resident); of each NVIDIA device ``gpu_usage_pct``, ``gpu_memory_usage_gb`` (GiB),
    ``gpu_memory_usage_pct`` and ``gpu_power`` (W). Percentages of time and watts are means
    since the call before, at first since the start of the run. What cannot be read is left
    out.
    """
    recorder.active().log_system_metrics(context, step)
