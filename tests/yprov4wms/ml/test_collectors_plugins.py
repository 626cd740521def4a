"""Collectors in runs: those of an installed plugin, good and bad ones, slow ones; the choice."""

from __future__ import annotations

import textwrap
import time
from pathlib import Path

import pytest

from yprov4wms import ml
from yprov4wms.events import MLMetricDeclared, RecorderFailed
from yprov4wms.ml.collectors import Sample, collecting, entries

PLUGIN = """
    from yprov4wms.ml.collectors import Sample

    print("imported")


    class Room:
        def __init__(self):
            self.calls = 0

        def sample(self):
            self.calls += 1
            yield Sample("room_temperature", 20 + self.calls, "°C", "thermometer")
            yield Sample("room_people", 3)

        def close(self):
            print("closed")
"""


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Put a distribution with entry points on the path of scripts."""

    def put(code, **collectors):
        folder = tmp_path / "site"
        info = folder / "roomy-1.0.dist-info"
        info.mkdir(parents=True)
        (folder / "roomy.py").write_text(textwrap.dedent(code))
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: roomy\nVersion: 1.0\n")
        lines = [f"{name} = {value}" for name, value in collectors.items()]
        (info / "entry_points.txt").write_text("\n".join([f"[{entries.GROUP}]", *lines, ""]))
        monkeypatch.setenv("PYTHONPATH", str(folder))

    return put


def declared(run):
    return {event.name: event for event in run.of(MLMetricDeclared)}


def failures(run):
    return {event.where: event.error for event in run.of(RecorderFailed)}


def test_an_installed_plugin_is_asked_and_closed(install, script, record):
    install(PLUGIN, room="roomy:Room")
    done = script("""
        with ml.start_run("x"):
            ml.log_system_metrics("training", 0)
            ml.log_system_metrics("training", 1)
    """)
    assert (done.stdout, done.stderr) == ("imported\nclosed\n", "")
    run = record()
    assert run.values("room_temperature", "training") == [21.0, 22.0]
    assert run.values("room_people", "training") == [3.0, 3.0]
    found = declared(run)
    assert (found["room_temperature"].unit, found["room_temperature"].source) == (
        "°C",
        "thermometer",
    )
    assert (found["room_people"].unit, found["room_people"].source) == (None, "room")
    assert "ram_usage_gb" in found


def test_those_that_are_chosen_are_asked_alone(install, script, record):
    install(PLUGIN, room="roomy:Room")
    done = script("""
        with ml.start_run("x", collectors=["room"]):
            ml.log_system_metrics()
    """)
    assert done.stdout == "imported\nclosed\n", done.stderr
    assert set(declared(record())) == {"room_temperature", "room_people"}


def test_ours_are_chosen_without_a_look_at_what_is_installed(install, script, record):
    install(PLUGIN, room="roomy:Room")
    done = script("""
        with ml.start_run("x", collectors=iter(["memory", "disk", "memory"])):
            ml.log_system_metrics()
        print("importlib.metadata" in sys.modules)
    """)
    assert done.stdout == "False\n", done.stderr
    names = {"ram_usage_gb", "ram_usage_pct", "process_ram_usage_gb"}
    assert set(declared(record())) == names | {"disk_usage_gb", "disk_usage_pct"}


def test_where_no_plugin_is_installed_the_look_is_cheap(script):
    done = script("""
        with ml.start_run("x"):
            ml.log_system_metrics()
        print("importlib.metadata" in sys.modules)
    """)
    assert done.stdout == "False\n", done.stderr


def test_a_name_that_no_collector_has_is_told_at_once_and_no_plugin_imported(install, script):
    install(PLUGIN, room="roomy:Room")
    done = script("""
        try:
            ml.start_run("x", collectors=["cpu", "romo"])
        except ValueError as error:
            print(error)
        print(ml.active_run())
    """)
    assert done.stdout == (
        "collector 'romo' is none of cpu, disk, energy, gpu, memory, network, room\nNone\n"
    )


@pytest.mark.parametrize(
    ("given", "error"), [("cpu", TypeError), (["cpu", "absent"], ValueError), ([3], ValueError)]
)
def test_a_choice_that_is_none_raises(given, error):
    with pytest.raises(error, match="collector"):
        ml.start_run("x", collectors=given)
    assert ml.active_run() is None


def test_none_may_be_chosen(record):
    with ml.start_run("x", collectors=[], sample_interval=0.01):
        ml.log_system_metrics()
    assert declared(record()) == {}


def test_a_plugin_does_not_replace_ours(install, script, record):
    install(PLUGIN, memory="roomy:Room")
    done = script("""
        with ml.start_run("x"):
            ml.log_system_metrics()
    """)
    assert (done.stdout, done.stderr) == ("", "")
    assert "ram_usage_gb" in declared(record())


BROKEN = """
    import absent_module
