"""What recording costs a Snakemake run: CPU in our hooks and threads over a plain run's.

    python benchmarks/snakemake_overhead.py [--jobs 300] [--rounds 5] [--plugin logger] [--peer]

One-line jobs, greedy scheduler. Plain and recorded runs alternate; with --peer those of
snakemake-logger-plugin-snkmt (a log of events in SQLite), too. "Hooks and threads" is the
CPU time of Snakemake's main and worker threads inside our hooks (outermost call each, measured
by the thread's own CPU clock), of our imports and of our background threads; the final export,
with its imports, stands apart. All modules have their bytecode, as pip installs them: the first
run of each kind is not counted.
"Whole process" is the difference of the two processes' CPU, children included; peak memory is
that of Snakemake's own process, the export at its end included.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

SNAKEFILE = """
rule all:
    input: expand("out/{{i}}", i=range({jobs}))
rule one:
    output: "out/{{i}}"
    shell: "touch {{output}}"
"""

#: Runs in place of ``snakemake``: counts CPU time in our hooks, then prints it.
DRIVER = """
import atexit, functools, json, sys, threading, time
spent = {"hooks": 0.0, "export": 0.0, "threads": 0.0}
lock, local = threading.Lock(), threading.local()

def counted(function, name):
    @functools.wraps(function)
    def call(*args, **kwargs):
        if getattr(local, "inside", None):
            return function(*args, **kwargs)
        local.inside = True
        start = time.thread_time()
        try:
            return function(*args, **kwargs)
        finally:
            local.inside = False
            with lock:
                spent[name] += time.thread_time() - start
    return call

recorded = "yprov" in sys.argv
if recorded:
    # What Snakemake imports itself is not ours.
    import snakemake.cli, snakemake.executors.local, snakemake.workflow
    start = time.thread_time()
    from snakemake_executor_plugin_yprov import capture, session
    from yprov4wms.metering import process, task
    spent["hooks"] += time.thread_time() - start
    start = time.thread_time()
    from yprov4wms.export import document
    spent["export"] += time.thread_time() - start
    S = session.Session
    for name in ("selected", "environment", "submitted", "reported", "succeeded", "failed",
                 "_start", "_find"):
        setattr(S, name, counted(getattr(S, name), "hooks"))
    export = document.export
    def timed(*args, **kwargs):
        begin = time.thread_time()
        try:
            return export(*args, **kwargs)
        finally:
            spent["export"] += time.thread_time() - begin
    document.export = timed
    finish = S.finish
    def finished(self, error):
        before, begin = spent["export"], time.thread_time()
        try:
            return finish(self, error)
        finally:
            spent["hooks"] += time.thread_time() - begin - (spent["export"] - before)
    S.finish = finished
    meter_started, meter_ended = task.TaskMeter.started, task.TaskMeter.ended
    task.TaskMeter.started = counted(meter_started, "hooks")
    task.TaskMeter.ended = counted(meter_ended, "hooks")
    process._with_env = counted(process._with_env, "hooks")
    process.procfs.io = counted(process.procfs.io, "hooks")
    run = threading.Thread.run
    def thread_run(self):
        run(self)
        if self.name.startswith("yprov"):
            with lock:
                spent["threads"] += time.thread_time()
    threading.Thread.run = thread_run

def tell():
    import os
    for thread in threading.enumerate():
        if thread.name.startswith("yprov") and thread.native_id:
            try:
                fields = open(f"/proc/self/task/{thread.native_id}/schedstat").read().split()
                spent["threads"] += int(fields[0]) / 1e9
            except OSError:
                pass
    (line,) = [line for line in open("/proc/self/status") if line.startswith("VmHWM")]
    spent["memory"] = int(line.split()[1]) / 1024
    json.dump(spent, open(sys.argv[0] + ".json", "w"))
atexit.register(tell)
from snakemake.cli import main
sys.exit(main(sys.argv[1:]))
"""


def options(way: str, folder: Path) -> list[str]:
    return {
        "plain": [],
        "executor": ["--executor", "yprov"],
        "logger": ["--logger", "yprov"],
        "snkmt": ["--logger", "snkmt", "--logger-snkmt-db", str(folder / "snkmt.db")],
    }[way]


def run(jobs: int, way: str, bytecode: str) -> tuple[float, dict[str, float]]:
    """CPU seconds of Snakemake and its children; what the driver counted of them, and
    Snakemake's own peak memory in MiB."""
    with tempfile.TemporaryDirectory() as scratch:
        return run_in(Path(scratch), jobs, way, bytecode)


def run_in(folder: Path, jobs: int, way: str, bytecode: str) -> tuple[float, dict[str, float]]:
    (folder / "Snakefile").write_text(SNAKEFILE.format(jobs=jobs))
    driver = folder / "driver.py"
    driver.write_text(DRIVER)
    fixed = ["--cores", "2", "--scheduler", "greedy", "--quiet", "all"]
    command = [sys.executable, str(driver), *options(way, folder), *fixed]
    own = folder / "own.json"
    wrapper = (
        "import json,os,resource,subprocess,sys\n"
        f"code = subprocess.call({command!r}, cwd={str(folder)!r}, stdout=subprocess.DEVNULL,"
        " stderr=subprocess.DEVNULL)\n"
        "use = resource.getrusage(resource.RUSAGE_CHILDREN)\n"
        f"json.dump(use.ru_utime + use.ru_stime, open({str(own)!r}, 'w'))\n"
        "sys.exit(code)"
    )
    environment = {k: v for k, v in os.environ.items() if not k.startswith("YPROV_")}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    environment["PYTHONPYCACHEPREFIX"] = bytecode
    subprocess.run([sys.executable, "-c", wrapper], check=True, env=environment)
    counted = json.loads(Path(f"{driver}.json").read_text())
    return json.loads(own.read_text()), counted


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--plugin", choices=("executor", "logger"), default="executor")
    parser.add_argument("--peer", action="store_true", help="snkmt's logger plugin is installed")
    arguments = parser.parse_args()
    ways = ["plain", arguments.plugin, *(["snkmt"] if arguments.peer else [])]
    cpu: dict[str, list[float]] = {way: [] for way in ways}
    counted: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
    with tempfile.TemporaryDirectory() as bytecode:
        for number in range(arguments.rounds + 1):
            for way in ways:
                seconds, spent = run(arguments.jobs, way, bytecode)
                if number > 0:
                    cpu[way].append(seconds)
                    counted[way].append(spent)
    base = median(cpu["plain"])
    hooks, threads, export = (
        median(c[name] for c in counted[arguments.plugin])
        for name in ("hooks", "threads", "export")
    )
    print(f"{arguments.jobs} one-line jobs, medians of {arguments.rounds} rounds, CPU seconds")
    rows = [
        ("plain Snakemake", base),
        ("our hooks", hooks),
        ("our threads", threads),
        ("our hooks and threads", hooks + threads),
        ("final export", export),
        ("whole process, recorded - plain", median(cpu[arguments.plugin]) - base),
    ]
    if arguments.peer:
        rows.append(("whole process, snkmt - plain", median(cpu["snkmt"]) - base))
    for name, value in rows:
        print(f"{name:<34} {value:>8.3f} s {value / base * 100:>6.1f} %")
    memory = {way: median(c["memory"] for c in counted[way]) for way in ways}
    print(f"{'peak memory of plain Snakemake':<34} {memory['plain']:>8.1f} MiB")
    for way in ways[1:]:
        name = "recorded" if way == arguments.plugin else way
        print(f"{f'{name} - plain':<34} {memory[way] - memory['plain']:>8.1f} MiB")


if __name__ == "__main__":
    main()
