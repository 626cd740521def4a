"""``yprov4wms show`` of an ML run."""

from __future__ import annotations

from pathlib import Path

from tests.yprov4wms.cli.test_bad_input import yprov4wms
from tests.yprov4wms.prov.runs import RUN_ID, lines_of

from yprov4wms import events


def test_what_all_ranks_tell_alike_is_shown_once(tmp_path: Path) -> None:
    journals = tmp_path / ".yprov" / RUN_ID / "events"
    journals.mkdir(parents=True)
    for rank in range(3):
        told = [
            events.MLRunStarted(experiment="digits", rank=rank, world_size=3),
            events.MLParam(name="lr", value=0.1),
            events.MLParam(name="seed", value=rank),
            events.MLDataset(name="train"),
            events.MLModel(name="net"),
            events.MLRunEnded(status=events.Status.COMPLETED),
        ]
        lines = [line.replace(b'"w"', b'"w%d"' % rank) for line in lines_of(told)]
        (journals / f"w{rank}.jsonl").write_bytes(b"".join(lines))
    shown = yprov4wms(tmp_path, "show").stdout.decode()
    for line, times in (("lr = 0.1", 1), ("seed = 0", 1), ("seed = 2", 1)):
        assert shown.count(line) == times, shown
    assert sum("dataset" in line for line in shown.splitlines()) == 1
    assert sum(line.startswith("  model") for line in shown.splitlines()) == 1
