"""Records a machine-learning run from inside its script, alone or as part of a workflow.

::

    from yprov4wms import ml

    with ml.start_run("digits", name="mlp-64"):
        ml.log_param("learning_rate", 1e-3)
        for epoch in range(epochs):
            ml.log_metric("loss", loss, context="training", step=epoch)
        ml.log_model("classifier", model, path="model.pkl")

The functions are those of yProv4ML 3.2, and more: ``import yprov4wms.ml as yprov4ml`` in
its place runs its scripts. What is logged is on disk when the call returns, the values of
metrics within half a second, and survives ``kill -9``. Under a task that yprov4wms started, the
run is nested in it; elsewhere it lies in a store of its own.

The functions act on the one run that is active in this process, and may be called from
any of its threads. They raise for wrong use: TypeError or ValueError for a value that
cannot be what it is given as, RuntimeError where no run is active. A failure to record
is one `RecordingWarning`, and the script goes on. What a forked child process logs is
ignored with a warning.

Where an argument is called ``context``, it is the phase of the run that something belongs
to; without it, that of the ``with log_context(...)`` around the call, or the run itself.
``source`` is what something comes from, such as a library that measured it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from yprov4wms.ml import _checks, recorder
from yprov4wms.ml._contexts import Context
from yprov4wms.ml.recorder import ActiveRun, RecordingError, RecordingWarning, log_metric

if TYPE_CHECKING:
    from yprov4wms.ml.wrappers import ProvenanceTrackedModel, WeightDistributionTrackedModel

__all__ = [
    "ActiveRun",
    "CompressorType",
    "Contexts",
    "MetricsType",
    "ProvenanceTrackedFunction",
    "ProvenanceTrackedModel",
    "RecordingError",
    "RecordingWarning",
    "WeightDistributionTrackedModel",
    "active_run",
    "end_run",
    "get_artifacts_dir",
    "get_run_dir",
    "log_artifact",
    "log_carbon_metrics",
    "log_context",
    "log_current_execution_time",
    "log_dataset",
    "log_execution_command",
    "log_flops_per_batch",
    "log_flops_per_epoch",
    "log_metric",
    "log_metrics",
    "log_model",
    "log_param",
    "log_params",
    "log_source_code",
    "log_system_metrics",
    "save_model_version",
    "start_run",
]


class MetricsType(StrEnum):
    """In which format the metrics stand beside the document when the run has ended."""

    CSV = "csv"
    NETCDF = "netcdf"
    ZARR = "zarr"
    PARQUET = "parquet"


class CompressorType(StrEnum):
    """yProv4ML's names; formats that compress do so by their own codec with any but NONE."""

    NONE = "none"
    ZIP = "zip"
    BLOSC_ZSTD = "blosc_zstd"
    LZ4 = "lz4"


class Contexts(StrEnum):
    """Names of contexts that earlier versions of yProv4ML had; any other string is one, too."""

    TRAINING = "training"
    VALIDATION = "validation"
    TESTING = "testing"
    EVALUATION = "evaluation"
    DATASETS = "datasets"
    MODELS = "models"


# -- a run -----------------------------------------------------------------------


