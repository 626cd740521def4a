"""Accuracy and confusion matrix of one model on the test data, recorded as an ML run."""

import argparse
import csv
import json
from pathlib import Path

import joblib
import numpy as np
from sklearn.metrics import accuracy_score, confusion_matrix

from yprov4wms import ml

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--model", required=True)
parser.add_argument("--test", required=True)
parser.add_argument("--scores", required=True)
parser.add_argument("--confusion", required=True)
arguments = parser.parse_args()

name = Path(arguments.model).stem
with ml.start_run("digits evaluation", name=name):
    ml.log_artifact("model", arguments.model, is_input=True)
    ml.log_dataset("test file", arguments.test)
    model = joblib.load(arguments.model)
    with np.load(arguments.test) as data:
        images, labels = data["images"], data["labels"]

    found = model.predict(images)
    accuracy = float(accuracy_score(labels, found))
    ml.log_metric("accuracy", accuracy, context="testing")

    with Path(arguments.confusion).open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["true \\ predicted", *model.classes_])
        matrix = confusion_matrix(labels, found, labels=model.classes_)
        table.writerows([label, *row] for label, row in zip(model.classes_, matrix, strict=True))
    ml.log_artifact("confusion matrix", arguments.confusion, context="testing")

    scores = {"model": name, "test_accuracy": accuracy, "test_images": len(labels)}
    Path(arguments.scores).write_text(json.dumps(scores, indent=1) + "\n")
    ml.log_artifact("scores", arguments.scores, context="testing")
    print(f"{name}: {accuracy:.4f} of {len(labels)} test images")
