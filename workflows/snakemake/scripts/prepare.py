"""The digits of scikit-learn as one NumPy archive: 1,797 images of 8 x 8 pixels."""

# Snakemake gives the script the object `snakemake`.
# ruff: noqa: F821

from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

digits = load_digits()
# Pixels count from 0 to 16.
images = (digits.data / 16.0).astype(np.float32)
np.savez_compressed(snakemake.output[0], images=images, labels=digits.target.astype(np.int64))
Path(snakemake.log[0]).write_text(f"{len(images)} images, {images.shape[1]} pixels each\n")