def start_run(
    experiment_name: str,
    prov_user_namespace: str | None = None,
    provenance_save_dir: str | os.PathLike[str] | None = None,
    collect_all_processes: bool | None = None,
    save_after_n_logs: int | None = None,
    rank: int | None = None,
    metrics_file_type: str | None = None,
    csv_separator: str = ",",
    use_compressor: CompressorType | bool | None = None,
    use_run_id: int | None = None,
    *,
    name: str | None = None,
    store: str | os.PathLike[str] | None = None,
    sample_interval: float | None = None,
    collectors: Iterable[str] | None = None,
    **attributes: Any,
) -> ActiveRun:
    """Begin an ML run; use it in ``with``, or end it with `end_run`.

    An exception that leaves the ``with`` block makes the run ``failed``, with its text,
    and so does ``SystemExit`` with a non-zero status; ``KeyboardInterrupt`` makes it
    ``cancelled``. A run that the script leaves open is ended when the interpreter exits,
    by what it exits with: an uncaught exception, ``sys.exit``. (``raise SystemExit`` is
    seen in ``with`` alone.) A signal that kills, or a crash of the interpreter, is read
    from what it left.

    All processes that torchrun, SLURM, MPI or the variables ``RANK`` and ``WORLD_SIZE``
    number are one run, each with a writer of its own.

    Args:
        experiment_name: What the run belongs to.
        prov_user_namespace: Kept as an attribute: a run has a namespace of its own.
        provenance_save_dir: Folder or fsspec URL in which the run's document, and what else
            is made at its end, stand in a folder ``<experiment>_<number>``; else they are in
            the run's folder in the store.
        collect_all_processes: False to record the first rank alone.
        save_after_n_logs: Taken for yProv4ML's sake: all is written within half a second.
        rank: Of this process, from 0, where no variable tells it.
        metrics_file_type: ``csv``, ``netcdf`` (``nc``), ``zarr`` or ``parquet``: the
            metrics are written in this format, too, when the run ends (`metrics.export`).
        csv_separator: Of that CSV: one character.
        use_compressor: False to leave those files uncompressed.
        use_run_id: The number in ``provenance_save_dir``; else the next that is free.
        name: Of this one run.
        store: Folder or fsspec URL for a run that no task surrounds; else ``YPROV_STORE``,
            else ``.yprov`` in the working directory. A task's own store goes before it.
        sample_interval: Seconds between samples of `log_system_metrics`, which a thread
            takes in the background, the first at once and the last at the end; without it,
            none.
        collectors: Names of those that `log_system_metrics` asks (``cpu``, ``memory``,
            ``disk``, ``network``, ``gpu``, ``energy``, and those of plugins); else all
            there are.
        attributes: Anything else worth knowing of the run.

    Raises RuntimeError while another run is active in this process, ValueError or TypeError
    for a value that an argument cannot have.
    """
    if prov_user_namespace is not None:
        attributes = {"prov_user_namespace": prov_user_namespace, **attributes}
    if collectors is not None:
        from yprov4wms.ml.collectors import chosen

        collectors = chosen(collectors)
    format_ = _checks.choice("metrics_file_type", metrics_file_type, _FORMATS)
    if not isinstance(csv_separator, str) or len(csv_separator) != 1:
        raise ValueError(f"csv_separator {csv_separator!r} is not one character")
    return recorder.start(
        recorder.Wanted(
            experiment=_checks.name("experiment", experiment_name),
            name=_checks.optional_name("run", name),
            store=store,
            products=None if provenance_save_dir is None else os.fspath(provenance_save_dir),
            number=_checks.whole("use_run_id", use_run_id),
            rank=_checks.whole("rank", rank),
            all_ranks=collect_all_processes is not False,
            metrics_format=format_,
            csv_separator=csv_separator,
            compress=use_compressor not in (False, CompressorType.NONE),
            sample_interval=_checks.seconds("sample_interval", sample_interval),
            collectors=collectors,
            attributes=attributes,
        )
    )


_FORMATS = {"csv": "csv", "nc": "netcdf", "netcdf": "netcdf", "zarr": "zarr", "parquet": "parquet"}


def end_run(
    create_graph: bool = False,
    create_svg: bool = False,
    crate_ro_crate: bool = False,
    create_card: bool = False,
    *,
    status: str | None = None,
) -> None:
    """End the active run and build its document, ``prov.json``, in its folder.

    In ``provenance_save_dir`` the names are yProv4ML's: the document is
    ``prov_<experiment>_GR0_<number>.json`` there, graph and picture go by it. Of several
    ranks the last one to end makes what any of them asked for. What cannot be made is one
    `RecordingWarning`.

    Args:
        create_graph: Make ``prov.dot``, too, the document as a graph for Graphviz.
        create_svg: Make ``prov.svg``, its picture, where Graphviz' ``dot`` is installed.
        crate_ro_crate: Make an RO-Crate of the run, ``ro-crate.zip``.
        create_card: Make ``card.md``, a summary of the run to read.
        status: ``completed``, ``failed`` or ``cancelled``. Without it, what the exception
            says that is being handled at this point (in a ``finally``, say); ``completed``
            where there is none.

    Raises ValueError for another status, and `RecordingError` where something could not be
    recorded and ``YPROV_STRICT`` is on.
    """
    recorder.active().end(
        status, graph=create_graph, svg=create_svg, crate=crate_ro_crate, card=create_card
    )


