"""Real trainings with the Trainer of transformers, of a tiny model that is made here."""

from __future__ import annotations

import json

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("accelerate")

from yprov4wms import ml  # noqa: E402
from yprov4wms.ml import _objects  # noqa: E402
from yprov4wms.ml.transformers import YProvCallback  # noqa: E402

torch.set_num_threads(1)


def network():
    torch.manual_seed(1)
    config = transformers.BertConfig(
        vocab_size=17,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=64,
        num_labels=10,
    )
    return transformers.BertForSequenceClassification(config)


@pytest.fixture
def data(digits):
    """Pixels, 0 to 16, as tokens."""
    pixels = torch.from_numpy(digits[0] * 16).long()
    rows = [{"input_ids": row, "labels": int(n)} for row, n in zip(pixels, digits[1], strict=True)]
    return rows[:80], rows[80:120]


def trainer(data, *callbacks, train=True, **more):
    settings = {
        "output_dir": "out",
        "max_steps": 4,
        "per_device_train_batch_size": 20,
        "logging_steps": 2,
        "eval_strategy": "steps",
        "eval_steps": 2,
        "save_steps": 4,
        "report_to": "none",
        "use_cpu": True,
        "disable_tqdm": True,
        "learning_rate": 0.01,
        "hub_token": "hf_verysecret",
    }
    arguments = transformers.TrainingArguments(**{**settings, **more})
    sets = {"train_dataset": data[0], "eval_dataset": data[1]}
    return transformers.Trainer(network(), arguments, **sets, callbacks=list(callbacks))


def test_a_model_is_told_as_it_is():
    model = network()
    found = _objects.model(model)
    assert (
        found["parameters"] == model.num_parameters() == sum(p.numel() for p in model.parameters())
    )
    counts = [layer.get("parameters", 0) for layer in _objects.layers(model)]
    assert sum(counts) == found["parameters"]


def test_a_training_is_recorded(data, left, tmp_path):
    training = trainer(data, YProvCallback())
    training.train()
    history = training.state.log_history
    found = left()
    assert found.status == "completed"
    assert found.run["yprov:experiment_name"] == "BertForSequenceClassification"
    params = found.params()
    assert (params["max_steps"], params["learning_rate"]) == (4, 0.01)
    assert params["config.hidden_size"] == 8
    assert params["optimizer"] == "AdamW"
    assert "hf_verysecret" not in found.document.content.decode()
    losses = [entry["loss"] for entry in history if "loss" in entry]
    assert found.values("loss", "training") == pytest.approx(losses)
    assert found.steps("loss", "training") == [2, 4]
    evaluated = [entry["eval_loss"] for entry in history if "eval_loss" in entry]
    assert found.values("loss", "validation") == pytest.approx(evaluated)
    assert found.steps("loss", "validation") == [2, 4]
    datasets = found.datasets()
    assert datasets["train", "training"]["samples"] == 80
    assert datasets["validation", "validation"]["samples"] == 40
    models = {entity["label"]: entity for entity in found.models()}
    assert set(models) == {"BertForSequenceClassification", "checkpoint-4"}
    assert models["checkpoint-4"]["step"] == 4
    (kept,) = [file for file in found.files() if file["path"].endswith("checkpoint-4")]
    assert len(kept["sha256"]) == 64


def test_the_training_is_the_same(data):
    plain = trainer(data)
    plain.train()
    watched = trainer(data, YProvCallback())
    watched.train()
    expected = [p.tolist() for p in plain.model.parameters()]
    assert [p.tolist() for p in watched.model.parameters()] == expected


def test_it_is_nested_in_an_active_run(data, left):
    with ml.start_run("outer"):
        training = trainer(data, YProvCallback(checkpoints=False), save_strategy="no")
        training.train()
        result = training.predict(data[1]).metrics
    found = left()
    assert found.run["yprov:experiment_name"] == "outer"
    assert found.values("loss", "testing") == [result["test_loss"]]
    assert found.datasets()["test", "testing"]["samples"] == 40
    assert {entity["label"] for entity in found.models()} == {"BertForSequenceClassification"}


class Failing(transformers.TrainerCallback):
    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == 3:
            raise ValueError("diverged")


def test_an_exception_ends_its_run(data, left):
    with pytest.raises(ValueError, match="diverged"), YProvCallback() as callback:
        trainer(data, callback, Failing()).train()
    found = left()
    assert found.status == "failed"
    assert found.steps("loss", "training") == [2]


def test_a_failure_of_ours_is_one_warning(data, left, monkeypatch):
    monkeypatch.setattr("yprov4wms.ml._autolog.Session.metrics", lambda *args: 1 / 0)
    with pytest.warns(ml.RecordingWarning, match="ZeroDivisionError") as caught:
        trainer(data, YProvCallback()).train()
    assert len([w for w in caught if w.category is ml.RecordingWarning]) == 1
    assert left().status == "completed"


def test_what_is_logged_is_readable_as_json(data, left):
    trainer(data, YProvCallback()).train()
    (model,) = [entity for entity in left().models() if "layers" in entity]
    assert json.loads(model["layers"])[0]["class"].endswith("Embedding")
