"""NVML through a library of our own making, in processes of their own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pynvml", reason="nvidia-ml-py is not installed")

COMPILER = shutil.which("gcc") or shutil.which("cc")
needs_compiler = pytest.mark.skipif(
    COMPILER is None or sys.platform != "linux", reason="needs a C compiler on Linux"
)

#: A task whose process, once started, is written to the stub's list of processes.
TASK = """
    import json, os, sys, time
    from pathlib import Path
    from yprov4wms.metering import MeteredPopen, TaskMeter, nvml
    nvml.load()  # else it takes a part of the task's time
    meter = TaskMeter(sample_interval=0.05)
    with meter.attached():
        process = MeteredPopen(["sh", "-c", "echo $$; sleep 1; exit 3"], stdout=-1)
    if place := os.environ.get("STUB_PROCESSES"):
        text = sys.argv[1].format(task=process.pid, other=os.getpid())
        Path(place).write_text(text)
    code = process.wait()
    figures = {
        name: [figure.value, figure.method, figure.scope]
        for name, figure in meter.figures().items()
        if name.startswith("gpu") or name == "wall_time"
    }
    print(json.dumps([code, figures]))
"""


@pytest.fixture(scope="session")
def stub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _compile(tmp_path_factory.mktemp("nvml"))


@pytest.fixture(scope="session")
def bare_stub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _compile(tmp_path_factory.mktemp("bare"), "-DBARE")


def _compile(folder: Path, *options: str) -> Path:
    assert COMPILER is not None
    source = Path(__file__).with_name("nvml_stub.c")
    target = folder / "libnvidia-ml.so.1"
    subprocess.run([COMPILER, "-shared", "-fPIC", *options, "-o", target, source], check=True)
    return folder


def _run(folder: Path | None, script: str, *args: str, **env: str) -> Any:
    variables = {k: v for k, v in os.environ.items() if not k.startswith(("CUDA_", "STUB_"))}
    if folder is not None:
        variables["LD_LIBRARY_PATH"] = str(folder)
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), *args],
        capture_output=True,
        text=True,
        env={**variables, **env},
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return json.loads(done.stdout)


DEVICES = """
    import json, sys
    import msgspec
    from yprov4wms.metering import gpu
    found = msgspec.to_builtins(gpu.devices())
    print(json.dumps([found, gpu.problem(), "pynvml" in sys.modules]))
"""


@needs_compiler
def test_devices_are_described(stub: Path) -> None:
    found, problem, _ = _run(stub, DEVICES)
    assert problem is None
    assert found == [
        {"index": n, "name": "Stub", "uuid": f"GPU-{n}000", "memory": 8 << 30, "driver": "999.1"}
        for n in range(2)
    ]


@needs_compiler
def test_missing_symbols_are_unknowns(bare_stub: Path) -> None:
    found, problem, _ = _run(bare_stub, DEVICES)
    assert problem is None
    assert found == [
        {"index": n, "name": None, "uuid": None, "memory": None, "driver": None} for n in range(2)
    ]
    code, figures = _run(bare_stub, TASK)
    assert code == 3
    assert list(figures) == ["wall_time"]


@needs_compiler
def test_a_failing_initialization_says_why(stub: Path) -> None:
    found, problem, _ = _run(stub, DEVICES, STUB_INIT="9")
    assert found == []
    assert "Driver Not Loaded" in problem
    code, figures = _run(stub, TASK, STUB_INIT="9")
    assert code == 3
    assert list(figures) == ["wall_time"]


def test_without_the_library_pynvml_is_not_even_imported(tmp_path: Path) -> None:
    if Path("/proc/driver/nvidia").exists():
        pytest.skip("this machine has an NVIDIA driver")
    found, problem, imported = _run(None, DEVICES)
    assert (found, imported) == ([], False)
    assert "libnvidia-ml" in problem


@needs_compiler
def test_a_task_on_one_device_gets_that_devices_energy(stub: Path, tmp_path: Path) -> None:
    code, figures = _run(
        stub, TASK, "0 {task} 1000000\n1 {other} 5\n", STUB_PROCESSES=str(tmp_path / "p")
    )
    assert code == 3
    wall = figures["wall_time"][0]
    energy, method, scope = figures["gpu_energy"]
    assert method == "nvml-energy"
    assert scope == "device: GPU 0 of 2"
    assert 100 * (wall - 0.5) < energy < 100 * wall + 1
    assert figures["gpu_memory_peak"] == [1000000, "nvml-processes-sampled", None]
    assert figures["gpu_utilization_mean"] == [60, "nvml-sampled", scope]
    assert figures["gpu_utilization_max"] == [60, "nvml-sampled", scope]


@needs_compiler
def test_a_task_on_two_devices_adds_both_and_says_that_one_is_shared(
    stub: Path, tmp_path: Path
) -> None:
    processes = "0 {task} 1000\n1 {task} 30\n1 {other} 5\n"
    _, figures = _run(stub, TASK, processes, STUB_PROCESSES=str(tmp_path / "p"))
    wall = figures["wall_time"][0]
    energy, _, scope = figures["gpu_energy"]
    assert scope == "device: GPU 0,1 of 2, shared with others"
    assert 150 * (wall - 0.5) < energy < 150 * wall + 1
    assert figures["gpu_memory_peak"][0] == 1030
    assert figures["gpu_utilization_mean"][0] == 40
    assert figures["gpu_utilization_max"][0] == 60


@needs_compiler
def test_without_a_counter_power_is_integrated(stub: Path, tmp_path: Path) -> None:
    _, figures = _run(
        stub, TASK, "1 {task} 7\n", STUB_PROCESSES=str(tmp_path / "p"), STUB_NO_ENERGY="1"
    )
    wall = figures["wall_time"][0]
    energy, method, scope = figures["gpu_energy"]
    assert method == "nvml-power-sampled"
    assert scope == "device: GPU 1 of 2"
    assert 50 * (wall - 0.5) < energy < 50 * wall + 1


@needs_compiler
def test_a_task_that_used_no_device_has_no_gpu_figures(stub: Path, tmp_path: Path) -> None:
    if os.readlink("/proc/self/ns/pid") != "pid:[4026531836]":  # noqa: PTH115
        pytest.skip("in a pid namespace an absent pid proves nothing")
    _, figures = _run(stub, TASK, "0 {other} 7\n", STUB_PROCESSES=str(tmp_path / "p"))
    assert list(figures) == ["wall_time"]


@needs_compiler
def test_where_processes_are_not_told_all_devices_count_and_the_scope_says_so(stub: Path) -> None:
    _, figures = _run(stub, TASK)
    energy, method, scope = figures["gpu_energy"]
    assert method == "nvml-energy"
    assert scope.startswith("device: GPU 0,1 of 2, all that are visible")
    assert energy > 150 * 0.5
    assert figures["gpu_memory_peak"] == [2 << 30, "nvml-device-sampled", scope]


@needs_compiler
def test_devices_that_cuda_hides_do_not_count(stub: Path) -> None:
    _, figures = _run(stub, TASK, CUDA_VISIBLE_DEVICES="1")
    assert figures["gpu_energy"][2].startswith("device: GPU 1 of 2")


@needs_compiler
def test_the_library_is_shut_down_once(stub: Path, tmp_path: Path) -> None:
    _run(stub, DEVICES, STUB_SHUTDOWN=str(tmp_path / "shutdown"))
    assert (tmp_path / "shutdown").read_text() == "x"
