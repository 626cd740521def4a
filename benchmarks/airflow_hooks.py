"""What our hooks cost Airflow: a task, the scheduler, and either where the store is down.

    python benchmarks/airflow_hooks.py [--rounds 5] [--tasks 20] [--mapped 1000] [--postgres URL]

Needs an environment with apache-airflow, this provider and apache-airflow-providers-openlineage
(s3fs, too, for the store that is an object store). Three parts; ``--parts`` names those to run.

tasks      ``dag.test()`` of a chain of Python tasks that do nothing: with no listener, with ours
           and with OpenLineage's (file transport), each in a process of its own, in turns. Hook
           calls are timed from outside, by pluggy's hook call monitoring, so that what Airflow
           does around a listener counts for each alike. CPU is that of the process, all its
           threads and what it waited for, during the hooks, and that of our sampler's thread
           between them. "first" is the first task of the process: what each task costs where
           it has a process of its own, forked from one that never ran a task.
scheduler  The hooks of a DAG run in the metadata database: so many mapped task instances, a tenth
           of them with a try before. They are called by Airflow's own ``DagRun.update_state``
           and ``notify_dagrun_state_changed``, in a session that prohibits commits as the
           scheduler's does; a rollback follows, so that rounds are alike. ``--postgres`` is the
           URL of an empty database that may be filled.
stores     One task's hooks and one DAG run's, with stores that are read-only, full, or do not
           answer. File systems are mounted where this runs as root; else what needs one is
           skipped.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import os
import resource
import runpy
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

CHAIN = """\
from airflow.sdk import DAG, task

@task
def nothing():
    pass

with DAG("chain") as dag:
    last = None
    for number in range({tasks}):
        this = nothing.override(task_id=f"task_{{number}}")()
        if last is not None:
            last >> this
        last = this
"""
MAPPED = """\
from airflow.sdk import DAG, task

@task
def numbers():
    return list(range({mapped}))

@task
def square(number):
    return number * number

@task
def total(found):
    return sum(found)

with DAG("mapped") as dag:
    total(square.expand(number=numbers()))
"""
WAYS = ("none", "yprov", "openlineage")
TASK_HOOKS = ("on_task_instance_running", "on_task_instance_success", "before_stopping")
#: A store that hangs: longer than anybody waits.
HANGS = 30.0


# In a process of its own, with Airflow.


def _cpu() -> float:
    """CPU seconds of this process, and of the children that it waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + used.ru_utime + used.ru_stime


class Watch:
    """Hook calls, one by one: name, wall and CPU seconds, SQL statements."""

    def __init__(self, way: str) -> None:
        self.calls: list[dict[str, Any]] = []
        self._begun: list[tuple[float, float]] = []
        self._statements = 0
        import airflow.listeners.listener
        import airflow.sdk.listener
        from sqlalchemy import event
        from sqlalchemy.engine import Engine

        event.listen(Engine, "before_cursor_execute", self._count)
        for module in (airflow.listeners.listener, airflow.sdk.listener):
            manager = module.get_listener_manager().pm
            for listener in list(manager.get_plugins()):
                name = f"{type(listener).__module__} {getattr(listener, '__name__', '')}"
                if way not in name:
                    manager.unregister(listener)
            found = len(manager.get_plugins())
            if found != (way != "none"):
                sys.exit(f"{found} listeners, for {way}")
            manager.add_hookcall_monitoring(self._before, self._after)

    def _count(self, *_: Any) -> None:
        self._statements += 1

    def _before(self, name: str, implementations: Any, arguments: Any) -> None:
        self._statements = 0
        self._begun.append((_cpu(), time.perf_counter()))

    def _after(self, outcome: Any, name: str, implementations: Any, arguments: Any) -> None:
        ended, used = time.perf_counter(), _cpu()
        cpu, began = self._begun.pop()
        self.calls.append(
            {
                "hook": name,
                "wall": ended - began,
                "cpu": used - cpu,
                "statements": self._statements,
            }
        )


