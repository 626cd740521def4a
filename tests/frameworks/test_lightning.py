"""Real trainings with Lightning, by both of its packages."""

from __future__ import annotations

import hashlib
import importlib
import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("lightning")
pytest.importorskip("pytorch_lightning")
import lightning.pytorch  # noqa: E402, F401
import pytorch_lightning  # noqa: E402, F401
from torch import nn  # noqa: E402
from torch.utils.data import DataLoader, TensorDataset  # noqa: E402

from yprov4wms import ml  # noqa: E402
from yprov4wms.ml.lightning import YProvCallback  # noqa: E402

torch.set_num_threads(1)
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:.*lightning.*")


@pytest.fixture(params=["lightning.pytorch", "pytorch_lightning"])
def pl(request):
    return importlib.import_module(request.param)


def module(pl, fail=None):
    class Digits(pl.LightningModule):
        def __init__(self, hidden, lr):
            super().__init__()
            self.save_hyperparameters()
            self.body = nn.Sequential(nn.Linear(64, hidden), nn.ReLU(), nn.Linear(hidden, 10))

        def loss(self, batch):
            return nn.functional.cross_entropy(self.body(batch[0]), batch[1])

        def training_step(self, batch, index):
            loss = self.loss(batch)
            self.log("loss", loss, on_step=True, on_epoch=True)
            if fail is not None and self.current_epoch == 1:
                raise fail
            return loss

        def validation_step(self, batch, index):
            self.log("val_loss", self.loss(batch))

        def test_step(self, batch, index):
            self.log("test_loss", self.loss(batch))

        def on_train_epoch_end(self):
            self.log("late", float(self.current_epoch))

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=self.hparams.lr)

    torch.manual_seed(1)
    return Digits(16, lr=0.25)


@pytest.fixture
def loaders(digits):
    data, labels = (torch.from_numpy(array) for array in digits)
    parts = slice(0, 200), slice(200, 300), slice(300, 400)
    sets = [TensorDataset(data[part], labels[part]) for part in parts]
    return [DataLoader(each, batch_size=50) for each in sets]


def trainer(pl, *callbacks, **more):
    settings = {
        "accelerator": "cpu",
        "max_epochs": 2,
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "log_every_n_steps": 1,
        "enable_checkpointing": False,
    }
    return pl.Trainer(**{**settings, **more}, callbacks=list(callbacks))


def test_a_training_is_recorded(pl, loaders, left, tmp_path):
    checkpoint = pl.callbacks.ModelCheckpoint(tmp_path / "kept", save_top_k=1, monitor="val_loss")
    callback = YProvCallback(name="one")
    assert isinstance(callback, pl.Callback)
    model = module(pl)
    trainer(pl, callback, checkpoint, enable_checkpointing=True).fit(model, *loaders[:2])
    found = left()
    assert found.status == "completed"
    assert found.run["yprov:experiment_name"] == "Digits"
    params = found.params()
    assert (params["hidden"], params["lr"]) == (16, 0.25)
    assert (params["optimizer"], params["optimizer.lr"]) == ("SGD", 0.25)
    assert params["trainer.max_epochs"] == 2
    assert found.steps("loss_step", "training") == list(range(1, 9))
    assert found.steps("loss_epoch", "training") == [0, 1]
    steps = found.values("loss_step", "training")
    means = found.values("loss_epoch", "training")
    assert means == pytest.approx([sum(steps[:4]) / 4, sum(steps[4:]) / 4], rel=1e-5)
    assert found.values("late", "training") == [0, 1]
    assert found.steps("val_loss", "validation") == [0, 1]
    assert found.values("epoch", "training") == [0, 1]
    assert found.names("validation") == {"val_loss"}
    assert found.names("training") == {"loss_step", "loss_epoch", "late", "epoch"}
    datasets = found.datasets()
    assert datasets["train", "training"]["samples"] == 200
    assert datasets["validation", "validation"]["samples"] == 100
    models = {entity["label"]: entity for entity in found.models()}
    assert models["Digits"]["parameters"] == 64 * 16 + 16 + 160 + 10
    assert len(json.loads(models["Digits"]["layers"])) == 3
    (kept,) = [file for file in found.files() if file["path"] == checkpoint.best_model_path]
    content = Path(checkpoint.best_model_path).read_bytes()
    assert kept["sha256"] == hashlib.sha256(content).hexdigest()
    assert models[Path(checkpoint.best_model_path).name]["parameters"] == 1210


def weights(model):
    return [p.tolist() for p in model.parameters()], torch.rand(1).item()


