"""A callback for Keras 3, with any of its backends.

::

    from yprov4wms.ml.keras import YProvCallback

    model.fit(x, y, callbacks=[YProvCallback()])

Importing this imports Keras.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import keras

from yprov4wms.ml._autolog import (
    TESTING,
    TRAINING,
    VALIDATION,
    Ending,
    Session,
    hook,
    label,
    matching,
)


class YProvCallback(keras.callbacks.Callback, Ending):  # type: ignore[misc,unused-ignore]
    """Logs ``fit`` and ``evaluate`` to the active run, or to a run of its own.

    Logged are: what ``fit`` and ``compile`` were given, with the optimizer's settings; the
    model with its layers; the metrics of each epoch, in the contexts ``training`` and, without
    Keras' prefix ``val_``, ``validation``, with the epoch as step; those of ``evaluate`` in
    ``testing``. Keras tells callbacks neither of the data nor of other callbacks: give them
    here.

    Nor does it tell them of an exception. In the ``with`` block of an active run, or of this
    callback, it is recorded::

        with YProvCallback() as callback:
            model.fit(x, y, callbacks=[callback])

    Args:
        experiment, name: Of a run of its own; else the experiment is the model's class.
        training_data, validation_data: Arrays, or data sets, to be logged as such.
        checkpoints: A ModelCheckpoint, or several, that stand before this callback in the
            list: each file that they write is logged with its checksum.
        log_every_n_steps: Of batches whose metrics are logged as ``batch_<metric>``; they are
            means since the epoch began. None: of no batch.
    """

    def __init__(
        self,
        experiment: str | None = None,
        name: str | None = None,
        *,
        training_data: Any = None,
        validation_data: Any = None,
        checkpoints: Any = (),
        log_every_n_steps: int | None = None,
    ) -> None:
        super().__init__()
        self._session = Session("keras", experiment, name)
        self._training_data = training_data
        self._validation_data = validation_data
        several = isinstance(checkpoints, Iterable)
        self._checkpoints = list(checkpoints) if several else [checkpoints]
        self._every = log_every_n_steps
        self._fits = False
        self._step = 0
        self._epoch = 0

    @hook
    def on_train_begin(self, logs: Any = None) -> None:
        model, session = self.model, self._session
        session.begin(label(model))
        self._fits, self._step = True, 0
        given = {k: v for k, v in (self.params or {}).items() if k != "verbose"}
        session.params({**given, "backend": keras.backend.backend()})
        session.params({"loss": model.loss})
        optimizer = getattr(model, "optimizer", None)
        if optimizer is not None:
            session.params({"optimizer": label(optimizer)})
            session.params(optimizer.get_config(), "optimizer.")
        for path in self._paths():  # those of an earlier training
            session.known(path)
        session.dataset("train", self._training_data, TRAINING)
        session.dataset("validation", self._validation_data, VALIDATION)
        session.model(str(model.name), model, given=True)

    @hook
    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        self._step += 1
        if self._every and self._step % self._every == 0 and self._session.open:
            found = {f"batch_{name}": value for name, value in (logs or {}).items()}
            self._session.metrics(found, TRAINING, self._step)

    @hook
    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        if not self._session.open:
            return
        self._epoch = epoch
        for name, value in (logs or {}).items():
            plain = name.removeprefix("val_")
            context = TRAINING if plain == name else VALIDATION
            self._session.metrics({plain: value}, context, epoch)
        self._find_checkpoints(epoch)

    @hook
    def on_train_end(self, logs: Any = None) -> None:
        self._fits = False
        if self._session.open:
            self._find_checkpoints(self._epoch)
            if not self._session.has_files:
                self._session.model(str(self.model.name), self.model, given=False)
            self._session.end()

    @hook
    def on_test_begin(self, logs: Any = None) -> None:
        if not self._fits:
            self._session.begin(label(self.model))

    @hook
    def on_test_end(self, logs: Mapping[str, Any] | None = None) -> None:
        if not self._fits and self._session.open:
            self._session.metrics(logs or {}, TESTING, None)
            self._session.end()

    def _paths(self) -> list[str]:
        return [path for each in self._checkpoints for path in matching(str(each.filepath))]

    def _find_checkpoints(self, epoch: int) -> None:
        self._session.files(self._paths(), epoch, self.model, {"epoch": epoch})
