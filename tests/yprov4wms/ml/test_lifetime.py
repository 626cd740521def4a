"""How a run ends when its process does, in processes that really end so."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time

import pytest

from yprov4wms.events import MLParam, Status
from yprov4wms.replay import replay
from yprov4wms.store import RunFolder

LOG = "ml.log_param('p', 1); ml.log_metric('loss', 0.5)\n"


def start(command, code):
    """A script that is left running once it has printed a line."""
    process = subprocess.Popen(command(code), stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize(
    ("end", "status", "error", "code"),
    [
        ("ml.end_run()", "completed", None, 0),
        ("", "completed", None, 0),
        ("ml.end_run(status='failed')", "failed", None, 0),
        ("raise ValueError('bad data')", "failed", "ValueError: bad data", 1),
        ("sys.exit(3)", "failed", "SystemExit: 3", 3),
        ("sys.exit('no data')", "failed", "SystemExit: no data", 1),
        ("sys.exit()", "completed", None, 0),
        ("sys.exit(0)", "completed", None, 0),
        ("os.kill(os.getpid(), 2)", "cancelled", "KeyboardInterrupt", -2),
        ("raise ZeroDivisionError", "failed", "ZeroDivisionError", 1),
    ],
)
def test_a_run_that_is_left_open_ends_as_its_script(script, record, end, status, error, code):
    done = script(f"ml.start_run('x')\n{LOG}{end}")
    assert done.returncode == code
    assert (record().end.status, record().end.error) == (Status(status), error)
    assert record().values("loss") == [0.5]


@pytest.mark.parametrize(
    ("end", "status", "error", "code"),
    [
        ("pass", "completed", None, 0),
        ("raise ValueError('bad data')", "failed", "ValueError: bad data", 1),
        ("raise SystemExit(3)", "failed", "SystemExit: 3", 3),
        ("raise SystemExit(0)", "completed", None, 0),
        ("raise KeyboardInterrupt", "cancelled", "KeyboardInterrupt", -2),
        ("import asyncio; raise asyncio.CancelledError", "cancelled", "CancelledError", 1),
        ("ml.end_run(status='cancelled')", "cancelled", None, 0),
    ],
)
def test_a_with_block_ends_the_run_as_it_is_left(script, record, end, status, error, code):
    done = script(f"with ml.start_run('x'):\n    {LOG}    {end}")
    assert done.returncode == code
    assert (record().end.status, record().end.error) == (Status(status), error)


def test_output_and_traceback_of_a_dying_script_are_what_they_were(script):
    code = "def f():\n    raise ValueError('bad')\n{}\nprint('out')\nf()"
    plain, recorded = script(code.format("")), script(code.format("ml.start_run('x')"))
    assert (recorded.stdout, recorded.stderr) == (plain.stdout, plain.stderr)


def test_end_run_in_finally_tells_of_the_exception_that_passes(script, record):
    script("""
        ml.start_run("x")
        try:
            1 / 0
        finally:
            ml.end_run()
    """)
    assert record().end.error == "ZeroDivisionError: division by zero"


def test_an_exception_from_before_the_run_is_not_its_end(script, records):
    script("""
        try:
            1 / 0
        except ZeroDivisionError:
            ml.start_run("second try")
            ml.end_run()
    """)
    assert [run.end.status for run in records()] == [Status.COMPLETED]


def test_what_was_caught_is_not_what_the_script_died_of(script, record):
    script("""
        ml.start_run("x")
        try:
            sys.exit(3)
        except SystemExit:
            pass
        ml.log_param("still", "alive")
    """)
    assert (record().end.status, record().end.error) == (Status.COMPLETED, None)


def test_what_is_logged_at_exit_does_not_hide_what_the_script_died_of(script, record):
    done = script("""
        import atexit, threading
        ml.start_run("x")
        atexit.register(lambda: ml.log_param("at exit", 1))
        def late():
            time.sleep(0.3)
            ml.log_param("in a thread", 1)
        threading.Thread(target=late).start()
        raise ValueError("bad")
    """)
    assert record().end.error == "ValueError: bad", done.stderr
    assert [p.name for p in record().of(MLParam)] == ["in a thread", "at exit"]


def test_hooks_are_put_back_at_the_end(script):
    done = script("""
        before = sys.excepthook, sys.exit
        ml.start_run("x")
        assert (sys.excepthook, sys.exit) != before
        ml.end_run()
        print((sys.excepthook, sys.exit) == before)
    """)
    assert done.stdout == "True\n"


def test_hooks_of_others_are_called_and_kept(script, record):
    done = script("""
        sys.excepthook = lambda *args: print("mine")
        ml.start_run("x")
        inner = sys.excepthook
        sys.excepthook = lambda *args: (print("later"), inner(*args))
        raise ValueError("bad")
    """)
    assert done.stdout == "later\nmine\n"
    assert record().end.error == "ValueError: bad"


def test_kill_9_leaves_all_that_was_logged(command, record):
    code = """
        ml.start_run("x", name="killed")
        ml.log_param("lr", 0.1, "training")
        ml.log_artifact("script", __file__, is_input=True)
        for step in range(1000):
            ml.log_metric("loss", 1 / (step + 1), "training", step)
        time.sleep(1)
        print("ready", flush=True)
        time.sleep(60)
    """
    process = start(command, code)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    found = record()
    assert found.end is None
    assert found.start.name == "killed"
    assert found.values("loss", "training") == [1 / (step + 1) for step in range(1000)]
    assert [event.__class__.__name__ for event in found.events] == [
        "MLRunStarted",
        "MLEnvironment",
        "MLContextStarted",
        "MLParam",
        "MLArtifact",
        "MLMetricDeclared",
    ]


def test_kill_9_at_any_moment_leaves_a_beginning(command, records, tmp_path):
    code = """
        ml.start_run("x")
        print("ready", flush=True)
        for step in range(10**9):
            ml.log_metric("loss", float(step), "training", step)
            ml.log_param(f"p{step}", step)
    """
    for wait in (0.0, 0.01, 0.1, 2.0):
        process = start(command, code)
        time.sleep(wait)
        process.kill()
        process.wait()
    found = records()
    assert len(found) == 4
    for run in found:
        params = run.of(MLParam)
        assert [p.value for p in params] == list(range(len(params)))
        if values := run.values("loss", "training") if params else []:
            assert values == [float(step) for step in range(len(values))]
            assert len(values) <= len(params) + 1
    # What was logged in the last second may be lost, and no more.
    assert len(values) > 0.3 * len(params)


def test_sigterm_kills_at_once_and_leaves_all_that_was_logged(command, record):
    process = start(command, f"ml.start_run('x')\n{LOG}print('ready', flush=True)\ntime.sleep(60)")
    process.send_signal(signal.SIGTERM)
    assert process.wait() == -signal.SIGTERM
    assert record().end is None
    assert record().values("loss") == [0.5]
    run = replay(RunFolder(str(record().folder)))
    assert run.status is Status.CANCELLED
    assert re.fullmatch(r"SIGTERM at .*script\.py:\d+ in <module>", run.end.error)


@pytest.mark.parametrize(
    ("death", "number", "error"),
    [
        ("import ctypes; ctypes.string_at(0)", signal.SIGSEGV, "Segmentation fault at .*"),
        ("os.abort()", signal.SIGABRT, r"Aborted at .*script\.py:\d+ in <module>"),
        ("os.kill(os.getpid(), signal.SIGXCPU)", signal.SIGXCPU, "SIGXCPU at .*"),
    ],
)
def test_a_crash_is_told_with_its_place(command, record, death, number, error):
    process = start(
        command,
        f"import signal\nml.start_run('x')\n{LOG}print('ready', flush=True)\n{death}",
    )
    assert process.wait() == -number
    run = replay(RunFolder(str(record().folder)))
    assert run.status is Status.FAILED
    assert re.fullmatch(error, run.end.error)
    assert record().values("loss") == [0.5]


def test_signals_are_let_go_at_the_end(command, tmp_path):
    code = """
        import faulthandler, signal
        with ml.start_run("x"):
            pass
        print("ready", flush=True)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.kill(os.getpid(), signal.SIGTERM)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        sys.exit(7 + faulthandler.is_enabled())
    """
    process = start(command, code)
    assert process.wait() == 7
    assert not list(tmp_path.rglob("fates"))


def test_a_handler_that_a_script_installs_stays(command):
    code = """
        import signal
        with ml.start_run("x"):
            signal.signal(signal.SIGTERM, lambda *_: os._exit(42))
        print("ready", flush=True)
        time.sleep(60)
    """
    process = start(command, code)
    process.send_signal(signal.SIGTERM)
    assert process.wait() == 42


def test_a_script_that_handles_sigterm_ends_its_run(command, record):
    code = f"""
