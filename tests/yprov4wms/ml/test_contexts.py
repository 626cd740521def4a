"""Contexts: what is logged in a block belongs to it, and blocks nest."""

from __future__ import annotations

import asyncio
import json
import threading

import pytest

from yprov4wms import ml
from yprov4wms.ml import metrics
from yprov4wms.prov.rules import check


@pytest.fixture
def document(monkeypatch):
    """Labels and records of a run's activities, by their ids."""
    monkeypatch.setenv("YPROV_EXPORT", "end")

    def read(run):
        content = run.folder.read("prov.json")
        assert check(content) == []
        return json.loads(content)

    return read


def contexts(found):
    """By label: what each context is a part of, and its times."""
    activities = found["activity"]
    wholes = {
        link["prov:informed"]: link["prov:informant"] for link in found["wasInformedBy"].values()
    }
    return {
        record["prov:label"]: (
            activities[wholes[name]]["prov:label"],
            record.get("prov:startTime"),
            record.get("prov:endTime"),
        )
        for name, record in activities.items()
        if record["yprov4wfs:level"] == "3"
    }


def test_blocks_nest_and_have_a_beginning_and_an_end(document):
    with ml.start_run("x", name="run") as run:
        with ml.log_context("fold1"):
            for _ in range(2):
                with ml.log_context("training"):
                    ml.log_metric("loss", 1.0)
                    ml.log_param("lr", 0.1)
            ml.log_param("after", 1)
        with ml.log_context("fold2"), ml.log_context("training"):
            ml.log_metric("loss", 2.0)
        ml.log_metric("loss", 3.0)
    found = document(run)
    times = contexts(found)
    assert set(times) == {"fold1", "fold2", "training"}  # of two trainings one is seen here
    assert times["fold1"][0] == times["fold2"][0] == "run"
    assert all(began and began <= ended for _, began, ended in times.values())
    assert times["fold1"][2] <= times["fold2"][1]
    values = {s.context: list(s.column.values) for s in metrics.read(run.folder.location)}
    assert values == {"fold1/training": [1.0, 1.0], "fold2/training": [2.0], None: [3.0]}
    params = {
        record["prov:label"]: record.get("yprov:context")
        for record in found["entity"].values()
        if record["prov:type"] == "provml:HyperParameter"
    }
    assert params == {"lr": "fold1/training", "after": "fold1"}


def test_a_context_may_name_what_it_is_a_part_of(document):
    with ml.start_run("x", name="run") as run:
        ml.log_context("fine", "training")
        ml.log_metric("loss", 1.0, context="fine")
        ml.log_context("sensors", source_of_data="a station")
    times = contexts(document(run))
    assert {label: whole for label, (whole, _, _) in times.items()} == {
        "fine": "training",
        "training": "run",
        "sensors": "run",
    }
    # What was only named lasted until the run ended.
    assert len({ended for _, _, ended in times.values()}) == 1


def test_an_exception_ends_the_block_and_the_run(document):
    run = ml.start_run("x")
    with pytest.raises(ValueError, match="bad"), run, ml.log_context("training"):
        raise ValueError("bad")
    assert contexts(document(run))["training"][2] is not None


def test_threads_and_tasks_have_contexts_of_their_own(document):
    def work(name):
        with ml.log_context(name):
            barrier.wait(10)
            ml.log_metric("value", 1.0)
            barrier.wait(10)

    async def later(name):
        with ml.log_context(name):
            await asyncio.sleep(0.01)
            ml.log_metric("value", 1.0)

    async def both():
        await asyncio.gather(later("c"), later("d"))

    barrier = threading.Barrier(2)
    with ml.start_run("x") as run:
        threads = [threading.Thread(target=work, args=(name,)) for name in "ab"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        asyncio.run(both())
        ml.log_metric("value", 2.0)
    found = metrics.read(run.folder.location)
    assert {s.context: s.column.values[0] for s in found} == {
        **dict.fromkeys("abcd", 1.0),
        None: 2.0,
    }
    assert set(contexts(document(run))) == set("abcd")


def test_a_block_that_outlives_its_run_is_no_error():
    run = ml.start_run("x")
    with ml.log_context("training"):
        ml.end_run()
    assert run.ended
    with pytest.raises(RuntimeError):
        ml.log_context("more")


def test_a_context_needs_a_name():
    with ml.start_run("x"):
        with pytest.raises(ValueError, match="empty"):
            ml.log_context("")
        with pytest.raises(TypeError):
            ml.log_context(3)
