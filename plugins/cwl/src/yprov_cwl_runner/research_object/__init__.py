"""Runs that cwltool recorded itself, as CWLProv research objects (``cwltool --provenance``).

What a research object says stands in three places. Its PROV documents have activities, values
and files, but no step where ``--parallel`` or a cache was used, no name and no end of an
ExpressionTool, one activity for all runs of a scattered workflow, no status, and times without
a zone. The engine's log has each job's command, status and times in UTC, and no files. The
packed workflow has the plan. A job has the same name in the PROV documents and in the log.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from pathlib import Path

from cwltool.context import LoadingContext
from cwltool.load_tool import load_tool
from cwltool.process import Process

from yprov4wms.recorder import Recorder
from yprov4wms.settings import load
from yprov_cwl_runner.research_object.bag import PACKED, Bag
from yprov_cwl_runner.research_object.importer import Import
from yprov_cwl_runner.research_object.log import Log, told_of
from yprov_cwl_runner.research_object.records import Records


def import_run(directory: str, store: str, warn: Callable[[str], None]) -> str:
    """Record the run that ``directory`` is the research object of; returns its id.

    Raises ValueError where it is none, or the store cannot be written.
    """
    folder = Path(directory).absolute()
    if not (folder / "bagit.txt").is_file() or not (folder / "metadata").is_dir():
        raise ValueError(f"{folder} is no research object: it has no bagit.txt, or no metadata")
    try:
        bag, records, log = Bag(folder, warn), Records(), Log()
        process = process_of(folder / PACKED, warn)
        for place in sorted((folder / "metadata/provenance").glob("*.cwlprov.json")):
            try:
                records.read(place)
            except Exception as error:
                warn(f"{place} is passed over: {told_of(error)}")
        for place in sorted((folder / "metadata/logs").glob("engine.*.txt")):
            log.read(place.read_text(errors="replace"))
    except OSError as error:
        raise ValueError(f"{folder} cannot be read: {error}") from error
    if process is None and not records.root and not log.began:
        raise ValueError(f"{folder} has neither a workflow that can be read nor a record of a run")
    problems: list[str] = []
    recorder = Recorder(load()._replace(store=store, strict=True), str(folder), problems.append)
    if recorder.recording:
        with recorder.guard("reading the research object"):
            Import(bag, recorder, records, log, process).write(warn)
        recorder.drain()
    recorder.close()
    if recorder.failures:
        if recorder.folder.location and not recorder.folder.remote:
            shutil.rmtree(recorder.folder.location, ignore_errors=True)
        raise ValueError(problems[0] if problems else "the record could not be written")
    return recorder.run_id


def process_of(place: Path, warn: Callable[[str], None]) -> Process | None:
    """The packed workflow, as cwltool loads it, without what is said of it on the way."""
    if not place.is_file():
        warn(f"{place} is not there: what the workflow was is not known")
        return None
    context = LoadingContext({"do_validate": False, "skip_schemas": True, "strict": False})
    logging.disable(logging.CRITICAL)
    try:
        return load_tool(str(place), context)
    except Exception as error:
        warn(f"{place} cannot be read: {told_of(error)}")
        return None
    finally:
        logging.disable(logging.NOTSET)
