"""Documents at a yProvStore, after its published API."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from tests.yprov4wms.export.nested_runs import INNER, OUTER, started, task, within, write
from tests.yprov4wms.export.test_nested import three
from tests.yprov4wms.push.conftest import Push
from tests.yprov4wms.push.services import Fault, YProvStore

from yprov4wms.prov.rules import check
from yprov4wms.store import RunFolder

pytest.importorskip("httpx")


def test_a_run_is_there_with_what_is_said_about_it(store: YProvStore, push: Push) -> None:
    done = push(
        *("--to", "yprovstore", "--url", store.url, "--title", "Rain", "--keyword", "a"),
        *("--keyword", "b", "--permission", "bob@example.org:w"),
    )
    assert done.code == 0, done.err
    (pid,) = done.identifiers
    record = store.records[pid]
    assert check(record["content"]) == []
    assert record["metadata"] == {"title": "Rain", "keywords": ["a", "b"]}
    assert record["writers"] == {"bob@example.org"}


def test_with_link_the_children_are_related_to_the_run(store: YProvStore, push: Push) -> None:
    done = push("--to", "yprovstore", "--url", store.url, "--nest", "link")
    assert done.code == 0, done.err
    main, child = done.identifiers
    assert store.records[main]["related"] == {child}
    named = json.loads(store.records[main]["content"])["entity"].values()
    digests = [e["yprov4wms:sha256"] for e in named if e["prov:type"] == "prov:Bundle"]
    assert digests == [store.records[child]["hash"]]


def linked(record: dict[str, Any]) -> set[str]:
    """Checksums of the documents that a document links."""
    entities = json.loads(record["content"])["entity"].values()
    return {e["yprov4wms:sha256"] for e in entities if e["prov:type"] == "prov:Bundle"}


def test_with_link_runs_inside_runs_are_related_as_they_link_each_other(
    store: YProvStore, push: Push, tmp_path: Path
) -> None:
    three(tmp_path / ".yprov")
    asked = (OUTER, "--to", "yprovstore", "--url", store.url, "--nest", "link")
    done = push(*asked)
    assert done.code == 0, done.err
    outer, inner, inmost = (store.records[pid] for pid in done.identifiers)
    assert [r["related"] for r in (outer, inner, inmost)] == [
        {inner["pid"]},
        {inmost["pid"]},
        set(),
    ]
    assert [linked(r) for r in (outer, inner, inmost)] == [{inner["hash"]}, {inmost["hash"]}, set()]
    assert push(*asked).identifiers == done.identifiers


def test_a_run_inside_that_went_on_is_a_new_version_with_the_run_around_it(
    store: YProvStore, push: Push, tmp_path: Path
) -> None:
    runs, asked = tmp_path / ".yprov", ("--to", "yprovstore", "--url", store.url)
    write(runs, OUTER, 0, started(), *task("t"))
    parent = within(runs, OUTER, "t")
    write(runs, INNER, 1, started("/w", parent), task("u")[0], ended=False)
    before = push(OUTER, *asked, "--nest", "link").identifiers
    (runs / INNER / "events").rename(tmp_path / "gone")
    write(runs, INNER, 1, started("/w", parent), *task("u"))
    after = push(OUTER, *asked, "--nest", "link").identifiers
    parents = [store.records[pid]["parent_document_pid"] for pid in after]
    assert parents == before
    assert store.records[after[0]]["related"] == {after[1]}


def test_a_second_push_makes_a_version_only_of_what_changed(store: YProvStore, push: Push) -> None:
    asked = ("--to", "yprovstore", "--url", store.url, "--permission", "bob@example.org:w")
    (first,) = push(*asked).identifiers
    assert push(*asked).identifiers == [first]
    assert len(store.records) == 1
    (second,) = push(*asked, "--nest", "bundle").identifiers
    assert store.records[second]["parent_document_pid"] == first
    assert store.records[second]["version"] == 2
    (third, _) = push(*asked, "--nest", "link").identifiers
    assert store.records[third]["parent_document_pid"] == second


def test_a_run_can_be_a_version_of_another_document(
    store: YProvStore, push: Push, tmp_path: Path
) -> None:
    asked = ("--to", "yprovstore", "--url", store.url)
    (first,) = push(*asked).identifiers
    (folder,) = (tmp_path / ".yprov").iterdir()
    (folder / "pushed.json").unlink()
    (second,) = push(*asked, "--parent", first).identifiers
    assert store.records[second]["parent_document_pid"] == first
    assert push(*asked, "--parent", first).identifiers == [second]  # the same command again
    (folder / "pushed.json").unlink()
    done = push(*asked, "--parent", first)
    assert done.code == 2
    assert "latest version is higher" in done.err
    assert "404" in push(*asked, "--parent", "21.T11961/none").err
    assert "no PID" in push(*asked, "--parent", "../../auth").err


@pytest.mark.parametrize("how", ["lose", "truncate", "html"])
def test_an_upload_whose_answer_is_lost_is_found_and_not_done_twice(
    store: YProvStore, push: Push, how: str
) -> None:
    store.fault("POST /documents", how)
    done = push("--to", "yprovstore", "--url", store.url)
    if how == "html":  # an answer, of who knows whom
        assert done.code == 2
        assert "no JSON" in done.err
        assert len(store.records) == 0
        done = push("--to", "yprovstore", "--url", store.url)
    assert done.code == 0, done.err
    assert [*store.records] == done.identifiers


def test_an_upload_that_never_arrived_is_done_again(store: YProvStore, push: Push) -> None:
    store.fault("POST /documents", "drop", 503, Fault(429, {"Retry-After": "1"}), "drop")
    done = push("--to", "yprovstore", "--url", store.url)
    assert done.code == 0, done.err
    assert [*store.records] == done.identifiers
    assert store.count("POST /documents") == 5


def test_a_document_that_arrived_while_we_died_is_found_by_the_next_push(
    store: YProvStore, push: Push
) -> None:
    store.fault("POST /documents", "lose")
    store.fault("GET /documents", *[500] * 20)
    done = push("--to", "yprovstore", "--url", store.url, "--timeout", "1")
    assert done.code == 2
    assert len(store.records) == 1
    store.faults.clear()
    done = push("--to", "yprovstore", "--url", store.url)
    assert [*store.records] == done.identifiers


def test_where_no_checksum_is_told_an_upload_in_doubt_is_repeated(
    store: YProvStore, push: Push
) -> None:
    store.gives_hash = False
    store.fault("POST /documents", "lose")
    done = push("--to", "yprovstore", "--url", store.url)
    assert done.code == 0, done.err
    assert done.identifiers == [[*store.records][1]]


def test_documents_of_others_are_not_taken_for_ours(
    store: YProvStore, push: Push, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Of the same bytes: Bob pushed a copy of the run."""
    monkeypatch.setenv("YPROV_TOKEN", "token.of.bob")
    (theirs,) = push("--to", "yprovstore", "--url", store.url).identifiers
    next((tmp_path / ".yprov").glob("*/pushed.json")).unlink()
    monkeypatch.setenv("YPROV_TOKEN", "token.of.ada")
    store.fault("POST /documents", "drop")
    (ours,) = push("--to", "yprovstore", "--url", store.url).identifiers
    assert ours != theirs


