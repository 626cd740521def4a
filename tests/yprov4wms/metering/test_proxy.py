"""The stand-in for the subprocess module."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from yprov4wms.metering import MeteredPopen, TaskMeter, module_proxy, names

SH = "/bin/sh"


def test_the_proxy_is_the_module_but_for_what_starts_processes() -> None:
    sp = module_proxy(subprocess)
    assert sp.PIPE is subprocess.PIPE
    assert sp.CalledProcessError is subprocess.CalledProcessError
    assert sp.list2cmdline is subprocess.list2cmdline
    assert sp.Popen is MeteredPopen
    assert set(dir(subprocess)) <= set(dir(sp))
    with pytest.raises(AttributeError):
        sp.no_such_name  # noqa: B018
    assert subprocess.Popen is not MeteredPopen
    assert subprocess.run.__globals__["Popen"] is subprocess.Popen


def test_the_functions_of_the_proxy_behave_as_the_modules_and_are_metered() -> None:
    sp = module_proxy(subprocess)
    meter = TaskMeter()
    with meter.attached():
        assert sp.call([SH, "-c", "exit 1"]) == 1
        assert sp.check_call(["true"]) == 0
        assert sp.check_output("echo out", shell=True, text=True) == "out\n"
        done = sp.run(["cat"], input="in", capture_output=True, encoding="utf-8")
        assert (done.returncode, done.stdout) == (0, "in")
        assert sp.getoutput("echo got") == "got"
        with pytest.raises(subprocess.CalledProcessError) as failed:
            sp.check_call([SH, "-c", "exit 2"])
        assert failed.value.returncode == 2
        with pytest.raises(subprocess.TimeoutExpired):
            sp.run(["sleep", "60"], timeout=0.05)
    assert [p.exit_code for p in meter.processes] == [1, 0, 0, 0, 0, 2, -signal.SIGKILL]
    assert meter.exit_code == -signal.SIGKILL


def test_a_wrapped_function_of_the_module_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    wrapped = lambda *args, **kwargs: "theirs"  # noqa: E731
    monkeypatch.setattr(subprocess, "run", wrapped)
    assert module_proxy(subprocess).run(["true"]) == "theirs"


def test_the_shell_function_of_snakemake_is_metered(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("snakemake.shell", reason="snakemake is not installed")
    module = sys.modules["snakemake.shell"]
    monkeypatch.setattr(module, "sp", module_proxy(module.sp))
    meter = TaskMeter({"YPROV_TASK_ID": "task"})
    with meter.attached():
        assert module.shell("echo $YPROV_TASK_ID", read=True) == "task\n"
        assert list(module.shell("printf 'a\\nb\\n'", iterable=True)) == ["a", "b"]
        module.shell("true")
        with pytest.raises(subprocess.CalledProcessError):
            module.shell("exit 5")
    assert [p.exit_code for p in meter.processes] == [0, 0, 0, 5]
    assert names.CPU_TIME in meter.figures()
