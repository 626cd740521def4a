"""What a small training on NVIDIA devices takes, by the recorder and by NVML alone.

    python benchmarks/gpu_energy.py [--seconds 60] [--interval 1]

Trains a CNN on random images, on each device that PyTorch sees, with the recorder sampling
in the background. Beside it this script reads NVML itself, ten times a second: the energy
counter at the begin and the end, and power, whose integral is to agree with the counter.
Without a device, or without PyTorch, it says so, and exits with 0.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import chdir
from typing import Any

from yprov4wms import ml
from yprov4wms.metering import gpu, nvml
from yprov4wms.ml.metrics import summarise_values
