"""``yprov4wms show``: a run, for a person to read."""

from __future__ import annotations

import json
import os
import shlex
import socket
from collections import Counter
from pathlib import Path
from typing import Any

import click
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from yprov4wms.cli import options, style
from yprov4wms.events import Figure, Status
from yprov4wms.export import document
from yprov4wms.graph import CycleError, StepGraph
from yprov4wms.metering import names
from yprov4wms.metering.energy import carbon
from yprov4wms.ml.metrics import Summary, all_series
from yprov4wms.prov.attempts import seconds
from yprov4wms.prov.inner import Nested
from yprov4wms.replay import replay
from yprov4wms.run import Attempt, MLRun, Run, Task
from yprov4wms.store import RunFolder, Store

SHOWN = 60


@click.command(
    "show",
    epilog="""\b
Examples:
  yprov4wms show
  yprov4wms show 0192f --store results/.yprov
  yprov4wms show latest --all
""",
    help=f"""Summarise a run: tasks, status, time, cost, child runs.

{options.RUN_HELP}""",
)
@options.run
@options.store
@click.option("--all", "everything", is_flag=True, help=f"Every task, not {SHOWN} at most.")
def command(run: str, store: str, everything: bool) -> None:
    folder = Store(store).find(run)
    found = replay(folder)
    console = style.console()
    if isinstance(found, MLRun):
        _ml_run(console, found, folder)
    else:
        _workflow(console, found, folder, everything)
    for problem in found.problems[:20]:
        console.print(Text(f"unreadable: {style.plain(problem)}", "red"))


def _workflow(console: Console, run: Run, folder: RunFolder, everything: bool) -> None:
    statuses = run.statuses()
    _head(console, run, statuses, folder)
    rows = [_Row(task, statuses[task.id], run) for task in run.tasks.values()]
    _costs(console, run, rows)
    _tasks(console, rows, everything)
    whole = document.whole(run, folder)
    _inside(console, whole)
    _children(console, whole, everything)
    for row in rows:
        if row.error and row.status is Status.FAILED:
            console.print(
                Text(f"{row.label}:", "bold red"), Text(_shortened(style.plain(row.error)))
            )
    for failure in run.failures:
        told = style.plain(f"the recorder failed: {failure.where}: {failure.error}")
        console.print(Text(told, "yellow"))
    _footer(console, folder)


def _head(console: Console, run: Run, statuses: dict[str, Status], folder: RunFolder) -> None:
    start, end = run.start, run.end
    began, finished = run.times()
    engine = f"{start.engine.name} {start.engine.version or ''}".strip()
    lines: list[tuple[str, Any]] = [
        ("run", run.id),
        ("status", _liveness(run)),
        ("imported", style.local_time(start.time) if start.imported else None),
        ("started", style.local_time(began) if began else None),
        ("took", style.duration(seconds(began, finished)) if finished else None),
        ("engine", f"{engine}, executor {start.executor}" if start.executor else engine),
        ("command", shlex.join(start.command) if start.command else None),
        ("directory", start.directory),
        ("host", start.host),
        ("person", (start.person.name or start.person.login) if start.person else None),
        ("code", _code(run)),
        ("under", f"task {start.parent.task} of run {start.parent.run}" if start.parent else None),
        ("error", end.error if end else None),
    ]
    counts = Counter(_status(run, status) for status in statuses.values())
    lines.append(("tasks", ", ".join(f"{n} {s}" for s, n in sorted(counts.items())) or "none"))
    console.print(Text(style.plain(start.workflow), "bold"))
    _pairs(console, lines)


def _pairs(console: Console, lines: list[tuple[str, Any]]) -> None:
    for name, value in lines:
        if value:
            console.print(Text.assemble(f"  {name:<12}", _clean(value)))


def _clean(value: str | Text) -> str | Text:
    return style.plain(value) if isinstance(value, str) else value


