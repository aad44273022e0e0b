"""The fuzzer's properties: held by all that it ever found, and able to fail; and a run of it."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fuzz import harness
from pithgraph.audit import Audited, Finding
from pithgraph.errors import DecodeError
from pithgraph.validation import Verdict
from signing import canonical, signed_event

TESTS = Path(__file__).resolve().parent
REGRESSIONS = sorted((TESTS / "fuzz" / "regressions").glob("*.bin"))
GOOD = canonical(signed_event())


@pytest.mark.parametrize("path", REGRESSIONS, ids=lambda path: path.stem)
def test_what_the_fuzzer_found(path: Path) -> None:
    harness.check(path.read_bytes())


def lenient(data: bytes) -> Any:
    return json.loads(data)


def strict(data: bytes) -> Any:
    raise DecodeError("syntax", "nothing is good enough", 1, 1)


def steering(*_: Any) -> Audited:
    return Audited("event", (Finding("check", "pass", "\x1b[2J"),))


def trusting(*_: Any) -> Verdict:
    return Verdict(None, "", stated=False)


def forgetful(paper: str, events: list[Any], *more: Any) -> Any:
    return forgetful.honest(paper, events[1:], *more)  # type: ignore[attr-defined]


def miscounting(*arguments: Any, **named: Any) -> Any:
    done = miscounting.honest(*arguments, **named)  # type: ignore[attr-defined]
    return done._replace(read=done.read + 1, duplicates=done.duplicates + 1)


@pytest.mark.parametrize(
    ("name", "fault", "data"),
    [
        ("decode", lenient, b'{"a":1,"a":2}'),
        ("decode", strict, b"{}"),
        ("audit_bytes", steering, b"{}"),
        ("verdict_of", trusting, GOOD.replace(b"graph", b"grape")),
        ("merge_events", forgetful, GOOD),
        ("ingest_pieces", miscounting, b"7"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_planted_fault_is_found(
    name: str, fault: Callable[..., Any], data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness.check(data)
    monkeypatch.setattr(fault, "honest", getattr(harness, name), raising=False)
    monkeypatch.setattr(harness, name, fault)
    with pytest.raises(AssertionError):
        harness.check(data)


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("atheris") is None,
    reason="atheris is not installed: pip install 'pithgraph[fuzz]'",
)
def test_a_run_of_the_fuzzer_finds_nothing(tmp_path: Path) -> None:
    # A seed makes a run the same again; a find is written to `tmp_path`, and printed.
    options = ["-seed=2026", "-runs=5000", "-print_final_stats=1", f"-artifact_prefix={tmp_path}/"]
    # Linux counts to a program what the process held that started it: here this one, and its tests.
    options.append("-rss_limit_mb=16384")
    command = [sys.executable, "-m", "fuzz", str(tmp_path / "corpus"), *options]
    done = subprocess.run(command, cwd=TESTS, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-5000:]
    assert "stat::number_of_executed_units: 5000" in done.stderr
