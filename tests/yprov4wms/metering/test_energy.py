"""The ladder of energy sources, on a made-up /sys and /proc."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yprov4wms.events import Figure
from yprov4wms.metering import MeteredPopen, TaskMeter, Watts, carbon, names, power_sources, rapl
from yprov4wms.metering.energy import DEFAULT_WATTS, cpu_energy, watts
from yprov4wms.metering.rapl import NodeEnergy, difference

WRAP = 262143328850
TICKS = os.sysconf("SC_CLK_TCK")


class Node:
    """A node whose counters a test sets."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "proc").mkdir()
        self.busy(0)

    def domain(self, zone: str, name: str, microjoules: int = 0, wrap: int = WRAP) -> Path:
        folder = self.root / "sys/class/powercap" / f"intel-rapl:{zone}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "name").write_text(f"{name}\n")
        (folder / "max_energy_range_uj").write_text(f"{wrap}\n")
        (folder / "energy_uj").write_text(f"{microjoules}\n")
        return folder / "energy_uj"

    def busy(self, seconds: float) -> None:
        ticks = round(seconds * TICKS)
        line = f"cpu  {ticks} 0 0 999999 888 0 0 777 0 0\ncpu0 1 2 3 4\n"
        (self.root / "proc/stat").write_text(line)


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def _cpu(seconds: float, scope: str | None = None) -> Figure:
    return Figure("s", "wait4", seconds, scope=scope)


def _read_once(meter: TaskMeter) -> bool:
    node = meter._observation.node
    return node is not None and node._last is not None


def test_rapl_gives_the_nodes_energy_by_the_share_of_cpu_time(node: Node) -> None:
    counters = [node.domain("0", "package-0", 100), node.domain("1", "package-1", 200)]
    dram = node.domain("0:0", "dram", 0)
    use = NodeEnergy.find(node.root)
    assert use is not None
    use.sample(0.0)
    counters[0].write_text("60000100")
    counters[1].write_text("30000200")
    dram.write_text("10000000")
    node.busy(50)
    use.pause()
    figure = cpu_energy(_cpu(5.0), use)
    assert figure is not None
    assert figure.value == pytest.approx(10.0)  # 100 J, 5 of 50 CPU seconds
    assert figure.method == "rapl"
    assert figure.scope is not None
    assert "node" in figure.scope
    assert "dram+package" in figure.scope


def test_a_pause_is_not_counted(node: Node) -> None:
    counter = node.domain("0", "package-0")
    use = NodeEnergy.find(node.root)
    assert use is not None
    for joules in (1, 10):
        use.sample(0.0)
        counter.write_text(str(int(counter.read_text()) + joules * 10**6))
        use.pause()
        counter.write_text(str(int(counter.read_text()) + 500 * 10**6))
    assert use.joules == pytest.approx(11)


def test_domains_inside_others_do_not_count_twice(node: Node) -> None:
    node.domain("0", "package-0")
    node.domain("0:0", "core")
    node.domain("0:1", "uncore")
    node.domain("1", "psys")
    use = NodeEnergy.find(node.root)
    assert use is not None
    assert use.domains == ("package-0",)
    assert [(source.name, source.used) for source in power_sources(node.root)] == [
        ("package-0", True),
        ("core", False),
        ("uncore", False),
        ("psys", False),
    ]


def test_a_counter_that_cannot_be_read_leads_to_the_next_rung(node: Node) -> None:
    node.domain("0", "package-0")
    unreadable = node.domain("1", "package-1")
    unreadable.unlink()  # root reads whatever its mode is
    unreadable.mkdir()
    assert NodeEnergy.find(node.root) is None
    assert [source.readable for source in power_sources(node.root)] == [True, False]


def test_without_powercap_there_are_no_sources(tmp_path: Path) -> None:
    assert power_sources(tmp_path) == []
    assert NodeEnergy.find(tmp_path) is None
    assert rapl.busy_seconds(tmp_path) is None


def test_too_little_cpu_time_of_the_node_leads_to_the_next_rung(node: Node) -> None:
    node.domain("0", "package-0")
    use = NodeEnergy.find(node.root)
    assert use is not None
    use.sample(0.0)
    node.busy(0.1)
    use.pause()
    figure = cpu_energy(_cpu(0.1), use)
    assert figure is not None
    assert figure.method == "cpu-time*2-12W"


