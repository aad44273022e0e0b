"""What all tests share: where the fixtures lie, the program, the libraries that verify, and one
hypothesis profile for every machine."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import hypothesis
import pytest

from pithgraph import keys
from pithgraph.cli import main

# Whoever starts the suite in the background may ignore these, and so would each program that tests
# interrupt.
for number, handler in (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGHUP, signal.SIG_DFL),
    (signal.SIGQUIT, signal.SIG_DFL),
):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, handler)

# What whoever runs the suite has set for their own work.
for name in ("PITHGRAPH_LOG", "PITHGRAPH_KEYRING"):
    os.environ.pop(name, None)

# A slow machine is no fault of an example.
hypothesis.settings.register_profile("pithgraph", deadline=None)
# The same examples at every run, none made smaller: for `mutation`, which asks for pass or fail.
hypothesis.settings.register_profile(
    "same",
    deadline=None,
    derandomize=True,
    database=None,
    phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
)
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


class Done(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def rows(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.out.splitlines()]


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]):  # type: ignore[no-untyped-def]
    """Run the program in this process."""

    def run(*arguments: object) -> Done:
        with pytest.raises(SystemExit) as exit_:
            main([str(argument) for argument in arguments])
        sys.stdout.flush()
        out, err = capfd.readouterr()
        assert "Traceback" not in err
        assert isinstance(exit_.value.code, int)
        return Done(exit_.value.code, out, err)

    return run