class Threads:
    """CPU seconds of our threads that live on between hooks: the sampler's."""

    def __init__(self) -> None:
        self._ended = 0.0
        self._running: dict[int, int] = {}
        run = threading.Thread.run

        def measured(thread: threading.Thread) -> None:
            if thread.name != "yprov-sampler":
                run(thread)
                return
            me = threading.get_ident()
            self._running[me] = time.pthread_getcpuclockid(me)
            try:
                run(thread)
            finally:
                self._ended += time.thread_time()
                del self._running[me]

        threading.Thread.run = measured  # type: ignore[method-assign]

    def cpu(self) -> float:
        return self._ended + sum(time.clock_gettime(c) for c in list(self._running.values()))


def chain(way: str, file: str, store: str) -> dict[str, Any]:
    """``dag.test()`` of the DAG in a file."""
    watch, threads = Watch(way), Threads()
    dag = runpy.run_path(file)["dag"]
    before = _cpu()
    run = dag.test()
    cpu = _cpu() - before
    if str(run.state) != "success":
        sys.exit(f"the DAG run ended as {run.state}")
    return {"calls": watch.calls, "cpu": cpu, "threads": threads.cpu()}


def hanging(way: str, file: str, store: str, names: str) -> dict[str, Any]:
    """`chain` where these functions of ``os`` take very long for what lies in the store."""
    descriptors: set[int] = set()

    def slow(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(where: Any, *more: Any, **named: Any) -> Any:
            if isinstance(where, int):
                inside = where in descriptors
            else:
                inside = os.fspath(where).startswith(store)
            if inside and name in names.split(","):
                time.sleep(HANGS)
            done = function(where, *more, **named)
            if inside and name == "open":
                descriptors.add(done)
            return done

        return call

    for name in ("open", "mkdir", "stat", "listdir", "write"):
        setattr(os, name, slow(name, getattr(os, name)))
    return chain(way, file, store)


def migrated() -> dict[str, Any]:
    """An empty metadata database."""
    from airflow.utils.db import initdb

    initdb()
    return {}


def expanded(file: str, mapped: int) -> dict[str, Any]:
    """A DAG run in the database, all of whose task instances have succeeded."""
    from datetime import timedelta

    from airflow import settings
    from airflow.api.common.trigger_dag import trigger_dag
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.dag_processing.dagbag import BundleDagBag, sync_bag_to_db
    from airflow.models.dagrun import DagRun
    from airflow.models.taskmap import TaskMap
    from airflow.utils.types import DagRunTriggeredByType
    from sqlalchemy import select
    from sqlalchemy.orm import Session

    DagBundlesManager().sync_bundles_to_db()
    folder = Path(file).parent
    bag = BundleDagBag(folder, bundle_path=folder, bundle_name="dags-folder")
    sync_bag_to_db(bag, "dags-folder", None)
    trigger_dag("mapped", triggered_by=DagRunTriggeredByType.CLI, run_id="run")
    with Session(settings.engine) as session:
        run = session.scalars(select(DagRun).where(DagRun.dag_id == "mapped")).one()
        run.dag = _dag_of(run, session)
        pushed = TaskMap("mapped", "numbers", "run", -1, mapped, None)
        session.add(pushed)
        session.flush()
        TaskMap.expand_mapped_task(run.dag.get_task("square"), "run", session=session)
        began = run.run_after
        run.state, run.start_date = "running", began
        for number, ti in enumerate(run.get_task_instances(session=session)):
            ti.try_number = 1
            ti.queued_dttm = ti.scheduled_dttm = ti.start_date = began
            ti.end_date = began + timedelta(seconds=number)
            ti.hostname, ti.unixname, ti.pid = "node", "airflow", 1000 + number
            if number % 10 == 0:
                ti.state = "failed"
                ti.prepare_db_for_next_try(session)
                ti.try_number = 2
            ti.state = "success"
        session.commit()
    return {}


def _dag_of(run: Any, session: Any) -> Any:
    from airflow.models.dagbag import DBDagBag

    return DBDagBag(load_op_links=False).get_dag_for_run(run, session=session)


def scheduled(store: str, export: str, rounds: int) -> dict[str, Any]:
    """The hooks of the run that `expanded` made, as the scheduler has them called."""
    os.environ["AIRFLOW__YPROV__EXPORT"] = export
    watch = Watch("yprov")
    from airflow import settings
    from airflow.models.dagrun import DagRun
    from airflow.utils.sqlalchemy import prohibit_commit
    from sqlalchemy import select
    from sqlalchemy.orm import Session

    from airflow_provider_yprov import config

    for number in range(rounds + 1):  # the first is told apart
        # Of its own, for a document takes longer the more journals the run has.
        os.environ["AIRFLOW__YPROV__STORE"] = f"{store}/{number}"
        config.load.cache_clear()
        with Session(settings.engine) as session, prohibit_commit(session):
            run = session.scalars(select(DagRun).where(DagRun.dag_id == "mapped")).one()
            run.dag = _dag_of(run, session)
            run.notify_dagrun_state_changed(msg="started")
            run.update_state(session=session, execute_callbacks=False)
            session.rollback()
        while export == "end" and not list(Path(f"{store}/{number}").glob("*/prov.json")):
            time.sleep(0.1)
        if export == "end":
            time.sleep(1)  # for that process to be gone
    return {"calls": watch.calls}


# Around it.


class Airflow:
    """Folders of an Airflow, and what runs in processes of their own with them."""

    def __init__(self, folder: Path, database: str | None = None, empty: Path | None = None):
        """empty: a database of SQLite's to begin with."""
        self.folder = folder
        (folder / "dags").mkdir(parents=True)
        if empty is not None:
            shutil.copyfile(empty, folder / "airflow.db")
        kept = ("AIRFLOW", "YPROV_", "OPENLINEAGE_", "AWS_", "FSSPEC_")
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith(kept)}
        self.environment |= {
            "AIRFLOW_HOME": str(folder),
            "AIRFLOW__CORE__DAGS_FOLDER": str(folder / "dags"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__DATABASE__LOAD_DEFAULT_CONNECTIONS": "False",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database or f"sqlite:///{folder}/airflow.db",
            "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(
                {"type": "file", "log_file_path": str(folder / "lineage.json"), "append": True}
            ),
            "AIRFLOW__YPROV__EXPORT": "never",
            "AIRFLOW__YPROV__STORE": str(folder / "store"),
            "XDG_CACHE_HOME": str(folder / "cache"),
        }

    def dag(self, name: str, text: str) -> str:
        path = self.folder / "dags" / f"{name}.py"
        path.write_text(text)
        return str(path)

    def ask(self, function: Callable[..., Any], *arguments: Any, **variables: str) -> Any:
        """What a function of this file gives; its log, and an end of all, where it fails."""
        answer, log = self.folder / "answer.json", self.folder / "log.txt"
        request = json.dumps([function.__name__, *arguments])
        with log.open("w") as said:
            code = subprocess.call(
                [sys.executable, __file__, f"--in={request}", f"--out={answer}"],
                env=self.environment | variables,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
            )
        if code:
            sys.exit(f"{function.__name__} ended with {code}\n{log.read_text()[-4000:]}")
        return json.loads(answer.read_text())


