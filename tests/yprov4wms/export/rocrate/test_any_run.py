"""Whatever a run holds: its crate keeps what the profiles require."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from tests import crates
from tests.yprov4wms.export.rocrate.journals import crate_of, stored
from tests.yprov4wms.prov.runs import Told, runs

from yprov4wms import events as e
from yprov4wms.export import document


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(runs())
def test_any_run_makes_a_crate(told: Told) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for event in told.events:
            # Where the store has the children's documents.
            if isinstance(event, e.ChildAttached):
                content = told.children.get(event.child, b"")
                event.document.sha256 = None
                path = folder / "store/0198f3a0-0000-7000-8000-000000000001" / event.document.path
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
        found = stored(folder, told.events)
        run = document.read(found)
        ran = any(task.attempts for task in run.tasks.values())
        path = crate_of(folder, found)
        assert crates.faults(path, provenance=ran) == []
        attempts = sum(len(task.attempts) for task in run.tasks.values())
        actions = crates.of_type(crates.graph(path), "CreateAction")
        assert len([a for a in actions if not a["name"].startswith("ML run ")]) == attempts + 1
        json.loads(crates.files(path)["prov.json"])
