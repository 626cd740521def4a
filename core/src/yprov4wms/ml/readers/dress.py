"""What the dialects of yProv4ML have in common, said in the words of our own ML runs."""

from __future__ import annotations

import ast
import os
from datetime import timezone
from pathlib import Path
from typing import Any

from yprov4wms.ml.readers import moments, series
from yprov4wms.ml.readers.draft import Draft, is_context
from yprov4wms.ml.readers.layout import Rank
from yprov4wms.prov import foreign
from yprov4wms.prov.foreign import Record
from yprov4wms.prov.vocabulary import Link, Type

#: Prefixes of older versions, and what stands for the same in the ecosystem now.
_SAME = {"prov-ml": "provml", "yProv4ML": "yprov"}
_LONGEST_LITERAL = 4096
_MOST_ARTIFACTS = 1000
_TIMES = {"prov:startedAtTime": "prov:startTime", "prov:endedAtTime": "prov:endTime"}
_PART_OF = {"yprov4wms:link": Link.PART_OF.value}


class Places:
    """Finds files by the paths that a run names; they start where its process worked."""

    def __init__(self, rank: Rank, experiment: str | None, directory: Path | None) -> None:
        self._folder = rank.folder
        self.told = rank.told
        self._experiment = os.path.normpath(experiment) if experiment else None
        folder = str(rank.folder)
        self._start: Path | None = None
        if self._experiment and folder.endswith("/" + self._experiment):
            self._start = Path(folder[: -len(self._experiment) - 1] or "/")
        self._guesses = [p for p in (directory, rank.folder.parent.parent) if p is not None]

    def find(self, path: str | None) -> Path | None:
        """Where it is, or was; None where that can only be guessed and nothing is there."""
        if not path or "\0" in path or "://" in path:
            return None
        path = os.path.normpath(path)
        if path.startswith("/"):
            return Path(path)
        if self._experiment and path.startswith(self._experiment + "/"):
            return self._folder / path[len(self._experiment) + 1 :]
        if self._start is not None:
            return Path(os.path.normpath(self._start / path))
        return next((g / path for g in self._guesses if os.path.lexists(g / path)), None)


def attributes(draft: Draft) -> None:
    """Literals that were written as Python's text, prefixes of older versions, and values
    that say nothing."""
    for elements in draft.elements.values():
        for record in elements.values():
            for name in list(record):
                value = _unwrapped(draft, record.pop(name))
                prefix, colon, local = name.partition(":")
                if colon and prefix in _SAME:
                    name = f"{_SAME[prefix]}:{local}"
                said_elsewhere = name in ("prov:value", "prov:label", "provml:parameter_value")
                if value in ("", "None") and not said_elsewhere:
                    draft.notes["empty value, or None as a text: left out"] += 1
                else:
                    record[name] = value


def _unwrapped(draft: Draft, value: Any) -> Any:
    if isinstance(value, list):
        return [one if isinstance(one, list) else _unwrapped(draft, one) for one in value]
    literal = isinstance(value, str) and value.startswith("{'$'") and len(value) < _LONGEST_LITERAL
    if not literal:
        return value
    try:
        found = ast.literal_eval(value)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return value
    if not isinstance(found, dict) or set(found) - {"$", "type", "lang"} or "$" not in found:
        return value
    draft.notes["literal written as Python's text of it"] += 1
    content = found["$"]
    if ":" not in str(found.get("type")):  # of no namespace, ``list`` say
        return str(content)
    if isinstance(content, bool):
        return content
    return {"$": str(content), "type": str(found["type"])}


def people(draft: Draft) -> None:
    """The agent is the login of whoever ran it."""
    for name, record in draft.elements["agent"].items():
        login = name.rpartition(":")[2]
        record.setdefault("prov:type", Type.PERSON.value)
        record.setdefault("prov:label", login)
        record.setdefault("yprov4wms:login", login)


