"""An ML run as a page to read, in Markdown (GitHub's, for its tables).

All that a run logged is hostile to Markdown until it is escaped: `_text`, `_code`.
"""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING

from yprov4wms.ml import metrics
from yprov4wms.prov.attempts import seconds

if TYPE_CHECKING:
    from yprov4wms.events import File
    from yprov4wms.ml.metrics import Series
    from yprov4wms.run import MLRun
    from yprov4wms.store import RunFolder

#: Rows of a table, and characters of a value, that are shown.
ROWS = 100
CHARACTERS = 300

#: What Markdown may read as its own inside a line, for no value begins one.
_MARKS = re.compile(r"([\\`*{}\[\]|~^$]|(?<!\w)_|_(?!\w))")
#: Those that turn text around included.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
#: Units of which a sample is a part of the whole, or the whole so far.
_PARTS, _SO_FAR = ("J",), ("kWh", "kg")


def card(run: MLRun, folder: RunFolder) -> str:
    """The page; ``folder`` has the run's metrics."""
    start = run.start
    title = _text(start.experiment) + (f": {_text(start.name)}" if start.name else "")
    series = list(metrics.all_series(run, folder))
    parts = [
        f"# {title}",
        *_outcome(run),
        _table(None, ("", ""), _facts(run)),
        _ranks(run),
        *_code_state(run),
        _parameters(run),
        _datasets(run),
        _models(run),
        _files(run),
        _metrics([one for one in series if one.unit is None]),
        _costs([one for one in series if one.unit is not None and one.column.values]),
        _environment(run),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


# -- what it is ------------------------------------------------------------------


def _outcome(run: MLRun) -> list[str]:
    end = run.end
    length = _duration(seconds(run.start.time, end.time if end else None))
    found = [f"**{run.status.value}**" + (f" after {length}" if length else "")]
    if end is not None and end.error:
        # A fence that nothing in the text ends.
        text = _CONTROL.sub("\ufffd", end.error.replace("\r\n", "\n"))
        longest = max((len(ticks) for ticks in re.findall("`+", text)), default=0)
        fence = "`" * max(3, longest + 1)
        found.append(f"{fence}text\n{_cut(text, 10 * CHARACTERS)}\n{fence}")
    if run.failures or run.problems:
        count = len(run.failures) + len(run.problems)
        found.append(f"> The record is incomplete: {count} failures of the recorder.")
    return found


def _facts(run: MLRun) -> list[Sequence[str]]:
    start, end, person = run.start, run.end, run.start.person
    who = ""
    if person is not None:
        who = _text(person.name or person.login or "")
        if person.orcid:
            who += f" (ORCID {_text(person.orcid)})"
    parent = start.parent
    rows = [
        ("Run", _code(run.id)),
        ("Began", _time(start.time)),
        ("Ended", _time(end.time) if end else ""),
        ("By", who.strip()),
    ]
    if parent is not None:
        told = f"{_code(parent.task)}, attempt {parent.attempt}, of run {_code(parent.run)}"
        rows.append(("In task", told))
    if len(run.ranks) > 1 or start.rank is not None:
        of = f" of {start.world_size}" if start.world_size else ""
        by = f", by {_text(start.launcher)}" if start.launcher else ""
        rows.append(("Ranks", f"{len(run.ranks)}{of}{by}"))
    rows += [
        ("Host", _text(start.host or "")),
        ("Command", _code(shlex.join(start.command)) if start.command else ""),
        ("Directory", _code(start.directory)),
        ("Python", _text(start.python or "")),
        *((_text(name), _value(value)) for name, value in (start.attributes or {}).items()),
    ]
    return [row for row in rows if row[1]]


def _ranks(run: MLRun) -> str:
    if len(run.ranks) < 2:
        return ""
    rows = []
    for rank in run.ranks:
        start, end = rank.start, rank.end
        status = "ended without a word" if rank.lost else rank.status.value
        length = _duration(seconds(start.time, end.time if end else None))
        error = _text(end.error or "") if end else ""
        rows.append((str(start.rank or 0), _text(start.host or ""), status, length, error))
    return _table("Ranks", ("rank", "host", "status", "duration", "error"), rows)


def _code_state(run: MLRun) -> list[str]:
    found = []
    for code in run.codes:
        git = code.git
        if git is not None:
            rows = [
                ("Commit", _code(git.commit)),
                ("Branch", _text(git.branch or "")),
                ("Remote", _code(git.remote)),
                ("Changed since", ", ".join(_code(path) for path in (git.changed or ())[:ROWS])),
                ("Difference", _code(code.diff.path) if code.diff else ""),
            ]
            found.append(_table("Code", ("", ""), [row for row in rows if row[1]]))
        elif code.files:
            found.append(_table("Code", _FILE, map(_file, code.files)))
    return found


def _environment(run: MLRun) -> str:
    parts = []
    for environment in run.environments[:1]:
        told = (
            environment.platform,
            environment.machine,
            f"{environment.cpus} CPUs" if environment.cpus else None,
        )
        packages = [f"{name} {version}" for name, version in environment.packages.items()]
        parts.append("## Environment")
        if any(told):
            parts.append("On " + ", ".join(_text(part) for part in told if part))
        if packages:
            shown = " · ".join(_text(package) for package in packages)
            head = f"<summary>{len(packages)} packages</summary>"
            parts.append(f"<details>{head}\n\nInstalled: {shown}\n\n</details>")
    return "\n\n".join(part for part in parts if part)


# -- what it was given, and what it made -------------------------------------------


def _parameters(run: MLRun) -> str:
    last = {}
    for param in run.params:
        last[param.writer, param.context, param.source, param.name] = param
    # Ranks that were given the same have one row.
    rows = dict.fromkeys(
        (
            _text(param.name),
            _value(param.value),
            _text(param.context or ""),
            "" if param.input else "found by the run",
        )
        for param in last.values()
    )
    return _table("Parameters", ("name", "value", "context", ""), rows)


def _datasets(run: MLRun) -> str:
    head = ("name", "context", "", "samples", "shape", "sha256 of its content", *_FILE)
    rows = dict.fromkeys(
        (
            _text(data.name),
            _text(data.context or ""),
            "used" if data.input else "made",
            "" if data.samples is None else str(data.samples),
            " x ".join(map(str, data.shape or ())),
            _code(data.sha256),
            *_file(data.file),
        )
        for data in run.datasets
    )
    return _table("Data sets", head, rows)


def _models(run: MLRun) -> str:
    head = ("name", "context", "step", "", "class", "parameters", *_FILE)
    rows = dict.fromkeys(
        (
            _text(model.name),
            _text(model.context or ""),
            "" if model.step is None else str(model.step),
            "used" if model.input else "made",
            _code(model.model_class),
            "" if model.parameters is None else f"{model.parameters:,}",
            *_file(model.file),
        )
        for model in run.models
    )
    return _table("Models", head, rows)


def _files(run: MLRun) -> str:
    rows = dict.fromkeys(
        (
            _text(artifact.name),
            _text(artifact.context or ""),
            "used" if artifact.input else "made",
            *_file(artifact.file),
        )
        for artifact in run.artifacts
    )
    return _table("Files", ("name", "context", "", *_FILE), rows)


_FILE = ("file", "size", "sha256")


def _file(file: File | None) -> tuple[str, str, str]:
    if file is None:
        return "", "", ""
    return _code(file.path), _size(file.size), _code(file.sha256 or file.note)


# -- what came of it ---------------------------------------------------------------


def _metrics(series: list[Series]) -> str:
    head = ("metric", "context", "source", "rank", "count", "first", "last", "min", "max")
    rows = []
    for one in series:
        found = one.summary()
        names = (_text(one.name), _text(one.context or ""), _text(one.source or ""))
        figures = (found.first, found.last, found.min, found.max)
        rows.append((*names, _number(one.rank), str(found.count), *map(_number, figures)))
    return _table("Metrics", head, rows)


def _costs(series: list[Series]) -> str:
    """What machine and process used: metrics that have a unit are such."""
    head = ("metric", "source", "rank", "unit", "mean", "max", "total")
    rows = []
    for one in series:
        values = [value for value in one.column.values if math.isfinite(value)]
        mean = high = total = None
        if one.unit in _PARTS:
            total = math.fsum(values)
        elif one.unit in _SO_FAR:
            total = values[-1] if values else None
        elif values:
            mean, high = math.fsum(values) / len(values), max(values)
        names = (_text(one.name), _text(one.source or ""), _number(one.rank), _text(one.unit or ""))
        rows.append((*names, _number(mean), _number(high), _number(total)))
    return _table("Costs", head, rows)


# -- Markdown ----------------------------------------------------------------------


def _table(title: str | None, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Nothing where there are no rows; columns that are empty in all are left out."""
    found = list(rows)
    if not found:
        return ""
    kept = [place for place in range(len(head)) if any(row[place] for row in found)]
    lines = [f"## {title}\n"] if title else []
    lines.append(f"| {' | '.join(head[place] for place in kept)} |")
    lines.append("|" + "---|" * len(kept))
    lines += [f"| {' | '.join(row[place] for place in kept)} |" for row in found[:ROWS]]
    if len(found) > ROWS:
        lines.append(f"\n*{len(found) - ROWS} more are in the document.*")
    return "\n".join(lines)


def _text(text: str) -> str:
    """As it is, and on one line."""
    plain = _cut(" ".join(_CONTROL.sub("\ufffd", text).split()), CHARACTERS)
    found = _MARKS.sub(r"\\\1", escape(plain, quote=False))
    # What would become a link by itself.
    return found.replace("://", "&#58;//").replace("@", "&#64;").replace("www", "&#119;ww")


def _code(text: str | None) -> str:
    if not text:
        return ""
    if "`" in text:
        return f"<code>{_text(text)}</code>"
    plain = _cut(" ".join(_CONTROL.sub("\ufffd", text).split()), CHARACTERS)
    return "`" + plain.replace("|", "\\|") + "`"


def _value(value: object) -> str:
    import msgspec

    return _text(value if isinstance(value, str) else msgspec.json.encode(value).decode())


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _number(value: float | None) -> str:
    return "" if value is None else _text(f"{value:.6g}")


def _size(size: int | None) -> str:
    if size is None:
        return ""
    if size < 1024:
        return f"{size} B"
    power = min(int(math.log(size, 1024)), 5)
    return f"{size / 1024**power:.1f} {' KMGTP'[power]}iB"


def _time(moment: str) -> str:
    return _text(f"{moment[:10]} {moment[11:19]} UTC") if len(moment) > 18 else _text(moment)


def _duration(length: float | None) -> str:
    if length is None:
        return ""
    hours, rest = divmod(length, 3600)
    minutes, rest = divmod(rest, 60)
    parts = [f"{hours:.0f} h"] * (hours > 0) + [f"{minutes:.0f} min"] * (length >= 60)
    return " ".join([*parts, f"{rest:.1f} s"])
