cwlVersion: v1.2
class: Workflow
doc: The digits that scikit-learn ships, parted into training, validation and test data.
inputs: {seed: int, validation_share: float, test_share: float}
steps:
  prepare:
    run: tools/prepare.cwl
    in: {}
    out: [digits]
  split:
    run: tools/split.cwl
    in:
      digits: prepare/digits
      seed: seed
      validation_share: validation_share
      test_share: test_share
    out: [train, validation, test]
outputs:
  train: {type: File, outputSource: split/train}
  validation: {type: File, outputSource: split/validation}
  test: {type: File, outputSource: split/test}
