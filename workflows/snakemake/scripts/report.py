"""One page of Markdown: all models by validation accuracy, the best in detail."""

# Snakemake gives the script the object `snakemake`.
# ruff: noqa: F821

import csv
import json
from pathlib import Path


def table(head, rows):
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(map(str, line)) + " |\n" for line in lines)


trained = [json.loads(Path(path).read_text()) for path in snakemake.input.trained]
trained.sort(key=lambda scores: -scores["validation"]["accuracy"])
tested = [json.loads(Path(path).read_text()) for path in snakemake.input.tested]
accuracy = {scores["model"]: f"{scores['test_accuracy']:.4f}" for scores in tested}

with Path(snakemake.output[0]).open("w") as page:
    page.write(f"# Digits: {len(trained)} networks\n\n")
    page.write("Chosen by validation accuracy; only the chosen ones saw the test data.\n\n")
    head = ["hidden layers", "learning rate", "validation loss", "validation accuracy", "test"]
    rows = [
        [
            scores["hidden"],
            scores["learning_rate"],
            f"{scores['validation']['loss']:.4f}",
            f"{scores['validation']['accuracy']:.4f}",
            accuracy.get(scores["model"], ""),
        ]
        for scores in trained
    ]
    page.write(table(head, rows))
    for scores, path in zip(tested, snakemake.input.confusion, strict=True):
        page.write(f"\n## {scores['model']}\n\n")
        page.write(f"Accuracy {scores['test_accuracy']:.4f} on {scores['test_images']} images.\n\n")
        with Path(path).open(newline="") as file:
            matrix = list(csv.reader(file))
        page.write(table(matrix[0], matrix[1:]))

Path(snakemake.log[0]).write_text(f"{len(trained)} models, {len(tested)} of them tested\n")
