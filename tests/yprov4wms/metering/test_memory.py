"""Peak memory of a tree, from samples and from ru_maxrss."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yprov4wms.events import Figure
from yprov4wms.metering import MeteredPopen, TaskMeter, memory, names, procfs
from yprov4wms.metering.memory import MemoryPeak

MIB = 1 << 20
#: dd holds a buffer of 100 MiB until someone reads the pipe.
HOLD = "dd if=/dev/zero bs=100M count=1 status=none | (sleep 1.5; cat >/dev/null)"


def _peak(command: str, interval: float = 0.1) -> Figure | None:
    meter = TaskMeter(sample_interval=interval, gpu=False)
    with meter.attached():
        assert MeteredPopen(["/bin/sh", "-c", command]).wait() == 0
    return meter.figures().get(names.MEMORY_PEAK)


def test_four_processes_at_once_add_up() -> None:
    figure = _peak(" & ".join([f"{{ {HOLD}; }}"] * 4) + " & wait")
    assert figure is not None
    assert figure.method == "rss-sum-sampled"
    assert figure.value == pytest.approx(400 * MIB, rel=0.1)
    assert figure.scope is None


def test_four_processes_in_order_do_not_add_up() -> None:
    figure = _peak("; ".join([HOLD.replace("1.5", "0.4")] * 4))
    assert figure is not None
    assert figure.value == pytest.approx(100 * MIB, rel=0.15)


def test_parallel_processes_of_one_meter_add_up() -> None:
    meter = TaskMeter(sample_interval=0.1, gpu=False)
    with meter.attached():
        processes = [MeteredPopen(["/bin/sh", "-c", HOLD]) for _ in range(2)]
    assert [process.wait() for process in processes] == [0, 0]
    assert meter.figures()[names.MEMORY_PEAK].value == pytest.approx(200 * MIB, rel=0.1)


def test_a_parents_memory_does_not_count_as_its_childrens() -> None:
    """Between vfork and exec a child runs in its parent's memory."""
    job = """
        import subprocess, time
        held = b"x" * (200 << 20)
        end = time.monotonic() + 2
        while time.monotonic() < end:
            subprocess.run(["/bin/true"])
    """
    meter = TaskMeter(sample_interval=0.002, gpu=False)
    with meter.attached():
        MeteredPopen([sys.executable, "-S", "-c", textwrap.dedent(job)]).wait()
    peak = meter.figures()[names.MEMORY_PEAK].value
    assert peak is not None
    assert 200 * MIB < peak < 300 * MIB


def test_a_short_peak_is_kept_by_ru_maxrss_where_ours_is_lower() -> None:
    """The parent is a small process: pytest may have been larger than the child."""
    script = """
        import sys
        from yprov4wms.metering import MeteredPopen, TaskMeter
        meter = TaskMeter(sample_interval=0)
        with meter.attached():
            MeteredPopen("dd if=/dev/zero of=/dev/null bs=300M count=1", shell=True).wait()
        figure = meter.figures()["memory_peak"]
        print(figure.method, figure.value / 2**20)
    """
    method, mib = _python(script).split()
    assert method == "ru_maxrss"
    assert float(mib) == pytest.approx(300, rel=0.05)


def test_the_peak_of_a_fat_parent_is_not_its_childs() -> None:
    script = """
        from yprov4wms.metering import MeteredPopen, TaskMeter
        fat = b"x" * (300 << 20)
        del fat
        meter = TaskMeter(sample_interval=0)
        with meter.attached():
            MeteredPopen(["/bin/true"]).wait()
        watch = meter._watches[0]
        print(watch.usage.ru_maxrss > 300 << 10, "memory_peak" in meter.figures())
    """
    assert _python(script) == "True False"


def test_without_proc_psutil_gives_the_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("psutil")
    monkeypatch.setattr(procfs, "_children_listed", lambda: False)
    figure = _peak(f"{HOLD} & {HOLD}; wait")
    assert figure is not None
    assert figure.value == pytest.approx(200 * MIB, rel=0.1)


def test_both_ways_of_reading_a_tree_agree() -> None:
    pytest.importorskip("psutil")
    job = "import subprocess; subprocess.run(['sleep', '60'])"
    command = [sys.executable, "-S", "-c", job]
    with subprocess.Popen(command, start_new_session=True) as process:
        try:
            for _ in range(500):
                raw = procfs._raw_tree([process.pid])
                slow = procfs._psutil_tree([process.pid])
                if len(raw.pids) == 2 and raw.pids == slow.pids and raw.rss == slow.rss:
                    break
            assert raw.pids == slow.pids
            assert len(raw.pids) == 2
            assert raw.rss == pytest.approx(slow.rss, rel=0.05)
            assert 0 < raw.peak <= raw.rss
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def test_a_process_that_is_gone_has_no_memory() -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    assert procfs.tree([gone.pid]) == procfs.Tree(0, 0, frozenset())
    assert procfs.io(gone.pid) is None


def test_a_process_whose_name_looks_like_a_field_is_read_right() -> None:
    assert procfs._field(b"Name:\tVmRSS: 9 kB\nVmRSS:\t    12 kB\n", b"\nVmRSS:") == 12 * 1024
    assert procfs._field(b"Name:\tx\nState:\tZ\n", b"\nVmRSS:") == 0


@given(
    samples=st.lists(st.tuples(st.integers(0, 2**40), st.integers(0, 2**40))),
    largest=st.lists(st.none() | st.integers(0, 2**40)),
)
def test_the_peak_is_the_highest_that_anything_told(
    samples: list[tuple[int, int]], largest: list[int | None]
) -> None:
    peak = MemoryPeak()
    for rss, hwm in samples:
        peak.take(procfs.Tree(rss, hwm, frozenset()))
    figure = peak.figure(largest)
    seen = [value for sample in samples for value in sample] + [n for n in largest if n]
    assert (figure.value if figure else 0) == max(seen, default=0)


@given(before=st.integers(0, 2**40), peak=st.integers(0, 2**40), rss=st.integers(0, 2**40))
def test_a_peak_from_before_the_task_is_not_the_tasks(before: int, peak: int, rss: int) -> None:
    meter = MemoryPeak(before)
    meter.take(procfs.Tree(rss, peak, frozenset()))
    figure = meter.figure()
    assert (figure.value if figure else 0) == max(rss, peak if peak > before else 0)


def test_an_unknown_peak_of_our_own_makes_ru_maxrss_unknown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(procfs, "own_peak", lambda: None)
    assert memory.largest_process(2**40) is None


def _python(script: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()
