"""The digits of scikit-learn as one NumPy archive: 1,797 images of 8 x 8 pixels."""

import sys

import numpy as np
from sklearn.datasets import load_digits

digits = load_digits()
# Pixels count from 0 to 16.
images = (digits.data / 16.0).astype(np.float32)
np.savez_compressed(sys.argv[1], images=images, labels=digits.target.astype(np.int64))
