"""Files as CWL has them: literals, directories, secondary files, formats, caches, updates."""

from __future__ import annotations

import hashlib
import json

import pytest
from tests.cwl.project import Project, statuses, task
from tests.documents import Document, sha256, value

TOOL = """
cwlVersion: v1.2
class: CommandLineTool
requirements: {InlineJavascriptRequirement: {}}
$namespaces: {edam: "http://edamontology.org/"}
inputs:
  indexed: {type: File, secondaryFiles: [.idx], format: edam:format_2330}
  folder: Directory
  literal: File
  http: {type: 'string?'}
baseCommand: [sh, -c]
arguments:
  - "cp $(inputs.indexed.path) main.txt; cp $(inputs.indexed.path).idx main.txt.idx;
     mkdir -p out/deep; cp $(inputs.literal.path) out/deep/copy.txt;
     ls $(inputs.folder.path) > out/names"
outputs:
  main:
    type: File
    format: edam:format_2330
    secondaryFiles: [.idx]
    outputBinding: {glob: main.txt}
  tree: {type: Directory, outputBinding: {glob: out}}
  through: {type: File, outputBinding: {outputEval: $(inputs.indexed)}}
  number: {type: int, outputBinding: {outputEval: "${return 7;}"}}
  record:
    type: {type: record, name: both, fields: {f: File, n: int}}
    outputBinding: {outputEval: "${return {'f': inputs.indexed, 'n': 1};}"}
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project(tmp_path_factory.mktemp("files"))
    project.write("tool.cwl", TOOL)
    project.write("in.txt", "data\n")
    project.write("in.txt.idx", "index\n")
    project.write("d/one", "1")
    project.write("d/e/two", "2")
    project.write(
        "job.json",
        json.dumps(
            {
                "indexed": {
                    "class": "File",
                    "path": "in.txt",
                    "format": "http://edamontology.org/format_2330",
                },
                "folder": {"class": "Directory", "path": "d"},
                "literal": {"class": "File", "basename": "words.txt", "contents": "literal\n"},
            }
        ),
    )
    project.recorded("--outdir", "final", "tool.cwl", "job.json")
    return project


@pytest.fixture(scope="module")
def document(ran: Project) -> Document:
    return ran.document()


def entities(document: Document, relation: str, role: str) -> list[dict[str, object]]:
    activity = task(document, "tool.cwl")
    return [
        document.section("entity")[r["prov:entity"]]
        for r in document.links(relation, activity=activity)
        if r.get("prov:role") == role or role in r.get("prov:role", ())
    ]


def test_inputs_have_their_port_checksum_format_and_secondary_files(
    ran: Project, document: Document
) -> None:
    main, index = entities(document, "used", "indexed")
    assert main["yprov4wms:path"] == "in.txt"
    assert main["yprov4wms:sha256"] == sha256(ran.folder / "in.txt")
    assert main["yprov4wms:format"] == "http://edamontology.org/format_2330"
    assert index["yprov4wms:path"] == "in.txt.idx"
    accompanied = {
        (document.label(r["prov:influencee"]), document.label(r["prov:influencer"]))
        for r in document.links("wasInfluencedBy")
        if r["yprov4wms:link"] == "secondary-file"
    }
    assert ("in.txt.idx", "in.txt") in accompanied
    assert any(one.endswith("main.txt.idx") for one, _ in accompanied)


def test_a_literal_has_the_checksum_of_its_text(document: Document) -> None:
    (literal,) = entities(document, "used", "literal")
    assert literal["yprov4wms:file_type"] == "literal"
    assert literal["yprov4wms:sha256"] == hashlib.sha256(b"literal\n").hexdigest()
    assert literal["prov:label"] == "words.txt"


def test_directories_are_collections_of_their_files(ran: Project, document: Document) -> None:
    (folder,) = entities(document, "used", "folder")
    assert folder["prov:type"] == "prov:Collection"
    assert value(folder["yprov4wms:member_count"]) == 2
    (tree,) = [
        r["prov:entity"]
        for r in document.links("wasGeneratedBy", activity=task(document, "tool.cwl"))
        if r.get("prov:role") == "tree"
    ]
    members = {
        document.label(r["prov:entity"]).rsplit("/out/")[-1]
        for r in document.links("hadMember", collection=tree)
    }
    assert members == {"deep/copy.txt", "names"}


def test_outputs_have_cwltools_checksum_and_ours(ran: Project, document: Document) -> None:
    (main,) = [
        e
        for e in entities(document, "wasGeneratedBy", "main")
        if str(e["yprov4wms:path"]).endswith("main.txt")
    ]
    content = (ran.folder / "final" / "main.txt").read_bytes()
    assert main["yprov4wms:sha256"] == hashlib.sha256(content).hexdigest()
    assert main["yprov4wms:sha1"] == hashlib.sha1(content).hexdigest()
    assert main["yprov4wms:format"] == "http://edamontology.org/format_2330"


def test_what_passes_through_is_no_new_version(document: Document) -> None:
    assert entities(document, "wasGeneratedBy", "through") == []
    activity = document.section("activity")[task(document, "tool.cwl")]
    assert activity["yprov4wms:output_through"] == '["in.txt","in.txt.idx"]'
    assert value(activity["yprov4wms:output_number"]) == 7
    assert value(activity["yprov4wms:output_record.n"]) == 1


def test_outputs_are_told_where_they_end_up(ran: Project, document: Document) -> None:
    finals = {
        document.label(r["prov:entity"]): r["prov:role"]
        for r in document.links("wasGeneratedBy", activity="run:workflow_run")
        if "prov:role" in r  # members of a directory have none of their own
    }
    assert finals["final/main.txt"] == "main"
    assert finals["final/main.txt.idx"] == "main"
    assert finals["final/out"] == "tree"
    # What passed through is copied; as it is two outputs, it has both their names.
    assert sorted(finals["final/in.txt"]) == ["record", "through"]
    for path in finals:
        assert (ran.folder / path).exists()


def test_without_checksums_cwltools_and_ours_are_not_there(ran: Project) -> None:
    document = ran.recorded(
        "--yprov-hash", "none", "--no-compute-checksum", "--outdir", "n", "tool.cwl", "job.json"
    )
    files = [e for e in document.section("entity").values() if "yprov4wms:path" in e]
    own = [e for e in files if e.get("yprov4wms:file_type") != "literal"]
    own = [e for e in own if not str(e["yprov4wms:path"]).endswith(".cwl")]
    assert own
    assert not [e for e in own if "yprov4wms:sha256" in e]
    assert not [e for e in own if "yprov4wms:sha1" in e and "/out" in str(e["yprov4wms:path"])]


CACHED = """
cwlVersion: v1.2
class: Workflow
requirements: {ScatterFeatureRequirement: {}}
inputs: {words: 'string[]'}
steps:
  say:
    scatter: word
    in: {word: words}
    out: [out]
    run:
      class: CommandLineTool
      baseCommand: echo
      inputs: {word: {type: string, inputBinding: {}}}
      stdout: out.txt
      outputs: {out: stdout}
