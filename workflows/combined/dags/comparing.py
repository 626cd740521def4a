"""Compare trained networks on the same data, recorded as an ML run."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from sklearn.metrics import accuracy_score, log_loss

from yprov4wms import ml


def compare(models: dict[str, Path], data: Path, results: Path) -> dict[str, Any]:
    """Which network has the best validation accuracy; the lower loss decides between equals.

    Leaves it in ``results`` as ``winner.joblib``, and a page that tells of all. models: by who
    trained them.
    """
    with ml.start_run("digits comparison"):
        validation, test = data / "validation.npz", data / "test.npz"
        ml.log_dataset("validation file", validation, context="validation")
        ml.log_dataset("test file", test, context="testing")
        found = {}
        for engine, path in models.items():
            ml.log_artifact(f"{engine} model", path, is_input=True)
            found[engine] = scores(path, validation)
            for metric, value in found[engine].items():
                ml.log_metric(f"{engine} {metric}", value, context="validation")
        best = min(found, key=lambda engine: (-found[engine]["accuracy"], found[engine]["loss"]))
        tested = scores(models[best], test)
        ml.log_param("winner", best)
        ml.log_metric("accuracy", tested["accuracy"], context="testing")

        winner, page = results / "winner.joblib", results / "comparison.md"
        shutil.copyfile(models[best], winner)
        ml.log_model("winner", joblib.load(winner), path=winner)
        lines = ["| trained by | network | validation accuracy | loss |", "|---|---|---|---|"]
        lines += [
            f"| {engine} | {path.stem} | {found[engine]['accuracy']:.4f}"
            f" | {found[engine]['loss']:.4f} |"
            for engine, path in models.items()
        ]
        lines += ["", f"The one by {best} is better; accuracy on the test data: "]
        lines[-1] += f"{tested['accuracy']:.4f}."
        page.write_text("\n".join(lines) + "\n")
        ml.log_artifact("comparison", page)
    return {"winner": best, "network": models[best].stem, **tested}


def scores(model: Path, data: Path) -> dict[str, float]:
    network = joblib.load(model)
    with np.load(data) as parts:
        images, labels = parts["images"], parts["labels"]
    probabilities = network.predict_proba(images)
    chosen = network.classes_[probabilities.argmax(axis=1)]
    return {
        "loss": float(log_loss(labels, probabilities, labels=network.classes_)),
        "accuracy": float(accuracy_score(labels, chosen)),
    }
