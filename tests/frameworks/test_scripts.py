"""Whole scripts: one that was written for yProv4ML, and one that torchrun starts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from tests.documents import value  # noqa: E402

#: As yProv4ML's users write it; one import line is ours.
SCRIPT = """
import torch
import torch.nn as nn
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset

import yprov4wms.ml as yprov4ml

torch.set_num_threads(1)
EPOCHS = 2

yprov4ml.start_run(
    prov_user_namespace="www.example.org",
    experiment_name="digits",
    provenance_save_dir="prov",
    save_after_n_logs=100,
    collect_all_processes=True,
    metrics_file_type="csv",
    use_compressor=False,
)

class MNISTModel(nn.Module):
    def __init__(self):
        super().__init__()
        self.model = nn.Sequential(nn.Linear(64, 16), nn.Dropout(0.2), nn.Linear(16, 10))

    def forward(self, x):
        return self.model(x)

torch.manual_seed(0)
model = MNISTModel()
model = yprov4ml.ProvenanceTrackedModel(model)
model = yprov4ml.WeightDistributionTrackedModel("mnist_model", model)
yprov4ml.log_param("lr", 0.001)

data, labels = load_digits(return_X_y=True)
data = torch.tensor(data / 16, dtype=torch.float32)
labels = torch.tensor(labels)
train_ds = TensorDataset(data[:400], labels[:400])
train_loader = DataLoader(train_ds, batch_size=100)
test_loader = DataLoader(TensorDataset(data[400:500], labels[400:500]), batch_size=50)
yprov4ml.log_dataset("train_dataset", train_loader, context="training")
yprov4ml.log_dataset("val_dataset", test_loader, context="validation")

optim = torch.optim.Adam(model.parameters(), lr=0.001)
yprov4ml.log_param("optimizer", "Adam")
loss_fn = yprov4ml.ProvenanceTrackedFunction(nn.MSELoss())
yprov4ml.log_context("training")

for epoch in range(EPOCHS):
    model.train()
    for x, y in train_loader:
        optim.zero_grad()
        loss = loss_fn(model(x), nn.functional.one_hot(y, 10).float())
        loss.backward()
        optim.step()
        yprov4ml.log_metric("Loss", loss.item(), context="training", step=epoch)
    yprov4ml.log_flops_per_batch("flops", model, (x, y), context="training", step=epoch)
    yprov4ml.log_system_metrics(context="training", step=epoch)
    yprov4ml.log_current_execution_time("train_time", context="training", step=epoch)
    model.log_epoch(epoch)
    yprov4ml.save_model_version("mnist_model_version", model, context="training", step=epoch)

    model.eval()
    with torch.no_grad():
        for x, y in test_loader:
            loss = loss_fn(model(x), nn.functional.one_hot(y, 10).float())
        yprov4ml.log_metric("Loss", loss, context="validation", step=epoch)

model.close()
yprov4ml.log_model("mnist_model_final", model, log_model_layers=True)
torch.save(model.state_dict(), "final.pt")
yprov4ml.log_artifact("weights", "final.pt", is_model=True)
yprov4ml.log_execution_command(cmd="python", path="script.py")
yprov4ml.log_source_code(use_git=False)
yprov4ml.end_run(create_graph=True, create_svg=True, crate_ro_crate=True)
"""


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", **more}


def run(tmp_path: Path, code: str, *command: str) -> subprocess.CompletedProcess[str]:
    (tmp_path / "script.py").write_text(code)
    return subprocess.run(
        [sys.executable, *command, "script.py"],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_script_of_yprov4ml_runs_with_one_line_changed(tmp_path, left):
    done = run(tmp_path, SCRIPT)
    assert done.returncode == 0, done.stderr
    assert "RecordingWarning" not in done.stderr
    found = left()
    assert found.status == "completed"
    assert found.run["yprov:experiment_name"] == "digits"
    assert found.params()["lr"] == 0.001
    assert len(found.values("Loss", "training")) == 8
    assert found.steps("Loss", "validation") == [0, 1]
    assert len(found.values("MSELoss")) == 12
    assert found.values("flops", "training") == [2 * 100 * 1184, 4 * 100 * 1184]
    assert found.steps("mnist_model.model.0.weight.weight_mean") == [0, 1]
    assert found.steps("MNISTModel.model.2.output_mean") == [0, 10]
    datasets = found.datasets()
    assert datasets["train_dataset", "training"]["samples"] == 400
    assert datasets["val_dataset", "validation"]["samples"] == 100
    models = [entity for entity in found.models() if entity["label"] == "mnist_model_version"]
    assert [model["parameters"] for model in models] == [1210, 1210]
    state = torch.load(tmp_path / "final.pt", weights_only=True)
    assert list(state) == ["model.0.weight", "model.0.bias", "model.2.weight", "model.2.bias"]


RANKS = """
import os, signal, sys
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset
from yprov4wms import ml

