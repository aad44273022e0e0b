"""Equivocation proofs (SPEC §8): built from a state, verified offline, and every single condition
broken in turn."""

import json
from typing import Any

import pytest

import oracle
from curve import NEGATIVE_ZERO, UNREDUCED, moved
from histories import FOREIGN_IDS, KEYRING, PREVIOUS, fixed_histories
from pithgraph._curve import SMALL_ORDER_ENCODINGS
from pithgraph.canonical import encode
from pithgraph.entries import EventEntry, entries_of
from pithgraph.errors import DecodeError, ProofError
from pithgraph.events import Event
from pithgraph.keyring import Keyring
from pithgraph.merge import merge_events
from pithgraph.proofs import build_proof, verify_proof
from signing import (
    ALICE,
    BOB,
    DROP,
    OTHER_PAPER,
    PAPER,
    READER,
    STRANGER,
    Json,
    Key,
    at,
    b64,
    canonical,
    changed,
    keyring_value,
    sealed,
    signature,
    signed_event,
)

RING = Keyring.from_value(KEYRING)
NOTED: Json = {"signer.note": 1}
RENAMED: Json = {"signer.signer_id": "x"}


def said(key: Key = ALICE, **members: Any) -> Json:
    """A correction: each of these is another event in one slot, unless it says otherwise."""
    return signed_event("correction", key, **members)


def proof_of(one: Json, two: Json, key: Key = ALICE, **members: Any) -> Json:
    """A proof written by hand, of same_slot unless it says otherwise."""
    slot = {name: one.get(name) for name in ("event_type", "target", "created_at")}
    return {
        "proof_type": "pith_equivocation_proof",
        "proof_version": "1.0",
        "rule": "same_slot",
        "slot": slot,
        "public_key_b64": key.public_b64,
        "events": sorted((one, two), key=lambda event: str(event.get("event_id"))),
    } | members


def fork_of(one: Json, two: Json, **members: Any) -> Json:
    slot = {"previous_event_id": one.get("previous_event_id")}
    return proof_of(one, two, rule="fork", slot=slot) | members


ONE, TWO, THREE = (said(note=note) for note in (1, 2, 3))
FORKED = [said(created_at=at(s), previous_event_id=PREVIOUS[0], note=0) for s in (1, 2, 3)]

# --- built from a state


def build(events: list[Json], rule: str, paper: str = PAPER.number) -> Json:
    read = [Event.from_value(event) for event in events]
    state = merge_events(paper, read, [], RING)
    (row,) = [row for row in state.equivocations if row.rule == rule]
    return build_proof(row, read, RING)


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize(
    ("rule", "events", "slot"),
    [
        (
            "same_slot",
            [ONE, TWO, THREE],
            {"event_type": "correction", "target": "record", "created_at": at(1)},
        ),
        ("fork", FORKED, {"previous_event_id": PREVIOUS[0]}),
    ],
)
def test_a_proof_of_a_state(rule: str, events: list[Json], slot: Json, count: int) -> None:
    events = events[:count]
    proof = build(events, rule)
    chosen = sorted(events, key=lambda event: str(event["event_id"]))[:2]
    assert proof == {
        "proof_type": "pith_equivocation_proof",
        "proof_version": "1.0",
        "rule": rule,
        "slot": slot,
        "public_key_b64": ALICE.public_b64,
        "events": chosen,
    }
    for given in (proof, canonical(proof), json.dumps(proof, indent=1).encode()):
        found = verify_proof(given, RING)
        assert found.rule == rule
        assert found.slot == slot
        assert found.pith_number == PAPER.number
        assert found.public_key_fingerprint == ALICE.fingerprint
        assert found.event_ids == tuple(event["event_id"] for event in chosen)
        assert found.key == RING.by_fingerprint(ALICE.fingerprint)


