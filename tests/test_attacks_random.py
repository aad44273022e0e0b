"""Attacks that nobody thought of: members of events in the place of others', odd texts in every
place, sealed by the right key, by another or not at all; in a log they give the oracle's states."""

import functools
import itertools
import random
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import oracle
from arena import ASSURANCES, mirror
from histories import KEYRING, PREVIOUS, TIMES, Choose, choosing
from pithgraph import preparing
from pithgraph.errors import VERDICT_REASONS
from pithgraph.merging import Merging
from planting import Weakening, any_id_recomputes, anything_verifies, of_one, stated_first
from signing import (
    BOB,
    ENTRIES,
    OTHER_PAPER,
    PAPER,
    REGISTRY,
    SIGNERS,
    STRANGER,
    Json,
    Key,
    canonical,
    event_id_of,
    sealed,
    signed_event,
)
from test_log_histories import choose_crowd, choose_ordinary

TEXTS: list[Any] = [
    *('","signer":{"key_id":"x"', ',"signer":' + canonical(BOB.signer()).decode(), "\\", '"'),
    *('"payload":', "}", '{"metadata":', "Ü\U0001f600\u2028", "\x00", "", "record", "graph"),
    *("anchor:x", 'replication:,"signer":', *TIMES, *PREVIOUS, *SIGNERS),
    *("0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "9999-12-31T23:59:60Z"),
]
VALUES: list[Any] = [*TEXTS, None, True, 0, -0.0, 1e16, 2**53 - 1, [], {}, BOB.signer()]
MEMBERS = [
    *("event_id", "event_id", "signature", "signature", "signer", "payload", "target"),
    *("created_at", "event_type", "previous_event_id", "subject_pith_number", "source", "note"),
]
KEYS = [*ENTRIES, STRANGER]


def choose_attack(choose: Choose, of: Sequence[Json]) -> Json:
    """One of these events, with what others have or odd values in some places."""
    event = choose(of)
    own = key_of(event)
    for _ in range(choose([1, 1, 2, 3])):
        name = choose(MEMBERS)
        if choose([True, False]) and isinstance(event.get("payload"), dict):
            inner = {choose(["note", "signer", "uri", "x"]): choose([*VALUES, *of])}
            event = event | {"payload": event["payload"] | inner}
        elif choose([True, True, False]) and any(name in other for other in of):
            event = event | {name: choose([other[name] for other in of if name in other])}
        elif name == "event_id":
            event = event | {name: choose(of)["event_id"][:23] + choose("09af") * 48}
        else:
            event = event | {name: choose(VALUES)}
    seal = choose(["none", "id", "own", "another's"])
    if seal == "none":
        return event
    if seal == "id":
        return event | {"event_id": event_id_of(event)}
    if seal == "own":
        return sealed(event, own)
    key = choose(KEYS)
    return sealed(event | {"signer": key.signer()}, key)


def key_of(event: Json) -> Key:
    signer = event.get("signer")
    stated = signer.get("public_key_fingerprint") if isinstance(signer, dict) else None
    return next((key for key in KEYS if key.fingerprint == stated), REGISTRY)


def choose_attacked(choose: Choose) -> list[Json]:
    """An ordinary history, and attacks on it."""
    if choose([True, True, False]):
        events = choose_ordinary(choose, [PAPER, OTHER_PAPER]).events
    else:
        events = choose_crowd(choose, PAPER).events
    events = [event for event in events if isinstance(event.get("event_id"), str)]
    events = events or [signed_event()]
    attacks = [choose_attack(choose, events) for _ in range(choose([1, 1, 2, 4]))]
    return [*events, *attacks] if choose([True, False]) else [*attacks, *events]


def check(events: list[Json]) -> None:
    """That a log gives the oracle's bytes, and `merge_events` the same."""
    admitted: list[Json] = []
    for event in events:
        oracle._take_event(event, admitted)
    found = mirror(events)
    for assurance in ASSURANCES:
        documents = oracle.merge(admitted, [], KEYRING, assurance)
        states = {name: state.canonical for name, state in found.states[assurance].items()}
        assert states == {name: oracle.canonical(documents[name]) for name in documents}


@st.composite
def attacked(draw: st.DrawFn) -> list[Json]:
    return choose_attacked(choosing(draw))


@pytest.mark.longer
@settings(max_examples=60)
@given(attacked())
def test_random_attacks(events: list[Json]) -> None:
    check(events)


@functools.cache
def fixed_attacks() -> list[list[Json]]:
    """The same at every run."""
    chance = random.Random("attacks")
    return [choose_attacked(chance.choice) for _ in range(100)]


@pytest.mark.slow
def test_sample_of_many_random_attacks() -> None:
    chance = random.Random("many attacks")
    for _ in range(1500):
        check(choose_attacked(chance.choice))


def test_the_fixed_attacks_hold_everything() -> None:
    seen = {"refused": 0} | dict.fromkeys([None, *VERDICT_REASONS], 0)
    for event in itertools.chain(*fixed_attacks()):
        admitted: list[Json] = []
        oracle._take_event(event, admitted)
        seen[oracle.verdict(event, KEYRING, "verified")[0] if admitted else "refused"] += 1
    assert [what for what, count in seen.items() if not count] == []


def test_fixed_attacks_come_to_nothing() -> None:
    for events in fixed_attacks():
        check(events)


WEAKENINGS: dict[str, Weakening] = {
    "anything verifies": anything_verifies,
    "any id recomputes": any_id_recomputes,
    "what is stated displaces what is verified": stated_first,
    "a slot may be taken twice": of_one(Merging, "_ordinary", "if slot in slots:", "if False:"),
    "forks are not asked": of_one(Merging, "_ordinary", "if link in links:", "if False:"),
    "the target of an event is not asked": of_one(
        preparing, "is_judged_like_its_class", "fullmatch(view.target) is not None", "pattern"
    ),
    "the time of an event is not asked": of_one(
        preparing, "is_judged_like_its_class", "is_timestamp(view.created_at)", "True"
    ),
}


@pytest.mark.longer
@pytest.mark.parametrize("weaken", WEAKENINGS)
def test_a_weakened_engine_is_seen(weaken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    WEAKENINGS[weaken](monkeypatch)
    with pytest.raises(AssertionError):
        test_fixed_attacks_come_to_nothing()
