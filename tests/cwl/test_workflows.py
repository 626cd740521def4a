"""Steps, scatters, loops, subworkflows, conditions and expressions, each as a task or a plan."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.cwl.project import Project, statuses, task
from tests.documents import Document, value

ECHO = """
      class: CommandLineTool
      baseCommand: echo
      inputs: {a: {type: Any, inputBinding: {}}, b: {type: 'Any?', inputBinding: {}}}
      stdout: out.txt
      outputs: {out: stdout}
"""
CAT = """
      class: CommandLineTool
      baseCommand: cat
      inputs: {files: {type: Any, inputBinding: {}}}
      stdout: cat.txt
      outputs: {out: stdout}
"""
WORKFLOW = f"""
cwlVersion: v1.2
class: Workflow
label: all kinds of steps
doc: Scatters of every method, and what follows from them.
requirements:
  ScatterFeatureRequirement: {{}}
  SubworkflowFeatureRequirement: {{}}
  InlineJavascriptRequirement: {{}}
  StepInputExpressionRequirement: {{}}
  MultipleInputFeatureRequirement: {{}}
inputs:
  xs: string[]
  ys: string[]
  flags: boolean[]
  off: {{type: boolean, default: false}}
  none: {{type: 'string[]', default: []}}
steps:
  dot:
    scatter: a
    label: each letter
    in: {{a: xs}}
    out: [out]
    run:{ECHO}
  next:
    scatter: files
    in: {{files: dot/out}}
    out: [out]
    run:{CAT}
  nested:
    scatter: [a, b]
    scatterMethod: nested_crossproduct
    in: {{a: xs, b: ys}}
    out: [out]
    run:{ECHO}
  flat:
    scatter: [a, b]
    scatterMethod: flat_crossproduct
    in: {{a: dot/out, b: ys}}
    out: [out]
    run:
      class: CommandLineTool
      baseCommand: cat
      inputs: {{a: {{type: File, inputBinding: {{}}}}, b: string}}
      stdout: out.txt
      outputs: {{out: stdout}}
  picked:
    scatter: flag
    when: $(inputs.flag)
    in: {{flag: flags, a: {{valueFrom: said}}}}
    out: [out]
    run:{ECHO}
  off:
    when: $(inputs.off)
    in: {{off: off, a: {{default: never}}}}
    out: [out]
    run:{ECHO}
  empty:
    scatter: a
    in: {{a: none}}
    out: [out]
    run:{ECHO}
  sub:
    scatter: word
    in: {{word: ys}}
    out: [out]
    run:
      class: Workflow
      inputs: {{word: string, words: {{type: 'string[]', default: [p, q]}}}}
      outputs: {{out: {{type: File, outputSource: second/out}}}}
      steps:
        first:
          scatter: a
          in: {{a: words, b: word}}
          out: [out]
          run:{ECHO.replace(chr(10), chr(10) + "      ")}
        second:
          in: {{files: first/out}}
          out: [out]
          run:{CAT.replace(chr(10), chr(10) + "      ")}
  rows:
    scatter: files
    in: {{files: nested/out}}
    out: [out]
    run:{CAT}
  merged:
    scatter: files
    in: {{files: {{source: [next/out, count/one, sub/out], linkMerge: merge_flattened}}}}
    out: [out]
    run:{CAT}
  both:
    scatter: files
    in: {{files: {{source: [next/out, sub/out]}}}}
    out: [out]
    run:{CAT}
  count:
    in: {{files: next/out}}
    out: [n, one]
    run:
      class: ExpressionTool
      inputs: {{files: 'File[]'}}
      outputs: {{n: int, one: File}}
      expression: "${{return {{'n': inputs.files.length, 'one': inputs.files[0]}};}}"
  all:
    in:
      files: {{source: [next/out, flat/out, sub/out], linkMerge: merge_flattened}}
    out: [out]
    run:{CAT}
outputs:
  all: {{type: File, outputSource: all/out}}
  n: {{type: int, outputSource: count/n}}