def times(draft: Draft, root: Record) -> None:
    """Times as PROV has them, in the zone that the run names, else in this host's."""
    told = foreign.text(root.get("yprov:time_zone"))
    where = moments.zone(told)
    for record in draft.elements["activity"].values():
        for old, new in _TIMES.items():
            if old in record and new not in record:
                _timed(draft, record, old, record, new, where)
    end = root.get("prov:endTime")
    for record in draft.elements["activity"].values():
        start = record.get("prov:startTime")
        if isinstance(end, str) and isinstance(start, str) and record is not root and start > end:
            record["yprov4wms:written"] = record.pop("prov:startTime")
            draft.notes["start after the run's end: when the record was written"] += 1
    makers: dict[str | None, list[Record]] = {}
    for section, relation in draft.relations:
        if section == "wasGeneratedBy":
            makers.setdefault(draft.ends(section, relation)[0], []).append(relation)
    for name, record in draft.elements["entity"].items():
        made = makers.get(name, [])
        if "prov:generatedAtTime" in record and len(made) == 1 and "prov:time" not in made[0]:
            _timed(draft, record, "prov:generatedAtTime", made[0], "prov:time", where)


def _timed(
    draft: Draft, record: Record, old: str, into: Record, new: str, where: timezone | None
) -> None:
    said = foreign.text(record[old])
    found = moments.moment(said, where)
    if found is None:
        draft.notes["time that is none: kept as a text"] += 1
        return
    del record[old]
    into[new] = found
    if foreign.time(said) is None:
        zone = "the zone that the run names" if where is not None else "this host's zone"
        draft.notes[f"time without a zone: taken for {zone}"] += 1


def contexts(draft: Draft, root: str) -> None:
    """Activities that are no more than parts of the run; each is tied to it."""
    inside = set()
    for section, relation in draft.relations:
        if section in ("wasInformedBy", "wasStartedBy"):
            one, two = draft.ends(section, relation)
            if one != two and two is not None:
                inside.add(one)
                if section == "wasInformedBy":
                    relation.setdefault("yprov4wms:link", Link.PART_OF.value)
    for name, record in draft.elements["activity"].items():
        if name == root:
            continue
        is_context(record)
        if name not in inside:
            draft.relate("wasInformedBy", name, root, **_PART_OF)
            draft.notes["context that nothing ties to the run: a part of it"] += 1


def files(draft: Draft, paths: dict[str, str], places: Places) -> None:
    """For each entity that is a file's, the file: it may be one of the workflow's."""
    of: dict[str, str] = {}
    for name, path in paths.items():
        place = places.find(path)
        if place is None:
            draft.notes["path that leads nowhere from here: no file stands for it"] += 1
            continue
        told_as = places.told(place)
        file = of[name] = f"file {told_as}"
        values: Record = {
            "prov:label": place.name or told_as,
            "prov:type": Type.FILE.value,
            "yprov4wms:path": told_as,
        }
        if place.is_file():
            values["yprov4wms:size"] = place.stat().st_size
        draft.elements["entity"].setdefault(file, values)
    made: set[str] = set()
    told: set[tuple[str, str, str]] = set()
    for section, relation in list(draft.relations):
        if section not in ("used", "wasGeneratedBy"):
            continue
        one, two = draft.ends(section, relation)
        entity, activity = (two, one) if section == "used" else (one, two)
        found = of.get(entity or "")
        if found is None or entity is None or activity is None:
            continue
        if section == "used":
            if ("used", activity, found) not in told:
                told.add(("used", activity, found))
                draft.relate("used", activity, found)
            derived = ("wasDerivedFrom", entity, found)
        else:
            if found not in made:
                made.add(found)
                when = {"prov:time": relation["prov:time"]} if "prov:time" in relation else {}
                draft.relate("wasGeneratedBy", found, activity, **when)
            derived = ("wasDerivedFrom", found, entity)
        if derived not in told and ("wasDerivedFrom", *derived[:0:-1]) not in told:
            told.add(derived)
            draft.relate(*derived)


