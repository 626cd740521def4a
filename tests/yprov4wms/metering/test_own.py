"""SelfMeter: a task inside this very process."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from yprov4wms.metering import SelfMeter, names

MIB = 1 << 20


def test_it_counts_this_process_and_the_children_it_waited_for(tmp_path: Path) -> None:
    meter = SelfMeter(sample_interval=0.02)
    before = time.process_time()
    while time.process_time() - before < 0.2:
        pass
    child = "import time\nwhile time.process_time() < 0.3: pass"
    subprocess.run([sys.executable, "-S", "-c", child], check=True)
    (tmp_path / "f").write_bytes(b"x" * (8 * MIB))
    figures = meter.stop()
    cpu = figures[names.CPU_TIME].value
    assert cpu is not None
    assert 0.49 < cpu < 1.5
    assert figures[names.CPU_TIME].method == "getrusage"
    assert figures[names.IO_WRITE_CHARS].value == pytest.approx(8 * MIB, rel=0.01)
    assert figures[names.ENERGY].method.startswith("cpu-time*")


def test_a_peak_inside_counts_and_one_from_before_does_not() -> None:
    script = f"""if True:
        import time
        from yprov4wms.metering import SelfMeter
        old = b"x" * (400 << 20)
        del old
        with SelfMeter(sample_interval=0.02) as small:
            time.sleep(0.2)
        with SelfMeter(sample_interval=0.02) as large:
            new = b"x" * (600 << 20)
            del new
        for meter in (small, large):
            figure = meter.figures()["memory_peak"]
            print(figure.method, figure.value / {MIB})
        blind = SelfMeter(sample_interval=0)
        print("memory_peak" in blind.stop())
        blind = SelfMeter(sample_interval=0)
        newer = b"x" * (800 << 20)
        print(blind.stop()["memory_peak"].value / {MIB})
    """
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    small, large, nothing, blind = done.stdout.splitlines()
    assert small.startswith("rss-sum-sampled")
    assert float(small.split()[1]) < 200
    assert large.startswith("vmhwm-sampled")
    assert 600 < float(large.split()[1]) < 700
    assert nothing == "False"
    assert 800 < float(blind) < 900


def test_after_stop_the_figures_stay_and_nothing_is_sampled() -> None:
    meter = SelfMeter()
    running = meter.figures()
    stopped = meter.stop()
    assert meter.figures() == meter.stop() == stopped
    assert (running[names.WALL_TIME].value or 0) <= (stopped[names.WALL_TIME].value or 0)
    assert meter._observation.sample() is None
