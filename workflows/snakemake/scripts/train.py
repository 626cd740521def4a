"""Train one network epoch by epoch, and record it as an ML run.

``ml`` writes down what is told here as it happens: under ``snakemake --executor yprov``
the run becomes part of the workflow's document; under plain Snakemake it lies alone in
``.yprov``, or where YPROV_STORE says.
"""

# Snakemake gives the script the object `snakemake`.
# ruff: noqa: F821

import json
from pathlib import Path

import joblib
import numpy as np
from sklearn.metrics import accuracy_score, log_loss
from sklearn.neural_network import MLPClassifier

from yprov4wms import ml


def load(path):
    with np.load(path) as data:
        return data["images"], data["labels"]


def scores(model, images, labels):
    probabilities = model.predict_proba(images)
    found = {
        "loss": log_loss(labels, probabilities, labels=model.classes_),
        "accuracy": accuracy_score(labels, model.classes_[probabilities.argmax(axis=1)]),
    }
    return {name: float(value) for name, value in found.items()}


params, wildcards = snakemake.params, snakemake.wildcards
hidden = [int(size) for size in wildcards.hidden.split("-")]
rate = float(wildcards.rate)
name = Path(snakemake.output.model).stem

with ml.start_run("digits", name=name), Path(snakemake.log[0]).open("w") as log:
    ml.log_param("hidden_layers", hidden)
    ml.log_param("learning_rate", rate)
    ml.log_param("alpha", params.alpha)
    ml.log_param("epochs", params.epochs)
    ml.log_param("batch_size", params.batch_size)
    ml.log_param("seed", params.seed)

    data = {}
    for context in ("training", "validation"):
        path = snakemake.input.train if context == "training" else snakemake.input.validation
        data[context] = load(path)
        ml.log_dataset(f"{context} file", path, context=context)
        ml.log_dataset(f"{context} images", data[context][0], context=context)

    model = MLPClassifier(
        hidden_layer_sizes=hidden,
        learning_rate_init=rate,
        alpha=params.alpha,
        batch_size=params.batch_size,
        random_state=params.seed,
    )
    images, labels = data["training"]
    for epoch in range(params.epochs):
        model.partial_fit(images, labels, classes=np.unique(labels))
        for context in ("training", "validation"):
            found = scores(model, *data[context])
            for metric, value in found.items():
                ml.log_metric(metric, value, context=context, step=epoch)
            log.write(f"epoch {epoch} {context}: {found}\n")
        ml.log_system_metrics(context="training", step=epoch)

    joblib.dump(model, snakemake.output.model)
    ml.log_model(name, model, context="training", path=snakemake.output.model)

    summary = {
        "model": name,
        "hidden": wildcards.hidden,
        "learning_rate": rate,
        "validation": found,
    }
    Path(snakemake.output.scores).write_text(json.dumps(summary, indent=1) + "\n")
    ml.log_artifact("scores", snakemake.output.scores, context="validation")
