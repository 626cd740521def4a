"""PyTorch models whose layers or weights are watched. Importing this imports PyTorch."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import torch

from yprov4wms.ml import recorder

#: Quantiles of more weights than these are those of a sample.
SAMPLE = 100_000
_QUANTILES = {"p05": 0.05, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p95": 0.95}
_STATISTICS = ("mean", "std", "min", "max")


class _Transparent(torch.nn.Module):  # type: ignore[misc,unused-ignore]  # PyTorch may be missing to mypy
    """Stands for a model: its parameters, buffers and submodules, mode, attributes and keys of
    ``state_dict`` are the model's own, and a checkpoint of one loads into the other."""

    def __init__(self, model: torch.nn.Module) -> None:
        mode = model.training
        self.__dict__["_model"] = model
        super().__init__()
        model.training = mode
        for shared in ("_parameters", "_buffers", "_modules", "_non_persistent_buffers_set"):
            self.__dict__[shared] = getattr(model, shared)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self._model(*args, **kwargs)

    @property
    def training(self) -> bool:
        return bool(self._model.training)

    @training.setter
    def training(self, mode: bool) -> None:
        self._model.training = mode

    # What a model may have a way of its own for.

    def train(self, mode: bool = True) -> Any:
        self._model.train(mode)
        return self

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        return self._model.state_dict(*args, **kwargs)

    def load_state_dict(self, *args: Any, **kwargs: Any) -> Any:
        return self._model.load_state_dict(*args, **kwargs)

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        self._model._load_from_state_dict(*args, **kwargs)

    def _apply(self, *args: Any, **kwargs: Any) -> Any:
        self._model._apply(*args, **kwargs)
        return self

    def _replicate_for_data_parallel(self) -> Any:
        # DataParallel fills in the replica's parameters: it is to be one of the model itself.
        return self._model._replicate_for_data_parallel()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or "_model" not in self.__dict__:
            raise AttributeError(name)
        return getattr(self.__dict__["_model"], name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._model, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self._model, name)


def _labelled(what: str, args: tuple[Any, ...], given: Mapping[str, Any]) -> tuple[str, Any, Any]:
    """Label, model and context; the label may be left out."""
    names: tuple[str, ...] = ("model_label", "model", "context", "chunk_size")
    if not (args and isinstance(args[0], str)) and "model_label" not in given:
        names = names[1:]
    if len(args) > len(names):
        raise TypeError(f"{what} takes (model_label, model, context, chunk_size) or less")
    found = dict(zip(names, args, strict=False))
    if twice := set(found) & set(given):
        raise TypeError(f"{what}: {', '.join(sorted(twice))} is given twice")
    if unknown := set(given) - {"model_label", "model", "context", "chunk_size"}:
        raise TypeError(f"{what} has no argument {', '.join(sorted(unknown))}")
    found |= given
    model, label = found.get("model"), found.get("model_label")
    if not isinstance(model, torch.nn.Module):
        raise TypeError(f"{what} takes a torch.nn.Module, not {model!r}")
    if label is None:
        label = type(model).__name__
    if not isinstance(label, str) or not label:
        raise TypeError(f"{what}: the label {label!r} is no name")
    return label, model, found.get("context")


# -- what layers give ------------------------------------------------------------


class ProvenanceTrackedModel(_Transparent):
    """A model that logs what its layers give, and is used in its place.

    ::

        model = ml.ProvenanceTrackedModel(model)             # or ("mnist", model)
        optimizer = Adam(model.parameters())
        output = model(batch)

    Of each layer (module without children) whose output is a tensor of real numbers, or
    begins with one, the metrics ``<label>.<layer>.output_mean``, ``_std`` (of the
    population), ``_min`` and ``_max`` are logged with the number of the forward pass as
    step, from 0. That takes a few reductions per layer, and one wait for the device per
    pass that is recorded. The results, gradients and random numbers of a training stay as
    they are; without an active run nothing is done.

    Takes ``(model, context)`` or, as yProv4ML, ``(model_label, model, context,
    chunk_size)``. The label is the name of the model's class where none is given.

    Args:
        context: Of these metrics; else that of the block around the call.
        chunk_size: Taken for yProv4ML's sake.
        every: Of how many passes one is recorded, beginning with the first.

    A deep copy (an average of the weights, say) is not recorded, a model that was pickled
    into another process is. What is compiled by ``torch.compile`` is not seen.
    """

    def __init__(self, *args: Any, every: int = 10, **kwargs: Any) -> None:
        label, model, context = _labelled(type(self).__name__, args, kwargs)
        if isinstance(every, bool) or not isinstance(every, int) or every < 1:
            raise ValueError(f"every {every!r} is not a whole number from 1 up")
        super().__init__(model)
        self.__dict__["_watch"] = watch = _Passes(label, context, every)
        self.__dict__["_handles"] = [
            model.register_forward_pre_hook(watch.begin),
            *(
                layer.register_forward_hook(_Layer(watch, name or type(layer).__name__))
                for name, layer in model.named_modules()
                if not any(True for _ in layer.children())
            ),
            model.register_forward_hook(watch.end),
        ]

    def close(self) -> None:
        """Log no more."""
        for handle in self._handles:
            handle.remove()


