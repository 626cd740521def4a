"""Runs as RO-Crates: `run` of workflows (Provenance Run Crate 0.5), `yprov4wms.ml.crate` of ML."""

from __future__ import annotations

FORMAT = "ro-crate"
