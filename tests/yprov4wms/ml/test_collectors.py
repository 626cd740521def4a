"""What our collectors read, beside psutil's figures, and on machines made of files."""

from __future__ import annotations

import os
import sys
import threading
import time
import tomllib
from importlib import metadata
from pathlib import Path

import psutil
import pytest

from yprov4wms.metering import procfs
from yprov4wms.ml.collectors import _nvidia, _sample, entries
from yprov4wms.ml.collectors.cpu import CPU
from yprov4wms.ml.collectors.disk import Disk
from yprov4wms.ml.collectors.energy import Energy
from yprov4wms.ml.collectors.gpu import GPU
from yprov4wms.ml.collectors.memory import Memory
from yprov4wms.ml.collectors.network import Network

ROOT = Path(__file__).parents[3]
MEBIBYTE = 1 << 20


def read(collector):
    return {(sample.name, sample.source): sample for sample in collector.sample()}


def values(collector):
    return {sample.name: sample.value for sample in collector.sample()}


def burn(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def test_those_that_are_registered_are_those_that_are_found_without_a_look():
    project = tomllib.loads((ROOT / "core/pyproject.toml").read_text())["project"]
    assert project["entry-points"][entries.GROUP] == entries.BUILT_IN
    for name in entries.BUILT_IN:
        entry = metadata.EntryPoint(name, entries.BUILT_IN[name], entries.GROUP)
        assert type(entries.made(name)) is entry.load()


# -- of this machine -----------------------------------------------------------------


def test_memory_is_psutils():
    found = values(Memory())
    memory = psutil.virtual_memory()
    assert found["ram_usage_pct"] == pytest.approx(memory.percent, abs=5)
    used = memory.total - memory.available
    assert found["ram_usage_gb"] == pytest.approx(used / 1024**3, rel=0.2)
    own = psutil.Process().memory_info().rss
    assert found["process_ram_usage_gb"] == pytest.approx(own / 1024**3, rel=0.1)


def test_space_on_the_disk_is_psutils():
    found, disk = values(Disk()), psutil.disk_usage("/")
    assert found["disk_usage_pct"] == pytest.approx(disk.percent, abs=1)
    assert found["disk_usage_gb"] == pytest.approx(disk.used / 1024**3, rel=0.05)


def test_cpu_is_measured_since_the_sample_before():
    collector = CPU()
    burn(0.3)
    found = values(collector)
    assert 0 < found["cpu_usage_pct"] <= 100
    # Less than 100 where others take the core.
    assert 5 < found["process_cpu_usage_pct"] < 150
    time.sleep(0.3)
    assert values(collector)["process_cpu_usage_pct"] < 30


def test_what_this_process_writes_is_its_rate_and_the_disks(tmp_path):
    before, collector, began = psutil.disk_io_counters(), Disk(), time.monotonic()
    with (tmp_path / "data").open("wb") as file:
        file.write(os.urandom(16 * MEBIBYTE))
        file.flush()
        os.fsync(file.fileno())
    time.sleep(0.2)
    found, elapsed = values(collector), time.monotonic() - began
    after = psutil.disk_io_counters()
    own = found["process_disk_write_rate"] * elapsed
    if psutil.Process().io_counters().write_bytes < 16 * MEBIBYTE:
        pytest.skip("the temporary folder does not lie on a disk")
    assert 16 * MEBIBYTE <= own < 20 * MEBIBYTE
    # psutil counts volumes and what lies below them; what was written lies between both.
    written = found["disk_write_rate"] * elapsed
    assert written >= 16 * MEBIBYTE
    assert written <= (after.write_bytes - before.write_bytes) * 1.1 + MEBIBYTE


def test_over_less_than_a_tenth_of_a_second_there_are_no_rates():
    cpu, disk, network = CPU(), Disk(), Network()
    assert list(cpu.sample()) == list(network.sample()) == []
    assert set(values(disk)) == {"disk_usage_gb", "disk_usage_pct"}
    time.sleep(_sample.SHORTEST)
    # And what was too short then is a part of this one.
    assert len(values(cpu)) == len(values(network)) == 2
    assert len(values(disk)) == 6


def test_without_proc_psutil_is_asked(monkeypatch):
    monkeypatch.setattr(procfs, "read", lambda path, **options: b"")
    collectors = [CPU(), Memory(), Disk(), Network()]
    found = []
    for _ in range(2):
        burn(_sample.SHORTEST)
        time.sleep(_sample.SHORTEST)
        found.append({k: v for collector in collectors for k, v in read(collector).items()})
    assert ("cpu_usage_pct", "psutil") not in found[0]
    for name in (
        "cpu_usage_pct",
        "ram_usage_gb",
        "process_ram_usage_gb",
        "disk_read_rate",
        "network_receive_rate",
    ):
        assert found[1][name, "psutil"].value >= 0


def test_without_proc_and_psutil_the_rest_is_there(monkeypatch):
    monkeypatch.setattr(procfs, "read", lambda path, **options: b"")
    monkeypatch.setitem(sys.modules, "psutil", None)
    collectors = [CPU(), Memory(), Disk(), Network()]
    time.sleep(_sample.SHORTEST)
    found = {name for collector in collectors for name in values(collector)}
    assert found == {"process_cpu_usage_pct", "disk_usage_gb", "disk_usage_pct"}


def test_interfaces_are_hardware_else_all_but_the_loopback(monkeypatch):
    text = (
        b"Inter-| Receive | Transmit\n face |bytes packets|bytes packets\n"
        b"    lo: 7000 1 0 0 0 0 0 0 7000 1 0 0 0 0 0 0\n"
        b"  eth7: %d 1 0 0 0 0 0 0 %d 1 0 0 0 0 0 0\n"
        b"  veth8:%d 1 0 0 0 0 0 0 100 1 0 0 0 0 0 0\n"
    )
    counts = iter([(0, 0, 0), (50_000, 30_000, 4_000)])
    mine, real = threading.get_ident(), procfs.read

    def read(path, **options):  # a thread of another test may sample still
        ours = threading.get_ident() == mine
        return text % next(counts) if ours else real(path, **options)

    monkeypatch.setattr(procfs, "read", read)
    began = time.monotonic()
    collector = Network()
    time.sleep(0.2)
    found, elapsed = values(collector), time.monotonic() - began
    assert found["network_receive_rate"] * elapsed == pytest.approx(54_000, rel=0.2)
    assert found["network_send_rate"] * elapsed == pytest.approx(30_000, rel=0.2)


# -- energy --------------------------------------------------------------------------


class Machine:
    """Counters of RAPL; of each, microjoules and where it wraps around."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def zone(self, number: str, name: str, count: int, wrap: int = 262_143_328_850) -> None:
        folder = self.root / "sys/class/powercap" / f"intel-rapl:{number}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "name").write_text(f"{name}\n")
        (folder / "max_energy_range_uj").write_text(str(wrap))
        (folder / "energy_uj").write_text(str(count))

    def forget(self, number: str) -> None:
        (self.root / "sys/class/powercap" / f"intel-rapl:{number}" / "energy_uj").unlink()


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


def test_processor_and_memory_have_energy_and_power_since_the_sample_before(machine):
    machine.zone("0", "package-0", 5_000_000)
    machine.zone("0:0", "core", 1)
    machine.zone("0:1", "dram", 1_000_000)
    machine.zone("1", "psys", 1)
    began = time.monotonic()
    collector = Energy(machine.root)
    time.sleep(0.2)
    machine.zone("0", "package-0", 45_000_000)
    machine.zone("0:1", "dram", 3_000_000)
    found, elapsed = read(collector), time.monotonic() - began
    assert {name: sample.value for name, sample in found.items() if "energy" in name[0]} == {
        ("cpu_energy", "rapl"): 40.0,
        ("ram_energy", "rapl"): 2.0,
    }
    assert {sample.unit for sample in found.values()} == {"J", "W"}
    assert found["cpu_power", "rapl"].value == pytest.approx(40 / elapsed, rel=0.2)
    assert found["ram_power", "rapl"].value == pytest.approx(2 / elapsed, rel=0.2)
    # At once again: nothing was used, and no power is told.
    assert values(collector) == {"cpu_energy": 0.0, "ram_energy": 0.0}


def test_several_packages_are_told_apart(machine):
    for number in "01":
        machine.zone(number, f"package-{number}", 0)
        machine.zone(f"{number}:0", "dram", 0)
    collector = Energy(machine.root)
    machine.zone("1", "package-1", 3_000_000)
    machine.zone("1:0", "dram", 1_000_000)
    energies = {key: sample.value for key, sample in read(collector).items()}
    assert energies == {
        ("cpu_energy", "rapl:0"): 0.0,
        ("cpu_energy", "rapl:1"): 3.0,
        ("ram_energy", "rapl:0"): 0.0,
        ("ram_energy", "rapl:1"): 1.0,
    }


def test_counters_may_wrap_around_between_refreshes(machine):
    machine.zone("0", "package-0", 90_000_000, wrap=100_000_000)
    collector = Energy(machine.root)
    machine.zone("0", "package-0", 20_000_000, wrap=100_000_000)
    collector.refresh()
    machine.zone("0", "package-0", 10_000_000, wrap=100_000_000)
    assert values(collector)["cpu_energy"] == 30.0 + 90.0


def test_what_cannot_be_told_is_left_out(machine):
    # At 1,000 W this one may wrap around in a tenth of a second.
    machine.zone("0", "package-0", 90_000_000, wrap=100_000_000)
    collector = Energy(machine.root)
    time.sleep(0.15)
    machine.zone("0", "package-0", 95_000_000, wrap=100_000_000)
    assert values(collector) == {}
    machine.zone("0", "package-0", 96_000_000, wrap=100_000_000)
    assert values(collector)["cpu_energy"] == 1.0


def test_a_counter_that_cannot_be_read_for_a_while_catches_up(machine):
    machine.zone("0", "package-0", 1_000_000)
    collector = Energy(machine.root)
    machine.forget("0")
    assert values(collector) == {}
    machine.zone("0", "package-0", 8_000_000)
    assert values(collector)["cpu_energy"] == 7.0


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_counter_that_only_root_may_read_is_none(machine):
    machine.zone("0", "package-0", 1)
    (machine.root / "sys/class/powercap/intel-rapl:0/energy_uj").chmod(0)
    collector = Energy(machine.root)
    time.sleep(_sample.SHORTEST)
    assert values(collector) == {}


# -- devices, with readings made up; NVML's own are in test_collectors_nvml ------------


class Library:
    """Devices that say what they are told to."""

    def __init__(self, **readings) -> None:
        self.readings = readings

    def __getattr__(self, name):
        return lambda index: self.readings.get(name)


@pytest.fixture
def device(monkeypatch):
    library = Library()
    board = _nvidia.Board(library, 0, "", 4 << 30)
    for module in ("gpu", "energy"):
        monkeypatch.setattr(f"yprov4wms.ml.collectors.{module}.boards", lambda: [board])
    return library


def test_a_device_that_tells_nothing_has_no_figures(device, machine):
    assert values(GPU()) == values(Energy(machine.root)) == {}


def test_a_counter_that_was_reset_begins_anew(device, machine):
    collector = Energy(machine.root)
    found = []
    for millijoules in (9_000, 11_000, 1_000, 4_000):
        device.readings = {"energy": millijoules, "power": 1}
        found.append(values(collector).get("gpu_energy"))
    assert found == [None, 2.0, None, 3.0]


def test_a_counter_that_fails_once_is_not_replaced_by_power(device, machine):
    collector = Energy(machine.root)
    found = []
    for millijoules in (9_000, None, 12_000):
        device.readings = {"energy": millijoules, "power": 70_000}
        found.append(values(collector))
    assert found == [{}, {}, {"gpu_energy": 3.0}]


def test_without_a_counter_power_is_added_up_and_the_source_says_so(device, machine):
    collector = Energy(machine.root)
    device.readings = {"power": 60_000}
    assert [tuple(sample) for sample in collector.sample()] == [("gpu_power", 60.0, "W", "nvml")]
    began = time.monotonic()
    time.sleep(0.2)
    device.readings = {"power": 80_000}
    found, elapsed = read(collector), time.monotonic() - began
    assert found["gpu_power", "nvml"].value == 80.0
    energy = found["gpu_energy", "nvml-power-sampled"]
    assert energy.value == pytest.approx(70 * elapsed, rel=0.2)


def test_without_a_driver_nothing_of_nvml_is_loaded(script):
    done = script("""
        from yprov4wms.ml.collectors import _nvidia
        _nvidia.NODES = ()
        with ml.start_run("x"):
            ml.log_system_metrics()
        print([name for name in sys.modules if "nvml" in name or name == "yprov4wms.events"])
    """)
    assert done.stdout == "[]\n", done.stderr
