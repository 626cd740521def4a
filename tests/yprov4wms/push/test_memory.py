"""What was pushed is kept with the run, wherever its store is."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from yprov4wms.push.memory import Begun, Entry, Memory
from yprov4wms.push.service import PushError
from yprov4wms.store import RunFolder

URL = "https://store.example.org"


@pytest.fixture(params=["folder", "objects"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> RunFolder:
    place = str(tmp_path) if request.param == "folder" else f"memory://{uuid.uuid4()}"
    return RunFolder(f"{place}/run")


def test_what_was_sent_is_known_later_of_that_service_alone(folder: RunFolder) -> None:
    memory = Memory(folder, "yprovstore", URL)
    memory.begin("run", Begun("0" * 64, "2026-03-01T10:00:00+00:00"))
    assert Memory(folder, "yprovstore", URL).entry("run").begun is not None
    memory.done("run", "21.T11961/a", "0" * 64, 3)
    memory.permitted("run", "bob@example.org", "w")
    entry = Memory(folder, "yprovstore", URL).entry("run")
    assert entry.begun is None
    assert entry.sent is not None
    assert (entry.sent.id, entry.sent.sha256, entry.sent.version) == ("21.T11961/a", "0" * 64, 3)
    assert entry.permissions == {"bob@example.org": "w"}
    assert Memory(folder, "yprov", URL).entry("run") == Entry()
    assert Memory(folder, "yprovstore", "https://other.example.org").entry("run") == Entry()
    assert memory.entry("other") == Entry()


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{", b"\xff", b"[" * 100_000, b'{"places":{"a":1}}']
)
def test_what_was_not_written_by_push_is_told(folder: RunFolder, content: bytes) -> None:
    folder.put("pushed.json", content)
    with pytest.raises(PushError, match=r"pushed\.json: "):
        Memory(folder, "yprov", URL)