@pytest.mark.parametrize("taken", [True, False])
def test_large_documents_are_compressed_where_the_service_says_it_takes_that(
    store: YProvStore, push: Push, monkeypatch: pytest.MonkeyPatch, taken: bool
) -> None:
    monkeypatch.setattr("yprov4wms.push.yprovstore._LARGE", 100)
    store.takes_zstd = taken
    store.fault("POST /documents", 503)  # and once more
    done = push("--to", "yprovstore", "--url", store.url)
    assert done.code == 0, done.err
    sent = [r for r in store.requests if r.route == "POST /documents"]
    assert [r.headers.get("content-encoding") for r in sent] == ["zstd" if taken else None] * 2
    (record,) = store.records.values()
    assert check(record["content"]) == []


def test_what_the_service_keeps_otherwise_is_an_error(store: YProvStore, push: Push) -> None:
    wrong = json.dumps({"pid": "21.T11961/x", "hash": "0" * 64}).encode()
    store.fault("POST /documents", Fault(200, {}, wrong))
    done = push("--to", "yprovstore", "--url", store.url)
    assert done.code == 2
    assert "not what was sent" in done.err
    assert push("--to", "yprovstore", "--url", store.url).identifiers == [*store.records]


@pytest.mark.parametrize("pid", ["../../auth", "a/b/c", "x?y", "", "\x1b[31m"])
def test_a_pid_that_leads_elsewhere_is_not_followed(
    store: YProvStore, push: Push, pid: str
) -> None:
    store.fault("POST /documents", Fault(200, {}, json.dumps({"pid": pid}).encode()))
    done = push("--to", "yprovstore", "--url", store.url, "--title", "Rain")
    assert done.code == 2
    assert "is no PID" in done.err
    assert "\x1b" not in done.err
    assert store.count("PATCH") == 0