def _liveness(run: Run) -> Text:
    """The status; of a run without a recorded end, whether its process is still there."""
    if run.start.imported:
        end = str(run.status) if run.end else "what became of it is not recorded"
        return Text(f"{end} (imported: what the engine's own record holds)")
    text = style.status(run.status)
    if run.end is None and run.start.pid and run.start.host == socket.gethostname():
        alive = Path("/proc").is_dir() and Path(f"/proc/{run.start.pid}").exists()
        if not alive and Path("/proc").is_dir():
            text.append(" when the record stops: its process is gone", "yellow")
    return text


def _code(run: Run) -> str | None:
    git = run.start.git
    if git is None or git.commit is None:
        return None
    state = "with uncommitted changes" if git.dirty else "clean"
    return f"git {git.commit[:12]} ({git.branch or 'detached'}, {state})"


def _status(run: Run, status: Status) -> str:
    """Of an imported run an attempt without an end is one of which no more is known."""
    return "unknown" if run.start.imported and status is Status.RUNNING else str(status)


class _Row:
    """A task as one line: its attempts taken together."""

    def __init__(self, task: Task, status: Status, run: Run) -> None:
        self.task = task
        self.status = status
        self.told = _status(run, status)
        self.label = style.plain(task.name)
        self.seconds: float | None = None
        self.cpu: float | None = None
        self.memory: float | None = None
        self.energy: list[Figure] = []
        self.exit_code: int | None = None
        self.error: str | None = None
        for attempt in task.attempts:
            self._add(attempt)

    def _add(self, attempt: Attempt) -> None:
        end = attempt.end
        if end is None:
            return
        start = end.began or _start_time(attempt)
        took = seconds(start, end.finished or end.time)
        self.seconds = _plus(self.seconds, took)
        usage = end.usage or {}
        self.cpu = _plus(self.cpu, _value(usage, names.CPU_TIME))
        memory = _value(usage, names.MEMORY_PEAK)
        if memory is not None:
            self.memory = max(self.memory or 0, memory)
        for name in (names.ENERGY, names.GPU_ENERGY):
            if name in usage:
                self.energy.append(usage[name])
        self.exit_code, self.error = end.exit_code, end.error


def _start_time(attempt: Attempt) -> str | None:
    start = attempt.start
    return start.time if start else None


def _value(usage: dict[str, Figure], name: str) -> float | None:
    figure = usage.get(name)
    return figure.value if figure else None


def _plus(total: float | None, value: float | None) -> float | None:
    return total if value is None else (total or 0.0) + value


def _costs(console: Console, run: Run, rows: list[_Row]) -> None:
    lines: list[tuple[str, Any]] = []
    cpu = [row.cpu for row in rows if row.cpu is not None]
    if cpu:
        lines.append(("CPU", f"{style.duration(sum(cpu))} in {len(cpu)} tasks"))
    memory = max((row.memory for row in rows if row.memory is not None), default=None)
    if memory is not None:
        largest = max(rows, key=lambda row: row.memory or 0)
        lines.append(("memory", f"{style.size(memory)} at most, in {largest.label}"))
    total = _energy([figure for row in rows for figure in row.energy])
    if total is not None:
        methods = sorted({figure.method for row in rows for figure in row.energy})
        lines.append(("energy", f"{style.energy(total)} ({', '.join(methods)})"))
    intensity = run.start.carbon_intensity
    if total is not None and intensity is not None and intensity.value is not None:
        grams = carbon(total, None, intensity.value)
        if grams is not None:
            lines.append(("CO2e", f"{style.grams(grams)} at {intensity.value:g} gCO2e/kWh"))
    graph = StepGraph.of(run)
    peak = graph.parallelism()
    if peak.peak:
        average = f", {peak.average:.2f} on average" if peak.average is not None else ""
        lines.append(("parallel", f"{peak.peak} tasks at most{average}"))
    try:
        path = graph.critical_path()
    except CycleError as error:
        lines.append(("bottleneck", str(error)))
    else:
        if path.tasks:
            labels = {row.task.id: row.label for row in rows}
            chain = " > ".join(labels.get(task, task) for task in path.tasks[:12])
            lines.append(("bottleneck", f"{style.duration(path.seconds)}: {chain}"))
    _pairs(console, lines)