class Metrics:
    """The series of one rank, summarised; ``began`` and ``ended`` are their first and last
    times, in ms since the epoch."""

    def __init__(self, draft: Draft, rank: Rank, places: Places) -> None:
        self.began: int | None = None
        self.ended: int | None = None
        self._draft = draft
        self._places = places
        self._files = {path.name: path for path in rank.series()}
        self._read: set[str] = set()

    def add(self, record: Record, path: str | None) -> None:
        """Say of a metric what its series is."""
        name = os.path.basename(path or "")  # noqa: PTH119 - of another host's path
        file = self._files.get(name) or self._places.find(path)
        if file is None:
            self._draft.notes["series of a metric that is not there"] += 1
            return
        self._read.add(file.name)
        found = self._summary(file)
        record["yprov4wms:series"] = self._places.told(file)
        if found is not None:
            record.update({k: v for k, v in found.attributes().items() if v is not None})

    def rest(self, root: str) -> None:
        """Series that no metric names."""
        for name, file in self._files.items():
            if name in self._read:
                continue
            found = self._summary(file)
            metric, context, source = _names(file, found.names if found else ())
            record: Record = {"prov:label": metric, "prov:type": Type.METRIC.value}
            record["yprov4wms:series"] = self._places.told(file)
            record |= {"yprov:context": context} if context else {}
            record |= {"yprov:source": source} if source else {}
            if found is not None:
                record.update({k: v for k, v in found.attributes().items() if v is not None})
            self._draft.elements["entity"][f"{file.stem} (series)"] = record
            activity = context if context in self._draft.elements["activity"] else None
            if context and activity is None:
                activity = context
                made = self._draft.elements["activity"].setdefault(context, {})
                made.setdefault("prov:label", context)
                is_context(made)
                self._draft.relate("wasInformedBy", context, root, **_PART_OF)
            self._draft.relate("wasGeneratedBy", f"{file.stem} (series)", activity or root)
            self._draft.notes["series that no metric of the document names: told by its file"] += 1

    def _summary(self, file: Path) -> series.Series | None:
        try:
            found = series.read(file)
        except FileNotFoundError:
            self._draft.notes["series of a metric that is not there"] += 1
        except series.SeriesError as error:
            self._draft.notes[f"series that cannot be read here ({error})"] += 1
        except OSError as error:
            self._draft.notes[f"series that cannot be read ({error.strerror})"] += 1
        else:
            self.saw(found)
            return found
        return None

    def saw(self, found: series.Series) -> None:
        first, last = found.first_ms, found.last_ms
        if first is not None:
            self.began = first if self.began is None else min(self.began, first)
        if last is not None:
            self.ended = last if self.ended is None else max(self.ended, last)
        if found.unreadable:
            self._draft.notes["row of a series that is none: not counted"] += found.unreadable


def _names(file: Path, names: tuple[str, ...]) -> tuple[str, str | None, str | None]:
    """Metric, context and source; in a file's name they stand in this order, joined by _."""
    if len(names) == 3 and names[0]:
        metric, context, source = names
    else:
        stem = file.stem.rpartition("_GR")[0] or file.stem
        metric, context, source = stem, "", ""
        if "_Context." in stem:
            metric, _, context = stem.rpartition("_Context.")
            context = f"Context.{context}"
        elif stem.count("_") >= 2:
            metric, context, source = stem.rsplit("_", 2)
    return metric, context or None, None if source in ("", "None") else source


def artifacts(draft: Draft, rank: Rank, root: str) -> None:
    """What lies among the artifacts of a run without a document: its copies."""
    if rank.artifacts is None:
        return
    count = 0
    for folder, names, found in os.walk(rank.artifacts):
        names.sort()
        for name in sorted(found):
            count += 1
            if count > _MOST_ARTIFACTS:
                draft.notes["artifact beyond those that are listed"] += 1
                continue
            place = Path(folder, name)
            record = {
                "prov:label": str(place.relative_to(rank.artifacts)),
                "prov:type": Type.FILE.value,
                "yprov4wms:path": str(place),
                "yprov4wms:size": place.lstat().st_size,
            }
            draft.elements["entity"][f"file {place}"] = record
            draft.relate("wasGeneratedBy", f"file {place}", root)
