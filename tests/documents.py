"""What tests of every engine share: reading documents, running commands."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

Record = dict[str, Any]
_T = TypeVar("_T")


class Document:
    """A combined document, with what tests ask of it."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.data: dict[str, dict[str, Record]] = json.loads(content)

    def section(self, name: str) -> dict[str, Record]:
        return self.data.get(name, {})

    @property
    def run(self) -> Record:
        return self.section("activity")["run:workflow_run"]

    def attempts(self, step: str) -> list[Record]:
        """The attempts of a rule, in order of task and number."""
        found = [
            (i, a) for i, a in self.section("activity").items() if a.get("yprov4wms:step") == step
        ]
        return [a for _, a in sorted(found)]

    def attempt_id(self, step: str, number: int = 1) -> str:
        (found,) = [
            i
            for i, a in self.section("activity").items()
            if a.get("yprov4wms:step") == step and value(a["yprov4wms:attempt"]) == number
        ]
        return found

    def plans(self, step: str) -> list[Record]:
        """Tasks of a rule that never ran."""
        return [
            e
            for e in self.section("entity").values()
            if e.get("yprov4wms:step") == step and "yprov4wfs:status" in e
        ]

    def statuses(self) -> dict[str, list[str]]:
        """By rule the statuses of its attempts and of its tasks that never ran."""
        found: dict[str, list[str]] = {}
        for section in ("activity", "entity"):
            for _, element in sorted(self.section(section).items()):
                if "yprov4wms:step" in element:
                    step = element["yprov4wms:step"]
                    found.setdefault(step, []).append(element["yprov4wfs:status"])
        return found

    def files(self, path: str) -> dict[str, Record]:
        """The versions of a file by identifier."""
        return {i: e for i, e in self.section("entity").items() if e.get("yprov4wms:path") == path}

    def links(self, relation: str, **ends: str) -> list[Record]:
        """Relations with these ends, given by their local names (``activity="run:..."``)."""
        return [
            r
            for r in self.section(relation).values()
            if all(r.get(f"prov:{name}") == end for name, end in ends.items())
        ]

    def informants(self, informed: str, link: str) -> set[str]:
        return {
            r["prov:informant"]
            for r in self.links("wasInformedBy", informed=informed)
            if r.get("yprov4wms:link") == link
        }

    def label(self, identifier: str) -> str:
        """What people call an element: a file's path, else its label."""
        for section in ("entity", "activity", "agent"):
            element = self.section(section).get(identifier)
            if element is not None:
                return str(element.get("yprov4wms:path") or element["prov:label"])
        raise KeyError(identifier)

    def used(self, activity: str) -> set[str]:
        """Labels of what an activity used."""
        return {self.label(r["prov:entity"]) for r in self.links("used", activity=activity)}

    def made(self, activity: str) -> set[str]:
        """Labels of what an activity generated."""
        found = self.links("wasGeneratedBy", activity=activity)
        return {self.label(r["prov:entity"]) for r in found}

    def ids(self) -> set[str]:
        """Every element's full URI."""
        prefixes = self.data["prefix"]
        found = set()
        for section in ("entity", "activity", "agent"):
            for identifier in self.section(section):
                prefix, _, local = identifier.partition(":")
                found.add(str(prefixes[prefix]) + local)
        return found


def value(literal: Any) -> Any:
    """A PROV-JSON literal as a Python value."""
    if isinstance(literal, dict):
        kind = float if literal["type"] == "xsd:double" else int
        return kind(literal["$"])
    return literal


def at_once(*calls: Callable[[], _T]) -> list[_T]:
    """Results of calls that wait for processes, three of which run at a time: a second of
    each Snakemake's time is idle."""
    with ThreadPoolExecutor(3) as pool:
        return [future.result() for future in [pool.submit(call) for call in calls]]


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def environment(**extra: str) -> dict[str, str]:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("YPROV_")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{inherited.get('PATH', '')}"
    return {**inherited, "PATH": path, "PYTHONUNBUFFERED": "1", **extra}


def checked(content: bytes) -> Document:
    """The document, valid by our rules and our schema, and readable by the prov library."""
    from prov.model import ProvDocument

    from yprov4wms.prov.rules import check

    problems = check(content)
    assert not problems, "\n".join(f"{p.where}: {p.message} [{p.rule}]" for p in problems[:10])
    check_schema(json.loads(content))
    read = ProvDocument.deserialize(content=content.decode())
    again = ProvDocument.deserialize(content=read.serialize())
    assert read == again
    return Document(content)


def check_schema(document: Record) -> None:
    """Where there is a validator: the engines' environments have one each."""
    try:
        from jsonschema import Draft202012Validator
    except ImportError:
        return

    from yprov4wms.prov.schema import schema

    errors = Draft202012Validator(schema()).iter_errors(document)
    assert not [f"{error.json_path}: {error.message}" for error in islice(errors, 5)]


def kill_group(process: subprocess.Popen[str], number: int = signal.SIGKILL) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)