def per_task(calls: list[dict[str, Any]], figure: str, hooks: tuple[str, ...]) -> list[float]:
    """Of each task the sum over these hooks."""
    found = [[call[figure] for call in calls if call["hook"] == hook] for hook in hooks]
    return [sum(values) for values in zip(*found, strict=True)]


def tasks(scratch: Path, empty: Path, rounds: int, count: int) -> None:
    shown = "{:<14}{:>10}{:>10}{:>10}{:>12}{:>10}{:>10}{:>12}".format
    print(f"hooks of a task, in ms: dag.test() of a chain of {count} tasks, medians per task")
    print(shown("", "running", "success", "stopping", "run+succ", "first", "CPU", "chain CPU"))
    kept: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    for number in range(rounds + 1):  # the first warms caches up
        for way in WAYS:
            airflow = Airflow(scratch / f"{way}-{number}", empty=empty)
            file = airflow.dag("chain", CHAIN.format(tasks=count))
            store = airflow.environment["AIRFLOW__YPROV__STORE"]
            found = airflow.ask(chain, way, file, store)
            _recorded(airflow, way, count)
            if number:
                calls = found["calls"]
                both = per_task(calls, "wall", TASK_HOOKS[:2])
                cpu = sum(per_task(calls, "cpu", TASK_HOOKS)) + found["threads"]
                one = {hook: median(per_task(calls, "wall", (hook,))) for hook in TASK_HOOKS}
                figures = {"both": median(both), "first": both[0], "cpu": cpu, "all": found["cpu"]}
                kept[way].append(one | figures)
            shutil.rmtree(airflow.folder)

    def over(way: str, figure: str) -> float:
        return median(one[figure] for one in kept[way])

    for way in WAYS:
        print(
            shown(
                way,
                *(f"{1000 * over(way, hook):.2f}" for hook in TASK_HOOKS),
                *(f"{1000 * over(way, figure):.2f}" for figure in ("both", "first")),
                f"{1000 * over(way, 'cpu') / count:.2f}",
                f"{over(way, 'all'):.2f} s",
            )
        )
    ours, peers, plain = (kept[way] for way in ("yprov", "openlineage", "none"))
    for name in ("both", "first"):
        ratio = median(p[name] / o[name] for p, o in zip(peers, ours, strict=True))
        print(f"  OpenLineage over us, running and success, {name}: {ratio:.0f} (wanted: 40)")
    for way, some in (("yprov", ours), ("openlineage", peers)):
        share = median(o["cpu"] / n["all"] for o, n in zip(some, plain, strict=True))
        print(f"  CPU of the hooks over the plain chain's, {way}: {share:.2%} (wanted: under 2 %)")


