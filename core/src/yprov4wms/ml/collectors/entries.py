"""Which collectors there are: ours, and those of plugins, looked for once per process."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import Any

GROUP = "yprov4wms.collectors"

#: Ours, as pyproject.toml registers them; to find them takes no look at what is installed.
BUILT_IN = {
    "cpu": "yprov4wms.ml.collectors.cpu:CPU",
    "memory": "yprov4wms.ml.collectors.memory:Memory",
    "disk": "yprov4wms.ml.collectors.disk:Disk",
    "network": "yprov4wms.ml.collectors.network:Network",
    "gpu": "yprov4wms.ml.collectors.gpu:GPU",
    "energy": "yprov4wms.ml.collectors.energy:Energy",
}

_found: dict[str, Any] = {}
_sought: list[bool] = []


def made(name: str) -> Any:
    """A new collector. Raises KeyError where none has the name, and what its making raises."""
    if name not in BUILT_IN:
        return others()[name].load()()
    from importlib import import_module

    module, _, attribute = BUILT_IN[name].partition(":")
    return getattr(import_module(module), attribute)()


def others() -> dict[str, Any]:
    """Entry points of plugins by name; one that has a name of ours is left out.

    Raises what broken metadata of an installed distribution raises.
    """
    if not _sought:
        if any(_may_register(folder) for folder in sys.path) or _has_other_finders():
            from importlib import metadata

            for entry in metadata.entry_points(group=GROUP):
                if entry.name not in BUILT_IN:
                    _found.setdefault(entry.name, entry)
        _sought.append(True)
    return _found


# `importlib.metadata` takes 40 ms of a process's time: mostly for nothing, as the files that
# it would read show in two.


def _has_other_finders() -> bool:
    """Whether distributions may be found elsewhere than in the folders of ``sys.path``."""
    from importlib.machinery import PathFinder

    finders = (finder for finder in sys.meta_path if finder is not PathFinder)
    return any(hasattr(finder, "find_distributions") for finder in finders)


def _may_register(folder: str) -> bool:
    if os.path.isfile(folder) or folder.endswith(".egg"):  # noqa: PTH113
        return True
    return any(f"[{GROUP}]" in text for text in _entry_points(folder or "."))


def _entry_points(folder: str) -> Iterator[str]:
    """Texts of the files of entry points of distributions but ours."""
    try:
        names = os.listdir(folder)  # noqa: PTH208
    except OSError:
        return
    for name in names:
        if name.endswith((".dist-info", ".egg-info")) and not name.startswith("yprov4wms-"):
            try:
                with open(f"{folder}/{name}/entry_points.txt", encoding="utf-8") as file:  # noqa: PTH123
                    yield file.read()
            except (OSError, ValueError):
                continue
