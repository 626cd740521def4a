"""Readings of the system, beside psutil's."""

from __future__ import annotations

import sys
import time
from types import SimpleNamespace

import psutil
import pytest

from yprov4wms.metering.nvml import Device, Reading
from yprov4wms.ml import _system
from yprov4wms.ml._system import SystemProbe


def read(probe):
    return {sample.name: sample for sample in probe.sample()}


def burn(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def test_memory_and_disk_are_those_of_psutil():
    found = read(SystemProbe())
    memory, disk = psutil.virtual_memory(), psutil.disk_usage("/")
    assert found["ram_usage_pct"].value == pytest.approx(memory.percent, abs=5)
    assert found["ram_usage_gb"].value == pytest.approx(
        (memory.total - memory.available) / 1024**3, rel=0.2
    )
    assert found["process_ram_usage_gb"].value == pytest.approx(
        psutil.Process().memory_info().rss / 1024**3, rel=0.1
    )
    assert found["disk_usage_pct"].value == pytest.approx(disk.percent, abs=1)
    assert found["disk_usage_gb"].value == pytest.approx(disk.used / 1024**3, rel=0.05)
    assert {found[name].unit for name in found} == {"%", "GiB"}


def test_cpu_is_measured_since_the_reading_before():
    probe = SystemProbe()
    burn(0.3)
    found = read(probe)
    assert 0 < found["cpu_usage_pct"].value <= 100
    # Less than 100 where others take the core.
    assert 5 < found["process_cpu_usage_pct"].value < 150
    time.sleep(0.3)
    assert read(probe)["process_cpu_usage_pct"].value < 30


def test_without_proc_psutil_is_asked(monkeypatch):
    monkeypatch.setattr(_system, "_read", lambda path: b"")
    probe = SystemProbe()
    first = read(probe)
    burn(0.1)
    second = read(probe)
    assert "cpu_usage_pct" not in first
    assert second["cpu_usage_pct"].source == second["ram_usage_gb"].source == "psutil"
    assert 0 <= second["cpu_usage_pct"].value <= 100
    assert second["process_ram_usage_gb"].value > 0


def test_without_proc_and_psutil_the_rest_is_there(monkeypatch):
    monkeypatch.setattr(_system, "_read", lambda path: b"")
    monkeypatch.setitem(sys.modules, "psutil", None)
    assert set(read(SystemProbe())) == {"process_cpu_usage_pct", "disk_usage_gb", "disk_usage_pct"}


@pytest.mark.parametrize(("count", "sources"), [(1, {"nvml"}), (2, {"nvml:0", "nvml:1"})])
def test_devices_have_usage_memory_and_power(monkeypatch, count, sources):
    energy = iter(range(0, 1_000_000, 50_000))
    library = SimpleNamespace(
        read=lambda index, processes: Reading(next(energy), None, 40, 2**30, None)
    )
    devices = [Device(index, "GPU", None, 2**32, None) for index in range(count)]
    monkeypatch.setattr(_system, "_gpus", lambda: _system._Gpus(library, devices))
    probe = SystemProbe()
    first = [sample for sample in probe.sample() if sample.name.startswith("gpu")]
    assert {sample.source for sample in first} == sources
    assert {(sample.name, sample.value, sample.unit) for sample in first} == {
        ("gpu_usage_pct", 40.0, "%"),
        ("gpu_memory_usage_gb", 1.0, "GiB"),
        ("gpu_memory_usage_pct", 25.0, "%"),
    }
    time.sleep(0.1)
    power = [sample for sample in probe.sample() if sample.name == "gpu_power"]
    assert {sample.source for sample in power} == sources
    assert all(0 < sample.value <= 1000 * count for sample in power)


def test_power_is_read_where_energy_is_not_counted(monkeypatch):
    library = SimpleNamespace(read=lambda index, processes: Reading(None, 75_500, None, None, None))
    gpus = _system._Gpus(library, [Device(0, None, None, None, None)])
    assert [(s.name, s.value, s.unit) for s in gpus.sample()] == [("gpu_power", 75.5, "W")]


def test_without_a_driver_nothing_of_nvml_is_loaded(script):
    done = script("""
        with ml.start_run("x"):
            ml.log_system_metrics()
        print([name for name in sys.modules if "nvml" in name or "metering" in name])
    """)
    if not any(map(_system.Path.exists, map(_system.Path, ("/dev/nvidiactl", "/dev/dxg")))):
        assert done.stdout == "[]\n"