def _recorded(airflow: Airflow, way: str, count: int) -> None:
    """A hook that fails is quick."""
    if way == "yprov":
        lines = b"".join(p.read_bytes() for p in airflow.folder.glob("store/*/events/*.jsonl"))
        told = (lines.count(b'"task-executing"'), lines.count(b'"task-executed"'))
        if told != (count, count) or b'"recorder-failed"' in lines:
            sys.exit(f"of {count} tasks {told} were recorded")
    elif way == "openlineage":
        lines = (airflow.folder / "lineage.json").read_bytes()
        if lines.count(b'"eventType": "COMPLETE"') < count:
            sys.exit("OpenLineage has not written what it was to write")


def scheduler(scratch: Path, empty: Path, rounds: int, count: int, postgres: str | None) -> None:
    shown = "{:<38}{:>10}{:>10}{:>10}{:>10}{:>12}".format
    print(f"hooks of a DAG run with {count:,} mapped task instances, in ms (wanted: under 50)")
    print(shown("", "wall", "longest", "first", "CPU", "statements"))
    for name, url in (("SQLite", None), ("PostgreSQL", postgres)):
        if name == "PostgreSQL" and url is None:
            continue
        airflow = Airflow(scratch / name, url, empty if url is None else None)
        if url is not None:
            airflow.ask(migrated)
        airflow.ask(expanded, airflow.dag("mapped", MAPPED.format(mapped=count)), count)
        for export in ("never", "end"):
            store = airflow.folder / f"store-{export}"
            calls = airflow.ask(scheduled, str(store), export, rounds)["calls"]
            for hook in ("on_dag_run_running", "on_dag_run_success"):
                first, *others = [call for call in calls if call["hook"] == hook]
                print(
                    shown(
                        f"{name}, export={export}, {hook.rpartition('_')[2]}",
                        f"{1000 * median(c['wall'] for c in others):.1f}",
                        f"{1000 * max(c['wall'] for c in others):.1f}",
                        f"{1000 * first['wall']:.1f}",
                        f"{1000 * median(c['cpu'] for c in others):.1f}",
                        max(c["statements"] for c in others),
                    ),
                    flush=True,
                )
            planned = b'"task-planned"'
            for journal in store.glob("1/*/events/*.jsonl"):
                if journal.read_bytes().count(planned) < count:
                    sys.exit(f"{journal} does not hold the whole run")


