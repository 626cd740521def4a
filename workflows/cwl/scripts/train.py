"""Train one network epoch by epoch, and record it as an ML run.

``ml`` writes down what is told here as it happens: under ``yprov-cwl-runner`` the run becomes
part of the workflow's document; under plain cwltool it lies in ``.yprov`` of the job's folder,
which cwltool deletes, or where YPROV_STORE says.
"""

import argparse
import json
from pathlib import Path

import joblib
import numpy as np
from sklearn.metrics import accuracy_score, log_loss
from sklearn.neural_network import MLPClassifier

from yprov4wms import ml

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--train", required=True)
parser.add_argument("--validation", required=True)
parser.add_argument("--hidden", required=True)
parser.add_argument("--learning-rate", type=float, required=True)
parser.add_argument("--epochs", type=int, required=True)
parser.add_argument("--batch-size", type=int, required=True)
parser.add_argument("--alpha", type=float, required=True)
parser.add_argument("--seed", type=int, required=True)
given = parser.parse_args()


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


hidden = [int(size) for size in given.hidden.split("-")]
name = f"hidden{given.hidden}_lr{given.learning_rate}"

with ml.start_run("digits", name=name):
    ml.log_param("hidden_layers", hidden)
    for param in ("learning_rate", "alpha", "epochs", "batch_size", "seed"):
        ml.log_param(param, getattr(given, param))

    data = {}
    for context, path in (("training", given.train), ("validation", given.validation)):
        data[context] = load(path)
        ml.log_dataset(f"{context} file", path, context=context)
        ml.log_dataset(f"{context} images", data[context][0], context=context)

    model = MLPClassifier(
        hidden_layer_sizes=hidden,
        learning_rate_init=given.learning_rate,
        alpha=given.alpha,
        batch_size=given.batch_size,
        random_state=given.seed,
    )
    images, labels = data["training"]
    for epoch in range(given.epochs):
        model.partial_fit(images, labels, classes=np.unique(labels))
        for context in ("training", "validation"):
            found = scores(model, *data[context])
            for metric, value in found.items():
                ml.log_metric(metric, value, context=context, step=epoch)
            print(f"epoch {epoch} {context}: {found}")
        ml.log_system_metrics(context="training", step=epoch)

    joblib.dump(model, f"{name}.joblib")
    ml.log_model(name, model, context="training", path=f"{name}.joblib")

    summary = {
        "model": name,
        "hidden": given.hidden,
        "learning_rate": given.learning_rate,
        "validation": found,
    }
    Path(f"{name}.json").write_text(json.dumps(summary, indent=1) + "\n")
    ml.log_artifact("scores", f"{name}.json", context="validation")
