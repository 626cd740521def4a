"""Provenance of workflow runs and of the ML runs inside them, as one W3C PROV document."""

__version__ = "0.1.0"