outputs: {out: {type: 'File[]', outputSource: say/out}}
"""


def test_a_step_from_the_cache_says_so_and_our_variables_do_not_matter_to_it(
    project: Project,
) -> None:
    project.write("cached.cwl", CACHED)
    job = str(project.job(words=["a", "b", "b"]))
    # Filled by plain cwltool, the cache serves a recorded run.
    plain = project.run("--quiet", "--cachedir", "c", "cached.cwl", job, runner="cwltool")
    assert plain.returncode == 0
    document = project.recorded("--cachedir", "c", "cached.cwl", job)
    assert set(statuses(document).values()) == {"cached"}
    for index in range(3):
        say = document.section("activity")[task(document, f"say[{index}]")]
        assert "yprov4wms:pid" not in say
        assert len(document.links("wasGeneratedBy", activity=task(document, f"say[{index}]"))) == 1
    document = project.recorded("--cachedir", "c2", "cached.cwl", job)
    assert sorted(statuses(document).values()) == ["cached", "completed", "completed"]


INPLACE = """
cwlVersion: v1.2
class: Workflow
$namespaces: {cwltool: "http://commonwl.org/cwltool#"}
inputs: {given: File}
steps:
  copy:
    in: {given: given}
    out: [out]
    run:
      class: CommandLineTool
      baseCommand: cp
      arguments: [$(inputs.given.path), x.txt]
      inputs: {given: File}
      outputs: {out: {type: File, outputBinding: {glob: x.txt}}}
  change:
    in: {file: copy/out}
    out: [out]
    run:
      class: CommandLineTool
      requirements:
        InplaceUpdateRequirement: {inplaceUpdate: true}
        InitialWorkDirRequirement: {listing: [{entry: $(inputs.file), writable: true}]}
      baseCommand: [sh, -c, 'echo more >> x.txt']
      inputs: {file: File}
      outputs: {out: {type: File, outputBinding: {glob: x.txt}}}
  read:
    in: {file: change/out}
    out: [out]
    run:
      class: CommandLineTool
      baseCommand: cat
      inputs: {file: {type: File, inputBinding: {}}}
      stdout: read.txt
      outputs: {out: stdout}