def test_a_permission_for_nobody_fails_and_the_next_push_completes(
    store: YProvStore, push: Push
) -> None:
    asked = ("--to", "yprovstore", "--url", store.url, "--title", "Rain")
    done = push(*asked, "--permission", "eve@example.org:w")
    assert done.code == 2
    assert "404" in done.err
    assert "eve@example.org" in done.err
    (pid,) = done.identifiers
    assert f"there already: {pid}" in done.err
    assert push(*asked, "--permission", "bob@example.org:w").identifiers == [pid]
    assert push(*asked, "--permission", "bob@example.org:w").identifiers == [pid]
    assert store.records[pid]["metadata"] == {"title": "Rain"}


def test_everybody_may_read_so_that_none_is_asked_for(store: YProvStore, push: Push) -> None:
    done = push("--to", "yprovstore", "--url", store.url, "--permission", "bob@example.org:r")
    assert done.code == 0, done.err
    assert "everybody may" in done.err


def test_a_password_that_the_service_tells_back_is_not_shown(
    store: YProvStore, push: Push, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("YPROV_PASSWORD", "s3crétx")
    done = push("--to", "yprovstore", "--url", store.url, "--user", "ada@example.org")
    assert done.code == 2
    assert "string_too_short" in done.err
    assert "s3cr" not in done.err


def test_login_with_a_password_sends_the_document(
    store: YProvStore, push: Push, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("YPROV_PASSWORD", "correct horse")
    done = push("--to", "yprovstore", "--url", store.url, "--user", "ada@example.org")
    assert done.code == 0, done.err
    assert [r["owner_email"] for r in store.records.values()] == ["ada@example.org"]


def test_an_expired_token_is_told_before_anything_is_sent(
    store: YProvStore, push: Push, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("YPROV_TOKEN", "expired.token.x")
    done = push("--to", "yprovstore", "--url", store.url)
    assert done.code == 2
    assert "Token has expired" in done.err
    assert store.routes() == ["POST /auth/verify"]


def test_a_dry_run_says_all_and_sends_nothing(
    store: YProvStore, push: Push, folder: RunFolder
) -> None:
    asked = ("--to", "yprovstore", "--url", store.url, "--nest", "link", "--title", "Rain")
    done = push(*asked, "--dry-run")
    assert done.code == 0, done.err
    assert store.requests == []
    push(*asked)
    pid = next(iter(store.records))
    told = [line.split(" with ")[0].split(": ")[0] for line in done.out.splitlines()]
    assert [t.replace("<PID>", pid).replace(store.url, "") for t in told] == store.routes()
    assert "nothing for" in push(*asked, "--dry-run").out


def test_a_broken_record_of_what_was_pushed_is_told(
    store: YProvStore, push: Push, folder: RunFolder
) -> None:
    Path(folder.location, "pushed.json").write_text('{"places": 3}')
    done = push("--to", "yprovstore", "--url", store.url)
    assert done.code == 2
    assert "pushed.json" in done.err
    assert store.requests == []


def test_the_hash_told_is_that_of_the_document(store: YProvStore, push: Push) -> None:
    push("--to", "yprovstore", "--url", store.url)
    (record,) = store.records.values()
    assert record["hash"] == hashlib.sha256(record["content"]).hexdigest()
