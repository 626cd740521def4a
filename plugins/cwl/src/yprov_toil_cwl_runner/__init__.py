"""toil-cwl-runner with provenance: the ``yprov-toil-cwl-runner`` command."""
