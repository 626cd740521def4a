"""Child documents of any dialect, and of none, inside a workflow's document."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from prov.model import ProvDocument
from tests.yprov4wms.prov.anything import CHILD
from tests.yprov4wms.prov.runs import (
    Document,
    all_by_label,
    by_label,
    content_of,
    folded,
    ml_run,
    related,
    sha,
    started,
    uris,
)

from yprov4wms import events as e
from yprov4wms.events import File, FileType, Status
from yprov4wms.prov.document import WorkflowDocument
from yprov4wms.prov.nesting import OWN_DIALECT
from yprov4wms.prov.rules import check
from yprov4wms.prov.vocabulary import ELEMENTS, run_namespace

TRAIN = "run:task_train.1"
NESTS = ["flatten", "bundle", "link"]
FIXTURES = Path(__file__).parents[3].parent / "shared" / "fixtures" / "child_runs"


def file(path: str, content: str = "1", **more: Any) -> File:
    return File(path=path, size=len(content), mtime_ns=7, sha256=sha(content), **more)


def attached(task: str = "train", dialect: str = OWN_DIALECT, child: str = CHILD) -> e.Event:
    document = File(path=f"children/{child}.json", size=9, sha256=sha(child))
    return e.ChildAttached(task=task, attempt=1, child=child, type=dialect, document=document)


def nested(
    content: bytes | dict[str, Any] | None,
    nest: str = "flatten",
    inputs: list[File] | None = None,
    outputs: list[File] | None = None,
    dialect: str = OWN_DIALECT,
    directory: str = "/w",
    login: str | None = "ada",
) -> Document:
    """The document of a run of one task with one child; it keeps the rules."""
    start = started(person=e.Person(login=login) if login else None)
    start.directory = directory
    told = [
        start,
        e.TaskStarted(task="train", attempt=1, inputs=inputs),
        attached(dialect=dialect),
        e.TaskEnded(task="train", attempt=1, status=Status.COMPLETED, outputs=outputs),
        e.RunEnded(status=Status.COMPLETED),
    ]
    if isinstance(content, dict):
        content = msgspec.json.encode(content)
    children = {} if content is None else {CHILD: content}
    written = content_of(folded(told), children, nest)
    assert [f"{p.rule}: {p.where}: {p.message}" for p in check(written)] == []
    found: Document = json.loads(written)
    return found


def note(found: Document) -> str | None:
    (entity,) = [v for v in found["entity"].values() if v["prov:type"] == "prov:Bundle"]
    said: str | None = entity.get("yprov4wms:note")
    return said


def makers(found: Document, entity: str) -> dict[str, bool]:
    """Who generated it, and whether there is a time."""
    return {
        record["prov:activity"]: "prov:time" in record
        for record in found["wasGeneratedBy"].values()
        if record["prov:entity"] == entity
    }


# -- our own dialect -----------------------------------------------------------------------


def test_a_file_that_the_child_and_its_task_share_is_one_entity() -> None:
    data, model = file("data.csv"), file("model.pt", "2")
    child = ml_run(CHILD, [file("/w/data.csv")], [file("/w/./x/../model.pt", "2")])
    found = nested(child, inputs=[data], outputs=[model])
    assert {"ml1:run", TRAIN} <= set(found["activity"])
    (entity,) = all_by_label(found, "model.pt")
    assert makers(found, entity) == {TRAIN: False, "ml1:context_training": True}
    assert {TRAIN, "ml1:run"} <= {
        who for who, what in related(found, "used") if what == by_label(found, "data.csv")
    }
    assert related(found, "wasInformedBy", "nested") == [("ml1:run", TRAIN)]
    assert ("ml1:run", "run:person") in related(found, "wasAssociatedWith")
    assert "ml1:person" not in found["agent"]  # it is the person of the workflow's run


def test_a_file_of_other_content_than_the_tasks_is_another_entity() -> None:
    child = ml_run(CHILD, [file("/w/data.csv", "old")], [file("/w/model.pt", "old")])
    found = nested(child, inputs=[file("data.csv")], outputs=[file("model.pt", "2")])
    assert makers(found, by_label(found, "model.pt")) == {TRAIN: True}
    assert len(all_by_label(found, "/w/data.csv")) == 1


def test_of_what_the_child_wrote_to_a_path_again_and_again_the_last_is_the_tasks() -> None:
    versions = [File(path="/w/model.pt", size=n, mtime_ns=n) for n in (1, 2, 3)]
    found = nested(ml_run(CHILD, [], versions), outputs=[File(path="model.pt", size=3, mtime_ns=3)])
    assert len(makers(found, by_label(found, "model.pt"))) == 2
    sizes = [found["entity"][v]["yprov4wms:size"]["$"] for v in all_by_label(found, "/w/model.pt")]
    assert sorted(sizes) == ["1", "2"]


def test_a_file_in_the_tasks_directories_is_shared_too() -> None:
    inside = File(path="in", type=FileType.DIRECTORY, mtime_ns=1, members=[file("a/data.csv")])
    outside = File(path="out", type=FileType.DIRECTORY, mtime_ns=1, members=[file("m.pt", "2")])
    child = ml_run(CHILD, [file("/w/in/a/data.csv")], [file("/w/out/m.pt", "2")])
    found = nested(child, inputs=[inside], outputs=[outside])
    assert ("ml1:run", by_label(found, "in/a/data.csv")) in related(found, "used")
    entity = by_label(found, "out/m.pt")
    assert makers(found, entity) == {TRAIN: False, "ml1:context_training": True}
    assert (by_label(found, "out"), entity) in related(found, "hadMember")


def test_a_file_that_the_engine_took_away_is_known_by_where_it_was_left() -> None:
    taken = file("store:1", "2", origin="/scratch/m.pt")
    folder = File(path="store:2", type=FileType.DIRECTORY, members=[file("n.pt", "3")])
    folder.origin = "/scratch/out"
    wrote = [file("/scratch/m.pt", "2"), file("/scratch/out/n.pt", "3")]
    found = nested(ml_run(CHILD, [], wrote), outputs=[taken, folder])
    for label in ("store:1", "store:2/n.pt"):
        first, second = sorted(makers(found, by_label(found, label)))
        assert (first.partition(":")[0], second) == ("ml1", TRAIN)


@pytest.mark.parametrize(
    ("directory", "path", "recorded"),
    [
        ("/", "/data/m.pt", "data/m.pt"),
        ("/w/", "/w/m.pt", "m.pt"),
        ("/w", "/elsewhere/m.pt", "/elsewhere/m.pt"),
        ("/w", "s3://bucket/m.pt", "s3://bucket/m.pt"),
        ("", "/w/m.pt", "/w/m.pt"),
    ],
)
def test_paths_of_a_child_are_told_from_where_the_run_works(
    directory: str, path: str, recorded: str
) -> None:
    found = nested(ml_run(CHILD, [], [file(path)]), outputs=[file(recorded)], directory=directory)
    assert len(makers(found, by_label(found, recorded))) == 2


def test_a_file_that_two_children_made_is_made_by_the_first() -> None:
    model = file("/w/model.pt")
    other = CHILD[:-1] + "1"
    told = [
        started(),
        attached(),
        attached(child=other),
        e.TaskEnded(task="train", attempt=1, status=Status.COMPLETED, outputs=[file("model.pt")]),
        e.RunEnded(status=Status.COMPLETED),
    ]
    children = {CHILD: ml_run(CHILD, [], [model]), other: ml_run(other, [], [model])}
    content = content_of(folded(told), children)
    assert check(content) == []
    found = json.loads(content)
    assert makers(found, by_label(found, "model.pt")) == {
        TRAIN: False,
        "ml1:context_training": True,
    }
    assert makers(found, by_label(found, "/w/model.pt")) == {"ml2:context_training": True}


def test_a_child_that_two_tasks_name_is_there_twice_and_shares_no_identifier() -> None:
    told = [started(), attached("a"), attached("b")]
    content = content_of(folded(told), {CHILD: ml_run(CHILD)})
    assert check(content) == []
    found = json.loads(content)
    assert found["prefix"]["ml1"] != found["prefix"]["ml2"]
    elements = sum(len(found[section]) for section in ELEMENTS)
    assert len(uris(found)) == elements


@pytest.mark.parametrize("nest", ["bundle", "link"])
def test_one_activity_stands_for_a_child_that_is_not_flattened(nest: str) -> None:
    child = ml_run(CHILD, [file("/w/data.csv")], [file("/w/model.pt", "2")])
    found = nested(child, nest, [file("data.csv")], [file("model.pt", "2")])
    (summary,) = [k for k, v in found["activity"].items() if v["prov:type"] == "yprov4wms:MLRun"]
    values = found["activity"][summary]
    assert values["yprov4wfs:level"] == "2"
    assert values["yprov4wfs:status"] == "completed"
    assert values["prov:label"] == "digits"
    assert values["prov:startTime"] < values["prov:endTime"]
    assert values["yprov4wms:child_run"] == CHILD
    assert related(found, "wasInformedBy", "nested") == [(summary, TRAIN)]
    assert (summary, "run:person") in related(found, "wasAssociatedWith")
    assert ("run:" + values["yprov4wms:document"][4:], TRAIN) in related(found, "wasGeneratedBy")
    made = [entity for entity, who in related(found, "wasGeneratedBy") if who == summary]
    used = [entity for who, entity in related(found, "used") if who == summary]
    derived = related(found, "wasDerivedFrom")
    assert [(by_label(found, "model.pt"), made[0])] == [p for p in derived if p[1] in made]
    assert [(used[0], by_label(found, "data.csv"))] == [p for p in derived if p[0] in used]
    assert makers(found, by_label(found, "model.pt")) == {TRAIN: True}


def test_in_a_bundle_a_child_is_untouched() -> None:
    child = ml_run(CHILD, [file("/w/data.csv")], [file("/w/model.pt", "2")])
    found = nested(child, "bundle", [file("data.csv")], [file("model.pt", "2")])
    ((name, content),) = found["bundle"].items()
    assert content == json.loads(child)
    assert found["entity"][name]["prov:type"] == "prov:Bundle"
    assert note(found) is None


def test_a_link_says_where_the_document_is_and_what_it_holds() -> None:
    found = nested(ml_run(CHILD), "link")
    assert "bundle" not in found
    (entity,) = [v for v in found["entity"].values() if v["prov:type"] == "prov:Bundle"]
    assert entity["yprov4wms:path"] == entity["dcterms:identifier"] == f"children/{CHILD}.json"
    assert entity["yprov4wms:sha256"] == sha(CHILD)
    assert entity["yprov4wms:size"] == {"$": "9", "type": "xsd:int"}
    assert entity["yprov4wms:dialect"] == OWN_DIALECT


def test_a_child_without_an_end_says_so() -> None:
    told = attached()
    told.complete = False  # type: ignore[attr-defined]
    content = content_of(folded([started(), told]), {CHILD: ml_run(CHILD, complete=False)})
    assert check(content) == []
    found = json.loads(content)
    assert found["activity"]["ml1:run"]["yprov4wfs:status"] == "running"
    assert '"yprov4wms:complete":false' in content.decode()


# -- documents that are gone, or none ------------------------------------------------------


@pytest.mark.parametrize("nest", NESTS)
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "gone"),
        (b"", "not a PROV-JSON document"),
        (b"\xff\xfe{}", "not a PROV-JSON document"),
        (b'{"entity":{"x:a":', "not a PROV-JSON document"),
        (b"[]", "no JSON object"),
        (b"null", "no JSON object"),
        (b'{"entity":[]}', "section entity is no object"),
        (b'{"used":1}', "section used is no object"),
        (b'{"prefix":null}', "section prefix is no object"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "not a PROV-JSON document"),
    ],
)
def test_what_is_no_document_is_linked_with_a_note_and_the_export_goes_on(
    nest: str, content: bytes | None, said: str
) -> None:
    found = nested(content, nest, outputs=[file("model.pt")])
    assert said in str(note(found))
    assert len([a for a in found["activity"].values() if a["yprov4wfs:level"] == "2"]) == 1
    assert makers(found, by_label(found, "model.pt")) == {TRAIN: True}
    assert "bundle" not in found


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (FileNotFoundError(2, "No such file"), "the document is gone from the store"),
        (PermissionError(13, "Permission denied"), "cannot be read: Permission denied"),
        (ValueError("is not the one that was collected"), "is not the one that was collected"),
    ],
)
def test_a_document_that_cannot_be_read_is_linked_with_the_reason(
    error: Exception, said: str
) -> None:
    def read(child: e.ChildAttached) -> bytes:
        raise error

    told = [started(), attached(), e.RunEnded(status=Status.COMPLETED)]
    writer = WorkflowDocument(folded(told), read).build()
    from tests.yprov4wms.prov.runs import text_of

    content = text_of(writer)
    assert check(content) == []
    assert said in str(note(json.loads(content)))


@pytest.mark.parametrize("nest", NESTS)
@pytest.mark.parametrize("depth", [900, 960, 970, 980, 985, 990, 995, 9000])
def test_values_as_deep_as_can_be_read_do_no_harm(nest: str, depth: int) -> None:
    deep = b'{"a":' * depth + b"1" + b"}" * depth
    head = b'{"prefix":{"x":"http://x/"},"activity":{"x:run":{}},"entity":{"x:e":{"x:deep":'
    nested(head + deep + b"}}}", nest)


@pytest.mark.parametrize(
    "damage",
    [
        {"a": {}},
        {"entity": {"x:e": {"prov:label": None}}},
        {"used": {"_:u": {"prov:entity": "x:e"}}},
    ],
    ids=str,
)
def test_a_damaged_document_of_our_own_dialect_is_linked_where_a_bundle_is_asked_for(
    damage: dict[str, Any],
) -> None:
    content = json.loads(ml_run(CHILD))
    for section, records in damage.items():
        content[section] = {**content.get(section, {}), **records}
    found = nested(content, "bundle")
    assert "not put in a bundle" in str(note(found))
    assert "bundle" not in found


# -- any dialect ---------------------------------------------------------------------------

PREFIXES = {"x": "http://x/", "prov": "http://www.w3.org/ns/prov#"}
BARE = {"prefix": PREFIXES, "activity": {"x:run": {}}}


def foreigner(**sections: Any) -> dict[str, Any]:
    return {**BARE, **sections}


def test_values_of_other_dialects_become_those_that_all_readers_know() -> None:
    values = {
        "x:bare": 1,
        "x:float": 0.5,
        "x:null": None,
        "x:bool": True,
        "x:list": [1, "a", None, [2]],
        "x:object": {"a": 1},
        "x:int": {"$": 5, "type": "xsd:int"},
        "x:integer": {"$": "5", "type": "xsd:integer"},
        "x:big": {"$": str(2**70), "type": "xsd:integer"},
        "x:floats": {"$": "1e3", "type": "xsd:float"},
        "x:nan": {"$": "NaN", "type": "xsd:double"},
        "x:nonsense": {"$": "five", "type": "xsd:int"},
        "x:boolean": {"$": "true", "type": "xsd:boolean"},
        "x:name": {"$": "x:other thing", "type": "xsd:QName"},
        "x:time": {"$": "2026-03-01T10:00:00Z", "type": "xsd:dateTime"},
        "x:naive": {"$": "2026-03-01T10:00:00", "type": "xsd:dateTime"},
        "x:lang": {"$": "chat", "lang": "fr"},
        "x:own": {"$": "1", "type": "x:unit"},
        "x:untyped": {"$": "1"},
        "no prefix": "v",
        "y:undeclared": "v",
        "prov:startedAtTime": "2026-03-01T10:00:00",
    }
    found = nested(foreigner(entity={"x:e": values}), dialect="prov")
    entity = {
        k.rpartition(":")[2]: v for k, v in found["entity"]["ml1:x_e-" + _hash("x:e")].items()
    }
    expected = {
        "bare": {"$": "1", "type": "xsd:int"},
        "float": {"$": "0.5", "type": "xsd:double"},
        "bool": True,
        "list": [{"$": "1", "type": "xsd:int"}, "a", "[2]"],
        "object": '{"a":1}',
        "int": {"$": "5", "type": "xsd:int"},
        "integer": {"$": "5", "type": "xsd:int"},
        "big": str(2**70),
        "floats": {"$": "1000.0", "type": "xsd:double"},
        "nan": {"$": "NaN", "type": "xsd:double"},
        "nonsense": "five",
        "boolean": True,
        "time": {"$": "2026-03-01T10:00:00.000000+00:00", "type": "xsd:dateTime"},
        "naive": "2026-03-01T10:00:00",
        "lang": {"$": "chat", "lang": "fr"},
        "own": {"$": "1", "type": "ml1_x:unit"},
        "untyped": "1",
        "y_undeclared": "v",
        "prov_startedAtTime": "2026-03-01T10:00:00",
        "label": "x:e",
        "original_id": "x:e",
    }
    assert entity | expected == entity
    assert "null" not in entity
    assert entity["name"]["type"] == "prov:QUALIFIED_NAME"


def _hash(text: str) -> str:
    from yprov4wms.prov.values import local_name

    return local_name(text).rpartition("-")[2]


def test_labels_and_types_become_one_plain_string_and_the_others_are_kept() -> None:
    found = nested(
        foreigner(
            entity={
                "x:a": {
                    "prov:label": [{"$": "one", "lang": "en"}, "two"],
                    "prov:type": [{"$": "prov:Plan", "type": "prov:QUALIFIED_NAME"}, "x:T", "z:U"],
                },
                "x:b": [{"prov:label": "b", "x:k": "1"}, {"x:k": "2", "x:l": "3"}],
            }
        ),
        dialect="prov",
    )
    one = found["entity"][by_label(found, "one")]
    assert one["prov:type"] == "prov:Plan"
    assert one["yprov4wms:further_type"] == ["x:T", "z:U"]
    assert one["yprov4wms:further_label"] == [{"$": "one", "lang": "en"}, "two"]
    two = found["entity"][by_label(found, "b")]
    assert (two["ml1_x:k"], two["ml1_x:l"]) == (["1", "2"], "3")


def test_times_without_a_zone_are_kept_as_they_are_and_others_as_times() -> None:
    found = nested(
        foreigner(
            activity={
                "x:run": {
                    "prov:label": "run",
                    "prov:startTime": "2026-03-01T12:00:00+02:00",
                    "prov:endTime": "2026-03-01 10:00:01",
                },
                "x:back": {
                    "prov:label": "back",
                    "prov:startTime": "2026-03-01T10:00:00Z",
                    "prov:endTime": "2026-03-01T09:00:00Z",
                },
            }
        ),
        dialect="prov",
    )
    run = found["activity"][by_label(found, "run", "activity")]
    assert run["prov:startTime"] == "2026-03-01T10:00:00.000000+00:00"
    assert run["yprov4wms:prov_endTime"] == "2026-03-01 10:00:01"
    assert "prov:endTime" not in run
    back = found["activity"][by_label(found, "back", "activity")]
    assert "prov:endTime" not in back
    assert back["yprov4wms:prov_endTime"].startswith("2026-03-01T09")


def test_relations_that_prov_does_not_allow_become_influences_that_say_what_they_were() -> None:
    found = nested(
        foreigner(
            activity={"x:run": {}, "x:epoch": {}},
            entity={"x:e": {}},
            wasStartedBy={"_:1": {"prov:activity": "x:epoch", "prov:trigger": "x:run"}},
            wasGeneratedBy={
                "_:2": {"prov:entity": "x:e", "prov:activity": "x:run"},
                "_:3": {"prov:entity": "x:e", "prov:activity": "x:epoch", "prov:time": "soon"},
                "_:4": {"prov:entity": "x:e", "prov:activity": "x:unknown"},
                "_:5": {"prov:entity": "x:e"},
            },
        ),
        dialect="prov",
    )
    told = [r["yprov4wms:original_relation"] for r in found["wasInfluencedBy"].values()]
    assert told == ["wasGeneratedBy"]
    ((_, start),) = found["wasStartedBy"].items()
    assert start == {
        "prov:activity": by_label(found, "x:epoch", "activity"),
        "prov:starter": by_label(found, "x:run", "activity"),
    }
    (child,) = [v for v in found["entity"].values() if v["prov:type"] == "prov:Bundle"]
    assert child["yprov4wms:repaired"] == [
        "1 x wasGeneratedBy that PROV does not allow: an influence",
        "2 x wasGeneratedBy without both its ends: left out",
        "1 x wasStartedBy whose trigger is an activity: prov:starter",
    ]
    assert len(makers(found, by_label(found, "x:e"))) == 1
    run = by_label(found, "x:run", "activity")
    assert (run, TRAIN) in related(found, "wasInformedBy", "nested")
    levels = [k for k, v in found["activity"].items() if v.get("yprov4wfs:level") == "2"]
    assert levels == [run]


def test_a_start_by_an_activity_alone_is_kept() -> None:
    start = {"prov:activity": "x:epoch", "prov:starter": "x:run", "prov:time": "2026-01-01T00:00Z"}
    end = {"prov:activity": "x:epoch", "prov:ender": "x:run"}
    found = nested(
        foreigner(
            activity={"x:run": {}, "x:epoch": {}},
            wasStartedBy={"_:1": start},
            wasEndedBy={"_:2": end},
        ),
        dialect="prov",
    )
    run, epoch = (by_label(found, f"x:{name}", "activity") for name in ("run", "epoch"))
    ((_, started_by),) = found["wasStartedBy"].items()
    assert (started_by["prov:activity"], started_by["prov:starter"]) == (epoch, run)
    assert started_by["prov:time"] == "2026-01-01T00:00:00.000000+00:00"
    assert list(found["wasEndedBy"].values()) == [{"prov:activity": epoch, "prov:ender": run}]
    assert (epoch, run) in related(found, "wasInformedBy")


def test_the_only_root_of_a_dialect_without_levels_is_the_ml_run() -> None:
    found = nested(foreigner(), dialect="prov")
    run = found["activity"][by_label(found, "x:run", "activity")]
    assert (run["yprov4wfs:level"], run["prov:type"]) == ("2", "yprov4wms:MLRun")


def test_what_a_child_ties_to_nothing_is_tied_to_its_document() -> None:
    found = nested(foreigner(entity={"x:e": {}, "x:f": {}}, agent={"x:who": {}}), dialect="prov")
    document = by_label(found, f"children/{CHILD}.json")
    tied = {entity for whole, entity in related(found, "hadMember") if whole == document}
    assert tied == {by_label(found, "x:e"), by_label(found, "x:f")}
    assert related(found, "wasAttributedTo") == [(document, by_label(found, "x:who", "agent"))]


def test_one_identifier_for_an_entity_and_an_activity_becomes_two() -> None:
    found = nested(
        foreigner(
            entity={"x:run": {"prov:label": "thing"}},
            activity={"x:run": {"prov:label": "doing"}},
            used={"_:1": {"prov:activity": "x:run", "prov:entity": "x:run"}},
        ),
        dialect="prov",
    )
    assert (by_label(found, "doing", "activity"), by_label(found, "thing")) in related(
        found, "used"
    )


def test_names_of_the_ecosystem_stay_whatever_their_prefix_was_bound_to() -> None:
    child = foreigner(
        prefix={
            "yprov": "https://github.com/HPCI-Lab/yProv4ML",
            "provml": "prov-ml",
            "x": "http://x/",
        },
        entity={
            "x:p": {"prov:type": "provml:HyperParameter", "yprov:source": "s", "prov:label": "p"}
        },
    )
    found = nested(child, dialect="prov")
    entity = found["entity"][by_label(found, "p")]
    assert entity["prov:type"] == "provml:HyperParameter"
    assert entity["yprov:source"] == "s"


def test_a_prefix_that_means_something_else_is_another() -> None:
    child = foreigner(
        prefix={**PREFIXES, "dcterms": "http://elsewhere/"},
        entity={"x:p": {"dcterms:identifier": "s", "prov:label": "p"}},
    )
    found = nested(child, dialect="prov")
    assert found["entity"][by_label(found, "p")]["ml1_dcterms:identifier"] == "s"
    assert found["prefix"]["ml1_dcterms"] == "http://elsewhere/"


def test_a_document_that_cannot_keep_the_rules_is_linked_and_says_why() -> None:
    task = {"prov:type": "yprov4wms:TaskAttempt", "yprov4wfs:level": "1"}
    found = nested(foreigner(activity={"x:task": task}), dialect="prov")
    assert str(note(found)).startswith("not flattened: activity ml1:x_task")
    assert "plan" in str(note(found))
    assert not [k for k in found["activity"] if k.startswith("ml1:")]


def test_a_document_without_activities_is_linked_and_says_so() -> None:
    found = nested({"prefix": PREFIXES, "entity": {"x:e": {}}}, dialect="prov")
    assert note(found) == "not flattened: it has no activity"


def test_bundles_of_a_child_are_left_out_and_the_note_says_so() -> None:
    inner = {"x:b": {"prefix": PREFIXES, "entity": {"x:e": {}}}}
    child = foreigner(bundle=inner)
    assert note(nested(child, dialect="prov")) == "its bundles are left out"
    assert note(nested(child, "bundle", dialect="prov")) == (
        "not put in a bundle: it has bundles itself"
    )


def test_a_bundle_that_redefined_its_own_prefix_would_be_renamed() -> None:
    """As all versions of prov do when they read it."""
    child = msgspec.json.decode(ml_run(CHILD))
    child["prefix"]["run"] = "urn:uuid:another#"
    found = nested(child, "bundle")
    assert "another prefix run" in str(note(found))
    assert "bundle" not in found


def test_a_legal_document_of_another_dialect_is_a_bundle_as_it_is() -> None:
    child = json.loads(ml_run(CHILD))
    found = nested(child, "bundle", dialect="prov")
    assert note(found) is None
    assert next(iter(found["bundle"].values())) == child


@pytest.mark.parametrize("child", ["a b", "", "é", "x#y", "urn:uuid:1", "x" * 300])
@pytest.mark.parametrize("nest", NESTS)
def test_a_childs_id_may_be_anything(child: str, nest: str) -> None:
    told = [started(), attached(child=child, dialect="prov"), e.RunEnded(status=Status.COMPLETED)]
    told.insert(1, e.TaskEnded(task="train", attempt=1, status=Status.COMPLETED))
    content = content_of(folded(told), {child: msgspec.json.encode(BARE)}, nest)
    assert [p.message for p in check(content)] == []


# -- yProv4ML's own documents --------------------------------------------------------------


def fixtures() -> list[Any]:
    found = sorted(FIXTURES.glob("*/*/prov*.json"))
    if not found:
        mark = pytest.mark.skip(reason=f"no {FIXTURES}")
        return [pytest.param(FIXTURES, marks=mark, id="none")]
    return [pytest.param(path, id=f"{path.parts[-3]}-{path.stem}") for path in found]


@pytest.mark.parametrize("nest", NESTS)
@pytest.mark.parametrize("path", fixtures())
def test_documents_of_yprov4ml_nest_in_each_mode(path: Path, nest: str) -> None:
    child = path.read_bytes()
    found = nested(child, nest, dialect="yprov4ml")
    assert (TRAIN in {two for _, two in related(found, "wasInformedBy", "nested")}) is True
    document = ProvDocument.deserialize(content=json.dumps(found), format="json")
    again = ProvDocument.deserialize(content=document.serialize(format="json"), format="json")
    assert again == document
    if nest == "flatten":
        assert note(found) is None
    if nest == "bundle":
        # Its prefixes are no URIs; what reads these dialects is not written yet.
        assert str(note(found)).startswith("not put in a bundle: prefix")


@pytest.mark.parametrize("path", fixtures())
def test_a_flattened_document_of_yprov4ml_has_lost_nothing(path: Path) -> None:
    child = json.loads(path.read_bytes())
    found = nested(path.read_bytes(), dialect="yprov4ml")
    for section in ELEMENTS:
        originals = {
            v.get("yprov4wms:original_id")
            for k, v in found.get(section, {}).items()
            if k.startswith("ml1:")
        }
        assert originals == set(child.get(section, {})), section
    parameters = {
        json.dumps(v.get("prov:value"))
        for v in found["entity"].values()
        if v["prov:type"] == "provml:HyperParameter"
    }
    expected = {
        json.dumps(v["prov:value"])
        for v in child["entity"].values()
        if isinstance(v, dict) and v.get("prov:type") == "provml:HyperParameter"
    }
    assert parameters == expected
    assert found["prefix"]["ml1"] == run_namespace(CHILD)