def active_run() -> ActiveRun | None:
    """The run that is active in this process, if there is one."""
    run = recorder.current_run()
    return run if run is not None and run.active else None


def get_run_dir() -> str:
    """The folder (or URL) in which the document of the active run will stand."""
    return recorder.active().artifacts.products


def get_artifacts_dir() -> str:
    """The folder (or URL) of the copies and models of the active run; it may not be there yet."""
    return recorder.active().artifacts.folder


# -- what is logged --------------------------------------------------------------


def log_context(
    context: str, is_subcontext_of: str | None = None, source_of_data: str | None = None
) -> Context:
    """Tell of a phase of the run; in ``with``, all that is logged in the block is of it.

    ::

        with ml.log_context("training"):
            ml.log_metric("loss", loss, step=step)

    A block begins the context, where nothing was logged in it before, and ends it; of
    several blocks of one name the last does. Inside another block it is a part of that
    and named ``outer/inner``, unless ``is_subcontext_of`` names another. A context that
    is only named lasts until the run ends.

    source_of_data: kept as a parameter ``source_of_data`` of the context.
    """
    run = recorder.active()
    found = run.log_context(context, is_subcontext_of)
    if source_of_data is not None:
        run.log_param("source_of_data", source_of_data, context)
    return found


def log_param(
    key: str,
    value: Any,
    context: str | None = None,
    source: str | None = None,
    is_input: bool = True,
) -> None:
    """Log a parameter of the run, or of one context of it.

    value: kept as it is where JSON has its like, arrays of up to 1,000 elements, mappings
    and dataclasses included; ``repr`` of it elsewhere. is_input: false for one that the run
    itself found, as a search does.
    """
    recorder.active().log_param(key, value, context, source, is_input)


def log_params(params: Mapping[str, Any], context: str | None = None) -> None:
    """Log several parameters, as `log_param` does one."""
    run = recorder.active()
    for key, value in params.items():
        run.log_param(key, value, context)


def log_metrics(
    metrics: Mapping[str, Any],
    context: str | None = None,
    step: int | None = None,
    source: str | None = None,
    timestamp: float | None = None,
) -> None:
    """Log one value each of several metrics, all of one moment; see `log_metric`.

    Raises TypeError before any is logged where one is not a number.
    """
    recorder.active().log_metrics(metrics, context, step, source, timestamp)


def log_artifact(
    artifact_name: str,
    artifact_path: str | os.PathLike[str],
    context: str | None = None,
    source: str | None = None,
    step: int | None = None,
    log_copy_in_prov_directory: bool = False,
    log_copy_subdirectory: str | None = None,
    is_model: bool = False,
    is_input: bool = False,
    other_attrs: Mapping[str, Any] | None = None,
) -> None:
    """Log a file or directory that the run made, or with ``is_input`` used.

    Its size (bytes), time and sha256 are those of this moment. A path with ``://`` is a URL,
    and is not looked at.

    log_copy_in_prov_directory: copy it to `get_artifacts_dir`, in ``log_copy_subdirectory``
    of that. other_attrs: anything else worth knowing of it.

    Raises FileNotFoundError where there is nothing.
    """
    recorder.active().log_artifact(
        artifact_name,
        artifact_path,
        context,
        source=source,
        step=step,
        copy=log_copy_in_prov_directory,
        subfolder=log_copy_subdirectory,
        is_model=is_model,
        is_input=is_input,
        attributes=other_attrs,
    )


