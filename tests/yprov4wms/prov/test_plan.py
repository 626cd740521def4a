"""The plan in the document: ports, how they are connected, and what the workflow gives out."""

from __future__ import annotations

from tests.yprov4wms.prov.runs import by_label, content_of, document_of, folded, related, started

from yprov4wms import events as e
from yprov4wms.events import File, FileType, Port, Status
from yprov4wms.prov.names import Names
from yprov4wms.prov.rules import check

NAMES = Names()
WORKFLOW, step_id = NAMES.workflow, NAMES.step


def port_id(owner: str, direction: str, port: str) -> str:
    return NAMES.hashed("port", owner, direction, port)


def plan() -> list[e.Event]:
    return [
        started(
            inputs=[Port(name="x", type="File")],
            outputs=[Port(name="y", type="File", sources=["sub/y"])],
        ),
        e.StepDeclared(
            step="sub",
            type="Workflow",
            inputs=[Port(name="x", sources=["x"], default=3, value_from="$(self)")],
            outputs=[Port(name="y", sources=["sub/in/o"])],
        ),
        e.StepDeclared(
            step="sub/in",
            parent="sub",
            inputs=[Port(name="i", sources=["sub/x"])],
            outputs=[Port(name="o", type="File", format="http://edamontology.org/format_3752")],
        ),
    ]


def test_ports_are_members_of_what_declares_them_and_name_their_sources() -> None:
    document = document_of(folded(plan()))
    members = related(document, "hadMember")
    assert (WORKFLOW, step_id("sub")) in members
    assert (step_id("sub"), step_id("sub/in")) in members
    assert (step_id("sub/in"), port_id(step_id("sub/in"), "input", "i")) in members
    assert (WORKFLOW, port_id(WORKFLOW, "output", "y")) in members
    assert set(related(document, "wasInfluencedBy", "source")) == {
        (port_id(WORKFLOW, "output", "y"), port_id(step_id("sub"), "output", "y")),
        (port_id(step_id("sub"), "output", "y"), port_id(step_id("sub/in"), "output", "o")),
        (port_id(step_id("sub"), "input", "x"), port_id(WORKFLOW, "input", "x")),
        (port_id(step_id("sub/in"), "input", "i"), port_id(step_id("sub"), "input", "x")),
    }
    port = document["entity"][port_id(step_id("sub"), "input", "x")]
    assert port["yprov4wms:default"] == {"$": "3", "type": "xsd:int"}
    assert port["yprov4wms:value_from"] == "$(self)"
    assert port["prov:label"] == "sub/x"


def ran() -> list[e.Event]:
    """A subworkflow's member makes a file, which the engine moves at the end."""
    given, made = File(path="in", role="x", size=1, sha256="1" * 64), File(path="/tmp/q/o", size=2)
    side = File(path="/tmp/q/o.idx", size=3, secondary_of="/tmp/q/o", type=FileType.FILE)
    return [
        *plan(),
        e.TaskPlanned(task="sub", step="sub", label="sub"),
        e.TaskStarted(task="sub", attempt=1, inputs=[given]),
        e.TaskPlanned(task="in", step="sub/in", label="sub/in", parent="sub"),
        e.TaskStarted(task="in", attempt=1, inputs=[given]),
        e.TaskEnded(
            task="in",
            attempt=1,
            status=Status.COMPLETED,
            outputs=[made, side],
            results={"n": 3, "none": None},
        ),
        e.TaskEnded(task="sub", attempt=1, status=Status.COMPLETED, outputs=[made, side]),
        e.RunEnded(
            status=Status.COMPLETED,
            outputs=[
                File(path="o", role="y", size=2, origin="/tmp/q/o", sha1="a" * 40),
                File(path="o.idx", role="y", size=3, origin="/tmp/q/o.idx"),
                File(path="copy", role="z", size=1, sha256="1" * 64, origin="in"),
            ],
            results={"k": "v"},
        ),
    ]


def test_a_member_and_its_container_both_generate_a_file_and_the_member_says_when() -> None:
    document = document_of(folded(ran()))
    file = by_label(document, "/tmp/q/o")
    generated = {
        record["prov:activity"]: "prov:time" in record
        for record in document["wasGeneratedBy"].values()
        if record["prov:entity"] == file
    }
    assert generated == {"run:task_in.1": True, "run:task_sub.1": False}
    assert check(content_of(folded(ran()))) == []


def test_what_the_engine_moved_is_derived_from_what_its_task_left() -> None:
    document = document_of(folded(ran()))
    final = by_label(document, "o")
    assert (final, NAMES.workflow_run) in related(document, "wasGeneratedBy")
    assert (final, by_label(document, "/tmp/q/o")) in related(document, "wasDerivedFrom")
    copied = by_label(document, "copy")
    assert (copied, by_label(document, "in")) in related(document, "wasDerivedFrom")
    assert document["entity"][final]["yprov4wms:sha1"] == "a" * 40
    assert document["activity"][NAMES.workflow_run]["yprov4wms:output_k"] == "v"


def test_what_lies_where_its_task_left_it_is_generated_by_both() -> None:
    told = ran()
    told[-1] = e.RunEnded(status=Status.COMPLETED, outputs=[File(path="/tmp/q/o", role="y")])
    document = document_of(folded(told))
    file = by_label(document, "/tmp/q/o")
    assert (file, NAMES.workflow_run) in related(document, "wasGeneratedBy")
    assert check(content_of(folded(told))) == []


def test_secondary_files_and_results_are_told() -> None:
    document = document_of(folded(ran()))
    pair = (by_label(document, "/tmp/q/o.idx"), by_label(document, "/tmp/q/o"))
    assert related(document, "wasInfluencedBy", "secondary-file") == [pair]
    activity = document["activity"]["run:task_in.1"]
    assert activity["yprov4wms:output_n"] == {"$": "3", "type": "xsd:int"}
    assert activity["yprov4wms:output_none"] == "null"


def test_a_directory_that_is_put_together_holds_what_was_there_before() -> None:
    given = File(path="in", role="x", size=1, sha256="1" * 64)
    made = File(path="_:1", type=FileType.LITERAL, size=2, name="new.txt")
    together = File(
        path="_:2", type=FileType.DIRECTORY, role="d", name="results", listing=["in", "_:1"]
    )
    told: list[e.Event] = [
        *plan(),
        e.TaskPlanned(task="t", step="sub"),
        e.TaskStarted(task="t", attempt=1, inputs=[given]),
        e.TaskEnded(task="t", attempt=1, status=Status.COMPLETED, outputs=[together, made]),
        e.TaskPlanned(task="u", step="sub", depends_on=["t"]),
        e.TaskStarted(task="u", attempt=1, inputs=[together, given, made]),
    ]
    document = document_of(folded(told))
    directory = by_label(document, "results")
    held = {entity for whole, entity in related(document, "hadMember") if whole == directory}
    assert held == {by_label(document, "in"), by_label(document, "new.txt")}
    assert document["entity"][directory]["yprov4wms:put_together"] is True
    assert check(content_of(folded(told))) == []
