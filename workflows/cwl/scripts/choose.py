"""Copy the models with the best validation accuracy; the lower loss decides between equals."""

import argparse
import json
import shutil
from pathlib import Path

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--top", type=int, required=True)
parser.add_argument("--models", nargs="+", required=True)
parser.add_argument("--scores", nargs="+", required=True)
given = parser.parse_args()


def rank(entry):
    scores, _ = entry
    return -scores["validation"]["accuracy"], scores["validation"]["loss"], scores["model"]


entries = [
    (json.loads(Path(scores).read_text()), Path(model))
    for scores, model in zip(given.scores, given.models, strict=True)
]
entries.sort(key=rank)
best = entries[: given.top]

Path("best").mkdir()
for scores, model in best:
    shutil.copy2(model, f"best/{scores['model']}.joblib")
Path("ranking.txt").write_text("".join(f"{scores['model']}\n" for scores, _ in best))
