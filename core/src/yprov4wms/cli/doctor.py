"""``yprov4wms doctor``: what is installed, and whether recording will work here."""

from __future__ import annotations

import os
import platform
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import click
from rich.text import Text

from yprov4wms import __version__, journal
from yprov4wms.cli import options, style
from yprov4wms.metering import gpu, power_sources
from yprov4wms.settings import OPTIONS, load
from yprov4wms.store import Store

#: Entry points of plugins: functions that give the fields of findings, one tuple each.
GROUP = "yprov4wms.doctor"


class Finding(NamedTuple):
    """ok: None where it is neither good nor bad."""

    what: str
    ok: bool | None
    text: str


@click.command(
    "doctor",
    epilog="""\b
Examples:
  yprov4wms doctor
  yprov4wms doctor --store s3://bucket/provenance
""",
)
@options.store
@click.pass_context
def command(context: click.Context, store: str) -> None:
    """Tell what is installed, which plugins are found, whether the store can be written,
    and whether there are a GPU and energy counters."""
    findings = [
        Finding("python", None, f"{platform.python_version()} ({sys.executable})"),
        Finding("yprov4wms", True, __version__),
        *_engines(),
        *_guarded("settings", _settings),
        *_guarded("store", lambda: _store(store)),
        *_guarded("gpu", _gpu),
        *_guarded("energy", _energy),
    ]
    console = style.console()
    for finding in findings:
        mark = {True: Text("ok  ", "green"), False: Text("BAD ", "red"), None: Text("-   ")}
        line = Text.assemble(mark[finding.ok], f"{finding.what:<38}", finding.text)
        console.print(line)
    if any(finding.ok is False for finding in findings):
        context.exit(1)


def _guarded(what: str, look: Callable[[], list[Finding]]) -> list[Finding]:
    try:
        return look()
    except Exception as error:
        return [Finding(what, False, " ".join(f"{type(error).__name__}: {error}".split()))]


#: By engine: its distribution, the distribution of our plugin, and how it finds it.
_PLUGINS = (
    ("snakemake", "snakemake-executor-plugin-yprov"),
    ("cwltool", "yprov-cwl-runner"),
    ("apache-airflow", "airflow-provider-yprov"),
)


def _engines() -> list[Finding]:
    found: list[Finding] = []
    for engine, plugin in _PLUGINS:
        engine_version, plugin_version = _version(engine), _version(plugin)
        found.append(Finding(engine, None, engine_version or "not installed"))
        if plugin_version is None:
            missing = "not installed" if engine_version is None else "not installed: no recording"
            found.append(Finding(plugin, None, missing))
        elif engine_version is None:
            found.append(Finding(plugin, False, f"{plugin_version}, without its engine {engine}"))
        elif engine == "snakemake":
            found += _guarded(plugin, partial(_snakemake_plugin, plugin_version))
        else:
            found.append(Finding(plugin, True, plugin_version))
            found += _guarded(plugin, partial(_own_findings, plugin))
    return found


def _own_findings(plugin: str) -> list[Finding]:
    """What a plugin itself finds out about its engine."""
    entries = metadata.distribution(plugin).entry_points.select(group=GROUP)
    return [Finding(*found) for entry in entries for found in entry.load()()]


#: By kind of plugin: the option that names ours, the registry of Snakemake's that lists it.
_REGISTRIES = {
    "executor": ("--executor", "ExecutorPluginRegistry"),
    "logger": ("--logger", "LoggerPluginRegistry"),
    "report": ("--reporter", "ReportPluginRegistry"),
}


def _snakemake_plugin(version: str) -> list[Finding]:
    """Whether Snakemake itself finds each plugin, as it will where an option names it."""
    from importlib import import_module

    found: list[str] = []
    lost: list[str] = []
    for kind, (option, registry) in _REGISTRIES.items():
        module = import_module(f"snakemake_interface_{kind}_plugins.registry")
        plugins = getattr(module, registry)().get_registered_plugins()
        (found if "yprov" in plugins else lost).append(f"{option} yprov")
    name = "snakemake-executor-plugin-yprov"
    if lost:
        text = f"{version} is installed, but Snakemake does not find {', '.join(lost)}"
        return [Finding(name, False, f"{text}: install it again")]
    return [Finding(name, True, f"{version}; Snakemake finds {', '.join(found)}")]


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _settings() -> list[Finding]:
    load()
    given = [option.env for option in OPTIONS]
    there = [f"{name}={os.environ[name]}" for name in given if os.environ.get(name)]
    return [Finding("settings", True, ", ".join(there) or "defaults (no YPROV_ variable is set)")]


def _store(location: str) -> list[Finding]:
    store = Store(location)
    if store.remote:
        fs = journal.filesystem(store.location)
        probe = f"{store.location}/.yprov-doctor"
        fs.pipe_file(probe, b"probe")
        fs.rm_file(probe)
        return [Finding("store", True, f"{store.location} can be written")]
    folder = Path(store.location)
    there = folder
    while not there.exists():
        there = there.parent
    if not there.is_dir():
        return [Finding("store", False, f"{there} is no folder")]
    with tempfile.TemporaryFile(dir=there):
        pass
    note = "" if folder.exists() else f" (will be made in {there})"
    return [Finding("store", True, f"{folder} can be written{note}")]


def _gpu() -> list[Finding]:
    devices = gpu.devices()
    if not devices:
        return [Finding("gpu", None, gpu.problem() or "no NVIDIA GPU")]
    return [
        Finding(f"gpu {device.index}", True, f"{device.name}, driver {device.driver}")
        for device in devices
    ]


def _energy() -> list[Finding]:
    sources = power_sources()
    if not sources:
        return [Finding("energy", None, "no RAPL counter: CPU energy is modelled from CPU time")]
    return [
        Finding(f"energy: {s.name}", s.readable or None, s.path if s.readable else "not readable")
        for s in sources
    ]
