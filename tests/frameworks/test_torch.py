"""Real models, data sets and loaders of PyTorch: what is told of them, saved and counted."""

from __future__ import annotations

import copy
import random

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402
from torch.utils import data as tdata  # noqa: E402

from yprov4wms import ml  # noqa: E402
from yprov4wms.ml import _objects, flops  # noqa: E402

torch.set_num_threads(1)


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(10, 4)
        self.out = nn.Linear(4, 10, bias=False)
        self.out.weight = self.embedding.weight
        self.own = nn.Parameter(torch.zeros(3), requires_grad=False)


def network():
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(64, 16), nn.BatchNorm1d(16), nn.Dropout(0.5), nn.Linear(16, 10))


# -- what is told ------------------------------------------------------------------


def test_tied_weights_are_counted_once():
    found = _objects.model(Tied())
    assert found["parameters"] == 43
    assert found["attributes"] == {"trainable_parameters": 40}


def test_layers_have_names_shapes_and_parameters_of_their_own():
    assert _objects.layers(network())[0] == {
        "name": "0",
        "class": "torch.nn.modules.linear.Linear",
        "parameters": 64 * 16 + 16,
        "in_features": 64,
        "out_features": 16,
    }
    names = [layer["name"] for layer in _objects.layers(Tied())]
    assert names == ["Tied", "embedding", "out"]


@pytest.mark.parametrize(
    "model", [nn.TransformerEncoderLayer(8, 2, 16), nn.LSTM(4, 3, 2), network(), nn.Linear(3, 2)]
)
def test_the_parameters_of_all_layers_are_those_of_the_model(model):
    counts = [layer.get("parameters", 0) for layer in _objects.layers(model)]
    assert sum(counts) == _objects.model(model)["parameters"]


def test_what_is_not_initialised_has_no_number():
    model = nn.Sequential(nn.LazyLinear(3), nn.Linear(3, 2))
    assert "parameters" not in _objects.model(model)
    assert [layer.get("parameters") for layer in _objects.layers(model)] == [None, 8]


class Unread(tdata.Dataset):
    def __getitem__(self, index):
        raise AssertionError("no sample is to be read")


class Stream(tdata.IterableDataset):
    def __iter__(self):
        raise AssertionError("no sample is to be read")


class Sized(Stream):
    def __len__(self):
        return 7


PAIRS = tdata.TensorDataset(torch.zeros(100, 64), torch.zeros(100))


@pytest.mark.parametrize(
    ("data", "samples", "batches"),
    [
        (PAIRS, 100, None),
        (tdata.Subset(PAIRS, range(30)), 30, None),
        (tdata.ConcatDataset([PAIRS, PAIRS]), 200, None),
        (Unread(), None, None),
        (Stream(), None, None),
        (torch.zeros(5, 3), 5, None),
        (torch.tensor(5), None, None),
        (tdata.DataLoader(PAIRS, batch_size=32), 100, 4),
        (tdata.DataLoader(PAIRS, batch_size=32, drop_last=True), 100, 3),
        (tdata.DataLoader(PAIRS, batch_sampler=tdata.BatchSampler(range(90), 9, False)), 100, 10),
        (tdata.DataLoader(Stream(), batch_size=8), None, None),
        (tdata.DataLoader(Sized(), batch_size=2), 7, 4),
        (iter(tdata.DataLoader(PAIRS, batch_size=10)), None, None),
    ],
)
def test_samples_and_batches_are_told_where_they_are_known(data, samples, batches):
    state = torch.get_rng_state()
    found = _objects.dataset(data)
    assert found.get("samples") == samples
    assert found["attributes"].get("batches") == batches
    assert torch.equal(torch.get_rng_state(), state)


def test_a_sampler_tells_how_many_it_draws():
    sampler = tdata.WeightedRandomSampler([1.0] * 100, 250)
    found = _objects.dataset(tdata.DataLoader(PAIRS, batch_size=10, sampler=sampler))
    assert (found["samples"], found["attributes"]["samples_per_epoch"]) == (100, 250)


# -- what is saved -----------------------------------------------------------------


def test_versions_of_a_model_are_files_that_load(left):
    model = network()
    with ml.start_run("x"):
        for step in range(2):
            with torch.no_grad():
                model[0].bias.fill_(step)
            ml.save_model_version("digits", model, "training", step=step)
        ml.log_model("final", model, log_model_layers=True)
        ml.log_model("state", model.state_dict())
    found = left()
    models = {(entity["label"], entity.get("step")): entity for entity in found.models()}
    assert len(models) == 4
    assert models["final", None]["parameters"] == 64 * 16 + 16 + 32 + 170
    assert "Dropout" in str(models["final", None]["layers"])
    files = [file for file in found.files() if str(file["path"]).endswith(".pt")]
    assert len(files) == 4
    assert all(len(file["sha256"]) == 64 for file in files)
    values = set()
    for file in files:
        state = torch.load(file["path"], weights_only=True)
        network().load_state_dict(state)
        values.add(state["0.bias"][0].item())
    assert values == {0.0, 1.0}


