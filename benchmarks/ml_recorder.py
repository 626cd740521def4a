"""What recording a training costs: our ML recorder, yProv4ML, MLflow with a file store.

    python benchmarks/ml_recorder.py [--yprov4ml PYTHON] [--mlflow PYTHON] [--rounds 5] [--quick]

Ours is measured by the interpreter that runs this; the peers by those of environments of
their own, and left out without. The figures are medians of the rounds, the sides in turns,
each measurement in a process of its own; "CPU" is that of the whole process, all threads.
``--parts`` names the parts to run, ``--profile`` also prints where our end_run spends its time.

import    In a bare interpreter.
start     The first start_run of a process, with its experiment.
metrics   log_metric of noisy float64 values with a step, in a loop; CPU until all is on disk, in
          the background or not, and the bytes there; and the bytes of 500 values 10 ms apart.
          Ours keeps times in microseconds, the peers in milliseconds. Of MLflow and NetCDF, which
          take far longer, fewer values.
durable   A loop logs for 5 s, waits 2 s, and is gone as by ``kill -9``. This process watches the
          file meanwhile: the longest time until a value was in it, and how many never were.
system    log_system_metrics of all that each has, in a loop, and 10 ms apart. MLflow has no such
          call: what its sampler spends per sample. Values per call: those of 10 ms apart, without
          yProv4ML's "None" and without ours that take longer to tell.
run       1,000 parameters, 3,000 artifacts, the end. yProv4ML takes no checksums; MLflow copies
          the files, and makes no document.
training  Epochs of a small CNN on random 28x28 images, 60,000 samples, on one thread: without,
          and with a metric each step and system metrics each second, A B A B, as the recorder of
          each side has it. "by turns" is how much more CPU an epoch takes, the median of pairs;
          "noise" how far two successive epochs without differ; "counted" is the CPU of the
          calls, by the thread's clock, and of threads in the background, over an epoch's. Needs
          torch in each environment.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

PARTS = ("import", "start", "metrics", "durable", "system", "run", "training")
PARAMS, ARTIFACTS = 1000, 3000
#: Long enough for what is written in the background.
SETTLES = 1.5


# In a process of its own, by the interpreter of a side.


class Yprov4wms:
    """One way to record: what the measured scripts call."""

    name = "yprov4wms"
    imports = "yprov4wms.ml"
    #: Files of metrics, and of the metric ``loss``, below the folder of the runs.
    files = "**/metrics/*.ymet"
    losses = files
    #: Of the values that a peer can take.
    share = 1

    def __init__(self, folder: str) -> None:
        from yprov4wms import ml

        self.ml: Any = ml
        self.folder = folder
        self.log_metric = ml.log_metric

    def start(self, sampled: float | None = None) -> None:
        self.ml.start_run("benchmark", store=self.folder, sample_interval=sampled)

    def artifact(self, path: str) -> None:
        self.ml.log_artifact(path, path)

    def param(self, name: str, value: object) -> None:
        self.ml.log_param(name, value)

    def system(self) -> None:
        self.ml.log_system_metrics()

    def tick(self, step: int) -> None:
        """Each step of a training."""

    def end(self) -> None:
        self.ml.end_run()

    @classmethod
    def values(cls, file: Path) -> list[tuple[int, float]]:
        """Where each value ends in a file, in bytes, and the value."""
        from yprov4wms.ml import metrics
        from yprov4wms.ml._series import HEADER

        data, place, found = file.read_bytes(), 0, []
        for block in metrics.blocks(data):
            place += HEADER.size + HEADER.unpack_from(data, place)[1]
            found += [(place, value) for value in block.values]
        return found


class Yprov4ml(Yprov4wms):
    name = "yprov4ml"
    imports = "yprov4ml"
    files = "**/metrics_GR*/*.*"
    losses = "**/metrics_GR*/loss*.*"
    format = "csv"

    def __init__(self, folder: str) -> None:
        import yprov4ml

        self.ml = yprov4ml
        self.folder = folder
        self.log_metric = yprov4ml.log_metric
        self._due = 0.0

    def start(self, sampled: float | None = None) -> None:
        self._sampled = sampled
        self.ml.start_run(
            "benchmark", provenance_save_dir=self.folder, metrics_file_type=self.format
        )

    def artifact(self, path: str) -> None:
        self.ml.log_artifact(path, path, log_copy_in_prov_directory=False)

    def tick(self, step: int) -> None:
        """It has no sampler: a script asks for system metrics by itself."""
        if self._sampled and time.monotonic() >= self._due:
            self._due = time.monotonic() + self._sampled
            self.ml.log_system_metrics(step=step)

    @classmethod
    def values(cls, file: Path) -> list[tuple[int, float]]:
        return _lines(file, ",")


class Yprov4mlNetCDF(Yprov4ml):
    name = "yprov4ml, NetCDF"
    format = "nc"
    share = 20


class MLflow(Yprov4wms):
    name = "MLflow"
    imports = "mlflow"
    files = "**/metrics/**/*"
    losses = "**/metrics/loss"
    share = 50

    def __init__(self, folder: str) -> None:
        # Newer versions take a file store only so.
        os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
        import mlflow

        self.ml = mlflow
        self.log_metric = mlflow.log_metric
        mlflow.set_tracking_uri(Path(folder).as_uri())

    def start(self, sampled: float | None = None) -> None:
        self.ml.set_experiment("benchmark")
        if sampled:
            self.ml.set_system_metrics_sampling_interval(sampled)
            self.ml.set_system_metrics_samples_before_logging(1)
        self.ml.start_run(log_system_metrics=bool(sampled))

    def artifact(self, path: str) -> None:
        self.ml.log_artifact(path)

    @classmethod
    def values(cls, file: Path) -> list[tuple[int, float]]:
        return _lines(file, " ")


SIDES = {side.name: side for side in (Yprov4wms, Yprov4ml, Yprov4mlNetCDF, MLflow)}


def _lines(file: Path, separator: str) -> list[tuple[int, float]]:
    """Of text, a value to a line in the second column."""
    place, found = 0, []
    for line in file.read_bytes().splitlines(keepends=True):
        place += len(line)
        words = line.decode().split(separator)
        # Empty lines, a head, and "None" for what could not be measured.
        if line.endswith(b"\n") and len(words) > 1 and words[1] not in ("value", "None"):
            found.append((place, float(words[1])))
    return found


def _written(side: Yprov4wms, folder: str) -> tuple[int, int]:
    """Bytes and number of the values on disk."""
    paths = [path for path in Path(folder).glob(side.files) if path.is_file()]
    size = sum(path.stat().st_size for path in paths)
    if isinstance(side, Yprov4mlNetCDF):
        import netCDF4

        datasets = [netCDF4.Dataset(path) for path in paths]
        return size, sum(len(dataset.dimensions["time"]) for dataset in datasets)
    return size, sum(len(side.values(path)) for path in paths)


def started(side: Yprov4wms, folder: str) -> dict[str, float]:
    cpu, wall = time.process_time(), time.perf_counter()
    side.start()
    spent = {"start wall": time.perf_counter() - wall, "start": time.process_time() - cpu}
    side.end()
    return spent


def logged(side: Yprov4wms, folder: str, count: int, pause: float) -> dict[str, float]:
    """log_metric in a loop."""
    if not pause:
        count //= side.share
    noise = random.Random(7)
    values = [0.5 + noise.gauss(0.0, 0.1) for _ in range(count)]
    side.start()
    log = side.log_metric
    cpu = time.process_time()
    for step, value in enumerate(values):
        log("loss", value, step=step)
        if pause:
            time.sleep(pause)
    time.sleep(SETTLES)
    spent = time.process_time() - cpu
    side.end()
    size, found = _written(side, folder)
    if found != count:
        sys.exit(f"of {count} values {found} are on disk")
    if pause:
        return {"paced bytes": size / count}
    return {"log_metric": spent / count, "bytes": size / count}


def kept_logging(side: Yprov4wms, folder: str, seconds: float, pause: float) -> dict[str, float]:
    """Values that are the times at which they are logged; ends without an end."""
    side.start()
    log, clock, step = side.log_metric, time.time, 0
    end = clock() + seconds
    while (now := clock()) < end:
        log("loss", now, step=step)
        step += 1
        if pause:
            time.sleep(pause)
    time.sleep(2.0)
    print(json.dumps({"count": step}), flush=True)
    os._exit(0)


def sampled(side: Yprov4wms, folder: str, calls: int, pause: float) -> dict[str, float]:
    """log_system_metrics."""
    if isinstance(side, MLflow):
        idle = _sleeping(calls)
        side.start(sampled=0.02)
        spent = _sleeping(calls) - idle
        side.end()
        found = [len(side.values(p)) for p in Path(folder).glob(side.files) if p.is_file()]
        return {"system paced": spent / max(found), "system values": sum(found) / max(found)}
    idle = _sleeping(calls)
    side.start()
    side.system()  # the first one finds out what there is
    before = time.process_time()
    for _ in range(calls):
        side.system()
        if pause:
            time.sleep(pause)
    time.sleep(SETTLES)
    spent = time.process_time() - before
    side.end()
    if pause:
        found = _written(side, folder)[1]
        return {"system paced": (spent - idle) / calls, "system values": found / (calls + 1)}
    return {"system": spent / calls}


def _sleeping(times: int) -> float:
    """CPU seconds of as many pauses."""
    before = time.process_time()
    for _ in range(times):
        time.sleep(0.01)
    return time.process_time() - before


def whole_run(side: Yprov4wms, folder: str, files: str, label: str, profiled: bool) -> Any:
    """Parameters and artifacts, and the end."""
    paths = sorted(str(path) for path in Path(files).iterdir())
    side.start()
    marks = [time.process_time()]
    for number in range(PARAMS):
        side.param(f"param_{number}", number / 7)
    marks.append(time.process_time())
    for path in paths:
        side.artifact(path)
    marks.append(time.process_time())
    wall = time.perf_counter()
    if profiled:
        import cProfile
        import pstats

        profile = cProfile.Profile()
        profile.runcall(side.end)
        pstats.Stats(profile).sort_stats("tottime").print_stats(25)
        pstats.Stats(profile).sort_stats("cumulative").print_stats(40)
    else:
        side.end()
    marks.append(time.process_time())
    spent = [after - before for before, after in pairwise(marks)]
    return {
        f"params{label}": spent[0] / PARAMS,
        f"artifacts{label}": spent[1] / ARTIFACTS,
        f"end{label}": spent[2],
        f"end wall{label}": time.perf_counter() - wall,
        f"all{label}": sum(spent),
    }


def trained(side: Yprov4wms, folder: str, samples: int, pairs: int) -> dict[str, Any]:
    """Epochs with and without, in turns; the first one warms up."""
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(7)
    images, labels = torch.rand(samples, 1, 28, 28), torch.randint(10, (samples,))
    nn = torch.nn
    model = nn.Sequential(
        *(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(16 * 7 * 7, 10)),
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)

    def steps() -> Iterator[tuple[int, float]]:
        for step, first in enumerate(range(0, samples, 64)):
            optimizer.zero_grad()
            found = model(images[first : first + 64])
            loss = nn.functional.cross_entropy(found, labels[first : first + 64])
            loss.backward()
            optimizer.step()
            yield step, loss.item()

    def without() -> float:
        before = time.process_time()
        for _ in steps():
            pass
        return time.process_time() - before

    def recorded() -> tuple[float, float]:
        log, tick, clock, calls = side.log_metric, side.tick, time.thread_time, 0.0
        side.start(sampled=1.0)
        before, own = time.process_time(), clock()
        for step, loss in steps():
            begun = clock()
            log("loss", loss, step=step)
            tick(step)
            calls += clock() - begun
        spent = time.process_time() - before
        background = spent - (clock() - own)
        side.end()
        return spent, calls + background

    without()
    recorded()
    plain, more, counted = [], [], []
    for _ in range(pairs):
        plain.append(without())
        spent, own = recorded()
        more.append(spent)
        counted.append(own)
    return {
        "epoch": plain,
        "by turns": [100 * (b / a - 1) for a, b in zip(plain, more, strict=True)],
        "noise": [100 * abs(later / earlier - 1) for earlier, later in pairwise(plain)],
        "counted": [100 * own / median(plain) for own in counted],
    }


# Around it.


class Row(NamedTuple):
    """wanted: of ours. ratio: whether those of the peers to ours are of interest."""

    part: str
    key: str
    label: str
    unit: str
    wanted: str = ""
    scale: float = 1.0
    ratio: bool = True


ROWS = (
    Row("import", "import", "import, CPU", "s", "< 0.1, 20x"),
    Row("import", "import wall", "import, wall", "s"),
    Row("start", "start wall", "start_run, wall", "ms", "< 10", 1e3),
    Row("start", "start", "start_run, CPU", "ms", "", 1e3),
    Row("metrics", "log_metric", "log_metric until on disk, CPU", "us", "< 1", 1e6),
    Row("metrics", "bytes", "bytes of a value, in a loop", "B", "< 10"),
    Row("metrics", "paced bytes", "bytes of a value, each 10 ms", "B", "< 10"),
    Row("durable", "delay", "longest until durable, every 10 ms", "s", "< 1"),
    Row("durable", "lost", "  values lost by a kill 2 s later", "", "0", 1, False),
    Row("durable", "tight delay", "longest until durable, tight loop", "s", "< 1"),
    Row("durable", "tight lost", "  values lost by a kill 2 s later", "", "0", 1, False),
    Row("system", "system", "log_system_metrics, CPU", "ms", "< 0.16", 1e3),
    Row("system", "system paced", "log_system_metrics each 10 ms, CPU", "ms", "", 1e3),
    Row("system", "system values", "  values per call", "", "", 1, False),
    Row("run", "params", "log_param, CPU", "us", "", 1e6),
    Row("run", "artifacts", "log_artifact, CPU", "us", "", 1e6),
    Row("run", "end", "end_run, CPU", "s", "< 0.3"),
    Row("run", "end wall", "end_run, wall", "s"),
    Row("run", "all", "parameters, artifacts, end, CPU", "s"),
    Row("run", "artifacts, hashed", "log_artifact with sha256, CPU", "us", "", 1e6),
    Row("run", "end, hashed", "end_run with sha256, CPU", "s", "< 0.3"),
    Row("run", "all, hashed", "all three with sha256, CPU", "s"),
    Row("training", "epoch", "epoch without, CPU", "s", "", 1, False),
    Row("training", "by turns", "more with, by turns", "%", "< 1", 1, False),
    Row("training", "noise", "  noise", "%", "", 1, False),
    Row("training", "counted", "more with, counted", "%", "< 1", 1, False),
)


class Bench:
    """Measures one side."""

    def __init__(self, side: type[Yprov4wms], python: str, scratch: Path) -> None:
        self.side = side
        self._python = python
        self._scratch = scratch
        self.found: dict[str, list[float]] = {}

    def add(self, figures: dict[str, Any]) -> None:
        for key, value in figures.items():
            self.found.setdefault(key, []).extend(value if isinstance(value, list) else [value])

    @contextlib.contextmanager
    def _run(self, *request: Any, **variables: str) -> Iterator[subprocess.Popen[str]]:
        dropped = ("YPROV_", "MLFLOW_", "GIT_", "PYTHON")
        environment = {k: v for k, v in os.environ.items() if not k.startswith(dropped)}
        environment |= {"OMP_NUM_THREADS": "1", **variables}
        with tempfile.TemporaryDirectory(dir=self._scratch, ignore_cleanup_errors=True) as folder:
            log = self._scratch / "log.txt"
            with log.open("w") as said:
                child = subprocess.Popen(
                    [self._python, *(a if isinstance(a, str) else json.dumps(a) for a in request)],
                    env=environment,
                    cwd=folder,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=said,
                    text=True,
                )
                yield child
                child.wait()
            if child.returncode:
                sys.exit(f"{self.side.name} ended with {child.returncode}\n{log.read_text()}")

    def ask(self, function: Callable[..., Any], *arguments: Any, **variables: str) -> list[str]:
        """Take the figures of a function of this file, in the side's interpreter; returns
        what else it printed."""
        request = [self.side.name, function.__name__, *arguments]
        with self._run(__file__, "--in", request, **variables) as child:
            said, _ = child.communicate()
        *more, answer = said.splitlines()
        self.add(json.loads(answer))
        return more

    def imported(self) -> None:
        code = (
            "import time; wall, cpu = time.perf_counter(), time.process_time()\n"
            f"import {self.side.imports}\n"
            "cpu, wall = time.process_time() - cpu, time.perf_counter() - wall\n"
            "print(cpu, wall)"
        )
        with self._run("-c", code) as child:
            said, _ = child.communicate()
        cpu, wall = said.split()[-2:]
        self.add({"import": float(cpu), "import wall": float(wall)})

    def watched(self, pause: float, label: str) -> None:
        """How long values take to be in the file."""
        request = [self.side.name, kept_logging.__name__, 5.0, pause]
        with self._run(__file__, "--in", request) as child:
            folder = Path(f"/proc/{child.pid}/cwd").resolve()
            sizes: list[tuple[float, int]] = []
            file: Path | None = None
            while child.poll() is None:
                if file is None:
                    file = next(folder.glob(self.side.losses), None)
                    time.sleep(0.01)
                    continue
                size = file.stat().st_size
                if not sizes or size > sizes[-1][1]:
                    sizes.append((time.time(), size))
                time.sleep(0.001)
            if file:
                sizes.append((time.time(), file.stat().st_size))
            values = self.side.values(file) if file else []
            count = json.loads(child.stdout.read().splitlines()[-1])["count"] if child.stdout else 0
        delays, seen = [0.0], iter(sizes)
        moment, size = next(seen, (0.0, 0))
        for end, value in values:
            while end > size:
                moment, size = next(seen)
            delays.append(moment - value)
        self.add({f"{label}delay": max(delays), f"{label}lost": count - len(values)})


def measure(benches: list[Bench], given: argparse.Namespace, files: str) -> None:
    count = 10_000 if given.quick else 100_000
    samples = 6_000 if given.quick else 60_000
    ours = benches[0]
    for number in range(given.rounds):
        print(f"round {number + 1} of {given.rounds}", file=sys.stderr, flush=True)
        for bench in benches:
            if "metrics" in given.parts:
                bench.ask(logged, count, 0.0)
                bench.ask(logged, 500, 0.01)
            if bench.side is Yprov4mlNetCDF:
                continue
            if "import" in given.parts:
                bench.imported()
            if "start" in given.parts:
                bench.ask(started)
            if "durable" in given.parts and number < 3:
                bench.watched(0.01, "")
                bench.watched(0.0, "tight ")
            if "system" in given.parts:
                if bench.side is not MLflow:
                    bench.ask(sampled, 500, 0.0)
                bench.ask(sampled, 200, 0.01)
            if "run" in given.parts:
                bench.ask(whole_run, files, "", False, YPROV_HASH="none")
            if "training" in given.parts:
                bench.ask(trained, samples, 2)
        if "run" in given.parts:
            ours.ask(whole_run, files, ", hashed", False)
    if given.profile:
        print(*ours.ask(whole_run, files, ", profiled", True), sep="\n")


def show(benches: list[Bench], parts: list[str]) -> None:
    ours = benches[0].found
    heads = [f"{bench.side.name:>18}" + "     x" * (bench is not benches[0]) for bench in benches]
    print(f"{'median (least)':<36} {'':<3} {'wanted':>10}", *heads)
    for row in ROWS:
        if row.part not in parts:
            continue
        cells = []
        for bench in benches:
            values = [value * row.scale for value in bench.found.get(row.key, ())]
            cell, ratio = "", ""
            if values:
                cell = f"{_short(median(values))} ({_short(min(values))})"
                if bench is not benches[0] and row.ratio:
                    own = median(ours[row.key]) * row.scale
                    ratio = f"{median(values) / own:.{0 if median(values) > 9.5 * own else 1}f}"
            cells.append(f"{cell:>18}" + f" {ratio:>5}" * (bench is not benches[0]))
        print(f"{row.label:<36} {row.unit:<3} {row.wanted:>10}", *cells)


def _short(value: float) -> str:
    """Three digits, without an exponent."""
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3
    return f"{value:.{digits}f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--yprov4ml", metavar="PYTHON", help="interpreter that has yProv4ML")
    parser.add_argument("--mlflow", metavar="PYTHON", help="interpreter that has MLflow")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="a tenth of the values and samples")
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=PARTS)
    parser.add_argument("--profile", action="store_true", help="where our end_run spends its time")
    parser.add_argument("--in", dest="request", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.request:
        name, function, *arguments = json.loads(given.request)
        folder = str(Path.cwd() / "runs")
        answer = globals()[function](SIDES[name](folder), folder, *arguments)
        print(json.dumps(answer))
        return
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        scratch, files = Path(folder), Path(folder, "artifacts")
        files.mkdir()
        for number in range(ARTIFACTS):
            (files / f"artifact_{number}.txt").write_text(f"{number}\n" * 100)
        benches = [Bench(Yprov4wms, sys.executable, scratch)]
        if given.yprov4ml:
            benches += [Bench(side, given.yprov4ml, scratch) for side in (Yprov4ml, Yprov4mlNetCDF)]
        if given.mlflow:
            benches.append(Bench(MLflow, given.mlflow, scratch))
        measure(benches, given, str(files))
        show(benches, given.parts)


if __name__ == "__main__":
    main()