@given(
    wrap=st.integers(1, 2**40),
    start=st.integers(0, 2**40),
    steps=st.lists(st.floats(0, 1, exclude_max=True), max_size=30),
)
def test_wraparound_loses_nothing_while_readings_are_closer_than_one_turn(
    wrap: int, start: int, steps: list[float]
) -> None:
    true = [start % wrap]
    for step in steps:
        true.append(true[-1] + int(step * wrap))
    shown = [value % wrap for value in true]
    assert sum(difference(a, b, wrap) for a, b in pairwise(shown)) == true[-1] - true[0]


def test_a_long_task_is_read_often_enough_to_see_each_wraparound(node: Node) -> None:
    counter = node.domain("0", "package-0", 900, wrap=1000)
    use = NodeEnergy.find(node.root)
    assert use is not None
    use.sample(0.0)
    for n in range(1, 100):
        counter.write_text(str((900 + 400 * n) % 1000))
        use.sample(n * 10.0)
    use.pause()
    assert use.joules == pytest.approx(99 * 400e-6)


def test_the_rapl_rung_reaches_a_tasks_figures(node: Node) -> None:
    """The counters stand still but for one step, taken while the task runs."""
    counter = node.domain("0", "package-0")
    meter = TaskMeter(sample_interval=0.02, system_root=node.root)
    with meter.attached():
        process = MeteredPopen(["sleep", "60"])
    while not _read_once(meter):
        assert process.poll() is None
    counter.write_text("80000000")
    node.busy(4)
    process.kill()
    process.wait()
    figures = meter.figures()
    cpu = figures[names.CPU_TIME].value
    assert cpu is not None
    assert figures[names.ENERGY].method == "rapl"
    assert figures[names.ENERGY].value == pytest.approx(20 * cpu, abs=1e-5)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("2-12", (2, 12)), ("7", (7, 7)), (" 1.5 - 2.25 ", (1.5, 2.25)), ("12-2", (2, 12))],
)
def test_watts_are_one_number_or_two(text: str, expected: tuple[float, float]) -> None:
    assert Watts.parse(text) == expected


@pytest.mark.parametrize("text", ["", "-", "a", "1-2-3", "-5", "nan", "inf"])
def test_what_is_not_watts_raises(text: str) -> None:
    with pytest.raises(ValueError, match="not watts"):
        Watts.parse(text)


def test_watts_come_from_the_setting_then_the_environment_then_the_default(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("YPROV_CPU_WATTS", raising=False)
    assert watts() == DEFAULT_WATTS == Watts(2, 12)
    monkeypatch.setenv("YPROV_CPU_WATTS", "4-6")
    assert watts() == Watts(4, 6)
    assert watts("9") == watts(Watts(9, 9)) == Watts(9, 9)
    assert not caplog.records
    assert watts("many") == DEFAULT_WATTS
    assert "many" in caplog.text


def test_modelled_energy_is_an_interval_or_a_value_and_names_its_watts() -> None:
    interval = cpu_energy(_cpu(10.0, "1 of 2 processes"), None, Watts(2, 12))
    assert interval == Figure("J", "cpu-time*2-12W", low=20, high=120, scope="1 of 2 processes")
    assert cpu_energy(_cpu(10.0), None, Watts(7.5, 7.5)) == Figure("J", "cpu-time*7.5W", 75)
    assert cpu_energy(None) is None


def test_carbon_needs_an_intensity_and_an_energy() -> None:
    cpu = Figure("J", "cpu-time*2-12W", low=1.8e6, high=3.6e6)
    gpu = Figure("J", "nvml-energy", 3.6e6)
    assert carbon(cpu, gpu, None) is None
    assert carbon(None, None, 250) is None
    both = carbon(cpu, gpu, 250)
    assert both is not None
    assert (both.low, both.high) == pytest.approx((0.375, 0.5))
    assert (both.unit, both.value, both.method) == ("kg", None, "energy*250g/kWh")
    assert both.scope == "energy of CPU and GPU"
    exact = carbon(None, gpu, 100)
    assert exact is not None
    assert exact.value == pytest.approx(0.1)
    assert exact.low is None
    assert exact.scope == "energy of GPU"
    clean = carbon(cpu, gpu, 0)
    assert clean is not None
    assert clean.value == 0


@given(st.floats(0, 1e9), st.floats(0, 1e9), st.floats(0, 1e9), st.floats(0, 2000))
def test_carbon_keeps_low_below_high(low: float, more: float, gpu: float, intensity: float) -> None:
    figure = carbon(Figure("J", "m", low=low, high=low + more), Figure("J", "m", gpu), intensity)
    assert figure is not None
    if figure.value is None:
        assert figure.low is not None
        assert figure.high is not None
        assert 0 <= figure.low < figure.high
