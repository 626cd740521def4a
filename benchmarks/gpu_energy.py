"""What a small training on NVIDIA devices takes, by the recorder and by NVML alone.

    python benchmarks/gpu_energy.py [--seconds 60] [--interval 1]

Trains a CNN on random images, on each device that PyTorch sees, while the recorder samples in
the background. Beside it the script reads NVML itself, ten times a second: the energy counter,
and power, whose integral shows how far the two agree. Without a device, or without PyTorch,
it says so and exits with 0.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import tempfile
import threading
import time
from contextlib import chdir
from itertools import pairwise
from typing import Any

from yprov4wms import ml
from yprov4wms.metering import gpu, nvml
from yprov4wms.ml import metrics


class Witness:
    """Reads energy and power of devices by itself. joules: by device, None without a counter."""

    def __init__(self, library: nvml.Library, numbers: list[int]) -> None:
        self._library = library
        self._stopped = threading.Event()
        self._readings: dict[int, list[tuple[float, int | None, int | None]]] = {
            number: [] for number in numbers
        }
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Witness:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while True:
            last = self._stopped.wait(0.1)
            for number, readings in self._readings.items():
                energy, power = self._library.energy(number), self._library.power(number)
                readings.append((time.monotonic(), energy, power))
            if last:
                return

    def seconds(self, number: int) -> float:
        readings = self._readings[number]
        return readings[-1][0] - readings[0][0]

    def counted(self, number: int) -> float | None:
        """Joules by the counter."""
        first, last = self._readings[number][0][1], self._readings[number][-1][1]
        return None if first is None or last is None else (last - first) / 1000

    def integrated(self, number: int) -> float | None:
        """Joules under the powers that were read, by the trapezoidal rule."""
        known = [(when, power) for when, _, power in self._readings[number] if power is not None]
        if len(known) < 2:
            return None
        return sum(
            (power + before) / 2000 * (when - then)
            for (then, before), (when, power) in pairwise(known)
        )


def train(torch: Any, seconds: float) -> None:
    """A CNN on each device, a batch on one after the other."""
    trainers = [trainer(torch, f"cuda:{index}") for index in range(torch.cuda.device_count())]
    end, step = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        for index, one in enumerate(trainers):
            ml.log_metric("loss", one(), f"device {index}", step)
        step += 1
    ml.log_param("steps", step)


def trainer(torch: Any, device: str) -> Any:
    """A function that trains on one batch and gives its loss."""
    layers = torch.nn
    model = layers.Sequential(
        layers.Conv2d(3, 64, 3, padding=1),
        layers.ReLU(),
        layers.Conv2d(64, 128, 3, padding=1, stride=2),
        layers.ReLU(),
        layers.AdaptiveAvgPool2d(4),
        layers.Flatten(),
        layers.Linear(128 * 16, 10),
    ).to(device)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    images = torch.randn(256, 3, 64, 64, device=device)
    labels = torch.randint(0, 10, (256,), device=device)

    def step() -> float:
        optimizer.zero_grad()
        loss = layers.functional.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        return float(loss.item())

    return step


def report(run: ml.ActiveRun, witness: Witness, devices: list[nvml.Device]) -> None:
    series = {(one.name, one.source): one for one in metrics.read(run.folder.location)}
    alone = len(devices) == 1
    print(f"{'':12}{'W mean':>9}{'W max':>9}{'J recorder':>12}{'J counter':>12}{'J power':>12}")
    totals: list[float] = []
    for device in devices:
        suffix = "" if alone else f":{device.index}"
        power = series.get(("gpu_power", f"nvml{suffix}"))
        energies = [
            series.get(("gpu_energy", f"{source}{suffix}"))
            for source in ("nvml", "nvml-power-sampled")
        ]
        known = [sum(found.column.values) for found in energies if found is not None]
        joules = sum(known) if known else None
        if joules is not None:
            totals.append(joules)
        counted, integrated = witness.counted(device.index), witness.integrated(device.index)
        measured = integrated if counted is None else counted
        mean = None if measured is None else measured / witness.seconds(device.index)
        highest = power.summary().max if power is not None else None
        print(f"GPU {device.index:<8}{number(mean, 9)}{number(highest, 9)}", end="")
        print("".join(number(value, 12) for value in (joules, counted, integrated)), device.name)
        if counted and integrated:
            print(f"{'':12}power / counter {integrated / counted:.3f}", end="")
            print(f", recorder / counter {joules / counted:.3f}" if joules else "")
    if totals:
        print(f"all devices {sum(totals):.0f} J")
    for name in ("cpu", "ram"):
        for (metric, source), found in series.items():
            if metric == f"{name}_energy":
                print(f"{name} ({source}) {sum(found.column.values):.0f} J")


def number(value: float | None, width: int) -> str:
    return f"{'-' if value is None else format(value, '.1f'):>{width}}"


def missing() -> str | None:
    """Why nothing can be measured here."""
    if not gpu.devices():
        return f"no NVIDIA device: {gpu.problem() or 'NVML lists none'}"
    if importlib.util.find_spec("torch") is None:
        return "PyTorch is not installed"
    import torch

    return None if torch.cuda.is_available() else "PyTorch sees no CUDA device"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="of training")
    parser.add_argument("--interval", type=float, default=1.0, help="seconds between samples")
    options = parser.parse_args()
    reason = missing()
    if reason is not None:
        print(f"nothing to measure: {reason}")
        return
    import torch

    library = nvml.load()
    assert library is not None
    devices = gpu.visible(library.devices, os.environ)
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        # What CUDA's start takes is no part of the training.
        trainer(torch, "cuda:0")()
        witness = Witness(library, [device.index for device in devices])
        with witness, ml.start_run("gpu-energy", sample_interval=options.interval) as run:
            train(torch, options.seconds)
        report(run, witness, devices)


if __name__ == "__main__":
    main()
