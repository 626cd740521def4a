cwlVersion: v1.2
class: CommandLineTool
doc: Copy the models with the best validation scores.
baseCommand: python3
inputs:
  script:
    type: File
    default: {class: File, location: ../scripts/choose.py}
    inputBinding: {position: 1}
  top: {type: int, inputBinding: {position: 2, prefix: --top}}
  models: {type: 'File[]', inputBinding: {position: 3, prefix: --models}}
  scores: {type: 'File[]', inputBinding: {position: 4, prefix: --scores}}
outputs:
  best: {type: 'File[]', outputBinding: {glob: "best/*.joblib"}}
  ranking: {type: File, outputBinding: {glob: ranking.txt}}
