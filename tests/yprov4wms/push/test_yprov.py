"""Documents at the yProv service, after its published API."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from tests.yprov4wms.export.nested_runs import OUTER
from tests.yprov4wms.export.test_document import CHILD, RUN
from tests.yprov4wms.export.test_nested import three
from tests.yprov4wms.push.conftest import Push
from tests.yprov4wms.push.services import ADA, EXPIRED, YProv

from yprov4wms.prov.rules import check
from yprov4wms.store import RunFolder

pytest.importorskip("httpx")

ID = f"run-{RUN}"


def test_a_run_is_there_under_an_id_of_its_own(yprov: YProv, push: Push) -> None:
    done = push("--to", "yprov", "--url", yprov.url)
    assert done.code == 0, done.err
    assert done.identifiers == [ID]
    (content,) = yprov.documents[ID]
    assert check(content) == []
    assert f'"yprov4wms:run_id":"{RUN}"'.encode() in content or RUN.encode() in content


def test_with_link_each_child_is_a_document_of_the_bytes_that_the_run_names(
    yprov: YProv, push: Push, folder: RunFolder
) -> None:
    done = push("--to", "yprov", "--url", yprov.url, "--nest", "link")
    assert done.code == 0, done.err
    main, child = done.identifiers
    (content,) = yprov.documents[child]
    digest = hashlib.sha256(content).hexdigest()
    assert child == f"{main}-{digest[:12]}"
    named = json.loads(yprov.documents[main][0])["entity"].values()
    assert [e["yprov4wms:sha256"] for e in named if e["prov:type"] == "prov:Bundle"] == [digest]


def test_with_link_runs_inside_runs_are_documents_too(
    yprov: YProv, push: Push, tmp_path: Path
) -> None:
    three(tmp_path / ".yprov")
    done = push(OUTER, "--to", "yprov", "--url", yprov.url, "--nest", "link")
    assert done.code == 0, done.err
    main, *others = done.identifiers
    assert main == f"run-{OUTER}"
    assert len({name for name in others if name.startswith(f"{main}-")}) == 2
    digests = [hashlib.sha256(yprov.documents[name][0]).hexdigest() for name in done.identifiers]
    for name, part in zip(done.identifiers, digests[1:], strict=False):
        assert part.encode() in yprov.documents[name][0]


def test_a_child_whose_document_is_gone_is_told_and_the_rest_is_sent(
    yprov: YProv, push: Push, folder: RunFolder
) -> None:
    (kept,) = Path(folder.location, "children").iterdir()
    kept.unlink()
    done = push("--to", "yprov", "--url", yprov.url, "--nest", "link")
    assert done.code == 0
    assert done.identifiers == [ID]
    assert f"warning: child run {CHILD}: its document is not sent" in done.err


def test_a_second_push_of_the_same_sends_no_document(yprov: YProv, push: Push) -> None:
    first = push("--to", "yprov", "--url", yprov.url, "--nest", "link")
    again = push("--to", "yprov", "--url", yprov.url, "--nest", "link")
    assert again.identifiers == first.identifiers
    assert yprov.count("PUT /api/v0/documents") == 2


def test_a_document_that_the_service_lost_is_sent_again(yprov: YProv, push: Push) -> None:
    push("--to", "yprov", "--url", yprov.url)
    del yprov.documents[ID]
    assert push("--to", "yprov", "--url", yprov.url).code == 0
    assert ID in yprov.documents


def test_permissions_that_a_new_upload_takes_away_are_given_again(yprov: YProv, push: Push) -> None:
    push("--to", "yprov", "--url", yprov.url, "--permission", "bob@example.org:r")
    assert yprov.graphs[ID] == {"ada@example.org": "o", "bob@example.org": "r"}
    done = push("--to", "yprov", "--url", yprov.url, "--nest", "link")  # another document
    assert len(yprov.documents[ID]) == 2
    assert yprov.graphs[ID] == {"ada@example.org": "o", "bob@example.org": "r"}
    assert "merges" in done.err


def test_a_permission_for_nobody_fails_and_tells_what_is_there(yprov: YProv, push: Push) -> None:
    """And the same command without it does nothing twice."""
    done = push("--to", "yprov", "--url", yprov.url, "--permission", "eve@example.org:r")
    assert done.code == 2
    assert "User not present" in done.err
    assert f"there already: {ID}" in done.err
    assert done.identifiers == [ID]
    assert push("--to", "yprov", "--url", yprov.url).code == 0
    assert len(yprov.documents[ID]) == 1


def test_the_document_of_somebody_else_is_not_taken_over(yprov: YProv, push: Push) -> None:
    yprov.documents["climate"] = [b"{}"]
    yprov.graphs["climate"] = {"bob@example.org": "o"}
    done = push("--to", "yprov", "--url", yprov.url, "--document-id", "climate")
    assert done.code == 2
    assert "--update" in done.err
    assert yprov.graphs["climate"] == {"bob@example.org": "o"}
    done = push("--to", "yprov", "--url", yprov.url, "--document-id", "climate", "--update")
    assert done.code == 0, done.err


def test_bundles_are_not_sent_to_where_they_are_dropped(
    yprov: YProv, push: Push, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("YPROV_NEST", "bundle")
    done = push("--to", "yprov", "--url", yprov.url)
    assert done.code == 2
    assert "--nest flatten or link" in done.err
    assert yprov.requests == []


@pytest.mark.parametrize(
    "name", ["ab", "Climate", "0climate", "a_b", "system-x", "neo4j", "a/b", "x" * 64, "x-", ""]
)
def test_an_id_that_no_database_can_have_is_refused(yprov: YProv, push: Push, name: str) -> None:
    done = push("--to", "yprov", "--url", yprov.url, "--document-id", name)
    assert done.code == 2
    assert "3 to 63" in done.err
    assert yprov.requests == []


def test_an_upload_whose_answer_is_lost_is_done_again(yprov: YProv, push: Push) -> None:
    yprov.fault("PUT /api/v0/documents", "lose", "truncate", 503)
    done = push("--to", "yprov", "--url", yprov.url)
    assert done.code == 0, done.err
    assert len(set(yprov.documents[ID])) == 1


def test_an_upload_that_failed_is_ours_the_next_time(yprov: YProv, push: Push) -> None:
    """The service had it, and its answer did not come: it is not somebody else's."""
    yprov.fault("PUT /api/v0/documents", *["lose"] * 20)
    done = push("--to", "yprov", "--url", yprov.url, "--timeout", "1")
    assert done.code == 2
    assert done.out == ""
    yprov.faults.clear()
    assert push("--to", "yprov", "--url", yprov.url).identifiers == [ID]


