"""The metrics of an ML run in formats that other tools read, one module per format.

- ``csv``, ``parquet``: one long table, a row per value, as `yprov4wms.ml.metrics.frame` has it.
- ``netcdf``, ``zarr``: a group per series (`yprov4wms.ml.formats.groups`).

Values are float64 to the bit, steps int64, times microseconds, UTC.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from yprov4wms import journal

if TYPE_CHECKING:
    from yprov4wms.ml.metrics import Series
    from yprov4wms.run import MLRun

#: By format: its module, and the name that a file of it has.
FORMATS = {
    "csv": ("csv", "metrics.csv"),
    "netcdf": ("netcdf", "metrics.nc"),
    "zarr": ("zarr", "metrics.zarr"),
    "parquet": ("parquet", "metrics.parquet"),
}


class MissingLibraryError(ImportError):
    """A format's library is not installed; the text says what to install."""


class Options(NamedTuple):
    """compress: by the codec of the format. separator: of CSV."""

    compress: bool = True
    separator: str = ","


class Format(Protocol):
    """What the module of a format has."""

    def write(self, run: MLRun, series: Iterable[Series], path: str, options: Options) -> None:
        """Make the file (or folder) ``path``; raises MissingLibraryError, OSError, or any error of
        the library."""


def file_name(form: str, options: Options) -> str:
    """By which the metrics of a run are known in its folder."""
    name = FORMATS[form][1]
    return name + ".gz" if form == "csv" and options.compress else name


def write(run: MLRun, series: Iterable[Series], form: str, target: str, options: Options) -> None:
    """Put the series at ``target``, a path or fsspec URL; it appears whole or not at all.

    Raises ValueError for an unknown format, else as `Format.write` does.
    """
    if form not in FORMATS:
        raise ValueError(f"format {form!r} is not one of {', '.join(FORMATS)}")
    module: Format = import_module(f"{__name__}.{FORMATS[form][0]}")
    remote = "://" in target
    if not remote:
        target = os.path.abspath(target)  # noqa: PTH100
        Path(target).parent.mkdir(parents=True, exist_ok=True)
    beside = None if remote else os.path.dirname(target)  # noqa: PTH120
    with tempfile.TemporaryDirectory(
        prefix=".metrics-", dir=beside, ignore_cleanup_errors=True
    ) as folder:
        made = f"{folder}/{target.rpartition('/')[2]}"
        module.write(run, series, made, options)
        _send(made, target) if remote else _replace(made, target, f"{folder}/old")


def _send(made: str, url: str) -> None:
    fs = journal.filesystem(url)
    journal.make_folder(fs, url)
    if Path(made).is_dir():
        if fs.exists(url):
            fs.rm(url, recursive=True)
        for path in sorted(Path(made).rglob("*")):
            if path.is_file():
                journal.put(fs, f"{url}/{path.relative_to(made)}", path.read_bytes())
    else:
        fs.put_file(made, url)


def _replace(made: str, target: str, old: str) -> None:
    if Path(made).is_file():
        with Path(made).open("rb") as file:
            os.fsync(file.fileno())
    elif Path(target).is_dir():
        os.rename(target, old)  # noqa: PTH104 - a folder is not replaced by another in one step
    try:
        os.replace(made, target)  # noqa: PTH105
    except OSError:
        with contextlib.suppress(OSError):
            os.rename(old, target)  # noqa: PTH104
        raise
    shutil.rmtree(old, ignore_errors=True)


def elsewhere(run: str, form: str, target: str, **options: Any) -> None:
    """`yprov4wms.ml.metrics.export` in a process of its own.

    Raises OSError with the last line that it left where it fails.
    """
    if not sys.executable:
        raise OSError(f"no Python is known to write {target} with")
    code = (
        "import json, sys; from yprov4wms.ml.metrics import export; "
        "*given, options = json.loads(sys.argv[1]); export(*given, **options)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps([run, form, target, options])],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise OSError(said[-1] if said else f"writing {target} ended with {done.returncode}")


def library(name: str, what: str, extra: str) -> None:
    """Raises MissingLibraryError where a library that ``what`` needs cannot be imported."""
    try:
        import_module(name)
    except ImportError as error:
        raise MissingLibraryError(
            f"{what} needs {name} ({error}): pip install 'yprov4wms[{extra}]'", name=name
        ) from error
