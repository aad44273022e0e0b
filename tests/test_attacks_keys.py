"""Attacks with keys: somebody who does not belong wants to be heard, or somebody who belongs wants
to be heard as another. Each test makes one attack, and is named after it.

Every attack is made on both libraries that verify. At last the engine is weakened where it stops
the attack, and the test sees the attack succeed.
"""

from collections.abc import Callable

import pytest

from arena import (
    ASSURANCES,
    HONEST,
    RING,
    check_in_vain,
    check_receipts_in_vain,
    correction,
    mirror,
    record_with,
    refused_keyring,
    sha256,
)
from pithgraph import Keyring, keyring, kinds, validation
from pithgraph.log import layout
from pithgraph.merging import Merging
from planting import (
    Attack,
    Fault,
    Weakening,
    anything_verifies,
    check_each_is_weakened,
    check_it_is_seen,
    of_one,
    planted,
    unasked,
    unlisted,
    weakened,
)
from signing import (
    ALICE,
    BOB,
    MIRROR,
    PAPER,
    READER,
    REGISTRY,
    REGISTRY_B,
    REVOKED,
    STRANGER,
    WINDOWED,
    Json,
    Key,
    at,
    b64,
    changed,
    keyring_value,
    receipt,
    sealed,
    signature,
    signed_event,
)

pytestmark = pytest.mark.usefixtures("backend")

# --- whose key it is


def test_a_stranger_under_an_authors_key_id() -> None:
    event = correction(signer=STRANGER.signer(key_id=ALICE.key_id))
    check_in_vain(sealed(event, STRANGER), reason="unknown_key")


def test_a_stranger_under_an_authors_whole_name() -> None:
    """With everything of hers but the fingerprint."""
    signer = ALICE.signer(public_key_fingerprint=STRANGER.fingerprint)
    event = sealed(correction(signer=signer), STRANGER)
    event["signature"]["key_id"] = ALICE.key_id
    check_in_vain(event, reason="unknown_key")


def test_a_key_that_states_anothers_fingerprint() -> None:
    event = correction()
    forged = [
        event | {"signature": signature(key, event["event_id"], key_id=ALICE.key_id)}
        for key in (STRANGER, BOB)
    ]
    check_in_vain(*forged, reason="bad_signature")


def test_a_signer_who_describes_himself_otherwise() -> None:
    """As another by name, and as one of a higher office."""
    claims = [
        {"key_id": ALICE.key_id},
        {"signer_id": ALICE.signer_id},
        {"signer_type": "pith_registry"},
    ]
    forged = [correction(BOB, signer=BOB.signer(**claim)) for claim in claims]
    for event in forged:
        event["signature"]["key_id"] = event["signer"]["key_id"]
    check_in_vain(*forged, reason="signer_mismatch")


def test_a_signature_in_another_keys_name() -> None:
    event = correction()
    event["signature"]["key_id"] = BOB.key_id
    check_in_vain(event, reason="signer_mismatch")


def test_a_signer_beyond_his_office() -> None:
    beyond = [
        *(("graph_snapshot", ALICE), ("record_created", ALICE), ("correction", READER)),
        *(("author_attestation", MIRROR), ("mirror_hint", ALICE), ("correction", MIRROR)),
    ]
    events = [signed_event(kind, key, created_at=at(9)) for kind, key in beyond]
    check_in_vain(*events, reason="unauthorized_signer")


def test_an_author_who_attests_for_another() -> None:
    event = signed_event("author_attestation", BOB, target=f"author:{ALICE.signer_id}")
    check_in_vain(event, reason="invalid_payload")


# --- a fingerprint that two keys have


def collision(of: Key) -> Callable[[bytes], str]:
    """A digest under which the stranger's key has this key's fingerprint."""
    right = keyring.fingerprint_of
    return lambda key: right(of.public if key == STRANGER.public else key)


def rings_that_disagree(key: Key, *others: Key) -> tuple[Keyring, Keyring]:
    """A keyring with this key, and one with the stranger's, of the same fingerprint, in its place;
    and with the others."""
    rest = [other.entry() for other in others]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keyring, "fingerprint_of", collision(key))
        hers = Keyring.from_value(keyring_value(key.entry(), *rest))
        entry = key.entry(public_key_b64=STRANGER.public_b64)
        return hers, Keyring.from_value(keyring_value(entry, *rest))


COLLIDED = {"public_key_fingerprint": ALICE.fingerprint}


def test_a_keyring_of_two_keys_with_one_fingerprint() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keyring, "fingerprint_of", collision(ALICE))
        text = refused_keyring(ALICE.entry(), STRANGER.entry(**COLLIDED))
        assert "has the fingerprint of keys[0]" in text
        assert refused_keyring(ALICE.entry()) == refused_keyring(STRANGER.entry(**COLLIDED)) == ""


