"""TaskMeter adds up what the processes of one attempt used, and says what it lacks."""

from __future__ import annotations

import resource

import pytest

from yprov4wms.metering import TaskMeter, names, procfs
from yprov4wms.metering.task import Watch, clock


def _ended(meter: TaskMeter, pid: int, code: int, *, io: procfs.IO | None = None) -> Watch:
    watch = meter.started(pid, clock())
    watch.io = io
    watch.usage = resource.getrusage(resource.RUSAGE_SELF)
    meter.ended(watch, code)
    return watch


@pytest.fixture
def meter() -> TaskMeter:
    return TaskMeter(sample_interval=0, gpu=False)


@pytest.mark.parametrize(
    ("codes", "expected"),
    [([], None), ([0], 0), ([0, 3, 0], 3), ([2, 0, -9], -9), ([-15, 1, 0], 1)],
)
def test_the_exit_code_is_the_last_failure(
    meter: TaskMeter, codes: list[int], expected: int | None
) -> None:
    for pid, code in enumerate(codes, 2**30):
        _ended(meter, pid, code)
    assert meter.exit_code == expected


def test_a_figure_that_lacks_processes_says_of_how_many_it_is(meter: TaskMeter) -> None:
    _ended(meter, 2**30, 0, io=procfs.IO(1, 2, 3, 4))
    _ended(meter, 2**30 + 1, 0)
    meter.started(2**30 + 2, clock())
    figures = meter.figures()
    assert figures[names.IO_READ_CHARS].value == 1
    assert figures[names.IO_READ_CHARS].scope == "1 of 3 processes"
    assert figures[names.CPU_TIME].scope == "2 of 3 processes"
    assert figures[names.ENERGY].scope == "2 of 3 processes"
    # wait4 tells blocks of more processes than /proc tells bytes of.
    assert figures[names.IO_READ_BYTES].method == "ru_inblock"
    assert [process.ended is None for process in meter.processes] == [False, False, True]


def test_figures_of_processes_add_up(meter: TaskMeter) -> None:
    for n in range(3):
        _ended(meter, 2**30 + n, 0, io=procfs.IO(1, 20, 300, 4000))
    figures = meter.figures()
    assert [
        figures[name].value
        for name in (
            names.IO_READ_CHARS,
            names.IO_WRITE_CHARS,
            names.IO_READ_BYTES,
            names.IO_WRITE_BYTES,
        )
    ] == [3, 60, 900, 12000]
    assert figures[names.IO_READ_CHARS].scope is None


def test_a_meter_without_a_process_has_no_figures(meter: TaskMeter) -> None:
    with meter.attached():
        pass
    assert meter.figures() == {}
    assert meter.processes == []


def test_wall_time_spans_the_first_start_and_the_last_end(meter: TaskMeter) -> None:
    first, second = _ended(meter, 2**30, 0), _ended(meter, 2**30 + 1, 0)
    first.began, first.finished = (0, 10.0), (0, 30.0)
    second.began, second.finished = (0, 20.0), (0, 25.5)
    assert meter.figures()[names.WALL_TIME].value == 20.0


def test_the_watts_that_the_user_gave_are_in_the_method() -> None:
    meter = TaskMeter(sample_interval=0, cpu_watts="3-5")
    _ended(meter, 2**30, 0)
    figures = meter.figures()
    cpu = figures[names.CPU_TIME].value
    assert cpu is not None
    assert figures[names.ENERGY].method == "cpu-time*3-5W"
    assert figures[names.ENERGY].low == pytest.approx(3 * cpu, abs=1e-5)
    assert figures[names.ENERGY].high == pytest.approx(5 * cpu, abs=1e-5)