"""

BAD = """
    class Raises:
        calls = 0

        def sample(self):
            Raises.calls += 1
            yield ("before", 1.0, "B", None)
            raise OSError("no such sensor")

        def close(self):
            print("asked", Raises.calls)

    class Stays:
        def sample(self):
            return [("odd", "high", "B", "s"), ("good", 2, None, None), 5, ("", 1.0, "B", "s")]

        def close(self):
            raise OSError("stuck")

    def refuses():
        raise RuntimeError("not on this machine")
"""


def test_a_plugin_that_cannot_be_loaded_is_told_once_and_the_others_stay(install, script, record):
    install(BROKEN, broken="roomy:Any", missing="other_module:Any")
    done = script("""
        with ml.start_run("x"):
            for step in range(3):
                ml.log_system_metrics(step=step)
        print("trained")
    """)
    assert done.stdout == "trained\n"
    assert done.stderr.count("RecordingWarning") == 1
    run = record()
    assert failures(run) == {
        "loading collector broken": "ModuleNotFoundError: No module named 'absent_module'",
        "loading collector missing": "ModuleNotFoundError: No module named 'other_module'",
    }
    assert len(run.values("ram_usage_gb")) == 3


def test_what_raises_is_told_once_and_left_out_and_bad_values_alone(install, script, record):
    install(BAD, raises="roomy:Raises", stays="roomy:Stays", refuses="roomy:refuses")
    done = script("""
        with ml.start_run("x") as run:
            for step in range(3):
                ml.log_system_metrics(step=step)
        print("trained", run._log.failures)
    """)
    assert done.stdout == "asked 1\ntrained 4\n"
    assert done.stderr.count("RecordingWarning") == 1
    run = record()
    found = failures(run)
    assert found.pop("a sample of collector stays").startswith("TypeError")
    assert found == {
        "collector raises": "OSError: no such sensor",
        "loading collector refuses": "RuntimeError: not on this machine",
        "closing collector stays": "OSError: stuck",
    }
    assert run.values("before") == [1.0]
    assert run.values("good") == [2.0, 2.0, 2.0]
    assert {"odd", ""}.isdisjoint(declared(run))
    assert len(run.values("ram_usage_gb")) == 3


def test_broken_metadata_of_another_distribution_is_one_failure(install, script, record, tmp_path):
    install(PLUGIN, room="roomy:Room")
    (tmp_path / "site/roomy-1.0.dist-info/entry_points.txt").write_text(
        f"[{entries.GROUP}]\nthis is no entry point\n"
    )
    done = script("""
        with ml.start_run("x", collectors=["memory", "room"]):
            ml.log_system_metrics()
            ml.log_system_metrics()
    """)
    assert done.stdout == ""
    assert done.stderr.count("RecordingWarning") == 1
    assert len(failures(record())) == 1
    assert len(record().values("ram_usage_gb")) == 2


SLOW = """
    import time
    from yprov4wms.ml.collectors import Sample

    class Slow:
        def sample(self):
            time.sleep(10)
            return [Sample("late", 1.0)]

        def close(self):
            print("closed while at work")