def test_a_colliding_fingerprint() -> None:
    """The keyring has the one key, and the event is the other's, in his own name and in hers."""
    event = sealed(correction(signer=STRANGER.signer(**COLLIDED)), STRANGER)
    check_in_vain(event, reason="signer_mismatch", door="bad_signature")
    event = sealed(correction(signer=ALICE.signer()), STRANGER)
    check_in_vain(changed(event, "signature.key_id", ALICE.key_id), reason="bad_signature")


def check_not_taken_for_the_other(
    good: Json, forged: Json, rings: tuple[Keyring, Keyring], reason: str
) -> None:
    """What a log has established under one key does not count under the other, either way."""
    hers, his = rings
    for ring, replayed, bad in ((his, hers, forged), (hers, his, good)):
        for assurance in ASSURANCES:
            both = mirror([forged, good], ring, replayed=replayed)
            assert both.invalid(assurance) == {sha256(bad): reason}


def test_a_colliding_fingerprint_that_was_trusted_at_the_ingest() -> None:
    forged = sealed(correction(signer=ALICE.signer()), STRANGER)
    forged = changed(forged, "signature.key_id", ALICE.key_id)
    rings = rings_that_disagree(ALICE)
    check_not_taken_for_the_other(correction(), forged, rings, "bad_signature")


def test_a_receipt_of_a_colliding_key_that_was_trusted_at_the_ingest() -> None:
    signed = STRANGER.sign(bytes.fromhex(PAPER.canonical_sha256))
    good, forged = record_with(receipt()), record_with(receipt(signature_b64=b64(signed)))
    rings = rings_that_disagree(REGISTRY, REGISTRY_B)
    check_not_taken_for_the_other(good, forged, rings, "invalid_payload")


# --- receipts of the wrong key


def test_a_receipt_in_the_registrys_name() -> None:
    message = bytes.fromhex(PAPER.canonical_sha256)
    forgers = STRANGER, REGISTRY_B, ALICE
    check_receipts_in_vain(*(receipt(signature_b64=b64(key.sign(message))) for key in forgers))


def test_a_receipt_with_anothers_fingerprint() -> None:
    check_receipts_in_vain(receipt(public_key_fingerprint=REGISTRY_B.fingerprint))


def test_a_receipt_by_no_registry() -> None:
    check_receipts_in_vain(receipt(key=ALICE))


def test_a_receipt_by_a_revoked_key() -> None:
    check_receipts_in_vain(receipt(key=REVOKED))


# --- windows, revocation, and keyrings that change or disagree


def test_a_revoked_key() -> None:
    check_in_vain(signed_event(key=REVOKED), reason="key_not_valid")


def test_a_window_to_the_second() -> None:
    """The bounds belong to it, and nothing beyond."""
    inside = [signed_event(key=WINDOWED, created_at=at(second)) for second in (1, 2)]
    outside = [signed_event(key=WINDOWED, created_at=at(second)) for second in (0, 3)]
    check_in_vain(*outside, reason="key_not_valid", honest=[*HONEST[-2:], *inside])


def test_a_keyring_whose_entries_disagree() -> None:
    assert refused_keyring(ALICE.entry()) == ""
    for second in (
        BOB.entry(key_id=ALICE.key_id),
        ALICE.entry(key_id="alice-again"),
        ALICE.entry(key_id="alice-again", signer_type="pith_registry"),
        ALICE.entry(revoked=True),
        ALICE.entry(),
    ):
        assert "of keys[0]" in refused_keyring(ALICE.entry(), second)


def test_an_entry_with_a_false_fingerprint() -> None:
    assert "the key's is" in refused_keyring(STRANGER.entry(**COLLIDED))


LATER: dict[str, tuple[list[Json], str]] = {
    "revoked": ([ALICE.entry(revoked=True)], "key_not_valid"),
    "ended": ([ALICE.entry(valid_until=at(8))], "key_not_valid"),
    "begun": ([ALICE.entry(valid_from=at(10))], "key_not_valid"),
    "of another type": ([ALICE.entry(signer_type="reader")], "signer_mismatch"),
    "of another name": ([ALICE.entry(signer_id="alice@elsewhere.example")], "signer_mismatch"),
    "replaced": ([BOB.entry(key_id=ALICE.key_id)], "unknown_key"),
}


def test_a_key_that_counts_no_more() -> None:
    """The log holds its events by a class that was good, and caches the state that they gave."""
    snapshot, attack = signed_event(), [correction(), correction(target="graph")]
    for entries, reason in LATER.values():
        later = Keyring.from_value(keyring_value(REGISTRY.entry(), *entries))
        found = mirror([snapshot, *attack], RING, replayed=later)
        for assurance in ASSURANCES:
            assert found.invalid(assurance) == {sha256(event): reason for event in attack}
            assert found.applied(assurance) == {PAPER.number: [snapshot["event_id"]]}


def test_a_receipts_key_that_counts_no_more() -> None:
    event = record_with(receipt())
    for entries in ([REGISTRY.entry(revoked=True)], [REGISTRY.entry(signer_type="mirror")], []):
        later = Keyring.from_value(keyring_value(REGISTRY_B.entry(), *entries))
        found = mirror([event], RING, replayed=later)
        for assurance in ASSURANCES:
            assert found.invalid(assurance) == {sha256(event): "invalid_payload"}