def log_model(
    model_name: str,
    model: Any,
    context: str | None = None,
    source: str | None = None,
    log_model_info: bool = True,
    log_model_layers: bool = False,
    log_copy_in_prov_directory: bool = True,
    is_input: bool = False,
    other_attrs: Mapping[str, Any] | None = None,
    *,
    path: str | os.PathLike[str] | None = None,
    step: int | None = None,
) -> None:
    """Log a model that the run made: its file, or the object with what it tells of itself.

    Of an object the class is recorded, and the number of parameters where the model (of
    PyTorch, Keras, scikit-learn or alike) lists them all; with ``log_model_layers`` each of
    its layers, too.

    path: file or directory that holds the model. Without one, a model of PyTorch or Keras
    is written to `get_artifacts_dir`, unless ``log_copy_in_prov_directory`` is false;
    another object is not written anywhere.

    Raises FileNotFoundError where nothing is at the path.
    """
    recorder.active().log_model(
        model_name,
        model,
        context,
        path=path,
        source=source,
        step=step,
        describe=log_model_info,
        layers=log_model_layers,
        save=log_copy_in_prov_directory,
        is_input=is_input,
        attributes=other_attrs,
    )


def save_model_version(
    model_name: str,
    model: Any,
    context: str | None = None,
    source: str | None = None,
    step: int | None = None,
    incremental: bool = True,
    is_input: bool = False,
    log_copy_in_prov_directory: bool = True,
    other_attrs: Mapping[str, Any] | None = None,
) -> None:
    """Write a model as it is now to `get_artifacts_dir`, and log it; at a checkpoint, say.

    incremental: keep the versions before, each with a number. A model of neither PyTorch nor
    Keras is logged without a file.
    """
    recorder.active().log_model(
        model_name,
        model,
        context,
        source=source,
        step=step,
        save=log_copy_in_prov_directory,
        version=incremental,
        is_input=is_input,
        attributes=other_attrs,
    )


def log_dataset(
    dataset_label: str,
    dataset: Any,
    context: str | None = None,
    source: str | None = None,
    log_dataset_info: bool = True,
    other_attrs: Mapping[str, Any] | None = None,
    *,
    is_input: bool = True,
) -> None:
    """Log a data set that the run used, or with ``is_input=False`` made.

    Of a file or directory its size and sha256 are recorded; of an array, table, data set
    or loader the number of samples, shape and types as far as it tells them; of NumPy
    arrays a sha256 too, over data type, shape and the elements in C order.

    Raises FileNotFoundError where nothing is at the path.
    """
    recorder.active().log_dataset(
        dataset_label,
        dataset,
        context,
        source=source,
        describe=log_dataset_info,
        is_input=is_input,
        attributes=other_attrs,
    )


def log_system_metrics(context: str | None = None, step: int | None = None) -> None:
    """Log what machine and process use now, one series per metric.

    Of the machine ``cpu_usage_pct``, ``ram_usage_gb`` (GiB), ``ram_usage_pct``,
    ``disk_usage_gb`` (GiB), ``disk_usage_pct``, ``disk_read_rate``, ``disk_write_rate``,
    ``network_receive_rate``, ``network_send_rate`` (B/s); of this process
    ``process_cpu_usage_pct`` (100 per busy core), ``process_ram_usage_gb`` (GiB, resident),
    ``process_disk_read_rate``, ``process_disk_write_rate`` (B/s); of each NVIDIA device
    ``gpu_usage_pct``, ``gpu_memory_usage_gb`` (GiB), ``gpu_memory_usage_pct``,
    ``gpu_temperature_c``; where there are counters of it, ``cpu_power``, ``ram_power``,
    ``gpu_power`` (W), ``cpu_energy``, ``ram_energy``, ``gpu_energy`` (J).

    Percentages of time, rates, watts and joules are since the call before, at first since
    the run's first second, of GPUs since the first call; over less than 0.1 s there is
    none but joules. What cannot be read
    is left out, and so is what fails: that is told in the record. The source says where a
    figure is from. Plugins may add to these: `yprov4wms.ml.collectors`.
    """
    recorder.active().log_system_metrics(context, step)


