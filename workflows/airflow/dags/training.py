"""Train one network epoch by epoch, and record it as an ML run.

``ml`` writes down what is told here as it happens. Where yprov4wms records the run of the
workflow the ML run becomes part of its document; elsewhere it lies alone in ``.yprov``, or
where YPROV_STORE says.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from sklearn.metrics import accuracy_score, log_loss
from sklearn.neural_network import MLPClassifier

from yprov4wms import ml


def train(
    data: Path, models: Path, hidden: str, learning_rate: float, **params: Any
) -> dict[str, Any]:
    """What the network is called, its hyperparameters, and its scores after the last epoch.

    Leaves it in ``models`` as ``<name>.joblib``, and what is returned as ``<name>.json``.

    Args:
        hidden: Sizes of the hidden layers, joined by "-".
        params: ``epochs``, and what else MLPClassifier takes; ``seed`` is its random state.
    """
    name = f"hidden{hidden}_lr{learning_rate}"
    layers = [int(size) for size in hidden.split("-")]
    with ml.start_run("digits", name=name):
        ml.log_param("hidden_layers", layers)
        ml.log_param("learning_rate", learning_rate)
        for param, value in params.items():
            ml.log_param(param, value)

        loaded = {}
        for context, path in (
            ("training", data / "train.npz"),
            ("validation", data / "validation.npz"),
        ):
            loaded[context] = load(path)
            ml.log_dataset(f"{context} file", path, context=context)
            ml.log_dataset(f"{context} images", loaded[context][0], context=context)

        model = MLPClassifier(
            hidden_layer_sizes=layers,
            learning_rate_init=learning_rate,
            alpha=params["alpha"],
            batch_size=params["batch_size"],
            random_state=params["seed"],
        )
        images, labels = loaded["training"]
        for epoch in range(params["epochs"]):
            model.partial_fit(images, labels, classes=np.unique(labels))
            for context in ("training", "validation"):
                found = scores(model, *loaded[context])
                for metric, value in found.items():
                    ml.log_metric(metric, value, context=context, step=epoch)
                print(f"epoch {epoch} {context}: {found}")
            ml.log_system_metrics(context="training", step=epoch)

        joblib.dump(model, models / f"{name}.joblib")
        ml.log_model(name, model, context="training", path=models / f"{name}.joblib")

        summary = {
            "model": name,
            "hidden": hidden,
            "learning_rate": learning_rate,
            "validation": found,
        }
        (models / f"{name}.json").write_text(json.dumps(summary, indent=1) + "\n")
        ml.log_artifact("scores", models / f"{name}.json", context="validation")
    return summary


def load(path: Path) -> tuple[np.ndarray, np.ndarray]:
    with np.load(path) as data:
        return data["images"], data["labels"]


def scores(model: MLPClassifier, images: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    probabilities = model.predict_proba(images)
    found = {
        "loss": log_loss(labels, probabilities, labels=model.classes_),
        "accuracy": accuracy_score(labels, model.classes_[probabilities.argmax(axis=1)]),
    }
    return {name: float(value) for name, value in found.items()}