# -- what is counted ---------------------------------------------------------------

PASS = 2 * 10 * (64 * 16 + 16 * 10)


def snapshot(model):
    numbers = (torch.get_rng_state().tolist(), random.getstate(), np.random.get_state()[1].tolist())
    grads = [None if p.grad is None else p.grad.tolist() for p in model.parameters()]
    state = {name: tensor.tolist() for name, tensor in model.state_dict().items()}
    return numbers, grads, state, model.training


def test_counting_leaves_model_and_random_numbers_as_they_were(left):
    model = network()
    batch = (torch.rand(10, 64), torch.zeros(10))
    model(batch[0]).sum().backward()
    before = snapshot(model)
    with ml.start_run("x"):
        ml.log_flops_per_batch("flops", model, batch, "training", step=0)
        ml.log_flops_per_batch("flops", model, batch, "training", step=1)
    assert snapshot(model) == before
    assert left().values("flops", "training") == [PASS, 2 * PASS]


class Noisy(tdata.Dataset):
    def __len__(self):
        return 45

    def __getitem__(self, index):
        noise = random.random() + np.random.rand()
        return torch.rand(64) + noise, index


@pytest.mark.parametrize(
    "loader",
    [
        tdata.DataLoader(Noisy(), batch_size=10, shuffle=True),
        tdata.DataLoader(Noisy(), batch_sampler=tdata.BatchSampler(range(45), 10, False)),
        tdata.DataLoader(Noisy(), batch_size=10, num_workers=2, persistent_workers=True),
        [(torch.rand(10, 64), None)] * 5,
    ],
)
def test_an_epoch_has_as_many_passes_as_a_loader_has_batches(loader, left):
    model = network()
    before = snapshot(model)
    with ml.start_run("x"):
        ml.log_flops_per_epoch("flops", model, loader, step=3)
    assert snapshot(model) == before
    assert left().values("flops") == [5 * PASS]
    assert left().steps("flops") == [3]
    assert getattr(loader, "_iterator", None) is None


def test_a_generator_of_the_loader_stays(left):
    generator = torch.Generator().manual_seed(3)
    loader = tdata.DataLoader(Noisy(), batch_size=10, shuffle=True, generator=generator)
    state = generator.get_state()
    with ml.start_run("x"):
        ml.log_flops_per_epoch("flops", network(), loader)
    assert torch.equal(generator.get_state(), state)


def test_a_stream_without_length_is_not_read():
    with ml.start_run("x"), pytest.raises(TypeError):
        ml.log_flops_per_epoch("flops", network(), tdata.DataLoader(Stream()))


def test_what_cannot_be_copied_is_counted_all_the_same():
    class Stubborn(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = network()

        def __deepcopy__(self, memo):
            raise TypeError("no copies")

        def forward(self, x):
            return self.body(x)

    model, batch = Stubborn(), torch.rand(10, 64)
    before = snapshot(model)
    assert flops.count(model, batch) == PASS
    assert snapshot(model) == before


def test_counting_sees_through_wrappers_and_is_no_pass_of_theirs(left):
    with ml.start_run("x"):
        tracked = ml.ProvenanceTrackedModel("t", network(), every=1)
        model = nn.DataParallel(tracked)
        ml.log_flops_per_batch("flops", model, [torch.rand(10, 64)])
        assert flops.count(torch.compile(network()), torch.rand(10, 64)) == PASS
    assert left().values("flops") == [PASS]
    assert left().names() == {"flops"}


def test_a_mapping_is_the_keyword_arguments():
    class Named(nn.Linear):
        def forward(self, values, scale=1):
            return super().forward(values * scale)

    model = Named(64, 16)
    assert flops.count(model, {"values": torch.rand(10, 64), "scale": 2}) == 2 * 10 * 64 * 16


def test_the_weights_of_the_training_are_not_copied_to_count():
    model = network()
    seen = []

    class Probe(nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, x):
            seen.append((self.inner[0].weight is model[0].weight, self is probe))
            return self.inner(x)

    probe = Probe(model)
    flops.count(probe, torch.rand(10, 64))
    assert seen == [(True, False)]
    assert copy.deepcopy(model)[0].weight is not model[0].weight
