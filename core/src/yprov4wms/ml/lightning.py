"""A callback for Lightning, imported as ``lightning`` or as ``pytorch_lightning``.

::

    from yprov4wms.ml.lightning import YProvCallback

    trainer = Trainer(callbacks=[YProvCallback()])

Importing this imports Lightning.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from yprov4wms.ml._autolog import (
    TESTING,
    TRAINING,
    VALIDATION,
    Session,
    hook,
    label,
    settings,
)

_NAMES = ("lightning.pytorch", "pytorch_lightning")

_TRAINER = (
    *("max_epochs", "max_steps", "min_epochs", "min_steps", "precision", "num_devices"),
    *("num_nodes", "world_size", "accumulate_grad_batches", "gradient_clip_val"),
    *("gradient_clip_algorithm", "limit_train_batches", "limit_val_batches"),
    *("limit_test_batches", "val_check_interval", "check_val_every_n_epoch"),
)


def _bases() -> tuple[type, ...]:
    """The class of callbacks: of each of Lightning's two packages that the script imported."""
    names = [name for name in _NAMES if name in sys.modules]
    if not names:
        for name in _NAMES:
            try:
                import_module(name)
            except ModuleNotFoundError:
                continue
            names = [name]
            break
        else:
            raise ModuleNotFoundError("neither lightning nor pytorch_lightning is installed")
    return tuple(sys.modules[name].Callback for name in names)


