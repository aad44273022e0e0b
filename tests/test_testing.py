"""`pithgraph.testing`: its events are what it says, by the engine and by the oracle."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import oracle
import pithgraph
import signing
from pithgraph.errors import VERDICT_REASONS
from pithgraph.kinds import KINDS
from pithgraph.merge import merge_events
from pithgraph.testing import History, Paper, World, events, histories
from pithgraph.validation import verdict_of

ROOT = Path(__file__).resolve().parents[1]
WORLD = World()


def by_the_oracle(history: History) -> dict[str, bytes]:
    rows = [(history.paper, *alias) for alias in history.aliases]
    values = [event.value for event in history.events]
    merged = oracle.merge(values, rows, WORLD.keyring_value, "verified")
    return {paper: oracle.canonical(state) for paper, state in merged.items()}


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_valid_by_each_key_that_may_sign_it(kind: str) -> None:
    for by in WORLD.signers(kind):
        for paper in (WORLD.paper, WORLD.other_paper):
            event = WORLD.sign(kind, by=by, paper=paper)
            assert event.subject == paper.number
            assert verdict_of(event, WORLD.keyring) == (None, "", False)
            assert oracle.verdict(event.value, WORLD.keyring_value, "verified")[0] is None
    for by in set(WORLD.trusted) - set(WORLD.signers(kind)):
        reason = verdict_of(WORLD.sign(kind, by=by), WORLD.keyring).reason
        assert reason == "unauthorized_signer"


@pytest.mark.parametrize("reason", VERDICT_REASONS)
def test_each_reason_is_made(reason: str) -> None:
    for paper in (WORLD.paper, WORLD.other_paper):
        event = WORLD.invalid(reason, paper=paper)
        assert event.subject == paper.number
        assert verdict_of(event, WORLD.keyring).reason == reason
        assert oracle.verdict(event.value, WORLD.keyring_value, "verified")[0] == reason


def test_the_world_signs_as_the_other_signing_world() -> None:
    """They share no code: what both make of the same members is right, or both are wrong alike."""
    theirs = signing.REGISTRY
    key = WORLD.registry
    assert (key.key_id, key.fingerprint) == (theirs.key_id, theirs.fingerprint)
    assert key.entry() == theirs.entry()
    event = WORLD.sign("record_created")
    body = {
        name: event.value[name] for name in event.value if name not in ("event_id", "signature")
    }
    assert signing.sealed(body, theirs) == event.value
    assert WORLD.stranger.fingerprint == signing.STRANGER.fingerprint


def test_what_is_given_takes_the_place_of_what_is_usual() -> None:
    uri = "https://elsewhere.example"
    event = WORLD.sign("storage_attestation", payload={"uri": uri, "more": 1}, note="x").value
    assert (event["target"], event["payload"]["more"], event["note"]) == (f"storage:{uri}", 1, "x")
    first = WORLD.sign("graph_snapshot")
    correction = WORLD.sign("correction", payload={"event_id": first.event_id, "action": "retract"})
    assert verdict_of(correction, WORLD.keyring).reason is None
    assert correction.value["target"] == first.event_id
    other = Paper("2601.00003", 2)
    assert WORLD.sign("graph_snapshot", paper=other).subject == other.number
    assert World().sign("graph_snapshot").canonical == first.canonical


def test_the_keyring_trusts_all_but_the_stranger_and_the_revoked() -> None:
    found = {key.key_id: key.revoked for key in WORLD.keyring.keys}
    assert found.pop("test-revoked") is True
    assert found == {key.key_id: False for key in WORLD.trusted}
    assert "test-stranger" not in found


# --- strategies


@settings(max_examples=50)
@given(events())
def test_drawn_events_are_valid(event: pithgraph.Event) -> None:
    assert verdict_of(event, WORLD.keyring).reason is None


@settings(max_examples=40)
@given(histories())
def test_histories_hold_what_they_promise_and_the_oracle_agrees(history: History) -> None:
    state = merge_events(history.paper, history.events, history.aliases, WORLD.keyring)
    assert state.equivocation_count > 0
    assert state.invalid_event_count > 0
    distinct = {event.sha256: event.timestamp for event in history.events}
    times = [time for time in distinct.values() if time is not None]
    assert len(times) > len(set(times))
    assert {history.paper: state.canonical} == by_the_oracle(history)


@settings(max_examples=20)
@given(histories(equivocations=False, invalid=False, paper=WORLD.other_paper))
def test_histories_can_be_of_valid_events_of_another_paper(history: History) -> None:
    assert history.paper == WORLD.other_paper.number
    assert all(event.subject == history.paper for event in history.events)
    state = merge_events(history.paper, history.events, history.aliases, WORLD.keyring)
    assert state.invalid_event_count == 0
    assert {history.paper: state.canonical} == by_the_oracle(history)


@settings(max_examples=20)
@given(histories(), st.randoms(use_true_random=False))
def test_the_example_of_the_docstring_holds_for_any_order(history: History, chance: object) -> None:
    shuffled = list(history.events)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    one = merge_events(history.paper, history.events, history.aliases, WORLD.keyring)
    other = merge_events(history.paper, shuffled, history.aliases[::-1], WORLD.keyring)
    assert one.canonical == other.canonical


WITHOUT_HYPOTHESIS = """
import sys
sys.modules["hypothesis"] = None
import pithgraph.testing as testing
print(testing.World().sign("graph_snapshot").event_id[:7])
try:
    from pithgraph.testing import histories
except ModuleNotFoundError as error:
    print(error)
print("lmdb" in sys.modules, "click" in sys.modules)
try:
    testing.nothing_such
except AttributeError as error:
    print(error)
"""


def test_without_hypothesis_the_world_works_and_strategies_say_what_they_need() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_HYPOTHESIS],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.stdout.splitlines() == [
        "sha256:",
        "pithgraph.testing.histories needs hypothesis: pip install 'pithgraph[test]'",
        "False False",
        "module 'pithgraph.testing' has no attribute 'nothing_such'",
    ], done.stderr
