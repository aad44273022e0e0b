"""What all tests share: where the fixtures lie, and one hypothesis profile for every machine."""

from __future__ import annotations

from pathlib import Path

import hypothesis
import pytest

# A slow machine is no fault of an example.
hypothesis.settings.register_profile("pithgraph", deadline=None)
hypothesis.settings.load_profile("pithgraph")


@pytest.fixture
def published() -> Path:
    """The five published documents."""
    return Path(__file__).resolve().parents[1] / "fixtures" / "pith"