def log_carbon_metrics(context: str | None = None, step: int | None = None) -> None:
    """Log power and energy as `log_system_metrics` does, and what the run came to so far.

    ``energy_consumed`` (kWh) is the sum of all joules since the run's first second, of GPUs
    since its first sample: of the whole machine, whoever used it. Its source lists the
    counters in it; without any, nothing is logged. ``emissions`` (kg of CO2 equivalent) is
    that times ``YPROV_CARBON_INTENSITY`` (g/kWh); without that, there is none.
    """
    recorder.active().log_carbon_metrics(context, step)


def log_current_execution_time(
    label: str, context: str | None = None, step: int | None = None
) -> None:
    """Log for how long the run has gone on, in seconds, as a metric."""
    run = recorder.active()
    run.log_metric(label, time.time() - run.began, context, step, "time")


def log_flops_per_batch(
    label: str, model: Any, batch: Any, context: str | None = None, step: int | None = None
) -> None:
    """Log how many floating-point operations the forward passes took so far, as a metric.

    Adds those of the model on ``batch``, a pair of input and target, to what was logged
    under this label before. Counted by PyTorch (``torch.utils.flop_counter``), a
    multiplication and an addition each as one. A copy of the model runs once for it; model
    and random numbers stay as they are. A mapping is the model's keyword arguments.

    Raises what the model raises, ImportError without PyTorch.
    """
    from yprov4wms.ml import flops

    flops.log_batch(recorder.active(), label, model, batch, context, step)


def log_flops_per_epoch(
    label: str, model: Any, dataset: Any, context: str | None = None, step: int | None = None
) -> None:
    """As `log_flops_per_batch`, for as many passes as ``dataset`` has items, by its first.

    The items of a loader are its batches. Raises TypeError for one without a length, too.
    """
    from yprov4wms.ml import flops

    flops.log_epoch(recorder.active(), label, model, dataset, context, step)


def log_execution_command(cmd: str | None = None, path: str | None = None) -> None:
    """Log how to run this: command and path of its script; else what the process was
    started with."""
    import shlex
    import sys

    given = " ".join(part for part in (cmd, path) if part)
    recorder.active().log_param("execution_command", given or shlex.join(sys.orig_argv))


def log_source_code(
    path: str | os.PathLike[str] | bool | None = None, use_git: bool | None = None
) -> None:
    """Log the source code: the commit that the script is of, with what differs from it.

    Without a git repository, or with ``use_git=False``, the script and those modules that
    are imported from its folder, or below it; with ``path``, that file or directory. Files
    are copied to `get_artifacts_dir`.

    Raises FileNotFoundError where nothing is at the path.
    """
    if isinstance(path, bool):  # where yProv4ML has use_git
        path, use_git = None, path
    recorder.active().log_code(path, use_git)


class ProvenanceTrackedFunction:
    """A function, or loss of PyTorch, whose results are logged: a metric of its name, with
    the number of the call as step.

    A result that is not one number is passed on and not logged.
    """

    def __init__(self, func: Callable[..., Any], context: str | None = None) -> None:
        self.fn = func
        self.context = context
        named = hasattr(func, "__name__")
        self.source = func.__name__ if named else type(func).__name__
        self.inc = 0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        result = self.fn(*args, **kwargs)
        run = active_run()
        if run is not None:
            try:
                number = _checks.number(self.source, result)
            except TypeError:
                return result
            run.log_metric(self.source, number, self.context, self.inc, self.source)
            self.inc += 1
        return result

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["fn"], name)


_LATER = {
    "Context": (__name__, "Contexts"),
    "ProvenanceTrackedModel": ("yprov4wms.ml.wrappers", "ProvenanceTrackedModel"),
    "WeightDistributionTrackedModel": ("yprov4wms.ml.wrappers", "WeightDistributionTrackedModel"),
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    module, attribute = _LATER[name]
    return getattr(import_module(module), attribute)
