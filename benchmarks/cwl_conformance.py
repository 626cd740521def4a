"""CWL's conformance tests with cwltool and with us: same verdict, same stdout, a valid document.

    python benchmarks/cwl_conformance.py FOLDER [--options "--parallel"] [--only ID...]

FOLDER: a clone of the repository common-workflow-language/cwl-v1.2 (or another version's).
Each test is run twice, by a process that has loaded both already and forks for each run, in
folders of the same name, so that what is printed can be compared byte by byte. Exits with 1
where one differs.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import json
import multiprocessing
import os
import re
import shlex
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cwltool.main
import yaml
from cwltest.compare import CompareFail, compare
from prov.model import ProvDocument

from yprov4wms.prov.rules import check
from yprov_cwl_runner import command

#: Names of temporary folders, and UUIDs.
_RANDOM = re.compile(rb"(?<=[/\"])[a-z0-9_]{8}(?=[/\"])|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22}")
_RANDOM_FOLDER = re.compile("^[a-z0-9_]{8}/")
PLAIN, OURS = "cwltool", "yprov-cwl-runner"
_FORK = multiprocessing.get_context("fork")


def load(path: Path) -> list[dict[str, Any]]:
    """The tests in a file and in those that it imports; each with its folder."""
    found = []
    for entry in yaml.safe_load(path.read_text()):
        if "$import" in entry:
            found += load(path.parent / entry["$import"])
        else:
            found.append({**entry, "folder": path.parent})
    return found


def in_fork(act: Callable[[], int], folder: Path, seconds: int) -> int:
    """Exit status of ``act`` in a child process whose output goes to files in ``folder``."""
    pid = os.fork()
    if pid:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.01)
        os.killpg(pid, 9)
        os.waitpid(pid, 0)
        return 124
    status = 70
    try:
        os.setsid()
        os.chdir(folder / "work")
        for number, name in ((1, "stdout"), (2, "stderr")):
            os.dup2(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        status = act()
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


class Outcome:
    """What one run left: its status, what it printed, its files, its documents."""

    def __init__(self, way: str, test: dict[str, Any], options: list[str], folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "work").mkdir(parents=True)
        # cwltool makes its temporary folders where no other test's lie.
        temporary = folder / "tmp"
        temporary.mkdir()
        arguments = [*options, "--outdir", str(folder / "out"), "--quiet"]
        arguments.append(str(test["folder"] / test["tool"]))
        if test.get("job"):
            arguments.append(str(test["folder"] / test["job"]))

        def act() -> int:
            tempfile.tempdir = str(temporary)
            sys.argv[0] = str(Path(sys.executable).with_name(way))
            os.environ["YPROV_STORE"] = str(folder / "store")
            if way == PLAIN:
                return cwltool.main.run(arguments)
            return command.run(arguments)

        self.status = in_fork(act, folder, 120)
        self.stdout = _RANDOM.sub(b"<random>", (folder / "stdout").read_bytes())
        self.files = _files(folder / "out")
        self.verdict = self._verdict(test, folder / "stdout")
        self.runs, self.problems = _documents(folder / "store", self.status)

    def _verdict(self, test: dict[str, Any], stdout: Path) -> str:
        if test.get("should_fail"):
            return "ok" if self.status else "passed, and should fail"
        if self.status:
            return "unsupported" if self.status == 33 else "failed"
        try:
            compare(test.get("output", {}), json.loads(stdout.read_bytes() or b"{}"))
        except (CompareFail, ValueError) as error:
            return f"differs: {type(error).__name__}"
        return "ok"


def _files(folder: Path) -> list[tuple[str, str]]:
    return [
        (
            _RANDOM_FOLDER.sub("<random>/", str(path.relative_to(folder))),
            hashlib.sha256(path.read_bytes()).hexdigest(),
        )
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    ]


def _documents(store: Path, status: int) -> tuple[int, list[str]]:
    """How many runs there are, and what is wrong with them."""
    problems = []
    runs = [path for path in store.iterdir() if path.is_dir()] if store.is_dir() else []
    for run in runs:
        document = run / "prov.json"
        if not document.is_file():
            problems.append("no document")
            continue
        raw = document.read_bytes()
        content = json.loads(raw)
        problems += [str(problem) for problem in check(raw)]
        ProvDocument.deserialize(content=raw.decode())
        for name, activity in content.get("activity", {}).items():
            if not status and activity.get("yprov4wfs:status") not in ("completed", "cached"):
                problems.append(f"{name} is {activity.get('yprov4wfs:status')}")
        for line in (run / "events").glob("*.jsonl"):
            if b'"kind":"recorder-failed"' in line.read_bytes():
                problems.append("the recorder failed")
    return len(runs), problems


def one(test: dict[str, Any], options: list[str], scratch: Path) -> tuple[str, str, int]:
    """Its name, what differs, and how many runs were recorded."""
    folder = scratch / re.sub(r"\W", "_", str(test["id"]))
    plain = Outcome(PLAIN, test, options, folder)
    ours = Outcome(OURS, test, options, folder)
    found = list(ours.problems)
    for name in ("verdict", "status", "stdout", "files"):
        before, after = getattr(plain, name), getattr(ours, name)
        if before != after:
            found.append(f"{name}: {before!r} and {after!r}")
    if ours.runs > 1:
        found.append(f"{ours.runs} runs")
    shutil.rmtree(folder, ignore_errors=True)
    return plain.verdict, "; ".join(found), ours.runs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--options", default="", help="of cwltool")
    parser.add_argument("--only", nargs="*", default=[], metavar="ID")
    parser.add_argument("--jobs", type=int, default=2)
    given = parser.parse_args()
    tests = load(given.folder.resolve() / "conformance_tests.yaml")
    tests = [test for test in tests if not given.only or str(test["id"]) in given.only]
    options = shlex.split(given.options)
    verdicts: Counter[str] = Counter()
    different = recorded = 0
    with tempfile.TemporaryDirectory() as scratch, _FORK.Pool(given.jobs) as pool:
        results = pool.imap(functools.partial(one, options=options, scratch=Path(scratch)), tests)
        for test, (verdict, problem, runs) in zip(tests, results, strict=True):
            verdicts[verdict] += 1
            recorded += runs
            if problem:
                different += 1
                print(f"DIFFERS  {test['id']}: {problem}", flush=True)
    print(f"{len(tests)} tests, {recorded} runs recorded, {different} differ")
    print(", ".join(f"{count} {verdict}" for verdict, count in sorted(verdicts.items())))
    sys.exit(1 if different else 0)


if __name__ == "__main__":
    main()
