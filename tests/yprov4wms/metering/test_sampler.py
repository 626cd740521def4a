"""The sampler: one thread, that comes and goes."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable

import pytest

from yprov4wms.metering import TaskMeter, sampler
from yprov4wms.metering.process import MeteredPopen
from yprov4wms.metering.sampler import Sampled, Sampler


class Counted(Sampled):
    def __init__(self, times: int, delay: float = 0.001) -> None:
        self.left = times
        self.delay = delay
        self.threads: set[int] = set()

    def sample(self) -> float | None:
        self.left -= 1
        self.threads.add(threading.get_ident())
        return self.delay if self.left else None


class Broken(Sampled):
    calls = 0

    def sample(self) -> float | None:
        self.calls += 1
        raise RuntimeError("broken")


def _until(true: Callable[[], bool], seconds: float = 30) -> bool:
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        time.sleep(0.01)
    return true()


def test_one_thread_samples_all_until_they_are_done() -> None:
    one = Sampler()
    things = [Counted(5) for _ in range(20)]
    for thing in things:
        one.add(thing, 0.001)
    assert _until(lambda: all(thing.left == 0 for thing in things))
    assert len(set.union(*(thing.threads for thing in things))) == 1


def test_a_thing_that_fails_is_left_alone_and_the_others_go_on() -> None:
    one = Sampler()
    broken, good = Broken(), Counted(50)
    one.add(broken, 0)
    one.add(good, 0.01)
    assert _until(lambda: good.left == 0)
    assert broken.calls == 1


def test_the_earlier_of_two_times_counts() -> None:
    one = Sampler()
    thing = Counted(1)
    one.add(thing, 600)
    one.add(thing, 0.01)
    one.add(thing, 700)
    assert _until(lambda: thing.left == 0)


def test_the_thread_ends_by_itself_and_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampler, "_LINGER", 0.05)
    one = Sampler()
    for _ in range(3):
        thing = Counted(2)
        one.add(thing, 0.001)
        assert _until(lambda thing=thing: thing.left == 0)  # type: ignore[misc]
        assert _until(lambda: not one._running)


def test_things_added_from_many_threads_are_all_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampler, "_LINGER", 0.0)  # the thread ends whenever it may
    one = Sampler()
    things: list[Counted] = []

    def work() -> None:
        for _ in range(100):
            thing = Counted(1)
            things.append(thing)
            one.add(thing, 0)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert _until(lambda: all(thing.left == 0 for thing in things))


def test_without_a_thread_to_be_had_the_exact_figures_remain(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    fresh = Sampler()
    monkeypatch.setattr("yprov4wms.metering.observation.sampler", fresh)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    meter = TaskMeter()
    with meter.attached():
        assert MeteredPopen(["true"]).wait() == 0
    assert meter.figures()["cpu_time"].method == "wait4"
    assert meter.processes[0].exit_code == 0
    monkeypatch.undo()
    thing = Counted(1)
    fresh.add(thing, 0)
    assert _until(lambda: thing.left == 0)


def test_a_dear_sample_is_taken_less_often() -> None:
    class Dear(Counted):
        times: tuple[float, ...] = ()

        def sample(self) -> float | None:
            self.times = (*self.times, time.monotonic())
            end = time.thread_time() + 0.02
            while time.thread_time() < end:
                pass
            return super().sample()

    dear = Dear(2, delay=0.1)
    one = Sampler()
    one.add(dear, 0)
    assert _until(lambda: dear.left == 0)
    assert dear.times[1] - dear.times[0] > 0.9


def test_without_an_interval_nothing_is_sampled() -> None:
    meter = TaskMeter(sample_interval=0)
    with meter.attached():
        MeteredPopen(["sleep", "0.1"]).wait()
    assert meter._observation.due is None
    assert not meter._observation._begun


def test_a_forked_child_samples_with_a_thread_of_its_own() -> None:
    script = """
        import os, sys, warnings
        warnings.simplefilter("ignore")
        from yprov4wms.metering import MeteredPopen, TaskMeter
        def work():
            meter = TaskMeter(sample_interval=0.05)
            with meter.attached():
                MeteredPopen(["sleep", "0.5"]).wait()
            return meter.figures()["memory_peak"].method
        work()
        if (pid := os.fork()) == 0:
            print(work(), flush=True)
            os._exit(0)
        os.waitpid(pid, 0)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() in ("vmhwm-sampled", "rss-sum-sampled")