def test_the_training_is_the_same(pl, loaders):
    plain, watched = module(pl), module(pl)
    torch.manual_seed(3)
    trainer(pl).fit(plain, *loaders[:2])
    expected = weights(plain)
    torch.manual_seed(3)
    trainer(pl, YProvCallback()).fit(watched, *loaders[:2])
    assert weights(watched) == expected


def test_it_is_nested_in_an_active_run(pl, loaders, left):
    callback = YProvCallback()
    with ml.start_run("outer"):
        fitting = trainer(pl, callback)
        model = module(pl)
        fitting.fit(model, *loaders[:2])
        assert ml.active_run() is not None
        (result,) = fitting.test(model, loaders[2], verbose=False)
    found = left()
    assert found.run["yprov:experiment_name"] == "outer"
    assert found.values("test_loss", "testing") == [result["test_loss"]]
    assert found.datasets()["test", "testing"]["samples"] == 100
    assert found.steps("loss_step", "training") == list(range(1, 9))


def test_without_validation_an_epoch_has_its_own_metrics_alone(pl, loaders, left):
    trainer(pl, YProvCallback(log_every_n_steps=3)).fit(module(pl), loaders[0])
    found = left()
    assert found.steps("loss_step", "training") == [3, 6]
    assert found.steps("loss_epoch", "training") == [0, 1]
    assert found.names("training") == {"loss_step", "loss_epoch", "late", "epoch"}


def test_steps_are_logged_as_often_as_is_wanted(pl, loaders, left):
    trainer(pl, YProvCallback(log_every_n_steps=3)).fit(module(pl), *loaders[:2])
    assert left().steps("loss_step", "training") == [3, 6]


@pytest.mark.parametrize(
    ("error", "status"), [(ValueError("diverged"), "failed"), (KeyboardInterrupt(), "cancelled")]
)
def test_an_exception_ends_its_run(pl, loaders, left, error, status):
    with pytest.raises((ValueError, SystemExit)):
        trainer(pl, YProvCallback()).fit(module(pl, error), *loaders[:2])
    assert ml.active_run() is None
    found = left()
    assert found.status == status
    assert type(error).__name__ in found.run["yprov4wms:error"]
    assert found.values("late", "training") == [0]


def test_an_exception_is_kept_in_a_run_around_it(pl, loaders, left):
    with ml.start_run("outer"), pytest.raises(ValueError, match="diverged"):
        trainer(pl, YProvCallback()).fit(module(pl, ValueError("diverged")), *loaders[:2])
    found = left()
    assert found.status == "completed"
    assert found.params()["error"] == "ValueError: diverged"


def test_a_failure_of_ours_is_one_warning(pl, loaders, left, monkeypatch):
    monkeypatch.setattr(YProvCallback, "_log", lambda *args: 1 / 0)
    model = module(pl)
    with pytest.warns(ml.RecordingWarning, match="ZeroDivisionError") as caught:
        trainer(pl, YProvCallback()).fit(model, *loaders[:2])
    assert len([w for w in caught if w.category is ml.RecordingWarning]) == 1
    assert left().run["yprov4wms:recorder_failures"] is not None


def test_a_store_that_cannot_be_written_does_not_stop_it(pl, loaders, tmp_path):
    (tmp_path / ".yprov").write_text("in the way")
    model = module(pl)
    with pytest.warns(ml.RecordingWarning):
        trainer(pl, YProvCallback()).fit(model, *loaders[:2])


def test_two_loaders_are_two_data_sets(pl, loaders, left):
    model = module(pl)
    model.validation_step = lambda batch, index, dataloader_idx=0: None
    trainer(pl, YProvCallback()).fit(model, loaders[0], [loaders[1], loaders[2]])
    datasets = left().datasets()
    assert datasets["validation.0", "validation"]["samples"] == 100
    assert datasets["validation.1", "validation"]["samples"] == 100


def test_the_run_is_there_before_the_end(pl, loaders, tmp_path):
    seen = []

    class Look(pl.Callback):
        def on_train_end(self, trainer, module):
            (folder,) = [path for path in (tmp_path / ".yprov").iterdir() if path.is_dir()]
            (journal,) = (folder / "events").iterdir()
            kinds = [json.loads(line)["kind"] for line in journal.read_bytes().splitlines()]
            seen.append({"ml-param", "ml-model", "ml-dataset"} <= set(kinds))

    trainer(pl, YProvCallback(), Look()).fit(module(pl), *loaders[:2])
    assert seen == [True]
