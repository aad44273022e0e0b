"""Where the third-party vectors lie that the tests run against: no copies are kept here.

The environment variable PITHGRAPH_VECTORS names their folder, else it is `shared/vectors` beside
the project's folder. Where there is none the tests that need it are skipped; but a folder that
somebody named must be there, so that a run which means to include them cannot pass without.
"""

import os
from pathlib import Path

import pytest

VARIABLE = "PITHGRAPH_VECTORS"
FALLBACK = Path(__file__).resolve().parents[2] / "shared" / "vectors"


def vectors(name: str) -> Path:
    """The folder or file of this name among the vectors; skips or fails where it is not."""
    named = os.environ.get(VARIABLE)
    path = (Path(named) if named else FALLBACK) / name
    if path.exists():
        return path
    if named:
        pytest.fail(f"{VARIABLE} is set, but {path} is not there")
    pytest.skip(f"third-party vectors are not here; {VARIABLE} names their folder")
