"""The figures of real jobs against what the jobs say of themselves, and what they cost."""

from __future__ import annotations

import statistics
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from yprov4wms.metering import MeteredPopen, TaskMeter, names, procfs

SH = "/bin/sh"
MIB = 1 << 20


def test_cpu_of_200_forked_processes_is_counted_to_the_last() -> None:
    """The job itself reports, with getrusage, what it and its children used."""
    job = """
        import os, resource, time
        for _ in range(200):
            if os.fork() == 0:
                start = time.process_time()
                while time.process_time() - start < 0.004: pass
                os._exit(0)
        for _ in range(200): os.wait()
        use = [resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        os.write(1, b"%f %f" % (sum(u.ru_utime for u in use), sum(u.ru_stime for u in use)))
        os._exit(0)
    """
    meter = TaskMeter()
    with meter.attached():
        process = MeteredPopen(
            [sys.executable, "-S", "-c", textwrap.dedent(job)], stdout=subprocess.PIPE
        )
        user, system = map(float, process.communicate()[0].split())
    figures = meter.figures()
    assert user + system > 0.8
    assert figures[names.CPU_TIME].value == pytest.approx(user + system, rel=0.03)
    assert figures[names.CPU_USER].value == pytest.approx(user, rel=0.03, abs=0.02)
    assert figures[names.CPU_TIME].value == pytest.approx(
        (figures[names.CPU_USER].value or 0) + (figures[names.CPU_SYSTEM].value or 0), abs=1e-5
    )


def test_bytes_of_a_job_and_of_its_children_are_exact(tmp_path: Path) -> None:
    size = 40 * MIB
    copy = f"dd if=/dev/zero of={tmp_path}/%s bs=1M count=20 conv=fsync 2>/dev/null"
    meter = TaskMeter()
    with meter.attached():
        MeteredPopen([SH, "-c", "; ".join([copy % "a", copy % "b"])]).wait()
    figures = meter.figures()
    for name in (names.IO_READ_CHARS, names.IO_WRITE_CHARS):
        assert figures[name].value == pytest.approx(size, rel=0.01)
    written = figures[names.IO_WRITE_BYTES].value
    # A file system in memory writes nothing to a device.
    assert written is not None
    assert written == pytest.approx(size, rel=0.01) or _in_memory(tmp_path)


def test_an_unreadable_proc_io_leaves_what_wait4_tells(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(procfs, "io", lambda pid: None)
    dd = ["dd", "if=/dev/zero", f"of={tmp_path}/f", "bs=1M", "count=20", "conv=fsync"]
    meter = TaskMeter()
    with meter.attached():
        assert MeteredPopen(dd, stderr=subprocess.DEVNULL).wait() == 0
    figures = meter.figures()
    assert names.IO_WRITE_CHARS not in figures
    assert figures[names.IO_WRITE_BYTES].method == "ru_oublock"
    assert figures[names.IO_WRITE_BYTES].value == pytest.approx(20 * MIB, rel=0.01) or _in_memory(
        tmp_path
    )


def test_metering_a_short_job_costs_little() -> None:
    """CPU time of this thread; measured 0.1 to 0.2 ms, the limit allows for a busy machine."""

    def plain() -> None:
        subprocess.Popen(["/bin/true"]).wait()

    def metered() -> None:
        meter = TaskMeter({"YPROV_TASK_ID": "task"})
        with meter.attached():
            MeteredPopen(["/bin/true"]).wait()
        assert meter.figures()

    costs: dict[Callable[[], None], list[float]] = {plain: [], metered: []}
    for _ in range(200):
        for run, seconds in costs.items():
            before = time.thread_time()
            run()
            seconds.append(time.thread_time() - before)
    assert statistics.median(costs[metered]) - statistics.median(costs[plain]) < 0.001


def _in_memory(folder: Path) -> bool:
    found = subprocess.run(["stat", "-f", "-c", "%T", folder], capture_output=True, text=True)
    return found.stdout.strip() in ("tmpfs", "ramfs")