def _energy(figures: list[Figure]) -> Figure | None:
    """The sum, with bounds where a part has them."""
    if not figures:
        return None
    if all(figure.value is not None for figure in figures):
        return Figure("J", "sum", sum(figure.value or 0.0 for figure in figures))
    low = sum(f.low if f.low is not None else f.value or 0.0 for f in figures)
    high = sum(f.high if f.high is not None else f.value or 0.0 for f in figures)
    return Figure("J", "sum", low=low, high=high)


def _tasks(console: Console, rows: list[_Row], everything: bool) -> None:
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("task", overflow="fold")
    table.add_column("status")
    for column in ("tries", "exit", "time", "CPU", "memory"):
        table.add_column(column, justify="right", no_wrap=True)
    shown = rows if everything else sorted(rows, key=_interest)[:SHOWN]
    kept = {id(row) for row in shown}
    for row in rows:
        if id(row) in kept:
            tries = len(row.task.attempts)
            table.add_row(
                Text(row.label),
                style.status(row.told),
                str(tries or ""),
                "" if row.exit_code is None else str(row.exit_code),
                style.duration(row.seconds),
                style.duration(row.cpu),
                style.size(row.memory),
            )
    if rows:
        console.print(table)
    if len(rows) > len(shown):
        console.print(f"{len(rows) - len(shown)} more tasks, quick ones that went well (--all)")


def _interest(row: _Row) -> tuple[bool, float]:
    """What is shown first where not all is: what did not go well, then what took long."""
    return row.status in (Status.COMPLETED, Status.UP_TO_DATE), -(row.seconds or 0.0)


def _inside(console: Console, whole: Nested) -> None:
    """The runs that tasks started, each under the one around it."""
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("run inside", no_wrap=True)
    table.add_column("task", overflow="fold")
    for column in ("status", "workflow", "engine"):
        table.add_column(column, overflow="fold")
    for column in ("tasks", "failed", "time"):
        table.add_column(column, justify="right", no_wrap=True)

    def add(outer: Nested, depth: int) -> None:
        for inner in outer.nested:
            run, around = inner.run, inner.around
            statuses = list(run.statuses().values())
            failed = statuses.count(Status.FAILED)
            table.add_row(
                " " * depth + run.id,
                Text(style.plain(_name(outer.run, around.task) if around else "")),
                style.status(run.status),
                Text(style.plain(run.start.workflow)),
                Text(style.plain(run.start.engine.name)),
                str(len(statuses)),
                str(failed or ""),
                style.duration(seconds(*run.times())),
            )
            add(inner, depth + 1)

    add(whole, 0)
    if table.row_count:
        console.print(table)


def _name(run: Run, task: str) -> str:
    found = run.tasks.get(task)
    return found.name if found else task


def _children(console: Console, whole: Nested, everything: bool) -> None:
    inner = {child for run in whole.nested for child in run.children()}
    found = [
        (one.run, child, content)
        for one in whole.every()
        for child, content in document.children(one.run, one.folder)
        if one is not whole or child.child not in inner
    ]
    if not found:
        return
    table = Table(box=box.SIMPLE_HEAD)
    for column in ("child run", "task", "status", "parameters", "metrics (last)"):
        table.add_column(column, overflow="fold")
    shown = found if everything else found[:SHOWN]
    for run, child, content in shown:
        name, status, params, metrics = _summary(content)
        if not child.complete:
            status = f"{status} (no end was recorded)"
        if child.doubt is not None:
            status = f"{status} (in doubt: {child.doubt})"
        task = _name(run, child.task)
        if run is not whole.run:
            task = f"{run.start.workflow}: {task}"
        cells = (name or child.child, task, status, params, metrics)
        table.add_row(*(Text(style.plain(cell)) for cell in cells))
    console.print(table)
    if len(found) > len(shown):
        console.print(f"{len(found) - len(shown)} more child runs (--all)")