"""


@pytest.fixture(scope="module", params=["one by one", "parallel"])
def ran(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project(tmp_path_factory.mktemp("workflows"))
    project.write("all.cwl", WORKFLOW)
    project.job(xs=["a", "b", "c"], ys=["v", "w"], flags=[True, False, True])
    options = ["--parallel"] if request.param == "parallel" else []
    document = project.recorded(*options, "all.cwl", "job.json")
    assert document.run["yprov4wfs:status"] == "completed"
    return project


@pytest.fixture(scope="module")
def document(ran: Project) -> Document:
    return ran.document()


def upstream(document: Document, label: str) -> set[str]:
    """Labels of the tasks that a task depends on."""
    return {
        document.label(identifier)
        for identifier in document.informants(task(document, label), "depends-on")
    }


def test_every_element_is_a_task_of_its_own(document: Document) -> None:
    found = statuses(document)
    ran = {label for label, status in found.items() if status == "completed"}
    assert ran == {
        *(f"dot[{i}]" for i in range(3)),
        *(f"next[{i}]" for i in range(3)),
        *(f"nested[{i},{j}]" for i in range(3) for j in range(2)),
        *(f"flat[{i}]" for i in range(6)),
        *("picked[0]", "picked[2]", "sub[0]", "sub[1]", "count", "all"),
        *(f"sub[{i}]/first[{j}]" for i in range(2) for j in range(2)),
        *(f"sub[{i}]/second" for i in range(2)),
        *(f"rows[{i}]" for i in range(3)),
        *(f"merged[{i}]" for i in range(6)),
        *("both[0]", "both[1]"),
    }
    assert {label: status for label, status in found.items() if label not in ran} == {
        "picked[1]": "skipped",
        "off": "skipped",
        "empty": "skipped",
    }


def test_an_element_says_which_it_is(document: Document) -> None:
    activities = document.section("activity")
    assert value(activities[task(document, "dot[2]")]["yprov4wms:engine_scatter_index"]) == 2
    assert activities[task(document, "nested[2,1]")]["yprov4wms:engine_scatter_index"] == "[2,1]"
    assert activities[task(document, "nested[2,1]")]["yprov4wms:param_a"] == "c"
    assert activities[task(document, "nested[2,1]")]["yprov4wms:param_b"] == "w"


def test_elements_depend_on_the_elements_whose_outputs_they_take(document: Document) -> None:
    assert upstream(document, "next[1]") == {"dot[1]"}
    assert upstream(document, "flat[4]") == {"dot[2]"}
    assert upstream(document, "flat[1]") == {"dot[0]"}
    assert upstream(document, "rows[1]") == {"nested[1,0]", "nested[1,1]"}
    assert upstream(document, "merged[1]") == {"next[1]"}
    assert upstream(document, "merged[3]") == {"count"}
    assert upstream(document, "merged[5]") == {"sub[1]"}
    assert upstream(document, "both[0]") == {"next[0]", "next[1]", "next[2]"}
    assert upstream(document, "both[1]") == {"sub[0]", "sub[1]"}
    assert upstream(document, "sub[1]/second") == {"sub[1]/first[0]", "sub[1]/first[1]"}
    assert upstream(document, "count") == {"next[0]", "next[1]", "next[2]"}
    assert upstream(document, "all") == {
        *(f"next[{i}]" for i in range(3)),
        *(f"flat[{i}]" for i in range(6)),
        *("sub[0]", "sub[1]"),
    }


def test_what_skipped_tasks_would_have_waited_for_is_a_reason(document: Document) -> None:
    (off,) = [p for p in document.plans("off") if p["prov:label"] == "off"]
    assert off["yprov4wms:reason"] == "when: $(inputs.off)"
    (empty,) = [p for p in document.plans("empty") if p["prov:label"] == "empty"]
    assert empty["yprov4wms:reason"] == "scatter over an empty array"


def test_a_subworkflow_is_a_task_that_contains_its_steps(document: Document) -> None:
    for index in range(2):
        whole = task(document, f"sub[{index}]")
        for member in ("first[0]", "first[1]", "second"):
            inner = task(document, f"sub[{index}]/{member}")
            assert document.informants(inner, "part-of") == {whole}
        assert document.informants(whole, "part-of") == {"run:workflow_run"}
        made = document.links("wasGeneratedBy", activity=whole)
        assert [r["prov:role"] for r in made] == ["out"]
        (entity,) = [r["prov:entity"] for r in made]
        makers = {
            r["prov:activity"]: "prov:time" in r
            for r in document.links("wasGeneratedBy", entity=entity)
        }
        assert makers == {whole: False, task(document, f"sub[{index}]/second"): True}


def test_files_go_from_the_task_that_made_them_to_those_that_used_them(document: Document) -> None:
    for index in range(3):
        made = document.links("wasGeneratedBy", activity=task(document, f"dot[{index}]"))
        used = document.links("used", activity=task(document, f"next[{index}]"))
        assert [r["prov:entity"] for r in made] == [r["prov:entity"] for r in used]
        assert [r["prov:role"] for r in used] == ["files"]


def test_an_expression_is_a_task_without_a_process(document: Document) -> None:
    count = document.section("activity")[task(document, "count")]
    assert value(count["yprov4wms:output_n"]) == 3
    assert count["yprov4wms:engine_process"] is False
    assert "yprov4wms:exit_code" not in count


def test_a_command_line_tool_tells_of_its_process(document: Document) -> None:
    said = document.section("activity")[task(document, "dot[0]")]
    assert said["yprov4wms:command"] == "echo a"
    assert value(said["yprov4wms:exit_code"]) == 0
    assert value(said["yprov4wms:cpu_time"]) >= 0
    assert value(said["yprov4wms:resource_cores"]) == 1
    assert said["yprov4wms:engine_stdout"] == "out.txt"
    assert said["prov:startTime"] <= said["prov:endTime"]


def test_the_plan_has_steps_ports_and_sources(document: Document) -> None:
    steps = {
        e["prov:label"]: e
        for e in document.section("entity").values()
        if e["prov:type"] == "prov:Plan" and "yprov4wfs:type" in e
    }
    assert set(steps) == {
        *("dot", "next", "nested", "flat", "picked", "off", "empty", "sub", "count", "all"),
        *("sub/first", "sub/second", "rows", "merged", "both"),
    }
    assert steps["sub"]["yprov4wfs:type"] == "Workflow"
    assert steps["dot"]["yprov4wms:title"] == "each letter"
    assert steps["nested"]["yprov4wms:engine_scatterMethod"] == "nested_crossproduct"
    assert steps["dot"]["yprov4wms:engine_cwl_version"] == "v1.2"
    connected = {
        (document.label(r["prov:influencee"]), document.label(r["prov:influencer"]))
        for r in document.section("wasInfluencedBy").values()
        if r["yprov4wms:link"] == "source"
    }
    assert {
        ("next/files", "dot/out"),
        ("sub/first/b", "sub/word"),
        ("sub/out", "sub/second/out"),
        ("all", "all/out"),
        ("dot/a", "xs"),
    } <= connected


def test_the_run_says_what_was_run_and_what_came_of_it(ran: Project, document: Document) -> None:
    run = document.run
    assert run["prov:label"] == "all.cwl"
    assert run["yprov4wfs:engine"] == "cwltool"
    assert run["yprov4wms:engine_label"] == "all kinds of steps"
    assert value(run["yprov4wms:output_n"]) == 3
    workflow = document.section("entity")["run:workflow"]
    packed = ran.runs()[-1] / workflow["yprov4wms:packed_document"]
    again = ran.run("--pack", "all.cwl", runner="cwltool")
    assert packed.read_text() == again.stdout
    (final,) = document.links("wasGeneratedBy", activity="run:workflow_run")
    assert document.label(final["prov:entity"]) == "cat.txt"
    assert final["prov:role"] == "all"
    (moved,) = document.links("wasDerivedFrom", generatedEntity=final["prov:entity"])
    (maker,) = document.links("wasGeneratedBy", entity=moved["prov:usedEntity"])
    assert maker["prov:activity"] == task(document, "all")
    assert (ran.folder / "cat.txt").is_file()


def test_iterations_of_a_loop_follow_one_another(project: Project) -> None:
    project.write(
        "loop.cwl",
        """
        cwlVersion: v1.3.0-dev1
        class: Workflow
        requirements: {InlineJavascriptRequirement: {}}
        inputs: {n: int}
        steps:
          up:
            when: $(inputs.n < 3)
            loop: {n: m}
            outputMethod: last_iteration
            in: {n: n}
            out: [m]
            run:
              class: ExpressionTool
              inputs: {n: int}
              outputs: {m: int}
              expression: "${return {'m': inputs.n + 1};}"
        outputs: {m: {type: int, outputSource: up/m}}
        """,
    )
    document = project.recorded("--enable-dev", "loop.cwl", str(project.job(n=0)))
    assert statuses(document) == {f"up[{i}]": "completed" for i in range(3)}
    assert upstream(document, "up[2]") == {"up[1]"}
    last = document.section("activity")[task(document, "up[2]")]
    assert value(last["yprov4wms:engine_loop_iteration"]) == 2
    assert value(last["yprov4wms:param_n"]) == 2
    document = project.recorded("--enable-dev", "loop.cwl", str(project.job(n=5)))
    assert statuses(document) == {"up": "skipped"}


def test_a_tool_alone_is_the_only_task(project: Project) -> None:
    project.write(
        "tool.cwl",
        "{cwlVersion: v1.2, class: CommandLineTool, id: greet, baseCommand: [echo, hello], "
        "inputs: {}, outputs: {out: stdout}, stdout: hello.txt}",
    )
    document = project.recorded("tool.cwl")
    assert statuses(document) == {"greet": "completed"}
    assert document.made(task(document, "greet")) != set()
    assert Path(project.folder, "hello.txt").read_text() == "hello\n"
    finals = document.links("wasGeneratedBy", activity="run:workflow_run")
    assert [document.label(r["prov:entity"]) for r in finals] == ["hello.txt"]
