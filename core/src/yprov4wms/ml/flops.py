"""Floating-point operations of PyTorch models, counted by PyTorch itself.

What is counted runs for that alone: the model, its mode, buffers and gradients, and the
random numbers of the training are afterwards as they were before.
"""

from __future__ import annotations

import copy
import random
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from yprov4wms.ml.recorder import ActiveRun

_totals: WeakKeyDictionary[ActiveRun, dict[tuple[str, str | None], int]] = WeakKeyDictionary()


def log_batch(
    run: ActiveRun, label: str, model: Any, batch: Any, context: str | None, step: int | None
) -> None:
    """See `yprov4wms.ml.log_flops_per_batch`. Raises what the model raises, ImportError."""
    _log(run, label, count(model, batch), context, step)


def log_epoch(
    run: ActiveRun, label: str, model: Any, dataset: Any, context: str | None, step: int | None
) -> None:
    """See `yprov4wms.ml.log_flops_per_epoch`.

    Raises TypeError for a data set without length, and what it and the model raise.
    """
    passes = len(dataset)
    one = count(model, lambda: _first(dataset)) if passes else 0
    _log(run, label, passes * one, context, step)


def _log(run: ActiveRun, label: str, number: int, context: str | None, step: int | None) -> None:
    totals = _totals.setdefault(run, {})
    totals[label, context] = total = totals.get((label, context), 0) + number
    run.log_metric(label, total, context, step, "torch.utils.flop_counter")


def count(model: Any, batch: Any) -> int:
    """Of one forward pass.

    batch: the model's input; a list or tuple that begins with it; a mapping of its keyword
    arguments; or a function that gives one of these.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    model = _bare(model)
    tensors = [*model.parameters(), *model.buffers()]
    devices = {tensor.device for tensor in tensors}
    device = tensors[0].device if tensors else None
    with _random_numbers_kept({d.index for d in devices if d.type == "cuda"}):
        found = batch() if callable(batch) and not isinstance(batch, torch.Tensor) else batch
        inputs = found[0] if isinstance(found, tuple | list) else found
        inputs = _moved(inputs, device) if len(devices) == 1 else inputs
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            run = _spare(model)
            run(**inputs) if isinstance(inputs, Mapping) else run(inputs)
    return int(counter.get_total_flops())


def _bare(model: Any) -> Any:
    """Without what would talk to other processes, or hides its operations."""
    import torch

    parallel = (torch.nn.DataParallel, torch.nn.parallel.DistributedDataParallel)
    while True:
        if isinstance(model, parallel):
            model = model.module
        elif "_orig_mod" in getattr(model, "_modules", ()):  # torch.compile's
            model = model._orig_mod
        else:
            return model


def _spare(model: Any) -> Callable[..., Any]:
    """A copy of the model on the same parameters; where it cannot be copied itself, but on
    buffers of its own."""
    import torch

    try:
        spare: Callable[..., Any] = copy.deepcopy(model, {id(p): p for p in model.parameters()})
        return spare
    except Exception:
        buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}

        def call(*args: Any, **kwargs: Any) -> Any:
            return torch.func.functional_call(model, buffers, args, kwargs)

        return call


def _moved(value: Any, device: Any) -> Any:
    import torch

    if isinstance(value, torch.Tensor):
        return value.to(device)
    if isinstance(value, Mapping):
        return {key: _moved(item, device) for key, item in value.items()}
    if type(value) in (tuple, list):
        return type(value)(_moved(item, device) for item in value)
    return value


def _first(dataset: Any) -> Any:
    """The first item. That of a loader is put together here: to begin an epoch would draw
    random numbers and start workers."""
    import torch

    data: Any = getattr(dataset, "dataset", None)
    if not isinstance(dataset, torch.utils.data.DataLoader) or isinstance(
        data, torch.utils.data.IterableDataset
    ):
        return next(iter(dataset))
    if dataset.batch_size is not None:
        samples = [data[index] for index in range(min(dataset.batch_size, len(data)))]
    elif dataset.batch_sampler is None:
        return dataset.collate_fn(data[0])
    else:
        samples = [data[index] for index in next(iter(copy.deepcopy(dataset.batch_sampler)))]
    return dataset.collate_fn(samples)


@contextmanager
def _random_numbers_kept(devices: set[int]) -> Iterator[None]:
    """devices: numbers of those of CUDA."""
    import torch

    numpy = sys.modules.get("numpy")
    plain, arrays = random.getstate(), numpy.random.get_state() if numpy is not None else None
    try:
        with torch.random.fork_rng(devices=sorted(devices)):
            yield
    finally:
        random.setstate(plain)
        if numpy is not None:
            numpy.random.set_state(arrays)
