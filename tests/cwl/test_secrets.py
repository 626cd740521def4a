"""What ``cwltool:Secrets`` names is in no file of ours."""

from __future__ import annotations

import json

import pytest
from tests.cwl.project import PLAIN, Project, statuses, task
from tests.documents import value

SECRET = "corr3ct-h0rse"
SHORT = "xyz"

WORKFLOW = """
cwlVersion: v1.2
class: Workflow
$namespaces: {cwltool: "http://commonwl.org/cwltool#"}
hints: {"cwltool:Secrets": {secrets: [pw, pin]}}
requirements: {StepInputExpressionRequirement: {}}
inputs:
  pw: string
  pin: string
  word: {type: string, default: shown}
steps:
  use:
    in: {pw: pw, pin: pin, word: word}
    out: [out, echoed]
    run:
      class: CommandLineTool
      requirements:
        EnvVarRequirement: {envDef: {PW: $(inputs.pw), WORD: $(inputs.word)}}
        InitialWorkDirRequirement:
          listing: [{entryname: secret.txt, entry: "pw=$(inputs.pw)"}]
      baseCommand: [sh, -c, 'cat secret.txt >&2; echo "[\\"$PW\\"]" > made.json; echo done']
      arguments: [$(inputs.pw), $(inputs.pin), $(inputs.word)]
      inputs: {pw: string, pin: string, word: string}
      stdout: out.txt
      outputs:
        out: stdout
        echoed: {type: 'string', outputBinding: {glob: made.json, loadContents: true,
                 outputEval: "$(self[0].contents)"}}
outputs:
  out: {type: File, outputSource: use/out}
  echoed: {type: string, outputSource: use/echoed}
"""


def found(project: Project, text: str) -> list[str]:
    return [
        str(path)
        for path in project.store.rglob("*")
        if path.is_file() and text.encode() in path.read_bytes()
    ]


@pytest.mark.parametrize("given", ["job file", "command line"])
def test_a_secret_is_in_no_file_of_ours(project: Project, given: str) -> None:
    project.write("secret.cwl", WORKFLOW)
    arguments = ["secret.cwl", "--pw", SECRET, "--pin", SHORT]
    if given == "job file":
        project.write("job.json", json.dumps({"pw": SECRET, "pin": SHORT}))
        arguments = ["secret.cwl", "job.json"]
    plain = project.run("--quiet", *arguments, runner=PLAIN)
    ours = project.run("--quiet", *arguments)
    assert (ours.returncode, ours.stdout) == (plain.returncode, plain.stdout), ours.stderr
    assert SECRET in plain.stdout  # the tool gives it away, and we do not
    assert found(project, SECRET) == []
    assert found(project, SHORT) == []
    document = project.document()
    assert statuses(document) == {"use": "completed"}
    use = document.section("activity")[task(document, "use")]
    assert use["yprov4wms:command"].endswith("shown")
    assert use["yprov4wms:param_pw"] == "***"
    assert use["yprov4wms:engine_env.WORD"] == "shown"
    assert use["yprov4wms:engine_env.PW"] == "***"
    assert value(use["yprov4wms:exit_code"]) == 0
    assert "***" in use["yprov4wms:output_echoed"]


def test_a_secret_that_a_workflow_has_as_a_default_is_hidden_in_the_packed_copy_too(
    project: Project,
) -> None:
    document = WORKFLOW.replace(
        "pw: string\n  pin", f"pw: {{type: string, default: {SECRET}}}\n  pin"
    )
    project.write("secret.cwl", document)
    recorded = project.recorded("secret.cwl", "--pin", SHORT)
    assert found(project, SECRET) == []
    assert "yprov4wms:packed_sha256" in recorded.section("entity")["run:workflow"]


def test_what_looks_like_a_credential_in_the_documents_is_hidden_everywhere(
    project: Project,
) -> None:
    key, variable = "abcd1234efgh5678", "wJalrXUtnFEMIK7MDENGbPxRfiCYzEXAMPLEKEY"
    project.write(
        "tool.cwl",
        f"""
        cwlVersion: v1.2
        class: CommandLineTool
        requirements: {{EnvVarRequirement: {{envDef: {{AWS_SECRET_ACCESS_KEY: {variable}}}}}}}
        baseCommand: [sh, -c, "true"]
        inputs: {{api_key: {{type: string, default: {key}}}, plain: {{type: int, default: 3}}}}
        outputs: {{}}
        """,
    )
    document = project.recorded("tool.cwl")
    assert found(project, key) == []
    assert found(project, variable) == []
    ports = [e for e in document.section("entity").values() if "yprov4wms:port" in e]
    assert {p["yprov4wms:port"]: value(p["yprov4wms:default"]) for p in ports} == {
        "api_key": "***",
        "plain": 3,
    }
