"""MeteredPopen behaves as Popen, and tells its meter what it reaped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yprov4wms.metering import MeteredPopen, TaskMeter, module_proxy, names

SH = "/bin/sh"
MIB = 1 << 20


def _wait(process: subprocess.Popen[Any]) -> int:
    return process.wait()


def _wait_with_timeout(process: subprocess.Popen[Any]) -> int:
    return process.wait(timeout=60)


def _poll(process: subprocess.Popen[Any]) -> int:
    while (code := process.poll()) is None:
        pass
    return code


def _communicate(process: subprocess.Popen[Any]) -> int:
    process.communicate(timeout=60)
    code: int = process.returncode
    return code


def _leave(process: subprocess.Popen[Any]) -> int:
    with process:
        pass
    code: int = process.returncode
    return code


REAPERS = [_wait, _wait_with_timeout, _poll, _communicate, _leave]


@settings(max_examples=30, deadline=None)
@given(
    end=st.one_of(
        st.integers(0, 255).map(lambda code: f"exit {code}"),
        st.sampled_from(["TERM", "KILL", "HUP", "USR1", "ABRT"]).map(lambda n: f"kill -{n} $$"),
    ),
    reap=st.sampled_from(REAPERS),
)
def test_exit_codes_and_signals_equal_those_of_popen(
    end: str, reap: Callable[[subprocess.Popen[Any]], int]
) -> None:
    expected = reap(subprocess.Popen([SH, "-c", end]))
    meter = TaskMeter()
    with meter.attached():
        process = MeteredPopen([SH, "-c", end])
    assert reap(process) == process.returncode == process.poll() == process.wait() == expected
    assert meter.exit_code == expected
    assert [p.exit_code for p in meter.processes] == [expected]


@pytest.mark.parametrize("reap", REAPERS)
def test_every_way_of_reaping_gives_the_figures(
    reap: Callable[[subprocess.Popen[Any]], int], tmp_path: Path
) -> None:
    meter = TaskMeter()
    with meter.attached():
        process = MeteredPopen(["dd", "if=/dev/zero", f"of={tmp_path}/f", "bs=1M", "count=1"])
    assert reap(process) == 0
    figures = meter.figures()
    assert figures[names.CPU_TIME].method == "wait4"
    assert figures[names.IO_WRITE_CHARS].method == "proc-io-before-reap"
    assert figures[names.IO_WRITE_CHARS].scope is None
    (told,) = meter.processes
    assert told.pid == process.pid
    assert told.ended is not None
    assert told.started <= told.ended
    assert told.started.endswith("+00:00")


def test_without_a_meter_it_is_popen() -> None:
    process = MeteredPopen([SH, "-c", "exit 7"])
    assert process.wait() == 7
    assert isinstance(process, subprocess.Popen)


def test_a_timeout_is_raised_and_the_process_can_still_be_killed() -> None:
    meter = TaskMeter()
    with meter.attached():
        process = MeteredPopen(["sleep", "60"])
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=0.05)
    with pytest.raises(subprocess.TimeoutExpired):
        process.communicate(timeout=0.05)
    assert meter.processes[0].ended is None
    assert (process.poll(), meter.exit_code) == (None, None)
    process.kill()
    assert process.wait() == -signal.SIGKILL == meter.exit_code
    assert names.CPU_TIME in meter.figures()


def test_a_program_that_is_not_there_raises_as_popen_does() -> None:
    meter = TaskMeter({"A": "1"})
    with meter.attached(), pytest.raises(FileNotFoundError):
        MeteredPopen(["/no/such/program"])
    assert meter.processes == []
    assert meter.exit_code is None
    assert meter.figures() == {}


def test_a_bad_environment_raises_as_popen_does() -> None:
    with pytest.raises(Exception) as plain:  # noqa: PT011 (whichever it is)
        subprocess.Popen([SH, "-c", ":"], env=5)  # type: ignore[call-overload]
    with TaskMeter({"A": "1"}).attached(), pytest.raises(type(plain.value)):
        MeteredPopen([SH, "-c", ":"], env=5)


def test_an_exception_of_a_signal_handler_comes_out_of_wait() -> None:
    def handler(*_: object) -> None:
        raise TimeoutError("alarm")  # an OSError, as ECHILD is

    before = signal.signal(signal.SIGALRM, handler)
    try:
        with TaskMeter().attached():
            process = MeteredPopen(["sleep", "60"])
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with pytest.raises(TimeoutError, match="alarm"):
            process.wait()
        assert process.returncode is None
        process.kill()
        assert process.wait() == -signal.SIGKILL
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_a_process_that_someone_else_reaped_ends_as_in_popen() -> None:
    codes = []
    for start in (subprocess.Popen, MeteredPopen):
        for reap in (_wait, _poll):
            meter = TaskMeter()
            with meter.attached():
                process = start([SH, "-c", "exit 3"])
            os.waitpid(process.pid, 0)
            codes.append(reap(process))
            assert names.CPU_TIME not in meter.figures()
    assert codes == [0, 0, 0, 0]


def test_with_sigchld_ignored_it_ends_as_in_popen() -> None:
    script = """
        import signal, subprocess
        from yprov4wms.metering import MeteredPopen, TaskMeter
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        with TaskMeter().attached():
            starts = subprocess.Popen, MeteredPopen
            print([start(["sh", "-c", "exit 3"]).wait() for start in starts])
    """
    assert _python(script) == "[0, 0]"


def test_an_abandoned_process_is_silent_at_interpreter_exit() -> None:
    script = """
        import warnings; warnings.simplefilter("ignore")
        from yprov4wms.metering import MeteredPopen, TaskMeter
        with TaskMeter().attached():
            MeteredPopen(["true"])
            kept = MeteredPopen(["sleep", "0.2"])
    """
    run = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True)
    assert (run.returncode, run.stderr) == (0, b"")


def test_many_threads_may_wait_for_one_process() -> None:
    meter = TaskMeter()
    with meter.attached():
        process = MeteredPopen([SH, "-c", "sleep 0.2; exit 9"])
    codes: list[int] = []
    waiters = [threading.Thread(target=lambda r=r: codes.append(r(process))) for r in REAPERS[:3]]
    for waiter in waiters:
        waiter.start()
    for waiter in waiters:
        waiter.join(60)
    assert codes == [9, 9, 9]
    assert len(meter.processes) == 1


def test_meters_of_several_threads_do_not_mix(tmp_path: Path) -> None:
    meters = [TaskMeter({"N": str(n)}) for n in range(6)]
    sp = module_proxy(subprocess)
    outputs: dict[int, bytes] = {}

    def work(n: int) -> None:
        with meters[n].attached():
            dd = ["dd", "if=/dev/zero", f"of={tmp_path}/{n}", "bs=1M", f"count={n + 1}"]
            for _ in range(5):
                sp.run(dd, check=True, stderr=subprocess.DEVNULL)
            outputs[n] = sp.check_output([SH, "-c", "echo $N"])

    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    for n, meter in enumerate(meters):
        assert outputs[n] == b"%d\n" % n
        assert len(meter.processes) == 6
        written = meter.figures()[names.IO_WRITE_CHARS].value
        assert written == pytest.approx(5 * (n + 1) * MIB, rel=0.01)


def test_the_meters_environment_is_added_to_the_given_one_and_to_our_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OURS", "ours")
    show = [SH, "-c", 'echo "$TASK $GIVEN $OURS"']
    with TaskMeter({"TASK": "t"}).attached():
        sp = module_proxy(subprocess)
        assert sp.check_output(show) == b"t  ours\n"
        assert sp.check_output(show, env={"GIVEN": "g", "TASK": "x"}) == b"t g \n"
        positional = MeteredPopen(
            show, -1, None, None, subprocess.PIPE, None, None, True, False, None, {"GIVEN": "g"}
        )
        assert positional.communicate()[0] == b"t g \n"
    assert "TASK" not in os.environ


def test_the_innermost_meter_counts_and_the_outer_one_comes_back() -> None:
    outer, inner = TaskMeter(), TaskMeter()
    with outer.attached():
        with inner.attached():
            MeteredPopen(["true"]).wait()
        MeteredPopen(["true"]).wait()
    MeteredPopen(["true"]).wait()
    assert (len(outer.processes), len(inner.processes)) == (1, 1)


def test_a_failure_of_the_meter_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(TaskMeter, "ended", broken)
    with TaskMeter().attached():
        assert MeteredPopen([SH, "-c", "exit 4"]).wait() == 4
    monkeypatch.setattr(TaskMeter, "started", broken)
    with TaskMeter().attached():
        assert MeteredPopen([SH, "-c", "exit 5"]).wait() == 5


def test_without_waitid_the_cpu_is_still_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "waitid")
    for reap in REAPERS:
        meter = TaskMeter()
        with meter.attached():
            assert reap(MeteredPopen([SH, "-c", "exit 6"])) == 6
        assert meter.figures()[names.CPU_TIME].method == "wait4"


def _python(script: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()
