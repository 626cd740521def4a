"""Real trainings with Keras 3 on PyTorch."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

pytest.importorskip("torch")
keras = pytest.importorskip("keras")

from yprov4wms import ml  # noqa: E402
from yprov4wms.ml import _objects  # noqa: E402
from yprov4wms.ml.keras import YProvCallback  # noqa: E402


def network(built=True):
    keras.utils.set_random_seed(1)
    layers = [
        keras.layers.Dense(16, activation="relu", name="first"),
        keras.layers.BatchNormalization(name="norm"),
        keras.layers.Dropout(0.2, name="drop"),
        keras.layers.Dense(10, name="last"),
    ]
    model = keras.Sequential([*([keras.Input((64,))] if built else []), *layers], name="digits")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.01), loss, metrics=["accuracy"])
    return model


COUNT = 64 * 16 + 16 + 4 * 16 + 16 * 10 + 10


# -- what is told ------------------------------------------------------------------


def test_a_model_is_counted_once_it_is_built():
    assert "parameters" not in _objects.model(network(built=False))
    model = network()
    model.layers[0].trainable = False
    found = _objects.model(model)
    assert found["parameters"] == COUNT == model.count_params()
    assert found["attributes"]["trainable_parameters"] == 2 * 16 + 16 * 10 + 10


def test_layers_are_those_of_keras_on_any_backend():
    layers = _objects.layers(network())
    assert [layer["name"] for layer in layers] == ["first", "norm", "drop", "last"]
    assert [layer["parameters"] for layer in layers] == [1040, 64, 0, 170]
    assert layers[0]["units"] == 16


def test_layers_of_a_model_in_a_model_have_its_name():
    inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="d")], name="inner")
    given = keras.Input((4,))
    found = _objects.layers(keras.Model(given, inner(given)))
    assert found[-1]["name"] == "inner/d"


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 3

    def __getitem__(self, index):
        raise AssertionError("no batch is to be read")


def test_batches_are_not_samples():
    found = _objects.dataset(Batches())
    assert "samples" not in found
    assert found["attributes"]["batches"] == 3


def test_a_model_is_saved_as_keras_saves_it(left, digits):
    model = network()
    with ml.start_run("x"):
        ml.log_model("digits", model)
        ml.save_model_version("digits", model, step=1)
    files = [file for file in left().files() if file["path"].endswith(".keras")]
    assert len(files) == 2
    loaded = keras.models.load_model(files[0]["path"])
    expected = model.predict(digits[0][:5], verbose=0)
    assert loaded.predict(digits[0][:5], verbose=0) == pytest.approx(expected)


# -- a training --------------------------------------------------------------------


def fit(model, digits, *callbacks, **more):
    x, y = digits
    settings = {"epochs": 2, "batch_size": 50, "verbose": 0, "validation_data": (x[300:], y[300:])}
    return model.fit(x[:300], y[:300], **{**settings, **more}, callbacks=list(callbacks))


def test_a_training_is_recorded(digits, left, tmp_path):
    x, y = digits
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "at-99.keras").write_text("of an earlier training")
    checkpoint = keras.callbacks.ModelCheckpoint(tmp_path / "kept" / "at-{epoch:02d}.keras")
    callback = YProvCallback(
        training_data=(x[:300], y[:300]), checkpoints=checkpoint, log_every_n_steps=4
    )
    history = fit(network(), digits, checkpoint, callback).history
    found = left()
    assert found.status == "completed"
    assert found.run["yprov:experiment_name"] == "Sequential"
    params = found.params()
    assert (params["epochs"], params["steps"], params["backend"]) == (2, 6, "torch")
    assert params["optimizer"] == "Adam"
    assert params["optimizer.learning_rate"] == pytest.approx(0.01)
    assert found.values("loss", "training") == history["loss"]
    assert found.values("accuracy", "validation") == history["val_accuracy"]
    assert found.steps("loss", "validation") == [0, 1]
    assert found.steps("batch_loss", "training") == [4, 8, 12]
    assert found.datasets()["train", "training"]["samples"] == 300
    models = {entity["label"]: entity for entity in found.models()}
    assert set(models) == {"digits", "at-01.keras", "at-02.keras"}
    assert models["digits"]["parameters"] == COUNT
    assert models["at-02.keras"]["step"] == 1
    files = {Path(file["path"]).name: file for file in found.files()}
    content = (tmp_path / "kept" / "at-02.keras").read_bytes()
    assert files["at-02.keras"]["sha256"] == hashlib.sha256(content).hexdigest()


def test_the_training_is_the_same(digits):
    plain, watched = network(), network()
    keras.utils.set_random_seed(2)
    expected = fit(plain, digits).history
    keras.utils.set_random_seed(2)
    assert fit(watched, digits, YProvCallback()).history == expected


def test_it_is_nested_in_an_active_run(digits, left):
    x, y = digits
    callback = YProvCallback()
    model = network()
    with ml.start_run("outer"):
        fit(model, digits, callback)
        loss, accuracy = model.evaluate(x[300:], y[300:], verbose=0, callbacks=[callback])
    found = left()
    assert found.run["yprov:experiment_name"] == "outer"
    assert found.values("loss", "testing") == pytest.approx([loss])
    assert found.values("accuracy", "testing") == pytest.approx([accuracy])
    assert len(found.values("loss", "validation")) == 2


class Failing(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        raise ValueError("diverged")


def test_an_exception_ends_its_run(digits, left):
    with pytest.raises(ValueError, match="diverged"), YProvCallback() as callback:
        fit(network(), digits, callback, Failing())
    found = left()
    assert found.status == "failed"
    assert found.run["yprov4wms:error"] == "ValueError: diverged"


def test_a_run_that_an_exception_left_is_ended_by_the_next(digits, tmp_path):
    with pytest.raises(ValueError, match="diverged"):
        fit(network(), digits, YProvCallback("first"), Failing())
    fit(network(), digits, YProvCallback("second"))
    assert ml.active_run() is None
    statuses = {}
    for folder in (tmp_path / ".yprov").iterdir():
        from tests.frameworks.conftest import Left

        found = Left(folder)
        statuses[found.run["yprov:experiment_name"]] = found.status
    assert statuses == {"first": "failed", "second": "completed"}


def test_a_failure_of_ours_is_one_warning(digits, left, monkeypatch):
    monkeypatch.setattr("yprov4wms.ml._autolog.Session.metrics", lambda *args: 1 / 0)
    with pytest.warns(ml.RecordingWarning, match="ZeroDivisionError") as caught:
        fit(network(), digits, YProvCallback())
    assert len([w for w in caught if w.category is ml.RecordingWarning]) == 1
    assert left().status == "completed"
