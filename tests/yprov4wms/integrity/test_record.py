"""What lies in a run's folder is what was left there: journals, manifest, copies, the document."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from tests.documents import environment
from tests.yprov4wms.integrity.records import Tasks

from yprov4wms import events
from yprov4wms.export import document
from yprov4wms.integrity.verify import Verified, verify_run
from yprov4wms.store import RunFolder, StoreError

TRAINING = """
    import yprov4wms.ml as ml

    with ml.start_run("digits"):
        ml.log_param("rate", 0.1)
        for step in range(50):
            ml.log_metric("loss", 1 / (step + 1), step=step)
"""


@pytest.fixture
def tasks(tmp_path: Path) -> Tasks:
    tasks = Tasks(tmp_path)
    tasks.make("first", "a.txt", "one\n")
    return tasks


def trained(tasks: Tasks, code: str = TRAINING) -> int:
    """A task with an ML run in it, in a process of its own."""
    tasks.recorder.emit(
        events.TaskPlanned(task="train", step="train"),
        events.TaskStarted(task="train", attempt=1),
    )
    identity = {
        "YPROV_RUN_ID": tasks.recorder.run_id,
        "YPROV_TASK_ID": "train",
        "YPROV_ATTEMPT": "1",
        "YPROV_STORE": str(Path(tasks.run.location).parent),
    }
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env=environment(**identity),
        cwd=tasks.folder,
        check=False,
    )
    tasks.recorder.collect_children("train", 1)
    ended = events.TaskEnded(task="train", attempt=1, status=events.Status.COMPLETED)
    tasks.recorder.emit(ended)
    return done.returncode


def told(found: Verified) -> dict[str, str]:
    return {problem.where: problem.message for problem in found.problems}


def test_a_record_is_as_it_was_left(tasks: Tasks) -> None:
    assert trained(tasks) == 0
    found = verify_run(tasks.end())
    assert told(found) == {}
    assert found.notes == []
    assert found.record is not None
    assert (found.record.nest, found.record.journals.journals, found.record.kept) == (
        "flatten",
        2,
        2,
    )


@pytest.mark.parametrize("nest", ["flatten", "bundle", "link"])
def test_the_document_is_what_the_record_gives_in_every_mode(tasks: Tasks, nest: str) -> None:
    assert trained(tasks) == 0
    document.export(tasks.end(export=False), nest=nest)
    found = verify_run(tasks.run)
    assert found.same
    assert found.record is not None
    assert found.record.nest == nest


def test_a_changed_document_is_seen(tasks: Tasks) -> None:
    path = Path(tasks.end().document)
    path.write_bytes(path.read_bytes().replace(b'"completed"', b'"cancelled"'))
    assert told(verify_run(tasks.run)) == {
        "prov.json": "is not what the record gives: it was changed, or is older, or built by "
        "another version, with other options; yprov4wms export builds it again"
    }


def test_a_document_of_before_the_record_went_on_is_no_problem(tasks: Tasks) -> None:
    document.export(tasks.run)
    tasks.make("later", "b.txt", "two\n")
    tasks.end(export=False)
    found = verify_run(tasks.run)
    assert found.problems == []
    assert any("went on since" in note for note in found.notes)


def test_a_document_that_is_gone_is_missed_and_one_that_never_was_is_not(tasks: Tasks) -> None:
    folder = tasks.end(export=False)
    found = verify_run(folder)
    assert found.problems == []
    assert "the document is not built (yprov4wms export)" in found.notes
    document.export(folder)
    Path(folder.document).unlink()
    assert told(verify_run(folder)) == {"prov.json": "is gone"}


def test_the_end_of_a_journal_that_is_cut_off_is_seen(tasks: Tasks) -> None:
    tasks.end()
    lines = tasks.journal.read_bytes().splitlines(keepends=True)
    tasks.journal.write_bytes(b"".join(lines[:-1]))
    assert [message.split(":")[0] for message in told(verify_run(tasks.run)).values()] == [
        "was cut"
    ]


def test_a_journal_that_is_gone_is_seen(tasks: Tasks) -> None:
    other = tasks.recorder.__class__(
        tasks.recorder.settings, str(tasks.folder), print, run_id=tasks.recorder.run_id
    )
    other.emit(events.TaskNoted(task="first", attempt=1, attributes={"note": 1}))
    other.close()
    tasks.end()
    assert verify_run(tasks.run).same
    gone = next(p for p in Path(tasks.run.events).iterdir() if p.read_bytes().count(b"\n") == 1)
    gone.unlink()
    assert told(verify_run(tasks.run)) == {f"events/{gone.name}": "is gone"}


def test_a_run_of_which_nothing_is_left_is_seen_and_what_never_was_one_is_refused(
    tasks: Tasks,
) -> None:
    tasks.end()
    path = tasks.journal
    path.write_bytes(b"")
    assert told(verify_run(tasks.run))[f"events/{path.name}"].startswith("was cut")
    path.unlink()
    assert told(verify_run(tasks.run)) == {f"events/{path.name}": "is gone"}
    Path(tasks.run.location, "manifest.json").unlink()
    with pytest.raises(StoreError, match="not a run"):
        verify_run(tasks.run)


def test_a_journal_that_was_written_anew_with_its_chain_is_seen_by_the_manifest(
    tasks: Tasks,
) -> None:
    """And that the manifest was written anew, too, by who noted its seal."""
    from yprov4wms import chain
    from yprov4wms.integrity import manifest

    tasks.end()
    seal = manifest.seal(tasks.run)
    assert verify_run(tasks.run, seal=seal).same
    state, forged = chain.start(tasks.journal.stem), []
    for line in tasks.journal.read_bytes().replace(b'"one', b'"two').splitlines():
        event = json.loads(line)
        del event["h"]
        if event["kind"] == "task-ended":
            event["status"] = "failed"
        new, state = chain.chained(json.dumps(event, separators=(",", ":")).encode(), state)
        forged.append(new)
    tasks.journal.write_bytes(b"".join(forged))
    problems = told(verify_run(tasks.run))
    assert [where for where in problems if where.startswith("events/")] == [
        f"events/{tasks.journal.name}"
    ]
    document.export(tasks.run)
    assert verify_run(tasks.run).same
    assert list(told(verify_run(tasks.run, seal=seal))) == ["manifest.json"]


def test_copies_of_child_documents_and_metrics_are_compared(tasks: Tasks) -> None:
    assert trained(tasks) == 0
    tasks.end()
    location = Path(tasks.run.location)
    (child,) = (location / "children").iterdir()
    (series,) = location.glob("ml/*/*/metrics/*")
    child.write_bytes(child.read_bytes() + b" ")
    series.write_bytes(series.read_bytes()[:-1])
    problems = told(verify_run(tasks.run))
    assert problems[f"children/{child.name}"] == "is not what it was: its sha256 is another"
    assert str(series.relative_to(location)) in problems
    child.unlink()
    series.unlink()
    problems = told(verify_run(tasks.run))
    assert problems[f"children/{child.name}"] == "is gone"
    assert problems[str(series.relative_to(location))] == "is gone"


KILLED = (
    TRAINING
    + """
        import os, signal, time
        time.sleep(0.5)
        ml.log_metric("loss", 0.0, step=99)
        time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGKILL)