@contextlib.contextmanager
def _mounted(folder: Path, options: str) -> Iterator[Path | str]:
    """A small file system in memory, or why there is none."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", options, "none", str(folder)]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        yield "skipped: nothing can be mounted here"
        return
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@contextlib.contextmanager
def read_only(folder: Path) -> Iterator[Path | str]:
    if os.geteuid() == 0:
        with _mounted(folder, "ro,size=64k") as found:
            yield found
    else:
        folder.mkdir(mode=0o555)
        yield folder


@contextlib.contextmanager
def full(folder: Path) -> Iterator[Path | str]:
    with _mounted(folder, "size=64k") as found:
        if isinstance(found, Path):
            with contextlib.suppress(OSError), (found / "full").open("wb", buffering=0) as file:
                while file.write(b"\0" * 4096):
                    pass
        yield found


def stores(scratch: Path, empty: Path, rounds: int) -> None:
    shown = "{:<34}{:>10}{:>10}{:>10}{:>12}{:>12}".format
    print("hooks with a store that is down, in s, longest of the rounds (wanted: 1 at most)")
    print(shown("", "running", "success", "stopping", "task in all", "DAG run"))
    silent = socket.create_server(("127.0.0.1", 0))  # takes connections, and says nothing
    s3 = {
        "FSSPEC_S3_ENDPOINT_URL": f"http://127.0.0.1:{silent.getsockname()[1]}",
        "AWS_ACCESS_KEY_ID": "nobody",
        "AWS_SECRET_ACCESS_KEY": "nothing",
    }

    @contextlib.contextmanager
    def object_store(folder: Path) -> Iterator[Path | str]:
        missing = importlib.util.find_spec("s3fs") is None
        yield "skipped: s3fs is not installed" if missing else "s3://bucket/runs"

    @contextlib.contextmanager
    def local(folder: Path) -> Iterator[Path | str]:
        yield folder

    everything = "open,mkdir,stat,listdir,write"
    cases: list[tuple[str, Any, dict[str, str], str]] = [
        ("as it should be", local, {}, ""),
        ("read-only", read_only, {}, ""),
        ("full", full, {}, ""),
        ("S3 that does not answer", object_store, s3, ""),
        (f"a folder that hangs for {HANGS:.0f} s", local, {}, everything),
        (f"a file that hangs for {HANGS:.0f} s", local, {}, "write"),
    ]
    for number, (name, place, variables, names) in enumerate(cases):
        slowest: dict[str, float] = {}
        reason = ""
        for turn in range(rounds):
            airflow = Airflow(scratch / f"down-{number}-{turn}", empty=empty)
            file = airflow.dag("chain", CHAIN.format(tasks=1))
            with place(airflow.folder / "there") as found:
                if str(found).startswith("skipped"):
                    reason = str(found)
                    break
                more = {"AIRFLOW__YPROV__STORE": str(found), **variables}
                if names:
                    told = airflow.ask(hanging, "yprov", file, str(found), names, **more)
                else:
                    told = airflow.ask(chain, "yprov", file, str(found), **more)
            calls = told["calls"]
            one = {hook: sum(per_task(calls, "wall", (hook,))) for hook in TASK_HOOKS}
            one["task"] = sum(one.values())
            one["run"] = sum(c["wall"] for c in calls if c["hook"].startswith("on_dag_run_"))
            slowest = {key: max(value, slowest.get(key, 0)) for key, value in one.items()}
        print(
            shown(name, *(f"{v:.3f}" for v in slowest.values())) if slowest else f"{name}: {reason}"
        )
    silent.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tasks", type=int, default=20)
    parser.add_argument("--mapped", type=int, default=1000)
    parser.add_argument("--postgres", metavar="URL", help="an empty database, also to measure with")
    parser.add_argument(
        "--parts",
        nargs="+",
        default=["tasks", "scheduler", "stores"],
        choices=["tasks", "scheduler", "stores"],
    )
    parser.add_argument("--in", dest="request", help=argparse.SUPPRESS)
    parser.add_argument("--out", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.request:
        name, *arguments = json.loads(given.request)
        Path(given.out).write_text(json.dumps(globals()[name](*arguments)))
        return
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        scratch = Path(folder)
        first = Airflow(scratch / "empty")
        first.ask(migrated)
        empty = first.folder / "airflow.db"
        if "tasks" in given.parts:
            tasks(scratch, empty, given.rounds, given.tasks)
        if "scheduler" in given.parts:
            scheduler(scratch, empty, given.rounds, given.mapped, given.postgres)
        if "stores" in given.parts:
            stores(scratch, empty, min(2, given.rounds))


if __name__ == "__main__":
    main()
