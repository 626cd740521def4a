cwlVersion: v1.2
class: CommandLineTool
doc: Part the digits into training, validation and test data.
baseCommand: python3
inputs:
  script:
    type: File
    default: {class: File, location: ../../snakemake/scripts/split.py}
    inputBinding: {position: 1}
  digits: {type: File, inputBinding: {position: 2}}
  seed: {type: int, inputBinding: {position: 3, prefix: --seed}}
  validation_share: {type: float, inputBinding: {position: 4, prefix: --shares}}
  test_share: {type: float, inputBinding: {position: 5}}
arguments:
  - {valueFrom: train.npz, position: 6, prefix: --train}
  - {valueFrom: validation.npz, position: 7, prefix: --validation}
  - {valueFrom: test.npz, position: 8, prefix: --test}
stdout: split.log
outputs:
  train: {type: File, outputBinding: {glob: train.npz}}
  validation: {type: File, outputBinding: {glob: validation.npz}}
  test: {type: File, outputBinding: {glob: test.npz}}