def test_every_equivocation_of_random_histories_has_its_proof() -> None:
    count = 0
    for history in fixed_histories(100):
        by_id = {
            event["event_id"]: Event.from_value(event)
            for event in history.events
            if oracle.verdict(event, KEYRING, "verified")[0] is None
        }
        for paper in (PAPER.number, OTHER_PAPER.number):
            for row in merge_events(paper, by_id.values(), [], RING).equivocations:
                found = verify_proof(encode(build_proof(row, by_id.values(), RING)), RING)
                assert (found.rule, found.slot) == (row.rule, row.slot)
                assert found.event_ids == row.event_ids[:2]
                count += 1
    assert count > 20


def test_a_proof_brings_its_two_events_to_a_log() -> None:
    entries = list(entries_of(build([ONE, TWO, THREE], "same_slot")))
    events = [entry.event for entry in entries if isinstance(entry, EventEntry)]
    assert len(events) == len(entries) == 2
    (row,) = merge_events(PAPER.number, events, [], RING).equivocations
    assert row.rule == "same_slot"


def test_junk_that_states_an_id_is_in_no_proof() -> None:
    events = [Event.from_value(event) for event in (ONE, TWO)]
    (row,) = merge_events(PAPER.number, events, [], RING).equivocations
    junk = [Event.from_value(changed(TWO, "payload.note", f"junk {n}")) for n in range(100)]
    assert min(one.sha256 for one in junk) < events[1].sha256
    assert build_proof(row, [*junk, *events], RING) == build_proof(row, events, RING)


def test_what_cannot_be_built() -> None:
    events = [Event.from_value(event) for event in (ONE, TWO)]
    (row,) = merge_events(PAPER.number, events, [], RING).equivocations
    by_id = {str(event.event_id): event for event in events}
    with pytest.raises(ProofError, match=ALICE.fingerprint):
        build_proof(row, by_id.values(), Keyring.from_value(keyring_value(BOB.entry())))
    for missing in row.event_ids:
        others = {event_id: by_id[event_id] for event_id in by_id if event_id != missing}
        with pytest.raises(ProofError, match=missing):
            build_proof(row, others.values(), RING)


# --- verified


def test_whose_key_it_is_only_a_keyring_can_say() -> None:
    proof = proof_of(ONE, TWO)
    assert verify_proof(proof).key is None
    assert verify_proof(proof, Keyring.from_value(keyring_value(BOB.entry()))).key is None
    found = verify_proof(proof, RING).key
    assert found is not None
    assert found.signer_id == ALICE.signer_id


def test_windows_revocation_and_payloads_are_not_asked() -> None:
    """A proof shows who signed what, not whether it counts."""
    ring = Keyring.from_value(keyring_value(ALICE.entry(revoked=True, valid_until=at(0))))
    one, two = (said(payload={}, note=note, target="\n", created_at="then") for note in (1, 2))
    found = verify_proof(proof_of(one, two), ring)
    assert found.key is not None
    assert found.key.revoked
    assert found.slot["created_at"] == "then"


def test_unknown_members_are_allowed() -> None:
    assert verify_proof(proof_of(ONE, TWO, note=[None])).rule == "same_slot"


def test_a_strangers_proof_verifies_too() -> None:
    one, two = (said(STRANGER, note=note) for note in (1, 2))
    assert verify_proof(proof_of(one, two, STRANGER), RING).key is None


def test_signers_may_say_more_where_they_are_equal() -> None:
    signer = ALICE.signer(email="a@example.org")
    one, two = (said(signer=signer, note=note) for note in (1, 2))
    assert verify_proof(proof_of(one, two)).event_ids


# --- refused


def tampered(index: int, path: str, new: Any, proof: Json | None = None) -> Json:
    proof = proof or proof_of(ONE, TWO)
    events = list(proof["events"])
    events[index] = changed(events[index], path, new)
    return proof | {"events": events}


def mixed_order() -> Json:
    """Each signature holds under Alice's own key; the proof names it with torsion added."""
    return proof_of(ONE, TWO, public_key_b64=b64(moved(ALICE.public, 3)))


