"""Part a data set into training, validation and test data, each class in its share."""

import argparse

import numpy as np
from sklearn.model_selection import train_test_split

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("data")
parser.add_argument("--seed", type=int, required=True)
parser.add_argument("--shares", type=float, nargs=2, metavar=("VALIDATION", "TEST"), required=True)
parser.add_argument("--train", required=True)
parser.add_argument("--validation", required=True)
parser.add_argument("--test", required=True)
arguments = parser.parse_args()

with np.load(arguments.data) as data:
    images, labels = data["images"], data["labels"]

validation, test = arguments.shares
everything = np.arange(len(labels))
seen, tested = train_test_split(
    everything, test_size=test, stratify=labels, random_state=arguments.seed
)
trained, validated = train_test_split(
    seen, test_size=validation / (1 - test), stratify=labels[seen], random_state=arguments.seed
)
for path, rows in [
    (arguments.train, trained),
    (arguments.validation, validated),
    (arguments.test, tested),
]:
    np.savez_compressed(path, images=images[rows], labels=labels[rows])
    print(f"{path}: {len(rows)} images")
