"""One page of Markdown: all models by validation accuracy, the tested ones in detail."""

import argparse
import csv
import json
from pathlib import Path

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--trained", nargs="+", required=True)
parser.add_argument("--tested", nargs="*", default=[])
parser.add_argument("--confusion", nargs="*", default=[])
given = parser.parse_args()


def table(head, rows):
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(map(str, line)) + " |\n" for line in lines)


trained = [json.loads(Path(path).read_text()) for path in given.trained]
trained.sort(key=lambda scores: -scores["validation"]["accuracy"])
tested = [json.loads(Path(path).read_text()) for path in given.tested]
accuracy = {scores["model"]: f"{scores['test_accuracy']:.4f}" for scores in tested}

print(f"# Digits: {len(trained)} networks\n")
print("Chosen by validation accuracy; only the chosen ones saw the test data.\n")
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
print(table(head, rows), end="")
for scores, path in zip(tested, given.confusion, strict=True):
    print(f"\n## {scores['model']}\n")
    print(f"Accuracy {scores['test_accuracy']:.4f} on {scores['test_images']} images.\n")
    with Path(path).open(newline="") as file:
        matrix = list(csv.reader(file))
    print(table(matrix[0], matrix[1:]), end="")
