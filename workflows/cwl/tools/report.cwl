cwlVersion: v1.2
class: CommandLineTool
doc: Tell of all models, and of the best in detail, on one page.
baseCommand: python3
inputs:
  script:
    type: File
    default: {class: File, location: ../scripts/report.py}
    inputBinding: {position: 1}
  trained: {type: 'File[]', inputBinding: {position: 2, prefix: --trained}}
  tested: {type: 'File[]', inputBinding: {position: 3, prefix: --tested}}
  confusion: {type: 'File[]', inputBinding: {position: 4, prefix: --confusion}}
stdout: report.md
outputs:
  page: stdout
