"""A callback for the Trainer of Hugging Face's transformers.

::

    from yprov4wms.ml.transformers import YProvCallback

    Trainer(model, arguments, train_dataset=data, callbacks=[YProvCallback()]).train()

Importing this imports transformers.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from transformers import TrainerCallback

from yprov4wms.ml._autolog import (
    TESTING,
    TRAINING,
    VALIDATION,
    Ending,
    Session,
    hook,
    label,
    settings,
)


class YProvCallback(TrainerCallback, Ending):  # type: ignore[misc,unused-ignore]
    """Logs ``train``, ``evaluate`` and ``predict`` to the active run, or to one of its own.

    Logged are: the training arguments (its tokens left out), the model's configuration and the
    optimizer; the model with its layers; the data sets; what the trainer logs, in the contexts
    ``training``, ``validation`` and ``testing``, without its prefixes ``eval_`` and ``test_``,
    with the ``global_step`` as step; each checkpoint with its checksum.

    The trainer tells callbacks of no exception. In the ``with`` block of an active run, or of
    this callback, it is recorded::

        with YProvCallback() as callback:
            Trainer(..., callbacks=[callback]).train()

    In a distributed training each process logs its own part, the first one the checkpoints.

    Args:
        experiment, name: Of a run of its own; else the experiment is the model's class.
        checkpoints: Whether they are logged, which reads them once for their checksum.
    """

    def __init__(
        self, experiment: str | None = None, name: str | None = None, *, checkpoints: bool = True
    ) -> None:
        super().__init__()
        self._session = Session("transformers", experiment, name)
        self._checkpoints = checkpoints
        self._trains = False
        self._evaluated: set[int] = set()

    @hook
    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        session, model = self._session, kwargs.get("model")
        session.begin(label(model))
        self._trains, self._evaluated = True, set()
        # Tokens stand as <HUB_TOKEN> there.
        session.params({k: v for k, v in args.to_dict().items() if v not in (None, "")})
        config = getattr(model, "config", None)
        if config is not None:
            session.params(config.to_diff_dict(), "config.")
        if kwargs.get("optimizer") is not None:
            optimizer = kwargs["optimizer"]
            session.params(settings(getattr(optimizer, "optimizer", optimizer)), "optimizer")
        session.params({"max_steps": state.max_steps}, "trainer.")
        session.dataset("train", kwargs.get("train_dataloader"), TRAINING)
        session.model(label(model), model, given=True)

    @hook
    def on_log(
        self,
        args: Any,
        state: Any,
        control: Any,
        logs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        if self._trains and self._session.open:
            # Those of an evaluation come with it, too.
            found = {k: v for k, v in (logs or {}).items() if not k.startswith("eval_")}
            if found != {"epoch": found.get("epoch")}:
                self._session.metrics(found, TRAINING, state.global_step)

    @hook
    def on_evaluate(
        self,
        args: Any,
        state: Any,
        control: Any,
        metrics: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        data = kwargs.get("eval_dataloader")
        self._result("eval_", "validation", VALIDATION, state, metrics, data, kwargs)

    @hook
    def on_predict(
        self,
        args: Any,
        state: Any,
        control: Any,
        metrics: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        data = kwargs.get("eval_dataloader")
        self._result("test_", "test", TESTING, state, metrics, data, kwargs)

    def _result(
        self,
        prefix: str,
        name: str,
        context: str,
        state: Any,
        metrics: Mapping[str, Any] | None,
        data: Any,
        more: Mapping[str, Any],
    ) -> None:
        session = self._session
        if not self._trains:
            session.begin(label(more.get("model")))
        if session.open:
            if id(data) not in self._evaluated:
                self._evaluated.add(id(data))
                session.dataset(name, data, context)
            found = {k.removeprefix(prefix): v for k, v in (metrics or {}).items() if k != "epoch"}
            session.metrics(found, context, state.global_step)
        if not self._trains:
            session.end()

    @hook
    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._session.open and self._checkpoints and state.is_world_process_zero:
            path = os.path.join(args.output_dir, f"checkpoint-{state.global_step}")  # noqa: PTH118
            found = {"epoch": state.epoch, "best": state.best_model_checkpoint == path or None}
            known = {key: value for key, value in found.items() if value is not None}
            self._session.files([path], state.global_step, kwargs.get("model"), known)

    @hook
    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._trains = False
        if self._session.open:
            if not self._session.has_files:
                model = kwargs.get("model")
                self._session.model(label(model), model, given=False)
            self._session.end()