outputs: {out: {type: File, outputSource: read/out}}
"""


def test_a_file_changed_in_place_is_a_new_version(project: Project) -> None:
    project.write("inplace.cwl", INPLACE)
    project.write("given.txt", "one\n")
    document = project.recorded("inplace.cwl", str(project.job(given=project.folder / "given.txt")))
    assert (project.folder / "read.txt").read_text() == "one\nmore\n"
    (first,) = document.links("wasGeneratedBy", activity=task(document, "copy"))
    place = document.label(first["prov:entity"])
    versions = document.files(place)
    assert len(versions) == 2
    (second,) = set(versions) - {first["prov:entity"]}
    assert document.links("wasGeneratedBy", entity=second, activity=task(document, "change"))
    assert document.links("wasDerivedFrom", generatedEntity=second, usedEntity=first["prov:entity"])
    (used,) = document.links("used", activity=task(document, "read"))
    assert document.links(
        "wasGeneratedBy", entity=used["prov:entity"], activity=task(document, "change")
    )
    assert len({v["yprov4wms:sha256"] for v in versions.values()}) == 2


def test_outputs_that_stay_where_they_were_made_are_the_tasks_own(project: Project) -> None:
    project.write("cached.cwl", CACHED)
    # Without the second option cwltool deletes what it is to leave.
    options = ["--leave-outputs", "--leave-tmpdir"]
    document = project.recorded(*options, "cached.cwl", str(project.job(words=["a"])))
    (made,) = document.links("wasGeneratedBy", activity=task(document, "say[0]"))
    (final,) = document.links("wasGeneratedBy", activity="run:workflow_run")
    assert made["prov:entity"] == final["prov:entity"]


COLLECT = """
cwlVersion: v1.2
class: Workflow
requirements: {ScatterFeatureRequirement: {}}
inputs: {xs: 'string[]', nothing: 'string?'}
steps:
  make:
    scatter: x
    in: {x: xs}
    out: [o]
    run: echo.cwl
  one: {run: echo.cwl, in: {x: {default: one}}, out: [o]}
  gather:
    in: {files: make/o, nothing: nothing}
    out: [dir, none]
    run:
      class: ExpressionTool
      requirements: {InlineJavascriptRequirement: {}}
      inputs: {files: 'File[]', nothing: 'string?'}
      outputs: {dir: Directory, none: 'string?'}
      expression: "${return {none: null, dir: {class: 'Directory', basename: 'results',
                   listing: inputs.files}};}"
  use:
    in: {dir: gather/dir}
    out: [o]
    run:
      class: CommandLineTool
      baseCommand: ls
      inputs: {dir: {type: Directory, inputBinding: {}}}
      stdout: names.txt
      outputs: {o: stdout}
