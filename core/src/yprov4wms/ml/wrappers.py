"""PyTorch models whose layers are watched. Importing this imports PyTorch."""

from __future__ import annotations


class ProvenanceTrackedModel:
    pass


class WeightDistributionTrackedModel:
    pass