class _Passes:
    """The forward passes of one model. Threads (of DataParallel) have passes of their own."""

    def __init__(self, label: str, context: str | None, every: int) -> None:
        self._label = label
        self._context = context
        self._every = every
        self._count = 0
        self._off = False
        #: By thread, while a pass that is recorded goes on.
        self._open: dict[int, list[tuple[str, Any]]] = {}

    def begin(self, model: Any, args: Any) -> None:
        thread = threading.get_ident()
        self._open.pop(thread, None)
        run = recorder.current_run()
        if run is None or not run.recording or not run.active or self._off or _is_traced():
            return
        if self._count % self._every == 0:
            self._open[thread] = []
        else:
            self._count += 1

    def layer(self, name: str, output: Any) -> None:
        found = self._open.get(threading.get_ident())
        run = recorder.current_run()
        if found is not None and run is not None:
            with run.guarded("watching layers"):
                tensor = _first(output)
                if tensor is not None:
                    found.append((name, _statistics(tensor)))

    def end(self, model: Any, args: Any, output: Any) -> None:
        found, run = self._open.pop(threading.get_ident(), None), recorder.current_run()
        if found is None or run is None or not run.active:
            return
        step, self._count = self._count, self._count + 1
        with run.guarded("watching layers"):
            for name, row in zip([name for name, _ in found], _rows(found), strict=True):
                metrics = {
                    f"{self._label}.{name}.output_{statistic}": value
                    for statistic, value in zip(_STATISTICS, row, strict=True)
                }
                run.log_metrics(metrics, self._context, step)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": {}}

    def __deepcopy__(self, memo: dict[int, Any]) -> _Passes:
        copy = memo[id(self)] = _Passes(self._label, self._context, self._every)
        copy._off = True
        return copy


class _Layer:
    """A hook that can be pickled, as a closure cannot."""

    def __init__(self, passes: _Passes, name: str) -> None:
        self._passes = passes
        self._name = name

    def __call__(self, layer: Any, args: Any, output: Any) -> None:
        self._passes.layer(self._name, output)


def _is_traced() -> bool:
    return bool(torch.compiler.is_compiling() or torch.jit.is_tracing())


def _first(output: Any) -> Any:
    """The tensor of real numbers that an output is, or begins with; None for others."""
    if isinstance(output, Mapping):
        output = next(iter(output.values()), None)
    elif isinstance(output, tuple | list):
        output = output[0] if output else None
    if not isinstance(output, torch.Tensor) or not output.is_floating_point():
        return None
    return None if output.is_meta or output.numel() == 0 else output


@torch.no_grad()  # type: ignore[untyped-decorator,unused-ignore]
def _statistics(tensor: Any) -> Any:
    """Mean, standard deviation, minimum and maximum, on the tensor's device."""
    values = tensor.detach()
    if values.dtype not in (torch.float32, torch.float64):
        values = values.float()
    std, mean = torch.std_mean(values, correction=0)
    low, high = torch.aminmax(values)
    return torch.stack((mean, std, low, high)).double()


def _rows(found: list[tuple[str, Any]]) -> list[list[float]]:
    """Statistics as numbers, with one transfer per device."""
    rows: list[list[float]] = [[] for _ in found]
    places: dict[Any, list[int]] = {}
    for place, (_, row) in enumerate(found):
        places.setdefault(row.device, []).append(place)
    for members in places.values():
        moved = torch.stack([found[place][1] for place in members]).tolist()
        for place, row in zip(members, moved, strict=True):
            rows[place] = row
    return rows


# -- weights ---------------------------------------------------------------------


class WeightDistributionTrackedModel(_Transparent):
    """A model that logs how its weights are distributed, and is used in its place.

    ::

        model = ml.WeightDistributionTrackedModel("mnist", model)
        for epoch in range(epochs):
            ...
            model.log_epoch(epoch)

    `log_epoch` logs of each parameter the metrics ``<label>.<parameter>.weight_mean``,
    ``_std`` (of the population), ``_min``, ``_max`` and the quantiles ``_p05``, ``_p25``,
    ``_p50``, ``_p75`` and ``_p95``. Those of more than 100,000 weights are the quantiles of
    every n-th of them, and their source says so.

    Takes ``(model_label, model, context, chunk_size)`` as yProv4ML, or ``(model, context)``.
    The label is the name of the model's class where none is given. chunk_size is taken for
    yProv4ML's sake.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        label, model, context = _labelled(type(self).__name__, args, kwargs)
        super().__init__(model)
        self.__dict__["_told"] = (label, context)
        self.__dict__["_closed"] = False

    def log_epoch(self, epoch: int) -> None:
        """Log the weights as they are now; epoch: the metrics' step.

        Raises RuntimeError where no run is active, or after `close`.
        """
        label, context = self._told
        if self._closed:
            raise RuntimeError(f"the weights of {label} are no longer tracked: it was closed")
        run = recorder.active()
        with run.guarded("watching weights"):
            found = [
                (name, parameter.detach())
                for name, parameter in self._model.named_parameters()
                if _first(parameter) is not None
            ]
            rows = _rows([(name, _statistics(weights)) for name, weights in found])
            for (name, weights), row in zip(found, rows, strict=True):
                stem = f"{label}.{name}.weight"
                run.log_metrics(_keyed(stem, _STATISTICS, row), context, epoch)
                nth = -(-weights.numel() // SAMPLE)
                source = f"1 of {nth} weights" if nth > 1 else None
                quantiles = _keyed(stem, tuple(_QUANTILES), _quantiles(weights, nth))
                run.log_metrics(quantiles, context, epoch, source)

    def close(self) -> None:
        """Track no more."""
        self.__dict__["_closed"] = True


def _keyed(stem: str, names: tuple[str, ...], values: list[float]) -> dict[str, float]:
    return {f"{stem}_{name}": value for name, value in zip(names, values, strict=True)}


@torch.no_grad()  # type: ignore[untyped-decorator,unused-ignore]
def _quantiles(weights: Any, nth: int) -> list[float]:
    sample = weights.reshape(-1)[::nth].double()
    wanted = torch.tensor(list(_QUANTILES.values()), dtype=sample.dtype, device=sample.device)
    found: list[float] = torch.quantile(sample, wanted).tolist()
    return found