torch.set_num_threads(1)
dist.init_process_group("gloo")
rank = dist.get_rank()
torch.manual_seed(0)
data = TensorDataset(torch.rand(80, 8), torch.rand(80, 1))
loader = DataLoader(data, batch_size=10, sampler=DistributedSampler(data))
model = DistributedDataParallel(ml.ProvenanceTrackedModel("net", nn.Linear(8, 1), every=2))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
with ml.start_run("ranks"):
    ml.log_param("lr", 0.1)
    ml.log_dataset("train", loader, context="training")
    for step, (x, y) in enumerate(loader):
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(x), y)
        loss.backward()
        optimizer.step()
        ml.log_metric("loss", loss, context="training", step=step)
        if FAIL and rank == 1 and step == 2:
            import time
            time.sleep(1.5)
            os.kill(os.getpid(), signal.SIGKILL)
    ml.log_model("net", model, log_copy_in_prov_directory=rank == 0)
dist.destroy_process_group()
"""

TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


def test_two_ranks_of_torchrun_are_one_run(tmp_path, left):
    done = run(tmp_path, RANKS.replace("FAIL", "False"), *TORCHRUN)
    assert done.returncode == 0, done.stderr
    found = left()
    assert found.status == "completed"
    assert value(found.run["yprov4wms:ranks"]) == 2
    assert found.run["yprov4wms:launcher"] == "torchrun"
    assert found.params() == {"lr": 0.1}
    for rank in (0, 1):
        assert found.steps("loss", "training", rank=rank) == [0, 1, 2, 3]
        assert found.steps("net.Linear.output_mean", rank=rank) == [0, 2]
    assert found.values("loss", "training", rank=0) != found.values("loss", "training", rank=1)
    datasets = found.entities("provml:Dataset")
    assert {entity["samples"] for entity in datasets} == {80}
    # The weights are in the state that DistributedDataParallel has of them.
    (kept,) = [file["path"] for file in found.files() if str(file["path"]).endswith(".pt")]
    assert list(torch.load(kept, weights_only=True)) == ["module.weight", "module.bias"]


def test_a_rank_that_is_killed_leaves_what_it_logged(tmp_path):
    done = run(tmp_path, RANKS.replace("FAIL", "True"), *TORCHRUN)
    assert done.returncode != 0
    (folder,) = [path for path in (tmp_path / ".yprov").iterdir() if (path / "events").is_dir()]
    exported = subprocess.run(
        [Path(sys.executable).with_name("yprov4wms"), "export", folder.name],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert exported.returncode == 0, exported.stderr
    from tests.frameworks.conftest import Left

    found = Left(folder)
    assert found.status == "failed"
    assert found.steps("loss", "training", rank=1) == [0, 1, 2]
    assert found.steps("loss", "training", rank=0)[:3] == [0, 1, 2]
    activities = json.loads(found.document.content)["activity"]
    assert activities["ml:rank_1"]["yprov4wms:lost"] is True


LIGHTNING = """
import torch
from lightning.pytorch import LightningModule, Trainer
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from yprov4wms.ml.lightning import YProvCallback

torch.set_num_threads(1)


class Net(LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(8, 1)

    def training_step(self, batch, index):
        loss = nn.functional.mse_loss(self.layer(batch[0]), batch[1])
        self.log("loss", loss, on_step=True, on_epoch=True, sync_dist=True)
        return loss

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


torch.manual_seed(0)
loader = DataLoader(TensorDataset(torch.rand(80, 8), torch.rand(80, 1)), batch_size=10)
Trainer(
    accelerator="cpu",
    devices=2,
    strategy="ddp",
    max_epochs=2,
    logger=False,
    log_every_n_steps=1,
    callbacks=[YProvCallback()],
    enable_progress_bar=False,
).fit(Net(), loader)
"""


def test_two_processes_of_lightning_are_one_run(tmp_path, left):
    pytest.importorskip("lightning")
    done = run(tmp_path, LIGHTNING)
    assert done.returncode == 0, done.stderr
    assert "RecordingWarning" not in done.stderr
    found = left()
    assert found.status == "completed"
    assert found.run["yprov4wms:launcher"] == "lightning"
    for rank in (0, 1):
        assert found.steps("loss_step", "training", rank=rank) == list(range(1, 9))
        assert found.steps("loss_epoch", "training", rank=rank) == [0, 1]
    checkpoints = [model["label"] for model in found.models() if "step" in model]
    assert checkpoints == ["epoch=0-step=4.ckpt", "epoch=1-step=8.ckpt"]
