"""The card: what it says, and that nothing which was logged is read as Markdown."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yprov4wms import ml
from yprov4wms.events import (
    MLMetricDeclared,
    MLParam,
    MLRunEnded,
    MLRunStarted,
    Person,
    Status,
)
from yprov4wms.ml import card as cards
from yprov4wms.ml.card import card
from yprov4wms.replay import replay
from yprov4wms.run import MLRank, MLRun
from yprov4wms.store import RunFolder

MarkdownIt = pytest.importorskip("markdown_it").MarkdownIt


def of(run) -> str:
    return card(replay(run.folder), run.folder)


def rows(page: str, title: str) -> list[list[str]]:
    """A table's cells, as they are rendered."""
    html = rendered(page).partition(f"<h2>{title}</h2>")[2].partition("</table>")[0]
    found = re.findall(r"<tr>(.*?)</tr>", html, re.S)
    cells = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.S) for row in found]
    return [[_plain(cell) for cell in row] for row in cells]


def _plain(html: str) -> str:
    import html as library

    return library.unescape(re.sub(r"</?(code|p|h1|strong)>", "", html)).strip()


def rendered(page: str) -> str:
    return MarkdownIt("gfm-like", {"html": True, "linkify": False}).render(page)


def test_it_tells_of_all_that_was_logged(tmp_path):
    (tmp_path / "train.csv").write_bytes(b"abc")
    (tmp_path / "model.pt").write_bytes(b"m" * 2048)
    with ml.start_run("digits", name="mlp", seed=7) as run:
        ml.log_param("lr", 0.1)
        ml.log_param("layers", [64, 32], context="training")
        ml.log_param("best", 3, is_input=False)
        ml.log_dataset("train", "train.csv", context="training")
        for step, value in enumerate([0.5, 0.25, math.nan, 0.75]):
            ml.log_metric("loss", value, "training", step)
        ml.log_model("net", object(), path="model.pt")
        ml.log_artifact("table", "train.csv", is_input=True)
        for value in (10.0, 20.0, 30.0):
            run._value(("cpu_energy", None, "rapl"), value, None, 0, "J")
            run._value(("gpu_power", None, "nvml"), value, None, 0, "W")
            run._value(("emissions", None, "nvml"), value / 10, None, 0, "kg")
    page = of(run)
    assert page.startswith("# digits: mlp\n\n**completed** after ")
    assert f"`{run.id}`" in page
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert rows(page, "Parameters") == [
        ["name", "value", "context", ""],
        ["lr", "0.1", "", ""],
        ["layers", "[64,32]", "training", ""],
        ["best", "3", "", "found by the run"],
    ]
    assert rows(page, "Data sets")[1] == [
        "train", "training", "used", str(tmp_path / "train.csv"), "3 B", digest
    ]  # fmt: skip
    assert rows(page, "Models")[1][:5] == [
        "net", "made", "builtins.object", str(tmp_path / "model.pt"), "2.0 KiB"
    ]  # fmt: skip
    assert rows(page, "Metrics") == [
        ["metric", "context", "count", "first", "last", "min", "max"],
        ["loss", "training", "4", "0.5", "0.75", "0.25", "0.75"],
    ]
    assert rows(page, "Costs")[1:] == [
        ["cpu_energy", "rapl", "J", "", "", "60"],
        ["gpu_power", "nvml", "W", "20", "30", ""],
        ["emissions", "nvml", "kg", "", "", "3"],
    ]
    assert rows(page, "Files")[1][:2] == ["table", "used"]
    assert "packages</summary>" in page


def test_a_failure_is_told_with_its_error():
    with pytest.raises(ValueError, match="boom"), ml.start_run("x") as run:
        raise ValueError("boom ```\n# no heading\n````\n<script>alert(1)</script>")
    page = of(run)
    assert "**failed**" in page
    html = rendered(page)
    assert "<script>" not in html
    assert html.count("<h1>") == 1
    assert "# no heading" in html


def test_a_run_that_goes_on_has_no_end():
    run = ml.start_run("x")
    page = of(run)
    assert "**running**" in page
    assert "Ended" not in page
    ml.end_run()


def test_long_tables_and_values_are_cut_and_say_so():
    with ml.start_run("x") as run:
        for number in range(cards.ROWS + 20):
            ml.log_param(f"p{number}", "v" * 5000)
    page = of(run)
    assert "*20 more are in the document.*" in page
    assert len(rows(page, "Parameters")) == cards.ROWS + 1
    assert max(map(len, page.splitlines())) < 5000


def test_ranks_have_a_table_and_metrics_their_rank():
    start = MLRunStarted(
        experiment="x", time="2026-01-01T00:00:00.000000+00:00", writer="a", rank=0, world_size=2
    )
    other = MLRunStarted(experiment="x", time=start.time, writer="b", rank=1)
    end = MLRunEnded(status=Status.FAILED, time="2026-01-01T01:02:03.500000+00:00", error="E: x")
    run = MLRun(id="r", ranks=[MLRank(start, end), MLRank(other, lost=True)])
    page = card(run, RunFolder("/absent"))
    assert rows(page, "Ranks")[1:] == [
        ["0", "failed", "1 h 2 min 3.5 s", "E: x"],
        ["1", "ended without a word", "", ""],
    ]
    assert "2 of 2" in page


text = st.text(min_size=1, max_size=30)
marks = st.text("\\`*_{}[]()#+.!|~^$<>&-=:/@w1 \n\t", min_size=1, max_size=20)


@settings(max_examples=150)
@given(text | marks, text | marks, text | marks)
def test_whatever_is_logged_is_shown_as_it_is(name, value, context):
    head = {"writer": "w", "time": "2026-01-01T00:00:00.000000+00:00"}
    start = MLRunStarted(
        experiment=name, name=value, person=Person(name=context), command=[name], **head
    )
    run = MLRun(
        id="r",
        ranks=[MLRank(start)],
        params=[MLParam(name=name, value=value, context=context, **head)],
        metrics=[MLMetricDeclared(name=value, path="p", series=0, source=name, **head)],
    )
    page = card(run, RunFolder("/absent"))
    found = rows(page, "Parameters")
    assert len(found) == 2

    def shown(text: str) -> str:
        return " ".join(cards._CONTROL.sub("\ufffd", text).split())

    line = dict(zip(found[0], found[1], strict=True))
    assert line.get("name", "") == shown(name)
    assert line.get("value", "") == shown(value)
    assert line.get("context", "") == shown(context)
    html = rendered(page)
    assert re.findall(r"<(a|img|script|em|del|h[2-9])\b", html.replace("<h2>", "")) == []
