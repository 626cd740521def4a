"""Wrapped models of PyTorch: what is logged, and that the training is the same."""

from __future__ import annotations

import copy
import io
import pickle
import warnings

import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from yprov4wms import ml  # noqa: E402

torch.set_num_threads(1)


def network():
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(64, 16), nn.BatchNorm1d(16), nn.Dropout(0.5), nn.Linear(16, 10))


class Own(nn.Module):
    """A module with ways of its own."""

    def __init__(self):
        super().__init__()
        self.body = network()
        self.lstm = nn.LSTM(10, 4)
        self.scale = nn.Parameter(torch.ones(1))
        self.register_buffer("seen", torch.zeros(1))
        self.calls = 0

    def forward(self, x, *, twice=False):
        self.calls += 1
        self.seen += 1
        out, _ = self.lstm(self.body(x)[None])
        return {"logits": out[0] * self.scale, "count": torch.tensor(1)}

    def encode(self, x):
        return self.body[0](x)

    def train(self, mode=True):
        super().train(mode)
        self.body[1].eval()  # frozen statistics
        return self


WRAPPERS = [ml.ProvenanceTrackedModel, ml.WeightDistributionTrackedModel]


@pytest.fixture(params=WRAPPERS, ids=["layers", "weights"])
def wrap(request):
    return request.param


def train(model, digits, epochs=2):
    data, labels = (torch.from_numpy(array) for array in digits)
    torch.manual_seed(2)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    model.train()
    for _ in range(epochs):
        for start in range(0, 400, 100):
            optimizer.zero_grad()
            batch = slice(start, start + 100)
            loss = nn.functional.cross_entropy(model(data[batch]), labels[batch])
            loss.backward()
            optimizer.step()
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}, torch.rand(1)


def test_a_training_gives_the_same_bits(wrap, digits):
    plain, after = train(network(), digits)
    with ml.start_run("x"):
        tracked, then = train(wrap(network()), digits)
    assert list(plain) == list(tracked)
    assert all(torch.equal(plain[name], tracked[name]) for name in plain)
    assert torch.equal(after, then)


def test_layers_are_logged_each_pass(digits, left):
    model = network()
    data = torch.from_numpy(digits[0])
    with ml.start_run("x"):
        tracked = ml.ProvenanceTrackedModel("digits", model, "training", 64, every=2)
        tracked.eval()
        with torch.no_grad():
            outputs = [tracked(data[: 10 * n]) for n in range(1, 6)]
    found = left()
    assert found.steps("digits.3.output_mean", "training") == [0, 2, 4]
    for name, wanted in {
        "mean": lambda out: out.mean(),
        "std": lambda out: out.std(correction=0),
        "min": lambda out: out.min(),
        "max": lambda out: out.max(),
    }.items():
        logged = found.values(f"digits.3.output_{name}", "training")
        assert logged == pytest.approx([float(wanted(out)) for out in outputs[::2]], rel=1e-5)
    layers = {name.split(".")[1] for name in found.names("training")}
    assert layers == {"0", "1", "2", "3"}


def test_the_label_is_the_class_where_none_is_given(left):
    with ml.start_run("x"):
        ml.ProvenanceTrackedModel(Own())(torch.rand(3, 64))
        ml.WeightDistributionTrackedModel(nn.Linear(2, 2), context="training").log_epoch(7)
    found = left()
    assert found.steps("Own.body.0.output_mean") == [0]
    assert found.steps("Linear.weight.weight_std", "training") == [7]


def test_weights_are_logged_each_epoch(left):
    model = ml.WeightDistributionTrackedModel("digits", network(), chunk_size=8)
    with ml.start_run("x"):
        for epoch in range(3):
            with torch.no_grad():
                model.get_submodule("0").weight.fill_(epoch)
                model.get_submodule("3").weight.copy_(torch.arange(160.0).reshape(10, 16))
            model.log_epoch(epoch)
        model.close()
        with pytest.raises(RuntimeError, match="closed"):
            model.log_epoch(3)
    found = left()
    assert found.values("digits.0.weight.weight_mean") == [0, 1, 2]
    assert found.steps("digits.0.weight.weight_std") == [0, 1, 2]
    assert found.values("digits.3.weight.weight_p50") == [79.5] * 3
    assert found.values("digits.3.weight.weight_max") == [159] * 3
    assert "digits.1.bias.weight_min" in found.names()


def test_quantiles_of_many_weights_are_of_a_sample_and_say_so(left):
    layer = nn.Linear(1000, 250, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.linspace(0, 1, 250_000).reshape(250, 1000))
    with ml.start_run("x"):
        ml.WeightDistributionTrackedModel("big", layer).log_epoch(0)
    found = left().series("big.weight.weight_p25")
    assert found.source == "1 of 3 weights"
    assert found.values[0] == pytest.approx(0.25, abs=1e-4)


def test_the_wrapper_is_the_model_to_pytorch(wrap):
    own = Own()
    tracked = wrap("own", own)
    assert isinstance(tracked, nn.Module)
    assert list(tracked.state_dict()) == list(own.state_dict()) == list(Own().state_dict())
    assert [name for name, _ in tracked.named_parameters()] == [
        name for name, _ in own.named_parameters()
    ]
    assert all(a is b for a, b in zip(tracked.parameters(), own.parameters(), strict=True))
    assert tracked.training
    tracked.eval()
    assert not own.training
    assert tracked.train() is tracked
    assert own.training
    assert not own.body[1].training  # the model's own way
    assert tracked.to(torch.float64) is tracked
    assert own.scale.dtype == torch.float64
    assert tracked.encode(torch.rand(2, 64, dtype=torch.float64)).shape == (2, 16)
    tracked.calls = 5
    tracked(torch.rand(2, 64, dtype=torch.float64), twice=True)
    assert own.calls == 6
    tracked.scale = nn.Parameter(torch.zeros(1))
    assert own.scale is tracked.scale
    with pytest.raises(AttributeError):
        _ = tracked.nothing
    assert not hasattr(tracked, "nothing")