def _summary(content: bytes | None) -> tuple[str, str, str, str]:
    """Label, status, parameters and last metric values of a child's document."""
    if content is None:
        return "", "its document is missing", "", ""
    try:
        document = json.loads(content)
        roots = [
            a for a in document.get("activity", {}).values() if a.get("yprov4wfs:level") == "2"
        ]
        root = roots[0] if roots else {}
        entities = list(document.get("entity", {}).values())
    except (ValueError, AttributeError):
        return "", "its document cannot be read", "", ""
    params = _listed(entities, "provml:HyperParameter", "prov:value")
    metrics = _listed(entities, "provml:Metric", "yprov4wms:last")
    return str(root.get("prov:label", "")), str(root.get("yprov4wfs:status", "")), params, metrics


def _listed(entities: list[dict[str, Any]], kind: str, attribute: str) -> str:
    parts = []
    for entity in entities:
        measured = entity.get("yprov:source") is not None  # of the system, not the model
        if entity.get("prov:type") == kind and attribute in entity and not measured:
            value = entity[attribute]
            if isinstance(value, dict):
                value = value.get("$")
                if entity[attribute].get("type") == "xsd:double":
                    value = f"{float(str(value).replace('INF', 'inf')):.4g}"
            context = entity.get("yprov:context")
            name = entity.get("prov:label", "")
            parts.append(f"{context}.{name}={value}" if context else f"{name}={value}")
    text = ", ".join(parts[:8])
    return f"{text}, ..." if len(parts) > 8 else text


def _ml_run(console: Console, run: MLRun, folder: RunFolder) -> None:
    start, end = run.start, run.end
    console.print(Text(style.plain(start.name or start.experiment), "bold"))
    lines: list[tuple[str, Any]] = [
        ("run", run.id),
        ("experiment", start.experiment),
        ("status", style.status(run.status)),
        ("started", style.local_time(start.time)),
        ("took", style.duration(seconds(start.time, end.time)) if end else None),
        ("host", start.host),
        ("error", end.error if end else None),
    ]
    # Ranks mostly tell the same.
    lines += dict.fromkeys(("parameter", f"{p.name} = {p.value}") for p in run.params)
    for series in all_series(run, folder):
        name = _metric_name(series.context, series.name)
        if series.rank is not None:
            name = f"{name} (rank {series.rank})"
        lines.append(("metric", f"{name}: {_figures(series.summary())}"))
    lines += dict.fromkeys(
        ("dataset", f"{d.name} ({d.samples} samples)" if d.samples is not None else d.name)
        for d in run.datasets
    )
    lines += dict.fromkeys(("model", m.name) for m in run.models)
    lines += dict.fromkeys(("artifact", f"{a.name}: {a.file.path}") for a in run.artifacts)
    _pairs(console, lines)
    _footer(console, folder)


def _metric_name(context: str | None, name: str) -> str:
    return f"{context}.{name}" if context else name


def _figures(found: Summary) -> str:
    if not found.count:
        return "no values"
    return f"last {found.last}, min {found.min}, max {found.max} ({found.count} values)"


def _footer(console: Console, folder: RunFolder) -> None:
    there = folder.remote or os.path.exists(folder.document)  # noqa: PTH110
    text = folder.document if there else f"not built yet (yprov4wms export {folder.run_id})"
    console.print(Text.assemble("  document    ", text))


def _shortened(error: str, lines: int = 12) -> str:
    found = error.strip().splitlines()
    more = [f"... ({len(found) - lines} more lines)"] if len(found) > lines else []
    return "\n".join([*found[:lines], *more])
