"""Attacks on who has spoken: she is to be silenced, or framed, or to hide that she said two things
at once. Each test makes one attack, and is named after it.

At last the engine is weakened where it stops the attack, and the test sees the attack succeed.
"""

from typing import Any

import pytest

from arena import (
    ASSURANCES,
    CORRECTION,
    HONEST,
    RETRACTED,
    RING,
    SNAPSHOT,
    Mirror,
    check_in_vain,
    check_tolerated,
    mirror,
    refusal,
)
from pithgraph import ordinary, proofs, resolution
from planting import (
    Attack,
    Weakening,
    anything_verifies,
    check_each_is_weakened,
    check_it_is_seen,
    of_one,
    stated_first,
    unlisted,
    weakened,
)
from signing import (
    ALICE,
    BOB,
    DROP,
    OTHER_PAPER,
    PAPER,
    STRANGER,
    Json,
    Key,
    at,
    canonical,
    changed,
    event_id_of,
    sealed,
    signature,
    signed_event,
    some_id,
)

# --- another's slot


def test_junk_in_an_honest_slot() -> None:
    """Two things in a slot silence each other: so a forged one must not count."""
    for honest, payload in ((CORRECTION, RETRACTED), (SNAPSHOT, SNAPSHOT["payload"] | {"x": 1})):
        event = changed(honest, "payload", payload)
        event["event_id"] = event_id_of(event)
        check_in_vain(event, reason="bad_signature")
        forged = changed(event, "signature", signature(STRANGER, event["event_id"]))
        forged["signature"]["key_id"] = event["signer"]["key_id"]
        check_in_vain(forged, reason="bad_signature")


def test_another_key_in_an_honest_keys_slot() -> None:
    """Nor does what another says there, with every right, or after the same event."""
    previous = {"previous_event_id": CORRECTION["previous_event_id"]}
    event = signed_event("correction", BOB, created_at=CORRECTION["created_at"], **previous)
    found = mirror([*HONEST, event])
    for assurance in ASSURANCES:
        state = found.states[assurance][PAPER.number]
        assert state.equivocations == ()
        assert {event["event_id"], CORRECTION["event_id"]} <= found.applied_ids(assurance)


def test_text_that_looks_like_a_signer() -> None:
    """In a payload or a target it makes no two slots of one, and no one of two."""
    text = ',"signer":' + canonical(BOB.signer()).decode()
    told = {"kind": "replication", "outcome": "failed", "uri": text}
    payloads = [told | {"signer": signer} for signer in (BOB.signer(), ALICE.signer(), text)]
    twice = [
        signed_event("replication_record", target=f"replication:{text}", payload=payload)
        for payload in payloads
    ]
    apart = [
        signed_event("replication_record", ALICE, target=f"replication:{n}{text}", payload=told)
        for n in "12"
    ]
    found = mirror([*HONEST, *twice, *apart])
    for assurance in ASSURANCES:
        (row,) = found.states[assurance][PAPER.number].equivocations
        assert row.event_ids == tuple(sorted(event["event_id"] for event in twice))
        assert {event["event_id"] for event in apart} <= found.applied_ids(assurance)


def stated(event: Json, **members: Any) -> Json:
    """The event as a row of somebody's state document brings it: without a signature."""
    return changed(event, "signature", DROP) | members


def test_a_stated_row_against_verified_ones() -> None:
    """In a verified one's slot, and under its id; as a line and in a state document."""
    in_its_slot = stated(CORRECTION, payload=RETRACTED, event_id=some_id("of another rule"))
    under_its_id = stated(CORRECTION, created_at=at(8), target="graph", payload=RETRACTED)
    for row in (in_its_slot, under_its_id):
        del row["previous_event_id"]
        check_tolerated(row, reason="missing_signature", gives_way=True)
        document = {
            "state_type": "pith_open_graph_state",
            "pith_number": PAPER.number,
            "current": {"corrections": [row], "source_aliases": []},
        }
        assert mirror(HONEST, documents=[document]).states == mirror([*HONEST, row]).states


def test_a_stated_row_in_a_slot_that_is_withheld() -> None:
    """Who has said two things there has said nothing, and nobody says a third for her."""
    both = [signed_event("correction", note=note) for note in "ab"]
    row = stated(both[0], note="c", event_id=some_id("of another rule"))
    for lines in ([*both, row], [row, *both]):
        for assurance in ASSURANCES:
            assert mirror(lines).applied_ids(assurance) == set()


# --- proofs that frame an honest key


def framing(one: Json, two: Json, key: Key = ALICE) -> Json:
    """A proof document that says of these events that the key equivocated."""
    return {
        "proof_type": "pith_equivocation_proof",
        "proof_version": "1.0",
        "rule": "same_slot",
        "slot": {name: one[name] for name in ("event_type", "target", "created_at")},
        "public_key_b64": key.public_b64,
        "events": sorted((one, two), key=lambda event: str(event["event_id"])),
    }


