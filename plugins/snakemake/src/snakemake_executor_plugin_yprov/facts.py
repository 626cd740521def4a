"""What holds for a whole Snakemake run: workflow, configuration, code, software, person."""

from __future__ import annotations

import os
import platform
import re
import sys
from pathlib import Path
from typing import Any

from snakemake_executor_plugin_yprov.jobs import source_path
from yprov4wms import __version__, environment, events
from yprov4wms.events import Figure, File, Software
from yprov4wms.plain import plain, text
from yprov4wms.recorder import Recorder

_SECRET_NAME = re.compile(
    r"(^|_)(pass(word|wd|phrase)?|pwd|secret|token|key|credentials?|auth)(_|$)", re.IGNORECASE
)


def secret_names(names: list[str]) -> list[str]:
    """Of the variables that a workflow declares (``envvars:``), those that name a secret."""
    return [name for name in names if _SECRET_NAME.search(name)]


def run_started(
    workflow: Any, recorder: Recorder, directory: str, executor: str, host: str
) -> events.RunStarted:
    """The event that opens the record of ``workflow``, run in ``directory``."""
    settings = recorder.settings
    main = source_path(next(iter(workflow.included), None))
    files = _files(workflow, recorder)
    main_file = next((file for file in files if file.role == "snakefile"), None)
    intensity = settings.carbon_intensity
    return events.RunStarted(
        engine=Software(name="snakemake", kind="engine", version=environment.version("snakemake")),
        workflow=_name(main, directory),
        directory=directory,
        command=[text(argument) for argument in sys.argv],
        main_file=main_file,
        files=files or None,
        config=plain(dict(workflow.config)) or None,
        git=environment.git_state(os.path.dirname(main) if main else directory),  # noqa: PTH120
        host=host,
        platform=platform.platform(),
        pid=os.getpid(),
        person=environment.person(settings.person, settings.orcid),
        software=_software(executor),
        executor=executor,
        parent=environment.parent(),
        carbon_intensity=Figure(unit="gCO2e/kWh", method="given", value=intensity)
        if intensity is not None
        else None,
    )


def run_found(workflow: Any, recorder: Recorder, directory: str) -> events.RunStarted:
    """The event that opens an import: what the workflow is now, not what ran it then."""
    main = source_path(next(iter(workflow.included), None))
    files = _files(workflow, recorder)
    return events.RunStarted(
        engine=Software(name="snakemake", kind="engine"),
        workflow=_name(main, directory),
        directory=directory,
        main_file=next((file for file in files if file.role == "snakefile"), None),
        files=files or None,
        config=plain(dict(workflow.config)) or None,
        git=environment.git_state(os.path.dirname(main) if main else directory),  # noqa: PTH120
        imported=True,
    )


def _name(main: str | None, directory: str) -> str:
    """The workflow's name: its folder's, for most are called Snakefile."""
    path = Path(main) if main else Path(directory)
    folder = path.parent
    while folder.name in ("workflow", "rules", "") and folder != folder.parent:
        folder = folder.parent
    plain_names = ("snakefile", "workflow.smk", "main.smk")
    return text(folder.name if path.name.lower() in plain_names else path.name)


def _files(workflow: Any, recorder: Recorder) -> list[File]:
    """Snakefiles and configuration files; the first is the main Snakefile."""
    found: list[File] = []
    for index, source in enumerate(workflow.included):
        path = source_path(source)
        if path is not None:
            role = "snakefile" if index == 0 else "included-snakefile"
            found.append(recorder.identified(path, role, "", 0))
    configs = map(str, workflow.configfiles or ())
    return found + [recorder.identified(path, "config-file", "", 0) for path in configs]


def _software(executor: str) -> list[Software]:
    """Python, our plugin, the inner executor, and every package installed beside them."""
    own = [
        Software(
            name="snakemake-executor-plugin-yprov",
            kind="plugin",
            version=environment.version("snakemake-executor-plugin-yprov") or __version__,
        )
    ]
    python = Software(name="python", kind="interpreter", version=platform.python_version())
    packages = environment.packages()
    inner = f"snakemake-executor-plugin-{executor}"
    if inner in packages:
        own.append(Software(name=inner, kind="plugin", version=packages.pop(inner)))
    packages.pop("snakemake-executor-plugin-yprov", None)
    found = [Software(name=n, kind="package", version=v) for n, v in sorted(packages.items())]
    return [*own, python, *found]
