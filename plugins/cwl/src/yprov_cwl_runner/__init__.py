"""cwltool with provenance: the ``yprov-cwl-runner`` command."""