class YProvCallback(*_bases()):  # type: ignore[misc]
    """Logs a training, its validation and its test to the active run, or to a run of its own.

    Logged are: the module's hyperparameters (``save_hyperparameters``), the trainer's, and
    those of its optimizers; the module with its layers; the loaders' data sets; what
    ``self.log`` gets, in the contexts ``training``, ``validation`` and ``testing``, with the
    trainer's ``global_step`` as step, or the epoch for what is logged per epoch; each
    checkpoint that a checkpoint callback writes, with its checksum.

    An exception makes a run of its own failed. In a distributed training each process logs
    its own part, the first one the checkpoints.

    Args:
        experiment, name: Of a run of its own; else the experiment is the module's class.
        log_every_n_steps: Of metrics per step; else the trainer's setting.
        checkpoints: Whether they are logged, which reads them once for their checksum.
    """

    def __init__(
        self,
        experiment: str | None = None,
        name: str | None = None,
        *,
        log_every_n_steps: int | None = None,
        checkpoints: bool = True,
    ) -> None:
        super().__init__()
        self._session = Session("lightning", experiment, name)
        self._every = log_every_n_steps
        self._checkpoints = checkpoints
        #: Metrics that are logged already: the tensors themselves, a new one is a new value.
        self._seen: dict[str, Any] = {}
        self._step = -1
        self._epoch: int | None = None

    # -- begin and end -----------------------------------------------------------

    @hook
    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        if stage in ("fit", "validate", "test"):
            self._session.begin(label(pl_module))
            self._seen, self._step, self._epoch = {}, -1, None

    @hook
    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        if stage in ("fit", "validate", "test"):
            self._session.end()

    @hook
    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        self._find_checkpoints(trainer, pl_module)
        self._session.failed(exception)

    # -- training ----------------------------------------------------------------

    @hook
    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        session = self._session
        session.params(dict(getattr(pl_module, "hparams", None) or {}))
        data = getattr(trainer, "datamodule", None)
        session.params(dict(getattr(data, "hparams", None) or {}), "data.")
        found = {key: getattr(trainer, key, None) for key in _TRAINER}
        found["accelerator"] = type(trainer.accelerator).__name__
        found["strategy"] = type(trainer.strategy).__name__
        session.params(found, "trainer.")
        several = len(trainer.optimizers) > 1
        for number, optimizer in enumerate(trainer.optimizers):
            session.params(settings(optimizer), f"optimizer{number if several else ''}")
        for number, config in enumerate(trainer.lr_scheduler_configs):
            several = len(trainer.lr_scheduler_configs) > 1
            name = f"scheduler{number if several else ''}"
            session.params({name: type(config.scheduler).__name__})
        session.model(label(pl_module), pl_module, given=True)
        session.dataset("train", _loaders(trainer.train_dataloader), TRAINING)
        session.dataset("validation", _loaders(trainer.val_dataloaders), VALIDATION)

    @hook
    def on_train_batch_end(self, trainer: Any, pl_module: Any, *args: Any) -> None:
        step = trainer.global_step
        every = self._every or trainer.log_every_n_steps
        if step != self._step and every and step % every == 0:
            self._step = step
            self._log(trainer, TRAINING, step)
            self._find_checkpoints(trainer, pl_module)

    @hook
    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        self._log_epoch(trainer, pl_module)

    @hook
    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        # The module's own hook, and the values over all processes, come after this one.
        self._epoch = trainer.current_epoch
        self._pass_over(trainer)

    @hook
    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        self._log_epoch(trainer, pl_module)
        if not self._session.has_files:
            self._session.model(label(pl_module), pl_module, given=False)

    # -- validation and test -----------------------------------------------------

    @hook
    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        if not trainer.sanity_checking:
            self._log(trainer, VALIDATION, trainer.current_epoch)
            self._find_checkpoints(trainer, pl_module)

    @hook
    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        self._pass_over(trainer)
        if not trainer.sanity_checking and not trainer.training and trainer.state.fn != "fit":
            self._session.dataset("validation", _loaders(trainer.val_dataloaders), VALIDATION)

    @hook
    def on_test_start(self, trainer: Any, pl_module: Any) -> None:
        self._pass_over(trainer)
        self._session.dataset("test", _loaders(trainer.test_dataloaders), TESTING)

    @hook
    def on_test_end(self, trainer: Any, pl_module: Any) -> None:
        self._log(trainer, TESTING, None)

    # -- below -------------------------------------------------------------------

    def _log_epoch(self, trainer: Any, pl_module: Any) -> None:
        epoch, self._epoch = self._epoch, None
        if epoch is not None:
            self._log(trainer, TRAINING, epoch)
            self._session.metrics({"epoch": epoch}, TRAINING, trainer.global_step)
        self._find_checkpoints(trainer, pl_module)

    def _pass_over(self, trainer: Any) -> None:
        """What is known by now is of the steps before. Without asking, which computes it."""
        connector = getattr(trainer, "_logger_connector", None)
        self._seen = dict(getattr(connector, "_callback_metrics", self._seen))

    def _log(self, trainer: Any, context: str, step: int | None) -> None:
        # Asked for only where Lightning has put it together: that talks to other processes.
        metrics = dict(trainer.callback_metrics)
        new = {name: value for name, value in metrics.items() if self._seen.get(name) is not value}
        self._seen = metrics
        for name in list(new):
            if f"{name}_step" in new or f"{name}_epoch" in new:
                del new[name]  # the same value by another name
        self._session.metrics(new, context, step)

    def _find_checkpoints(self, trainer: Any, pl_module: Any) -> None:
        if not self._checkpoints or not trainer.is_global_zero:
            return
        paths: dict[str, None] = {}
        for callback in trainer.checkpoint_callbacks:
            kept = getattr(callback, "best_k_models", None) or {}
            named = ("last_model_path", "best_model_path")
            for path in (*kept, *(getattr(callback, name, None) for name in named)):
                if path:
                    paths[os.fspath(path)] = None
        attributes = {"epoch": trainer.current_epoch}
        self._session.files(paths, trainer.global_step, pl_module, attributes)


def _loaders(value: Any) -> Any:
    """What a loader of loaders holds."""
    if type(value).__name__ == "CombinedLoader":
        value = value.iterables
    if isinstance(value, Mapping | list | tuple) and not value:
        return None
    return value
