cwlVersion: v1.2
class: CommandLineTool
doc: Test one of the best models on data that no training has seen.
baseCommand: python3
inputs:
  script:
    type: File
    default: {class: File, location: ../../snakemake/scripts/evaluate.py}
    inputBinding: {position: 1}
  model: {type: File, inputBinding: {position: 2, prefix: --model}}
  test: {type: File, inputBinding: {position: 3, prefix: --test}}
  wanted: boolean
arguments:
  - {valueFrom: $(inputs.model.nameroot).json, position: 4, prefix: --scores}
  - {valueFrom: $(inputs.model.nameroot)_confusion.csv, position: 5, prefix: --confusion}
stdout: evaluate.log
outputs:
  scores: {type: File, outputBinding: {glob: $(inputs.model.nameroot).json}}
  confusion: {type: File, outputBinding: {glob: $(inputs.model.nameroot)_confusion.csv}}
