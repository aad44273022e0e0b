"""What all tests share: where the fixtures lie, the libraries that verify, and one hypothesis
profile for every machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from pithgraph import keys

# A slow machine is no fault of an example.
hypothesis.settings.register_profile("pithgraph", deadline=None)
hypothesis.settings.load_profile("pithgraph")


@pytest.fixture
def published() -> Path:
    """The five published documents."""
    return Path(__file__).resolve().parents[1] / "fixtures" / "pith"


@pytest.fixture(params=["cryptography", "pynacl"], scope="module")
def backend(request: pytest.FixtureRequest) -> Iterator[str]:
    """Verifies with each library in turn."""
    before = keys.backend()
    keys.use_backend(request.param)
    yield request.param
    keys.use_backend(before)
