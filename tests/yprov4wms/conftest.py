"""Hypothesis without deadlines, for machines are loaded; in CI always the same examples."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings
from tests.yprov4wms.validator import seeded

settings.register_profile("local", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")


@pytest.fixture(scope="session")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cache of roc-validator; without the validator tests that ask for it are skipped."""
    return seeded(tmp_path_factory.mktemp("contexts"))
