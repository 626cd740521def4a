"""Copy the models with the best validation accuracy; the lower loss decides between equals."""

# Snakemake gives the script the object `snakemake`.
# ruff: noqa: F821

import json
import shutil
from pathlib import Path


def rank(entry):
    scores, _ = entry
    return -scores["validation"]["accuracy"], scores["validation"]["loss"], scores["model"]


entries = [
    (json.loads(Path(scores).read_text()), Path(model))
    for scores, model in zip(snakemake.input.scores, snakemake.input.models, strict=True)
]
entries.sort(key=rank)
best = entries[: snakemake.params.top]

folder = Path(snakemake.output.folder)
folder.mkdir(parents=True)
for scores, model in best:
    shutil.copy2(model, folder / f"{scores['model']}.joblib")
Path(snakemake.output.ranking).write_text("".join(f"{s['model']}\n" for s, _ in best))
Path(snakemake.log[0]).write_text("".join(f"{s['model']}: {s['validation']}\n" for s, _ in entries))
