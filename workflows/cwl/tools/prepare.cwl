cwlVersion: v1.2
class: CommandLineTool
doc: Write the digits that scikit-learn ships as one file.
baseCommand: python3
inputs:
  script:
    type: File
    default: {class: File, location: ../scripts/prepare.py}
    inputBinding: {position: 1}
arguments: [{valueFrom: digits.npz, position: 2}]
outputs:
  digits: {type: File, outputBinding: {glob: digits.npz}}
