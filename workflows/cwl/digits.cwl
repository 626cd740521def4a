cwlVersion: v1.2
class: Workflow
label: Digits
doc: |
  Train small networks on scikit-learn's handwritten digits, over a grid of hyperparameters;
  test the best of them; report. See README.md.

requirements:
  ScatterFeatureRequirement: {}
  SubworkflowFeatureRequirement: {}

inputs:
  hidden:
    type: string[]
    doc: Sizes of the hidden layers, joined by "-".
  learning_rate: float[]
  epochs: int
  batch_size: int
  alpha: float
  seed: int
  validation_share: float
  test_share: float
  top:
    type: int
    doc: How many models, the best on the validation data, go on to the test.
  test:
    type: boolean
    default: true
    doc: Whether the chosen models see the test data.

steps:
  data:
    label: Load and part the data
    run: data.cwl
    in: {seed: seed, validation_share: validation_share, test_share: test_share}
    out: [train, validation, test]

  train:
    label: Train one network
    run: tools/train.cwl
    scatter: [hidden, learning_rate]
    scatterMethod: flat_crossproduct
    in:
      train: data/train
      validation: data/validation
      hidden: hidden
      learning_rate: learning_rate
      epochs: epochs
      batch_size: batch_size
      alpha: alpha
      seed: seed
    out: [model, scores]

  choose:
    label: Choose the best by validation accuracy
    run: tools/choose.cwl
    in: {models: train/model, scores: train/scores, top: top}
    out: [best, ranking]

  evaluate:
    label: Test a chosen model
    run: tools/evaluate.cwl
    scatter: model
    when: $(inputs.wanted)
    in: {wanted: test, model: choose/best, test: data/test}
    out: [scores, confusion]

  report:
    label: Tell of all models on one page
    run: tools/report.cwl
    in:
      trained: train/scores
      tested: {source: evaluate/scores, pickValue: all_non_null}
      confusion: {source: evaluate/confusion, pickValue: all_non_null}
    out: [page]

outputs:
  page: {type: File, outputSource: report/page}
  best: {type: 'File[]', outputSource: choose/best}
  ranking: {type: File, outputSource: choose/ranking}