import signal
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
ml.start_run("x")
{LOG}
print("ready", flush=True)
time.sleep(60)
"""
    process = start(command, code)
    process.send_signal(signal.SIGTERM)
    assert process.wait() == 143
    assert (record().end.status, record().end.error) == (Status.FAILED, "SystemExit: 143")


def test_a_forked_child_writes_nothing_and_ends_nothing(script, record):
    done = script("""
        import warnings
        run = ml.start_run("x")
        ml.log_metric("loss", 1.0)
        pid = os.fork()
        if pid == 0:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                ml.log_metric("loss", 2.0)
                ml.log_param("child", True)
                run.log_metric("other", 2.0)
                ml.end_run("failed")
            print(len(caught), caught[0].category.__name__, flush=True)
            sys.exit(5)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 5
        ml.log_metric("loss", 3.0)
    """)
    assert done.stdout == "1 RecordingWarning\n", done.stderr
    assert done.returncode == 0
    assert record().values("loss") == [1.0, 3.0]
    assert record().of(MLParam) == []
    assert record().end.status is Status.COMPLETED


def test_a_forked_child_does_not_wait_for_the_lock_of_a_lost_thread(script, record):
    done = script("""
        import threading
        run = ml.start_run("x")
        locked = threading.Event()
        def hold():
            with run._lock:
                locked.set()
                time.sleep(1)
        threading.Thread(target=hold).start()
        locked.wait()
        pid = os.fork()
        if pid == 0:
            ml.log_metric("loss", 2.0)
            ml.log_param("p", 2.0)
            ml.log_system_metrics()
            ml.end_run()
            os._exit(7)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    """)
    assert done.stdout == "7\n", done.stderr


def test_a_forked_child_may_have_a_run_of_its_own(script, records):
    done = script("""
        ml.start_run("parent")
        pid = os.fork()
        with ml.start_run("child") if pid == 0 else open(os.devnull):
            ml.log_param("pid", pid)
        if pid:
            os.waitpid(pid, 0)
    """)
    assert done.returncode == 0, done.stderr
    assert {run.start.experiment: run.end.status for run in records()} == {
        "parent": Status.COMPLETED,
        "child": Status.COMPLETED,
    }


def test_forked_workers_of_multiprocessing_leave_the_run_alone(script, record):
    done = script("""
        import multiprocessing
        def work(x):
            ml.log_metric("loss", -1.0)
            return x
        ml.start_run("x")
        with multiprocessing.get_context("fork").Pool(2) as pool:
            print(sum(pool.map(work, range(10))))
        ml.log_metric("loss", 1.0)
    """)
    assert done.stdout == "45\n"
    assert record().values("loss") == [1.0]
    assert record().end.status is Status.COMPLETED


def test_runs_follow_each_other_in_one_process(script, records):
    script("""
        for index in range(3):
            with ml.start_run("x", name=str(index)):
                ml.log_param("index", index)
                ml.log_metric("loss", float(index))
    """)
    assert [run.start.name for run in records()] == ["0", "1", "2"]
    assert [[p.value for p in run.of(MLParam)] for run in records()] == [[0], [1], [2]]
    assert [run.values("loss") for run in records()] == [[0.0], [1.0], [2.0]]


def test_the_guard_does_not_keep_a_failed_try_in_memory(script):
    done = script("""
        import weakref
        class Big: pass
        def attempt():
            big = Big()
            watch.append(weakref.ref(big))
            raise MemoryError
        watch = []
        try:
            attempt()
        except MemoryError:
            run = ml.start_run("smaller")
        print(watch[0]())
    """)
    assert done.stdout == "None\n", done.stderr


def test_ids_of_processes_that_start_at_once_differ(command, records):
    line = command("with ml.start_run('x'): ml.log_param('p', os.getpid())")
    processes = [subprocess.Popen(line, env=dict(os.environ)) for _ in range(8)]
    assert [process.wait() for process in processes] == [0] * 8
    assert len({run.start.run for run in records()}) == 8