# --- weakened, the engine lets each of these in

_BY_KEY_ID = "by_fingerprint(signer.public_key_fingerprint)", "by_key_id(signer.key_id)"
looked_up_by_key_id = planted(
    Fault(validation, "case_of", *_BY_KEY_ID), Fault(validation, "establish", *_BY_KEY_ID)
)
trial_of_any_key = planted(
    Fault(
        validation,
        "establish",
        "signature is None or signature.key_sha256 != key.sha256",
        "signature is None",
    ),
    Fault(validation, "case_of", " and trial.key_sha256 == key.sha256", ""),
)
receipt_trial_of_any_key = planted(
    Fault(
        validation,
        "establish",
        "receipt.trial is None or receipt.trial.key_sha256 != key.sha256",
        "receipt.trial is None",
    ),
    Fault(validation, "_invalid_payload", " and claim.trial.key_sha256 == key.sha256", ""),
)
key_ids_may_repeat = planted(Fault(Keyring, "from_value", "key.key_id), (", "str(index)), ("))
fingerprints_may_repeat = planted(
    Fault(Keyring, "from_value", "key.fingerprint)):", "str(index))):")
)
false_fingerprints = planted(Fault(keyring, "_key", "entry.public_key_fingerprint != ", "not "))
class_unjudged = planted(
    Fault(
        Merging, "_learn", "not class_is_valid(event_type, signer, facts, self._keyring)", "False"
    )
)
exclusive_windows = planted(
    Fault(
        keyring.Key, "invalid_at", "created_at > self.valid_until", "created_at >= self.valid_until"
    )
)


WEAKENED: list[tuple[Attack, Weakening]] = [
    (test_a_stranger_under_an_authors_key_id, looked_up_by_key_id),
    (test_a_stranger_under_an_authors_whole_name, looked_up_by_key_id),
    (test_a_key_that_states_anothers_fingerprint, anything_verifies),
    (test_a_key_that_states_anothers_fingerprint, unlisted("bad_signature")),
    (test_a_signer_who_describes_himself_otherwise, unlisted("signer_mismatch")),
    (
        test_a_signer_who_describes_himself_otherwise,
        unasked("_signer_mismatch", ', "signer_type")', ")"),
    ),
    (
        test_a_signature_in_another_keys_name,
        unasked("_signer_mismatch", "case.view.signature and", "False and"),
    ),
    (test_a_signer_beyond_his_office, unlisted("unauthorized_signer")),
    (
        test_an_author_who_attests_for_another,
        planted(Fault(kinds, "_author_attestation", "signer.signer_type == AUTHOR", "False")),
    ),
    (test_a_keyring_of_two_keys_with_one_fingerprint, fingerprints_may_repeat),
    (test_a_colliding_fingerprint, anything_verifies),
    (test_a_colliding_fingerprint_that_was_trusted_at_the_ingest, trial_of_any_key),
    (
        test_a_receipt_of_a_colliding_key_that_was_trusted_at_the_ingest,
        receipt_trial_of_any_key,
    ),
    (test_a_receipt_in_the_registrys_name, anything_verifies),
    (
        test_a_receipt_in_the_registrys_name,
        unasked("_invalid_payload", "claim.trial and claim.trial.verified", "claim.trial"),
    ),
    (
        test_a_receipt_with_anothers_fingerprint,
        unasked("_receipt_key", " if key.fingerprint == claim.fingerprint else None"),
    ),
    (test_a_receipt_by_no_registry, unasked("_receipt_key", "key.signer_type == REGISTRY and ")),
    (test_a_receipt_by_a_revoked_key, unasked("_receipt_key", " and not key.revoked")),
    (
        test_a_revoked_key,
        planted(Fault(keyring.Key, "invalid_at", "if self.revoked:", "if False:")),
    ),
    (test_a_window_to_the_second, exclusive_windows),
    (test_a_window_to_the_second, unlisted("key_not_valid")),
    (test_a_keyring_whose_entries_disagree, key_ids_may_repeat),
    (test_an_entry_with_a_false_fingerprint, false_fingerprints),
    (test_a_key_that_counts_no_more, class_unjudged),
    (test_a_key_that_counts_no_more, of_one(layout, "state_key", "{keyring_sha256}", "")),
    (test_a_key_that_counts_no_more, unlisted("key_not_valid")),
    (
        test_a_receipts_key_that_counts_no_more,
        unasked("_invalid_payload", "key = _receipt_key(claim, case.keyring)", "return None"),
    ),
    (test_a_receipts_key_that_counts_no_more, class_unjudged),
]


@pytest.mark.parametrize(("attack", "weaken"), weakened(WEAKENED))
def test_a_weakened_engine_is_seen(
    attack: Attack, weaken: Weakening, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_it_is_seen(attack, weaken, monkeypatch)


def test_every_attack_succeeds_on_some_engine() -> None:
    check_each_is_weakened(globals(), WEAKENED)