outputs:
  results: {type: Directory, outputSource: gather/dir}
  log: {type: File, outputSource: one/o}
  again: {type: File, outputSource: one/o}
  names: {type: File, outputSource: use/o}
"""
ECHO = """
cwlVersion: v1.2
class: CommandLineTool
baseCommand: echo
inputs: {x: {type: string, inputBinding: {}}}
stdout: $(inputs.x).txt
outputs: {o: stdout}
"""


def makers(document: Document, entity: str) -> set[str]:
    return {r["prov:activity"] for r in document.links("wasGeneratedBy", entity=entity)}


def test_what_is_collected_in_a_directory_can_be_followed_to_its_maker(project: Project) -> None:
    project.write("collect.cwl", COLLECT)
    project.write("echo.cwl", ECHO)
    document = project.recorded("--outdir", "out", "collect.cwl", str(project.job(xs=["a", "b"])))
    for index, name in enumerate("ab"):
        (final,) = document.files(f"out/results/{name}.txt")
        (came,) = document.links("wasDerivedFrom", generatedEntity=final)
        assert makers(document, came["prov:usedEntity"]) == {task(document, f"make[{index}]")}
    (final,) = document.files("out/one.txt")
    (came,) = document.links("wasDerivedFrom", generatedEntity=final)
    assert makers(document, came["prov:usedEntity"]) == {task(document, "one")}
    (made,) = document.links("wasGeneratedBy", entity=final)
    assert sorted(made["prov:role"]) == ["again", "log"]
    # The directory that an expression puts together holds what the steps made.
    (put,) = [
        r["prov:entity"]
        for r in document.links("wasGeneratedBy", activity=task(document, "gather"))
        if r["prov:role"] == "dir"
    ]
    assert document.section("entity")[put]["prov:label"] == "results"
    held = {r["prov:entity"] for r in document.links("hadMember", collection=put)}
    assert {maker for entity in held for maker in makers(document, entity)} == {
        task(document, "make[0]"),
        task(document, "make[1]"),
    }
    used = {r["prov:entity"] for r in document.links("used", activity=task(document, "use"))}
    assert put in used
    # What is null is known to be.
    gather = document.section("activity")[task(document, "gather")]
    assert gather["yprov4wms:output_none"] == gather["yprov4wms:param_nothing"] == "null"
    documents = [
        document.label(r["prov:entity"])
        for r in document.links("used", activity="run:workflow_run")
        if r.get("prov:role") == "workflow"
    ]
    assert documents == ["collect.cwl", "echo.cwl"]


def test_a_literal_that_is_staged_under_another_name_is_the_same(project: Project) -> None:
    project.write(
        "literal.cwl",
        """
        cwlVersion: v1.2
        class: Workflow
        inputs: {}
        steps:
          write:
            in: {}
            out: [lit]
            run:
              class: ExpressionTool
              requirements: {InlineJavascriptRequirement: {}}
              inputs: {}
              outputs: {lit: File}
              expression: "${return {lit: {class: 'File', basename: 'p.json', contents: '{}'}};}"
          read:
            in: {c: write/lit}
            out: [o]
            run:
              class: CommandLineTool
              requirements:
                InitialWorkDirRequirement:
                  listing: [{entry: $(inputs.c), entryname: config.json}]
              baseCommand: [cat, config.json]
              inputs: {c: File}
              stdout: o.txt
              outputs: {o: stdout}
        outputs: {o: {type: File, outputSource: read/o}}
        """,
    )
    document = project.recorded("literal.cwl")
    (used,) = document.links("used", activity=task(document, "read"))
    assert makers(document, used["prov:entity"]) == {task(document, "write")}


def test_secondary_files_stay_with_their_file_where_both_end_up(document: Document) -> None:
    pairs = {
        (document.label(r["prov:influencee"]), document.label(r["prov:influencer"]))
        for r in document.links("wasInfluencedBy")
        if r["yprov4wms:link"] == "secondary-file"
    }
    assert ("final/main.txt.idx", "final/main.txt") in pairs
