"""Floating-point operations of PyTorch models, counted by PyTorch itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from yprov4wms.ml.recorder import ActiveRun

_totals: WeakKeyDictionary[ActiveRun, dict[tuple[str, str | None], int]] = WeakKeyDictionary()


def log(
    run: ActiveRun,
    label: str,
    model: Any,
    batch: Any,
    times: int,
    context: str | None,
    step: int | None,
) -> None:
    """See `yprov4wms.ml.log_flops_per_batch`. Raises what the model raises, ImportError."""
    totals = _totals.setdefault(run, {})
    total = totals.get((label, context), 0) + times * count(model, batch)
    totals[label, context] = total
    run.log_metric(label, total, context, step, "torch.utils.flop_counter")


def count(model: Any, batch: Any) -> int:
    """Of one forward pass; batch: the model's input, or a list or tuple that begins with it."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    inputs = batch[0] if isinstance(batch, tuple | list) else batch
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(inputs)
    return int(counter.get_total_flops())
