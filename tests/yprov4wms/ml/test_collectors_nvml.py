"""NVIDIA devices through NVML's own bindings and a library of our own making, in real runs."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from yprov4wms.events import MLMetricDeclared, RecorderFailed

pytest.importorskip("pynvml", reason="nvidia-ml-py is not installed")

COMPILER = shutil.which("gcc") or shutil.which("cc")
pytestmark = pytest.mark.skipif(
    COMPILER is None or sys.platform != "linux", reason="needs a C compiler on Linux"
)

#: Device 0 draws 100 W, device 1 50 W.
RUN = """
    from yprov4wms.ml.collectors import _nvidia
    _nvidia.NODES = ("/",)
    with ml.start_run("x", collectors=["gpu", "energy"]):
        ml.log_carbon_metrics()
        ml.log_system_metrics()
        time.sleep(0.5)
        ml.log_system_metrics()
        ml.log_carbon_metrics()
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    source = Path(__file__).parents[1] / "metering" / "nvml_stub.c"

    def compiled(*options):
        target = tmp_path_factory.mktemp("nvml") / "libnvidia-ml.so.1"
        line = [COMPILER, "-shared", "-fPIC", *options, "-o", target, source]
        subprocess.run(line, check=True)
        return str(target.parent)

    return compiled


@pytest.fixture
def run(library, script, record):
    """The run of a script under the library, and its series by name and source."""

    def start(code=RUN, *options, **environment):
        done = script(code, LD_LIBRARY_PATH=library(*options), **environment)
        assert (done.returncode, done.stderr) == (0, "")
        found = record()
        assert found.of(RecorderFailed) == []
        assert found.end is not None
        return {
            (event.name, event.source): (event.unit, points(found, event))
            for event in found.of(MLMetricDeclared)
        }

    def points(found, event):
        return {summary.series: summary for summary in found.end.series}[event.series]

    return start


def first(series):
    return {key: (unit, summary.first) for key, (unit, summary) in series.items()}


def test_every_device_has_its_figures(run):
    found = run()
    assert {
        (name, source): value for (name, source), value in first(found).items() if name in STATIC
    } == {
        ("gpu_usage_pct", "nvml:0"): ("%", 60.0),
        ("gpu_usage_pct", "nvml:1"): ("%", 20.0),
        ("gpu_memory_usage_gb", "nvml:0"): ("GiB", 1.0),
        ("gpu_memory_usage_gb", "nvml:1"): ("GiB", 1.0),
        ("gpu_memory_usage_pct", "nvml:0"): ("%", 12.5),
        ("gpu_memory_usage_pct", "nvml:1"): ("%", 12.5),
        ("gpu_temperature_c", "nvml:0"): ("°C", 65.0),
        ("gpu_temperature_c", "nvml:1"): ("°C", 45.0),
    }
    for source, watts in (("nvml:0", 100), ("nvml:1", 50)):
        unit, power = found["gpu_power", source]
        assert (unit, power.last) == ("W", pytest.approx(watts, rel=0.1))
        unit, energy = found["gpu_energy", source]
        assert (unit, energy.count) == ("J", 3)
        assert 0.5 * watts <= energy.max < 5 * watts
    unit, consumed = found["energy_consumed", "nvml:0+nvml:1"]
    assert unit == "kWh"
    assert 75 / 3.6e6 <= consumed.last < 750 / 3.6e6


STATIC = ("gpu_usage_pct", "gpu_memory_usage_gb", "gpu_memory_usage_pct", "gpu_temperature_c")


def test_a_device_that_cuda_hides_is_not_read(run):
    found = run(CUDA_VISIBLE_DEVICES="1")
    assert {source for _, source in found} == {"nvml"}
    assert first(found)["gpu_temperature_c", "nvml"] == ("°C", 45.0)
    assert found["gpu_power", "nvml"][1].last == pytest.approx(50, rel=0.1)


def test_without_a_counter_energy_is_that_of_sampled_power(run):
    found = run(STUB_NO_ENERGY="1", STUB_NO_TEMPERATURE="1")
    assert first(found)["gpu_power", "nvml:1"] == ("W", 50.0)
    assert ("gpu_energy", "nvml:1") not in found
    unit, energy = found["gpu_energy", "nvml-power-sampled:1"]
    assert unit == "J"
    assert 25 <= energy.max < 250
    assert not any(name == "gpu_temperature_c" for name, _ in found)
    assert ("energy_consumed", "nvml-power-sampled:0+nvml-power-sampled:1") in found


def test_a_counter_that_is_reset_is_not_a_negative_energy(run, tmp_path):
    code = RUN + f"        open({str(tmp_path / 'reset')!r}, 'w').close()\n"
    code += "        ml.log_system_metrics()\n"
    found = run(code, STUB_RESET=str(tmp_path / "reset"))
    assert found["gpu_energy", "nvml:0"][1].count == 3
    assert found["gpu_energy", "nvml:0"][1].min >= 0


def test_a_library_that_can_do_nothing_gives_nothing(run):
    assert run(RUN, "-DBARE") == {}


def test_a_driver_that_is_not_loaded_gives_nothing(run):
    assert run(STUB_INIT="9") == {}


def test_the_background_and_a_forked_child_read_devices_on_their_own(library, script, records):
    done = script(
        """
        from yprov4wms.ml.collectors import _nvidia
        _nvidia.NODES = ("/",)
        ml.start_run("parent", collectors=["gpu", "energy"], sample_interval=0.1)
        time.sleep(0.5)
        pid = os.fork()
        if pid == 0:
            with ml.start_run("child", collectors=["gpu", "energy"], sample_interval=0.1):
                time.sleep(0.5)
            os._exit(7)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        ml.end_run()
        """,
        # Newer Pythons warn of any fork beside a thread.
        *("-W", "ignore::DeprecationWarning"),
        LD_LIBRARY_PATH=library(),
    )
    assert (done.stdout, done.stderr) == ("7\n", "")
    for found in records():
        energies = [
            summary
            for event in found.of(MLMetricDeclared)
            for summary in found.end.series
            if event.name == "gpu_energy" and event.series == summary.series
        ]
        assert len(energies) == 2
        assert all(summary.count >= 2 for summary in energies)
