cwlVersion: v1.2
class: CommandLineTool
doc: "Train one network: an ML run with metrics for each epoch."
requirements:
  ResourceRequirement: {coresMin: 1, ramMin: 500}
baseCommand: python3
inputs:
  script:
    type: File
    default: {class: File, location: ../scripts/train.py}
    inputBinding: {position: 1}
  train: {type: File, inputBinding: {position: 2, prefix: --train}}
  validation: {type: File, inputBinding: {position: 2, prefix: --validation}}
  hidden: {type: string, inputBinding: {position: 2, prefix: --hidden}}
  learning_rate: {type: float, inputBinding: {position: 2, prefix: --learning-rate}}
  epochs: {type: int, inputBinding: {position: 2, prefix: --epochs}}
  batch_size: {type: int, inputBinding: {position: 2, prefix: --batch-size}}
  alpha: {type: float, inputBinding: {position: 2, prefix: --alpha}}
  seed: {type: int, inputBinding: {position: 2, prefix: --seed}}
stdout: train.log
outputs:
  model: {type: File, outputBinding: {glob: "*.joblib"}}
  scores: {type: File, outputBinding: {glob: "*.json"}}
