"""What stands there when a run has ended, where, who makes it, and what stops it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
import zipfile
from pathlib import Path

import pytest
from tests.yprov4wms.ml.conftest import SOURCE

from yprov4wms import ml
from yprov4wms.events import MLRunEnded, Status
from yprov4wms.ml import _turns, products, readers
from yprov4wms.ml.readers import ReadError
from yprov4wms.prov.rules import check
from yprov4wms.replay import replay
from yprov4wms.store import RunFolder

ALL = {"create_graph": True, "crate_ro_crate": True, "create_card": True}


@pytest.fixture(autouse=True)
def documents(clean: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("YPROV_EXPORT", "end")


def names(folder: Path | str) -> list[str]:
    return sorted(path.name for path in Path(folder).iterdir())


def read(path: Path | str) -> dict:
    return json.loads(Path(path).read_text())


def a_run(**given):
    run = ml.start_run("digits", **given)
    ml.log_param("lr", 0.1)
    ml.log_metric("loss", 0.5, "training", 0)
    return run


# -- where -------------------------------------------------------------------------


def test_alone_all_stands_in_the_runs_folder():
    run = a_run(metrics_file_type="csv")
    ml.end_run(**ALL)
    assert set(names(run.folder.location)) == {
        *("events", "metrics", "prov.json", "manifest.json", "prov.dot", "card.md", "ro-crate.zip"),
        "metrics.csv.gz",
    }


def test_in_a_folder_of_ones_own_it_is_named_as_yprov4ml_names_it(tmp_path):
    runs = []
    for _ in range(2):
        runs.append(
            a_run(provenance_save_dir="prov", metrics_file_type="csv", use_compressor=False)
        )
        ml.end_run(**ALL)
    assert names("prov") == ["digits_0", "digits_1"]
    for number, run in enumerate(runs):
        stem = f"prov_digits_GR0_{number}"
        folder = tmp_path / f"prov/digits_{number}"
        assert names(folder) == sorted(
            [".yprov4wms-run", "card.md", "metrics.csv", f"{stem}.dot", f"{stem}.json",
             "ro-crate.zip"]
        )  # fmt: skip
        assert names(run.folder.location) == ["events", "manifest.json", "metrics", "prov.json"]
        document = read(folder / f"{stem}.json")
        assert check((folder / f"{stem}.json").read_bytes()) == []
        (metric,) = (e for e in document["entity"].values() if e["prov:label"] == "loss")
        assert (tmp_path / metric["dcterms:identifier"]).is_file()
        inside = read(Path(run.folder.location, "prov.json"))
        assert inside["activity"] == document["activity"]


def test_the_number_and_the_folder_may_be_given(tmp_path):
    a_run(provenance_save_dir=tmp_path / "p", use_run_id=7)
    ml.end_run()
    a_run(provenance_save_dir=tmp_path / "p")
    ml.end_run()
    assert names(tmp_path / "p") == ["digits_7", "digits_8"]


def test_a_relative_folder_is_where_it_was_at_the_start(tmp_path, monkeypatch):
    a_run(provenance_save_dir="prov")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    ml.end_run()
    assert names(tmp_path / "prov/digits_0") == [".yprov4wms-run", "prov_digits_GR0_0.json"]


@pytest.mark.parametrize("name", ["a/b", "..", "é 😀", "x_1", 'q"\\'])
def test_any_experiment_has_a_folder(tmp_path, name):
    with ml.start_run(name, provenance_save_dir="prov"):
        pass
    (folder,) = (tmp_path / "prov").iterdir()
    (child,) = readers.read(folder)
    assert child.dialect == "yprov4wms-ml"


def test_a_store_at_a_url():
    import fsspec

    run = a_run(store="memory://products-store", metrics_file_type="csv")
    ml.end_run(**ALL)
    fs = fsspec.filesystem("memory")
    there = {path.rpartition("/")[2] for path in fs.ls(run.folder.location, detail=False)}
    assert there >= {"prov.json", "prov.dot", "card.md", "ro-crate.zip", "metrics.csv.gz"}
    with fs.open(f"{run.folder.location}/ro-crate.zip") as file:
        assert "metrics.csv" in zipfile.ZipFile(file).namelist()


def test_products_at_a_url():
    import fsspec

    for _ in range(2):
        a_run(provenance_save_dir="memory://products-save")
        ml.end_run(create_card=True)
    fs = fsspec.filesystem("memory")
    found = {path.partition("products-save/")[2] for path in fs.find("memory://products-save")}
    assert found == {
        f"digits_{n}/{name}"
        for n in (0, 1)
        for name in ("card.md", ".yprov4wms-run", f"prov_digits_GR0_{n}.json")
    }


def test_without_a_document_what_is_asked_for_is_made_all_the_same(monkeypatch):
    monkeypatch.setenv("YPROV_EXPORT", "never")
    run = a_run(metrics_file_type="csv")
    ml.end_run(create_card=True)
    assert set(names(run.folder.location)) == {"events", "metrics", "card.md", "metrics.csv.gz"}


def test_nothing_of_this_is_imported_before_the_end(script):
    done = script(
        """
        ml.start_run("x", provenance_save_dir="prov", metrics_file_type="csv")
        ml.log_metric("m", 1.0)
        mine = [name for name in sys.modules if name.startswith("yprov4wms.")]
        print(sorted({"yprov4wms.ml.products", "yprov4wms.ml.formats", "yprov4wms.ml.card",
                      "yprov4wms.ml.crate", "yprov4wms.export"} & set(mine)))
        """
    )
    assert done.stdout == "[]\n", done.stderr


def test_a_run_that_is_left_open_gets_it_at_the_exit(script, tmp_path):
    pytest.importorskip("pyarrow")
    done = script(
        """
        ml.start_run("digits", provenance_save_dir="prov", metrics_file_type="parquet")
        ml.log_metric("m", 1.0)
        sys.exit(3)
        """
    )
    assert (done.returncode, done.stderr) == (3, "")
    assert names(tmp_path / "prov/digits_0") == [
        ".yprov4wms-run", "metrics.parquet", "prov_digits_GR0_0.json"
    ]  # fmt: skip


# -- readers -----------------------------------------------------------------------


def test_folder_and_products_are_one_child_run(tmp_path):
    run = a_run(provenance_save_dir="prov")
    ml.end_run()
    product = tmp_path / "prov/digits_0"
    places = [run.folder.location, product, product / "prov_digits_GR0_0.json", tmp_path / "prov"]
    for place in places:
        (child,) = readers.read(place)
        assert (child.dialect, child.id, child.complete) == ("yprov4wms-ml", run.id, True)


def test_products_alone_are_a_child_run_too(tmp_path):
    run = a_run(provenance_save_dir="prov")
    ml.end_run()
    Path(run.folder.location).rename(tmp_path / "gone")
    for place in ("prov", "prov/digits_0"):
        (child,) = readers.read(place)
        assert (child.id, child.complete) == (run.id, True)
    # As a copy without hidden files has it.
    (tmp_path / "prov/digits_0/.yprov4wms-run").unlink()
    (child,) = readers.read(tmp_path / "prov/digits_0")
    assert (child.dialect, child.id) == ("yprov4wms-ml", run.id)


def test_a_large_document_is_known_by_its_beginning(tmp_path):
    with ml.start_run("digits", provenance_save_dir="prov"):
        for number in range(2000):
            ml.log_param(f"p{number}", number)
    path = tmp_path / "prov/digits_0/prov_digits_GR0_0.json"
    assert b"yprov4wms:MLRun" not in path.read_bytes()[: 1 << 16]
    (child,) = readers.read(path)
    assert child.dialect == "yprov4wms-ml"


def test_what_a_killed_run_left_is_that_run(tmp_path, script):
    (tmp_path / "a").write_text("a")
    script(
        """
        ml.start_run("digits", provenance_save_dir="prov")
        ml.log_artifact("a", "a", log_copy_in_prov_directory=True)
        os.kill(os.getpid(), 9)
        """
    )
    product = tmp_path / "prov/digits_0"
    assert names(product) == [".yprov4wms-run", "artifacts_GR0"]
    (child,) = readers.read(product)
    (folder,) = (path for path in (tmp_path / ".yprov").iterdir() if (path / "events").is_dir())
    assert (child.id, child.complete) == (folder.name, False)
    (folder / "events").rename(folder / "gone")
    with pytest.raises(ReadError, match="left no document here"):
        readers.read(product)


def test_runs_of_yprov4ml_beside_ours_are_read_by_their_reader(tmp_path):
    from tests.yprov4wms.ml.readers.runs import PIDS, document

    run = a_run(provenance_save_dir="prov")
    ml.end_run()
    other = tmp_path / "prov/digits_1"
    other.mkdir()
    content = document("digits", 1, 1, 0, 60, PIDS[0])
    (other / "prov_digits_GR1_1.json").write_text(json.dumps(content))
    found = {child.dialect: child.id for child in readers.read("prov")}
    assert found == {"yprov4wms-ml": run.id, "yprov4ml": PIDS[0]}
    assert [child.id for child in readers.read(other)] == [PIDS[0]]


# -- what stops it -----------------------------------------------------------------


def ended(run) -> MLRunEnded:
    found = replay(RunFolder(run.folder.location))
    assert found.problems == []
    return found.end


@pytest.mark.parametrize("form", ["netcdf", "zarr", "parquet"])
def test_a_missing_library_is_one_warning_and_the_rest_is_made(monkeypatch, form):
    missing = {"netcdf": "netCDF4", "zarr": "zarr", "parquet": "pyarrow"}[form]
    monkeypatch.setitem(sys.modules, missing, None)
    run = a_run(metrics_file_type=form)
    with pytest.warns(ml.RecordingWarning, match=rf"pip install 'yprov4wms\[{form}\]'") as told:
        ml.end_run(create_card=True)
    assert len(told) == 1
    assert {"prov.json", "card.md"} <= set(names(run.folder.location))
    assert ended(run).status is Status.COMPLETED


def test_without_graphviz_there_is_one_warning_and_no_picture(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    run = a_run()
    with pytest.warns(ml.RecordingWarning, match=r"prov\.svg.*Graphviz is not installed") as told:
        ml.end_run(create_graph=True, create_svg=True)
    assert len(told) == 1
    assert "prov.dot" in names(run.folder.location)
    assert "prov.svg" not in names(run.folder.location)


def test_under_strict_it_raises(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("YPROV_STRICT", "yes")
    a_run()
    with pytest.warns(ml.RecordingWarning), pytest.raises(ml.RecordingError):
        ml.end_run(create_svg=True)


@pytest.mark.parametrize("what", ["file", "full", "name"])
def test_a_folder_that_cannot_be_written_is_one_warning(monkeypatch, tmp_path, what):
    place = tmp_path / "prov"
    if what == "file":
        place.write_text("")
    if what == "full":
        place = Path("/dev/full/prov")
    run = ml.start_run("x" * (300 if what == "name" else 1), provenance_save_dir=place)
    ml.log_metric("m", 1.0)
    with pytest.warns(ml.RecordingWarning, match="provenance_save_dir") as told:
        ml.end_run(create_card=True)
    assert len(told) == 1
    assert {"prov.json", "card.md"} <= set(names(run.folder.location))
    assert ended(run).status is Status.COMPLETED


def test_a_full_disk_at_the_end_loses_nothing_of_the_record(monkeypatch, script, tmp_path):
    done = script(
        """
        from yprov4wms import store
        def full(*args):
            raise OSError(28, "No space left on device")
        run = ml.start_run("x", metrics_file_type="csv")
        ml.log_metric("m", 1.0)
        from yprov4wms.ml import document, formats, products
        document.write_atomically = products.write_atomically = full
        formats.os.replace = full
        ml.end_run(create_graph=True, create_card=True, crate_ro_crate=True)
        print("went on")
        """
    )
    assert (done.returncode, done.stdout) == (0, "went on\n")
    assert done.stderr.count("RecordingWarning") == 1
    assert "prov.json: OSError: [Errno 28] No space left on device" in done.stderr
    assert "and 2 more" in done.stderr
    (folder,) = (path for path in (tmp_path / ".yprov").iterdir() if (path / "events").is_dir())
    assert names(folder) == ["events", "metrics"]
    found = replay(RunFolder(str(folder)))
    assert found.end is not None
    assert found.end.series[0].last == 1.0


@pytest.mark.parametrize("product", ["_graph", "_card", "_crate", "_document"])
def test_a_fault_of_ours_in_one_leaves_the_others(monkeypatch, product):
    def broken(self):
        raise ZeroDivisionError("ours")

    monkeypatch.setattr(products._Place, product, broken)
    run = a_run(provenance_save_dir="prov")
    with pytest.warns(ml.RecordingWarning, match="ZeroDivisionError: ours"):
        ml.end_run(create_graph=True, create_card=True, crate_ro_crate=True)
    there = {name.rpartition(".")[2] for name in names("prov/digits_0")} - {"yprov4wms-run"}
    made = {"_graph": "dot", "_card": "md", "_crate": "zip", "_document": "json"}
    # The graph is one of the document.
    lost = {made[product], "dot"} if product == "_document" else {made[product]}
    assert there == set(made.values()) - lost
    assert Path(run.folder.document).exists()


# -- ranks -------------------------------------------------------------------------

RANK = f"""
import os, sys, time
sys.path.insert(0, {SOURCE!r})
from yprov4wms import ml
options = eval(os.environ["OPTIONS"])
run = ml.start_run("digits", **options.pop("start", {{}}))
ml.log_metric("loss", float(run.rank), "training", 0)
print(run.folder.location, flush=True)
sys.stdin.readline()
ml.end_run(**options)
"""


class Ranks:
    """Processes of one run that end when they are told to."""

    def __init__(self, tmp_path: Path, size: int = 2) -> None:
        self.size, self.tmp_path = size, tmp_path
        self.processes: dict[int, subprocess.Popen[str]] = {}
        self.folder = ""

    def start(self, rank: int, **options: object) -> None:
        place = {"RANK": str(rank), "WORLD_SIZE": str(self.size), "MASTER_PORT": "29533"}
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(RANK)],
            env={**os.environ, **place, "OPTIONS": repr(options)},
            cwd=self.tmp_path,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.processes[rank] = process
        assert process.stdout is not None
        self.folder = process.stdout.readline().strip()

    def let_end(self, *ranks: int) -> list[str]:
        """All at once; what each left on stderr."""
        for rank in ranks:
            stdin = self.processes[rank].stdin
            assert stdin is not None
            stdin.write("\n")
            stdin.flush()
        return [self.processes[rank].communicate(timeout=60)[1] for rank in ranks]

    def ended_in_document(self, path: Path | str | None = None) -> list[str]:
        """The ranks that have an end in it."""
        document = read(path or f"{self.folder}/prov.json")
        return [
            record["yprov:global_rank"]
            for record in document["activity"].values()
            if "yprov:global_rank" in record and "prov:endTime" in record
        ]


@pytest.fixture
def ranks(tmp_path: Path):
    made = Ranks(tmp_path)
    yield made
    for process in made.processes.values():
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def test_the_last_rank_makes_what_rank_0_asked_for(ranks, tmp_path):
    folder = {"provenance_save_dir": "prov"}
    ranks.start(0, start=folder, create_card=True, create_graph=True)
    ranks.start(1, start=folder)
    assert ranks.let_end(0) == [""]
    # Rank 0 does not rely on the others.
    product = tmp_path / "prov/digits_0"
    made = {"card.md", "prov_digits_GR0_0.json", "prov_digits_GR0_0.dot"}
    assert set(names(product)) == made | {".yprov4wms-run"}
    document = product / "prov_digits_GR0_0.json"
    assert ranks.ended_in_document(document) == ["0"]
    card = (product / "card.md").read_text()
    assert ranks.let_end(1) == [""]
    assert ranks.ended_in_document(document) == ["0", "1"]
    assert ranks.ended_in_document() == ["0", "1"]
    assert (product / "card.md").read_text() != card
    assert "**completed**" in (product / "card.md").read_text()
    assert names(tmp_path / "prov") == ["digits_0"]


def test_another_rank_leaves_it_to_those_that_live(ranks):
    ranks.start(0)
    ranks.start(1, create_card=True)
    assert ranks.let_end(1) == [""]
    assert not Path(ranks.folder, "prov.json").exists()
    assert ranks.let_end(0) == [""]
    assert ranks.ended_in_document() == ["0", "1"]
    assert Path(ranks.folder, "card.md").exists()


def test_a_killed_rank_is_not_waited_for(ranks):
    ranks.start(0)
    ranks.start(1)
    ranks.processes[0].send_signal(signal.SIGKILL)
    ranks.processes[0].wait()
    assert ranks.let_end(1) == [""]
    assert ranks.ended_in_document() == ["1"]
    (root,) = (
        r for r in read(f"{ranks.folder}/prov.json")["activity"].values()
        if r["yprov4wfs:level"] == "2"
    )  # fmt: skip
    assert root["yprov4wfs:status"] == "failed"


@pytest.mark.parametrize("attempt", range(3))
def test_ranks_that_end_at_once_leave_one_whole_document(tmp_path, ranks, attempt):
    ranks.size = 4
    for rank in range(4):
        ranks.start(rank, create_card=True)
    assert ranks.let_end(0, 1, 2, 3) == [""] * 4
    assert ranks.ended_in_document() == ["0", "1", "2", "3"]
    assert check(Path(ranks.folder, "prov.json").read_bytes()) == []
    left = [name for name in names(ranks.folder) if name.startswith(".")]
    assert left == [".products"]


def test_ranks_of_a_store_at_a_url(ranks, tmp_path):
    """A URL that is a folder here, so that several processes see it."""
    start = {"store": f"local://{tmp_path}/url", "provenance_save_dir": str(tmp_path / "prov")}
    ranks.start(0, start=start)
    ranks.start(1, start=start, create_card=True)
    assert ranks.let_end(1) == [""]
    assert ranks.let_end(0) == [""]
    assert names(tmp_path / "prov") == ["digits_0"]
    document = tmp_path / "prov/digits_0/prov_digits_GR0_0.json"
    assert ranks.ended_in_document(document) == ["0", "1"]
    assert (tmp_path / "prov/digits_0/card.md").exists()


def test_an_older_state_replaces_no_newer_one(tmp_path, monkeypatch):
    run = a_run(rank=0)
    ml.end_run()
    folder = RunFolder(run.folder.location)
    before = Path(folder.document).stat().st_mtime_ns
    wish = products.Wish(target=folder.location, document=True)
    assert products._in_turn(folder, run.writer, 0, wish) == []
    assert Path(folder.document).stat().st_mtime_ns == before  # nothing is new
    now = _turns.state(folder)
    later = {name: size + 100 for name, size in now.items()}
    _turns.note(folder, later, [])
    assert products._in_turn(folder, run.writer, 0, wish) == []
    assert Path(folder.document).stat().st_mtime_ns == before
    _turns.note(folder, {name: size - 1 for name, size in now.items()}, [])
    assert products._in_turn(folder, run.writer, 0, wish) == []
    assert Path(folder.document).stat().st_mtime_ns > before


def test_a_rank_that_is_at_work_is_waited_for_but_not_for_ever(tmp_path, monkeypatch):
    folder = RunFolder(str(tmp_path / "run"))
    monkeypatch.setattr(_turns, "PATIENCE", 0.2)
    with _turns.held(folder):
        began = time.monotonic()
        with pytest.raises(OSError, match="another rank"), _turns.held(folder):
            pass
        assert time.monotonic() - began < 5
    with _turns.held(folder):
        pass


def test_a_rank_of_another_host_is_not_waited_for(tmp_path):
    run = a_run(rank=1)
    events = Path(run.folder.events)
    mine = f"{run.writer}.jsonl"
    (events / "elsewhere-1-1.jsonl").write_bytes((events / mine).read_bytes())
    ml.end_run()
    assert Path(run.folder.document).exists()
