cwlVersion: v1.2
class: Workflow
label: Digits, a finer search
doc: |
  Train networks on data that another workflow has prepared, over a grid around the best that
  it found; test the best of these. The tools are those of ../cwl.

requirements:
  ScatterFeatureRequirement: {}

inputs:
  train_data: File
  validation_data: File
  test_data: File
  hidden:
    type: string[]
    doc: Sizes of the hidden layers, joined by "-".
  learning_rate: float[]
  epochs: int
  batch_size: int
  alpha: float
  seed: int
  top: int

steps:
  train:
    run: ../cwl/tools/train.cwl
    scatter: [hidden, learning_rate]
    scatterMethod: flat_crossproduct
    in:
      train: train_data
      validation: validation_data
      hidden: hidden
      learning_rate: learning_rate
      epochs: epochs
      batch_size: batch_size
      alpha: alpha
      seed: seed
    out: [model, scores]

  choose:
    run: ../cwl/tools/choose.cwl
    in: {models: train/model, scores: train/scores, top: top}
    out: [best, ranking]

  evaluate:
    run: ../cwl/tools/evaluate.cwl
    scatter: model
    in: {wanted: {default: true}, model: choose/best, test: test_data}
    out: [scores, confusion]

outputs:
  best: {type: 'File[]', outputSource: choose/best}
  ranking: {type: File, outputSource: choose/ranking}
  tested: {type: 'File[]', outputSource: evaluate/scores}