def of_small_order(encoding: bytes) -> Json:
    key_b64 = b64(encoding)
    fingerprint = oracle.digest(encoding)[:32]
    signer = ALICE.signer(public_key_fingerprint=fingerprint)
    events = [said(signer=signer, note=note) for note in (1, 2)]
    return proof_of(events[0], events[1], public_key_b64=key_b64)


def under_another_key_id(index: int) -> Json:
    return tampered(index, "signature.key_id", "test-another")


def signed_over_another_id(index: int) -> Json:
    proof = proof_of(ONE, TWO)
    events = list(proof["events"])
    events[index] = events[index] | {
        "event_id": FOREIGN_IDS[0],
        "signature": signature(ALICE, FOREIGN_IDS[0]),
    }
    return proof | {"events": events}


NAMED = ("proof_version", "rule", "slot", "public_key_b64", "events")
OTHER_TYPES: list[Any] = [None, 1, "x", [], {}, True]
BROKEN: list[tuple[str, Any, str]] = [
    *((f"no {name}", changed(proof_of(ONE, TWO), name, DROP), name) for name in NAMED),
    *(
        (f"{name} is {value!r}", proof_of(ONE, TWO, **{name: value}), r"\$|slot|base64|holds 0")
        for name in NAMED
        for value in OTHER_TYPES
    ),
    ("no proof_type", changed(proof_of(ONE, TWO), "proof_type", DROP), "unknown_document"),
    ("another type", proof_of(ONE, TWO, proof_type="proof"), "unknown_document"),
    ("a bundle", {"bundle_type": "pith_open_graph_bundle"}, "pith_open_graph_bundle"),
    ("an event", ONE, "but: event"),
    ("with a subject", proof_of(ONE, TWO, subject_pith_number=PAPER.number), "but: event"),
    ("a list", [proof_of(ONE, TWO)], "but: list"),
    ("nothing", None, "not_an_object"),
    ("version 2.0", proof_of(ONE, TWO, proof_version="2.0"), "proof_version"),
    ("another rule", proof_of(ONE, TWO, rule="twice"), "rule"),
    ("one event", proof_of(ONE, TWO, events=[ONE]), "events"),
    ("three events", proof_of(ONE, TWO, events=[ONE, TWO, THREE]), "events"),
    ("event null", proof_of(ONE, TWO, events=[ONE, None]), "events"),
    ("no subject", tampered(0, "subject_pith_number", DROP), "no_subject"),
    ("too deep", tampered(0, "x", json.loads("[" * 56 + "]" * 56)), "event_too_deep"),
    ("too large", tampered(1, "x", "x" * 2**20), "event_too_large"),
    ("integer", tampered(1, "x", 2**53), "event_integer_range"),
    ("foreign key", proof_of(ONE, TWO, BOB), rf"events\[0\]: signed by {ALICE.fingerprint}"),
    (
        "one by a foreign key",
        proof_of(ONE, TWO, events=sorted((ONE, said(BOB)), key=lambda e: str(e["event_id"]))),
        f"signed by {BOB.fingerprint}",
    ),
    ("another subject", proof_of(ONE, said(paper=OTHER_PAPER)), PAPER.number),
    ("signer differs", proof_of(ONE, said(**NOTED)), "different signers"),
    ("signer_id differs", proof_of(ONE, said(**RENAMED)), "different signers"),
    *((f"key_id of {i}", under_another_key_id(i), rf"\[{i}\]: signature.key_id") for i in (0, 1)),
    *((f"changed {i}", tampered(i, "late", 1), rf"\[{i}\]: event_id does not") for i in (0, 1)),
    *((f"other id {i}", signed_over_another_id(i), "event_id does not recompute") for i in (0, 1)),
    *(
        (
            f"bad signature {i}",
            tampered(i, "signature", signature(STRANGER, FOREIGN_IDS[0], key_id=ALICE.key_id)),
            rf"events\[{i}\]: the signature does not verify",
        )
        for i in (0, 1)
    ),
    *((f"unsigned {i}", tampered(i, "signature", DROP), rf"\[{i}\]: not signed") for i in (0, 1)),
    *((f"signature null {i}", tampered(i, "signature", None), "not signed") for i in (0, 1)),
    *((f"malformed {i}", tampered(i, "payload", 1), rf"\[{i}\]: malformed") for i in (0, 1)),
    ("signature open", tampered(0, "signature.note", 1), "malformed"),
    ("another target", proof_of(ONE, said(target="graph")), "target is"),
    ("another time", proof_of(ONE, said(created_at=at(2))), "created_at is"),
    ("another kind", proof_of(ONE, said(event_type="mirror_hint")), "event_type is"),
    (
        "another slot",
        proof_of(ONE, TWO, slot={"event_type": "x", "target": "record", "created_at": at(1)}),
        "event_type is",
    ),
    ("slot short", changed(proof_of(ONE, TWO), "slot.target", DROP), "exactly the members"),
    ("slot long", changed(proof_of(ONE, TWO), "slot.note", ""), "exactly the members"),
    ("slot null", changed(proof_of(ONE, TWO), "slot.target", None), "target is"),
    ("slot of a fork", proof_of(ONE, TWO, slot={"previous_event_id": None}), "exactly the"),
    ("fork of a slot", proof_of(ONE, TWO, rule="fork"), "exactly the members"),
    (
        "fork after null",
        fork_of(*(said(previous_event_id=None, note=note) for note in (1, 2))),
        "previous_event_id is None",
    ),
    ("fork after nothing", fork_of(ONE, TWO), "previous_event_id is None"),
    (
        "fork of two",
        fork_of(FORKED[0], said(previous_event_id=PREVIOUS[1])),
        "previous_event_id is",
    ),
    ("one event twice", proof_of(ONE, ONE), "one and the same"),
    (
        "one event, two signatures",
        proof_of(
            ONE,
            changed(
                ONE,
                "signature.signature_b64",
                b64(ALICE.sign_again(bytes.fromhex(ONE["event_id"][7:]))),
            ),
        ),
        "one and the same",
    ),
    ("wrong order", proof_of(ONE, TWO, events=proof_of(ONE, TWO)["events"][::-1]), "order"),
    ("key short", proof_of(ONE, TWO, public_key_b64=b64(bytes(31))), "holds 31 bytes"),
    ("key unpadded", proof_of(ONE, TWO, public_key_b64=ALICE.public_b64[:-1]), "base64"),
    ("key of mixed order", mixed_order(), "outside the subgroup"),
    *(
        (f"small {k.hex()[:6]}", of_small_order(k), "small order")
        for k in sorted(SMALL_ORDER_ENCODINGS)
    ),
    ("unreduced", of_small_order(UNREDUCED[0]), "not the canonical encoding"),
    ("negative zero", of_small_order(NEGATIVE_ZERO[0]), "not the canonical encoding"),
]


@pytest.mark.parametrize(("proof", "names"), [pytest.param(*row, id=what) for what, *row in BROKEN])
def test_a_broken_proof_is_refused(proof: Any, names: str) -> None:
    for given in (proof, canonical(proof)):
        with pytest.raises(ProofError, match=names):
            verify_proof(given, RING)


def test_the_unbroken_proofs_hold() -> None:
    assert verify_proof(proof_of(ONE, TWO)).event_ids
    assert verify_proof(fork_of(FORKED[0], FORKED[1])).event_ids
    assert sealed(ONE, ALICE) == ONE
    assert verify_proof(proof_of(said(READER, note=1), said(READER, note=2), READER)).event_ids


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b'{"a":1,"a":2}', b"NaN"])
def test_bytes_that_are_no_json(data: bytes) -> None:
    with pytest.raises(DecodeError):
        verify_proof(data)


def test_a_value_that_has_no_bytes() -> None:
    with pytest.raises(ProofError):
        verify_proof(tampered(0, "late", "\ud800"))