def test_only_what_is_missing_is_sent_the_next_time(yprov: YProv, push: Push) -> None:
    yprov.fault(f"PUT /api/v0/documents/{ID}-", *[500] * 20)
    done = push("--to", "yprov", "--url", yprov.url, "--nest", "link", "--timeout", "1")
    assert done.code == 2
    assert f"there already: {ID}" in done.err
    yprov.faults.clear()
    assert push("--to", "yprov", "--url", yprov.url, "--nest", "link").code == 0
    assert [len(puts) for puts in yprov.documents.values()] == [1, 1]


def test_a_wrong_password_is_said_and_not_shown(
    yprov: YProv, push: Push, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service tells what it was sent."""
    monkeypatch.setenv("YPROV_PASSWORD", 'wrong "horse"')
    done = push("--to", "yprov", "--url", yprov.url, "--user", "ada@example.org")
    assert done.code == 2
    assert "Please register" in done.err
    assert "horse" not in done.err + done.out
    assert yprov.count("POST /api/v0/auth/login") == 1


@pytest.mark.parametrize("token", [EXPIRED, "of.nobody"])
def test_a_token_that_is_not_taken_is_not_shown(
    yprov: YProv, push: Push, monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    monkeypatch.setenv("YPROV_TOKEN", token)
    done = push("--to", "yprov", "--url", yprov.url)
    assert done.code == 2
    assert "401" in done.err
    assert "get a new token" in done.err
    assert token not in done.err
    assert yprov.documents == {}


def test_what_the_service_has_not_is_no_option_there(yprov: YProv, push: Push) -> None:
    done = push("--to", "yprov", "--url", yprov.url, "--keyword", "climate")
    assert done.code == 2
    assert "--keyword" in done.err


def test_a_dry_run_says_all_and_sends_nothing(yprov: YProv, push: Push, folder: RunFolder) -> None:
    asked = ("--to", "yprov", "--url", yprov.url, "--nest", "link")
    done = push(*asked, "--permission", "bob@example.org:w", "--dry-run")
    assert done.code == 0, done.err
    assert yprov.requests == []
    assert not Path(folder.location, "pushed.json").exists()
    assert ADA not in done.out
    push(*asked, "--permission", "bob@example.org:w")
    told = [
        line.split(": ")[0] for line in done.out.splitlines() if line.startswith(("PUT", "GET"))
    ]
    assert told == [r.replace("/api", f"{yprov.url}/api") for r in yprov.routes()]
    assert f"child run {CHILD}, " in done.out