def test_the_mode_in_which_a_model_is_wrapped_stays(wrap):
    assert not wrap("own", Own().eval()).training


def test_checkpoints_load_both_ways_and_inside_of_others(wrap):
    class Outer(nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

    source, target = Own(), wrap("own", Own())
    with torch.no_grad():
        source.scale.fill_(3)
    assert str(target.load_state_dict(source.state_dict())) == "<All keys matched successfully>"
    assert target.scale.item() == 3
    with torch.no_grad():
        source.scale.fill_(4)
    outer = Outer(wrap("own", Own()))
    outer.load_state_dict(Outer(source).state_dict())
    assert outer.inner.scale.item() == 4
    plain = Own()
    plain.load_state_dict(outer.inner.state_dict())
    assert plain.scale.item() == 4


def test_copies_and_pickles_work(wrap, left):
    tracked = wrap("own", Own())
    batch = torch.rand(2, 64)
    tracked.eval()
    expected = tracked(batch)["logits"]
    with ml.start_run("x"):
        copied = copy.deepcopy(tracked)
        assert torch.equal(copied(batch)["logits"], expected)
        assert copied.scale is not tracked.scale
        assert copied.scale is copied._model.scale
        other = pickle.loads(pickle.dumps(tracked))
        assert torch.equal(other(batch)["logits"], expected)
        buffer = io.BytesIO()
        torch.save(tracked, buffer)
        buffer.seek(0)
        torch.load(buffer, weights_only=False)
    # The deep copy is silent, the pickled one is recorded.
    found = left()
    if wrap is ml.ProvenanceTrackedModel:
        assert found.steps("own.body.0.output_mean") == [0]
    else:
        assert found.names() == set()


def test_an_optimizer_and_an_average_and_data_parallel_take_it(wrap, digits):
    tracked = wrap("own", network())
    average = torch.optim.swa_utils.AveragedModel(tracked)
    parallel = nn.DataParallel(tracked)
    with ml.start_run("x"):
        parallel(torch.from_numpy(digits[0][:4]))
        average.update_parameters(tracked)
        assert average(torch.from_numpy(digits[0][:4])).shape == (4, 10)
    replica = tracked._replicate_for_data_parallel()
    assert type(replica) is nn.Sequential


def test_passes_that_are_traced_compiled_or_repeated_do_no_harm(left):
    from torch.utils.checkpoint import checkpoint

    class Repeating(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 4)

        def forward(self, x):
            return checkpoint(self.layer, self.layer(x), use_reentrant=False)

    with ml.start_run("x"):
        tracked = ml.ProvenanceTrackedModel("r", Repeating(), every=1)
        tracked(torch.rand(2, 4)).sum().backward()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            traced = torch.jit.trace(tracked, torch.rand(2, 4), check_trace=False)
        traced(torch.rand(2, 4))
        tracked(torch.rand(2, 4))
    # Both calls of a layer in a pass, none of what is computed again for the gradients.
    assert left().steps("r.layer.output_mean") == [0, 0, 1, 1]


@pytest.mark.parametrize("output", [torch.arange(3), torch.zeros(0), (), None, "text"])
def test_outputs_without_numbers_are_passed_on(output, left):
    class Odd(nn.Module):
        def forward(self, x):
            return output

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with ml.start_run("x"):
            assert ml.ProvenanceTrackedModel(Odd())(1) is output
    assert left().names() == set()


def test_a_failure_of_ours_is_one_warning(monkeypatch, digits):
    from yprov4wms.ml import wrappers

    monkeypatch.setattr(wrappers, "_statistics", lambda tensor: 1 / 0)
    with ml.start_run("x"):
        tracked = ml.ProvenanceTrackedModel(network(), every=1)
        with pytest.warns(ml.RecordingWarning, match="watching layers") as caught:
            train(tracked, digits)
    assert len(caught) == 1


def test_without_a_run_nothing_is_done():
    tracked = ml.ProvenanceTrackedModel(network())
    assert tracked(torch.rand(2, 64)).shape == (2, 10)
    assert tracked._watch._open == {}


def test_closing_ends_it(left):
    with ml.start_run("x"):
        tracked = ml.ProvenanceTrackedModel("x", network())
        tracked.close()
        tracked(torch.rand(2, 64))
    assert left().names() == set()


def test_half_precision_and_inference_mode(left):
    layer = nn.Linear(4, 4, dtype=torch.bfloat16)
    with ml.start_run("x"), torch.inference_mode():
        output = ml.ProvenanceTrackedModel("x", layer)(torch.rand(2, 4, dtype=torch.bfloat16))
    (logged,) = left().values("x.Linear.output_mean")
    assert logged == pytest.approx(output.double().mean().item(), rel=1e-5)


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("label",),
        (1,),
        ("label", nn.ReLU(), None, 64, 5),
        ("", nn.ReLU()),
        (nn.ReLU(), None, 1, 2),
    ],
)
def test_wrong_use_raises(wrap, arguments):
    with pytest.raises(TypeError):
        wrap(*arguments)


def test_wrong_keywords_raise(wrap):
    with pytest.raises(TypeError, match="nothing"):
        wrap(nn.ReLU(), nothing=1)
    with pytest.raises(TypeError, match="twice"):
        wrap(nn.ReLU(), model=nn.ReLU())
    assert wrap(model_label="a", model=nn.ReLU(), context="b", chunk_size=3) is not None
    with pytest.raises(ValueError, match="every"):
        ml.ProvenanceTrackedModel(nn.ReLU(), every=0)