"""
)


def test_metrics_of_a_killed_process_are_compared_block_by_block(tasks: Tasks) -> None:
    assert trained(tasks, KILLED) < 0
    tasks.end()
    assert verify_run(tasks.run).problems == []
    (series,) = Path(tasks.run.location).glob("ml/*/*/metrics/*")
    content = series.read_bytes()
    series.write_bytes(content[:-3])  # a write that was cut
    assert verify_run(tasks.run).problems == []
    series.write_bytes(content[:30] + bytes([content[30] ^ 1]) + content[31:])
    problems = told(verify_run(tasks.run))
    assert problems[str(series.relative_to(tasks.run.location))].endswith("was changed")


def test_a_journal_of_an_ml_run_is_compared_alone_and_inside(tasks: Tasks) -> None:
    assert trained(tasks) == 0
    tasks.end()
    (path,) = Path(tasks.run.location).glob("ml/*/*/events/*")
    alone = RunFolder(str(path.parents[1]))
    assert verify_run(alone).same
    path.write_bytes(path.read_bytes().replace(b"digits", b"dogs"))
    assert not verify_run(alone).same
    assert any(where.startswith("ml/train-1/") for where in told(verify_run(tasks.run)))


def test_a_manifest_that_leads_elsewhere_reads_nothing_there(tasks: Tasks) -> None:
    tasks.end()
    path = Path(tasks.run.location, "manifest.json")
    known = json.loads(path.read_bytes())
    known["journals"]["events/../../../../../../etc/passwd"] = {"size": 1, "sha256": "0" * 64}
    path.write_text(json.dumps(known))
    assert told(verify_run(tasks.run)) == {"events/../../../../../../etc/passwd": "is gone"}
    path.write_text("[")
    assert told(verify_run(tasks.run))["manifest.json"].startswith("is no manifest")
    path.write_text("[" * 100_000)
    assert told(verify_run(tasks.run))["manifest.json"].startswith("is no manifest")


def test_verifying_changes_nothing(tasks: Tasks) -> None:
    assert trained(tasks) == 0
    tasks.end()
    location = Path(tasks.run.location)
    before = {p: p.read_bytes() for p in location.rglob("*") if p.is_file()}
    verify_run(tasks.run)
    assert {p: p.read_bytes() for p in location.rglob("*") if p.is_file()} == before