def check_frames_nobody(proof: Json, fault: str) -> None:
    """That it does not verify, and that a log that it is put into sees no equivocation."""
    assert fault in refusal(lambda: proofs.verify_proof(proof, RING))
    found = mirror(HONEST, documents=[proof])
    for assurance in ASSURANCES:
        check_untouched_but(proof, mirror(HONEST), found, assurance)


def check_untouched_but(proof: Json, before: Mirror, after: Mirror, assurance: str) -> None:
    """Everything is applied as before; the proof's events may be, if they are good."""
    for paper, ids in before.applied(assurance).items():
        assert set(ids) <= set(after.applied(assurance)[paper])
    assert all(state.equivocations == () for state in after.states[assurance].values())


def test_a_proof_of_two_papers() -> None:
    events = [
        signed_event("correction", paper=paper, created_at=at(9)) for paper in (PAPER, OTHER_PAPER)
    ]
    check_frames_nobody(framing(*events), "the events are about")


def test_a_proof_of_two_keys() -> None:
    events = [signed_event("correction", key, created_at=at(9)) for key in (ALICE, BOB)]
    check_frames_nobody(framing(*events), f"signed by {BOB.fingerprint}")


def test_a_proof_with_a_forged_event() -> None:
    """One honest event, and one by somebody else in her name, or changed under its own id."""
    forged = sealed(changed(CORRECTION, "payload", RETRACTED), STRANGER)
    forged["signature"]["key_id"] = ALICE.key_id
    check_frames_nobody(framing(CORRECTION, forged), "the signature does not verify")
    tampered = CORRECTION | {"payload": RETRACTED, "event_id": CORRECTION["event_id"]}
    check_frames_nobody(framing(CORRECTION, tampered), "event_id does not recompute")


def test_a_proof_of_one_event() -> None:
    check_frames_nobody(framing(CORRECTION, CORRECTION), "one and the same")


def test_a_proof_by_a_key_with_a_colliding_fingerprint() -> None:
    """It proves something, but not of the key in the keyring."""
    signer = ALICE.signer()
    pair = [
        changed(sealed(signed_event("correction", signer=signer, note=note), STRANGER), *named)
        for note in "ab"
        for named in [("signature.key_id", ALICE.key_id)]
    ]
    proof = framing(pair[0], pair[1], STRANGER)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(proofs, "fingerprint_of", lambda key: ALICE.fingerprint)
        assert proofs.verify_proof(proof, RING).key is None
    check_frames_nobody(proof, f"the proof's key is {STRANGER.fingerprint}")


# --- weakened, the engine lets each of these in


def no_slot_has_a_key(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(resolution, "_slot", lambda one, right=resolution._slot: ("", *right(one)[1:]))


def any_proof_event(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(proofs, "_event_fault", lambda *_: None)


stated_in_taken_slots = of_one(resolution, "resolve", "_slot(one) not in taken", "True")


WEAKENED: list[tuple[Attack, Weakening]] = [
    (test_junk_in_an_honest_slot, anything_verifies),
    (test_junk_in_an_honest_slot, unlisted("bad_signature")),
    (test_another_key_in_an_honest_keys_slot, no_slot_has_a_key),
    (
        test_another_key_in_an_honest_keys_slot,
        of_one(resolution, "_equivocations", "forks[one.fingerprint, ", 'forks["", '),
    ),
    (test_text_that_looks_like_a_signer, of_one(ordinary, "slot_of", "rindex", "index")),
    (test_a_stated_row_against_verified_ones, stated_first),
    (test_a_stated_row_against_verified_ones, stated_in_taken_slots),
    (test_a_stated_row_in_a_slot_that_is_withheld, stated_in_taken_slots),
    (
        test_a_proof_of_two_papers,
        of_one(proofs, "verify_proof", "if first.subject != second.subject:", "if False:"),
    ),
    (test_a_proof_of_two_keys, any_proof_event),
    (test_a_proof_of_two_keys, no_slot_has_a_key),
    (test_a_proof_with_a_forged_event, any_proof_event),
    (test_a_proof_with_a_forged_event, anything_verifies),
    (
        test_a_proof_of_one_event,
        of_one(proofs, "verify_proof", "if ids[0] == ids[1]:", "if False:"),
    ),
    (
        test_a_proof_by_a_key_with_a_colliding_fingerprint,
        of_one(proofs, "verify_proof", "key and key.public_key == public_key", "key"),
    ),
]


@pytest.mark.parametrize(("attack", "weaken"), weakened(WEAKENED))
def test_a_weakened_engine_is_seen(
    attack: Attack, weaken: Weakening, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_it_is_seen(attack, weaken, monkeypatch)


def test_every_attack_succeeds_on_some_engine() -> None:
    check_each_is_weakened(globals(), WEAKENED)
