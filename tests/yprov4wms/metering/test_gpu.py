"""GpuUse on scripted readings; the library itself is tested in test_nvml.py."""

from __future__ import annotations

from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yprov4wms.metering import gpu, names
from yprov4wms.metering.gpu import GpuUse, visible
from yprov4wms.metering.nvml import Device, Library, Reading

OURS = frozenset({10, 11})


def _devices(*models: str) -> list[Device]:
    return [Device(n, model, f"GPU-{n}{n}{n}", 1, "1") for n, model in enumerate(models)]


class Script:
    """A library whose readings a test lays out: per call of ``read``, one for each device."""

    def __init__(self, *readings: Reading, count: int = 1) -> None:
        self.devices = _devices(*["A100"] * count)
        self.left = list(readings)

    def read(self, index: int, *, processes: bool = True) -> Reading:
        reading = self.left.pop(0)
        return reading if processes else reading._replace(processes=None)


def _use(script: Script, env: dict[str, str] | None = None) -> GpuUse:
    return GpuUse(cast(Library, script), env or {})


def _reading(
    energy: int | None = None,
    power: int | None = None,
    busy: int | None = None,
    processes: Any = None,
) -> Reading:
    return Reading(energy, power, busy, None, {10: 1} if processes is None else processes)


def test_energy_is_the_counters_difference_with_pauses_left_out() -> None:
    use = _use(Script(*[_reading(energy) for energy in (1000, 4000, 90000, 95000)]))
    use.sample(OURS, 0.0)
    use.pause(1.0)
    use.pause(2.0)  # nothing to end
    use.sample(OURS, 10.0)
    use.pause(11.0)
    assert use.figures()[names.GPU_ENERGY].value == 8


def test_a_task_watched_for_a_part_of_its_time_says_so() -> None:
    use = _use(Script(_reading(1000), _reading(2000)))
    use.sample(OURS, 3.0)
    use.pause(5.0)
    assert use.figures(wall=4.0)[names.GPU_ENERGY].scope == "device: GPU 0 of 1; 2.00 of 4.00 s"
    assert use.figures(wall=2.1)[names.GPU_ENERGY].scope == "device: GPU 0 of 1"


def test_a_counter_that_was_reset_does_not_count_backwards() -> None:
    use = _use(Script(*[_reading(energy) for energy in (5000, 6000, 100, 2100)]))
    for n in range(4):
        use.sample(OURS, float(n))
    assert use.figures()[names.GPU_ENERGY].value == 3


def test_a_counter_that_fails_once_misses_nothing() -> None:
    use = _use(Script(_reading(1000), _reading(None), _reading(5000)))
    for n in range(3):
        use.sample(OURS, float(n))
    assert use.figures()[names.GPU_ENERGY].value == 4


def test_one_reading_is_no_energy() -> None:
    use = _use(Script(_reading(1000)))
    use.sample(OURS, 0.0)
    assert names.GPU_ENERGY not in use.figures()


def test_the_mean_utilization_is_weighted_by_time() -> None:
    use = _use(Script(_reading(busy=0), _reading(busy=100), _reading(busy=0)))
    for now in (100.0, 101.0, 104.0):
        use.sample(OURS, now)
    figures = use.figures()
    assert figures[names.GPU_UTILIZATION_MEAN].value == pytest.approx(25, abs=0.5)
    assert figures[names.GPU_UTILIZATION_MAX].value == 100


def test_memory_is_the_peak_of_the_trees_sum_over_devices() -> None:
    rounds = [[{10: 5, 99: 1000}, {11: 7}], [{10: 9}, {99: 1000}], [{}, {11: 8}]]
    readings = [_reading(processes=processes) for both in rounds for processes in both]
    use = _use(Script(*readings, count=2))
    for n in range(3):
        use.sample(OURS, float(n))
    figure = use.figures()[names.GPU_MEMORY_PEAK]
    assert (figure.value, figure.scope) == (12, None)


def test_memory_that_the_driver_does_not_tell_by_process_is_the_devices() -> None:
    use = _use(Script(Reading(None, None, None, 4096, {10: None, 99: None})))
    use.sample(OURS, 0.0)
    figure = use.figures()[names.GPU_MEMORY_PEAK]
    assert (figure.value, figure.method) == (4096, "nvml-device-sampled")
    assert figure.scope == "device: GPU 0 of 1, shared with others"


def test_a_process_listed_before_or_after_it_was_seen_is_no_other() -> None:
    use = _use(Script(*[_reading(busy=1, processes={10: 5, 12: 7})] * 3))
    for n, pids in enumerate(({10}, {10, 12}, set[int]())):
        use.sample(frozenset(pids), float(n))
    figure = use.figures()[names.GPU_MEMORY_PEAK]
    assert (figure.value, figure.method) == (12, "nvml-processes-sampled")
    assert use.figures()[names.GPU_UTILIZATION_MEAN].scope == "device: GPU 0 of 1"


@pytest.mark.parametrize("host", [True, False])
def test_an_unseen_tree_used_no_device_only_where_pids_are_the_hosts(
    host: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu, "_host_pids", lambda: host)
    use = _use(Script(*[_reading(energy, processes={}) for energy in (1000, 2000)]))
    use.sample(OURS, 0.0)
    use.sample(OURS, 1.0)
    figures = use.figures()
    assert (names.GPU_ENERGY not in figures) is host
    if not host:
        assert "not known" in (figures[names.GPU_ENERGY].scope or "")


def test_a_task_that_was_never_sampled_has_no_gpu_figures() -> None:
    assert _use(Script()).figures() == {}


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, [0, 1, 2]),
        ({"CUDA_VISIBLE_DEVICES": ""}, []),
        ({"CUDA_VISIBLE_DEVICES": "NoDevFiles"}, []),
        ({"CUDA_VISIBLE_DEVICES": "-1"}, []),
        ({"CUDA_VISIBLE_DEVICES": "2,0"}, [2, 0]),
        ({"CUDA_VISIBLE_DEVICES": " 1 , 1"}, [1]),
        ({"CUDA_VISIBLE_DEVICES": "0,9,1"}, [0]),
        ({"CUDA_VISIBLE_DEVICES": "GPU-11,GPU-222"}, [1, 2]),
        ({"CUDA_VISIBLE_DEVICES": "MIG-7"}, [0, 1, 2]),
    ],
)
def test_visible_devices_are_those_that_cuda_shows(
    environment: dict[str, str], expected: list[int]
) -> None:
    found = visible(_devices("A100", "A100", "A100"), environment)
    assert [device.index for device in found] == expected


def test_numbers_are_nvmls_only_in_the_order_of_the_bus_or_of_equal_devices() -> None:
    devices = _devices("A100", "T4")
    assert len(visible(devices, {"CUDA_VISIBLE_DEVICES": "1"})) == 2
    by_bus = {"CUDA_VISIBLE_DEVICES": "1", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    assert [device.index for device in visible(devices, by_bus)] == [1]


@given(st.text(max_size=20))
def test_no_value_of_the_variable_raises(text: str) -> None:
    devices = _devices("A100", "A100")
    assert all(device in devices for device in visible(devices, {"CUDA_VISIBLE_DEVICES": text}))