"""


def test_a_slow_plugin_holds_neither_what_is_logged_nor_the_end(install, script, record):
    install(SLOW, slow="roomy:Slow")
    done = script("""
        run = ml.start_run("x", sample_interval=0.2)
        time.sleep(0.5)
        longest = 0.0
        for step in range(5):
            began = time.monotonic()
            ml.log_metric("loss", 1.0, step=step)
            ml.log_param("p", step)
            ml.log_system_metrics("training", step)
            longest = max(longest, time.monotonic() - began)
        began = time.monotonic()
        ml.end_run()
        print(longest, time.monotonic() - began, run._log.failures)
    """)
    assert done.stderr == ""
    longest, end, told = map(float, done.stdout.split())
    assert longest < 0.5
    assert end < 4
    assert told == 0
    run = record()
    assert run.end is not None
    assert len(run.values("ram_usage_gb", "training")) == 5
    assert len(run.values("loss")) == 5
    assert "late" not in declared(run)


def test_a_collector_that_ends_its_work_after_the_run_is_closed_by_its_thread(monkeypatch):
    class Slow:
        closed = 0

        def sample(self):
            time.sleep(3)
            return []

        def close(self):
            self.closed += 1

    slow, made = Slow(), entries.made
    monkeypatch.setattr(entries, "others", lambda: {"slow": slow})
    monkeypatch.setattr(entries, "made", lambda name: slow if name == "slow" else made(name))
    with ml.start_run("x", collectors=["slow"], sample_interval=60):
        time.sleep(0.1)
    assert slow.closed == 0
    deadline = time.monotonic() + 10
    while not slow.closed and time.monotonic() < deadline:
        time.sleep(0.05)
    assert slow.closed == 1


# -- the background ------------------------------------------------------------------


def test_the_background_samples_at_once_at_intervals_and_at_the_end(record):
    with ml.start_run("x", collectors=["memory"], sample_interval=0.3):
        time.sleep(1.0)
    run = record()
    points = run.series("ram_usage_gb")
    assert 3 <= len(points) <= 6
    assert all(point.step is None for point in points)


def test_the_energy_of_the_whole_run_is_sampled(tmp_path, monkeypatch, record):
    from yprov4wms.ml.collectors import energy

    zone = tmp_path / "sys/class/powercap/intel-rapl:0"
    zone.mkdir(parents=True)
    (zone / "name").write_text("package-0")
    (zone / "max_energy_range_uj").write_text("262143328850")
    (zone / "energy_uj").write_text("1000000")
    monkeypatch.setattr(energy.Energy.__init__, "__defaults__", (tmp_path,))
    with ml.start_run("x", sample_interval=60):
        time.sleep(0.5)
        (zone / "energy_uj").write_text("51000000")
    assert sum(record().values("cpu_energy")) == 50.0


def test_a_forked_child_has_a_sampler_of_its_own_and_leaves_the_parents_alone(script, records):
    done = script(
        """
        ml.start_run("parent", sample_interval=0.05)
        time.sleep(0.2)
        pid = os.fork()
        if pid == 0:
            with ml.start_run("child", sample_interval=0.05):
                time.sleep(0.3)
            os._exit(7)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        ml.end_run()
    """,
        # Newer Pythons warn of any fork beside a thread.
        *("-W", "ignore::DeprecationWarning"),
    )
    assert (done.stdout, done.stderr) == ("7\n", "")
    parent, child = records()
    assert parent.start.experiment == "parent"
    for run in (parent, child):
        assert len(run.values("ram_usage_gb")) >= 3
        assert run.end is not None
        assert failures(run) == {}


def test_to_sample_each_second_costs_next_to_nothing(script):
    code = """
        ml.start_run("x"{interval})
        ml.log_system_metrics()
        time.sleep(1)
        began = time.process_time()
        time.sleep(3)
        print(time.process_time() - began)
        ml.end_run()
    """
    with_it, without = (
        float(script(code.format(interval=interval)).stdout)
        for interval in (", sample_interval=1", "")
    )
    # A bound that a busy machine keeps too; the true figure is some 0.3 ms a sample.
    assert with_it - without < 0.05


# -- carbon --------------------------------------------------------------------------


@pytest.fixture
def meter(monkeypatch):
    """In place of our collector of energy: 1.8 MJ, half a kilowatt hour, at each sample."""

    class Meter:
        def sample(self):
            yield Sample("cpu_energy", 1.8e6, "J", "rapl")

    made = entries.made
    monkeypatch.setattr(entries, "made", lambda name: Meter() if name == "energy" else made(name))


def test_energy_and_emissions_are_those_so_far(meter, monkeypatch, record):
    monkeypatch.setenv("YPROV_CARBON_INTENSITY", "400")
    with ml.start_run("x"):
        ml.log_carbon_metrics("training", 0)
        ml.log_system_metrics("training", 1)
        ml.log_carbon_metrics("training", 2)
    run = record()
    assert run.values("energy_consumed", "training") == [0.5, 1.5]
    assert run.values("emissions", "training") == pytest.approx([0.2, 0.6])
    assert run.values("cpu_energy", "training") == [1.8e6] * 3
    found = declared(run)
    assert (found["energy_consumed"].unit, found["energy_consumed"].source) == ("kWh", "rapl")
    assert (found["emissions"].unit, found["emissions"].source) == ("kg", "rapl*400g/kWh")


def test_without_an_intensity_there_are_no_emissions(meter, record):
    with ml.start_run("x"):
        ml.log_carbon_metrics()
    assert set(declared(record())) == {"cpu_energy", "energy_consumed"}


@pytest.mark.skipif(
    Path("/sys/class/powercap/intel-rapl:0").exists() or Path("/dev/nvidiactl").exists(),
    reason="this machine may count energy",
)
def test_without_a_counter_nothing_is_logged(monkeypatch, record):
    monkeypatch.setenv("YPROV_CARBON_INTENSITY", "400")
    with ml.start_run("x"):
        ml.log_carbon_metrics("training", 0)
    assert declared(record()) == {}


def test_only_what_is_energy_adds_up():
    samples = [
        Sample("cpu_energy", 2.0, "J", "rapl"),
        Sample("gpu_energy", 3.0, "J", "nvml:0"),
        Sample("gpu_energy", 4.0, "J", "nvml:1"),
        Sample("gpu_energy", 5.0, "kWh", "other"),
        Sample("gpu_power", 6.0, "W", "nvml:0"),
    ]
    collector = collecting._One("x", None)
    all_of = collecting.Collecting((), lambda *told: None)
    for sample in samples:
        assert all_of._checked(collector, sample) == sample
    consumed, emitted = all_of.carbon(100.0)
    assert consumed.value == pytest.approx(9 / 3.6e6)
    assert consumed.source == "nvml:0+nvml:1+rapl"
    assert emitted.value == pytest.approx(9 / 3.6e6 * 0.1)
    assert list(collecting.Collecting((), lambda *told: None).carbon(100.0)) == []
