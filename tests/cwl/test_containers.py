"""Steps in containers of a real podman: what is recorded of them, and what they are told."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from tests.cwl.podman import IMAGE, ContainerProject, podman
from tests.cwl.project import OURS, PLAIN, statuses, task
from tests.documents import Document, Record, at_once, environment, value

TOOL = f"""\
cwlVersion: v1.2
class: CommandLineTool
requirements:
  DockerRequirement:
    dockerPull: {IMAGE}
"""

SAY = """\
baseCommand: echo
inputs:
  text: {type: string, inputBinding: {}}
outputs:
  said: stdout
stdout: said.txt
"""

#: In the place of a script that records: the image has no Python.
TRAIN = """\
baseCommand: [sh, train.sh]
requirements:
  DockerRequirement:
    dockerPull: %s
  InitialWorkDirRequirement:
    listing:
      - entryname: train.sh
        entry: |
          if [ -n "\\$YPROV_STORE" ]; then
            runs="\\$YPROV_STORE/\\$YPROV_RUN_ID/ml/\\$YPROV_TASK_ID-\\$YPROV_ATTEMPT"
            mkdir -p "\\$runs"
            cp -r "\\$1" "\\$runs"
          fi
          cat "\\$2"
inputs:
  recorded: {type: Directory, inputBinding: {position: 1}}
  data: {type: File, inputBinding: {position: 2}}
outputs:
  model: stdout
stdout: model.txt
"""

WORKFLOW = """\
cwlVersion: v1.2
class: Workflow
inputs: {text: string, recorded: Directory}
outputs:
  model: {type: File, outputSource: train/model}
steps:
  say: {run: say.cwl, in: {text: text}, out: [said]}
  train: {run: train.cwl, in: {recorded: recorded, data: say/said}, out: [model]}
"""

FAILING = """\
cwlVersion: v1.2
class: Workflow
inputs: {text: string}
outputs:
  said: {type: File, outputSource: say/said}
  missing: {type: File, outputSource: fails/said}
  pulled: {type: File, outputSource: lacks/said}
steps:
  say: {run: say.cwl, in: {text: text}, out: [said]}
  fails: {run: fails.cwl, in: {text: text}, out: [said]}
  lacks: {run: lacks.cwl, in: {text: text}, out: [said]}
"""

#: Records an ML run, and prints where.
RECORD = """\
from yprov4wms import ml
with ml.start_run("digits", name="in a container", store="host") as run:
    ml.log_param("learning_rate", 0.25)
    ml.log_metric("loss", 0.5, context="training", step=0)
print(run.folder.location)
"""
