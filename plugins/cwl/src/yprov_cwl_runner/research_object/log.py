"""The engine's log: what it tells of each job, step and workflow, with times in UTC."""

from __future__ import annotations

import re
import signal
from dataclasses import dataclass
from urllib.parse import unquote

from yprov4wms.plain import text


@dataclass(eq=False)
class Span:
    """What the log tells of one job, step or workflow. status: in cwltool's words."""

    began: str | None = None
    finished: str | None = None
    status: str | None = None
    command: str | None = None
    exit_code: int | None = None
    error: str | None = None
    #: Of a step: it scattered over nothing.
    empty: bool = False


class Log:
    """The engine's log, whose times are UTC whatever the zone of the PROV documents is."""

    _LINE = re.compile(r"^\[(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d),(\d+)[.\d]*Z\] ", re.MULTILINE)
    _ABOUT = re.compile(r"\[(job|step|workflow) (.*?)\] (.*)", re.DOTALL)
    _FATAL = (
        "Workflow error",
        "Input object failed",
        "Tool definition failed",
        "Workflow or tool uses",
        "Unhandled error",
    )

    def __init__(self) -> None:
        self.jobs: dict[str, Span] = {}
        self.steps: dict[str, Span] = {}
        self.workflows: dict[str, Span] = {}
        #: Names of the steps that started, again for each element of a scatter.
        self.starts: list[str] = []
        #: In cwltool's words; None where the log has no end.
        self.status: str | None = None
        self.error: str | None = None
        #: Name of the file that was run; and of the tool in it, if it was a tool.
        self.document: str | None = None
        self.tool: str | None = None
        self.command_line: str | None = None
        self.began: str | None = None
        self.finished: str | None = None

    def read(self, content: str) -> None:
        parts = self._LINE.split(content)
        for second, milliseconds, said in zip(parts[1::3], parts[2::3], parts[3::3], strict=True):
            moment = f"{second}.{min(int(milliseconds), 999):03}000+00:00"
            self.began = self.began or moment
            self._take(moment, said.rstrip("\n"))

    def _take(self, moment: str, said: str) -> None:
        if about := self._ABOUT.match(said):
            kind, name = about[1], about[2]
            if about[3].startswith("Notice: scattering over empty input"):
                kind, name = "step", name.removeprefix("step ")
            elif kind == "step" and about[3] == "start":
                self.starts.append(name)
            known = {"job": self.jobs, "step": self.steps, "workflow": self.workflows}[kind]
            self._take_span(known.setdefault(name, Span()), moment, about[3])
        elif said.startswith("[cwltool] "):
            self.command_line = text(said.removeprefix("[cwltool] "))
        elif found := re.match(r"Resolved '.*' to '(.*)'", said):
            document, _, fragment = found[1].partition("#")
            self.document = text(unquote(last_name(document))) or None
            self.tool = text(last_name(fragment)) if fragment not in ("", "main") else self.document
        elif found := re.match(r"Final process status is (\w+)", said):
            self.status, self.finished = found[1], moment
        elif said.startswith(self._FATAL):
            self.status, self.error, self.finished = "permanentFail", text(said), moment

    def _take_span(self, span: Span, moment: str, said: str) -> None:
        if command := re.match(r"/.*?\$ (.*)", said, re.DOTALL):
            span.began = moment
            span.command = text(command[1].replace(" \\\n    ", " "))
        elif said == "start":
            span.began = span.began or moment
        elif found := re.match(r"completed (\w+)$", said):
            span.status, span.finished = found[1], moment
        elif said.startswith("Notice: scattering over empty"):
            span.empty = True
        elif said == "will be skipped":
            span.status = "skipped"
        elif said.startswith("Using cached output"):
            span.status, span.began, span.finished = "cached", moment, moment
        elif found := re.match(r"exited with status: (\d+)", said):
            span.exit_code = int(found[1])
        elif found := re.match(r"was terminated by signal: (\w+)", said):
            span.exit_code = -getattr(signal, found[1], 0) or None
            span.error = f"terminated by {found[1]}"
        elif said.startswith(("Cannot make job: ", "Job error:")):
            span.error = text(said)


def together(spans: list[Span]) -> Span:
    """Of all runs of a workflow that have one activity."""
    ended = [span.finished for span in spans if span.finished]
    status = {span.status for span in spans}
    return Span(
        began=min((span.began for span in spans if span.began), default=None),
        finished=max(ended) if len(ended) == len(spans) else None,
        status=status.pop() if len(status) == 1 else None if None in status else "permanentFail",
    )


def told_of(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


def last_name(path: str) -> str:
    return path.rpartition("/")[2]
